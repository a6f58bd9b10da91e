"""What a study will cost before it starts: tasks, patches, disk, memory, and time from measured rates."""

from __future__ import annotations

import csv
import dataclasses
import heapq
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from counterforensics.attacks import LearnedAttack
from counterforensics.errors import StudyError
from counterforensics.files import at_home
from counterforensics.learning.accelerator import best_device
from counterforensics.photos.patches import SIZE
from counterforensics.study.plan import Plan
from counterforensics.study.prepare import cores, prepare
from counterforensics.study.progress import Progress
from counterforensics.study.schedulers.journal import DONE, notes_in
from counterforensics.study.schedulers.memory import MemoryLimit, memory_of_machine
from counterforensics.study.settings import Study
from counterforensics.study.store.folder import Store
from counterforensics.study.store.remote import open_store
from counterforensics.study.tasks import KINDS, Task

SHIPPED = Path(__file__).with_name("durations.csv")
BYTES_OF_SMALL_FILES = 1500  # entry.json and the like, for each task
MEMORY_OF_PROCESS = 430_000_000  # bytes, with all libraries and nothing to do
PAIRS = "pairs_per_step"
PUBLISHED = "-published"  # ends the name of a detector with the settings of its paper


@dataclass(frozen=True)
class Duration:
    """How long tasks of one kind take, done by one worker, and how much memory."""

    seconds: float  # for each pixel or patch, as the unit of the kind is
    memory: int  # bytes; the most that a process held which had run such a task


@dataclass(frozen=True)
class Durations:
    """Durations by kind and worker: those of this store first, then those that come with the package."""

    here: Mapping[tuple[str, str], Duration]
    shipped: Mapping[tuple[str, str], Duration]

    @classmethod
    def known(cls, store: Store) -> Durations:
        """The durations that the journal in `store` tells, and the shipped table."""
        return cls(durations_of(notes_in(store)), shipped_durations())

    def of(self, task: Task) -> tuple[Duration | None, bool]:
        """The duration of `task`, None where nobody has measured one, and whether it was measured in this store.

        Where these settings were not measured, others of the same detector or attack stand in, and for the published
        settings of a detector our own.
        """
        usual = plain(task.worker_name)
        for measured_here, known in ((True, self.here), (False, self.shipped)):
            for who in (task.worker_name, usual, usual.replace(PUBLISHED, "")):
                if (task.kind.name, who) in known:
                    return known[task.kind.name, who], measured_here
        return None, False


def durations_of(notes: Iterable[Mapping[str, Any]]) -> dict[tuple[str, str], Duration]:
    """The durations that notes tell, by kind and worker, in full and without settings."""
    seconds: Counter[tuple[str, str]] = Counter()
    amounts: Counter[tuple[str, str]] = Counter()
    memory: dict[tuple[str, str], int] = defaultdict(int)
    for note in notes:
        if note["outcome"] != DONE or not {"worker_name", "amount", "peak_memory"} <= note.keys():
            continue
        for key in {(note["kind"], note["worker_name"]), (note["kind"], plain(note["worker_name"]))}:
            seconds[key] += note["seconds"]
            amounts[key] += note["amount"]
            memory[key] = max(memory[key], note["peak_memory"])
    return {key: Duration(seconds[key] / amounts[key], memory[key]) for key in seconds if amounts[key]}


def plain(who: str) -> str:
    """A detector, or an attack on one, without settings but its size; a manipulation as it is.

    >>> plain("fgsm:epsilon=2 on xception:lr=0.001"), plain("gan-kim:size=small,steps=9")
    ('fgsm on xception', 'gan-kim:size=small')
    """
    size = re.search(r"[:,](size=\w+)", who)
    return re.sub(r":[a-z_]+=\S*", f":{size[1]}" if size else "", who)


@cache
def shipped_durations() -> Mapping[tuple[str, str], Duration]:
    """The durations that come with the package, by kind and worker."""
    with SHIPPED.open(encoding="utf-8", newline="") as file:
        return {
            (row["kind"], row["worker_name"]): Duration(float(row["seconds"]), int(row["memory"]))
            for row in csv.DictReader(file)
        }


@dataclass
class KindEstimate:
    """What the tasks of one kind cost, those that are still to be done."""

    tasks: int = 0  # of the whole study
    done: int = 0
    patches: int = 0  # written or gone through
    disk: int = 0  # bytes
    memory: int = 0  # bytes; the most that one task takes
    seconds: float = 0.0  # of one core, or of the GPU that it was measured on
    unknown: tuple[str, ...] = ()  # who does some of it at a rate that nobody has measured


@dataclass
class Estimate:
    """What is left to do of a study, and what it takes."""

    study: str
    store: str
    left_out: tuple[str, ...]  # photographs that cannot be used, each with its reason
    workers: int
    room: int | None  # bytes that the store can still take, where that can be told
    kinds: dict[str, KindEstimate] = field(default_factory=dict)
    notes: tuple[str, ...] = ()  # what is unusual about the photographs that are used
    left: int = 0  # tasks
    measured_here: int = 0  # of them, by a rate that was measured in this store
    disk: int = 0  # bytes that the store will grow by
    seconds: float = 0.0  # from the first task to the last, with so many workers


