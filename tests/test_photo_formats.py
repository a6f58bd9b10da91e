"""WebP, AVIF and HEIF photographs, and reading one photograph by its path."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, features

import counterforensics
from counterforensics import versions
from counterforensics.errors import PhotoError
from counterforensics.photos import heif_file
from counterforensics.photos.folder import FolderPhoto, decode, examine, find_photos, format_of
from counterforensics.photos.heif_file import NO_EXTRA, check_boxes, format_by_boxes, size_of_av1
from counterforensics.photos.inspection import inspect
from counterforensics.photos.jpeg_quality import band_of, quality_of
from counterforensics.photos.remarks import EDITED, JPEG_INSIDE, LOSSY, PROFILE, SEVERAL
from counterforensics.photos.webp_file import SPARE, check_webp
from counterforensics.study.tasks.photographs import DECODING, memory_of
from tests.conftest import Command, picture

try:
    import pillow_heif
except ImportError:
    pillow_heif = None

with_heif = pytest.mark.skipif(pillow_heif is None, reason="the extra heif is not installed")
with_avif = pytest.mark.skipif(not features.check("avif"), reason="this Pillow reads no AVIF")

HEIC = pytest.param(".heic", marks=with_heif)
AVIF = pytest.param(".avif", marks=with_avif)


def smooth(seed: int, width: int = 192, height: int = 160) -> np.ndarray:
    """A picture that a lossy encoder keeps: soft areas of colour, and a little noise."""
    draw = np.random.default_rng(seed)
    coarse = draw.uniform(40, 215, (height // 16 + 2, width // 16 + 2, 3)).astype(np.float32)
    pixels = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC) + draw.normal(0, 3, (height, width, 3))
    return np.asarray(np.clip(pixels, 0, 255), dtype=np.uint8)


def saved(image: Image.Image, format: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, format, **options)
    return stream.getvalue()


def file_of(suffix: str, pixels: np.ndarray, orientation: int = 1, **options: Any) -> bytes:
    """The file of a photograph, in the format of `suffix`, that says to be turned by `orientation`."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    if suffix != ".heic":
        format = {".jpg": "JPEG", ".webp": "WEBP", ".avif": "AVIF"}[suffix]
        return saved(Image.fromarray(pixels), format, exif=exif, **options)
    stream = io.BytesIO()
    mode = "RGB" if pixels.ndim == 3 else "L"
    pillow_heif.encode(mode, pixels.shape[1::-1], pixels.tobytes(), stream, exif=exif.tobytes(), **options)
    return stream.getvalue()


def as_heif(avif: bytes) -> bytes:
    """An AVIF file that says that HEVC coded it: what a HEIF file looks like from outside."""
    return avif.replace(b"avif", b"heic").replace(b"av01", b"hvc1").replace(b"av1C", b"hvcC")


def whole_heif() -> bytes:
    return as_heif(file_of(".avif", smooth(0)))


