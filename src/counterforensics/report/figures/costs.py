"""Success of the attacks against what they cost: distortion and time."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure, FigureBase
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from counterforensics.report.figures.alt import span, told
from counterforensics.report.figures.style import (
    DETECTOR_MARKS,
    GRID_GREY,
    INK,
    WIDTH,
    DetectorStyle,
    Legend,
    Picture,
    detector_styles,
    legend,
    legend_line,
    parts,
    picture,
)
from counterforensics.report.labels import DETECTORS, Labels, ordered, whatever_the_seed
from counterforensics.report.tables.costs import AttackCost
from counterforensics.report.tables.model import chunks

MOST_TARGETS = 8  # of a pair of panels
_SHAPES, _FILLS = "osD^vP*X<>hp", ("full", "left", "bottom", "right")
_PANEL = 2.7  # inches, its height
_CAPTION = (
    "A point is one attack (shape) on one target (colour), its success on that target, mean over the "
    "manipulations; a dark one targets no detector, and its success is the mean over all judges. Trainings that "
    "differ in the seed alone share a shape. The further up, the more of what was detected is concealed; the "
    "further right in the left panel, the less the patch has changed; the further left in the right panel, the "
    "faster."
)
_EDGE_CAPTION = " Of targets that share a colour, one has a dark edge and the other none."
Span = tuple[float, float]
Look = Mapping[str, Any]


@dataclass(frozen=True)
class _Tile:
    """A pair of panels, the points in it, and the legend below."""

    shown: Sequence[AttackCost]
    below: Legend

    @property
    def height(self) -> float:
        """Inches."""
        return _PANEL + self.below.height


def cost_pictures(found: Sequence[AttackCost], labels: Labels, detectors: Sequence[str]) -> list[Picture]:
    """Success against PSNR, and against time, a point for each attack and target; none without two attacks.

    detectors: all of the study, for their colours.
    """
    shown = [cost for cost in found if cost.success is not None and not cost.failed]
    if len(shown) < 2:
        return []
    targets = ordered((cost.target for cost in shown if cost.target), DETECTORS)
    colours = detector_styles(list(dict.fromkeys([*detectors, *targets])))
    shapes = _shapes(shown)
    tiles = _tiles(shown, targets, colours, shapes, labels)
    psnr = _span([cost.psnr for cost in shown], _linear)
    seconds = _span([cost.seconds for cost in shown], _logarithmic)

    def draw(figure: Figure) -> None:
        for part, tile in zip(parts(figure, [tile.height for tile in tiles]), tiles, strict=True):
            distortion, time = _axes(part, psnr, seconds)
            for cost in tile.shown:
                look = {**shapes[whatever_the_seed(cost.attack)], **_paint(colours.get(cost.target))}
                _point(distortion, cost.psnr, cost, look)
                _point(time, cost.seconds, cost, look)
            tile.below.draw(part)

    size = (WIDTH, sum(tile.height for tile in tiles) + 0.2)
    caption = _CAPTION + (_EDGE_CAPTION if any(colours[target].mark for target in targets) else "")
    failed = dict.fromkeys(labels.contest((cost.target, cost.attack))[7:] for cost in found if cost.failed)
    caption += f" Not drawn, because they left most patches as they were: {told(list(failed))}" if failed else ""
    title = "Success of the attacks against distortion and time"
    return [picture("attack-costs", title, (caption, _alt(shown, labels)), size, draw)]


def _alt(shown: Sequence[AttackCost], labels: Labels) -> str:
    """The success of each point, and the range of the horizontal axes."""
    points = [
        f"{labels.contest((cost.target, cost.attack))[7:]}: success {span([cost.success], '%')}" for cost in shown
    ]
    psnr = span([cost.psnr for cost in shown if _can_be_drawn(cost.psnr)], "dB", 1)
    seconds = span([cost.seconds for cost in shown if _can_be_drawn(cost.seconds)], "seconds a patch", 3)
    return f"Two panels of points: success against PSNR ({psnr}) and against time ({seconds}). {told(points)}"


def _shapes(shown: Sequence[AttackCost]) -> dict[str, Look]:
    """A marker for each attack, whatever its seed."""
    attacks = dict.fromkeys(whatever_the_seed(cost.attack) for cost in shown)
    looks = itertools.cycle(itertools.product(_FILLS, _SHAPES))
    return {
        attack: {"marker": shape, "fillstyle": fill, "markerfacecoloralt": "white"}
        for attack, (fill, shape) in zip(attacks, looks, strict=False)
    }


def _tiles(
    shown: Sequence[AttackCost],
    targets: Sequence[str],
    colours: Mapping[str, DetectorStyle],
    shapes: Mapping[str, Look],
    labels: Labels,
) -> list[_Tile]:
    """The points in pairs of panels with a few targets each; those without a target stand in the first."""
    counts = chunks(len(targets), MOST_TARGETS) or [0]
    named = {whatever_the_seed(cost.attack): labels.trainings(cost.attack) for cost in shown}
    of_attacks = [legend_line(named[attack], color=INK, linestyle="", **look) for attack, look in shapes.items()]
    tiles = []
    for place, count in enumerate(counts):
        own = targets[sum(counts[:place]) : sum(counts[:place]) + count]
        handles: list[Artist] = [*of_attacks] if place == len(counts) - 1 else []
        handles += [legend_line(labels.detector(t), linestyle="", marker="s", **_paint(colours[t])) for t in own]
        here = [cost for cost in shown if cost.target in own or (place == 0 and not cost.target)]
        tiles.append(_Tile(here, legend(handles, most=3)))
    return tiles


def _paint(style: DetectorStyle | None) -> Look:
    """The colour of a target; where several detectors share it, every other has a dark edge."""
    if style is None:
        return {"color": INK}
    return {"color": style.colour} | ({"markeredgecolor": INK} if DETECTOR_MARKS.index(style.mark) % 2 else {})


def _axes(part: FigureBase, psnr: Span, seconds: Span) -> tuple[Axes, Axes]:
    distortion, time = part.subplots(1, 2, sharey=True)
    distortion.set_xlabel("PSNR of concealed against manipulated patches (dB)")
    distortion.set_xlim(psnr)
    time.set_xlabel("seconds a patch")
    time.set_xscale("log")
    time.set_xlim(seconds)
    few = seconds[1] / seconds[0] > 1000
    time.xaxis.set_major_locator(LogLocator(subs=(1.0,) if few else (1.0, 2.0, 5.0)))
    time.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    time.xaxis.set_minor_formatter(NullFormatter())
    distortion.set_ylabel("success (%)")
    distortion.set_ylim(-4, 104)
    for axes in (distortion, time):
        axes.grid(color=GRID_GREY, linewidth=0.5)
    return distortion, time


def _point(axes: Axes, at: float | None, cost: AttackCost, look: Look) -> None:
    if _can_be_drawn(at) and cost.success is not None:
        axes.plot(at, 100 * cost.success, alpha=0.8, markersize=5, linestyle="", **look)


def _can_be_drawn(value: float | None) -> TypeGuard[float]:
    return value is not None and math.isfinite(value) and value > 0


def _span(values: Sequence[float | None], widened: Callable[[float, float], Span]) -> Span:
    """What an axis shows, the same in all panels."""
    drawn = [value for value in values if _can_be_drawn(value)]
    return widened(min(drawn, default=1.0), max(drawn, default=1.0))


def _linear(low: float, high: float) -> Span:
    """With a margin, and at least 2 dB, so that points that are nearly equal look so."""
    half = max(1.0, 0.55 * (high - low))
    return (low + high) / 2 - half, (low + high) / 2 + half


def _logarithmic(low: float, high: float) -> Span:
    """With a margin, and at least a decade."""
    factor = max(math.sqrt(10), (high / low) ** 0.55)
    return math.sqrt(low * high) / factor, math.sqrt(low * high) * factor
