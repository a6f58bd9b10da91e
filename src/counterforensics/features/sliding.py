"""The SPAM feature of all patches of a photograph, overlapping ones, at the cost of each pixel once.

A co-occurrence counts runs of four residuals. The runs of a patch are those that begin in a window of 124x121
positions along the rows, and of 121x124 along the columns. The borders of all windows cut the photograph into cells.
Each cell is counted once; a window's counts are the sum of its cells.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numba
import numpy as np
import numpy.typing as npt
import torch

from counterforensics.compiled import compiled
from counterforensics.features.co_occurrence import NEGLIGIBLE, PAIRS
from counterforensics.features.memberships import memberships
from counterforensics.features.merging import BIN_OF_CODE, BINS, LEVELS
from counterforensics.features.soft import Quantiser, filtered
from counterforensics.features.spam import DIMENSION, LEVEL_OF_RESIDUAL, check_side, quantise
from counterforensics.pixels import Pixels
from counterforensics.positions import Positions

_BORDER = 4  # pixels by which a plane of residuals is smaller than its patch, along both axes
_MORE = 3  # residuals after the first of a run
_PADDED = 32  # floats of a row of 25 pairs: two registers of 16

Edges = npt.NDArray[np.int64]  # of cells or windows along an axis
Sums = npt.NDArray[np.float64]

# The sums over one row of cells, from a first to a last row: of runs along the rows, in cells between the edges given
# first, and of runs along the columns, in cells between the others.  Two float64 [cells, 338].
CellSums = Callable[[int, int, Edges, Edges], tuple[Sums, Sums]]


def sliding_s3_spam14hv(plane: Pixels, positions: Positions) -> Iterator[npt.NDArray[np.float32]]:
    """The exact feature of every patch, one row of positions after the other.

    plane: uint8 [h, w], luma.  Yields float32 [c, 338] for each row of `positions`: what `s3_spam14hv` gives for each
    patch by itself.  Raises PixelError for patches smaller than 8x8.
    """
    check_side(positions.side, positions.side)

    def of_cells(top: int, bottom: int, along: Edges, down: Edges) -> tuple[Sums, Sums]:
        rows = np.ascontiguousarray(_rows(plane, top, bottom))
        levels = np.empty((2, rows.shape[0] - _BORDER, rows.shape[1] - _BORDER), np.uint8)
        quantise(rows, LEVEL_OF_RESIDUAL, levels)
        sums = tuple(np.zeros((len(edges) - 1, DIMENSION)) for edges in (along, down))
        _count_cells(levels, True, bottom - top, along, BIN_OF_CODE, sums[0])
        _count_cells(levels, False, _rows_down(bottom - top, levels.shape[1]), down, BIN_OF_CODE, sums[1])
        return sums[0], sums[1]

    return _features(of_cells, positions)


def sliding_soft_s3_spam14hv(
    plane: Pixels, positions: Positions, quantiser: Quantiser, *, alpha: float
) -> Iterator[npt.NDArray[np.float32]]:
    """The soft feature of every patch, as `sliding_s3_spam14hv` gives the exact one; no gradient.

    quantiser, alpha: as `soft_s3_spam14hv` has them, on the processor.
    """
    check_side(positions.side, positions.side)
    taps, levels, offsets = (tensor.detach().cpu() for tensor in quantiser)

    def of_cells(top: int, bottom: int, along: Edges, down: Edges) -> tuple[Sums, Sums]:
        rows = torch.from_numpy(_rows(plane, top, bottom)[None, None]).float()
        shares = [
            memberships(residual, levels[which], offsets[which], alpha)[0].numpy()
            for which, residual in enumerate(filtered(rows, taps))
        ]
        sums = tuple(np.zeros((len(edges) - 1, DIMENSION)) for edges in (along, down))
        rows_down = _rows_down(bottom - top, shares[0].shape[1])
        for half in range(2):
            # As in `soft_s3_spam14hv`: the first half has R along the rows and U along the columns.
            into = slice(half * BINS, (half + 1) * BINS)
            _sum_cells(shares[half], True, bottom - top, along, BIN_OF_CODE, sums[0][:, into])
            _sum_cells(shares[1 - half], False, rows_down, down, BIN_OF_CODE, sums[1][:, into])
        return sums[0], sums[1]

    return _features(of_cells, positions)


def _rows_down(rows: int, residuals: int) -> int:
    """In how many of some rows runs along the columns begin: three rows of residuals follow on the last."""
    return max(0, min(rows, residuals - _MORE))


def _rows(plane: Pixels, top: int, bottom: int) -> Pixels:
    """The rows of a plane that the runs which begin in some rows of residuals take.

    At the lower edge there are fewer: no window has runs along the columns that begin in the last three rows.
    """
    return plane[top : bottom + _MORE + _BORDER]


def _features(of_cells: CellSums, positions: Positions) -> Iterator[npt.NDArray[np.float32]]:
    """The features of each row of positions, given what cells sum to."""
    long = positions.side - _BORDER  # residuals along a side
    short = long - _MORE  # runs along a side
    rows = np.unique(np.concatenate([positions.tops + extent for extent in (0, short, long)]))
    along = _Windows(rows, positions.tops, long, positions.lefts, short)
    down = _Windows(rows, positions.tops, short, positions.lefts, long)
    ready = 0
    for edge in range(1, len(rows)):
        top, bottom = int(rows[edge - 1]), int(rows[edge])
        of_along, of_down = of_cells(top, bottom, along.columns, down.columns)
        down.add(edge, of_down)
        along.add(edge, of_along)
        # Windows of runs along the rows are three rows longer, and end last.
        while ready in along.found:
            yield ((along.found.pop(ready) + down.found.pop(ready)) / (long * short)).astype(np.float32)
            ready += 1


class _Windows:
    """Sums over windows of cells, row by row of cells.

    The sum over all rows above is kept at every edge where a window begins, until the window ends.  found: the sums of
    each row of windows that has ended, float64 [windows, 338].
    """

    def __init__(self, rows: Edges, tops: Edges, height: int, lefts: Edges, width: int) -> None:
        self.columns: Edges = np.unique(np.concatenate([lefts, lefts + width]))
        self.ends: dict[int, int] = {int(edge): row for row, edge in enumerate(np.searchsorted(rows, tops + height))}
        self.begins = np.searchsorted(rows, tops)
        self.left, self.right = np.searchsorted(self.columns, lefts), np.searchsorted(self.columns, lefts + width)
        self.total = np.zeros((len(self.columns) - 1, DIMENSION))
        self.above = {0: self.total.copy()}
        self.found: dict[int, Sums] = {}

    def add(self, edge: int, sums: Sums) -> None:
        """Add the row of cells that ends at the edge of this number."""
        self.total += sums
        if edge in self.begins:
            self.above[edge] = self.total.copy()
        if edge in self.ends:
            row = self.ends[edge]
            up_to = np.zeros((len(self.columns), DIMENSION))
            np.cumsum(self.total - self.above.pop(int(self.begins[row])), axis=0, out=up_to[1:])
            self.found[row] = up_to[self.right] - up_to[self.left]


@compiled(nogil=True)
def _count_cells(levels: Any, in_rows: bool, height: int, edges: Any, bin_of_code: Any, counts: Any) -> None:
    """Count the runs that begin in each cell of one row of cells; counts: float64 [cells, 338], zeros."""
    down, right = (0, 1) if in_rows else (1, 0)
    for half in range(2):
        # The first half counts runs along the filter, R in rows and U in columns; the second those across it.
        level = levels[half if in_rows else 1 - half]
        for cell in range(len(edges) - 1):
            into = counts[cell, half * BINS : (half + 1) * BINS]
            for i in range(height):
                for j in range(edges[cell], edges[cell + 1]):
                    code = 125 * np.int64(level[i, j]) + 25 * level[i + down, j + right]
                    code += 5 * level[i + 2 * down, j + 2 * right] + level[i + 3 * down, j + 3 * right]
                    into[bin_of_code[code]] += 1


@compiled(nogil=True, fastmath={"contract"})
def _sum_cells(shares: Any, in_rows: bool, height: int, edges: Any, bin_of_code: Any, sums: Any) -> None:
    """Sum the products of runs that begin in each cell of one row of cells.

    shares: float32 [5, height, w], memberships, with three more rows for runs along columns.  sums: float64 [cells, n],
    zeros; the first 169 are written.
    """
    table = np.empty((PAIRS, _PADDED), np.float32)
    widest = np.diff(edges).max()
    pairs = np.zeros(((height + 2) * (widest + 2) + 8, _PADDED), np.float32)
    last = np.zeros((8, _PADDED), np.float32)
    for cell in range(len(edges) - 1):
        left, width = edges[cell], edges[cell + 1] - edges[cell]
        # A run is two pairs, the second two places further on: `step` entries of `pairs`.
        step = 2 * (height if in_rows else width)
        _pairs(shares, in_rows, height, left, width, pairs)
        table[:] = 0
        count = height * width
        for p in range(0, count - 7, 8):
            _add_products(pairs[p : p + 8], pairs[p + step : p + step + 8], table)
        # Zeros fill up the last eight.
        rest = count % 8
        last[:rest] = pairs[count - rest : count]
        last[rest:] = 0
        _add_products(last, pairs[count - rest + step : count - rest + step + 8], table)
        for first in range(PAIRS):
            for second in range(PAIRS):
                sums[cell, bin_of_code[PAIRS * first + second]] += table[first, second]


@numba.njit(inline="always")
def _plain(membership: Any) -> Any:
    return np.float32(0) if membership < NEGLIGIBLE else membership


@numba.njit(inline="always")
def _pairs(shares: Any, in_rows: bool, height: int, left: int, width: int, pairs: Any) -> None:
    """pairs float32 [n, 32]: at each position the 25 products of its levels and of its next neighbour's.

    Positions across the runs are beside each other, so that the second pair of a run is as far on everywhere.
    """
    down, right = (0, 1) if in_rows else (1, 0)
    along, across = (width + 2, height) if in_rows else (height + 2, width)
    for m in range(along):
        for k in range(across):
            i, j = (k, left + m) if in_rows else (m, left + k)
            row = pairs[m * across + k]
            for a in range(LEVELS):
                one = _plain(shares[a, i, j])
                for b in range(LEVELS):
                    row[LEVELS * a + b] = one * _plain(shares[b, i + down, j + right])


@numba.njit(inline="always")
def _add_products(x: Any, y: Any, table: Any) -> None:
    """table float32 [25, 32] += x.T @ y, of eight positions, float32 [8, 32] each."""
    for k in range(PAIRS):
        for m in range(_PADDED):
            total = table[k, m]
            for p in range(8):
                total += x[p, k] * y[p, m]
            table[k, m] = total
