"""Turning a photograph upright by its EXIF orientation (JEITA CP-3451, tag 274)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from counterforensics.errors import PhotoError, shown
from counterforensics.pixels import Pixels

_TURNS: dict[int, Callable[[Pixels], Pixels]] = {
    1: lambda photo: photo,
    2: lambda photo: photo[:, ::-1],
    3: lambda photo: photo[::-1, ::-1],
    4: lambda photo: photo[::-1],
    5: lambda photo: photo.transpose(1, 0, 2),
    6: lambda photo: np.rot90(photo, -1),
    7: lambda photo: photo[::-1, ::-1].transpose(1, 0, 2),
    8: lambda photo: np.rot90(photo),
}


def upright(photo: Pixels, orientation: int) -> Pixels:
    """`photo`, uint8 [h, w, 3], as it is to be seen.  Raises PhotoError for an orientation other than 1 to 8.

    >>> upright(np.zeros((2, 3, 3), dtype=np.uint8), 6).shape
    (3, 2, 3)
    """
    if orientation not in _TURNS:
        raise PhotoError(f"an EXIF orientation is 1 to 8, got {shown(orientation)}")
    return np.ascontiguousarray(_TURNS[orientation](photo))
