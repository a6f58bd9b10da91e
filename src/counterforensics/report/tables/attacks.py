"""The paper's Tables II to V and their like: the TPR that judges keep under attack, beside the paper's own."""

from __future__ import annotations

from collections.abc import Sequence

from counterforensics.outcome import take_apart
from counterforensics.report import claims
from counterforensics.report.labels import Contest, Labels, manipulation_label, section, whatever_the_loss
from counterforensics.report.results import Results
from counterforensics.report.tables.cells import interval, quality_cell, seed_range
from counterforensics.report.tables.failures import failed_notes
from counterforensics.report.tables.learned import marked, target_notes
from counterforensics.report.tables.model import (
    UNKNOWN,
    Cell,
    Column,
    Concerns,
    Row,
    Sample,
    Table,
    percent,
    points,
)
from counterforensics.report.tables.notes import certainty_notes, sample_text, unclaimed_detectors
from counterforensics.report.tables.trainings import generator_notes

_QUALITIES = (
    ("psnr", "PSNR (dB)"),
    ("mse", "MSE"),
    ("unchanged", "Unchanged"),
    ("zero_gradient", "Zero grad."),
)
_QUALITY_NOTE = (
    "PSNR and MSE are of concealed against manipulated patches; unchanged: the share of patches that the "
    "attack left as they were; zero grad.: the share of pixels at which the gradient of its loss is exactly zero."
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
_STAND_IN_NOTE = (
    "The generators are stand-ins: their internals were not published in the open. No judge took part in their "
    "training, and no test device."
)
_ENSEMBLE_NOTE = (
    "The generator knows no judge. Unless its settings say otherwise, it learned to imitate the SPAM features of "
    "pristine patches: SPAM + SVM uses these features, and Cozzolino2017 starts from them. The generator knows no "
    "features of other judges."
)


def attack_tables(results: Results, sample: Sample = UNKNOWN) -> list[Table]:
    """A table for each attack and target, whatever the loss; both GANs of the paper share its Table V."""
    tables: dict[tuple[str, ...], list[Contest]] = {}
    for target, attack in results.contests:
        shared = claims.table_number(target, attack) == "V"
        key = ("V",) if shared else (target, whatever_the_loss(attack))
        tables.setdefault(key, []).append((target, attack))
    return [attack_table(results, contests, sample) for contests in tables.values()]


def attack_table(results: Results, contests: Sequence[Contest], sample: Sample = UNKNOWN) -> Table:
    """The TPR that every judge keeps on concealed patches, and what the attack did to these.

    contests: the (target, attack) pairs of this table: one, or several that differ in the loss alone, or all that the
    paper prints in one table.
    """
    target, attack = contests[0]
    number = claims.table_number(target, attack)
    likeness = results.labels.restores(attack)
    names = {name: results.labels.detector(name) for name in results.detectors}
    columns = [Column(shown, strong=name == target, judge=shown) for name, shown in names.items()]
    columns += [Column(heading, "Concealed patches") for _, heading in _qualities(results, attack)]
    rows = [_row(results, contests, contest, m) for contest in contests for m in results.manipulations_of(*contest)]
    return Table(
        key=_key(results.labels, target, attack, number),
        number=number,
        title=_title(results.labels, contests),
        caption=_caption(results, target, attack, sample),
        stubs=("Manipulation",),
        columns=tuple(columns),
        rows=tuple(rows),
        notes=(
            *_comparison_notes(results, contests, number),
            *failed_notes(results, contests),
            *generator_notes(results, [attack for _, attack in contests]),
            *target_notes(results, [(m, c[0]) for c in contests for m in results.manipulations_of(*c)]),
            _QUALITY_NOTE,
            *([_LIKENESS_NOTE] if likeness else []),
            *certainty_notes(results, sample),
        ),
        attacks=tuple(dict.fromkeys(results.labels.attack(attack) for _, attack in contests)),
    )


def _qualities(results: Results, attack: str) -> list[tuple[str, str]]:
    """The figures of the concealed patches themselves: the columns of rows.csv, and their headings."""
    return [*_QUALITIES, *(_LIKENESS if results.labels.restores(attack) else ())]


def _row(results: Results, contests: Sequence[Contest], contest: Contest, manipulation: str) -> Row:
    cells = [_cell(results, manipulation, judge, contest) for judge in results.detectors]
    names = [name for name, _ in _qualities(results, contests[0][1])]
    cells += [quality_cell(results, name, manipulation, contest) for name in names]
    part = results.labels.attack(contest[1]) if len(contests) > 1 else section(manipulation)
    grey = results.unlearned(manipulation, contest[0]) is not None
    label = manipulation_label(manipulation)
    about = Concerns(label, results.labels.attack(contest[1]) if len(contests) > 1 else "")
    return Row(part, (marked(label, mark=grey),), tuple(cells), grey, about)


def _cell(results: Results, manipulation: str, judge: str, contest: Contest) -> Cell:
    spread = results.spread("tpr", manipulation, judge, *contest)
    claim = claims.find_claim(manipulation, judge, *contest)
    ours = spread.mean if spread else None
    lines = [percent(ours)]
    ends = results.interval(manipulation, judge, *contest)
    if ends:
        lines.append(interval(ends))
    lines.extend(seed_range(spread))
    if claim:
        lines.append(f"paper {percent(claim.tpr)}" + (f" ({points(ours, claim.tpr)})" if spread else ""))
    return Cell(tuple(lines))


def _key(labels: Labels, target: str, attack: str, number: str | None) -> str:
    slug = labels.contest_slug((target, attack))
    if number is None:
        return f"attack{slug}"
    arabic = {roman: plain for plain, roman in claims.TABLES.items()}[number]
    same = (target, attack) == (claims.detector_as_claimed(target), claims.as_claimed(attack))
    return f"table{arabic}" if same else f"table{arabic}{slug}"


def _title(labels: Labels, contests: Sequence[Contest]) -> str:
    target = contests[0][0]
    names = " and ".join(dict.fromkeys(labels.attack(attack) for _, attack in contests))
    return f"TPR under {names}" + (f", target {labels.detector(target)}" if target else "")


def _caption(results: Results, target: str, attack: str, sample: Sample) -> str:
    first = "True positive rate in percent on concealed patches, one column for each judge"
    first += (
        f"; the target, {results.labels.detector(target)}, is in bold. " if target else "; no detector was targeted. "
    )
    lines = "Below a figure: its 95 % interval"
    if len(results.seeds) > 1:
        lines += ", the range of the seeds"
    lines += ", the paper's figure and (ours − paper). " if claims.table_number(target, attack) else ". "
    return first + lines + sample_text(results, target, attack, sample)


def _comparison_notes(results: Results, contests: Sequence[Contest], number: str | None) -> tuple[str, ...]:
    target, attack = contests[0]
    notes = []
    if claims.as_claimed(attack) == "fgsm":
        notes.append(_loss_note([take_apart(one)[1].get("loss", "logit") for _, one in contests]))
    if number == "V":
        notes.append(_STAND_IN_NOTE)
    if take_apart(attack)[0] == "gan-ensemble":
        notes.append(_ENSEMBLE_NOTE)
    if number is None:
        return (*notes, *_not_in_the_paper(results, target, attack))
    return (*notes, *unclaimed_detectors(results.detectors, results.labels))


def _loss_note(losses: Sequence[str]) -> str:
    """Which loss FGSM followed."""
    if len(losses) == 1:
        return (
            f"FGSM follows the gradient of the {losses[0]}. The paper names no loss; its text suggests cross-entropy."
        )
    return (
        f"FGSM follows the gradient of the {' or the '.join(losses)}, each in a part of the table. The paper names no "
        "loss; its text suggests cross-entropy."
    )


def _not_in_the_paper(results: Results, target: str, attack: str) -> tuple[str, ...]:
    """Why figures of the paper are missing; nothing where the paper has no figure for any row."""
    if not results.compared:
        return ()
    if claims.table_number("bayar2016", take_apart(attack)[0]) or results.labels.restores(attack):
        return ("The paper did not measure this attack with these settings or against this target.",)
    return ("The paper has no figures for this attack on this target.",)
