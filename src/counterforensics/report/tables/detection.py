"""The paper's Table I: how well the detectors do without an attack, each figure beside the paper's own."""

from __future__ import annotations

from counterforensics.report import claims
from counterforensics.report.labels import manipulation_label, section
from counterforensics.report.results import Results
from counterforensics.report.tables.cells import interval, seed_range
from counterforensics.report.tables.learned import NOT_LEARNED, detection_notes
from counterforensics.report.tables.model import (
    NONE,
    UNKNOWN,
    Cell,
    Column,
    Concerns,
    Row,
    Sample,
    Table,
    percent,
    points,
)
from counterforensics.report.tables.notes import certainty_notes, left_over, sample_text, unclaimed_detectors
from counterforensics.report.tables.trainings import detector_notes

DAGGER = "†"
_INTERVAL = "95 % interval"
_HEADINGS = {
    "fpr": ("paper", "ours", "diff."),
    "tpr": ("paper", "ours", _INTERVAL, "diff."),
    "acc": ("paper", "ours", "diff."),
}


def detection_table(results: Results, sample: Sample = UNKNOWN) -> Table | None:
    """FPR, TPR, ACC and AUC of every detector on every manipulation; None where the rows have no such figure."""
    pairs = results.pairs
    if not any(results.spread(name, *pair) for name in _HEADINGS for pair in pairs):
        return None
    compared = any(claims.find_claim(*pair) for pair in pairs)
    columns = [Column(heading, name.upper()) for name in _HEADINGS for heading in _headings(name, compared)]
    difference = "; difference = ours − paper" if compared else ""
    return Table(
        key="table1" if compared else "detection",
        number="I" if compared else None,
        title="Detection without an attack",
        caption="False positive rate, true positive rate and accuracy in percent, the area under the ROC "
        f"curve (AUC) from 0 to 1{difference}. {sample_text(results, '', '', sample)}",
        stubs=("Manipulation", "Detector"),
        columns=(*columns, Column("ours", "AUC") if compared else Column("AUC")),
        rows=tuple(_row(results, *pair, compared) for pair in pairs),
        notes=(
            *(note for pair in pairs for note in _flag(results, *pair)),
            *(unclaimed_detectors(results.detectors, results.labels) if compared else ()),
            *(left_over(results) if compared else ()),
            *detection_notes(results),
            *detector_notes(results),
            *certainty_notes(results, sample),
        ),
    )


def _headings(name: str, compared: bool) -> list[str]:
    """The headings of one rate; without figures of the paper there is nothing to differ from."""
    if compared:
        return list(_HEADINGS[name])
    return ["rate", *(heading for heading in _HEADINGS[name] if heading == _INTERVAL)]


def _row(results: Results, manipulation: str, detector: str, compared: bool) -> Row:
    claim = claims.find_claim(manipulation, detector)
    flag = DAGGER if claim and claim.note else ""
    cells = []
    for name in _HEADINGS:
        spread = results.spread(name, manipulation, detector)
        printed: float | None = getattr(claim, name) if claim else None
        if compared:
            cells.append(Cell((percent(printed) + (flag if name != "tpr" else ""),)))
        cells.append(Cell((percent(spread.mean if spread else None), *seed_range(spread))))
        if name == "tpr":
            cells.append(Cell((interval(results.interval(manipulation, detector)),)))
        if compared:
            cells.append(Cell((points(spread.mean if spread else None, printed),)))
    auc = results.spread("auc", manipulation, detector)
    verdict = () if results.unlearned(manipulation, detector) is None else (NOT_LEARNED,)
    cells.append(Cell((f"{auc.mean:.4f}" if auc else NONE, *verdict)))
    labels = (manipulation_label(manipulation), results.labels.detector(detector))
    return Row(section(manipulation), labels, tuple(cells), about=Concerns(labels[0], judge=labels[1]))


def _flag(results: Results, manipulation: str, detector: str) -> tuple[str, ...]:
    """The note on a claim that contradicts itself."""
    claim = claims.find_claim(manipulation, detector)
    if not (claim and claim.note):
        return ()
    return (f"{DAGGER} {results.labels.detector(detector)}, {manipulation}: {claim.note}.",)
