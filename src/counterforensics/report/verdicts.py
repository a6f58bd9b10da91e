"""Which judge holds against which attack: a verdict for each pair, from the rows alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from counterforensics.outcome import LEARNED_AUC
from counterforensics.report.labels import Contest, whatever_the_loss
from counterforensics.report.results import Results

KEEPS_MOST, KEEPS_HALF = 0.9, 0.5  # the shares of its lead that a judge keeps if it holds, and if it is weakened
SHARED = 0.75  # the share of the manipulations that must agree, for a verdict over all of them
LEFT_ALONE = 0.5  # an attack that leaves so many patches as they were has failed


class VerdictWord(StrEnum):
    """A verdict in a word or two, from good to bad for the judge; then those without an answer."""

    HOLDS = "holds"
    WEAKENED = "weakened"
    MIXED = "mixed"  # fewer than three quarters of the manipulations have the same verdict
    FAILS = "fails"
    ATTACK_FAILED = "attack failed"
    NO_ANSWER = "no answer"


ANSWERS = (VerdictWord.HOLDS, VerdictWord.WEAKENED, VerdictWord.MIXED, VerdictWord.FAILS)


@dataclass(frozen=True)
class ManipulationVerdict:
    """The verdict on one manipulation alone; rates 0..1, means over the seeds."""

    manipulation: str
    word: VerdictWord
    sure: bool  # whether the whole interval gives this verdict
    reason: str  # why there is no answer, else ""
    before: float
    after: float
    fpr: float
    interval: tuple[float, float] | None  # of `after`

    @property
    def kept(self) -> float:
        """The share of its lead that the judge keeps."""
        return share_kept(self.before, self.after, self.fpr)


@dataclass(frozen=True)
class JudgeVerdict:
    """The verdict on one judge under one attack, over all manipulations; rates 0..1."""

    contest: Contest
    judge: str
    word: VerdictWord
    sure: bool  # whether three quarters of the manipulations have this verdict for sure
    parts: tuple[ManipulationVerdict, ...]

    @property
    def answered(self) -> list[ManipulationVerdict]:
        """The manipulations behind the figures below."""
        return [part for part in self.parts if part.word in ANSWERS]

    @property
    def before(self) -> float:
        """Mean TPR on the same patches before the attack, over the manipulations with an answer."""
        return _mean(part.before for part in self.answered)

    @property
    def after(self) -> float:
        """As `before`, on concealed patches."""
        return _mean(part.after for part in self.answered)

    @property
    def kept(self) -> float:
        """Mean share of its lead that the judge keeps."""
        return _mean(part.kept for part in self.answered)

    @property
    def interval(self) -> tuple[float, float] | None:
        """Means of the ends of the intervals of the manipulations: at least as wide as the interval of the mean."""
        ends = [part.interval for part in self.answered if part.interval]
        if not ends or len(ends) < len(self.answered):
            return None
        return _mean(low for low, _ in ends), _mean(high for _, high in ends)

    def with_word(self, word: VerdictWord) -> list[ManipulationVerdict]:
        """The manipulations with this verdict, those that keep least first."""
        return sorted((part for part in self.answered if part.word is word), key=lambda part: part.kept)

    @property
    def unanswered(self) -> list[ManipulationVerdict]:
        """The manipulations that the figures leave out."""
        return [part for part in self.parts if part.word not in ANSWERS]


def share_kept(before: float, after: float, fpr: float) -> float:
    """The share of the lead of a judge, TPR - FPR, that an attack leaves.

    A judge that cannot tell concealed from pristine patches keeps 0, however many of both it calls manipulated.

    >>> share_kept(0.9, 0.5, 0.1)
    0.5
    """
    return (after - fpr) / (before - fpr) if before > fpr else 0.0


def word_of(kept: float) -> VerdictWord:
    """The verdict for a share of the lead.

    >>> [str(word_of(kept)) for kept in (1.0, 0.9, 0.6, 0.49, -0.1)]
    ['holds', 'holds', 'weakened', 'fails', 'fails']
    """
    if kept >= KEEPS_MOST:
        return VerdictWord.HOLDS
    return VerdictWord.WEAKENED if kept >= KEEPS_HALF else VerdictWord.FAILS


def judge_verdict(results: Results, contest: Contest, judge: str) -> JudgeVerdict | None:
    """The verdict on `judge` under one attack; None where no TPR was measured both before and after it."""
    found = (_on_manipulation(results, m, contest, judge) for m in results.manipulations_of(*contest))
    parts = tuple(part for part in found if part)
    if not parts:
        return None
    answered = [part for part in parts if part.word in ANSWERS]
    if not answered:
        failed = all(part.word is VerdictWord.ATTACK_FAILED for part in parts)
        word = VerdictWord.ATTACK_FAILED if failed else VerdictWord.NO_ANSWER
        return JudgeVerdict(contest, judge, word, True, parts)
    ((word, count),) = Counter(part.word for part in answered).most_common(1)
    if count < SHARED * len(answered):
        return JudgeVerdict(contest, judge, VerdictWord.MIXED, True, parts)
    certain = sum(part.sure for part in answered if part.word is word)
    return JudgeVerdict(contest, judge, word, certain >= SHARED * len(answered), parts)


def attack_groups(results: Results) -> list[tuple[Contest, ...]]:
    """The (target, attack) pairs of the rows; those that differ in the loss alone share a group."""
    groups: dict[Contest, list[Contest]] = {}
    for target, attack in results.contests:
        groups.setdefault((target, whatever_the_loss(attack)), []).append((target, attack))
    return [tuple(group) for group in groups.values()]


def group_verdict(results: Results, group: Sequence[Contest], judge: str) -> JudgeVerdict | None:
    """The verdict under the loss that leaves the judge least; None where no verdict can be given."""
    found = [verdict for contest in group if (verdict := judge_verdict(results, contest, judge))]
    answered = [verdict for verdict in found if verdict.answered]
    return min(answered, key=lambda verdict: verdict.kept) if answered else next(iter(found), None)


def tpr_before(results: Results, manipulation: str, judge: str, contest: Contest) -> float | None:
    """The TPR on the patches that were attacked, before the attack; on all manipulated patches where rows lack it."""
    missed = results.spread("already", manipulation, judge, *contest)
    if missed:
        return 1 - missed.mean
    plain = results.spread("tpr", manipulation, judge)
    return plain.mean if plain else None


def _on_manipulation(results: Results, manipulation: str, contest: Contest, judge: str) -> ManipulationVerdict | None:
    before = tpr_before(results, manipulation, judge, contest)
    after = results.spread("tpr", manipulation, judge, *contest)
    if before is None or after is None:
        return None
    alarms = results.spread("fpr", manipulation, judge, *contest) or results.spread("fpr", manipulation, judge)
    fpr = alarms.mean if alarms else 0.0
    interval = results.interval(manipulation, judge, *contest)
    word, reason = word_of(share_kept(before, after.mean, fpr)), ""
    sure = all(word_of(share_kept(before, end, fpr)) is word for end in interval or ())
    unchanged = left_alone(results, manipulation, contest)
    if results.unlearned(manipulation, judge) is not None:
        word, reason = VerdictWord.NO_ANSWER, "has not learned"
    elif results.unlearned(manipulation, contest[0]) is not None:
        word, reason = VerdictWord.NO_ANSWER, "the target has not learned"
    elif (1 + before - fpr) / 2 < LEARNED_AUC:
        word, reason = VerdictWord.NO_ANSWER, "near chance before the attack"
    elif unchanged is not None and unchanged >= LEFT_ALONE:
        word, reason = VerdictWord.ATTACK_FAILED, f"left {100 * unchanged:.0f} % of the patches as they were"
    return ManipulationVerdict(manipulation, word, sure, reason, before, after.mean, fpr, interval)


def left_alone(results: Results, manipulation: str, contest: Contest) -> float | None:
    """The share of patches that the attack left as they were, without those that its target called pristine before.

    None where the rows do not say.
    """
    unchanged = results.quality("unchanged", manipulation, *contest)
    if unchanged is None:
        return None
    missed = results.spread("already", manipulation, contest[0], *contest) if contest[0] else None
    return max(0.0, unchanged.mean - (missed.mean if missed else 0.0))


def _mean(values: Iterable[float]) -> float:
    return float(np.mean(list(values)))
