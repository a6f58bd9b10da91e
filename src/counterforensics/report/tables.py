"""Rows of a study laid out as the paper's tables, each figure beside the paper's own.

A `Table` holds finished text (percent, two decimals) and knows nothing of Markdown, LaTeX or HTML:
`counterforensics.report.render` writes it in each of them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from counterforensics.report import claims
from counterforensics.report.labels import (
    EASY,
    HARD,
    attack_label,
    detector_label,
    manipulation_label,
    restores,
    section,
    take_apart,
)
from counterforensics.report.measured import Measured, Spread

NONE = "—"
DAGGER = "†"
TUNED, UNTUNED, HANDCRAFTED = "cozzolino2017", "cozzolino2017:steps=0", "spam-svm"
_MEASURES = ("fpr", "tpr", "acc")
_QUALITIES = (
    ("psnr", "PSNR (dB)"),
    ("mse", "MSE"),
    ("unchanged", "Unchanged"),
    ("zero_gradient", "Zero grad."),
)
_QUALITY_NOTE = (
    "PSNR and MSE are of concealed against manipulated patches; unchanged: the share of patches that the "
    "attack left as they were; zero grad.: the share of pixels at which its gradient is exactly zero."
)
_LIKENESS = (
    ("ssim", "SSIM"),
    ("psnr_pristine", "PSNR to pristine (dB)"),
    ("psnr_before", "before (dB)"),
    ("ssim_pristine", "SSIM to pristine"),
    ("ssim_before", "before"),
)
_LIKENESS_NOTE = (
    "SSIM (Gaussian window, sigma 1.5), as PSNR, is of restored against manipulated patches. To pristine: of restored "
    "against pristine patches; before: of manipulated against pristine ones, what the restoration began with."
)


@dataclass(frozen=True)
class Column:
    """A column of figures; neighbours with the same `group` share a heading, `strong` ones stand out."""

    heading: str
    group: str = ""
    strong: bool = False


@dataclass(frozen=True)
class Cell:
    """One cell, a few short lines of text; the first is the figure itself."""

    lines: tuple[str, ...]

    def __str__(self) -> str:
        return " ".join(self.lines)


@dataclass(frozen=True)
class Row:
    """One row: the part of the table that it stands in, its labels, and one cell for every column."""

    section: str
    labels: tuple[str, ...]
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Table:
    """A finished table: text only, ready to be written in any form."""

    key: str  # the stem of its file names
    number: str | None  # the paper's Roman number, None where the paper has no such table
    title: str
    caption: str
    stubs: tuple[str, ...]  # headings of the label columns
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = field(default=())

    @property
    def heading(self) -> str:
        """Title with the paper's number in front, where it has one."""
        return f"Table {self.number}. {self.title}" if self.number else self.title


@dataclass(frozen=True)
class Sample:
    """How many photographs and devices the test patches come from; None where that is not known."""

    photos: int | None = None
    devices: int | None = None


def all_tables(measured: Measured, sample: Sample = Sample()) -> list[Table]:
    """Every table that the rows allow: no attack, one for each attack and target, fine-tuning gain."""
    tables = [detection_table(measured, sample)] if _has_detection(measured) else []
    for contests in _contests_by_table(measured):
        tables.append(attack_table(measured, contests, sample))
    gain = fine_tuning_table(measured)
    return [*tables, gain] if gain else tables


