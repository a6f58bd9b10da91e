"""What comes back from an upload: the built-in platforms, their pipeline, profiles in files, and `launder`."""

from __future__ import annotations

import dataclasses
import io
import json
import pickle
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps
from PIL.JpegImagePlugin import JpegImageFile

from counterforensics import laundering, manipulations
from counterforensics.errors import CounterforensicsError, PhotoError, PixelError, PlatformError, StudyError
from counterforensics.laundering import PLATFORMS, Laundered, Platform, launder, parse, text_form
from counterforensics.laundering.base import KINDS, MEASURED
from counterforensics.laundering.jpeg import ijg_quality, ijg_tables
from counterforensics.laundering.kernels import KERNELS, box_runs, resized
from counterforensics.laundering.orientation import upright
from counterforensics.laundering.profile import BUILT_IN, JpegPlatform, profile_class
from counterforensics.names import check_part
from counterforensics.photos.folder import READABLE
from tests.conftest import Command, picture

MEASURED_PAIRS = Path(__file__).parents[2] / "shared" / "platforms" / "telegram"
ROOT = Path(__file__).parents[1]
REAL = ("telegram", "x", "facebook", "instagram", "whatsapp")
SMALL = tuple(f"{name}:side=90" for name in REAL)
TEXTS = (*REAL, *SMALL, "none", "jpeg:85", "telegram:side=120>whatsapp:quality=60,side=80", "none>jpeg:50")


def opened(came: Laundered) -> JpegImageFile:
    """The file that came back."""
    assert came.file is not None
    return JpegImageFile(io.BytesIO(came.file))


# --- every platform


def test_the_platforms_of_the_field_are_there() -> None:
    assert set(PLATFORMS) == {*REAL, "none", "jpeg"}
    assert {path.stem for path in BUILT_IN.glob("*.yaml")} == set(REAL)


@pytest.mark.parametrize("text", TEXTS)
def test_a_platform_keeps_its_contract(text: str) -> None:
    platform = parse(text)
    assert text_form(platform) == text
    assert parse(text_form(platform)) == platform
    assert hash(parse(text)) == hash(platform)
    assert pickle.loads(pickle.dumps(platform)) == platform
    photo = picture(1)
    before = photo.copy()
    came, again = platform(photo), launder(photo, text)
    assert np.array_equal(photo, before)
    assert came.pixels.dtype == np.uint8
    assert came.pixels.ndim == 3
    assert np.array_equal(came.pixels, again.pixels)
    assert came.file == again.file
    assert all(a <= b for a, b in zip(came.pixels.shape, photo.shape, strict=True))
    if came.file is None:
        assert np.array_equal(came.pixels, photo)
    else:
        assert np.array_equal(np.asarray(opened(came).convert("RGB")), came.pixels)
        assert dict(opened(came).getexif()) == {}


@pytest.mark.parametrize("name", list(PLATFORMS))
def test_a_platform_is_a_part_with_evidence(name: str) -> None:
    part = PLATFORMS[name]
    check_part(part, Platform)
    assert part.evidence.kind in KINDS
    assert part.evidence.source
    assert part.evidence.in_words().startswith(part.evidence.kind)
    if issubclass(part, JpegPlatform):
        assert set(part.evidence.inferred) <= {field.name for field in dataclasses.fields(part)}


def test_telegram_is_measured_and_says_on_what() -> None:
    telegram = PLATFORMS["telegram"].evidence
    assert (telegram.kind, telegram.pairs, telegram.date, telegram.inferred) == (MEASURED, 51, "2026-02", ())
    assert [name for name in REAL if PLATFORMS[name].evidence.kind == MEASURED] == ["telegram"]


@pytest.mark.parametrize("name", REAL)
def test_a_file_is_written_as_the_profile_says(name: str) -> None:
    """Pillow writes the tables of the quality, and reads the header."""
    written = yaml.safe_load((BUILT_IN / f"{name}.yaml").read_text("utf-8").replace("4:2:0", "'4:2:0'"))["settings"]
    stream = io.BytesIO()
    Image.new("RGB", (16, 16)).save(stream, "JPEG", quality=written["quality"])
    file = opened(launder(picture(2), name))
    assert file.quantization == JpegImageFile(io.BytesIO(stream.getvalue())).quantization
    assert [layer[1:3] for layer in file.layer] == [(2, 2), (1, 1), (1, 1)]
    assert bool(file.info.get("progressive")) == written["progressive"]


