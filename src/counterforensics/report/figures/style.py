"""What the figures of a report share: palette, legends, room for text, and how a figure becomes a PNG and a PDF file.

The files hold no time and no machine, so that the same outcome gives the same bytes. Nothing here touches
matplotlib's global list of figures.
"""

from __future__ import annotations

import functools
import io
import itertools
import textwrap
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import matplotlib
import numpy as np
import numpy.typing as npt
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure, FigureBase
from matplotlib.font_manager import FontProperties
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D
from matplotlib.textpath import text_to_path

from counterforensics.outcome import take_apart
from counterforensics.report.labels import DETECTORS, Contest, whatever_the_loss

# Okabe and Ito's palette, told apart by readers of any colour vision and, by its greys, in print.
BLUE, ORANGE, GREEN, PINK, SKY, RED = "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00"
WINE = "#882255"  # of Paul Tol's palette, darker than all others
GREY, INK, GRID_GREY = "#8A8A8A", "#222222", "#E6E6E6"
DETECTOR_COLOURS = (BLUE, ORANGE, GREEN, PINK, SKY, RED, WINE)
DETECTOR_MARKS = ("", "o", "^", "s", "v", "D", "P", "X")  # of detectors that share a colour
FAMILY_COLOURS = {"blur": BLUE, "jpeg": ORANGE, "median": GREEN, "resize": PINK}
STATE_COLOURS = {"pristine": BLUE, "manipulated": ORANGE, "concealed": INK}
DASHED = (0, (3, 1.5))
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
    "text.parse_math": False,  # a label may hold dollar signs
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
LINE = 0.135  # inches from one line of text at 8 points to the next
_HANDLE, _GAP, _MARGIN = 0.57, 0.06, 0.2  # inches: beside a label in a legend, below it, and around all of them
_LEGEND_LETTERS = 44

Grid = npt.NDArray[np.object_]


@dataclass(frozen=True)
class Picture:
    """One figure: the stem of its file names, what it shows, how to read it, and its files."""

    key: str
    title: str
    caption: str
    alt: str  # what is seen, for a reader who does not see it
    png: bytes
    pdf: bytes


class DetectorStyle(NamedTuple):
    """A colour, and a mark beside it, "" for the first detectors, where there are more detectors than colours."""

    colour: str
    mark: str


@dataclass(frozen=True)
class Legend:
    """A legend below a figure: its handles, how many columns they stand in, and the inches that it takes."""

    handles: tuple[Artist, ...]
    columns: int
    height: float

    def draw(self, figure: FigureBase) -> None:
        """Draw it at the lower end of a figure or a part of one, outside its axes."""
        figure.legend(handles=list(self.handles), loc="outside lower center", ncols=self.columns)


def picture(
    key: str, title: str, texts: tuple[str, str], size: tuple[float, float], draw: Callable[[Figure], None]
) -> Picture:
    """A figure of `size` inches that `draw` fills, as PNG (200 dpi) and PDF without any date.

    texts: the caption, and the text for a reader who does not see the figure.
    """
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
    return Picture(key, title, *texts, png.getvalue(), pdf.getvalue())


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


