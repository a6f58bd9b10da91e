"""A manipulation: sharpening."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from counterforensics.manipulations.base import Manipulation, check_photo, check_range
from counterforensics.pixels import Pixels


@dataclass(frozen=True)
class Sharpen(Manipulation):
    """Unsharp mask: the photograph, and `amount` times its difference from a blurred copy added."""

    amount: float

    def __post_init__(self) -> None:
        check_range("sharpen: amount", self.amount, 0.01, 10)

    def __call__(self, photo: Pixels) -> Pixels:
        """photo: uint8 [h, w, 3].  Returns uint8 of the same shape."""
        blurred = cv2.GaussianBlur(check_photo(photo), (0, 0), sigmaX=1.0)
        sharpened = cv2.addWeighted(photo, 1 + self.amount, blurred, -self.amount, 0)  # rounds, and clips to 0..255
        return np.asarray(sharpened, dtype=np.uint8)
