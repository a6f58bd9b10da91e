"""Bad input through the command line: one clear line and exit 2, or the bad photograph listed and the rest done."""

from __future__ import annotations

import errno
import io
import json
import os
import shutil
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml
from PIL import Image

from counterforensics.photos.remarks import LOSSY
from counterforensics.study.settings import load_study
from counterforensics.study.store.folder import FolderStore
from counterforensics.study.tasks import JUDGE, MEASURE
from tests.conftest import COZZOLINO, Command, picture, plan_of, tiny_settings, write_study

Refused = Callable[..., str]


@dataclass(frozen=True)
class Place:
    """Where a case is set up: a photo folder and a finished study that it may spoil, and a folder of its own."""

    tmp: Path
    photos: Path
    finished: Path

    def study(self, **changes: Any) -> Path:
        """A study of the photo folder, with `changes`."""
        settings = tiny_settings(photos={"folders": [str(self.photos)]}, **changes)
        return write_study(self.tmp / "study.yaml", settings)

    def run(self, **changes: Any) -> tuple[object, ...]:
        return ("run", self.study(**changes), "--out", self.tmp / "out")

    def evaluate(self, **options: object) -> tuple[object, ...]:
        detector = self.finished / "detectors" / "0" / "spam-svm" / "median:7"
        given = {"detector": detector, "photos": self.photos, "manipulation": "median:7", "per-photo": 2} | options
        return ("evaluate", *(part for name, value in given.items() for part in (f"--{name}", value)))


@pytest.fixture
def place(tmp_path: Path, photos: Path, copy: Path) -> Place:
    return Place(tmp_path, photos, copy)


# --- single bad photographs: the others go on, and the bad one is listed


def encoded(pixels: np.ndarray, format: str, mode: str = "RGB") -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(stream, format)
    return stream.getvalue()


def bomb() -> bytes:
    """A PNG of a few bytes that claims 3.6 gigapixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0)
    stream = zlib.compress(bytes(1000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", stream) + chunk(b"IEND", b"")


def transparent() -> bytes:
    image = Image.fromarray(picture(50)).convert("RGBA")
    image.putpixel((0, 0), (1, 2, 3, 0))
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue()


def deep(suffix: str, channels: int) -> bytes:
    values = np.random.default_rng(0).integers(0, 65536, (160, 192, channels), dtype=np.uint16)
    return bytes(cv2.imencode(suffix, values)[1])


def blown_up(content: bytes) -> bytes:
    """A JPEG file whose header claims 169 megapixels."""
    frame = content.index(b"\xff\xc0")
    return content[: frame + 5] + struct.pack(">HH", 13000, 13000) + content[frame + 9 :]


WHOLE = encoded(picture(51), "JPEG")
BAD: dict[str, tuple[bytes, str]] = {
    "truncated.jpg": (encoded(picture(51), "JPEG")[:2000], "truncated or damaged"),
    "quarter.jpg": (WHOLE[: len(WHOLE) // 4] + b"\xff\xd9", "truncated or damaged (the compressed data end before"),
    "empty-half.jpg": (WHOLE[: len(WHOLE) // 2].ljust(len(WHOLE), b"\0"), "truncated or damaged ("),
    "hole.jpg": (WHOLE[:3000].ljust(3000 + 4096, b"\0") + WHOLE[3000 + 4096 :], "truncated or damaged ("),
    "blown-up.jpg": (blown_up(WHOLE), "truncated or damaged (the compressed data end before the picture does)"),
    "really-a-gif.jpg": (encoded(picture(52), "GIF"), "the file holds GIF; only JPEG, PNG, TIFF, WebP"),
    "header-only.jpg": (encoded(picture(51), "JPEG")[:2], "not a JPEG, PNG, TIFF, WebP, AVIF or HEIF file"),
    "empty.jpg": (b"", "the file is empty (0 bytes)"),
    "really-a-png.jpg": (encoded(picture(52), "PNG"), "mislabelled, the file holds PNG; rename it"),
    "really-text.jpg": (b"hello", "not a JPEG, PNG, TIFF, WebP, AVIF or HEIF file, whatever its name says"),
    "cmyk.jpg": (encoded(picture(53), "JPEG", "CMYK"), "colour mode CMYK; only 8-bit RGB or greyscale"),
    "palette.png": (encoded(picture(54), "PNG", "P"), "colour mode P; only 8-bit RGB or greyscale"),
    "deep.png": (deep(".png", 3), "more than 8 bits a channel; only 8-bit RGB or greyscale"),
    "deep-grey.png": (deep(".png", 1), "more than 8 bits a channel; only 8-bit RGB or greyscale"),
    "deep.tif": (deep(".tif", 3), "more than 8 bits a channel; only 8-bit RGB or greyscale"),
    "transparent.png": (transparent(), "has transparent pixels; only opaque photographs work"),
    "bomb.png": (bomb(), "pixels, refused as a bomb"),
    "cut.webp": (encoded(picture(56), "WEBP")[:-100], "truncated or damaged (it has "),
    "text.HEIC": (b"hello", "not a JPEG, PNG, TIFF, WebP, AVIF or HEIF file, whatever its name says"),
    "film.mov": (b"film", ".mov is not read; JPEG, PNG, TIFF, WebP, AVIF or HEIF photographs work"),
}
GOOD: dict[str, bytes] = {
    "grey.jpg": encoded(picture(60), "JPEG", "L"),
    "grey.png": encoded(picture(61), "PNG", "L"),
    "opaque.png": encoded(picture(62), "PNG", "RGBA"),
    "lzw.tiff": encoded(picture(63), "TIFF"),
    "side-of-160.jpg": encoded(picture(64, 160, 1600), "JPEG"),
    "shouting.JPG": encoded(picture(65), "JPEG"),
    "web.WebP": encoded(picture(66), "WEBP"),
}
# Too small is bad for cutting patches only; `photos` shows its size.
SMALL = encoded(picture(55, 127, 300), "PNG")


@pytest.fixture(scope="session")
def mixed(photo_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The photo folder with every bad and every unusual photograph under one device.  Read it only."""
    folder = Path(shutil.copytree(photo_folder, tmp_path_factory.mktemp("mixed") / "photographs"))
    contents = GOOD | {name: content for name, (content, _) in BAD.items()} | {"small.png": SMALL}
    for name, content in contents.items():
        (folder / "device-1" / name).write_bytes(content)
    (folder / "device-1" / "dangling.jpg").symlink_to("nowhere.jpg")
    os.mkfifo(folder / "device-1" / "pipe.jpg")
    return folder