@pytest.mark.parametrize("quality", [5, 70, 85, 100])
def test_plain_jpeg_is_pillows_and_the_manipulation(quality: int) -> None:
    photo = picture(3)
    stream = io.BytesIO()
    Image.fromarray(photo).save(stream, "JPEG", quality=quality, subsampling="4:2:0")
    came = launder(photo, f"jpeg:{quality}")
    assert came.file == stream.getvalue()
    assert np.array_equal(came.pixels, manipulations.parse(f"jpeg:{quality}")(photo))


# --- the measured pairs


@pytest.mark.skipif(not MEASURED_PAIRS.is_dir(), reason="the measured pairs are not here")
def test_telegram_gives_what_telegram_gave() -> None:
    psnrs = []
    for path in sorted((MEASURED_PAIRS / "sent").glob("*.jpg")):
        with Image.open(path) as sent, Image.open(MEASURED_PAIRS / "received" / path.name) as received:
            came = launder(np.asarray(sent.convert("RGB")), "telegram")
            file = opened(came)
            assert isinstance(received, JpegImageFile)
            assert (file.size, file.quantization, file.layer) == (received.size, received.quantization, received.layer)
            assert file.info.get("progressive") == received.info.get("progressive")
            error = np.square(came.pixels.astype(float) - np.asarray(received.convert("RGB"))).mean()
        psnrs.append(10 * np.log10(255**2 / error))
    assert len(psnrs) == 4
    assert min(psnrs) > 48.5
    assert np.mean(psnrs) > 50.5


# --- sizes


sides = st.integers(1, 40)


@settings(max_examples=60)
@given(width=sides, height=sides, side=st.integers(1, 50), measure=st.sampled_from(["longer", "width"]))
def test_nothing_is_enlarged_and_the_side_is_as_said(width: int, height: int, side: int, measure: str) -> None:
    came = launder(np.zeros((height, width, 3), np.uint8), f"telegram:side={side},measure={measure}")
    down, across = came.pixels.shape[:2]
    before, after = (width, across) if measure == "width" else (max(width, height), max(across, down))
    assert after == min(before, side)
    assert abs(across * height - down * width) <= max(width, height) or 1 in (across, down)
    assert bool(came.notes) == (before <= side)


@settings(max_examples=20)
@given(texts=st.lists(st.sampled_from([*SMALL, "jpeg:40", "none", "whatsapp:side=50"]), min_size=2, max_size=4))
def test_a_chain_equals_its_steps(texts: list[str]) -> None:
    photo = picture(4, 120, 100)
    chain = launder(photo, " > ".join(texts))
    pixels, file = photo, None
    for text in texts:
        came = launder(pixels, text)
        pixels, file = came.pixels, came.file or file
    assert np.array_equal(chain.pixels, pixels)
    assert chain.file == file


@pytest.mark.parametrize("orientation", range(1, 9))
def test_upright_is_pillows(orientation: int) -> None:
    photo = picture(5, 40, 24)
    image = Image.fromarray(photo)
    image.getexif()[274] = orientation
    assert np.array_equal(upright(photo, orientation), np.asarray(ImageOps.exif_transpose(image)))


def test_the_orientation_counts_once_in_a_chain() -> None:
    photo = picture(6, 64, 32)
    assert launder(photo, "telegram>whatsapp", orientation=6).pixels.shape == (64, 32, 3)
    assert launder(photo, "none>whatsapp", orientation=6).pixels.shape == (64, 32, 3)
    assert launder(photo, "jpeg:90>whatsapp", orientation=6).pixels.shape == (32, 64, 3)
    with pytest.raises(PhotoError, match="an EXIF orientation is 1 to 8, got 9"):
        launder(photo, "telegram", orientation=9)


# --- the box filter


