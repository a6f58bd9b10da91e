"""The answer of a study in a few sentences: which detector holds against which attack."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from counterforensics.outcome import Outcome, take_apart
from counterforensics.report.labels import Contest, Labels, manipulation_label, whatever_the_loss
from counterforensics.report.results import Results
from counterforensics.report.tables.learned import NOT_LEARNED, unlearned_pairs
from counterforensics.report.tables.model import percent
from counterforensics.report.verdicts import (
    ANSWERS,
    JudgeVerdict,
    ManipulationVerdict,
    VerdictWord,
    attack_groups,
    group_verdict,
)

_MOST_NAMES = 4
# One detector, and several, in the order of the sentence.
_CLAUSES = {
    VerdictWord.HOLDS: ("holds", "hold"),
    VerdictWord.WEAKENED: ("is weakened", "are weakened"),
    VerdictWord.MIXED: ("holds on some manipulations only", "hold on some manipulations only"),
    VerdictWord.FAILS: ("fails", "fail"),
}
Verdicts = Sequence[JudgeVerdict]


def answer(outcome: Outcome) -> list[str]:
    """A few plain sentences: who holds, the exception that the averages hide, and where there is no answer."""
    return answer_of(Results.of(outcome))


def answer_of(results: Results) -> list[str]:
    """As `answer`, from the rows; one sentence that says so where no attack was measured."""
    groups = attack_groups(results)
    found = [v for judge in results.detectors for group in groups if (v := group_verdict(results, group, judge))]
    if not found:
        return ["No attack was measured, so no detector has a verdict."]
    labels = results.labels
    own = [v for v in found if v.judge == v.contest[0]]
    others = [v for v in found if v.contest[0] and take_apart(v.judge)[0] != take_apart(v.contest[0])[0]]
    untargeted = [v for v in found if not v.contest[0]]
    sentences = [
        *_summary("When {} is aimed at the detector itself", own, labels),
        *_never_targets(own, results),
        *_summary("When {} is aimed at another detector", others, labels),
        *_summary("Under {}, without a target", untargeted, labels),
        *_transfer(others, labels),
        *_exception(found, labels),
        *_no_answer(results),
        *_failed(found, labels),
    ]
    return sentences or ["No detector has a verdict: see the reasons in the table."]


def _summary(start: str, found: Verdicts, labels: Labels) -> Iterator[str]:
    """How each judge stands by its worst verdict among `found`; `start` has a place for the name of the attack."""
    worst: dict[str, VerdictWord] = {}
    for verdict in found:
        if verdict.answered:
            known = worst.get(verdict.judge, verdict.word)
            worst[verdict.judge] = max(known, verdict.word, key=ANSWERS.index)
    if worst:
        attacks = list(_by_attack(found))
        attack = labels.attack(attacks[0]) if len(attacks) == 1 else f"the worst of {len(attacks)} attacks"
        yield f"{start.format(attack)}, {_clauses(worst, labels)}."


def _never_targets(own: Verdicts, results: Results) -> Iterator[str]:
    """The detectors at which no attack is aimed, where one is aimed at others."""
    targets = {verdict.judge for verdict in own}
    spared = [results.labels.detector(judge) for judge in results.detectors if judge not in targets]
    if targets and spared:
        yield f"No attack is aimed at {_names(spared)}."


def _clauses(worst: Mapping[str, VerdictWord], labels: Labels) -> str:
    clauses = []
    for word, (one, many) in _CLAUSES.items():
        names = [labels.detector(judge) for judge, own in worst.items() if own is word]
        if names:
            clauses.append(f"{_names(names)} {one if len(names) == 1 else many}")
    if len(clauses) == 1 and len(worst) > _MOST_NAMES:
        return f"all {len(worst)} detectors {_CLAUSES[next(iter(worst.values()))][1]}"
    lead = "no detector holds: " if len(worst) > 1 and VerdictWord.HOLDS not in worst.values() else ""
    return lead + "; ".join(clauses)


def _transfer(others: Verdicts, labels: Labels) -> Iterator[str]:
    """How often judges hold that are not the target, by attack; nothing for a single attack."""
    counts = []
    for attack, found in _by_attack(others).items():
        answered = [verdict for verdict in found if verdict.answered]
        holding = sum(verdict.word is VerdictWord.HOLDS for verdict in answered)
        counts.append(f"{holding} of {len(answered)} under {labels.attack(attack)}")
    if len(counts) > 1:
        yield f"Pairs of a target and another judge in which the judge holds: {_names(counts)}."


def _by_attack(found: Verdicts) -> dict[str, list[JudgeVerdict]]:
    """The verdicts by attack, whatever the loss; each attack by the first of its text forms."""
    first: dict[str, str] = {}
    groups: dict[str, list[JudgeVerdict]] = {}
    for verdict in found:
        attack = verdict.contest[1]
        groups.setdefault(first.setdefault(whatever_the_loss(attack), attack), []).append(verdict)
    return groups


def _names(names: Sequence[str]) -> str:
    """Names as a sentence has them, the first few of many.

    >>> _names(["a"]), _names(["a", "b"]), _names(list("abcdef"))
    ('a', 'a and b', 'a, b, c, d and 2 more')
    """
    shown, rest = list(names[:_MOST_NAMES]), len(names) - _MOST_NAMES
    if rest > 0:
        return f"{', '.join(shown)} and {rest} more"
    return " and ".join(filter(None, (", ".join(shown[:-1]), shown[-1])))


def _exception(found: Verdicts, labels: Labels) -> Iterator[str]:
    """The manipulation whose verdicts most often differ from those over all manipulations."""
    groups: dict[tuple[str, VerdictWord], list[tuple[JudgeVerdict, ManipulationVerdict]]] = {}
    for verdict in found:
        for part in verdict.answered:
            if part.word is not verdict.word and verdict.word is not VerdictWord.MIXED:
                groups.setdefault((part.manipulation, part.word), []).append((verdict, part))
    if groups:
        (manipulation, word), hidden = max(groups.items(), key=lambda entry: len(entry[1]))
        name = manipulation_label(manipulation)
        count = sum(any(p.manipulation == manipulation for p in verdict.answered) for verdict in found)
        yield (
            f"The exception is the manipulation {name}: there the detector {_CLAUSES[word][0]} in {len(hidden)} "
            f"of {count} pairs of attack and detector. {_example(hidden, labels)}"
        )
        return
    mixed = [(verdict, part) for verdict in found if verdict.word is VerdictWord.MIXED for part in verdict.answered]
    if mixed:
        yield f"Averages hide the most here. {_example(mixed, labels)}"


def _example(hidden: Sequence[tuple[JudgeVerdict, ManipulationVerdict]], labels: Labels) -> str:
    """The largest distance of a manipulation from the mean, in figures."""
    verdict, part = max(hidden, key=lambda entry: abs(entry[1].after - entry[0].after))
    return (
        f"Under {_contest(verdict.contest, labels)}, {labels.detector(verdict.judge)} has a mean TPR of "
        f"{percent(verdict.after, 1)} % over the manipulations, and of {percent(part.after, 1)} % on "
        f"{manipulation_label(part.manipulation)}."
    )


def _no_answer(results: Results) -> Iterator[str]:
    pairs = unlearned_pairs(results)
    if pairs:
        names = _names([f"{results.labels.detector(name)} on {manipulation_label(m)}" for m, name in pairs])
        yield f"No answer where a detector {NOT_LEARNED}: {names}."


def _failed(found: Verdicts, labels: Labels) -> Iterator[str]:
    """The attacks that left their patches as they were."""
    failed: dict[Contest, list[str]] = {}
    for verdict in found:
        for part in verdict.unanswered:
            if part.word is VerdictWord.ATTACK_FAILED:
                failed.setdefault(verdict.contest, []).append(manipulation_label(part.manipulation))
    if failed:
        named = [f"{_contest(contest, labels)} on {_names(_distinct(names))}" for contest, names in failed.items()]
        yield f"These attacks failed, because they left most patches as they were: {_names(named)}."


def _contest(contest: Contest, labels: Labels) -> str:
    target, attack = contest
    return labels.attack(attack) + (f" aimed at {labels.detector(target)}" if target else "")


def _distinct(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))
