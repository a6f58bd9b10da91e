"""The figures of a report: every one that an outcome allows, and the maps of transfer and of learning."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from counterforensics.report.costs import cost_pictures, costs
from counterforensics.report.drawing import (
    DASHED,
    FAMILY_COLOURS,
    GREY,
    INK,
    RED,
    WIDTH,
    Grid,
    Picture,
    panels,
    picture,
    slug,
)
from counterforensics.report.judged import logit_pictures, roc_pictures
from counterforensics.report.labels import (
    DETECTORS,
    EASY,
    HARD,
    attack_label,
    manipulation_label,
    ordered,
    short_labels,
    take_apart,
    whatever_the_seed,
)
from counterforensics.report.measured import Measured
from counterforensics.report.spectra import spectra_pictures
from counterforensics.report.strips import strip_pictures
from counterforensics.study.outcome import Curve, Outcome


def all_pictures(outcome: Outcome, measured: Measured) -> list[Picture]:
    """Every figure that the outcome allows, in the order of the report."""
    return [
        *transfer_maps(measured),
        *cost_pictures(costs(measured, outcome.times)),
        *strip_pictures(outcome.strips),
        *spectra_pictures(outcome.spectra),
        *roc_pictures(outcome.scores),
        *logit_pictures(outcome.scores),
        *learning_pictures(outcome.curves),
    ]


def transfer_maps(measured: Measured) -> list[Picture]:
    """One figure an attack: what TPR every judge keeps against every target, a panel a manipulation.

    Attacks that see no detector share a figure, one line each.
    """
    untargeted = [contest for contest in measured.contests if not contest[0]]
    groups: dict[str, list[tuple[str, str]]] = {}
    for target, attack in measured.contests:
        if target:
            groups.setdefault(attack, []).append((target, attack))
    pictures = [_transfer_map(measured, attack_label(attack), attack, rows) for attack, rows in groups.items()]
    if untargeted:
        pictures.append(_transfer_map(measured, "attacks without a target", "untargeted", untargeted))
    return pictures


def learning_pictures(curves: Sequence[Curve]) -> list[Picture]:
    """How the trainings went: a row a detector or generator, a panel a column, a line a manipulation and seed."""
    # A single point is no curve: training went on elsewhere, in a start, or not at all.
    usable = [curve for curve in curves if len(curve.columns) > 1 and len(next(iter(curve.columns.values()))) > 1]
    if not usable:
        return []
    learners = ordered((whatever_the_seed(curve.detector) for curve in usable), DETECTORS)
    own = {name: [curve for curve in usable if whatever_the_seed(curve.detector) == name] for name in learners}
    names = {name: _measured_columns(curves) for name, curves in own.items()}
    labels = short_labels(learners)
    wide = max(map(len, names.values()))

    def draw(figure: Figure) -> None:
        grid: Grid = figure.subplots(len(learners), wide, squeeze=False)
        horizontal = next(iter(usable[0].columns))
        for line, learner in zip(grid, learners, strict=True):
            for place, axes in enumerate(line):
                axes.set_visible(place < len(names[learner]))
                if place < len(names[learner]):
                    _learning_panel(axes, own[learner], names[learner][place])
                    axes.set_title(names[learner][place].replace("_", " "))
            name = labels[learner].replace("\n(", " (").replace(" (", "\n(").replace(", ", ",\n")
            line[0].set_ylabel(name, fontweight="bold", fontsize=7)
        for axes in grid[-1]:
            axes.set_xlabel(horizontal)
        manipulations = ordered((curve.manipulation for curve in usable), (*EASY, *HARD))
        handles = [Line2D([], [], **_line_style(m), label=manipulation_label(m)) for m in manipulations]
        figure.legend(handles=handles, loc="outside lower center", ncols=min(4, len(handles)))

    caption = (
        "Each line is one training; the horizontal axis counts its steps. The colour is the kind of "
        "manipulation; lines of the challenging cases are dashed. A line that still moves at its right end "
        "had not finished learning. A loss before the first step that is off the scale of all others is cut off."
    )
    size = (min(WIDTH, 2.6 * wide + 1), 1.55 * len(learners) + 0.8)
    return [picture("learning-curves", "Learning curves", caption, size, draw)]


def _transfer_map(measured: Measured, name: str, stem: str, contests: Sequence[tuple[str, str]]) -> Picture:
    manipulations = [m for m in measured.manipulations if any(m in measured.manipulations_of(*c) for c in contests)]
    judges = measured.detectors
    wide = min(4, len(manipulations))
    high = math.ceil(len(manipulations) / wide)
    decimals = 1 if wide * len(judges) <= 16 else 0
    labels = short_labels([*judges, *(target or attack for target, attack in contests)])
    lines = ["no attack", *(labels[target or attack] for target, attack in contests)]

    def draw(figure: Figure) -> None:
        grid: Grid = figure.subplots(high, wide, squeeze=False, sharex=True, sharey=True)
        image = None
        for axes, manipulation in panels(grid, manipulations, "judge"):
            values = _transfer_values(measured, manipulation, contests)
            image = axes.imshow(values, cmap="Blues", vmin=0, vmax=1, aspect="auto")
            _write_values(axes, values, decimals)
            _mark_own(axes, judges, contests)
            axes.set_title(manipulation_label(manipulation))
            axes.set_xticks(range(len(judges)), [labels[judge] for judge in judges], rotation=90)
            axes.set_yticks(range(len(lines)), lines)
            axes.tick_params(length=0)
            axes.spines[:].set_visible(False)
            axes.axhline(0.5, color="white", linewidth=3)
        if image is not None:
            bar = figure.colorbar(image, ax=grid.ravel().tolist(), fraction=0.03, pad=0.015, aspect=30)
            bar.set_label("TPR (%)")
            bar.set_ticks([0, 0.25, 0.5, 0.75, 1], labels=["0", "25", "50", "75", "100"])

    caption = (
        "Columns are judges; the first line is the TPR without an attack, each further line the TPR "
        "on patches concealed from the detector (or by the attack) named at its left, in rounded "
        "percent. Dark: still detected; white: concealed. An outlined cell is the target judging the "
        "attack on itself; dark cells beside it are judges to which the attack does not transfer. A dot: "
        "no such figure. Settings are named where two of a kind must be told apart; the tables name all."
    )
    size = (WIDTH, high * (0.30 * len(lines) + 0.55) + 0.95)
    return picture(f"transfer-{slug(stem)}", f"Transfer of {name}", caption, size, draw)


def _transfer_values(
    measured: Measured, manipulation: str, contests: Sequence[tuple[str, str]]
) -> npt.NDArray[np.float64]:
    rows = [("", ""), *contests]
    spreads = [[measured.spread("tpr", manipulation, j, *row) for j in measured.detectors] for row in rows]
    return np.array([[s.mean if s else np.nan for s in line] for line in spreads], dtype=np.float64)


def _write_values(axes: Axes, values: npt.NDArray[np.float64], decimals: int) -> None:
    for (row, column), value in np.ndenumerate(values):
        missing = bool(np.isnan(value))
        text = "·" if missing else f"{100 * value:.{0 if value in (0, 1) else decimals}f}"
        colour = "white" if not missing and value > 0.55 else INK
        axes.text(column, row, text, ha="center", va="center", fontsize=6.5, color=colour)


def _mark_own(axes: Axes, judges: Sequence[str], contests: Sequence[tuple[str, str]]) -> None:
    for row, (target, _) in enumerate(contests, start=1):
        if target in judges:
            corner = (judges.index(target) - 0.47, row - 0.45)
            axes.add_patch(Rectangle(corner, 0.94, 0.90, fill=False, edgecolor=RED, linewidth=1.6, zorder=3))


def _measured_columns(curves: Sequence[Curve]) -> list[str]:
    return list(dict.fromkeys(name for curve in curves for name in list(curve.columns)[1:]))[:4]


def _learning_panel(axes: Axes, curves: Sequence[Curve], column: str) -> None:
    first, later = 0.0, 0.0
    for curve in curves:
        horizontal, *_ = curve.columns
        if column not in curve.columns:
            continue
        steps = np.asarray(curve.columns[horizontal], dtype=np.float64)
        values = np.asarray(curve.columns[column], dtype=np.float64)
        known = np.isfinite(values)
        axes.plot(steps[known], values[known], **_line_style(curve.manipulation), linewidth=1.1)
        first = max(first, values[known & (steps <= 0)].max(initial=0.0))
        later = max(later, values[known & (steps > 0)].max(initial=0.0))
    if first > 3 * later > 0:  # an untrained network's loss may be off any scale
        axes.set_ylim(0, 1.1 * later)
    axes.grid(color="#E6E6E6", linewidth=0.5)


def _line_style(manipulation: str) -> dict[str, Any]:
    colour = FAMILY_COLOURS.get(take_apart(manipulation)[0], GREY)
    return {"color": colour, "linestyle": DASHED if manipulation in HARD else "-"}
