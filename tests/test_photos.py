"""Photographs in folders: which are found, and which files hold pixels that can be trusted."""

from __future__ import annotations

import contextlib
import hashlib
import io
import logging
import os
import shutil
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, TiffImagePlugin

from counterforensics.errors import PhotoError
from counterforensics.photos import jpeg_file
from counterforensics.photos.folder import decode, examine, find_photos
from counterforensics.photos.jpeg_file import check_jpeg
from counterforensics.photos.remarks import EDITED, JPEG_INSIDE, PROFILE, RESIZED, SCREENSHOT, SEVERAL
from tests.conftest import picture

CAMERAS = Path(__file__).parents[2] / "shared" / "cameras" / "devices"


def _sparse(path: Path) -> None:
    path.write_bytes(encoded(Image.fromarray(picture(1)), "JPEG"))
    os.truncate(path, 20_000_000_000)


def encoded(image: Image.Image, format: str, **settings: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, format, **settings)
    return stream.getvalue()


def settings_of_jpegs() -> st.SearchStrategy[dict[str, Any]]:
    """What Pillow can be told about writing a JPEG file."""
    intervals: list[dict[str, Any]] = [{}, {"restart_marker_rows": 1}, {"restart_marker_blocks": 3}]
    return st.builds(
        lambda interval, **others: interval | others,
        st.sampled_from(intervals),
        quality=st.integers(1, 100),
        subsampling=st.integers(0, 2),
        progressive=st.booleans(),
        optimize=st.booleans(),
    )


def pictures() -> st.SearchStrategy[Image.Image]:
    """Noise, a ramp, one colour or noise beside one colour; in colour or grey."""

    def make(kind: str, mode: str, width: int, height: int, level: int) -> Image.Image:
        pixels = picture(level, width, height)
        if kind == "ramp":
            pixels[:] = np.linspace(255, level, width)[None, :, None]
        elif kind != "noise":
            pixels[:, 0 if kind == "flat" else width // 3 :] = level
        return Image.fromarray(pixels).convert(mode)

    kinds = st.sampled_from(["noise", "ramp", "flat", "half flat"])
    sides = st.integers(1, 200)
    return st.builds(make, kinds, st.sampled_from(["RGB", "L"]), sides, sides, st.integers(0, 255))


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


def test_hidden_files_and_folders_are_passed_over(photos: Path) -> None:
    for name in ("device-0/.one.jpg", "device-0/.DS_Store", ".trash/one.jpg", ".loose.jpg"):
        (photos / name).parent.mkdir(exist_ok=True)
        (photos / name).write_bytes(b"anything")
    found = find_photos([photos])
    assert len(found.photos) == 8
    assert found.left_out == ()


WORKING = "JPEG, PNG, TIFF, WebP, AVIF or HEIF photographs work"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        *((f"device-0/a{suffix}", f"{suffix} is not read; {WORKING}") for suffix in (".jxl", ".DNG", ".gif", ".heics")),
        ("device-0/notes.txt", f".txt is not read; {WORKING}"),
        ("device-0/IMG_0001", f"a file without a suffix is not read; {WORKING}"),
        ("raw-only/a.CR3", f".CR3 is not read; {WORKING}"),
        ("loose.jpg", "stands beside the device folders; photographs stand in one of them"),
        ("MANIFEST.csv", "stands beside the device folders; photographs stand in one of them"),
    ],
)
def test_every_other_file_is_named_with_its_reason(photos: Path, name: str, reason: str) -> None:
    (photos / name).parent.mkdir(exist_ok=True)
    (photos / name).write_bytes(b"anything")
    found = find_photos([photos])
    assert len(found.photos) == 8
    assert found.left_out == (f"{photos / name}: {reason}",)


def test_a_folder_inside_a_device_folder_is_named(photos: Path) -> None:
    for name in ("folder.jpg", "2024"):
        (photos / "device-0" / name).mkdir()
    (photos / "device-0" / "2024" / "one.jpg").write_bytes(b"anything")
    lines = find_photos([photos]).left_out
    assert lines == tuple(
        f"{photos}/device-0/{name}: a folder inside a device folder, which is not read; move its photographs up"
        for name in ("2024", "folder.jpg")
    )


