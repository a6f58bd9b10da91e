"""Figures of what the judges said: ROC curves and histograms of logits, a panel a manipulation."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from counterforensics.report.drawing import (
    DASHED,
    GREY,
    INK,
    RED,
    STATE_COLOURS,
    WIDTH,
    Grid,
    Picture,
    contest_slug,
    contest_text,
    detector_colours,
    legend_room,
    panels,
    picture,
    worth_drawing,
)
from counterforensics.report.labels import (
    DETECTORS,
    EASY,
    HARD,
    manipulation_label,
    ordered,
    short_labels,
)
from counterforensics.study.outcome import Scores


def roc_pictures(scores: Sequence[Scores]) -> list[Picture]:
    """ROC curves, a panel a manipulation: without an attack, and dashed for each target and attack."""
    shown = _first_seed(scores)
    if not shown:
        return []
    contests, why = worth_drawing(_contests(shown))
    return [_roc_picture(shown, contest, why) for contest in contests or (None,)]


def logit_pictures(scores: Sequence[Scores]) -> list[Picture]:
    """Histograms of the logits of pristine, manipulated and concealed patches, around the threshold 0."""
    shown = _first_seed(scores)
    if not shown:
        return []
    contests, why = worth_drawing(_contests(shown))
    return [_logit_picture(shown, contest, why) for contest in contests or (None,)]


def _roc_picture(scores: Sequence[Scores], contest: tuple[str, str] | None, why: str) -> Picture:
    manipulations = _manipulations(scores, contest)
    detectors = ordered((s.detector for s in scores), DETECTORS)
    colours = detector_colours(detectors)
    logarithmic, floor = _roc_axis(scores)
    wide = min(4, len(manipulations))
    high = math.ceil(len(manipulations) / wide)
    legend = _roc_legend(colours, contest is not None)
    room = legend_room(legend, most=4)

    def draw(figure: Figure) -> None:
        grid: Grid = figure.subplots(high, wide, squeeze=False, sharex=True, sharey=True)
        for axes, manipulation in panels(grid, manipulations, "FPR"):
            _chance(axes, floor if logarithmic else 0.0)
            for judged in (s for s in scores if s.manipulation == manipulation):
                colour = colours[judged.detector]
                _roc_line(axes, judged.pristine, judged.manipulated, floor, color=colour)
                if contest is not None and contest in judged.concealed:
                    concealed = judged.concealed[contest]
                    _roc_line(axes, judged.pristine, concealed, floor, color=colour, linestyle=DASHED)
            axes.set_title(manipulation_label(manipulation))
            if logarithmic:
                axes.set_xscale("log")
            axes.set_xlim(floor if logarithmic else -0.02, 1.0 if logarithmic else 1.02)
            axes.set_ylim(-0.02, 1.02)
            axes.grid(color="#E6E6E6", linewidth=0.5)
        figure.supylabel("TPR", fontsize=8)
        handles = [Line2D([], [], label=label, **style) for label, style in legend.items()]
        figure.legend(handles=handles, loc="outside lower center", ncols=room.columns)

    title = f"ROC curves{contest_text(contest)}"
    caption = _roc_caption(logarithmic, contest is not None) + _seed_text(scores) + why
    return picture(f"roc{contest_slug(contest)}", title, caption, (WIDTH, 1.75 * high + 0.34 + room.height), draw)


def _roc_legend(colours: Mapping[str, str], attacked: bool) -> dict[str, dict[str, Any]]:
    """Each label with the style of its line."""
    labels = short_labels(colours)
    legend: dict[str, dict[str, Any]] = {labels[name]: {"color": colour} for name, colour in colours.items()}
    if attacked:
        legend |= {"manipulated": {"color": INK}, "concealed": {"color": INK, "linestyle": DASHED}}
    return legend | {"chance": {"color": GREY, "linewidth": 0.8, "linestyle": ":"}}


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


def _roc_line(axes: Axes, pristine: npt.ArrayLike, positive: npt.ArrayLike, floor: float, **style: Any) -> None:
    if not (np.size(pristine) and np.size(positive)):
        return
    fpr, tpr = roc(_finite(pristine), _finite(positive))
    # On a logarithmic axis the stretch at FPR 0 is drawn at the left edge.
    axes.plot(np.maximum(fpr, floor), tpr, drawstyle="steps-post", clip_on=False, zorder=3, **style)


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


def _logit_picture(scores: Sequence[Scores], contest: tuple[str, str] | None, why: str) -> Picture:
    manipulations = _manipulations(scores, contest)
    detectors = ordered((s.detector for s in scores), DETECTORS)
    found = {(s.manipulation, s.detector): s for s in scores}
    labels = short_labels(detectors)

    def draw(figure: Figure) -> None:
        grid: Grid = figure.subplots(len(manipulations), len(detectors), squeeze=False)
        for line, manipulation in zip(grid, manipulations, strict=True):
            for axes, detector in zip(line, detectors, strict=True):
                _logit_panel(axes, found.get((manipulation, detector)), contest)
            line[0].set_ylabel(manipulation_label(manipulation), rotation=0, ha="right", va="center", fontsize=7.5)
        for axes, detector in zip(grid[0], detectors, strict=True):
            own = "\n(target)" if contest and contest[0] == detector else ""
            axes.set_title(labels[detector] + own, fontsize=8)
        handles: list[Any] = [
            Patch(facecolor=STATE_COLOURS[s], alpha=0.55, label=s) for s in ("pristine", "manipulated")
        ]
        if contest:
            handles.append(Line2D([], [], color=INK, label="concealed"))
        handles.append(Line2D([], [], color=RED, linestyle="--", linewidth=1, label="threshold 0"))
        figure.legend(handles=handles, loc="outside lower center", ncols=4)

    caption = (
        "How the logits of test patches are spread: right of the dashed threshold 0 a patch is called "
        "manipulated. "
        + ("The attack succeeds on the part of the dark outline that lies left of it. " if contest else "")
        + "Every histogram has the same area within its panel; the outermost 0.5 % of the logits at either "
        f"side are counted in the outermost bins. {_seed_text(scores)}{why}"
    )
    size = (max(3.2, min(WIDTH, 1.6 * len(detectors) + 1.0)), 0.92 * len(manipulations) + 0.8)
    return picture(f"logits{contest_slug(contest)}", f"Logits{contest_text(contest)}", caption, size, draw)


def _logit_panel(axes: Axes, judged: Scores | None, contest: tuple[str, str] | None) -> None:
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


def _states(judged: Scores, contest: tuple[str, str] | None) -> dict[str, npt.NDArray[np.float64]]:
    states = {"pristine": _finite(judged.pristine), "manipulated": _finite(judged.manipulated)}
    if contest is not None and contest in judged.concealed:
        states["concealed"] = _finite(judged.concealed[contest])
    return {state: logits for state, logits in states.items() if len(logits)}


def _first_seed(scores: Sequence[Scores]) -> list[Scores]:
    # Logits of several trainings do not share a scale: one seed is shown and named, rather than all pooled.
    first = min((judged.seed for judged in scores), default=0)
    return [judged for judged in scores if judged.seed == first]


def _contests(scores: Sequence[Scores]) -> list[tuple[str, str]]:
    pairs = dict.fromkeys(contest for judged in scores for contest in judged.concealed)
    attacks = list(dict.fromkeys(attack for _, attack in pairs))
    return [(t, a) for a in attacks for t in ordered((t for t, other in pairs if other == a), DETECTORS)]


def _manipulations(scores: Sequence[Scores], contest: tuple[str, str] | None) -> list[str]:
    names = (s.manipulation for s in scores if contest is None or contest in s.concealed)
    return ordered(names, (*EASY, *HARD))


def _finite(values: npt.ArrayLike) -> npt.NDArray[np.float64]:
    flat = np.asarray(values, dtype=np.float64).ravel()
    return flat[np.isfinite(flat)]


def _seed_text(scores: Sequence[Scores]) -> str:
    return f"Seed {scores[0].seed}."
