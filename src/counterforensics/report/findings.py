"""What a study found, in a few sentences and one table, all of it computed from its rows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from counterforensics.outcome import LEARNED_AUC, take_apart
from counterforensics.report import claims
from counterforensics.report.labels import manipulation_label
from counterforensics.report.results import Results
from counterforensics.report.tables.failures import failed_manipulations, failed_notes
from counterforensics.report.tables.learned import (
    contest_notes,
    target_label,
    unlearned_pairs,
    unlearned_targets,
    wholly_unlearned,
)
from counterforensics.report.tables.model import Cell, Column, Concerns, Row, Table, number, percent, texts
from counterforensics.report.verdicts import tpr_before


@dataclass(frozen=True)
class _Fall:
    """TPR of one judge on one manipulation, before and after an attack; rates 0..1."""

    manipulation: str
    judge: str
    before: float
    after: float


def findings(results: Results) -> list[str]:
    """The main findings as sentences, none where the rows hold nothing."""
    sentences = [*_accuracies(results), *_not_learned(results)]
    sentences += [_contest(results, *contest) for contest in results.contests if _falls(results, *contest)]
    return [*sentences, *_survivor(results), *_against_paper(results)]


def overview_table(results: Results) -> Table | None:
    """TPR before and after each attack, on the target and on the other judges; None without an attack."""
    columns = [
        Column("Manipulations"),
        *(Column(heading, "Target's TPR") for heading in ("before", "after")),
        *(Column(heading, "Other judges' TPR") for heading in ("before", "after")),
        Column("PSNR (dB)"),
    ]
    rows = [_overview_row(results, target, attack) for target, attack in results.contests]
    if not rows:
        return None
    return Table(
        key="overview",
        number=None,
        title="The attacks at a glance",
        caption="Mean TPR in percent over the manipulations (and seeds), of the same patches before and after the "
        "attack, for the detector that was attacked and for all other kinds of detector. PSNR is the mean "
        "over the same manipulations.",
        stubs=("Attack", "Target"),
        columns=tuple(columns),
        rows=tuple(rows),
        notes=(*failed_notes(results, results.contests), *contest_notes(results)),
    )


def _accuracies(results: Results) -> Iterable[str]:
    found = [
        (spread.mean, manipulation, detector)
        for manipulation in results.manipulations
        for detector in results.detectors
        if (spread := results.spread("acc", manipulation, detector))
    ]
    if found:
        low, high = min(found), max(found)
        yield (
            f"Without an attack, accuracy lies between {percent(low[0])} % ({_pair(results, low)}) and "
            f"{percent(high[0])} % ({_pair(results, high)}), over {len(found)} pairs of detector and manipulation."
        )


def _not_learned(results: Results) -> Iterable[str]:
    """Which detectors have not learned: attacks on them measure nothing."""
    pairs = unlearned_pairs(results)
    if pairs:
        named = "; ".join(f"{results.labels.detector(name)} on {manipulation_label(m)}" for m, name in pairs)
        yield (
            f"These detectors have not learned: their AUC on held-out photographs is below {LEARNED_AUC:g}, so attacks "
            f"on them measure nothing: {named}."
        )


def _pair(results: Results, found: tuple[float, str, str]) -> str:
    return f"{results.labels.detector(found[2])} on {manipulation_label(found[1])}"


def _contest(results: Results, target: str, attack: str) -> str:
    falls = _falls(results, target, attack)
    own = [fall for fall in falls if fall.judge == target]
    others = _others(falls, target)
    start = results.labels.attack(attack) + (f" aimed at {results.labels.detector(target)}" if target else "")
    clauses = []
    if own:
        clauses.append(f"takes the TPR of its target from {_from_to(own)}")
    if others:
        whose = "that of the other judges" if own else "the TPR of all judges" if not target else "other judges"
        clauses.append(f"{'' if own else 'takes '}{whose} from {_from_to(others)}")
    count = len({fall.manipulation for fall in falls})
    return f"{start} {' and '.join(clauses)} (means over {count} manipulation{'s' if count != 1 else ''})."


def _from_to(falls: Sequence[_Fall]) -> str:
    before, after = (float(np.mean(values)) for values in zip(*((f.before, f.after) for f in falls), strict=True))
    return f"{percent(before)} % to {percent(after)} %"


def _falls(results: Results, target: str, attack: str) -> list[_Fall]:
    """Every judge and manipulation that has a TPR both before and after this attack, on the patches attacked."""
    return [
        _Fall(manipulation, judge, before, after.mean)
        for manipulation in results.manipulations
        for judge in results.detectors
        if (before := tpr_before(results, manipulation, judge, (target, attack))) is not None
        and (after := results.spread("tpr", manipulation, judge, target, attack))
    ]


def _others(falls: Sequence[_Fall], target: str) -> list[_Fall]:
    """The falls of judges that are not the target, nor the target with other settings: its twin tells nothing new."""
    return [fall for fall in falls if take_apart(fall.judge)[0] != take_apart(target)[0]]


def _survivor(results: Results) -> Iterable[str]:
    own = [
        (fall.after, fall.before, fall.manipulation, target, attack)
        for target, attack in results.contests
        for fall in _falls(results, target, attack)
        if fall.judge == target and results.unlearned(fall.manipulation, target) is None
    ]
    if own:
        after, before, manipulation, target, attack = max(own)
        yield (
            f"Of all detectors that were attacked themselves, {results.labels.detector(target)} keeps the highest TPR: "
            f"{percent(after)} % on {manipulation_label(manipulation)} under {results.labels.attack(attack)} "
            f"(before: {percent(before)} %)."
        )


def _against_paper(results: Results) -> Iterable[str]:
    """How far our TPRs under attack lie from the paper's, where both exist."""
    found: dict[claims.Claim, float] = {}
    for target, attack in results.contests:
        for manipulation in results.manipulations:
            for judge in results.detectors:
                spread = results.spread("tpr", manipulation, judge, target, attack)
                claim = claims.find_claim(manipulation, judge, target, attack)
                if spread and claim:
                    # Two losses of one attack stand beside the same claim; it counts once, for the first.
                    found.setdefault(claim, abs(spread.mean - claim.tpr))
    if found:
        gaps = list(found.values())
        near = sum(gap <= 0.1 for gap in gaps)
        yield (
            f"Beside the paper's Tables II to V: {len(gaps)} TPRs under attack can be compared; half of them "
            f"differ by at most {100 * float(np.median(gaps)):.1f} percentage points, {near} by at most 10."
        )


def _overview_row(results: Results, target: str, attack: str) -> Row:
    falls = _falls(results, target, attack)
    own = [fall for fall in falls if fall.judge == target]
    others = _others(falls, target)
    qualities = [
        quality.mean
        for manipulation in results.manipulations_of(target, attack)
        if (quality := results.quality("psnr", manipulation, target, attack))
    ]
    cells = [str(len(results.manipulations_of(target, attack)))]
    for part in (own, others):
        cells += [_mean([fall.before for fall in part]), _mean([fall.after for fall in part])]
    psnr = number(float(np.mean(qualities)) if qualities else None)
    failed = ("attack failed",) if failed_manipulations(results, (target, attack)) else ()
    unlearned = bool(unlearned_targets(results, target, attack))
    shown = target_label(results.labels, target, mark=unlearned)
    name = results.labels.attack(attack)
    grey = wholly_unlearned(results, target, attack)
    return Row("", (name, shown), (*texts(cells), Cell((psnr, *failed))), grey, Concerns(attack=name))


def _mean(rates: Sequence[float]) -> str:
    return percent(float(np.mean(rates)) if rates else None)
