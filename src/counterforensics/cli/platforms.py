"""Uploads: `launder` and `fit-platform`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from rich import filesize
from rich.table import Table

from counterforensics.cli.options import (
    Force,
    Json,
)
from counterforensics.cli.screen import (
    Screen,
    print_lines,
    say,
)
from counterforensics.errors import printable
from counterforensics.files import at_home

commands = typer.Typer()


@commands.command(epilog="Example: `counterforensics launder photo.jpg --platform telegram --out back.jpg`")
def launder(
    photo: Annotated[Path, typer.Argument(parser=at_home, metavar="PHOTO", help="The photograph to upload.")],
    platform: Annotated[
        str, typer.Option(help="A platform, a profile NAME.yaml, or a chain of them, such as telegram>whatsapp.")
    ],
    out: Annotated[
        Path, typer.Option(parser=at_home, metavar="FILE.jpg", help="File for the photograph that comes back.")
    ],
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Imitate an upload to a platform: write the JPEG file that comes back."""
    from counterforensics.laundering.files import launder_file

    result = launder_file(photo, platform, out, force=force)
    if as_json:
        print_lines([json.dumps(result, indent=2)])
        return
    sizes = (f"{result[side]['width']}x{result[side]['height']}" for side in ("sent", "received"))
    console = Screen()
    say(console, "Written", [f"{out}: {' to '.join(sizes)}, {filesize.decimal(result['bytes'])}"])
    say(console, "Settings", (f"{name}: {words}" for name, words in result["evidence"].items()))
    say(console, "Note", result["notes"])


@commands.command("fit-platform", epilog="Example: `counterforensics fit-platform sent received --out mine.yaml`")
def fit_platform(
    sent: Annotated[
        Path,
        typer.Argument(parser=at_home, metavar="SENT", help="Folder of the photographs that were sent, or one file."),
    ],
    received: Annotated[
        Path,
        typer.Argument(
            parser=at_home, metavar="RECEIVED", help="Folder of the files that came back, under the same names."
        ),
    ],
    out: Annotated[
        Path, typer.Option(parser=at_home, metavar="PROFILE.yaml", help="File for the profile, which --platform takes.")
    ],
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Measure what a platform does to photographs, from pairs of a sent and a received file."""
    from counterforensics.laundering.files import fit_to_file

    result = fit_to_file(sent, received, out, force=force)
    if as_json:
        print_lines([json.dumps(result, indent=2)])
        return
    console = Screen()
    for table in _tables_of_fit(result):
        console.print(table)
    say(console, "Profile", [str(out)])
    say(console, "Note", result["notes"])
    say(console, "Left out", result["left_out"])


def _tables_of_fit(result: dict[str, Any]) -> Iterator[Table]:
    """What `fit-platform` found: the settings, how well each kernel fits, and the held-out pairs."""
    table = Table("setting", "value", title="Settings", title_justify="left")
    for name, value in result["settings"].items():
        if value != "":
            table.add_row(name, str(value))
    yield table
    if (found := result["kernel"]) is not None:
        headings = ("kernel", "PSNR of the simulated file", "distance of the weights")
        table = Table(*headings, title="Kernels", title_justify="left")
        for name, psnr in sorted(found["psnr"].items(), key=lambda item: -item[1]):
            distance = found["weight_distances"].get(name)
            table.add_row(name, f"{psnr:.2f} dB", "" if distance is None else f"{distance:.3f} grey levels")
        yield table
    if result["held_out"]:
        title = "Held-out pairs: each is simulated with the settings that the other pairs gave"
        table = Table("pair", "PSNR", "equal pixels", "equal DCT coefficients", title=title, title_justify="left")
        for one in result["held_out"]:
            if one["pixels_equal"] is None:
                table.add_row(printable(one["pair"]), "not reproduced", "", "")
                continue
            psnr = "identical" if one["psnr"] is None else f"{one['psnr']:.2f} dB"
            shares = (f"{one[name]:.2%}" for name in ("pixels_equal", "coefficients_equal"))
            table.add_row(printable(one["pair"]), psnr, *shares)
        yield table