REASONS = {name: reason for name, (_, reason) in BAD.items()} | {
    "dangling.jpg": "cannot be read (No such file or directory)",
    "pipe.jpg": "cannot be read (not a regular file)",
}


def reasons(lines: list[str], folder: Path) -> dict[str, str]:
    """File name -> reason, of lines `PATH: reason`."""
    start = f"{folder}/device-1/"
    assert all(line.startswith(start) for line in lines)
    parts = [line.removeprefix(start).partition(": ") for line in lines]
    return {name: reason for name, _, reason in parts}


def check(found: dict[str, str], expected: dict[str, str]) -> None:
    assert found.keys() == expected.keys()
    for name, reason in expected.items():
        assert reason in found[name], name


def test_photos_lists_bad_photographs_and_counts_the_others(command: Command, mixed: Path) -> None:
    answer = command("photos", mixed, "--json")
    assert (answer.status, answer.err) == (0, "")
    found = json.loads(answer.out)
    check(reasons(found["unusable"], mixed), REASONS)
    usable = {entry["photo"] for entry in found["devices"]["device-1"]}
    assert usable == {*GOOD, "small.png", "one.jpg", "two.png"}


def test_evaluate_lists_bad_photographs_and_judges_the_others(command: Command, mixed: Path, place: Place) -> None:
    answer = command(*place.evaluate(photos=mixed), "--json")
    assert (answer.status, answer.err) == (0, "")
    found = json.loads(answer.out)
    check(reasons(found["left_out"], mixed), REASONS | {"small.png": "127x300 is smaller than a 128x128 patch"})
    assert found["photos"] == 8 + len(GOOD)
    assert found["n_pristine"] == 2 * found["photos"]


def test_run_lists_bad_photographs_and_uses_the_others(
    command: Command, mixed: Path, tmp_path: Path, no_report: None
) -> None:
    settings = tiny_settings(
        photos={"folders": [str(mixed)]},
        split={"test": ["device-1"]},
        patches={"per_photo": 2},
        manipulations=["jpeg:70"],
        detectors=["spam-svm"],
        attacks=[],
    )
    answer = command("run", write_study(tmp_path / "s.yaml", settings), "--out", tmp_path / "out")
    assert (answer.status, answer.err) == (0, "")
    lines = [line for line in answer.out.splitlines() if line.startswith("Left out: ")]
    found = reasons([line.removeprefix("Left out: ") for line in lines], mixed)
    check(found, REASONS | {"small.png": "127x300 is smaller than 128x128, which a patch needs"})
    assert f"Note: {mixed}/device-1/web.WebP: {LOSSY}\n" in answer.out
    (row,) = (tmp_path / "out" / "rows.csv").read_text(encoding="utf-8").splitlines()[1:]
    count = 2 * (2 + len(GOOD))
    assert row.startswith(f"tiny,0,jpeg:70,spam-svm,,,none,spam-svm,,,{count},{count},")


