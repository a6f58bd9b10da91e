from __future__ import annotations

import contextlib
import json
import math
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from scipy import ndimage
from scipy.stats import binomtest
from skimage.metrics import mean_squared_error, peak_signal_noise_ratio

from counterforensics import manipulations
from counterforensics.errors import LeakageError, PhotoError, PixelError
from counterforensics.evaluation import (
    auc,
    auc_interval,
    changed,
    frequencies,
    mse,
    psnr_of,
    radial_spectrum,
    rates,
    residual_spectrum,
    ssim,
)
from counterforensics.intervals import wilson
from counterforensics.learning import weights
from counterforensics.outcome import OPERATING_COLUMNS
from counterforensics.photos.patches import flat
from counterforensics.study.evaluate import evaluate_detector
from counterforensics.study.progress import Progress
from counterforensics.study.run import run_study
from counterforensics.study.schedulers import memory
from counterforensics.study.tasks.photographs import memory_of
from tests.conftest import Command, picture, tiny_study
from tests.toys import noisy_patches


def logits(values: Sequence[float]) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return np.array(values, dtype=np.float32)


LOGITS = st.lists(st.integers(-3, 3).map(float), min_size=1, max_size=12).map(logits)


@given(LOGITS, LOGITS)
def test_auc_is_the_share_of_pairs_in_the_right_order(pristine: np.ndarray, manipulated: np.ndarray) -> None:
    above = (manipulated[:, None] > pristine).mean() + (manipulated[:, None] == pristine).mean() / 2
    assert auc(pristine, manipulated) == pytest.approx(above)


def test_counts_and_rates_of_a_known_case() -> None:
    pristine = logits([-1, -1, 0, 2])
    manipulated = logits([1, 1, 3, -1])
    photo = np.array([0, 0, 1, 1])
    found = rates(pristine, manipulated, photo, photo, seed=0)
    assert (found.n_pristine, found.n_manipulated, found.fp, found.tp) == (4, 4, 1, 3)
    assert (found.fpr, found.tpr, found.acc) == (0.25, 0.75, 0.75)


def test_with_two_photographs_the_interval_ends_at_their_own_rates() -> None:
    # Resamples of two photographs: each alone a quarter of the time, both together half of it.
    manipulated = logits([1] * 10 + [-1] * 10)
    photo = np.repeat([0, 1], 10)
    found = rates(logits([-1] * 20), manipulated, photo, photo, seed=0)
    assert (found.tpr_low, found.tpr_high) == (0.0, 1.0)


def test_intervals_are_wider_by_photograph_than_by_patch() -> None:
    draw = np.random.default_rng(0)
    photo = np.repeat(np.arange(40), 50)
    easy = draw.random(40) < 0.8
    manipulated = np.where(easy[photo], 1, -1).astype(np.float32)
    by_photo = rates(manipulated, manipulated, photo, photo, seed=1)
    by_patch = rates(manipulated, manipulated, np.arange(2000), np.arange(2000), seed=1)
    ratio = (by_photo.tpr_high - by_photo.tpr_low) / (by_patch.tpr_high - by_patch.tpr_low)
    assert 5 < ratio < 9  # the square root of 50 patches that all agree


def test_the_interval_of_independent_photographs_is_the_binomial_one() -> None:
    manipulated = np.repeat(logits([1, -1]), [300, 100])
    photo = np.arange(400)
    found = rates(-np.ones(400, np.float32), manipulated, photo, photo, seed=2)
    half = 1.96 * math.sqrt(0.75 * 0.25 / 400)
    assert found.tpr_low == pytest.approx(0.75 - half, abs=0.006)
    assert found.tpr_high == pytest.approx(0.75 + half, abs=0.006)


@given(st.integers(1, 300).flatmap(lambda trials: st.tuples(st.integers(0, trials), st.just(trials))))
def test_wilsons_interval_is_scipys(case: tuple[int, int]) -> None:
    hits, trials = case
    expected = binomtest(hits, trials).proportion_ci(0.95, method="wilson")
    assert wilson(hits / trials, trials) == pytest.approx((expected.low, expected.high), abs=1e-12)


