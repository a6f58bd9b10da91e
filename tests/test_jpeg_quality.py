"""How strongly a JPEG file is compressed, read from its own table."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile

from counterforensics.errors import PhotoError
from counterforensics.photos.folder import find_photos
from counterforensics.photos.jpeg_quality import BANDS, JpegQuality, band_of, nearest_quality, quality_of
from tests.conftest import picture


def encoded(pixels: np.ndarray, form: str = "JPEG", **settings: Any) -> bytes:
    """A photograph as the bytes of a file."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, form, **settings)
    return stream.getvalue()


@pytest.mark.parametrize("subsampling", [0, 2])
@pytest.mark.parametrize("channels", ["L", "RGB"])
def test_every_quality_is_read_from_the_file(channels: str, subsampling: int) -> None:
    pixels = np.asarray(Image.fromarray(picture(0, 24, 16)).convert(channels))
    settings: dict[str, Any] = {} if channels == "L" else {"subsampling": subsampling}
    for quality in range(1, 101):
        content = encoded(pixels, quality=quality, **settings)
        assert quality_of(content) == JpegQuality(quality, exact=True)
        assert quality_of(encoded(pixels, quality=quality, progressive=True)) == JpegQuality(quality, exact=True)


@given(quality=st.integers(2, 99), place=st.integers(0, 63))
def test_a_table_that_is_a_little_off_is_near_to_its_quality(quality: int, place: int) -> None:
    with Image.open(io.BytesIO(encoded(picture(0, 16, 16), quality=quality))) as image:
        assert isinstance(image, JpegImageFile)
        table = list(image.quantization[0])
    table[place] += 1 if table[place] < 255 else -1
    found = nearest_quality(table)
    assert abs(found.quality - quality) <= 1
    assert not found.exact or found.quality != quality
    # The table as an encoder writes it that is not held to 8 bits.
    assert nearest_quality([step if step < 255 else 9999 for step in table]) == found


def test_a_cameras_own_table_is_not_exact() -> None:
    content = encoded(picture(0, 16, 16), qtables=[[3] * 64, [4] * 64])
    found = quality_of(content)
    assert found is not None
    assert not found.exact
    assert 95 <= found.quality <= 99


@pytest.mark.parametrize("form", ["PNG", "TIFF"])
def test_what_is_no_jpeg_file_has_no_quality(form: str) -> None:
    assert quality_of(encoded(picture(0, 16, 16), form)) is None
    assert band_of(None) == "no JPEG"


def test_several_pictures_in_a_jpeg_have_the_quality_of_the_first() -> None:
    more = [Image.fromarray(picture(1, 32, 32))]
    content = encoded(picture(0, 32, 32), "MPO", save_all=True, append_images=more, quality=91)
    assert quality_of(content) == JpegQuality(91, exact=True)


def test_bands_begin_at_their_quality_and_hold_every_one() -> None:
    bands = [band_of(JpegQuality(quality, exact=True)) for quality in range(1, 101)]
    assert list(dict.fromkeys(bands)) == list(BANDS[2:])
    assert [bands.index(band) + 1 for band in BANDS[2:]] == [1, 65, 80, 90, 95]


def test_a_photograph_that_changed_has_no_quality(photos: Path) -> None:
    found = find_photos([photos]).photos[0]
    assert found.jpeg_quality() == JpegQuality(95, exact=True)
    found.path.write_bytes(encoded(picture(9), quality=50))
    with pytest.raises(PhotoError, match="changed while it was in use"):
        found.jpeg_quality()


def test_a_png_whose_first_chunk_is_too_short_has_no_quality_in_one_line(photos: Path) -> None:
    path = photos / "device-0" / "two.png"
    content = b"IHDR" + bytes(4)
    chunk = struct.pack(">I", 4) + content + struct.pack(">I", zlib.crc32(content))
    path.write_bytes(path.read_bytes()[:8] + chunk + path.read_bytes()[33:])
    (found,) = (photo for photo in find_photos([photos]).photos if photo.path == path)
    with pytest.raises(PhotoError, match=r"two\.png: not a picture whose headers can be read \(Truncated IHDR chunk\)"):
        found.jpeg_quality()
