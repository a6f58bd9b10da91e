"""What a detector is, and what turns patches into one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from counterforensics.learning.accelerator import device_of
from counterforensics.learning.course import SILENT, Course, Learned
from counterforensics.photos.patches import Pairs
from counterforensics.pixels import Pixels, to_pixels


@runtime_checkable
class Detector(Protocol):
    """A trained detector."""

    differentiable: bool

    def logits(self, pixels: Tensor) -> Tensor:
        """float32 [n, c, h, w] in grey levels 0..255 -> float32 [n]; above 0 means manipulated."""


@dataclass(frozen=True)
class LinearInSpam:
    """A logit that is linear in the roots of the SPAM feature: weights . sqrt(feature + floor) + offset.

    weights, spread: float64 [338]; spread is how much each root varies over the training patches.
    """

    weights: npt.NDArray[np.float64]
    offset: float
    floor: float
    spread: npt.NDArray[np.float64]

    def logit(self, roots: npt.NDArray[np.float64]) -> float:
        """The logit of a feature whose roots, sqrt(feature + floor), are given: float64 [338]."""
        return float(self.weights @ roots) + self.offset


@runtime_checkable
class ScoredBySpam(Protocol):
    """A detector whose logit is linear in the roots of the exact SPAM feature of the luma."""

    def spam_score(self) -> LinearInSpam:
        """How it scores.  Raises AttackError if its settings make it another function of the feature."""


class Network(Learned):
    """A detector whose state is tensors: what a recipe builds, trains, saves and loads."""

    differentiable: bool = True

    def logits(self, pixels: Tensor) -> Tensor:
        """As `Detector.logits`."""
        raise NotImplementedError

    def outputs(self, pixels: Tensor) -> Tensor:
        """One logit for each manipulation that the network tells from pristine: float32 [n, outputs], mostly 1."""
        return self.logits(pixels)[:, None]

    def only(self, output: int) -> Network:
        """The network with this one of its outputs."""
        if output:
            raise NotImplementedError(f"{type(self).__name__} has one output, got {output}")
        return self

    def forward(self, pixels: Tensor) -> Tensor:
        """The same as `logits`, so that a detector is a plain torch module too."""
        return self.logits(pixels)


@runtime_checkable
class Recipe(Protocol):
    """A frozen dataclass that says how a detector is built and trained.

    A recipe that goes on where another ends also has `start`, that other recipe or None, and takes what it
    trained as `train(..., start=)`; without it, it trains the start itself. A study trains a start once. One whose
    start learns from all manipulations of a study together has `start_for(manipulations)` instead, their number
    given; each detector then gets that network's `only(output)`.
    A recipe whose training comes to compute something else raises `version`, so that no study takes an old result for
    a new one.
    """

    def build(self) -> Network:
        """The detector with every tensor in its place, untrained."""

    def train(self, pairs: Pairs, *, seed: int, course: Course = SILENT) -> Network:
        """The detector trained on `pairs`, in evaluation mode.  Raises TrainingError."""


def score(detector: Detector, batches: Iterable[Pixels]) -> npt.NDArray[np.float32]:
    """The detector's logits for stored patches, float32 [n]; `batches`, uint8 [some, c, h, w], pass one by one."""
    device = device_of(detector)
    logits = [np.empty(0, dtype=np.float32)]
    with torch.no_grad():
        for some in batches:
            logits.append(detector.logits(to_pixels(torch.from_numpy(some).to(device))).float().cpu().numpy())
    return np.concatenate(logits)
