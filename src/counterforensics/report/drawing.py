"""What the figures of a report share: palette, style, and how a figure becomes a PNG and a PDF file.

The files hold no time and no machine, so that the same outcome gives the same bytes. Nothing here touches
matplotlib's global list of figures.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import matplotlib
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from counterforensics.report.labels import DETECTORS, attack_label, detector_label, restores, take_apart

# Okabe and Ito's palette, told apart by readers of any colour vision and, by its greys, in print.
BLUE, ORANGE, GREEN, PINK, SKY, RED = "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00"
GREY, INK = "#8A8A8A", "#222222"
_DETECTOR_COLOURS = dict(zip(DETECTORS, (BLUE, ORANGE, GREEN, PINK, SKY), strict=True))
_SPARE_COLOURS = (RED, INK, GREY)
FAMILY_COLOURS = {"blur": BLUE, "jpeg": ORANGE, "median": GREEN, "resize": PINK}
STATE_COLOURS = {"pristine": BLUE, "manipulated": ORANGE, "concealed": INK}
_STYLE: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 8,
    "axes.titlesize": 8.5,
    "axes.titleweight": "bold",
    "axes.labelsize": 8,
    "axes.edgecolor": "#666666",
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.color": INK,
    "axes.labelcolor": INK,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "xtick.color": "#444444",
    "ytick.color": "#444444",
    "legend.fontsize": 8,
    "legend.frameon": False,
    "lines.linewidth": 1.4,
    "pdf.fonttype": 42,
    "figure.dpi": 100,
    "svg.hashsalt": "counterforensics",
}
MOST_CONTESTS = 8  # (target, attack) pairs with ROC curves, histograms and patches of their own
WIDTH = 7.2  # inches, the text width of a page
# Inches in a legend: a handle and its margins, a letter of medium width, a line.
_HANDLE, _LETTER, _LINE = 0.5, 0.06, 0.17
DASHED = (0, (3, 1.5))

Grid = npt.NDArray[np.object_]


@dataclass(frozen=True)
class Picture:
    """One figure: the stem of its file names, what it shows, how to read it, and its files."""

    key: str
    title: str
    caption: str
    png: bytes
    pdf: bytes


class Room(NamedTuple):
    """What a legend takes: how many columns side by side, and how many inches from the figure's height."""

    columns: int
    height: float


def picture(key: str, title: str, caption: str, size: tuple[float, float], draw: Callable[[Figure], None]) -> Picture:
    """A figure of `size` inches that `draw` fills, as PNG (200 dpi) and PDF without any date."""
    with _style():
        figure = Figure(figsize=size, layout="constrained")
        FigureCanvasAgg(figure)
        draw(figure)
        png, pdf = io.BytesIO(), io.BytesIO()
        figure.savefig(png, format="png", dpi=200, metadata={"Software": None})
        # The layout stands; working it out is the slow part of drawing.
        figure.set_layout_engine("none")
        figure.savefig(pdf, format="pdf", dpi=300, metadata={"CreationDate": None})
        figure.clear()
    return Picture(key, title, caption, png.getvalue(), pdf.getvalue())


@contextmanager
def _style() -> Iterator[None]:
    # From the defaults, so that a reader's own matplotlibrc does not change a report.
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_STYLE)
        yield


def panels(grid: Grid, names: Sequence[str], below: str) -> Iterator[tuple[Axes, str]]:
    """The axes of a grid with the name that each shows; left-over axes are hidden.

    The lowest panel of every column bears the axis label `below` and the tick labels.
    """
    cells = grid.ravel().tolist()
    for axes in cells[len(names) :]:
        axes.set_visible(False)
    for place, (axes, name) in enumerate(zip(cells, names, strict=False)):
        yield axes, name
        lowest = place + grid.shape[1] >= len(names)
        axes.tick_params(labelbottom=lowest)
        axes.set_xlabel(below if lowest else "")


def detector_colours(detectors: Sequence[str]) -> Mapping[str, str]:
    """A detector's colour is the same in every figure; beside its plain form, one with settings takes a spare one."""
    spare = iter(_SPARE_COLOURS * (1 + len(detectors) // len(_SPARE_COLOURS)))
    colours: dict[str, str] = {}
    for name in sorted(detectors, key=lambda name: name not in _DETECTOR_COLOURS):
        own = _DETECTOR_COLOURS.get(take_apart(name)[0])
        colours[name] = own if own and own not in colours.values() else next(spare)
    return {name: colours[name] for name in detectors}


def legend_room(labels: Iterable[str], most: int) -> Room:
    """What a legend takes below a figure: `most` columns, or fewer where a line of a label is long.

    >>> legend_room(["FGSM", "PGD\\n(epsilon = 1)"], most=3).columns, legend_room(["a" * 60], most=3).columns
    (3, 1)
    """
    lines = [line for label in labels for line in label.splitlines()]
    columns = max(1, min(most, int(WIDTH / (_HANDLE + _LETTER * max(map(len, lines))))))
    return Room(columns, _LINE * math.ceil(len(lines) / columns + 1))


def contest_text(contest: tuple[str, str] | None) -> str:
    """The end of a title: under which attack, and against which target; empty without an attack."""
    if contest is None:
        return ""
    target, attack = contest
    return f" under {attack_label(attack)}" + (f", target {detector_label(target)}" if target else "")


def worth_drawing(contests: Sequence[tuple[str, str]]) -> tuple[list[tuple[str, str]], str]:
    """The (target, attack) pairs that get figures of their own, and a sentence for their captions if not all do."""
    distinct = list(dict.fromkeys(contests))
    if len(distinct) <= MOST_CONTESTS:
        return distinct, ""
    # Of generators that differ in their settings, the first stands for all.
    restoring = {take_apart(attack)[0]: attack for _, attack in reversed(distinct) if restores(attack)}
    shown = {distinct[0][1], *restoring.values()}
    return [contest for contest in distinct if contest[1] in shown], (
        f" Such figures are drawn for the first attack and for one generator of each kind, because {len(distinct)} "
        "pairs of attack and target are too many to look at."
    )


def contest_slug(contest: tuple[str, str] | None) -> str:
    """The end of a file name for this (target, attack), empty without an attack."""
    return f"-{slug('-'.join(reversed(contest)))}" if contest else ""


def slug(text: str) -> str:
    """`text` as part of a file name: lower case, and a hyphen for every stretch of other characters."""
    return re.sub(r"[^a-z0-9.]+", "-", text.lower()).strip("-")
