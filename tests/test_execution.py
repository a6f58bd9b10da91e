"""One attempt at a task: what becomes of it when the store, another attempt or a need of it gets in the way."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from counterforensics.errors import StudyError
from counterforensics.study.schedulers import execute
from counterforensics.study.schedulers.execute import Failed, attempt
from counterforensics.study.schedulers.journal import RUN
from counterforensics.study.status import status_of
from counterforensics.study.store.folder import FolderStore, Store
from counterforensics.study.tasks import TRAIN, Task

TASK = Task(TRAIN, {"detector": "nobody"}, {"patches": ("ab" * 32,)}, "train nobody")
RAN = "the run"


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "store")


def keep(store: Store, key: str) -> None:
    with store.writing(key, "something") as folder:
        (folder / "result.txt").write_text("a result", encoding="utf-8")


def become(monkeypatch: pytest.MonkeyPatch, run: Callable[[Task, Store], None]) -> None:
    """Make this what running a task does."""
    monkeypatch.setattr(execute, "run_task", lambda task, store, say: run(task, store))


def tried(store: Store) -> Failed | None:
    return attempt(TASK, store, RAN, lambda text: None, [])


def outcomes(store: Store) -> list[str]:
    return sorted(note["outcome"] for note in store.notes())


def test_a_store_that_takes_no_notes_fails_no_task(store: FolderStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: Any) -> None:
        raise StudyError("the store refuses")

    monkeypatch.setattr(store, "note", refused)
    become(monkeypatch, lambda task, store: keep(store, task.key))
    assert tried(store) is None
    assert store.has(TASK.key)


def test_the_second_of_two_attempts_fails_nothing_when_the_first_takes_away_what_it_went_on_from(
    store: FolderStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def second(task: Task, store: Store) -> None:
        checkpoint = store.partial(task.key) / "checkpoint"
        checkpoint.parent.mkdir(parents=True)
        keep(store, task.key)  # the first one ends
        checkpoint.write_text("half of it", encoding="utf-8")

    become(monkeypatch, second)
    assert tried(store) is None
    assert outcomes(store) == ["found"]


@pytest.mark.parametrize("there", [True, False])
def test_a_task_says_where_it_failed_unless_what_it_reads_is_gone(
    store: FolderStore, monkeypatch: pytest.MonkeyPatch, there: bool
) -> None:
    def fails(task: Task, store: Store) -> None:
        raise FileNotFoundError("patches.npy")

    become(monkeypatch, fails)
    if there:
        keep(store, TASK.needs["patches"][0])
    words = "FileNotFoundError: patches.npy (test_execution.py:" if there else "what it reads is damaged or gone"
    found = tried(store)
    assert found is not None
    assert found.reason.startswith(words)
    assert outcomes(store) == ["failed"]


def test_what_was_there_already_counts_as_done(store: FolderStore, tmp_path: Path) -> None:
    keep(store, TASK.key)
    assert tried(store) is None
    record = {"run": RAN, "store": str(store), "began": "2026-01-01T00:00:00+00:00", "ended": ""}
    tasks = {"tasks": {TASK.key: [TASK.kind.name, TASK.label]}}
    (tmp_path / RUN).write_text(json.dumps(record | tasks), encoding="utf-8")
    found = status_of(tmp_path)
    assert found.kinds["train"] == {"total": 1, "done": 1, "running": 0, "failed": 0}
    assert found.seconds_left is None


def test_the_status_of_a_run_makes_no_store_where_none_is(store: FolderStore, tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    record = {"run": RAN, "store": str(gone), "began": "2026-01-01T00:00:00+00:00", "ended": "", "tasks": {}}
    (tmp_path / RUN).write_text(json.dumps(record), encoding="utf-8")
    before = tmp_path.stat().st_mtime_ns
    assert status_of(tmp_path).kinds == {}
    assert not gone.exists()
    assert tmp_path.stat().st_mtime_ns == before
