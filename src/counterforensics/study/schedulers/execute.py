"""Running what a plan still needs, by whatever schedules tasks: threads of this process, or a cluster."""

from __future__ import annotations

import json
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from counterforensics.errors import CounterforensicsError, StudyError, place_of
from counterforensics.files import write_whole
from counterforensics.study.plan import Plan
from counterforensics.study.progress import Progress
from counterforensics.study.schedulers.journal import DONE, FAILED, FOUND, RUN, RUNNING, STOPPED, Attempt, now
from counterforensics.study.schedulers.memory import peak_of_task
from counterforensics.study.store.folder import Store
from counterforensics.study.tasks import Task, run_task
from counterforensics.study.tasks.files import is_readable

Say = Callable[[str], None]
Finished = Callable[[str, "Failed | None"], None]


@dataclass(frozen=True)
class Failed:
    """A task that did not end well, or could not start because one before it did not."""

    reason: str  # "" where an earlier failure is the reason


@dataclass(frozen=True)
class Job:
    """A task that must run, and the keys of those that must end before it."""

    task: Task
    before: tuple[str, ...]


@dataclass(frozen=True)
class JobList:
    """The jobs of one run, in an order in which they can run, and where their results go."""

    run: str
    store: Store
    by_key: Mapping[str, Job]


class Scheduler(Protocol):
    """Runs jobs, each after those before it."""

    def run(self, jobs: JobList, finished: Finished, say: Say) -> None:
        """Run all of `jobs`; tell `finished` of each key as it ends, and `say` of long ones.

        Raises StudyError where nothing can go on.
        """


@dataclass(frozen=True)
class Threads:
    """Dask's local scheduler: the embedded default."""

    workers: int

    def run(self, jobs: JobList, finished: Finished, say: Say) -> None:
        """As `Scheduler.run`."""
        import dask.threaded
        from dask.callbacks import Callback

        graph = {
            key: (attempt, job.task, jobs.store, jobs.run, say, list(job.before)) for key, job in jobs.by_key.items()
        }

        def ended(key: str, result: Any, *_: Any) -> None:
            if key in jobs.by_key:
                finished(key, result)

        with Callback(posttask=ended):
            dask.threaded.get(graph, list(graph), num_workers=self.workers)


def attempt(task: Task, store: Store, run: str, say: Say, before: Sequence[Failed | None]) -> Failed | None:
    """Run one task. What goes wrong becomes a result, so that its neighbours go on.

    Raises StudyError if the store cannot be used: nothing else can go on here either.
    """
    if any(before):
        return Failed("")
    noted = Attempt(task, store, run)
    if store.has(task.key):
        noted.note(FOUND)
        return None
    noted.note(RUNNING)
    try:
        with peak_of_task():
            run_task(task, store, noted.heard(say))
    except StudyError as error:
        noted.note(STOPPED, str(error))
        raise
    except CounterforensicsError as error:
        reason = str(error)
    except Exception as error:
        reason = f"{type(error).__name__}: {error} ({place_of(error)})"
    else:
        noted.note(DONE)
        return None
    # Of two attempts at the same task the first takes away what the other went on from.
    if store.has(task.key):
        noted.note(FOUND)
        return None
    if _lost(task, store):
        reason = "what it reads is damaged or gone from the store; run the same command again to compute it"
    noted.note(FAILED, reason)
    return Failed(reason)


def _lost(task: Task, store: Store) -> bool:
    """Whether something that a task reads is gone, or is not what was written there: then it is removed.

    What a folder holds was looked into before anything ran.
    """
    lost = False
    for key in dict.fromkeys(key for keys in task.needs.values() for key in keys):
        if not store.has(key):
            lost = True
        elif not store.is_local and not is_readable(store.folder(key)):
            store.discard(key)
            lost = True
    return lost


def execute(plan: Plan, store: Store, scheduler: Scheduler, out: Path, progress: Progress) -> tuple[str, ...]:
    """Run what is missing; the reasons of what failed, one line each. `out` says which run it is and how far."""
    missing, damaged = plan.missing(store, fetch=True)
    for key in damaged:
        progress.say(f"damaged, computed again: {plan.tasks[key].label}")
        store.discard(key)
    computed = set(missing)
    needed = {key: Job(plan.tasks[key], _before(plan.tasks[key], computed)) for key in missing}
    jobs = JobList(uuid.uuid4().hex, store, needed)
    failures: list[str] = []
    with _recorded(jobs, plan, out), progress.tasks([plan.tasks[key].kind.name for key in missing]) as advance:

        def finished(key: str, result: Failed | None) -> None:
            advance(plan.tasks[key].kind.name)
            if result is not None and result.reason:
                failures.append(f"{plan.tasks[key].label}: {result.reason}")

        if needed:
            scheduler.run(jobs, finished, progress.say)
    return tuple(sorted(failures))


def _before(task: Task, computed: set[str]) -> tuple[str, ...]:
    return tuple(needed for keys in task.needs.values() for needed in keys if needed in computed)


@contextmanager
def _recorded(jobs: JobList, plan: Plan, out: Path) -> Iterator[None]:
    """While it runs and afterwards `out` says which tasks this run is about."""
    ready = Counter(plan.tasks[key].kind.name for key in plan.tasks if key not in jobs.by_key)
    record = {
        "run": jobs.run,
        "store": str(jobs.store),
        "began": now(),
        "ended": "",
        "ready": dict(ready),
        "tasks": {key: [job.task.kind.name, job.task.label] for key, job in jobs.by_key.items()},
    }
    _write(record, out)
    try:
        yield
    finally:
        _write(record | {"ended": now()}, out)


def _write(record: Mapping[str, Any], out: Path) -> None:
    try:
        write_whole(out / RUN, json.dumps(record, indent=1).encode())
    except OSError as error:
        raise StudyError(f"cannot write {out / RUN} ({error.strerror}); finished work is kept") from error
