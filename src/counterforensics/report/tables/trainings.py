"""How detectors and generators were trained, as sentences and as a table of what training owes to chance."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any

from counterforensics.outcome import COLLAPSED, DIVERGED, EARLY, NOT_LAUNDERED, PLANNED, take_apart
from counterforensics.report.labels import manipulation_label, whatever_the_seed
from counterforensics.report.results import Results, together
from counterforensics.report.tables.cells import with_range
from counterforensics.report.tables.model import NONE, Cell, Column, Concerns, Row, Table, percent, titled

_PERCEPTUAL_NETS = {"discriminator": "features of the discriminator when it had learned to detect the manipulation"}
_ENDINGS = {
    PLANNED: "as planned",
    EARLY: "ended early, because validation did not get better",
    COLLAPSED: "collapsed",
    DIVERGED: "diverged",
}


def detector_notes(results: Results) -> Iterator[str]:
    """How each detector was trained, more than one sentence where its trainings differ."""
    for detector in results.detectors:
        lines = results.trainings("detector", detector).itertuples()
        for words in _distinct(map(_of_detector, lines)):
            yield f"{results.labels.detector(detector)} was trained on: {words}."


def generator_notes(results: Results, attacks: Iterable[str]) -> Iterator[str]:
    """How the generator of each attack that has one was trained."""
    for attack in dict.fromkeys(attacks):
        lines = results.trainings("generator", attack).itertuples()
        for words in _distinct(map(_of_generator, lines)):
            yield f"{results.labels.attack(attack)} was trained on: {words}."


def trainings_table(results: Results) -> Table | None:
    """What a generator owes to chance: trainings that differ in the seed alone; None where none was trained twice."""
    rows = [row for manipulation in results.manipulations for row in _repeated(results, manipulation)]
    if not rows:
        return None
    columns = [Column("trainings"), Column("as planned")]
    names = [results.labels.detector(name) for name in results.detectors]
    columns += [Column(name, "TPR (%)", judge=name) for name in names]
    columns += [Column("pristine", "PSNR to (dB)"), Column("before", "PSNR to (dB)")]
    return Table(
        key="trainings",
        number=None,
        title=titled("What training owes to chance", rows),
        caption="Generators that were trained several times, with nothing changed but the seed: how many trainings "
        "there were, how many of them went to their end without a collapse, and what the generators leave of each "
        "judge's true positive rate, in percent: the mean and, below it, the lowest and the highest. PSNR of restored "
        "patches; before: of manipulated ones. Another seed of a study draws other test devices and trains the judges "
        "again, too.",
        stubs=("Attack",),
        columns=tuple(columns),
        rows=tuple(rows),
    )


def _distinct(sentences: Iterable[str]) -> list[str]:
    return [words for words in dict.fromkeys(sentences) if words]


def _of_detector(line: Any) -> str:
    """A line of trainings.csv in words; "" where it tells nothing of hardware, precision or augmentation."""
    words = [word for word in (line.device, line.precision, line.augmentation) if word]
    if words and _known(line.patches):
        start = f" after a start on {line.start_patches:.0f}" if _known(line.start_patches) else ""
        words.append(f"{line.patches:.0f} patches{start}")
    if words and line.laundering not in ("", NOT_LAUNDERED):
        words.append(f"each training photograph uploaded to one of: {line.laundering}")
    return "; ".join(words)


def _of_generator(line: Any) -> str:
    """As `_of_detector`, of a generator."""
    words = [word for word in (line.device, line.precision) if word]
    if line.perceptual_net:
        words.append(f"perceptual space: {_PERCEPTUAL_NETS.get(line.perceptual_net, line.perceptual_net)}")
    if _known(line.steps):
        pairs = f" of {line.pairs_per_step:.0f} pairs" if _known(line.pairs_per_step) else ""
        words.append(f"{line.steps:.0f} steps{pairs}{_ending(line)}")
    return "; ".join(words)


def _ending(line: Any) -> str:
    if not line.ended:
        return ""
    ending = f", {line.reason or _ENDINGS.get(line.ended, line.ended)}"
    if _known(line.best_step) and (line.ended != PLANNED or line.best_step != line.steps):
        ending += f"; the generator of step {line.best_step:.0f} is kept"
    return ending


def _known(value: float) -> bool:
    return math.isfinite(value)


def _repeated(results: Results, manipulation: str) -> Iterator[Row]:
    """A line for each generator that was trained more than once on this manipulation."""
    kinds: dict[str, list[str]] = {}
    for target, attack in results.contests:
        # One that comes from a folder is trained once, however many seeds judge it.
        trained = results.labels.restores(attack) and "weights" not in take_apart(attack)[1]
        if trained and manipulation in results.manipulations_of(target, attack):
            kinds.setdefault(whatever_the_seed(attack), []).append(attack)
    for attacks in kinds.values():
        cells = _trained(results, manipulation, attacks)
        if cells:
            name, shown = results.labels.trainings(attacks[0]), manipulation_label(manipulation)
            yield Row(shown, (name,), tuple(cells), about=Concerns(shown))


def _trained(results: Results, manipulation: str, attacks: list[str]) -> list[Cell]:
    """The cells of attacks that differ in the seed alone; none where there was a single training."""
    endings = [results.endings(manipulation, attack) for attack in attacks]
    count = sum(trainings for trainings, _ in endings)
    if count < 2:
        return []
    planned = [ended for _, ended in endings if ended is not None]
    cells = [Cell((str(count),)), Cell((f"{sum(planned)} of {count}" if planned else NONE,))]
    for judge in results.detectors:
        found = together(results.spread("tpr", manipulation, judge, "", attack) for attack in attacks)
        cells.append(with_range(found, percent))
    for name in ("psnr_pristine", "psnr_before"):
        found = together(results.quality(name, manipulation, "", attack) for attack in attacks)
        cells.append(with_range(found, "{:.2f}".format))
    return cells
