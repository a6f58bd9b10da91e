"""Studies on whole photographs: attacked as a whole, uploaded, and only then cut and judged."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from counterforensics import laundering, manipulations
from counterforensics.attacks import parse as parse_attack
from counterforensics.detectors import load_detector
from counterforensics.detectors import parse as parse_detector
from counterforensics.detectors.base import score
from counterforensics.detectors.calibration import threshold_for
from counterforensics.detectors.deep import DeepNetwork
from counterforensics.detectors.mislnet import MislNet
from counterforensics.errors import CounterforensicsError
from counterforensics.outcome import Outcome
from counterforensics.photos.patches import Pairs, Patches, choose_cells, cut, cut_at, grid_corners
from counterforensics.photos.simulated import simulated_photos
from counterforensics.photos.splits import split_by_device
from counterforensics.pixels import Pixels
from counterforensics.report import write_report
from counterforensics.report.results import Results
from counterforensics.report.tables.uploads import positions_table, uploads_table
from counterforensics.seeds import seed_for
from counterforensics.sliding import conceal_photo
from counterforensics.sliding.concealing import conceal_without_target
from counterforensics.study.planning import cells_seed
from counterforensics.study.run import run_study
from counterforensics.study.settings import Study
from tests.conftest import plan_of, tiny_study

WHOLE: dict[str, Any] = {
    "photos": {"simulated": {"devices": 3, "photos": 3, "width": 288, "height": 224}},
    "split": {"test": 1, "validation": 0.2},
    "patches": {"per_photo": 9, "attacked_photos": 2, "attacked_per_device": 12},
    "manipulations": ["median:7"],
    "detectors": ["spam-svm"],
    "attacks": [{"attack": "spam-descent", "targets": ["spam-svm"]}, "spam-descent:goal=pristine"],
    "laundering": ["none", "jpeg:85"],
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the study of this module runs."""
    return tmp_path_factory.mktemp("whole")


@pytest.fixture(scope="module")
def study(place: Path) -> Study:
    return tiny_study(place, **WHOLE)


@pytest.fixture(scope="module")
def outcome(place: Path, study: Study) -> Outcome:
    return run_study(study, place / "out", workers=1)


def _row(rows: pd.DataFrame, attack: str, platform: str) -> pd.Series:
    (row,) = (row for _, row in rows.iterrows() if (row["attack"], row["laundering"]) == (attack, platform))
    return row


def test_the_lines_of_the_single_device_are_the_rows_of_the_first_platform(outcome: Outcome) -> None:
    named = ["seed", "manipulation", "detector", "target", "attack", "n_pristine", "n_manipulated", "fp", "tp"]
    rows = outcome.rows[outcome.rows["laundering"] == "none"].reset_index(drop=True)
    assert len(rows) == 3
    assert outcome.devices[named].astype(object).equals(rows[named].astype(object))


def _shown(photo: Pixels, platform: str, like: Pixels, per_photo: int, seed: int, stride: int = 0) -> Pixels:
    """The patches of a photograph after an upload: of the cells, or of the positions that an attack cleared."""
    came = laundering.launder(photo, platform).pixels
    cells = choose_cells(*like.shape[:2], per_photo=per_photo, seed=seed)
    if not stride:
        return cut(came, cells)
    corners = grid_corners(*came.shape[:2]).reshape(-1, 2)[cells]
    # By hand: multiples of the stride, and the last positions.
    ends = [np.array([*range(0, side - 128, stride), side - 128]) for side in came.shape[:2]]
    near = [[axis[np.abs(axis - at).argmin()] for axis, at in zip(ends, corner, strict=True)] for corner in corners]
    return cut_at(came, np.array(near))


