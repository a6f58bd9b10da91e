"""The report on what detectors have learned, what attacks on the others are worth, and thresholds other than 0."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest

from counterforensics.outcome import ALL, LEARNED_AUC, OPERATING_COLUMNS, ROW_COLUMNS, Curve, Outcome
from counterforensics.report import not_learned, report_tables
from counterforensics.report.figures.learning import learning_pictures
from counterforensics.report.findings import findings, overview_table
from counterforensics.report.formats import to_html, to_latex, to_markdown
from counterforensics.report.labels import Labels
from counterforensics.report.results import Results
from counterforensics.report.tables import all_tables
from counterforensics.report.tables.learned import MARK, NOT_LEARNED
from counterforensics.report.tables.learning import learning_table
from counterforensics.report.tables.model import Table
from counterforensics.report.tables.operating_points import operating_points_table
from counterforensics.study.run import run_study
from tests.conftest import Command, tiny_study
from tests.test_report import NO_TIMES, frame, row, simulate, training, trainings

BAYAR = {"role": "detector", "name": "bayar2016", "part": "bayar2016"}
TWO = ("median:7", "resize:1.01")


def studied(area: float, *, seeds: tuple[int, ...] = (0,), **others: float) -> Outcome:
    """Bayar2016 attacked on two manipulations; `area`: its AUC on held-out photographs for resize:1.01."""
    contests = (("bayar2016", "fgsm"), ("bayar2016", "pgd"), ("spam-svm", "fgsm"), ("", "gan-kim"))
    outcome = simulate(TWO, ("spam-svm", "bayar2016"), contests, seeds=seeds)
    areas = {TWO[0]: others.get("easy", 0.99), TWO[1]: area}
    lines = [training(**BAYAR, seed=s, manipulation=m, validation_auc=areas[m]) for s in seeds for m in TWO]
    return dataclasses.replace(outcome, trainings=trainings(*lines))


def table(outcome: Outcome, key: str) -> Table:
    return next(one for one in report_tables(outcome) if one.key == key)


def test_a_detector_at_chance_is_marked_where_its_detection_stands() -> None:
    shown = table(studied(0.55), "table1")
    marked = {one.labels for one in shown.rows if NOT_LEARNED in one.cells[-1].lines}
    assert marked == {("Resizing × 1.01", "Bayar2016")}
    assert any(note.startswith("Has not learned: the AUC of the detector on held-out") for note in shown.notes)
    assert not any(one.grey for one in shown.rows)


@pytest.mark.parametrize("area", [LEARNED_AUC, 0.99, float("nan")])
def test_of_detectors_that_have_learned_or_say_nothing_no_table_speaks(area: float) -> None:
    outcome = studied(area)
    for one in report_tables(outcome):
        assert MARK not in to_markdown(one)
        assert NOT_LEARNED not in to_markdown(one).lower()
        assert not any(line.grey for line in one.rows)
    assert not_learned(outcome) == []
    assert not any(NOT_LEARNED.removeprefix("has ") in sentence for sentence in findings(Results.of(outcome)))


def test_attacks_on_what_has_not_learned_are_grey_and_marked() -> None:
    shown = table(studied(0.5499), "table2")
    assert {one.labels[0]: one.grey for one in shown.rows} == {"Median 7 × 7": False, f"Resizing × 1.01 {MARK}": True}
    note = (
        f"{MARK} The target has not learned: Bayar2016 on Resizing × 1.01, AUC 0.55 on held-out photographs, "
        "below 0.6. So near to chance there is nothing to conceal, and the figures do not measure the attack."
    )
    assert note in shown.notes
    assert f"| Resizing × 1.01 {MARK} |" in to_markdown(shown)
    assert re.findall(
        r'<tr class="([^"]*)" data-manipulation="[^"]*">\n<th scope="row">(?:Median|Resizing)', to_html(shown)
    ) == [
        "first",
        "first grey",
    ]
    assert r"Resizing $\times$ 1.01 \textsuperscript{\textdaggerdbl}" in to_latex(shown)
    # The attack on the other target, and the one without a target, are what they were.
    for key in ("attack-fgsm-spam-svm", "table5"):
        assert not any(one.grey for one in table(studied(0.5), key).rows)


def test_means_over_manipulations_say_which_of_them_mean_nothing() -> None:
    for outcome, grey in ((studied(0.5), False), (studied(0.5, easy=0.4), True)):
        overview = overview_table(Results.of(outcome))
        assert overview is not None
        for shown in (overview, table(outcome, "attacks")):
            lines = {one.labels: one.grey for one in shown.rows}
            assert lines["FGSM", f"Bayar2016 {MARK}"] == lines["PGD", f"Bayar2016 {MARK}"] == grey
            assert not lines["FGSM", "SPAM + SVM"]
            assert shown.notes[-1] == f"Means of lines with {MARK} include these manipulations."
            assert sum(note.count("Bayar2016 on Resizing × 1.01, AUC 0.50") for note in shown.notes) == 1


def test_where_a_generator_restores_the_attacks_on_chance_are_grey() -> None:
    shown = table(studied(0.9, easy=0.5), "noise-or-restoration")
    grey = [one.labels for one in shown.rows if one.grey]
    assert grey == [("FGSM", f"Bayar2016 {MARK}"), ("PGD", f"Bayar2016 {MARK}")]
    assert "AUC 0.50" in shown.notes[0]


def test_one_seed_at_chance_is_enough() -> None:
    outcome = studied(0.9, seeds=(0, 1, 2))
    lines = outcome.trainings.copy()
    lines.loc[(lines["seed"] == 1) & (lines["manipulation"] == TWO[1]), "validation_auc"] = 0.52
    (line,) = not_learned(dataclasses.replace(outcome, trainings=lines))
    assert (
        line
        == "Bayar2016 on Resizing × 1.01, AUC 0.52 on held-out photographs, below 0.6; attacks on it measure nothing"
    )


def test_findings_name_what_has_not_learned_and_praise_no_target_of_it() -> None:
    said = findings(Results.of(studied(0.5, easy=0.4)))
    (line,) = [one for one in said if "have not learned" in one]
    assert line.endswith("measure nothing: Bayar2016 on Median 7 × 7; Bayar2016 on Resizing × 1.01.")
    assert not any("keeps the highest TPR" in one and "Bayar2016 under" in one for one in said)


# --- what the detectors have learned


def learned(*lines: dict[str, object]) -> Table | None:
    rows = frame(row("median:7", "mislnet"), row("median:3", "mislnet"))
    return learning_table(Results(rows, trainings(*lines)))


def line(manipulation: str, seed: int = 0, **facts: Any) -> dict[str, object]:
    """A line of trainings.csv on a MISLnet."""
    named = {"role": "detector", "name": "mislnet", "part": "mislnet", "manipulation": manipulation, "seed": seed}
    return training(**named | facts)


def test_trainings_show_what_was_held_out_and_what_they_began_with() -> None:
    spam = "mislnet:steps=9,outputs=338,learns=spam"
    known: dict[str, Any] = {"validation_acc": 0.75, "validation_patches": 384, "patches": 6400}
    shown = learned(
        line(ALL, role="start", part=spam, validation_loss=0.34, patches=19200),
        line("median:7", **known, validation_auc=0.8, start=spam, start_manipulation=ALL, start_patches=19200),
        line(
            "median:3",
            **known,
            validation_auc=0.55,
            start="mislnet",
            start_manipulation="median:7",
            start_patches=25600,
        ),
    )
    assert shown is not None
    seven, three, all_ = ((one.section, *one.labels, *map(str, one.cells)) for one in shown.rows)
    assert seven[:3] == ("Easy cases", "Median 7 × 7", "MISLnet")
    assert seven[3:] == ("0.8000", "75.00", "—", "384", "6,400", "19,200", "predicts SPAM, all manipulations")
    assert three[:4] == ("Challenging cases", "Median 3 × 3", "MISLnet", "0.5500 has not learned")
    assert three[4:] == ("75.00", "—", "384", "6,400", "25,600", "Median 7 × 7")
    assert all_[:3] == ("Starts", "all manipulations", "start of MISLnet")
    assert all_[3:] == ("—", "—", "0.3400", "—", "19,200", "—", "—")
    assert len(shown.notes) == 1


def test_seeds_of_a_training_show_their_mean_and_range() -> None:
    shown = learned(line("median:7", 0, validation_auc=0.7), line("median:7", 1, validation_auc=0.9))
    assert shown is not None
    assert shown.rows[0].cells[0].lines == ("0.8000", "0.7000 to 0.9000")
    assert learned() is None


# --- other thresholds


def test_operating_points_stand_in_a_table_of_their_own() -> None:
    figures = {"acc": 0.8, "best_acc": 0.875, "auc": 0.93, "tpr_at_fpr_01": 0.25, "fpr_at_fpr_01": 0.031}
    figures |= {"tpr_at_fpr_01_low": 0.2, "tpr_at_fpr_01_high": 0.3, "eer": 0.14, "eer_low": 0.1, "eer_high": 0.2}
    rows = frame(row("jpeg:70", "mislnet", **figures), row("jpeg:90", "mislnet", acc=0.5))
    shown = operating_points_table(Results(rows))
    assert shown is not None
    (only,) = shown.rows
    assert only.labels == ("JPEG Q = 70", "MISLnet")
    assert [str(cell) for cell in only.cells] == [
        *("80.00", "87.50", "0.9300", "14.00", "[10.00, 20.00]"),
        *("25.00", "[20.00, 30.00]", "3.10"),
        *("—", "—", "—"),
    ]
    takes = (
        "There is no TPR at 0.1 % FPR. Its threshold takes at least 1,000 held-out pristine patches of 10 photographs. "
    )
    assert shown.notes == (f"{takes}An older version trained the detectors.",)
    few = trainings(line("jpeg:70", validation_patches=36, validation_photos=4))
    again = operating_points_table(Results(rows, few))
    assert again is not None
    assert again.notes == (
        "Some thresholds come from only 36 held-out pristine patches. With fewer than 100, the threshold for 1 % is "
        "the largest logit of these patches, so none of them is a false alarm.",
        f"{takes}Too few were held out.",
    )


def test_the_tpr_at_one_false_alarm_in_a_thousand_stands_where_a_detector_has_it() -> None:
    known = {"best_acc": 0.9, "tpr_at_fpr_001": 0.5, "tpr_at_fpr_001_low": 0.4, "tpr_at_fpr_001_high": 0.6}
    known |= {"fpr_at_fpr_001": 0.002}
    rows = frame(row("jpeg:70", "mislnet", **known), row("jpeg:70", "spam-svm", best_acc=0.8))
    shown = operating_points_table(Results(rows, trainings(line("jpeg:70", validation_photos=12))))
    assert shown is not None
    assert [name for name, _ in shown.groups][2:] == ["At 0.1 % FPR", "At 1 % FPR", "At 5 % FPR"]
    of_svm, of_mislnet = ([str(cell) for cell in one.cells[5:8]] for one in shown.rows)
    assert (of_svm, of_mislnet) == (["—", "—", "—"], ["50.00", "[40.00, 60.00]", "0.20"])
    assert shown.notes[0].startswith("In 1 of 2 lines there is no TPR at 0.1 % FPR.")
    assert len(to_html(shown)) > len(shown.caption)


def test_rows_and_trainings_of_older_versions_give_a_report_without_these_tables() -> None:
    old = frame(row(acc=0.9, fpr=0.1, tpr=0.9)).drop(columns=list(OPERATING_COLUMNS))
    assert set(OPERATING_COLUMNS) < set(ROW_COLUMNS)
    lines = trainings(line("median:7", patches=10)).drop(columns=["validation_auc", "start_manipulation"])
    keys = [one.key for one in all_tables(Results(old, lines), NO_TIMES)]
    assert "table1" in keys
    assert "operating-points" not in keys


# --- curves


def test_a_start_without_an_accuracy_has_its_losses_drawn() -> None:
    steps = {"step": [0.0, 10.0, 20.0], "loss": [float("nan"), 0.9, 0.6], "validation_loss": [1.0, 0.8, 0.7]}
    start = Curve(0, ALL, "mislnet:learns=spam,outputs=338", steps, role="start")
    scored = steps | {"validation_accuracy": [0.5, 0.6, 0.7], "validation_auc": [0.5, 0.7, 0.8]}
    (with_start,) = learning_pictures([Curve(0, "median:7", "mislnet", scored), start], Labels())
    assert with_start.caption.endswith("has losses alone: there is nothing to detect.")
    (alone,) = learning_pictures([start], Labels())
    assert alone.png.startswith(b"\x89PNG")
    (without,) = learning_pictures([Curve(0, "median:7", "mislnet", scored)], Labels())
    assert "SPAM" not in without.caption


# --- the terminal


def test_run_ends_with_who_has_not_learned(
    command: Command, monkeypatch: pytest.MonkeyPatch, no_report: None, tiny_yaml: Any, tmp_path: Any
) -> None:
    monkeypatch.setattr("counterforensics.study.run.run_study", lambda *arguments, **settings: studied(0.5))
    answer = command("run", tiny_yaml, "--out", tmp_path)
    assert answer.status == 0
    said = "Has not learned: Bayar2016 on Resizing × 1.01, AUC 0.50 on held-out photographs, below 0.6; attacks on it"
    assert answer.out.index(said) < answer.out.index("Rows: ")


def test_a_start_that_predicts_spam_is_never_ranked_as_a_detector(tmp_path: Path) -> None:
    # In a study of one manipulation such a start has seen that one alone, as a detector has.
    spam = "mislnet:steps=1,start=spam,start_steps=1,pairs_per_step=2"
    study = tiny_study(
        tmp_path, manipulations=["median:7"], detectors=[spam], attacks=[], split={"test": 2, "validation": 0.5}
    )
    outcome = run_study(study, tmp_path / "run", workers=2)
    assert outcome.failures == ()
    known = outcome.trainings.set_index("role")["validation_auc"].notna().to_dict()
    assert known == {"detector": True, "start": False}
    judged = {one.role: "validation_auc" in one.columns for one in outcome.curves}
    assert judged == {"detector": True, "start": False}
    assert {one.key for one in report_tables(outcome)} >= {"operating-points", "learning"}
