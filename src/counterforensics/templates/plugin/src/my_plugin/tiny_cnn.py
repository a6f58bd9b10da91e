"""A detector: a small convolutional network."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d

from counterforensics.detectors.base import Network, Recipe
from counterforensics.detectors.training import TrainingSchedule, fit
from counterforensics.errors import StudyError
from counterforensics.learning.monitor import SILENT, TrainingMonitor
from counterforensics.photos.patches import Pairs
from counterforensics.pixels import luma


class TinyCnnNetwork(Network):
    """Two convolutions over the noise residual, and how strong each map is on average."""

    accelerated = True  # it consists of layers that a GPU runs

    def __init__(self) -> None:
        super().__init__()
        convolutions = nn.Conv2d(1, 8, 3, stride=2), nn.Conv2d(8, 8, 3, stride=2)
        self.maps = nn.Sequential(convolutions[0], nn.ReLU(), convolutions[1], nn.ReLU())
        self.last = nn.Linear(8, 1)

    def logits(self, pixels: Tensor) -> Tensor:
        """float32 [n, c, h, w] in grey levels 0..255 -> float32 [n]; above 0 means manipulated."""
        grey = luma(pixels)
        residual = grey - avg_pool2d(grey, 3, stride=1, padding=1)
        strengths = torch.log(self.maps(residual).mean((2, 3)) + 0.01)
        logits: Tensor = self.last(strengths)
        return logits[:, 0]


@dataclass(frozen=True)
class TinyCnn(Recipe):
    """A `TinyCnnNetwork`, trained for `steps` with Adam at most at `lr`."""

    steps: int = 200
    lr: float = 0.01

    uses_gpu = True  # as `accelerated` of the network

    def __post_init__(self) -> None:
        if self.steps < 0 or not 0 < self.lr <= 1:
            raise StudyError(f"tiny-cnn: steps must be at least 0, lr in 0..1, got {self.steps} and {self.lr:g}")

    @property
    def schedule(self) -> TrainingSchedule:
        """How long training goes on."""
        return TrainingSchedule(steps=self.steps, pairs_per_step=16)

    def patches_seen(self, given: int) -> int:
        """As `Recipe.patches_seen`: so many steps, whatever is given."""
        return 2 * self.schedule.pairs_per_step * self.steps

    def build(self) -> TinyCnnNetwork:
        """The network, untrained."""
        return TinyCnnNetwork()

    def train(self, pairs: Pairs, *, seed: int, monitor: TrainingMonitor = SILENT) -> TinyCnnNetwork:
        """The network trained on `pairs`."""
        network = self.build()
        # Random weights come from a generator of their own: other tasks run in the same process.
        generator = torch.Generator().manual_seed(seed)
        for tensor in network.parameters():
            if tensor.ndim > 1:
                nn.init.kaiming_uniform_(tensor, generator=generator)
            else:
                nn.init.zeros_(tensor)
        optimiser = torch.optim.Adam(network.parameters(), lr=self.lr)
        return fit(network, pairs, optimiser, schedule=self.schedule, seed=seed, monitor=monitor)
