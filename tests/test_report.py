"""The report: what its tables say, how they are written, and that a page comes out of any outcome."""

from __future__ import annotations

import dataclasses
import io
import json
import math
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from matplotlib.figure import Figure
from PIL import Image
from rich.console import Console

from counterforensics import report
from counterforensics.errors import StudyError
from counterforensics.evaluation import frequencies
from counterforensics.report import figures as report_figures
from counterforensics.report import report_tables, terminal_tables, write_report
from counterforensics.report import spectra as spectra_figure
from counterforensics.report.costs import cost_pictures, cost_table, costs
from counterforensics.report.drawing import Picture, worth_drawing
from counterforensics.report.figures import _learning_panel, learning_pictures
from counterforensics.report.findings import findings
from counterforensics.report.judged import roc
from counterforensics.report.labels import ordered, take_apart
from counterforensics.report.measured import Measured
from counterforensics.report.render import latex, to_html, to_latex, to_markdown, to_terminal
from counterforensics.report.restoration import restoration_table, trainings_table
from counterforensics.report.spectra import spectra_pictures
from counterforensics.report.stamp import STAMP
from counterforensics.report.strips import amplification, strip_pictures
from counterforensics.report.tables import (
    Cell,
    Column,
    Row,
    Sample,
    Table,
    all_tables,
    attack_table,
    fine_tuning_table,
)
from counterforensics.study.outcome import ROW_COLUMNS, TIME_COLUMNS, Curve, Outcome, Scores, Spectra, Strip

EIGHT = ("blur:1.1", "jpeg:70", "median:7", "resize:1.5", "blur:0.5", "jpeg:90", "median:3", "resize:1.01")
FOUR = ("spam-svm", "bayar2016", "cozzolino2017", "xception")
CONTESTS = (
    ("bayar2016", "fgsm"),
    ("cozzolino2017", "fgsm"),
    ("xception", "fgsm"),
    ("", "gan-kim"),
    ("", "gan-vgg"),
)
NO_ROWS = pd.DataFrame(columns=list(ROW_COLUMNS))
NO_PHOTOS = pd.DataFrame(columns=["device", "photo", "role", "digest", "width", "height", "patches"])


def row(manipulation: str = "median:7", detector: str = "spam-svm", **figures: Any) -> dict[str, object]:
    """One row with the texts given and NaN for every figure that is not."""
    empty: dict[str, object] = dict.fromkeys(ROW_COLUMNS, math.nan)
    texts = {"study": "s", "seed": 0, "target": "", "attack": ""}
    return {**empty, **texts, "manipulation": manipulation, "detector": detector, **figures}


def frame(*rows: dict[str, object]) -> pd.DataFrame:
    return pd.DataFrame(list(rows), columns=list(ROW_COLUMNS))


def simulate(
    manipulations: tuple[str, ...] = EIGHT,
    detectors: tuple[str, ...] = FOUR,
    contests: tuple[tuple[str, str], ...] = CONTESTS,
    *,
    seeds: tuple[int, ...] = (0,),
    channels: int = 1,
    patches: int = 192,
    side: int = 64,
    simulated: tuple[str, ...] = ("train", "validation", "test"),
) -> Outcome:
    """An outcome with logits drawn at random, as plausible as the report needs: no photograph was judged."""
    random = np.random.default_rng(7)
    rows, scores, curves = [], [], []
    for seed in seeds:
        for place, manipulation in enumerate(manipulations):
            for rank, detector in enumerate(detectors):
                gap = 7.0 - 0.55 * place - 0.4 * rank
                pristine = random.normal(-gap / 2, 1.4, patches).astype(np.float32)
                manipulated = random.normal(gap / 2, 1.6, patches).astype(np.float32)
                concealed = {}
                for target, attack in contests:
                    if target == detector or manipulation.startswith("median") or not attack.startswith("gan"):
                        depth = 9.0 if target == detector else 1.0 + 3.0 * random.random()
                        concealed[target, attack] = (manipulated - depth).astype(np.float32)
                scores.append(Scores(seed, manipulation, detector, pristine, manipulated, concealed))
                rows.append(_scored(seed, manipulation, detector, pristine, manipulated))
                for (target, attack), logits in concealed.items():
                    quality = {"mse": 0.981, "psnr": 48.21, "unchanged": 0.0052, "zero_gradient": 0.019}
                    quality |= {"changed": 0.98, "already": 0.02, "success": 0.9, "ssim": 0.991}
                    quality |= {"psnr_pristine": 31.5, "psnr_before": 30.25, "ssim_pristine": 0.92, "ssim_before": 0.9}
                    attacked = _scored(seed, manipulation, detector, pristine, logits)
                    rows.append({**attacked, **quality, "target": target, "attack": attack})
                curves.append(_curve(seed, manipulation, detector, random))
    strips = [_strip(m, *contest, channels, side, random) for contest in contests for m in manipulations[:4]]
    power = 1000 * np.exp(-9 * frequencies(32))
    spectra = [
        Spectra(m, *contest, frequencies(32), power, power**1.2, power**1.1, *moved)
        for m in manipulations
        for moved in [() if m.startswith("resize") else (power**0.9, power**0.8)]
        for contest in contests
    ]
    return Outcome(
        study="simulated logits",
        settings='study: simulated logits\nphotos:\n  source: <none> & "nowhere"\nepsilon: 1\n',
        simulated=simulated,
        rows=pd.DataFrame(rows, columns=list(ROW_COLUMNS)) if rows else NO_ROWS,
        scores=scores,
        strips=strips,
        curves=curves,
        spectra=spectra,
        photos=_photos(),
        provenance={"counterforensics": "0.1.0", "command": "counterforensics run demo", "seeds": "0"},
    )


