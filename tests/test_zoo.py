"""Detectors that come with the package: made from a study, loaded by name, and as good as their cards say."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import fsspec
import pandas as pd
import pytest
import torch
from tools.ship_zoo import FIGURES, line_of_page, ship

from counterforensics import load_detector
from counterforensics.detectors import zoo
from counterforensics.detectors.mislnet import MislNet
from counterforensics.errors import WeightsError
from counterforensics.learning import weights
from counterforensics.manipulations import PAPER
from counterforensics.study.evaluate import evaluate_detector
from counterforensics.study.progress import Progress
from tests.conftest import Command
from tests.toys import noisy_patches

MOST_BYTES = 15_000_000
SHIPPED = ("cozzolino2017", "mislnet", "spam-svm")
ROOT = Path(__file__).parents[1]
CAMERAS = ROOT.parent / "shared" / "cameras" / "devices"


@pytest.fixture
def small_zoo(finished: Path, photo_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A zoo of the tiny study's SPAM + SVM, measured on photographs under the names of its test devices."""
    table = pd.read_csv(finished / "photos.csv")
    photos = tmp_path / "photographs"
    for number, device in enumerate(table.loc[table["role"] == "test", "device"].unique()):
        shutil.copytree(photo_folder / f"device-{number}", photos / device)
    for source in (finished / "detectors" / "0" / "spam-svm").iterdir():
        ship(source, table, photos, tmp_path / "zoo")
    monkeypatch.setattr(zoo, "ROOT", tmp_path / "zoo")
    return photos


def test_a_shipped_detector_is_loaded_by_its_name(small_zoo: Path, finished: Path) -> None:
    assert zoo.shipped() == ["spam-svm/jpeg:70", "spam-svm/median:7"]
    pixels = torch.from_numpy(noisy_patches(3)).float()
    original = load_detector(finished / "detectors" / "0" / "spam-svm" / "median:7")
    assert torch.equal(load_detector("spam-svm/median:7").logits(pixels), original.logits(pixels))


def test_a_shipped_detector_is_as_good_as_its_card(small_zoo: Path, command: Command) -> None:
    for name in zoo.shipped():
        card = weights.read_record(zoo.folder_of(name))
        measured = card["measured"]
        manipulation = name.partition("/")[2]
        assert card["manipulation"] == manipulation
        assert card["devices"]
        answer = command(
            *("evaluate", "--detector", name, "--photos", small_zoo, "--manipulation", manipulation),
            *("--per-photo", measured["per_photo"], "--json"),
        )
        found = json.loads(answer.out)
        assert {figure: found[figure] for figure in FIGURES} == {figure: measured[figure] for figure in FIGURES}


def test_an_unknown_name_is_answered_by_the_nearest_shipped_one(small_zoo: Path) -> None:
    with pytest.raises(WeightsError, match=r"no detector at spam-svm/median:9; .* did you mean 'spam-svm/median:7'"):
        load_detector("spam-svm/median:9")


def test_the_list_names_the_shipped_detectors(small_zoo: Path, command: Command) -> None:
    assert json.loads(command("list", "--json").out)["shipped_detectors"] == zoo.shipped()
    assert "spam-svm/median:7" in command("list").out


def test_large_tensors_take_half_the_room_and_small_ones_keep_their_bits(tmp_path: Path) -> None:
    recipe = MislNet()
    network = recipe.build()
    network.initialise(torch.Generator().manual_seed(0))
    folders = {half: tmp_path / str(half) for half in (True, False)}
    for half, folder in folders.items():
        folder.mkdir()
        weights.save(network, folder, name="mislnet", settings=recipe, record={}, half=half)
    sizes = {half: (folder / weights.TENSORS).stat().st_size for half, folder in folders.items()}
    assert sizes[True] < 0.55 * sizes[False]
    halved, whole = load_detector(folders[True]).state_dict(), network.state_dict()
    for name, tensor in whole.items():
        expected = tensor.half().to(tensor.dtype) if tensor.numel() >= weights.MANY else tensor
        assert torch.equal(halved[name], expected), name


