"""WebP files: whether what they hold is whole, and whether it was compressed with loss.

A WebP file is a RIFF file: chunks with a name and a length. The picture is a `VP8 ` chunk, compressed with loss, or a
`VP8L` chunk, compressed without (RFC 9649). Neither has a checksum. Where data are missing or damaged, the decoder
loses its place, and then needs more bytes than there are, or fewer. It reports an error only if there are too few. So
the check decodes the picture again without the last `SPARE` bytes of its data: for a whole file the decoder must refuse
this. A file by libwebp holds at most 3 bytes that the decoder does not need (measured).
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator

from PIL import Image

from counterforensics.errors import PhotoError

SPARE = 16  # bytes

_HEADER = 12  # bytes in front of the first chunk: RIFF, length, WEBP
_CHUNK = 8  # bytes in front of the content of a chunk: name, length
_LOSSY, _LOSSLESS, _FRAME = b"VP8 ", b"VP8L", b"ANMF"
_PICTURE_HEADER = 10  # bytes in front of the first part of a VP8 picture
_FRAME_HEADER = 16  # bytes in front of the chunks of one frame of a film


def is_webp(content: bytes) -> bool:
    """Whether a file begins as a WebP file does."""
    return content[:4] == b"RIFF" and content[8:_HEADER] == b"WEBP"


def check_chunks(content: bytes) -> None:
    """Raise PhotoError, without a path, if a chunk of a WebP file is cut off, or none holds a picture."""
    _picture(content)


def is_lossy(content: bytes) -> bool:
    """Whether the first picture of a WebP file was compressed with loss.  Errors as for `check_chunks`."""
    return _picture(content)[0] == _LOSSY


def check_webp(content: bytes) -> None:
    """Raise PhotoError, without a path, if the data of the first picture of a WebP file do not cover it exactly."""
    name, data = _picture(content)
    for shorter in (data[:-SPARE], _with_a_shorter_first_part(data) if name == _LOSSY else b""):
        body = b"WEBP" + name + struct.pack("<I", len(shorter)) + shorter + bytes(len(shorter) % 2)
        if shorter and _can_be_decoded(b"RIFF" + struct.pack("<I", len(body)) + body):
            raise PhotoError("truncated or damaged (the compressed data go on behind the picture)")


def _with_a_shorter_first_part(data: bytes) -> bytes:
    """Data of a VP8 picture without the last `SPARE` bytes of the first part, which says how each block is predicted.

    A header of 3 bytes has the length of this part in its upper 19 bits (RFC 6386, 9.1); 7 bytes with the sides follow.
    """
    bits = int.from_bytes(data[:3], "little")
    length = (bits >> 5) - SPARE
    if length <= 0:
        return b""
    header = (length << 5 | bits & 31).to_bytes(3, "little") + data[3:_PICTURE_HEADER]
    return header + data[_PICTURE_HEADER:][:length] + data[_PICTURE_HEADER + length + SPARE :]


def _picture(content: bytes) -> tuple[bytes, bytes]:
    """The name and the content of the chunk with the first picture."""
    length = _CHUNK + int.from_bytes(content[4:8], "little")
    if length > len(content):
        raise PhotoError(f"truncated or damaged (it has {len(content):,} of its {length:,} bytes)")
    found = dict(reversed([*_chunks(content[_HEADER:length])]))
    if _FRAME in found:
        found = dict(reversed([*_chunks(found[_FRAME][_FRAME_HEADER:])]))
    for name in (_LOSSY, _LOSSLESS):
        if name in found:
            return name, found[name]
    raise PhotoError("truncated or damaged (no chunk holds a picture)")


def _chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The chunks that are whole, by name; each begins at an even byte."""
    position = 0
    while position + _CHUNK <= len(content):
        name, length = struct.unpack_from("<4sI", content, position)
        start = position + _CHUNK
        if start + length > len(content):
            raise PhotoError("truncated or damaged (a chunk is cut off)")
        yield name, content[start : start + length]
        position = start + length + length % 2


def _can_be_decoded(content: bytes) -> bool:
    try:
        with Image.open(io.BytesIO(content)) as image:
            image.load()
    except (OSError, EOFError, ValueError, SyntaxError):
        return False
    return True
