"""Contract tests over every detector, and what only one of them promises."""

from __future__ import annotations

import copy
import dataclasses
import functools
import json
import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from counterforensics import load_detector
from counterforensics.detectors import DETECTORS, parse, text_form
from counterforensics.detectors import imagenet as imagenet_weights
from counterforensics.detectors.base import Network, Recipe, score
from counterforensics.detectors.deep import DeepNetwork
from counterforensics.detectors.spam_head import unit_energy
from counterforensics.detectors.training import cross_entropy
from counterforensics.errors import PixelError, StudyError, TrainingError, WeightsError
from counterforensics.features import s3_spam14hv
from counterforensics.learning import weights
from counterforensics.learning.monitor import SILENT, TrainingMonitor
from counterforensics.names import Registry
from counterforensics.photos.patches import Pairs, Patches
from counterforensics.pixels import luma
from counterforensics.testing import DETECTOR_CHECKS, DetectorCase, check_detector
from tests.toys import median_pairs, noisy_patches

SMALL = {
    "spam-svm": ["spam-svm", "spam-svm:normalisation=l2"],
    "bayar2016": ["bayar2016:steps=1,pairs_per_step=2"],
    "bayar2016-published": ["bayar2016-published:steps=1,pairs_per_step=2"],
    "mislnet": ["mislnet:steps=1,pairs_per_step=2,start=shared,start_steps=1"],
    "mislnet-published": ["mislnet-published:steps=1,pairs_per_step=2"],
    "xception": ["xception:steps=1,pairs_per_step=2,start_steps=1", "xception:steps=1,pairs_per_step=2,start=random"],
    "cozzolino2017": [
        "cozzolino2017:svm_pairs=40,steps=0",
        "cozzolino2017:svm_pairs=40,steps=3,pairs_per_step=4",
        "cozzolino2017:parametrisation=free,svm_pairs=40,steps=1,pairs_per_step=1",
    ],
}
# What a folder holds was trained by one of the others: tests/test_trained.py.
TO_TRAIN = [name for name in DETECTORS if name != "trained"]
RECIPES = [text for name in TO_TRAIN for text in SMALL.get(name, [name])]
# What learns within seconds; the deep detectors, which take minutes, are tried on what a study of theirs left.
LEARNED = [text for text in RECIPES if text.startswith(("spam", "cozzolino2017"))]


@functools.cache
def case_of(text: str) -> DetectorCase:
    """The detector, trained once for all tests, on patches as small as it can learn from."""
    return DetectorCase(text, 32 if text.startswith("xception") else None)


def trained(text: str) -> Network:
    return case_of(text).network


def pairs() -> Pairs:
    return case_of("spam-svm").pairs


@pytest.fixture(params=RECIPES)
def text(request: pytest.FixtureRequest) -> str:
    return str(request.param)


# `text` comes first, so that all contracts of one detector are tried one after the other.
@pytest.mark.parametrize("check", DETECTOR_CHECKS, ids=lambda check: check.__name__)
def test_a_detector_keeps_its_contract(text: str, check: Callable[[DetectorCase], None]) -> None:
    check(case_of(text))


@pytest.mark.parametrize("text", LEARNED)
def test_a_detector_tells_median_filtered_from_pristine(text: str) -> None:
    unseen = median_pairs(4, 8, size=case_of(text).side)
    correct = [
        (score(trained(text), unseen.pristine.batches(64)) <= 0).mean(),
        (score(trained(text), unseen.manipulated.batches(64)) > 0).mean(),
    ]
    assert np.mean(correct) > 0.9


def test_our_detectors_take_luma_and_rgb(text: str) -> None:
    assert case_of(text).channels == (1, 3)


def test_nearly_every_pixel_has_a_gradient(text: str) -> None:
    if trained(text).differentiable:
        pixels = case_of(text).pixels.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(trained(text).logits(pixels).sum(), pixels)
        assert (gradient != 0).double().mean() > 0.9


