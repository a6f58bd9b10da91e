"""Attacks that survive an upload: the gradient of a platform, and PGD through it, on patches and photographs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from counterforensics import laundering
from counterforensics.attacks import Fgsm, parse, pgd
from counterforensics.detectors import load_detector
from counterforensics.errors import AttackError, NameNotFoundError
from counterforensics.laundering.differentiable import pulled_back, soft_upload, upload
from counterforensics.laundering.kernels import KERNELS
from counterforensics.manipulations import parse as manipulation
from counterforensics.photos.simulated import simulated_photos
from counterforensics.pixels import to_patches
from counterforensics.sliding import conceal_photo, scan
from counterforensics.sliding.concealing import Region
from counterforensics.sliding.views import Viewer
from tests.conftest import Command, picture, plan_of, tiny_study
from tests.toys import LinearDetector, noisy_patches

PLATFORMS = (
    *("telegram", "whatsapp:side=90,quality=60", "jpeg:30", "none", "telegram:side=120>x:side=80"),
    *("telegram:subsampling=4:2:2", "telegram:subsampling=4:4:4,side=77"),
)
KINDS = tuple(f"telegram:side=97,quality=100,kernel={kernel}" for kernel in KERNELS)


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    return simulated_photos(devices=1, photos=1, width=320, height=256)[0].read()


def as_tensor(photo: np.ndarray) -> torch.Tensor:
    """A photograph, uint8 [h, w, 3], as float32 [1, 3, h, w]."""
    return torch.from_numpy(photo.transpose(2, 0, 1).copy())[None].float()


def decibels(one: torch.Tensor, other: torch.Tensor) -> float:
    return float(10 * torch.log10(255**2 / (one - other).square().mean()))


# --- the gradient of a platform


@pytest.mark.parametrize("text", [*PLATFORMS, *KINDS])
@pytest.mark.parametrize("size", [(192, 160), (171, 133)], ids=str)
def test_the_pixels_are_those_of_launder(text: str, size: tuple[int, int]) -> None:
    photo = picture(3, *size)
    came = upload(as_tensor(photo), laundering.parse(text))
    expected = laundering.launder(photo, text).pixels
    assert torch.equal(came, as_tensor(expected))
    grey = np.repeat(photo[..., :1], 3, axis=2)
    expected = laundering.launder(grey, text).pixels
    assert (expected == expected[..., :1]).all()
    came = upload(as_tensor(grey)[:, :1], laundering.parse(text))
    assert torch.equal(came, as_tensor(expected)[:, :1])


@pytest.mark.parametrize("text", [*KINDS, "telegram:quality=100", "telegram:quality=100,subsampling=4:2:2"])
def test_the_approximation_is_the_platform_but_for_rounding(text: str, photo: np.ndarray) -> None:
    """At quality 100, where JPEG rounds to whole coefficients: at least 48 dB."""
    platform = laundering.parse(text)
    for given_photo in (photo, photo[:201, :299]):
        pixels = as_tensor(given_photo)
        assert decibels(soft_upload(pixels, platform), upload(pixels, platform)) > 48


@pytest.mark.parametrize("text", ["telegram", "x", "facebook", "whatsapp", "jpeg:95", "jpeg:50", "telegram:side=200"])
def test_the_approximation_is_nearer_to_the_platform_than_the_photograph_is(text: str, photo: np.ndarray) -> None:
    platform, pixels = laundering.parse(text), as_tensor(photo)
    came, soft = upload(pixels, platform), soft_upload(pixels, platform)
    assert decibels(soft, came) > 45
    if came.shape == pixels.shape:
        assert decibels(soft, came) > decibels(pixels, came) + 3


@pytest.mark.parametrize("text", ["telegram", "telegram:side=200", "jpeg:70", "telegram:side=250>whatsapp:side=180"])
@pytest.mark.parametrize("channels", [1, 3])
def test_the_platform_answers_a_change_as_the_approximation_says(text: str, channels: int, photo: np.ndarray) -> None:
    """A change that JPEG keeps, a wave of 24 pixels and 12 grey levels, comes back as it should, within 10 %."""
    platform = laundering.parse(text)
    pixels = as_tensor(photo)[:, :channels].clamp(20, 235)
    rows, columns = (torch.arange(side, dtype=torch.float32) for side in pixels.shape[-2:])
    wave = 12 * torch.sin(2 * torch.pi * (rows[:, None] + 2 * columns) / 48)
    real = upload(pixels + wave.round(), platform) - upload(pixels, platform)
    soft = soft_upload(pixels + wave.round(), platform) - soft_upload(pixels, platform)
    assert float((real * soft).sum() / soft.square().sum()) == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("text", PLATFORMS)
@pytest.mark.parametrize("channels", [1, 3])
def test_the_gradient_is_that_of_the_approximation(text: str, channels: int) -> None:
    """Against differences over 1e-6 grey levels, in double precision."""
    platform = laundering.parse(text.replace("side=1", "side=").replace("side=9", "side=1"))
    pixels = 128 + 20 * torch.randn(
        (1, channels, 17, 25), dtype=torch.float64, generator=torch.Generator().manual_seed(1)
    )
    torch.autograd.gradcheck(lambda given: soft_upload(given, platform), pixels.requires_grad_(), fast_mode=True)


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(PLATFORMS + KINDS), st.integers(60, 150), st.integers(60, 150), st.sampled_from([1, 3]))
def test_a_gradient_is_pulled_back_through_the_approximation(text: str, height: int, width: int, channels: int) -> None:
    draw, platform = np.random.default_rng(height), laundering.parse(text)
    planes = draw.integers(0, 256, (channels, height, width), dtype=np.uint8)
    pixels = torch.from_numpy(planes)[None].float().requires_grad_()
    came = upload(pixels, platform)
    gradient = draw.normal(size=came.shape[1:]).astype(np.float32)
    expected = torch.autograd.grad(came, pixels, torch.from_numpy(gradient)[None])[0][0].numpy()
    assert np.allclose(pulled_back(gradient, planes, platform), expected, atol=1e-5)


# --- PGD through uploads, on patches


def test_pgd_through_an_upload_hides_what_the_upload_leaves() -> None:
    """A checkerboard is what JPEG takes first: an attack that writes one is lost, unless it knows of the upload."""
    (patch,) = patches = torch.from_numpy(noisy_patches(1, size=64))
    rows, columns = torch.meshgrid(torch.arange(64), torch.arange(64), indexing="ij")
    weights = (1 - 2 * ((rows + columns) % 2) + 0.3 * torch.sin(2 * torch.pi * columns / 16)) / patch.numel()
    jpeg = laundering.parse("jpeg:50")
    seen = float(LinearDetector(weights).logits(upload(patches.float(), jpeg)))
    detector = LinearDetector(weights, bias=0.1 - seen)
    plain, knows = (pgd(patches, detector, epsilon=3, steps=40, through=text) for text in ("", "jpeg:50"))
    assert detector.logits(plain.float()).item() <= 0 < detector.logits(upload(plain.float(), jpeg)).item()
    assert detector.logits(upload(knows.float(), jpeg)).item() <= 0
    assert (knows.int() - patches.int()).abs().max() <= 3


def test_without_an_upload_nothing_changes() -> None:
    patches = torch.from_numpy(noisy_patches(3, size=32))
    detector = LinearDetector(torch.linspace(-1, 1, 32) / 32, bias=0.5)
    assert torch.equal(pgd(patches, detector, through="none"), pgd(patches, detector))


def test_the_logit_behind_several_uploads_is_their_mean() -> None:
    patches = torch.from_numpy(noisy_patches(2, size=32))
    seen = []

    class Watcher(LinearDetector):
        def logits(self, pixels: torch.Tensor) -> torch.Tensor:
            seen.append(to_patches(pixels.detach()))
            return super().logits(pixels)

    pgd(patches, Watcher(torch.ones(1)), steps=1, through="none+jpeg:40")
    assert torch.equal(seen[0], patches)
    assert torch.equal(seen[1], to_patches(upload(patches.float(), laundering.parse("jpeg:40"))))


@pytest.mark.parametrize(
    ("text", "error", "words"),
    [
        ("pgd:through=telegrm", NameNotFoundError, "did you mean"),
        ("pgd:through=telegram+", Exception, "platform"),
        ("pgd:through=missing.yaml", Exception, "missing.yaml"),
    ],
)
def test_an_upload_that_cannot_be_is_refused(text: str, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        parse(text)


def test_patches_are_not_reduced() -> None:
    with pytest.raises(AttackError, match=r"reduces patches of 128x128 to 100; give a platform with a larger side"):
        parse("pgd:through=telegram:side=100").check_patches(128, manipulation("median:7"))
    parse("pgd:through=telegram").check_patches(128, manipulation("median:7"))


# --- whole photographs


@pytest.mark.parametrize("platforms", ["telegram", "telegram:side=280", "none+jpeg:80"])
def test_no_patch_is_flagged_in_what_comes_back(platforms: str, photo: np.ndarray) -> None:
    detector = load_detector("cozzolino2017/median:7")
    manipulated = manipulation("median:7")(photo)
    result = conceal_photo(manipulated, detector, parse(f"pgd:epsilon=4,through={platforms}"), stride=16)
    assert result.before.flagged > 0
    assert result.after.flagged == 0
    for text in platforms.split("+"):  # the photograph that comes back, not what the attack believed
        again = scan(laundering.launder(result.photo, text).pixels, detector, stride=16)
        assert not again.above(result.threshold).any()
    moved = np.abs(result.photo.astype(int) - manipulated).max()
    assert 0 < moved == result.largest_change <= 4
    assert result.psnr > 38


def test_pixels_outside_a_region_stay(photo: np.ndarray) -> None:
    detector = load_detector("cozzolino2017/median:7")
    region = Region(100, 60, 150, 150)
    spliced = np.where(region.mask(*photo.shape[:2])[..., None], manipulation("median:7")(photo), photo)
    result = conceal_photo(spliced, detector, parse("pgd:through=telegram:side=280"), region=region, stride=16)
    outside = ~region.mask(*photo.shape[:2])
    assert np.array_equal(result.photo[outside], spliced[outside])
    assert result.after.flagged < result.before.flagged


def test_a_region_keeps_its_place_when_the_photograph_is_reduced(photo: np.ndarray) -> None:
    """Of all positions those count whose patch has a pixel of the region in it."""
    detector = load_detector("cozzolino2017/median:7")
    mask = Region(0, 0, 60, 40).mask(*photo.shape[:2])
    (view,) = Viewer(detector, (laundering.parse("telegram:side=160"),), -1e9, mask, 4).look(photo).views
    assert (view.scan.height, view.scan.width) == (128, 160)
    reached = view.scan.positions.lefts < 30  # the region is 30 pixels wide now
    assert np.array_equal(view.flagged, np.broadcast_to(reached, view.flagged.shape))


def test_the_seed_alone_decides(photo: np.ndarray) -> None:
    detector = load_detector("cozzolino2017/median:7")
    manipulated = manipulation("median:7")(photo[:160, :200])
    attack = parse("pgd:through=jpeg:85,steps=3")
    one, same, other = (conceal_photo(manipulated, detector, attack, stride=32, seed=seed).photo for seed in (1, 1, 2))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


def test_the_command_says_what_the_upload_leaves(command: Command, tmp_path: Path, photo: np.ndarray) -> None:
    Image.fromarray(photo[:200, :200]).save(tmp_path / "photo.png")
    answer = command(
        *("attack", tmp_path / "photo.png", "--detector", "cozzolino2017/median:7", "--manipulate", "median:7"),
        *("--attack", "pgd:epsilon=3,through=telegram", "--out", tmp_path / "out.png", "--stride", "24", "--json"),
    )
    assert answer.status == 0
    found = json.loads(answer.out)
    assert set(found["uploaded"]) == {"telegram"}
    shares = found["uploaded"]["telegram"]
    assert shares["after"]["cozzolino2017/median:7"] <= shares["before"]["cozzolino2017/median:7"]
    assert found["left"] == 0


def test_a_study_knows_the_platform_of_its_attack_by_its_settings(
    tmp_path: Path,
) -> None:
    """The settings of a platform are part of what a result is stored under."""
    study = tiny_study(
        tmp_path,
        patches={"per_photo": 9, "attacked_photos": 1, "attacked_per_device": 12},
        photos={"simulated": {"devices": 3, "photos": 3, "width": 288, "height": 224}},
        detectors=["cozzolino2017:svm_pairs=4,steps=0"],
        manipulations=["median:7"],
        attacks=[{"attack": "pgd:through=telegram", "targets": ["cozzolino2017:svm_pairs=4,steps=0"]}],
    )
    tasks = [task for task in plan_of(study).tasks.values() if task.kind.name == "conceal photo"]
    assert tasks
    assert tasks[0].settings["uploads"][0][0]["settings"]["quality"] == 87


def test_only_pgd_attacks_a_whole_photograph_through_an_upload(photo: np.ndarray) -> None:
    class Uploaded(Fgsm):
        uploads = (laundering.parse("jpeg:80"),)

    with pytest.raises(AttackError, match="Uploaded cannot attack a whole photograph through an upload; give pgd:thr"):
        conceal_photo(photo, load_detector("cozzolino2017/median:7"), Uploaded())