def test_what_is_shipped_is_whole_and_fits_into_its_share_of_the_package() -> None:
    assert sum(path.stat().st_size for path in zoo.ROOT.rglob("*") if path.is_file()) <= MOST_BYTES
    assert zoo.shipped() == sorted(f"{detector}/{text}" for detector in SHIPPED for text in PAPER)
    for name in zoo.shipped():
        assert load_detector(name).differentiable == (not name.startswith("spam-svm"))


@pytest.mark.parametrize("name", zoo.shipped())
def test_the_page_on_the_zoo_says_what_the_cards_say(name: str) -> None:
    line = line_of_page(name, weights.read_record(zoo.folder_of(name)))
    assert line in (ROOT / "docs" / "zoo.md").read_text(encoding="utf-8").splitlines()


def test_the_line_of_a_detector_says_what_few_false_alarms_cost_and_whether_it_has_learned() -> None:
    found = {"fpr": 0.01, "tpr": 0.98765, "tpr_low": 0.9, "tpr_high": 1.0, "acc": 0.98882, "auc": 0.99}
    old = {"measured": found, "training": {}}
    assert line_of_page("a/b:1", old) == "| `a/b:1` | 1.00 | 98.77 (90.00 to 100.00) | 98.88 | 0.9900 | — | — |"
    points = {"tpr_at_fpr_01": 0.5, "tpr_at_fpr_01_low": 0.4, "tpr_at_fpr_01_high": 0.6, "fpr_at_fpr_01": 0.02}
    new = {"measured": found | points, "training": {"validation_auc": 0.55}}
    assert line_of_page("a/b:1", new).startswith("| `a/b:1` has not learned | 1.00 |")
    assert line_of_page("a/b:1", new).endswith("| 50.00 (40.00 to 60.00) | 2.00 |")
    whole = {"photographs": 9, "pristine_flagged": 1, "manipulated": 8, "manipulated_flagged": 7}
    whole_too = {"measured": found | points | {"whole": whole}, "training": {}}
    assert line_of_page("a/b:1", whole_too).endswith("| 2.00 | 1 of 9 | 7 of 8 |")


@pytest.mark.parametrize("name", ["spam-svm/resize:1.01", "cozzolino2017/median:3", "mislnet/jpeg:70"])
def test_on_real_photographs_of_an_unseen_device_a_detector_is_as_good_as_its_card(name: str, tmp_path: Path) -> None:
    device = "oneplus_a3003"
    if not (CAMERAS / device).is_dir():
        pytest.skip(f"{CAMERAS / device} is not there")
    (tmp_path / device).symlink_to(CAMERAS / device, target_is_directory=True)
    card = weights.read_record(zoo.folder_of(name))
    measured = card["measured"]
    assert device not in card["devices"]
    quiet = Progress(quiet=True)
    found = evaluate_detector(name, [tmp_path], card["manipulation"], per_photo=measured["per_photo"], progress=quiet)
    assert found["devices"][device]["patches"] == measured["devices"][device]["patches"]
    assert found["devices"][device]["acc"] == pytest.approx(measured["devices"][device]["acc"], abs=0.005)


def test_a_detector_comes_from_a_url(tmp_path: Path) -> None:
    place = zoo.folder_of("spam-svm/blur:1.1")
    files = fsspec.filesystem("memory")
    for name in ("weights.safetensors", "detector.json"):
        files.pipe_file(f"/detectors/blur/{name}", (place / name).read_bytes())
    patches = torch.from_numpy(noisy_patches(2, seed=0, size=128)).float()
    fetched, shipped = load_detector("memory://detectors/blur"), load_detector("spam-svm/blur:1.1")
    assert torch.equal(fetched.logits(patches), shipped.logits(patches))
    with pytest.raises(WeightsError, match="no detector could be read from memory://detectors/none"):
        load_detector("memory://detectors/none")
