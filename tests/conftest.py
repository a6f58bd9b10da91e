"""What several tests need: a small photo folder, a study that runs in seconds, and the command line in this process."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from hypothesis import settings
from PIL import Image

from counterforensics.photos.folder import find_photos
from counterforensics.photos.inspection import inspect
from counterforensics.photos.simulated import simulated_photos
from counterforensics.photos.splits import split_by_device
from counterforensics.study.plan import Plan
from counterforensics.study.planning import plan_study
from counterforensics.study.run import run_study
from counterforensics.study.settings import Study, load_study

# As in a task of a study. More threads wait for each other by spinning, and small tensors gain nothing from them.
torch.set_num_threads(1)
# A busy machine is slow, not wrong.
settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")

COZZOLINO = "cozzolino2017:svm_pairs=64,steps=2,pairs_per_step=4"


def tiny_settings(**changes: Any) -> dict[str, Any]:
    """The settings of a study of seconds, with `changes`."""
    settings: dict[str, Any] = {
        "name": "tiny",
        "photos": {"simulated": {"devices": 4, "photos": 2, "width": 256, "height": 192}},
        "split": {"test": 2},
        "patches": {"per_photo": 6},
        "manipulations": ["median:7", "jpeg:70"],
        "detectors": ["spam-svm", COZZOLINO],
        "attacks": [{"attack": "fgsm", "targets": [COZZOLINO]}],
    }
    return settings | changes


def write_study(path: Path, settings: Mapping[str, Any]) -> Path:
    """`settings` as the YAML file `path`."""
    path.write_text(yaml.safe_dump(dict(settings)), encoding="utf-8")
    return path


def tiny_study(tmp_path: Path, **changes: Any) -> Study:
    """The tiny study, checked, with `changes`."""
    return load_study(str(write_study(tmp_path / "changed.yaml", tiny_settings(**changes))))


def plan_of(study: Study) -> Plan:
    """The tasks of a study of simulated photographs."""
    assert study.photos.simulated is not None
    photos = simulated_photos(**study.photos.simulated.model_dump())
    splits = {seed: split_by_device(photos, **dict(study.split), seed=seed) for seed in study.seeds}
    return plan_study(study, splits, {photo.digest: inspect(photo) for photo in photos})


def picture(seed: int, width: int = 192, height: int = 160) -> np.ndarray:
    """Noise on a gradient: uint8 [height, width, 3]."""
    draw = np.random.default_rng(seed)
    gradient = np.linspace(40, 200, width)[None, :, None] + np.linspace(0, 30, height)[:, None, None]
    return np.clip(gradient + draw.normal(0, 6, (height, width, 3)), 0, 255).astype(np.uint8)


@pytest.fixture(scope="session")
def photo_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four devices, two photographs each, as JPEG and PNG.  Read it, do not write to it."""
    folder = tmp_path_factory.mktemp("photographs")
    for device in range(4):
        (folder / f"device-{device}").mkdir()
        Image.fromarray(picture(2 * device)).save(folder / f"device-{device}" / "one.jpg", quality=95)
        Image.fromarray(picture(2 * device + 1)).save(folder / f"device-{device}" / "two.png")
    assert len(find_photos([folder]).photos) == 8
    return folder


@pytest.fixture
def photos(photo_folder: Path, tmp_path: Path) -> Path:
    """A copy of the photo folder that a test may change."""
    return Path(shutil.copytree(photo_folder, tmp_path / "photographs"))


@pytest.fixture(scope="session")
def tiny_yaml(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of the tiny study."""
    return write_study(tmp_path_factory.mktemp("study") / "tiny.yaml", tiny_settings())


@pytest.fixture(scope="session")
def finished(tiny_yaml: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the tiny study after an uninterrupted run.  Read it, do not write to it."""
    out = tmp_path_factory.mktemp("finished") / "tiny"
    outcome = run_study(load_study(str(tiny_yaml)), out, workers=2)
    assert outcome.failures == ()
    return out


@pytest.fixture
def copy(finished: Path, tmp_path: Path) -> Path:
    """A copy of the finished study that a test may change."""
    return Path(shutil.copytree(finished, tmp_path / "copy", symlinks=True))


@pytest.fixture
def no_report(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the drawing out where a test is about something else."""
    monkeypatch.setattr("counterforensics.report.write_report", lambda outcome, out: out / "report.html")


@dataclass(frozen=True)
class Answer:
    """What a command left: its exit status and what it printed."""

    status: int
    out: str
    err: str


Command = Callable[..., Answer]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Run `counterforensics ARGUMENTS` in this process, as the console script does."""
    from counterforensics.cli import main

    # Wherever the tests run, output goes into a pipe of 100 columns.
    monkeypatch.setenv("COLUMNS", "100")
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)

    def run(*arguments: object) -> Answer:
        monkeypatch.setattr(sys, "argv", ["counterforensics", *map(str, arguments)])
        capsys.readouterr()
        status = 0
        try:
            main()
        except SystemExit as leaving:
            status = int(leaving.code or 0)
        printed = capsys.readouterr()
        return Answer(status, printed.out, printed.err)

    return run


@pytest.fixture
def refused(command: Command) -> Callable[..., str]:
    """Run a command that must be refused: exit 2 and one line; returns the message of that line."""

    def run(*arguments: object) -> str:
        answer = command(*arguments)
        assert answer.status == 2, answer
        assert answer.out == ""
        assert answer.err.startswith("counterforensics: ")
        assert answer.err.endswith("\n")
        assert answer.err.count("\n") == 1, answer.err
        assert "Traceback" not in answer.err
        return answer.err.removeprefix("counterforensics: ").removesuffix("\n")

    return run
