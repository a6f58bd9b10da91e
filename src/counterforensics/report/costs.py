"""What the attacks achieve and what that costs: a table, and a figure of success against distortion and time."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from counterforensics.report.drawing import INK, WIDTH, Picture, detector_colours, legend_room, picture
from counterforensics.report.labels import (
    DETECTORS,
    attack_label,
    detector_label,
    ordered,
    short_labels,
    take_apart,
    whatever_the_seed,
)
from counterforensics.report.measured import Measured
from counterforensics.report.tables import NONE, Cell, Column, Row, Table, percent

_MARKERS = "osD^vP*X<>hp"


@dataclass(frozen=True)
class Cost:
    """One attack on one target, over the manipulations: means, and the worst case; None where a figure is missing."""

    target: str
    attack: str
    success: float | None
    least_success: float | None
    already: float | None
    others: float | None  # success on the judges of another kind than the target
    psnr: float | None
    least_psnr: float | None
    changed: float | None
    seconds: float | None  # a patch
    device: str


def costs(measured: Measured, times: pd.DataFrame) -> list[Cost]:
    """Every contest of the rows, in their order."""
    return [_cost(measured, target, attack, _taken(times, target, attack)) for target, attack in measured.contests]


def cost_table(found: Sequence[Cost]) -> Table | None:
    """The attacks beside each other; None without an attack."""
    if not found:
        return None
    devices = dict.fromkeys(cost.device for cost in found if cost.device)
    columns = [Column(heading, "Success on the target (%)") for heading in ("mean", "worst")]
    columns += [Column("Already pristine (%)"), Column("Success on others (%)")]
    columns += [Column(heading, "PSNR (dB)") for heading in ("mean", "worst")]
    columns += [Column("Changed pixels (%)"), Column("Seconds a patch")]
    return Table(
        key="attacks",
        number=None,
        title="What the attacks achieve, and what it costs",
        caption="Success: of the manipulated patches that a judge detects, the share that it calls pristine once they "
        "are concealed and stored; means over the manipulations and the worst of them. Already pristine: the "
        "share of attacked patches that the target missed before the attack, which success leaves out. Others: judges "
        "of another kind than the target, all of them where none was targeted.",
        stubs=("Attack", "Target"),
        columns=tuple(columns),
        rows=tuple(_row(cost) for cost in found),
        notes=tuple(f"Time is that of one processor thread, or of the GPU, on: {device}." for device in devices),
    )


def cost_pictures(found: Sequence[Cost]) -> list[Picture]:
    """Success against PSNR, and against time, a point for each attack and target; none without two attacks."""
    shown = [cost for cost in found if cost.success is not None]
    if len(shown) < 2:
        return []
    attacks = list(dict.fromkeys(whatever_the_seed(cost.attack) for cost in shown))
    markers = {attack: _MARKERS[place % len(_MARKERS)] for place, attack in enumerate(attacks)}
    colours = detector_colours(ordered((cost.target for cost in shown if cost.target), DETECTORS))
    labels = short_labels([*colours, *attacks])
    room = legend_room(labels.values(), most=3)

    def draw(figure: Figure) -> None:
        distortion, time = figure.subplots(1, 2, sharey=True)
        for cost in shown:
            _point(distortion, cost.psnr, cost, markers, colours)
            _point(time, cost.seconds, cost, markers, colours)
        distortion.set_xlabel("PSNR of concealed against manipulated patches (dB)")
        time.set_xlabel("seconds a patch")
        time.set_xscale("log")
        # Points that are nearly equal shall look so: an axis spans at least 2 dB, or a decade.
        left, right = distortion.get_xlim()
        if right - left < 2:
            distortion.set_xlim((left + right) / 2 - 1, (left + right) / 2 + 1)
        left, right = time.get_xlim()
        if right / left < 10:
            time.set_xlim(math.sqrt(left * right / 10), math.sqrt(left * right * 10))
        distortion.set_ylabel("success (%)")
        distortion.set_ylim(-4, 104)
        for axes in (distortion, time):
            axes.grid(color="#E6E6E6", linewidth=0.5)
        handles = [
            *(Line2D([], [], color=INK, linestyle="", marker=markers[a], label=labels[a]) for a in attacks),
            *(Line2D([], [], color=c, linestyle="", marker="s", label=labels[t]) for t, c in colours.items()),
        ]
        figure.legend(handles=handles, loc="outside lower center", ncols=room.columns)

    caption = (
        "A point is one attack (shape) on one target (colour), its success on that target, mean over the "
        "manipulations; a dark one targets no detector, and its success is the mean over all judges. Trainings that "
        "differ in the seed alone share a shape. The further up, the more of what was detected is concealed; the "
        "further right in the left panel, the less the patch has changed; the further left in the right panel, the "
        "faster."
    )
    size = (WIDTH, 3.0 + room.height)
    return [picture("attack-costs", "Success of the attacks against distortion and time", caption, size, draw)]


def _point(axes: Axes, at: float | None, cost: Cost, markers: Mapping[str, str], colours: Mapping[str, str]) -> None:
    if at is not None and cost.success is not None and math.isfinite(at) and at > 0:
        colour = colours.get(cost.target, INK)
        marker = markers[whatever_the_seed(cost.attack)]
        axes.plot(at, 100 * cost.success, marker=marker, color=colour, alpha=0.8, markersize=5)


def _cost(measured: Measured, target: str, attack: str, taken: tuple[float | None, str]) -> Cost:
    manipulations = measured.manipulations_of(target, attack)
    own = [target] if target else measured.detectors
    other = [judge for judge in measured.detectors if take_apart(judge)[0] != take_apart(target)[0]]

    def figures(column: str, judges: Sequence[str]) -> list[float]:
        spreads = (measured.spread(column, m, judge, target, attack) for m in manipulations for judge in judges)
        return [spread.mean for spread in spreads if spread]

    def qualities(column: str) -> list[float]:
        spreads = (measured.quality(column, m, target, attack) for m in manipulations)
        return [spread.mean for spread in spreads if spread]

    success, psnr = figures("success", own), qualities("psnr")
    return Cost(
        target,
        attack,
        _mean(success),
        min(success, default=None),
        _mean(figures("already", own)),
        _mean(figures("success", other)),
        _mean(psnr),
        min(psnr, default=None),
        _mean(qualities("changed")),
        *taken,
    )


def _taken(times: pd.DataFrame, target: str, attack: str) -> tuple[float | None, str]:
    """Seconds a patch, and on what; (None, "") where nobody looked at a clock."""
    own = times[(times["target"] == target) & (times["attack"] == attack)]
    patches = own["patches"].sum()
    if not patches:
        return None, ""
    return float(own["seconds"].sum() / patches), ", ".join(dict.fromkeys(own["device"]))


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None


def _row(cost: Cost) -> Row:
    aimed = (cost.success, cost.least_success, cost.already) if cost.target else (None, None, None)
    texts = [percent(value) for value in (*aimed, cost.others)]
    texts += [
        NONE if value is None else "∞" if math.isinf(value) else f"{value:.2f}"
        for value in (cost.psnr, cost.least_psnr)
    ]
    texts += [percent(cost.changed), NONE if cost.seconds is None else f"{cost.seconds:.3g}"]
    labels = (attack_label(cost.attack), detector_label(cost.target) if cost.target else NONE)
    return Row("", labels, tuple(Cell((text,)) for text in texts))
