"""A study that is killed, at any moment and again and again, ends with the same rows and the same facts of trainings.

Two studies have every kind of task between them: one attacks patches, and trains networks and a generator; the other
attacks whole photographs. COUNTERFORENSICS_KILLS says how often each is killed; three times unless told, once by each
signal.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from counterforensics.study.run import run_study
from counterforensics.study.settings import load_study
from counterforensics.study.tasks import KINDS
from tests.conftest import plan_of, tiny_settings, write_study

KILLS = int(os.environ.get("COUNTERFORENSICS_KILLS", "3"))
SCRIPT = Path(sys.executable).with_name("counterforensics")
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
NETWORK = "mislnet:steps=4,pairs_per_step=2,curriculum=true,start=spam,start_steps=2"


SETTINGS = {
    "patches": tiny_settings(
        manipulations=["median:7", "median:3"],
        detectors=["spam-svm", NETWORK],
        attacks=[{"attack": "fgsm", "targets": [NETWORK]}, "gan-kim:size=small,steps=2,pairs_per_step=2"],
    ),
    "photographs": tiny_settings(
        patches={"per_photo": 6, "attacked_photos": 1},
        manipulations=["median:7"],
        detectors=["spam-svm", "trained:cozzolino2017"],
        attacks=[{"attack": "spam-descent", "targets": ["spam-svm"]}],
        laundering=["none", "jpeg:85"],
    ),
}


@pytest.fixture(scope="module", params=SETTINGS)
def study(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of seconds."""
    return write_study(tmp_path_factory.mktemp("killed") / "killed.yaml", SETTINGS[request.param])


def test_the_studies_have_every_kind_of_task(tmp_path: Path) -> None:
    studies = [load_study(str(write_study(tmp_path / f"{name}.yaml", one))) for name, one in SETTINGS.items()]
    assert {task.kind.name for study in studies for task in plan_of(study).tasks.values()} == set(KINDS)


@pytest.fixture(scope="module")
def whole(study: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of that study after an uninterrupted run.  Read it, do not write to it."""
    out = tmp_path_factory.mktemp("whole") / "out"
    assert run_study(load_study(str(study)), out, workers=2).failures == ()
    return out


def trainings(out: Path) -> str:
    """The facts of all trainings but the time that they took."""
    return pd.read_csv(out / "trainings.csv", dtype=str).drop(columns="seconds").to_csv()


def assert_same(out: Path, whole: Path, total: int) -> None:
    """The rows and the facts of trainings of a killed run are those of one that nothing interrupted."""
    assert (out / "rows.csv").read_bytes() == (whole / "rows.csv").read_bytes()
    assert trainings(out) == trainings(whole)
    assert entries(out) == total


def entries(out: Path) -> int:
    """How many results are kept so far."""
    return sum(1 for _ in out.glob("store/??/*/entry.json"))


def started(out: Path) -> int:
    """Another number for every run that has claimed the folder: each puts the settings in place anew."""
    settings = out / "study.yaml"
    return settings.stat().st_mtime_ns if settings.exists() else 0


def hear_interrupts() -> None:
    """What a shell runs in the background ignores SIGINT, and hands that on."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def run_until(out: Path, study: Path, wanted: int, delay: float, how: signal.Signals) -> int:
    """Run the study until it keeps `wanted` results and `delay` seconds more, then send it `how`; its exit status."""
    before = started(out)
    command = [str(SCRIPT), "run", str(study), "--out", str(out)]
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=hear_interrupts
    ) as process:
        while process.poll() is None and (started(out) == before or entries(out) < wanted):
            time.sleep(0.002)
        time.sleep(delay)
        process.send_signal(how)
        return process.wait()


@pytest.mark.skipif(not SCRIPT.exists(), reason="the console script is not installed beside this Python")
def test_rows_are_the_same_after_any_number_of_kills(study: Path, whole: Path, tmp_path: Path) -> None:
    # Moments are counted in results rather than seconds, so that they fall inside the run on any machine.
    draw = np.random.default_rng(20180904)
    total = entries(whole)
    out = tmp_path / "out"
    for kill in range(KILLS):
        if (out / "rows.csv").exists():  # it ended before the last signal came: the next kills hit a new run
            assert_same(out, whole, total)
            out = tmp_path / f"out-{kill}"
        kept = entries(out)
        wanted = kept + int(draw.uniform(0, 1.6 / (KILLS - kill + 1)) * (total - kept))
        how = SIGNALS[kill % len(SIGNALS)]
        status = run_until(out, study, wanted, draw.uniform(0, 0.3), how)
        was_killed = status == -signal.SIGKILL if how == signal.SIGKILL else status != 0
        assert was_killed or (status == 0 and (out / "rows.csv").exists())
        assert wanted <= entries(out) <= total
        assert not (out / "rows.csv").exists() or entries(out) == total
    assert run_study(load_study(str(study)), out, workers=2).failures == ()
    assert_same(out, whole, total)
    assert list((out / "store" / "unfinished").iterdir()) == []
