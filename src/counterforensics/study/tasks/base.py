"""What a task is, and what a kind of task says of itself."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal

import cv2
import torch

from counterforensics.errors import StudyError
from counterforensics.names import Registry
from counterforensics.photos.base import Photo
from counterforensics.study.schedulers import memory
from counterforensics.study.store.folder import Store

Say = Callable[[str], None]


@dataclass(frozen=True)
class Worker:
    """A part that does the work of a task, and all that the result owes to it.

    part: the manipulation, recipe or attack.  text: its text form.  depends_on: settings, version, digests of files and
    of a plug-in's code, as JSON values.
    """

    part: Any
    text: str
    depends_on: Mapping[str, Any]
    registry: Registry[Any]

    def __reduce__(self) -> tuple[Any, ...]:
        """On another machine the part is built anew, from that machine's registry."""
        return worker_from, (self.registry.kind, self.text, self.depends_on)

    def check_code(self) -> None:
        """Raise StudyError if this machine has another version of the plug-in than the plan."""
        planned = self.depends_on.get("code", {})
        here = self.registry.code_of(self.part)
        if here != planned:
            has, wanted = (code.get("distribution", "a part of counterforensics") for code in (here, planned))
            raise StudyError(
                f"{self.text}: the plug-in of this machine ({has}) differs from the one that planned the run "
                f"({wanted}); install the same one on every machine and run the same command again"
            )


def worker_from(kind: str, text: str, depends_on: Mapping[str, Any]) -> Worker:
    """The worker with a part of the registry of that kind.  Raises CounterforensicsError if it has none."""
    registry = registry_of(kind)
    return Worker(registry.parse(text), text, depends_on, registry)


def registry_of(kind: str) -> Registry[Any]:
    """The registry of manipulations, detectors or attacks, by the kind of its parts."""
    from counterforensics import attacks, detectors, manipulations

    registries: tuple[Registry[Any], ...] = (manipulations.MANIPULATIONS, detectors.DETECTORS, attacks.ATTACKS)
    return next(registry for registry in registries if registry.kind == kind)


@dataclass(frozen=True)
class Task:
    """One unit of work. Its key is the hash of everything that its result depends on."""

    kind: Kind
    settings: Mapping[str, Any]  # JSON values
    needs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # role -> keys of the entries that it reads
    label: str = ""  # for people
    workers: Mapping[str, Worker] = field(default_factory=dict)  # role (manipulation, recipe, attack, target) -> part
    photo: Photo | None = None  # the photograph behind settings["photo"], whose digest is what counts
    pixels: int = 0  # of the photograph that it simulates or crops
    patches: int = 0  # that it writes or goes through
    patch_bytes: int = 0  # of one patch that it writes
    # What it learns from, for the record: the photographs' digests, and their devices. The crops that it reads count.
    photos: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()

    @cached_property
    def key(self) -> str:
        """SHA-256 (hexadecimal) of kind, its version, settings and the keys of all entries that it reads."""
        content = {
            "kind": self.kind.name,
            "version": self.kind.version,
            "settings": self.settings,
            "needs": {role: list(keys) for role, keys in self.needs.items()},
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    @property
    def amount(self) -> int:
        """How much work it is, in the unit of its kind: its time goes by this."""
        return self.pixels if self.kind.unit == "pixels" else self.patches

    @property
    def worker_name(self) -> str:
        """Who does the work, in words by which its time is known: `median:7`, `fgsm on cozzolino2017`."""
        return self.kind.worker_name(self)

    @property
    def memory(self) -> int:
        """Bytes that its photograph takes at most, beside what every process and every batch take."""
        return self.kind.memory(self)

    @property
    def uses_gpu(self) -> bool:
        """Whether a GPU is of use."""
        return self.kind.uses_gpu(self)


class Kind(ABC):
    """All that is known of one kind of task.

    name: in progress, estimates and notes.  version: raised when it comes to compute something else, which makes every
    earlier result worthless.  writes: names of its files.  unit: the time of a task goes by so many of these.
    reports_progress: whether a task takes long enough to say how far it is.
    """

    name: ClassVar[str]
    version: ClassVar[int]
    writes: ClassVar[tuple[str, ...]]
    unit: ClassVar[Literal["pixels", "patches"]] = "patches"
    reports_progress: ClassVar[bool] = False

    @abstractmethod
    def run(self, task: Task, store: Store, folder: Path, say: Say) -> None:
        """Compute `task` from entries of `store`, and write the result into `folder`.  Raises whatever goes wrong."""

    def worker_name(self, task: Task) -> str:
        """As `Task.worker_name`."""
        return " on ".join(task.workers[role].text for role in ("attack", "recipe", "target") if role in task.workers)

    def bytes_written(self, task: Task) -> int:
        """About how many bytes the result takes, small records aside."""
        return 0

    def memory(self, task: Task) -> int:
        """As `Task.memory`."""
        return 0

    def uses_gpu(self, task: Task) -> bool:
        """As `Task.uses_gpu`."""
        return False


def run_task(task: Task, store: Store, say: Say) -> None:
    """Run `task` and keep its result in `store`; `say` hears how far a long one is.  Raises whatever goes wrong."""
    for worker in task.workers.values():
        worker.check_code()
    # One thread a task: results do not depend on how many cores there are, and tasks fill the cores.
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    memory.reuse()
    with memory.FOR_PHOTOGRAPHS.taken(task.memory), store.writing(task.key, task.label) as folder:
        task.kind.run(task, store, folder, say)
    memory.release()
