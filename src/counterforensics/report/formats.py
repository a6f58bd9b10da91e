"""One `Table` as Markdown, LaTeX (booktabs), HTML, or a table on the terminal."""

from __future__ import annotations

import dataclasses
import itertools
import re
import textwrap
from collections.abc import Iterator, Sequence
from importlib.resources import files
from itertools import groupby
from typing import Literal

import jinja2
import rich.table
from rich.text import Text

from counterforensics.report.tables.model import Cell, Concerns, Row, Table

_LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "σ": r"$\sigma$",
    "ε": r"$\varepsilon$",
    "×": r"$\times$",
    "−": r"$-$",
    "±": r"$\pm$",
    "≤": r"$\leq$",
    "∞": r"$\infty$",
    "—": "---",
    "†": r"\textsuperscript{\textdagger}",
    "‡": r"\textsuperscript{\textdaggerdbl}",
}
TEMPLATES = ("page.html", "answer.html", "table.html", "tables.html", "leaderboard.html")
_LATEX_HEADING = 16  # letters in a line of a heading
_MARKDOWN = re.compile(r"([\\`*_|<>])")


def environment() -> jinja2.Environment:
    """The templates of this package: autoescaped, and an undefined name is an error."""
    folder = files("counterforensics.report").joinpath("templates")
    texts = {name: folder.joinpath(name).read_text("utf-8") for name in TEMPLATES}
    made = jinja2.Environment(
        loader=jinja2.DictLoader(texts),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["about"] = _about
    return made


def template_text(name: str) -> str:
    """A file of the templates that is no template: the style sheet or the script of the page."""
    return files("counterforensics.report").joinpath("templates", name).read_text("utf-8")


def to_markdown(table: Table) -> str:
    """Pipe tables under one heading, caption above and notes below; ends with a line break."""
    lines = [f"### {_md(table.heading)}", "", _md(table.caption)]
    for piece in table.pieces():
        lines += ["", *_md_table(piece)]
    for note in table.notes:
        lines += ["", _md(note)]
    return "\n".join(lines) + "\n"


def to_latex(table: Table) -> str:
    r"""A `table*` for `\usepackage{booktabs}`; it also needs `\usepackage{graphicx}`, and nothing else."""
    lines = [
        r"% needs \usepackage{booktabs} and \usepackage{graphicx}",
        r"\begin{table*}[t]",
        r"\centering",
        rf"\caption{{{latex(table.title)}. {latex(table.caption)}}}",
        rf"\label{{tab:{table.key}}}",
    ]
    for place, piece in enumerate(table.pieces()):
        lines += [*([r"\par\smallskip"] if place else []), *_latex_tabular(piece)]
    lines += [rf"\par\smallskip\footnotesize {latex(note)}" for note in table.notes]
    return "\n".join([*lines, r"\end{table*}"]) + "\n"


def to_html(table: Table) -> str:
    """A <details> with the heading, the caption, the table and its notes; every text in it is escaped."""
    pieces = [{"table": piece, **_html_context(piece)} for piece in table.pieces()]
    return environment().get_template("table.html").render(table=table, pieces=pieces)


def to_terminal(table: Table) -> rich.table.Table:
    """The same table for a terminal, with the caption and the notes below it."""
    shown = rich.table.Table(
        title=Text(table.heading),
        caption=Text("\n".join((table.caption, *table.notes))),
        caption_justify="left",
    )
    for stub in table.stubs:
        shown.add_column(Text(stub))
    for column in table.columns:
        head = "\n".join(filter(None, (column.group, column.heading)))
        justify: Literal["left", "right"] = "left" if column.words else "right"
        shown.add_column(Text(head), justify=justify, style="bold" if column.strong else "")
    for part, rows in groupby(table.rows, key=lambda row: row.section):
        if table.has_sections:
            shown.add_row(Text(part, style="italic"))
        for row in rows:
            cells = (Text("\n".join(cell.lines)) for cell in row.cells)
            shown.add_row(*map(Text, row.labels), *cells, style="dim" if row.grey else "")
        shown.add_section()
    return shown


def latex(text: str) -> str:
    r"""`text` with everything escaped that LaTeX would read as a command.

    >>> print(latex("50 % of a_b"))
    50 \% of a\_b
    """
    return "".join(_LATEX.get(character, character) for character in text)


def _html_context(table: Table) -> dict[str, object]:
    """What the table template needs beside a piece: headings in two rows, and rows by section and label."""
    starts = set(itertools.accumulate((span for _, span in table.groups), initial=0))
    sections = []
    for part, rows in groupby(table.rows, key=lambda row: row.section):
        blocks = [list(block) for _, block in groupby(rows, key=lambda row: row.labels[0])]
        sections.append((part if table.has_sections else "", blocks))
    grouped = any(name for name, _ in table.groups)
    return {
        "groups": table.groups if grouped else [],
        "group_of": [place for place, (_, span) in enumerate(table.groups) for _ in range(span)],
        "starts": starts if grouped else set(),
        "sections": sections,
    }


def _about(about: Concerns) -> list[tuple[str, str]]:
    """The manipulation, attack and judge of a row that are not all of them, by name."""
    return [(name, value) for name, value in dataclasses.asdict(about).items() if value]


def _md_table(table: Table) -> Iterator[str]:
    heads = [_md(stub) for stub in table.stubs]
    heads += [_md_strong(" ".join(filter(None, (c.group, c.heading))), c.strong) for c in table.columns]
    yield _md_row(heads)
    yield _md_row([*(["---"] * len(table.stubs)), *("---" if c.words else "---:" for c in table.columns)])
    for part, rows in groupby(table.rows, key=lambda row: row.section):
        if table.has_sections:
            yield _md_row([f"*{_md(part)}*"] + [""] * (len(heads) - 1))
        for row in rows:
            cells = [_md_cell(cell, c.strong) for cell, c in zip(row.cells, table.columns, strict=True)]
            yield _md_row([*map(_md, row.labels), *cells])


def _md(text: str) -> str:
    return _MARKDOWN.sub(r"\\\1", text)


def _md_strong(text: str, strong: bool) -> str:
    return f"**{_md(text)}**" if strong and text else _md(text)


def _md_cell(cell: Cell, strong: bool) -> str:
    first, *rest = cell.lines
    return "<br>".join((_md_strong(first, strong), *map(_md, rest)))


def _md_row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _latex_tabular(table: Table) -> list[str]:
    spec = "l" * len(table.stubs) + "".join("l" if column.words else "r" for column in table.columns)
    lines = [
        r"\resizebox{\ifdim\width>\textwidth\textwidth\else\width\fi}{!}{%",
        rf"\begin{{tabular}}{{{spec}}}",
        r"\toprule",
        *_latex_heads(table),
    ]
    for part, rows in groupby(table.rows, key=lambda row: row.section):
        lines.append(r"\midrule")
        if table.has_sections:
            lines.append(rf"\multicolumn{{{len(spec)}}}{{l}}{{\textit{{{latex(part)}}}}} \\")
        for before, row in _with_previous(list(rows)):
            lines += _latex_row(table, row, before)
    return [*lines, r"\bottomrule", r"\end{tabular}}"]


def _latex_heads(table: Table) -> list[str]:
    lines = []
    if any(name for name, _ in table.groups):
        place = len(table.stubs) + 1
        upper, rules = [""] * len(table.stubs), []
        for name, span in table.groups:
            upper.append(rf"\multicolumn{{{span}}}{{c}}{{{latex(name)}}}")
            if name:
                rules.append(rf"\cmidrule(lr){{{place}-{place + span - 1}}}")
            place += span
        lines = [" & ".join(upper) + r" \\", "".join(rules)]
    heads = [latex(stub) for stub in table.stubs]
    heads += [_latex_heading(column.heading, column.strong) for column in table.columns]
    return [*lines, " & ".join(heads) + r" \\"]


def _latex_heading(text: str, strong: bool) -> str:
    """A heading in as many lines as keep its column narrow."""
    lines = [_latex_strong(line, strong) for line in textwrap.wrap(text, _LATEX_HEADING)]
    return r"\shortstack[r]{" + r" \\ ".join(lines) + "}" if len(lines) > 1 else "".join(lines)


def _latex_row(table: Table, row: Row, before: Row | None) -> Iterator[str]:
    """A row as one line of LaTeX for each line of its tallest cell; a label that repeats is left blank."""
    repeats = before is not None and before.labels[0] == row.labels[0] and len(row.labels) > 1
    labels = [("" if repeats and place == 0 else latex(label)) for place, label in enumerate(row.labels)]
    for line in range(max(len(cell.lines) for cell in row.cells)):
        cells = [cell.lines[line] if line < len(cell.lines) else "" for cell in row.cells]
        if line == 0:
            texts = [_latex_strong(t, c.strong) for t, c in zip(cells, table.columns, strict=True)]
            yield " & ".join([*labels, *texts]) + r" \\"
        else:
            small = [rf"{{\scriptsize {latex(text)}}}" if text else "" for text in cells]
            yield " & ".join([""] * len(labels) + small) + r" \\"


def _latex_strong(text: str, strong: bool) -> str:
    return rf"\textbf{{{latex(text)}}}" if strong and text else latex(text)


def _with_previous(rows: Sequence[Row]) -> Iterator[tuple[Row | None, Row]]:
    return zip([None, *rows], rows, strict=False)