def estimate_study(
    study: Study,
    out: Path,
    *,
    workers: int | None = None,
    store: str | None = None,
    progress: Progress | None = None,
) -> Estimate:
    """What `run_study` with the same arguments has left to do, and what it takes.

    The photographs are looked at and what was found of them is kept in the store, for the run; nothing else is
    computed. Raises CounterforensicsError for photographs or a store that cannot be used.
    """
    workers, kept = workers or cores(), open_store(store or at_home(out) / "store")
    prepared = prepare(study, kept, workers, progress or Progress(quiet=True))
    check_memory(prepared.plan, room_here(), lambda line: None)
    found = estimate(study, prepared.plan, kept, workers)
    return dataclasses.replace(found, left_out=prepared.left_out, notes=prepared.notes)


def estimate(study: Study, plan: Plan, store: Store, workers: int) -> Estimate:
    """What is left of `plan` in `store`, and what it costs with so many workers."""
    missing, _ = plan.missing(store)
    rates, side = Durations.known(store), _times_the_side(plan)
    unknown: dict[str, dict[str, None]] = defaultdict(dict)
    seconds = {}
    found = Estimate(study.name, str(store), (), workers, store.room(), left=len(missing))
    totals = Counter(task.kind.name for task in plan.tasks.values())
    found.kinds = {kind: KindEstimate(totals[kind], totals[kind]) for kind in KINDS if kind in totals}
    for key in missing:
        task = plan.tasks[key]
        cost = found.kinds[task.kind.name]
        rate, measured_here = rates.of(task)
        found.measured_here += measured_here
        seconds[key] = rate.seconds * task.amount if rate else 0.0
        cost.done -= 1
        cost.patches += task.patches
        cost.disk += BYTES_OF_SMALL_FILES + task.kind.bytes_written(task)
        cost.memory = max(cost.memory, memory_of_task(task, rate, side))
        cost.seconds += seconds[key]
        if rate is None and task.amount:
            unknown[task.kind.name][task.worker_name] = None
    for kind, names in unknown.items():
        found.kinds[kind].unknown = tuple(names)
    found.disk = sum(cost.disk for cost in found.kinds.values())
    found.seconds = _elapsed(plan, missing, seconds, workers)
    return found


def room_here() -> MemoryLimit:
    """The memory for a task of this process."""
    return MemoryLimit(memory_of_machine(), "this machine", best_device().type == "cuda")


def check_memory(plan: Plan, room: MemoryLimit, say: Callable[[str], None]) -> None:
    """Raise StudyError for a training whose steps take more memory than there is; `say` so where that is not known.

    On a GPU they pass in parts, as far as its memory goes.
    """
    durations, side = Durations({}, shipped_durations()), _times_the_side(plan)
    for task in plan.tasks.values():
        if _times_the_pairs(task) <= 1 or (task.uses_gpu and room.gpu):
            continue
        takes = memory_of_task(task, durations.of(task)[0], side)
        need = f"{task.label}: takes about {takes / 1e9:,.0f} GB of memory, and {room.where}"
        if room.size is None:
            say(f"{need} sets a limit: it fails if there is less")
            return
        if takes > room.size:
            raise StudyError(f"{need} has {room.size / 1e9:.0f}; give a smaller {PAIRS}")


def memory_of_task(task: Task, rate: Duration | None, side: float = 1.0) -> int:
    """Bytes that a process holds at most while it runs `task`, by what was measured and by what this one asks for.

    side: of the study's patches, in sides of those that were measured: memory grew about with it, not with the area
    (Cozzolino2017 at 256x256 and 512x512). What an attack learns, it learns from small crops.
    """
    measured = max(rate.memory, MEMORY_OF_PROCESS) if rate else MEMORY_OF_PROCESS
    if task.memory:
        return MEMORY_OF_PROCESS + task.memory
    larger = 1.0 if task.kind.name == "learn" else side
    return MEMORY_OF_PROCESS + round((measured - MEMORY_OF_PROCESS) * _times_the_pairs(task) * larger)


def _times_the_side(plan: Plan) -> float:
    """How many times as long as that of the patches which were measured the side of those of `plan` is."""
    size = next((task.settings.get("size", SIZE) for task in plan.tasks.values() if task.kind.name == "crop"), SIZE)
    return float(size / SIZE)


def _times_the_pairs(task: Task) -> float:
    """How many times the pairs of the default pass in one step of a training."""
    role = {"train": "recipe", "learn": "attack"}.get(task.kind.name, "")
    if role not in task.workers:
        return 1.0
    part = task.workers[role].part
    usual = {field.name: field.default for field in dataclasses.fields(part)}.get(PAIRS, 0)
    given = dataclasses.asdict(part).get(PAIRS, 0)
    if isinstance(part, LearnedAttack):  # 0 takes the value of its size, and so is the table
        given = part.learning_settings["schedule"][PAIRS]
        usual = part.learning_settings["size"][PAIRS]
    return given / usual if given and isinstance(usual, int) and usual else 1.0


def _elapsed(plan: Plan, missing: list[str], seconds: Mapping[str, float], workers: int) -> float:
    """When the last of `missing` ends, if a free worker takes the first in this order that can run."""
    place = {key: number for number, key in enumerate(missing)}
    waits: dict[str, int] = {}
    after: dict[str, list[str]] = defaultdict(list)
    for key in missing:
        needed = {need for keys in plan.tasks[key].needs.values() for need in keys if need in place}
        waits[key] = len(needed)
        for need in needed:
            after[need].append(key)
    ready = [place[key] for key in missing if not waits[key]]
    running: list[tuple[float, int]] = []
    now = 0.0
    while ready or running:
        while ready and len(running) < workers:
            number = heapq.heappop(ready)
            heapq.heappush(running, (now + seconds[missing[number]], number))
        now, number = heapq.heappop(running)
        for key in after[missing[number]]:
            waits[key] -= 1
            if not waits[key]:
                heapq.heappush(ready, place[key])
    return now
