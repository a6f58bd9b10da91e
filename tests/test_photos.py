"""Photographs in folders: which are found, and which files hold pixels that can be trusted."""

from __future__ import annotations

import hashlib
import io
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from counterforensics.errors import PhotoError
from counterforensics.photos.folder import decode, find_photos
from tests.conftest import picture


def _sparse(path: Path) -> None:
    path.write_bytes(encoded(Image.fromarray(picture(1)), "JPEG"))
    os.truncate(path, 20_000_000_000)


def encoded(image: Image.Image, format: str, **settings: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, format, **settings)
    return stream.getvalue()


# --- what is found


def test_photos_are_found_by_device_and_sorted(photo_folder: Path) -> None:
    found = find_photos([photo_folder])
    assert [photo.name for photo in found.photos] == [
        f"device-{device}/{file}" for device in range(4) for file in ("one.jpg", "two.png")
    ]
    assert {photo.device for photo in found.photos} == {f"device-{device}" for device in range(4)}
    assert found.left_out == ()


def test_a_photo_is_known_by_the_digest_of_its_file(photo_folder: Path) -> None:
    photo = find_photos([photo_folder]).photos[0]
    assert photo.digest == hashlib.sha256((photo_folder / "device-0" / "one.jpg").read_bytes()).hexdigest()


def test_a_photo_is_read_as_it_was_stored(photo_folder: Path) -> None:
    photo = find_photos([photo_folder]).photos[1]
    assert photo.path.name == "two.png"
    np.testing.assert_array_equal(photo.read(), picture(1))


def test_a_device_in_two_folders_is_one_device(photo_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "device-0").mkdir()
    Image.fromarray(picture(99)).save(tmp_path / "device-0" / "three.TIFF")
    found = find_photos([tmp_path, photo_folder])
    assert [photo.path.name for photo in found.photos if photo.device == "device-0"] == [
        "one.jpg",
        "three.TIFF",
        "two.png",
    ]


def test_hidden_files_folders_and_other_suffixes_are_passed_over(photos: Path) -> None:
    for name in ("device-0/.one.jpg", "device-0/notes.txt", "device-0/raw.dng", ".trash/one.jpg", "loose.jpg"):
        (photos / name).parent.mkdir(exist_ok=True)
        (photos / name).write_bytes(b"anything")
    (photos / "device-0" / "folder.jpg").mkdir()
    found = find_photos([photos])
    assert len(found.photos) == 8
    assert found.left_out == ()


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda path: path.symlink_to("nowhere.jpg"), "cannot be read (No such file or directory)"),
        (lambda path: path.symlink_to(path.name), "cannot be read (Too many levels of symbolic links)"),
        (os.mkfifo, "cannot be read (not a regular file)"),
        (lambda path: path.symlink_to("/dev/zero"), "cannot be read (not a regular file)"),
        (lambda path: path.touch(), "the file is empty (0 bytes)"),
        (lambda path: path.symlink_to("/proc/kmsg"), "the file is empty (0 bytes)"),
        (lambda path: _sparse(path), "cannot be read (20,000,000,000 bytes; at most 1,073,741,824 work)"),
    ],
    ids=["dangling link", "circular link", "named pipe", "device", "empty", "without end", "sparse"],
)
def test_a_file_that_cannot_be_read_is_left_out_with_its_reason(photos: Path, make: object, reason: str) -> None:
    path = photos / "device-0" / "bad.jpg"
    make(path)  # type: ignore[operator]
    found = find_photos([photos])
    assert len(found.photos) == 8
    assert found.left_out == (f"{path}: {reason}",)


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ([], "holds no photographs; photographs stand in"),
        (["a.jpg"], "holds photographs but no device folders; photographs stand in"),
        (["device/a.gif"], "holds no photographs; photographs stand in"),
    ],
)
def test_a_folder_without_photographs_says_where_they_stand(tmp_path: Path, files: list[str], reason: str) -> None:
    for name in files:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    with pytest.raises(PhotoError) as caught:
        find_photos([tmp_path])
    assert str(caught.value).startswith(f"{tmp_path} {reason}")


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(PhotoError, match=r"no photo folder at .*nowhere; give a folder"):
        find_photos([tmp_path / "nowhere"])


def test_a_photo_that_changes_while_it_is_in_use_is_refused(photos: Path) -> None:
    photo = find_photos([photos]).photos[0]
    photo.path.write_bytes(photo.path.read_bytes() + b"\0")
    with pytest.raises(PhotoError, match="changed while it was in use; run again"):
        photo.read()


# --- what is decoded


@pytest.mark.parametrize(
    ("suffix", "format", "settings"),
    [
        (".png", "PNG", {}),
        (".PNG", "PNG", {}),
        (".tif", "TIFF", {}),
        (".tiff", "TIFF", {"compression": "tiff_lzw"}),
        (".tif", "TIFF", {"compression": "tiff_deflate"}),
    ],
)
# A side of 160 or 1600 has "16" in it, as an offset in the file may: neither is a depth of 16 bits.
@pytest.mark.parametrize(("width", "height"), [(192, 160), (1600, 16), (16, 161)])
def test_lossless_files_give_their_pixels(
    suffix: str, format: str, settings: dict[str, str], width: int, height: int
) -> None:
    pixels = picture(3, width, height)
    content = encoded(Image.fromarray(pixels), format, **settings)
    np.testing.assert_array_equal(decode(content, Path(f"a{suffix}")), pixels)