def detection_table(measured: Measured, sample: Sample = Sample()) -> Table:
    """Table I: FPR, TPR, ACC and AUC of every detector on every manipulation, without an attack."""
    shapes = {"fpr": ("paper", "ours", "diff."), "tpr": ("paper", "ours", "95 % interval", "diff.")}
    columns = [
        Column(heading, name.upper()) for name in _MEASURES for heading in shapes.get(name, ("paper", "ours", "diff."))
    ]
    rows, flagged = [], []
    for manipulation in measured.manipulations:
        for detector in measured.detectors:
            claim = claims.find_claim(manipulation, detector)
            if claim and claim.note:
                flagged.append(f"{DAGGER} {detector_label(detector)}, {manipulation}: {claim.note}.")
            labels = (manipulation_label(manipulation), detector_label(detector))
            cells = _detection_cells(measured, manipulation, detector, claim)
            rows.append(Row(section(manipulation), labels, tuple(cells)))
    notes = (
        *flagged,
        *_unclaimed_detectors(measured.detectors),
        *_left_over(measured),
        *_trainings(measured),
        *_notes(measured, sample),
    )
    return Table(
        key="table1",
        number="I",
        title="Detection without an attack",
        caption="False positive rate, true positive rate and accuracy in percent, the area under the ROC "
        f"curve (AUC) from 0 to 1; difference = ours − paper. {_sample_text(measured, '', '', sample)}",
        stubs=("Manipulation", "Detector"),
        columns=(*columns, Column("ours", "AUC")),
        rows=tuple(rows),
        notes=notes,
    )


def attack_table(
    measured: Measured,
    contests: Sequence[tuple[str, str]],
    sample: Sample = Sample(),
) -> Table:
    """Tables II to V and their like: the TPR that every judge keeps on concealed patches.

    contests: the (target, attack) pairs of this table, several only where the paper prints them in one.
    """
    target, attack = contests[0]
    number = claims.table_number(target, attack)
    columns = [Column(detector_label(name), strong=name == target) for name in measured.detectors]
    qualities = [*_QUALITIES, *(_LIKENESS if restores(attack) else ())]
    columns += [Column(heading, "Concealed patches") for _, heading in qualities]
    rows = []
    for contest in contests:
        for manipulation in measured.manipulations_of(*contest):
            cells = [_attack_cell(measured, manipulation, judge, contest) for judge in measured.detectors]
            cells += [quality_cell(measured, name, manipulation, contest) for name, _ in qualities]
            part = attack_label(contest[1]) if len(contests) > 1 else section(manipulation)
            rows.append(Row(part, (manipulation_label(manipulation),), tuple(cells)))
    return Table(
        key=_attack_key(target, attack, number),
        number=number,
        title=_attack_title(contests),
        caption=_attack_caption(measured, target, attack, number, sample),
        stubs=("Manipulation",),
        columns=tuple(columns),
        rows=tuple(rows),
        notes=(
            *_comparison_notes(measured, target, attack, number),
            *_learned(measured, dict.fromkeys(attack for _, attack in contests)),
            _QUALITY_NOTE,
            *([_LIKENESS_NOTE] if len(qualities) > len(_QUALITIES) else []),
            *_notes(measured, sample),
        ),
    )


def fine_tuning_table(measured: Measured) -> Table | None:
    """What fine-tuning adds to SPAM features recast as a network; None without two detectors to compare."""
    names = [name for name in (HANDCRAFTED, UNTUNED, TUNED) if name in measured.detectors]
    if TUNED not in names or len(names) < 2:
        return None
    gains = {
        UNTUNED: "Gain by fine-tuning",
        HANDCRAFTED: "Cozzolino2017 minus SPAM",
    }
    shown = [name for name in (UNTUNED, HANDCRAFTED) if name in names]
    columns = [Column(_tuning_heading(name), "ACC") for name in names]
    columns += [Column(gains[name], "Difference") for name in shown]
    paper = HANDCRAFTED in names
    columns += [Column(gains[HANDCRAFTED], "Paper")] if paper else []
    figures = {m: _gain_figures(measured, m, names, shown, paper) for m in measured.manipulations}
    accuracies = [value for values in figures.values() for value in values[: len(names)]]
    if not any(value is not None for value in accuracies):
        return None
    return Table(
        key="fine-tuning-gain",
        number=None,
        title="What fine-tuning adds",
        caption="Accuracy without an attack in percent, and differences in percentage points. The "
        "detectors share their features: SPAM with an SVM, the same features as a network whose last "
        "layer is that SVM, and this network after fine-tuning.",
        stubs=("Manipulation",),
        columns=tuple(columns),
        rows=tuple(_gain_rows(figures, names, shown)),
        notes=("A mean is taken over the manipulations for which all detectors shown have an accuracy.",),
    )


