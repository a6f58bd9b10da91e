"""What a manipulation is, and the checks that all of them share."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np

from counterforensics.errors import PixelError, PlugInError, StudyError, shown
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

    @property
    def shown_by_jpeg_up_to(self) -> int | None:
        """Pristine JPEG files up to this IJG quality (1..100) show the same traces already; None where no file does."""
        return None

    def is_shown_by_jpeg(self, quality: int) -> bool:
        """Whether a pristine JPEG file of this IJG quality (1..100) shows the same traces already."""
        bound = self.shown_by_jpeg_up_to
        return bound is not None and quality <= bound

    def pixels_after(self, pixels: int) -> int:
        """How many pixels a photograph of so many has afterwards: memory goes by it."""
        return pixels

    @abstractmethod
    def __call__(self, photo: Pixels) -> Pixels:
        """photo: uint8 [h, w, 3], RGB.  Returns uint8 [h', w', 3]; h' and w' differ where pixels move."""


def check_photo(photo: Pixels) -> Pixels:
    """`photo` itself if it is uint8 [h, w, 3] with a pixel at least; a PixelError that says what it is otherwise."""
    is_photo = isinstance(photo, np.ndarray) and photo.dtype == np.uint8 and photo.ndim == 3
    if not is_photo or photo.shape[2] != 3 or not photo.size:
        got = f"{photo.dtype} of shape {photo.shape}" if isinstance(photo, np.ndarray) else type(photo).__name__
        raise PixelError(f"a photograph must be uint8 [h, w, 3], got {got}")
    return photo


def manipulated(photo: Pixels, manipulation: Manipulation) -> Pixels:
    """What `manipulation` makes of a photograph, uint8 [h, w, 3].

    Raises PlugInError if that is no photograph, and what the manipulation raises.
    """
    after = manipulation(photo)
    try:
        return check_photo(after)
    except PixelError as error:
        raise PlugInError(f"{manipulation} gives no photograph back: {error}") from error


def check_range(name: str, value: float, low: float, high: float) -> None:
    """Raise StudyError unless `value` is a number, low <= value <= high."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise StudyError(f"{name} must be a number, got {shown(value)}")
    if not low <= value <= high:  # as NaN never does
        given = f"{value:g}" if isinstance(value, float) else shown(value)
        raise StudyError(f"{name} must lie between {low:g} and {high:g}, got {given}")


def check_whole(name: str, value: int) -> None:
    """Raise StudyError unless `value` is a whole number."""
    if not isinstance(value, int):
        raise StudyError(f"{name} must be a whole number, got {shown(value)}")
