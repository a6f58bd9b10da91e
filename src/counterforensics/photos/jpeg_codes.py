"""The Huffman codes of a JPEG scan, walked through block by block. Only lengths are read; no pixel is computed.

data: uint8, the compressed bytes of a scan without stuffing, then `PADDING` of any value.  bounds: int64
[segments + 1], where the stretches between two restart markers begin, and where the last ends.  holes: int64 [n, 2],
bits at which long runs of zeros begin and end, in order.  lookups: uint16 [tables, 65536]; for every 16 bits that may
come, the length of the code that they begin with (0: there is none) times 256, plus its symbol.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from counterforensics.compiled import compiled

Bytes = npt.NDArray[np.uint8]
Whole = npt.NDArray[np.int64]
Lookups = npt.NDArray[np.uint16]
Masks = npt.NDArray[np.uint64]

# Bytes that may be read behind the data: no block has more than 64 codes of 16 bits with values of 15.
PADDING = 512
# Of coefficients of 8-bit pictures.
_DC_BITS, _AC_BITS = 11, 10

WHOLE, ENDED, IMPOSSIBLE, HOLLOW, LEFT_OVER, DISORDERED = range(6)
SEQUENTIAL, DC_FIRST, DC_AGAIN = range(3)


@compiled(nogil=True)
def unstuffed(content: Bytes, start: int, segments: int) -> tuple[Bytes, Whole, int, int]:
    """The data of the scan that begin at `start`, their bounds, where they end in the file, and `WHOLE` or a fault.

    segments: how many stretches between restart markers there must be.
    """
    data = np.empty(len(content) - start + PADDING, dtype=np.uint8)
    bounds = [0]
    count, position = 0, start
    while position < len(content):
        byte = content[position]
        if byte != 0xFF:
            data[count] = byte
            count += 1
            position += 1
            continue
        marker = content[position + 1] if position + 1 < len(content) else np.uint8(0xFF)
        if marker == 0xFF:  # a filler
            position += 1
        elif marker == 0:
            data[count] = 0xFF
            count += 1
            position += 2
        elif 0xD0 <= marker <= 0xD7:
            if marker - 0xD0 != (len(bounds) - 1) % 8:
                return data, np.array(bounds), position, DISORDERED
            bounds.append(count)
            position += 2
            if len(bounds) > segments:
                return data, np.array(bounds), position, LEFT_OVER
        else:
            break
    bounds.append(count)
    data[count : count + PADDING] = 0
    return data, np.array(bounds), position, WHOLE if len(bounds) - 1 == segments else ENDED


@numba.njit(inline="always")
def _next_16(data: Any, position: Any) -> Any:
    """The 16 bits from bit `position` on."""
    byte = position >> 3
    window = np.int64(data[byte]) << 16 | np.int64(data[byte + 1]) << 8 | np.int64(data[byte + 2])
    return (window >> (8 - (position & 7))) & 0xFFFF


@compiled(nogil=True)
def _after_block(
    data: Bytes, position: int, end: int, hole: tuple[int, int], dc: Lookups, ac: Lookups, with_ac: bool
) -> int:
    """The bit behind a block that begins at `position`, or minus a fault.  hole: bits, the next that may matter."""
    code = dc[_next_16(data, position)]
    if code == 0 or code & 255 > _DC_BITS:
        return -ENDED if position + 16 > end else -IMPOSSIBLE
    position += (code >> 8) + (code & 255)
    coefficient = 1 if with_ac else 64
    while coefficient < 64:
        code = ac[_next_16(data, position)]
        size, run, before = code & 15, (code >> 4) & 15, position
        if code == 0 or size > _AC_BITS or (size == 0 and run not in (0, 15)):
            return -ENDED if position + 16 > end else -IMPOSSIBLE
        position += (code >> 8) + size
        if size == 0 and run == 0:
            break
        if size and hole[0] <= before and position <= hole[1]:
            return -HOLLOW
        coefficient += run + 1
        if coefficient > 64:
            return -IMPOSSIBLE
    return position if position <= end else -ENDED


@compiled(nogil=True)
def walk_units(
    data: Bytes,
    bounds: Whole,
    holes: Whole,
    lookups: Lookups,
    dc: Whole,
    ac: Whole,
    units: int,
    interval: int,
    mode: int,
) -> int:
    """`WHOLE`, or what is wrong with a scan of DC coefficients (`DC_FIRST`, `DC_AGAIN`) or of all (`SEQUENTIAL`).

    dc, ac: int64 [blocks of a unit], the table of each block in `lookups`.  units: of the scan.  interval: units
    between two restart markers.
    """
    next_hole = 0
    for segment in range(len(bounds) - 1):
        position, end = bounds[segment] * 8, bounds[segment + 1] * 8
        here = min(interval, units - segment * interval)
        if mode == DC_AGAIN:  # a bit for each block
            position += here * len(dc)
            here = 0
        for _ in range(here):
            for block in range(len(dc)):
                while next_hole < len(holes) and holes[next_hole, 1] <= position:
                    next_hole += 1
                hole = (holes[next_hole, 0], holes[next_hole, 1]) if next_hole < len(holes) else (end, end)
                tables = lookups[dc[block]], lookups[ac[block]]
                position = _after_block(data, position, end, hole, tables[0], tables[1], mode == SEQUENTIAL)
                if position < 0:
                    return int(-position)
        if position > end:
            return ENDED
        if position + 7 < end:
            return LEFT_OVER
    return WHOLE


@compiled(nogil=True)
def _passed(mask: Any, coefficient: int, last: int, run: int) -> tuple[int, int]:
    """Where a run of `run` coefficients that are still 0 leads to, and how many it passes that are not."""
    filled = 0
    while coefficient <= last:
        if mask >> np.uint64(coefficient) & np.uint64(1):
            filled += 1
        elif run == 0:
            break
        else:
            run -= 1
        coefficient += 1
    return coefficient, filled


@compiled(nogil=True)
def _after_codes(
    data: Bytes,
    position: int,
    end: int,
    hole: tuple[int, int],
    lookup: Lookups,
    mask: Any,
    band: tuple[int, int],
    again: bool,
) -> Any:
    """As `_after_block`, of a band: bit or minus a fault, new mask, blocks without codes from here on, and where.

    A scan that refines has a bit for each coefficient that is not 0, wherever a code or the end of the block passes it.
    """
    coefficient, last = band
    while coefficient <= last:
        code = lookup[_next_16(data, position)]
        size, run, before = code & 15, (code >> 4) & 15, position
        if code == 0 or size > _AC_BITS or (again and size > 1):
            return -ENDED if position + 16 > end else -IMPOSSIBLE, mask, 0, coefficient
        position += (code >> 8) + size
        if size == 0 and run < 15:
            empty = (1 << run) + (_next_16(data, position) >> (16 - run))
            return position + run, mask, empty, coefficient
        if again:
            coefficient, filled = _passed(mask, coefficient, last, run)
            position += filled
        else:
            coefficient += run
            if size and hole[0] <= before and position <= hole[1]:
                return -HOLLOW, mask, 0, coefficient
        if coefficient > last:
            return -IMPOSSIBLE, mask, 0, coefficient
        if size:
            mask |= np.uint64(1) << np.uint64(coefficient)
        coefficient += 1
    return position, mask, 0, coefficient


@compiled(nogil=True)
def walk_band(
    data: Bytes,
    bounds: Whole,
    holes: Whole,
    lookup: Lookups,
    filled: Masks,
    interval: int,
    first: int,
    last: int,
    again: bool,
) -> int:
    """`WHOLE`, or what is wrong with a progressive scan of the AC coefficients `first` to `last` of one component.

    lookup: uint16 [65536].  filled: uint64 [blocks], a bit for each coefficient that is not 0; the scan adds its own.
    interval: blocks between two restart markers.  again: whether the scan refines an earlier one.
    """
    next_hole = 0
    for segment in range(len(bounds) - 1):
        position, end = bounds[segment] * 8, bounds[segment + 1] * 8
        empty = 0  # blocks to come without codes
        for block in range(segment * interval, min((segment + 1) * interval, len(filled))):
            reached = first
            if empty == 0:
                while next_hole < len(holes) and holes[next_hole, 1] <= position:
                    next_hole += 1
                hole = (holes[next_hole, 0], holes[next_hole, 1]) if next_hole < len(holes) else (end, end)
                position, filled[block], empty, reached = _after_codes(
                    data, position, end, hole, lookup, filled[block], (first, last), again
                )
                if position < 0:
                    return int(-position)
            if empty:
                empty -= 1
                if again:
                    position += _passed(filled[block], reached, last, 64)[1]
            if position > end:
                return ENDED
        if empty or position + 7 < end:
            return LEFT_OVER
    return WHOLE
