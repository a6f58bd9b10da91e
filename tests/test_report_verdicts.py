"""Verdicts on judges under attack, and the sentences that the page begins with."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from counterforensics.report import report_tables
from counterforensics.report.answer import answer_of
from counterforensics.report.findings import findings
from counterforensics.report.first_screen import board
from counterforensics.report.html import render_report
from counterforensics.report.results import Results
from counterforensics.report.tables.attacks import attack_tables
from counterforensics.report.tables.costs import attack_costs, cost_table
from counterforensics.report.tables.failures import failed_notes
from counterforensics.report.verdicts import VerdictWord, attack_groups, group_verdict, judge_verdict
from tests.test_report import NO_TIMES, PARTIAL, frame, row, simulate, training, trainings

FOUR = ("blur:1.1", "jpeg:70", "median:7", "resize:1.5")
FGSM = ("mislnet", "fgsm")


def attacked(after: dict[str, float], judge: str = "mislnet", contest: tuple[str, str] = FGSM, **more: Any) -> Results:
    """A judge with a TPR of 1 and an FPR of 0.1 before, and these TPRs after the attack."""
    before = {"tpr": 1.0, "fpr": 0.1, "acc": 0.95}
    target, attack = contest
    told = {"already": 0.0, "fpr": 0.1, "unchanged": 0.0} | more
    lines = [row(m, judge, **before) for m in after]
    lines += [row(m, judge, target=target, attack=attack, tpr=tpr, **told) for m, tpr in after.items()]
    return Results(frame(*lines))


@pytest.mark.parametrize(
    ("after", "word"),
    [
        ((1.0, 1.0, 0.95, 0.92), "holds"),  # 0.92 keeps (0.92 - 0.1) / 0.9 = 0.911 of the lead
        ((0.9, 0.9, 0.9, 0.9), "weakened"),  # (0.9 - 0.1) / 0.9 = 0.889
        ((0.5, 0.5, 0.5, 1.0), "fails"),  # 0.444 on three of four
        ((0.0, 0.0, 1.0, 1.0), "mixed"),
        ((0.1, 0.1, 0.1, 0.1), "fails"),  # no more than the false alarms
    ],
)
def test_a_verdict_is_that_of_three_quarters_of_the_manipulations(after: tuple[float, ...], word: str) -> None:
    verdict = judge_verdict(attacked(dict(zip(FOUR, after, strict=True))), FGSM, "mislnet")
    assert verdict is not None
    assert verdict.word == word
    assert verdict.before == 1.0
    assert verdict.after == pytest.approx(sum(after) / 4)


def test_an_interval_that_reaches_into_another_verdict_makes_it_probable() -> None:
    for low, sure in ((0.95, True), (0.6, False)):
        found = attacked({"jpeg:70": 1.0}, tpr_low=low, tpr_high=1.0)
        verdict = judge_verdict(found, FGSM, "mislnet")
        assert verdict is not None
        assert (verdict.word, verdict.sure, verdict.interval) == (VerdictWord.HOLDS, sure, (low, 1.0))


def test_the_tpr_before_is_that_of_the_patches_that_were_attacked() -> None:
    verdict = judge_verdict(attacked({"jpeg:70": 0.8}, already=0.2), FGSM, "mislnet")
    assert verdict is not None
    assert (verdict.before, verdict.word) == (0.8, VerdictWord.HOLDS)


def test_there_is_no_answer_where_a_detector_has_not_learned_or_is_near_chance() -> None:
    rows = attacked({"jpeg:70": 0.0, "median:7": 1.0})._frame
    learned = trainings(training(role="detector", manipulation="jpeg:70", part="mislnet", validation_auc=0.5))
    verdict = judge_verdict(Results(rows, learned), FGSM, "mislnet")
    assert verdict is not None
    assert (verdict.word, verdict.after) == (VerdictWord.HOLDS, 1.0)
    assert [(part.manipulation, part.reason) for part in verdict.unanswered] == [("jpeg:70", "has not learned")]
    assert "No answer where a detector has not learned: MISLnet on JPEG Q = 70." in answer_of(Results(rows, learned))
    chance = judge_verdict(attacked({"jpeg:70": 0.1}, already=0.75), FGSM, "mislnet")
    assert chance is not None
    assert (chance.word, chance.parts[0].reason) == (VerdictWord.NO_ANSWER, "near chance before the attack")


def test_an_attack_that_changed_nothing_has_failed_and_is_not_gentle() -> None:
    results = attacked({"jpeg:70": 1.0}, unchanged=0.9, psnr=70.0, success=0.0)
    verdict = judge_verdict(results, FGSM, "mislnet")
    assert verdict is not None
    assert verdict.word == VerdictWord.ATTACK_FAILED
    assert verdict.parts[0].reason == "left 90 % of the patches as they were"
    (note,) = failed_notes(results, [FGSM])
    assert note.startswith("FGSM, target MISLnet: the attack failed on JPEG Q = 70 (90 %).")
    costs = cost_table(results.labels, attack_costs(results, NO_TIMES))
    assert costs is not None
    assert costs.rows[0].cells[4].lines == ("70.00", "attack failed")
    assert any("These attacks failed" in sentence for sentence in answer_of(results))
    # Patches that the target called pristine need no change.
    assert failed_notes(attacked({"jpeg:70": 1.0}, unchanged=0.6, already=0.6), [FGSM]) == ()


def test_losses_of_one_attack_share_a_line_and_the_worse_counts() -> None:
    gentle = attacked({"jpeg:70": 1.0})._frame
    harsh = attacked({"jpeg:70": 0.0}, contest=("mislnet", "fgsm:loss=cross-entropy"))._frame
    results = Results(pd.concat([gentle, harsh[harsh["attack"] != ""]], ignore_index=True))
    (group,) = attack_groups(results)
    verdict = group_verdict(results, group, "mislnet")
    assert verdict is not None
    assert (verdict.word, verdict.contest[1]) == (VerdictWord.FAILS, "fgsm:loss=cross-entropy")
    (table,) = attack_tables(results)
    assert table.title == "TPR under FGSM and FGSM (loss = cross-entropy), target MISLnet"
    assert [line.section for line in table.rows] == ["FGSM", "FGSM (loss = cross-entropy)"]
    shown = board(PARTIAL["nothing at all"], results)
    assert shown is not None
    assert shown.rows[0].cells[0].details == ("under FGSM (loss = cross-entropy)",)


def test_the_answer_names_who_holds_and_the_exception_that_the_mean_hides() -> None:
    after = dict(zip(FOUR, (0.1, 0.1, 0.9, 0.1), strict=True))
    first, exception = answer_of(attacked({**after, "median:7": 1.0}))
    assert first == "When FGSM is aimed at the detector itself, MISLnet fails."
    assert exception == (
        "The exception is the manipulation Median 7 × 7: there the detector holds in 1 of 1 pairs of attack and "
        "detector. Under FGSM aimed at MISLnet, MISLnet has a mean TPR of 32.5 % over the manipulations, and of "
        "100.0 % on Median 7 × 7."
    )
    assert answer_of(Results(frame(row(tpr=0.5)))) == ["No attack was measured, so no detector has a verdict."]


def test_a_study_without_a_figure_of_the_paper_speaks_of_none() -> None:
    outcome = simulate(
        ("sharpen:1",), ("mine", "mislnet"), (("mine", "theirs"), ("mine", "fgsm:epsilon=2")), patches=30
    )
    results = Results.of(outcome)
    assert not results.compared
    tables = report_tables(outcome)
    assert tables[0].heading == "Detection without an attack"
    assert [column.heading for column in tables[0].columns] == ["rate", "rate", "95 % interval", "rate", "AUC"]
    page = render_report(outcome, results, tables, [])
    assert "stand beside ours" not in page
    body = page.split('id="tables"')[1].split('id="split"')[0]
    assert "paper" not in body
    with_claims = simulate(("median:7",), ("bayar2016",), (("bayar2016", "fgsm"),), patches=30)
    assert "stand beside ours" in render_report(with_claims, Results.of(with_claims), report_tables(with_claims), [])


def test_findings_and_verdicts_begin_with_the_same_patches() -> None:
    results = attacked({"jpeg:70": 0.4}, already=0.25)
    (sentence,) = [one for one in findings(results) if "takes the TPR" in one]
    assert "from 75.00 % to 40.00 %" in sentence


def test_a_judge_that_was_not_measured_has_an_empty_cell() -> None:
    lines = [row("jpeg:70", name, tpr=1.0) for name in ("mislnet", "xception")]
    results = Results(frame(*lines, row("jpeg:70", "mislnet", target="mislnet", attack="fgsm", tpr=0.0)))
    shown = board(PARTIAL["nothing at all"], results)
    assert shown is not None
    words = dict(zip(shown.judges, (cell.word for cell in shown.rows[0].cells), strict=True))
    assert words == {"MISLnet": "fails", "Xception": "—"}
