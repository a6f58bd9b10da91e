"""Attacks that left their patches as they were: how tables say so."""

from __future__ import annotations

from collections.abc import Iterable

from counterforensics.report.labels import Contest, manipulation_label
from counterforensics.report.results import Results
from counterforensics.report.verdicts import LEFT_ALONE, left_alone


def failed_manipulations(results: Results, contest: Contest) -> dict[str, float]:
    """The manipulations on which an attack failed, each with the share of patches that it left as they were."""
    shares = {m: left_alone(results, m, contest) for m in results.manipulations_of(*contest)}
    return {m: share for m, share in shares.items() if share is not None and share >= LEFT_ALONE}


def failed_notes(results: Results, contests: Iterable[Contest]) -> tuple[str, ...]:
    """A note for each attack that failed on a manipulation: its high PSNR is no sign of a gentle attack."""
    notes = []
    for contest in contests:
        failed = failed_manipulations(results, contest)
        if failed:
            named = [f"{manipulation_label(m)} ({100 * share:.0f} %)" for m, share in failed.items()]
            notes.append(
                f"{results.labels.contest(contest).removeprefix(' under ')}: the attack failed on {', '.join(named)}. "
                "In brackets is the share of patches that it left as they were, without those that the target had "
                "called pristine before. A high PSNR or TPR there means neither a gentle attack nor a strong detector."
            )
    return tuple(notes)
