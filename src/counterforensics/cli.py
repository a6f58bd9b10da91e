"""The command line. Thin: it reads what was asked, calls the library and prints."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import os
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any, NoReturn, Protocol, runtime_checkable

import typer
from rich import filesize
from rich.console import Console
from rich.table import Table

from counterforensics import __version__, names
from counterforensics.__main__ import INTERRUPTED, STOPPED
from counterforensics.errors import CounterforensicsError, SlowStartWarning, StudyError, printable, shown
from counterforensics.files import at_home

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="Measure how image manipulation detectors hold up against attacks that hide the traces.",
)
LONGEST_LINE = 2000  # letters of a message
MOST_WORKERS = 10_000
WIDTH = 140  # columns that the widest table needs; a narrower terminal wraps its lines


# A shell leaves a ~ in quotes, or behind a `=`, as it is: `at_home` reads every path.
def _place(text: str) -> str:
    """A path as `at_home` has it, or a name or a URL as it is."""
    return str(at_home(text)) if text.startswith("~") else text


def _count(option: str, most: int) -> Callable[[str | int], int]:
    """What reads a number from 1 to `most`.  Raises StudyError for anything else."""

    def read(given: str | int) -> int:
        with contextlib.suppress(ValueError):
            found = names.whole_number(given)
            if 1 <= found <= most:
                return found
        raise StudyError(f"{option} must be a whole number from 1 to {most:,}, got {shown(given)}")

    return read


Json = Annotated[bool, typer.Option("--json", help="Print JSON for a program to read.")]
StudyName = Annotated[
    str, typer.Argument(parser=_place, metavar="STUDY", help="A built-in study (demo, paper) or a YAML file.")
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
    typer.Option(parser=_count("--workers", MOST_WORKERS), metavar="N", help="Tasks at a time; one a core by default."),
]
StorePlace = Annotated[
    str | None,
    typer.Option(
        parser=_place, metavar="PLACE", help="Where results are kept: a folder, or a URL such as s3://bucket/folder."
    ),
]


@app.callback(invoke_without_command=True)
def _options(
    version: Annotated[bool, typer.Option("--version", help="Print the version and leave.")] = False,
) -> None:
    if version:
        _print_lines([__version__])
        raise typer.Exit


@app.command(
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
        str | None, typer.Option(help="Address of a Dask scheduler, or `local`: a worker process per core or GPU.")
    ] = None,
    gpu: Annotated[bool, typer.Option("--gpu", help="Stop unless a worker of the cluster offers a GPU.")] = False,
) -> None:
    """Run a study: rows.csv, report.html, tables and figures. Run it again and it resumes."""
    from counterforensics.report import not_learned, terminal_tables, write_report
    from counterforensics.study.progress import Progress
    from counterforensics.study.run import run_study
    from counterforensics.study.settings import load_study

    settings = load_study(study, photos=photos or [])
    _say_broken_plug_ins()
    folder = out or Path("runs") / settings.name
    outcome = run_study(settings, folder, workers=workers, progress=Progress(), store=store, cluster=cluster, gpu=gpu)
    report = write_report(outcome, folder)
    console = _Screen()
    console.width = max(console.width, WIDTH)
    for table in terminal_tables(outcome):
        console.print(table)
    _say(console, "Has not learned", not_learned(outcome))
    _say(console, "Left out", outcome.left_out)
    _say(console, "Failed", outcome.failures)
    _say(console, "Rows", [str(folder / "rows.csv")])
    _say(console, "Report", [str(report)])
    if outcome.failures:
        failed, them = ("1 task", "it") if len(outcome.failures) == 1 else (f"{len(outcome.failures)} tasks", "them")
        raise CounterforensicsError(f"{failed} failed; run the same command again to retry {them}")


@app.command(epilog="Example: `counterforensics plan studies/cameras.yaml --out runs/cameras`")
def plan(
    study: StudyName = "demo",
    photos: Photos = None,
    out: Out = None,
    workers: Workers = None,
    store: StorePlace = None,
    as_json: Json = False,
) -> None:
    """What a run would do and cost: tasks, patches, disk, memory, and time as measured earlier."""
    from counterforensics.study.estimate import estimate_study
    from counterforensics.study.progress import Progress
    from counterforensics.study.settings import load_study

    settings = load_study(study, photos=photos or [])
    _say_broken_plug_ins()
    folder = out or Path("runs") / settings.name
    found = estimate_study(settings, folder, workers=workers, store=store, progress=Progress(quiet=as_json))
    if as_json:
        _print_lines([json.dumps(dataclasses.asdict(found), indent=2)])
        return
    table = _table_of_tasks("total", "done", "patches", "disk", "memory of one", "time on one core")
    table.title = printable(f"{found.study}, what is left to do")
    for kind, cost in found.kinds.items():
        time = _duration(cost.seconds) + (" and more" if cost.unknown else "")
        sizes = (filesize.decimal(cost.disk), filesize.decimal(cost.memory))
        table.add_row(kind, str(cost.tasks), str(cost.done), str(cost.patches), *sizes, time)
    console = _Screen()
    console.print(table)
    room = "" if found.room is None else f" of {filesize.decimal(found.room)} that are free"
    lines = [
        f"Disk: {filesize.decimal(found.disk)}{room} in {found.store}",
        f"Time: {_duration(found.seconds)} with {found.workers} workers; the durations of {found.measured_here} of "
        f"{found.left} tasks were measured in this store, the others come with the package",
    ]
    for line in lines:
        console.print(printable(line), soft_wrap=True)
    unknown = (f"{kind} {name}" for kind, cost in found.kinds.items() for name in cost.unknown)
    _say(console, "No duration is known of", unknown)
    _say(console, "Left out", found.left_out)


def _duration(seconds: float) -> str:
    """A time that a person would plan with."""
    for unit, length in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.0f} s"


@app.command(
    epilog="Example: `counterforensics evaluate --detector runs/demo/detectors/0/spam-svm/median:7 "
    "--photos ~/photos --manipulation median:7 --json`"
)
def evaluate(
    detector: Annotated[
        str,
        typer.Option(
            parser=_place, metavar="DETECTOR", help="Folder of a trained detector, or the name of a shipped one."
        ),
    ],
    photos: Annotated[
        list[Path], typer.Option(parser=at_home, metavar="DIR", help="Photographs in DIR/<device>/<photo>.")
    ],
    manipulation: Annotated[str, typer.Option(help="What to look for, such as median:7.")],
    per_photo: Annotated[
        int, typer.Option(parser=_count("--per-photo", 192), metavar="N", help="Patches of each photograph.")
    ] = 192,
    as_json: Json = False,
) -> None:
    """Judge photographs by a trained detector, pristine and manipulated."""
    from counterforensics.study.evaluate import evaluate_detector
    from counterforensics.study.progress import Progress

    result = evaluate_detector(detector, photos, manipulation, per_photo=per_photo, progress=Progress(quiet=as_json))
    if as_json:
        _print_lines([json.dumps(result, indent=2)])
        return
    console = _Screen()
    for table in _tables_of_rates(result):
        console.print(table)
    console.print(
        f"{result['n_pristine']} pristine and {result['n_manipulated']} manipulated patches "
        f"of {result['photos']} photographs, {len(result['left_out'])} left out"
    )
    _say(console, "Note", result["notes"])
    _say(console, "Left out", result["left_out"])


_AT_1_PERCENT = {"tpr_at_fpr_01": "TPR at 1 %", "fpr_at_fpr_01": "FPR there"}
_AT_STORED = (
    ("tpr_at_fpr_01", "TPR at 1 % FPR", "fpr_at_fpr_01"),
    ("tpr_at_fpr_05", "TPR at 5 % FPR", "fpr_at_fpr_05"),
)


def _tables_of_rates(result: dict[str, Any]) -> Iterator[Table]:
    """What `evaluate` found: all photographs together, by device, and by the JPEG quality of the files."""
    table = Table(title=printable(f"{result['detector']} on {result['manipulation']}"))
    for heading in ("", "value", "95 % interval, resampled by photo"):
        table.add_column(heading)
    for name, told in (*((name, name.upper()) for name in ("fpr", "tpr", "acc", "auc")), ("best_acc", "best ACC")):
        form = ".4f" if name == "auc" else ".2%"
        table.add_row(told, f"{result[name]:{form}}", _ends(result, name, form))
    for name, told, there in _AT_STORED:
        if result[name] is not None:
            interval = f"{_ends(result, name, '.2%')}; FPR reached {result[there]:.2%}"
            table.add_row(told, f"{result[name]:.2%}", interval)
    yield table
    known = [name for name in _AT_1_PERCENT if result[name] is not None]
    columns = {
        **{name: name.upper() for name in ("fpr", "tpr", "acc")},
        **{name: _AT_1_PERCENT[name] for name in known},
    }
    yield _table_of_shares("by device", "device", columns, result["devices"])
    columns = {"photographs": "photographs", **columns}
    yield _table_of_shares("by JPEG quality of the file", "quality", columns, result["by_quality"])


def _ends(result: dict[str, Any], name: str, form: str) -> str:
    return f"{result[f'{name}_low']:{form}} to {result[f'{name}_high']:{form}}"


def _table_of_shares(title: str, first: str, columns: dict[str, str], parts: dict[str, dict[str, Any]]) -> Table:
    """A line for each part of the photographs: rates in percent, and whole numbers as they are."""
    table = Table(title=title)
    for heading in (first, *columns.values()):
        table.add_column(heading)
    for part, found in parts.items():
        values = (found[name] for name in columns)
        table.add_row(
            printable(part), *("" if v is None else str(v) if isinstance(v, int) else f"{v:.2%}" for v in values)
        )
    return table


DetectorNames = Annotated[
    list[str] | None,
    typer.Option(
        "--detector",
        parser=_place,
        metavar="DETECTOR",
        help="A shipped detector (spam-svm, or spam-svm/median:7), or a folder; may be given several times.",
    ),
]
PhotoFiles = Annotated[list[Path], typer.Argument(parser=at_home, metavar="PHOTO...", help="Files of photographs.")]
Stride = Annotated[
    int | None,
    typer.Option(parser=_count("--stride", 10_000), metavar="N", help="Pixels between two patches that overlap."),
]


@app.command(epilog="Examples: `counterforensics detect photo.jpg` · `counterforensics detect *.jpg --maps maps`")
def detect(
    photos: PhotoFiles,
    detector: DetectorNames = None,
    manipulation: Annotated[
        list[str] | None, typer.Option(help="Ask about this one alone, such as median:7; may be given several times.")
    ] = None,
    stride: Stride = None,
    maps: Annotated[
        Path | None, typer.Option(parser=at_home, metavar="DIR", help="Where to write a map for each detector.")
    ] = None,
    as_json: Json = False,
) -> None:
    """What was done to a photograph, as a whole and where: every shipped detector answers."""
    from counterforensics.sliding.detecting import judge_all, select
    from counterforensics.study.progress import Progress

    detectors = select(detector or [], manipulation or [])
    with Progress(quiet=as_json).stage("detectors", len(photos) * len(detectors)) as advance:
        found, left_out = judge_all(photos, detectors, stride=stride, maps=maps, done=advance)
    if as_json:
        _print_lines([json.dumps(found, indent=2)])
    console = _Screen(stderr=as_json)
    for one in [] if as_json else found:
        console.print(_table_of_findings(one))
        for finding in one["findings"]:
            if finding["verdict"] == "no answer":
                _say(console, "No answer", [f"{finding['detector']}: {finding['why']}"])
        _say(console, "Note", one["remarks"])
        _say(console, "Map", (finding["map"] for finding in one["findings"] if finding["map"]))
    _say(console, "Left out", left_out)


def _table_of_findings(one: dict[str, Any]) -> Table:
    """A line for each detector, the manipulations one after the other."""
    table = Table(title=printable(one["photo"]))
    for heading in ("manipulation", "detector", "verdict", "patches flagged", "false alarms of the verdict"):
        table.add_column(heading)
    for finding in one["findings"]:
        alarms, flagged = finding["false_alarms"], finding["flagged"]
        share = "" if flagged is None else f"{flagged:.1%} of {finding['patches']}"
        measured = (
            ""
            if alarms is None
            else f"{alarms['rate']:.1%} of {alarms['photographs']} ({alarms['low']:.1%} to {alarms['high']:.1%})"
        )
        name = printable(finding["detector"].removesuffix(f"/{finding['manipulation']}"))
        table.add_row(finding["manipulation"], name, finding["verdict"], share, measured)
    return table


@app.command(
    epilog="Example: `counterforensics attack photo.jpg --detector cozzolino2017/median:7 --attack pgd:epsilon=1 "
    "--manipulate median:7 --out concealed.png`"
)
def attack(
    photos: PhotoFiles,
    detector: Annotated[
        str,
        typer.Option(parser=_place, metavar="DETECTOR", help="The target: a shipped detector, or a folder."),
    ],
    attack: Annotated[str, typer.Option(help="How to hide the traces, such as pgd:epsilon=1 or spam-descent.")],
    out: Annotated[
        Path, typer.Option(parser=at_home, metavar="FILE.png", help="A new file; for several photographs a folder.")
    ],
    manipulate: Annotated[str | None, typer.Option(help="Manipulate the photograph first, such as median:7.")] = None,
    region: Annotated[
        str | None,
        typer.Option(metavar="X,Y,W,H", help="Manipulate and change these pixels alone: left, top, width, height."),
    ] = None,
    stride: Stride = None,
    as_json: Json = False,
) -> None:
    """Hide the traces in a photograph from a detector, wherever it looks."""
    from counterforensics.sliding.attacking import attack_all
    from counterforensics.sliding.concealing import Region
    from counterforensics.study.progress import Progress

    progress = Progress(quiet=as_json)
    place = None if region is None else Region.read(region, "--region")
    with progress.stage("photographs", len(photos)) as advance:
        found, left_out = attack_all(
            photos,
            out,
            done=advance,
            detector=detector,
            attack=attack,
            manipulate=manipulate,
            region=place,
            stride=stride,
            say=progress.say,
        )
    if as_json:
        _print_lines([json.dumps(found, indent=2)] if len(photos) > 1 else [json.dumps(found[0], indent=2)])
    console = _Screen(stderr=as_json)
    for one in [] if as_json else found:
        console.print(_table_of_attacked(one))
        _say(console, "Concealed", [one["out"]])
    _say(console, "Left out", left_out)


def _table_of_attacked(one: dict[str, Any]) -> Table:
    """Which share of the patches each detector flags before and after, and what the attack changed."""
    quality = "unchanged" if one["psnr"] is None else f"{one['psnr']:.2f} dB"
    title = (
        f"{one['photo']}: PSNR {quality}, SSIM {one['ssim']:.4f}, at most {one['largest_change']} grey levels, "
        f"{one['seconds']:.1f} s; of {one['positions']} patches {one['left']} are left flagged"
    )
    table = Table(title=printable(title))
    for heading in ("detector", "flagged before", "flagged after"):
        table.add_column(heading)
    for name, before in one["before"].items():
        after = one["after"][name]
        target = " (target)" if name == one["target"] else ""
        table.add_row(printable(name) + target, *("" if share is None else f"{share:.1%}" for share in (before, after)))
    return table


@app.command("app", epilog="Example: `counterforensics app --port 7860`")
def serve_app(
    port: Annotated[
        int, typer.Option(parser=_count("--port", 65_535), metavar="N", help="Where the page is on this computer.")
    ] = 7860,
) -> None:
    """A page for a browser: detect and attack one photograph. Needs the extra `app`."""
    from counterforensics.app import serve

    serve(port, say=lambda line: _print_lines([line]))


@app.command(epilog="Example: `counterforensics photos ~/photos --json`")
def photos(
    folder: Annotated[Path, typer.Argument(parser=at_home, metavar="DIR", help="Photographs in DIR/<device>/<photo>.")],
    as_json: Json = False,
) -> None:
    """Which devices and photographs are there, and which files cannot be used."""
    from counterforensics.study.evaluate import look_at

    found = look_at(folder)
    if as_json:
        _print_lines([json.dumps(found, indent=2)])
        return
    table = Table(title=printable(str(folder)))
    table.add_column("device")
    table.add_column("photographs", justify="right")
    table.add_column("sizes")
    for device, entries in found["devices"].items():
        sizes = Counter(f"{entry['width']}x{entry['height']}" for entry in entries)
        table.add_row(
            printable(device), str(len(entries)), ", ".join(f"{count} of {size}" for size, count in sizes.items())
        )
    console = _Screen()
    console.print(table)
    for heading, lines in (("Cannot be used", "unusable"), ("Twice", "copies"), ("Note", "remarks")):
        _say(console, heading, found[lines])


@app.command(epilog="Example: `counterforensics status runs/cameras`")
def status(
    folder: Annotated[
        Path, typer.Argument(parser=at_home, metavar="DIR", help="The --out of a run, wherever that is running.")
    ],
    as_json: Json = False,
) -> None:
    """How far a run is: tasks done, running and failed, and the time that is left at this pace."""
    from counterforensics.study.status import status_of

    found = status_of(folder)
    if as_json:
        _print_lines([json.dumps(dataclasses.asdict(found), indent=2)])
        return
    ended = f"ended {found.ended}" if found.ended else "has not ended"
    console = _Screen()
    console.print(f"Began {found.began}, {ended}")
    table = _table_of_tasks("total", "done", "running", "failed")
    for kind, counts in found.kinds.items():
        table.add_row(kind, *(str(counts[name]) for name in ("total", "done", "running", "failed")))
    console.print(table)
    if found.seconds_left is not None:
        console.print(f"About {found.seconds_left / 60:.0f} min left at the pace so far")
    for heading, notes in (("Running", found.running), ("Failed", found.failed)):
        lines = (f"{note['label']} on {note['host']}, {note['seconds']:.0f} s; {note['said']}" for note in notes)
        _say(console, heading, (line.rstrip("; ") for line in lines))


@app.command("list", epilog="Example: `counterforensics list --json`")
def list_parts(as_json: Json = False) -> None:
    """Manipulations, detectors, attacks (plug-ins among them) and built-in studies."""
    from counterforensics import manipulations
    from counterforensics.detectors import zoo
    from counterforensics.study.settings import BUILT_IN

    shipped = zoo.shipped()
    if as_json:
        others = {"paper_manipulations": list(manipulations.PAPER), "studies": list(BUILT_IN)}
        _print_lines([json.dumps({**_parts(), **others, "shipped_detectors": shipped}, indent=2)])
        return
    console = _Screen()
    for table in _tables_of_parts():
        console.print(table)
    console.print(f"The paper's manipulations: {', '.join(manipulations.PAPER)}")
    console.print(f"Built-in studies: {', '.join(BUILT_IN)}")
    console.print(f"Shipped detectors: {', '.join(shipped) or 'none'}")


def _registries() -> dict[str, names.Registry[Any]]:
    from counterforensics import attacks, detectors, manipulations

    return {
        "manipulations": manipulations.MANIPULATIONS,
        "detectors": detectors.DETECTORS,
        "attacks": attacks.ATTACKS,
    }


def _parts() -> dict[str, Any]:
    """The names of all parts and plug-ins, with the packages that plug-ins came with, and the broken ones."""
    registries = _registries()
    parts: dict[str, Any] = {group: sorted(known) for group, known in registries.items()}
    parts["plug_ins"] = {group: sorted(known.plug_ins) for group, known in registries.items()}
    parts["plug_in_packages"] = {
        group: {name: plug_in.distribution for name, plug_in in sorted(known.plug_ins.items())}
        for group, known in registries.items()
    }
    parts["broken_plug_ins"] = {group: dict(sorted(known.broken.items())) for group, known in registries.items()}
    return parts


def _tables_of_parts() -> Iterator[Table]:
    """A table of each kind of part; a plug-in shows the package that it came with."""
    for group, known in _registries().items():
        table = Table(title=group, title_justify="left")
        headings = ["name", "settings and defaults", *(["plug-in of"] if known.plug_ins else [])]
        for heading in headings:
            table.add_column(heading)
        for name in sorted(known):
            cells = [name, names.settings_with_defaults(known[name])]
            if known.plug_ins:
                cells.append((known.plug_ins[name].distribution or "?") if name in known.plug_ins else "")
            table.add_row(*cells)
        yield table


new = typer.Typer(no_args_is_help=True, help="Write the beginning of a package of plug-ins, or of a study.")
app.add_typer(new, name="new")


@new.command("plugin", epilog="Example: `counterforensics new plugin my-plugin`")
def new_plugin(
    path: Annotated[Path, typer.Argument(parser=at_home, metavar="PATH", help="A folder that is to hold the package.")],
) -> None:
    """Write a package with a manipulation, a detector and an attack of your own, and their tests."""
    from counterforensics.scaffold import write_plug_in

    _print_lines(write_plug_in(path))


@new.command("study", epilog="Example: `counterforensics new study my-study.yaml`")
def new_study(
    path: Annotated[
        Path, typer.Argument(parser=at_home, metavar="PATH", help="A file that is to hold the study, NAME.yaml.")
    ],
) -> None:
    """Write a study that runs as it is on simulated cameras and shows every key."""
    from counterforensics.scaffold import write_study

    _print_lines(write_study(path))


def _print_lines(lines: Iterable[str]) -> None:
    """Print lines; see `_writing`."""
    with _writing():
        for line in lines:
            print(line)
        sys.stdout.flush()


@contextlib.contextmanager
def _writing() -> Iterator[None]:
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


class _Screen(Console):
    """A terminal that shows text as it is: no brackets or colons in a name are taken for markup."""

    def __init__(self, *, stderr: bool = False) -> None:
        super().__init__(stderr=stderr, markup=False, emoji=False, highlight=False)

    def print(self, *objects: Any, **how: Any) -> None:
        """As `Console.print`; see `_writing`."""
        with _writing():
            super().print(*objects, **how)
            sys.stdout.flush()


def _table_of_tasks(*headings: str) -> Table:
    """An empty table: a kind of task, then numbers."""
    table = Table()
    table.add_column("task")
    for heading in headings:
        table.add_column(heading, justify="right")
    return table


def _say(console: Console, heading: str, lines: Iterable[str]) -> None:
    """Each of `lines` as it is, under its heading; none is folded, so that a path can be copied."""
    for line in lines:
        console.print(printable(f"{heading}: {line}"), soft_wrap=True)


@runtime_checkable
class _Complaint(Protocol):
    """What typer's own errors about arguments share: the class that they derive from is not public."""

    def format_message(self) -> str: ...


