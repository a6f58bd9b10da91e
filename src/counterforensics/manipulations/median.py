"""Median filtering."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from counterforensics.errors import StudyError
from counterforensics.manipulations.base import Manipulation, check_photo, check_range, check_whole
from counterforensics.pixels import Pixels


@dataclass(frozen=True)
class MedianFilter(Manipulation):
    """Median of a `size` x `size` window, channel by channel (Gragnaniello et al. 2018, Section IV: 7, 3).

    Borders repeat the edge pixel.
    """

    size: int

    def __post_init__(self) -> None:
        check_whole("median: size", self.size)
        check_range("median: size", self.size, 3, 255)
        if self.size % 2 == 0:
            raise StudyError(f"median: size must be odd (3, 5, 7, ...), got {self.size}")

    @property
    def strength(self) -> float:
        """As `Manipulation.strength`: by the side of the window."""
        return float(self.size)

    def __call__(self, photo: Pixels) -> Pixels:
        """photo: uint8 [h, w, 3].  Returns uint8 of the same shape."""
        return np.asarray(cv2.medianBlur(check_photo(photo), self.size), dtype=np.uint8)