def percent(rate: float | None, decimals: int = 2) -> str:
    """A rate 0..1 as percent without the sign, "—" where there is none.

    >>> percent(0.99966), percent(None)
    ('99.97', '—')
    """
    return NONE if rate is None or math.isnan(rate) else f"{100 * rate:.{decimals}f}"


def points(ours: float | None, paper: float | None) -> str:
    """ours - paper in percentage points, of the figures as they are printed, always with a sign.

    >>> points(0.9990, 1.0), points(0.5, 0.25), points(0.5, 0.5), points(None, 0.5)
    ('−0.10', '+25.00', '0.00', '—')
    """
    if ours is None or paper is None or math.isnan(ours) or math.isnan(paper):
        return NONE
    return signed(round(100 * ours, 2) - round(100 * paper, 2))


def signed(value: float) -> str:
    """A number with two decimals and its sign; a minus is U+2212, zero has none."""
    text = f"{abs(value):.2f}"
    return text if text == "0.00" else f"{'+' if value > 0 else '−'}{text}"


def _has_detection(measured: Measured) -> bool:
    return any(
        measured.spread(name, manipulation, detector)
        for name in _MEASURES
        for manipulation in measured.manipulations
        for detector in measured.detectors
    )


def _contests_by_table(measured: Measured) -> list[list[tuple[str, str]]]:
    """The contests of each attack table: one each, but both GANs share the paper's Table V."""
    tables: dict[tuple[str, ...], list[tuple[str, str]]] = {}
    for contest in measured.contests:
        shared = claims.table_number(*contest) == "V"
        tables.setdefault(("V",) if shared else contest, []).append(contest)
    return list(tables.values())


def _detection_cells(measured: Measured, manipulation: str, detector: str, claim: claims.Claim | None) -> list[Cell]:
    flag = DAGGER if claim and claim.note else ""
    cells = []
    for name in _MEASURES:
        spread = measured.spread(name, manipulation, detector)
        printed: float | None = getattr(claim, name) if claim else None
        cells.append(Cell((percent(printed) + (flag if name != "tpr" else ""),)))
        cells.append(Cell((percent(spread.mean if spread else None), *_seed_range(spread))))
        if name == "tpr":
            cells.append(Cell((_interval(measured.interval(manipulation, detector)),)))
        cells.append(Cell((points(spread.mean if spread else None, printed),)))
    auc = measured.spread("auc", manipulation, detector)
    return [*cells, Cell((f"{auc.mean:.4f}" if auc else NONE,))]


def _attack_cell(measured: Measured, manipulation: str, judge: str, contest: tuple[str, str]) -> Cell:
    target, attack = contest
    spread = measured.spread("tpr", manipulation, judge, target, attack)
    claim = claims.find_claim(manipulation, judge, target, attack)
    ours = spread.mean if spread else None
    lines = [percent(ours)]
    ends = measured.interval(manipulation, judge, target, attack)
    if ends:
        lines.append(_interval(ends))
    lines.extend(_seed_range(spread))
    if claims.table_number(target, attack):
        printed = claim.tpr if claim else None
        lines.append(f"paper {percent(printed)}" + (f" ({points(ours, printed)})" if claim and spread else ""))
    return Cell(tuple(lines))


def quality_cell(measured: Measured, name: str, manipulation: str, contest: tuple[str, str]) -> Cell:
    """One figure of the concealed patches themselves, by its column of rows.csv."""
    spread = measured.quality(name, manipulation, *contest)
    if spread is None:
        return Cell((NONE,))
    if name in ("unchanged", "zero_gradient"):
        return Cell((f"{percent(spread.mean)} %",))
    if math.isinf(spread.mean):
        return Cell(("∞",))
    return Cell((f"{spread.mean:.{2 if name.startswith('psnr') else 3}f}",))