def _scored(
    seed: int, manipulation: str, detector: str, negative: np.ndarray, positive: np.ndarray
) -> dict[str, object]:
    fp, tp = int((negative > 0).sum()), int((positive > 0).sum())
    fpr, tpr = fp / len(negative), tp / len(positive)
    half = 1.96 * math.sqrt(tpr * (1 - tpr) / 24)
    return row(
        manipulation,
        detector,
        seed=seed,
        n_pristine=len(negative),
        n_manipulated=len(positive),
        fp=fp,
        tp=tp,
        fpr=fpr,
        tpr=tpr,
        acc=(1 + tpr - fpr) / 2,
        tpr_low=max(0.0, tpr - half),
        tpr_high=min(1.0, tpr + half),
        auc=float((positive[:, None] > negative[None]).mean()),
    )


def _curve(seed: int, manipulation: str, detector: str, random: np.random.Generator) -> Curve:
    steps = np.arange(0, 1001, 100)
    loss = 0.69 * np.exp(-steps / 300) + 0.02 * random.random(len(steps))
    columns = {
        "step": steps.tolist(),
        "loss": loss.tolist(),
        "validation accuracy": (1 - loss / 1.5).tolist(),
    }
    return Curve(seed, manipulation, detector, columns)


def _strip(manipulation: str, target: str, attack: str, channels: int, side: int, random: np.random.Generator) -> Strip:
    scene = np.cumsum(np.cumsum(random.normal(size=(channels, side, side)), axis=1), axis=2)
    scene = (scene - scene.min()) / np.ptp(scene) * 200 + random.normal(0, 6, scene.shape) + 25
    pristine = scene.round().clip(0, 255).astype(np.uint8)
    manipulated = ((scene + np.roll(scene, 1, axis=2)) / 2).round().clip(1, 254).astype(np.uint8)
    noise = random.choice([-1, 1], size=scene.shape)
    return Strip(
        manipulation, target, attack, "camera-3/photo_012.png", pristine, manipulated,
        (manipulated + noise).astype(np.uint8),
    )  # fmt: skip


def _photos() -> pd.DataFrame:
    roles = ("train", "train", "train", "validation", "test", "test")
    lines = [
        (f"camera-{place}", f"photo_{number:03}.png", role, f"{place}{number}" * 16, 1024, 768, 24)
        for place, role in enumerate(roles)
        for number in range(4)
    ]
    return pd.DataFrame(lines, columns=list(NO_PHOTOS.columns))


# --- tables ---


def test_a_tiny_table_as_markdown() -> None:
    table = Table(
        key="tiny",
        number="II",
        title="TPR under a_b",
        caption="Two | judges.",
        stubs=("Manipulation",),
        columns=(Column("SPAM"), Column("Bayar2016", strong=True)),
        rows=(Row("", ("Median 7 × 7",), (Cell(("99.16", "[98.00, 100.00]")), Cell(("0.00",)))),),
        notes=("A note.",),
    )
    assert to_markdown(table) == (
        "### Table II. TPR under a\\_b\n\n"
        "Two \\| judges.\n\n"
        "| Manipulation | SPAM | **Bayar2016** |\n"
        "| --- | ---: | ---: |\n"
        "| Median 7 × 7 | 99.16<br>[98.00, 100.00] | **0.00** |\n\n"
        "A note.\n"
    )
    lines = to_latex(table).splitlines()
    assert r"\caption{TPR under a\_b. Two | judges.}" in lines
    assert r"Manipulation & SPAM & \textbf{Bayar2016} \\" in lines
    assert r"Median 7 $\times$ 7 & 99.16 & \textbf{0.00} \\" in lines
    assert r" & {\scriptsize [98.00, 100.00]} &  \\" in lines


def test_latex_escapes_what_latex_would_read() -> None:
    assert latex(r"50 % of a_b & {x} \ #1 ~ ^ $") == (
        r"50 \% of a\_b \& \{x\} \textbackslash{} \#1 \textasciitilde{} \textasciicircum{} \$"
    )


