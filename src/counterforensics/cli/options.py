"""Options that several commands share."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from counterforensics import names
from counterforensics.errors import StudyError, shown
from counterforensics.files import at_home

MOST_WORKERS = 10_000


# A shell leaves a ~ in quotes, or behind a `=`, as it is: `at_home` reads every path.
def place(text: str) -> str:
    """A path as `at_home` has it, or a name or a URL as it is."""
    return str(at_home(text)) if text.startswith("~") else text


def count(option: str, most: int) -> Callable[[str | int], int]:
    """What reads a number from 1 to `most`.  Raises StudyError for anything else."""

    def read(given: str | int) -> int:
        with contextlib.suppress(ValueError):
            found = names.whole_number(given)
            if 1 <= found <= most:
                return found
        raise StudyError(f"{option} must be a whole number from 1 to {most:,}, got {shown(given)}")

    return read


Json = Annotated[bool, typer.Option("--json", help="Print JSON for a program to read.")]

Force = Annotated[bool, typer.Option("--force", help="Replace the file if it is there already.")]

StudyName = Annotated[
    str,
    typer.Argument(parser=place, metavar="STUDY", help="A built-in study (demo, leaderboard, paper) or a YAML file."),
]

Photos = Annotated[
    list[Path] | None,
    typer.Option(
        parser=at_home, metavar="DIR", help="Photographs in DIR/<device>/<photo>; may be given several times."
    ),
]

Out = Annotated[
    Path | None, typer.Option(parser=at_home, metavar="DIR", help="Where results go; runs/<study> by default.")
]

Workers = Annotated[
    int | None,
    typer.Option(parser=count("--workers", MOST_WORKERS), metavar="N", help="Tasks at a time; one a core by default."),
]

StorePlace = Annotated[
    str | None,
    typer.Option(
        parser=place, metavar="PLACE", help="Where results are kept: a folder, or a URL such as s3://bucket/folder."
    ),
]