def _interval(ends: tuple[float, float] | None) -> str:
    return f"[{percent(ends[0])}, {percent(ends[1])}]" if ends else NONE


def _seed_range(spread: Spread | None) -> tuple[str, ...]:
    return (f"{percent(spread.low)} to {percent(spread.high)}",) if spread and spread.seeds > 1 else ()


def _attack_key(target: str, attack: str, number: str | None) -> str:
    arabic = {roman: plain for plain, roman in claims.TABLES.items()}
    if number and (target, attack) == (claims.detector_as_claimed(target), claims.as_claimed(attack)):
        return f"table{arabic[number]}"
    slug = re.sub(r"[^a-z0-9.]+", "-", f"{attack}-{target}".lower()).strip("-")
    return f"table{arabic[number]}-{slug}" if number else f"attack-{slug}"


def _attack_title(contests: Sequence[tuple[str, str]]) -> str:
    target = contests[0][0]
    names = " and ".join(dict.fromkeys(attack_label(attack) for _, attack in contests))
    return f"TPR under {names}" + (f", target {detector_label(target)}" if target else "")


def _attack_caption(measured: Measured, target: str, attack: str, number: str | None, sample: Sample) -> str:
    first = "True positive rate in percent on concealed patches, one column for each judge"
    first += f"; the target, {detector_label(target)}, is in bold. " if target else "; no detector was targeted. "
    lines = "Below a figure: its 95 % interval"
    if len(measured.seeds) > 1:
        lines += ", the range of the seeds"
    lines += ", the paper's figure and (ours − paper). " if number else ". "
    return first + lines + _sample_text(measured, target, attack, sample)


def _sample_text(measured: Measured, target: str, attack: str, sample: Sample) -> str:
    pristine, manipulated = measured.counts(target, attack)
    text = f"Each figure is from {pristine} pristine and {manipulated} manipulated patches"
    if sample.photos:
        text += f" of {sample.photos:,} test photographs"
        text += f" from {sample.devices:,} devices" if sample.devices else ""
    return f"{text}; 95 % intervals, resampled by photo."


def _notes(measured: Measured, sample: Sample) -> tuple[str, ...]:
    bound = "3/n for n photographs"
    if sample.photos:
        bound += f" (here about {percent(min(1.0, 3 / sample.photos), 1)} % with n = {sample.photos:,})"
    certainty = (
        "An interval of width zero at 0 or 100 says that no resample held an error, not that errors are "
        f"impossible: by the rule of three their rate may still be as high as about {bound}."
    )
    if len(measured.seeds) < 2:
        return (certainty,)
    seeds = (
        f"Figures are means over {len(measured.seeds)} seeds ({', '.join(map(str, measured.seeds))}), with "
        "the lowest and highest seed below; an interval runs from the lowest lower to the highest upper end."
    )
    return seeds, certainty


def _comparison_notes(measured: Measured, target: str, attack: str, number: str | None) -> tuple[str, ...]:
    notes = []
    if claims.as_claimed(attack) == "fgsm":
        loss = take_apart(attack)[1].get("loss", "logit")
        notes.append(f"The loss differentiated is the {loss}; the paper names none, its text suggests cross-entropy.")
    if number == "V":
        notes.append(
            "The generators are stand-ins: their internals were not published in the open. No judge took part in their "
            "training, and no test device."
        )
    if take_apart(attack)[0] == "gan-ensemble":
        notes.append(
            "The generator knows no judge, but learned towards the SPAM features of pristine patches, unless its "
            "settings say otherwise: SPAM + SVM sees these, and Cozzolino2017 begins with them. Of the features of "
            "other judges it knows nothing."
        )
    if number is None:
        reason = "the paper has no table for this attack and target"
        if claims.table_number("bayar2016", take_apart(attack)[0]) or restores(attack):
            reason = "with these settings or this target the attack is not one that the paper measured"
        return (*notes, f"Compared with no claim: {reason}.")
    return (*notes, *_unclaimed_detectors(measured.detectors))