def test_a_difference_is_ours_minus_the_papers() -> None:
    ours = row("median:7", "xception", fpr=0.0185, tpr=0.9946, acc=0.99)
    (table, *_) = all_tables(Measured(frame(ours)))
    texts = [cell.lines[0] for cell in table.rows[0].cells]
    # paper, ours, difference for FPR, TPR (with its interval) and ACC; then the AUC.
    assert texts == ["0.85", "1.85", "+1.00", "99.96", "99.46", "—", "−0.50", "99.56", "99.00", "−0.56", "—"]


def test_the_erratum_is_printed_as_it_stands_and_flagged() -> None:
    (table, *_) = all_tables(Measured(frame(row("jpeg:90", "bayar2016", fpr=0.3, tpr=0.9, acc=0.8))))
    texts = [cell.lines[0] for cell in table.rows[0].cells]
    assert (texts[0], texts[3], texts[7]) == ("0.72†", "90.17", "79.72†")
    assert any(note.startswith("† Bayar2016, jpeg:90: as printed") for note in table.notes)


def test_an_attack_cell_holds_figure_interval_and_claim_and_the_target_is_marked() -> None:
    fgsm: dict[str, Any] = {"target": "cozzolino2017", "attack": "fgsm"}
    quality: dict[str, Any] = {"mse": 1.0, "psnr": 48.1308, "unchanged": 0.25}
    rows = frame(
        row(detector="cozzolino2017", **fgsm, tpr=0.85, tpr_low=0.8, tpr_high=0.9, **quality),
        row(detector="mislnet", **fgsm, tpr=0.5),
    )
    table = attack_table(Measured(rows), [("cozzolino2017", "fgsm")], Sample(photos=12, devices=3))
    assert table.heading == "Table III. TPR under FGSM, target Cozzolino2017"
    assert [column.strong for column in table.columns] == [True, False, False, False, False, False]
    (only,) = table.rows
    assert only.cells[0].lines == ("85.00", "[80.00, 90.00]", "paper 88.20 (−3.20)")
    assert only.cells[1].lines == ("50.00", "paper —")
    assert [str(cell) for cell in only.cells[2:]] == ["48.13", "1.000", "25.00 %", "—"]
    assert "of 12 test photographs from 3 devices; 95 % intervals, resampled by photo." in table.caption
    assert table.notes[0].startswith("The loss differentiated is the logit;")
    assert "no such detector: MISLnet." in table.notes[1]
    assert "25.0 % with n = 12" in table.notes[-1]
    assert "**85.00**<br>\\[" not in to_markdown(table)
    assert "**85.00**<br>[80.00, 90.00]<br>paper 88.20 (−3.20)" in to_markdown(table)


@pytest.mark.parametrize(
    ("attack", "target", "heading", "key"),
    [
        ("fgsm", "bayar2016", "Table II. TPR under FGSM, target Bayar2016", "table2"),
        (
            "fgsm:loss=cross-entropy",
            "xception",
            "Table IV. TPR under FGSM (loss = cross-entropy), target Xception",
            "table4-fgsm-loss-cross-entropy-xception",
        ),
        (
            "fgsm:epsilon=2",
            "bayar2016",
            "TPR under FGSM (epsilon = 2), target Bayar2016",
            "attack-fgsm-epsilon-2-bayar2016",
        ),
        ("fgsm", "mislnet", "TPR under FGSM, target MISLnet", "attack-fgsm-mislnet"),
        ("pgd", "bayar2016", "TPR under PGD, target Bayar2016", "attack-pgd-bayar2016"),
        ("gan-vgg", "", "Table V. TPR under GAN restoration (VGG)", "table5"),
    ],
)
def test_a_table_has_the_papers_number_only_where_the_paper_has_it(
    attack: str, target: str, heading: str, key: str
) -> None:
    measured = Measured(frame(row("median:7", "bayar2016", target=target, attack=attack, tpr=0.5)))
    (table,) = all_tables(measured)
    assert (table.heading, table.key) == (heading, key)
    compared = any(line.startswith("paper") for cell in table.rows[0].cells for line in cell.lines)
    assert compared is heading.startswith("Table ")
    assert any("Compared with no claim" in note for note in table.notes) is not compared


def test_both_gans_share_table_v() -> None:
    rows = [row("median:3", "xception", attack=gan, tpr=0.5) for gan in ("gan-kim", "gan-vgg")]
    (table,) = all_tables(Measured(frame(*rows)))
    assert table.number == "V"
    assert [(r.section, r.cells[0].lines[-1]) for r in table.rows] == [
        ("GAN restoration (Kim)", "paper 91.70 (−41.70)"),
        ("GAN restoration (VGG)", "paper 23.76 (+26.24)"),
    ]


