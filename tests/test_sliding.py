"""Detectors and attacks over a whole photograph."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from counterforensics import attack_photo, detect, load_detector
from counterforensics.attacks import parse
from counterforensics.detectors.base import score
from counterforensics.detectors.spam_svm import SpamSvmDetector
from counterforensics.errors import AttackError, PhotoError, StudyError, WeightsError
from counterforensics.features.sliding import sliding_s3_spam14hv, sliding_soft_s3_spam14hv
from counterforensics.features.soft import Quantiser, exact_quantiser, soft_s3_spam14hv
from counterforensics.features.spam import s3_spam14hv
from counterforensics.manipulations import parse as manipulation
from counterforensics.photos.jpeg_quality import JpegQuality
from counterforensics.photos.patches import flat
from counterforensics.photos.simulated import simulated_photos
from counterforensics.positions import Positions, sliding
from counterforensics.sliding import Scan, conceal_photo, detecting, question_of, scan
from counterforensics.sliding.attacking import manipulated_in
from counterforensics.sliding.concealing import Region
from counterforensics.sliding.findings import stored_threshold, threshold_of
from counterforensics.sliding.scan import Subject, flat_at
from counterforensics.sliding.sweeping import side_by_side
from counterforensics.sliding.views import View
from tests.conftest import Command, picture


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    """A part of a simulated photograph, uint8 [320, 416, 3]."""
    return np.ascontiguousarray(simulated_photos(devices=1, photos=1)[0].read()[100:420, 200:616])


@given(
    height=st.integers(20, 60),
    width=st.integers(20, 60),
    side=st.integers(8, 20),
    stride=st.integers(1, 25),
    seed=st.integers(0, 99),
)
@settings(max_examples=40, deadline=None)
def test_every_exact_feature_is_that_of_its_patch(height: int, width: int, side: int, stride: int, seed: int) -> None:
    plane = np.random.default_rng(seed).integers(0, 256 if seed % 2 else 6, (height, width)).astype(np.uint8)
    positions = sliding(height, width, stride=stride, side=side)
    found = np.concatenate(list(sliding_s3_spam14hv(plane, positions)))
    patches = np.concatenate(list(positions.batches(plane[None], 64)))[:, 0]
    assert np.array_equal(found, s3_spam14hv(patches))


@given(side=st.integers(8, 40), stride=st.integers(9, 30), alpha=st.sampled_from([0.3, 2.0, float("inf")]))
@settings(max_examples=12, deadline=None)
def test_every_soft_feature_is_that_of_its_patch(side: int, stride: int, alpha: float) -> None:
    plane = np.random.default_rng(side).integers(90, 110, (53, 61)).astype(np.uint8)
    exact = exact_quantiser()
    tuned = Quantiser(exact.taps + 0.01, exact.levels * 1.02, exact.offsets)
    positions = sliding(*plane.shape, stride=stride, side=side)
    found = np.concatenate(list(sliding_soft_s3_spam14hv(plane, positions, tuned, alpha=alpha)))
    patches = torch.from_numpy(np.concatenate(list(positions.batches(plane[None], 64)))).float()
    assert np.abs(found - soft_s3_spam14hv(patches, tuned, alpha=alpha).numpy()).max() < 2e-6


@pytest.mark.parametrize("name", ["spam-svm/median:3", "cozzolino2017/blur:0.5", "mislnet/jpeg:90"])
def test_a_scan_gives_each_patch_its_own_logit(name: str, photo: np.ndarray) -> None:
    detector = load_detector(name)
    found = scan(photo, detector, stride=48)
    planes = Subject(photo).planes_for(detector)
    alone = score(detector, found.positions.batches(planes, 16)).reshape(found.logits.shape)
    assert np.abs(found.logits - alone).max() < 1e-4
    assert found.logits.shape == (5, 7)


def test_positions_touch_all_edges_and_refuse_what_cannot_be() -> None:
    positions = sliding(200, 131, stride=50, side=128)
    assert positions.tops.tolist() == [0, 50, 72]
    assert positions.lefts.tolist() == [0, 3]
    with pytest.raises(PhotoError, match=r"100x200 is smaller than a 128x128 patch"):
        sliding(200, 100, stride=8, side=128)
    with pytest.raises(PhotoError, match="whole number of pixels from 1 on, got 0"):
        sliding(200, 200, stride=0, side=128)


@pytest.mark.parametrize("channels", [1, 3])
def test_flat_patches_are_those_that_are_flat_alone(channels: int) -> None:
    planes = np.full((channels, 300, 280), 200, dtype=np.uint8)
    planes[:, 150:, 100:] += np.random.default_rng(0).integers(0, 3, (channels, 150, 180)).astype(np.uint8)
    planes[0, 40, 20] += 1
    positions = sliding(300, 280, stride=19, side=128)
    alone = flat(np.concatenate(list(positions.batches(planes, 64)))).reshape(positions.shape)
    assert 0 < alone.sum() < alone.size
    assert np.array_equal(flat_at(planes, positions), alone)


def test_a_map_shows_the_patches_that_cover_a_pixel() -> None:
    positions = Positions(np.array([0, 2]), np.array([0, 3]), 4)
    logits = np.array([[1, 2], [3, 4]], dtype=np.float32)
    found = Scan(positions, logits, np.array([[False, False], [False, True]]), 6, 7)
    heat, share = found.heat_map(0.5), found.flag_map(1.5)
    assert heat[0, 0] == 0.5  # one patch
    assert heat[2, 3] == 2.5  # all patches but the flat one: the largest of three
    assert np.isnan(heat[5, 6])  # the flat patch alone
    assert share[2, 3] == pytest.approx(2 / 3)
    assert found.flagged(1.5) == pytest.approx(2 / 3)


@given(st.integers(128, 300), st.integers(128, 300), st.sampled_from([8, 16, 37, 64]), st.integers(0, 9))
@settings(max_examples=25, deadline=None)
def test_heat_is_the_upper_quartile_of_the_patches_over_a_pixel(
    height: int, width: int, stride: int, seed: int
) -> None:
    random, positions = np.random.default_rng(seed), sliding(height, width, stride=stride, side=128)
    logits = random.normal(size=positions.shape).astype(np.float32)
    found = Scan(positions, logits, random.random(positions.shape) < 0.2, height, width)
    heat, tops, lefts = found.heat_map(0.3), positions.tops, positions.lefts
    assert heat.shape == (height, width)
    for y, x in [(0, 0), (height - 1, width - 1), *random.integers(0, [height, width], (30, 2))]:
        over = np.ix_((tops <= y) & (y < tops + 128), (lefts <= x) & (x < lefts + 128))
        judged = logits[over][~found.flat[over]].astype(np.float64)
        if not len(judged):
            assert np.isnan(heat[y, x])
        else:
            expected = np.quantile(judged, 0.75, method="inverted_cdf") - 0.3
            assert heat[y, x] == pytest.approx(expected, abs=1e-6)


def test_a_map_of_a_fine_stride_takes_positions_of_eight_pixels() -> None:
    random, fine = np.random.default_rng(0), sliding(150, 160, stride=2, side=128)
    logits = random.normal(size=fine.shape).astype(np.float32)
    coarse = sliding(150, 160, stride=8, side=128)
    same = logits[np.ix_(np.searchsorted(fine.tops, coarse.tops), np.searchsorted(fine.lefts, coarse.lefts))]
    not_flat, few = np.zeros(fine.shape, bool), np.zeros(coarse.shape, bool)
    assert np.array_equal(
        Scan(fine, logits, not_flat, 150, 160).heat_map(), Scan(coarse, same, few, 150, 160).heat_map()
    )


def test_a_manipulated_photograph_is_found_and_a_pristine_one_is_not(photo: np.ndarray) -> None:
    names, asked = ["spam-svm", "cozzolino2017"], ["median:7"]
    before = detect(photo, detectors=names, manipulations=asked)
    after = detect(manipulation("median:7")(photo), detectors=names, manipulations=asked)
    assert before.agreement() == {"median:7": {"pristine": 2}}
    assert after.agreement() == {"median:7": {"manipulated": 2}}


def test_a_manipulated_part_is_pointed_at(photo: np.ndarray) -> None:
    spliced = manipulated_in(photo, manipulation("median:7"), Region(0, 0, 200, 200))
    (found,) = detect(spliced, detectors=["spam-svm"], manipulations=["median:7"]).findings
    assert found.verdict == "pristine"
    assert found.flagged is not None
    assert 0.1 < found.flagged < 0.5
    assert found.why.endswith("A part of the photograph may be manipulated: look at the map")
    (before,) = detect(photo, detectors=["spam-svm"], manipulations=["median:7"]).findings
    assert "look at the map" not in before.why


def test_a_question_without_an_answer_says_why(photo: np.ndarray) -> None:
    detector = load_detector("spam-svm/jpeg:70")

    def why(pixels: np.ndarray, quality: int | None = None) -> str:
        own = None if quality is None else JpegQuality(quality, True)
        found = question_of(Subject(pixels), detector, detector="d", quality=own)
        assert (found.verdict, found.flagged) == ("no answer", None)
        return found.why

    assert "a JPEG of quality 70, at or below 70" in why(photo, 70)
    assert "smaller than a patch of 128x128" in why(photo[:100])
    assert "every patch is flat" in why(np.full((200, 200, 3), 255, dtype=np.uint8))
    assert question_of(Subject(photo), detector, detector="d", quality=JpegQuality(71, True)).verdict != "no answer"
    detector.facts = {**detector.facts, "validation_auc": 0.55}
    assert "has not learned: its AUC on held-out photographs is 0.55" in why(photo)


def test_a_photograph_that_was_resized_before_has_no_answer_about_resizing(tmp_path: Path, photo: np.ndarray) -> None:
    exif = Image.Exif()
    exif.get_ifd(0x8769).update({0xA002: 2 * photo.shape[1], 0xA003: 2 * photo.shape[0]})
    Image.fromarray(photo).save(tmp_path / "a.jpg", quality=95, exif=exif)
    asked = detect(tmp_path / "a.jpg", detectors=["spam-svm"], manipulations=["resize:1.5", "median:7"])
    verdicts = {found.manipulation: (found.verdict, found.why) for found in asked.findings}
    assert verdicts["median:7"][0] != "no answer"
    assert verdicts["resize:1.5"] == (
        "no answer",
        "its metadata record another size, so it was resized before and shows such traces in any case",
    )


def test_a_patch_is_flagged_above_the_stored_threshold_or_above_0() -> None:
    detector = load_detector("spam-svm/median:7")
    for stored, used in ((-1.25, 0.0), (0.4, 0.4)):
        detector.facts = {**detector.facts, "threshold_fpr_01": stored}
        assert threshold_of(detector) == used
        assert stored_threshold(detector) == stored
    detector.facts = {}
    assert threshold_of(detector) == 0.0


@pytest.mark.parametrize(
    ("target", "attack"),
    [
        ("cozzolino2017/median:7", "pgd:epsilon=1"),
        ("cozzolino2017/median:7", "fgsm"),
        ("cozzolino2017/resize:1.5", "deepfool"),
        ("spam-svm/blur:1.1", "spam-descent"),
    ],
)
def test_after_an_attack_no_sliding_patch_is_flagged(target: str, attack: str, photo: np.ndarray) -> None:
    detector = load_detector(target)
    manipulated = manipulation(detector.trained_for)(photo[:256, :256])
    result = conceal_photo(manipulated, detector, parse(attack), stride=16)
    assert result.before.above(result.threshold) > 0.9 * result.before.patches
    assert not result.after.above(result.threshold)
    again = scan(result.photo, detector, stride=16)  # the photograph itself, not what the attack believed
    assert not again.above(result.threshold).any()
    moved = np.abs(result.photo.astype(int) - manipulated).max()
    assert result.largest_change == moved > 0
    assert result.psnr > 30


def test_what_a_weak_attack_leaves_is_said(photo: np.ndarray) -> None:
    detector = load_detector("spam-svm/median:7")
    manipulated = manipulation("median:7")(photo[:160, :160])
    result = conceal_photo(manipulated, detector, parse("spam-gradient"), stride=16, sweeps=3)
    assert result.sweeps == 3
    assert result.after.above(result.threshold) > 0.5 * result.after.patches
    again = scan(result.photo, detector, stride=16)
    assert np.array_equal(again.logits, result.after.views[0].scan.logits)


def test_pixels_change_only_where_they_must(photo: np.ndarray) -> None:
    detector = load_detector("cozzolino2017/median:7")
    region = Region(150, 64, 160, 160)
    spliced = manipulated_in(photo, manipulation("median:7"), region)
    outside = ~region.mask(*photo.shape[:2])
    assert np.array_equal(spliced[outside], photo[outside])
    assert np.array_equal(spliced[~outside], manipulation("median:7")(photo)[~outside])
    result = conceal_photo(spliced, detector, parse("pgd:epsilon=1"), region=region)
    assert np.array_equal(result.photo[outside], photo[outside])
    assert result.after.above(result.threshold) < result.before.above(result.threshold)
    untouched = conceal_photo(photo, detector, parse("pgd"))
    assert (untouched.changed, untouched.sweeps) == (0.0, 0)


def test_a_region_of_a_resized_photograph_keeps_its_size(photo: np.ndarray) -> None:
    region = Region(10, 20, 130, 140)
    result = manipulated_in(photo, manipulation("resize:1.5"), region)
    assert result.shape == photo.shape
    whole = manipulation("resize:1.5")(photo[20:160, 10:140])
    assert np.array_equal(result[20:160, 10:140], whole[35:175, 32:162])
    with pytest.raises(AttackError, match="makes the region 130x140 smaller, 65x70"):
        manipulated_in(photo, manipulation("resize:0.5"), region)


def test_patches_of_a_sweep_do_not_overlap() -> None:
    random = np.random.default_rng(1)
    positions = sliding(777, 901, stride=8, side=128)
    flagged = random.random(positions.shape) < 0.3
    found = Scan(positions, np.zeros(positions.shape, np.float32), np.zeros(positions.shape, bool), 777, 901)
    corners = np.array(side_by_side(View(found, flagged)))
    assert len(corners) > 10
    apart = np.abs(corners[:, None] - corners[None]).max(2)
    assert apart[~np.eye(len(corners), dtype=bool)].min() >= 128


def test_an_attack_that_cannot_be_says_what_works(photo: np.ndarray) -> None:
    with pytest.raises(AttackError, match="needs gradients"):
        attack_photo(photo, detector="spam-svm/median:7", attack="pgd")
    with pytest.raises(AttackError, match="give a generator that a study has trained"):
        attack_photo(photo, detector="cozzolino2017/median:7", attack="gan-kim")
    with pytest.raises(AttackError, match="as it was before the manipulation"):
        attack_photo(photo, detector="spam-svm/median:7", attack="spam-descent:goal=pristine")
    with pytest.raises(AttackError, match=r"400,0,50,50 .* does not lie in a photograph of 416x320"):
        attack_photo(photo, detector="cozzolino2017/median:7", attack="pgd", region=(400, 0, 50, 50))
    with pytest.raises(WeightsError, match="did you mean"):
        detect(photo, detectors=["spam-swm"])
    with pytest.raises(StudyError, match="none of these detectors looks for median:9"):
        detect(photo, manipulations=["median:9"])


def test_a_detector_without_a_question_is_refused(tmp_path: Path, photo: np.ndarray) -> None:
    from counterforensics.detectors.spam_svm import SpamSvm
    from counterforensics.learning import weights

    network = SpamSvmDetector("sqrt")
    with torch.no_grad():
        network.head.weight.add_(1)
    weights.save(network, tmp_path, name="spam-svm", settings=SpamSvm(), record={})
    with pytest.raises(WeightsError, match="does not say which manipulation it looks for"):
        detect(photo, detectors=[str(tmp_path)])


def write_photo(path: Path, pixels: np.ndarray) -> Path:
    Image.fromarray(pixels).save(path)
    return path


def test_detect_on_the_command_line(command: Command, tmp_path: Path, photo: np.ndarray) -> None:
    good = write_photo(tmp_path / "a [1].png", manipulation("median:7")(photo))
    bad = tmp_path / "b.jpg"
    bad.write_bytes(b"no picture")
    maps = tmp_path / "maps"
    answer = command(
        "detect", good, bad, "--detector", "spam-svm", "--manipulation", "median:7", "--maps", maps, "--json"
    )
    assert answer.status == 0
    (found,) = json.loads(answer.out)
    (finding,) = found["findings"]
    assert found["photo"] == str(good)
    assert (finding["manipulation"], finding["detector"]) == ("median:7", "spam-svm/median:7")
    assert finding["verdict"] == "manipulated"
    assert finding["flagged"] > 0.9
    assert "Left out" in answer.err
    assert "b.jpg" in answer.err
    heat = np.load(Path(finding["map"]).with_suffix(".npy"))
    assert heat.shape == photo.shape[:2]
    assert heat.mean() > 0
    assert np.asarray(Image.open(finding["map"])).shape == photo.shape


def test_attack_on_the_command_line(
    command: Command, refused: Callable[..., str], tmp_path: Path, photo: np.ndarray
) -> None:
    source = write_photo(tmp_path / "a.png", photo[:192, :192])
    how: list[Any] = ["--detector", "spam-svm/blur:1.1", "--attack", "spam-descent", "--manipulate", "blur:1.1"]
    out = tmp_path / "new" / "c.png"
    answer = command("attack", source, *how, "--out", out, "--json")
    found = json.loads(answer.out)
    assert found["before"]["spam-svm/blur:1.1"] > 0.9
    assert found["after"]["spam-svm/blur:1.1"] == 0
    assert set(found["after"]) == {f"{kind}/blur:1.1" for kind in ("spam-svm", "cozzolino2017", "mislnet")}
    stored = np.asarray(Image.open(out))
    change = stored.astype(int) - manipulation("blur:1.1")(photo[:192, :192])
    assert np.abs(change).max() == found["largest_change"]
    assert found["psnr"] == pytest.approx(10 * np.log10(255**2 / np.square(change).mean()))
    assert "exists already" in refused("attack", source, *how, "--out", out)
    assert "JPEG would put its own traces" in refused("attack", source, *how, "--out", tmp_path / "c.jpg")
    assert "--region must be X,Y,WIDTH,HEIGHT" in refused(
        "attack", source, *how, "--out", tmp_path / "d.png", "--region", "1,2,3"
    )


def test_several_photographs_go_on_where_they_were_stopped(command: Command, tmp_path: Path, photo: np.ndarray) -> None:
    sources = [write_photo(tmp_path / f"{name}.png", photo[:160, :160]) for name in "ab"]
    out = tmp_path / "out"
    how = [
        "--detector",
        "cozzolino2017/median:7",
        "--attack",
        "fgsm",
        "--manipulate",
        "median:7",
        "--out",
        out,
        "--json",
    ]
    first = json.loads(command("attack", *sources, *how).out)
    assert [Path(one["out"]).name for one in first] == ["a.png", "b.png"]
    kept = (out / "b.png").read_bytes()
    (out / "a.png").unlink()
    again = command("attack", *sources, *how)
    assert [Path(one["out"]).name for one in json.loads(again.out)] == ["a.png"]
    assert "b.png exists already" in again.err
    assert (out / "b.png").read_bytes() == kept


def test_if_not_one_photograph_can_be_attacked_it_is_an_error(refused: Callable[..., str], tmp_path: Path) -> None:
    bad = [tmp_path / "a.jpg", tmp_path / "b.jpg"]
    for path in bad:
        path.write_bytes(b"no picture")
    said = refused(
        "attack", *bad, "--detector", "cozzolino2017/median:7", "--attack", "fgsm", "--out", tmp_path / "out"
    )
    assert said.startswith(f"none of 2 photographs can be attacked; the first: {bad[0]}: not a JPEG")


def test_a_place_for_maps_is_checked_before_anything_is_judged(
    refused: Callable[..., str], tmp_path: Path, photo: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(detecting, "judge", None)
    path = write_photo(tmp_path / "a.png", photo)
    said = refused("detect", path, "--detector", "spam-svm/median:7", "--maps", path)
    assert said == f"cannot write maps to {path}: File exists"


def test_a_detector_of_small_photographs_is_answered(tmp_path: Path, command: Command) -> None:
    small = write_photo(tmp_path / "s.png", picture(0, 100, 90))
    answer = command("detect", small, "--detector", "spam-svm/median:7", "--json")
    (finding,) = json.loads(answer.out)[0]["findings"]
    assert finding["verdict"] == "no answer"
    assert "100x90" in finding["why"]
