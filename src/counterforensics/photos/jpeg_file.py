"""Whether a JPEG file is whole: its compressed data must cover the picture exactly.

Decoders go on where data are missing or damaged, fill in grey, and warn at most where nobody hears it. An interrupted
copy is such a file: a part of the photograph, then nothing or zeros. Here every Huffman code must exist, every block
must be there, and the data must end where the picture ends. This finds nearly all damage, because a reader that has
lost its place comes out at another end. A few wrong bytes may still go unseen.

A hole that was filled with zeros may happen to hold the right number of blocks. So it counts as damage, too, if a code
inside a run of `HOLE` or more zero bytes brings an AC coefficient. One code of a table consists of zeros alone. If it
ends a block, an encoder writes such runs for areas of one colour. If it brings a coefficient, the run would mean a
hundred equal coefficients in a row, which no picture has.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from counterforensics.errors import PhotoError
from counterforensics.photos import jpeg_codes

HOLE = 64  # bytes
MOST_SCANS = 100  # encoders write up to 20; each takes time for all of the picture

_START = b"\xff\xd8"
# Markers, by their second byte.
_HUFFMAN_TABLES, _END, _SCAN, _RESTART_INTERVAL = 0xC4, 0xD9, 0xDA, 0xDD
_WITHOUT_LENGTH = (0x00, 0x01, *range(0xD0, 0xD9))
_FRAMES = {*range(0xC0, 0xD0)} - {_HUFFMAN_TABLES, 0xC8, 0xCC}
_SEQUENTIAL, _PROGRESSIVE = (0xC0, 0xC1), 0xC2

_REASONS = {
    jpeg_codes.ENDED: "the compressed data end before the picture does",
    jpeg_codes.IMPOSSIBLE: "the compressed data hold a code that does not exist",
    jpeg_codes.HOLLOW: "the compressed data have a hole of zeros",
    jpeg_codes.LEFT_OVER: "the compressed data go on behind the picture",
    jpeg_codes.DISORDERED: "the compressed data have restart markers out of order",
}


def check_jpeg(content: bytes) -> None:
    """Raise PhotoError, without a path, if the data of a JPEG file do not cover its picture exactly.

    content: the file; whatever stands behind its first picture is not looked at.  Baseline and progressive Huffman
    coding of 8 bits is known, which is what cameras write; the error names any other.
    """
    try:
        _check(content)
    except (struct.error, IndexError, ValueError) as error:
        raise _damaged("a header is cut off or impossible") from error


def _damaged(reason: str) -> PhotoError:
    return PhotoError(f"truncated or damaged ({reason})")


@dataclass
class _Component:
    """One plane of a picture."""

    across: int  # blocks of it in one unit of the picture
    down: int
    blocks: int = 0  # that its own pixels fill
    # Of each block, one bit for each coefficient that is not 0 so far; only for a progressive picture.
    filled: jpeg_codes.Masks = field(default_factory=lambda: np.zeros(0, dtype=np.uint64))
    # Of each coefficient, how many bits are still to come; None: all.
    missing: list[int | None] = field(default_factory=lambda: [None] * 64)


@dataclass(frozen=True)
class _Picture:
    """What the header of a picture says."""

    progressive: bool
    units: int
    components: Mapping[int, _Component]  # by their number in the file


@dataclass(frozen=True)
class _Scan:
    """A pass over the data of some components: which coefficients, and which of their bits, it brings."""

    components: tuple[_Component, ...]
    dc_tables: tuple[int, ...]
    ac_tables: tuple[int, ...]
    first: int
    last: int
    high: int  # the bit that the scan before brought; 0: there was none
    low: int


@dataclass
class _Reading:
    """What was read of a file so far."""

    picture: _Picture | None = None
    tables: dict[int, jpeg_codes.Lookups] = field(default_factory=dict)  # 0..15 for DC, 16..31 for AC
    interval: int = 0  # units between two restart markers; 0: there are none
    scans: int = 0


def _check(content: bytes) -> None:
    reading, position = _Reading(), len(_START)
    while True:
        marker, position = _marker(content, position)
        if marker == _END:
            break
        if marker in _WITHOUT_LENGTH:
            raise _damaged("a marker stands where none may")
        (length,) = struct.unpack_from(">H", content, position)
        segment = content[position + 2 : position + length]
        position += length
        if marker in _FRAMES:
            if reading.picture:
                raise _damaged("it has two headers")
            reading.picture = _frame(marker, segment)
        elif marker == _HUFFMAN_TABLES:
            _add_tables(segment, reading.tables)
        elif marker == _RESTART_INTERVAL:
            (reading.interval,) = struct.unpack(">H", segment)
        elif marker == _SCAN:
            position = _walk(content, position, segment, reading)
    components = reading.picture.components.values() if reading.picture else ()
    if not components or any(bits != 0 for one in components for bits in one.missing):
        raise _damaged(_REASONS[jpeg_codes.ENDED])


def _marker(content: bytes, position: int) -> tuple[int, int]:
    """The second byte of the marker at `position`, and what follows it. Any number of FF may stand before it."""
    if position >= len(content):
        raise _damaged(_REASONS[jpeg_codes.ENDED])
    if content[position] != 0xFF:
        raise _damaged("no marker stands where one must")
    while content[position] == 0xFF:
        position += 1
    return content[position], position + 1


def _frame(marker: int, segment: bytes) -> _Picture:
    """The picture that a header announces."""
    precision, height, width, count = struct.unpack_from(">BHHB", segment)
    if marker not in (*_SEQUENTIAL, _PROGRESSIVE) or precision != 8:
        raise PhotoError("an unusual JPEG; baseline and progressive ones work, with Huffman codes and 8 bits a channel")
    factors = {number: divmod(both, 16) for number, both, _ in struct.iter_unpack("BBB", segment[6 : 6 + 3 * count])}
    if not (width and height and count) or any(not (1 <= value <= 4) for both in factors.values() for value in both):
        raise _damaged("a header is cut off or impossible")
    across, down = (max(both[axis] for both in factors.values()) for axis in (0, 1))
    components = {}
    for number, (own_across, own_down) in factors.items():
        component = components[number] = _Component(own_across, own_down)
        component.blocks = _up(_up(width * own_across, across), 8) * _up(_up(height * own_down, down), 8)
    return _Picture(marker == _PROGRESSIVE, _up(width, 8 * across) * _up(height, 8 * down), components)


def _up(value: int, step: int) -> int:
    """`value / step`, rounded up."""
    return -(-value // step)


def _add_tables(segment: bytes, tables: dict[int, jpeg_codes.Lookups]) -> None:
    """Add the Huffman tables in a segment to `tables`."""
    while segment:
        lookup = np.zeros(1 << 16, dtype=np.uint16)
        symbols = iter(segment[17 : 17 + sum(segment[1:17])])
        reached = 0
        for length, count in enumerate(struct.unpack_from("16B", segment, 1), 1):
            step = 1 << (16 - length)
            for symbol in (next(symbols, None) for _ in range(count)):
                if symbol is None or reached + step > len(lookup):
                    raise _damaged("a Huffman table is impossible")
                lookup[reached : reached + step] = length << 8 | symbol
                reached += step
        tables[segment[0]] = lookup
        segment = segment[17 + sum(segment[1:17]) :]


def _walk(content: bytes, position: int, segment: bytes, reading: _Reading) -> int:
    """Walk through the scan with the header `segment`, whose data begin at `position`; returns where they end."""
    picture = reading.picture
    if picture is None:
        raise _damaged("a scan stands before the header")
    reading.scans += 1
    if reading.scans > MOST_SCANS:
        raise PhotoError(f"an unusual JPEG, with more than {MOST_SCANS} scans")
    scan = _scan(segment, picture)
    blocks = picture.units if len(scan.components) > 1 else scan.components[0].blocks
    interval = reading.interval or blocks
    encoded = np.frombuffer(content, dtype=np.uint8)
    data, bounds, end, fault = jpeg_codes.unstuffed(encoded, position, _up(blocks, interval))
    fault = fault or _walk_data(data, bounds, scan, blocks, interval, reading.tables)
    if fault:
        raise _damaged(_REASONS[fault])
    return int(end)


def _scan(segment: bytes, picture: _Picture) -> _Scan:
    """The scan that a header announces, after a look at whether it goes on from the scans before."""
    count = segment[0]
    numbers, tables = segment[1 : 1 + 2 * count : 2], segment[2 : 2 + 2 * count : 2]
    first, last, bits = segment[1 + 2 * count : 4 + 2 * count] if picture.progressive else (0, 63, 0)
    fits = last == 0 if picture.progressive and first == 0 else first <= last < 64
    several = not count or len(set(numbers)) < count or (first and count > 1)
    if several or not fits or not picture.components.keys() >= set(numbers):
        raise _damaged("its scans do not fit together")
    components = tuple(picture.components[number] for number in numbers)
    high, low = divmod(bits, 16)
    for component in components:
        known = set(component.missing[first : last + 1])
        if known != {high or None} or (high and low != high - 1):
            raise _damaged("its scans do not fit together")
        component.missing[first : last + 1] = [low] * (last + 1 - first)
        if first and not len(component.filled):
            component.filled = np.zeros(component.blocks, dtype=np.uint64)
    return _Scan(
        components,
        tuple(both >> 4 for both in tables),
        tuple(16 | both & 15 for both in tables),
        first,
        last,
        high,
        low,
    )


def _walk_data(
    data: jpeg_codes.Bytes,
    bounds: jpeg_codes.Whole,
    scan: _Scan,
    blocks: int,
    interval: int,
    tables: Mapping[int, jpeg_codes.Lookups],
) -> int:
    """Walk through the data of a scan; `WHOLE` or a fault."""
    runs = [run.span() for run in re.finditer(rb"\0{%d,}" % HOLE, data[: bounds[-1]].tobytes())]
    holes = 8 * np.array(runs, dtype=np.int64).reshape(-1, 2)
    used = (() if scan.first or scan.high else scan.dc_tables) + (scan.ac_tables if scan.last else ())
    if not tables.keys() >= set(used):
        raise _damaged("a Huffman table is missing")
    if scan.first:
        filled, again = scan.components[0].filled, scan.high > 0
        fault: int = jpeg_codes.walk_band(
            data, bounds, holes, tables[used[0]], filled, interval, scan.first, scan.last, again
        )
        return fault
    mode = jpeg_codes.SEQUENTIAL if scan.last else jpeg_codes.DC_AGAIN if scan.high else jpeg_codes.DC_FIRST
    # A scan of one component has no blocks beyond its own pixels, and one of them is a unit.
    shares = [one.across * one.down if len(scan.components) > 1 else 1 for one in scan.components]
    order = {table: place for place, table in enumerate(dict.fromkeys(used))}
    lookups = np.stack([tables[table] for table in order]) if order else np.zeros((1, 1), dtype=np.uint16)
    dc, ac = (
        np.repeat([order.get(table, 0) for table in some], shares).astype(np.int64)
        for some in (scan.dc_tables, scan.ac_tables)
    )
    fault = jpeg_codes.walk_units(data, bounds, holes, lookups, dc, ac, blocks, interval, mode)
    return fault