# --- one line and exit 2


@dataclass(frozen=True)
class Case:
    """Input that must be refused: what is done to the place and then asked, and what the line must say."""

    name: str
    ask: Callable[[Place], tuple[object, ...]]
    says: str


def spoilt(path: Path, content: bytes = b"spoilt") -> Path:
    path.write_bytes(content)
    return path


def all_bad(place: Place) -> Place:
    for path in place.photos.glob("*/*"):
        path.write_bytes(b"")
    return place


def copied(place: Place, source: str, target: str) -> Place:
    shutil.copy(place.photos / source, place.photos / target)
    return place


def empty(place: Place) -> Path:
    (place.tmp / "empty").mkdir()
    return place.tmp / "empty"


def detector_with(place: Place, file: str, change: Callable[[bytes], bytes]) -> Path:
    source = place.finished / "detectors" / "0" / "spam-svm" / "median:7"
    folder = Path(shutil.copytree(source, place.tmp / "detector"))
    (folder / file).write_bytes(change((folder / file).read_bytes()))
    return folder


def yaml_of(place: Place, content: str) -> tuple[object, ...]:
    return ("run", spoilt(place.tmp / "s.yaml", content.encode()), "--out", place.tmp / "out")


def other_study(place: Place) -> tuple[object, ...]:
    return ("run", place.study(name="other"), "--out", place.finished)


def folder_for_rows(place: Place) -> tuple[object, ...]:
    """Ask for a run whose rows.csv is a folder."""
    (place.finished / "rows.csv").unlink()
    (place.finished / "rows.csv").mkdir()
    return ("run", write_study(place.tmp / "s.yaml", tiny_settings()), "--out", place.finished)


def garbled_settings(place: Place) -> tuple[object, ...]:
    spoilt(place.finished / "study.yaml", b"{")
    return ("run", place.study(), "--out", place.finished)


def fgsm(**settings: object) -> list[dict[str, object]]:
    return [{"attack": "fgsm", "targets": [COZZOLINO], **settings}]


