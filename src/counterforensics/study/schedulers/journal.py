"""What became of every attempt at a task, kept beside the results while it runs, for people and for estimates."""

from __future__ import annotations

import contextlib
import os
import socket
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from counterforensics.errors import StudyError
from counterforensics.study.schedulers.memory import peak_memory
from counterforensics.study.store.folder import Store

if TYPE_CHECKING:  # `status` reads notes without torch
    from counterforensics.study.tasks import Task

RUN = "run.json"  # in the output folder: which run writes there, and which tasks it is about
RUNNING, DONE, FAILED, STOPPED = "running", "done", "failed", "stopped"
FOUND = "found"  # no attempt was needed: another run, or an attempt that was thought lost, had it done


def now() -> str:
    """The time, for people: durations are measured by a clock that does not jump."""
    return datetime.now(UTC).isoformat(timespec="seconds")


_TEXTS = ("key", "kind", "label", "worker_name", "run", "attempt", "began", "outcome", "said")
_COUNTS = ("amount", "peak_memory")
_LARGEST = 2**62


def notes_in(store: Store) -> Iterator[Mapping[str, Any]]:
    """Every note of an attempt that `store` holds; what is none, whoever wrote it, is passed over."""
    return filter(_is_note, store.notes())


def _is_note(note: Any) -> bool:
    if not isinstance(note, dict) or not {"kind", "outcome", "seconds"} <= note.keys():
        return False
    texts = all(isinstance(note.get(name, ""), str) for name in _TEXTS)
    counts = all(type(note.get(name, 0)) is int and 0 <= note.get(name, 0) < _LARGEST for name in _COUNTS)
    return texts and counts and isinstance(note["seconds"], int | float) and 0 <= note["seconds"] < _LARGEST


@dataclass
class Attempt:
    """One attempt at a task, noted in the store when it begins, says something and ends."""

    task: Task
    store: Store
    run: str  # which run of the study it belongs to
    name: str = field(default_factory=lambda: uuid.uuid4().hex)
    began: str = field(default_factory=now)
    clock: float = field(default_factory=time.monotonic)

    def note(self, outcome: str, said: str = "") -> None:
        """Note how it stands; `said` is the last progress of a long one, or the reason of a failure.

        What cannot be noted is not worth a failure: a store that takes nothing fails the task itself.
        """
        record = {
            "key": self.task.key,
            "kind": self.task.kind.name,
            "label": self.task.label,
            "worker_name": self.task.worker_name,
            "amount": self.task.amount,
            "run": self.run,
            "attempt": self.name,
            "host": socket.gethostname(),
            "process": os.getpid(),
            "began": self.began,
            "seconds": round(time.monotonic() - self.clock, 3),
            "peak_memory": peak_memory(),
            "outcome": outcome,
            "said": said,
        }
        with contextlib.suppress(OSError, StudyError):
            self.store.note(f"{self.task.key}-{self.name}.json", record)

    def heard(self, say: Callable[[str], None]) -> Callable[[str], None]:
        """`say` under the task's label, noted as well."""

        def hear(text: str) -> None:
            say(f"{self.task.label}: {text}")
            self.note(RUNNING, text)

        return hear
