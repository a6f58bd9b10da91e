"""What detectors reach at other thresholds than 0, without an attack."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from counterforensics.error_rates import NEEDED
from counterforensics.report.labels import manipulation_label, section
from counterforensics.report.results import Results
from counterforensics.report.tables.cells import interval, seed_range
from counterforensics.report.tables.model import NONE, Cell, Column, Concerns, Row, Table, percent

_AT = {"fpr_001": "At 0.1 % FPR", "fpr_01": "At 1 % FPR", "fpr_05": "At 5 % FPR"}
_STRICT = "fpr_001"
_FEW = 100  # held-out patches: of fewer, 1 % is less than one


def operating_points_table(results: Results) -> Table | None:
    """Accuracy at 0 and at best, AUC, EER, TPR at few false alarms; None where the rows have no such figure."""
    pairs = [pair for pair in results.pairs if results.spread("best_acc", *pair)]
    if not pairs:
        return None
    strict = any(results.spread(f"tpr_at_{_STRICT}", *pair) for pair in pairs)
    at = {name: group for name, group in _AT.items() if strict or name != _STRICT}
    columns = [Column("at 0", "Accuracy"), Column("at best", "Accuracy"), Column("AUC")]
    columns += [Column("EER"), Column("95 % interval of the EER")]
    columns += [Column(heading, group) for group in at.values() for heading in ("TPR", "95 % interval", "FPR reached")]
    return Table(
        key="operating-points",
        number=None,
        title="Operating points",
        caption="Accuracy in percent at the threshold 0, and at the best threshold for these test patches, which is "
        "an optimistic figure. Area under the ROC curve (AUC) from 0 to 1. Equal-error rate (EER) in percent: at one "
        "threshold, as many pristine patches are called manipulated as manipulated ones are missed. The other "
        "thresholds come from held-out photographs of the training devices: at most "
        f"{'0.1 %, 1 %' if strict else '1 %'} and 5 % of their pristine patches lie above. FPR reached is the false "
        "positive rate at these thresholds on the test devices. Where it exceeds the rate above its column, the test "
        "cameras differ from the training cameras.",
        stubs=("Manipulation", "Detector"),
        columns=tuple(columns),
        rows=tuple(_row(results, at, *pair) for pair in pairs),
        notes=(*_few(results), *_not_strict(results, pairs)),
    )


def _not_strict(results: Results, pairs: Sequence[tuple[str, str]]) -> Iterator[str]:
    """A note on detectors without a TPR at 0.1 % FPR, and why."""
    without = [pair for pair in pairs if not results.spread(f"tpr_at_{_STRICT}", *pair)]
    if without:
        needed = NEEDED[_STRICT]
        known = [results.training("validation_photos", "detector", *pair) is not None for pair in without]
        lines = "There is" if len(without) == len(pairs) else f"In {len(without)} of {len(pairs)} lines there is"
        reason = "Too few were held out" if any(known) else "An older version trained the detectors"
        reason += ", or an older version trained the detector" if any(known) and not all(known) else ""
        yield (
            f"{lines} no TPR at 0.1 % FPR. Its threshold takes at least {needed.patches:,} held-out pristine patches "
            f"of {needed.photographs} photographs. {reason}."
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


def _row(results: Results, at: Iterable[str], manipulation: str, detector: str) -> Row:
    cells = [_rate(results, name, manipulation, detector) for name in ("acc", "best_acc")]
    auc = results.spread("auc", manipulation, detector)
    cells.append(Cell((f"{auc.mean:.4f}" if auc else NONE,)))
    cells.append(_rate(results, "eer", manipulation, detector))
    cells.append(Cell((interval(results.interval(manipulation, detector, column="eer")),)))
    for name in at:
        cells.append(_rate(results, f"tpr_at_{name}", manipulation, detector))
        cells.append(Cell((interval(results.interval(manipulation, detector, column=f"tpr_at_{name}")),)))
        cells.append(_rate(results, f"fpr_at_{name}", manipulation, detector))
    labels = (manipulation_label(manipulation), results.labels.detector(detector))
    about = Concerns(manipulation=labels[0], judge=labels[1])
    return Row(section(manipulation), labels, tuple(cells), about=about)


def _rate(results: Results, name: str, manipulation: str, detector: str) -> Cell:
    spread = results.spread(name, manipulation, detector)
    return Cell((percent(spread.mean if spread else None), *seed_range(spread)))
