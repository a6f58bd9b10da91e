"""What the captions and notes of the paper's tables share: the sample, the seeds, what has no claim."""

from __future__ import annotations

from collections.abc import Iterable

from counterforensics.intervals import wilson
from counterforensics.report import claims
from counterforensics.report.labels import Labels, manipulation_label, spelled
from counterforensics.report.results import Results
from counterforensics.report.tables.model import Sample, percent


def sample_text(results: Results, target: str, attack: str, sample: Sample) -> str:
    """How many patches, photographs and devices stand behind the figures of a contest."""
    pristine, manipulated = results.counts(target, attack)
    text = f"Each figure is from {pristine} pristine and {manipulated} manipulated patches"
    if sample.photos:
        text += f" of {sample.photos:,} test photographs"
        text += f" from {sample.devices:,} devices" if sample.devices else ""
    return f"{text}; 95 % intervals, resampled by photo."


def certainty_notes(results: Results, sample: Sample) -> tuple[str, ...]:
    """What seeds and intervals mean."""
    certainty = (
        "Where every resample gives the same rate, as at 0 and 100, its interval is Wilson's, which counts a "
        "photograph as one trial"
    )
    if sample.photos:
        low, _ = wilson(1.0, sample.photos)
        certainty += f". Of {sample.photos:,} photographs, a rate of 100 % has the interval [{percent(low, 1)}, 100.0]"
    certainty += "."
    if len(results.seeds) < 2:
        return (certainty,)
    seeds = (
        f"Figures are means over {len(results.seeds)} seeds ({', '.join(map(str, results.seeds))}), with "
        "the lowest and highest seed below; an interval runs from the lowest lower to the highest upper end."
    )
    return seeds, certainty


def unclaimed_detectors(detectors: Iterable[str], labels: Labels) -> tuple[str, ...]:
    """Which detectors the paper does not have."""
    claimed = {claim.detector for claim in claims.load_claims()}
    other = [labels.detector(name) for name in detectors if claims.detector_as_claimed(name) not in claimed]
    if not other:
        return ()
    return (f"The paper has no figures for these detectors: {', '.join(other)}.",)


def left_over(results: Results) -> tuple[str, ...]:
    """What the paper's Table I has and this study does not."""
    printed = claims.load_claims()
    ours = {claims.detector_as_claimed(detector) for detector in results.detectors}
    manipulations = [m for m in dict.fromkeys(c.manipulation for c in printed) if m not in results.manipulations]
    detectors = [d for d in dict.fromkeys(c.detector for c in printed) if d not in ours]
    names = [*map(manipulation_label, manipulations), *map(spelled, detectors)]
    return (f"In the paper, but not in these rows: {', '.join(names)}.",) if names else ()
