"""JPEG compression."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from counterforensics.errors import PixelError
from counterforensics.manipulations.base import Manipulation, check_photo, check_range, check_whole
from counterforensics.pixels import Pixels


@dataclass(frozen=True)
class JpegCompression(Manipulation):
    """JPEG at IJG `quality`, encoded and decoded again (Gragnaniello et al. 2018, Section IV: 70, 90).

    Baseline, 4:2:0 chroma subsampling, the standard's tables [inferred: the paper names the quality only].
    """

    quality: int

    def __post_init__(self) -> None:
        check_whole("jpeg: quality", self.quality)
        check_range("jpeg: quality", self.quality, 1, 100)

    @property
    def strength(self) -> float:
        """As `Manipulation.strength`: the lower the quality."""
        return float(100 - self.quality)

    @property
    def shown_by_jpeg_up_to(self) -> int:
        """As `Manipulation.shown_by_jpeg_up_to`: its own quality.

        >>> JpegCompression(90).is_shown_by_jpeg(90), JpegCompression(90).is_shown_by_jpeg(91)
        (True, False)
        """
        return self.quality

    def __call__(self, photo: Pixels) -> Pixels:
        """photo: uint8 [h, w, 3], at most 65,500 pixels a side.  Returns uint8 of the same shape."""
        height, width = check_photo(photo).shape[:2]
        if max(height, width) > 65500:
            raise PixelError(f"JPEG holds at most 65500 pixels a side, got {width}x{height}")
        settings = [cv2.IMWRITE_JPEG_QUALITY, self.quality]
        _, stream = cv2.imencode(".jpg", cv2.cvtColor(photo, cv2.COLOR_RGB2BGR), settings)
        decoded = cv2.imdecode(stream, cv2.IMREAD_COLOR)
        return np.asarray(cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB), dtype=np.uint8)