def test_the_record_beside_the_weights_says_what_was_trained(text: str, tmp_path: Path) -> None:
    recipe = parse(text)
    name = text.partition(":")[0]
    weights.save(trained(text), tmp_path, name=name, settings=recipe, record={"manipulation": "median:5"})
    record = json.loads((tmp_path / weights.record_of("detector")).read_text())
    assert (record["detector"], record["manipulation"]) == (name, "median:5")
    assert record["settings"] == dataclasses.asdict(recipe)  # type: ignore[call-overload]
    assert text_form(recipe) == text


def test_nothing_to_train_on_is_said_in_our_words(text: str) -> None:
    with pytest.raises(TrainingError, match=r"got 0 pristine|no pairs to train on"):
        parse(text).train(Pairs(Patches(()), Patches(())), seed=0)


# --- detectors that break the contract


class WrongNetwork(Network):
    """A network that is wrong in the way that `how` says."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how
        self.accelerated = how == "gpu"
        self.weight = torch.nn.Parameter(torch.ones(()))
        self.unsaved = 0.0

    def logits(self, pixels: torch.Tensor) -> torch.Tensor:
        means = luma(pixels).mean((1, 2, 3)) * self.weight + self.unsaved
        if self.how == "batch" and len(means):
            means = means - means.mean()
        return means[:, None] if self.how == "shape" else means


@dataclass(frozen=True)
class Wrong(Recipe):
    """Trains a `WrongNetwork`."""

    how: str

    def build(self) -> WrongNetwork:
        return WrongNetwork(self.how)

    def train(self, pairs: Pairs, *, seed: int, monitor: TrainingMonitor = SILENT) -> WrongNetwork:
        if not len(pairs) and self.how != "nothing":
            raise TrainingError("no pairs to train on")
        network = self.build()
        if self.how == "seeded":
            torch.manual_seed(seed)
        if self.how == "random":
            torch.nn.init.normal_(network.weight)
        network.unsaved = float(self.how == "unsaved")
        return network if self.how == "mode" else network.eval()


WRONG = {
    "gpu": "uses_gpu is False, but accelerated of its network is True",
    "shape": "logits of 2 patches must have shape (2,), have (2, 1)",
    "batch": "a patch's logit differs by",
    "seeded": "it calls torch.manual_seed, which disturbs other tasks",
    "random": "the same pairs and seed give other weights",
    "mode": "train must return the network in evaluation mode",
    "nothing": "training without pairs must raise TrainingError, raises nothing",
    "unsaved": "saved and loaded it gives other logits",
}


@pytest.mark.parametrize("how", WRONG)
def test_a_broken_contract_is_said(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    known = Registry("detector", Recipe, {"wrong": Wrong})  # type: ignore[type-abstract]
    monkeypatch.setattr("counterforensics.testing.detectors.DETECTORS", known)
    monkeypatch.setattr("counterforensics.detectors.DETECTORS", known)
    with pytest.raises(AssertionError) as raised:
        check_detector(f"wrong:{how}")
    assert str(raised.value).startswith(f"wrong:{how}: {WRONG[how]}")


# --- weights in files


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    weights.save(trained("spam-svm"), tmp_path, name="spam-svm", settings=parse("spam-svm"), record={})
    return tmp_path


def _truncate(folder: Path) -> None:
    path = folder / weights.TENSORS
    path.write_bytes(path.read_bytes()[:-10])


def _rename(folder: Path) -> None:
    _edit(folder, detector="cozzolino2017", settings={})


def _edit(folder: Path, **changes: object) -> None:
    path = folder / weights.record_of("detector")
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def _poison(folder: Path) -> None:
    tensors = load_file(folder / weights.TENSORS)
    tensors["head.bias"] = torch.tensor(float("nan"))
    _replace(folder, tensors)


def _replace(folder: Path, tensors: dict[str, torch.Tensor]) -> None:
    save_file(tensors, folder / weights.TENSORS)
    _restamp(folder)


def _restamp(folder: Path) -> None:
    import hashlib

    _edit(folder, sha256=hashlib.sha256((folder / weights.TENSORS).read_bytes()).hexdigest())


def _each(folder: Path, change: Callable[[torch.Tensor], torch.Tensor]) -> None:
    _replace(folder, {name: change(tensor) for name, tensor in load_file(folder / weights.TENSORS).items()})


def _overwrite(folder: Path, content: bytes) -> None:
    (folder / weights.record_of("detector")).write_bytes(content)


def _replace_by_pipe(folder: Path, name: str) -> None:
    (folder / name).unlink()
    os.mkfifo(folder / name)


def _pickle(folder: Path) -> None:
    torch.save({"head.bias": torch.zeros(())}, folder / weights.TENSORS)
    _restamp(folder)


DAMAGE = {
    "truncated": (_truncate, "truncated or altered"),
    "another recipe": (_rename, "holds another detector than its record says"),
    "NaN": (_poison, "holds NaN or infinity"),
    "a pickle": (_pickle, "is not a safetensors file"),
    "no tensors": (lambda folder: (folder / weights.TENSORS).unlink(), "cannot be read"),
    "no record": (lambda folder: (folder / weights.record_of("detector")).unlink(), "no detector at"),
    "a record of nothing": (
        lambda folder: (folder / weights.record_of("detector")).write_text("{}"),
        "lacks detector, settings or sha256",
    ),
    "an unknown detector": (lambda folder: _edit(folder, detector="spam-sv"), "did you mean 'spam-svm'"),
    "settings that are null": (lambda folder: _edit(folder, settings=None), "settings must be an object, got null"),
    "settings that are a number": (
        lambda folder: _edit(folder, settings=3),
        "settings must be an object, got a number",
    ),
    "settings that are a list": (lambda folder: _edit(folder, settings=[]), "settings must be an object, got a list"),
    "settings that are true": (lambda folder: _edit(folder, settings=True), "an object, got true or false"),
    "a list as setting": (
        lambda folder: _edit(folder, settings={"c": [1]}),
        "spam-svm:c must be of type float, got [1]",
    ),
    "a detector that is null": (lambda folder: _edit(folder, detector=None), "detector must be a text, got null"),
    "a digest that is a number": (lambda folder: _edit(folder, sha256=3), "sha256 must be a text, got a number"),
    "facts that are a list": (lambda folder: _edit(folder, training=[1]), "training must be an object, got a list"),
    "facts without a table": (lambda folder: _edit(folder, training={"steps": []}), "steps must be a number or a text"),
    "facts that are no figures": (
        lambda folder: _edit(folder, training={"validation_auc": "high"}),
        "validation_auc must be a number",
    ),
    "facts that are NaN": (lambda folder: _edit(folder, training={"patches": math.nan}), "patches must be a number"),
    "facts without end": (lambda folder: _edit(folder, pairs=10**400), "pairs must be a number or a text"),
    "a record nested deep": (lambda folder: _overwrite(folder, b'{"a":' * 100_000), "nested too deep"),
    "a record that is a list": (lambda folder: _overwrite(folder, b"[]"), "lacks detector, settings or sha256"),
    "a record that is no text": (lambda folder: _overwrite(folder, b"\xff\xfe"), "holds no JSON"),
    "a record that is a pipe": (lambda folder: _replace_by_pipe(folder, "detector.json"), "not a regular file"),
    "tensors that are a pipe": (lambda folder: _replace_by_pipe(folder, weights.TENSORS), "not a regular file"),
    "tensors of 20 GB": (lambda folder: os.truncate(folder / weights.TENSORS, 20 * 10**9), "at most 1,073,741,824"),
    "weights of zero": (
        lambda folder: _each(folder, torch.zeros_like),
        "no trained weights: every weight is zero",
    ),
    "whole numbers": (
        lambda folder: _each(folder, lambda one: one.to(torch.int64)),
        "holds torch.int64, not torch.floa",
    ),
    "float8": (lambda folder: _each(folder, lambda one: one.to(torch.float8_e4m3fn)), "holds torch.float8_e4m3fn, not"),
    "yes and no": (lambda folder: _each(folder, lambda one: one > 0), "holds torch.bool, not torch.float32"),
    "other shapes": (lambda folder: _replace(folder, {"head.bias": torch.zeros(2)}), "holds another detector"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_weights_are_refused_with_the_reason(damage: str, stored: Path) -> None:
    spoil, said = DAMAGE[damage]
    spoil(stored)
    with pytest.raises(WeightsError) as raised:
        load_detector(stored)
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 800


def test_weights_so_large_that_no_verdict_is_a_number_are_named(stored: Path) -> None:
    _each(stored, lambda tensor: torch.full_like(tensor, 1e38))
    with pytest.raises(WeightsError, match="the verdict of SpamSvmDetector holds NaN or infinity; check its weights"):
        score(load_detector(stored), [noisy_patches(2, seed=0)])


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (3.0, "must give its logits as a tensor"),
        (torch.zeros(2, 1), "for 2 patches; got torch.float32 of shape"),
        (torch.zeros(2, dtype=torch.int64), "a real number, for 2 patches; got torch.int64"),
        (torch.tensor([0.0, math.inf]), "holds NaN or infinity"),
    ],
)
def test_what_gives_no_logits_is_named(given: Any, said: str) -> None:
    detector = SimpleNamespace(differentiable=False, logits=lambda pixels: given)
    with pytest.raises(WeightsError, match=said):
        score(detector, [noisy_patches(2, seed=0)])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("spam-svm:c=0", "c must lie between 1e-09 and 1e+09, got 0"),
        ("spam-svm:c=1e160", "c must lie between 1e-09 and 1e+09, got 1e+160"),
        ("spam-svm:c=1e-300", "c must lie between 1e-09 and 1e+09, got 1e-300"),
        ("spam-svm:normalisation=l1", "must be sqrt or l2, got 'l1'"),
        ("cozzolino2017:parametrisation=fixed", "must be product or free, got 'fixed'"),
        ("cozzolino2017:alpha=0", "alpha must be positive"),
        ("cozzolino2017:steps=-1", "steps must lie between 0 and 10,000,000, got -1"),
        ("cozzolino2017:steps=1e15", "steps must lie between 0 and 10,000,000, got 1000000000000000"),
        ("cozzolino2017:pairs_per_step=1e15", "pairs_per_step must lie between 1 and 10,000,000, got 1000000000000000"),
        ("cozzolino2017:lr=0,feature_lr=0", "lr=0 and feature_lr=0 changes nothing; set steps=0 instead"),
        ("cozzolino2017:lr=7", "rates must lie between 0 and 1"),
        ("bayar2016:normalisation=layer", "must be batch or local-response, got 'layer'"),
        ("xception:channels=green", "channels must be luma or rgb, got 'green'"),
        ("xception:crop=5", "crop must be 0 or at least 32, got 5"),
        ("mislnet:steps=-1", "steps must lie between 0 and 10,000,000, got -1"),
        ("mislnet:steps=99999999999", "steps must lie between 0 and 10,000,000, got 99999999999"),
        ("mislnet:steps=0", "untrained where start=random; give steps of 1 or more, or start=shared or start=spam"),
        ("xception:steps=0,start=random", "xception: steps=0 leaves the network untrained where start=random"),
        ("bayar2016-published:lr=0", "bayar2016-published: lr=0 leaves the network untrained"),
        ("mislnet:lr=2", "lr must lie between 0 and 1, got 2"),
        ("mislnet:optimiser=lion", "optimiser must be adamw, muon or sgd, got 'lion'"),
        ("mislnet:precision=float16", "precision must be bfloat16 or float32, got 'float16'"),
    ],
)
def test_impossible_settings_are_refused(text: str, said: str) -> None:
    with pytest.raises(StudyError) as raised:
        parse(text)
    assert said in str(raised.value)


def test_fine_tuning_moves_the_filters_only_where_it_validates_better() -> None:
    curve: list[float] = []
    recipe = parse("cozzolino2017:svm_pairs=40,steps=4,pairs_per_step=4,lr=1,feature_lr=1")
    monitor = TrainingMonitor(lambda point: curve.append(point["validation_loss"]))
    wild = recipe.train(pairs(), seed=0, monitor=monitor)
    start = parse("cozzolino2017:svm_pairs=40,steps=0").train(pairs(), seed=0)
    kept = copy.deepcopy(wild.state_dict())
    if min(curve) == curve[0]:
        assert all(torch.equal(kept[name], tensor) for name, tensor in start.state_dict().items())
    else:
        assert not torch.equal(kept["taps"], start.state_dict()["taps"])
    assert len(curve) == 4


def test_cross_entropy_of_margins_is_that_of_logits_and_labels() -> None:
    logits, labels = torch.linspace(-40, 40, 33), torch.tensor([0.0, 1, 1]).repeat(11)
    expected = torch.nn.functional.binary_cross_entropy_with_logits(logits, labels, reduction="none")
    torch.testing.assert_close(cross_entropy((2 * labels - 1) * logits), expected)


def test_the_svm_scores_by_its_exact_feature() -> None:
    detector = trained("spam-svm")
    patches = noisy_patches(3, seed=5)
    feature = unit_energy(torch.from_numpy(s3_spam14hv(patches[:, 0])), "sqrt")
    head = detector.state_dict()
    by_hand = ((feature - head["head.mean"]) / head["head.scale"]) @ head["head.weight"] + head["head.bias"]
    torch.testing.assert_close(detector.logits(torch.from_numpy(patches).float()), by_hand)


@pytest.mark.parametrize("normalisation", ["sqrt", "l2"])
def test_features_have_unit_energy(normalisation: str) -> None:
    feature = torch.from_numpy(s3_spam14hv(noisy_patches(4)[:, 0]))
    energy = unit_energy(feature, normalisation).square().sum(1)
    expected = torch.full((4,), 4.0 if normalisation == "sqrt" else 1.0)
    torch.testing.assert_close(energy, expected, rtol=1e-4, atol=1e-4)


# --- the deep detectors, layer by layer (shapes and counts as published or read off public implementations)

SHAPES = {
    "bayar2016": {
        "constrained": (12, 124, 124),
        "convolutions.0": (64, 62, 62),
        "convolutions.3": (64, 31, 31),
        "convolutions.4": (48, 31, 31),
        "convolutions.7": (48, 15, 15),
        "dense.0": (4096,),
        "dense.3": (4096,),
    },
    "mislnet": {
        "constrained": (3, 124, 124),
        "convolutions.0": (96, 62, 62),
        "convolutions.3": (96, 31, 31),
        "convolutions.7": (64, 15, 15),
        "convolutions.11": (64, 7, 7),
        "convolutions.15": (128, 3, 3),
        "dense.0": (200,),
    },
    "xception": {
        "entry.0": (32, 63, 63),
        "entry.3": (64, 61, 61),
        "entry.8": (728, 8, 8),
        "middle": (728, 8, 8),
        "exit.0": (1024, 4, 4),
        "exit.6": (2048, 4, 4),
        "exit.8": (2048,),
    },
}


@pytest.mark.parametrize("name", SHAPES)
def test_the_layers_have_the_published_shapes(name: str) -> None:
    network = parse(name).build().eval()
    seen: dict[str, tuple[int, ...]] = {}
    for layer, module in network.named_modules():
        if layer in SHAPES[name]:
            module.register_forward_hook(
                lambda _, __, result, layer=layer: seen.__setitem__(layer, tuple(result.shape[1:]))
            )
    assert network.logits(torch.zeros(1, 1, 128, 128)).shape == (1,)
    assert seen == SHAPES[name]


@pytest.mark.parametrize(("name", "millions"), [("bayar2016", 61.1), ("mislnet", 0.55), ("xception", 20.81)])
def test_the_networks_have_the_published_number_of_parameters(name: str, millions: float) -> None:
    network = parse(f"{name}:outputs=2").build()
    decimals = len(str(millions).partition(".")[2])
    assert round(sum(parameter.numel() for parameter in network.parameters()) / 1e6, decimals) == millions


@pytest.mark.parametrize("text", [text for text in RECIPES if text.startswith(("bayar2016", "mislnet"))])
def test_the_constraint_holds_after_training_and_after_loading(text: str, tmp_path: Path) -> None:
    weights.save(trained(text), tmp_path, name=text.partition(":")[0], settings=parse(text), record={})
    for network in (trained(text), load_detector(tmp_path)):
        filters = network.state_dict()["constrained.weight"].double()
        assert (filters[:, 0, 2, 2] == -1).all()
        assert filters.sum((1, 2, 3)).abs().max() < 1e-6


@pytest.mark.parametrize("name", ["bayar2016", "mislnet"])
def test_a_patch_size_that_a_network_cannot_take_is_refused(name: str) -> None:
    with pytest.raises(PixelError, match="the detector takes patches of 128x128, got 96x64"):
        parse(name).build().logits(torch.zeros(1, 1, 64, 96))


def test_xception_of_rgb_refuses_luma_and_reads_all_channels() -> None:
    network = parse("xception:channels=rgb").build().eval()
    assert isinstance(network, DeepNetwork)
    with pytest.raises(PixelError, match="reads RGB, got 1 channel"):
        network.logits(torch.zeros(1, 1, 32, 32))
    network.initialise(torch.Generator().manual_seed(0))
    pixels = torch.from_numpy(noisy_patches(2, size=32, channels=3)).float().requires_grad_()
    (gradient,) = torch.autograd.grad(network.logits(pixels).sum(), pixels)
    assert not torch.allclose(gradient[:, 0], gradient[:, 1])


# --- Xception from ImageNet's weights

# timm's names for the layers of its `legacy_xception`.
TIMM = {
    **{"entry.0": "conv1", "entry.1": "bn1", "entry.3": "conv2", "entry.4": "bn2"},
    **{f"entry.{5 + block}": f"block{block}" for block in (1, 2, 3)},
    **{f"middle.{block - 4}": f"block{block}" for block in range(4, 12)},
    **{"exit.0": "block12", "exit.1": "conv3", "exit.2": "bn3", "exit.4": "conv4", "exit.5": "bn4"},
}


def timm_name(ours: str) -> str:
    part, place, rest = ours.split(".", 2)
    return f"{TIMM[f'{part}.{place}']}.{rest}"


def imagenet(path: Path, **changes: torch.Tensor | None) -> dict[str, torch.Tensor]:
    """A file as timm would write it, with weights of ours; a change of None leaves the tensor out."""
    network = parse("xception:start=random").build()
    assert isinstance(network, DeepNetwork)
    network.initialise(torch.Generator().manual_seed(5))
    theirs = {
        timm_name(name): tensor.contiguous()
        for name, tensor in network.state_dict().items()
        if not name.startswith("last.")
    }
    theirs |= {"fc.weight": torch.zeros(1000, 2048), "fc.bias": torch.zeros(1000)}
    theirs = {name: tensor for name, tensor in {**theirs, **changes}.items() if tensor is not None}
    save_file(theirs, path)
    return theirs


# Settings by which one step of training leaves all weights where they began.
STILL = "steps=1,pairs_per_step=2,lr=1e-30,start=random,crop=0"


def test_xception_begins_with_imagenets_weights(tmp_path: Path) -> None:
    theirs = imagenet(tmp_path / "legacy.safetensors")
    for name in ("conv1.weight", "block1.rep.0.conv1.weight", "block4.rep.7.pointwise.weight", "block12.skip.weight"):
        assert name in theirs
    recipe = parse(f"xception:imagenet={tmp_path / 'legacy.safetensors'},{STILL}")
    recipe.check_files()
    state = recipe.train(median_pairs(2, 2, size=32, held_out=0), seed=7).state_dict()
    assert torch.equal(state["middle.0.rep.7.pointwise.weight"], theirs["block4.rep.7.pointwise.weight"])
    assert torch.equal(state["exit.4.conv1.weight"], theirs["conv4.conv1.weight"])


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"conv1.weight": None}, "conv1.weight has no counterpart"),
        ({"act1.weight": torch.zeros(3)}, "act1.weight has no counterpart"),
        ({"bn1.weight": torch.zeros(3)}, "size mismatch for entry.1.weight"),
    ],
)
def test_weights_of_another_network_are_refused(tmp_path: Path, changes: dict[str, None], said: str) -> None:
    imagenet(tmp_path / "other.safetensors", **changes)
    with pytest.raises(WeightsError) as raised:
        imagenet_weights.load_legacy_xception(parse("xception").build(), str(tmp_path / "other.safetensors"))
    assert "does not hold the weights of legacy_xception" in str(raised.value)
    with pytest.raises(WeightsError, match=r"does not hold the weights of legacy_xception: (conv1|act1|bn1)\.weight"):
        parse(f"xception:imagenet={tmp_path / 'other.safetensors'}").check_files()
    assert said in str(raised.value)


def test_the_hub_is_asked_for_the_safetensors_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    imagenet(tmp_path / "model.safetensors")
    asked: list[tuple[str, str]] = []

    def download(repository: str, file: str) -> str:
        asked.append((repository, file))
        if repository == "no/where":
            raise OSError("no route to host")
        return str(tmp_path / file)

    monkeypatch.setattr("huggingface_hub.hf_hub_download", download)
    imagenet_weights.load_legacy_xception(parse("xception").build(), "hub:timm/legacy_xception.tf_in1k")
    assert asked == [("timm/legacy_xception.tf_in1k", "model.safetensors")]
    with pytest.raises(WeightsError, match=r"no/where cannot be fetched from the Hugging Face hub: no route to host"):
        imagenet_weights.load_legacy_xception(parse("xception").build(), "hub:no/where")


ZEROS = torch.zeros(1, 1, 128, 128)
NO_PIXELS: dict[str, tuple[Any, str]] = {
    "nothing": (None, "got NoneType"),
    "an array": (np.zeros((1, 1, 128, 128), dtype=np.float32), "got ndarray"),
    "float64": (ZEROS.double(), "got torch.float64 of shape .*; its method float.. makes it one"),
    "whole numbers": (ZEROS.long(), "got torch.int64 of shape .*; its method float.. makes it one"),
    "stored patches": (ZEROS.byte(), "got torch.uint8 of shape .*; to_pixels of counterforensics.pixels makes it one"),
    "one patch": (ZEROS[0], r"got torch.float32 of shape \(1, 128, 128\)"),
    "two channels": (ZEROS.expand(1, 2, 128, 128), r"got torch.float32 of shape \(1, 2, 128, 128\)"),
    "no rows": (ZEROS[:, :, :0], r"got torch.float32 of shape \(1, 1, 0, 128\)"),
    "shares of white": (
        ZEROS + 0.5,
        "got torch.float32 of shape .* whose values all lie in 0..1; multiply them by 255",
    ),
    "NaN": (ZEROS + math.nan, "got torch.float32 of shape .* that holds NaN or infinity"),
    "infinity": (ZEROS - math.inf, "got torch.float32 of shape .* that holds NaN or infinity"),
}


@pytest.mark.parametrize("name", sorted(TO_TRAIN))
def test_every_detector_says_in_one_line_what_pixels_it_takes(name: str) -> None:
    network = parse(name).build().eval()
    takes = rf"^{type(network).__name__} takes pixels as a float32 tensor \[n, 1 or 3, h, w\] of grey levels 0\.\.255, "
    for given, said in NO_PIXELS.values():
        for judge in (network.logits, network):
            with pytest.raises(PixelError, match=takes + said):
                judge(given)
    with pytest.raises(PixelError, match=r"patches of .*, got 3x3$"):
        network.logits(ZEROS[:, :, :3, :3])


def test_the_detector_of_a_plug_in_need_not_check_what_it_is_given() -> None:
    class Mean(Network):
        def logits(self, pixels: torch.Tensor) -> torch.Tensor:
            return pixels.mean((1, 2, 3))

    class Louder(Mean):
        def logits(self, pixels: torch.Tensor) -> torch.Tensor:
            return 2 * super().logits(pixels)

    assert Louder()(ZEROS + 1).tolist() == [2]
    with pytest.raises(PixelError, match=r"^Louder takes pixels as a float32 tensor .*, got torch.uint8"):
        Louder().logits(ZEROS.byte())
