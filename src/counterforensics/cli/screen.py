"""Standard output and standard error, as all commands write to them."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterable, Iterator
from typing import Any

from rich.console import Console
from rich.table import Table

from counterforensics import names
from counterforensics.errors import CounterforensicsError, printable


def print_lines(lines: Iterable[str]) -> None:
    """Print lines; see `writing`."""
    with writing():
        for line in lines:
            print(line)
        sys.stdout.flush()


@contextlib.contextmanager
def writing() -> Iterator[None]:
    """While something is written to standard output.

    Raises CounterforensicsError where it takes no more, as on a full disk; a reader that has gone, as `head` does, ends
    the program without a word.
    """
    try:
        yield
    except OSError as error:
        # What is left in the buffer would be tried once more when Python ends.
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):
            sys.exit(1)
        raise CounterforensicsError(f"cannot write to standard output ({error.strerror})") from error


class Screen(Console):
    """A terminal that shows text as it is: no brackets or colons in a name are taken for markup."""

    def __init__(self, *, stderr: bool = False) -> None:
        super().__init__(stderr=stderr, markup=False, emoji=False, highlight=False)

    def print(self, *objects: Any, **how: Any) -> None:
        """As `Console.print`; see `writing`."""
        with writing():
            super().print(*objects, **how)
            sys.stdout.flush()


def table_of_tasks(*headings: str) -> Table:
    """An empty table: a kind of task, then numbers."""
    table = Table()
    table.add_column("task")
    for heading in headings:
        table.add_column(heading, justify="right")
    return table


def say(console: Console, heading: str, lines: Iterable[str]) -> None:
    """Each of `lines` as it is, under its heading; none is folded, so that a path can be copied."""
    for line in lines:
        console.print(printable(f"{heading}: {line}"), soft_wrap=True)


broken_said: set[str] = set()


def say_broken_plug_ins(*, besides: str = "") -> None:
    """Name each plug-in that was met and cannot be used, once, on standard error; not one that `besides` names."""
    for line in names.broken_plug_ins():
        if line not in broken_said and line not in besides:
            broken_said.add(line)
            print(f"counterforensics: {printable(line)}", file=sys.stderr)
