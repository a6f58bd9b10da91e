"""Studies on a cluster of worker processes in network namespaces of their own, with the store on S3, through faults."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from counterforensics.study.run import run_study
from counterforensics.study.settings import load_study
from tests.conftest import tiny_settings, write_study
from tests.laboratory import Laboratory, laboratory, wait, why_not

NEEDED = ("distributed", "s3fs", "moto", "flask")
MISSING = [name for name in NEEDED if importlib.util.find_spec(name) is None]
REASON = f"not installed: {', '.join(MISSING)}" if MISSING else why_not()
pytestmark = pytest.mark.skipif(bool(REASON), reason=REASON)

# Each fault is another run of the whole study: more of them say more (CONTRIBUTING.md).
FAULTS = int(os.environ.get("COUNTERFORENSICS_FAULTS", "2"))
SECONDS_TO_END = 300.0


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laboratory]:
    with laboratory(tmp_path_factory.mktemp("laboratory")) as lab:
        yield lab


RUN = """
import sys
from pathlib import Path
from counterforensics.study.settings import load_study
from counterforensics.study.progress import Progress
from counterforensics.study.run import run_study

study, out, store, cluster = sys.argv[1:]
outcome = run_study(load_study(study), Path(out), store=store, cluster=cluster, progress=Progress())
sys.exit("; ".join(outcome.failures) or 0)
"""


def start(lab: Laboratory, study: Path, out: Path, store: str) -> subprocess.Popen[str]:
    """A run on the cluster in a process of its own; no report, which takes longer than all tasks."""
    command = [sys.executable, "-c", RUN, str(study), str(out), store, lab.scheduler]
    environment = lab.environment | {"COUNTERFORENSICS_COPIES": str(out.with_name(f"{out.name}-copies"))}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def ended(process: subprocess.Popen[str]) -> str:
    """What it printed; it must end well."""
    try:
        printed, _ = process.communicate(timeout=SECONDS_TO_END)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0, printed
    return printed


def wait_for_tasks(lab: Laboratory, process: subprocess.Popen[str], store: str, count: int) -> None:
    """Wait until so many tasks have begun."""
    wait(lambda: len(lab.files().glob(f"{store}/log/*")) >= count or process.poll() is not None, f"{count} tasks")
    assert process.poll() is None, ended(process)


def attempts_of(notes: list[dict[str, Any]]) -> Counter[str]:
    return Counter(note["key"] for note in notes)


def test_rows_are_those_of_one_process_and_every_task_ran_once(
    lab: Laboratory, finished: Path, tiny_yaml: Path, tmp_path: Path
) -> None:
    store = lab.bucket()
    printed = ended(start(lab, tiny_yaml, tmp_path / "out", store))
    assert "3 workers, 0 with a GPU" in printed
    assert (tmp_path / "out" / "rows.csv").read_bytes() == (finished / "rows.csv").read_bytes()
    notes = lab.attempts(store)
    assert set(attempts_of(notes).values()) == {1}
    assert {note["process"] for note in notes} == {worker.popen.pid for worker in lab.workers.values()}


@pytest.mark.parametrize("number", range(FAULTS))
def test_a_worker_that_is_lost_costs_what_it_was_at_and_nothing_else(
    lab: Laboratory, finished: Path, tiny_yaml: Path, tmp_path: Path, number: int
) -> None:
    """Even numbers are killed, odd ones cut off, at a moment and of a number that chance decides."""
    chance = np.random.default_rng([number, time.time_ns()])
    victim, moment = int(chance.integers(3)), int(chance.integers(1, 60))
    store = lab.bucket()
    process = start(lab, tiny_yaml, tmp_path / "out", store)
    worker = lab.workers[victim]
    wait_for_tasks(lab, process, store, moment)
    worker.kill() if number % 2 == 0 else lab.cut_off(victim)
    try:
        ended(process)
        rows = (tmp_path / "out" / "rows.csv").read_bytes()
        notes = lab.attempts(store)
    finally:
        lab.unplug(victim)
        lab.start_worker(victim)
    hit = {note["key"] for note in notes if note["process"] == worker.popen.pid and note["outcome"] != "done"}
    assert rows == (finished / "rows.csv").read_bytes()
    repeated = {key: count for key, count in attempts_of(notes).items() if count > 1 + (key in hit)}
    assert repeated == {}, f"worker {victim} was lost after {moment} tasks"


def test_two_runs_of_overlapping_studies_share_one_store(
    lab: Laboratory, finished: Path, tiny_yaml: Path, tmp_path: Path
) -> None:
    wider = tiny_settings(name="wider", manipulations=["median:7", "jpeg:70", "blur:1.1"])
    other = write_study(tmp_path / "wider.yaml", wider)
    store = lab.bucket()
    runs = [start(lab, study, tmp_path / study.stem, store) for study in (tiny_yaml, other)]
    for run in runs:
        ended(run)
    rows = (tmp_path / "tiny" / "rows.csv").read_text(encoding="utf-8")
    assert rows == (finished / "rows.csv").read_text(encoding="utf-8")
    shared = [line.replace("tiny,", "wider,", 1) for line in rows.splitlines()[1:]]
    assert set(shared) < set((tmp_path / "wider" / "rows.csv").read_text(encoding="utf-8").splitlines())
    assert max(attempts_of(lab.attempts(store)).values()) <= 2


def test_a_run_whose_scheduler_goes_away_says_so_and_the_next_one_goes_on(
    lab: Laboratory, finished: Path, tiny_yaml: Path, tmp_path: Path
) -> None:
    store = lab.bucket()
    process = start(lab, tiny_yaml, tmp_path / "out", store)
    wait_for_tasks(lab, process, store, 20)
    lab.others["scheduler"].kill()
    printed, _ = process.communicate(timeout=SECONDS_TO_END)
    assert process.returncode != 0
    assert f"the scheduler at {lab.scheduler} went away; finished work is kept" in printed
    lab.start_scheduler()
    done = {note["key"] for note in lab.attempts(store) if note["outcome"] == "done"}
    for number in list(lab.workers):
        lab.unplug(number)
        lab.start_worker(number)
    ended(start(lab, tiny_yaml, tmp_path / "out", store))
    assert (tmp_path / "out" / "rows.csv").read_bytes() == (finished / "rows.csv").read_bytes()
    counts = attempts_of(lab.attempts(store))
    assert {counts[key] for key in done} == {1}


def test_what_asks_for_a_gpu_runs_where_one_is_offered_and_nothing_else_is_held_up(
    lab: Laboratory, tmp_path: Path
) -> None:
    deep = "mislnet:steps=1,pairs_per_step=2"
    settings = {"detectors": ["spam-svm", deep], "attacks": [{"attack": "fgsm", "targets": [deep]}]}
    study = write_study(tmp_path / "deep.yaml", tiny_settings(manipulations=["median:7"], **settings))
    lab.start_worker(3, "--resources", "GPU=1")
    offers = lab.workers[3].popen.pid
    store = lab.bucket()
    try:
        printed = ended(start(lab, study, tmp_path / "out", store))
        notes = lab.attempts(store)
    finally:
        lab.unplug(3)
    run_study(load_study(str(study)), tmp_path / "here")
    assert "4 workers, 1 with a GPU" in printed
    assert (tmp_path / "out" / "rows.csv").read_bytes() == (tmp_path / "here" / "rows.csv").read_bytes()
    on_gpu = {note["process"] for note in notes if "mislnet" in note["worker_name"]}
    assert on_gpu == {offers}
    assert {note["process"] for note in notes if note["worker_name"] == "spam-svm"} - {offers}
