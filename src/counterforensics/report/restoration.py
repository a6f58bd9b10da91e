"""What generators achieve: beside noise, on the manipulations that they restore, and from training to training."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from counterforensics.report.labels import (
    attack_label,
    detector_label,
    manipulation_label,
    restores,
    take_apart,
    whatever_the_seed,
)
from counterforensics.report.measured import Measured, Spread, together
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
        title=_titled("Noise or restoration", map(manipulation_label, manipulations)),
        caption="True positive rate in percent of each judge, before and after each attack, for the manipulations that "
        "a generator restores; below a figure, that the judge was the target. Noise made for one detector should "
        "leave the others; what restores the traces should leave none. PSNR of concealed patches; before "
        "an attack, of manipulated ones. Every line is of the same patches.",
        stubs=("Attack", "Target"),
        columns=tuple(columns),
        rows=tuple(row for manipulation in manipulations for row in _rows(measured, manipulation)),
    )


def _titled(title: str, sections: Iterable[str]) -> str:
    """`title`, and the section if there is one alone, which has no heading then."""
    distinct = set(sections)
    return f"{title}: {distinct.pop()}" if len(distinct) == 1 else title


def _rows(measured: Measured, manipulation: str) -> list[Row]:
    contests = [contest for contest in measured.contests if manipulation in measured.manipulations_of(*contest)]
    attacked = [_attacked(measured, manipulation, *contest) for contest in contests]
    return [_before(measured, manipulation, contests), *attacked]


def _before(measured: Measured, manipulation: str, contests: Sequence[tuple[str, str]]) -> Row:
    """The line without an attack, which is what every attack began with."""
    # Which of the attacks says so does not matter, but it must have been compared with the pristine patches.
    compared = [contest for contest in contests if measured.quality("psnr_before", manipulation, *contest)]
    cells = []
    for judge in measured.detectors:
        missed = (measured.spread("already", manipulation, judge, *contest) for contest in contests)
        share = next((1 - spread.mean for spread in missed if spread), None)
        cells.append(Cell((percent(share),)))
    psnr = quality_cell(measured, "psnr_before", manipulation, compared[0]) if compared else Cell((NONE,))
    return Row(manipulation_label(manipulation), ("none", NONE), (*cells, Cell((NONE,)), psnr))


def _attacked(measured: Measured, manipulation: str, target: str, attack: str) -> Row:
    cells = []
    for judge in measured.detectors:
        left = measured.spread("tpr", manipulation, judge, target, attack)
        own = (_TARGET,) if target and judge == target else ()
        cells.append(Cell((percent(left.mean if left else None), *own)))
    cells += [quality_cell(measured, name, manipulation, (target, attack)) for name in ("psnr", "psnr_pristine")]
    labels = (attack_label(attack), detector_label(target) if target else NONE)
    return Row(manipulation_label(manipulation), labels, tuple(cells))


def trainings_table(measured: Measured) -> Table | None:
    """What a generator owes to chance: trainings that differ in the seed alone; None where none was trained twice."""
    rows = [row for manipulation in measured.manipulations for row in _repeated(measured, manipulation)]
    if not rows:
        return None
    columns = [Column("trainings"), Column("as planned")]
    columns += [Column(detector_label(name), "TPR (%)") for name in measured.detectors]
    return Table(
        key="trainings",
        number=None,
        title=_titled("What training owes to chance", (row.section for row in rows)),
        caption="Generators that were trained several times, with nothing changed but the seed: how many trainings "
        "there were, how many of them went to their end without a collapse, and what the generators leave of each "
        "judge's true positive rate, in percent: the mean and, below it, the lowest and the highest. PSNR of restored "
        "patches; before: of manipulated ones. Another seed of a study draws other test devices and trains the judges "
        "again, too.",
        stubs=("Attack",),
        columns=(*columns, Column("pristine", "PSNR to (dB)"), Column("before", "PSNR to (dB)")),
        rows=tuple(rows),
    )


def _repeated(measured: Measured, manipulation: str) -> Iterator[Row]:
    """A line for each generator that was trained more than once on this manipulation."""
    kinds: dict[str, list[str]] = {}
    for target, attack in measured.contests:
        # One that comes from a folder is trained once, however many seeds judge it.
        trained = restores(attack) and "weights" not in take_apart(attack)[1]
        if trained and manipulation in measured.manipulations_of(target, attack):
            kinds.setdefault(whatever_the_seed(attack), []).append(attack)
    for kind, attacks in kinds.items():
        endings = [measured.endings(manipulation, attack) for attack in attacks]
        count, planned = (sum(numbers) for numbers in zip(*endings, strict=True))
        if count > 1:
            cells = [Cell((str(count),)), Cell((f"{planned} of {count}",))]
            for judge in measured.detectors:
                found = together(measured.spread("tpr", manipulation, judge, "", attack) for attack in attacks)
                cells.append(_with_range(found, percent))
            for name in ("psnr_pristine", "psnr_before"):
                found = together(measured.quality(name, manipulation, "", attack) for attack in attacks)
                cells.append(_with_range(found, "{:.2f}".format))
            yield Row(manipulation_label(manipulation), (attack_label(kind),), tuple(cells))


def _with_range(spread: Spread | None, text: Callable[[float], str]) -> Cell:
    if spread is None:
        return Cell((NONE,))
    return Cell((text(spread.mean), f"{text(spread.low)} to {text(spread.high)}"))
