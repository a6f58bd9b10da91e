"""The beginnings of things of one's own: `new plugin` and `new study`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from counterforensics.cli.screen import (
    print_lines,
)
from counterforensics.files import at_home

new = typer.Typer(no_args_is_help=True, help="Write a first version of a plug-in package or of a study.")


@new.command("plugin", epilog="Example: `counterforensics new plugin my-plugin`")
def new_plugin(
    path: Annotated[Path, typer.Argument(parser=at_home, metavar="PATH", help="Folder for the package.")],
) -> None:
    """Write a package of plug-ins: a manipulation, a detector and an attack, with their tests."""
    from counterforensics.scaffold import write_plug_in

    print_lines(write_plug_in(path))


@new.command("study", epilog="Example: `counterforensics new study my-study.yaml`")
def new_study(
    path: Annotated[Path, typer.Argument(parser=at_home, metavar="PATH", help="File for the study, NAME.yaml.")],
) -> None:
    """Write a study that shows every key. It runs as it is, on simulated cameras."""
    from counterforensics.scaffold import write_study

    print_lines(write_study(path))