CASES = [
    # photographs
    Case("no folder", lambda p: ("photos", p.tmp / "nowhere"), "no photo folder at "),
    Case("no folder to run", lambda p: ("run", p.study(), "--photos", "nowhere"), "no photo folder at nowhere; give"),
    Case("no folder to evaluate", lambda p: p.evaluate(photos="nowhere"), "no photo folder at nowhere; give"),
    Case("a name too long", lambda p: ("photos", p.tmp / ("n" * 300)), "cannot list "),
    Case("an empty folder", lambda p: ("photos", empty(p)), "holds no photographs; photographs stand in "),
    Case("an empty folder to run", lambda p: ("run", p.study(), "--photos", empty(p)), "holds no photographs;"),
    Case("a file as folder", lambda p: ("photos", spoilt(p.tmp / "a.jpg")), "no photo folder at "),
    Case("no device folders", lambda p: ("photos", p.photos / "device-0"), "holds photographs but no device folders;"),
    Case(
        "too few devices",
        lambda p: p.run(split={"test": 3, "train": 6}),
        "the split needs devices: 6 to train and 3 to test; the photographs come from 4",
    ),
    Case(
        "no device left to train",
        lambda p: p.run(split={"test": 4}),
        "the split needs devices: at least 1 to train and 4 to",
    ),
    Case("unknown device", lambda p: p.run(split={"test": ["device_0"]}), "'device_0'; did you mean 'device-"),
    Case("all bad, run", lambda p: all_bad(p).run(), "; 8 left out, the first: "),
    Case("all bad, evaluate", lambda p: all_bad(p).evaluate(), "device-0/one.jpg: the file is empty (0 bytes)"),
    Case(
        "one photo, two devices",
        lambda p: copied(p, "device-0/one.jpg", "device-1/other.jpg").run(),
        "the same photograph stands twice: ",
    ),
    # names
    Case("unknown manipulation", lambda p: p.run(manipulations=["medain:7"]), "'medain'; did you mean 'median'?"),
    Case("unknown detector", lambda p: p.run(detectors=["spamsvm"]), "'spamsvm'; did you mean 'spam-svm'?"),
    Case("unknown attack", lambda p: p.run(attacks=fgsm(attack="fgms")), "'fgms'; did you mean 'fgsm'?"),
    Case("unknown target", lambda p: p.run(attacks=fgsm(targets=["spam-smv"])), "did you mean 'spam-svm'?"),
    Case("unknown setting", lambda p: p.run(detectors=["spam-svm:k=1"]), "unknown setting of spam-svm 'k'"),
    Case("unknown study", lambda p: ("run", "papr"), "unknown study 'papr'; did you mean 'paper'?"),
    Case("unknown key", lambda p: p.run(manipulation=["median:7"]), "'manipulation'; did you mean 'manipulations'?"),
    Case("unknown inner key", lambda p: p.run(split={"tests": 1}), "'tests'; did you mean 'test'?"),
    Case("unknown manipulation to evaluate", lambda p: p.evaluate(manipulation="jpg:70"), "did you mean 'jpeg'?"),
    # values
    Case("even median", lambda p: p.run(manipulations=["median:4"]), "median: size must be odd (3, 5, 7, ...), got 4"),
    Case("quality of 101", lambda p: p.run(manipulations=["jpeg:101"]), "must lie between 1 and 100, got 101"),
    Case("no quality", lambda p: p.evaluate(manipulation="jpeg"), "manipulation 'jpeg' needs a value for quality"),
    Case("epsilon of 256", lambda p: p.run(attacks=fgsm(attack="fgsm:epsilon=256")), "1..255, got 256"),
    Case("no targets", lambda p: p.run(attacks=[{"attack": "fgsm"}]), "attack 'fgsm' needs targets: list one or more"),
    Case(
        "a target without gradients",
        lambda p: p.run(
            detectors=["cozzolino2017:alpha=inf,steps=0"], attacks=fgsm(targets=["cozzolino2017:alpha=inf,steps=0"])
        ),
        "fgsm needs gradients, and the target has none; attack a differentiable detector",
    ),
    Case(
        "nothing left of a photograph",
        lambda p: p.run(manipulations=["resize:0.1"]),
        " is smaller than 1280x1280, which a patch needs",
    ),
    Case("no patches", lambda p: p.run(patches={"per_photo": 0}), "patches.per_photo: must be at least 1, got 0"),
    Case("validation of 1", lambda p: p.run(split={"validation": 1}), "split.validation: must be less than 0.9, got 1"),
    Case("seed of -1", lambda p: p.run(seeds=[-1]), "seeds.0: must be at least 0, got -1"),
    Case("a number as list", lambda p: p.run(detectors=3), "detectors: write a list, [ONE, ANOTHER], got 3"),
    Case(
        "too many simulated devices",
        lambda p: ("run", write_study(p.tmp / "s.yaml", tiny_settings(photos={"simulated": {"devices": 10**6}}))),
        "simulated photos: devices must be a whole number from 1 to ",
    ),
    Case("no photographs", lambda p: ("run", "paper", "--out", p.tmp / "out"), "names no photographs; give a folder"),
    Case("no YAML", lambda p: yaml_of(p, "name: ["), "is not YAML: "),
    Case("no settings", lambda p: yaml_of(p, "- name"), "must hold settings (name:, photos:, ...), holds list"),
    Case("no file", lambda p: ("run", p.tmp / "nowhere.yaml"), "nowhere.yaml: cannot be read (No such file"),
    Case("no name", lambda p: yaml_of(p, "detectors: [spam-svm]"), "name: it is needed"),
    # detectors
    Case("no detector", lambda p: p.evaluate(detector="nowhere"), "no detector at nowhere"),
    Case(
        "weights cut short",
        lambda p: p.evaluate(detector=detector_with(p, "weights.safetensors", lambda content: content[:-1])),
        "weights.safetensors is truncated or altered",
    ),
    Case(
        "record of something else",
        lambda p: p.evaluate(detector=detector_with(p, "detector.json", lambda _: b"{}")),
        "detector.json is not the record of a detector",
    ),
    # the output folder
    Case("another study's folder", other_study, "belongs to the study 'tiny', not 'other'; give another with --out"),
    Case("a folder of other files", lambda p: (*p.run()[:3], p.photos), "holds other files and no study; give an"),
    Case("below a file", lambda p: (*p.run()[:3], spoilt(p.tmp / "file") / "out"), "/file/out (Not a directory); give"),
    Case("a file", lambda p: (*p.run()[:3], spoilt(p.tmp / "file")), "/file (File exists); give another folder with"),
    Case("settings garbled", garbled_settings, "study.yaml is not a study's; remove it, or give another folder"),
    Case(
        "rows not writable",
        folder_for_rows,
        "rows.csv (Is a directory); finished work is kept",
    ),
]


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_bad_input_is_refused_in_one_line(
    case: Case, refused: Refused, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place.tmp)
    assert case.says in refused(*case.ask(place))


