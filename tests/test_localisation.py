"""How well heat maps find the manipulated region of a photograph."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import f1_score, jaccard_score, roc_auc_score
from tools import localise as tool

from counterforensics import load_detector
from counterforensics.errors import AttackError, PhotoError, PixelError
from counterforensics.evaluation.rates import mean_interval
from counterforensics.manipulations import parse
from counterforensics.photos.patches import flat
from counterforensics.photos.simulated import DEVICES, simulated_photos
from counterforensics.pixels import luma_of_photo
from counterforensics.sliding.detecting import select
from counterforensics.sliding.localisation import Localised, draw_region, localise, measure_heat, splice
from counterforensics.sliding.scan import Subject
from tests.conftest import picture


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    """A simulated photograph, uint8 [512, 640, 3]."""
    return simulated_photos(devices=1, photos=1, width=640, height=512)[0].read()


def some_mask() -> np.ndarray:
    mask = np.zeros((40, 50), dtype=np.bool_)
    mask[7:20, 11:30] = True
    return mask


def test_a_map_that_is_the_mask_is_perfect_and_its_opposite_is_worthless() -> None:
    mask = some_mask()
    assert measure_heat(np.where(mask, 1, -1).astype(np.float32), mask) == Localised(1.0, 1.0, 1.0, 1.0)
    opposite = measure_heat(np.where(mask, -1, 1).astype(np.float32), mask)
    assert (opposite.auc, opposite.f1, opposite.iou) == (0.0, 0.0, 0.0)


def test_a_constant_map_knows_nothing() -> None:
    mask = some_mask()
    share = mask.mean()
    everywhere = measure_heat(np.ones(mask.shape, np.float32), mask)
    assert everywhere.auc == 0.5
    assert everywhere.iou == pytest.approx(share)
    assert everywhere.f1 == everywhere.f1_best == pytest.approx(2 * share / (1 + share))
    nowhere = measure_heat(np.zeros(mask.shape, np.float32), mask)
    assert (nowhere.auc, nowhere.f1, nowhere.iou) == (0.5, 0.0, 0.0)
    assert measure_heat(np.full(mask.shape, np.nan, np.float32), mask).auc == 0.5


@pytest.mark.parametrize("seed", range(6))
def test_figures_are_those_of_scikit_learn(seed: int) -> None:
    random, mask = np.random.default_rng(seed), some_mask()
    heat = (random.normal(size=mask.shape) + mask).astype(np.float32)
    if seed % 2:
        heat = np.round(heat, 1)  # ties
    if seed > 3:
        heat[random.random(mask.shape) < 0.2] = np.nan
    found, truth = measure_heat(heat, mask), mask.ravel()
    known = np.where(np.isnan(heat), np.nanmin(heat) - 1, heat).ravel()
    assert found.auc == pytest.approx(roc_auc_score(truth, known), abs=1e-12)
    assert found.f1 == pytest.approx(f1_score(truth, known > 0), abs=1e-12)
    assert found.iou == pytest.approx(jaccard_score(truth, known > 0), abs=1e-12)
    best = max(f1_score(truth, known >= level) for level in np.unique(known)[:: 1 if seed % 2 else 20])
    assert found.f1_best >= best - 1e-12
    if seed % 2:
        assert found.f1_best == pytest.approx(best, abs=1e-12)


def test_pixels_without_an_answer_are_the_coldest() -> None:
    mask = np.array([[True, True, False, False]])
    found = measure_heat(np.array([[np.nan, 5, -3, -4]], dtype=np.float32), mask)
    assert found.auc == 0.5  # one manipulated pixel lies above both pristine ones, the other below both


def test_arrays_that_cannot_be_compared_are_refused() -> None:
    with pytest.raises(PixelError, match=r"one shape \[h, w\], got \(2, 3\) and \(3, 2\)"):
        measure_heat(np.zeros((2, 3), np.float32), np.zeros((3, 2), np.bool_))
    for mask in (np.zeros((2, 3), np.bool_), np.ones((2, 3), np.bool_)):
        with pytest.raises(PixelError, match="must hold manipulated and pristine pixels"):
            measure_heat(np.zeros((2, 3), np.float32), mask)


@pytest.mark.parametrize("text", ["median:7", "jpeg:70", "resize:1.5"])
def test_a_splice_changes_its_region_alone(text: str, photo: np.ndarray) -> None:
    made = splice(photo, parse(text), smallest=130, largest=200, seed=3)
    assert np.array_equal(made.photo[~made.mask], photo[~made.mask])
    assert (made.photo[made.mask] != photo[made.mask]).any(1).mean() > 0.3
    assert made.mask.sum() == made.region.width * made.region.height


def test_regions_are_drawn_by_seed_inside_and_on_no_grid(photo: np.ndarray) -> None:
    drawn = [draw_region(photo, smallest=100, largest=300, seed=seed) for seed in range(40)]
    assert drawn == [draw_region(photo, smallest=100, largest=300, seed=seed) for seed in range(40)]
    assert len(set(drawn)) == 40
    for region in drawn:
        assert region.mask(*photo.shape[:2]).sum() == region.width * region.height
        assert {100 <= side <= 300 for side in (region.width, region.height)} == {True}
    assert len({region.x % 8 for region in drawn}) > 4
    assert len({region.y % 8 for region in drawn}) > 4
    assert draw_region(photo, smallest=256, largest=256, seed=1)[2:] == (256, 256)


def test_a_region_has_texture() -> None:
    half = picture(1, width=600, height=400)
    half[:, :300] = 255
    for seed in range(10):
        x, y, width, height = draw_region(half, smallest=128, largest=160, seed=seed)
        inside = luma_of_photo(half)[y : y + height, x : x + width]
        assert not flat(inside[None, None, :128, :128]).any()
    with pytest.raises(PhotoError, match="no region of 128 to 128 pixels a side with texture"):
        draw_region(np.full((300, 300, 3), 7, dtype=np.uint8), smallest=128, largest=128, seed=0)


def test_a_region_that_cannot_be_is_refused() -> None:
    small = picture(0)
    with pytest.raises(PhotoError, match=r"a region of 256x256 pixels does not leave pristine pixels .* 192x160"):
        draw_region(small, smallest=256, largest=256, seed=0)
    with pytest.raises(PhotoError, match="does not leave pristine pixels"):
        draw_region(small[:, :160], smallest=10, largest=160, seed=0)
    with pytest.raises(PhotoError, match="smallest side of a region, 90, is larger than the largest, 80"):
        draw_region(small, smallest=90, largest=80, seed=0)
    with pytest.raises(PhotoError, match="from 4 on, got 0"):
        draw_region(small, smallest=0, largest=80, seed=0)
    with pytest.raises(AttackError, match="makes the region 140x140 smaller"):
        splice(small, parse("resize:0.5"), smallest=140, largest=140, seed=0)


def test_a_detector_finds_the_region_that_was_filtered(photo: np.ndarray) -> None:
    made = splice(photo, parse("median:7"), smallest=256, largest=256, seed=5)
    found = localise(Subject(made.photo), load_detector("spam-svm/median:7"), made.mask, stride=32)
    assert found.auc > 0.95
    assert found.f1_best > 0.8
    assert found.iou == pytest.approx(found.f1 / (2 - found.f1))


def test_the_interval_of_a_mean_is_that_of_the_bootstrap() -> None:
    values = np.random.default_rng(0).normal(0.7, 0.1, 400)
    low, high = mean_interval(values, seed=3)
    width = 2 * 1.96 * values.std() / 20  # of a normal mean
    assert (low + high) / 2 == pytest.approx(values.mean(), abs=0.1 * width)
    assert high - low == pytest.approx(width, rel=0.1)
    assert (low, high) == mean_interval(values, seed=3)
    for alike in (np.full(5, 0.9), np.array([0.9]), np.empty(0)):
        assert np.isnan(mean_interval(alike, seed=0)).all()


@pytest.fixture(scope="module")
def cameras(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two photographs of one device; of another a photograph that is too small and a file that is none."""
    folder = tmp_path_factory.mktemp("photographs")
    for number, (device, name, size) in enumerate(
        [("a", "0.png", (320, 288)), ("a", "1.png", (288, 320)), ("b", "small.png", (192, 160))]
    ):
        (folder / device).mkdir(exist_ok=True)
        Image.fromarray(picture(number, *size)).save(folder / device / name)
    (folder / "b" / "text.jpg").write_bytes(b"no picture")
    return folder


