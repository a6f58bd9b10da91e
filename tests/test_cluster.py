"""The same study on a Dask cluster: the same rows, and clear words where it cannot run."""

from __future__ import annotations

import dataclasses
import importlib.util
import operator
import os
import platform
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dask
import pandas as pd
import pytest

from counterforensics import __version__
from counterforensics.attacks import ATTACKS
from counterforensics.detectors import DETECTORS
from counterforensics.errors import StudyError
from counterforensics.names import Registry
from counterforensics.photos.patches import SIZE
from counterforensics.study.schedulers import cluster
from counterforensics.study.schedulers.cluster import Cluster, connected
from counterforensics.study.schedulers.execute import Failed, Job, JobList
from counterforensics.study.store.folder import FolderStore
from counterforensics.study.tasks import CONCEAL, CROP, JUDGE, LEARN, MEASURE, Task, Worker
from tests.conftest import Command, picture, tiny_settings, write_study

pytestmark = pytest.mark.skipif(importlib.util.find_spec("distributed") is None, reason="distributed is not installed")


@pytest.mark.filterwarnings("ignore")
def test_a_study_on_worker_processes_gives_the_same_rows(
    finished: Path, tiny_yaml: Path, tmp_path: Path, command: Command, no_report: None
) -> None:
    answer = command("run", tiny_yaml, "--out", tmp_path / "out", "--cluster", "local", "--workers", "2")
    assert answer.status == 0, answer
    assert "2 workers, 0 with a GPU; dashboard http://" in answer.err
    assert (tmp_path / "out" / "rows.csv").read_bytes() == (finished / "rows.csv").read_bytes()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """A disk of our own; call it with options of `mount` to change what it takes, for where it is."""
    place = tmp_path / "disk"
    place.mkdir()

    def mount(options: str) -> Path:
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)]
        done = subprocess.run(command, capture_output=True, text=True) if shutil.which("mount") else None
        if done is None or done.returncode:
            pytest.skip(f"disks of our own are not allowed ({done.stderr.strip() if done else 'no mount'})")
        return place

    mount("size=1500k")
    yield mount
    subprocess.run(["umount", str(place)], check=True)


@pytest.mark.filterwarnings("ignore")
def test_a_full_store_ends_a_run_with_holes_and_the_next_one_fills_them(
    finished: Path, tiny_yaml: Path, tmp_path: Path, command: Command, disk: Callable[[str], Path], no_report: None
) -> None:
    store = disk("remount,size=1500k") / "store"
    words = ("run", tiny_yaml, "--out", tmp_path / "out", "--store", store, "--cluster", "local", "--workers", "2")
    full = command(*words)
    assert full.status == 2
    assert f"cannot write to {store} (No space left on device)" in full.out
    assert "tasks failed; run the same command again to retry them" in full.err
    disk("remount,size=100m")
    assert command(*words).status == 0
    assert (tmp_path / "out" / "rows.csv").read_bytes() == (finished / "rows.csv").read_bytes()


def test_a_store_that_may_only_be_read_is_refused_here_and_named_of_a_worker(
    tiny_yaml: Path, tmp_path: Path, command: Command, disk: Callable[[str], Path]
) -> None:
    store = FolderStore(disk("remount,size=100m") / "store")
    disk("remount,ro")
    answer = command("run", tiny_yaml, "--out", tmp_path / "out", "--store", store, "--cluster", "local")
    assert answer.status == 2
    assert f"cannot write to {store} (Read-only file system); choose another folder with --out or --store" in answer.err
    assert not (tmp_path / "out" / "rows.csv").exists()
    # What a worker answers before work starts.
    key = "0" * 64
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "has", lambda known: known == key)
        trouble = cluster.trouble(store, key, [])
    assert trouble.startswith(f"cannot use the store {store} (")
    assert "Read-only file system" in trouble


