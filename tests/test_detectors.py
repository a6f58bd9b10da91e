"""Contract tests over every detector, and what only one of them promises."""

from __future__ import annotations

import copy
import functools
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from counterforensics import load_detector
from counterforensics.detectors import DETECTORS, parse, text_form, weights
from counterforensics.detectors.base import Network, Recipe, score
from counterforensics.detectors.spam_head import unit_energy
from counterforensics.detectors.training import cross_entropy
from counterforensics.errors import StudyError, TrainingError, WeightsError
from counterforensics.features import s3_spam14hv
from counterforensics.photos.patches import Pairs, Patches
from tests.toys import median_pairs, noisy_patches

SMALL = {
    "spam-svm": ["spam-svm", "spam-svm:normalisation=l2"],
    "cozzolino2017": [
        "cozzolino2017:svm_pairs=40,steps=0",
        "cozzolino2017:svm_pairs=40,steps=3,pairs_per_step=4",
        "cozzolino2017:parametrisation=free,svm_pairs=40,steps=1,pairs_per_step=1",
    ],
}
RECIPES = [text for name in DETECTORS for text in SMALL.get(name, [name])]


@functools.cache
def pairs() -> Pairs:
    return median_pairs()


@functools.cache
def trained(text: str) -> Network:
    network = parse(text).train(pairs(), seed=1)
    assert isinstance(network, Network)
    return network


@pytest.fixture(params=RECIPES)
def text(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def fresh() -> torch.Tensor:
    return torch.from_numpy(noisy_patches(5, seed=99)).float()


def test_a_detector_gives_one_finite_logit_a_patch(text: str) -> None:
    logits = trained(text).logits(fresh())
    assert logits.shape == (5,)
    assert logits.dtype == torch.float32
    assert torch.isfinite(logits).all()


def test_a_detector_tells_median_filtered_from_pristine(text: str) -> None:
    unseen = median_pairs(4, 8)
    correct = [
        (score(trained(text), unseen.pristine) <= 0).mean(),
        (score(trained(text), unseen.manipulated) > 0).mean(),
    ]
    assert np.mean(correct) > 0.9


def test_a_batch_scores_as_its_patches_one_by_one(text: str) -> None:
    pixels = fresh()
    alone = torch.cat([trained(text).logits(one[None]) for one in pixels])
    torch.testing.assert_close(trained(text).logits(pixels), alone, rtol=1e-4, atol=1e-4)


def test_training_twice_gives_the_same_weights(text: str) -> None:
    again = parse(text).train(pairs(), seed=1).state_dict()
    for name, tensor in trained(text).state_dict().items():
        assert torch.equal(tensor, again[name]), name


def test_a_trained_detector_is_ready_to_judge(text: str) -> None:
    assert not trained(text).training


def test_one_channel_detectors_read_the_luma_of_rgb(text: str) -> None:
    grey = fresh()
    torch.testing.assert_close(trained(text).logits(grey.expand(-1, 3, -1, -1)), trained(text).logits(grey))


def test_the_flag_says_whether_there_is_a_gradient(text: str) -> None:
    pixels = fresh().requires_grad_()
    logits = trained(text).logits(pixels)
    assert logits.requires_grad == trained(text).differentiable
    if trained(text).differentiable:
        (gradient,) = torch.autograd.grad(logits.sum(), pixels)
        assert torch.isfinite(gradient).all()
        assert (gradient != 0).double().mean() > 0.9


def test_saved_and_loaded_it_scores_the_same(text: str, tmp_path: Path) -> None:
    recipe = parse(text)
    weights.save(
        trained(text), tmp_path, name=text.partition(":")[0], recipe=recipe, record={"manipulation": "median:5"}
    )
    again = load_detector(tmp_path)
    assert torch.equal(again.logits(fresh()), trained(text).logits(fresh()))
    assert json.loads((tmp_path / weights.RECORD).read_text())["manipulation"] == "median:5"
    assert text_form(recipe) == text


@pytest.mark.parametrize("text", [text for text in RECIPES if getattr(parse(text), "start", None)])
def test_a_recipe_goes_on_from_its_start_whoever_trained_it(text: str) -> None:
    before = parse(text).start.train(pairs(), seed=3)  # type: ignore[attr-defined]
    kept = {name: tensor.clone() for name, tensor in before.state_dict().items()}
    given, alone = parse(text).train(pairs(), seed=3, start=before), parse(text).train(pairs(), seed=3)
    for name, tensor in given.state_dict().items():
        assert torch.equal(tensor, alone.state_dict()[name]), name
        assert torch.equal(before.state_dict()[name], kept[name]), name


def test_one_class_is_not_enough(text: str) -> None:
    with pytest.raises(TrainingError):
        parse(text).train(Pairs(Patches(()), Patches(())), seed=0)


def test_every_recipe_keeps_its_protocol(text: str) -> None:
    assert isinstance(parse(text), Recipe)
    assert isinstance(parse(text).build(), Network)


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    weights.save(trained("spam-svm"), tmp_path, name="spam-svm", recipe=parse("spam-svm"), record={})
    return tmp_path


def _truncate(folder: Path) -> None:
    path = folder / weights.TENSORS
    path.write_bytes(path.read_bytes()[:-10])


def _rename(folder: Path) -> None:
    _edit(folder, detector="cozzolino2017", settings={})


def _edit(folder: Path, **changes: object) -> None:
    path = folder / weights.RECORD
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


def _pickle(folder: Path) -> None:
    torch.save({"head.bias": torch.zeros(())}, folder / weights.TENSORS)
    _restamp(folder)


DAMAGE = {
    "truncated": (_truncate, "truncated or altered"),
    "another recipe": (_rename, "holds another detector than its record says"),
    "NaN": (_poison, "holds NaN or infinity"),
    "a pickle": (_pickle, "is not a safetensors file"),
    "no tensors": (lambda folder: (folder / weights.TENSORS).unlink(), "cannot be read"),
    "no record": (lambda folder: (folder / weights.RECORD).unlink(), "no detector at"),
    "a record of nothing": (
        lambda folder: (folder / weights.RECORD).write_text("{}"),
        "lacks detector, settings or sha256",
    ),
    "an unknown detector": (lambda folder: _edit(folder, detector="spam-sv"), "did you mean 'spam-svm'"),
    "other shapes": (lambda folder: _replace(folder, {"head.bias": torch.zeros(2)}), "holds another detector"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_weights_are_refused_with_the_reason(damage: str, stored: Path) -> None:
    spoil, said = DAMAGE[damage]
    spoil(stored)
    with pytest.raises(WeightsError) as raised:
        load_detector(stored)
    assert said in str(raised.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("spam-svm:c=0", "c must be positive, got 0"),
        ("spam-svm:normalisation=l1", "must be sqrt or l2, got 'l1'"),
        ("cozzolino2017:parametrisation=fixed", "must be product or free, got 'fixed'"),
        ("cozzolino2017:alpha=0", "alpha must be positive"),
        ("cozzolino2017:steps=-1", "steps must be at least 0"),
        ("cozzolino2017:rate=7", "rates must lie between 0 and 1"),
    ],
)
def test_impossible_settings_are_refused(text: str, said: str) -> None:
    with pytest.raises(StudyError) as raised:
        parse(text)
    assert said in str(raised.value)


def test_fine_tuning_moves_the_filters_only_where_it_validates_better() -> None:
    curve: list[float] = []
    recipe = parse("cozzolino2017:svm_pairs=40,steps=4,pairs_per_step=4,rate=1,feature_rate=1")
    wild = recipe.train(pairs(), seed=0, watch=lambda point: curve.append(point["validation_loss"]))
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