def measured(out: Path) -> tuple[list[dict[str, str]], list[dict[str, str]]]:
    """The rows of both files of the tool."""
    texts = [(out / name).read_text(encoding="utf-8") for name in ("splices.csv", "rows.csv")]
    splices, rows = (list(csv.DictReader(text.splitlines())) for text in texts)
    return splices, rows


def test_the_tool_measures_each_photograph_once(
    cameras: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["--manipulations", "median:7", "blur:1.1", "--smallest", "150", "--largest", "170", "--stride", "32"]
    how = ["--photos", str(cameras), *asked, "--detectors", "spam-svm", "--out", str(tmp_path)]
    assert tool.main(how) == 0
    said = capsys.readouterr()
    assert "1/4 a/0.png: 2 maps" in said.out
    assert "small.png: a region of 170x170 pixels does not leave pristine pixels" in said.err
    assert said.err.count("text.jpg") == 1
    splices, rows = measured(tmp_path)
    assert sorted(row["photo"] for row in splices) == ["a/0.png"] * 2 + ["a/1.png"] * 2
    found = [(row["detector"], row["photographs"], row["devices"]) for row in rows]
    assert found == [("spam-svm/blur:1.1", "2", "1"), ("spam-svm/median:7", "2", "1")]
    single = [float(row["auc"]) for row in splices if row["manipulation"] == "median:7"]
    assert float(rows[1]["auc"]) == pytest.approx(np.mean(single), abs=2e-6)
    assert "`spam-svm/median:7` | 2 | " in (tmp_path / "table.md").read_text(encoding="utf-8")

    # The last row was cut off, the detector of the first has other weights by now: these are measured again.
    before = (tmp_path / "splices.csv").read_text(encoding="utf-8")
    (tmp_path / "splices.csv").write_text(before.replace(splices[0]["weights"], "0" * 12, 1)[:-15], encoding="utf-8")
    assert tool.main(how) == 0
    assert capsys.readouterr().out.count(": 1 maps") == 2
    again, same = measured(tmp_path)
    assert sorted(map(str, again)) == sorted(map(str, splices))
    assert same == rows


def test_photographs_of_devices_that_a_detector_learned_from_are_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["--manipulations", "median:7", "--detectors", "spam-svm", "--stride", "64", "--out", str(tmp_path)]
    learned = load_detector("spam-svm/median:7").learned_devices
    (seen, *_) = [place for place, device in enumerate(DEVICES, 1) if device in learned]
    assert tool.main(["--simulated", str(seen), *asked]) == 0
    said = capsys.readouterr()
    assert f"spam-svm/median:7 learned from {DEVICES[seen - 1]}" in said.err
    splices, rows = measured(tmp_path)
    assert rows[0]["photographs"] == str(seen - 1)
    assert not {row["device"] for row in splices} & learned

    # An earlier version measured such a photograph: its row goes.
    path = tmp_path / "splices.csv"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace(splices[0]["device"], DEVICES[seen - 1], 1), encoding="utf-8")
    assert tool.main(["--simulated", "1", *asked]) == 0
    assert DEVICES[seen - 1] not in path.read_text(encoding="utf-8")

    with pytest.raises(PhotoError, match="the detectors learned from every device given"):
        tool.of_unseen_devices(
            [photo for photo in tool.simulated(seen, seed=0) if photo.device in learned],
            select(["spam-svm"], ["median:7"]),
        )