@pytest.mark.filterwarnings("ignore")
def test_an_address_where_nothing_listens_is_one_clear_line(
    tiny_yaml: Path, tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("counterforensics.study.schedulers.cluster.SECONDS_TO_ANSWER", 1)
    answer = command("run", tiny_yaml, "--out", tmp_path / "out", "--cluster", "tcp://127.0.0.1:9")
    assert answer.status == 2
    assert "no Dask scheduler answers at 'tcp://127.0.0.1:9'" in answer.err
    assert "Traceback" not in answer.err


@pytest.mark.parametrize(
    "greeting",
    [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", bytes(2**22), b"\xff" * 2**22, bytes([1] + 7 * [0]) * 2**19],
    ids=["silence", "HTTP", "zeros", "ones", "small numbers"],
)
@pytest.mark.filterwarnings("ignore")
def test_an_address_where_something_else_listens_is_one_clear_line(
    greeting: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "SECONDS_TO_ANSWER", 1)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"tcp://127.0.0.1:{listener.getsockname()[1]}"
        open_lines: list[socket.socket] = []

        def listen() -> None:
            with suppress(OSError):  # closed
                while True:
                    open_lines.append(listener.accept()[0])
                    with suppress(OSError):  # the other has heard enough
                        open_lines[-1].sendall(greeting)

        threading.Thread(target=listen, daemon=True).start()
        with (
            pytest.raises(StudyError, match=f"no Dask scheduler answers at '{address}'"),
            connected(address, gpu=False, workers=1, say=lambda text: None),
        ):
            pass
        for line in open_lines:
            line.close()


def test_a_gpu_asked_for_without_a_cluster_is_one_clear_line(tiny_yaml: Path, tmp_path: Path, command: Command) -> None:
    answer = command("run", tiny_yaml, "--out", tmp_path / "out", "--gpu")
    assert answer.status == 2
    assert "give --cluster" in answer.err


@pytest.mark.filterwarnings("ignore")
def test_a_gpu_that_no_worker_offers_is_one_clear_line(tiny_yaml: Path, tmp_path: Path, command: Command) -> None:
    answer = command("run", tiny_yaml, "--out", tmp_path / "out", "--cluster", "local", "--workers", "1", "--gpu")
    assert answer.status == 2
    assert "no worker at local offers the resource GPU; start them with --resources GPU=1" in answer.err


@dataclass
class Poisoned:
    """A photograph that ends the process which reads it, as one that needs more memory than there is."""

    digest: str
    name: str = "poisoned"

    def read(self) -> Any:
        os.kill(os.getpid(), signal.SIGKILL)


@dataclass
class Harmless:
    """A photograph."""

    digest: str
    name: str = "harmless"

    def read(self) -> Any:
        return picture(0)


def crop(photo: Any) -> Task:
    settings = {
        "manipulation": None,
        "per_photo": 1,
        "seed": 0,
        "size": SIZE,
        "channels": "luma",
        "photo": photo.digest,
    }
    return Task(CROP, settings, {}, f"crop {photo.name}", photo=photo)


@pytest.mark.filterwarnings("ignore")
def test_a_task_that_no_worker_survives_is_given_up_and_its_neighbours_go_on(tmp_path: Path) -> None:
    import cloudpickle  # type: ignore[import-untyped]

    import tests.test_cluster

    cloudpickle.register_pickle_by_value(tests.test_cluster)
    poisoned = crop(tests.test_cluster.Poisoned("p"))
    harmless = [crop(tests.test_cluster.Harmless(str(number))) for number in range(3)]
    heir = Task(MEASURE, {}, {"patches": (poisoned.key,)}, "measure nobody")
    by_key = {
        task.key: Job(task, tuple(key for keys in task.needs.values() for key in keys)) for task in [poisoned, heir]
    }
    store = FolderStore(tmp_path)
    jobs = JobList("a run", store, by_key | {task.key: Job(task, ()) for task in harmless})
    ended: dict[str, Failed | None] = {}
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 1}),
        connected("local", gpu=False, workers=2, say=lambda text: None) as there,
    ):
        there.run(jobs, ended.__setitem__, lambda text: None)
    assert {task.key: ended[task.key] for task in harmless} == {task.key: None for task in harmless}
    assert all(store.has(task.key) for task in harmless)
    found = ended[poisoned.key]
    assert found is not None
    assert found.reason.startswith(
        "given up after the workers that ran it, and nothing beside it, were lost 2 times, the last at tcp://"
    )
    assert ended[heir.key] == Failed("")


