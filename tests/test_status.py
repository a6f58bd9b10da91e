"""What `counterforensics status` says of a run, from another terminal."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Callable, Iterator
from datetime import datetime, tzinfo
from pathlib import Path
from typing import Any, ClassVar

import pytest

from counterforensics.errors import TrainingError
from counterforensics.study import status
from counterforensics.study.run import run_study
from counterforensics.study.schedulers import journal
from counterforensics.study.schedulers.journal import RUN
from counterforensics.study.settings import load_study
from counterforensics.study.status import status_of
from counterforensics.study.store.folder import FolderStore
from counterforensics.study.tasks import TRAIN, Task, run_task
from tests.conftest import Command, tiny_study


def test_a_finished_run_is_done(finished: Path, command: Command) -> None:
    answer = command("status", finished, "--json")
    found = json.loads(answer.out)
    assert answer.status == 0
    assert found["ended"] >= found["began"]
    assert found["running"] == found["failed"] == []
    assert found["seconds_left"] is None
    assert all(counts["done"] == counts["total"] for counts in found["kinds"].values())
    assert {"crop", "train", "judge", "measure"} <= set(found["kinds"])


def test_what_is_running_and_what_failed_is_named(
    tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []

    def broken(task: Task, store: FolderStore, say: Callable[[str], None]) -> None:
        if task.kind is TRAIN:
            seen.append(command("status", tmp_path / "out").out)
            raise TrainingError("no such luck")
        run_task(task, store, say)

    monkeypatch.setattr("counterforensics.study.schedulers.execute.run_task", broken)
    run_study(tiny_study(tmp_path), tmp_path / "out", workers=1)
    assert "has not ended" in seen[0]
    assert "Running: train" in seen[0]
    answer = command("status", tmp_path / "out").out
    record = json.loads((tmp_path / "out" / RUN).read_text(encoding="utf-8"))
    assert f"ended {record['ended']}" in answer
    assert "has not ended" not in answer
    assert answer.count("no such luck") == len(seen)
    found = status_of(tmp_path / "out")
    assert found.kinds["train"]["failed"] == len(seen)
    assert found.kinds["train"]["done"] == found.kinds["train"]["running"] == 0
    assert found.kinds["measure"]["done"] == 0


def test_a_run_that_was_killed_shows_what_it_was_at(finished: Path, tmp_path: Path) -> None:
    record = json.loads((finished / RUN).read_text(encoding="utf-8"))
    store = FolderStore(tmp_path / "store")
    key, (kind, label) = next(iter(record["tasks"].items()))
    note = {"key": key, "kind": kind, "label": label, "run": record["run"], "began": record["began"], "seconds": 1.0}
    store.note("a.json", {**note, "outcome": "running", "said": ""})
    store.note("b.json", {**note, "run": "an earlier one", "outcome": "done", "said": ""})
    (tmp_path / RUN).write_text(json.dumps({**record, "ended": "", "store": str(store)}), encoding="utf-8")
    found = status_of(tmp_path)
    assert [note["label"] for note in found.running] == [label]
    assert found.kinds[kind]["done"] == 0
    store.note("c.json", {**note, "outcome": "done", "said": ""})
    counts = {**status_of(tmp_path).kinds[kind], "total": 0}
    assert counts == {"total": 0, "done": 1, "running": 0, "failed": 0}


NO_RUN = {
    "nothing": None,
    "half": "{",
    "a list": "[]",
    "an empty object": "{}",
    "nested deep": '{"a":' * 100_000,
    "tasks that are a list": '{"run": "r", "store": "s", "began": "2026-01-01T00:00Z", "ended": "", "tasks": []}',
    "a task that is a number": '{"run": "", "store": "", "began": "2026-01-01T00:00Z", "ended": "", "tasks": {"a": 1}}',
    "a time that is none": '{"run": "r", "store": "s", "began": "yesterday", "ended": "", "tasks": {}}',
    "a store that is a number": '{"run": "r", "store": 3, "began": "2026-01-01T00:00:00Z", "ended": "", "tasks": {}}',
}


@pytest.mark.parametrize("content", NO_RUN.values(), ids=NO_RUN)
def test_a_folder_without_a_run_is_one_clear_line(tmp_path: Path, command: Command, content: str | None) -> None:
    if content is not None:
        (tmp_path / RUN).write_text(content, encoding="utf-8")
    answer = command("status", tmp_path)
    assert answer.status == 2
    assert f"{tmp_path} holds no run" in answer.err
    assert "give the output folder (--out) of a run" in answer.err


OTHER_NOTES: list[Any] = [
    [],
    3,
    {},
    {"outcome": "done"},
    {"key": 1, "kind": "crop", "label": "", "run": "", "began": "", "outcome": "done", "seconds": 1},
    {"key": "k", "kind": ["crop"], "label": "", "run": "", "began": "", "outcome": "done", "seconds": 1},
    {"key": "k", "kind": "crop", "label": "", "run": "", "began": "", "outcome": "done", "seconds": "long"},
    {"key": "k", "kind": "crop", "label": "", "run": "", "began": "", "outcome": "done", "seconds": 1, "amount": {}},
]


@pytest.mark.parametrize("other", OTHER_NOTES, ids=range(len(OTHER_NOTES)))
def test_notes_of_another_shape_are_passed_over(copy: Path, command: Command, tiny_yaml: Path, other: Any) -> None:
    before = command("status", copy, "--json").out
    (copy / "store" / "log" / "another.json").write_text(json.dumps(other), encoding="utf-8")
    (copy / "store" / "log" / "deep.json").write_text('{"a":' * 100_000, encoding="utf-8")
    os.mkfifo(copy / "store" / "log" / "pipe.json")
    assert command("status", copy, "--json").out == before
    assert command("plan", tiny_yaml, "--out", copy).status == 0


class Jumping(datetime):
    """A clock that is set to another year whenever somebody looks."""

    years: ClassVar[Iterator[int]] = itertools.cycle((2031, 1999, 2024, 2038))

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> Jumping:
        return cls(next(cls.years), 6, 1, tzinfo=tz)


def test_a_clock_that_jumps_changes_no_row_and_no_duration(
    finished: Path, tiny_yaml: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_report: None
) -> None:
    for module in (journal, status):
        monkeypatch.setattr(module, "datetime", Jumping)
    assert run_study(load_study(str(tiny_yaml)), tmp_path / "out", workers=2).failures == ()
    assert (tmp_path / "out" / "rows.csv").read_bytes() == (finished / "rows.csv").read_bytes()
    assert all(0 <= note["seconds"] < 600 for note in FolderStore(tmp_path / "out" / "store").notes())
    found = status_of(tmp_path / "out")
    assert all(counts["done"] == counts["total"] for counts in found.kinds.values())
