"""Studies: `run`, `plan` and `status`."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich import filesize

from counterforensics.cli.loading import loading
from counterforensics.cli.options import (
    Json,
    Out,
    Photos,
    StorePlace,
    StudyName,
    Workers,
)
from counterforensics.cli.screen import (
    Screen,
    print_lines,
    say,
    say_broken_plug_ins,
    table_of_tasks,
)
from counterforensics.errors import CounterforensicsError, printable
from counterforensics.files import at_home

if TYPE_CHECKING:
    from counterforensics.study.settings import Study

commands = typer.Typer()


ANSWERS = 3  # sentences of the report's answer that the terminal repeats

WIDTH = 140  # columns that the widest table needs; a narrower terminal wraps its lines


def checked_study(given: str, photos: list[Path] | None) -> Study:
    """The study that STUDY and --photos name; broken plug-ins are named.

    A file that cannot be read is refused before torch is loaded, and settings before what computes and draws.
    """
    from counterforensics.study.yaml_file import read_settings

    read_settings(given)
    with loading():
        from counterforensics.study.settings import load_study

    study = load_study(given, photos=photos or [])
    say_broken_plug_ins()
    return study


@commands.command(
    epilog="Examples: `counterforensics run` · `counterforensics run paper --photos ~/photos` · "
    "`counterforensics run studies/cameras.yaml --out runs/cameras`"
)
def run(
    study: StudyName = "demo",
    photos: Photos = None,
    out: Out = None,
    workers: Workers = None,
    store: StorePlace = None,
    cluster: Annotated[
        str | None, typer.Option(help="Address of a Dask scheduler, or `local` for one worker process per core or GPU.")
    ] = None,
    gpu: Annotated[bool, typer.Option("--gpu", help="Stop unless a worker of the cluster has a GPU.")] = False,
    so_far: Annotated[
        bool, typer.Option("--so-far", help="Compute nothing: write the rows and the report of the finished tasks.")
    ] = False,
) -> None:
    """Run a study: write rows.csv, report.html, tables and figures. The same command resumes a run that stopped."""
    settings = checked_study(study, photos)
    with loading():
        from counterforensics.report import answer, not_learned, terminal_tables, write_report
        from counterforensics.study.progress import Progress
        from counterforensics.study.run import run_study

    folder = out or Path("runs") / settings.name
    progress = Progress()
    outcome = run_study(
        settings, folder, workers=workers, progress=progress, store=store, cluster=cluster, gpu=gpu, so_far=so_far
    )
    report = write_report(outcome, folder)
    console = Screen()
    console.width = max(console.width, WIDTH)
    for table in terminal_tables(outcome):
        console.print(table)
    say(console, "Answer", answer(outcome)[:ANSWERS])
    say(console, "Has not learned", not_learned(outcome))
    say(console, "Left out", outcome.left_out)
    say(console, "Note", outcome.notes)
    say(console, "Failed", outcome.failures)
    say(console, "Rows", [str(folder / "rows.csv")])
    say(console, "Report", [str(report)])
    if outcome.failures:
        failed, them = ("1 task", "it") if len(outcome.failures) == 1 else (f"{len(outcome.failures)} tasks", "them")
        raise CounterforensicsError(f"{failed} failed; run the same command again to retry {them}")


@commands.command(epilog="Example: `counterforensics plan studies/cameras.yaml --out runs/cameras`")
def plan(
    study: StudyName = "demo",
    photos: Photos = None,
    out: Out = None,
    workers: Workers = None,
    store: StorePlace = None,
    as_json: Json = False,
) -> None:
    """Estimate a run before it starts: tasks, patches, disk, memory and time."""
    settings = checked_study(study, photos)
    with loading():
        from counterforensics.study.estimate import estimate_study
        from counterforensics.study.progress import Progress

    folder = out or Path("runs") / settings.name
    found = estimate_study(settings, folder, workers=workers, store=store, progress=Progress(quiet=as_json))
    if as_json:
        print_lines([json.dumps(dataclasses.asdict(found), indent=2)])
        return
    table = table_of_tasks("total", "done", "patches", "disk", "memory per task", "time on one core")
    table.title = printable(f"{found.study}: the tasks that are left")
    for kind, cost in found.kinds.items():
        time = _duration(cost.seconds) + (" and more" if cost.unknown else "")
        sizes = (filesize.decimal(cost.disk), filesize.decimal(cost.memory))
        table.add_row(kind, str(cost.tasks), str(cost.done), str(cost.patches), *sizes, time)
    console = Screen()
    console.print(table)
    room = "" if found.room is None else f"; {filesize.decimal(found.room)} are free there"
    lines = [
        f"Disk: {filesize.decimal(found.disk)} in {found.store}{room}",
        f"Time: about {_duration(found.seconds)} (workers: {found.workers})",
        f"Durations: measured in this store ({found.measured_here} of {found.left} tasks) or by the package",
    ]
    for line in lines:
        console.print(printable(line), soft_wrap=True)
    unknown = (f"{kind} {name}".rstrip() for kind, cost in found.kinds.items() for name in cost.unknown)
    say(console, "Unknown duration", unknown)
    say(console, "Left out", found.left_out)
    say(console, "Note", found.notes)


def _duration(seconds: float) -> str:
    """A time that a person would plan with."""
    for unit, length in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.0f} s"


@commands.command(epilog="Example: `counterforensics status runs/cameras`")
def status(
    folder: Annotated[
        Path, typer.Argument(parser=at_home, metavar="DIR", help="Output folder (--out) of a run on any machine.")
    ],
    as_json: Json = False,
) -> None:
    """Show how far a run has come: tasks done, running and failed, and the time that is left."""
    from counterforensics.study.status import status_of

    found = status_of(folder)
    if as_json:
        print_lines([json.dumps(dataclasses.asdict(found), indent=2)])
        return
    ended = f"ended {found.ended}" if found.ended else "has not ended, or was killed"
    console = Screen()
    console.print(f"The run began {found.began} and {ended}")
    table = table_of_tasks("total", "done", "running", "failed")
    for kind, counts in found.kinds.items():
        table.add_row(kind, *(str(counts[name]) for name in ("total", "done", "running", "failed")))
    console.print(table)
    if found.seconds_left is not None:
        console.print(f"About {found.seconds_left / 60:.0f} min are left at the pace so far")
    for heading, notes in (("Running", found.running), ("Failed", found.failed)):
        lines = (f"{note['label']} on {note['host']}, {note['seconds']:.0f} s; {note['said']}" for note in notes)
        say(console, heading, (line.rstrip("; ") for line in lines))