@pytest.mark.parametrize("patches", [1, 7])
def test_an_interval_at_0_or_100_percent_has_the_width_of_its_photographs(patches: int) -> None:
    photo = np.repeat(np.arange(60), patches)
    ones = np.ones(len(photo), np.float32)
    found = rates(-ones, ones, photo, photo, seed=0)
    expected = binomtest(60, 60).proportion_ci(0.95, method="wilson")
    assert (found.tpr_low, found.tpr_high) == pytest.approx((expected.low, 1.0))
    assert (found.fpr_low, found.fpr_high) == pytest.approx((0.0, 1 - expected.low))
    assert (found.acc_low, found.acc_high) == pytest.approx((expected.low, 1.0))
    assert auc_interval(-ones, ones, photo, photo, seed=0) == pytest.approx((expected.low, 1.0))


def test_one_photograph_says_little_whatever_its_rate() -> None:
    photo = np.zeros(10, np.int64)
    found = rates(logits([-1] * 10), logits([1] * 7 + [-1] * 3), photo, photo, seed=0)
    assert found.tpr_low < 0.2
    assert found.tpr_high > 0.95
    assert (found.fpr_low, found.fpr_high) == pytest.approx(tuple(binomtest(0, 1).proportion_ci(method="wilson")))


def test_accuracy_knows_of_a_rate_without_errors_beside_one_with_some() -> None:
    photo = np.arange(40)
    manipulated = np.where(photo < 30, 1, -1).astype(np.float32)
    found = rates(-np.ones(40, np.float32), manipulated, photo, photo, seed=0)
    assert 0 < found.tpr_low < found.tpr < found.tpr_high < 1
    assert found.fpr_high == pytest.approx(binomtest(0, 40).proportion_ci(method="wilson").high)
    assert (found.acc_low, found.acc_high) == pytest.approx(
        ((found.tpr_low + 1 - found.fpr_high) / 2, (found.tpr_high + 1) / 2)
    )


def test_the_photographs_of_a_class_are_its_own() -> None:
    pristine, manipulated = np.arange(5), np.arange(60)
    found = rates(-np.ones(5, np.float32), np.ones(60, np.float32), pristine, manipulated, seed=0)
    assert found.fpr_high == pytest.approx(wilson(0.0, 5)[1])
    assert found.tpr_low == pytest.approx(wilson(1.0, 60)[0])
    area = auc_interval(-np.ones(5, np.float32), np.ones(60, np.float32), pristine, manipulated, seed=0)
    assert area == pytest.approx(wilson(1.0, 5))


def test_the_auc_interval_holds_the_auc_and_has_a_width_where_photographs_agree() -> None:
    draw = np.random.default_rng(3)
    pristine, manipulated = draw.normal(size=200).astype(np.float32), draw.normal(1, 1, 200).astype(np.float32)
    photo = np.repeat(np.arange(20), 10)
    low, high = auc_interval(pristine, manipulated, photo, photo, seed=0)
    assert low < auc(pristine, manipulated) < high
    assert 0.02 < high - low < 0.2
    alike = np.tile(logits([0, 1, 1]), 4), np.tile(logits([0, 1, 2]), 4), np.repeat(np.arange(4), 3)
    expected = wilson(auc(alike[0], alike[1]), 4)
    assert auc_interval(alike[0], alike[1], alike[2], alike[2], seed=0) == pytest.approx(expected)


def test_without_patches_there_are_no_rates() -> None:
    nothing = np.empty(0, np.float32)
    found = rates(nothing, nothing, np.empty(0, np.int64), np.empty(0, np.int64), seed=0)
    assert found.n_pristine == 0
    assert all(math.isnan(value) for value in (found.tpr, found.fpr, found.acc, found.auc, found.tpr_low))


def test_mse_and_psnr_are_scikit_images() -> None:
    a, b = (torch.from_numpy(noisy_patches(3, seed=seed, size=32)) for seed in (0, 1))
    for one, other, error in zip(a, b, mse(a, b), strict=True):
        assert error.item() == pytest.approx(mean_squared_error(one.numpy(), other.numpy()))
        expected = peak_signal_noise_ratio(one.numpy(), other.numpy(), data_range=255)
        assert psnr_of(error.item()) == pytest.approx(expected)


