"""Detectors that have not learned by their own held-out photographs: how tables and the terminal say so."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from counterforensics.outcome import LEARNED_AUC
from counterforensics.report.labels import Labels, manipulation_label
from counterforensics.report.results import Results
from counterforensics.report.tables.model import NONE

MARK = "‡"
NOT_LEARNED = "has not learned"


def marked(label: str, *, mark: bool) -> str:
    """`label`, with a mark that a note explains.

    >>> marked("Median 7 × 7", mark=True), marked("Median 7 × 7", mark=False)
    ('Median 7 × 7 ‡', 'Median 7 × 7')
    """
    return f"{label} {MARK}" if mark else label


def target_label(labels: Labels, target: str, *, mark: bool) -> str:
    """The target of a line as its label, marked or not; a dash where there is none."""
    return marked(labels.detector(target), mark=mark) if target else NONE


def unlearned_pairs(results: Results) -> list[tuple[str, str]]:
    """Every manipulation and detector of it that has not learned."""
    pairs = [(manipulation, detector) for detector in results.detectors for manipulation in results.manipulations]
    return [pair for pair in pairs if results.unlearned(*pair) is not None]


def unlearned_lines(results: Results) -> list[str]:
    """A line for each detector that has not learned."""
    return [
        f"{_named(results, *pair)} on held-out photographs, below {LEARNED_AUC:g}; attacks on it measure nothing"
        for pair in unlearned_pairs(results)
    ]


def detection_notes(results: Results) -> tuple[str, ...]:
    """What "has not learned" means, where a detector has not."""
    if not unlearned_pairs(results):
        return ()
    return (
        f"{NOT_LEARNED.capitalize()}: the AUC of the detector on held-out photographs of the training devices is below "
        f"{LEARNED_AUC:g}.",
    )


def target_notes(results: Results, targeted: Iterable[tuple[str, str]]) -> tuple[str, ...]:
    """Which (manipulation, target) of a table are of targets that have not learned, as the note to `MARK`."""
    named = [_named(results, *pair) for pair in dict.fromkeys(targeted) if results.unlearned(*pair) is not None]
    if not named:
        return ()
    return (
        f"{MARK} The target has not learned: {'; '.join(named)} on held-out photographs, below {LEARNED_AUC:g}. So "
        "near to chance there is nothing to conceal, and the figures do not measure the attack.",
    )


def unlearned_targets(results: Results, target: str, attack: str) -> Sequence[str]:
    """The manipulations of a contest that its target has not learned to find."""
    return [m for m in results.manipulations_of(target, attack) if results.unlearned(m, target) is not None]


def contest_notes(results: Results) -> tuple[str, ...]:
    """As `target_notes`, of a table with a line for each contest, whose figures are means over manipulations."""
    pairs = [(m, target) for target, attack in results.contests for m in unlearned_targets(results, target, attack)]
    notes = target_notes(results, pairs)
    return (*notes, f"Means of lines with {MARK} include these manipulations.") if notes else ()


def wholly_unlearned(results: Results, target: str, attack: str) -> bool:
    """Whether the target of a contest has learned none of its manipulations."""
    count = len(unlearned_targets(results, target, attack))
    return count > 0 and count == len(results.manipulations_of(target, attack))


def _named(results: Results, manipulation: str, detector: str) -> str:
    area = results.unlearned(manipulation, detector)
    return f"{results.labels.detector(detector)} on {manipulation_label(manipulation)}, AUC {area:.2f}"
