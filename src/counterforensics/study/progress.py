"""What a person sees while a study runs."""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

from counterforensics.errors import printable

SECONDS_BETWEEN_LINES = 20.0


class Progress:
    """Bars on standard error, one for each kind of work; a line now and then in a log; nothing if `quiet`."""

    def __init__(self, *, quiet: bool = False) -> None:
        self._console = Console(stderr=True, quiet=quiet, markup=False, emoji=False, highlight=False)

    def say(self, text: str) -> None:
        """One line for a person; it is not folded, so that a path can be copied."""
        self._console.print(printable(text), soft_wrap=True)

    @contextlib.contextmanager
    def stage(self, name: str, total: int) -> Iterator[Callable[[], None]]:
        """A bar for `total` like things; yields what to call after each."""
        with self.tasks([name] * total) as advance:
            yield lambda: advance(name)

    @contextlib.contextmanager
    def tasks(self, kinds: Sequence[str]) -> Iterator[Callable[[str], None]]:
        """A bar for each kind that occurs in `kinds`; yields what to call with the kind of a finished task."""
        if not self._console.is_terminal:
            yield self._lines(Counter(kinds))
            return
        columns = (
            TextColumn("{task.description:>12}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
        )
        with Bars(*columns, console=self._console) as bars:
            bar = {kind: bars.add_task(kind, total=count) for kind, count in Counter(kinds).items()}
            yield lambda kind: bars.advance(bar[kind])

    def _lines(self, totals: Counter[str]) -> Callable[[str], None]:
        """In a pipe or a log: a line now and then, so that short work leaves none."""
        done: Counter[str] = Counter()
        said = time.monotonic()

        def advance(kind: str) -> None:
            nonlocal said
            done[kind] += 1
            if time.monotonic() - said > SECONDS_BETWEEN_LINES:
                said = time.monotonic()
                self.say(", ".join(f"{kind} {done[kind]}/{total}" for kind, total in totals.items()))

        return advance
