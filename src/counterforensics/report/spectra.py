"""Figures of what attacks do to the spectrum: whether they bring back what a manipulation took away."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from counterforensics.report.drawing import (
    DASHED,
    GREEN,
    GREY,
    INK,
    ORANGE,
    PINK,
    RED,
    SKY,
    STATE_COLOURS,
    WIDTH,
    Grid,
    Picture,
    legend_room,
    panels,
    picture,
)
from counterforensics.report.labels import EASY, HARD, manipulation_label, ordered, short_labels, whatever_the_seed
from counterforensics.study.outcome import Spectra

Power = npt.NDArray[np.float64]

_COLOURS = (INK, GREEN, PINK, RED, SKY, GREY)
_DASHES = ("-", DASHED, "dotted", "dashdot")


def spectra_pictures(spectra: Sequence[Spectra]) -> list[Picture]:
    """Mean spectra of patches, and of what they lack of pristine ones, a panel a manipulation; none without attacks.

    Of an attack on several targets the first stands for all, and of a generator trained several times the first.
    """
    first = {(one.manipulation, whatever_the_seed(one.attack)): one for one in reversed(spectra)}
    shown = [one for one in spectra if first[one.manipulation, whatever_the_seed(one.attack)] is one]
    whole = [_Lines(one, one.manipulated, one.concealed) for one in shown]
    residual = [
        _Lines(one, one.taken, one.missing) for one in shown if one.taken is not None and one.missing is not None
    ]
    caption = (
        "Mean power of the attacked test patches at each frequency, in decibels over one grey level squared, before "
        "the manipulation, after it, and after each attack. Where a thin line runs along the orange one, the attack "
        "hides the traces without undoing what made them; where it runs along the blue one, as much came back as was "
        "lost. Only frequencies on a ring are averaged: a line says nothing of directions. Of an attack on several "
        "targets, or with a generator that was trained several times, the first is drawn."
    )
    of_residuals = (
        "Mean power, as in the figure before, of the difference to the pristine patches: orange is what the "
        "manipulation took, a thin line what is still missing, or too much, after an attack. Under the orange line, "
        "what came back is what was lost; over it, it is something else, however like the pristine patches' its power."
    )
    return [
        *_pictures("spectra", "Spectra", ("pristine", "manipulated"), caption, whole),
        *_pictures("residual-spectra", "Residual spectra", ("pristine", "taken"), of_residuals, residual),
    ]


class _Lines(NamedTuple):
    """What is drawn of one attack on one manipulation."""

    of: Spectra
    before: Power
    after: Power


def _pictures(
    key: str, title: str, states: tuple[str, str], caption: str, lines: Sequence[_Lines]
) -> Iterator[Picture]:
    if not lines:
        return
    attacks = list(dict.fromkeys(line.of.attack for line in lines))
    manipulations = ordered((line.of.manipulation for line in lines), (*EASY, *HARD))
    wide = min(4, len(manipulations))
    high = math.ceil(len(manipulations) / wide)
    labels = _labels(attacks, [line.of for line in lines])
    room = legend_room([*states, *labels.values()], most=2 if len(attacks) > 4 else 3)

    def style(attack: str) -> dict[str, Any]:
        dashes, colour = divmod(attacks.index(attack), len(_COLOURS))
        return {"color": _COLOURS[colour], "linestyle": _DASHES[dashes % len(_DASHES)], "linewidth": 1.0}

    def draw(figure: Figure) -> None:
        grid: Grid = figure.subplots(high, wide, squeeze=False, sharex=True, sharey=True)
        for axes, manipulation in panels(grid, manipulations, "cycles a pixel"):
            here = [line for line in lines if line.of.manipulation == manipulation]
            _line(axes, here[0].of.frequencies, here[0].of.pristine, color=STATE_COLOURS["pristine"], linewidth=2.4)
            _line(axes, here[0].of.frequencies, here[0].before, color=ORANGE, linewidth=2.4)
            for line in here:
                _line(axes, line.of.frequencies, line.after, **style(line.of.attack))
            axes.set_title(manipulation_label(manipulation))
            axes.grid(color="#E6E6E6", linewidth=0.5)
        for axes in grid[:, 0]:
            axes.set_ylabel("power (dB)")
        colours = (STATE_COLOURS["pristine"], ORANGE)
        handles = [
            Line2D([], [], color=c, linewidth=2.4, label=state) for c, state in zip(colours, states, strict=True)
        ]
        handles += [Line2D([], [], **style(attack), label=labels[attack]) for attack in attacks]
        figure.legend(handles=handles, loc="outside lower center", ncols=room.columns)

    yield picture(key, title, caption, (WIDTH, 1.75 * high + 0.35 + room.height), draw)


def _line(axes: Axes, frequencies: Power, power: Power, **style: Any) -> None:
    axes.plot(frequencies, 10 * np.log10(np.maximum(power, 1e-3)), **style)


def _labels(attacks: Sequence[str], spectra: Sequence[Spectra]) -> dict[str, str]:
    """Each attack with the target that its line is of, settings on a second line."""
    targets = {attack: next(one.target for one in spectra if one.attack == attack) for attack in attacks}
    short = short_labels([*attacks, *filter(None, targets.values())])
    labels = {}
    for attack, target in targets.items():
        name, *settings = short[attack].split("\n")
        aimed = f" on {short[target]}".replace("\n", " ") if target else ""
        labels[attack] = "\n".join([name + aimed, *settings])
    return labels
