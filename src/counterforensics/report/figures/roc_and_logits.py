"""Figures of what the judges said: ROC curves and histograms of logits, a panel a manipulation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure, FigureBase
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, NullFormatter

from counterforensics.error_rates import roc
from counterforensics.outcome import Scores
from counterforensics.report.figures.alt import span, told
from counterforensics.report.figures.judged import (
    DOTTED,
    Curves,
    Judged,
    Rates,
    curve_picture,
    curve_styles,
    finite,
    judged_under_each_attack,
)
from counterforensics.report.figures.style import (
    GRID_GREY,
    INK,
    LINE,
    RED,
    STATE_COLOURS,
    WIDTH,
    DetectorStyle,
    Grid,
    Legend,
    Picture,
    fitted,
    legend,
    line_count,
    parts,
)
from counterforensics.report.labels import Labels, manipulation_label

MOST_HISTOGRAMS = 6  # panels side by side
_LOGIT_PANEL = 0.92  # inches, the height of a panel


def roc_pictures(scores: Sequence[Scores], labels: Labels, detectors: Sequence[str]) -> list[Picture]:
    """ROC curves, a panel a manipulation: without an attack, and dashed for each target and attack.

    detectors: all of the study, for their colours.
    """
    styles = curve_styles(scores, detectors)
    return [_roc_picture(shown, styles) for shown in judged_under_each_attack(scores, labels)]


def logit_pictures(scores: Sequence[Scores], labels: Labels) -> list[Picture]:
    """Histograms of the logits of pristine, manipulated and concealed patches, around the threshold 0."""
    return [_logit_picture(shown) for shown in judged_under_each_attack(scores, labels)]


def _roc_picture(shown: Judged, styles: Mapping[str, DetectorStyle]) -> Picture:
    logarithmic, floor = _roc_axis(shown.scores)

    def frame(axes: Axes) -> None:
        chance = np.geomspace(floor, 1, 50) if logarithmic else np.linspace(0, 1, 2)
        axes.plot(chance, chance, zorder=2, **DOTTED)
        _roc_scale(axes, logarithmic, floor)

    def line(axes: Axes, pristine: Rates, positive: Rates, **look: Any) -> None:
        fpr, tpr = roc(pristine, positive)
        # On a logarithmic axis the stretch at FPR 0 is drawn at the left edge.
        axes.plot(np.maximum(fpr, floor), tpr, drawstyle="steps-post", clip_on=False, zorder=3, markevery=0.25, **look)

    curves = Curves("roc", "ROC curves", "FPR", "TPR", "chance", frame, line)
    texts = _roc_caption(logarithmic, shown.contest is not None), shown.alt("ROC", _tpr_at, "The TPR at an FPR of 10 %")
    return curve_picture(curves, shown, styles, texts)


def _roc_caption(logarithmic: bool, attacked: bool) -> str:
    caption = "The TPR that a detector reaches at each FPR as its threshold moves: the further up and left, the "
    caption += "better. "
    if attacked:
        caption += (
            "Solid: pristine against manipulated patches; dashed: pristine against concealed ones. A dashed "
            "line under the dotted line of chance belongs to a detector that finds concealed patches more "
            "pristine than pristine ones. "
        )
    if logarithmic:
        caption += "The FPR axis is logarithmic, because most detectors reach a TPR of 90 % below an FPR of 10 %; "
        caption += "what a curve reaches at an FPR of 0 is drawn at its left end. "
    return caption


def _tpr_at(pristine: Rates, positive: Rates) -> float:
    fpr, tpr = roc(pristine, positive)
    return float(tpr[fpr <= 0.1].max())


def _roc_scale(axes: Axes, logarithmic: bool, floor: float) -> None:
    if logarithmic:
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlim(floor if logarithmic else -0.02, 1.0 if logarithmic else 1.02)
    axes.set_ylim(-0.02, 1.02)
    axes.grid(color=GRID_GREY, linewidth=0.5)


def _roc_axis(scores: Sequence[Scores]) -> tuple[bool, float]:
    """Whether the FPR axis is logarithmic (half the curves are near the corner), and its left end."""
    reached = []
    for judged in scores:
        if np.size(judged.pristine) and np.size(judged.manipulated):
            reached.append(_tpr_at(finite(judged.pristine), finite(judged.manipulated)))
    count = max((np.size(judged.pristine) for judged in scores), default=0)
    if not reached or float(np.median(reached)) < 0.9 or count < 20:
        return False, 0.0
    # One false alarm is 1 / count: half of that leaves room for the stretch without any.
    return True, 0.5 / count


def _logit_picture(shown: Judged) -> Picture:
    groups = shown.groups(MOST_HISTOGRAMS)
    width = max(3.2, min(WIDTH, 1.6 * len(groups[0]) + 1.0))
    column = (width - 1.1) / len(groups[0]) - 0.08
    titles = [[_logit_title(name, shown, column) for name in group] for group in groups]
    below = _logit_legend(shown.contest is not None, width)
    heights = [_LOGIT_PANEL * len(shown.manipulations) + LINE * line_count(heads) + 0.1 for heads in titles]
    heights[-1] += below.height

    def draw(figure: Figure) -> None:
        places = parts(figure, heights)
        for part, group, heads in zip(places, groups, titles, strict=True):
            _logit_panels(part, group, heads, shown)
        below.draw(places[-1])

    caption = (
        "How the logits of test patches are spread: right of the dashed threshold 0 a patch is called "
        "manipulated. "
        + ("The attack succeeds on the part of the dark outline that lies left of it. " if shown.contest else "")
        + "Every histogram has the same area within its panel; the outermost 0.5 % of the logits at either "
        "side are counted in the outermost bins. "
    )
    return shown.picture("logits", "Logits", (caption, _logit_alt(shown)), (width, sum(heights)), draw)


def _logit_alt(shown: Judged) -> str:
    """The share of logits above the threshold for each detector, over the panels."""
    lines = []
    for name in shown.detectors:
        own = [shown.states(judged) for judged in shown.scores if judged.detector == name]
        shares = {
            state: [float((states[state] > 0).mean()) for states in own if state in states] for state in STATE_COLOURS
        }
        found = [f"{state} {span(rates, '%')}" for state, rates in shares.items() if rates]
        lines.append(f"{shown.labels.detector(name)}: {', '.join(found)}")
    return f"Histograms of logits, a row for each manipulation. The share above the threshold 0 is: {told(lines)}"


def _logit_title(detector: str, shown: Judged, width: float) -> str:
    own = "\n(target)" if shown.contest and shown.contest[0] == detector else ""
    return fitted(shown.labels.detector(detector), width, 8, "bold") + own


def _logit_legend(attacked: bool, width: float) -> Legend:
    handles: list[Artist] = [
        Patch(facecolor=STATE_COLOURS[s], alpha=0.55, label=s) for s in ("pristine", "manipulated")
    ]
    if attacked:
        handles.append(Line2D([], [], color=INK, label="concealed"))
    handles.append(Line2D([], [], color=RED, linestyle="--", linewidth=1, label="threshold 0"))
    return legend(handles, most=4, width=width)


def _logit_panels(part: FigureBase, detectors: Sequence[str], titles: Sequence[str], shown: Judged) -> None:
    found = {(s.manipulation, s.detector): s for s in shown.scores}
    grid: Grid = part.subplots(len(shown.manipulations), len(detectors), squeeze=False)
    for line, manipulation in zip(grid, shown.manipulations, strict=True):
        for axes, detector in zip(line, detectors, strict=True):
            judged = found.get((manipulation, detector))
            _logit_panel(axes, shown.states(judged) if judged else {})
        line[0].set_ylabel(manipulation_label(manipulation), rotation=0, ha="right", va="center", fontsize=7.5)
    for axes, title in zip(grid[0], titles, strict=True):
        axes.set_title(title, fontsize=8)


def _logit_panel(axes: Axes, states: Mapping[str, Rates]) -> None:
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    if not states:
        axes.set_xticks([])
        axes.text(0.5, 0.5, "—", ha="center", va="center", transform=axes.transAxes)
        return
    everything = np.concatenate(list(states.values()))
    low, high = (float(end) for end in np.quantile(everything, [0.005, 0.995]))
    low, high = min(low, -0.5), max(high, 0.5)
    edges = np.linspace(low, high, 41)
    for state, logits in states.items():
        counts, _ = np.histogram(np.clip(logits, low, high), edges)
        heights = counts / max(1, counts.sum())
        if state == "concealed":
            axes.stairs(heights, edges, color=INK, linewidth=1.1, zorder=4)
        else:
            axes.stairs(heights, edges, fill=True, color=STATE_COLOURS[state], alpha=0.55, zorder=3)
    axes.axvline(0, color=RED, linestyle="--", linewidth=0.9, zorder=5)
    axes.set_xlim(low, high)
    axes.set_ylim(bottom=0)
    axes.locator_params(axis="x", nbins=3)
