"""HEIF and AVIF files: whether their picture is whole, how many bits a channel has, and reading it without a rotation.

Such a file consists of boxes inside boxes. A box has a length, a name of four letters and a content (ISO/IEC 14496-12).
The box `meta` lists the items of the file and the places of their bytes. One item is the primary picture (ISO/IEC
23008-12). HEVC codes the items of a HEIF file (`.heic`), AV1 those of an AVIF file. A picture may be a grid of items.

The data have no checksum. But every byte must be in the file, and a run of `HOLE` or more zero bytes inside the data is
damage: HEVC breaks up every run of three zeros (ITU-T H.265, 7.4.2), and AV1 writes no run longer than 3 bytes, even
for a picture of one colour (measured).
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

from PIL import Image

from counterforensics.errors import PhotoError

HOLE = 16  # bytes
MOST_PARTS = 1000  # of one picture, the limit of libheif, too; each takes time
_FULL = 4  # bytes in front of the content of some boxes: a version and flags

NO_EXTRA = "HEIF photographs need the extra heif: pip install 'counterforensics[heif]'"

_SEQUENCE_HEADER, _LONGEST_HEADER = 1, 256  # the kind of a unit of AV1, and bytes
_CODED = (b"hvc1", b"av01")  # items by HEVC and by AV1
_TURNS = (b"irot", b"imir")  # properties: a rotation, a reflection
_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs")
_AVIF_BRANDS = (b"avif", b"avis")
_EITHER_BRANDS = (b"mif1", b"msf1", b"mif2", b"miaf")


@dataclass(frozen=True)
class _Box:
    """The content of a box, from `start` to `end` in the file."""

    name: bytes
    start: int
    end: int


@dataclass
class _Items:
    """What the box `meta` says."""

    primary: int = -1
    kinds: dict[int, bytes] = field(default_factory=dict)
    extents: dict[int, list[tuple[int, int]]] = field(default_factory=dict)  # start and length
    parts: dict[int, list[int]] = field(default_factory=dict)  # the items that an item is made of
    properties: list[_Box] = field(default_factory=list)  # number 1 is the first
    has: dict[int, list[int]] = field(default_factory=dict)  # the numbers of the properties of an item
    entries: list[tuple[int, int, int]] = field(default_factory=list)  # of these: place, bytes, number of the property


def format_by_boxes(content: bytes) -> str:
    """`HEIF` or `AVIF`, by the brands in the first box of a file; "" for any other file."""
    if content[4:8] != b"ftyp":
        return ""
    end = min(int.from_bytes(content[:4], "big"), len(content))
    brands = [content[8:12], *(content[place : place + 4] for place in range(16, end, 4))]
    if brands[0] in _EITHER_BRANDS:
        return "AVIF" if set(brands) & {*_AVIF_BRANDS} else "HEIF"
    return "HEIF" if brands[0] in _HEIF_BRANDS else "AVIF" if brands[0] in _AVIF_BRANDS else ""


def check_boxes(content: bytes) -> None:
    """Raise PhotoError, without a path, if the primary picture of a HEIF or AVIF file is not whole or not of 8 bits."""
    items = _read(content)
    coded = [item for item in _made_of(items, items.primary) if items.kinds.get(item) in _CODED]
    if not coded:
        kind = items.kinds.get(items.primary, b"").decode("latin-1")
        raise PhotoError(f"its picture is coded as {kind!r}; HEVC (hvc1) and AV1 (av01) work")
    for item in coded:
        if _is_deep(content, items, item):
            raise PhotoError("more than 8 bits a channel; only 8-bit RGB or greyscale photographs work")
        data = _data(content, items, item)
        # The AVIF decoder would scale the picture to the size in the box.
        if items.kinds[item] == b"av01" and _size(content, items, item) != size_of_av1(data):
            raise _damaged("the compressed data are of another size than the file says")


def open_heif(content: bytes) -> Image.Image:
    """A HEIF file that passes `check_boxes`, opened as Pillow opens others, and not turned.

    The HEIF decoder rotates and mirrors a picture by two properties of its item, `irot` and `imir`.  This function
    removes both from all items of a copy of the file, so the pixels are those that the file stores.  Raises PhotoError,
    without a path, also if the extra `heif` is not installed.
    """
    try:
        from pillow_heif import HeifImageFile
    except ImportError as error:
        raise PhotoError(NO_EXTRA) from error
    items = _read(content)
    upright = bytearray(content)
    for place, length, number in items.entries:
        if number and items.properties[number - 1].name in _TURNS:
            upright[place : place + length] = bytes(length)  # property 0 is none
    image: Image.Image = HeifImageFile(io.BytesIO(upright))
    return image


def pixels_in(content: bytes) -> int:
    """How many pixels the primary picture of a HEIF or AVIF file has by its properties.  Raises PhotoError."""
    items = _read(content)
    width, height = _size(content, items, items.primary)
    return width * height


def size_of_av1(data: bytes) -> tuple[int, int]:
    """Width and height of a picture by AV1, from its sequence header (AV1 specification, 5.3 to 5.5).

    data: units, each a header of one byte or two, its length, its content.  Raises PhotoError if none is such a header.
    """
    place = 0
    while place < len(data):
        kind, extended, sized = data[place] >> 3 & 15, data[place] >> 2 & 1, data[place] >> 1 & 1
        place += 1 + extended
        length = shift = 0
        while sized and place < len(data) and shift <= 28:
            length |= (data[place] & 127) << shift
            shift += 7
            place += 1
            sized = data[place - 1] >> 7
        if kind == _SEQUENCE_HEADER:
            return _size_in_header(data[place : place + length])
        place += length
    raise _damaged("the compressed data have no header")


def _size_in_header(header: bytes) -> tuple[int, int]:
    bits = "".join(f"{byte:08b}" for byte in header[:_LONGEST_HEADER]) + "0" * 64
    place = 0

    def take(count: int) -> int:
        nonlocal place
        place += count
        return int(bits[place - count : place] or "0", 2)

    take(4)  # profile, and whether it is a still picture
    if take(1):
        take(5)  # level
    elif take(1):
        raise PhotoError("an unusual AVIF, with times as in a film")
    else:
        delays = take(1)
        for _ in range(take(5) + 1):
            take(12)
            take(1 if take(5) > 7 else 0)  # tier, of high levels
            take(4 if delays and take(1) else 0)
    sides = take(4) + 1, take(4) + 1
    return take(sides[0]) + 1, take(sides[1]) + 1


def _damaged(reason: str) -> PhotoError:
    return PhotoError(f"truncated or damaged ({reason})")


def _data(content: bytes, items: _Items, item: int) -> bytes:
    """The compressed data of an item.  Raises PhotoError if they are not whole."""
    if not items.extents.get(item):
        raise _damaged("a part of the picture is nowhere in the file")
    if any(start + length > len(content) for start, length in items.extents[item]):
        raise _damaged("the compressed data end before the picture does")
    if sum(length for _, length in items.extents[item]) > len(content):
        raise _damaged("the same bytes are given as data more than once")
    data = b"".join(content[start : start + length] for start, length in items.extents[item])
    if bytes(HOLE) in data:
        raise _damaged("the compressed data have a hole of zeros")
    return data


def _size(content: bytes, items: _Items, item: int) -> tuple[int, int]:
    """Width and height of an item, as the file says.  Raises PhotoError if it says none."""
    for box in _properties(items, item):
        if box.name == b"ispe" and box.end - box.start >= 12:
            width, height = struct.unpack_from(">II", content, box.start + _FULL)
            return width, height
    raise _damaged("its picture has no size")


def _made_of(items: _Items, item: int) -> list[int]:
    """An item and all that it is made of, each once.  Raises PhotoError for more than `MOST_PARTS`."""
    found, waiting = {item: None}, [item]
    while waiting:
        new = dict.fromkeys(part for part in items.parts.get(waiting.pop(), ()) if part not in found)
        found |= new
        waiting += new
        if len(found) > MOST_PARTS + 1:
            raise PhotoError(f"an unusual file, whose picture has more than {MOST_PARTS:,} parts")
    return [*found]


def _properties(items: _Items, item: int) -> list[_Box]:
    return [items.properties[number - 1] for number in items.has.get(item, ()) if number]


def _is_deep(content: bytes, items: _Items, item: int) -> bool:
    """Whether the decoder's settings of an item say more than 8 bits a channel.  Raises PhotoError without settings."""
    for box in _properties(items, item):
        if box.name == b"hvcC":
            return any(depth & 7 for depth in content[box.start + 17 : min(box.start + 19, box.end)])
        if box.name == b"av1C":
            return any(bits & 0x40 for bits in content[box.start + 2 : min(box.start + 3, box.end)])
    raise _damaged("its picture has no settings of the decoder")


