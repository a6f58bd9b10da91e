"""Studies on whole photographs: detectors and attacks after an upload, and attacks between the positions they clear."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from counterforensics.outcome import NOT_LAUNDERED
from counterforensics.report.labels import Contest, manipulation_label, section
from counterforensics.report.results import Results
from counterforensics.report.tables.cells import interval, seed_range
from counterforensics.report.tables.model import Cell, Column, Concerns, Row, Table, percent

NO_ATTACK: Contest = ("", "")


@dataclass(frozen=True)
class OwnContest:
    """A detector, and an attack that is aimed at it or at no detector; NO_ATTACK for none."""

    detector: str
    contest: Contest


def own_contests(results: Results) -> list[OwnContest]:
    """Every detector without an attack, and under each attack that is aimed at it or at none."""
    return [
        OwnContest(detector, contest)
        for detector in results.detectors
        for contest in (NO_ATTACK, *results.contests)
        if contest[0] in ("", detector)
    ]


def calibrated(results: Results) -> str:
    """The column with the TPR at the threshold for 1 % FPR that held-out photographs give after the same upload."""
    return "tpr_at_fpr_01" if results.laundering == NOT_LAUNDERED else "tpr_at_laundered_01"


def uploads_table(results: Results) -> Table | None:
    """TPR and FPR after each upload, at both thresholds; None for a study with a single laundering."""
    if len(results.launderings) < 2:
        return None
    after = [results.under(name) for name in results.launderings]
    columns = [Column(heading, one.laundering) for one in after for heading in _headings(one)]
    rows = [
        _row(results, manipulation, own, [cell for one in after for cell in _rates(one, manipulation, own)])
        for manipulation in results.manipulations
        for own in own_contests(results)
        if results.spread("tpr", manipulation, own.detector, *own.contest)
    ]
    return Table(
        key="upload-rates",
        number=None,
        title="After the upload",
        caption="Rates in percent on photographs that a platform stored, with attacks aimed at the detector or "
        "at none. Own: at the threshold that 1 % of the detector's held-out pristine patches exceed. Calibrated: at "
        "the threshold that 1 % of them exceed after the same upload.",
        stubs=("Manipulation", "Detector", "Attack"),
        columns=tuple(columns),
        rows=tuple(rows),
    )


def positions_table(results: Results) -> Table | None:
    """The TPR of each target at the positions that an attack cleared, and between them; None without such figures."""
    rows = [
        _row(results, manipulation, own, _positions(results, manipulation, own))
        for manipulation in results.manipulations
        for own in own_contests(results)
        if results.spread("tpr_at_cleared", manipulation, own.detector, *own.contest)
    ]
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
        rows=tuple(rows),
    )


def _headings(results: Results) -> dict[str, str]:
    """The columns of one platform, and the column of rows.csv behind each."""
    own = {"TPR, own": "tpr_at_fpr_01", "FPR, own": "fpr_at_fpr_01"}
    if results.laundering == NOT_LAUNDERED:
        return own
    return {**own, "TPR, calibrated": "tpr_at_laundered_01", "FPR, calibrated": "fpr_at_laundered_01"}


def _row(results: Results, manipulation: str, own: OwnContest, cells: Sequence[Cell]) -> Row:
    attack = own.contest[1]
    names = (manipulation_label(manipulation), results.labels.detector(own.detector))
    named_attack = results.labels.attack(attack) if attack else "none"
    about = Concerns(manipulation=names[0], judge=names[1], attack=named_attack if attack else "")
    return Row(section(manipulation), (*names, named_attack), tuple(cells), about=about)


def _rates(results: Results, manipulation: str, own: OwnContest) -> list[Cell]:
    return [_rate(results, name, manipulation, own) for name in _headings(results).values()]


def _positions(results: Results, manipulation: str, own: OwnContest) -> list[Cell]:
    ends = results.interval(manipulation, own.detector, *own.contest)
    return [
        _rate(results, "tpr_at_cleared", manipulation, own),
        _rate(results, "tpr", manipulation, own),
        Cell((interval(ends),)),
        _rate(results, "tpr_between", manipulation, own),
    ]


def _rate(results: Results, name: str, manipulation: str, own: OwnContest) -> Cell:
    spread = results.spread(name, manipulation, own.detector, *own.contest)
    return Cell((percent(spread.mean if spread else None), *seed_range(spread)))
