"""Measuring a platform from pairs of a sent and a received file."""

from __future__ import annotations

import dataclasses
import datetime
import math
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from counterforensics.errors import PlatformError
from counterforensics.files import at_home
from counterforensics.laundering.agreement import Agreement, agreement, psnr
from counterforensics.laundering.base import MEASURED, PlatformEvidence
from counterforensics.laundering.jpeg import Coding, decode_file, encode, ijg_quality
from counterforensics.laundering.kernels import KERNELS, VARIANTS, resized
from counterforensics.laundering.least_squares import PhaseWeights, fitted_weights, nearest_kernels
from counterforensics.laundering.orientation import upright
from counterforensics.laundering.pairs import PairFacts, find_pairs, read_pair, usable
from counterforensics.laundering.profile import MEASURES, JpegPlatform, class_from, profile_text, reduced_size
from counterforensics.pixels import Pixels

MOST_COMPARED = 6  # reduced pairs by which the kernels are compared
_MIDDLE, _UNIT = 1024, 16  # pixels of a side by which kernels are compared; of the largest coding unit
_CLEAR = 0.5  # dB between two kernels; less may be chance
_IDENTICAL = 100.0  # dB that an exact reproduction counts in a mean

Scores = dict[str, dict[str, float]]  # pair -> kernel -> PSNR


@dataclass(frozen=True)
class KernelFit:
    """Which kernel reduced the photographs.

    kernel: the one that reproduces the received files best.  runner_up: the best of those that are no variant of it.
    scores: the mean PSNR in dB of each kernel, an exact reproduction counted as 100 dB.  weights: by least squares, of
    each phase.  distances: the root mean square difference, in grey levels, of what these weights and those of each
    named kernel predict, the nearest first.
    """

    kernel: str
    runner_up: str
    scores: dict[str, float]
    weights: list[PhaseWeights]
    distances: dict[str, float]


@dataclass(frozen=True)
class HeldOut:
    """How well the settings from the other pairs reproduce a pair; `agreement` is None where the size differs."""

    pair: str
    agreement: Agreement | None


@dataclass(frozen=True)
class PlatformFit:
    """What pairs say about a platform.

    profile: the YAML file.  platform: what it describes.  kernel: None if no photograph was reduced.  qualities: how
    many files follow the IJG's rule at each quality; None counts those that follow it at none.
    """

    profile: bytes
    platform: JpegPlatform
    pairs: tuple[str, ...]
    kernel: KernelFit | None
    qualities: dict[int | None, int]
    held_out: tuple[HeldOut, ...]
    left_out: tuple[str, ...]
    notes: tuple[str, ...]

    def record(self) -> dict[str, Any]:
        """All figures as plain data.  The PSNR of an exact reproduction is None."""
        return {
            "pairs": list(self.pairs),
            "left_out": list(self.left_out),
            "settings": dataclasses.asdict(self.platform),
            "follows_ijg_rule": bool(self.platform.quality),
            "qualities": [{"quality": quality, "files": files} for quality, files in self.qualities.items()],
            "kernel": None if self.kernel is None else _kernel_record(self.kernel),
            "held_out": [{"pair": one.pair, **_agreement_record(one.agreement)} for one in self.held_out],
            "held_out_mean": _agreement_record(mean_agreement(self.held_out)),
            "notes": list(self.notes),
        }


def fit_platform(sent: str | Path, received: str | Path, *, name: str = "profile.yaml") -> PlatformFit:
    """Measure a platform from pairs: two folders with the same file names, or two files.

    name: of the profile, for messages.  A pair that cannot be used is left out and named.  Raises PlatformError if no
    pair can be used, or if the pairs follow no single rule for the size.
    """
    sent, received = at_home(sent, PlatformError), at_home(received, PlatformError)
    pairs, without = find_pairs(sent, received)
    facts, bad = usable(pairs)
    scores = _kernel_scores([one for one in facts if one.is_reduced][:MOST_COMPARED])
    settings, notes = _settings(facts, scores)
    today = datetime.datetime.now(tz=datetime.UTC).date().isoformat()
    unknown = [] if any(one.turned is not None for one in facts) else ["upright"]
    unknown += [] if scores else ["kernel"]
    evidence = PlatformEvidence(
        MEASURED, len(facts), today, f"pairs in {sent.name} and {received.name}", tuple(unknown)
    )
    content = profile_text(settings, evidence)
    return PlatformFit(
        content,
        class_from(name, content)(),  # type: ignore[call-arg]
        tuple(one.pair.name for one in facts),
        _kernel_fit(facts, scores, settings["kernel"]) if scores else None,
        dict(Counter(ijg_quality(one.coding.luma, one.coding.chroma) for one in facts)),
        tuple(_held_out(facts, scores, index) for index in range(len(facts)) if len(facts) > 1),
        (*without, *bad),
        tuple(notes),
    )


