"""Where the training of a network begins, and how fast each of its layers learns."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from counterforensics import detectors
from counterforensics.detectors import Start
from counterforensics.detectors.deep import DeepNetwork, DeepRecipe
from counterforensics.detectors.spam_head import spam_features
from counterforensics.detectors.spam_start import SpamPrediction
from counterforensics.detectors.training import TrainingSchedule
from counterforensics.errors import StudyError
from counterforensics.features import s3_spam14hv
from counterforensics.learning.filters import prediction_filters, remove_means
from counterforensics.learning.layer_rates import CONSTRAINED, FAN_IN, parameter_groups, share_of_rate
from counterforensics.learning.layers import ConstrainedConv2d
from counterforensics.learning.monitor import SILENT, TrainingMonitor
from counterforensics.manipulations import PAPER, parse
from counterforensics.photos.patches import Pairs
from counterforensics.pixels import luma, to_pixels
from counterforensics.study.run import run_study
from counterforensics.study.tasks import TRAIN, Task
from tests.conftest import plan_of, tiny_study
from tests.test_training import TinyNetwork
from tests.toys import median_pairs, noisy_patches

# --- rates by layer


def rates_of(network: torch.nn.Module, rule: str) -> dict[str, list[float]]:
    """The rate and the decay of each parameter by name, for a rate of 1 and a decay of 0.5."""
    groups = parameter_groups(network, rule=rule, lr=1.0, weight_decay=0.5)
    found = {id(tensor): [group["lr"], group["weight_decay"]] for group in groups for tensor in group["params"]}
    assert sum(len(group["params"]) for group in groups) == len(found) == len(list(network.parameters()))
    return {name: found[id(tensor)] for name, tensor in network.named_parameters()}


def test_the_rate_of_a_layer_falls_with_its_fan_in() -> None:
    rates = rates_of(detectors.parse("bayar2016").build(), "fan-in")
    assert rates["constrained.weight"] == [CONSTRAINED, 0.0]
    assert rates["convolutions.0.weight"] == [1.0, 0.5]  # 12 * 49 inputs
    assert rates["convolutions.4.weight"] == pytest.approx([FAN_IN / 1600, 0.5])
    assert rates["dense.0.weight"] == pytest.approx([FAN_IN / 10_800, 0.5])
    assert rates["dense.3.weight"] == rates["last.weight"] == [FAN_IN / 4096, 0.5]
    assert all(rates[name] == [1.0, 0.0] for name in rates if name.endswith("bias"))


def test_one_rate_is_one_rate() -> None:
    assert {rate for rate, _ in rates_of(detectors.parse("bayar2016").build(), "one").values()} == {1.0}


@given(st.integers(1, 10**6), st.integers(1, 10**6))
def test_no_step_of_adam_moves_a_wide_layer_further_than_one_of_the_widest_at_the_full_rate(a: int, b: int) -> None:
    few, many = sorted((a, b))
    assert 0 < share_of_rate(many) <= share_of_rate(few) <= 1
    assert share_of_rate(many) * many <= FAN_IN * (1 + 1e-9) or many <= FAN_IN


# --- filters


def test_predictors_satisfy_the_constraint_and_see_no_constant_and_no_ramp_but_those_of_one_side() -> None:
    filters = prediction_filters(12, torch.Generator().manual_seed(0))
    exact = (filters * 12).round() / 12  # without the noise
    assert (filters - exact).abs().max() < 0.06
    assert torch.equal(exact[:, 0, 2, 2], -torch.ones(12))
    torch.testing.assert_close(exact.sum((1, 2, 3)), torch.zeros(12), atol=1e-6, rtol=0)
    rows, columns = torch.meshgrid(torch.arange(5.0), torch.arange(5.0), indexing="ij")
    sees = [((exact[:, 0] * ramp).sum((1, 2)).abs() > 1e-5) for ramp in (rows, columns)]
    assert (sees[0] | sees[1]).tolist() == [False] * 3 + [True, True] + [False] * 7
    assert len(torch.unique(exact, dim=0)) == 12


@pytest.mark.parametrize("name", ["bayar2016", "mislnet"])
@pytest.mark.parametrize("start", ["prediction", "random"])
def test_constrained_filters_start_at_the_constraint(name: str, start: str) -> None:
    recipe = detectors.parse(f"{name}:start_filters={start}")
    assert isinstance(recipe, DeepRecipe)
    network = recipe.network()
    recipe.initialise(network, 0)
    (layer,) = (module for module in network.modules() if isinstance(module, ConstrainedConv2d))
    torch.testing.assert_close(layer.weight[:, 0, 2, 2], torch.full((len(layer.weight),), -1.0))
    torch.testing.assert_close(layer.weight.sum((1, 2, 3)), torch.zeros(len(layer.weight)), atol=1e-5, rtol=0)
    norms = layer.weight.detach().flatten(1).norm(dim=1)
    assert (norms.max() < 2.2) == (start == "prediction")


def test_filters_without_a_mean_keep_their_energy() -> None:
    weight = torch.randn(32, 3, 3, 3, generator=torch.Generator().manual_seed(0))
    energy = weight.square().sum()
    remove_means(weight)
    torch.testing.assert_close(weight.mean((1, 2, 3)), torch.zeros(32), atol=1e-6, rtol=0)
    torch.testing.assert_close(weight.square().sum(), energy)


def test_the_first_layer_of_xception_starts_blind_to_brightness_unless_told() -> None:
    means = {}
    for start in ("zero-mean", "random"):
        recipe = detectors.parse(f"xception:start_filters={start}")
        assert isinstance(recipe, DeepRecipe)
        network = recipe.network()
        recipe.initialise(network, 0)
        means[start] = dict(network.named_parameters())["entry.0.weight"].mean((1, 2, 3)).abs().max().item()
    assert means["zero-mean"] < 1e-6 < 0.01 < means["random"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("bayar2016:start_filters=zero-mean", "start_filters must be prediction or random, got 'zero-mean'"),
        ("xception:start_filters=prediction", "start_filters must be zero-mean or random, got 'prediction'"),
        ("mislnet:start=imagenet", "start must be random, shared or spam, got 'imagenet'"),
        ("mislnet:lr_rule=two", "lr_rule must be fan-in or one, got 'two'"),
        ("mislnet:start=spam,start_steps=0", "start_steps must lie between 1 and 10,000,000, got 0"),
    ],
)
def test_what_no_start_is_called_is_refused(text: str, message: str) -> None:
    with pytest.raises(StudyError, match=message):
        detectors.parse(text)


# --- a start that predicts the SPAM feature


class SmallNetwork(TinyNetwork):
    """A network that knows how often neighbours are alike."""

    def features(self, pixels: Tensor) -> Tensor:
        steps = luma(pixels).diff(dim=3).abs()
        shares = [(steps <= size).float().mean((1, 2, 3)) for size in (0, 1, 2, 4)]
        return (torch.stack(shares, dim=1) - 0.5).repeat(1, 16)


@dataclass(frozen=True)
class Small(DeepRecipe):
    steps: int = 60
    pairs_per_step: int = 8
    lr: float = 3e-3
    start_steps: int = 5

    name = "small"

    def network(self) -> DeepNetwork:
        return SmallNetwork(self.outputs)


def test_a_spam_start_learns_more_of_the_feature_than_its_mean() -> None:
    curve: list[dict[str, float]] = []
    pairs = median_pairs()
    recipe = Small(steps=60, lr=0.1, outputs=338, learns="spam")
    recipe.train(pairs, seed=0, monitor=TrainingMonitor(lambda point: curve.append(dict(point))))
    assert all(set(point) == {"step", "loss", "validation_loss"} for point in curve)
    patches = np.concatenate([part[np.arange(len(part))] for part in (pairs.pristine, pairs.manipulated)])
    roots = np.sqrt(s3_spam14hv(patches[:, 0]))
    of_the_mean = (((roots - roots.mean(0)) / np.maximum(roots.std(0), 0.01)) ** 2).mean()
    assert curve[-1]["validation_loss"] < 0.6 * of_the_mean


def test_the_loss_of_a_spam_start_is_the_mean_squared_error_of_standardised_roots() -> None:
    pairs = median_pairs()
    recipe = Small(outputs=338, learns="spam", precision="float32")
    network = recipe.build()
    recipe.initialise(network, 0)
    schedule = TrainingSchedule(1, validations=1, validated=1000)
    optimiser = recipe.optimiser_for(network)
    training = SpamPrediction(network, pairs, optimiser, schedule=schedule, seed=0, monitor=SILENT)
    held_out = pairs.validation()
    patches = np.concatenate([part[np.arange(len(part))] for part in (held_out.pristine, held_out.manipulated)])
    roots = np.sqrt(s3_spam14hv(patches[:, 0]) + 1e-7)
    with torch.no_grad():
        outputs = network.eval().outputs(to_pixels(torch.from_numpy(patches))).numpy()
    errors = (outputs - (roots - training.mean.numpy()) / training.spread.numpy()) ** 2
    assert training.validation()["validation_loss"] == pytest.approx(errors.mean(), rel=1e-4)


def test_features_of_rgb_patches_are_those_of_their_luma() -> None:
    patches = noisy_patches(3, channels=1)
    assert torch.equal(spam_features(np.repeat(patches, 3, axis=1)), spam_features(patches))


def test_a_detector_goes_on_from_a_spam_start_with_a_new_last_layer() -> None:
    recipe = Small(start="spam")
    start = recipe.start_for("median:7", among=["median:7", "jpeg:70"], strongest=None)
    assert start is not None
    assert (start.manipulations, start.output) == (("median:7", "jpeg:70"), None)
    trained = start.recipe.train(Pairs.together([median_pairs(), median_pairs()]), seed=0)
    still = Small(steps=0, start="spam").fine_tune(trained, median_pairs(), seed=1)
    assert torch.equal(still.state_dict()["constrained.weight"], trained.state_dict()["constrained.weight"])
    assert still.state_dict()["last.weight"].shape == (1, 64)
    assert trained.state_dict()["last.weight"].shape == (338, 64)


# --- curricula


@pytest.mark.parametrize("text", PAPER)
def test_the_first_four_manipulations_of_the_paper_are_the_strong_forms_of_the_last_four(text: str) -> None:
    kind = text.partition(":")[0]
    forms = sorted((form for form in PAPER if form.startswith(kind)), key=lambda form: parse(form).strength or 0)
    assert forms == [form for form in PAPER[::-1] if form.startswith(kind)]


@given(st.floats(0.05, 20).filter(lambda scale: abs(scale - 1) > 1e-3))
def test_a_resize_is_as_strong_as_its_inverse(scale: float) -> None:
    if 0.05 <= 1 / scale <= 10 and scale <= 10:
        assert parse(f"resize:{scale!r}").strength == pytest.approx(parse(f"resize:{1 / scale!r}").strength)


CURRICULUM = "mislnet:steps=1,pairs_per_step=2,curriculum=true"


def starts(tasks: list[Task]) -> dict[str, str]:
    """Of each training with a start, its manipulation and that of the start."""
    by_key = {task.key: task for task in tasks}
    return {
        task.settings["manipulation"]: by_key[task.needs["start"][0]].settings["manipulation"]
        for task in tasks
        if "start" in task.needs
    }


def test_the_weak_form_goes_on_from_the_strong_one_and_the_row_says_so(tmp_path: Path) -> None:
    settings = {"manipulations": ["median:3", "median:7"], "detectors": [CURRICULUM], "attacks": []}
    study = tiny_study(tmp_path, **settings)
    trained = [task for task in plan_of(study).tasks.values() if task.kind is TRAIN]
    assert len(trained) == 2
    assert starts(trained) == {"median:3": "median:7"}
    assert run_study(study, tmp_path / "out").failures == ()
    read = pd.read_csv(tmp_path / "out" / "trainings.csv", keep_default_na=False, dtype=str)
    assert set(read["role"]) == {"detector"}
    columns = ["start", "start_manipulation", "start_patches"]
    trainings = {one["manipulation"]: [one[name] for name in columns] for one in read.to_dict("records")}
    canonical = detectors.text_form(detectors.parse(CURRICULUM))
    assert trainings == {"median:3": [canonical, "median:7", "4"], "median:7": ["", "", ""]}


def test_a_curriculum_and_a_start_follow_each_other(tmp_path: Path) -> None:
    both = f"{CURRICULUM},start=shared,start_steps=1"
    settings = {"manipulations": ["median:3", "median:7"], "detectors": [both], "attacks": []}
    plan = plan_of(tiny_study(tmp_path, **settings))
    roles = {
        (training.role, training.manipulation): training.start.manipulation if training.start else ""
        for training in plan.trainings.values()
    }
    assert roles == {("start", "all"): "", ("detector", "median:7"): "all", ("detector", "median:3"): "median:7"}


def test_a_curriculum_without_a_stronger_form_says_what_to_add(tmp_path: Path) -> None:
    study = tiny_study(tmp_path, manipulations=["median:7", "jpeg:70", "jpeg:90"], detectors=[CURRICULUM], attacks=[])
    says = "curriculum=true needs a stronger or a weaker form of median:7, and the study has none; add another median,"
    with pytest.raises(StudyError, match=says):
        plan_of(study)


def test_outside_a_study_a_curriculum_begins_where_the_start_says() -> None:
    assert Small(curriculum=True).start_for("this", among=["this"], strongest=None) is None
    assert Small(curriculum=True).start_for("b", among=["a", "b"], strongest="b") is None
    strong = Small(curriculum=True).start_for("b", among=["a", "b"], strongest="a")
    assert strong == Start(Small(curriculum=True), ("a",))
