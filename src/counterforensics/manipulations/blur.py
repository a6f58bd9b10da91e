"""Gaussian blurring."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from counterforensics.manipulations.base import Manipulation, check_photo, check_range
from counterforensics.pixels import Pixels


@dataclass(frozen=True)
class GaussianBlur(Manipulation):
    """Gaussian filter of standard deviation `sigma` pixels (Gragnaniello et al. 2018, Section IV: 1.10, 0.50).

    The kernel's size follows OpenCV's rule for 8-bit images, an odd number near 6 sigma + 1; borders are
    mirrored without repeating the edge pixel. The paper names neither [inferred]. Below a sigma of 0.3 the kernel has
    weights too small for 8 bits and leaves every pixel as it is.
    """

    sigma: float

    def __post_init__(self) -> None:
        check_range("blur: sigma", self.sigma, 0.3, 50)

    @property
    def strength(self) -> float:
        """As `Manipulation.strength`: by its width."""
        return self.sigma

    def __call__(self, photo: Pixels) -> Pixels:
        """photo: uint8 [h, w, 3].  Returns uint8 of the same shape."""
        return np.asarray(cv2.GaussianBlur(check_photo(photo), (0, 0), self.sigma), dtype=np.uint8)