def _settings(facts: Sequence[PairFacts], scores: Scores) -> tuple[dict[str, Any], list[str]]:
    """The settings that these pairs show, and what a user should know about them."""
    side, measure, notes = _side_rule(facts)
    coding, more = _coding_rule([one.coding for one in facts])
    quality = ijg_quality(coding.luma, coding.chroma) or 0
    tables = {} if quality else {"luma_table": _steps(coding.luma), "chroma_table": _steps(coding.chroma)}
    turned = {one.turned for one in facts} - {None}
    notes += more
    if len(turned) > 1:
        notes.append("some photographs were turned by their EXIF orientation and others were not")
    elif not turned:
        notes.append("no photograph has an EXIF orientation other than 1; the profile turns photographs upright")
    if scores:
        notes += _kernel_notes(scores)
    if len(facts) == 1:
        notes.append("one pair only: nothing could be held out")
    return {
        "quality": quality,
        "side": side,
        "measure": measure,
        "kernel": _ranked(scores)[0] if scores else "box",
        "subsampling": coding.subsampling,
        "progressive": coding.progressive,
        "upright": turned != {False},
        **tables,
    }, notes


def _kernel_notes(scores: Scores) -> list[str]:
    """A line if two kernels reproduce the pairs about equally well."""
    best, second = _ranked(scores)
    means = _means(scores)
    if means[best] - means[second] < _CLEAR:
        figures = f"{means[best]:.2f} and {means[second]:.2f} dB"
        return [f"the kernel is uncertain: {best} and {second} reproduce the pairs about equally well ({figures})"]
    return []


def _steps(table: Sequence[int]) -> str:
    return " ".join(map(str, table))


def _side_rule(facts: Sequence[PairFacts]) -> tuple[int, str, list[str]]:
    """The side, what it is measured along, and notes.  Raises PlatformError if no single side explains the sizes."""
    reduced = [one for one in facts if one.is_reduced]
    if not reduced:
        longest = max(max(one.after) for one in facts)
        told = f"no photograph was reduced (the longest side is {longest} pixels), so the profile reduces none"
        return 0, "longer", [f"{told}; send larger ones to find the side and the kernel"]
    sides = {measure: side for measure in MEASURES if (side := _side_along(facts, measure))}
    if not sides:
        sizes = "; ".join(
            f"{one.pair.name}: {one.before[0]}x{one.before[1]} to {one.after[0]}x{one.after[1]}" for one in facts[:4]
        )
        raise PlatformError(f"the pairs have no single longer side or width after the upload ({sizes})")
    measure, side = next(iter(sides.items()))
    notes = []
    if len(sides) > 1:
        notes.append("no photograph is higher than wide, so the side may be that of the width")
    off = [one.pair.name for one in reduced if reduced_size(*one.before, side, measure) != one.after]
    if off:
        notes.append(f"the other side is rounded in another way in {len(off)} pairs, the first: {off[0]}")
    return side, measure, notes


def _side_along(facts: Sequence[PairFacts], measure: str) -> int:
    """The longer side, or the width, that all reduced photographs have and no other exceeds; 0 if there is none."""
    after = {one: max(one.after) if measure == "longer" else one.after[0] for one in facts}
    sides = {side for one, side in after.items() if one.is_reduced}
    return max(sides) if len(sides) == 1 and max(after.values()) <= max(sides) else 0


def _coding_rule(codings: Sequence[Coding]) -> tuple[Coding, list[str]]:
    """How most files are written, and notes on the others; of several IJG qualities the middle one."""
    common = Counter(codings).most_common(1)[0][0]
    if len(set(codings)) == 1:
        return common, []
    notes = []
    for what, values in (
        ("subsampling", [one.subsampling for one in codings]),
        ("progressive", [one.progressive for one in codings]),
    ):
        if len(set(values)) > 1:
            notes.append(f"{what} differs between the files: {dict(Counter(values))}; the profile has the commonest")
    by_quality = {one: ijg_quality(one.luma, one.chroma) for one in set(codings)}
    if len({(one.luma, one.chroma) for one in codings}) > 1:
        known = [by_quality[one] for one in codings]
        qualities = sorted(quality for quality in known if quality is not None)
        notes.append(f"the quality differs between the files: {_range(known)}; the profile has one of them")
        if len(qualities) == len(codings):
            middle = statistics.median_low(qualities)
            chosen = next(one for one in codings if by_quality[one] == middle)
            common = dataclasses.replace(common, luma=chosen.luma, chroma=chosen.chroma)
    return common, notes


def _range(known: Sequence[int | None]) -> str:
    found = sorted(quality for quality in known if quality is not None)
    others = len(known) - len(found)
    told = [f"IJG {found[0]} to {found[-1]}"] if found else []
    return " and ".join([*told, *([f"{others} with other tables"] if others else [])])