def _unclaimed_detectors(detectors: Iterable[str]) -> tuple[str, ...]:
    claimed = {claim.detector for claim in claims.load_claims()}
    other = [detector_label(name) for name in detectors if claims.detector_as_claimed(name) not in claimed]
    if not other:
        return ()
    return (f"Compared with no claim, because the paper has no such detector: {', '.join(other)}.",)


def _trainings(measured: Measured) -> Iterator[str]:
    """How each detector was trained, where its rows say so."""
    for detector in measured.detectors:
        for training in measured.trainings(detector):
            yield f"{detector_label(detector)} was trained on: {training}."


def _learned(measured: Measured, names: Iterable[str]) -> Iterator[str]:
    """How each attack that learns was trained, where its rows say so."""
    for name in names:
        for training in measured.learned(name):
            yield f"{attack_label(name)} was trained on: {training}."


def _left_over(measured: Measured) -> tuple[str, ...]:
    """What the paper's Table I has and this study does not."""
    printed = claims.load_claims()
    ours = {claims.detector_as_claimed(detector) for detector in measured.detectors}
    names = [
        *(m for m in dict.fromkeys(c.manipulation for c in printed) if m not in measured.manipulations),
        *(d for d in dict.fromkeys(c.detector for c in printed) if d not in ours),
    ]
    return (f"In the paper, but not in these rows: {', '.join(names)}.",) if names else ()


def _tuning_heading(detector: str) -> str:
    headings = {TUNED: "Cozzolino2017, fine-tuned", UNTUNED: "Cozzolino2017, not fine-tuned"}
    return headings.get(detector, detector_label(detector))


def _gain_figures(
    measured: Measured, manipulation: str, names: Sequence[str], shown: Sequence[str], paper: bool
) -> list[float | None]:
    """Accuracies, then differences, then the paper's difference; all as rates, None where one is missing."""
    spreads = {name: measured.spread("acc", manipulation, name) for name in names}
    acc = {name: spread.mean if spread else None for name, spread in spreads.items()}
    figures = [acc[name] for name in names]
    figures += [_minus(acc[TUNED], acc[name]) for name in shown]
    if paper:
        tuned, before = (claims.find_claim(manipulation, name) for name in (TUNED, HANDCRAFTED))
        figures.append(_minus(tuned.acc if tuned else None, before.acc if before else None))
    return figures


def _gain_rows(figures: dict[str, list[float | None]], names: Sequence[str], shown: Sequence[str]) -> list[Row]:
    def cells(values: Sequence[float | None]) -> tuple[Cell, ...]:
        plain = [Cell((percent(value),)) for value in values[: len(names)]]
        return (*plain, *(Cell((points(value, 0.0),)) for value in values[len(names) :]))

    rows = [Row(section(m), (manipulation_label(m),), cells(values)) for m, values in figures.items()]
    for label, four in (("Easy", EASY), ("Challenging", HARD)):
        whole = [values for m in four if (values := figures.get(m)) and None not in values]
        if whole:
            means: list[float | None] = [float(value) for value in np.mean(np.array(whole, dtype=np.float64), axis=0)]
            for place, name in enumerate(shown, start=len(names)):
                means[place] = _minus(means[names.index(TUNED)], means[names.index(name)])
            rows.append(Row("Means", (f"{label}, mean of {len(whole)} of 4",), cells(means)))
    return rows


def _minus(left: float | None, right: float | None) -> float | None:
    # Of the figures as printed, so that a reader can redo the sum.
    return None if left is None or right is None else round(left, 4) - round(right, 4)
