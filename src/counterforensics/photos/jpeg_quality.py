"""How strongly a JPEG file was compressed when it was stored last, from its own quantisation table.

The library of the Independent JPEG Group scales the example table of the standard (ITU-T T.81, Table K.1) by a quality
of 1 to 100 (libjpeg, jcparam.c: `jpeg_quality_scaling` and `jpeg_add_quant_table`). Many cameras have tables of their
own. These get the quality whose table is nearest.
"""

from __future__ import annotations

import bisect
import functools
import io
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile

from counterforensics.photos.heif_file import format_by_boxes

# Steps of the luminance, by row: the frequencies rise to the right and downwards.
_STANDARD = (
    *(16, 11, 10, 16, 24, 40, 51, 61),
    *(12, 12, 14, 19, 26, 58, 60, 55),
    *(14, 13, 16, 24, 40, 57, 69, 56),
    *(14, 17, 22, 29, 51, 87, 80, 62),
    *(18, 22, 37, 56, 68, 109, 103, 77),
    *(24, 35, 55, 64, 81, 104, 113, 92),
    *(49, 64, 78, 87, 103, 121, 120, 101),
    *(72, 92, 95, 98, 112, 100, 103, 99),
)
_LARGEST = 255  # step of a baseline file
# Parts in which files are reported: each begins at its quality and ends before the next.
_LIMITS = (65, 80, 90, 95)
NO_JPEG, OTHER_LOSSY = "no JPEG", "another lossy format"
BANDS = (NO_JPEG, OTHER_LOSSY, "below 65", "65 to 80", "80 to 90", "90 to 95", "95 and above")


@dataclass(frozen=True)
class JpegQuality:
    """The quality 1..100 of a file; `exact` if its table is the scaled standard one and not merely near to it."""

    quality: int
    exact: bool


def quality_of(content: bytes) -> JpegQuality | None:
    """The quality of an encoded photograph, from the table of its first component; None if it is no JPEG file.

    content: a file that can be decoded, or at least its headers.  Raises OSError if it is no picture at all.
    """
    if format_by_boxes(content):
        return None  # a HEIF file, which Pillow does not know, or an AVIF file
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # Several pictures in one file (MPO) are JPEG, too: the first is the photograph.
        with Image.open(io.BytesIO(content)) as image:
            if not isinstance(image, JpegImageFile):
                return None
            table = image.quantization.get(image.layer[0][3])
    return nearest_quality(table) if table else None


def nearest_quality(table: Sequence[int]) -> JpegQuality:
    """The quality whose luminance table is nearest to `table`, by least squares; of two equally near the lower.

    table: 64 steps by row, as Pillow has them.  Steps above 255, which some encoders write, count as 255.

    >>> nearest_quality([1] * 64), nearest_quality([2] * 64)
    (JpegQuality(quality=100, exact=True), JpegQuality(quality=99, exact=False))
    """
    squares = np.square(_tables() - np.minimum(np.asarray(table, dtype=np.int64), _LARGEST)).sum(1)
    place = int(squares.argmin())
    return JpegQuality(place + 1, not squares[place])


def band_of(found: JpegQuality | None, *, lossy: bool = False) -> str:
    """Which of `BANDS` a file stands in; `lossy`: it is no JPEG file, but compressed with loss all the same.

    >>> band_of(None), band_of(None, lossy=True), band_of(JpegQuality(65, True)), band_of(JpegQuality(94, True))
    ('no JPEG', 'another lossy format', '65 to 80', '90 to 95')
    """
    if found:
        return BANDS[2 + bisect.bisect_right(_LIMITS, found.quality)]
    return OTHER_LOSSY if lossy else NO_JPEG


@functools.cache
def _tables() -> npt.NDArray[np.int64]:
    """The luminance table of each quality from 1 to 100: int64 [100, 64]."""
    quality = np.arange(1, 101)[:, None]
    percent = np.where(quality < 50, 5000 // quality, 200 - 2 * quality)
    scaled = (np.array(_STANDARD)[None] * percent + 50) // 100
    return np.asarray(np.clip(scaled, 1, _LARGEST), dtype=np.int64)
