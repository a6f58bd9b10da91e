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

# As code: Markdown takes <device> for a tag, and leaves it out.
PHOTO_PLACE = "`DIR/<device>/<photo>`"


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


Json = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]

Force = Annotated[bool, typer.Option("--force", help="Replace the file if it exists.")]

StudyName = Annotated[
    str,
    typer.Argument(parser=place, metavar="STUDY", help="A built-in study (demo, leaderboard, paper) or a YAML file."),
]

Photos = Annotated[
    list[Path] | None,
    typer.Option(
        parser=at_home, metavar="DIR", help=f"Folder of photographs, {PHOTO_PLACE}; may be given several times."
    ),
]

Out = Annotated[
    Path | None, typer.Option(parser=at_home, metavar="DIR", help="Output folder; `runs/<study>` by default.")
]

Workers = Annotated[
    int | None,
    typer.Option(
        parser=count("--workers", MOST_WORKERS), metavar="N", help="Tasks at a time; one per core by default."
    ),
]

StorePlace = Annotated[
    str | None,
    typer.Option(
        parser=place,
        metavar="PLACE",
        help="Store of the tasks' results: a folder, or a URL such as s3://bucket/folder; `OUT/store` by default.",
    ),
]
