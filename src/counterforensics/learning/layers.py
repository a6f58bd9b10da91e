"""Layers that several networks share. All are deterministic: their random numbers come from seeds."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from counterforensics.learning.accelerator import exact
from counterforensics.learning.filters import prediction_filters

# A constrained filter whose outer taps sum to less than this is shifted to the constraint, not divided by its sum.
_SMALLEST_SUM = 0.1


class ConstrainedConv2d(nn.Conv2d):
    """Prediction-error filters (Bayar & Stamm 2016): centre -1, the other taps sum to 1; no bias.

    `project` brings the weights back to the constraint; training calls it after every step. Within `autocast` the
    filters stay in float32: rounded to bfloat16 they would miss the constraint, and let brightness through.
    """

    def __init__(self, filters: int, size: int = 5) -> None:
        super().__init__(1, filters, size, bias=False)

    def forward(self, input: Tensor) -> Tensor:
        """float [n, 1, h, w] -> [n, filters, h - size + 1, w - size + 1]."""
        with exact(input.device):
            return super().forward(input.to(self.weight.dtype))

    @torch.no_grad()
    def initialise(self, start: str, generator: torch.Generator) -> None:
        """start: `prediction`, as `learning.filters` has it, or `random`, N(0, .3) before the projection [ours]."""
        if start == "prediction":
            self.weight.copy_(prediction_filters(len(self.weight), generator))
        else:
            nn.init.normal_(self.weight, 0, 0.3, generator=generator)

    @torch.no_grad()
    def project(self) -> None:
        """Centre to 0, divide by the sum, centre to -1 [published]; a sum near 0 is shifted instead [ours]."""
        centre = self.kernel_size[0] // 2
        taps = self.weight.double()
        taps[:, :, centre, centre] = 0
        total = taps.sum((2, 3), keepdim=True)
        shifted = taps + (1 - total) / (taps[0, 0].numel() - 1)
        taps = torch.where(total.abs() < _SMALLEST_SUM, shifted, taps / total)
        taps[:, :, centre, centre] = -1
        self.weight.copy_(taps)


class GhostBatchNorm2d(nn.BatchNorm2d):
    """Batch normalisation of `GROUP` patches at a time (Hoffer et al. 2017).

    So the result of a training step does not depend on how many patches pass through the network at once.
    """

    GROUP = 32

    def forward(self, input: Tensor) -> Tensor:
        """float [n, c, h, w] -> the same shape."""
        if not self.training or len(input) <= self.GROUP:
            return super().forward(input)
        return torch.cat([super(GhostBatchNorm2d, self).forward(group) for group in torch.split(input, self.GROUP)])


class SeededDropout(nn.Module):
    """Dropout with a random generator of its own, so that its masks repeat on any device and in any thread."""

    def __init__(self, rate: float = 0.5) -> None:
        super().__init__()
        self.rate = rate
        self.generator = torch.Generator()

    def forward(self, features: Tensor) -> Tensor:
        """float [n, d] -> the same shape."""
        if not self.training:
            return features
        kept = torch.rand(features.shape, generator=self.generator) >= self.rate
        return features * kept.to(features.device) / (1 - self.rate)


def reseed(network: nn.Module, seed: int) -> None:
    """Set every dropout of `network` to the masks that belong to `seed`."""
    for position, module in enumerate(network.modules()):
        if isinstance(module, SeededDropout):
            module.generator.manual_seed(seed + position)


def project(network: nn.Module) -> None:
    """Bring every constrained layer of `network` back to its constraint."""
    for module in network.modules():
        if isinstance(module, ConstrainedConv2d):
            module.project()
