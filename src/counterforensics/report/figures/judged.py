"""What the figures of logits share: which logits they show, and a panel of curves for each manipulation."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from counterforensics.outcome import Scores
from counterforensics.report.figures.alt import span, told
from counterforensics.report.figures.style import (
    DASHED,
    GREY,
    INK,
    WIDTH,
    DetectorStyle,
    Grid,
    Picture,
    detector_styles,
    legend,
    legend_line,
    panels,
    parts,
    picture,
    worth_drawing,
)
from counterforensics.report.labels import DETECTORS, EASY, HARD, Contest, Labels, manipulation_label, ordered
from counterforensics.report.results import ordered_contests
from counterforensics.report.tables.model import chunks

MOST_CURVES = 8  # judges in a panel
_PANEL = 1.75  # inches, the height of a panel of curves
DOTTED: Mapping[str, Any] = {"color": GREY, "linewidth": 0.8, "linestyle": ":"}  # a line that curves are read against

Rates = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Judged:
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

    def states(self, judged: Scores) -> dict[str, Rates]:
        """The finite logits of one judge by state, pristine, manipulated and concealed: those that there are."""
        states = {"pristine": finite(judged.pristine), "manipulated": finite(judged.manipulated)}
        if self.contest is not None and self.contest in judged.concealed:
            states["concealed"] = finite(judged.concealed[self.contest])
        return {state: logits for state, logits in states.items() if len(logits)}

    def picture(self, kind: str, title: str, texts: tuple[str, str], size: tuple[float, float], draw: Any) -> Picture:
        """The figure under its title and the names of target and attack; texts: as `style.picture`."""
        caption, alt = texts
        caption = f"{caption}Seed {self.scores[0].seed}.{self.why}"
        title += self.labels.contest(self.contest)
        return picture(f"{kind}{self.labels.contest_slug(self.contest)}", title, (caption, alt), size, draw)

    def alt(self, kind: str, figure: Callable[[Rates, Rates], float], named: str, decimals: int = 0) -> str:
        """The text for those who do not see the curves: the range of a rate of each detector, over the panels.

        kind: `ROC` or `DET`.  figure: from the logits of pristine patches and of others.  named: what it is.
        """
        lines = []
        for name in self.detectors:
            own = [self.states(judged) for judged in self.scores if judged.detector == name]
            found = []
            for state in ("manipulated", "concealed"):
                pairs = [(one["pristine"], one[state]) for one in own if {"pristine", state} <= one.keys()]
                if pairs:
                    found.append(f"{state} {span([figure(*pair) for pair in pairs], '%', decimals)}")
            lines.append(f"{self.labels.detector(name)}: {', '.join(found)}")
        panels_of = ", ".join(map(manipulation_label, self.manipulations))
        return f"{kind} curves, a panel each for {panels_of}. {named} is: {told(lines)}"

    def groups(self, most: int) -> list[Sequence[str]]:
        """The detectors in groups of at most `most`."""
        counts = chunks(len(self.detectors), most)
        return [self.detectors[sum(counts[:place]) : sum(counts[: place + 1])] for place in range(len(counts))]


@dataclass(frozen=True)
class Curves:
    """How a figure with a panel of curves for each manipulation is drawn.

    frame: draws what all panels share.  line: draws a curve from the logits of pristine patches and of others.
    dotted: the label of the dotted line.
    """

    kind: str
    title: str
    across: str
    up: str
    dotted: str
    frame: Callable[[Axes], None]
    line: Callable[..., None]


def judged_under_each_attack(scores: Sequence[Scores], labels: Labels) -> list[Judged]:
    """What each figure is of."""
    # Logits of several trainings do not share a scale: one seed is shown and named, rather than all pooled.
    first = min((judged.seed for judged in scores), default=0)
    own = [judged for judged in scores if judged.seed == first]
    detectors = ordered((judged.detector for judged in own), DETECTORS)
    contests = ordered_contests(contest for judged in own for contest in judged.concealed)
    drawn, why = worth_drawing(contests, labels.restores)
    return [Judged(own, contest, detectors, labels, why) for contest in drawn or (None,)] if own else []


def curve_styles(scores: Sequence[Scores], detectors: Sequence[str]) -> dict[str, DetectorStyle]:
    """A look for each detector.  detectors: all of the study, for their colours."""
    return detector_styles(list(dict.fromkeys([*detectors, *(one.detector for one in scores)])))


def curve_picture(
    curves: Curves, shown: Judged, styles: Mapping[str, DetectorStyle], texts: tuple[str, str]
) -> Picture:
    """A panel for each manipulation: solid without the attack, dashed under it.  texts: as `style.picture`."""
    wide = min(4, len(shown.manipulations))
    high = math.ceil(len(shown.manipulations) / wide)
    groups = shown.groups(MOST_CURVES)
    legends = [legend(_handles(curves, group, styles, shown), most=4) for group in groups]
    heights = [_PANEL * high + 0.34 + below.height for below in legends]

    def draw(figure: Figure) -> None:
        for part, group, below in zip(parts(figure, heights), groups, legends, strict=True):
            grid: Grid = part.subplots(high, wide, squeeze=False, sharex=True, sharey=True)
            for axes, manipulation in panels(grid, shown.manipulations, curves.across):
                curves.frame(axes)
                for judged in shown.scores:
                    if judged.manipulation == manipulation and judged.detector in group:
                        _lines(axes, curves, shown.states(judged), styles[judged.detector])
                axes.set_title(manipulation_label(manipulation))
            part.supylabel(curves.up, fontsize=8)
            below.draw(part)

    return shown.picture(curves.kind, curves.title, texts, (WIDTH, sum(heights)), draw)


def finite(values: npt.ArrayLike) -> Rates:
    """The finite ones of the values: float64 [n]."""
    flat = np.asarray(values, dtype=np.float64).ravel()
    return flat[np.isfinite(flat)]


def _handles(
    curves: Curves, detectors: Sequence[str], styles: Mapping[str, DetectorStyle], shown: Judged
) -> list[Line2D]:
    handles = [legend_line(shown.labels.detector(name), **_look(styles[name])) for name in detectors]
    if shown.contest is not None:
        handles.append(legend_line("manipulated", color=INK))
        handles.append(legend_line("concealed", color=INK, linestyle=DASHED))
    return [*handles, legend_line(curves.dotted, **DOTTED)]


def _lines(axes: Axes, curves: Curves, states: Mapping[str, Rates], style: DetectorStyle) -> None:
    for state, dashes in (("manipulated", "-"), ("concealed", DASHED)):
        if {"pristine", state} <= states.keys():
            look = {**_look(style), "linestyle": dashes}
            curves.line(axes, states["pristine"], states[state], **look)


def _look(style: DetectorStyle) -> dict[str, Any]:
    return {"color": style.colour, "marker": style.mark, "markersize": 3.5}