def test_noise_and_restoration_stand_in_one_table_where_a_generator_restores() -> None:
    noise = {"target": "bayar2016", "attack": "fgsm", "psnr": 48.13, "psnr_pristine": 30.1, "psnr_before": 30.25}
    restored = {"attack": "gan-vgg", "psnr": 38.0, "psnr_pristine": 31.5, "psnr_before": 30.25}
    rows = [
        *(row("median:7", judge, tpr=1.0) for judge in ("spam-svm", "bayar2016")),  # of more patches than were attacked
        row("median:7", "spam-svm", tpr=0.97, already=0.01, **noise),
        row("median:7", "bayar2016", tpr=0.0, already=0.02, **noise),
        *(row("median:7", judge, tpr=tpr, **restored) for judge, tpr in (("spam-svm", 0.03), ("bayar2016", 0.4))),
        row("jpeg:70", "spam-svm", tpr=0.9, **noise),
    ]
    table = restoration_table(Measured(frame(*rows)))
    assert table is not None
    assert [(r.section, *r.labels, *(str(cell) for cell in r.cells)) for r in table.rows] == [
        ("Median 7 × 7", "none", "—", "99.00", "98.00", "—", "30.25"),
        ("Median 7 × 7", "FGSM", "Bayar2016", "97.00", "0.00 target", "48.13", "30.10"),
        ("Median 7 × 7", "GAN restoration (VGG)", "—", "3.00", "40.00", "38.00", "31.50"),
    ]
    assert restoration_table(Measured(frame(*rows[:4]))) is None


def test_trainings_that_differ_in_the_seed_alone_stand_in_one_line() -> None:
    ended = ("as planned", "as planned", "the discriminator collapsed at step 9; the generator of step 5 is kept")
    rows = [
        row("median:7", "xception", tpr=tpr, learned=f"CPU; {end}", psnr_pristine=30 + tpr, psnr_before=29.5, **named)
        for end, tpr, named in zip(
            ended,
            (0.1, 0.2, 0.6),
            (
                {"attack": "gan-vgg:size=small"},
                {"attack": "gan-vgg:size=small,seed=1"},
                {"attack": "gan-vgg:seed=2,size=small"},
            ),
            strict=True,
        )
    ]
    others = [row("median:7", "xception", attack=attack) for attack in ("gan-kim:size=small", "gan-vgg", "fgsm")]
    once = [row("median:7", "xception", attack="gan-kim:weights=there", seed=seed) for seed in (0, 1)]
    table = trainings_table(Measured(frame(*rows, *others, *once)))
    assert table is not None
    assert [(r.section, *r.labels, *(c.lines for c in r.cells)) for r in table.rows] == [
        (
            *("Median 7 × 7", "GAN restoration (VGG) (size = small)", ("3",), ("2 of 3",)),
            *(("30.00", "10.00 to 60.00"), ("30.30", "30.10 to 30.60"), ("29.50", "29.50 to 29.50")),
        )
    ]
    assert table.title == "What training owes to chance: Median 7 × 7"  # no heading says it, where it is the only one
    assert trainings_table(Measured(frame(*others))) is None


def test_a_training_is_known_by_whichever_judge_has_a_row_of_it() -> None:
    rows = [row(detector=judge, attack="gan-kim", learned=said) for judge, said in (("a", ""), ("b", "as planned"))]
    failed = [row(detector="a", attack="gan-kim", seed=1, learned="")]
    assert Measured(frame(*rows, *failed)).endings("median:7", "gan-kim") == (2, 1)


