"""Reducing a photograph: the kernels that platforms and libraries use.

`box` averages the pixels whose centres lie within half a step of the centre of the output pixel. It computes in the
order of GraphicsMagick (magick/resize.c, `HorizontalFilter`): bounds in double precision, then the filter. A centre
exactly on the border counts or not by rounding, so this order is part of the result. It reproduces which pixels
Telegram averages in all 128 such columns of a photograph of 3264 x 2448 pixels. Pillow's BOX (`pillow-box`) differs
from it there alone. The other kernels are Pillow's and OpenCV's own.

All reduce the width first, round to 8 bits, and then reduce the height.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from counterforensics.pixels import Pixels

Whole = npt.NDArray[np.int64]
_MOST_IN_16_BITS = 120  # pixels whose sum, doubled for rounding, 16 bits hold
Resizer = Callable[[Pixels, int, int], Pixels]


def box_runs(before: int, after: int) -> tuple[Whole, Whole]:
    """The first input pixel of each output pixel and the number of pixels averaged: int64 [after] each.

    before, after: pixels along one side, after <= before.

    >>> [run.tolist() for run in box_runs(7, 3)]
    [[0, 2, 5], [2, 3, 2]]
    """
    factor = after / before
    scale = max(1.0 / factor, 1.0)
    support = 0.5 * scale
    centre = (np.arange(after) + 0.5) / factor
    first = np.maximum(centre - support + 0.5, 0).astype(np.int64)
    behind = np.minimum(centre + support + 0.5, before).astype(np.int64)
    taps = first[:, None] + np.arange(int((behind - first).max()))
    distance = (1.0 / scale) * (taps - centre[:, None] + 0.5)
    inside = (taps < behind[:, None]) & (distance >= -0.5) & (distance < 0.5)
    return first + inside.argmax(1), inside.sum(1)


def _box_along(photo: Pixels, side: int, axis: int) -> Pixels:
    """The means of runs of pixels along one axis, rounded half up."""
    if photo.shape[axis] == side:
        return photo
    lines = np.moveaxis(photo, axis, 0)
    first, count = box_runs(len(lines), side)
    means = lines[first]
    for run in np.unique(count[count > 1]).tolist():
        chosen = np.flatnonzero(count == run)
        total: npt.NDArray[Any] = lines[first[chosen]].astype(np.uint16 if run <= _MOST_IN_16_BITS else np.uint32)
        for tap in range(1, run):
            total += lines[first[chosen] + tap]
        means[chosen] = (2 * total + run) // (2 * run)
    return np.ascontiguousarray(np.moveaxis(means, 0, axis))


def _box(photo: Pixels, width: int, height: int) -> Pixels:
    return _box_along(_box_along(photo, width, 1), height, 0)


def _pillow(kernel: Image.Resampling) -> Resizer:
    def resize(photo: Pixels, width: int, height: int) -> Pixels:
        return np.asarray(Image.fromarray(photo).resize((width, height), kernel), dtype=np.uint8)

    return resize


def _opencv(kernel: int) -> Resizer:
    def resize(photo: Pixels, width: int, height: int) -> Pixels:
        return np.asarray(cv2.resize(photo, (width, height), interpolation=kernel), dtype=np.uint8)

    return resize


# The kernels of libraries, by our names for them.
PILLOW = {
    "pillow-box": Image.Resampling.BOX,
    "hamming": Image.Resampling.HAMMING,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
    "nearest": Image.Resampling.NEAREST,
}
OPENCV = {
    "area": cv2.INTER_AREA,
    "opencv-linear": cv2.INTER_LINEAR,
    "opencv-cubic": cv2.INTER_CUBIC,
    "opencv-lanczos4": cv2.INTER_LANCZOS4,
}
KERNELS: dict[str, Resizer] = {
    "box": _box,
    **{name: _pillow(kernel) for name, kernel in PILLOW.items()},
    **{name: _opencv(kernel) for name, kernel in OPENCV.items()},
}

# Kernels that differ from another in a few sizes alone.
VARIANTS = {"pillow-box": "box"}


def resized(photo: Pixels, width: int, height: int, kernel: str) -> Pixels:
    """`photo`, uint8 [h, w, 3], by one of `KERNELS`: uint8 [height, width, 3]; unchanged at its own size."""
    if photo.shape[:2] == (height, width):
        return photo
    return KERNELS[kernel](np.ascontiguousarray(photo), width, height)