# --- pixels


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 90), st.integers(1, 90), st.integers(0, 4), st.sampled_from(["noise", "soft", "flat"]))
def test_a_lossless_webp_gives_the_pixels_that_were_written(width: int, height: int, method: int, kind: str) -> None:
    pixels = {"noise": picture, "soft": smooth}.get(kind, picture)(method, width, height)
    pixels[:, width // 3 if kind == "flat" else width :] = 7
    content = saved(Image.fromarray(pixels), "WEBP", lossless=True, method=method)
    np.testing.assert_array_equal(decode(content, Path("a.webp")), pixels)


@with_heif
@pytest.mark.parametrize(("width", "height"), [(192, 160), (97, 65)])
def test_a_lossless_heif_gives_the_pixels_that_were_written(width: int, height: int) -> None:
    pixels = picture(3, width, height)
    content = file_of(".heic", pixels, quality=-1, chroma=444, matrix_coefficients=0)
    np.testing.assert_array_equal(decode(content, Path("a.HEIC")), pixels)


@pytest.mark.parametrize("options", [{"quality": 80}, {"quality": 20, "method": 0}, {"lossless": True}])
def test_a_webp_gives_the_pixels_that_another_decoder_gives(options: dict[str, Any]) -> None:
    content = saved(Image.fromarray(smooth(4, 301, 203)), "WEBP", **options)
    expected = cv2.cvtColor(cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
    np.testing.assert_array_equal(decode(content, Path("a.WebP")), expected)


@with_avif
@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:0"])
def test_an_avif_gives_the_pixels_that_another_decoder_gives(subsampling: str) -> None:
    if not hasattr(cv2, "IMWRITE_AVIF_QUALITY"):
        pytest.skip("this OpenCV reads no AVIF")
    content = saved(Image.fromarray(smooth(5, 301, 203)), "AVIF", quality=80, subsampling=subsampling)
    expected = cv2.cvtColor(cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
    assert np.abs(decode(content, Path("a.avif")).astype(int) - expected).max() <= 1


TURNED: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    1: lambda pixels: pixels,
    2: lambda pixels: pixels[:, ::-1],
    3: lambda pixels: pixels[::-1, ::-1],
    4: lambda pixels: pixels[::-1],
    5: lambda pixels: pixels.transpose(1, 0, 2),
    6: lambda pixels: np.rot90(pixels, -1),
    7: lambda pixels: pixels.transpose(1, 0, 2)[::-1, ::-1],
    8: np.rot90,
}


@pytest.mark.parametrize("suffix", [".webp", AVIF, HEIC])
def test_no_photograph_is_turned_by_its_orientation(suffix: str) -> None:
    pixels = smooth(6, 97, 65)
    stored = decode(file_of(suffix, pixels), Path(f"a{suffix}"))
    for orientation in range(2, 9):
        found = decode(file_of(suffix, pixels, orientation), Path(f"a{suffix}"))
        np.testing.assert_array_equal(found, stored)


@with_heif
@pytest.mark.parametrize("options", [{}, {"tile_size": 64}])
def test_what_a_heif_reader_turns_is_turned_back_exactly(options: dict[str, Any]) -> None:
    for orientation, turned in TURNED.items():
        content = file_of(".heic", smooth(7), orientation, **options)
        shown = np.asarray(pillow_heif.HeifImageFile(io.BytesIO(content)).convert("RGB"))
        np.testing.assert_array_equal(turned(decode(content, Path("a.heic"))), shown)


@pytest.mark.parametrize("suffix", [".webp", AVIF, HEIC])
def test_grey_and_opaque_alpha_work_and_transparency_is_refused(suffix: str) -> None:
    path, image = Path(f"a{suffix}"), Image.fromarray(smooth(8))

    def written(image: Image.Image) -> bytes:
        if suffix != ".heic":
            return saved(image, suffix[1:].upper(), quality=90)
        stream = io.BytesIO()
        pillow_heif.from_pillow(image).save(stream)
        return stream.getvalue()

    grey = decode(written(image.convert("L")), path)
    assert np.abs(grey.astype(int) - np.asarray(image.convert("L"))[..., None]).mean() < 4
    opaque = image.convert("RGBA")
    assert np.abs(decode(written(opaque), path).astype(int) - smooth(8)).mean() < 6
    opaque.paste((1, 2, 3, 9), (8, 8, 40, 40))
    with pytest.raises(PhotoError, match="transparent pixels; only opaque photographs work"):
        decode(written(opaque), path)


# --- what is refused, and what is said


@pytest.mark.parametrize("suffix", [AVIF, HEIC])
def test_ten_bits_are_refused(suffix: str) -> None:
    deep = np.random.default_rng(0).integers(0, 65536, (64, 64, 3), dtype=np.uint16)
    if suffix == ".avif":
        if not hasattr(cv2, "IMWRITE_AVIF_DEPTH"):
            pytest.skip("this OpenCV writes no AVIF")
        content = bytes(cv2.imencode(".avif", deep >> 6, [cv2.IMWRITE_AVIF_DEPTH, 10])[1])
    else:
        stream = io.BytesIO()
        pillow_heif.encode("RGB;16", (64, 64), deep.tobytes(), stream)
        content = stream.getvalue()
    with pytest.raises(PhotoError, match=r"^a\..*: more than 8 bits a channel; only 8-bit RGB or greyscale"):
        decode(content, Path(f"a{suffix}"))


@with_avif
@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.heic", lambda: file_of(".avif", smooth(1)), "mislabelled, the file holds AVIF; rename it"),
        ("a.avif", whole_heif, "mislabelled, the file holds HEIF; rename it to say what it is"),
        ("a.jpg", whole_heif, "mislabelled, the file holds HEIF; rename it to say what it is"),
        ("a.jpg", lambda: file_of(".webp", smooth(1)), "mislabelled, the file holds WEBP; rename it"),
        ("a.webp", lambda: file_of(".jpg", smooth(1)), "mislabelled, the file holds JPEG; rename it"),
        ("a.heic", lambda: b"\0\0\0\x18ftypisom" + bytes(100), "not a JPEG, PNG, TIFF, WebP, AVIF or HEIF file"),
        ("a.webp", lambda: b"RIFF\x04\0\0\0WEBP", "truncated or damaged (no chunk holds a picture)"),
        ("a.avif", lambda: b"\0\0\0\x10ftypavif\0\0\0\0", "truncated or damaged (it describes no picture)"),
        (
            "a.avif",
            lambda: saved(
                Image.fromarray(smooth(1)), "AVIF", save_all=True, append_images=[Image.fromarray(smooth(2))]
            ),
            "a film (image sequence); only single pictures work",
        ),
        (
            "a.avif",
            lambda: file_of(".avif", smooth(1)).replace(b"av01", b"jpeg"),
            "its picture is coded as 'jpeg'; HEVC (hvc1) and AV1 (av01) work",
        ),
    ],
)
def test_other_files_are_refused_with_the_reason(name: str, content: Callable[[], bytes], reason: str) -> None:
    with pytest.raises(PhotoError, match=f"^{re.escape(f'{name}: {reason}')}"):
        decode(content(), Path(name))


