"""Writing a JPEG file as a platform does, and what the header of a file says of how it was written."""

from __future__ import annotations

import functools
import io
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError
from PIL.JpegImagePlugin import JpegImageFile

from counterforensics.errors import PhotoError
from counterforensics.photos.folder import FORMATS, READABLE
from counterforensics.pixels import Pixels

MOST_PIXELS = 65_500  # along a side, as libjpeg has it
# Blocks of luminance for one of chrominance, across and down.
SUBSAMPLINGS = {"4:2:0": (2, 2), "4:2:2": (2, 1), "4:4:4": (1, 1)}

Table = tuple[int, ...]  # 64 steps by row; the frequencies rise to the right and downwards


@dataclass(frozen=True)
class Coding:
    """How a JPEG file is written: the two quantisation tables, the subsampling of colour, and the order of the data."""

    luma: Table
    chroma: Table
    subsampling: str
    progressive: bool


def encode(photo: Pixels, coding: Coding) -> bytes:
    """`photo`, uint8 [h, w, 3], as a JPEG file without metadata.  Raises PhotoError for one that is too large."""
    height, width = photo.shape[:2]
    if max(height, width) > MOST_PIXELS:
        raise PhotoError(f"JPEG holds at most {MOST_PIXELS} pixels a side, got {width}x{height}")
    stream = io.BytesIO()
    Image.fromarray(photo).save(
        stream,
        "JPEG",
        qtables=[list(coding.luma), list(coding.chroma)],
        subsampling=coding.subsampling,
        progressive=coding.progressive,
    )
    return stream.getvalue()


def decode_file(content: bytes) -> Pixels:
    """The pixels of a JPEG file that `encode` wrote: uint8 [h, w, 3]."""
    with Image.open(io.BytesIO(content)) as image:
        return np.asarray(image.convert("RGB"), dtype=np.uint8)


@functools.cache
def ijg_tables(quality: int) -> tuple[Table, Table]:
    """The tables for luminance and chrominance that the IJG's library makes of a quality from 1 to 100.

    They are read from a file that Pillow writes at this quality.

    >>> ijg_tables(100)[0] == (1,) * 64, ijg_tables(50)[0][:4]
    (True, (16, 11, 10, 16))
    """
    stream = io.BytesIO()
    Image.new("RGB", (8, 8)).save(stream, "JPEG", quality=quality)
    stream.seek(0)
    with JpegImageFile(stream) as image:
        return _tables_of(image)


def ijg_quality(luma: Table, chroma: Table) -> int | None:
    """The quality whose IJG tables these two are; None if they follow another rule.

    >>> ijg_quality(*ijg_tables(87)), ijg_quality((1,) * 64, (2,) * 64)
    (87, None)
    """
    found = (quality for quality in range(100, 0, -1) if ijg_tables(quality) == (luma, chroma))
    return next(found, None)


@dataclass(frozen=True)
class Header:
    """What the header of a picture says; `coding` is None for a file that is no JPEG, or one of another kind."""

    orientation: int
    coding: Coding | None
    why_not: str = ""  # why there is no coding


def header_of(content: bytes, path: Path) -> Header:
    """The EXIF orientation and the JPEG settings of a picture.  Raises PhotoError for what is none."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(content)) as image:
                orientation = image.getexif().get(0x0112, 1)
                orientation = orientation if orientation in range(1, 9) else 1
                if not isinstance(image, JpegImageFile):
                    return Header(orientation, None, f"it is no JPEG file but {image.format}")
                return _jpeg_header(image, orientation)
    except UnidentifiedImageError as error:
        if FORMATS.get(path.suffix.lower()) in ("AVIF", "HEIF"):  # their readers take the rotation out
            return Header(1, None, "it is no JPEG file")
        raise PhotoError(f"{path}: not a {READABLE} file, whatever its name says") from error
    except (OSError, ValueError, SyntaxError, EOFError, KeyError, Image.DecompressionBombError) as error:
        raise PhotoError(f"{path}: not a picture whose headers can be read ({error})") from error


def _jpeg_header(image: JpegImageFile, orientation: int) -> Header:
    if len(image.layer) != 3:
        return Header(orientation, None, f"it has {len(image.layer)} channels of colour, not 3")
    across, down = image.layer[0][1:3]
    known = {factors: name for name, factors in SUBSAMPLINGS.items()}
    if (across, down) not in known or any(layer[1:3] != (1, 1) for layer in image.layer[1:]):
        factors = ", ".join(f"{layer[1]}x{layer[2]}" for layer in image.layer)
        return Header(orientation, None, f"its subsampling ({factors}) is none of {', '.join(SUBSAMPLINGS)}")
    luma, chroma = _tables_of(image)
    return Header(orientation, Coding(luma, chroma, known[across, down], bool(image.info.get("progressive"))))


def _tables_of(image: JpegImageFile) -> tuple[Table, Table]:
    """The tables of the first component and of the second."""
    luma, chroma = (tuple(int(step) for step in image.quantization[layer[3]]) for layer in image.layer[:2])
    return luma, chroma
