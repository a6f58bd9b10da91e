"""Studies on whole photographs: detectors and attacks after an upload, and attacks between the positions they clear."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from counterforensics.outcome import NOT_LAUNDERED
from counterforensics.report.labels import Contest, manipulation_label, section
from counterforensics.report.results import Results
from counterforensics.report.tables.cells import interval, seed_range
from counterforensics.report.tables.model import Cell, Column, Concerns, Row, Table, percent

NO_ATTACK: Contest = ("", "")


def contests_at(results: Results, detector: str) -> list[Contest]:
    """No attack, and then each attack that is aimed at this detector or at none."""
    return [NO_ATTACK, *(contest for contest in results.contests if contest[0] in ("", detector))]


def calibrated(results: Results) -> str:
    """The column with the TPR at the threshold for 1 % FPR that held-out photographs give after the same upload."""
    return "tpr_at_fpr_01" if results.laundering == NOT_LAUNDERED else "tpr_at_laundered_01"


def uploads_table(results: Results) -> Table | None:
    """TPR and FPR after each upload, at both thresholds; None for a study with a single laundering."""
    if len(results.launderings) < 2:
        return None
    after = [results.under(name) for name in results.launderings]
    columns = [Column(heading, one.laundering) for one in after for heading in _headings(one)]

    def cells(*of_row: str) -> list[Cell]:
        return [_rate(one, column, *of_row) for one in after for column in _headings(one).values()]

    return Table(
        key="upload-rates",
        number=None,
        title="After the upload",
        caption="Rates in percent on photographs that a platform stored, with attacks aimed at the detector or "
        "at none. Own: at the threshold that 1 % of the detector's held-out pristine patches exceed. Calibrated: at "
        "the threshold that 1 % of them exceed after the same upload.",
        stubs=("Manipulation", "Detector", "Attack"),
        columns=tuple(columns),
        rows=_rows(results, "tpr", cells),
    )


def positions_table(results: Results) -> Table | None:
    """The TPR of each target at the positions that an attack cleared, and between them; None without such figures."""

    def cells(*of_row: str) -> list[Cell]:
        cleared, tpr, between = (_rate(results, name, *of_row) for name in ("tpr_at_cleared", "tpr", "tpr_between"))
        return [cleared, tpr, Cell((interval(results.interval(*of_row)),)), between]

    rows = _rows(results, "tpr_at_cleared", cells)
    if not rows:
        return None
    return Table(
        key="positions",
        number=None,
        title="Attacks on whole photographs, at other positions than they cleared",
        caption="TPR of the attacked detector in percent at the threshold 0. An attack on a whole photograph clears "
        "positions that slide by a fixed stride. Cleared: the TPR at these positions. Cells: the TPR at the cells of "
        "the grid, most of which lie between them. Difference: in percentage points.",
        stubs=("Manipulation", "Detector", "Attack"),
        columns=(Column("Cleared"), Column("Cells"), Column("95 % interval"), Column("Difference", strong=True)),
        rows=rows,
    )


def _headings(results: Results) -> dict[str, str]:
    """The columns of one platform, and the column of rows.csv behind each."""
    own = {"TPR, own": "tpr_at_fpr_01", "FPR, own": "fpr_at_fpr_01"}
    if results.laundering == NOT_LAUNDERED:
        return own
    return {**own, "TPR, calibrated": "tpr_at_laundered_01", "FPR, calibrated": "fpr_at_laundered_01"}


def _rows(results: Results, column: str, cells: Callable[..., list[Cell]]) -> tuple[Row, ...]:
    """A row for each manipulation, detector and attack with a figure in this column of rows.csv.

    cells: of a row, from manipulation, detector, target and attack.
    """
    return tuple(
        _row(results, manipulation, detector, contest[1], cells(manipulation, detector, *contest))
        for manipulation in results.manipulations
        for detector in results.detectors
        for contest in contests_at(results, detector)
        if results.spread(column, manipulation, detector, *contest)
    )


def _row(results: Results, manipulation: str, detector: str, attack: str, cells: Sequence[Cell]) -> Row:
    names = (manipulation_label(manipulation), results.labels.detector(detector))
    named_attack = results.labels.attack(attack) if attack else "none"
    about = Concerns(manipulation=names[0], judge=names[1], attack=named_attack if attack else "")
    return Row(section(manipulation), (*names, named_attack), tuple(cells), about=about)


def _rate(results: Results, column: str, *of_row: str) -> Cell:
    spread = results.spread(column, *of_row)
    return Cell((percent(spread.mean if spread else None), *seed_range(spread)))
