"""What is known of this process's memory."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from counterforensics import detectors
from counterforensics.errors import PhotoError, StudyError
from counterforensics.study import estimate
from counterforensics.study.estimate import estimate_study
from counterforensics.study.run import run_study
from counterforensics.study.schedulers import memory
from counterforensics.study.schedulers.cluster import Cluster
from tests.conftest import plan_of, tiny_study


def test_the_peak_is_at_least_what_was_held_and_never_falls() -> None:
    before = memory.peak_memory()
    held = np.ones(before // 8 + 4_000_000)  # more than all before
    assert memory.peak_memory() >= held.nbytes
    del held
    memory.release()
    assert memory.peak_memory() > before


def test_releasing_and_reusing_are_harmless_without_glibc(monkeypatch: pytest.MonkeyPatch) -> None:
    for known in (memory.of_glibc, memory.reuse):
        known.cache_clear()
    monkeypatch.setattr("ctypes.CDLL", lambda name: object())
    memory.release()
    memory.reuse()
    assert memory.of_glibc("malloc_trim") is None
    for known in (memory.of_glibc, memory.reuse):
        known.cache_clear()


# Compares patches through a store, so many, and says how much the process then held at most.
COMPARE = """
import sys
from pathlib import Path

import numpy as np

from counterforensics.study.schedulers.memory import peak_memory
from counterforensics.study.store.remote import open_store
from counterforensics.study.tasks import COMPARE, Task, run_task
from counterforensics.study.tasks.files import PATCHES

store = open_store(Path(sys.argv[1]))
for count in (128, 640):
    patches = np.random.default_rng(count).integers(0, 256, (count, 1, 128, 128), dtype=np.uint8)
    with store.writing(f"{count:064}", "patches") as folder:
        np.save(folder / PATCHES, patches)
    needs = {role: (f"{count:064}",) for role in ("pristine", "manipulated", "concealed")}
    run_task(Task(COMPARE, {"aligned": True}, needs), store, print)
    print(peak_memory() - patches.nbytes)
"""


def test_a_long_task_gives_memory_back_as_it_goes(tmp_path: Path) -> None:
    command = [sys.executable, "-c", textwrap.dedent(COMPARE), str(tmp_path / "store")]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    short, long = map(int, ran.stdout.split())
    # Where nothing is released in between, 1.6 times.
    assert long < 1.45 * short


# --- what a task takes, and what `plan` says of it

# Runs one task of a photograph, and says what the process then held at most, and what was foreseen.
TASK = """
import hashlib
import sys
from pathlib import Path

from counterforensics.manipulations import MANIPULATIONS
from counterforensics.photos.folder import FolderPhoto
from counterforensics.photos.simulated import SimulatedPhoto
from counterforensics.study.estimate import memory_of_task
from counterforensics.study.schedulers.memory import peak_memory
from counterforensics.study.store.folder import FolderStore
from counterforensics.study.tasks import CROP, SIMULATE, Task, Worker, run_task

place, text, width, height = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
pixels = width * height
if text == "simulate":
    photo = SimulatedPhoto("simulated-a", 0, width, height, 0)
    task = Task(SIMULATE, {"photo": photo.digest}, photo=photo, pixels=pixels)
else:
    path = place / "photo.png"
    photo = FolderPhoto("device", path, hashlib.sha256(path.read_bytes()).hexdigest())
    part = None if text == "pristine" else MANIPULATIONS.parse(text)
    workers = {} if part is None else {"manipulation": Worker(part, text, {}, MANIPULATIONS)}
    settings = {"per_photo": 24, "size": 128, "channels": "luma", "seed": 0, "photo": photo.digest}
    task = Task(CROP, settings, {}, text, workers, photo, pixels=pixels)
run_task(task, FolderStore(place / "store"), print)
print(peak_memory(), memory_of_task(task, None))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a peak includes other things")
@pytest.mark.parametrize(
    ("text", "width", "height"),
    [
        ("resize:1.5", 4000, 3000),
        ("resize:4", 4000, 3000),
        ("jpeg:70", 4000, 3000),
        ("resize:1.5", 13000, 13000),
        ("simulate", 2048, 1536),
    ],
)
def test_the_memory_that_is_foreseen_is_what_a_photograph_takes(
    tmp_path: Path, text: str, width: int, height: int
) -> None:
    if text != "simulate":
        Image.new("RGB", (width, height), (9, 99, 199)).save(tmp_path / "photo.png")
    command = [sys.executable, "-W", "ignore", "-c", TASK, str(tmp_path), text, str(width), str(height)]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    taken, foreseen = map(int, ran.stdout.split())
    assert taken / 1.5 < foreseen < 1.5 * taken
    assert taken < 3.2e9


