"""The report of a study: tables beside the paper's, figures, and one page that holds all of it.

    write_report(outcome, Path("out"))       # out/report.html, out/tables/, out/figures/

Everything is made from an `Outcome`; neither torch nor a detector is needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import rich.table

from counterforensics.errors import StudyError
from counterforensics.files import at_home, write_whole
from counterforensics.outcome import Outcome
from counterforensics.report.answer import answer
from counterforensics.report.claims import Claim, find_claim, load_claims
from counterforensics.report.figures import all_pictures
from counterforensics.report.figures.style import Picture
from counterforensics.report.findings import overview_table
from counterforensics.report.formats import to_html, to_latex, to_markdown, to_terminal
from counterforensics.report.html import render_report
from counterforensics.report.labels import distinct
from counterforensics.report.manifest import MANIFEST, digest_of, manifest_of, outdated, stands
from counterforensics.report.results import Results
from counterforensics.report.tables import all_tables
from counterforensics.report.tables.learned import unlearned_lines
from counterforensics.report.tables.model import Sample, Table

__all__ = [
    "Claim",
    "Table",
    "answer",
    "find_claim",
    "load_claims",
    "not_learned",
    "report_tables",
    "terminal_tables",
    "to_html",
    "to_latex",
    "to_markdown",
    "to_terminal",
    "write_report",
]

PAGE = "report.html"
AnyKeyed = TypeVar("AnyKeyed", Table, Picture)


def write_report(outcome: Outcome, out: Path) -> Path:
    """Write report.html, tables/ (Markdown and LaTeX) and figures/ (PNG and PDF) into the folder `out`.

    A file appears whole or not at all, and the same outcome gives the same bytes, so a report that stands there
    already is left alone; files that an earlier one had and this one has not are removed.  Returns the path of
    the page.  Raises StudyError if `out` cannot be written or the rows lack a column.
    """
    digest, out = digest_of(outcome), at_home(out)
    if not stands(out, digest):
        contents = _files(outcome)
        try:
            for name, content in contents.items():
                _write(out / name, content)
            for path in outdated(out, contents):
                path.unlink(missing_ok=True)
            _write(out / MANIFEST, manifest_of(digest, contents))
        except OSError as error:
            raise StudyError(f"cannot write the report to {out}: {error}") from error
    return out / PAGE


def report_tables(outcome: Outcome) -> list[Table]:
    """The tables that the rows of `outcome` allow, in the order of the report."""
    return _tables(outcome, Results.of(outcome))


def terminal_tables(outcome: Outcome) -> list[rich.table.Table]:
    """The same tables for a terminal, wide ones in pieces; the attacks at a glance come first."""
    results = Results.of(outcome)
    overview = overview_table(results)
    tables = [*([overview] if overview else []), *_tables(outcome, results)]
    return [to_terminal(piece) for table in tables for piece in table.pieces()]


def not_learned(outcome: Outcome) -> list[str]:
    """A line for each detector that has not learned by its own held-out photographs."""
    return unlearned_lines(Results.of(outcome))


def _files(outcome: Outcome) -> dict[str, bytes]:
    """Every file of the report by its name in the folder."""
    results = Results.of(outcome)
    tables = _tables(outcome, results)
    pictures = _with_distinct_keys(all_pictures(outcome, results))
    contents = {}
    for table in tables:
        contents[f"tables/{table.key}.md"] = to_markdown(table).encode()
        contents[f"tables/{table.key}.tex"] = to_latex(table).encode()
    for picture in pictures:
        contents[f"figures/{picture.key}.png"] = picture.png
        contents[f"figures/{picture.key}.pdf"] = picture.pdf
    return contents | {PAGE: render_report(outcome, results, tables, pictures).encode()}


def _tables(outcome: Outcome, results: Results) -> list[Table]:
    return _with_distinct_keys(all_tables(results, outcome.times, _sample(outcome)))


def _with_distinct_keys(keyed: Sequence[AnyKeyed]) -> list[AnyKeyed]:
    """The same tables or figures, none with the file names of another, whatever the labels in them."""
    keys = distinct(one.key for one in keyed)
    return [replace(one, key=key) for one, key in zip(keyed, keys, strict=True)]


def _sample(outcome: Outcome) -> Sample:
    photos = outcome.photos
    if not len(photos):
        return Sample()
    test = photos[photos["role"] == "test"]
    return Sample(photos=len(test), devices=int(test["device"].nunique()))


def _write(path: Path, content: bytes) -> None:
    """Write a file as a whole, and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, content)
