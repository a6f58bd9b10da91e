"""The report of a study: tables beside the paper's, figures, and one page that holds all of it.

    write_report(outcome, Path("out"))       # out/report.html, out/tables/, out/figures/

Everything is made from an `Outcome`; neither torch nor a detector is needed.
"""

from __future__ import annotations

import os
from pathlib import Path

import rich.table

from counterforensics.errors import StudyError
from counterforensics.report.claims import Claim, find_claim, load_claims
from counterforensics.report.figures import all_pictures
from counterforensics.report.findings import overview_table
from counterforensics.report.html import render_report
from counterforensics.report.measured import Measured
from counterforensics.report.render import to_html, to_latex, to_markdown, to_terminal
from counterforensics.report.tables import Sample, Table, all_tables
from counterforensics.study.outcome import Outcome

__all__ = [
    "Claim",
    "Table",
    "find_claim",
    "load_claims",
    "report_tables",
    "terminal_tables",
    "to_html",
    "to_latex",
    "to_markdown",
    "to_terminal",
    "write_report",
]


def write_report(outcome: Outcome, out: Path) -> Path:
    """Write OUT/report.html, OUT/tables/*.md and *.tex, OUT/figures/*.png and *.pdf.

    A file appears whole or not at all, and the same outcome gives the same bytes.  Returns the path of the
    page.  Raises StudyError if `out` cannot be written or the rows lack a column.
    """
    measured = Measured(outcome.rows)
    tables = report_tables(outcome)
    pictures = all_pictures(outcome, measured)
    page = out / "report.html"
    try:
        for table in tables:
            _write(out / "tables" / f"{table.key}.md", to_markdown(table).encode())
            _write(out / "tables" / f"{table.key}.tex", to_latex(table).encode())
        for picture in pictures:
            _write(out / "figures" / f"{picture.key}.png", picture.png)
            _write(out / "figures" / f"{picture.key}.pdf", picture.pdf)
        _write(page, render_report(outcome, measured, tables, pictures).encode())
    except OSError as error:
        raise StudyError(f"cannot write the report to {out}: {error}") from error
    return page


def report_tables(outcome: Outcome) -> list[Table]:
    """The tables that the rows of `outcome` allow, in the order of the report."""
    return all_tables(Measured(outcome.rows), _sample(outcome))


def terminal_tables(outcome: Outcome) -> list[rich.table.Table]:
    """The same tables for a terminal; the attacks at a glance come first."""
    overview = overview_table(Measured(outcome.rows))
    return [to_terminal(table) for table in [*([overview] if overview else []), *report_tables(outcome)]]


def _sample(outcome: Outcome) -> Sample:
    photos = outcome.photos
    if not len(photos):
        return Sample()
    test = photos[photos["role"] == "test"]
    return Sample(photos=len(test), devices=int(test["device"].nunique()))


def _write(path: Path, content: bytes) -> None:
    """Write beside, then rename into place: a reader never sees half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        beside.write_bytes(content)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