def test_a_step_of_one_level_everywhere_is_48_13_db() -> None:
    patches = torch.full((1, 1, 8, 8), 7, dtype=torch.uint8)
    assert psnr_of(mse(patches, patches + 1).item()) == pytest.approx(48.1308, abs=1e-4)
    assert psnr_of(mse(patches, patches).item()) == math.inf


def test_the_share_of_changed_pixels_counts_a_pixel_once_whatever_its_channels() -> None:
    a = torch.zeros(3, 3, 4, 4, dtype=torch.uint8)
    b = a.clone()
    b[1, 0, 3, 3] = 1
    b[2, :, 0] = 9
    assert changed(a, b).tolist() == [0, 1 / 16, 4 / 16]


def test_white_noise_has_its_variance_at_every_frequency() -> None:
    draw = np.random.default_rng(0)
    noise = np.clip(np.rint(draw.normal(128, 5, (200, 1, 64, 64))), 0, 255).astype(np.uint8)
    spectrum = radial_spectrum(torch.from_numpy(noise))
    # Whole numbers add a twelfth; the lowest ring has lost the mean.
    np.testing.assert_allclose(spectrum[1:], 25 + 1 / 12, rtol=0.08)
    assert spectrum[1:].mean() == pytest.approx(25 + 1 / 12, rel=0.02)


@pytest.mark.parametrize("cycles", [4, 10, 25])
def test_a_wave_stands_in_the_ring_of_its_frequency(cycles: int) -> None:
    wave = 128 + 50 * np.sin(2 * np.pi * cycles * np.arange(64) / 64)
    patch = np.broadcast_to(np.rint(wave).astype(np.uint8), (1, 1, 64, 64)).copy()
    strongest = frequencies(16)[np.argmax(radial_spectrum(torch.from_numpy(patch)))]
    assert abs(strongest - cycles / 64) <= 1 / 64


def test_a_filter_takes_high_frequencies_away() -> None:
    pristine = noisy_patches(20)
    blurred = np.stack([ndimage.gaussian_filter(patch, (0, 1, 1)) for patch in pristine])
    before, after = (radial_spectrum(torch.from_numpy(some)) for some in (pristine, blurred))
    # The Gaussian's own response at the middle of the band.
    middle = 5
    response = np.exp(-((2 * np.pi * frequencies(16)[middle]) ** 2) / 2)
    assert after[middle] / before[middle] == pytest.approx(response**2, rel=0.25)
    taken = residual_spectrum(torch.from_numpy(blurred), torch.from_numpy(pristine))
    assert taken[middle] / before[middle] == pytest.approx((1 - response) ** 2, rel=0.25)
    assert not residual_spectrum(*[torch.from_numpy(pristine)] * 2).any()


def test_structural_similarity_of_patches_is_that_of_their_channels() -> None:
    colour, other = (torch.from_numpy(noisy_patches(3, seed=seed, channels=3)) for seed in (0, 1))
    alone = torch.stack([ssim(colour[:, c : c + 1], other[:, c : c + 1]) for c in range(3)]).mean(0)
    torch.testing.assert_close(ssim(colour, other), alone)
    assert (ssim(colour, colour) == 1).all()
    assert (ssim(colour, other) < 0.9).all()


def test_structural_similarity_of_flat_patches_is_the_closed_form() -> None:
    # Without contrast nothing but the means is left: (2 a b + c) / (a^2 + b^2 + c), c = (0.01 * 255)^2.
    a, b = (torch.full((1, 1, 16, 16), level, dtype=torch.uint8) for level in (100, 120))
    c = (0.01 * 255) ** 2
    assert ssim(a, b).item() == pytest.approx((2 * 100 * 120 + c) / (100**2 + 120**2 + c))