def main() -> None:
    """The entry point: an error of the user's is one line and exit 2."""
    _broken_said.clear()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # what the terminal's encoding lacks is shown escaped
    usual = warnings.formatwarning

    def worded(
        message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
    ) -> str:
        ours = issubclass(category, SlowStartWarning)
        return f"counterforensics: {message}\n" if ours else usual(message, category, filename, lineno, line)

    warnings.formatwarning = worded
    try:
        _run_command()
    finally:
        warnings.formatwarning = usual


def _run_command() -> NoReturn:
    """Run what the arguments ask for, and leave with its exit status."""
    try:
        status = app(standalone_mode=False)
    except CounterforensicsError as error:
        _leave(str(error), 2)
    except Exception as error:
        if not isinstance(error, _Complaint):
            raise
        _leave(f"{error.format_message() or 'no command given'} (counterforensics --help shows the commands)", 2)
    if status == INTERRUPTED:
        _leave(STOPPED, INTERRUPTED)
    _say_broken_plug_ins()
    sys.exit(status)


def _leave(message: str, status: int) -> NoReturn:
    """Print one line on standard error and end with `status`."""
    line = printable(" ".join(message.split()))
    if len(line) > LONGEST_LINE:  # whatever was given is cut to a readable length
        line = f"{line[: LONGEST_LINE // 2]} ... {line[-LONGEST_LINE // 2 :]}"
    _say_broken_plug_ins(besides=line)
    print(f"counterforensics: {line}", file=sys.stderr)
    sys.exit(status)


_broken_said: set[str] = set()


def _say_broken_plug_ins(*, besides: str = "") -> None:
    """Name each plug-in that was met and cannot be used, once, on standard error; not one that `besides` names."""
    for line in names.broken_plug_ins():
        if line not in _broken_said and line not in besides:
            _broken_said.add(line)
            print(f"counterforensics: {printable(line)}", file=sys.stderr)
