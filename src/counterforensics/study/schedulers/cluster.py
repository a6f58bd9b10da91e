"""A Dask cluster as the scheduler of a study: one that runs already, or one worker per core or GPU of this machine.

What travels between its processes is Dask's own, pickle among it: connect to schedulers that you trust.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from counterforensics import versions
from counterforensics.errors import CounterforensicsError, StudyError
from counterforensics.study.schedulers.execute import Failed, Finished, JobList, Say, attempt
from counterforensics.study.schedulers.memory import MemoryLimit, memory_of_machine
from counterforensics.study.store.folder import Store
from counterforensics.study.tasks import Task, Worker
from counterforensics.study.tasks.base import worker_from

LOCAL = "local"
GPU = "GPU"  # what a worker offers: `dask worker --resources GPU=1`
SECONDS_TO_ANSWER = 20
SECONDS_BETWEEN_LOOKS = 30.0
RETRIES = 2  # of a task whose store could not be used where it ran
VERSIONS = dict(versions.ALL)
_INSTALL = "install the same on every worker and on the machine that runs the study"
_ASKED_FIRST = ("Python", "counterforensics")  # by Dask: code of ours that differs may not even answer


@dataclass(frozen=True)
class Cluster:
    """A connected cluster; `connected` makes one."""

    client: Any
    address: str
    offers_gpu: bool

    def check(self, store: Store, folders: Sequence[Path], plug_ins: Sequence[Worker] = ()) -> None:
        """Raise StudyError and name the worker unless all have our versions and `plug_ins`, and can do the work.

        They must be able to use `store` and see `folders`.
        """
        with self._reached():
            found = self.client.get_versions(packages=["counterforensics"])["workers"]
        for worker, about in sorted(found.items()):
            python = ".".join(str(about["host"]["python"]).split(".")[:3])
            has = {"Python": python, **about["packages"]}
            if different := versions.differences(has, {name: VERSIONS[name] for name in _ASKED_FIRST}):
                raise StudyError(f"the worker {worker} {different}; {_INSTALL}")
        key = _greeted(store)
        try:
            places = [str(folder) for folder in folders]
            parts = [(plug_in.registry.kind, plug_in.text, plug_in.depends_on) for plug_in in plug_ins]
            with self._reached():
                answers = self.client.run(trouble, store, key, places, parts, VERSIONS, on_error="return")
        finally:
            store.discard(key)
        # One that is lost while it is greeted is a loss like any other: the scheduler goes on without it.
        reached = {worker: answer for worker, answer in answers.items() if not isinstance(answer, OSError)}
        for worker, answer in sorted(reached.items()):
            if answer:
                words = answer if isinstance(answer, str) else f"cannot be used ({_reason(answer)})"
                raise StudyError(f"the worker {worker} {words}")
        if not reached:
            raise StudyError(f"no worker at {self.address} answers; check that the scheduler can reach their addresses")

    def room(self) -> MemoryLimit:
        """The memory of the worker that has the least: Dask runs a task on any of them."""
        with self._reached():
            workers = self.client.scheduler_info(-1)["workers"]
        limits = {worker: about["memory_limit"] for worker, about in workers.items() if about.get("memory_limit")}
        if self.client.cluster is not None:  # started here, without a limit of its own
            return MemoryLimit(memory_of_machine(), "this machine", self.offers_gpu)
        if not limits:
            return MemoryLimit(None, f"no worker at {self.address}", self.offers_gpu)
        least = min(limits, key=limits.__getitem__)
        return MemoryLimit(limits[least], f"the worker {least}", self.offers_gpu)

    def run(self, jobs: JobList, finished: Finished, say: Say) -> None:
        """As `Scheduler.run`; a task whose worker is lost is tried elsewhere, as often as the scheduler allows.

        Dask suspects every task that waited on a lost worker, not only the one that may have brought it down. What it
        gave up is tried once more, one at a time, so that no task fails for its neighbour.
        """
        from distributed.scheduler import KilledWorker

        ended: dict[str, Failed | None] = {}

        def end(key: str, result: Failed | None) -> None:
            ended[key] = result
            finished(key, result)

        with self._reached(), self.watched(say):
            self.client.subscribe_topic(jobs.run, lambda event: say(event[1]))
            while left := [key for key in jobs.by_key if key not in ended]:
                for key, error in self.run_round(left, jobs, ended, end).items():
                    again = self.run_round([key], jobs, ended, end) if isinstance(error, KilledWorker) else {key: error}
                    if again:
                        end(key, Failed(_reason(again[key])))

    def run_round(
        self, keys: Sequence[str], jobs: JobList, ended: Mapping[str, Failed | None], end: Finished
    ) -> dict[str, Exception]:
        """Run the jobs at `keys`, those before them in `ended` or among them, and tell `end` of each that does.

        What Dask gave up is returned, with the reason; jobs behind that are left as they are.
        """
        from distributed import CancelledError, as_completed

        futures: dict[str, Any] = {}
        for key in keys:
            job = jobs.by_key[key]
            needs = {GPU: 1} if self.offers_gpu and job.task.uses_gpu else None
            before = [futures[needed] if needed in futures else ended[needed] for needed in job.before]
            futures[key] = self.client.submit(
                _attempt_there,
                *(job.task, jobs.store, jobs.run, before, VERSIONS),
                key=f"{key}-{uuid.uuid4().hex}",
                resources=needs,
                retries=RETRIES,
            )
        lost: dict[str, Exception] = {}
        key_of = {future.key: key for key, future in futures.items()}
        for future in as_completed(futures.values(), raise_errors=False):
            key = key_of[future.key]
            if future.status == "finished":
                end(key, future.result())
            elif future.status == "error":
                lost[key] = future.exception()
            else:
                raise CancelledError(key)
        behind = {key for key in lost if any(needed in lost for needed in jobs.by_key[key].before)}
        return {key: error for key, error in lost.items() if key not in behind}

    @contextmanager
    def _reached(self) -> Iterator[None]:
        """Say in words that the scheduler is gone. How that shows depends on what was being asked of it."""
        from distributed import CancelledError
        from distributed.client import ClosedClientError

        try:
            yield
        except (CancelledError, ClosedClientError, OSError) as error:
            raise StudyError(
                f"the scheduler at {self.address} went away; finished work is kept: start it and run the same command "
                "again"
            ) from error

    @contextmanager
    def watched(self, say: Say) -> Iterator[None]:
        """While the block lasts, look after the workers: say so where none is left that the run then waits for."""
        over = threading.Event()

        def watch() -> None:
            while not over.wait(SECONDS_BETWEEN_LOOKS):
                with suppress(OSError, RuntimeError):  # a scheduler that went away is noticed elsewhere
                    ours = self.client.cluster
                    if ours is not None:  # started here: those that did not come back in time are started again
                        ours.scale(len(ours.worker_spec))
                    elif not (offers := _offers(self.client)):
                        say(f"{self.address} has no workers left; waiting for some, finished work is kept")
                    elif self.offers_gpu and not any(offers):
                        say(f"no worker at {self.address} offers a {GPU} any more; what needs one waits for it")

        watching = threading.Thread(target=watch, daemon=True)
        watching.start()
        try:
            yield
        finally:
            over.set()
            watching.join(timeout=1)


@contextmanager
def connected(address: str, *, gpu: bool, workers: int, say: Callable[[str], None]) -> Iterator[Cluster]:
    """The cluster at `address`, or one on this machine if that is `local`, as long as the block lasts.

    gpu: an error unless a worker offers the resource GPU.  workers: of the local one.  Raises StudyError.
    """
    try:
        from distributed import Client
    except ImportError as error:
        raise StudyError("--cluster needs the extra cluster: pip install 'counterforensics[cluster]'") from error
    with _local(workers) if address == LOCAL else nullcontext() as cluster:
        try:
            if cluster is None:
                _greet(address)
            client = Client(cluster or address, timeout=SECONDS_TO_ANSWER)
        except Exception as error:  # what is said by something else than a scheduler fails wherever it is first read
            raise StudyError(
                f"no Dask scheduler answers at {address!r} ({type(error).__name__}); start one with `dask scheduler` "
                "and give its address (tcp://HOST:8786), or use --cluster local"
            ) from error
        with client:
            try:
                client.wait_for_workers(1, timeout=SECONDS_TO_ANSWER)
            except TimeoutError as error:
                raise StudyError(
                    f"the scheduler at {address} has no workers; start some: dask worker {address} --nthreads 1"
                ) from error
            offers = _offers(client)
            if gpu and not any(offers):
                raise StudyError(
                    f"no worker at {address} offers the resource {GPU}; start them with --resources {GPU}=1, "
                    "or leave out --gpu to train on processors"
                )
            say(f"{len(offers)} workers, {sum(map(bool, offers))} with a GPU; dashboard {client.dashboard_link}")
            yield Cluster(client, address, any(offers))


def _greet(address: str) -> None:
    """Shake hands with whatever listens there. Dask's client waits for ever where that is no scheduler.

    Raises TimeoutError, or whatever it means to Dask what the other says.
    """
    from distributed.comm import connect

    async def shake() -> None:
        (await asyncio.wait_for(connect(address), SECONDS_TO_ANSWER)).abort()

    # In a thread, as a notebook has a loop of its own.
    with ThreadPoolExecutor(1) as aside:
        aside.submit(asyncio.run, shake()).result()


def _offers(client: Any) -> list[float]:
    """What each worker offers of the resource GPU."""
    workers = client.scheduler_info(-1)["workers"].values()
    return [about.get("resources", {}).get(GPU, 0) for about in workers]


@contextmanager
def _local(workers: int) -> Iterator[Any]:
    """One worker for each GPU, and one for each core that is left; each a process of its own."""
    from distributed import Nanny, Scheduler, SpecCluster

    gpus = torch.cuda.device_count()
    spec = {}
    for number in range(max(workers, gpus)):
        seen = {"CUDA_VISIBLE_DEVICES": str(number) if number < gpus else ""} if gpus else {}
        resources = {GPU: 1} if number < gpus else {}
        spec[number] = {
            "cls": Nanny,
            # No limit of its own: an equal share of the memory is less than some tasks need, and they differ.
            "options": {
                "nthreads": 1,
                "resources": resources,
                "env": seen,
                "host": "127.0.0.1",
                "memory_limit": None,
                "silence_logs": logging.ERROR,
            },
        }
    scheduler = {"cls": Scheduler, "options": {"host": "127.0.0.1", "dashboard_address": "127.0.0.1:0"}}
    with SpecCluster(workers=spec, scheduler=scheduler, silence_logs=50) as cluster:
        yield cluster


def _attempt_there(
    task: Task, store: Store, run: str, before: Sequence[Failed | None], of_run: Mapping[str, str]
) -> Failed | None:
    """`attempt` on a worker, which tells the machine that runs the study how far it is.

    of_run: the versions there. A worker that came later was not greeted.  Raises StudyError if it has others.
    """
    from distributed import get_worker

    worker = get_worker()
    if different := versions.differences(VERSIONS, of_run):
        raise StudyError(f"the worker {worker.address} {different}; {_INSTALL}")

    def say(text: str) -> None:
        worker.log_event(run, text)

    return attempt(task, store, run, say, before)


def trouble(
    store: Store, key: str, folders: Sequence[str], plug_ins: Sequence[Any] = (), of_run: Mapping[str, str] = VERSIONS
) -> str:
    """What keeps this worker from its work, in words; "" if nothing does.

    of_run: the versions on the machine that runs the study.
    """
    if different := versions.differences(VERSIONS, of_run):
        return f"{different}; {_INSTALL}"
    for folder in folders:
        if not _is_seen(folder):
            return f"does not see the photographs in {folder}; make them available there under the same path"
    for kind, text, depends_on in plug_ins:
        try:
            worker_from(kind, text, depends_on).check_code()
        except CounterforensicsError as error:
            return f"cannot run {text} ({error})"
    try:
        if not store.has(key):
            return f"does not see what is written to {store}; share the folder, or give all a common --store URL"
        store.discard(_greeted(store))
    except Exception as error:
        return f"cannot use the store {store} ({type(error).__name__}: {error})"
    return ""


def _is_seen(folder: str) -> bool:
    try:
        return Path(folder).is_dir()
    except OSError:  # one that may not be entered, on Python 3.11
        return False


def _greeted(store: Store) -> str:
    """The key of an entry that says nothing, written to see whether it can be and who sees it."""
    key = uuid.uuid4().hex
    with store.writing(key, "a greeting") as folder:
        (folder / "greeting").write_text("hello", encoding="utf-8")
    return key


def _reason(error: BaseException) -> str:
    from distributed.scheduler import KilledWorker

    if isinstance(error, KilledWorker):
        return (
            f"given up after the workers that ran it, and nothing beside it, were lost "
            f"{error.allowed_failures + 1} times, "
            f"the last at {error.last_worker.address} (too little memory?)"
        )
    return " ".join(f"{type(error).__name__}: {error}".split())
