"""Maps of transfer: what TPR every judge keeps on patches that were concealed from every target."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from counterforensics.outcome import take_apart
from counterforensics.report.figures.alt import span, told
from counterforensics.report.figures.style import (
    LINE,
    RED,
    WIDTH,
    Grid,
    Picture,
    in_lines,
    line_count,
    panels,
    picture,
    rate_map,
    text_width,
    wrapped,
)
from counterforensics.report.labels import Contest, Labels, manipulation_label, whatever_the_loss
from counterforensics.report.results import Results

_LETTERS, _LONG = 22, 44  # in a line of a label, and in a label that needs two lines in any column
_LINE = 0.12  # inches from one line of a label to the next
_CELL, _CELL_OF_TWO_LINES, _CELL_WITH_DECIMAL = 0.2, 0.25, 0.31  # inches, the least width of a cell
_BAR, _GAP = 0.65, 0.12  # inches: for the colour bar, and between two panels
_WIDEST = 11.0  # inches, where not even two panels find room in `WIDTH`
_CAPTION = (
    "Columns are judges; the first line is the TPR without an attack, each further line the TPR "
    "on patches concealed from the detector (or by the attack) named at its left, in rounded "
    "percent. Dark: still detected; white: concealed. An outlined cell is the target judging the "
    "attack on itself; dark cells beside it are judges to which the attack does not transfer. A dot: "
    "no such figure."
)


@dataclass(frozen=True)
class _Map:
    """What one figure shows: lines are contests below the line without an attack, columns are judges."""

    contests: Sequence[Contest]
    manipulations: Sequence[str]
    judges: Sequence[str]
    lines: Sequence[str]  # labels
    names: Sequence[str]  # labels of the judges

    @property
    def left(self) -> float:
        """Inches that the labels of the lines take."""
        return max(text_width(line, 7) for line in self.lines) + 0.15

    @property
    def least_panel(self) -> float:
        """Inches, the least width of a panel."""
        cell = _CELL_OF_TWO_LINES if max(map(len, self.names)) > _LONG else _CELL
        return cell * len(self.judges) + _GAP

    @property
    def wide(self) -> int:
        """How many panels stand side by side, in full lines if that can be."""
        count = len(self.manipulations)
        full = [wide for wide in (4, 3, 2) if count % wide == 0]
        tries = [(wide, width) for width in (WIDTH, _WIDEST) for wide in full]
        tries += [(wide, WIDTH) for wide in (4, 3, 2) if wide < count]
        fits = (wide for wide, width in tries if self.left + _BAR + wide * self.least_panel <= width)
        return next(fits, 1)

    @property
    def high(self) -> int:
        """How many panels stand above each other."""
        return math.ceil(len(self.manipulations) / self.wide)

    @property
    def width(self) -> float:
        """Inches of the figure."""
        return max(WIDTH, self.left + _BAR + self.wide * self.least_panel)

    @property
    def cell(self) -> float:
        """Inches, the width of a cell."""
        return ((self.width - self.left - _BAR) / self.wide - _GAP) / len(self.judges)

    @property
    def columns(self) -> list[str]:
        """The labels of the judges in as many lines as find room below a column."""
        return [in_lines(name, max(1, int(self.cell / _LINE)), _LETTERS) for name in self.names]

    @property
    def height(self) -> float:
        """Inches of the figure."""
        line = max(0.22, _LINE * line_count(self.lines) + 0.04, 0.30 - 0.004 * len(self.lines))
        below = max(text_width(column, 7) for column in self.columns) + 0.35
        # Where the lowest line of panels is not full, labels stand below the line above it, too.
        lines_with_labels = 1 + (len(self.manipulations) % self.wide > 0)
        return self.high * (line * len(self.lines) + 2 * LINE) + below * lines_with_labels + LINE


def transfer_maps(results: Results) -> list[Picture]:
    """One figure an attack, whatever the loss: what TPR every judge keeps against every target, a panel a manipulation.

    Attacks that see no detector share a figure, one line each.
    """
    untargeted = [contest for contest in results.contests if not contest[0]]
    groups: dict[str, list[Contest]] = {}
    for target, attack in results.contests:
        if target:
            groups.setdefault(whatever_the_loss(attack), []).append((target, attack))
    labels = results.labels
    pictures = [
        _picture(results, labels.attack(rows[0][1]), labels.attack_slug(rows[0][1]), rows) for rows in groups.values()
    ]
    if untargeted:
        pictures.append(_picture(results, "attacks without a target", "untargeted", untargeted))
    return pictures


def _picture(results: Results, name: str, stem: str, contests: Sequence[Contest]) -> Picture:
    shown = _map(results, contests)

    def draw(figure: Figure) -> None:
        columns, decimals = shown.columns, int(shown.cell >= _CELL_WITH_DECIMAL)
        grid: Grid = figure.subplots(shown.high, shown.wide, squeeze=False, sharex=True, sharey=True)
        image = None
        for axes, manipulation in panels(grid, shown.manipulations, "judge"):
            values = _values(results, manipulation, contests)
            image = rate_map(axes, values, decimals)
            _mark_own(axes, shown.judges, contests)
            axes.set_title(manipulation_label(manipulation))
            axes.set_xticks(range(len(columns)), columns, rotation=90)
            axes.set_yticks(range(len(shown.lines)), shown.lines)
            axes.axhline(0.5, color="white", linewidth=3)
        if image is not None:
            bar = figure.colorbar(image, ax=grid.ravel().tolist(), fraction=0.03, pad=0.015, aspect=30)
            bar.set_label("TPR (%)")
            bar.set_ticks([0, 0.25, 0.5, 0.75, 1], labels=["0", "25", "50", "75", "100"])

    return picture(
        f"transfer-{stem}", f"Transfer of {name}", (_CAPTION, _alt(results, shown)), (shown.width, shown.height), draw
    )


def _map(results: Results, contests: Sequence[Contest]) -> _Map:
    labels = results.labels
    named = [_name(labels, contest, contests) for contest in contests]
    return _Map(
        contests=contests,
        manipulations=[m for m in results.manipulations if any(m in results.manipulations_of(*c) for c in contests)],
        judges=results.detectors,
        lines=["no attack", *(wrapped(name, _LETTERS) for name in named)],
        names=[labels.detector(judge) for judge in results.detectors],
    )


def _name(labels: Labels, contest: Contest, contests: Sequence[Contest]) -> str:
    """The target; with the loss where the map holds several attacks; or the attack where there is no target."""
    target, attack = contest
    if not target:
        return labels.attack(attack)
    several = attack != contests[0][1]
    loss = take_apart(attack)[1].get("loss", "default")
    return labels.detector(target) + (f" (loss = {loss})" if several else "")


def _alt(results: Results, shown: _Map) -> str:
    """The range of the TPRs in each line, over the panels and judges."""
    lines = []
    for name, contest in zip(shown.lines, [("", ""), *shown.contests], strict=True):
        rates = [_rate(results, m, judge, contest) for m in shown.manipulations for judge in shown.judges]
        lines.append(f"{name.replace(chr(10), ' ')}: {span(rates, '%')}")
    panels_of = ", ".join(map(manipulation_label, shown.manipulations))
    return f"Heat maps of the TPR, one each for {panels_of}, with {len(shown.judges)} judges. {told(lines)}"


def _rate(results: Results, manipulation: str, judge: str, contest: Contest) -> float | None:
    spread = results.spread("tpr", manipulation, judge, *contest)
    return spread.mean if spread else None


def _values(results: Results, manipulation: str, contests: Sequence[Contest]) -> npt.NDArray[np.float64]:
    rows = [("", ""), *contests]
    rates = [[_rate(results, manipulation, judge, row) for judge in results.detectors] for row in rows]
    return np.array(rates, dtype=np.float64)  # None becomes NaN


def _mark_own(axes: Axes, judges: Sequence[str], contests: Sequence[Contest]) -> None:
    for row, (target, _) in enumerate(contests, start=1):
        if target in judges:
            corner = (judges.index(target) - 0.47, row - 0.45)
            axes.add_patch(Rectangle(corner, 0.94, 0.90, fill=False, edgecolor=RED, linewidth=1.6, zorder=3))
