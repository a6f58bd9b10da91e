"""Run every benchmark and print one table; exit 1 where two things that should agree do not."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from dataclasses import asdict
from pathlib import Path

import numba
import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from benchmarks import attacks, cozzolino2017, features, fgsm, overhead, restoration, sliding, spam_descent, training
from benchmarks.patches import photographed
from benchmarks.side_by_side import Agreement, Goal, Result

BENCHMARKS = (
    features.against_sealwatch,
    cozzolino2017.product_against_free,
    cozzolino2017.on_two_threads,
    sliding.against_patch_by_patch,
    fgsm.against_bare_gradient,
    attacks.pgd_against_bare_passes,
    *(attacks.pgd_against(library) for library in attacks.LIBRARIES),
    attacks.deepfool_against("Foolbox", Goal(at_least=1)),
    attacks.deepfool_against("torchattacks", Goal(at_least=1)),
    attacks.deepfool_against("ART", Goal(at_least=10)),
    attacks.jsma_against_torchattacks,
    attacks.memory_of_jsma,
    spam_descent.full_sweep,
    spam_descent.against_our_own_recount,
    spam_descent.against_sealwatch_recount,
    training.xception_against_plain,
    training.bayar2016_against_plain,
    training.pipeline_against_xception,
    training.share_of_peak,
    restoration.against_bare_forward,
    overhead.of_tiny_tasks,
)


def main() -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures to FILE")
    arguments = parser.parse_args()
    console = Console()
    patches = photographed()
    results = []
    for benchmark in BENCHMARKS:
        with console.status(f"{benchmark.__module__}: {benchmark.__name__}"):
            results.append(benchmark(patches))
    console.print(_table(results))
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(_record(results), indent=2) + "\n", encoding="utf-8")
    return 0 if all(agreement.holds for result in results for agreement in result.agreements) else 1


def _table(results: list[Result]) -> Table:
    table = Table(title="Measured in turns: the median, and the smallest to the largest", show_lines=True)
    for column in ("what is compared", "measured", "goal", "met"):
        table.add_column(column)
    for result in results:
        what = [f"[bold]{result.name}[/bold]", result.comparison, *map(_agreement, result.agreements), result.remark]
        spread = result.measured
        table.add_row(
            "\n".join(line for line in what if line),
            f"{_figure(spread.median)} {result.unit}\n({_figure(spread.low)} to {_figure(spread.high)})"
            if spread
            else "-",
            str(result.goal),
            "-" if spread is None else "yes" if result.goal.met(spread.median) else "no",
        )
    return table


def _figure(value: float) -> str:
    return f"{value:#.3g}".rstrip(".")


def _agreement(agreement: Agreement) -> str:
    agree = "agree" if agreement.holds else "DISAGREE"
    return f"{agreement.of_what} {agree}: {agreement.difference:.1e} apart, {agreement.allowed:g} allowed"


def _record(results: list[Result]) -> dict[str, object]:
    """What the table says, and where it was measured."""
    rows = [
        {**asdict(result), "met": None if result.measured is None else result.goal.met(result.measured.median)}
        for result in results
    ]
    versions = {"python": platform.python_version(), "torch": torch.__version__}
    versions |= {"numba": numba.__version__, "numpy": np.__version__}
    return {"machine": platform.machine(), "cores": os.cpu_count(), "versions": versions, "results": rows}


if __name__ == "__main__":
    sys.exit(main())
