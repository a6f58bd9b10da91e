"""The manipulations that detectors look for. A new one is one file and one line of `MANIPULATIONS`."""

from __future__ import annotations

from counterforensics import versions
from counterforensics.manipulations.base import Manipulation, manipulated
from counterforensics.manipulations.blur import GaussianBlur
from counterforensics.manipulations.jpeg import JpegCompression
from counterforensics.manipulations.median import MedianFilter
from counterforensics.manipulations.resize import Resize
from counterforensics.names import Registry

MANIPULATIONS: Registry[Manipulation] = Registry(
    "manipulation",
    Manipulation,  # type: ignore[type-abstract]
    {
        "blur": GaussianBlur,
        "jpeg": JpegCompression,
        "median": MedianFilter,
        "resize": Resize,
    },
)

# The paper's eight, in the order of its tables: four easy cases, then the same four made hard.
PAPER = ("blur:1.1", "jpeg:70", "median:7", "resize:1.5", "blur:0.5", "jpeg:90", "median:3", "resize:1.01")

# Kernels and JPEG coders differ between libraries and releases: what manipulates, in words.
BACKEND = f"opencv {versions.PIXELS['OpenCV']}, libjpeg {versions.PIXELS['libjpeg in OpenCV']}"


def parse(text: str) -> Manipulation:
    """The manipulation that `text` names.

    Raises NameNotFoundError for an unknown name, StudyError for an impossible value.

    >>> parse("median:7")
    MedianFilter(size=7)
    """
    return MANIPULATIONS.parse(text)


def text_form(manipulation: Manipulation) -> str:
    """The text that `parse` turns back into `manipulation`.

    >>> text_form(parse("blur:1.10"))
    'blur:1.1'
    """
    return MANIPULATIONS.text_form(manipulation)


__all__ = ["BACKEND", "MANIPULATIONS", "PAPER", "Manipulation", "manipulated", "parse", "text_form"]
