"""How networks are trained: one loop for all of them."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from counterforensics.detectors.base import Network, Watch, score
from counterforensics.errors import TrainingError
from counterforensics.photos.patches import Pairs
from counterforensics.pixels import to_pixels

# Held-out pairs that a validation looks at: enough to tell states apart, and a fraction of the training's cost.
MOST_VALIDATED = 1024


def fit(
    network: Network,
    pairs: Pairs,
    groups: Sequence[dict[str, Any]],
    *,
    steps: int,
    pairs_per_step: int,
    validations: int,
    seed: int,
    watch: Watch,
) -> Network:
    """Train `network` in place with Adam on cross-entropy and keep the state that validates best.

    groups: parameter groups of the optimiser (parameters and rate); the rates fall to zero along a cosine.
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
            loss, accuracy = _validate(network, validation, looked_at)
            mean = float(np.mean(losses)) if losses else float("nan")
            watch({"step": step, "loss": mean, "validation_loss": loss, "validation_accuracy": accuracy})
            losses.clear()
            if loss < best_loss or not len(validation):
                best, best_loss = copy.deepcopy(network.state_dict()), loss
        if step < steps:
            loss = _step(network, optimiser, _batch(training, draw, pairs_per_step))
            if not np.isfinite(loss):
                raise TrainingError(f"the loss became {loss} at step {step}; a smaller rate may help")
            losses.append(loss)
            schedule.step()
    network.load_state_dict(best)
    return network.eval()


def _batch(pairs: Pairs, draw: np.random.Generator, count: int) -> tuple[Tensor, Tensor]:
    """Pixels float32 [2 * count, c, h, w] and labels [2 * count], 1 for manipulated."""
    indices: npt.NDArray[np.int64] = draw.integers(0, len(pairs), size=count)
    patches = np.concatenate([pairs.pristine[indices], pairs.manipulated[indices]])
    return to_pixels(torch.from_numpy(patches)), torch.arange(2).repeat_interleave(count).float()


def _step(network: Network, optimiser: torch.optim.Optimizer, batch: tuple[Tensor, Tensor]) -> float:
    network.train()
    pixels, labels = batch
    optimiser.zero_grad()
    loss = binary_cross_entropy_with_logits(network.logits(pixels), labels)
    loss.backward()  # type: ignore[no-untyped-call]
    optimiser.step()
    return float(loss.detach())


def _validate(network: Network, pairs: Pairs, chosen: npt.NDArray[np.int64]) -> tuple[float, float]:
    """Mean cross-entropy and accuracy over the chosen held-out pairs; NaN without any."""
    if not len(chosen):
        return float("nan"), float("nan")
    network.eval()
    pristine, manipulated = (score(network, patches, chosen) for patches in (pairs.pristine, pairs.manipulated))
    signed = torch.from_numpy(np.concatenate([-pristine, manipulated]))  # positive where the verdict is right
    loss = torch.nn.functional.softplus(-signed).mean().item()
    return loss, float(((pristine <= 0).mean() + (manipulated > 0).mean()) / 2)