@pytest.mark.parametrize("suffix", [AVIF, HEIC])
@pytest.mark.parametrize(("width", "height"), [(64, 64), (1920, 1600), (20000, 20000)])
def test_a_file_that_says_another_size_is_refused_and_not_scaled(suffix: str, width: int, height: int) -> None:
    def sides(width: int, height: int) -> bytes:
        return b"ispe" + struct.pack(">III", 0, width, height)

    content = file_of(suffix, smooth(1))
    changed = content.replace(sides(192, 160), sides(width, height))
    assert changed != content
    reason = "more than 178,956,970 pixels, refused as a bomb" if width > 10_000 else "truncated or damaged "
    with pytest.raises(PhotoError, match=reason):
        decode(changed, Path(f"a{suffix}"))


def test_a_webp_of_too_many_pixels_is_refused_before_it_is_decoded() -> None:
    content = bytearray(file_of(".webp", smooth(1), quality=50))
    assert content[12:16] == b"VP8X"
    content[24:30] = 2 * (16383).to_bytes(3, "little")
    with pytest.raises(PhotoError, match="more than 178,956,970 pixels, refused as a bomb"):
        decode(bytes(content), Path("a.webp"))


@with_avif
@pytest.mark.parametrize("width", [1, 64, 97, 300])
def test_the_size_of_av1_data_is_that_of_the_picture(width: int) -> None:
    content = saved(Image.fromarray(smooth(1, width, 40)), "AVIF", speed=10)
    assert size_of_av1(content[content.index(b"mdat") + 4 :]) == (width, 40)


@pytest.mark.parametrize("suffix", [".heic", ".HEIF", ".hif"])
@with_avif
def test_without_the_extra_a_heif_file_says_what_to_install(
    photos: Path, suffix: str, monkeypatch: pytest.MonkeyPatch, command: Command
) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    path = photos / "device-0" / f"a{suffix}"
    path.write_bytes(whole_heif())
    answer = command("photos", photos, "--json")
    assert answer.status == 0
    assert json.loads(answer.out)["unusable"] == [f"{path}: {NO_EXTRA}"]
    assert "pip install 'counterforensics[heif]'" in NO_EXTRA


