"""Names are data: whatever a device, a photograph, a label or a folder is called, it is shown and never followed."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from tests.conftest import Command, picture, tiny_settings, write_study

DEVICES = (b"d\xff", b"canon [old]", b"=cmd[b]", b"a$b$ \x1b[31m")
PHOTOS = (b"p\xff.jpg", b"-x[y] :smile: $\\bad$.jpg")
SHOWN = (r"a$b$ \x1b[31m", "canon [old]", "=cmd[b]", r"d\udcff")
LABEL = "=mine [b] $x$"


@pytest.fixture
def odd(tmp_path: Path) -> Path:
    """Four devices with two photographs each, under names that a terminal, a spreadsheet or UTF-8 stumbles over."""
    for number, device in enumerate(DEVICES):
        folder = tmp_path / "photographs" / os.fsdecode(device)
        folder.mkdir(parents=True)
        for place, photo in enumerate(PHOTOS):
            stream = io.BytesIO()
            Image.fromarray(picture(10 * number + place)).save(stream, "JPEG", quality=95)
            (folder / os.fsdecode(photo)).write_bytes(stream.getvalue())
    return tmp_path / "photographs"


def test_a_study_with_odd_names_runs_to_its_end_and_shows_them_escaped(
    command: Command, odd: Path, tmp_path: Path
) -> None:
    settings = tiny_settings(
        photos={"folders": [str(odd)]},
        split={"test": ["d*", "=*"], "validation": 0},
        patches={"size": 64, "per_photo": 1},
        manipulations=["median:7"],
        detectors=["spam-svm", {"detector": "cozzolino2017:svm_pairs=4,steps=0", "label": LABEL}],
        attacks=[{"attack": "fgsm", "targets": [LABEL]}],
    )
    out = tmp_path / "out[" / "b] [red]"
    answer = command("run", write_study(tmp_path / "s.yaml", settings), "--out", out)
    assert (answer.status, answer.err) == (0, "")
    assert f"Rows: {out}/rows.csv\n" in answer.out
    photos = list(csv.DictReader(io.StringIO((out / "photos.csv").read_text(encoding="utf-8"))))
    assert {photo["device"] for photo in photos} == {*SHOWN, "'=cmd[b]"} - {"=cmd[b]"}
    assert r"d\udcff/p\udcff.jpg" in {photo["photo"] for photo in photos}
    labels = (out / "labels.csv").read_text(encoding="utf-8")
    assert f"detector,'{LABEL},cozzolino2017" in labels.replace('"', "")
    assert (out / "report.html").exists()
    again = command("run", tmp_path / "s.yaml", "--out", out)
    assert (again.status, again.err) == (0, "")


def test_a_terminal_that_knows_ascii_alone_shows_odd_names(odd: Path) -> None:
    called = [sys.executable, "-m", "counterforensics", "photos", str(odd)]
    environment = os.environ | {"PYTHONIOENCODING": "ascii", "COLUMNS": "100"}
    answer = subprocess.run(called, capture_output=True, env=environment, check=False)
    assert (answer.returncode, answer.stderr) == (0, b"")
    for name in SHOWN:
        assert name in answer.stdout.decode("ascii"), name
    assert b"\x1b" not in answer.stdout


def test_json_holds_the_names_as_they_are(command: Command, odd: Path) -> None:
    found = json.loads(command("photos", odd, "--json").out)
    assert set(found["devices"]) == {os.fsdecode(device) for device in DEVICES}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("photos", "nowhere[/b]"), "no photo folder at nowhere[/b]"),
        (("photos", "nowhere\x1b[31m"), r"no photo folder at nowhere\x1b[31m"),
        (("run", "x" * 5000), "unknown study 'xxx"),
        (("photos", "n" * 100_000), " ... "),
        (("evaluate", "--detector", "\udcff[/b]", "--photos", "p", "--manipulation", "median:7"), r"\udcff[/b]"),
    ],
)
def test_what_was_given_is_repeated_escaped_and_cut(
    refused: Callable[..., str], arguments: tuple[str, ...], said: str
) -> None:
    line = refused(*arguments)
    assert said in line
    assert line.isprintable()
    assert len(line) < 2200
