"""Whether the parts of a PNG file are what was written: Pillow does not compare the checksums of its pixels."""

from __future__ import annotations

import struct
import zlib

from counterforensics.errors import PhotoError

_START = 8  # bytes in front of the first chunk
_AROUND = 12  # bytes of a chunk around its content: length, name, checksum


def check_png(content: bytes) -> None:
    """Raise PhotoError, without a path, if a chunk does not have its checksum; a chunk that is cut off has none."""
    position = _START
    while position + _AROUND <= len(content):
        (length,) = struct.unpack_from(">I", content, position)
        end = position + _AROUND + length
        if end > len(content):
            return
        if zlib.crc32(content[position + 4 : end - 4]) != int.from_bytes(content[end - 4 : end], "big"):
            raise PhotoError("truncated or damaged (a checksum does not fit)")
        position = end