def test_a_row_is_what_the_parts_give_one_after_the_other(place: Path, study: Study, outcome: Outcome) -> None:
    """Manipulate, conceal as a whole, upload, cut, judge: by hand, and by the study."""
    assert study.photos.simulated is not None
    photos = simulated_photos(**study.photos.simulated.model_dump())
    split = split_by_device(photos, **dict(study.split), seed=0)
    detector = load_detector(place / "out" / "detectors" / "0" / "spam-svm" / "median:7")
    attack = parse_attack("spam-descent")
    cells_of_photo = 12 // 2
    logits: dict[str, list[np.ndarray]] = {"none": [], "jpeg:85": [], "cleared": []}
    for photo in split.test[:2]:
        pristine = photo.read()
        manipulated = manipulations.parse("median:7")(pristine)
        task = next(
            one
            for one in plan_of(study).tasks.values()
            if one.kind.name == "conceal photo" and one.photo == photo and "target" in one.needs
        )
        concealed = conceal_photo(manipulated, detector, attack, seed=task.settings["seed"]).photo
        given = pristine, cells_of_photo, cells_seed(photo)
        for platform in ("none", "jpeg:85"):
            logits[platform].append(score(detector, [_shown(concealed, platform, *given)]))
        logits["cleared"].append(score(detector, [_shown(concealed, "none", *given, stride=8)]))
    judged = {name: np.concatenate(parts) for name, parts in logits.items()}
    for platform in ("none", "jpeg:85"):
        row = _row(outcome.rows, "spam-descent", platform)
        assert row["n_manipulated"] == len(judged[platform]) == 2 * cells_of_photo
        assert row["tpr"] == pytest.approx((judged[platform] > 0).mean())
    none = _row(outcome.rows, "spam-descent", "none")
    assert none["tpr_at_cleared"] == pytest.approx((judged["cleared"] > 0).mean())
    assert none["tpr_between"] == pytest.approx(none["tpr"] - none["tpr_at_cleared"])


def test_the_calibrated_threshold_is_that_of_uploaded_held_out_photographs(
    place: Path, study: Study, outcome: Outcome
) -> None:
    assert study.photos.simulated is not None
    photos = simulated_photos(**study.photos.simulated.model_dump())
    split = split_by_device(photos, **dict(study.split), seed=0)
    detector = load_detector(place / "out" / "detectors" / "0" / "spam-svm" / "median:7")

    def judged(photo: Any) -> np.ndarray:
        pixels = photo.read()
        return score(detector, [_shown(pixels, "jpeg:85", pixels, 9, cells_seed(photo))])

    threshold = threshold_for(np.concatenate([judged(photo) for photo in split.validation]), 0.01)
    pristine = np.concatenate([judged(photo) for photo in split.test])
    row = _row(outcome.rows, "", "jpeg:85")
    assert row["fpr_at_laundered_01"] == pytest.approx((pristine > threshold).mean())
    assert row["fpr"] == pytest.approx((pristine > 0).mean())
    assert np.isnan(_row(outcome.rows, "", "none")["fpr_at_laundered_01"])


def test_an_upload_changes_verdicts_and_not_what_the_attack_did(outcome: Outcome) -> None:
    assert outcome.failures == ()
    assert set(outcome.rows["laundering"]) == {"none", "jpeg:85"}
    assert len(outcome.rows) == 2 * 3
    for attack in ("spam-descent", "spam-descent:goal=pristine"):
        before, after = (_row(outcome.rows, attack, platform) for platform in ("none", "jpeg:85"))
        assert before["psnr"] == after["psnr"]
        assert before["changed"] == after["changed"]
    assert set(outcome.times["attack"]) == {"spam-descent", "spam-descent:goal=pristine"}
    assert set(outcome.times["patches"]) == {12}


def test_a_report_keeps_to_the_first_platform_and_compares_them_in_a_table(outcome: Outcome) -> None:
    results = Results.of(outcome)
    own, uploaded = results, results.under("jpeg:85")
    spread = own.spread("tpr", "median:7", "spam-svm")
    assert spread is not None
    assert spread.mean == _row(outcome.rows, "", "none")["tpr"]
    other = uploaded.spread("tpr", "median:7", "spam-svm")
    assert other is not None
    assert other.mean == _row(outcome.rows, "", "jpeg:85")["tpr"]
    table, positions = uploads_table(results), positions_table(results)
    assert table is not None
    assert positions is not None
    assert len(table.rows) == 3
    assert len(positions.rows) == 1
    assert len(table.columns) == 2 + 4
    assert uploads_table(Results(outcome.rows[outcome.rows["laundering"] == "none"])) is None


def test_no_two_parts_of_the_report_have_one_name(place: Path, outcome: Outcome) -> None:
    page = write_report(outcome, place / "out").read_text(encoding="utf-8")
    names = re.findall(r'\bid="([^"]+)"', page)
    assert {"uploads", "upload-rates", "positions"} <= set(names)
    assert len(names) == len(set(names))