@pytest.mark.parametrize("name", ["a.webp", pytest.param("a.avif", marks=with_avif)])
def test_a_pillow_that_lacks_a_format_says_so(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    held = file_of(Path(name).suffix, smooth(1))
    monkeypatch.setattr(features, "check", lambda name: False)
    with pytest.raises(PhotoError, match=f"{name}: the installed Pillow reads no .*; a newer one does .pip install"):
        decode(held, Path(name))


@with_avif
@pytest.mark.parametrize(
    ("suffix", "options", "remarks"),
    [
        (".webp", {}, (LOSSY,)),
        (".webp", {"lossless": True}, ()),
        (".webp", {"icc_profile": b"anything"}, (PROFILE, LOSSY)),
        (".webp", {"save_all": True, "append_images": [Image.new("RGB", (192, 160))]}, (SEVERAL, LOSSY)),
        (".avif", {}, (LOSSY,)),
        (".avif", {"icc_profile": b"anything"}, (PROFILE, LOSSY)),
    ],
)
def test_what_is_unusual_is_said(suffix: str, options: dict[str, Any], remarks: tuple[str, ...]) -> None:
    pixels, found = examine(file_of(suffix, smooth(9), **options), Path(f"a{suffix}"))
    assert found == remarks
    assert np.abs(pixels.astype(int) - smooth(9)).mean() < 6


@with_heif
def test_what_is_unusual_about_a_heif_file_is_said() -> None:
    image = Image.fromarray(smooth(9))
    image.info["icc_profile"] = b"anything"
    image.info["exif"] = _software("Adobe Photoshop").tobytes()
    both = pillow_heif.from_pillow(Image.new("RGB", (192, 160)))
    both.add_from_pillow(image)
    stream = io.BytesIO()
    both.save(stream, primary_index=1)
    pixels, found = examine(stream.getvalue(), Path("a.heic"))
    assert found == (SEVERAL, PROFILE, LOSSY, EDITED)
    assert np.abs(pixels.astype(int) - smooth(9)).mean() < 6  # the primary picture, which is the second


def _software(name: str) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0131] = name
    return exif


# --- files that are not whole


WAYS: dict[str, Callable[[bytes, int], bytes]] = {
    "cut": lambda content, place: content[:place],
    "tail of zeros": lambda content, place: content[:place].ljust(len(content), b"\0"),
    "hole": lambda content, place: content[:place] + bytes(512) + content[place + 512 :],
    "piece taken out": lambda content, place: content[:place] + content[place + 512 :],
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("suffix", "options"),
    [
        (".webp", {"quality": 80}),
        (".webp", {"quality": 60, "method": 0}),
        (".webp", {"lossless": True}),
        pytest.param(".avif", {"quality": 80, "speed": 10}, marks=with_avif),
        pytest.param(".heic", {"quality": 80}, marks=with_heif),
        pytest.param(".heic", {"quality": 80, "tile_size": 64}, marks=with_heif),
    ],
)
def test_a_file_of_which_a_part_is_missing_is_refused(way: str, suffix: str, options: dict[str, Any]) -> None:
    content = file_of(suffix, smooth(10, 320, 240), **options)
    decode(content, Path(f"a{suffix}"))
    for place in np.linspace(1, len(content) - 600, 20).astype(int):
        with pytest.raises(PhotoError, match=rf"^a{suffix}: [^\n]*$"):
            decode(WAYS[way](content, place), Path(f"a{suffix}"))


def areas() -> st.SearchStrategy[np.ndarray]:
    """Soft pictures of which a part has one colour: encoders write zeros for it."""

    def make(seed: int, width: int, height: int, top: float, left: float, level: int) -> np.ndarray:
        pixels = smooth(seed, width, height)
        pixels[int(top * height) :, int(left * width) :] = level
        return pixels

    share, sides = st.sampled_from([0.0, 0.1, 0.5, 0.9, 1.0]), st.integers(1, 300)
    return st.builds(make, st.integers(0, 99), sides, sides, share, share, st.sampled_from([0, 90, 255]))


