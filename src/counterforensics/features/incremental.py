"""s3_spam14hv of a patch that changes pixel by pixel, without counting all of it again.

A pixel enters four residuals along its row and four along its column, and those enter 46 runs of four neighbours.
Moving it by one grey level moves at most as many counts, of the 60,016 in a patch of 128x128. A residual that keeps
its level, as most do where there is texture, leaves its runs as they are.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from counterforensics.compiled import compiled
from counterforensics.features.merging import BIN_OF_CODE, BINS
from counterforensics.features.spam import DIMENSION, LARGEST_RESIDUAL, LEVEL_OF_RESIDUAL
from counterforensics.pixels import Pixels

MOST_RUNS = 46  # that a pixel takes part in
TABLES = 4  # as in `spam.count_codes`: R along rows, U along columns, U along rows, R along columns
_IN_LINE, _ACROSS = (0, 1), (3, 2)  # the tables of R and of U whose runs lie along the filter, and across it
_TAPS = ((-1, 3, -3, 1), (1, -3, 3, -1))  # of a pixel in the R of its row, left to right, and the U of its column
_PLACES = (125, 25, 5, 1)  # what a level is worth at each place of a run


class Running(NamedTuple):
    """A patch, and what its feature counts: everything that moves when a pixel does.

    plane: int16 [h, w], grey levels.  residuals: int16 [2, h - 4, w - 4], R and U.  codes: int16
    [4, h - 4, w - 4], of the run that begins at each position, where one fits.  counts: int32 [4, 169].
    shares: float64 [4], what one run of a table adds to the feature.
    """

    plane: npt.NDArray[np.int16]
    residuals: npt.NDArray[np.int16]
    codes: npt.NDArray[np.int16]
    counts: npt.NDArray[np.int32]
    shares: npt.NDArray[np.float64]


class Room(NamedTuple):
    """What the kernels write to while they look at a pixel, made once."""

    moves: npt.NDArray[np.int64]
    changes: npt.NDArray[np.int64]
    touched: npt.NDArray[np.int64]
    seen: npt.NDArray[np.int64]
    deltas: npt.NDArray[np.float64]


def room() -> Room:
    """Room for one pixel at a time."""
    return Room(
        np.zeros((MOST_RUNS, 4), np.int64),
        np.zeros(4, np.int64),
        np.zeros(2 * MOST_RUNS + 1, np.int64),
        np.zeros(DIMENSION, np.int64),
        np.zeros(DIMENSION),
    )


def running(plane: Pixels) -> Running:
    """The counts of one patch, uint8 [h, w] with h and w at least 8."""
    height, width = plane.shape[0] - 4, plane.shape[1] - 4
    along, down = height * (width - 3), (height - 3) * width
    state = Running(
        plane.astype(np.int16),
        np.empty((2, height, width), np.int16),
        np.zeros((TABLES, height, width), np.int16),
        np.zeros((TABLES, BINS), np.int32),
        1.0 / np.array([along, down, along, down]),
    )
    _count(state)
    return state


def feature(state: Running) -> npt.NDArray[np.float64]:
    """The feature as it stands, float64 [338], on the scale of `s3_spam14hv`."""
    shares = state.counts * state.shares[:, None]
    return np.concatenate([shares[0] + shares[1], shares[2] + shares[3]])


@compiled(nogil=True)
def _count(state: Any) -> None:
    """Fill in residuals, codes and counts of the plane."""
    plane, residuals = state.plane, state.residuals
    _, height, width = residuals.shape
    for i in range(height):
        for j in range(width):
            y, x = i + 2, j + 2
            residuals[0, i, j] = plane[y, x - 1] - 3 * plane[y, x] + 3 * plane[y, x + 1] - plane[y, x + 2]
            residuals[1, i, j] = plane[y + 1, x] - 3 * plane[y, x] + 3 * plane[y - 1, x] - plane[y - 2, x]
    for table in range(TABLES):
        residual, down = residuals[1 if table == 1 or table == 2 else 0], table % 2
        for i in range(height - 3 * down):
            for j in range(width - 3 * (1 - down)):
                code = 0
                for place in range(4):
                    r = residual[i + place * down, j + place * (1 - down)]
                    code += _PLACES[place] * LEVEL_OF_RESIDUAL[r + LARGEST_RESIDUAL]
                state.codes[table, i, j] = code
                state.counts[table, BIN_OF_CODE[code]] += 1


@compiled(nogil=True)
def moves_of(state: Any, y: int, x: int, step: int, room: Any) -> int:
    """The runs whose codes change when the pixel at (y, x) moves by `step` grey levels, and by how much.

    Writes room.moves, int64 [46, 4]: table, row, column, change of code.  Returns how many there are.
    """
    count: int = _moves_of_residual(state.residuals[0], 0, y - 2, x - 4, step, room, 0)
    count = _moves_of_residual(state.residuals[1].T, 1, x - 2, y - 3, step, room, count)
    return count


@compiled(nogil=True)
def _moves_of_residual(residual: Any, which: int, line: int, first: int, step: int, room: Any, count: int) -> int:
    """Add the runs of R (which = 0) or of U transposed (1) that change to room.moves; the new number of moves.

    The pixel enters the residuals `first` to `first + 3` of `line`.
    """
    lines, length = residual.shape
    if not 0 <= line < lines:
        return count
    changes, any_change = room.changes, False
    for m in range(4):
        changes[m] = 0
        if 0 <= first + m < length:
            r = residual[line, first + m] + LARGEST_RESIDUAL
            changes[m] = np.int64(LEVEL_OF_RESIDUAL[r + step * _TAPS[which][m]]) - np.int64(LEVEL_OF_RESIDUAL[r])
            any_change = any_change or changes[m] != 0
    if not any_change:
        return count
    for start in range(max(first - 3, 0), min(first + 3, length - 4) + 1):
        change = 0
        for place in range(max(first - start, 0), min(first + 3 - start, 3) + 1):
            change += _PLACES[place] * changes[start + place - first]
        count = _add_move(room.moves, count, which, _IN_LINE[which], line, start, change)
    for m in range(4):
        if changes[m] != 0:
            for place in range(max(line + 4 - lines, 0), min(line, 3) + 1):
                change = _PLACES[place] * changes[m]
                count = _add_move(room.moves, count, which, _ACROSS[which], line - place, first + m, change)
    return count


@compiled(nogil=True)
def _add_move(moves: Any, count: int, transposed: int, table: int, line: int, at: int, change: int) -> int:
    if change == 0:
        return count
    moves[count, 0], moves[count, 3] = table, change
    moves[count, 1], moves[count, 2] = (at, line) if transposed else (line, at)
    return count + 1


@compiled(nogil=True)
def deltas_of(state: Any, count: int, room: Any) -> int:
    """What the first `count` of room.moves would add to the feature, entry by entry.

    Writes room.touched, int64 [92], the entries (0..337), and room.deltas, float64 [338], zero elsewhere; clear
    the touched ones after use.  Returns how many entries are touched; some may end with a delta of 0.
    """
    touched = 0
    for m in range(count):
        table, code = room.moves[m, 0], state.codes[room.moves[m, 0], room.moves[m, 1], room.moves[m, 2]]
        half, share = (table // 2) * BINS, state.shares[table]
        before, after = half + BIN_OF_CODE[code], half + BIN_OF_CODE[code + room.moves[m, 3]]
        # no branches: which entries come again cannot be foreseen
        room.touched[touched] = before
        touched += 1 - room.seen[before]
        room.seen[before] = 1
        room.touched[touched] = after
        touched += 1 - room.seen[after]
        room.seen[after] = 1
        room.deltas[before] -= share
        room.deltas[after] += share
    return touched


@compiled(nogil=True)
def apply_moves(state: Any, y: int, x: int, step: int, count: int, room: Any) -> None:
    """Move the pixel for good; room.moves is what `moves_of` wrote for it."""
    state.plane[y, x] += step
    _, height, width = state.residuals.shape
    for m in range(4):
        i, j = y - 2, x - 4 + m
        if 0 <= i < height and 0 <= j < width:
            state.residuals[0, i, j] += step * _TAPS[0][m]
        i, j = y - 3 + m, x - 2
        if 0 <= i < height and 0 <= j < width:
            state.residuals[1, i, j] += step * _TAPS[1][m]
    for m in range(count):
        table, i, j, change = room.moves[m]
        code = state.codes[table, i, j]
        state.counts[table, BIN_OF_CODE[code]] -= 1
        state.counts[table, BIN_OF_CODE[code + change]] += 1
        state.codes[table, i, j] = code + change