def rate_map(axes: Axes, values: npt.NDArray[np.float64], decimals: int = 0) -> AxesImage:
    """A heat map of rates, 0..1, float64 [r, c], each written into its cell in percent; a dot for NaN."""
    image = axes.imshow(values, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for (row, column), value in np.ndenumerate(values):
        missing = bool(np.isnan(value))
        text = "·" if missing else f"{100 * value:.{0 if value in (0, 1) else decimals}f}"
        colour = "white" if not missing and value > 0.55 else INK
        axes.text(column, row, text, ha="center", va="center", fontsize=6.5, color=colour)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return image


def parts(figure: Figure, heights: Sequence[float]) -> list[FigureBase]:
    """The figure itself, or, of several heights, that many parts of it one below the other."""
    if len(heights) == 1:
        return [figure]
    whole: npt.NDArray[Any] = np.asarray(figure.subfigures(len(heights), 1, height_ratios=list(heights)))
    return list(whole.ravel())


def detector_styles(detectors: Sequence[str]) -> dict[str, DetectorStyle]:
    """A look for each detector, which no other has; a known one's is the same in every report.

    detectors: text forms, the same for all figures of a report.
    """
    free = [DetectorStyle(colour, mark) for mark, colour in itertools.product(DETECTOR_MARKS, DETECTOR_COLOURS)]
    known = dict(zip(DETECTORS, free[: len(DETECTOR_COLOURS)], strict=False))
    styles: dict[str, DetectorStyle] = {}
    for name in sorted(
        dict.fromkeys(detectors), key=lambda name: (name not in known, take_apart(name)[0] not in known)
    ):
        own = known.get(take_apart(name)[0])
        styles[name] = own if own in free else free[0]
        free.remove(styles[name])
        free = free or [DetectorStyle(GREY, mark) for mark in DETECTOR_MARKS]  # more than 56 detectors
    return {name: styles[name] for name in detectors}


def legend(handles: Sequence[Artist], most: int, width: float = WIDTH) -> Legend:
    """A legend below a figure of `width` inches: `most` columns, or fewer where a label is long."""
    labels = [str(handle.get_label()) for handle in handles]
    longest = max(text_width(label) for label in labels)
    columns = max(1, min(most, len(labels), int((width - _MARGIN) / (_HANDLE + longest))))
    stacks = np.array_split([label.count("\n") + 1 for label in labels], columns)  # as matplotlib fills the columns
    return Legend(tuple(handles), columns, max(LINE * sum(stack) + _GAP * len(stack) for stack in stacks) + _MARGIN)


def legend_line(label: str, **style: Any) -> Line2D:
    """A handle of a legend with a label in as many lines as it needs."""
    return Line2D([], [], label=wrapped(label, _LEGEND_LETTERS), **style)


@functools.cache
def text_width(text: str, size: float = 8, weight: str = "normal") -> float:
    """The width in inches of the longest line of `text`, in the font of the figures at `size` points."""
    font = FontProperties(family="DejaVu Sans", size=size, weight=weight)
    return (
        max(float(text_to_path.get_text_width_height_descent(line, font, False)[0]) for line in text.split("\n")) / 72
    )


def wrapped(label: str, letters: int) -> str:
    """A label in lines of at most `letters`; what stands in brackets begins a line of its own.

    >>> wrapped("Cozzolino2017 (steps = 0)", 16)
    'Cozzolino2017\\n(steps = 0)'
    """
    if len(label) <= letters:
        return label
    name, bracket, rest = label.rpartition(" (")
    # A setting stays beside its value: no break at these spaces.
    pieces = [name, f"({rest}".replace(" = ", "\u00a0=\u00a0")] if bracket else [label]
    lines = [line for piece in pieces for line in textwrap.wrap(piece, letters)]
    return "\n".join(lines).replace("\u00a0", " ")


def fitted(label: str, width: float, size: float = 8, weight: str = "normal") -> str:
    """A label in as few lines as keep it within `width` inches."""
    letters = itertools.takewhile(lambda count: count > 3, itertools.count(len(label), -1))
    tries = (wrapped(label, count) for count in letters)
    return next((text for text in tries if text_width(text, size, weight) <= width), wrapped(label, 4))


def in_lines(label: str, most: int, letters: int) -> str:
    """A label in at most `most` lines, of `letters` letters or as many more as that takes."""
    return next(text for text in (wrapped(label, n) for n in itertools.count(letters)) if text.count("\n") < most)


def worth_drawing(contests: Sequence[Contest], restores: Callable[[str], bool]) -> tuple[list[Contest], str]:
    """The (target, attack) pairs that get figures of their own, and a sentence for their captions if not all do.

    restores: whether an attack restores traces, as `Labels.restores` says.
    """
    everything = list(dict.fromkeys(contests))
    # Of an attack that was run with several losses, the first stands for all.
    first_loss = {(target, whatever_the_loss(attack)): (target, attack) for target, attack in reversed(everything)}
    found = [contest for contest in everything if contest in first_loss.values()]
    losses = " Of an attack with several losses, the first is drawn." if len(found) < len(everything) else ""
    if len(found) <= MOST_CONTESTS:
        return found, losses
    first = [contest for contest in found if contest[1] == found[0][1]][:MOST_CONTESTS]
    # Of generators that differ in their settings, the first stands for all.
    restoring = {take_apart(attack)[0]: attack for _, attack in reversed(found) if restores(attack)}
    shown = [contest for contest in found if contest in first or contest[1] in restoring.values()]
    return shown, (
        f" Such figures are drawn for the first attack, on at most {MOST_CONTESTS} targets, and for one generator of "
        f"each kind, because {len(found)} pairs of attack and target are too many to look at.{losses}"
    )


def line_count(labels: Iterable[str]) -> int:
    """How many lines the tallest of the labels has; 0 without any."""
    return max((label.count("\n") + 1 for label in labels), default=0)