def test_detectors_learn_from_photographs_after_an_upload(place: Path) -> None:
    """The detector of the study, against one that is trained by hand on pairs after the same uploads."""
    texts = ("none", "jpeg:60", "telegram:side=250")
    settings = WHOLE | {"attacks": [], "laundering": ["none"], "training_laundering": list(texts)}
    study = tiny_study(place, **settings)
    assert study.photos.simulated is not None
    photos = simulated_photos(**study.photos.simulated.model_dump())
    split = split_by_device(photos, **dict(study.split), seed=0)
    assert run_study(study, place / "learned", workers=1).failures == ()
    found = load_detector(place / "learned" / "detectors" / "0" / "spam-svm" / "median:7")

    states: dict[str, list[np.ndarray]] = {"pristine": [], "manipulated": []}
    passed = set()
    for photo in (*split.train, *split.validation):
        text = texts[seed_for(0, "upload", photo.digest) % 3]
        passed.add(text)
        given = photo.read()
        both = {"pristine": given, "manipulated": manipulations.parse("median:7")(given)}
        for state, pixels in both.items():
            came = laundering.launder(pixels, text).pixels
            cells = choose_cells(*given.shape[:2], per_photo=9, seed=cells_seed(photo))
            states[state].append(cut(came, cells))
    assert len(passed) > 1
    held_out = range(len(split.train), len(split.train) + len(split.validation))
    pristine, manipulated = (Patches(tuple(parts)) for parts in states.values())
    pairs = Pairs(pristine, manipulated, frozenset(held_out))
    task = next(one for one in plan_of(study).tasks.values() if one.kind.name == "train")
    by_hand = parse_detector("spam-svm").train(pairs, seed=task.settings["seed"])
    patches = states["manipulated"][0]
    assert np.allclose(score(found, [patches]), score(by_hand, [patches]), atol=1e-4)
    trainings = pd.read_csv(place / "learned" / "trainings.csv")
    assert list(trainings["laundering"]) == [", ".join(texts)]


def test_an_attack_without_a_target_conceals_patches_side_by_side() -> None:
    photo = simulated_photos(devices=1, photos=1)[0].read()[:200, :300]
    manipulated = manipulations.parse("median:3")(np.ascontiguousarray(photo))
    no_pairs = Pairs(Patches(()), Patches(()))
    prepared = parse_attack("spam-descent:goal=pristine").prepare(None, no_pairs, seed=0)
    result = conceal_without_target(manipulated, prepared, at_once=False, originals=np.ascontiguousarray(photo))
    assert result.shape == photo.shape
    changed = (result != manipulated).any(2)
    for rows in (slice(0, 128), slice(72, 200)):
        for columns in (slice(0, 128), slice(128, 256), slice(172, 300)):
            assert changed[rows, columns].any()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"patches": {"per_photo": 9}}, "laundering: jpeg:85 takes whole photographs, and the attacks conceal patches"),
        ({"patches": {"attacked_photos": 1, "size": 64}}, "patches.attacked_photos takes patches of 128, got size 64"),
        ({"laundering": []}, "laundering: must hold at least 1"),
        ({"laundering": ["none", "none"]}, "laundering names 'none' twice"),
        ({"laundering": ["telegramm"]}, "did you mean 'telegram'?"),
        ({"laundering": ["jpeg:101"]}, "101"),
        ({"patches": {"attacked_photos": 0}}, "patches.attacked_photos: must be at least 1, got 0"),
    ],
)
def test_settings_that_cannot_be_are_refused(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(CounterforensicsError) as caught:
        tiny_study(tmp_path, **{**WHOLE, **changes})
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_plan_builds_a_target_once_however_many_judges_and_platforms_there_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = "mislnet:steps=7"  # of this test alone
    attacks = [{"attack": attack, "targets": [target]} for attack in ("fgsm", "pgd")]
    study = tiny_study(tmp_path, **{**WHOLE, "detectors": ["spam-svm", target], "attacks": attacks})
    built: list[object] = []
    build = MislNet.build

    def counted(recipe: MislNet) -> DeepNetwork:
        built.append(recipe)
        return build(recipe)

    monkeypatch.setattr(MislNet, "build", counted)
    plan = plan_of(study)
    assert len(built) == 1
    assert sum(one.attack != "" for one in plan.measurements) == 2 * 2 * 2


def test_a_platform_that_is_none_leaves_the_keys_of_patches_as_they_were(tmp_path: Path) -> None:
    plain, listed = tiny_study(tmp_path), tiny_study(tmp_path, laundering=["none"])
    assert list(plan_of(plain).tasks) == list(plan_of(listed).tasks)
