"""The contracts of a detector: of its recipe, and of the network that it trains."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from counterforensics.detectors import DETECTORS, Network, Recipe, load_detector
from counterforensics.errors import CounterforensicsError, PixelError, TrainingError
from counterforensics.learning import weights
from counterforensics.learning.monitor import TrainingMonitor
from counterforensics.photos.patches import Pairs
from counterforensics.testing.common import (
    check_contract,
    check_flag,
    copied_state,
    drawn_before,
    expect,
    same_state,
)
from counterforensics.testing.samples import (
    NO_PAIRS,
    SIDE,
    TOLERANCE,
    sample_pairs,
    sample_patches,
)


@dataclass(frozen=True)
class DetectorCase:
    """A detector under test.  side: of the patches that it learns from, where it does not say so itself."""

    text: str
    side_given: int | None = None

    @cached_property
    def recipe(self) -> Recipe:
        """The recipe that the text form names."""
        return DETECTORS.parse(self.text)

    @property
    def side(self) -> int:
        """The side of the patches that it is tried on."""
        return self.side_given or self.recipe.patch_side or SIDE

    @cached_property
    def channels(self) -> tuple[int, ...]:
        """The numbers of channels that it takes, luma first."""
        network = self.recipe.build().eval()
        taken = tuple(channels for channels in (1, 3) if self._takes(network, channels))
        expect(bool(taken), self.text, f"it takes neither luma nor RGB of {self.side}x{self.side}")
        return taken

    def _takes(self, network: Network, channels: int) -> bool:
        try:
            network.logits(torch.zeros(1, channels, self.side, self.side))
        except PixelError:
            return False
        return True

    @cached_property
    def pairs(self) -> Pairs:
        """What it is trained on."""
        return sample_pairs(side=self.side, channels=self.channels[0])

    @cached_property
    def pixels(self) -> Tensor:
        """Patches that it has not seen: float32 [5, c, side, side]."""
        patches = sample_patches(5, side=self.side, channels=self.channels[0], seed=99)
        return torch.from_numpy(patches).float()

    @cached_property
    def network(self) -> Network:
        """The detector, trained once for all checks."""
        with drawn_before(self.text, 1):
            network = self.recipe.train(self.pairs, seed=1)
        expect(isinstance(network, Network), self.text, f"train must return a Network, returns {network!r:.80}")
        return network


def names_a_detector(case: DetectorCase) -> None:
    """A study can name it, and what it says of itself has the right types."""
    check_contract(case.text, DETECTORS)
    recipe = case.recipe
    side = recipe.patch_side
    expect(side is None or (type(side) is int and side > 0), case.text, f"patch_side must be a side, is {side!r}")
    for given in (0, 1000):
        seen = recipe.patches_seen(given)
        expect(type(seen) is int and seen >= 0, case.text, f"patches_seen({given}) must be a count, is {seen!r}")


def builds_the_network_that_it_declares(case: DetectorCase) -> None:
    """`build` gives a network, `uses_gpu` is its `accelerated`, and it takes the patches that `patch_side` says."""
    network = case.recipe.build()
    expect(isinstance(network, Network), case.text, f"build must return a Network, returns {network!r:.80}")
    check_flag(case.text, "uses_gpu", case.recipe.uses_gpu)
    differ = f"uses_gpu is {case.recipe.uses_gpu}, but accelerated of its network is {network.accelerated}"
    expect(case.recipe.uses_gpu == network.accelerated, case.text, differ)
    for side in [case.side] if case.recipe.patch_side else [case.side, case.side + 32]:
        try:
            logits = network.eval().logits(torch.zeros(2, case.channels[0], side, side))
        except Exception as error:
            told = f"patch_side is {case.recipe.patch_side}, but patches of {side}x{side} fail: {error}"
            raise AssertionError(f"{case.text}: {told}") from error
        expect(logits.shape == (2,), case.text, f"logits of 2 patches must have shape (2,), have {tuple(logits.shape)}")


def gives_one_finite_logit_a_patch(case: DetectorCase) -> None:
    """float32 [n] for n patches, one of them or none; what it is given stays as it was."""
    before = case.pixels.clone()
    for count in (5, 1, 0):
        logits = case.network.logits(case.pixels[:count])
        found = f"{logits.dtype} {tuple(logits.shape)}"
        right = logits.dtype == torch.float32 and logits.shape == (count,)
        expect(right, case.text, f"logits of {count} patches must be float32 ({count},), are {found}")
        expect(bool(torch.isfinite(logits).all()), case.text, "a logit is NaN or infinite")
    outputs = case.network.outputs(case.pixels)
    expect(outputs.shape[0] == 5 and outputs.ndim == 2, case.text, f"outputs must be [n, k], are {outputs.shape}")
    expect(torch.equal(case.pixels, before), case.text, "`logits` changes the patches that it is given")


def judges_a_patch_alone(case: DetectorCase) -> None:
    """A logit depends neither on the other patches of a batch nor on what was judged before."""
    together = case.network.logits(case.pixels).detach()
    alone = torch.cat([case.network.logits(one[None]) for one in case.pixels]).detach()
    difference = float((together - alone).abs().max())
    close = torch.allclose(together, alone, rtol=TOLERANCE, atol=TOLERANCE)
    expect(close, case.text, f"a patch's logit differs by {difference:g} with the batch that it is in")
    expect(torch.equal(together, case.network.logits(case.pixels)), case.text, "it judges the same patches differently")


def reads_the_luma_of_rgb(case: DetectorCase) -> None:
    """A detector that takes both gives grey patches the same logits, stored as luma or as RGB."""
    if case.channels != (1, 3):
        return
    colour = case.network.logits(case.pixels.expand(-1, 3, -1, -1))
    close = torch.allclose(colour, case.network.logits(case.pixels), rtol=TOLERANCE, atol=TOLERANCE)
    expect(close, case.text, "grey RGB patches get other logits than their luma; begin with `pixels.luma`")


def has_the_gradient_that_it_declares(case: DetectorCase) -> None:
    """`differentiable` is true, and then the gradient is finite and not all zeros."""
    pixels = case.pixels.clone().requires_grad_()
    logits = case.network.logits(pixels)
    told = f"differentiable is {case.network.differentiable}, but its logits say {logits.requires_grad}"
    expect(logits.requires_grad == case.network.differentiable, case.text, told)
    if case.network.differentiable:
        (gradient,) = torch.autograd.grad(logits.sum(), pixels)
        expect(bool(torch.isfinite(gradient).all()), case.text, "a gradient is NaN or infinite")
        expect(bool((gradient != 0).any()), case.text, "the gradient is zero everywhere")


def trains_the_same_network_twice(case: DetectorCase) -> None:
    """Only pairs and seed play a part; the network ends ready to judge and the pairs stay as they were."""
    expect(not case.network.training, case.text, "train must return the network in evaluation mode; call .eval()")
    indices = np.arange(len(case.pairs))
    before = case.pairs.pristine[indices], case.pairs.manipulated[indices]
    points: list[Mapping[str, float]] = []
    with drawn_before(case.text, 2):
        again = DETECTORS.parse(case.text).train(case.pairs, seed=1, monitor=TrainingMonitor(points.append))
    same = same_state(again, case.network.state_dict())
    expect(same, case.text, "the same pairs and seed give other weights; draw from a generator of its own, by the seed")
    after = case.pairs.pristine[indices], case.pairs.manipulated[indices]
    expect(np.array_equal(before, after), case.text, "training changes the pairs that it is given")
    for point in points:
        expect(
            next(iter(point)) == "step", case.text, f"a point of the learning curve must begin with step, is {point}"
        )
        expect(point.keys() == points[0].keys(), case.text, "points of the learning curve hold different values")


def refuses_to_learn_from_nothing(case: DetectorCase) -> None:
    """Without pairs, training is a TrainingError that says so."""
    try:
        case.recipe.train(NO_PAIRS, seed=0)
    except TrainingError:
        return
    except Exception as error:
        told = f"training without pairs must raise TrainingError, raises {type(error).__name__}: {error}"
        raise AssertionError(f"{case.text}: {told}") from error
    raise AssertionError(f"{case.text}: training without pairs must raise TrainingError, raises nothing")


def judges_the_same_from_files(case: DetectorCase) -> None:
    """Saved and loaded, it gives the same logits."""
    with tempfile.TemporaryDirectory() as folder:
        name = DETECTORS.name_of(case.recipe)
        weights.save(case.network, Path(folder), name=name, settings=case.recipe, record={})
        try:
            again = load_detector(folder)
        except CounterforensicsError as error:
            raise AssertionError(f"{case.text}: what was saved cannot be loaded: {error}") from error
    same = torch.equal(again.logits(case.pixels), case.network.logits(case.pixels))
    expect(
        same, case.text, "saved and loaded it gives other logits; keep all that it learned in parameters and buffers"
    )


def goes_on_from_its_start(case: DetectorCase) -> None:
    """A recipe with a start ends with the same weights, whoever trained the start, which stays as it was."""
    start = case.recipe.start_for("this", among=["this"], strongest=None)
    if start is None:
        return
    before = start.recipe.train(case.pairs, seed=1)
    kept = copied_state(before)
    given = case.recipe.fine_tune(before, case.pairs, seed=1)
    expect(same_state(before, kept), case.text, "fine_tune changes the start that it is given")
    expect(not given.training, case.text, "fine_tune must return the network in evaluation mode; call .eval()")
    same = same_state(given, case.network.state_dict())
    expect(same, case.text, "fine_tune from its start gives other weights than train")


def goes_on_from_a_start_for_two(case: DetectorCase) -> None:
    """Fine-tuning goes on from a start that two manipulations share, and from either output if it has two."""
    start = case.recipe.start_for("second", among=["first", "second"], strongest="second")
    if start is None or len(start.manipulations) < 2:
        return
    shared = start.recipe.train(Pairs.together([case.pairs, case.pairs]), seed=1)
    if start.output is not None:
        outputs = tuple(shared.outputs(case.pixels).shape)
        expect(outputs == (5, 2), case.text, f"outputs of a start for two manipulations must be (5, 2), are {outputs}")
        shared = shared.select_output(start.output)
    tuned = case.recipe.fine_tune(shared, case.pairs, seed=1)
    expect(tuned.logits(case.pixels).shape == (5,), case.text, "the fine-tuned network must give one logit a patch")


DETECTOR_CHECKS: tuple[Callable[[DetectorCase], None], ...] = (
    names_a_detector,
    builds_the_network_that_it_declares,
    gives_one_finite_logit_a_patch,
    judges_a_patch_alone,
    reads_the_luma_of_rgb,
    has_the_gradient_that_it_declares,
    trains_the_same_network_twice,
    refuses_to_learn_from_nothing,
    judges_the_same_from_files,
    goes_on_from_its_start,
    goes_on_from_a_start_for_two,
)
