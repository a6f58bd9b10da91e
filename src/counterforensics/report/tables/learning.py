"""How each detector was trained, and whether it has learned."""

from __future__ import annotations

from collections.abc import Callable

from counterforensics.outcome import ALL
from counterforensics.report.labels import manipulation_label, predicts_spam, section
from counterforensics.report.results import Results, Spread
from counterforensics.report.tables.learned import NOT_LEARNED, detection_notes
from counterforensics.report.tables.model import ALL_OF_THEM, NONE, Cell, Column, Concerns, Row, Table, percent

_STARTS = "Starts"


def learning_table(results: Results) -> Table | None:
    """What each training reached on held-out photographs, and what it went on from; None where nothing tells."""
    rows = [row for m, detector in results.pairs if (row := _row(results, "detector", m, detector))]
    rows += [row for m, part in results.starts() if (row := _row(results, "start", m, part))]
    if not rows:
        return None
    columns = [Column(heading, "On held-out photographs") for heading in ("AUC", "accuracy", "loss", "patches")]
    return Table(
        key="learning",
        number=None,
        title="What the detectors have learned",
        caption="Figures on held-out photographs of the training devices: area under the ROC curve (AUC) from 0 to 1, "
        "accuracy in percent at the threshold 0, the loss of the kept state, and the number of pristine patches; as "
        "many manipulated patches were judged. A start that predicts the SPAM feature has only a loss. A network that "
        "knew only the mean of the feature would have a loss of about 1. Patches seen: by the training, and by its "
        "start before.",
        stubs=("Manipulation", "Detector"),
        columns=(
            *columns,
            Column("training", "Patches seen"),
            Column("start", "Patches seen"),
            Column("Start", words=True),
        ),
        rows=tuple(rows),
        notes=detection_notes(results),
    )


def _row(results: Results, role: str, manipulation: str, part: str) -> Row | None:
    """One detector or start over its seeds; None where there is no line of it."""
    lines = results.trained(role, manipulation, part)
    if lines is None:
        return None

    def cell(column: str, text: Callable[[float], str], *more: str) -> Cell:
        return Cell((*_with_range(results.training(column, role, manipulation, part), text), *more))

    unlearned = role == "detector" and results.unlearned(manipulation, part) is not None
    cells = (
        cell("validation_auc", "{:.4f}".format, *([NOT_LEARNED] if unlearned else [])),
        cell("validation_acc", percent),
        cell("validation_loss", "{:.4f}".format),
        cell("validation_patches", "{:,.0f}".format),
        cell("patches", "{:,.0f}".format),
        cell("start_patches", "{:,.0f}".format),
        Cell((_start(str(lines["start"].iloc[0]), str(lines["start_manipulation"].iloc[0])),)),
    )
    name = results.labels.trainings(part)
    where = _STARTS if role == "start" else section(manipulation)
    about = Concerns(_learned(manipulation), judge=name) if role == "detector" else ALL_OF_THEM
    return Row(where, (_learned(manipulation), f"start of {name}" if role == "start" else name), cells, about=about)


def _with_range(spread: Spread | None, text: Callable[[float], str]) -> tuple[str, ...]:
    """The mean, and below it the lowest and the highest of several seeds that differ."""
    if spread is None:
        return (NONE,)
    return (text(spread.mean), *([f"{text(spread.low)} to {text(spread.high)}"] if spread.low < spread.high else []))


def _start(start: str, manipulation: str) -> str:
    """What a training went on from, in words.

    >>> _start("xception:outputs=338,learns=spam", "all"), _start("mislnet", "median:7"), _start("mislnet", "all")
    ('predicts SPAM, all manipulations', 'Median 7 × 7', 'all manipulations')
    """
    if not start:
        return NONE
    learned = _learned(manipulation) if manipulation else "another network"
    return f"predicts SPAM, {learned}" if predicts_spam(start) else learned


def _learned(manipulation: str) -> str:
    return "all manipulations" if manipulation == ALL else manipulation_label(manipulation)
