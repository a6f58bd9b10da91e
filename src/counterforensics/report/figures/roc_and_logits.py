"""Figures of what the judges said: ROC curves and histograms of logits, a panel a manipulation."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure, FigureBase
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, NullFormatter

from counterforensics.outcome import Scores
from counterforensics.report.figures.alt import span, told
from counterforensics.report.figures.style import (
    DASHED,
    GREY,
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
    detector_styles,
    fitted,
    legend,
    legend_line,
    line_count,
    panels,
    parts,
    picture,
    worth_drawing,
)
from counterforensics.report.labels import DETECTORS, EASY, HARD, Contest, Labels, manipulation_label, ordered
from counterforensics.report.results import ordered_contests
from counterforensics.report.tables.model import chunks

MOST_CURVES, MOST_HISTOGRAMS = 8, 6  # judges in a panel of ROC curves, and panels of histograms side by side
_ROC_PANEL, _LOGIT_PANEL = 1.75, 0.92  # inches, their heights


@dataclass(frozen=True)
class _Shown:
    """What a figure is of: the logits under one attack, or under none."""

    scores: Sequence[Scores]
    contest: Contest | None
    detectors: Sequence[str]
    labels: Labels
    why: str  # these attacks are shown and others not

    @property
    def manipulations(self) -> list[str]:
        """Those that have logits."""
        names = (s.manipulation for s in self.scores if self.contest is None or self.contest in s.concealed)
        return ordered(names, (*EASY, *HARD))

    def picture(self, kind: str, title: str, texts: tuple[str, str], size: tuple[float, float], draw: Any) -> Picture:
        """The figure under its title and the names of target and attack; texts: as `style.picture`."""
        caption, alt = texts
        caption = f"{caption}Seed {self.scores[0].seed}.{self.why}"
        title += self.labels.contest(self.contest)
        return picture(f"{kind}{self.labels.contest_slug(self.contest)}", title, (caption, alt), size, draw)

    def groups(self, most: int) -> list[Sequence[str]]:
        """The detectors in groups of at most `most`."""
        counts = chunks(len(self.detectors), most)
        return [self.detectors[sum(counts[:place]) : sum(counts[: place + 1])] for place in range(len(counts))]


def roc_pictures(scores: Sequence[Scores], labels: Labels, detectors: Sequence[str]) -> list[Picture]:
    """ROC curves, a panel a manipulation: without an attack, and dashed for each target and attack.

    detectors: all of the study, for their colours.
    """
    styles = detector_styles(list(dict.fromkeys([*detectors, *(one.detector for one in scores)])))
    return [_roc_picture(shown, styles) for shown in _shown(scores, labels)]


def logit_pictures(scores: Sequence[Scores], labels: Labels) -> list[Picture]:
    """Histograms of the logits of pristine, manipulated and concealed patches, around the threshold 0."""
    return [_logit_picture(shown) for shown in _shown(scores, labels)]


def roc(pristine: npt.ArrayLike, positive: npt.ArrayLike) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """FPR and TPR at every threshold, from (0, 0) to (1, 1); equal logits move together.

    >>> roc([0.0, 1.0], [1.0, 2.0])
    (array([0. , 0. , 0.5, 1. ]), array([0. , 0.5, 1. , 1. ]))
    """
    negative, wanted = (np.sort(np.asarray(x, dtype=np.float64).ravel()) for x in (pristine, positive))
    thresholds = np.unique(np.concatenate([negative, wanted]))[::-1]
    fpr = 1 - np.searchsorted(negative, thresholds, side="left") / max(1, len(negative))
    tpr = 1 - np.searchsorted(wanted, thresholds, side="left") / max(1, len(wanted))
    return np.concatenate([[0.0], fpr]), np.concatenate([[0.0], tpr])


def _shown(scores: Sequence[Scores], labels: Labels) -> list[_Shown]:
    """What each figure is of."""
    # Logits of several trainings do not share a scale: one seed is shown and named, rather than all pooled.
    first = min((judged.seed for judged in scores), default=0)
    own = [judged for judged in scores if judged.seed == first]
    detectors = ordered((judged.detector for judged in own), DETECTORS)
    contests = ordered_contests(contest for judged in own for contest in judged.concealed)
    drawn, why = worth_drawing(contests, labels.restores)
    return [_Shown(own, contest, detectors, labels, why) for contest in drawn or (None,)] if own else []


def _roc_picture(shown: _Shown, styles: Mapping[str, DetectorStyle]) -> Picture:
    logarithmic, floor = _roc_axis(shown.scores)
    wide = min(4, len(shown.manipulations))
    high = math.ceil(len(shown.manipulations) / wide)
    groups = shown.groups(MOST_CURVES)
    legends = [_roc_legend(group, styles, shown) for group in groups]
    heights = [_ROC_PANEL * high + 0.34 + below.height for below in legends]

    def draw(figure: Figure) -> None:
        for part, group, below in zip(parts(figure, heights), groups, legends, strict=True):
            grid: Grid = part.subplots(high, wide, squeeze=False, sharex=True, sharey=True)
            for axes, manipulation in panels(grid, shown.manipulations, "FPR"):
                _chance(axes, floor if logarithmic else 0.0)
                for judged in shown.scores:
                    if judged.manipulation == manipulation and judged.detector in group:
                        _roc_lines(axes, judged, shown.contest, floor, styles[judged.detector])
                axes.set_title(manipulation_label(manipulation))
                _roc_scale(axes, logarithmic, floor)
            part.supylabel("TPR", fontsize=8)
            below.draw(part)

    caption = _roc_caption(logarithmic, shown.contest is not None)
    return shown.picture("roc", "ROC curves", (caption, _roc_alt(shown)), (WIDTH, sum(heights)), draw)


def _roc_legend(detectors: Sequence[str], styles: Mapping[str, DetectorStyle], shown: _Shown) -> Legend:
    handles = [legend_line(shown.labels.detector(name), **_line(styles[name])) for name in detectors]
    if shown.contest is not None:
        handles.append(legend_line("manipulated", color=INK))
        handles.append(legend_line("concealed", color=INK, linestyle=DASHED))
    handles.append(legend_line("chance", color=GREY, linewidth=0.8, linestyle=":"))
    return legend(handles, most=4)


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


def _roc_alt(shown: _Shown) -> str:
    """The TPR of each detector at an FPR of 10 %, over the panels."""
    lines = []
    for name in shown.detectors:
        own = [_states(judged, shown.contest) for judged in shown.scores if judged.detector == name]
        reached = {
            state: [
                _tpr_at(states["pristine"], states[state]) for states in own if {"pristine", state} <= states.keys()
            ]
            for state in ("manipulated", "concealed")
        }
        found = [f"{state} {span(rates, '%')}" for state, rates in reached.items() if rates]
        lines.append(f"{shown.labels.detector(name)}: {', '.join(found)}")
    panels_of = ", ".join(map(manipulation_label, shown.manipulations))
    return f"ROC curves, a panel each for {panels_of}. The TPR at an FPR of 10 % is: {told(lines)}"


def _tpr_at(pristine: npt.ArrayLike, positive: npt.ArrayLike) -> float:
    fpr, tpr = roc(pristine, positive)
    return float(tpr[fpr <= 0.1].max())


def _line(style: DetectorStyle) -> dict[str, Any]:
    return {"color": style.colour, "marker": style.mark, "markersize": 3.5}


def _roc_lines(axes: Axes, judged: Scores, contest: Contest | None, floor: float, style: DetectorStyle) -> None:
    _roc_line(axes, judged.pristine, judged.manipulated, floor, **_line(style))
    if contest is not None and contest in judged.concealed:
        _roc_line(axes, judged.pristine, judged.concealed[contest], floor, **_line(style), linestyle=DASHED)


def _roc_line(axes: Axes, pristine: npt.ArrayLike, positive: npt.ArrayLike, floor: float, **style: Any) -> None:
    if not (np.size(pristine) and np.size(positive)):
        return
    fpr, tpr = roc(_finite(pristine), _finite(positive))
    # On a logarithmic axis the stretch at FPR 0 is drawn at the left edge.
    axes.plot(np.maximum(fpr, floor), tpr, drawstyle="steps-post", clip_on=False, zorder=3, markevery=0.25, **style)


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
            fpr, tpr = roc(_finite(judged.pristine), _finite(judged.manipulated))
            reached.append(float(tpr[fpr <= 0.1].max()))
    count = max((np.size(judged.pristine) for judged in scores), default=0)
    if not reached or float(np.median(reached)) < 0.9 or count < 20:
        return False, 0.0
    # One false alarm is 1 / count: half of that leaves room for the stretch without any.
    return True, 0.5 / count


def _chance(axes: Axes, floor: float) -> None:
    line = np.geomspace(floor, 1, 50) if floor else np.linspace(0, 1, 2)
    axes.plot(line, line, color=GREY, linewidth=0.8, linestyle=":", zorder=2)


def _logit_picture(shown: _Shown) -> Picture:
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


def _logit_alt(shown: _Shown) -> str:
    """The share of logits above the threshold for each detector, over the panels."""
    lines = []
    for name in shown.detectors:
        own = [_states(judged, shown.contest) for judged in shown.scores if judged.detector == name]
        shares = {
            state: [float((states[state] > 0).mean()) for states in own if state in states] for state in STATE_COLOURS
        }
        found = [f"{state} {span(rates, '%')}" for state, rates in shares.items() if rates]
        lines.append(f"{shown.labels.detector(name)}: {', '.join(found)}")
    return f"Histograms of logits, a row for each manipulation. The share above the threshold 0 is: {told(lines)}"


def _logit_title(detector: str, shown: _Shown, width: float) -> str:
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


def _logit_panels(part: FigureBase, detectors: Sequence[str], titles: Sequence[str], shown: _Shown) -> None:
    found = {(s.manipulation, s.detector): s for s in shown.scores}
    grid: Grid = part.subplots(len(shown.manipulations), len(detectors), squeeze=False)
    for line, manipulation in zip(grid, shown.manipulations, strict=True):
        for axes, detector in zip(line, detectors, strict=True):
            _logit_panel(axes, found.get((manipulation, detector)), shown.contest)
        line[0].set_ylabel(manipulation_label(manipulation), rotation=0, ha="right", va="center", fontsize=7.5)
    for axes, title in zip(grid[0], titles, strict=True):
        axes.set_title(title, fontsize=8)


def _logit_panel(axes: Axes, judged: Scores | None, contest: Contest | None) -> None:
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    states = _states(judged, contest) if judged else {}
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


def _states(judged: Scores, contest: Contest | None) -> dict[str, npt.NDArray[np.float64]]:
    states = {"pristine": _finite(judged.pristine), "manipulated": _finite(judged.manipulated)}
    if contest is not None and contest in judged.concealed:
        states["concealed"] = _finite(judged.concealed[contest])
    return {state: logits for state, logits in states.items() if len(logits)}


def _finite(values: npt.ArrayLike) -> npt.NDArray[np.float64]:
    flat = np.asarray(values, dtype=np.float64).ravel()
    return flat[np.isfinite(flat)]