@settings(max_examples=150, deadline=None)
@given(areas(), st.integers(0, 100), st.integers(0, 4), st.booleans())
def test_every_whole_webp_works(pixels: np.ndarray, quality: int, method: int, lossless: bool) -> None:
    content = saved(Image.fromarray(pixels), "WEBP", quality=quality, method=method, lossless=lossless)
    check_webp(content)
    check_webp(content + b"what stands behind it is no part of it")


@with_avif
@settings(max_examples=25, deadline=None)
@given(areas(), st.integers(0, 100), st.sampled_from(["4:2:0", "4:2:2", "4:4:4"]))
def test_every_whole_avif_works(pixels: np.ndarray, quality: int, subsampling: str) -> None:
    check_boxes(saved(Image.fromarray(pixels), "AVIF", quality=quality, speed=10, subsampling=subsampling))


def test_a_webp_with_data_behind_its_picture_is_refused() -> None:
    content = saved(Image.fromarray(smooth(1)), "WEBP")
    data = content[20:] + bytes(2 * SPARE)
    longer = b"WEBPVP8 " + struct.pack("<I", len(data)) + data
    with pytest.raises(PhotoError, match="the compressed data go on behind the picture"):
        check_webp(b"RIFF" + struct.pack("<I", len(longer)) + longer)


@with_avif
@given(st.binary(max_size=60), st.integers(4, 400))
def test_any_boxes_are_read_or_refused(content: bytes, place: int) -> None:
    whole = file_of(".avif", smooth(0, 32, 32))
    for changed in (whole[:place] + content + whole[place + len(content) :], whole[:place] + content + whole[place:]):
        for ask in (check_boxes, heif_file.pixels_in, format_by_boxes):
            with contextlib.suppress(PhotoError):
                ask(changed)


