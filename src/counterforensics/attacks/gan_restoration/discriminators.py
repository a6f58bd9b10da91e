"""The discriminators: they learn to tell restored patches from pristine ones. None of them is a judge."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from counterforensics.errors import TrainingError
from counterforensics.learning.accelerator import exact

# Sides of the squares that all are trained on (Kim et al. 2018 as METHODS has it); their dense layers take no other.
CROP = 64
# First filters of the ensemble's members: so many, of this side.
_FILTERS, _SIDE = 8, 5


class Discriminator(nn.Module):
    """Logits above 0 for what it takes for restored; `features` are what it looks at."""

    def __init__(self, layers: nn.Sequential, head: nn.Sequential) -> None:
        super().__init__()
        self.layers, self.head = layers, head

    def features(self, pixels: Tensor) -> Tensor:
        """float32 [n, 1, 64, 64] in 0..255 -> float32 [n, d, h, w], after the convolutions."""
        with exact(pixels.device):
            first = self.layers[0](pixels / 127.5 - 1)
        features: Tensor = self.layers[1:](first)
        return features

    def forward(self, pixels: Tensor) -> Tensor:
        """float32 [n, 1, 64, 64] in 0..255 -> float32 [n, k], k logits each."""
        return self.head(self.features(pixels)).flatten(1)  # type: ignore[no-any-return]

    def initialise(self, generator: torch.Generator) -> None:
        """He's normal distribution; the first filters see no mean, or grey would drown the traces [ours]."""
        convolutions = [layer for layer in self.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
        for layer in convolutions:
            nn.init.kaiming_normal_(layer.weight, a=0.2, generator=generator)
            nn.init.zeros_(torch.as_tensor(layer.bias))
        with torch.no_grad():
            first = convolutions[0].weight
            first -= first.mean((1, 2, 3), keepdim=True)


def kim(width: int) -> Discriminator:
    """3x3 convolutions of 1, 1, 2, 2, 4, 4, 8, 8 times `width` channels, every second with stride 2; two dense layers.

    A stand-in for internals that were not published in the open (METHODS section 5); the width described is 64.
    """
    layers: list[nn.Module] = []
    channels = [1, *(width * times for times in (1, 1, 2, 2, 4, 4, 8, 8))]
    for number, (before, after) in enumerate(pairwise(channels)):
        layers.append(nn.Conv2d(before, after, 3, stride=1 + number % 2, padding=1))
        layers += [nn.BatchNorm2d(after)] if number else []
        layers.append(nn.LeakyReLU(0.2))
    side = CROP // 16
    dense = [nn.Flatten(), nn.Linear(8 * width * side**2, 16 * width), nn.LeakyReLU(0.2), nn.Linear(16 * width, 1)]
    return Discriminator(nn.Sequential(*layers), nn.Sequential(*dense))


def vgg(width: int) -> Discriminator:
    """VGG-16 (Simonyan & Zisserman 2015, configuration D) with batch normalisation; the width published is 64."""
    layers: list[nn.Module] = []
    before = 1
    for times, count in ((1, 2), (2, 2), (4, 3), (8, 3), (8, 3)):
        for _ in range(count):
            after = times * width
            layers += [nn.Conv2d(before, after, 3, padding=1), nn.BatchNorm2d(after), nn.ReLU()]
            before = after
        layers.append(nn.MaxPool2d(2))
    side, dense = CROP // 32, 64 * width
    head = [nn.Flatten(), nn.Linear(8 * width * side**2, dense), nn.ReLU(), nn.Linear(dense, dense), nn.ReLU()]
    return Discriminator(nn.Sequential(*layers), nn.Sequential(*head, nn.Linear(dense, 1)))


class Ensemble(nn.Module):
    """Several small patch discriminators, each behind random high-pass filters of its own that stay as they are.

    Spectral normalisation (Miyato et al. 2018) keeps each of them from being too sure; each gives a logit for every
    square of the patch (Isola et al. 2017), so none can lean on what a patch shows. That many different eyes leave
    fewer places to hide from a judge that nobody has seen is our own idea.
    """

    def __init__(self, members: int, width: int) -> None:
        super().__init__()
        self.members = nn.ModuleList(_member(width) for _ in range(members))

    def forward(self, pixels: Tensor) -> Tensor:
        """float32 [n, 1, h, w] in 0..255 -> float32 [n, k], the logits of all members for all squares."""
        return torch.cat([member(pixels).flatten(1) for member in self.members], dim=1)

    def initialise(self, generator: torch.Generator) -> None:
        """Every member at random; its fixed filters sum to 0 and their taps' squares to 1."""
        for name, tensor in self.state_dict(keep_vars=True).items():
            with torch.no_grad():
                if name.endswith("bias"):
                    tensor.zero_()
                elif tensor.ndim > 1:
                    tensor.normal_(generator=generator)
                    tensor /= tensor[0].numel() ** 0.5
                else:  # where spectral normalisation keeps a direction
                    tensor.normal_(generator=generator)
                    tensor /= tensor.norm()
        for member in self.members:
            taps = member[0].weight  # type: ignore[index]
            taps -= taps.mean((2, 3), keepdim=True)
            taps /= taps.square().sum((2, 3), keepdim=True).sqrt()


class _HighPass(nn.Module):
    """Fixed filters and a soft clip at a few grey levels, as residuals of most detectors have it."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("weight", torch.zeros(_FILTERS, 1, _SIDE, _SIDE))

    def forward(self, pixels: Tensor) -> Tensor:
        """float32 [n, 1, h, w] in 0..255 -> float32 [n, filters, h - 4, w - 4] in -1..1."""
        with exact(pixels.device):
            return torch.tanh(nn.functional.conv2d(pixels, self.weight) / 4)  # type: ignore[arg-type]


def _member(width: int) -> nn.Sequential:
    def layer(before: int, after: int, stride: int) -> nn.Module:
        return spectral_norm(nn.Conv2d(before, after, 3, stride, padding=1))

    return nn.Sequential(
        _HighPass(),
        *(layer(_FILTERS, width, 1), nn.LeakyReLU(0.2)),
        *(layer(width, 2 * width, 2), nn.LeakyReLU(0.2)),
        *(layer(2 * width, 4 * width, 2), nn.LeakyReLU(0.2)),
        nn.Conv2d(4 * width, 1, 3, padding=1),
    )


def check_side(height: int, width: int) -> None:
    """Raise TrainingError if patches are too small to learn on."""
    if min(height, width) < CROP:
        raise TrainingError(f"restoration is learned on squares of {CROP}x{CROP}, got patches of {width}x{height}")
