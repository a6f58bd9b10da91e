"""Detectors and attacks ranked: `leaderboard`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from counterforensics.cli.options import Photos, StorePlace, Workers, place
from counterforensics.cli.screen import Screen, say, say_broken_plug_ins
from counterforensics.cli.studies import checked_study
from counterforensics.errors import CounterforensicsError
from counterforensics.files import at_home

commands = typer.Typer()


@commands.command(
    "leaderboard",
    epilog="Examples: `counterforensics leaderboard runs/cameras --out board` · "
    "`counterforensics leaderboard --enter my-detector --out board`",
)
def make_leaderboard(
    out: Annotated[
        Path, typer.Option(parser=at_home, metavar="DIR", help="Folder for index.html and leaderboard.csv.")
    ],
    runs: Annotated[
        list[Path] | None,
        typer.Argument(parser=at_home, metavar="RUN", help="Output folders (--out) of finished runs."),
    ] = None,
    enter: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="A detector or an attack to add, for example from a plug-in. The protocol runs with it, in `DIR/run`. "
            "May be given several times.",
        ),
    ] = None,
    protocol: Annotated[
        str, typer.Option(parser=place, metavar="STUDY", help="The study that runs with the entries.")
    ] = "leaderboard",
    photos: Photos = None,
    workers: Workers = None,
    store: StorePlace = None,
) -> None:
    """Rank detectors by their worst case, and attacks by the TPR that they leave. Write a page and a CSV file."""
    from counterforensics.report.leaderboard import INDEX, write_leaderboard

    console, folders = Screen(), list(runs or [])
    if enter:
        folders.append(_run_protocol(console, out / "run", enter, protocol, photos, workers, store))
    board = write_leaderboard(folders, out)
    say(console, "Leaderboard", [str(out / INDEX)])
    if board.repeated:
        say(console, "Note", [f"{board.repeated} rows repeat what an earlier run measured; the earlier run counts"])


def _run_protocol(
    console: Screen,
    folder: Path,
    enter: list[str],
    protocol: str,
    photos: list[Path] | None,
    workers: int | None,
    store: str | None,
) -> Path:
    """Run the protocol with the entries, and write its report; the folder of the run."""
    settings = checked_study(protocol, photos)
    from counterforensics.report import not_learned, write_report
    from counterforensics.study.entering import enter as with_entries
    from counterforensics.study.progress import Progress
    from counterforensics.study.run import run_study

    study = with_entries(settings, enter)
    say_broken_plug_ins()
    outcome = run_study(study, folder, workers=workers, progress=Progress(), store=store)
    write_report(outcome, folder)
    say(console, "Has not learned", not_learned(outcome))
    say(console, "Failed", outcome.failures)
    if outcome.failures:
        raise CounterforensicsError(
            "tasks failed, so there is no leaderboard; run the same command again to retry them"
        )
    return folder
