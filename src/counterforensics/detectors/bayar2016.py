"""Bayar2016: prediction-error filters learned under a constraint, then a small network (Bayar & Stamm 2016).

Layers as three independent reimplementations have them. The published training, with local response
normalisation and SGD at 1e-6, does not converge in practice (a public replication says so); `Bayar2016` is the
variant that does, and `Bayar2016Published` keeps the published choices.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from counterforensics.detectors.deep import DeepNetwork, DeepRecipe
from counterforensics.learning import filters
from counterforensics.learning.layers import ConstrainedConv2d, GhostBatchNorm2d, SeededDropout
from counterforensics.names import check_choice
from counterforensics.pixels import luma

SIDE = 128
FILTERS = 12
UNITS = 4096  # of each dense layer
NORMALISATIONS = ("batch", "local-response")


class BayarNetwork(DeepNetwork):
    """[n, 1, 128, 128] -> 12x124x124 -> 64x62x62 -> 64x31x31 -> 48x31x31 -> 48x15x15 -> 4096 -> 4096 -> outputs."""

    patch_side = SIDE

    def __init__(self, normalisation: str, start_filters: str, outputs: int) -> None:
        super().__init__()
        self.published = normalisation == "local-response"
        self.start_filters = start_filters
        self.constrained = ConstrainedConv2d(FILTERS)
        self.convolutions = nn.Sequential(
            *self._convolution(FILTERS, 64, size=7, stride=2),
            *self._convolution(64, 48, size=5, stride=1),
            nn.Flatten(),
        )
        self.dense = nn.Sequential(
            *(nn.Linear(48 * 15 * 15, UNITS), nn.ReLU(), SeededDropout(0.5)),
            *(nn.Linear(UNITS, UNITS), nn.ReLU(), SeededDropout(0.5)),
        )
        self.last = nn.Linear(UNITS, outputs)

    def _convolution(self, before: int, after: int, *, size: int, stride: int) -> list[nn.Module]:
        convolution = nn.Conv2d(before, after, size, stride, size // 2)
        pool = nn.MaxPool2d(3, 2, ceil_mode=True)
        if self.published:
            return [convolution, nn.ReLU(), pool, nn.LocalResponseNorm(5, alpha=1e-4, beta=0.75)]
        return [convolution, GhostBatchNorm2d(after), nn.ReLU(), pool]

    def features(self, pixels: Tensor) -> Tensor:
        """As `DeepNetwork.features`, d = 4096."""
        features: Tensor = self.dense(self.convolutions(self.constrained(luma(pixels))))
        return features

    def initialise(self, generator: torch.Generator) -> None:
        """Published: N(0, .01) and biases of .1, dense layers N(0, .005) and 1.

        Ours: dense layers without bias, convolutions scaled to their inputs (He et al. 2015).
        """
        self.constrained.initialise(self.start_filters, generator)
        for layer in [*self.convolutions, *self.dense, self.last]:
            if isinstance(layer, nn.Linear):
                nn.init.normal_(layer.weight, 0, 0.005, generator=generator)
                nn.init.constant_(layer.bias, 1.0 if self.published else 0.0)
            elif isinstance(layer, nn.Conv2d) and self.published:
                nn.init.normal_(layer.weight, 0, 0.01, generator=generator)
                nn.init.constant_(torch.as_tensor(layer.bias), 0.1)
            elif isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu", generator=generator)
                nn.init.zeros_(torch.as_tensor(layer.bias))


@dataclass(frozen=True)
class Bayar2016(DeepRecipe):
    """The variant that converges: batch normalisation in place of local response normalisation, Muon [ours].

    start_filters: the constrained filters start as classical predictors (`prediction`) or `random`.
    """

    optimiser: str = "muon"
    normalisation: str = "batch"
    start_filters: str = "prediction"

    name = "bayar2016"
    patch_side = SIDE

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice(self.name, "normalisation", self.normalisation, NORMALISATIONS)
        check_choice(self.name, "start_filters", self.start_filters, filters.STARTS)

    def network(self) -> BayarNetwork:
        """As `DeepRecipe.network`."""
        return BayarNetwork(self.normalisation, self.start_filters, self.outputs)


@dataclass(frozen=True)
class Bayar2016Published(Bayar2016):
    """As published: local response normalisation, SGD at 1e-6 with momentum .9, decay 5e-4, batches of 32 patches."""

    steps: int = 100_000
    pairs_per_step: int = 16
    optimiser: str = "sgd"
    lr: float = 1e-6
    lr_rule: str = "one"
    normalisation: str = "local-response"
    start_filters: str = "random"

    name = "bayar2016-published"
