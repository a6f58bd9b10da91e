"""How far a run is, seen from another terminal: what the run said of itself, and what its tasks noted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from counterforensics import records
from counterforensics.errors import StudyError
from counterforensics.files import at_home
from counterforensics.study.schedulers.journal import DONE, FAILED, FOUND, RUN, RUNNING, notes_in
from counterforensics.study.store.remote import open_store

_TEXTS = ("run", "store", "began", "ended")


@dataclass(frozen=True)
class Status:
    """Where the last run of a study stands."""

    store: str
    began: str
    ended: str  # "" while it runs, and after it was killed
    kinds: Mapping[str, Mapping[str, int]]  # kind -> total, done, running, failed
    running: tuple[Mapping[str, Any], ...]  # notes of tasks that have begun and not ended
    failed: tuple[Mapping[str, Any], ...]
    seconds_left: float | None  # at the pace so far; None where nothing is done yet


def status_of(out: Path) -> Status:
    """The status of the run whose results go to `out`.  Raises StudyError if there is none."""
    record = record_of_run(at_home(out))
    tasks: Mapping[str, tuple[str, str]] = record["tasks"]
    latest: dict[str, Mapping[str, Any]] = {}
    for note in notes_in(open_store(record["store"], probe=False)):
        if not {"key", "label", "began"} <= note.keys() or note.get("run") != record["run"]:
            continue
        before = latest.get(note["key"])
        if note["key"] in tasks and (before is None or _newer(note, before)):
            latest[note["key"]] = note
    outcomes = {
        name: Counter(note["kind"] for note in latest.values() if note["outcome"] in meant)
        for name, meant in ((DONE, (DONE, FOUND)), (RUNNING, (RUNNING,)), (FAILED, (FAILED,)))
    }
    totals = Counter(kind for kind, _ in tasks.values())
    return Status(
        record["store"],
        record["began"],
        record["ended"],
        {
            kind: {"total": total, **{outcome: outcomes[outcome][kind] for outcome in outcomes}}
            for kind, total in totals.items()
        },
        tuple(note for note in latest.values() if note["outcome"] == RUNNING),
        tuple(note for note in latest.values() if note["outcome"] == FAILED),
        None if record["ended"] else _left(record["began"], totals, latest),
    )


def record_of_run(out: Path) -> dict[str, Any]:
    """What the run in `out` said of itself.  Raises StudyError if that is no such record."""
    try:
        record = records.read(out / RUN, StudyError)
    except StudyError as error:
        raise StudyError(f"{out} holds no run ({error}); give the output folder (--out) of a run") from error
    texts = isinstance(record, dict) and all(isinstance(record.get(name), str) for name in _TEXTS)
    tasks = record.get("tasks") if texts else None
    if not isinstance(tasks, dict) or not all(map(_is_named, tasks.values())) or not _is_time(record["began"]):
        raise StudyError(
            f"{out} holds no run ({RUN} is not the record of one); give the output folder (--out) of a run"
        )
    return dict(record)


def _is_named(task: Any) -> bool:
    """Whether that is the kind and the label of a task."""
    return isinstance(task, list) and len(task) == 2 and all(isinstance(one, str) for one in task)


def _is_time(text: str) -> bool:
    try:
        return datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False


def _newer(note: Mapping[str, Any], before: Mapping[str, Any]) -> bool:
    """What ended well counts most, then the attempt that began last."""
    done, before_done = (one["outcome"] in (DONE, FOUND) for one in (note, before))
    return (done, note["began"]) >= (before_done, before["began"])


def _left(began: str, totals: Mapping[str, int], latest: Mapping[str, Mapping[str, Any]]) -> float | None:
    """Seconds left if each kind goes on taking what it took, as many side by side as so far."""
    spent: Counter[str] = Counter()
    done: Counter[str] = Counter()
    left = Counter(totals)
    for note in latest.values():
        left[note["kind"]] -= note["outcome"] in (DONE, FOUND)
        if note["outcome"] == DONE:
            spent[note["kind"]] += note["seconds"]
            done[note["kind"]] += 1
    elapsed = (datetime.now(UTC) - datetime.fromisoformat(began)).total_seconds()
    if any(left[kind] and not done[kind] for kind in totals) or elapsed <= 0 or not sum(spent.values()):
        return None
    work = sum(count * spent[kind] / done[kind] for kind, count in left.items() if count)
    return work * elapsed / sum(spent.values())
