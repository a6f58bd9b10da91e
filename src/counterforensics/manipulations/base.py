"""What a manipulation is, and the checks that all of them share."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np

from counterforensics.errors import PixelError, StudyError, shown
from counterforensics.names import Part
from counterforensics.pixels import Pixels


class Manipulation(Part, ABC):
    """A frozen dataclass that turns a whole photograph into a manipulated one, before any cropping."""

    @property
    def moves_pixels(self) -> bool:
        """Whether a patch shows another place than the pristine patch at the same position, as after resizing."""
        return False

    def side_before(self, side: int) -> int:
        """The side that a photograph must have for at least `side` pixels to be left."""
        return side

    @property
    def strength(self) -> float | None:
        """How strong it is among manipulations of its kind, the larger the stronger; None where there is no order."""
        return None

    @abstractmethod
    def __call__(self, photo: Pixels) -> Pixels:
        """photo: uint8 [h, w, 3], RGB.  Returns uint8 [h', w', 3]; h' and w' differ where pixels move."""


def check_photo(photo: Pixels) -> Pixels:
    """`photo` itself if it is uint8 [h, w, 3]; a PixelError that says what it is otherwise."""
    if not isinstance(photo, np.ndarray) or photo.dtype != np.uint8 or photo.ndim != 3 or photo.shape[2] != 3:
        got = f"{getattr(photo, 'dtype', type(photo).__name__)} of shape {np.shape(photo)}"
        raise PixelError(f"a photograph must be uint8 [h, w, 3], got {got}")
    return photo


def check_range(name: str, value: float, low: float, high: float) -> None:
    """Raise StudyError unless low <= value <= high."""
    if not low <= value <= high:  # as NaN never does
        given = f"{value:g}" if isinstance(value, float) else shown(value)
        raise StudyError(f"{name} must lie between {low:g} and {high:g}, got {given}")
