"""Sliding positions: where the overlapping patches of a whole photograph lie."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from counterforensics.errors import PhotoError, shown
from counterforensics.pixels import Pixels

Indices = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Positions:
    """Patches of `side` pixels at every pair of one top and one left corner.

    tops: int64 [r], lefts: int64 [c], both rising.
    """

    tops: Indices
    lefts: Indices
    side: int

    @property
    def shape(self) -> tuple[int, int]:
        """How many positions there are from top to bottom and from left to right."""
        return len(self.tops), len(self.lefts)

    def batches(self, photo: Pixels, size: int) -> Iterator[Pixels]:
        """The patches of a photograph, uint8 [c, h, w], row by row and at most `size` at a time: uint8 [k, c, s, s]."""
        corners = [(top, left) for top in self.tops for left in self.lefts]
        for start in range(0, len(corners), size):
            yield np.stack([self._patch(photo, *corner) for corner in corners[start : start + size]])

    def _patch(self, photo: Pixels, top: int, left: int) -> Pixels:
        return photo[:, top : top + self.side, left : left + self.side]

    def nearest(self, corners: Indices) -> Indices:
        """The position nearest to each of `corners`, int64 [n, 2] of (top, left): int64 [n, 2].

        >>> sliding(200, 300, stride=64, side=128).nearest(np.array([[70, 30], [10, 40]])).tolist()
        [[72, 0], [0, 64]]
        """
        near = [
            starts[np.abs(starts[:, None] - corners[:, axis]).argmin(0)]
            for axis, starts in enumerate((self.tops, self.lefts))
        ]
        return np.stack(near, axis=1)

    def bands(self, count: int) -> list[Positions]:
        """The same positions in at most `count` bands, from top to bottom."""
        parts = np.array_split(self.tops, min(count, len(self.tops)))
        return [Positions(tops, self.lefts, self.side) for tops in parts]


def sliding(height: int, width: int, *, stride: int, side: int) -> Positions:
    """Positions every `stride` pixels from the top left corner on; the last ones touch the right and lower edge.

    Raises PhotoError for a photograph that is smaller than a patch, or a stride below 1.

    >>> positions = sliding(200, 300, stride=64, side=128)
    >>> positions.tops.tolist(), positions.lefts.tolist()
    ([0, 64, 72], [0, 64, 128, 172])
    """
    if min(height, width) < side:
        raise PhotoError(f"a photograph of {width}x{height} is smaller than a {side}x{side} patch")
    if isinstance(stride, bool) or not isinstance(stride, int) or stride < 1:
        raise PhotoError(f"the stride must be a whole number of pixels from 1 on, got {shown(stride)}")
    return Positions(_starts(height - side, stride), _starts(width - side, stride), side)


def _starts(last: int, stride: int) -> Indices:
    return np.unique([*range(0, last + 1, stride), last]).astype(np.int64)