# Runs one task of a finished study again, and says what the process then held at most, and what was foreseen.
AGAIN = """
import sys
from pathlib import Path

from counterforensics.study.estimate import Durations, memory_of_task, shipped_durations
from counterforensics.study.prepare import prepare
from counterforensics.study.progress import Progress
from counterforensics.study.schedulers.memory import peak_memory
from counterforensics.study.settings import load_study
from counterforensics.study.store.folder import FolderStore
from counterforensics.study.tasks import run_task

store = FolderStore(Path(sys.argv[2]))
plan = prepare(load_study(sys.argv[1]), store, 1, Progress(quiet=True)).plan
task = next(task for task in plan.tasks.values() if task.kind.name == sys.argv[3])
store.discard(task.key)
run_task(task, store, print)
print(peak_memory(), memory_of_task(task, Durations({}, shipped_durations()).of(task)[0]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a peak includes other things")
@pytest.mark.parametrize("kind", ["train", "conceal", "judge", "compare", "measure"])
def test_the_memory_that_is_foreseen_is_what_a_task_of_each_kind_takes(copy: Path, tiny_yaml: Path, kind: str) -> None:
    command = [sys.executable, "-W", "ignore", "-c", AGAIN, str(tiny_yaml), str(copy / "store"), kind]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    taken, foreseen = map(int, ran.stdout.split())
    assert taken / 1.5 < foreseen < 1.5 * taken


# Restores a photograph in one piece, and says by how much the process grew at most.
RESTORED = """
import sys

import numpy as np
import torch

from counterforensics.attacks import parse
from counterforensics.sliding.concealing import conceal_without_target
from counterforensics.study.schedulers.memory import peak_memory

attack = parse("gan-kim:size=small")
generator = attack.build()
generator.initialise(torch.Generator().manual_seed(0))
prepared = attack.prepare_with(generator.eval())
photo = np.random.default_rng(0).integers(0, 256, (768, 1024, 3)).astype(np.uint8)
conceal_without_target(photo[:128, :128], prepared, at_once=True)
before = peak_memory()
conceal_without_target(photo, prepared, at_once=True)
print(peak_memory() - before, attack.bytes_per_pixel * 768 * 1024)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a peak includes other things")
def test_the_memory_that_is_foreseen_is_what_a_generator_takes_for_a_photograph() -> None:
    ran = subprocess.run([sys.executable, "-W", "ignore", "-c", RESTORED], capture_output=True, text=True, check=True)
    taken, foreseen = map(int, ran.stdout.split())
    assert taken / 1.5 < foreseen < 1.5 * taken


@pytest.mark.parametrize("name", [*sorted(set(detectors.DETECTORS) - {"trained"}), "trained:mislnet"])
def test_the_memory_of_every_detector_is_known(tmp_path: Path, name: str) -> None:
    study = tiny_study(tmp_path, detectors=[name], attacks=[], manipulations=["median:7"])
    tasks = plan_of(study).tasks.values()
    known = estimate.Durations({}, estimate.shipped_durations())
    worked = [task for task in tasks if task.amount and task.kind.name != "crop"]
    assert [task.label for task in worked if known.of(task)[0] is None] == []


@pytest.mark.parametrize(("kind", "grows"), [("judge", True), ("conceal", True), ("compare", True), ("learn", False)])
def test_the_memory_that_is_foreseen_grows_with_the_side_of_the_patches(tmp_path: Path, kind: str, grows: bool) -> None:
    foreseen = []
    for size in (128, 192):
        settings = {"detectors": ["spam-svm"], "attacks": [{"attack": "gan-kim:size=small"}]}
        study = tiny_study(tmp_path, patches={"size": size, "per_photo": 1}, **settings)
        foreseen.append(estimate_study(study, tmp_path / "out", workers=1).kinds[kind].memory)
    assert (foreseen[0] < foreseen[1]) == grows