@pytest.mark.parametrize("suffix", [".jfif", ".jpe", ".JPEG"])
def test_jpegs_of_every_suffix_are_used(photos: Path, suffix: str) -> None:
    shutil.copy(photos / "device-0" / "one.jpg", photos / "device-0" / f"more{suffix}")
    found = find_photos([photos])
    assert (len(found.photos), found.left_out) == (9, ())
    assert all(photo.read().shape == (160, 192, 3) for photo in found.photos)


@pytest.mark.parametrize("format", ["BMP", "GIF"])
def test_another_format_under_the_name_of_a_jpeg_is_named(format: str) -> None:
    with pytest.raises(PhotoError, match=f"a.jpg: mislabelled, the file holds {format}; only {WORKING}"):
        decode(encoded(Image.fromarray(picture(1)), format), Path("a.jpg"))


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


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(
    ("suffix", "format", "settings"),
    [
        (".png", "PNG", {}),
        (".jpg", "JPEG", {"quality": 95}),
        (".tif", "TIFF", {}),
        (".tif", "TIFF", {"compression": "tiff_lzw"}),
        (
            ".tif",
            "TIFF",
            {"compression": "tiff_deflate", "save_all": True, "append_images": [Image.new("RGB", (9, 9))]},
        ),
    ],
)
def test_a_photo_is_not_turned_by_its_orientation(
    orientation: int, suffix: str, format: str, settings: dict[str, Any]
) -> None:
    upright = encoded(Image.fromarray(picture(8)), format, **settings)
    exif = Image.Exif()
    exif[0x0112] = orientation  # 6: "rotate by 90 degrees to look right"
    content = encoded(Image.fromarray(picture(8)), format, exif=exif, **settings)
    assert Image.open(io.BytesIO(content)).getexif()[0x0112] == orientation
    pixels = decode(content, Path(f"a{suffix}"))
    np.testing.assert_array_equal(pixels, decode(upright, Path(f"a{suffix}")))
    assert pixels.shape == (160, 192, 3)


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


