"""How networks are trained: one loop for all of them."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.functional import softplus

from counterforensics.detectors.base import Network, Watch, score
from counterforensics.errors import TrainingError
from counterforensics.photos.patches import Pairs
from counterforensics.pixels import to_pixels

# Held-out pairs that a validation looks at: enough to tell states apart, and a fraction of the training's cost.
MOST_VALIDATED = 512

# A loss of margins: logits with the sign turned so that a positive one is a right verdict.
Loss = Callable[[Tensor], Tensor]


def cross_entropy(margins: Tensor) -> Tensor:
    """Binary cross-entropy of each margin."""
    return softplus(-margins)


def squared_hinge(margins: Tensor) -> Tensor:
    """The loss of a linear SVM as scikit-learn's LinearSVC has it."""
    return (1 - margins).clamp_min(0).square()


def fit(
    network: Network,
    pairs: Pairs,
    groups: Sequence[dict[str, Any]],
    *,
    loss: Loss = cross_entropy,
    steps: int,
    pairs_per_step: int,
    validations: int,
    seed: int,
    watch: Watch,
) -> Network:
    """Train `network` in place with Adam and keep the state that validates best.

    groups: parameter groups of the optimiser (parameters, rate, L2 penalty); rates fall to zero on a cosine.
    Every step sees `pairs_per_step` pristine patches and the same cells manipulated, so both classes weigh
    the same. The state before the first step is validated too: training can only keep or improve it.
    Without held-out photographs the last state is kept. The watch is told step, loss (training, mean since
    the last point), validation loss and accuracy. Raises TrainingError if the loss stops being finite.
    """
    training, validation = pairs.training(), pairs.validation()
    if not len(training):
        raise TrainingError("no pairs to train on: every photograph is held out for validation, or none was given")
    draw = np.random.default_rng(seed)
    looked_at = np.sort(draw.permutation(len(validation))[:MOST_VALIDATED])
    optimiser = torch.optim.Adam(groups)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, T_max=max(steps, 1))
    points = {round(step) for step in np.linspace(0, steps, validations + 1)}
    best, best_loss = copy.deepcopy(network.state_dict()), float("inf")
    losses: list[float] = []
    for step in range(steps + 1):
        if step in points:
            held_out_loss, accuracy = _validate(network, validation, looked_at, loss)
            mean = float(np.mean(losses)) if losses else float("nan")
            watch({"step": step, "loss": mean, "validation_loss": held_out_loss, "validation_accuracy": accuracy})
            losses.clear()
            if held_out_loss < best_loss or not len(validation):
                best, best_loss = copy.deepcopy(network.state_dict()), held_out_loss
        if step < steps:
            losses.append(_step(network, optimiser, _batch(training, draw, pairs_per_step), loss))
            if not np.isfinite(losses[-1]):
                raise TrainingError(f"the loss became {losses[-1]} at step {step}; a smaller rate may help")
            schedule.step()
    network.load_state_dict(best)
    return network.eval()


def _batch(pairs: Pairs, draw: np.random.Generator, count: int) -> tuple[Tensor, Tensor]:
    """Pixels float32 [2 * count, c, h, w] and signs [2 * count], 1 for manipulated and -1 for pristine."""
    indices: npt.NDArray[np.int64] = draw.integers(0, len(pairs), size=count)
    patches = np.concatenate([pairs.pristine[indices], pairs.manipulated[indices]])
    return to_pixels(torch.from_numpy(patches)), torch.tensor([-1.0, 1.0]).repeat_interleave(count)


def _step(network: Network, optimiser: torch.optim.Optimizer, batch: tuple[Tensor, Tensor], loss: Loss) -> float:
    network.train()
    pixels, signs = batch
    optimiser.zero_grad()
    mean = loss(signs * network.logits(pixels)).mean()
    mean.backward()  # type: ignore[no-untyped-call]
    optimiser.step()
    return float(mean.detach())


def _validate(network: Network, pairs: Pairs, chosen: npt.NDArray[np.int64], loss: Loss) -> tuple[float, float]:
    """Mean loss and accuracy over the chosen held-out pairs; NaN without any."""
    if not len(chosen):
        return float("nan"), float("nan")
    network.eval()
    pristine, manipulated = (score(network, patches, chosen) for patches in (pairs.pristine, pairs.manipulated))
    margins = torch.from_numpy(np.concatenate([-pristine, manipulated]))
    return loss(margins).mean().item(), float(((pristine <= 0).mean() + (manipulated > 0).mean()) / 2)
