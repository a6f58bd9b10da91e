"""The tool that changes one thing at a time to see why noise transfers."""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tools import transfer_causes as tool
from tools.transfer_causes import PATCH, PHOTOGRAPH, RANDOM_LUMA, RANDOM_RGB, Change, Cut, changes, figures_of, noisy

from counterforensics import manipulations
from counterforensics.photos.simulated import simulated_photos
from counterforensics.pixels import luma_of_photo


def test_each_experiment_changes_one_thing() -> None:
    for change in changes():
        usual = Change(change.noise)
        different = {name for name in vars(usual) if vars(change)[name] != vars(usual)[name]}
        assert len(different - {"width"} if change.alternating else different) <= 1
    assert len(set(changes())) == len(changes())


def test_patches_are_cut_before_or_after_the_manipulation() -> None:
    photo = simulated_photos(devices=1, photos=1, width=300, height=200)[0].read()
    cut, median = Cut(photo, ((10, 20), (50, 120))), manipulations.parse("median:7")
    whole, alone = (cut.patches(median, how) for how in (PHOTOGRAPH, PATCH))
    assert np.array_equal(whole[1], median(photo)[50:178, 120:248])
    assert np.array_equal(whole[:, 3:-3, 3:-3], alone[:, 3:-3, 3:-3])  # the filter reaches 3 pixels
    assert not np.array_equal(whole, alone)


@pytest.mark.parametrize(
    ("change", "alike", "changed"),
    [
        (Change(RANDOM_LUMA), 0.5, 1.0),  # two signs of the same chance
        (Change(RANDOM_RGB), None, None),  # counted below
        (Change(RANDOM_LUMA, width=2.0), 0.89, 1.0),  # 1/2 + asin(exp(-1/16)) / pi of a Gaussian field
        (Change(RANDOM_LUMA, width=2.0, alternating=True), 0.11, 1.0),
        (Change(RANDOM_LUMA, share=0.6), 0.18, 0.6),  # both move, by the same sign: 0.6 * 0.6 / 2
        (Change(), 0.0, 0.0),
    ],
)
def test_noise_moves_neighbours_alike_as_often_as_it_should(
    change: Change, alike: float | None, changed: float | None
) -> None:
    patches = np.random.default_rng(1).integers(30, 220, (6, 128, 128, 3)).astype(np.uint8)
    noise = noisy(patches, change, {}, np.random.default_rng(2))
    luma = luma_of_photo(patches)[:, None]
    found = figures_of(noise, luma)
    assert np.abs(noise.astype(int) - luma).max() <= 1
    if changed is None:  # by enumeration of the eight signs: red, green and blue, and the fraction of the luma
        draws = np.array([[r, g, b] for r in (-1, 1) for g in (-1, 1) for b in (-1, 1)]) @ [299, 587, 114]
        fractions = (patches.reshape(-1, 3).astype(int) @ [299, 587, 114])[:, None]
        moved = (fractions + draws + 500) // 1000 != (fractions + 500) // 1000
        assert found["changed"] == pytest.approx(moved.mean(), abs=0.01)
    else:
        assert found == pytest.approx({"changed": changed, "neighbours_alike": alike}, abs=0.01)


def test_the_command_writes_a_row_for_each_change_and_judge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number, photo in enumerate(simulated_photos(devices=2, photos=1, width=200, height=160)):
        (tmp_path / "photos" / f"device-{number}").mkdir(parents=True)
        Image.fromarray(photo.read()).save(tmp_path / "photos" / f"device-{number}" / "photo.png")
    out = tmp_path / "causes.csv"
    given = ["--photos", tmp_path / "photos", "--devices", "device-1", "--per-photo", "1", "--train", "--out", out]
    monkeypatch.setattr(sys, "argv", ["transfer_causes", *map(str, given), "--manipulations", "blur:1.1"])
    monkeypatch.setattr(tool, "changes", lambda: [Change(), Change("cozzolino2017"), Change(RANDOM_RGB)])
    monkeypatch.setattr(tool, "PAIRS", (2, 5))
    tool.main()
    rows = list(csv.DictReader(out.read_text(encoding="utf-8").splitlines()))
    shipped, own = rows[:9], rows[9:]
    assert [row["judge"] for row in shipped] == [*tool.DETECTORS] * 3
    assert [row["training_pairs"] for row in own] == ["2"] * 4 + ["5"] * 4
    assert {row["photographs"] for row in rows} == {"1"}
    assert {row["tpr"] for row in rows[:3]} == {"1.0"}