@pytest.mark.parametrize("start", [b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"])
def test_a_tiff_that_pillow_does_not_know_is_not_said_to_be_none(start: bytes) -> None:
    with pytest.raises(PhotoError, match="truncated or damaged, or a TIFF of a kind that is not read; 8-bit RGB or"):
        decode(start + bytes(100), Path("a.tif"))


@pytest.mark.parametrize(
    ("mode", "format", "suffix"),
    [("CMYK", "JPEG", ".jpg"), ("CMYK", "TIFF", ".tif"), ("P", "PNG", ".png"), ("P", "TIFF", ".tif")],
)
def test_other_colour_modes_are_refused_by_name(mode: str, format: str, suffix: str) -> None:
    content = encoded(Image.fromarray(picture(10)).convert(mode), format)
    with pytest.raises(PhotoError, match=f"colour mode {mode}; only 8-bit RGB or greyscale photographs work"):
        decode(content, Path(f"a{suffix}"))


@pytest.mark.parametrize(("format", "suffix"), [("PNG", ".jpg"), ("JPEG", ".png"), ("JPEG", ".tif")])
def test_a_mislabelled_file_is_refused_by_what_it_holds(format: str, suffix: str) -> None:
    content = encoded(Image.fromarray(picture(11)), format)
    with pytest.raises(PhotoError, match=f"mislabelled, the file holds {format}; rename it"):
        decode(content, Path(f"a{suffix}"))


@pytest.mark.parametrize(("format", "suffix"), [("JPEG", ".jpg"), ("PNG", ".png"), ("TIFF", ".tif")])
def test_a_truncated_file_is_refused_wherever_it_ends(format: str, suffix: str) -> None:
    content = encoded(Image.fromarray(picture(12, 40, 40)), format)
    # A PNG is whole without its last 21 bytes: two checksums and an empty end.
    for end in np.linspace(1, len(content) - 22, 25).astype(int):
        with pytest.raises(PhotoError, match=r"truncated or damaged|not a JPEG, PNG, TIFF, WebP, AVIF or HEIF file"):
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


# --- JPEG files of which a part is missing


@given(pictures(), settings_of_jpegs())
def test_whole_jpegs_work_however_they_were_written(image: Image.Image, settings: dict[str, Any]) -> None:
    content = encoded(image, "JPEG", **settings)
    pixels = decode(content, Path("a.jpg"))
    np.testing.assert_array_equal(pixels, np.asarray(Image.open(io.BytesIO(content)).convert("RGB")))
    # What stands behind the picture is no part of it: further pictures, films.
    np.testing.assert_array_equal(decode(content + bytes(5000), Path("a.jpg")), pixels)


def test_areas_of_one_colour_give_zeros_that_are_no_hole() -> None:
    content = encoded(Image.new("RGB", (2000, 1500), (90, 90, 90)), "JPEG", optimize=True)
    assert bytes(1000) in content
    assert (decode(content, Path("a.jpg")) == 90).all()


def test_every_real_photograph_works() -> None:
    paths = sorted(CAMERAS.glob("*/*.jpg")) if CAMERAS.is_dir() else []
    if not paths:
        pytest.skip(f"{CAMERAS} is not there")
    for path in paths:
        check_jpeg(path.read_bytes())


def _data_of(content: bytes) -> int:
    """Where the first compressed data begin."""
    start = content.index(b"\xff\xda")
    return start + 2 + int.from_bytes(content[start + 2 : start + 4], "big")


def _cut(content: bytes, place: float) -> bytes:
    start = _data_of(content)
    return content[: start + int(place * (len(content) - start - 2))] + b"\xff\xd9"


def _empty_tail(content: bytes, place: float) -> bytes:
    kept = _cut(content, place)[:-2]
    return kept + bytes(len(content) - len(kept))


def _hole(content: bytes, place: float) -> bytes:
    start = _data_of(content)
    first = start + int(place * (len(content) - start - 4096 - 2))
    return content[:first] + bytes(4096) + content[first + 4096 :]


def _resized(content: bytes, place: float) -> bytes:
    frame = next(content.index(marker) for marker in (b"\xff\xc0", b"\xff\xc2") if marker in content)
    height, width = struct.unpack_from(">HH", content, frame + 5)
    sides = (13000, 13000) if place < 0.5 else (height - 16, width)
    return content[: frame + 5] + struct.pack(">HH", *sides) + content[frame + 9 :]


@given(
    st.sampled_from([_cut, _empty_tail, _hole, _resized]),
    st.floats(0, 0.99),
    st.sampled_from([{}, {"progressive": True}, {"optimize": True}, {"restart_marker_rows": 1}, {"subsampling": 0}]),
    st.sampled_from(["RGB", "L"]),
)
def test_a_jpeg_of_which_a_part_is_missing_is_refused(
    damage: Callable[[bytes, float], bytes], place: float, settings: dict[str, Any], mode: str
) -> None:
    image = Image.fromarray(picture(5, 320, 240)).convert(mode)
    content = encoded(image, "JPEG", quality=95, **settings)
    with pytest.raises(PhotoError, match=r"^a.jpg: truncated or damaged \((the|a|its|no) .*\)$"):
        decode(damage(content, place), Path("a.jpg"))


@given(st.binary(max_size=400), st.integers(2, 700))
def test_any_bytes_are_a_jpeg_or_a_reason(content: bytes, position: int) -> None:
    whole = encoded(Image.fromarray(picture(6, 24, 24)), "JPEG", progressive=True)
    for given_bytes in (b"\xff\xd8" + content, whole[:position] + content + whole[position + len(content) :]):
        with contextlib.suppress(PhotoError):
            check_jpeg(given_bytes)


def test_an_unusual_jpeg_is_named() -> None:
    content = encoded(Image.fromarray(picture(6)), "JPEG")
    with pytest.raises(PhotoError, match="an unusual JPEG; baseline and progressive ones work"):
        check_jpeg(content.replace(b"\xff\xc0", b"\xff\xc9"))


@pytest.mark.parametrize("settings", [{"compress_level": 0}, {}])
def test_a_hole_in_a_png_is_refused(settings: dict[str, Any]) -> None:
    content = encoded(Image.fromarray(picture(7)), "PNG", **settings)
    for first in np.linspace(60, len(content) - 600, 20).astype(int):
        with pytest.raises(PhotoError, match="truncated or damaged"):
            decode(content[:first] + bytes(512) + content[first + 512 :], Path("a.png"))


# --- TIFF files, and what is unusual


@pytest.mark.parametrize("compression", ["tiff_deflate", "jpeg"])
def test_a_hole_in_a_packed_tiff_is_refused(compression: str) -> None:
    content = encoded(Image.fromarray(picture(7)), "TIFF", compression=compression)
    decode(content, Path("a.tif"))
    middle = len(content) // 2
    with pytest.raises(PhotoError, match="truncated or damaged"):
        decode(content[:middle] + bytes(1000) + content[middle + 1000 :], Path("a.tif"))


def test_libtiff_writes_nothing_of_its_own(capfd: pytest.CaptureFixture[str]) -> None:
    for compression in ("tiff_lzw", "packbits", "tiff_deflate", "jpeg"):
        content = encoded(Image.fromarray(picture(7)), "TIFF", compression=compression)
        for middle in range(40, len(content) - 500, 2000):
            with contextlib.suppress(PhotoError):
                decode(content[:middle] + bytes(500) + content[middle + 500 :], Path("a.tif"))
    assert capfd.readouterr() == ("", "")


def test_a_preview_in_a_raw_file_is_not_the_photograph() -> None:
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[254] = 1
    content = encoded(Image.fromarray(picture(7)), "TIFF", tiffinfo=tags)
    with pytest.raises(PhotoError, match="its first picture is a preview, as in raw files"):
        decode(content, Path("a.tif"))


def _software(name: str) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0131] = name
    return exif


def _recorded(width: int, height: int) -> Image.Exif:
    """Metadata of a picture of this size."""
    exif = Image.Exif()
    exif.get_ifd(0x8769).update({0xA002: width, 0xA003: height})
    return exif


def _other() -> Image.Image:
    return Image.fromarray(picture(9))


@pytest.mark.parametrize(
    ("name", "format", "settings", "remarks"),
    [
        ("a.jpg", "JPEG", {}, ()),
        ("a.jpg", "JPEG", {"exif": _software("Ver.1.01")}, ()),
        ("a.jpg", "JPEG", {"exif": _software("Adobe Photoshop CS5")}, (EDITED,)),
        ("a.jpg", "JPEG", {"icc_profile": b"anything"}, (PROFILE,)),
        ("a.jpg", "MPO", {"save_all": True, "append_images": [_other()]}, (SEVERAL,)),
        ("a.png", "PNG", {"save_all": True, "append_images": [_other()]}, (SEVERAL,)),
        ("a.tif", "TIFF", {"save_all": True, "append_images": [_other()]}, (SEVERAL,)),
        ("a.tif", "TIFF", {"compression": "jpeg"}, (JPEG_INSIDE,)),
        ("Screenshot_1.png", "PNG", {}, (SCREENSHOT,)),
        ("a.jpg", "JPEG", {"exif": _recorded(768, 640)}, (RESIZED,)),  # four times as large
        ("a.jpg", "JPEG", {"exif": _recorded(80, 96)}, (RESIZED,)),  # half as large, and turned
        ("a.jpg", "JPEG", {"exif": _recorded(192, 160)}, ()),  # its own size
        ("a.jpg", "JPEG", {"exif": _recorded(160, 192)}, ()),  # turned upright
        ("a.jpg", "JPEG", {"exif": _recorded(1024, 768)}, ()),  # of another shape: cropped
        ("a.jpg", "JPEG", {"exif": _recorded(0, 0)}, ()),
    ],
)
def test_what_is_unusual_about_a_photograph_is_said(
    name: str, format: str, settings: dict[str, Any], remarks: tuple[str, ...]
) -> None:
    first = Image.fromarray(picture(8))
    pixels, found = examine(encoded(first, format, **settings), Path(name))
    assert found == remarks
    # The first picture is what counts.
    assert np.abs(pixels.astype(int) - picture(8)).mean() < 6


def test_pillow_logs_nothing_on_standard_error() -> None:
    assert any(isinstance(handler, logging.NullHandler) for handler in logging.getLogger("PIL").handlers)


def test_a_photograph_of_too_many_pixels_is_refused_whatever_pillow_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    content = bytearray(encoded(Image.new("L", (8, 8)), "PNG"))
    struct.pack_into(">II", content, 16, 20_000, 20_000)
    struct.pack_into(">I", content, 29, zlib.crc32(content[12:29]))
    with pytest.raises(PhotoError, match=r"a\.png: more than 178,956,970 pixels, refused as a bomb"):
        decode(bytes(content), Path("a.png"))


def _segments(content: bytes) -> dict[int, bytes]:
    """The segments of a JPEG file up to its first scan, by marker, each whole."""
    found: dict[int, bytes] = {}
    position = 2
    while content[position + 1] != 0xDA:
        end = position + 2 + int.from_bytes(content[position + 2 : position + 4], "big")
        found[content[position + 1]] = found.get(content[position + 1], b"") + content[position:end]
        position = end
    return found


def test_a_jpeg_with_a_scan_for_each_component_must_have_all_of_them() -> None:
    luma, chroma = picture(7)[..., 0], 125 + picture(8) // 64
    planes = [encoded(Image.fromarray(plane), "JPEG") for plane in (luma, chroma[..., 1], chroma[..., 2])]
    header = _segments(planes[0])
    frame = header[0xC0]
    components = b"".join(bytes([number, 0x11, 0]) for number in (1, 2, 3))
    start = b"\xff\xd8" + header[0xDB] + header[0xC4]
    start += b"\xff\xc0\0\x11" + frame[4:9] + b"\x03" + components
    scans = [
        b"\xff\xda\0\x08\x01" + bytes([number, 0, 0, 63, 0]) + plane[_data_of(plane) : -2]
        for number, plane in enumerate(planes, 1)
    ]
    content = start + b"".join(scans) + b"\xff\xd9"
    expected = np.asarray(Image.open(io.BytesIO(planes[0])))
    found = np.asarray(Image.open(io.BytesIO(content)).convert("YCbCr"))[..., 0]
    assert np.abs(found.astype(int) - expected).mean() < 1
    check_jpeg(content)
    for kept in (scans[:2], [scans[0], *scans], []):
        with pytest.raises(PhotoError, match="truncated or damaged"):
            check_jpeg(start + b"".join(kept) + b"\xff\xd9")


def test_what_looks_like_a_picture_inside_metadata_is_none() -> None:
    whole = encoded(Image.fromarray(picture(8)), "JPEG")
    thumbnail = encoded(Image.fromarray(picture(9, 40, 40)), "JPEG")[:-100]
    comment = b"\xff\xfe" + struct.pack(">H", len(thumbnail) + 2) + thumbnail
    np.testing.assert_array_equal(decode(whole[:2] + comment + whole[2:], Path("a.jpg")), decode(whole, Path("a.jpg")))


def test_a_jpeg_of_more_scans_than_any_encoder_writes_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    content = encoded(Image.fromarray(picture(7)), "JPEG", progressive=True)
    scans = content.count(b"\xff\xda")
    monkeypatch.setattr(jpeg_file, "MOST_SCANS", scans)
    check_jpeg(content)
    monkeypatch.setattr(jpeg_file, "MOST_SCANS", scans - 1)
    with pytest.raises(PhotoError, match=f"an unusual JPEG, with more than {scans - 1} scans"):
        check_jpeg(content)


def test_restart_markers_alone_are_no_picture() -> None:
    content = encoded(Image.fromarray(picture(7)), "JPEG", restart_marker_blocks=1)
    markers = b"".join(b"\xff" + bytes([0xD0 + number % 8]) for number in range(100_000))
    with pytest.raises(PhotoError, match="the compressed data go on behind the picture"):
        check_jpeg(content[: _data_of(content)] + markers + content[_data_of(content) :])