def test_no_photograph_and_manipulation_that_take_too_much_come_into_a_study(tmp_path: Path) -> None:
    for device in "abc":
        (tmp_path / "photos" / device).mkdir(parents=True)
        for number in range(2):
            colour = (9 * ord(device) % 256, number, 9)
            Image.new("RGB", (4000, 3000), colour).save(
                tmp_path / "photos" / device / f"{number}.png", compress_level=1
            )
    photos = {"folders": [str(tmp_path / "photos")]}
    study = tiny_study(tmp_path, photos=photos, manipulations=["resize:10"], split={"test": 1}, attacks=[])
    with pytest.raises(PhotoError, match=r"resize:10 of 4000x3000 takes 4\.9 GB of memory, at most 2\.7 work"):
        estimate_study(study, tmp_path / "out")


@pytest.mark.parametrize(
    ("detector", "attacks", "named"),
    [
        ("cozzolino2017:pairs_per_step=4096", [], "train cozzolino2017:pairs_per_step=4096 on "),
        ("spam-svm", [{"attack": "gan-kim:pairs_per_step=4096"}], "learn gan-kim:pairs_per_step=4096 on "),
    ],
)
def test_a_training_that_takes_more_memory_than_there_is_is_refused_before_anything_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, detector: str, attacks: list[Any], named: str
) -> None:
    monkeypatch.setattr(estimate, "memory_of_machine", lambda: 8 * 2**30)
    monkeypatch.setattr(estimate, "best_device", lambda: torch.device("cpu"))
    study = tiny_study(tmp_path, detectors=[detector], attacks=attacks, manipulations=["median:7"])
    for run in (run_study, estimate_study):
        with pytest.raises(StudyError, match=rf"^{named}.*: takes about .* GB of memory, .* a smaller pairs_per_step"):
            run(study, tmp_path / "out")


@pytest.mark.parametrize(("gpu", "refused"), [(False, True), (True, False)])
def test_workers_of_a_cluster_refuse_a_training_by_the_least_of_their_limits(
    tmp_path: Path, gpu: bool, refused: bool
) -> None:
    study = tiny_study(tmp_path, detectors=["mislnet:pairs_per_step=4096"], attacks=[], manipulations=["median:7"])
    there = cluster_of({"tcp://a": 64 * 2**30, "tcp://b": 4 * 2**30, "tcp://c": 0}, offers_gpu=gpu)
    assert there.room() == memory.MemoryLimit(4 * 2**30, "the worker tcp://b", gpu)
    said: list[str] = []
    with nullcontext() if not refused else pytest.raises(StudyError, match="and the worker tcp://b has 4; give a sm"):
        estimate.check_memory(plan_of(study), there.room(), said.append)
    assert said == []


def test_workers_without_a_limit_say_nothing_of_their_memory_and_a_run_says_so(tmp_path: Path) -> None:
    study = tiny_study(tmp_path, detectors=["mislnet:pairs_per_step=4096"], attacks=[], manipulations=["median:7"])
    room = cluster_of({"tcp://a": 0, "tcp://b": None}).room()
    said: list[str] = []
    estimate.check_memory(plan_of(study), room, said.append)
    (line,) = said
    assert line.startswith("train mislnet:pairs_per_step=4096 on ")
    assert line.endswith("no worker at tcp://here sets a limit: it fails if there is less")


def test_workers_that_are_started_here_have_the_memory_of_the_machine() -> None:
    there = cluster_of({"tcp://a": None})
    there.client.cluster = "one of ours"
    assert there.room() == memory.MemoryLimit(memory.memory_of_machine(), "this machine", gpu=False)


def cluster_of(limits: dict[str, int | None], *, offers_gpu: bool = False) -> Cluster:
    """A cluster whose workers have such limits of memory."""
    workers = {worker: {"memory_limit": limit} for worker, limit in limits.items()}
    client = SimpleNamespace(cluster=None, scheduler_info=lambda count: {"workers": workers})
    return Cluster(client, "tcp://here", offers_gpu)


def test_who_needs_memory_waits_until_there_is_some() -> None:
    budget = memory.Budget(100)
    held, most, together = 0, 0, threading.Lock()

    def take(size: int) -> None:
        nonlocal held, most
        with budget.taken(size):
            with together:
                held += min(size, 100)
                most = max(most, held)
            with together:
                held -= min(size, 100)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(take, [60, 30, 500, 10] * 100))
    assert most <= 100
    with budget.taken(100):
        pass


@pytest.mark.skipif(sys.platform != "linux", reason="a peak begins anew on Linux alone")
def test_the_peak_of_a_task_is_not_that_of_the_one_before() -> None:
    with memory.peak_of_task():
        held = np.ones(40_000_000)
        before = memory.peak_memory()
        del held
    memory.release()
    with memory.peak_of_task():
        assert memory.peak_memory() < before - 200_000_000
