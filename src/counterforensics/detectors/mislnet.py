"""MISLnet: the constrained network grown deeper (Bayar & Stamm 2018, IEEE TIFS), as its authors' files have it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from counterforensics.detectors.deep import DeepNetwork, DeepRecipe
from counterforensics.learning import filters
from counterforensics.learning.layers import ConstrainedConv2d, GhostBatchNorm2d
from counterforensics.names import check_choice
from counterforensics.pixels import luma

SIDE = 128
FILTERS = 3


class MislNetwork(DeepNetwork):
    """[n, 1, 128, 128] -> 3x124x124 -> 96x31x31 -> 64x15x15 -> 64x7x7 -> 128x3x3 -> 200 -> 200 -> outputs.

    The sides after each pool are inferred from the published number of parameters: pools round up.
    """

    patch_side = SIDE

    def __init__(self, start_filters: str, outputs: int) -> None:
        super().__init__()
        self.start_filters = start_filters
        self.constrained = ConstrainedConv2d(FILTERS)
        self.convolutions = nn.Sequential(
            *_convolution(FILTERS, 96, 7, stride=2, pool=nn.MaxPool2d(3, 2, ceil_mode=True)),
            *_convolution(96, 64, 5, stride=1, pool=nn.MaxPool2d(3, 2, ceil_mode=True)),
            *_convolution(64, 64, 5, stride=1, pool=nn.MaxPool2d(3, 2, ceil_mode=True)),
            *_convolution(64, 128, 1, stride=1, pool=nn.AvgPool2d(3, 2, ceil_mode=True)),
            nn.Flatten(),
        )
        self.dense = nn.Sequential(nn.Linear(128 * 3 * 3, 200), nn.Tanh(), nn.Linear(200, 200), nn.Tanh())
        self.last = nn.Linear(200, outputs)

    def features(self, pixels: Tensor) -> Tensor:
        """As `DeepNetwork.features`, d = 200."""
        features: Tensor = self.dense(self.convolutions(self.constrained(luma(pixels))))
        return features

    def initialise(self, generator: torch.Generator) -> None:
        """Glorot's normal distribution; the constrained filters as their own start has it."""
        self.constrained.initialise(self.start_filters, generator)
        for layer in [*self.convolutions, *self.dense, self.last]:
            if isinstance(layer, nn.Conv2d | nn.Linear):
                nn.init.xavier_normal_(layer.weight, generator=generator)
                nn.init.zeros_(torch.as_tensor(layer.bias))


def _convolution(before: int, after: int, size: int, *, stride: int, pool: nn.Module) -> list[nn.Module]:
    return [nn.Conv2d(before, after, size, stride, size // 2), GhostBatchNorm2d(after), nn.Tanh(), pool]


@dataclass(frozen=True)
class MislNet(DeepRecipe):
    """With Muon [ours].

    start_filters: the constrained filters start as classical predictors (`prediction`) or `random`.
    """

    optimiser: str = "muon"
    start_filters: str = "prediction"

    name = "mislnet"
    patch_side = SIDE

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice(self.name, "start_filters", self.start_filters, filters.STARTS)

    def network(self) -> MislNetwork:
        """As `DeepRecipe.network`."""
        return MislNetwork(self.start_filters, self.outputs)


@dataclass(frozen=True)
class MislNetPublished(MislNet):
    """As published: SGD at 1e-3 with momentum .95 and decay 5e-4, batches of 64 patches."""

    optimiser: str = "sgd"
    momentum: float = 0.95
    lr_rule: str = "one"
    start_filters: str = "random"

    name = "mislnet-published"
