"""Noise beside restoration: every attack on the manipulations that a generator restores, by judge."""

from __future__ import annotations

from counterforensics.report.labels import attack_label, detector_label, manipulation_label, restores
from counterforensics.report.measured import Measured
from counterforensics.report.tables import NONE, Cell, Column, Row, Table, percent, quality_cell

_TARGET = "target"


def restoration_table(measured: Measured) -> Table | None:
    """TPR of every judge under every attack, a part a manipulation; None where no generator restores any."""
    restored = dict.fromkeys(
        manipulation
        for contest in measured.contests
        if restores(contest[1])
        for manipulation in measured.manipulations_of(*contest)
    )
    manipulations = [manipulation for manipulation in measured.manipulations if manipulation in restored]
    if not manipulations:
        return None
    columns = [Column(detector_label(name), "TPR (%)") for name in measured.detectors]
    columns += [Column("manipulated", "PSNR to (dB)"), Column("pristine", "PSNR to (dB)")]
    return Table(
        key="noise-or-restoration",
        number=None,
        title="Noise or restoration",
        caption="True positive rate in percent of each judge, before and after each attack, for the manipulations that "
        "a generator restores; below a figure, that the judge was the target. Noise made for one detector should "
        "leave the others; what restores the traces should leave none. PSNR of concealed patches; before "
        "an attack, of manipulated ones. The line without an attack is of all test patches, the others of those "
        "attacked.",
        stubs=("Attack", "Target"),
        columns=tuple(columns),
        rows=tuple(row for manipulation in manipulations for row in _rows(measured, manipulation)),
    )


def _rows(measured: Measured, manipulation: str) -> list[Row]:
    contests = [c for c in measured.contests if manipulation in measured.manipulations_of(*c)]
    return [_row(measured, manipulation, *contest) for contest in [("", ""), *contests]]


def _row(measured: Measured, manipulation: str, target: str, attack: str) -> Row:
    cells = []
    for judge in measured.detectors:
        spread = measured.spread("tpr", manipulation, judge, target, attack)
        own = (_TARGET,) if target and judge == target else ()
        cells.append(Cell((percent(spread.mean if spread else None), *own)))
    if attack:
        cells += [quality_cell(measured, name, manipulation, (target, attack)) for name in ("psnr", "psnr_pristine")]
    else:
        cells += [Cell((NONE,)), _before(measured, manipulation)]
    labels = (attack_label(attack) if attack else "none", detector_label(target) if target else NONE)
    return Row(manipulation_label(manipulation), labels, tuple(cells))


def _before(measured: Measured, manipulation: str) -> Cell:
    """The PSNR that the attacks began with."""
    for contest in measured.contests:
        cell = quality_cell(measured, "psnr_before", manipulation, contest)
        if cell.lines != (NONE,):
            return cell
    return Cell((NONE,))