def test_structural_similarity_refuses_what_it_cannot_compare() -> None:
    small, whole = (torch.zeros(1, 1, side, side, dtype=torch.uint8) for side in (8, 16))
    with pytest.raises(PixelError, match=r"at least 11x11, got \(1, 1, 8, 8\) and \(1, 1, 8, 8\)"):
        ssim(small, small)
    with pytest.raises(PixelError, match="patches of one shape"):
        ssim(small, whole)


# --- a detector on a folder of photographs: what is counted


def evaluated(*folders: Path, detector: str = "spam-svm/median:7", manipulation: str = "median:7") -> dict[str, Any]:
    return evaluate_detector(detector, folders, manipulation, per_photo=4, progress=Progress(quiet=True))


def notes_besides(found: Mapping[str, Any]) -> list[str]:
    """The notes but for the one that a small detector has no threshold for 0.1 % false alarms."""
    return [line for line in found["notes"] if "no threshold for 0.1 % false alarms" not in line]


@pytest.fixture
def trained(finished: Path) -> str:
    """A detector that held photographs out, and so knows its thresholds."""
    return str(finished / "detectors" / "0" / "spam-svm" / "median:7")


def with_facts(source: str, folder: Path, **changes: float | None) -> str:
    """A copy of a detector that says something else of its training; None says nothing."""
    shutil.copytree(source, folder)
    record = weights.read_record(folder)
    facts = {**record["training"], **changes}
    record["training"] = {name: value for name, value in facts.items() if value is not None}
    weights.write_record(folder, record)
    return str(folder)


def save(pixels: np.ndarray, path: Path, **settings: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **settings)
    return path


