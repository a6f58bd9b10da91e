"""Work in a thread of its own, which says how far it is and can be stopped."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator
from typing import Generic, TypeVar

from counterforensics.errors import CounterforensicsError

Result = TypeVar("Result")


class StoppedError(CounterforensicsError):
    """The client stopped the work."""


class StoppableWork(Generic[Result]):
    """`work`, which calls what it is given with a line about its progress now and then.

    stop: once it is set, the next such call ends the work with a StoppedError.
    """

    def __init__(self, work: Callable[[Callable[[str], None]], Result], stop: threading.Event) -> None:
        self._work, self._stop = work, stop
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._results: list[Result] = []
        self._errors: list[BaseException] = []

    def lines(self) -> Generator[str, None, None]:
        """Do the work, and yield each line about its progress.  Whoever closes the iterator stops the work."""
        thread = threading.Thread(target=self._run, name="work of a client", daemon=True)
        thread.start()
        try:
            while (line := self._lines.get()) is not None:
                yield line
        finally:
            self._stop.set()
            thread.join()

    def result(self) -> Result:
        """What `work` returned, after `lines` has ended.  Raises what `work` raised."""
        if self._errors:
            raise self._errors[0]
        return self._results[0]

    def _say(self, line: str) -> None:
        if self._stop.is_set():
            raise StoppedError("Stopped. The photograph is as it was.")
        self._lines.put(line)

    def _run(self) -> None:
        try:
            self._say("reading the photograph")
            self._results.append(self._work(self._say))
        except BaseException as error:
            self._errors.append(error)
        finally:
            self._lines.put(None)