@settings(max_examples=80)
@given(after=st.integers(1, 300), more=st.integers(1, 500))
def test_box_averages_the_centres_within_half_a_step(after: int, more: int) -> None:
    """Exact fractions are the oracle, wherever no centre lies on the border."""
    before = after + more
    for i, (first, count) in enumerate(zip(*(run.tolist() for run in box_runs(before, after)), strict=True)):
        step = Fraction(before, after)
        distances = {
            j: abs(Fraction(2 * j + 1, 2) - (i + Fraction(1, 2)) * step) for j in range(first - 1, first + count + 1)
        }
        inside = [j for j, distance in distances.items() if distance < step / 2 and 0 <= j < before]
        border = [j for j, distance in distances.items() if distance == step / 2 and 0 <= j < before]
        assert set(inside) <= set(range(first, first + count)) <= {*inside, *border}


def test_a_centre_on_the_border_counts_as_it_does_at_telegram() -> None:
    """Measured by least squares on a pair of 3264 pixels: where one pixel is taken, and where the mean of two."""
    _, count = box_runs(3264, 2560)
    on_border = np.arange(19, 2560, 40)
    alone = [59, 99, *range(419, 620, 40), *range(819, 1580, 40)]
    assert on_border[count[on_border] == 1].tolist() == alone
    assert np.flatnonzero(count[20::40] == 2).tolist() == [2]


@pytest.mark.parametrize("side", [101, 61, 33])
def test_box_is_pillows_where_no_centre_lies_on_the_border(side: int) -> None:
    photo = picture(7, 203, 203)
    expected = np.asarray(Image.fromarray(photo).resize((side, side), Image.Resampling.BOX))
    assert np.abs(resized(photo, side, side, "box").astype(int) - expected).max() <= 1


