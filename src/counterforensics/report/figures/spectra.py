"""Figures of what attacks do to the spectrum: whether they bring back what a manipulation took away."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from counterforensics.outcome import Spectra
from counterforensics.report.figures.alt import span, told
from counterforensics.report.figures.style import (
    DASHED,
    GREEN,
    GREY,
    GRID_GREY,
    INK,
    ORANGE,
    PINK,
    RED,
    SKY,
    STATE_COLOURS,
    WIDTH,
    Grid,
    Picture,
    legend,
    legend_line,
    panels,
    picture,
)
from counterforensics.report.labels import EASY, HARD, Labels, manipulation_label, ordered, whatever_the_seed

Power = npt.NDArray[np.float64]

_COLOURS = (INK, GREEN, PINK, RED, SKY, GREY)
_DASHES: tuple[Any, ...] = ("-", DASHED, "dotted", "dashdot", (0, (6, 2)), (0, (3, 1, 1, 1, 1, 1)))
_CAPTION = (
    "Mean power of the attacked test patches at each frequency, in decibels over one grey level squared. Blue: before "
    "the manipulation. Orange: after it. Thin lines: after each attack. A thin line along the orange one shows an "
    "attack that hides the traces without giving the lost signal back. A thin line along the blue one has as much "
    "power as was lost. The power is the mean over all directions. Of an attack on several targets, or with a "
    "generator that was trained several times, the first is drawn."
)
_RESIDUAL_CAPTION = (
    "Mean power of the difference to the pristine patches. Orange: what the manipulation changed. Thin lines: what "
    "still differs after an attack. A thin line below the orange one shows that the attack brought a part of the lost "
    "signal back. Above it, the attack added another signal, even if its power is that of the pristine patches."
)


class _Lines(NamedTuple):
    """What is drawn of one attack on one manipulation."""

    of: Spectra
    before: Power
    after: Power


def spectra_pictures(spectra: Sequence[Spectra], labels: Labels) -> list[Picture]:
    """Mean spectra of patches, and of what they lack of pristine ones, a panel a manipulation; none without attacks.

    Of an attack on several targets the first stands for all, and of a generator trained several times the first.
    """
    first = {(one.manipulation, whatever_the_seed(one.attack)): one for one in reversed(spectra)}
    shown = [one for one in spectra if first[one.manipulation, whatever_the_seed(one.attack)] is one]
    whole = [_Lines(one, one.manipulated, one.concealed) for one in shown]
    residual = [
        _Lines(one, one.taken, one.missing) for one in shown if one.taken is not None and one.missing is not None
    ]
    return [
        *_pictures("spectra", "Spectra", ("pristine", "manipulated"), _CAPTION, whole, labels),
        *_pictures("residual-spectra", "Residual spectra", ("pristine", "taken"), _RESIDUAL_CAPTION, residual, labels),
    ]


def _pictures(
    key: str, title: str, states: tuple[str, str], caption: str, lines: Sequence[_Lines], labels: Labels
) -> Iterator[Picture]:
    if not lines:
        return
    styles = _styles(lines)
    manipulations = ordered((line.of.manipulation for line in lines), (*EASY, *HARD))
    wide = min(4, len(manipulations))
    high = math.ceil(len(manipulations) / wide)
    handles = [
        legend_line(state, color=colour, linewidth=2.4)
        for state, colour in zip(states, (STATE_COLOURS["pristine"], ORANGE), strict=True)
    ]
    handles += [legend_line(_label(attack, lines, labels), **style) for attack, style in styles.items()]
    below = legend(handles, most=3)

    def draw(figure: Figure) -> None:
        grid: Grid = figure.subplots(high, wide, squeeze=False, sharex=True, sharey=True)
        for axes, manipulation in panels(grid, manipulations, "cycles a pixel"):
            here = [line for line in lines if line.of.manipulation == manipulation]
            _draw(axes, here[0].of.frequencies, here[0].of.pristine, color=STATE_COLOURS["pristine"], linewidth=2.4)
            _draw(axes, here[0].of.frequencies, here[0].before, color=ORANGE, linewidth=2.4)
            for line in here:
                _draw(axes, line.of.frequencies, line.after, **styles[line.of.attack])
            axes.set_title(manipulation_label(manipulation))
            axes.grid(color=GRID_GREY, linewidth=0.5)
        for axes in grid[:, 0]:
            axes.set_ylabel("power (dB)")
        below.draw(figure)

    yield picture(
        key, title, (caption, _alt(lines, manipulations, states)), (WIDTH, 1.75 * high + 0.35 + below.height), draw
    )


def _alt(lines: Sequence[_Lines], manipulations: Sequence[str], states: tuple[str, str]) -> str:
    """The power at the highest frequency in each panel."""
    panels_of = []
    for manipulation in manipulations:
        here = [line for line in lines if line.of.manipulation == manipulation]
        ends = [_decibels(power[-1:]) for power in (here[0].of.pristine, here[0].before)]
        after = span([float(_decibels(line.after[-1:])[0]) for line in here], "dB", 1)
        panels_of.append(
            f"{manipulation_label(manipulation)}: {states[0]} {ends[0][0]:.1f} dB, {states[1]} {ends[1][0]:.1f} dB, "
            f"after the attacks {after}"
        )
    return f"Curves of power against frequency. At the highest frequency, {told(panels_of)}"


def _decibels(power: Power) -> Power:
    return 10 * np.log10(np.maximum(power, 1e-3))


def _styles(lines: Sequence[_Lines]) -> dict[str, dict[str, Any]]:
    """How the line of each attack looks."""
    looks = itertools.cycle(itertools.product(_DASHES, _COLOURS))
    attacks = dict.fromkeys(line.of.attack for line in lines)
    return {
        attack: {"color": colour, "linestyle": dashes, "linewidth": 1.0}
        for attack, (dashes, colour) in zip(attacks, looks, strict=False)
    }


def _draw(axes: Axes, frequencies: Power, power: Power, **style: Any) -> None:
    axes.plot(frequencies, _decibels(power), **style)


def _label(attack: str, lines: Sequence[_Lines], labels: Labels) -> str:
    """The attack with the target that its line is of."""
    target = next(line.of.target for line in lines if line.of.attack == attack)
    return labels.trainings(attack) + (f" on {labels.detector(target)}" if target else "")