def _read(content: bytes) -> _Items:
    """What the file says about its items.  Raises PhotoError."""
    outer: dict[bytes, _Box] = {}
    for box in _boxes(content, 0, len(content), lenient=True):
        outer.setdefault(box.name, box)
    if b"moov" in outer:
        raise PhotoError("a film (image sequence); only single pictures work")
    if b"meta" not in outer:
        raise _damaged("it describes no picture")
    meta = outer[b"meta"]
    inner = {box.name: box for box in _boxes(content, meta.start + _FULL, meta.end)}
    items = _Items()
    for name, read in _READERS.items():
        if name in inner:
            read(_Cursor(content, inner[name].start, inner[name].end), items)
    if b"iloc" in inner:
        data = inner[b"idat"].start if b"idat" in inner else len(content)
        _read_places(_Cursor(content, inner[b"iloc"].start, inner[b"iloc"].end), items, data)
    return items


def _boxes(content: bytes, start: int, end: int, *, lenient: bool = False) -> Iterator[_Box]:
    """The boxes from `start` to `end`; if `lenient`, up to the first that is cut off or impossible."""
    while start + 8 <= end:
        length, name = struct.unpack_from(">I4s", content, start)
        inside = start + 8
        if length == 1 and start + 16 <= end:
            (length,) = struct.unpack_from(">Q", content, inside)
            inside += 8
        last = end if length == 0 else start + length
        if not inside <= last <= end:
            if lenient:
                return
            raise _damaged("a header is cut off or impossible")
        yield _Box(name, inside, last)
        start = last


