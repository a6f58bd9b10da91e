"""What generators achieve beside noise, on the manipulations that they restore."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from counterforensics.report.labels import Contest, manipulation_label
from counterforensics.report.results import Results
from counterforensics.report.tables.cells import quality_cell
from counterforensics.report.tables.learned import target_label, target_notes
from counterforensics.report.tables.model import NONE, Cell, Column, Concerns, Row, Table, percent, titled

_TARGET = "target"


def restoration_table(results: Results) -> Table | None:
    """TPR of every judge under every attack, a part a manipulation; None where no generator restores any."""
    restored = dict.fromkeys(
        manipulation
        for contest in results.contests
        if results.labels.restores(contest[1])
        for manipulation in results.manipulations_of(*contest)
    )
    rows = [row for m in results.manipulations if m in restored for row in _rows(results, m)]
    if not rows:
        return None
    names = [results.labels.detector(name) for name in results.detectors]
    columns = [Column(name, "TPR (%)", judge=name) for name in names]
    columns += [Column("manipulated", "PSNR to (dB)"), Column("pristine", "PSNR to (dB)")]
    return Table(
        key="noise-or-restoration",
        number=None,
        title=titled("Noise or restoration", rows),
        caption="True positive rate in percent of each judge, before and after each attack, for the manipulations that "
        "a generator restores. The word “target” stands below the figure of the judge that was attacked. Noise is made "
        "against one detector, and other judges should still find the patches. An attack that restores the traces of "
        "pristine patches should deceive every judge. PSNR compares concealed patches, and in the line without an "
        "attack manipulated patches, with what the heading names. All lines of a part are about the same patches.",
        stubs=("Attack", "Target"),
        columns=tuple(columns),
        rows=tuple(rows),
        notes=target_notes(results, _targeted(results, restored)),
    )


def _targeted(results: Results, restored: Iterable[str]) -> list[tuple[str, str]]:
    """The (manipulation, target) of each line."""
    return [(m, c[0]) for m in restored for c in results.contests if m in results.manipulations_of(*c)]


def _rows(results: Results, manipulation: str) -> list[Row]:
    contests = [contest for contest in results.contests if manipulation in results.manipulations_of(*contest)]
    attacked = [_attacked(results, manipulation, *contest) for contest in contests]
    return [_before(results, manipulation, contests), *attacked]


def _before(results: Results, manipulation: str, contests: Sequence[Contest]) -> Row:
    """The line without an attack, which is what every attack began with."""
    # Which of the attacks says so does not matter, but it must have been compared with the pristine patches.
    compared = [contest for contest in contests if results.quality("psnr_before", manipulation, *contest)]
    cells = []
    for judge in results.detectors:
        missed = (results.spread("already", manipulation, judge, *contest) for contest in contests)
        share = next((1 - spread.mean for spread in missed if spread), None)
        cells.append(Cell((percent(share),)))
    psnr = quality_cell(results, "psnr_before", manipulation, compared[0]) if compared else Cell((NONE,))
    shown = manipulation_label(manipulation)
    return Row(shown, ("none", NONE), (*cells, Cell((NONE,)), psnr), about=Concerns(shown))


def _attacked(results: Results, manipulation: str, target: str, attack: str) -> Row:
    cells = []
    for judge in results.detectors:
        left = results.spread("tpr", manipulation, judge, target, attack)
        own = (_TARGET,) if target and judge == target else ()
        cells.append(Cell((percent(left.mean if left else None), *own)))
    cells += [quality_cell(results, name, manipulation, (target, attack)) for name in ("psnr", "psnr_pristine")]
    grey = results.unlearned(manipulation, target) is not None
    labels = (results.labels.attack(attack), target_label(results.labels, target, mark=grey))
    shown = manipulation_label(manipulation)
    return Row(shown, labels, tuple(cells), grey, Concerns(shown, results.labels.attack(attack)))