def test_the_tool_refuses_in_one_line(cameras: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = ["--photos", str(cameras)]
    for given, message in (
        ([], "no photographs; give --photos DIR"),
        ([*folder, "--devices", "c"], "unknown device 'c'"),
        (["--simulated", "1", "--detectors", "spam-swm"], "did you mean"),
        (["--photos", str(tmp_path / "none")], "no photo folder at"),
        ([*folder, "--stride", "0"], "--stride must be at least 1, got 0"),
        ([*folder, "--per-device", "0"], "--per-device must be at least 1, got 0"),
    ):
        assert tool.main([*given, "--out", str(tmp_path / "out")]) == 2
        *_, error = capsys.readouterr().err.splitlines()
        assert error.startswith("localise: ")
        assert message in error


def test_simulated_photographs_are_chosen_by_seed() -> None:
    chosen = tool.simulated(14, seed=1)
    assert [photo.digest for photo in chosen] == [photo.digest for photo in tool.simulated(14, seed=1)]
    assert len({photo.digest for photo in chosen}) == 14
    assert len({photo.device for photo in chosen}) == min(14, len(DEVICES))
    assert tool.simulated(0, seed=1) == []


def test_photographs_of_devices_are_chosen_by_seed(cameras: Path) -> None:
    given = tool.parser().parse_args(
        ["--photos", str(cameras), "--devices", "b", "a", "--per-device", "1", "--out", "x"]
    )
    chosen = [photo.name for photo in tool.from_folder(given)]
    assert len(chosen) == 2
    assert chosen == [photo.name for photo in tool.from_folder(given)]
    assert {name[0] for name in chosen} == {"a", "b"}


RESULTS = Path(__file__).parents[1] / "results" / "localisation"


def test_the_results_are_those_of_their_rows() -> None:
    with (RESULTS / "rows.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    shown = (RESULTS / "table.md").read_text(encoding="utf-8")
    assert tool.table(tool.summarised(tool.read(RESULTS / "splices.csv"))) == shown
    said = re.findall(r"\d\.\d{3}\s\(\d\.\d{3} to \d\.\d{3}\)", (RESULTS / "README.md").read_text(encoding="utf-8"))
    assert len(said) > 10
    assert [figure for figure in said if figure.replace("\n", " ") not in shown] == []
    strong = [row for row in rows if row["detector"].split("/")[0] != "mislnet"]
    found = [float(row["auc"]) for row in strong if row["manipulation"] in ("median:7", "blur:1.1")]
    assert len(found) == 8
    assert min(found) >= 0.95