def test_every_attack_has_a_line_of_its_own_in_the_spectra_of_what_it_hides(monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[tuple[float, ...]] = []
    monkeypatch.setattr(spectra_figure, "_line", lambda axes, frequencies, power, **style: lines.append(tuple(power)))
    states = [np.full(2, level) for level in (1.0, 2.0)]
    attacks = [f"fgsm:epsilon={number}" for number in range(1, 30)]
    of_blur = [Spectra("blur:1.1", "xception", attack, np.arange(2), *states, np.full(2, 3.0)) for attack in attacks]
    of_median = Spectra("median:7", "", "gan-kim", np.arange(2), *states, np.full(2, 4.0))
    assert len(spectra_pictures([*of_blur, of_median])) == 1
    assert lines == [(1.0, 1.0), (2.0, 2.0), *[(3.0, 3.0)] * 29, (1.0, 1.0), (2.0, 2.0), (4.0, 4.0)]
    assert spectra_pictures([]) == []


def test_residual_spectra_are_drawn_where_no_pixel_moved(monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[tuple[float, ...]] = []
    monkeypatch.setattr(spectra_figure, "_line", lambda axes, frequencies, power, **style: lines.append(tuple(power)))
    states = [np.full(2, level) for level in (1.0, 2.0, 3.0, 4.0, 5.0)]
    of_resize = Spectra("resize:1.5", "", "gan-kim", np.arange(2), *states[:3])
    of_median = Spectra("median:7", "", "gan-kim", np.arange(2), *states)
    again = Spectra("median:7", "", "gan-kim:seed=1", np.arange(2), *states[:4], np.full(2, 6.0))
    whole, residual = spectra_pictures([of_resize, of_median, again])
    assert (whole.key, residual.key) == ("spectra", "residual-spectra")
    # A resized patch has no difference to a pristine one, and a second training no line of its own.
    of_both = [(1.0, 1.0), (2.0, 2.0), (3.0, 3.0)]
    assert lines == [*of_both, *of_both, (1.0, 1.0), (4.0, 4.0), (5.0, 5.0)]


def test_a_detector_with_settings_is_a_column_of_its_own_without_a_claim() -> None:
    names = ("cozzolino2017:steps=0", "cozzolino2017")
    rows = [row("jpeg:70", name, target="bayar2016", attack="fgsm", tpr=0.1) for name in names]
    (table,) = all_tables(Measured(frame(*rows)))
    assert [column.heading for column in table.columns[:2]] == ["Cozzolino2017", "Cozzolino2017 (steps = 0)"]
    assert [cell.lines[-1] for cell in table.rows[0].cells[:2]] == ["paper 0.08 (+9.92)", "paper —"]


def test_several_seeds_give_their_mean_and_their_range() -> None:
    ends = {0: (0.1, 0.3), 1: (0.3, 0.6)}
    rows = [
        row(
            "blur:0.5",
            "xception",
            seed=seed,
            tpr=tpr,
            tpr_low=low,
            tpr_high=high,
            target="xception",
            attack="pgd",
        )
        for (seed, (low, high)), tpr in zip(ends.items(), (0.2, 0.5), strict=True)
    ]
    (table,) = all_tables(Measured(frame(*rows)))
    assert table.rows[0].cells[0].lines == ("35.00", "[10.00, 60.00]", "20.00 to 50.00")
    assert any("means over 2 seeds (0, 1)" in note for note in table.notes)


def test_the_gain_by_fine_tuning() -> None:
    accuracies = {"spam-svm": 0.90, "cozzolino2017:steps=0": 0.89, "cozzolino2017": 0.95}
    rows = [row(m, name, acc=acc) for m in ("blur:1.1", "jpeg:70") for name, acc in accuracies.items()]
    table = fine_tuning_table(Measured(frame(*rows)))
    assert table is not None
    first, _, mean = table.rows
    # Three accuracies, the gain, the lead over SPAM, and the paper's lead: 99.96 - 99.97.
    assert [str(cell) for cell in first.cells] == ["90.00", "89.00", "95.00", "+6.00", "+5.00", "−0.01"]
    assert (mean.section, mean.labels) == ("Means", ("Easy, mean of 2 of 4",))
    assert [str(cell) for cell in mean.cells][:5] == ["90.00", "89.00", "95.00", "+6.00", "+5.00"]
    assert fine_tuning_table(Measured(frame(row("blur:1.1", "cozzolino2017", acc=0.9)))) is None


def test_rows_stand_in_the_papers_order_and_forms_with_settings_beside_their_plain_form() -> None:
    names = ["xception", "other", "cozzolino2017:steps=0", "spam-svm", "cozzolino2017"]
    assert ordered(names, FOUR) == ["spam-svm", "cozzolino2017", "cozzolino2017:steps=0", "xception", "other"]
    assert take_apart("pgd:epsilon=2,steps=10") == ("pgd", {"epsilon": "2", "steps": "10"})


def test_rows_without_a_column_are_refused_with_its_name() -> None:
    with pytest.raises(StudyError, match=r"lack the column\(s\) auc"):
        Measured(frame(row()).drop(columns="auc"))


def test_texts_that_were_read_back_as_nan_are_empty_texts() -> None:
    rows = frame(row("median:7", "spam-svm", tpr=0.5, target=math.nan, attack=math.nan))
    assert Measured(rows).spread("tpr", "median:7", "spam-svm") is not None


def test_html_escapes_every_text() -> None:
    table = Table("k", None, "<b>", "a & b", ("M",), (Column("<i>"),), (Row("", ("<u>",), (Cell(("<s>",)),)),))
    assert not re.search(r"<(b|i|u|s)>", to_html(table))


def test_the_terminal_shows_the_same_figures() -> None:
    console = Console(width=200, file=io.StringIO())
    with console.capture() as shown:
        console.print(to_terminal(report_tables(simulate(("median:7",), contests=CONTESTS[:1]))[1]))
    assert "paper 99.16" in shown.get()


# --- findings and figures ---


def test_the_finding_is_computed_from_the_rows() -> None:
    rows = frame(
        row("median:7", "bayar2016", tpr=1.0, acc=0.99),
        row("median:7", "spam-svm", tpr=0.9, acc=0.80),
        row("median:7", "bayar2016", target="bayar2016", attack="fgsm", tpr=0.05),
        row("median:7", "spam-svm", target="bayar2016", attack="fgsm", tpr=0.70),
    )
    first, second, third, fourth = findings(Measured(rows))
    assert "between 80.00 % (SPAM + SVM on Median 7 × 7) and 99.00 % (Bayar2016 on Median 7 × 7)" in first
    assert second == (
        "FGSM aimed at Bayar2016 takes the TPR of its target from 100.00 % to 5.00 % and that of the other "
        "judges from 90.00 % to 70.00 % (means over 1 manipulation)."
    )
    assert "keeps a TPR of 5.00 % (before: 100.00 %)" in third
    assert "2 TPRs under attack can be compared" in fourth


def test_no_rows_no_findings() -> None:
    assert findings(Measured(NO_ROWS)) == []


def test_a_roc_curve_of_separable_and_of_equal_logits() -> None:
    fpr, tpr = roc([-2.0, -1.0], [1.0, 2.0])
    assert max(tpr[fpr == 0]) == 1.0
    fpr, tpr = roc([1.0, 1.0], [1.0, 1.0])
    assert (fpr.tolist(), tpr.tolist()) == ([0.0, 1.0], [0.0, 1.0])


@pytest.mark.parametrize(
    ("attack", "aligned", "told"), [("gan-vgg", True, True), ("gan-vgg", False, False), ("fgsm", True, False)]
)
def test_beside_what_a_generator_gave_stands_what_was_taken(attack: str, aligned: bool, told: bool) -> None:
    strip = dataclasses.replace(_strip("median:7", "", attack, 1, 64, np.random.default_rng(0)), aligned=aligned)
    (drawn,) = strip_pictures([strip])
    assert ("what was taken" in drawn.caption) == told
    (plain,) = strip_pictures([dataclasses.replace(strip, aligned=False)])
    assert (drawn.png != plain.png) == told


def test_noise_is_amplified_until_it_fills_the_range() -> None:
    assert amplification([np.array([0, 0], np.int16)]) == 64
    assert amplification([np.array([-200, 200], np.int16)]) == 1


# --- the written report ---


class Balance(HTMLParser):
    """Follows the tags of a page; a tag that closes another one, or stays open, is an error."""

    VOID = frozenset({"meta", "img", "br", "link"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.addresses: list[str] = []
        self.ids: list[str] = []
        self.anchors: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in self.VOID:
            self.open.append(tag)
        for name, value in attrs:
            if name == "id" and value:
                self.ids.append(value)
            if name in ("href", "src") and value:
                (self.anchors if value.startswith("#") else self.addresses).append(value)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def outcome() -> Outcome:
    small = simulate(("median:7", "blur:0.5"), ("spam-svm", "bayar2016"), (("bayar2016", "fgsm"), ("", "gan-kim")))
    return dataclasses.replace(small, failures=("train xception: <no memory>",), left_out=("x.jpg: truncated",))


@pytest.fixture(scope="module")
def page(outcome: Outcome, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_report(outcome, tmp_path_factory.mktemp("report"))


def test_the_page_stands_alone_and_is_well_formed(page: Path) -> None:
    text = page.read_text("utf-8")
    balance = Balance()
    balance.feed(text)
    assert balance.open == []
    assert len(balance.ids) == len(set(balance.ids))
    assert {anchor[1:] for anchor in balance.anchors} <= set(balance.ids)
    assert all(address.startswith("data:image/png;base64,") for address in balance.addresses)
    assert not re.search(r"https?://|<script|@import|url\(", text)
    assert "&lt;none&gt; &amp; &#34;nowhere&#34;" in text
    assert "train xception: &lt;no memory&gt;" in text
    assert "x.jpg: truncated" in text


def test_tables_and_figures_are_written_beside_the_page(page: Path) -> None:
    tables = {path.name for path in (page.parent / "tables").iterdir()}
    assert tables == {
        f"{stem}.{form}"
        for stem in ("table1", "table2", "table5", "noise-or-restoration", "attacks")
        for form in ("md", "tex")
    }
    figures = {path.name for path in (page.parent / "figures").iterdir()}
    stems = {name.rsplit(".", 1)[0] for name in figures}
    assert figures == {f"{stem}.{form}" for stem in stems for form in ("png", "pdf")}
    assert {
        "transfer-fgsm",
        "attack-costs",
        "roc-fgsm-bayar2016",
        "logits-gan-kim",
        "strips-fgsm-bayar2016",
        "learning-curves",
        "spectra",
    } <= stems
    assert not any(path.name.endswith(".part") for path in page.parent.rglob("*"))


def test_the_same_outcome_gives_the_same_bytes(outcome: Outcome, page: Path, tmp_path: Path) -> None:
    write_report(outcome, tmp_path)
    names = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file())
    assert names == sorted(p.relative_to(page.parent) for p in page.parent.rglob("*") if p.is_file())
    for name in names:
        assert (tmp_path / name).read_bytes() == (page.parent / name).read_bytes(), name


def test_a_report_is_drawn_again_only_where_it_would_differ(
    outcome: Outcome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = dataclasses.replace(outcome, scores=[], strips=[], curves=[])
    drawn: list[Outcome] = []
    pictures = report.all_pictures
    monkeypatch.setattr(report, "all_pictures", lambda given, rows: drawn.append(given) or pictures(given, rows))
    write_report(small, tmp_path)
    table, page = tmp_path / "tables" / "table1.md", tmp_path / "report.html"
    first = table.read_text("utf-8"), page.read_text("utf-8")
    write_report(small, tmp_path)
    assert len(drawn) == 1
    table.unlink()
    write_report(small, tmp_path)
    assert len(drawn) == 2
    assert (table.read_text("utf-8"), page.read_text("utf-8")) == first
    rows = small.rows.assign(tpr=0.5)
    write_report(dataclasses.replace(small, rows=rows), tmp_path)
    assert len(drawn) == 3
    assert table.read_text("utf-8") != first[0]


def test_what_an_earlier_report_had_is_removed_and_nothing_else(outcome: Outcome, tmp_path: Path) -> None:
    write_report(outcome, tmp_path)
    mine = tmp_path / "tables" / "mine.md"
    mine.write_text("kept", encoding="utf-8")
    stamped = json.loads((tmp_path / STAMP).read_text("utf-8"))
    stamped["files"].append("../elsewhere.md")
    (tmp_path / STAMP).write_text(json.dumps(stamped), encoding="utf-8")
    elsewhere = tmp_path.parent / "elsewhere.md"
    elsewhere.write_text("kept", encoding="utf-8")
    old = set(tmp_path.rglob("*.*"))
    write_report(PARTIAL["nothing at all"], tmp_path)
    assert set(tmp_path.rglob("*.*")) < old
    assert not list((tmp_path / "figures").iterdir())
    assert mine.read_text("utf-8") == elsewhere.read_text("utf-8") == "kept"


def test_simulated_cameras_are_announced_and_only_they(outcome: Outcome, page: Path, tmp_path: Path) -> None:
    warning = "come from a camera\nsimulation"
    assert warning in page.read_text("utf-8")
    bare = dataclasses.replace(outcome, simulated=(), scores=(), strips=(), curves=())
    assert warning not in write_report(bare, tmp_path).read_text("utf-8")
    half = dataclasses.replace(bare, simulated=("train", "validation"))
    text = write_report(half, tmp_path).read_text("utf-8")
    assert "Trained on simulated cameras." in text
    assert warning not in text


def test_a_device_on_both_sides_of_the_split_is_named(outcome: Outcome, page: Path, tmp_path: Path) -> None:
    assert "No device that a detector was tested on was seen" in page.read_text("utf-8")
    photos = outcome.photos.assign(device=outcome.photos["device"].replace("camera-4", "camera-0"))
    mixed = dataclasses.replace(outcome, photos=photos, scores=(), strips=(), curves=())
    text = write_report(mixed, tmp_path).read_text("utf-8")
    assert "in another role too" in text
    assert re.search(r"tested on:\s+camera-0\.", text)


PARTIAL = {
    "nothing at all": Outcome("empty", "", (), NO_ROWS, (), (), (), NO_PHOTOS, {}),
    "no attack": simulate(("median:7",), ("spam-svm",), (), patches=30),
    "colour": simulate(
        ("median:7",), ("xception",), (("xception", "fgsm:epsilon=2"),), channels=3, patches=30
    ),
    "rows alone": dataclasses.replace(
        simulate(("median:7", "other:x"), ("spam-svm", "mine"), (("mine", "their-attack"),), patches=30),
        scores=(),
        strips=(),
        curves=(),
        photos=NO_PHOTOS,
    ),
    "no figure in the rows": Outcome("nan", "", (), frame(row()), (), (), (), NO_PHOTOS, {}),
    "no logits": Outcome(
        "bare", "", ("test",), frame(row(tpr=0.5)),
        (Scores(0, "median:7", "spam-svm", np.zeros(0, np.float32), np.zeros(0, np.float32), {}),),
        (), (Curve(0, "median:7", "spam-svm", {"step": [1.0], "loss": [math.nan]}),), NO_PHOTOS, {},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PARTIAL)
def test_a_report_comes_out_of_whatever_there_is(name: str, tmp_path: Path) -> None:
    page = write_report(PARTIAL[name], tmp_path)
    balance = Balance()
    balance.feed(page.read_text("utf-8"))
    assert balance.open == []
    assert not re.search(r">\s*nan\s*<", page.read_text("utf-8"))
    for table in terminal_tables(PARTIAL[name]):
        Console(width=120, quiet=True).print(table)


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    taken = tmp_path / "taken"
    taken.write_text("a file")
    with pytest.raises(StudyError, match=r"cannot write the report to .*taken"):
        write_report(PARTIAL["nothing at all"], taken)


def test_a_report_needs_no_torch_and_no_pyplot() -> None:
    code = "import sys, counterforensics.report; print({'torch', 'matplotlib.pyplot', 'cv2'} & set(sys.modules))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "set()"


# --- attacks beside each other


def test_the_costs_of_an_attack_are_means_over_manipulations_and_their_worst_case() -> None:
    pgd: dict[str, Any] = {"target": "mislnet", "attack": "pgd", "tpr": 0.1, "psnr": 50.0, "changed": 0.5}
    times = pd.DataFrame(
        [(0, "median:7", "mislnet", "pgd", 10, 5.0, "cpu"), (0, "jpeg:70", "mislnet", "pgd", 30, 3.0, "cpu")],
        columns=list(TIME_COLUMNS),
    )
    rows = frame(
        row(detector="mislnet", **pgd, success=0.75, already=0.1),
        row(detector="mislnet", **{**pgd, "psnr": 60.0}, manipulation="jpeg:70", success=1.0, already=0.3),
        row(detector="mislnet:steps=9", **pgd, success=0.9),
        row(detector="xception", **pgd, success=0.2),
    )
    (cost,) = costs(Measured(rows), times)
    assert (cost.success, cost.least_success, cost.already) == (0.875, 0.75, pytest.approx(0.2))
    assert cost.others == 0.2  # the same detector with other settings is no other judge
    assert (cost.psnr, cost.least_psnr, cost.changed) == (55.0, 50.0, 0.5)
    assert (cost.seconds, cost.device) == (0.2, "cpu")
    table = cost_table([cost])
    assert table is not None
    texts = [str(cell) for cell in table.rows[0].cells]
    assert texts == ["87.50", "75.00", "20.00", "20.00", "55.00", "50.00", "50.00", "0.2"]
    assert table.rows[0].labels == ("PGD", "MISLnet")
    assert cost_table([]) is None


def test_an_attack_without_a_target_is_judged_by_all() -> None:
    rows = frame(*(row(detector=name, attack="gan-kim", tpr=0.1, success=value) for name, value in SUCCESSES.items()))
    (cost,) = costs(Measured(rows), pd.DataFrame(columns=list(TIME_COLUMNS)))
    assert cost.success == pytest.approx(0.3)
    assert cost.seconds is None
    assert cost_pictures([cost]) == []


SUCCESSES = {"mislnet": 0.2, "xception": 0.4}


@pytest.mark.parametrize("kinds", [3, 14])
def test_the_legend_of_many_attacks_stays_on_the_page_and_names_trainings_once(kinds: int) -> None:
    (one,) = costs(
        Measured(frame(row(detector="mislnet", attack="gan-kim", tpr=0.1, success=0.9, psnr=40.0))),
        pd.DataFrame(columns=list(TIME_COLUMNS)),
    )
    settings = [f"size=small,members={count},features=False,co_occurrence=0" for count in range(kinds)]
    shown = [dataclasses.replace(one, attack=f"gan-ensemble:{text}") for text in settings]
    (picture,) = cost_pictures(shown)
    pixels = decoded(picture)
    assert (pixels[:, :4] == 255).all()
    assert (pixels[:, -4:] == 255).all()
    again = [dataclasses.replace(cost, attack=f"{cost.attack},seed=1") for cost in shown]
    (picture,) = cost_pictures([*shown, *again])
    np.testing.assert_array_equal(decoded(picture)[-200:], pixels[-200:])


def decoded(picture: Picture) -> npt.NDArray[np.uint8]:
    with Image.open(io.BytesIO(picture.png)) as png:
        return np.asarray(png.convert("L"))


def test_of_many_contests_the_first_attack_and_one_generator_of_each_kind_get_figures_of_their_own() -> None:
    few = [("a", "fgsm"), ("b", "fgsm"), ("a", "pgd")]
    assert worth_drawing(few) == (few, "")
    many = [(target, attack) for attack in ("fgsm", "pgd", "jsma") for target in "abcd"]
    drawn, why = worth_drawing(many)
    assert drawn == many[:4]
    generators = [("", "gan-vgg"), ("", "gan-kim:size=small"), ("", "gan-vgg:seed=1")]
    assert worth_drawing([*many, *generators])[0] == [*many[:4], *generators[:2]]
    assert "because 12 pairs of attack and target are too many" in why


def test_trainings_that_differ_in_the_seed_alone_share_a_row_of_curves(monkeypatch: pytest.MonkeyPatch) -> None:
    rows: list[list[str]] = []
    monkeypatch.setattr(
        report_figures, "_learning_panel", lambda axes, own, column: rows.append([c.detector for c in own])
    )
    columns = {"step": [0.0, 10.0], "loss": [1.0, 0.7]}
    names = ["gan-vgg", "gan-vgg:seed=1", "gan-vgg:size=small", "gan-vgg:seed=1,size=small"]
    learning_pictures([Curve(0, "median:7", name, columns) for name in names])
    assert rows == [names[:2], names[2:]]


def test_the_loss_of_an_untrained_network_does_not_flatten_its_curve() -> None:
    axes = Figure().subplots()
    columns = {"step": [0.0, 10.0, 20.0], "loss": [1300.0, 0.7, 0.4]}
    _learning_panel(axes, [Curve(0, "median:7", "xception", columns)], "loss")
    assert axes.get_ylim() == pytest.approx((0, 0.77))
    axes = Figure().subplots()
    _learning_panel(axes, [Curve(0, "median:7", "xception", columns | {"loss": [1.0, 0.7, 0.4]})], "loss")
    assert axes.get_ylim()[1] > 1