def test_box_of_halves_is_the_mean_rounded_half_up() -> None:
    photo = picture(8, 64, 48)
    across = (photo[:, ::2].astype(int) + photo[:, 1::2] + 1) // 2
    assert np.array_equal(resized(photo, 32, 24, "box"), (across[::2] + across[1::2] + 1) // 2)


@pytest.mark.parametrize("kernel", KERNELS)
def test_a_kernel_leaves_one_colour_alone(kernel: str) -> None:
    assert np.unique(resized(np.full((90, 70, 3), 77, np.uint8), 31, 40, kernel)).tolist() == [77]


def test_every_ijg_quality_is_told_from_the_others() -> None:
    assert [ijg_quality(*ijg_tables(quality)) for quality in range(1, 101)] == list(range(1, 101))


# --- profiles in files


def profile(path: Path, **changes: Any) -> Path:
    """A profile, with settings changed, or left out where None."""
    content: Any = {
        "settings": {
            "quality": 60,
            "side": 80,
            "measure": "longer",
            "kernel": "area",
            "subsampling": "4:2:2",
            "progressive": False,
            "upright": True,
        },
        "evidence": {"kind": "described", "source": "a test"},
    }
    content["settings"] = {key: value for key, value in (content["settings"] | changes).items() if value is not None}
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path


def test_a_profile_is_named_by_its_path(tmp_path: Path) -> None:
    path = profile(tmp_path / "mine.yaml")
    platform = parse(f"{path}:quality=50>jpeg:90")
    assert text_form(platform) == f"{path}:quality=50>jpeg:90"
    assert [step.files for step in platform.steps] == [(path,), ()]
    assert parse(text_form(platform)) == platform
    assert pickle.loads(pickle.dumps(platform)) == platform
    file = opened(launder(picture(9), str(path)))
    assert (file.size, file.layer[0][1:3]) == ((80, 67), (2, 1))


def test_explicit_tables_are_written_as_they_are(tmp_path: Path) -> None:
    luma, chroma = list(range(1, 65)), [2 * step for step in range(64, 0, -1)]
    path = profile(tmp_path / "mine.yaml", quality=0, luma_table=luma, chroma_table=" ".join(map(str, chroma)))
    assert opened(launder(picture(9), str(path))).quantization == {0: luma, 1: chroma}
    assert opened(launder(picture(9), f"{path}:quality=50")).quantization[0][0] == 16


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"quality": None}, "lacks settings: quality; a profile gives each of them"),
        ({"quality": None, "side": None}, "lacks settings: quality, side"),
        ({"quality": 101}, "quality must lie between 0 and 100, got 101"),
        ({"quality": "high"}, "quality must be of type int, got 'high'"),
        ({"quality": 0}, "luma_table must be 64 whole numbers from 1 to 255"),
        ({"quality": 0, "luma_table": [1] * 63}, "luma_table must be 64 whole numbers"),
        ({"quality": 0, "luma_table": [1] * 64, "chroma_table": [0] * 64}, "chroma_table must be 64 whole numbers"),
        ({"side": -5}, "side must lie between 0 and 65500, got -5"),
        ({"side": 2.5}, "side must be of type int, got '2.5'"),
        ({"kernel": "boxy"}, "kernel must be box, pillow-box, hamming"),
        ({"subsampling": "4:1:1"}, "subsampling must be 4:2:0, 4:2:2 or 4:4:4, got '4:1:1'"),
        ({"progressive": "maybe"}, "progressive must be of type bool, got 'maybe'"),
        ({"enlarge": True}, "unknown key of settings in "),
    ],
)
def test_a_profile_with_missing_or_impossible_numbers_is_refused(
    changes: dict[str, Any], said: str, tmp_path: Path
) -> None:
    with pytest.raises(CounterforensicsError) as raised:
        parse(str(profile(tmp_path / "mine.yaml", **changes)))
    assert said in str(raised.value)
    assert "mine.yaml" in str(raised.value)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "a profile must hold the keys settings, evidence, got None"),
        (b"- 1", "a profile must hold the keys settings, evidence, got ['1']"),
        (b"settings: [", "is no YAML file in UTF-8"),
        (b"\xff\xfe\x00", "is no YAML file in UTF-8"),
        (b"[" * 90_000, "is no YAML file in UTF-8"),
        (b"settings: {}\nextra: 1", "unknown key of a profile"),
        (b"settings: 3", "settings must hold the keys quality, side"),
    ],
)
def test_a_file_that_is_no_profile_is_refused(content: bytes, said: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_bytes(content)
    with pytest.raises(CounterforensicsError) as raised:
        parse(str(path))
    assert said in str(raised.value)
    assert len(str(raised.value)) < 1000


@pytest.mark.parametrize(
    ("evidence", "said"),
    [
        ({"kind": "guessed"}, "evidence kind must be measured, described, contradictory or defined"),
        ({"kind": "measured"}, "pairs must be a whole number, above 0 where the kind is measured, got '0'"),
        ({"kind": "described", "pairs": "x"}, "pairs must be a whole number"),
    ],
)
def test_evidence_that_makes_no_sense_is_refused(evidence: dict[str, Any], said: str, tmp_path: Path) -> None:
    path = profile(tmp_path / "mine.yaml")
    content = yaml.safe_load(path.read_text(encoding="utf-8")) | {"evidence": evidence}
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    with pytest.raises(PlatformError) as raised:
        profile_class(str(path))
    assert said in str(raised.value)


@pytest.mark.parametrize(
    ("text", "error", "said"),
    [
        ("telegramm", CounterforensicsError, "unknown platform 'telegramm'; did you mean 'telegram'?"),
        ("telegram>", StudyError, "cannot read the platform 'telegram>'; write up to 10 platforms, such as telegram>"),
        ("", StudyError, "cannot read the platform ''"),
        (">".join(["none"] * 11), StudyError, "write up to 10 platforms"),
        ("jpeg", StudyError, "platform 'jpeg' needs a value for quality; write jpeg:QUALITY, such as jpeg:70"),
        ("telegram:side=-1", StudyError, "telegram: side must lie between 0 and 65500, got -1"),
        ("telegram:enlarge=1", CounterforensicsError, "unknown setting of telegram 'enlarge'"),
        ("nowhere.yaml", PlatformError, "nowhere.yaml: cannot be read (No such file or directory)"),
        ("x" * 3000, StudyError, "a text form has at most 2000 letters, got 3000"),
    ],
)
def test_a_text_that_names_no_platform_says_what_would(text: str, error: type[Exception], said: str) -> None:
    with pytest.raises(error) as raised:
        parse(text)
    assert said in str(raised.value)


def test_what_is_no_photograph_is_refused() -> None:
    for wrong in (np.zeros((8, 8), np.uint8), np.zeros((8, 8, 3)), None):
        with pytest.raises(PixelError, match=r"must be uint8 \[h, w, 3\], got"):
            launder(wrong, "none>telegram")  # type: ignore[arg-type]
    with pytest.raises(PhotoError, match="JPEG holds at most 65500 pixels a side, got 65501x1"):
        launder(np.zeros((1, 65501, 3), np.uint8), "jpeg:90")


# --- the command


@pytest.fixture
def photo_file(tmp_path: Path) -> Path:
    path = tmp_path / "photo.jpg"
    image = Image.fromarray(picture(10, 160, 120))
    image.getexif()[274] = 6
    image.save(path, quality=95, exif=image.getexif())
    return path


def test_launder_writes_the_file_that_comes_back(photo_file: Path, tmp_path: Path, command: Command) -> None:
    out = tmp_path / "back.jpg"
    answer = command("launder", photo_file, "--platform", "telegram:side=80", "--out", out, "--json")
    assert (answer.status, answer.err) == (0, "")
    found = json.loads(answer.out)
    assert found["received"] == {"width": 60, "height": 80}
    assert found["evidence"]["telegram:side=80"].startswith("measured on 51 pairs, 2026-02")
    assert found["notes"] == []
    with Image.open(photo_file) as sent, Image.open(out) as file:
        expected = launder(np.asarray(sent), "telegram:side=80", orientation=6)
        assert dict(file.getexif()) == {}
    assert out.read_bytes() == expected.file
    assert sorted(path.name for path in tmp_path.iterdir()) == ["back.jpg", "photo.jpg"]


def test_launder_says_when_a_photograph_is_only_recompressed(
    photo_file: Path, tmp_path: Path, command: Command
) -> None:
    answer = command("launder", photo_file, "--platform", "telegram", "--out", tmp_path / "back.jpeg")
    assert answer.status == 0
    assert "160x120 to 120x160" in answer.out
    assert "Note: telegram: the longer side of 120x160 is within 2560, so it was only recompressed" in answer.out


def test_launder_refuses_in_one_line(photo_file: Path, tmp_path: Path, command: Command) -> None:
    there, text = tmp_path / "there.jpg", tmp_path / "text.jpg"
    there.write_bytes(b"mine")
    text.write_text("no picture", encoding="utf-8")
    cases = [
        (photo_file, "telegram", there, f"{there} exists already; give another file, or --force to replace it"),
        (photo_file, "telegram", tmp_path, f"{tmp_path}: a platform gives a JPEG file; end the name in .jpg or .jpeg"),
        (photo_file, "telegram", tmp_path / "a.png", "a.png: a platform gives a JPEG file"),
        (photo_file, "telgram", tmp_path / "a.jpg", "unknown platform 'telgram'; did you mean 'telegram'?"),
        (photo_file, "none", tmp_path / "a.jpg", "'none' stores no file: the photograph comes back as it was sent"),
        (
            text,
            "telegram",
            tmp_path / "a.jpg",
            f"{text}: not a {READABLE} file, whatever",
        ),
        (tmp_path / "b.jpg", "x", tmp_path / "a.jpg", "b.jpg: cannot be read (No such file or directory)"),
        (photo_file, "x", photo_file / "a.jpg", "a.jpg: cannot be written"),
    ]
    for photo, platform, out, said in cases:
        answer = command("launder", photo, "--platform", platform, "--out", out)
        assert (answer.status, answer.out) == (2, ""), said
        assert said in answer.err
        assert answer.err.count("\n") == 1
    assert there.read_bytes() == b"mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["photo.jpg", "text.jpg", "there.jpg"]
    assert command("launder", photo_file, "--platform", "x", "--out", there, "--force").status == 0
    assert there.read_bytes()[:2] == b"\xff\xd8"


# --- the page


def test_the_page_shows_the_settings_of_every_platform() -> None:
    page = (ROOT / "docs" / "laundering.md").read_text(encoding="utf-8")
    rows = {cells[1].strip("` "): cells for line in page.splitlines() if len(cells := line.split("|")) > 6}
    for name in REAL:
        platform: Any = laundering.parse(name)
        cells = [cell.strip() for cell in rows[name]]
        assert cells[2] == f"{'longer side' if platform.measure == 'longer' else 'width'} {platform.side}"
        assert cells[3] == f"{platform.quality}, {platform.subsampling}, " + (
            "progressive" if platform.progressive else "baseline"
        )
        assert cells[4].startswith(platform.evidence.kind)
        for setting in platform.evidence.inferred:
            assert setting in cells[5]
