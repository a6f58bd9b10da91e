"""Photographs and detectors: `photos`, `evaluate`, `detect`, `attack` and `app`."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from counterforensics.cli.options import (
    PHOTO_PLACE,
    Json,
    count,
    place,
)
from counterforensics.cli.screen import (
    Screen,
    print_lines,
    say,
)
from counterforensics.errors import printable
from counterforensics.files import at_home

commands = typer.Typer()


@commands.command(epilog="Example: `counterforensics photos ~/photos --json`")
def photos(
    folder: Annotated[
        Path, typer.Argument(parser=at_home, metavar="DIR", help=f"Folder of photographs, {PHOTO_PLACE}.")
    ],
    as_json: Json = False,
) -> None:
    """List the devices and photographs in a folder, and the files that cannot be used."""
    from counterforensics.study.evaluate import look_at

    found = look_at(folder)
    if as_json:
        print_lines([json.dumps(found, indent=2)])
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
    console = Screen()
    console.print(table)
    for heading, lines in (("Cannot be used", "unusable"), ("Twice", "copies"), ("Note", "remarks")):
        say(console, heading, found[lines])


@commands.command(
    epilog="Example: `counterforensics evaluate --detector runs/demo/detectors/0/spam-svm/median:7 "
    "--photos ~/photos --manipulation median:7 --json`"
)
def evaluate(
    detector: Annotated[
        str,
        typer.Option(
            parser=place, metavar="DETECTOR", help="Folder of a trained detector, or the name of a shipped one."
        ),
    ],
    photos: Annotated[
        list[Path], typer.Option(parser=at_home, metavar="DIR", help=f"Folder of photographs, {PHOTO_PLACE}.")
    ],
    manipulation: Annotated[str, typer.Option(help="The manipulation to detect, such as median:7.")],
    per_photo: Annotated[
        int, typer.Option(parser=count("--per-photo", 192), metavar="N", help="Patches per photograph.")
    ] = 192,
    as_json: Json = False,
) -> None:
    """Measure a trained detector on photographs: its rates on pristine and on manipulated patches."""
    from counterforensics.study.evaluate import evaluate_detector
    from counterforensics.study.progress import Progress

    result = evaluate_detector(detector, photos, manipulation, per_photo=per_photo, progress=Progress(quiet=as_json))
    if as_json:
        print_lines([json.dumps(result, indent=2)])
        return
    console = Screen()
    for table in _tables_of_rates(result):
        console.print(table)
    console.print(
        f"{result['n_pristine']} pristine and {result['n_manipulated']} manipulated patches "
        f"of {result['photos']} photographs; files left out: {len(result['left_out'])}"
    )
    say(console, "Note", result["notes"])
    say(console, "Left out", result["left_out"])


_AT_1_PERCENT = {"tpr_at_fpr_01": "TPR at 1 % FPR", "fpr_at_fpr_01": "FPR reached"}

_AT_STORED = (
    ("tpr_at_fpr_001", "TPR at 0.1 % FPR", "fpr_at_fpr_001"),
    ("tpr_at_fpr_01", "TPR at 1 % FPR", "fpr_at_fpr_01"),
    ("tpr_at_fpr_05", "TPR at 5 % FPR", "fpr_at_fpr_05"),
)


def _tables_of_rates(result: dict[str, Any]) -> Iterator[Table]:
    """What `evaluate` found: all photographs together, by device, and by the JPEG quality of the files."""
    table = Table(title=printable(f"{result['detector']} on {result['manipulation']}"))
    for heading in ("", "value", "95 % interval, photographs resampled"):
        table.add_column(heading)
    rates = [*((name, name.upper()) for name in ("fpr", "tpr", "acc", "auc", "eer")), ("best_acc", "best ACC")]
    for name, told in rates:
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
    columns = {"photographs": "photos", **columns}
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
        parser=place,
        metavar="DETECTOR",
        help="A shipped detector (spam-svm, or spam-svm/median:7), or the folder of a trained one; may be given "
        "several times.",
    ),
]

PhotoFiles = Annotated[list[Path], typer.Argument(parser=at_home, metavar="PHOTO...", help="Photographs.")]

Stride = Annotated[
    int | None,
    typer.Option(parser=count("--stride", 10_000), metavar="N", help="Pixels from one patch to the next."),
]


@commands.command(epilog="Examples: `counterforensics detect photo.jpg` · `counterforensics detect *.jpg --maps maps`")
def detect(
    photos: PhotoFiles,
    detector: DetectorNames = None,
    manipulation: Annotated[
        list[str] | None,
        typer.Option(help="Ask about this manipulation only, such as median:7; may be given several times."),
    ] = None,
    stride: Stride = None,
    maps: Annotated[
        Path | None, typer.Option(parser=at_home, metavar="DIR", help="Folder for heat maps, one for each detector.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Ask every shipped detector whether a photograph was manipulated, how, and where."""
    from counterforensics.sliding.detecting import judge_all, select
    from counterforensics.study.progress import Progress

    detectors = select(detector or [], manipulation or [])
    with Progress(quiet=as_json).stage("detectors", len(photos) * len(detectors)) as advance:
        found, left_out = judge_all(photos, detectors, stride=stride, maps=maps, done=advance)
    if as_json:
        print_lines([json.dumps(found, indent=2)])
    console = Screen(stderr=as_json)
    for one in [] if as_json else found:
        console.print(_table_of_findings(one))
        for finding in one["findings"]:
            if finding["verdict"] == "no answer":
                say(console, "No answer", [f"{finding['detector']}: {finding['why']}"])
        say(console, "Note", one["remarks"])
        say(console, "Map", (finding["map"] for finding in one["findings"] if finding["map"]))
    say(console, "Left out", left_out)