# --- trouble with what is kept


def test_a_full_disk_is_one_line_and_the_same_command_goes_on(
    command: Command, refused: Refused, place: Place, finished: Path, monkeypatch: pytest.MonkeyPatch, no_report: None
) -> None:
    study = write_study(place.tmp / "s.yaml", tiny_settings())
    store = FolderStore(place.finished / "store")
    for task in plan_of(load_study(str(study))).tasks.values():
        if task.kind in (JUDGE, MEASURE):
            store.discard(task.key)

    def fill(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(type(JUDGE), "run", fill)
        said = refused("run", study, "--out", place.finished)
    assert said.startswith(f"cannot write to {store.root} (No space left on device) at judge ")
    assert said.endswith("; finished work is kept: make room and run the same command again")
    assert command("run", study, "--out", place.finished).status == 0
    assert (place.finished / "rows.csv").read_bytes() == (finished / "rows.csv").read_bytes()


def test_a_damaged_store_entry_is_named_and_computed_again(
    command: Command, place: Place, finished: Path, no_report: None
) -> None:
    study = write_study(place.tmp / "s.yaml", tiny_settings())
    plan = plan_of(load_study(str(study)))
    row = FolderStore(place.finished / "store").folder(plan.measurements[0].row) / "row.json"
    row.write_bytes(row.read_bytes()[:10])
    answer = command("run", study, "--out", place.finished)
    assert (answer.status, answer.err) == (0, "damaged, computed again: measure spam-svm on median:7\n")
    assert (place.finished / "rows.csv").read_bytes() == (finished / "rows.csv").read_bytes()
    assert command("run", study, "--out", place.finished).err == ""


def test_nothing_is_lost_when_a_finished_study_is_asked_for_the_impossible(
    refused: Refused, place: Place, finished: Path
) -> None:
    """A refusal leaves rows, settings and results as they were."""
    kept = {path.relative_to(place.finished) for path in place.finished.rglob("*")}
    settings = yaml.safe_load((place.finished / "study.yaml").read_text(encoding="utf-8"))
    for changes in ({"seeds": [-1]}, {"detectors": ["spamsvm"]}, {"name": "other"}):
        refused("run", write_study(place.tmp / "s.yaml", settings | changes), "--out", place.finished)
    assert {path.relative_to(place.finished) for path in place.finished.rglob("*")} == kept
    assert (place.finished / "rows.csv").read_bytes() == (finished / "rows.csv").read_bytes()


def test_a_study_names_every_file_that_it_leaves_out_and_says_what_is_unusual(
    command: Command, photos: Path, tmp_path: Path
) -> None:
    for name in ("device-0/raw.dng", "phone/one.heic", "phone/two.HEIC", "readme.txt"):
        (photos / name).parent.mkdir(exist_ok=True)
        (photos / name).write_bytes(b"anything")
    for number in range(3):
        Image.fromarray(picture(70 + number)).save(photos / "device-1" / f"p3-{number}.png", icc_profile=b"a profile")
    settings = tiny_settings(photos={"folders": [str(photos)]}, detectors=["spam-svm"], attacks=[])
    study = write_study(tmp_path / "study.yaml", settings)
    for _ in range(2):  # the second time from what is remembered
        answer = command("plan", study, "--out", tmp_path / "out", "--json")
        assert (answer.status, answer.err) == (0, "")
        found = json.loads(answer.out)
        named = [line.partition(": ")[0].removeprefix(f"{photos}/") for line in found["left_out"]]
        assert named == ["device-0/raw.dng", "readme.txt", "phone/one.heic", "phone/two.HEIC"]
        first = f"{photos}/device-1/p3-0.png"
        assert found["notes"] == [f"{first} and 2 more: a colour profile (ICC), which is not applied"]
    printed = command("plan", study, "--out", tmp_path / "out").out
    assert f"Note: {first} and 2 more: a colour profile" in printed
    assert f"Left out: {first}" not in printed
