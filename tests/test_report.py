"""The report: what its tables say, how they are written, and that a page comes out of any outcome."""

from __future__ import annotations

import dataclasses
import io
import json
import math
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image
from rich.console import Console

from counterforensics import report
from counterforensics.error_rates import roc
from counterforensics.errors import StudyError
from counterforensics.evaluation import frequencies
from counterforensics.outcome import (
    ALL,
    DEVICE_COLUMNS,
    LABEL_COLUMNS,
    ROW_COLUMNS,
    TIME_COLUMNS,
    TRAINING_COLUMNS,
    Curve,
    Outcome,
    PatchStates,
    Scores,
    Spectra,
    default_labels,
    take_apart,
)
from counterforensics.report import report_tables, terminal_tables, write_report
from counterforensics.report.figures import all_pictures
from counterforensics.report.figures.costs import cost_pictures
from counterforensics.report.figures.learning import draw_panel, learning_pictures
from counterforensics.report.figures.patches import amplification, patch_pictures
from counterforensics.report.figures.spectra import spectra_pictures
from counterforensics.report.figures.style import Picture, detector_styles, fitted, text_width, worth_drawing
from counterforensics.report.figures.transfer import transfer_maps
from counterforensics.report.findings import findings
from counterforensics.report.formats import latex, to_html, to_latex, to_markdown, to_terminal
from counterforensics.report.labels import DETECTORS, Labels, ordered
from counterforensics.report.manifest import MANIFEST, digest_of
from counterforensics.report.results import Results
from counterforensics.report.tables import all_tables
from counterforensics.report.tables.attacks import attack_table
from counterforensics.report.tables.costs import attack_costs, cost_table
from counterforensics.report.tables.fine_tuning import fine_tuning_table
from counterforensics.report.tables.model import Cell, Column, Row, Sample, Table
from counterforensics.report.tables.restoration import restoration_table
from counterforensics.report.tables.settings import settings_table
from counterforensics.report.tables.trainings import trainings_table

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
SETTLED = "mislnet:steps=300,optimiser=adamw"
NO_TIMES = pd.DataFrame(columns=list(TIME_COLUMNS))


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
    states = [patch_states(m, *contest, channels, side, random) for contest in contests for m in manipulations[:4]]
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
        patches=states,
        curves=curves,
        spectra=spectra,
        photos=_photos(),
        provenance={"counterforensics": "0.1.0", "command": "counterforensics run demo", "seeds": "0"},
    )


def crowd(count: int, *, manipulations: tuple[str, ...] = EIGHT, **changes: Any) -> Outcome:
    """A study of `count` detectors, the known ones and plug-ins with labels of up to 40 letters, and six attacks."""
    own = [f"plug-in-{number}:depth={number}" for number in range(20)]
    detectors = [*DETECTORS, "cozzolino2017:steps=0", *own][:count]
    targeted = [(target, attack) for attack in ("fgsm", "pgd:epsilon=2", "pgd") for target in detectors[:20]]
    contests = (*targeted, ("", "gan-kim"), ("", "gan-vgg"), ("", "gan-vgg:seed=1"), ("", "spam-descent:goal=pristine"))
    told = {name: f"Our detector number {number}, with a $ label"[:40] for number, name in enumerate(own)}
    attacks = list(dict.fromkeys(attack for _, attack in contests))
    labels = pd.DataFrame(
        [label_line("detector", name, {**default_labels(detectors), **told}[name]) for name in detectors]
        + [label_line("attack", name, label) for name, label in default_labels(attacks).items()],
        columns=list(LABEL_COLUMNS),
    )
    outcome = simulate(manipulations, tuple(detectors), contests, **changes)
    shown = dict(zip(labels["part"], labels["label"], strict=True))
    rows = outcome.rows.assign(
        label=outcome.rows["detector"].map(shown),
        target_label=outcome.rows["target"].map(shown).fillna(""),
        attack_label=outcome.rows["attack"].map(shown).fillna(""),
    )
    return dataclasses.replace(outcome, rows=rows, labels=labels)


def by_device(outcome: Outcome, devices: int) -> Outcome:
    """The outcome with a line for each row and device; each further device has 10 more false alarms."""
    lines = [
        {
            **{name: row[name] for name in DEVICE_COLUMNS[:5]},
            **{"device": f"camera-{number}", "photos": 4, "n_pristine": 100, "n_manipulated": 100},
            **{"fp": 10 * number, "tp": 90, "tpr": 0.9, "tpr_low": 0.8, "tpr_high": 0.95},
            **{"fpr": number / 10, "fpr_low": 0.0, "fpr_high": number / 10 + 0.05},
            **{"acc": 0.95 - number / 20, "acc_low": 0.4, "acc_high": 0.98},
        }
        for row in outcome.rows.to_dict("records")
        for number in range(devices)
    ]
    return dataclasses.replace(outcome, devices=pd.DataFrame(lines, columns=list(DEVICE_COLUMNS)))


def label_line(role: str, part: str, label: str) -> tuple[str, str, str, str, str, bool, str]:
    """One line of labels.csv."""
    name, _, settings = part.partition(":")
    plug_in = "forensic-extras 1.2" if name.startswith("plug-in") else ""
    return role, label, part, name, settings, name.startswith("gan-"), plug_in


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


