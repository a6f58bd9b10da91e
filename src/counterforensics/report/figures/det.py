"""DET curves: how many manipulated patches a detector misses at each rate of false alarms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import NormalDist
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from counterforensics.error_rates import equal_error_rate, roc
from counterforensics.outcome import Scores
from counterforensics.report.figures.judged import (
    DOTTED,
    Curves,
    Judged,
    Rates,
    curve_picture,
    curve_styles,
    judged_under_each_attack,
)
from counterforensics.report.figures.style import GRID_GREY, DetectorStyle, Picture
from counterforensics.report.labels import Labels

_TICKS = (0.0001, 0.001, 0.01, 0.1, 0.5, 0.9, 0.99)
_FEWEST = 8  # patches: the axis then ends at 6 %


def det_pictures(scores: Sequence[Scores], labels: Labels, detectors: Sequence[str]) -> list[Picture]:
    """DET curves, a panel a manipulation: without an attack, and dashed for each target and attack.

    detectors: all of the study, for their colours.
    """
    styles = curve_styles(scores, detectors)
    return [_picture(shown, styles) for shown in judged_under_each_attack(scores, labels)]


def normal_deviates(rates: Rates, floor: float) -> Rates:
    """The quantile of the normal distribution at each rate, on which a DET curve stands (Martin et al. 1997).

    rates: float64 [k], 0..1.  floor: above 0; rates below `floor` and above 1 - floor are drawn there, because those of
    0 and 1 are at infinity.  Returns float64 [k].

    >>> normal_deviates(np.array([0.5, 0.0]), 0.1).round(4).tolist()
    [0.0, -1.2816]
    """
    quantile = NormalDist().inv_cdf
    return np.array([quantile(float(rate)) for rate in np.clip(rates, floor, 1 - floor)], dtype=np.float64)


def _curves(shown: Judged) -> Curves:
    floor = _floor(shown)

    def frame(axes: Axes) -> None:
        ends = normal_deviates(np.array([0.0, 1.0]), floor)
        axes.plot(ends, ends, zorder=2, **DOTTED)
        ticks = [rate for rate in _TICKS if floor <= rate <= 1 - floor]
        places = normal_deviates(np.array(ticks), floor)
        axes.set_xticks(places, [f"{100 * rate:g}" for rate in ticks])
        axes.set_yticks(places, [f"{100 * rate:g}" for rate in ticks])
        axes.set_xlim(*ends)
        axes.set_ylim(*ends)
        axes.grid(color=GRID_GREY, linewidth=0.5)

    def line(axes: Axes, pristine: Rates, positive: Rates, **look: Any) -> None:
        fpr, tpr = roc(pristine, positive)
        across, up = normal_deviates(fpr, floor), normal_deviates(1 - tpr, floor)
        axes.plot(across, up, drawstyle="steps-post", clip_on=False, zorder=3, markevery=0.25, **look)

    return Curves("det", "DET curves", "FPR in percent", "Miss rate in percent", "equal rates", frame, line)


def _picture(shown: Judged, styles: Mapping[str, DetectorStyle]) -> Picture:
    alt = shown.alt("DET", equal_error_rate, "The equal-error rate", 1)
    return curve_picture(_curves(shown), shown, styles, (_caption(shown), alt))


def _floor(shown: Judged) -> float:
    """Half of what one patch is of the largest class: room for a rate of 0."""
    counts = [len(logits) for judged in shown.scores for logits in shown.states(judged).values()]
    return 0.5 / max(counts, default=0) if max(counts, default=0) > _FEWEST else 0.5 / _FEWEST


def _caption(shown: Judged) -> str:
    caption = (
        "The share of manipulated patches that a detector misses at each FPR as its threshold moves: the further down "
        "and left, the better. Both axes are scaled as quantiles of the normal distribution, so that two normally "
        "distributed classes give a straight line. A curve crosses the dotted line at its equal-error rate (EER). "
        "Rates of 0 and 100 % are drawn at the ends of the axes. "
    )
    if shown.contest is not None:
        caption += "Solid: pristine against manipulated patches; dashed: pristine against concealed ones. "
    return caption + f"Behind each curve stand {_counts(shown)} patches. "


def _counts(shown: Judged) -> str:
    """How many patches of each state there are, over the judges and manipulations."""
    found: dict[str, list[int]] = {}
    for judged in shown.scores:
        for state, logits in shown.states(judged).items():
            found.setdefault(state, []).append(len(logits))
    ranges = [
        f"{min(counts):,}{f' to {max(counts):,}' if max(counts) > min(counts) else ''} {state}"
        for state, counts in found.items()
    ]
    return " and ".join([", ".join(ranges[:-1]), *ranges[-1:]]) if len(ranges) > 1 else "".join(ranges) or "no"