class Answering:
    """Stands for a client whose workers answer so."""

    def __init__(self, versions: Mapping[str, str], answers: Mapping[str, Any]) -> None:
        self.versions, self.answers = versions, answers

    def get_versions(self, packages: list[str]) -> Any:
        host = {"python": f"{self.versions.get('Python', platform.python_version())}.final.0"}
        ours = {"counterforensics": self.versions.get("counterforensics", __version__)}
        return {"workers": {"tcp://there:1": {"host": host, "packages": ours}}}

    def run(self, *_: Any, **__: Any) -> Any:
        return self.answers


@pytest.mark.parametrize(
    ("what", "version"),
    [
        ("Python", "3.9.1"),
        ("Python", f"{platform.python_version()}0"),
        ("counterforensics", "0.0.1"),
        ("counterforensics", f"{__version__}rc1"),
    ],
)
def test_a_worker_of_another_version_is_named_and_nothing_starts(tmp_path: Path, what: str, version: str) -> None:
    there = Cluster(Answering({what: version}, {}), "tcp://there", False)
    with pytest.raises(
        StudyError, match=rf"the worker tcp://there:1 has {what} {version}.*; install the same on every"
    ):
        there.check(FolderStore(tmp_path), [])


def test_a_worker_that_is_lost_while_it_is_greeted_is_a_loss_like_any_other(tmp_path: Path) -> None:
    lost = OSError("closed")
    Cluster(Answering({}, {"a": lost, "b": ""}), "tcp://there", False).check(FolderStore(tmp_path), [])
    with pytest.raises(StudyError, match="no worker at tcp://there answers"):
        Cluster(Answering({}, {"a": lost}), "tcp://there", False).check(FolderStore(tmp_path), [])


@pytest.mark.parametrize(
    ("folder", "store", "words"),
    [("no such folder", "", "does not see the photographs in no such folder"), (".", "elsewhere", "share the folder")],
)
def test_a_worker_that_does_not_see_what_it_needs_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str, store: str, words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    seen = FolderStore(tmp_path / store)
    trouble = cluster.trouble(seen, "an unknown key", [folder])
    assert words in trouble
    with pytest.raises(StudyError, match="the worker tcp://there:1 "):
        Cluster(Answering({}, {"tcp://there:1": trouble}), "tcp://there", False).check(seen, [])


@contextmanager
def seen_twice() -> Iterator[tuple[Cluster, Cluster]]:
    """A cluster of one worker, as the run that started it sees it, and as one that was given its address."""
    with (
        connected("local", gpu=False, workers=1, say=lambda text: None) as ours,
        connected(ours.client.scheduler.address, gpu=False, workers=1, say=lambda text: None) as there,
    ):
        yield ours, there


@pytest.mark.filterwarnings("ignore")
def test_a_cluster_without_workers_says_that_it_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "SECONDS_BETWEEN_LOOKS", 0.1)
    said: list[str] = []
    with seen_twice() as (ours, there):
        ours.client.retire_workers(close_workers=True)
        with there.watched(said.append):
            while not said:
                time.sleep(0.05)
    assert said[0].endswith("has no workers left; waiting for some, finished work is kept")


@pytest.mark.filterwarnings("ignore")
def test_a_cluster_that_lost_its_gpu_says_that_some_tasks_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "SECONDS_BETWEEN_LOOKS", 0.1)
    said: list[str] = []
    with seen_twice() as (_, there), dataclasses.replace(there, offers_gpu=True).watched(said.append):
        while not said:
            time.sleep(0.05)
    assert said[0].endswith("offers a GPU any more; what needs one waits for it")


