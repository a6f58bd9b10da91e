"""A figure of what attacks do to the spectrum: whether they bring back what a manipulation took away."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
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
    panels,
    picture,
)
from counterforensics.report.labels import EASY, HARD, manipulation_label, ordered, short_labels
from counterforensics.study.outcome import Spectra

_COLOURS = (INK, GREEN, PINK, RED, SKY, GREY)
_DASHES = ("-", DASHED, "dotted", "dashdot")


def spectra_pictures(spectra: Sequence[Spectra]) -> list[Picture]:
    """The mean spectrum of pristine, manipulated and concealed patches, a panel a manipulation; none without attacks.

    Of an attack on several targets the first stands for all.
    """
    shown = {(one.manipulation, one.attack): one for one in reversed(spectra)}
    attacks = list(dict.fromkeys(one.attack for one in spectra))
    if not attacks:
        return []
    manipulations = ordered((one.manipulation for one in spectra), (*EASY, *HARD))
    wide = min(4, len(manipulations))
    high = math.ceil(len(manipulations) / wide)
    labels = _labels(attacks, spectra)

    def style(attack: str) -> dict[str, Any]:
        dashes, colour = divmod(attacks.index(attack), len(_COLOURS))
        return {"color": _COLOURS[colour], "linestyle": _DASHES[dashes % len(_DASHES)], "linewidth": 1.0}

    def draw(figure: Figure) -> None:
        grid: Grid = figure.subplots(high, wide, squeeze=False, sharex=True, sharey=True)
        for axes, manipulation in panels(grid, manipulations, "cycles a pixel"):
            here = [shown[manipulation, attack] for attack in attacks if (manipulation, attack) in shown]
            _line(axes, here[0].frequencies, here[0].pristine, color=STATE_COLOURS["pristine"], linewidth=2.4)
            _line(axes, here[0].frequencies, here[0].manipulated, color=ORANGE, linewidth=2.4)
            for one in here:
                _line(axes, one.frequencies, one.concealed, **style(one.attack))
            axes.set_title(manipulation_label(manipulation))
            axes.grid(color="#E6E6E6", linewidth=0.5)
        for axes in grid[:, 0]:
            axes.set_ylabel("power (dB)")
        handles = [Line2D([], [], color=STATE_COLOURS["pristine"], linewidth=2.4, label="pristine")]
        handles += [Line2D([], [], color=ORANGE, linewidth=2.4, label="manipulated")]
        handles += [Line2D([], [], **style(attack), label=labels[attack]) for attack in attacks]
        figure.legend(handles=handles, loc="outside lower center", ncols=2 if len(handles) > 6 else 3)

    caption = (
        "Mean power of the attacked test patches at each frequency, in decibels over one grey level squared, before "
        "the manipulation, after it, and after each attack. Where a thin line runs along the orange one, the attack "
        "hides the traces without undoing what made them; where it runs along the blue one, it brings back what was "
        "lost. Only frequencies on a ring are averaged: a line says nothing of directions."
    )
    lines = 4 + sum(1 + label.count("\n") for label in labels.values())
    size = (WIDTH, 1.75 * high + 0.35 + 0.17 * math.ceil(lines / 2))
    return [picture("spectra", "Spectra", caption, size, draw)]


def _line(axes: Axes, frequencies: np.ndarray, power: np.ndarray, **style: Any) -> None:
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
