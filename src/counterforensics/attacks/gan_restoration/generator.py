"""The generator: what it adds to a manipulated patch shall be what the manipulation took away (Kim et al. 2018)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from counterforensics.errors import AttackError
from counterforensics.learning.accelerator import exact
from counterforensics.learning.monitor import SavedNetwork
from counterforensics.pixels import luma

# One unit of the last layer in grey levels: what restoring asks for is of this order [inferred].
LEVELS = 16.0


class ResidualBlock(nn.Module):
    """conv - BN - PReLU - conv - BN, and what came in added."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *(_convolution(width, width), nn.BatchNorm2d(width), nn.PReLU()),
            *(_convolution(width, width), nn.BatchNorm2d(width)),
        )

    def forward(self, features: Tensor) -> Tensor:
        """float [n, width, h, w] -> the same shape."""
        change: Tensor = self.body(features)
        return features + change


class Generator(SavedNetwork):
    """Convolutions of `width` channels in `blocks` residual blocks, a long skip around them and a skip of the input.

    No layer changes the resolution, so patches of any side pass. It reads luma; what it adds is added to every
    channel alike [ours]. `noisy` gives it a second input, grey noise, as grain cannot be computed from a patch that
    has lost it [ours].
    """

    accelerated = True

    def __init__(self, width: int, blocks: int, *, noisy: bool = False) -> None:
        super().__init__()
        self.noisy = noisy
        self.first = nn.Sequential(_convolution(1 + noisy, width), nn.PReLU())
        self.blocks = nn.Sequential(*(ResidualBlock(width) for _ in range(blocks)))
        self.after = nn.Sequential(_convolution(width, width), nn.BatchNorm2d(width))
        self.last = _convolution(width, 1)

    def forward(self, pixels: Tensor, noise: Tensor | None = None) -> Tensor:
        """float32 [n, c, h, w] in 0..255 -> the same shape, grey levels that are not whole.

        noise: float32 [n, 1, h, w], standard normal, for a noisy generator alone.  Raises AttackError where it lacks.
        """
        levels = luma(pixels) / 127.5 - 1
        if self.noisy:
            if noise is None:
                raise AttackError("a noisy generator needs noise beside the pixels, got none")
            levels = torch.cat([levels, noise], dim=1)
        with exact(levels.device):
            first = self.first(levels)
        change: Tensor = self.last(first + self.after(self.blocks(first))).float()
        return pixels + LEVELS * change

    def initialise(self, generator: torch.Generator) -> None:
        """Convolutions scaled to their inputs (He et al. 2015); the last is zero: it begins as the identity [ours]."""
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu", generator=generator)
                nn.init.zeros_(torch.as_tensor(layer.bias))
        nn.init.zeros_(self.last.weight)


def _convolution(before: int, after: int) -> nn.Conv2d:
    return nn.Conv2d(before, after, 3, padding=1)
