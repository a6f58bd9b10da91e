"""What became of every attempt at a task, kept beside the results while it runs, for people and for estimates."""

from __future__ import annotations

import contextlib
import os
import socket
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from counterforensics.errors import StudyError
from counterforensics.study.schedulers.memory import peak_memory
from counterforensics.study.store.folder import Store
from counterforensics.study.tasks import Task

RUNNING, DONE, FAILED, STOPPED = "running", "done", "failed", "stopped"
FOUND = "found"  # no attempt was needed: another run, or an attempt that was thought lost, had it done


def now() -> str:
    """The time, for people: durations are measured by a clock that does not jump."""
    return datetime.now(UTC).isoformat(timespec="seconds")


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
