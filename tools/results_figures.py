"""The figures of results/cameras that are drawn from rows."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from counterforensics.report.figures.costs import cost_pictures
from counterforensics.report.figures.style import WIDTH, Picture, picture, rate_map
from counterforensics.report.figures.transfer import transfer_maps
from counterforensics.report.tables.costs import attack_costs
from tools.results_rows import Run, case, label

Rates = npt.NDArray[np.float64]


def detection(run: Run) -> Picture:
    """The accuracy of each detector on each manipulation, here and in the paper."""
    found = [[run.one(manipulation=m, judge=d, attack="") for m in run.manipulations] for d in run.detectors]
    here = [[one.acc if one else None for one in line] for line in found]
    paper = [[one.paper_acc if one else None for one in line] for line in found]
    panels = {"Accuracy here (%)": _array(here), "Accuracy in the paper (%)": _array(paper)}
    return _maps("detection", panels, [label(d) for d in run.detectors], [case(m) for m in run.manipulations])


def noise(run: Run) -> Iterator[Picture]:
    """How FGSM transfers, and what the attacks achieve at which distortion."""
    yield next(one for one in transfer_maps(run.results) if one.key == "transfer-fgsm")
    costs = attack_costs(run.results, run.times)
    yield next(iter(cost_pictures(costs, run.results.labels, run.results.detectors)))


def attacks_on_spam(run: Run) -> Picture:
    """The TPR of each detector under each attack on SPAM features."""
    panels = {"no attack": _tprs(run, "")}
    panels |= {run.results.labels.attack(one): _tprs(run, one) for one in run.attacks("spam-descent", "spam-gradient")}
    judges = [label(d) for d in run.detectors]
    return _maps("attacks-on-spam", panels, judges, [case(m) for m in run.manipulations])


def restoration(run: Run) -> Picture:
    """The TPR of each judge on what each generator restored."""
    return _untargeted(run, "restoration")


def ablation(run: Run) -> Picture:
    """The same for the generators of the ablation."""
    return _untargeted(run, "ablation")


def _untargeted(run: Run, key: str) -> Picture:
    found = next(one for one in transfer_maps(run.results) if one.key == "transfer-untargeted")
    return dataclasses.replace(found, key=key)


def _tprs(run: Run, attack: str) -> Rates:
    found = [[run.one(manipulation=m, judge=d, attack=attack) for m in run.manipulations] for d in run.detectors]
    return _array([[one.tpr if one else None for one in line] for line in found])


def _array(rates: Sequence[Sequence[float | None]]) -> Rates:
    """None becomes NaN."""
    return np.array(rates, dtype=np.float64)


def _maps(key: str, panels: dict[str, Rates], rows: Sequence[str], columns: Sequence[str]) -> Picture:
    """Heat maps of rates one below the other, two side by side; `panels` by their titles."""
    high = -(-len(panels) // 2)

    def draw(figure: Figure) -> None:
        grid = figure.subplots(high, 2, squeeze=False, sharex=True, sharey=True)
        for axes, title in zip(grid.ravel().tolist(), panels, strict=False):
            rate_map(axes, panels[title], 1)
            axes.set_title(title)
            axes.set_xticks(range(len(columns)), columns, rotation=90)
            axes.set_yticks(range(len(rows)), rows)
            axes.tick_params(labelbottom=True)
        for axes in grid.ravel().tolist()[len(panels) :]:
            axes.set_visible(False)

    return picture(key, key, ("", ""), (WIDTH, high * (0.2 * len(rows) + 1.2)), draw)
