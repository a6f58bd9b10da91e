"""What detectors reach at other thresholds than 0, without an attack."""

from __future__ import annotations

from collections.abc import Iterator

from counterforensics.report.labels import manipulation_label, section
from counterforensics.report.results import Results
from counterforensics.report.tables.cells import interval, seed_range
from counterforensics.report.tables.model import NONE, Cell, Column, Concerns, Row, Table, percent

_AT = {"fpr_01": "At 1 % FPR", "fpr_05": "At 5 % FPR"}
_FEW = 100  # held-out patches: of fewer, 1 % is less than one


def operating_points_table(results: Results) -> Table | None:
    """Accuracy at 0 and at best, AUC, TPR at few false alarms; None where the rows have no such figure."""
    rows = [_row(results, *pair) for pair in results.pairs if results.spread("best_acc", *pair)]
    if not rows:
        return None
    columns = [Column("at 0", "Accuracy"), Column("at best", "Accuracy"), Column("AUC")]
    columns += [Column(heading, group) for group in _AT.values() for heading in ("TPR", "95 % interval", "FPR reached")]
    return Table(
        key="operating-points",
        number=None,
        title="Operating points",
        caption="Accuracy in percent at the threshold 0, and at the best threshold for these test patches, which is "
        "an optimistic figure. Area under the ROC curve (AUC) from 0 to 1. The other thresholds come from held-out "
        "photographs of the training devices: at most 1 % and 5 % of their pristine patches lie above. FPR reached is "
        "the false positive rate at these thresholds on the test devices. Where it exceeds 1 or 5 %, the test cameras "
        "differ from the training cameras.",
        stubs=("Manipulation", "Detector"),
        columns=tuple(columns),
        rows=tuple(rows),
        notes=tuple(_few(results)),
    )


def _few(results: Results) -> Iterator[str]:
    """A note on thresholds that come from too few patches."""
    counts = [results.training("validation_patches", "detector", *pair) for pair in results.pairs]
    fewest = min((count.low for count in counts if count), default=_FEW)
    if fewest < _FEW:
        yield (
            f"Some thresholds come from only {fewest:.0f} held-out pristine patches. With fewer than {_FEW}, the "
            "threshold for 1 % is the largest logit of these patches, so none of them is a false alarm."
        )


def _row(results: Results, manipulation: str, detector: str) -> Row:
    cells = [_rate(results, name, manipulation, detector) for name in ("acc", "best_acc")]
    auc = results.spread("auc", manipulation, detector)
    cells.append(Cell((f"{auc.mean:.4f}" if auc else NONE,)))
    for name in _AT:
        cells.append(_rate(results, f"tpr_at_{name}", manipulation, detector))
        cells.append(Cell((interval(results.interval(manipulation, detector, column=f"tpr_at_{name}")),)))
        cells.append(_rate(results, f"fpr_at_{name}", manipulation, detector))
    labels = (manipulation_label(manipulation), results.labels.detector(detector))
    about = Concerns(manipulation=labels[0], judge=labels[1])
    return Row(section(manipulation), labels, tuple(cells), about=about)


def _rate(results: Results, name: str, manipulation: str, detector: str) -> Cell:
    spread = results.spread(name, manipulation, detector)
    return Cell((percent(spread.mean if spread else None), *seed_range(spread)))
