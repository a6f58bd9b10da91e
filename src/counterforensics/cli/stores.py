"""Stores of results: `store prune`."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Annotated

import typer
from rich import filesize

from counterforensics.cli.options import Json
from counterforensics.cli.screen import print_lines
from counterforensics.errors import printable
from counterforensics.files import at_home

store = typer.Typer(no_args_is_help=True, help="Tidy a store, the folder with the results of tasks.")


@store.command("prune", epilog="Example: `counterforensics store prune runs/demo --yes`")
def prune(
    folders: Annotated[
        list[Path],
        typer.Argument(
            parser=at_home, metavar="DIR...", help="Output folder (--out) of each study that uses the store."
        ),
    ],
    yes: Annotated[
        bool, typer.Option("--yes", help="Remove these results. Without it, the command only counts them.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Remove the stored results that no study needs. Give the output folder of every study that uses the store."""
    from counterforensics.study.prune import prune_store

    found = prune_store(folders, remove=yes)
    if as_json:
        print_lines([json.dumps(dataclasses.asdict(found), indent=2)])
        return
    needed, unneeded = filesize.decimal(found.needed_bytes), filesize.decimal(found.unneeded_bytes)
    lines = [
        printable(f"Store: {found.store}"),
        f"Needed: {found.needed} entries, {needed}",
        f"{'Removed' if found.removed else 'Not needed'}: {found.unneeded} entries, {unneeded}",
    ]
    if found.unneeded and not found.removed:
        lines.append("Nothing was removed; add --yes to remove what is not needed")
    print_lines(lines)
