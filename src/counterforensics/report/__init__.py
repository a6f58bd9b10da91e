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
from counterforensics.report.costs import cost_table, costs
from counterforensics.report.figures import all_pictures
from counterforensics.report.findings import overview_table
from counterforensics.report.html import render_report
from counterforensics.report.measured import Measured
from counterforensics.report.render import to_html, to_latex, to_markdown, to_terminal
from counterforensics.report.restoration import restoration_table, trainings_table
from counterforensics.report.stamp import STAMP, digest_of, outdated, stamp, stands
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

PAGE = "report.html"


def write_report(outcome: Outcome, out: Path) -> Path:
    """Write OUT/report.html, OUT/tables/*.md and *.tex, OUT/figures/*.png and *.pdf.

    A file appears whole or not at all, and the same outcome gives the same bytes, so a report that stands there
    already is left alone; files that an earlier one had and this one has not are removed.  Returns the path of
    the page.  Raises StudyError if `out` cannot be written or the rows lack a column.
    """
    digest = digest_of(outcome)
    if not stands(out, digest):
        contents = _files(outcome)
        try:
            for name, content in contents.items():
                _write(out / name, content)
            for path in outdated(out, contents):
                path.unlink(missing_ok=True)
            _write(out / STAMP, stamp(digest, contents))
        except OSError as error:
            raise StudyError(f"cannot write the report to {out}: {error}") from error
    return out / PAGE


def _files(outcome: Outcome) -> dict[str, bytes]:
    """Every file of the report by its name in the folder."""
    measured = Measured(outcome.rows)
    tables = report_tables(outcome)
    pictures = all_pictures(outcome, measured)
    contents = {}
    for table in tables:
        contents[f"tables/{table.key}.md"] = to_markdown(table).encode()
        contents[f"tables/{table.key}.tex"] = to_latex(table).encode()
    for picture in pictures:
        contents[f"figures/{picture.key}.png"] = picture.png
        contents[f"figures/{picture.key}.pdf"] = picture.pdf
    return contents | {PAGE: render_report(outcome, measured, tables, pictures).encode()}


def report_tables(outcome: Outcome) -> list[Table]:
    """The tables that the rows of `outcome` allow, in the order of the report."""
    measured = Measured(outcome.rows)
    compared = restoration_table(measured), trainings_table(measured), cost_table(costs(measured, outcome.times))
    return [*all_tables(measured, _sample(outcome)), *(table for table in compared if table)]


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
