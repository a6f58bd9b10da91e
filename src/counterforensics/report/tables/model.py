"""A table as finished text, and how its figures are written; it knows nothing of Markdown, LaTeX or HTML."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby

NONE = "—"
MOST_COLUMNS = 16  # that stand side by side; a wider table is written in pieces
WIDEST_PIECE = 12


@dataclass(frozen=True)
class Concerns:
    """Which manipulation, attack, judge and platform a row or a table is about, as labels; "" for all of them."""

    manipulation: str = ""
    attack: str = ""
    judge: str = ""
    platform: str = ""


ALL_OF_THEM = Concerns()


@dataclass(frozen=True)
class Column:
    """A column of figures; neighbours with the same `group` share a heading, `strong` ones stand out."""

    heading: str
    group: str = ""
    strong: bool = False
    words: bool = False  # holds words, which stand at the left and may be broken into lines
    judge: str = ""  # the label of the judge that the column is about


@dataclass(frozen=True)
class Cell:
    """One cell, a few short lines of text; the first is the figure itself."""

    lines: tuple[str, ...]
    link: str = ""  # where a click on the cell leads, on a page

    def __str__(self) -> str:
        return " ".join(self.lines)


@dataclass(frozen=True)
class Row:
    """One row: the part of the table that it stands in, its labels, and one cell for every column.

    grey: whether its figures mean nothing; a note of the table says why.
    """

    section: str
    labels: tuple[str, ...]
    cells: tuple[Cell, ...]
    grey: bool = False
    about: Concerns = ALL_OF_THEM


@dataclass(frozen=True)
class Table:
    """A finished table: text only, ready to be written in any form."""

    key: str  # the stem of its file names
    number: str | None  # the paper's Roman number, None where the paper has no such table
    title: str
    caption: str
    stubs: tuple[str, ...]  # headings of the label columns
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = field(default=())
    attacks: tuple[str, ...] = field(default=())  # the labels of the attacks that it is about; none for all of them

    @property
    def heading(self) -> str:
        """Title with the paper's number in front, where it has one."""
        return f"Table {self.number}. {self.title}" if self.number else self.title

    @property
    def has_sections(self) -> bool:
        """Whether the rows stand in more than one part."""
        return len({row.section for row in self.rows}) > 1

    @property
    def groups(self) -> list[tuple[str, int]]:
        """Headings above the columns, each with the number of columns that it spans."""
        return [(name, len(list(part))) for name, part in groupby(self.columns, key=lambda column: column.group)]

    def pieces(self) -> list[Table]:
        """The same rows with some of the columns each, where there are too many to stand side by side.

        All but the first say that they go on; the last bears the caption and the notes.
        """
        widths = _piece_widths(len(self.columns), [span for _, span in self.groups])
        return [
            self._piece(sum(widths[:place]), count, place == 0, place == len(widths) - 1)
            for place, count in enumerate(widths)
        ]

    def _piece(self, start: int, count: int, first: bool, last: bool) -> Table:
        own = slice(start, start + count)
        return replace(
            self,
            title=self.title if first else f"{self.title} (continued)",
            caption=self.caption if last else "",
            columns=self.columns[own],
            rows=tuple(replace(row, cells=row.cells[own]) for row in self.rows),
            notes=self.notes if last else (),
        )


@dataclass(frozen=True)
class Sample:
    """How many photographs and devices the test patches come from; None where that is not known."""

    photos: int | None = None
    devices: int | None = None


UNKNOWN = Sample()


def titled(title: str, rows: Sequence[Row]) -> str:
    """`title`, and the section of the rows if there is one alone, which has no heading then."""
    sections = {row.section for row in rows}
    return f"{title}: {sections.pop()}" if len(sections) == 1 else title


def texts(values: Sequence[str]) -> tuple[Cell, ...]:
    """One cell of one line for each text."""
    return tuple(Cell((value,)) for value in values)


def percent(rate: float | None, decimals: int = 2) -> str:
    """A rate 0..1 as percent without the sign, "—" where there is none.

    >>> percent(0.99966), percent(None)
    ('99.97', '—')
    """
    return NONE if rate is None or math.isnan(rate) else f"{100 * rate:.{decimals}f}"


def number(value: float | None, decimals: int = 2) -> str:
    """A number, "∞", or "—" where there is none.

    >>> number(48.1308), number(math.inf), number(None)
    ('48.13', '∞', '—')
    """
    if value is None or math.isnan(value):
        return NONE
    return "∞" if math.isinf(value) else f"{value:.{decimals}f}"


def points(ours: float | None, paper: float | None) -> str:
    """ours - paper in percentage points, of the figures as they are printed, always with a sign.

    >>> points(0.9990, 1.0), points(0.5, 0.25), points(0.5, 0.5), points(None, 0.5)
    ('−0.10', '+25.00', '0.00', '—')
    """
    if ours is None or paper is None or math.isnan(ours) or math.isnan(paper):
        return NONE
    return signed(round(100 * ours, 2) - round(100 * paper, 2))


def signed(value: float) -> str:
    """A number with two decimals and its sign; a minus is U+2212, zero has none."""
    text = f"{abs(value):.2f}"
    return text if text == "0.00" else f"{'+' if value > 0 else '−'}{text}"


def chunks(count: int, most: int) -> list[int]:
    """How many of `count` things stand in each part, where none holds more than `most` and all hold about as many.

    >>> chunks(20, 7), chunks(7, 7), chunks(0, 7)
    ([7, 7, 6], [7], [])
    """
    parts = math.ceil(count / most)
    return [count // parts + (place < count % parts) for place in range(parts)]


def _piece_widths(columns: int, spans: Sequence[int]) -> list[int]:
    """How many columns each piece takes; a group of columns stands together where it fits."""
    if columns <= MOST_COLUMNS:
        return [columns]
    widths: list[int] = []
    for span in spans:
        for count in chunks(span, WIDEST_PIECE):
            if widths and widths[-1] + count <= WIDEST_PIECE:
                widths[-1] += count
            else:
                widths.append(count)
    return widths
