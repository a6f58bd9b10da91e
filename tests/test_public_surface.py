"""The names that `counterforensics` itself offers, and models of others as detectors."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio
from torch import Tensor, nn

import counterforensics
from counterforensics import attack_photo, detect, load_detector, psnr, wrap
from counterforensics.attacks import fgsm, pgd, spam_descent
from counterforensics.detectors.base import Detector, Network, score
from counterforensics.errors import AttackError, NameNotFoundError, PixelError, WeightsError
from counterforensics.photos.simulated import simulated_photos
from tests.toys import noisy_patches


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    """A part of a simulated photograph, uint8 [144, 160, 3]."""
    return np.ascontiguousarray(simulated_photos(devices=1, photos=1, width=512, height=384)[0].read()[:144, :160])


class Mean(nn.Module):
    """As many logits as there are scales: the mean of the input times a scale."""

    def __init__(self, *scales: float) -> None:
        super().__init__()
        self.scales = nn.Parameter(torch.tensor(scales))

    def forward(self, images: Tensor) -> Tensor:
        return images.mean((1, 2, 3))[:, None] * self.scales


class InShares(nn.Module):
    """A detector of this package as strangers write one: images in 0..1, two logits, pristine first."""

    def __init__(self, detector: Network) -> None:
        super().__init__()
        self.detector = detector

    def forward(self, images: Tensor) -> Tensor:
        logits = self.detector.logits(images * 255)
        return torch.stack([-logits / 2, logits / 2], dim=1)


# --- lazily


def test_importing_the_package_loads_neither_torch_nor_numba_nor_opencv() -> None:
    code = (
        "import sys, counterforensics\n"
        "dir(counterforensics)\n"
        "print(sorted({'torch', 'numba', 'cv2', 'sklearn', 'pandas', 'numpy'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize("name", ["attacks", "features", "manipulations"])
def test_a_module_is_loaded_when_it_is_asked_for(name: str) -> None:
    code = f"import counterforensics\nprint(counterforensics.{name}.__name__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == f"counterforensics.{name}\n"


def test_every_public_name_is_there_and_no_other() -> None:
    assert set(counterforensics.__all__) <= set(dir(counterforensics))
    for name in counterforensics.__all__:
        assert eval(f"counterforensics.{name}") is not None
    with pytest.raises(AttributeError, match="no attribute 'unwrap'"):
        _ = counterforensics.unwrap


# --- PSNR


def test_psnr_is_what_scikit_image_computes() -> None:
    draw = np.random.default_rng(0)
    one, other = draw.integers(0, 256, (2, 20, 30, 3)).astype(np.uint8)
    expected = peak_signal_noise_ratio(one, other, data_range=255)
    assert psnr(one, other) == pytest.approx(expected, rel=1e-6)
    assert psnr(torch.from_numpy(one), torch.from_numpy(other)) == psnr(one, other)
    assert psnr(one, one) == math.inf


@pytest.mark.parametrize(
    ("one", "said"),
    [
        (np.zeros((8, 8), np.uint8), r"of the same shape that are not empty, got \(8, 8\) and \(8, 8, 3\)"),
        (np.zeros((8, 8, 3), np.float32), r"uint8 grey levels, got float32 of shape \(8, 8, 3\); multiply shares"),
        (torch.zeros(8, 8, 3, dtype=torch.bfloat16), r"got bfloat16 of shape \(8, 8, 3\)"),
        ([1, 2], "uint8 arrays or tensors, got list"),
    ],
)
def test_psnr_refuses_what_it_cannot_compare(one: object, said: str) -> None:
    with pytest.raises(PixelError, match=said):
        psnr(one, np.zeros((8, 8, 3), np.uint8))  # type: ignore[arg-type]


# --- wrap


@pytest.mark.parametrize(
    ("scales", "manipulated", "expected"),
    [((3.0,), 1, 3.0), ((3.0,), 0, -3.0), ((1.0, 3.0), 1, 2.0), ((1.0, 3.0), 0, -2.0)],
)
@pytest.mark.parametrize("white", [1, 255])
def test_outputs_become_one_logit(scales: tuple[float, ...], manipulated: int, expected: float, white: float) -> None:
    detector = wrap(Mean(*scales), white=white, reads_rgb=False, manipulated=manipulated)
    assert isinstance(detector, Detector)
    assert detector.differentiable
    grey = torch.full((2, 1, 16, 16), 102.0)
    torch.testing.assert_close(detector.logits(grey), torch.full((2,), expected * 0.4 * white))


def test_a_model_of_one_channel_sees_luma_and_one_of_three_sees_colours() -> None:
    red = torch.zeros(1, 3, 8, 8)
    red[:, 0] = 255
    luma_model, rgb_model = (wrap(Mean(1.0), white=255, reads_rgb=rgb) for rgb in (False, True))
    assert luma_model.logits(red).item() == 76  # BT.601
    assert rgb_model.logits(red).item() == 85
    with pytest.raises(PixelError, match=r"Mean reads RGB patches \[n, 3, h, w\], got \(1, 1, 8, 8\)"):
        rgb_model.logits(red[:, :1])


def test_a_vector_of_logits_and_other_precisions_are_taken() -> None:
    class Halves(Mean):
        def forward(self, images: Tensor) -> Tensor:
            return super().forward(images)[:, 0].bfloat16()

    logits = wrap(Halves(1.0), white=255, reads_rgb=False).logits(torch.full((2, 1, 8, 8), 64.0))
    assert (logits.dtype, logits.tolist()) == (torch.float32, [64.0, 64.0])


def test_fgsm_lowers_the_logit_of_a_wrapped_linear_model_by_what_algebra_says() -> None:
    linear = nn.Linear(64, 1)
    nn.init.normal_(linear.weight, generator=torch.Generator().manual_seed(0))
    detector = wrap(nn.Sequential(nn.Flatten(), linear), white=1, reads_rgb=False, side=8)
    patches = torch.from_numpy(noisy_patches(4, size=8)).clamp(10, 240)
    before, after = (detector.logits(some.float()) for some in (patches, fgsm(patches, detector, epsilon=2)))
    fall = 2 / 255 * linear.weight.abs().sum().item()
    torch.testing.assert_close(before - after, torch.full((4,), fall))


def test_a_wrapped_copy_of_a_shipped_detector_gives_its_verdict_and_is_attacked_alike(photo: np.ndarray) -> None:
    shipped = load_detector("mislnet/median:7")
    wrapped = wrap(InShares(shipped), white=1, reads_rgb=False, manipulation="median:7", name="mine")
    patches = noisy_patches(4, size=128)
    assert score(wrapped, [patches]) == pytest.approx(score(shipped, [patches]), abs=1e-3)
    ours, theirs = (pgd(torch.from_numpy(patches), one, steps=2).int() for one in (wrapped, shipped))
    assert (ours != theirs).double().mean() < 0.01  # 0..1 and back costs a rounding
    (finding,) = detect(photo, detectors=[wrapped]).findings
    assert (finding.detector, finding.manipulation) == ("mine", "median:7")
    found = attack_photo(photo, detector=wrapped, attack="fgsm", manipulate="median:7", stride=64)
    assert (found.target, list(found.before)) == ("mine", ["mine", *sorted(list(found.before)[1:])])
    assert "mislnet/median:7" in found.before


def test_what_is_found_is_printed_without_its_arrays(photo: np.ndarray) -> None:
    judged = detect(photo, detectors=["spam-svm/median:7"])
    attacked = attack_photo(photo, detector="spam-svm/median:7", attack="spam-descent")
    assert "verdict='pristine'" in repr(judged)
    assert "psnr=" in repr(attacked)
    assert "array(" not in f"{judged}{attacked}"


def test_a_detector_that_looks_for_any_manipulation_says_so(photo: np.ndarray) -> None:
    judged = detect(photo, detectors=[wrap(Mean(1.0), white=1, reads_rgb=True)])
    (finding,) = judged.findings
    assert (finding.detector, finding.manipulation, finding.verdict) == ("Mean", "any", "manipulated")
    assert judged.agreement() == {"any": {"manipulated": 1}}


def test_two_detectors_of_one_name_are_refused(photo: np.ndarray) -> None:
    one, other = (wrap(Mean(1.0), white=1, reads_rgb=True) for _ in range(2))
    assert len(detect(photo, detectors=[one, one]).findings) == 1
    with pytest.raises(WeightsError, match=r"two detectors are called 'Mean'; wrap one of them with another name"):
        detect(photo, detectors=[one, other])
    taken = wrap(Mean(1.0), white=1, reads_rgb=True, name="spam-svm/median:7")
    with pytest.raises(WeightsError, match="'spam-svm/median:7' is the name of a shipped detector"):
        attack_photo(photo, detector=taken, attack="fgsm")


def test_wrapping_leaves_weights_and_gradients_as_they_were() -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.AdaptiveAvgPool2d(1), nn.Flatten()).train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    detector = wrap(model, white=1, reads_rgb=False)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not model.training
    model.train()
    with pytest.raises(WeightsError, match=r"Sequential is in training mode; call eval\(\)"):
        detector.logits(torch.zeros(2, 1, 8, 8))


def test_a_model_without_gradients_is_a_detector_that_attacks_refuse() -> None:
    class Counts(Mean):
        @torch.no_grad()
        def forward(self, images: Tensor) -> Tensor:
            return super().forward(images)

    detector = wrap(Counts(1.0), white=1, reads_rgb=False)
    assert not detector.differentiable
    patches = torch.from_numpy(noisy_patches(1))
    with pytest.raises(AttackError, match="needs gradients"):
        fgsm(patches, detector)
    with pytest.raises(AttackError):
        spam_descent(patches, detector)


def ending(*layers: nn.Module) -> nn.Module:
    """A model whose last layers these are."""
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), *layers)


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (
            Mean(1.0, 2.0, 3.0),
            r"Mean must give one logit a patch, \[4\] or \[4, 1\], or two, \[4, 2\]; it gives .*\[4, 3\]",
        ),
        (nn.Conv2d(1, 2, 3), r"Conv2d must give one logit a patch.*it gives torch.float32 \[4, 2, 126, 126\]"),
        (Mean(float("nan")), "the verdict of Mean holds NaN or infinity; check its weights"),
        (nn.Conv2d(3, 1, 3), r"Conv2d cannot judge float32 \[4, 1, 128, 128\] in 0..1: RuntimeError.*Check reads_rgb"),
        (ending(nn.Linear(1, 2), nn.Softmax(dim=1)), "gives probabilities; wrap the model without its last softmax"),
        (ending(nn.Linear(1, 1), nn.Sigmoid()), "gives probabilities"),
        (Mean, r"wrap takes a torch module \(torch.nn.Module\), got Mean"),
        (lambda images: images, "wrap takes a torch module .* got function"),
    ],
)
def test_a_model_that_is_no_detector_is_refused_with_the_reason(model: nn.Module, said: str) -> None:
    with pytest.raises(WeightsError, match=said):
        wrap(model, white=1, reads_rgb=False)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"white": 256}, "white must be 1 or 255, the value of white in the model's input, got 256"),
        ({"white": True}, "white must be 1 or 255.* got True"),
        ({"reads_rgb": 3}, "reads_rgb must be True .RGB. or False .luma., got 3"),
        ({"manipulated": 2}, "manipulated must be the class that means manipulated, 0 or 1, got 2"),
    ],
)
def test_a_setting_that_cannot_be_is_refused(settings: dict[str, object], said: str) -> None:
    with pytest.raises(WeightsError, match=said):
        wrap(Mean(1.0), **{"white": 1, "reads_rgb": False, **settings})  # type: ignore[arg-type]


def test_a_shipped_detector_needs_no_wrapping_and_a_manipulation_must_be_known() -> None:
    with pytest.raises(WeightsError, match="is a detector of this package already"):
        wrap(load_detector("spam-svm/median:7"), white=255, reads_rgb=False)
    with pytest.raises(NameNotFoundError, match="unknown manipulation 'medain'; did you mean 'median'"):
        wrap(Mean(1.0), white=1, reads_rgb=False, manipulation="medain:7")