def _box(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", 8 + len(content)) + name + content


def _hostile(places: bytes, parts: int) -> bytes:
    """A HEIF file of an item 1 that is made of many others, with `places` as its table of places."""
    items = range(2, 2 + parts)
    kinds = b"".join(_box(b"infe", struct.pack(">IHH4s", 2 << 24, item, 0, b"hvc1")) for item in items)
    references = _box(b"dimg", struct.pack(f">HH{parts}H", 1, parts, *items))
    settings = _box(b"ipco", _box(b"ispe", struct.pack(">III", 0, 64, 64)) + _box(b"hvcC", bytes(23)))
    has = b"".join(struct.pack(">HBBB", item, 2, 1, 2) for item in (1, *items))
    meta = (
        bytes(4)
        + _box(b"pitm", struct.pack(">IH", 0, 1))
        + _box(b"iinf", struct.pack(">IH", 0, parts) + kinds)
        + _box(b"iref", bytes(4) + references)
        + _box(b"iprp", settings + _box(b"ipma", struct.pack(">II", 0, 1 + parts) + has))
        + _box(b"iloc", places)
    )
    return _box(b"ftyp", b"heic\0\0\0\0heic") + _box(b"meta", meta) + bytes(range(1, 256)) * 4000


@pytest.mark.parametrize(
    ("places", "parts", "reason"),
    [
        (struct.pack(">IBBH", 0, 0, 0, 1) + struct.pack(">HHH", 2, 0, 65535), 1, "parts of the data have no length"),
        (
            struct.pack(">IBBH", 0, 0x44, 0, 1) + struct.pack(">HHH", 2, 0, 999) + struct.pack(">II", 9, 10**6) * 999,
            1,
            "the same bytes are given as data more than once",
        ),
        (struct.pack(">IBBH", 0, 0x44, 0, 0), 1001, "whose picture has more than 1,000 parts"),
        (struct.pack(">IBBH", 0, 0x44, 0, 0), 1000, "a part of the picture is nowhere in the file"),
    ],
)
def test_boxes_that_would_take_time_or_memory_without_end_are_refused(places: bytes, parts: int, reason: str) -> None:
    with pytest.raises(PhotoError, match=reason):
        decode(_hostile(places, parts), Path("a.heic"))


# --- folders, studies and evaluations


@with_avif
def test_lossy_files_are_never_said_to_be_uncompressed(photos: Path, command: Command) -> None:
    pixels = smooth(11)
    device = photos / "device-0"
    (device / "lossy.webp").write_bytes(file_of(".webp", pixels))
    (device / "lossless.WEBP").write_bytes(saved(Image.fromarray(pixels), "WEBP", lossless=True))
    (device / "phone.AVIF").write_bytes(file_of(".avif", smooth(12)))
    (device / "inside.tif").write_bytes(saved(Image.fromarray(smooth(13)), "TIFF", compression="jpeg"))
    detector = ("--detector", "spam-svm/median:7", "--manipulation", "median:7", "--per-photo", 1)
    answer = command("evaluate", "--photos", photos, *detector, "--json")
    assert answer.status == 0, answer.err
    found = json.loads(answer.out)
    counts = {band: part["photographs"] for band, part in found["by_quality"].items()}
    assert counts == {"no JPEG": 5, "another lossy format": 3, "95 and above": 4}
    assert found["left_out"] == []
    assert any(line.endswith(f"lossy.webp and 1 more: {LOSSY}") for line in found["notes"])
    assert any(line.endswith(f"inside.tif: {JPEG_INSIDE}") for line in found["notes"])


def test_only_a_jpeg_file_has_a_quality() -> None:
    assert quality_of(file_of(".webp", smooth(1))) is None
    if features.check("avif"):
        assert quality_of(file_of(".avif", smooth(1))) is None
        assert quality_of(whole_heif()) is None
    assert band_of(None, lossy=True) == "another lossy format"


@with_avif
def test_every_file_in_a_folder_is_used_or_named(photos: Path) -> None:
    contents = {
        "a.WEBP": file_of(".webp", smooth(20)),
        "b.Avif": file_of(".avif", smooth(21)),
        "cut.webp": file_of(".webp", smooth(22))[:-100],
        "cut.AVIF": file_of(".avif", smooth(22))[:-100],
        "cut.HEIC": whole_heif()[:-100],
        "text.heic": b"hello",
        "empty.heic": b"",
        "film.mov": b"film",
        "raw.dng": b"raw",
        "pages.pdf": b"%PDF",
        ".hidden.heic": b"hidden",
    }
    for name, content in contents.items():
        (photos / "device-0" / name).write_bytes(content)
    os.mkfifo(photos / "device-0" / "pipe.heic")
    found = find_photos([photos])
    used, named = {"one.jpg", "two.png"}, list(found.left_out)
    for photo in found.photos:
        try:
            inspect(photo)
        except PhotoError as error:
            named.append(str(error))
        else:
            used.add(photo.path.name)
    assert used == {"one.jpg", "two.png", "a.WEBP", "b.Avif"}
    lines = {Path(line.partition(": ")[0]).name: line for line in named}
    assert lines.keys() == contents.keys() - {"a.WEBP", "b.Avif", ".hidden.heic"} | {"pipe.heic"}
    assert all("\n" not in line for line in named)


@with_heif
def test_a_folder_of_a_phone_is_used(photos: Path, command: Command) -> None:
    (photos / "device-0" / "IMG_0001.HEIC").write_bytes(file_of(".heic", smooth(30), 6))
    found = json.loads(command("photos", photos, "--json").out)
    assert found["unusable"] == []
    (entry,) = (entry for entry in found["devices"]["device-0"] if entry["photo"] == "IMG_0001.HEIC")
    assert (entry["width"], entry["height"], entry["remarks"]) == (192, 160, [LOSSY])
    photo = next(photo for photo in find_photos([photos]).photos if photo.path.suffix == ".HEIC")
    assert (photo.pixels(), photo.jpeg_quality()) == (192 * 160, None)


@pytest.mark.parametrize(("name", "form"), [("a.JPG", "JPEG"), ("a.webp", "WEBP"), ("a.hif", "HEIF"), ("a.gif", "")])
def test_the_reader_of_a_format_is_part_of_what_decides_its_pixels(name: str, form: str, tmp_path: Path) -> None:
    photo = FolderPhoto("device", tmp_path / name, "0" * 64)
    assert format_of(photo) == form
    known = {"WEBP": {"libwebp in Pillow"}, "HEIF": {"pillow-heif"}}.get(form, set())
    assert versions.readers_of(form).keys() == known
    assert (memory_of(1000, None, photo) > 1000 * DECODING) == bool(known)


# --- one photograph by its path


def test_one_photograph_is_read_by_its_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    Image.fromarray(picture(1)).save(tmp_path / "a.png")
    for given_path in (tmp_path / "a.png", str(tmp_path / "a.png"), "~/a.png"):
        pixels = counterforensics.read_photo(given_path)
        np.testing.assert_array_equal(pixels, picture(1))
        assert pixels.dtype == np.uint8


def _frames(suffix: str) -> bytes:
    more = {"save_all": True, "append_images": [Image.fromarray(smooth(2))]}
    return saved(Image.fromarray(smooth(1)), suffix[1:].upper(), **more)


def _bomb() -> bytes:
    """A TIFF file of a few bytes that claims 400 megapixels."""
    tiff = bytearray(saved(Image.new("L", (8, 8)), "TIFF"))
    for tag in (256, 257):
        place = tiff.index(struct.pack("<HHI", tag, 4, 1)) + 8
        tiff[place : place + 4] = struct.pack("<I", 20_000)
    return bytes(tiff)


UNREADABLE: dict[str, tuple[Callable[[Path], object], str]] = {
    "gone.jpg": (lambda path: None, "cannot be read (No such file or directory)"),
    "folder.jpg": (lambda path: path.mkdir(), "cannot be read (not a regular file)"),
    "pipe.jpg": (lambda path: os.mkfifo(path), "cannot be read (not a regular file)"),
    "empty.jpg": (lambda path: path.touch(), "the file is empty (0 bytes)"),
    "text.jpg": (lambda path: path.write_bytes(b"hello"), "not a JPEG, PNG, TIFF, WebP, AVIF or HEIF file"),
    "animated.gif": (lambda path: path.write_bytes(_frames(".gif")), "mislabelled, the file holds GIF; only JPEG, PNG"),
    "no-suffix": (lambda path: path.write_bytes(file_of(".jpg", smooth(1))), "mislabelled, the file holds JPEG;"),
    "cmyk.jpg": (lambda path: Image.new("CMYK", (9, 9)).save(path), "colour mode CMYK; only 8-bit RGB or greyscale"),
    "deep.png": (
        lambda path: path.write_bytes(bytes(cv2.imencode(".png", np.full((9, 9, 3), 999, np.uint16))[1])),
        "more than 8 bits a channel; only 8-bit RGB or greyscale photographs work",
    ),
    "cut.jpg": (lambda path: path.write_bytes(file_of(".jpg", smooth(1))[:-900]), "truncated or damaged (the compres"),
    "cut.webp": (lambda path: path.write_bytes(file_of(".webp", smooth(1))[:-9]), "truncated or damaged (it has "),
    "bomb.tif": (lambda path: path.write_bytes(_bomb()), "more than 178,956,970 pixels, refused as a bomb"),
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_one_photograph_that_cannot_be_read_gives_one_clear_error(name: str, tmp_path: Path) -> None:
    make, reason = UNREADABLE[name]
    make(tmp_path / name)
    with pytest.raises(PhotoError, match=rf"^{re.escape(f'{tmp_path / name}: {reason}')}[^\n]*$"):
        counterforensics.read_photo(tmp_path / name)


def test_of_several_pictures_the_first_is_read(tmp_path: Path) -> None:
    (tmp_path / "several.webp").write_bytes(_frames(".webp"))
    found = counterforensics.read_photo(tmp_path / "several.webp")
    assert np.abs(found.astype(int) - smooth(1)).mean() < 6 < np.abs(found.astype(int) - smooth(2)).mean()