@dataclass
class _Cursor:
    """A place in the content of a box, from which numbers are taken."""

    content: bytes
    place: int
    end: int

    def take(self, length: int) -> int:
        """The next number, of `length` bytes."""
        self.place += length
        if self.place > self.end:
            raise _damaged("a header is cut off or impossible")
        return int.from_bytes(self.content[self.place - length : self.place], "big")

    def version(self) -> tuple[int, int]:
        """The version of a box, and its flags, which stand in front of its content."""
        return self.take(1), self.take(3)


def _read_primary(cursor: _Cursor, items: _Items) -> None:
    version, _ = cursor.version()
    items.primary = cursor.take(4 if version else 2)


def _read_kinds(cursor: _Cursor, items: _Items) -> None:
    version, _ = cursor.version()
    cursor.take(4 if version else 2)  # how many
    for box in _boxes(cursor.content, cursor.place, cursor.end):
        entry = _Cursor(cursor.content, box.start, box.end)
        version, _ = entry.version()
        number = entry.take(2 if version < 3 else 4)
        entry.take(2)  # protection
        items.kinds[number] = entry.take(4).to_bytes(4, "big")


def _read_references(cursor: _Cursor, items: _Items) -> None:
    version, _ = cursor.version()
    size = 4 if version else 2
    for box in _boxes(cursor.content, cursor.place, cursor.end):
        entry = _Cursor(cursor.content, box.start, box.end)
        number, count = entry.take(size), entry.take(2)
        if box.name == b"dimg":
            items.parts[number] = [entry.take(size) for _ in range(count)]


def _read_properties(cursor: _Cursor, items: _Items) -> None:
    for box in _boxes(cursor.content, cursor.place, cursor.end):
        if box.name == b"ipco":
            items.properties = [*_boxes(cursor.content, box.start, box.end)]
        elif box.name == b"ipma":
            _read_associations(_Cursor(cursor.content, box.start, box.end), items)


def _read_associations(cursor: _Cursor, items: _Items) -> None:
    version, flags = cursor.version()
    size = 2 if flags & 1 else 1
    for _ in range(cursor.take(4)):
        item = cursor.take(4 if version else 2)
        for _ in range(cursor.take(1)):
            place = cursor.place
            number = cursor.take(size) & (0x7FFF if size == 2 else 0x7F)  # the first bit says whether it must be known
            if number > len(items.properties):
                raise _damaged("a header is cut off or impossible")
            items.has.setdefault(item, []).append(number)
            items.entries.append((place, size, number))


def _read_places(cursor: _Cursor, items: _Items, data: int) -> None:
    """Where the data of the items lie; `data`: where the content of the box `idat` begins."""
    version, _ = cursor.version()
    sizes, more_sizes = cursor.take(1), cursor.take(1)
    index = more_sizes & 15 if version else 0
    for _ in range(cursor.take(4 if version == 2 else 2)):
        item = cursor.take(4 if version == 2 else 2)
        method = cursor.take(2) & 15 if version else 0
        cursor.take(2)  # another file
        base = cursor.take(more_sizes >> 4) + (data if method else 0)
        places = items.extents[item] = []
        count = cursor.take(2)
        if count > 1 and not sizes & 15:
            raise _damaged("parts of the data have no length")
        for _ in range(count):
            cursor.take(index)
            start, length = base + cursor.take(sizes >> 4), cursor.take(sizes & 15)
            places.append((start, length or max(0, len(cursor.content) - start)))


_READERS = {b"pitm": _read_primary, b"iinf": _read_kinds, b"iref": _read_references, b"iprp": _read_properties}