@pytest.mark.filterwarnings("ignore")
def test_a_worker_of_another_version_that_came_late_does_no_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task, store, ended = crop(Harmless("late")), FolderStore(tmp_path), dict[str, Failed | None]()
    with connected("local", gpu=False, workers=1, say=lambda text: None) as there:
        monkeypatch.setitem(cluster.VERSIONS, "counterforensics", "0.0.1")
        there.run(JobList("a run", store, {task.key: Job(task, ())}), ended.__setitem__, lambda text: None)
    failed = ended[task.key]
    assert failed is not None
    assert failed.reason.startswith("StudyError: the worker tcp://127.0.0.1:")
    assert f"has counterforensics {__version__}, the run has 0.0.1; install the same" in failed.reason
    assert not store.has(task.key)


LOCAL_CLUSTER = """
from counterforensics.study.schedulers.cluster import connected

if __name__ == "__main__":
    with connected("local", gpu=False, workers=1, say=print) as there:
        print(there.client.submit(abs, -1).result())
"""


def test_a_local_cluster_says_nothing_of_its_own(tmp_path: Path) -> None:
    script = tmp_path / "local_cluster.py"
    script.write_text(LOCAL_CLUSTER, encoding="utf-8")
    ran = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True)
    assert ran.stderr == ""
    assert ran.stdout.splitlines()[-1] == "1"


@pytest.mark.filterwarnings("ignore")
def test_a_worker_with_another_library_is_named_and_nothing_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with connected("local", gpu=False, workers=1, say=lambda text: None) as there:
        there.check(FolderStore(tmp_path), [])
        monkeypatch.setitem(cluster.VERSIONS, "OpenCV", "0.0.1")
        with pytest.raises(
            StudyError, match=r"the worker tcp://\S+ has OpenCV \S+, the run has 0\.0\.1; install the same"
        ):
            there.check(FolderStore(tmp_path), [])


@pytest.mark.filterwarnings("ignore")
def test_workers_of_this_machine_that_do_not_come_back_are_started_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "SECONDS_BETWEEN_LOOKS", 0.5)
    with (
        dask.config.set({"distributed.deploy.lost-worker-timeout": "100ms"}),
        connected("local", gpu=False, workers=1, say=lambda text: None) as there,
    ):
        there.client.retire_workers(close_workers=True)
        with there.watched(lambda text: None):
            assert there.client.submit(os.getpid).result(timeout=120) != os.getpid()


class Topics:
    """Stands for a client to which nobody says anything."""

    def subscribe_topic(self, *_: Any) -> None:
        """Nobody does."""


def test_what_was_lost_beside_another_runs_once_more_alone_and_every_job_ends_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from distributed.scheduler import KilledWorker

    def lost(key: str) -> KilledWorker:
        return KilledWorker(key, SimpleNamespace(address="tcp://there:1"), 1)

    before: dict[str, tuple[str, ...]] = {
        "deadly": (),
        "heir": ("deadly",),
        "its heir": ("heir",),
        "beside": (),
        "child": ("beside",),
        "full": (),
    }
    rounds: list[list[str]] = []

    def one_round(self: Cluster, keys: list[str], jobs: JobList, ended: Any, end: Any) -> dict[str, Exception]:
        rounds.append(list(keys))
        found: dict[str, Exception] = {}
        for key in keys:
            if key == "deadly" or (key == "beside" and len(keys) > 1):
                found[key] = lost(key)
            elif key == "full":
                found[key] = StudyError("no room")
            elif all(needed in ended for needed in before[key]):
                end(key, Failed("") if any(ended[needed] for needed in before[key]) else None)
        return found

    monkeypatch.setattr(Cluster, "run_round", one_round)
    by_key = {key: Job(Task(CROP, {"name": key}), needed) for key, needed in before.items()}
    told: list[tuple[str, Failed | None]] = []
    Cluster(Topics(), "tcp://there", False).run(
        JobList("a run", FolderStore(tmp_path), by_key), lambda *ending: told.append(ending), lambda text: None
    )
    ended = dict(told)
    assert len(told) == len(ended) == len(before)
    assert ended["beside"] is ended["child"] is None
    assert ended["full"] == Failed("StudyError: no room")
    assert ended["heir"] == ended["its heir"] == Failed("")
    assert ended["deadly"] is not None
    assert ended["deadly"].reason.startswith(
        "given up after the workers that ran it, and nothing beside it, were lost 2 times"
    )
    assert rounds == [list(before), ["deadly"], ["beside"], ["heir", "its heir", "child"]]