def _as_sent(facts: PairFacts) -> tuple[Pixels, Pixels]:
    """What was sent, turned as it came back, and what came back."""
    sent, received = read_pair(facts.pair)
    return (upright(sent.pixels, facts.orientation) if facts.turned else sent.pixels), received.pixels


def _kernel_scores(reduced: Sequence[PairFacts]) -> Scores:
    """How well each kernel reproduces each pair, with the pair's own JPEG settings: pair -> kernel -> PSNR in dB.

    Only the middle of a large photograph is stored as JPEG and compared. It begins where a block does, and its border
    is left out, so each pixel is what it would be in the whole file.
    """
    scores: Scores = {}
    for one in reduced:
        sent, received = _as_sent(one)
        middle = tuple(_middle(side) for side in received.shape[:2])
        inner = tuple(slice(_UNIT, -_UNIT) if part.start else slice(None) for part in middle)
        scores[one.pair.name] = {
            kernel: psnr(
                decode_file(encode(resized(sent, *one.after, kernel)[middle], one.coding))[inner],
                received[middle][inner],
            )
            for kernel in KERNELS
        }
    return scores


def _middle(side: int) -> slice:
    """The middle of a side, from a border of coding units of 16 pixels; all of a short one."""
    start = max(0, (side - _MIDDLE) // 2) // _UNIT * _UNIT
    return slice(start, side if start == 0 else start + _MIDDLE)


def _means(scores: Scores) -> dict[str, float]:
    return {kernel: statistics.fmean(min(own[kernel], _IDENTICAL) for own in scores.values()) for kernel in KERNELS}


def _ranked(scores: Scores) -> tuple[str, str]:
    """The kernel that reproduces the pairs best, and the best of those that are no variant of it."""
    means = _means(scores)
    best, *others = sorted(KERNELS, key=lambda kernel: -means[kernel])
    kind = VARIANTS.get(best, best)
    return best, next(other for other in others if VARIANTS.get(other, other) != kind)


def _kernel_fit(facts: Sequence[PairFacts], scores: Scores, kernel: str) -> KernelFit:
    """The kernels compared, and the weights by least squares from the pair with the most detail.

    A wrong kernel costs the most where there is detail.
    """
    worst = {name: min(own.values()) for name, own in scores.items()}
    sent, received = _as_sent(
        min((one for one in facts if one.pair.name in worst), key=lambda one: worst[one.pair.name])
    )
    weights = fitted_weights(sent, received, kernel)
    distances = nearest_kernels(weights, sent.shape[1], received.shape[1]) if weights else {}
    return KernelFit(kernel, _ranked(scores)[1], _means(scores), weights, distances)


def _held_out(facts: Sequence[PairFacts], scores: Scores, index: int) -> HeldOut:
    """One pair, reproduced by what the others say."""
    own, others = facts[index], [*facts[:index], *facts[index + 1 :]]
    try:
        settings, _ = _settings(others, {name: some for name, some in scores.items() if name != own.pair.name})
    except PlatformError:
        return HeldOut(own.pair.name, None)
    content = profile_text(settings, PlatformEvidence(MEASURED, len(others)))
    platform: JpegPlatform = class_from("the profile of the other pairs", content)()  # type: ignore[call-arg]
    sent, received = read_pair(own.pair)
    simulated = platform(sent.pixels, orientation=own.orientation).pixels
    if simulated.shape != received.pixels.shape:
        return HeldOut(own.pair.name, None)
    return HeldOut(own.pair.name, agreement(simulated, received.pixels, own.coding.luma))


def mean_agreement(held_out: Sequence[HeldOut]) -> Agreement | None:
    """The mean over the pairs that were reproduced at their size; an exact one counts as 100 dB."""
    known = [one.agreement for one in held_out if one.agreement is not None]
    if not known:
        return None
    return Agreement(
        statistics.fmean(min(one.psnr, _IDENTICAL) for one in known),
        statistics.fmean(one.pixels for one in known),
        statistics.fmean(one.coefficients for one in known),
    )


def _agreement_record(found: Agreement | None) -> dict[str, float | None]:
    if found is None:
        return {"psnr": None, "pixels_equal": None, "coefficients_equal": None}
    psnr_shown = found.psnr if math.isfinite(found.psnr) else None
    return {"psnr": psnr_shown, "pixels_equal": found.pixels, "coefficients_equal": found.coefficients}


def _kernel_record(found: KernelFit) -> dict[str, Any]:
    return {
        "kernel": found.kernel,
        "runner_up": found.runner_up,
        "psnr": found.scores,
        "nearest_by_weights": next(iter(found.distances), None),
        "weight_distances": found.distances,
        "weights": [{"phase": one.phase, "first": one.first, "weights": one.weights.tolist()} for one in found.weights],
    }
