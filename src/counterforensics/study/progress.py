"""What a person sees while a study runs."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bars


class Progress:
    """Bars on standard error if that is a terminal, one for each kind of work; nothing if `quiet`."""

    def __init__(self, *, quiet: bool = False) -> None:
        self._console = Console(stderr=True, quiet=quiet)

    def say(self, text: str) -> None:
        """One line for a person."""
        self._console.print(text, highlight=False, markup=False)

    @contextlib.contextmanager
    def stage(self, name: str, total: int) -> Iterator[Callable[[], None]]:
        """A bar for `total` like things; yields what to call after each."""
        with self.tasks([name] * total) as advance:
            yield lambda: advance(name)

    @contextlib.contextmanager
    def tasks(self, kinds: Sequence[str]) -> Iterator[Callable[[str], None]]:
        """A bar for each kind that occurs in `kinds`; yields what to call with the kind of a finished task."""
        columns = (
            TextColumn("{task.description:>12}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
        )
        # In a pipe or a log nothing moves; an error then is the only line.
        with Bars(*columns, console=self._console, disable=not self._console.is_terminal) as bars:
            bar = {kind: bars.add_task(kind, total=count) for kind, count in Counter(kinds).items()}
            yield lambda kind: bars.advance(bar[kind])