@pytest.mark.parametrize("error", ["CancelledError", "client.ClosedClientError", "comm.CommClosedError"])
def test_a_scheduler_that_goes_away_is_one_clear_line_whatever_was_asked_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: str
) -> None:
    def gone(self: Cluster, *_: Any) -> dict[str, Exception]:
        raise operator.attrgetter(error)(importlib.import_module("distributed"))("Stream is closed")

    monkeypatch.setattr(Cluster, "run_round", gone)
    jobs = JobList("a run", FolderStore(tmp_path), {"a key": Job(Task(CROP, {}), ())})
    with pytest.raises(StudyError, match="the scheduler at tcp://there went away; finished work is kept"):
        Cluster(Topics(), "tcp://there", False).run(jobs, lambda *_: None, lambda text: None)


def by(**texts: str) -> dict[str, Worker]:
    """The workers of a task, from their text forms."""
    registries: dict[str, Registry[Any]] = {"recipe": DETECTORS, "target": DETECTORS, "attack": ATTACKS}
    return {role: Worker(registries[role].parse(text), text, {}, registries[role]) for role, text in texts.items()}


@pytest.mark.parametrize(
    ("task", "wanted"),
    [
        (Task(JUDGE, {}, workers=by(recipe="spam-svm")), False),
        (Task(JUDGE, {}, workers=by(recipe="cozzolino2017")), False),
        (Task(JUDGE, {}, workers=by(recipe="mislnet")), True),
        (Task(CROP, {}), False),
        (Task(LEARN, {}, workers=by(attack="gan-vgg")), True),
        (Task(CONCEAL, {}, workers=by(attack="gan-vgg:weights=folder")), True),
        (Task(CONCEAL, {}, workers=by(attack="fgsm", target="xception")), True),
        (Task(CONCEAL, {}, workers=by(attack="fgsm", target="cozzolino2017")), False),
        (Task(CONCEAL, {}, workers=by(attack="spam-descent", target="spam-svm")), False),
    ],
    ids=lambda value: f"{value.kind.name} {value.worker_name}" if isinstance(value, Task) else str(value),
)
def test_a_gpu_goes_to_what_can_use_it(task: Task, wanted: bool) -> None:
    assert task.uses_gpu is wanted


def test_a_study_on_one_shared_gpu_ends_in_time_with_what_is_done_and_goes_on(tmp_path: Path) -> None:
    study = write_study(
        tmp_path / "s.yaml", tiny_settings(manipulations=["median:7"], detectors=["spam-svm"], attacks=[])
    )
    root = Path(__file__).parent.parent
    tool = [sys.executable, "tools/on_one_gpu.py", str(study), "--out", str(tmp_path / "out"), "--workers", "1"]
    for minutes, is_whole in (("0", False), ("10", True)):
        found = subprocess.run([*tool, "--minutes", minutes], capture_output=True, text=True, cwd=root, timeout=300)
        assert found.returncode == 0, found.stderr
        assert ("The time is over" in found.stdout) != is_whole
        rows = pd.read_csv(tmp_path / "out" / "rows.csv")
        assert rows["tpr"].notna().all() == is_whole
        assert (tmp_path / "out" / "report.html").exists()
