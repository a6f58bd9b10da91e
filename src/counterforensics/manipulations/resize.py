"""Resizing."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import cv2
import numpy as np

from counterforensics.errors import StudyError
from counterforensics.manipulations.base import Manipulation, check_photo, check_range
from counterforensics.pixels import Pixels


@dataclass(frozen=True)
class Resize(Manipulation):
    """Bicubic resizing by `scale` in both directions (Gragnaniello et al. 2018, Section IV: 1.5, 1.01).

    Sides are rounded to whole pixels. The paper names no kernel; bicubic is what editors offer first
    [inferred]. OpenCV's bicubic (a = -0.75, no smoothing before reduction) differs from other libraries'.
    """

    scale: float

    moves_pixels = True

    NEAREST: ClassVar[float] = 0.001  # to 1: nearer, photographs of many hundred pixels stay as they are

    def __post_init__(self) -> None:
        check_range("resize: scale", self.scale, 0.05, 10)
        if abs(self.scale - 1) < self.NEAREST - 1e-9:
            least = f"at least {self.NEAREST} from 1, which changes nothing"
            raise StudyError(f"resize: scale must differ by {least}, got {self.scale:g}")

    def side_before(self, side: int) -> int:
        """As `Manipulation.side_before`; a smaller side than half a pixel over the change of scale stays as it is."""
        return max(math.ceil(side / self.scale), math.floor(0.5 / abs(self.scale - 1)) + 2)

    @property
    def strength(self) -> float:
        """As `Manipulation.strength`: by the ratio of sizes, whether larger or smaller."""
        return abs(math.log(self.scale))

    def pixels_after(self, pixels: int) -> int:
        """As `Manipulation.pixels_after`."""
        return math.ceil(pixels * self.scale**2)

    def __call__(self, photo: Pixels) -> Pixels:
        """photo: uint8 [h, w, 3].  Returns uint8 [round(h * scale), round(w * scale), 3]."""
        height, width = check_photo(photo).shape[:2]
        size = max(1, round(width * self.scale)), max(1, round(height * self.scale))
        return np.asarray(cv2.resize(photo, size, interpolation=cv2.INTER_CUBIC), dtype=np.uint8)