def test_a_jpeg_gives_the_pixels_that_another_decoder_gives() -> None:
    content = encoded(Image.fromarray(picture(4, 1600, 160)), "JPEG", quality=90)
    expected = cv2.cvtColor(cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
    np.testing.assert_array_equal(decode(content, Path("a.JPG")), expected)


def test_the_first_picture_of_a_phone_s_file_counts() -> None:
    first, second = Image.fromarray(picture(5)), Image.fromarray(picture(6))
    content = encoded(first, "MPO", save_all=True, append_images=[second], quality=95)
    assert Image.open(io.BytesIO(content)).format == "MPO"
    np.testing.assert_array_equal(
        decode(content, Path("a.jpg")), decode(encoded(first, "JPEG", quality=95), Path("b.jpg"))
    )


def test_greyscale_becomes_three_equal_channels() -> None:
    grey = picture(7)[..., 0]
    pixels = decode(encoded(Image.fromarray(grey), "PNG"), Path("grey.png"))
    np.testing.assert_array_equal(pixels, np.dstack([grey] * 3))


def test_a_photo_is_not_turned_by_its_orientation() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # "rotate by 90 degrees to look right"
    content = encoded(Image.fromarray(picture(8)), "PNG", exif=exif)
    np.testing.assert_array_equal(decode(content, Path("a.png")), picture(8))


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_alpha_is_dropped_where_it_is_opaque_and_refused_elsewhere(mode: str) -> None:
    image = Image.fromarray(picture(9)).convert(mode)
    expected = np.asarray(Image.fromarray(picture(9)).convert(mode[:-1]).convert("RGB"))
    np.testing.assert_array_equal(decode(encoded(image, "PNG"), Path("a.png")), expected)
    pixel = image.getpixel((3, 5))
    assert isinstance(pixel, tuple)
    image.putpixel((3, 5), (*pixel[:-1], 254))
    with pytest.raises(PhotoError, match="transparent pixels; only opaque photographs work"):
        decode(encoded(image, "PNG"), Path("a.png"))


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_sixteen_bits_are_refused(suffix: str, channels: int) -> None:
    deep = np.random.default_rng(0).integers(0, 65536, (40, 50, channels), dtype=np.uint16)
    deep[..., 3:] = 65535
    content = cv2.imencode(suffix, deep)[1].tobytes()
    with pytest.raises(PhotoError, match="more than 8 bits a channel; only 8-bit RGB or greyscale"):
        decode(content, Path(f"a{suffix}"))


@pytest.mark.parametrize(
    ("mode", "format", "suffix"),
    [("CMYK", "JPEG", ".jpg"), ("CMYK", "TIFF", ".tif"), ("P", "PNG", ".png"), ("P", "TIFF", ".tif")],
)
def test_other_colour_modes_are_refused_by_name(mode: str, format: str, suffix: str) -> None:
    content = encoded(Image.fromarray(picture(10)).convert(mode), format)
    with pytest.raises(PhotoError, match=f"colour mode {mode}; only 8-bit RGB or greyscale photographs work"):
        decode(content, Path(f"a{suffix}"))


@pytest.mark.parametrize(("format", "suffix"), [("PNG", ".jpg"), ("JPEG", ".png"), ("GIF", ".jpg"), ("JPEG", ".tif")])
def test_a_mislabelled_file_is_refused_by_what_it_holds(format: str, suffix: str) -> None:
    content = encoded(Image.fromarray(picture(11)), format)
    with pytest.raises(PhotoError, match=f"mislabelled, the file holds {format}; rename it"):
        decode(content, Path(f"a{suffix}"))


@pytest.mark.parametrize(("format", "suffix"), [("JPEG", ".jpg"), ("PNG", ".png"), ("TIFF", ".tif")])
def test_a_truncated_file_is_refused_wherever_it_ends(format: str, suffix: str) -> None:
    content = encoded(Image.fromarray(picture(12, 40, 40)), format)
    # A PNG is whole without its last 21 bytes: two checksums and an empty end.
    for end in np.linspace(1, len(content) - 22, 25).astype(int):
        with pytest.raises(PhotoError, match=r"truncated or damaged|not a JPEG, PNG or TIFF file"):
            decode(content[:end], Path(f"a{suffix}"))


@pytest.mark.parametrize(("format", "suffix"), [("JPEG", ".jpg"), ("PNG", ".png")])
def test_damaged_bytes_give_pixels_or_a_reason_and_nothing_else(format: str, suffix: str) -> None:
    content = encoded(Image.fromarray(picture(13, 40, 40)), format)
    draw = np.random.default_rng(0)
    refusals = 0
    for _ in range(200):
        damaged = np.frombuffer(content, np.uint8).copy()
        damaged[draw.integers(0, len(damaged), 4)] = draw.integers(0, 256, 4)
        try:
            assert decode(damaged.tobytes(), Path(f"a{suffix}")).dtype == np.uint8
        except PhotoError:
            refusals += 1
    assert refusals > 0
