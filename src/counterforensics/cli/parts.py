"""The parts of studies: `list`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Annotated, Any

import typer
from rich.table import Table

from counterforensics import names
from counterforensics.cli.loading import loading
from counterforensics.cli.options import (
    Json,
)
from counterforensics.cli.screen import (
    Screen,
    print_lines,
)

commands = typer.Typer()


@commands.command(
    "list", epilog="Examples: `counterforensics list --json` · `counterforensics list --study demo > mine.yaml`"
)
def list_parts(
    study: Annotated[
        str | None, typer.Option("--study", metavar="NAME", help="Print the YAML file of this built-in study instead.")
    ] = None,
    as_json: Json = False,
) -> None:
    """List manipulations, detectors, attacks and platforms, those of plug-ins included, and built-in studies."""
    if study is not None:
        _print_study(study, as_json)
        return
    with loading():
        from counterforensics import manipulations
        from counterforensics.detectors import zoo
        from counterforensics.study.yaml_file import BUILT_IN

    shipped = zoo.shipped()
    if as_json:
        others = {"paper_manipulations": list(manipulations.PAPER), "studies": list(BUILT_IN)}
        print_lines([json.dumps({**_parts(), **others, "shipped_detectors": shipped}, indent=2)])
        return
    console = Screen()
    for table in _tables_of_parts():
        console.print(table)
    console.print(f"The paper's manipulations: {', '.join(manipulations.PAPER)}")
    console.print(f"Built-in studies: {', '.join(BUILT_IN)}")
    console.print(f"Shipped detectors: {', '.join(shipped) or 'none'}")


def _print_study(name: str, as_json: bool) -> None:
    """Print a built-in study as it stands in its file, or its settings as JSON."""
    from counterforensics.study.yaml_file import built_in_yaml, parse_yaml

    content = built_in_yaml(name)
    text = json.dumps(parse_yaml(content, name), indent=2) if as_json else content.decode("utf-8").rstrip("\n")
    print_lines([text])


def _registries() -> dict[str, names.Registry[Any]]:
    with loading():
        from counterforensics import attacks, detectors, laundering, manipulations

    return {
        "manipulations": manipulations.MANIPULATIONS,
        "detectors": detectors.DETECTORS,
        "attacks": attacks.ATTACKS,
        "platforms": laundering.PLATFORMS,
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
