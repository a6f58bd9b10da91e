"""What an upload does to detectors and to attacks, at a glance."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from counterforensics.outcome import NOT_LAUNDERED
from counterforensics.report.figures.alt import span, told
from counterforensics.report.figures.style import WIDTH, Grid, Picture, picture, rate_map, text_width, wrapped
from counterforensics.report.labels import Contest
from counterforensics.report.results import Results, together
from counterforensics.report.tables.uploads import calibrated, contests_at

_LETTERS = 26  # in a line of a label
_CAPTION = (
    "The TPR in percent at a false-alarm rate of 1 %, the mean over the manipulations. Columns are platforms; the "
    "threshold comes from held-out pristine photographs after the same upload. The first line of a panel shows the "
    "detector without an attack, each further line an attack that is aimed at this detector, or at none. Dark: the "
    "upload leaves traces that the detector still sees. White: it sees nothing."
)


def upload_picture(results: Results) -> list[Picture]:
    """One figure, a panel for each detector; none for a study with a single laundering."""
    if len(results.launderings) < 2:
        return []
    after = [results.under(name) for name in results.launderings]
    lines = {detector: contests_at(results, detector) for detector in results.detectors}
    values = {detector: _values(after, detector, contests) for detector, contests in lines.items()}
    heights = [len(contests) for contests in lines.values()]

    def draw(figure: Figure) -> None:
        grid: Grid = figure.subplots(len(lines), 1, squeeze=False, sharex=True, gridspec_kw={"height_ratios": heights})
        for axes, (detector, contests) in zip(grid[:, 0], lines.items(), strict=True):
            rate_map(axes, values[detector])
            axes.set_title(results.labels.detector(detector))
            axes.set_yticks(range(len(contests)), [_name(results, contest) for contest in contests])
            axes.set_xticks(range(len(after)), [_platform(one) for one in after])

    left = max(text_width(_name(results, one), 7) for contests in lines.values() for one in contests)
    size = (min(WIDTH, left + 0.6 + 0.9 * len(after)), 0.6 + sum(0.26 * height + 0.35 for height in heights))
    rates = [f"{results.labels.detector(name)}: {span(list(found.ravel()), '%')}" for name, found in values.items()]
    alt = f"Heat maps of the TPR after {', '.join(results.launderings)}, one for each detector. {told(rates)}"
    return [picture("uploads", "After the upload", (_CAPTION, alt), size, draw)]


def _name(results: Results, contest: Contest) -> str:
    return wrapped(results.labels.attack(contest[1]), _LETTERS) if contest[1] else "no attack"


def _platform(results: Results) -> str:
    return "no upload" if results.laundering == NOT_LAUNDERED else wrapped(results.laundering, _LETTERS)


def _values(after: list[Results], detector: str, contests: list[Contest]) -> npt.NDArray[np.float64]:
    """The mean TPR over the manipulations: float64 [contests, platforms], NaN where there is none."""
    return np.array([[_mean(one, detector, contest) for one in after] for contest in contests], dtype=np.float64)


def _mean(results: Results, detector: str, contest: Contest) -> float | None:
    column = calibrated(results)
    found = together(results.spread(column, one, detector, *contest) for one in results.manipulations)
    return found.mean if found else None