def _table_of_findings(one: dict[str, Any]) -> Table:
    """A line for each detector, the manipulations one after the other."""
    table = Table(title=printable(one["photo"]))
    for heading in (
        "manipulation",
        "detector",
        "verdict",
        "patches flagged",
        "pristine photographs called manipulated",
    ):
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


@commands.command(
    epilog="Example: `counterforensics attack photo.jpg --detector cozzolino2017/median:7 --attack pgd:epsilon=1 "
    "--manipulate median:7 --out concealed.png`"
)
def attack(
    photos: PhotoFiles,
    detector: Annotated[
        str,
        typer.Option(
            parser=place, metavar="DETECTOR", help="The target: a shipped detector, or the folder of a trained one."
        ),
    ],
    attack: Annotated[str, typer.Option(help="The attack, such as pgd:epsilon=1 or spam-descent.")],
    out: Annotated[
        Path,
        typer.Option(
            parser=at_home, metavar="FILE.png", help="A new file, or a folder if there are several photographs."
        ),
    ],
    manipulate: Annotated[str | None, typer.Option(help="A manipulation to apply first, such as median:7.")] = None,
    region: Annotated[
        str | None,
        typer.Option(
            metavar="X,Y,W,H", help="Manipulate and attack this region only: left, top, width and height in pixels."
        ),
    ] = None,
    stride: Stride = None,
    as_json: Json = False,
) -> None:
    """Hide the traces of a manipulation from a detector, at every position of a photograph."""
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
        print_lines([json.dumps(found, indent=2)] if len(photos) > 1 else [json.dumps(found[0], indent=2)])
    console = Screen(stderr=as_json)
    for one in [] if as_json else found:
        console.print(_table_of_attacked(one))
        say(console, "Concealed", [one["out"]])
    say(console, "Left out", left_out)


def _table_of_attacked(one: dict[str, Any]) -> Table:
    """Which share of the patches each detector flags before and after, and what the attack changed."""
    quality = "unchanged" if one["psnr"] is None else f"{one['psnr']:.2f} dB"
    title = (
        f"{one['photo']}: PSNR {quality}, SSIM {one['ssim']:.4f}, at most {one['largest_change']} grey levels, "
        f"{one['seconds']:.1f} s; the detector still flags {one['left']} of {one['positions']} patches"
    )
    table = Table(title=printable(title))
    for heading in ("detector", "flagged before", "flagged after"):
        table.add_column(heading)
    _add_shares(table, one["target"], one, "")
    for platform, shares in one["uploaded"].items():
        _add_shares(table, one["target"], shares, f", after the upload to {platform}")
    return table


def _add_shares(table: Table, target: str, shares: dict[str, Any], upload: str) -> None:
    for name, before in shares["before"].items():
        after = shares["after"][name]
        told = printable(name) + (" (target)" if name == target else "") + printable(upload)
        table.add_row(told, *("" if share is None else f"{share:.1%}" for share in (before, after)))


@commands.command("app", epilog="Example: `counterforensics app --port 7860`")
def serve_app(
    port: Annotated[
        int, typer.Option(parser=count("--port", 65_535), metavar="N", help="Port of the page on this computer.")
    ] = 7860,
) -> None:
    """Serve a page on this computer: detect and attack one photograph in a browser. Needs the extra `app`."""
    from counterforensics.app import serve

    serve(port, say=lambda line: print_lines([line]))
