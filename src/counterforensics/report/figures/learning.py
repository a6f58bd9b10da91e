"""Learning curves: how the trainings of detectors and generators went."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from counterforensics.outcome import ALL, Curve, take_apart
from counterforensics.report.figures.alt import span, told
from counterforensics.report.figures.style import (
    DASHED,
    FAMILY_COLOURS,
    GREY,
    GRID_GREY,
    LINE,
    WIDTH,
    Grid,
    Legend,
    Picture,
    fitted,
    legend,
    legend_line,
    picture,
)
from counterforensics.report.labels import (
    DETECTORS,
    EASY,
    HARD,
    Labels,
    manipulation_label,
    ordered,
    predicts_spam,
    whatever_the_seed,
)
from counterforensics.report.tables.model import chunks

MOST_LEARNERS = 8  # of a figure
_MOST_COLUMNS = 4
_PANEL = 1.5  # inches, its height
_CAPTION = (
    "Each line is one training; the horizontal axis counts its steps. The colour is the kind of "
    "manipulation; lines of the challenging cases are dashed. A line that still moves at its right end "
    "had not finished learning. A loss before the first step that is off the scale of all others is cut off."
)
_OF_SPAM = " A start that learns to predict the SPAM feature has losses alone: there is nothing to detect."


@dataclass(frozen=True)
class _Learner:
    """A line of panels: all trainings of one detector or generator, or of what it starts from."""

    name: str
    curves: Sequence[Curve]

    @property
    def columns(self) -> list[str]:
        """What was measured while it learned, a panel each."""
        return list(dict.fromkeys(name for curve in self.curves for name in list(curve.columns)[1:]))[:_MOST_COLUMNS]


def learning_pictures(curves: Sequence[Curve], labels: Labels) -> list[Picture]:
    """How the trainings went: a row a detector or generator, a panel a column, a line a manipulation and seed."""
    # A single point is no curve: training went on elsewhere, in a start, or not at all.
    usable = [curve for curve in curves if len(curve.columns) > 1 and len(next(iter(curve.columns.values()))) > 1]
    if not usable:
        return []
    learners = _learners(usable, labels)
    below = _legend(usable)
    counts = chunks(len(learners), MOST_LEARNERS)
    pictures = []
    for place, count in enumerate(counts):
        first = sum(counts[:place])
        key = "learning-curves" + (f"-{place + 1}" if place else "")
        title = "Learning curves" + (f", part {place + 1} of {len(counts)}" if len(counts) > 1 else "")
        pictures.append(_picture(key, title, learners[first : first + count], below))
    return pictures


def draw_panel(axes: Axes, curves: Sequence[Curve], column: str) -> None:
    """One column of several curves, a line each."""
    first, later = 0.0, 0.0
    for curve in curves:
        horizontal, *_ = curve.columns
        if column not in curve.columns:
            continue
        steps = np.asarray(curve.columns[horizontal], dtype=np.float64)
        values = np.asarray(curve.columns[column], dtype=np.float64)
        known = np.isfinite(values)
        mark = "." if known.sum() == 1 else ""  # a single point makes no line
        axes.plot(steps[known], values[known], **_line_style(curve.manipulation), linewidth=1.1, marker=mark)
        first = max(first, values[known & (steps <= 0)].max(initial=0.0))
        later = max(later, values[known & (steps > 0)].max(initial=0.0))
    if first > 3 * later > 0:  # an untrained network's loss may be off any scale
        axes.set_ylim(0, 1.1 * later)
    axes.grid(color=GRID_GREY, linewidth=0.5)


def _learners(curves: Sequence[Curve], labels: Labels) -> list[_Learner]:
    """Detectors, generators and starts in their order; trainings that differ in the seed alone are together."""
    groups: dict[tuple[bool, str], list[Curve]] = {}
    for curve in curves:
        groups.setdefault((curve.role == "start", whatever_the_seed(curve.part)), []).append(curve)
    order = ordered((part for _, part in groups), DETECTORS)
    places = sorted(groups, key=lambda group: (group[0], order.index(group[1])))
    names = {True: "start of {}", False: "{}"}
    return [_Learner(names[g[0]].format(labels.trainings(groups[g][0].part)), groups[g]) for g in places]


def _picture(key: str, title: str, learners: Sequence[_Learner], below: Legend) -> Picture:
    wide = max(len(learner.columns) for learner in learners)
    names = [fitted(learner.name, _PANEL - 0.2, 7, "bold") for learner in learners]

    def draw(figure: Figure) -> None:
        grid: Grid = figure.subplots(len(learners), wide, squeeze=False)
        for line, learner, name in zip(grid, learners, names, strict=True):
            for axes, column in zip(line, learner.columns, strict=False):
                draw_panel(axes, learner.curves, column)
                axes.set_title(column.replace("_", " "))
            for axes in line[len(learner.columns) :]:
                axes.set_visible(False)
            line[0].set_ylabel(name, fontweight="bold", fontsize=7)
        for axes in grid[-1]:
            axes.set_xlabel(next(iter(learners[0].curves[0].columns)))
        below.draw(figure)

    width = min(WIDTH, 2.6 * wide + 1)
    caption = _CAPTION + (_OF_SPAM if any(map(_predicts_spam, learners)) else "")
    return picture(
        key, title, (caption, _alt(learners)), (width, (_PANEL + LINE) * len(learners) + LINE + below.height), draw
    )


def _alt(learners: Sequence[_Learner]) -> str:
    """What each training ended with, a panel after the other."""
    lines = []
    for learner in learners:
        ends = [f"{column.replace('_', ' ')} {_ends(learner, column)}" for column in learner.columns]
        lines.append(f"{learner.name}: {', '.join(ends)}")
    return f"Curves of training, whose last values are: {told(lines)}"


def _ends(learner: _Learner, column: str) -> str:
    """The range of the last known values of one column."""
    known = [np.asarray(curve.columns[column], dtype=np.float64) for curve in learner.curves if column in curve.columns]
    return span([float(values[np.isfinite(values)][-1]) for values in known if np.isfinite(values).any()], "", 3)


def _predicts_spam(learner: _Learner) -> bool:
    return any(predicts_spam(curve.part) for curve in learner.curves)


def _legend(curves: Sequence[Curve]) -> Legend:
    manipulations = ordered((curve.manipulation for curve in curves), (*EASY, *HARD))
    names = {ALL: "all manipulations"}
    return legend([legend_line(names.get(m, manipulation_label(m)), **_line_style(m)) for m in manipulations], most=4)


def _line_style(manipulation: str) -> dict[str, Any]:
    colour = FAMILY_COLOURS.get(take_apart(manipulation)[0], GREY)
    return {"color": colour, "linestyle": DASHED if manipulation in HARD else "-"}