@pytest.mark.parametrize("again", ["{}", "{}/", "{}/device-0/..", "link"])
def test_the_same_folder_twice_is_refused(photos: Path, again: str, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(photos)
    second = tmp_path / "link" if again == "link" else Path(again.format(photos))
    with pytest.raises(PhotoError, match=f"the photo folder {second} is given twice.*; give each folder once"):
        evaluated(photos, second)


def test_one_photograph_under_two_devices_is_refused_before_anything_is_judged(
    photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Other bytes, the same pixels.
    other = save(np.asarray(Image.open(photos / "device-0" / "two.png")), photos / "device-9" / "copy.tif")
    monkeypatch.setattr("counterforensics.study.evaluate.score", None)
    with pytest.raises(LeakageError) as caught:
        evaluated(photos)
    first = photos / "device-0" / "two.png"
    assert str(caught.value).startswith(
        f"the same photograph stands twice: {first} (evaluated) and {other} (evaluated)"
    )


def test_one_photograph_twice_under_one_device_counts_once(photos: Path, tmp_path: Path) -> None:
    alone = evaluated(photos)
    original = photos / "device-0" / "one.jpg"
    for copy in (photos / "device-0" / "one-again.jpg", tmp_path / "more" / "device-0" / "one.jpg"):
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(original.read_bytes())
    twice = evaluated(tmp_path / "more", photos)
    assert {**twice, "left_out": []} == alone
    assert len(twice["left_out"]) == 2
    assert all("the same pixels as" in line and "which counts once" in line for line in twice["left_out"])


@pytest.mark.usefixtures("no_report")
def test_photographs_that_the_detector_learned_from_are_left_out(photos: Path, tmp_path: Path) -> None:
    study = tiny_study(
        tmp_path, photos={"folders": [str(photos)]}, split={"test": ["device-3"], "validation": 0.2}, attacks=[]
    )
    out = tmp_path / "out"
    assert run_study(study, out, workers=1).failures == ()
    detector = str(out / "detectors" / "0" / "spam-svm" / "median:7")
    found = evaluated(photos, detector=detector)
    learned = [path for device in range(3) for path in sorted((photos / f"device-{device}").iterdir())]
    assert found["left_out"] == [f"{path}: the detector learned from it" for path in learned]
    assert (found["photos"], set(found["devices"])) == (2, {"device-3"})
    for path in (photos / "device-3").iterdir():
        path.unlink()
    with pytest.raises(LeakageError, match="the detector learned from all 6 photographs; give photographs of other"):
        evaluated(photos, detector=detector)
    # Another photograph of a device that it knows.
    save(picture(55), photos / "device-1" / "new.png")
    found = evaluated(photos, detector=detector)
    assert found["photos"] == 1
    assert any("learned from other photographs of device-1: on devices that it has not" in n for n in found["notes"])


def test_a_detector_that_does_not_say_what_it_learned_from_is_judged_with_a_note(
    photos: Path, trained: str, tmp_path: Path
) -> None:
    shutil.copytree(trained, tmp_path / "older")
    record = weights.read_record(tmp_path / "older")
    weights.write_record(
        tmp_path / "older", {name: record[name] for name in record if name not in ("photos", "devices")}
    )
    found = evaluated(photos, detector=str(tmp_path / "older"))
    assert any("does not say from which photographs it learned" in note for note in found["notes"])


def test_another_question_than_the_detector_was_trained_for_is_said(
    photo_folder: Path, trained: str, command: Command
) -> None:
    assert notes_besides(evaluated(photo_folder, detector=trained, manipulation="median:size=7")) == []
    (line,) = notes_besides(evaluated(photo_folder, detector=trained, manipulation="jpeg:70"))
    assert line == (
        "the detector was trained to find median:7, not jpeg:70: the TPR says how many patches it calls manipulated "
        "after jpeg:70, which it has not learned to find"
    )
    arguments = ("evaluate", "--detector", trained, "--photos", photo_folder, "--per-photo", 1)
    answer = command(*arguments, "--manipulation", "jpeg:70")
    assert answer.status == 0
    assert f"Note: {line}\n" in answer.out


def test_patches_without_noise_are_counted_apart(photos: Path, trained: str) -> None:
    alone = evaluated(photos, detector=trained)
    assert (alone["flat"], notes_besides(alone)) == ({"n_pristine": 0, "n_manipulated": 0, "fp": 0, "tp": 0}, [])
    # A photograph hardly larger than a patch has one cell.
    save(np.full((128, 128, 3), 255, dtype=np.uint8), photos / "device-0" / "white.jpg")
    save(np.full((128, 128, 3), 9, dtype=np.uint8), photos / "lens-cap" / "dark.png")
    found = evaluated(photos, detector=trained)
    for name in ("n_pristine", "n_manipulated", "fpr", "tpr", "acc", "auc", "devices"):
        assert found[name] == alone[name], name
    assert (found["photos"], found["flat"]["n_pristine"], found["flat"]["n_manipulated"]) == (10, 2, 2)
    said, device = notes_besides(found)
    assert said.startswith("flat patches, which hold no noise to judge by, are not in the rates: 2 pristine (")
    assert device == "lens-cap: its patches are flat, so it has no rates of its own"


def test_what_is_unusual_about_a_photograph_is_said(photos: Path, trained: str) -> None:
    with Image.open(photos / "device-0" / "two.png") as image:
        image.save(photos / "device-0" / "two.png", icc_profile=b"a profile")
    (line,) = notes_besides(evaluated(photos, detector=trained))
    assert line == f"{photos / 'device-0' / 'two.png'}: a colour profile (ICC), which is not applied"


def test_a_photograph_that_takes_too_much_memory_is_left_out_and_named(photos: Path, trained: str) -> None:
    large = photos / "device-0" / "large.png"
    Image.new("RGB", (4000, 3000), (1, 2, 3)).save(large, compress_level=1)
    found = evaluated(photos, detector=trained, manipulation="resize:10")
    assert found["photos"] == 8
    says = "resize:10 of 4000x3000 takes 4.9 GB of memory, at most 2.7 work; leave one of the two out"
    assert found["left_out"] == [f"{large}: {says}"]


def test_photographs_wait_for_the_memory_of_photographs(
    photo_folder: Path, trained: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = []

    class Counting(memory.Budget):
        @contextlib.contextmanager
        def taken(self, size: int) -> Iterator[None]:
            taken.append(size)
            with super().taken(size):
                yield

    monkeypatch.setattr(memory, "FOR_PHOTOGRAPHS", Counting(2_700_000_000))
    evaluated(photo_folder, detector=trained, manipulation="resize:4")
    pixels, part = 192 * 160, manipulations.parse("resize:4")
    assert taken == 8 * [memory_of(pixels, None)] + 8 * [memory_of(pixels, part)]


def test_photographs_without_any_noise_are_refused(tmp_path: Path) -> None:
    save(np.full((200, 200, 3), 255, dtype=np.uint8), tmp_path / "photos" / "device" / "white.png")
    with pytest.raises(PhotoError, match="every pristine patch is flat: there is no noise to judge by; give other"):
        evaluated(tmp_path / "photos")


@given(level=st.integers(0, 255), channels=st.sampled_from([1, 3]), speck=st.booleans(), noise=st.booleans())
def test_a_patch_is_flat_up_to_one_speck_and_not_with_noise(
    level: int, channels: int, speck: bool, noise: bool
) -> None:
    patches = np.full((1, channels, 128, 128), level, dtype=np.uint8)
    if speck:
        patches[0, :, 60, 60] = 255 - level
    if noise:  # in a sixteenth of it
        patches[..., :32, :32] = np.random.default_rng(level).integers(100, 103, (32, 32))
    assert flat(patches).tolist() == [not noise]


# --- a detector on a folder of photographs: other thresholds than 0, and what the files are

THRESHOLDS = ("threshold_fpr_01", "threshold_fpr_05")
NO_THRESHOLDS = {"fpr_001": None, "fpr_01": None, "fpr_05": None}


def test_rates_at_stored_thresholds_are_those_of_the_detector(photo_folder: Path, trained: str, tmp_path: Path) -> None:
    # Nothing lies above the one threshold, and everything above the other.
    ends = dict(zip(THRESHOLDS, (1e9, -1e9), strict=True))
    found = evaluated(photo_folder, detector=with_facts(trained, tmp_path / "ends", **ends))
    assert found["thresholds"] == {"fpr_001": None, "fpr_01": 1e9, "fpr_05": -1e9}
    for part in (found, *found["devices"].values(), *found["by_quality"].values()):
        assert (part["tpr_at_fpr_01"], part["fpr_at_fpr_01"]) == (0, 0)
        assert (part["tpr_at_fpr_05"], part["fpr_at_fpr_05"]) == (1, 1)
    low, high = found["tpr_at_fpr_01_low"], found["tpr_at_fpr_01_high"]
    assert (low, high) == pytest.approx(wilson(0.0, 8))
    assert found["best_acc_low"] <= found["best_acc"] <= found["best_acc_high"]
    # At the threshold 0 they are the rates that stand there anyway.
    zeros = evaluated(photo_folder, detector=with_facts(trained, tmp_path / "zeros", **dict.fromkeys(THRESHOLDS, 0.0)))
    for name in ("fpr_01", "fpr_05"):
        assert (zeros[f"tpr_at_{name}"], zeros[f"fpr_at_{name}"]) == (zeros["tpr"], zeros["fpr"])
        assert zeros[f"tpr_at_{name}_low"] == zeros["tpr_low"]


def test_a_threshold_never_comes_from_the_photographs_given(photo_folder: Path, trained: str, tmp_path: Path) -> None:
    whole = evaluated(photo_folder, detector=trained)
    part = tmp_path / "one device"
    shutil.copytree(photo_folder / "device-1", part / "device-1")
    alone = evaluated(part, detector=trained)
    assert alone["thresholds"] == whole["thresholds"] != NO_THRESHOLDS
    assert alone["devices"]["device-1"] == whole["devices"]["device-1"]


def test_an_old_detector_has_no_thresholds_and_says_so(
    photo_folder: Path, trained: str, tmp_path: Path, command: Command
) -> None:
    old = with_facts(trained, tmp_path / "old", **dict.fromkeys((*THRESHOLDS, "validation_auc")))
    arguments = (
        "evaluate",
        "--detector",
        old,
        "--photos",
        photo_folder,
        "--manipulation",
        "median:7",
        "--per-photo",
        1,
    )
    found = json.loads(command(*arguments, "--json").out)
    assert found["thresholds"] == NO_THRESHOLDS
    nothing = [name for name in OPERATING_COLUMNS if not name.startswith(("best_acc", "eer"))]
    assert {found[name] for name in nothing} == {None}
    assert found["devices"]["device-1"]["tpr_at_fpr_01"] is None
    assert found["best_acc"] >= found["acc"]
    (line,) = found["notes"]
    assert line.startswith("the detector holds no thresholds from held-out photographs, so there are no rates at 0.1 %")
    printed = command(*arguments)
    assert (printed.status, "TPR at" in printed.out) == (0, False)
    assert f"Note: {line}\n" in printed.out


def test_a_detector_at_chance_is_said_not_to_have_learned(photo_folder: Path, trained: str, tmp_path: Path) -> None:
    chance = with_facts(trained, tmp_path / "chance", validation_auc=0.5123)
    (line,) = notes_besides(evaluated(photo_folder, detector=chance))
    assert line.startswith(
        "the detector has not learned: the AUC on held-out photographs of its training devices is 0.51, below 0.6"
    )
    enough = with_facts(trained, tmp_path / "enough", validation_auc=0.6)
    assert notes_besides(evaluated(photo_folder, detector=enough)) == []


def test_rates_are_split_by_the_quality_of_the_files(photos: Path, trained: str, command: Command) -> None:
    qualities = {"a": 40, "b": 64, "c": 65, "d": 79, "e": 89, "f": 94, "g": 100}
    for number, (name, quality) in enumerate(qualities.items()):
        save(picture(50 + number), photos / "device-0" / f"{name}.jpg", quality=quality)
    save(np.full((128, 128, 3), 9, dtype=np.uint8), photos / "device-0" / "dark.jpg", quality=85)
    found = evaluated(photos, detector=trained)
    counts = {"no JPEG": 4, "below 65": 2, "65 to 80": 2, "80 to 90": 2, "90 to 95": 1, "95 and above": 5}
    assert {band: part["photographs"] for band, part in found["by_quality"].items()} == counts
    assert list(found["by_quality"]) == list(counts)
    # All photographs but the flat one have equally many patches.
    weighted = sum(
        part["fpr"] * (part["photographs"] - (band == "80 to 90")) for band, part in found["by_quality"].items()
    )
    assert weighted / 15 == pytest.approx(found["fpr"])
    arguments = ("evaluate", "--detector", trained, "--photos", photos, "--manipulation", "median:7", "--per-photo", 4)
    printed = command(*arguments).out
    assert "by JPEG quality of the file" in printed
    assert "TPR at 1 % FPR" in printed
    assert f"FPR reached {found['fpr_at_fpr_01']:.2%}" in printed
    assert all(band in printed for band in counts)


def test_a_band_of_flat_photographs_has_no_rates(photos: Path, trained: str, command: Command) -> None:
    save(np.full((128, 128, 3), 9, dtype=np.uint8), photos / "device-0" / "dark.jpg", quality=85)
    band = evaluated(photos, detector=trained)["by_quality"]["80 to 90"]
    assert band.pop("photographs") == 1
    assert set(band.values()) == {None}
    arguments = ("evaluate", "--detector", trained, "--photos", photos, "--manipulation", "median:7", "--per-photo", 1)
    assert command(*arguments).status == 0


@pytest.mark.parametrize(("question", "meaningless"), [("jpeg:70", 2), ("jpeg:69", 1), ("jpeg:39", 0), ("median:7", 0)])
def test_files_that_are_compressed_as_strongly_already_are_counted(
    question: str, meaningless: int, photos: Path, finished: Path
) -> None:
    for quality in (40, 70, 71):
        save(picture(quality), photos / "device-0" / f"{quality}.jpg", quality=quality)
    detector = str(finished / "detectors" / "0" / "spam-svm" / "jpeg:70")
    notes = evaluated(photos, detector=detector, manipulation=question)["notes"]
    said = [line for line in notes if line.startswith("already compressed")]
    counted = f"{meaningless} photograph{'s' if meaningless > 1 else ''}"
    asked = question.partition(":")[2]
    line = f"already compressed at quality {asked} or below: the answer means nothing for {counted}"
    assert said == ([line] if meaningless else [])
