"""Cells that several tables share: intervals, ranges of seeds, and figures of the concealed patches."""

from __future__ import annotations

from collections.abc import Callable

from counterforensics.report.labels import Contest
from counterforensics.report.results import Results, Spread
from counterforensics.report.tables.model import NONE, Cell, number, percent

_SHARES = ("unchanged", "zero_gradient")  # figures of concealed patches that are rates


def quality_cell(results: Results, name: str, manipulation: str, contest: Contest) -> Cell:
    """One figure of the concealed patches themselves, by its column of rows.csv."""
    spread = results.quality(name, manipulation, *contest)
    if spread and name in _SHARES:
        return Cell((f"{percent(spread.mean)} %",))
    return Cell((number(spread.mean if spread else None, 2 if name.startswith("psnr") else 3),))


def interval(ends: tuple[float, float] | None) -> str:
    """The ends of an interval of rates 0..1, in percent."""
    return f"[{percent(ends[0])}, {percent(ends[1])}]" if ends else NONE


def seed_range(spread: Spread | None) -> tuple[str, ...]:
    """The lowest and the highest rate of several seeds, as the line below a figure; nothing for one seed."""
    return (f"{percent(spread.low)} to {percent(spread.high)}",) if spread and spread.seeds > 1 else ()


def with_range(spread: Spread | None, text: Callable[[float], str]) -> Cell:
    """A mean and, below it, the lowest and the highest figure, each written by `text`."""
    if spread is None:
        return Cell((NONE,))
    return Cell((text(spread.mean), f"{text(spread.low)} to {text(spread.high)}"))