def patch_states(
    manipulation: str, target: str, attack: str, channels: int, side: int, random: np.random.Generator
) -> PatchStates:
    scene = np.cumsum(np.cumsum(random.normal(size=(channels, side, side)), axis=1), axis=2)
    scene = (scene - scene.min()) / np.ptp(scene) * 200 + random.normal(0, 6, scene.shape) + 25
    pristine = scene.round().clip(0, 255).astype(np.uint8)
    manipulated = ((scene + np.roll(scene, 1, axis=2)) / 2).round().clip(1, 254).astype(np.uint8)
    noise = random.choice([-1, 1], size=scene.shape)
    return PatchStates(
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


def papers_tables(*rows: dict[str, object]) -> list[Table]:
    """The tables of these rows that are laid out as the paper's."""
    tables = all_tables(Results(frame(*rows)), NO_TIMES)
    return [table for table in tables if table.key.startswith(("table", "attack-"))]


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
    (table, *_) = papers_tables(ours)
    texts = [cell.lines[0] for cell in table.rows[0].cells]
    # paper, ours, difference for FPR, TPR (with its interval) and ACC; then the AUC.
    assert texts == ["0.85", "1.85", "+1.00", "99.96", "99.46", "—", "−0.50", "99.56", "99.00", "−0.56", "—"]


def test_the_erratum_is_printed_as_it_stands_and_flagged() -> None:
    (table, *_) = papers_tables(row("jpeg:90", "bayar2016", fpr=0.3, tpr=0.9, acc=0.8))
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
    table = attack_table(Results(rows), [("cozzolino2017", "fgsm")], Sample(photos=12, devices=3))
    assert table.heading == "Table III. TPR under FGSM, target Cozzolino2017"
    assert [column.strong for column in table.columns] == [True, False, False, False, False, False]
    (only,) = table.rows
    assert only.cells[0].lines == ("85.00", "[80.00, 90.00]", "paper 88.20 (−3.20)")
    assert only.cells[1].lines == ("50.00",)
    assert [str(cell) for cell in only.cells[2:]] == ["48.13", "1.000", "25.00 %", "—"]
    assert "of 12 test photographs from 3 devices; 95 % intervals, resampled by photo." in table.caption
    assert table.notes[0].startswith("FGSM follows the gradient of the logit.")
    assert table.notes[1] == "The paper has no figures for these detectors: MISLnet."
    assert table.notes[-1].endswith("as one trial. Of 12 photographs, a rate of 100 % has the interval [75.8, 100.0].")
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
    own = row("median:7", "bayar2016", target=target, attack=attack, tpr=0.5)
    # Beside the plain attack, the label of one with settings names these.
    tables = papers_tables(own, row("median:7", "bayar2016", target="cozzolino2017", attack="fgsm"))
    assert len(tables) == 2
    table = next(table for table in tables if table.key == key)
    assert table.heading == heading
    compared = any(line.startswith("paper") for cell in table.rows[0].cells for line in cell.lines)
    assert compared is heading.startswith("Table ")
    assert any(note.startswith("The paper ") for note in table.notes) is not compared


def test_both_gans_share_table_v() -> None:
    rows = [row("median:3", "xception", attack=gan, tpr=0.5) for gan in ("gan-kim", "gan-vgg")]
    (table,) = papers_tables(*rows)
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
    table = restoration_table(Results(frame(*rows)))
    assert table is not None
    assert [(r.section, *r.labels, *(str(cell) for cell in r.cells)) for r in table.rows] == [
        ("Median 7 × 7", "none", "—", "99.00", "98.00", "—", "30.25"),
        ("Median 7 × 7", "FGSM", "Bayar2016", "97.00", "0.00 target", "48.13", "30.10"),
        ("Median 7 × 7", "GAN restoration (VGG)", "—", "3.00", "40.00", "38.00", "31.50"),
    ]
    assert restoration_table(Results(frame(*rows[:4]))) is None


def training(**facts: Any) -> dict[str, object]:
    """One line of trainings.csv with the facts given and NaN for every other."""
    empty: dict[str, object] = dict.fromkeys(TRAINING_COLUMNS, math.nan)
    return {**empty, "study": "s", "seed": 0, "manipulation": "median:7", "role": "generator", **facts}


def trainings(*lines: dict[str, object]) -> pd.DataFrame:
    return pd.DataFrame(list(lines), columns=list(TRAINING_COLUMNS))


def test_trainings_that_differ_in_the_seed_alone_stand_in_one_line() -> None:
    attacks = ("gan-vgg:size=small", "gan-vgg:size=small,seed=1", "gan-vgg:seed=2,size=small")
    rows = [
        row("median:7", "xception", attack=attack, tpr=tpr, psnr_pristine=30 + tpr, psnr_before=29.5)
        for attack, tpr in zip(attacks, (0.1, 0.2, 0.6), strict=True)
    ]
    ended = [
        training(part=attack, ended=ending)
        for attack, ending in zip(attacks, ("planned", "planned", "collapsed"), strict=True)
    ]
    others = [row("median:7", "xception", attack=attack) for attack in ("gan-kim:size=small", "gan-vgg", "fgsm")]
    once = [row("median:7", "xception", attack="gan-kim:weights=there", seed=seed) for seed in (0, 1)]
    everything = frame(*rows, *others, *once)
    table = trainings_table(Results(everything, trainings(*ended)))
    assert table is not None
    assert [(r.section, *r.labels, *(c.lines for c in r.cells)) for r in table.rows] == [
        (
            *("Median 7 × 7", "GAN restoration (VGG) (size = small)", ("3",), ("2 of 3",)),
            *(("30.00", "10.00 to 60.00"), ("30.30", "30.10 to 30.60"), ("29.50", "29.50 to 29.50")),
        )
    ]
    assert table.title == "What training owes to chance: Median 7 × 7"  # no heading says it, where it is the only one
    assert trainings_table(Results(frame(*others))) is None
    # Where no training is told of, nobody knows how the three ended.
    untold = trainings_table(Results(everything))
    assert untold is not None
    assert [cell.lines for cell in untold.rows[0].cells[:2]] == [("3",), ("—",)]


def test_a_training_that_failed_is_counted_by_the_rows_that_it_leaves_empty() -> None:
    rows = [row(detector=judge, attack="gan-kim") for judge in ("a", "b")]
    failed = [row(detector="a", attack="gan-kim", seed=1)]
    told = trainings(training(part="gan-kim", ended="planned"), training(part="gan-kim", manipulation="jpeg:70"))
    assert Results(frame(*rows, *failed), told).endings("median:7", "gan-kim") == (2, 1)
    assert Results(frame(*rows, *failed)).endings("median:7", "gan-kim") == (2, None)


def test_the_facts_of_a_detectors_training_become_a_sentence() -> None:
    facts: dict[str, Any] = {"role": "detector", "device": "a GPU", "precision": "bfloat16", "augmentation": "flips"}
    told = trainings(
        training(part="xception", **facts, patches=64_000, start_patches=480),
        training(part="xception", **facts, patches=64_000, start_patches=480, manipulation="jpeg:70"),
        training(part="mislnet", **facts, patches=14_400),
        training(part="spam-svm", role="detector"),
    )
    rows = [row("median:7", name, acc=0.9) for name in ("spam-svm", "xception", "mislnet")]
    table = all_tables(Results(frame(*rows), told), NO_TIMES)[0]
    # One sentence for trainings alike, and none of an SVM, which has no such facts.
    assert [note for note in table.notes if "trained" in note] == [
        "Xception was trained on: a GPU; bfloat16; flips; 64000 patches after a start on 480.",
        "MISLnet was trained on: a GPU; bfloat16; flips; 14400 patches.",
    ]


@pytest.mark.parametrize(
    ("facts", "told"),
    [
        ({"ended": "planned", "best_step": 12}, "12 steps of 8 pairs, as planned"),
        (
            {"ended": "planned", "best_step": 6},
            "12 steps of 8 pairs, as planned; the generator of step 6 is kept",
        ),
        (
            {"ended": "collapsed", "best_step": 6, "reason": "the discriminator collapsed at step 9"},
            "12 steps of 8 pairs, the discriminator collapsed at step 9; the generator of step 6 is kept",
        ),
        ({"ended": "diverged"}, "12 steps of 8 pairs, diverged"),
        ({}, "12 steps of 8 pairs"),
    ],
)
def test_the_facts_of_a_generators_training_become_a_sentence(facts: dict[str, Any], told: str) -> None:
    start: dict[str, Any] = {"part": "gan-vgg", "device": "cpu", "precision": "float32", "steps": 12}
    line = training(**start, pairs_per_step=8, perceptual_net="discriminator", **facts)
    results = Results(frame(row("median:7", "xception", attack="gan-vgg", tpr=0.5)), trainings(line))
    table = attack_table(results, [("", "gan-vgg")])
    assert [note for note in table.notes if "was trained on" in note] == [
        "GAN restoration (VGG) was trained on: cpu; float32; perceptual space: features of the discriminator when it "
        f"had learned to detect the manipulation; {told}."
    ]


def test_what_older_rows_say_of_trainings_is_not_read() -> None:
    rows = frame(row("median:7", "xception", attack="gan-vgg", tpr=0.5), row("median:7", "xception", acc=0.5))
    old = rows.assign(training="cpu; float32; 9 patches", learned="cpu; as planned")
    tables = all_tables(Results(old.drop(columns=["label", "target_label", "attack_label"])), NO_TIMES)
    assert not any("was trained on" in note for table in tables for note in table.notes)


@pytest.fixture
def plotted(monkeypatch: pytest.MonkeyPatch) -> list[tuple[float, ...]]:
    """The heights of every line that is plotted, in order."""
    lines: list[tuple[float, ...]] = []
    plot = Axes.plot

    def record(axes: Axes, *args: Any, **style: Any) -> Any:
        if len(args) == 2:
            lines.append(tuple(np.ravel(args[1]).tolist()))
        return plot(axes, *args, **style)

    monkeypatch.setattr(Axes, "plot", record)
    return lines


def decibels(*levels: float) -> list[tuple[float, ...]]:
    """A flat line of two frequencies for each power."""
    return [(10 * math.log10(level),) * 2 for level in levels]


def test_every_attack_has_a_line_of_its_own_in_the_spectra_of_what_it_hides(
    plotted: list[tuple[float, ...]],
) -> None:
    def spectra(manipulation: str, target: str, attack: str, after: float) -> Spectra:
        levels = [np.full(2, level) for level in (1.0, 2.0, after)]
        return Spectra(manipulation, target, attack, np.arange(2.0), *levels)

    of_blur = [spectra("blur:1.1", "xception", f"fgsm:epsilon={number}", 3.0) for number in range(1, 30)]
    of_median = spectra("median:7", "", "gan-kim", 4.0)
    assert len(spectra_pictures([*of_blur, of_median], Labels())) == 1
    expected = decibels(1, 2, *[3] * 29, 1, 2, 4)
    assert len(plotted) == len(expected)
    np.testing.assert_allclose(plotted, expected)
    assert spectra_pictures([], Labels()) == []


def test_residual_spectra_are_drawn_where_no_pixel_moved(plotted: list[tuple[float, ...]]) -> None:
    def spectra(manipulation: str, attack: str, **residual: npt.NDArray[np.float64]) -> Spectra:
        pristine, manipulated, concealed = (np.full(2, level) for level in (1.0, 2.0, 3.0))
        return Spectra(manipulation, "", attack, np.arange(2.0), pristine, manipulated, concealed, **residual)

    of_resize = spectra("resize:1.5", "gan-kim")
    of_median = spectra("median:7", "gan-kim", taken=np.full(2, 4.0), missing=np.full(2, 5.0))
    again = spectra("median:7", "gan-kim:seed=1", taken=np.full(2, 4.0), missing=np.full(2, 6.0))
    whole, residual = spectra_pictures([of_resize, of_median, again], Labels())
    assert (whole.key, residual.key) == ("spectra", "residual-spectra")
    # A resized patch has no difference to a pristine one, and a second training no line of its own.
    expected = decibels(1, 2, 3, 1, 2, 3, 1, 4, 5)
    assert len(plotted) == len(expected)
    np.testing.assert_allclose(plotted, expected)


def test_a_detector_with_settings_is_a_column_of_its_own_without_a_claim() -> None:
    names = ("cozzolino2017:steps=0", "cozzolino2017")
    rows = [row("jpeg:70", name, target="bayar2016", attack="fgsm", tpr=0.1) for name in names]
    (table,) = papers_tables(*rows)
    assert [column.heading for column in table.columns[:2]] == ["Cozzolino2017", "Cozzolino2017 (steps = 0)"]
    assert [cell.lines[-1] for cell in table.rows[0].cells[:2]] == ["paper 0.08 (+9.92)", "10.00"]


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
    (table,) = papers_tables(*rows)
    assert table.rows[0].cells[0].lines == ("35.00", "[10.00, 60.00]", "20.00 to 50.00")
    assert any("means over 2 seeds (0, 1)" in note for note in table.notes)


def test_the_gain_by_fine_tuning() -> None:
    accuracies = {"spam-svm": 0.90, "cozzolino2017:steps=0": 0.89, "cozzolino2017": 0.95}
    rows = [row(m, name, acc=acc) for m in ("blur:1.1", "jpeg:70") for name, acc in accuracies.items()]
    table = fine_tuning_table(Results(frame(*rows)))
    assert table is not None
    first, _, mean = table.rows
    # Three accuracies, the gain, the lead over SPAM, and the paper's lead: 99.96 - 99.97.
    assert [str(cell) for cell in first.cells] == ["90.00", "89.00", "95.00", "+6.00", "+5.00", "−0.01"]
    assert (mean.section, mean.labels) == ("Means", ("Easy, mean of 2 of 4",))
    assert [str(cell) for cell in mean.cells][:5] == ["90.00", "89.00", "95.00", "+6.00", "+5.00"]
    assert fine_tuning_table(Results(frame(row("blur:1.1", "cozzolino2017", acc=0.9)))) is None


def test_rows_stand_in_the_papers_order_and_forms_with_settings_beside_their_plain_form() -> None:
    names = ["xception", "other", "cozzolino2017:steps=0", "spam-svm", "cozzolino2017"]
    assert ordered(names, FOUR) == ["spam-svm", "cozzolino2017", "cozzolino2017:steps=0", "xception", "other"]
    assert take_apart("pgd:epsilon=2,steps=10") == ("pgd", {"epsilon": "2", "steps": "10"})


def test_rows_without_a_column_are_refused_with_its_name() -> None:
    with pytest.raises(StudyError, match=r"lack the column\(s\) auc"):
        Results(frame(row()).drop(columns="auc"))


def test_texts_that_were_read_back_as_nan_are_empty_texts() -> None:
    rows = frame(row("median:7", "spam-svm", tpr=0.5, target=math.nan, attack=math.nan))
    assert Results(rows).spread("tpr", "median:7", "spam-svm") is not None


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
    first, second, third, fourth = findings(Results(rows))
    assert "between 80.00 % (SPAM + SVM on Median 7 × 7) and 99.00 % (Bayar2016 on Median 7 × 7)" in first
    assert second == (
        "FGSM aimed at Bayar2016 takes the TPR of its target from 100.00 % to 5.00 % and that of the other "
        "judges from 90.00 % to 70.00 % (means over 1 manipulation)."
    )
    assert "Bayar2016 keeps the highest TPR: 5.00 % on Median 7 × 7 under FGSM (before: 100.00 %)" in third
    assert "2 TPRs under attack can be compared" in fourth


def test_no_rows_no_findings() -> None:
    assert findings(Results(NO_ROWS)) == []


def test_a_roc_curve_of_separable_and_of_equal_logits() -> None:
    fpr, tpr = roc([-2.0, -1.0], [1.0, 2.0])
    assert max(tpr[fpr == 0]) == 1.0
    fpr, tpr = roc([1.0, 1.0], [1.0, 1.0])
    assert (fpr.tolist(), tpr.tolist()) == ([0.0, 1.0], [0.0, 1.0])


@pytest.mark.parametrize(
    ("attack", "aligned", "told"), [("gan-vgg", True, True), ("gan-vgg", False, False), ("fgsm", True, False)]
)
def test_beside_what_a_generator_gave_stands_what_was_taken(attack: str, aligned: bool, told: bool) -> None:
    patch = dataclasses.replace(patch_states("median:7", "", attack, 1, 64, np.random.default_rng(0)), aligned=aligned)
    (drawn,) = patch_pictures([patch], Labels())
    assert ("what was taken" in drawn.caption) == told
    (plain,) = patch_pictures([dataclasses.replace(patch, aligned=False)], Labels())
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
    return dataclasses.replace(
        small, failures=("train xception: <no memory>",), left_out=("x.jpg: truncated",), notes=("y.jpg: odd",)
    )


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
    assert all(
        address.startswith(("data:image/png;base64,", "data:image/webp;base64,")) for address in balance.addresses
    )
    assert not re.search(r"https?://|<script .|@import|url\(", text)
    assert text.count("<script>") == 1
    assert "&lt;none&gt; &amp; &#34;nowhere&#34;" in text
    assert "<li>y.jpg: odd</li>" in text
    assert "train xception: &lt;no memory&gt;" in text
    assert "x.jpg: truncated" in text


def test_tables_and_figures_are_written_beside_the_page(page: Path) -> None:
    tables = {path.name for path in (page.parent / "tables").iterdir()}
    assert tables == {
        f"{stem}.{form}"
        for stem in ("table1", "table2", "table5", "noise-or-restoration", "attacks", "settings")
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
        "patches-fgsm-bayar2016",
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
    small = dataclasses.replace(outcome, scores=[], patches=[], curves=[])
    drawn: list[Outcome] = []

    def draw(given: Outcome, results: Results) -> list[Picture]:
        drawn.append(given)
        return all_pictures(given, results)

    monkeypatch.setattr("counterforensics.report.all_pictures", draw)
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
    written = json.loads((tmp_path / MANIFEST).read_text("utf-8"))
    written["files"].append("../elsewhere.md")
    (tmp_path / MANIFEST).write_text(json.dumps(written), encoding="utf-8")
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
    bare = dataclasses.replace(outcome, simulated=(), scores=(), patches=(), curves=())
    assert warning not in write_report(bare, tmp_path).read_text("utf-8")
    half = dataclasses.replace(bare, simulated=("train", "validation"))
    text = write_report(half, tmp_path).read_text("utf-8")
    assert "Trained on simulated cameras." in text
    assert warning not in text


def test_a_device_on_both_sides_of_the_split_is_named(outcome: Outcome, page: Path, tmp_path: Path) -> None:
    assert "No device that a detector was tested on was seen" in page.read_text("utf-8")
    photos = outcome.photos.assign(device=outcome.photos["device"].replace("camera-4", "camera-0"))
    mixed = dataclasses.replace(outcome, photos=photos, scores=(), patches=(), curves=())
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
        patches=(),
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
    heavy = "torch", "sklearn", "matplotlib.pyplot", "cv2"
    code = f"import sys, counterforensics.report; print(set({heavy}) & set(sys.modules))"
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
    (cost,) = attack_costs(Results(rows), times)
    assert (cost.success, cost.least_success) == (0.875, 0.75)
    assert cost.already == pytest.approx(0.2)
    assert cost.others == 0.2  # the same detector with other settings is no other judge
    assert (cost.psnr, cost.least_psnr, cost.changed) == (55.0, 50.0, 0.5)
    assert (cost.seconds, cost.device) == (0.2, "cpu")
    table = cost_table(Labels(), [cost])
    assert table is not None
    texts = [str(cell) for cell in table.rows[0].cells]
    assert texts == ["87.50", "75.00", "20.00", "20.00", "55.00", "50.00", "50.00", "0.2"]
    assert table.rows[0].labels == ("PGD", "MISLnet")
    assert cost_table(Labels(), []) is None


def test_an_attack_without_a_target_is_judged_by_all() -> None:
    rows = frame(*(row(detector=name, attack="gan-kim", tpr=0.1, success=value) for name, value in SUCCESSES.items()))
    (cost,) = attack_costs(Results(rows), NO_TIMES)
    assert cost.success == pytest.approx(0.3)
    assert cost.seconds is None
    assert cost_pictures([cost], Labels(), []) == []


SUCCESSES = {"mislnet": 0.2, "xception": 0.4}


@pytest.mark.parametrize("kinds", [3, 14])
def test_the_legend_of_many_attacks_stays_on_the_page_and_names_trainings_once(kinds: int) -> None:
    rows = frame(row(detector="mislnet", attack="gan-kim", tpr=0.1, success=0.9, psnr=40.0))
    (one,) = attack_costs(Results(rows), NO_TIMES)
    settings = [f"size=small,members={count},features=False,co_occurrence=0" for count in range(kinds)]
    shown = [dataclasses.replace(one, attack=f"gan-ensemble:{text}") for text in settings]
    again = [dataclasses.replace(cost, attack=f"{cost.attack},seed=1") for cost in shown]
    labels = Labels.of_rows(frame(*(row(attack=cost.attack) for cost in [*shown, *again])))
    (picture,) = cost_pictures(shown, labels, [])
    pixels = decoded(picture)
    assert (pixels[:, :4] == 255).all()
    assert (pixels[:, -4:] == 255).all()
    (picture,) = cost_pictures([*shown, *again], labels, [])
    np.testing.assert_array_equal(decoded(picture)[-200:], pixels[-200:])


def decoded(picture: Picture) -> npt.NDArray[np.uint8]:
    with Image.open(io.BytesIO(picture.png)) as png:
        return np.asarray(png.convert("L"))


def test_of_many_contests_the_first_attack_and_one_generator_of_each_kind_get_figures_of_their_own() -> None:
    few = [("a", "fgsm"), ("b", "fgsm"), ("a", "pgd")]
    restores = Labels().restores
    assert worth_drawing(few, restores) == (few, "")
    many = [(target, attack) for attack in ("fgsm", "pgd", "jsma") for target in "abcd"]
    drawn, why = worth_drawing(many, restores)
    assert drawn == many[:4]
    generators = [("", "gan-vgg"), ("", "gan-kim:size=small"), ("", "gan-vgg:seed=1")]
    assert worth_drawing([*many, *generators], restores)[0] == [*many[:4], *generators[:2]]
    assert "because 12 pairs of attack and target are too many" in why


def test_of_many_targets_of_the_first_attack_eight_get_figures_of_their_own() -> None:
    many = [(f"target-{number}", "fgsm") for number in range(20)]
    drawn, _ = worth_drawing([*many, ("", "gan-vgg")], Labels().restores)
    assert drawn == [*many[:8], ("", "gan-vgg")]


@pytest.fixture
def rows_of_curves(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[float]]:
    """The name of each row of learning curves with the first value of every line in it."""
    drawn: dict[Axes, list[float]] = {}
    named: dict[str, list[float]] = {}
    plot, name_axis = Axes.plot, Axes.set_ylabel

    def record(axes: Axes, *args: Any, **style: Any) -> Any:
        drawn.setdefault(axes, []).append(args[1][0])
        return plot(axes, *args, **style)

    def record_name(axes: Axes, ylabel: str, **style: Any) -> Any:
        named[ylabel.replace("\n", " ")] = drawn[axes]
        return name_axis(axes, ylabel, **style)

    monkeypatch.setattr(Axes, "plot", record)
    monkeypatch.setattr(Axes, "set_ylabel", record_name)
    return named


def curve(part: str, first: float, manipulation: str = "median:7", **facts: Any) -> Curve:
    """A learning curve of two points."""
    return Curve(0, manipulation, part, {"step": [0.0, 10.0], "loss": [first, 0.7]}, **facts)


def test_trainings_that_differ_in_the_seed_alone_share_a_row_of_curves(rows_of_curves: dict[str, list[float]]) -> None:
    names = ["gan-vgg", "gan-vgg:seed=1", "gan-vgg:size=small", "gan-vgg:seed=1,size=small"]
    curves = [curve(name, first) for first, name in enumerate(names, 1)]
    learning_pictures(curves, Labels.of_rows(frame(*(row(attack=name) for name in names))))
    assert rows_of_curves == {"GAN restoration (VGG)": [1, 2], "GAN restoration (VGG) (size = small)": [3, 4]}


def test_the_curve_of_a_start_is_called_so_and_stands_last(rows_of_curves: dict[str, list[float]]) -> None:
    start = curve(SETTLED, 3, manipulation=ALL, role="start")
    learning_pictures([start, curve(SETTLED, 1), curve("xception", 2)], Labels.of_rows(frame(row(detector=SETTLED))))
    assert rows_of_curves == {"Xception": [2], "MISLnet": [1], "start of MISLnet": [3]}
    assert list(rows_of_curves) == ["Xception", "MISLnet", "start of MISLnet"]


def test_curves_of_many_learners_are_several_figures(rows_of_curves: dict[str, list[float]]) -> None:
    pictures = learning_pictures([curve(f"plug-in-{number}", number) for number in range(20)], Labels())
    assert [picture.key for picture in pictures] == ["learning-curves", "learning-curves-2", "learning-curves-3"]
    assert rows_of_curves == {f"plug-in-{number}": [number] for number in range(20)}


def test_the_loss_of_an_untrained_network_does_not_flatten_its_curve() -> None:
    axes = Figure().subplots()
    columns = {"step": [0.0, 10.0, 20.0], "loss": [1300.0, 0.7, 0.4]}
    draw_panel(axes, [Curve(0, "median:7", "xception", columns)], "loss")
    assert axes.get_ylim() == pytest.approx((0, 0.77))
    axes = Figure().subplots()
    draw_panel(axes, [Curve(0, "median:7", "xception", columns | {"loss": [1.0, 0.7, 0.4]})], "loss")
    assert axes.get_ylim()[1] > 1


# --- labels, settings, and any number of detectors


def labelled(**shown: str) -> Outcome:
    """A study with settings in its text forms, and labels of the user's for some: DETECTOR or ATTACK -> label."""
    small = simulate(("median:7",), ("spam-svm", SETTLED), ((SETTLED, "fgsm:epsilon=2"), ("", "gan-vgg:size=small")))
    roles = {"spam-svm": "detector", SETTLED: "detector", "fgsm:epsilon=2": "attack", "gan-vgg:size=small": "attack"}
    default = default_labels(list(roles))
    lines = [label_line(role, part, shown.get(default[part], default[part])) for part, role in roles.items()]
    return dataclasses.replace(small, labels=pd.DataFrame(lines, columns=list(LABEL_COLUMNS)))


def test_settings_stand_in_their_table_alone() -> None:
    outcome = labelled()
    *others, settings = report_tables(outcome)
    written = [to_markdown(table) for table in others]
    pictures = all_pictures(outcome, Results.of(outcome))
    told = [*written, *(text for picture in pictures for text in (picture.key, picture.title, picture.caption))]
    assert len(pictures) > 5
    assert not [text for text in told if "300" in text or "adamw" in text or "epsilon" in text or "= small" in text]
    assert settings.key == "settings"
    assert [(r.section, *r.labels, *map(str, r.cells)) for r in settings.rows] == [
        ("Detectors", "SPAM + SVM", "spam-svm", "—", "—"),
        ("Detectors", "MISLnet", "mislnet", "steps = 300, optimiser = adamw", "—"),
        ("Attacks", "FGSM", "fgsm", "epsilon = 2", "—"),
        ("Attacks", "GAN restoration (VGG)", "gan-vgg", "size = small", "—"),
    ]
    assert "| MISLnet | mislnet | steps = 300, optimiser = adamw | — |" in to_markdown(settings)
    assert "| Label | Name | Settings | Plug-in |\n| --- | --- | --- | --- |" in to_markdown(settings)


def test_a_plug_in_is_named_in_the_table_of_settings() -> None:
    labels = pd.DataFrame([label_line("detector", "plug-in-1:depth=3", "deep one")], columns=list(LABEL_COLUMNS))
    table = settings_table(Labels.of(dataclasses.replace(PARTIAL["nothing at all"], labels=labels)))
    assert table is not None
    assert table.title == "The settings behind each label: Detectors"
    assert [(*r.labels, *map(str, r.cells)) for r in table.rows] == [
        ("deep one", "plug-in-1", "depth = 3", "forensic-extras 1.2")
    ]
    assert settings_table(Labels()) is None


def test_labels_of_the_user_stand_in_tables_figures_and_file_names(tmp_path: Path) -> None:
    outcome = labelled(mislnet="trained long", fgsm="sign of the gradient")
    page = write_report(outcome, tmp_path).read_text("utf-8")
    names = {path.stem for folder in ("tables", "figures") for path in (tmp_path / folder).iterdir()}
    assert {
        "attack-sign-of-the-gradient-trained-long",
        "transfer-sign-of-the-gradient",
        "roc-sign-of-the-gradient-trained-long",
        "patches-sign-of-the-gradient-trained-long",
        "logits-gan-vgg",
    } <= names
    assert not any("300" in name or "epsilon" in name for name in names)
    assert "ROC curves under sign of the gradient, target trained long</h3>" in page
    assert "TPR under sign of the gradient, target trained long" in page
    assert "MISLnet" not in page.split('id="settings"')[0].split("The paper has no figures")[0]


def test_labels_come_from_the_rows_where_nothing_else_has_them() -> None:
    rows = frame(
        row("median:7", SETTLED, acc=0.5, label="trained long"),
        row("median:7", SETTLED, tpr=0.5, label="trained long", target="xception", target_label="tested", attack="pgd",
            attack_label="many steps"),
    )  # fmt: skip
    results = Results(rows)
    assert (results.labels.detector(SETTLED), results.labels.detector("xception")) == ("trained long", "tested")
    assert results.labels.attack("pgd") == "many steps"
    # Rows of older versions have no labels: names, and settings where two would look the same.
    old = Results(rows.drop(columns=["label", "target_label", "attack_label"]))
    assert (old.labels.detector(SETTLED), old.labels.detector("xception")) == ("MISLnet", "Xception")
    two = Results(frame(row(detector=SETTLED), row(detector="mislnet:steps=300")))
    assert [two.labels.detector(name) for name in (SETTLED, "mislnet:steps=300")] == [
        "MISLnet (optimiser = adamw)",
        "MISLnet",
    ]


def test_a_report_comes_out_of_rows_without_labels_and_trainings(tmp_path: Path) -> None:
    old = labelled()
    rows = old.rows.drop(columns=["label", "target_label", "attack_label"]).assign(training="", learned="as planned")
    nothing = pd.DataFrame()
    old = dataclasses.replace(old, rows=rows, scores=(), patches=(), spectra=(), curves=(), labels=nothing)
    old = dataclasses.replace(old, trainings=nothing)
    write_report(old, tmp_path)
    assert (tmp_path / "tables" / "attack-fgsm-mislnet.md").exists()
    assert "optimiser = adamw" in (tmp_path / "tables" / "settings.md").read_text("utf-8")


def test_labels_that_give_the_same_file_name_give_two_files() -> None:
    same = {"a": "as it is", "b": "As it is!", "c": "\u2020"}
    lines = [label_line("attack", part, label) for part, label in same.items()]
    rows = frame(*(row("median:7", "xception", attack=part, target="xception", tpr=0.5) for part in same))
    labels = pd.DataFrame(lines, columns=list(LABEL_COLUMNS))
    outcome = dataclasses.replace(PARTIAL["nothing at all"], rows=rows, labels=labels)
    keys = [table.key for table in report_tables(outcome)]
    assert keys[:3] == ["attack-as-it-is-xception", "attack-as-it-is-2-xception", "attack-unnamed-xception"]
    assert len(set(keys)) == len(keys)


def test_labels_that_a_known_spelling_would_double_stay_as_they_are() -> None:
    lines = [label_line("detector", "mislnet", "mislnet"), label_line("detector", "mislnet:steps=1", "MISLnet")]
    outcome = dataclasses.replace(PARTIAL["nothing at all"], labels=pd.DataFrame(lines, columns=list(LABEL_COLUMNS)))
    labels = Labels.of(outcome)
    assert (labels.detector("mislnet"), labels.detector("mislnet:steps=1")) == ("mislnet", "MISLnet")


@pytest.mark.parametrize("written", [False, True])
def test_the_study_says_which_attacks_restore(written: bool, tmp_path: Path) -> None:
    labels = pd.DataFrame(
        [("attack", "brush", "brush", "brush", "", True, "p 1"), ("attack", "gan-kim", "gan-kim", "", "", False, "")],
        columns=list(LABEL_COLUMNS),
    )
    if written:
        labels.to_csv(tmp_path / "labels.csv", index=False)
        labels = pd.read_csv(tmp_path / "labels.csv")
    rows = frame(*(row("median:7", "xception", attack=name, tpr=0.5) for name in ("brush", "gan-kim")))
    outcome = dataclasses.replace(PARTIAL["nothing at all"], rows=rows, labels=labels)
    tables = {table.key: table for table in report_tables(outcome)}
    assert any(column.heading == "SSIM" for column in tables["attack-brush"].columns)
    assert not any(column.heading == "SSIM" for column in tables["table5"].columns)
    restored = restoration_table(Results.of(dataclasses.replace(outcome, rows=rows[rows["attack"] == "gan-kim"])))
    assert restored is None


def test_a_report_is_drawn_again_when_any_of_its_code_changes(tmp_path: Path) -> None:
    package = Path(report.__file__).parents[1]
    copy = tmp_path / "counterforensics"
    shutil.copytree(package / "report", copy / "report", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("outcome.py", "ranking.py", "error_rates.py", "intervals.py"):
        shutil.copy(package / name, copy)
    outcome = PARTIAL["nothing at all"]
    assert digest_of(outcome, copy) == digest_of(outcome)
    files = [path for path in copy.rglob("*") if path.is_file()]
    assert {path.suffix for path in files} == {".py", ".csv", ".html", ".css", ".js"}
    assert {"model.py", "style.py", "page.html", "table1.csv", "labels.py", "outcome.py"} <= {p.name for p in files}
    for path in files:
        content = path.read_bytes()
        path.write_bytes(content + b"\n")
        assert digest_of(outcome, copy) != digest_of(outcome), path
        path.write_bytes(content)
    (copy / "report" / "tables" / "more.py").touch()
    assert digest_of(outcome, copy) != digest_of(outcome)
    (copy / "report" / "tables" / "more.py").unlink()
    (copy / "report" / "tables" / "__pycache__").mkdir()
    (copy / "report" / "tables" / "__pycache__" / "model.pyc").write_bytes(b"compiled")
    assert digest_of(outcome, copy) == digest_of(outcome)


@pytest.fixture
def texts_apart(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is wrong with figures that are drawn: texts that overlap, and what is cut at an edge."""
    wrong: list[str] = []
    drawn: dict[int, tuple[str, npt.NDArray[np.float64]]] = {}
    save, draw = Figure.savefig, Text.draw

    def record(text: Text, renderer: Any, *args: Any, **settings: Any) -> None:
        draw(text, renderer, *args, **settings)
        if text.get_text().strip():
            drawn[id(text)] = text.get_text(), np.array(text.get_window_extent(renderer).extents)

    def check(figure: Figure, file: Any, **settings: Any) -> None:
        drawn.clear()
        save(figure, file, **settings)
        if settings["format"] != "png":
            return
        shown = [text for text, _ in drawn.values()]
        boxes = np.array([box for _, box in drawn.values()])
        low, high = boxes[:, :2] + 1, boxes[:, 2:] - 1  # a pixel is no overlap
        both = (low[:, None] < high[None]).all(-1) & (low[None] < high[:, None]).all(-1)
        wrong.extend(f"{shown[a]!r} over {shown[b]!r}" for a, b in np.argwhere(np.triu(both, 1)))
        size = np.array(figure.get_size_inches()) * settings["dpi"]
        outside = (boxes[:, :2] < 0).any(1) | (boxes[:, 2:] > size).any(1)
        wrong.extend(f"{shown[place]!r} is cut" for place in np.flatnonzero(outside))

    monkeypatch.setattr(Text, "draw", record)
    monkeypatch.setattr(Figure, "savefig", check)
    return wrong


@pytest.mark.parametrize("count", [1, 6, 20])
def test_figures_of_any_number_of_detectors_are_whole_and_their_texts_apart(count: int, texts_apart: list[str]) -> None:
    many = crowd(count, manipulations=EIGHT[2:4], patches=40)
    # Of all targets there are rows; the first and an attack without a target get figures of their own.
    shown = [(one.target, one.attack) for one in (many.patches[0], many.patches[-1])]
    scores = [
        dataclasses.replace(one, concealed={c: logits for c, logits in one.concealed.items() if c in shown})
        for one in many.scores
    ]
    patches = [one for one in many.patches if (one.target, one.attack) in shown]
    outcome = by_device(dataclasses.replace(many, scores=scores, patches=patches), devices=5)
    pictures = all_pictures(outcome, Results.of(outcome))
    assert {"transfer-fgsm", "attack-costs", "device-rates", "spectra", "learning-curves"} <= {
        picture.key for picture in pictures
    }
    assert sum(picture.key.startswith(("roc-", "logits-", "patches-")) for picture in pictures) == 3 * len(shown)
    assert texts_apart == []
    for picture in pictures:
        pixels = decoded(picture)
        edge = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
        assert (edge == 255).all(), f"{picture.key} is cut"


@pytest.mark.parametrize("panels", [1, 3, 5])
def test_a_map_has_room_for_long_labels_and_for_a_last_line_that_is_not_full(
    panels: int, texts_apart: list[str]
) -> None:
    settings = "pairs_per_step=8,start=shared,start_steps=10"
    judges = [*FOUR, "cozzolino2017:svm_pairs=64,steps=0", "mislnet:steps=20,pairs_per_step=4", f"mislnet:{settings}"]
    contests = [("", ""), *((target, "fgsm") for target in judges)]
    rows = [row(m, j, target=t, attack=a, tpr=1.0) for m in EIGHT[:panels] for j in judges for t, a in contests]
    (picture,) = transfer_maps(Results(frame(*rows)))
    assert picture.key == "transfer-fgsm"
    assert texts_apart == []


@pytest.mark.parametrize("count", [1, 6, 7, 20, 56])
def test_every_detector_looks_different(count: int) -> None:
    names = [*DETECTORS, "cozzolino2017:steps=0", *(f"plug-in-{number}" for number in range(60))][:count]
    styles = detector_styles(names)
    assert len(set(styles.values())) == count
    assert all(styles[name] == detector_styles([name])[name] for name in names[:6])
    # Whatever stands before it, a known detector keeps its look.
    assert detector_styles(["plug-in-1", *names])[names[0]] == styles[names[0]]


def test_a_label_is_broken_where_it_does_not_fit() -> None:
    label = "Cozzolino2017 (steps = 0, svm_pairs = 64)"
    assert fitted(label, 10.0) == label
    broken = fitted(label, 1.0)
    assert text_width(broken) <= 1.0 < text_width(label)
    assert broken.split("\n")[0] == "Cozzolino2017"
    assert broken.replace("\n", " ") == label
    assert "=\n" not in broken


def test_a_table_of_twenty_judges_is_written_in_pieces() -> None:
    outcome = crowd(20, manipulations=EIGHT[2:3], patches=20)
    table = next(table for table in report_tables(outcome) if table.key == "table2")
    assert len(table.columns) == 24
    pieces = table.pieces()
    assert [len(piece.columns) for piece in pieces] == [10, 10, 4]
    assert tuple(column for piece in pieces for column in piece.columns) == table.columns
    assert [cell for piece in pieces for cell in piece.rows[0].cells] == list(table.rows[0].cells)
    assert to_latex(table).count(r"\begin{tabular}") == to_html(table).count("<table>") == 3
    assert to_markdown(table).count("| --- | ---:") == 3 == to_markdown(table).count("| Manipulation |")
    assert to_latex(table).count(r"\caption") == to_html(table).count("<figcaption>") == 1
    titles = [str(shown.title) for shown in terminal_tables(outcome) if str(shown.title).startswith(table.heading)]
    assert titles == [table.heading, *[f"{table.heading} (continued)"] * 2]


def test_a_table_of_a_few_judges_is_one_piece() -> None:
    table = next(table for table in report_tables(crowd(6, manipulations=EIGHT[2:3])) if table.key == "table5")
    assert len(table.columns) == 15
    assert table.pieces() == [table]


def test_a_long_heading_is_broken_in_latex() -> None:
    column = Column("A detector with a long label", strong=True)
    table = Table("k", None, "t", "c", ("M",), (column,), (Row("", ("m",), (Cell(("1",)),)),))
    heading = r"\shortstack[r]{\textbf{A detector with} \\ \textbf{a long label}}"
    assert rf"M & {heading} \\" in to_latex(table).splitlines()


def test_default_labels_tell_forms_apart_by_as_few_settings_as_it_takes() -> None:
    texts = ["mislnet:steps=20,pairs_per_step=4", "mislnet:steps=0,pairs_per_step=8,optimiser=adamw", "gan-kim:seed=1"]
    labels = ["mislnet (steps=20)", "mislnet (steps=0)", "gan-kim"]
    assert list(default_labels(texts).values()) == labels
    several = [f"pgd:epsilon={epsilon},steps={steps}" for epsilon in (1, 2) for steps in (5, 9)]
    assert len(set(default_labels(several).values())) == 4
