"""What the page shows first: a verdict for each attack and judge, the TPRs behind it, and one patch in its states."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from counterforensics.outcome import Outcome, PatchStates
from counterforensics.report.figures.patches import amplification
from counterforensics.report.labels import Contest, Labels, manipulation_label, whatever_the_loss
from counterforensics.report.results import Results
from counterforensics.report.tables.model import NONE, percent
from counterforensics.report.verdicts import (
    ANSWERS,
    JudgeVerdict,
    VerdictWord,
    attack_groups,
    group_verdict,
)

_MOST_LINES = 6  # of a manipulation in the heat map
_MOST_NAMES = 2  # of manipulations in a cell of the board
_STEPS = 10  # shades of the heat map


@dataclass(frozen=True)
class BoardCell:
    """One verdict as the page shows it; all texts are empty where nothing was measured."""

    kind: str = "none"  # the colour: holds, weakened, mixed, fails, or none
    word: str = NONE
    figure: str = ""
    interval: str = ""
    details: tuple[str, ...] = ()
    own: bool = False  # whether the judge is the target


@dataclass(frozen=True)
class BoardRow:
    """One attack and target, with a cell for each judge."""

    attack: str
    target: str  # its label, "" where no detector is targeted
    losses: tuple[str, ...]  # the labels of the attacks, where several differ in the loss alone
    cells: tuple[BoardCell, ...]


@dataclass(frozen=True)
class HeatCell:
    """One TPR in rounded percent, and the step of its shade, 0 to 10; None without a figure."""

    text: str
    step: int | None
    own: bool


@dataclass(frozen=True)
class HeatRow:
    """The TPRs of all judges in one line of the map."""

    name: str
    cells: tuple[HeatCell, ...]


@dataclass(frozen=True)
class HeatMap:
    """TPRs by manipulation, line and judge."""

    parts: tuple[tuple[str, tuple[HeatRow, ...]], ...]  # a manipulation and its lines
    left_out: int  # how many pairs of attack and target the map has no room for


@dataclass(frozen=True)
class StripImage:
    """One patch as a PNG file in base64, and what can be seen on it."""

    title: str
    alt: str
    base64: str


@dataclass(frozen=True)
class Strip:
    """One patch in its states, and what was done to it."""

    caption: str
    images: tuple[StripImage, ...]


@dataclass(frozen=True)
class Board:
    """Everything on the first screen."""

    judges: tuple[str, ...]
    before: tuple[BoardCell, ...]  # of each judge without an attack
    rows: tuple[BoardRow, ...]
    heat: HeatMap
    strip: Strip | None


def board(outcome: Outcome, results: Results) -> Board | None:
    """The first screen of a report; None where no attack was measured."""
    groups = attack_groups(results)
    if not groups:
        return None
    heat = _heat(results, [group[0] for group in groups])
    return Board(
        judges=tuple(results.labels.detector(judge) for judge in results.detectors),
        before=tuple(_before(results, judge) for judge in results.detectors),
        rows=tuple(_row(results, group) for group in groups),
        heat=heat,
        strip=_strip(outcome.patches, results.labels),
    )


def _before(results: Results, judge: str) -> BoardCell:
    """Mean TPR and FPR over the manipulations, without an attack."""

    def mean(column: str) -> float | None:
        found = [spread.mean for m in results.manipulations if (spread := results.spread(column, m, judge))]
        return float(np.mean(found)) if found else None

    return BoardCell(
        figure=f"TPR {percent(mean('tpr'), 1)}\u00a0%", details=(f"false alarms {percent(mean('fpr'), 1)}\u00a0%",)
    )


def _row(results: Results, group: Sequence[Contest]) -> BoardRow:
    target, attack = group[0]
    labels = results.labels
    return BoardRow(
        attack=labels.attack(attack),
        target=labels.detector(target) if target else "",
        losses=tuple(labels.attack(one) for _, one in group) if len(group) > 1 else (),
        cells=tuple(_cell(group_verdict(results, group, judge), group, judge, labels) for judge in results.detectors),
    )


def _cell(verdict: JudgeVerdict | None, group: Sequence[Contest], judge: str, labels: Labels) -> BoardCell:
    own = judge == group[0][0]
    if verdict is None:
        return BoardCell(own=own)
    if verdict.word not in ANSWERS:
        return BoardCell(word=str(verdict.word), details=tuple(_reasons(verdict)), own=own)
    ends = verdict.interval
    return BoardCell(
        kind=str(verdict.word),
        word=str(verdict.word) if verdict.sure else f"probably {verdict.word}",
        figure=f"{percent(verdict.before, 1)} → {percent(verdict.after, 1)}\u00a0%",
        interval=f"[{percent(ends[0], 1)}, {percent(ends[1], 1)}]" if ends else "",
        details=(*_other_words(verdict), *_reasons(verdict), *_loss(verdict, group, labels)),
        own=own,
    )


def _other_words(verdict: JudgeVerdict) -> Iterator[str]:
    """The manipulations that the verdict is not true of."""
    if verdict.word is VerdictWord.MIXED:
        counts = [(word, len(verdict.with_word(word))) for word in ANSWERS]
        yield f"{', '.join(f'{word} on {count}' for word, count in counts if count)} of {len(verdict.answered)}"
        return
    for word in ANSWERS:
        parts = verdict.with_word(word)
        if parts and word is not verdict.word:
            yield f"except {_some([part.manipulation for part in parts])}: {word}"


def _reasons(verdict: JudgeVerdict) -> Iterator[str]:
    """Why some of the manipulations have no answer."""
    reasons: dict[str, list[str]] = {}
    for part in verdict.unanswered:
        start = "" if part.word is verdict.word else f"{part.word}: "
        reasons.setdefault(start + part.reason, []).append(part.manipulation)
    for reason, manipulations in reasons.items():
        if len(manipulations) == len(verdict.parts):
            yield reason
        elif len(manipulations) == 1:
            yield f"{reason} on {_some(manipulations)}"
        else:
            yield f"{reason} on {len(manipulations)} of {len(verdict.parts)}"


def _some(manipulations: Sequence[str]) -> str:
    # A name stays on one line.
    names = [manipulation_label(name).replace(" ", "\u00a0") for name in manipulations[:_MOST_NAMES]]
    rest = len(manipulations) - _MOST_NAMES
    return ", ".join(names) + (f" and {rest} more" if rest > 0 else "")


def _loss(verdict: JudgeVerdict, group: Sequence[Contest], labels: Labels) -> Iterator[str]:
    if verdict.contest != group[0]:
        yield f"under {labels.attack(verdict.contest[1])}"


def _heat(results: Results, contests: Sequence[Contest]) -> HeatMap:
    shown = list(contests)
    if len(shown) > _MOST_LINES:
        first = whatever_the_loss(shown[0][1])
        shown = [contest for contest in shown if whatever_the_loss(contest[1]) == first][:_MOST_LINES]
    parts = []
    for manipulation in results.manipulations:
        own = [contest for contest in shown if manipulation in results.manipulations_of(*contest)]
        lines = [_heat_row(results, manipulation, contest, contests) for contest in (("", ""), *own)]
        parts.append((manipulation_label(manipulation), tuple(lines)))
    return HeatMap(tuple(parts), len(contests) - len(shown))


def _heat_row(results: Results, manipulation: str, contest: Contest, contests: Sequence[Contest]) -> HeatRow:
    target, attack = contest
    one_attack = len({whatever_the_loss(name) for _, name in contests}) == 1
    name = results.labels.detector(target) if target else results.labels.attack(attack) if attack else "no attack"
    if target and not one_attack:
        name = f"{results.labels.attack(attack)} aimed at {name}"
    elif target:
        name = f"aimed at {name}"
    spreads = [results.spread("tpr", manipulation, judge, *contest) for judge in results.detectors]
    rates = [spread.mean if spread else None for spread in spreads]
    return HeatRow(name, tuple(_heat_cell(r, j == target) for r, j in zip(rates, results.detectors, strict=True)))


def _heat_cell(rate: float | None, own: bool) -> HeatCell:
    if rate is None:
        return HeatCell("·", None, own)
    return HeatCell(f"{100 * rate:.0f}", round(_STEPS * rate), own)


def _strip(patches: Sequence[PatchStates], labels: Labels) -> Strip | None:
    """The first patch that an attack changed, in its states; None where there is no patch."""
    changed = [patch for patch in patches if not np.array_equal(patch.manipulated, patch.concealed)]
    patch = next(iter(changed), next(iter(patches), None))
    if patch is None:
        return None
    change = np.subtract(patch.concealed, patch.manipulated, dtype=np.int16)
    gain = amplification([change])
    manipulation = manipulation_label(patch.manipulation)
    name = patch.photo.replace("\\", "/").rsplit("/", 1)[-1]
    hidden = "restored" if labels.restores(patch.attack) else "concealed"
    aim = f" from {labels.detector(patch.target)}" if patch.target else ""
    largest = int(np.abs(change).max()) if change.size else 0
    amplified = np.clip(128 + gain * change, 0, 255).astype(np.uint8)
    images = (
        _image("pristine", f"Pristine patch of {name}: {_seen(patch.pristine)}.", patch.pristine),
        _image("manipulated", f"The same patch after {manipulation}: {_seen(patch.manipulated)}.", patch.manipulated),
        _image(
            hidden,
            f"The manipulated patch, {hidden} by {labels.attack(patch.attack)}: {_seen(patch.concealed)}.",
            patch.concealed,
        ),
        _image(f"change × {gain}", _change_alt(change, gain), amplified),
    )
    caption = (
        f"One test patch: pristine, after {manipulation}, and {hidden}{aim} by {labels.attack(patch.attack)}. The last "
        f"picture is the change by the attack, {gain} times as strong; the largest change is {_levels(largest)}."
    )
    return Strip(caption, images)


def _change_alt(change: npt.NDArray[np.int16], gain: int) -> str:
    if not change.any():
        return "An even grey square: the attack left the patch as it was."
    share = 100 * float(np.mean(change != 0))
    return f"What the attack changed, {gain} times as strong around mid grey: {share:.0f} % of the values differ."


def _seen(patch: npt.NDArray[np.uint8]) -> str:
    if not patch.size:
        return "empty"
    return (
        f"{patch.shape[-1]} × {patch.shape[-2]} pixels with grey levels {patch.min()} to {patch.max()}, "
        f"standard deviation {patch.std():.1f}"
    )


def _levels(count: int) -> str:
    return f"{count} grey level{'' if count == 1 else 's'}"


def _image(title: str, alt: str, patch: npt.NDArray[np.uint8]) -> StripImage:
    # One channel is shown grey, three as colour; of any other number the first is shown.
    picture = Image.fromarray(np.ascontiguousarray(patch.transpose(1, 2, 0)) if patch.shape[0] == 3 else patch[0])
    file = io.BytesIO()
    picture.save(file, format="PNG", optimize=True)
    return StripImage(title, alt, base64.b64encode(file.getvalue()).decode("ascii"))
