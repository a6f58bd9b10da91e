"""What a detector is, and what turns patches into one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from counterforensics.photos.patches import Pairs, Patches
from counterforensics.pixels import to_pixels

# Told of every point of a learning curve: name -> value, always the same names, "step" first.
Watch = Callable[[Mapping[str, float]], None]


def unwatched(_: Mapping[str, float]) -> None:
    """Take no notice of a training's progress."""


@runtime_checkable
class Detector(Protocol):
    """A trained detector."""

    differentiable: bool

    def logits(self, pixels: Tensor) -> Tensor:
        """float32 [n, c, h, w] in grey levels 0..255 -> float32 [n]; above 0 means manipulated."""


class Network(nn.Module):
    """A detector whose state is tensors: what a recipe builds, trains, saves and loads."""

    differentiable: bool = True

    def logits(self, pixels: Tensor) -> Tensor:
        """As `Detector.logits`."""
        raise NotImplementedError

    def forward(self, pixels: Tensor) -> Tensor:
        """The same as `logits`, so that a detector is a plain torch module too."""
        return self.logits(pixels)


@runtime_checkable
class Recipe(Protocol):
    """A frozen dataclass that says how a detector is built and trained.

    A recipe that goes on where another ends also has `start`, that other recipe or None, and takes what it
    trained as `train(..., start=)`; without it, it trains the start itself. A study trains a start once.
    """

    def build(self) -> Network:
        """The detector with every tensor in its place, untrained."""

    def train(self, pairs: Pairs, *, seed: int, watch: Watch = unwatched) -> Network:
        """The detector trained on `pairs`, in evaluation mode.  Raises TrainingError."""


def score(
    detector: Detector, patches: Patches, chosen: npt.NDArray[np.int64] | None = None, *, batch: int = 64
) -> npt.NDArray[np.float32]:
    """The detector's logits for stored patches (`chosen` ones, by default all), float32 [n], `batch` at a time."""
    logits = [np.empty(0, dtype=np.float32)]
    with torch.no_grad():
        for some in patches.batches(batch, chosen):
            logits.append(detector.logits(to_pixels(torch.from_numpy(some))).float().cpu().numpy())
    return np.concatenate(logits)
