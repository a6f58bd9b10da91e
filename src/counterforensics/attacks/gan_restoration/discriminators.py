"""The discriminators: they learn to tell restored patches from pristine ones. None of them is a judge."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from counterforensics.errors import TrainingError
from counterforensics.features.soft import Quantiser, exact_quantiser, soft_s3_spam14hv
from counterforensics.learning.accelerator import exact

# The side of the squares that all networks are trained on (METHODS section 5); the dense layers take no other.
CROP = 64
# Inverse temperature of the soft co-occurrences, on grey levels.
ALPHA = 1.0
# Added to a co-occurrence before its root is taken: at 0 the root is infinitely steep.
FLOOR = 1e-4


class Discriminator(nn.Module):
    """A network whose logits are above 0 for patches that it takes for restored.

    Its `eyes` never learn; they show the patch to the layers that do.
    """

    def __init__(self, eyes: nn.Module, layers: nn.Sequential, head: nn.Sequential) -> None:
        super().__init__()
        self.eyes, self.layers, self.head = eyes, layers, head

    def features(self, pixels: Tensor) -> Tensor:
        """float32 [n, 1, 64, 64] in 0..255 -> float32 [n, d, h, w], after the convolutions."""
        with exact(pixels.device):
            first = self.layers[0](self.eyes(pixels))
        features: Tensor = self.layers[1:](first)
        return features

    def forward(self, pixels: Tensor) -> Tensor:
        """float32 [n, 1, 64, 64] in 0..255 -> float32 [n, 1]."""
        return self.head(self.features(pixels)).flatten(1)  # type: ignore[no-any-return]

    def initialise(self, generator: torch.Generator) -> None:
        """He's normal distribution; the first filters see no mean, or grey would drown the traces [ours]."""
        learning = [layer for layer in self.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
        for layer in learning:
            nn.init.kaiming_normal_(layer.weight, a=0.2, generator=generator)
            nn.init.zeros_(torch.as_tensor(layer.bias))
        if isinstance(learning[0], nn.Conv2d):
            with torch.no_grad():
                first = learning[0].weight
                first -= first.mean((1, 2, 3), keepdim=True)
        if isinstance(self.eyes, HighPass):
            self.eyes.initialise(generator)


class Scaled(nn.Module):
    """Grey levels as they are."""

    channels = 1

    def forward(self, pixels: Tensor) -> Tensor:
        """float32 [n, 1, h, w] in 0..255 -> the same shape in -1..1."""
        return pixels / 127.5 - 1


class HighPass(nn.Module):
    """Random high-pass filters and a soft clip at a few grey levels, as most detectors have for residuals."""

    channels, side = 8, 5

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("taps", torch.zeros(self.channels, 1, self.side, self.side))

    def forward(self, pixels: Tensor) -> Tensor:
        """float32 [n, 1, h, w] in 0..255 -> float32 [n, channels, h, w] in -1..1."""
        # Mirrored, or the frame would be the strongest edge of a patch.
        padded = nn.functional.pad(pixels, (self.side // 2,) * 4, mode="reflect")
        return torch.tanh(nn.functional.conv2d(padded, torch.as_tensor(self.taps)) / 4)

    def initialise(self, generator: torch.Generator) -> None:
        """Each filter sums to 0, and the squares of its taps to 1."""
        taps = torch.as_tensor(self.taps).normal_(generator=generator)
        taps -= taps.mean((2, 3), keepdim=True)
        taps /= taps.square().sum((2, 3), keepdim=True).sqrt()


class CoOccurrences(nn.Module):
    """Soft SPAM features."""

    channels = 338

    def forward(self, pixels: Tensor) -> Tensor:
        """float32 [n, 1, h, w] in 0..255 -> float32 [n, 338]: their square roots, on which distances mean more."""
        quantiser = Quantiser(*(tensor.to(pixels.device) for tensor in exact_quantiser()))
        return (soft_s3_spam14hv(pixels, quantiser, alpha=ALPHA) + FLOOR).sqrt()


def kim(width: int, eyes: Scaled | HighPass | None = None) -> Discriminator:
    """3x3 convolutions of 1, 1, 2, 2, 4, 4, 8, 8 times `width` channels, every second with stride 2; two dense layers.

    A stand-in for internals that were not published in the open (METHODS section 5); the width described is 64.
    """
    eyes = eyes or Scaled()
    layers: list[nn.Module] = []
    channels = [eyes.channels, *(width * times for times in (1, 1, 2, 2, 4, 4, 8, 8))]
    for number, (before, after) in enumerate(pairwise(channels)):
        layers.append(nn.Conv2d(before, after, 3, stride=1 + number % 2, padding=1))
        layers += [nn.BatchNorm2d(after)] if number else []
        layers.append(nn.LeakyReLU(0.2))
    side = CROP // 16
    dense = [nn.Flatten(), nn.Linear(8 * width * side**2, 16 * width), nn.LeakyReLU(0.2), nn.Linear(16 * width, 1)]
    return Discriminator(eyes, nn.Sequential(*layers), nn.Sequential(*dense))


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
    return Discriminator(Scaled(), nn.Sequential(*layers), nn.Sequential(*head, nn.Linear(dense, 1)))


def of_co_occurrences(width: int) -> Discriminator:
    """Two dense layers on soft SPAM features."""
    layers = [nn.BatchNorm1d(CoOccurrences.channels), nn.Linear(CoOccurrences.channels, 8 * width), nn.LeakyReLU(0.2)]
    return Discriminator(CoOccurrences(), nn.Sequential(*layers), nn.Sequential(nn.Linear(8 * width, 1)))


class Ensemble(nn.Module):
    """Several discriminators of which no two see the same, so that fewer traces are left to an unknown judge.

    The first of `members` is that of `kim`; the others are like it, each behind random high-pass filters of its own.
    With `co_occurrences` one more learns from soft SPAM features alone [all ours].
    """

    def __init__(self, members: int, width: int, *, co_occurrences: bool) -> None:
        super().__init__()
        eyes: list[Scaled | HighPass] = [Scaled(), *(HighPass() for _ in range(members - 1))]
        self.members = nn.ModuleList(kim(width, one) for one in eyes)
        if co_occurrences:
            self.members.append(of_co_occurrences(width))

    def forward(self, pixels: Tensor) -> Tensor:
        """float32 [n, 1, 64, 64] in 0..255 -> float32 [n, k], a logit of each member."""
        return torch.cat([member(pixels) for member in self.members], dim=1)

    def initialise(self, generator: torch.Generator) -> None:
        """Every member at random."""
        for member in self.members:
            member.initialise(generator)  # type: ignore[operator]


def check_side(height: int, width: int) -> None:
    """Raise TrainingError if patches are too small to learn on."""
    if min(height, width) < CROP:
        raise TrainingError(f"restoration is learned on squares of {CROP}x{CROP}, got patches of {width}x{height}")
