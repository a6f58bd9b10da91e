"""TIFF files: whether what they hold is the photograph, whether its parts are whole, and how it lies."""

from __future__ import annotations

import ctypes
import functools
import zlib
from collections.abc import Iterator
from typing import Any

from PIL import Image, TiffImagePlugin, _imaging

from counterforensics.errors import PhotoError
from counterforensics.photos.jpeg_file import check_jpeg

# Tags, by the names of the standard.
_SUBFILE_TYPE, _COMPRESSION, _ORIENTATION, _JPEG_TABLES = 254, 259, 274, 347
_PARTS = ((273, 279), (324, 325))  # where strips or tiles begin, and how long they are
_DEFLATE, _JPEG = (8, 32946), 7
_PREVIEW = 1
_AT_ONCE = 2**20  # bytes


def prepare_tiff(image: TiffImagePlugin.TiffImageFile, content: bytes) -> None:
    """Check an opened TIFF file before its pixels are read, and have them read as they lie.

    content: the file.  Strips that have a checksum or codes of their own (deflate, JPEG) are looked through. Pillow
    turns a TIFF file, and no other, by its orientation; here it finds none.  Raises PhotoError, without a path.
    """
    _silence()
    kind = image.tag_v2.get(_SUBFILE_TYPE)
    if isinstance(kind, int) and kind & _PREVIEW:
        raise PhotoError("its first picture is a preview, as in raw files; save the photograph itself as TIFF")
    compression = image.tag_v2.get(_COMPRESSION)
    most = 8 * image.width * image.height
    try:
        for part in _parts(image, content) if compression in (*_DEFLATE, _JPEG) else ():
            if compression == _JPEG:
                tables = bytes(image.tag_v2.get(_JPEG_TABLES, b""))
                check_jpeg(tables[:-2] + part[2:] if tables else part)
            elif not _is_whole(part, most):
                raise PhotoError("truncated or damaged (a strip is cut off)")
    except (TypeError, ValueError, zlib.error) as error:
        raise PhotoError("truncated or damaged (a strip cannot be unpacked)") from error
    image.getexif().pop(_ORIENTATION, None)


def holds_jpeg(image: Image.Image) -> bool:
    """Whether an opened file is a TIFF file with JPEG inside."""
    return isinstance(image, TiffImagePlugin.TiffImageFile) and image.tag_v2.get(_COMPRESSION) in (6, _JPEG)


def _parts(image: TiffImagePlugin.TiffImageFile, content: bytes) -> Iterator[bytes]:
    """The strips or tiles as they are stored."""
    for places, lengths in _PARTS:
        offsets, counts = (_numbers(image.tag_v2.get(tag, ())) for tag in (places, lengths))
        for offset, count in zip(offsets, counts, strict=True):
            yield content[offset : offset + count]


def _numbers(value: Any) -> list[int]:
    return [int(number) for number in (value if isinstance(value, tuple) else (value,))]


def _is_whole(part: bytes, most: int) -> bool:
    """Whether a zlib stream reaches its checksum before it gives more than `most` bytes.  Raises zlib.error."""
    stream = zlib.decompressobj()
    while part and not stream.eof and most > 0:
        most -= len(stream.decompress(part, _AT_ONCE))
        part = stream.unconsumed_tail
    return stream.eof


@functools.cache
def _silence() -> None:
    """Keep libtiff from writing lines of its own on standard error: what it says comes as an error of Pillow, too."""
    try:
        library = ctypes.CDLL(_imaging.__file__)
        for handler in (library.TIFFSetErrorHandler, library.TIFFSetWarningHandler):
            handler.argtypes, handler.restype = [ctypes.c_void_p], ctypes.c_void_p
            handler(None)
    except (OSError, AttributeError):
        return  # a Pillow without libtiff, or with one that cannot be reached: its lines stay
