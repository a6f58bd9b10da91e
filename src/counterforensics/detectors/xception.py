"""Xception: separable convolutions with skips (Chollet 2017), on patches at their own size."""

from __future__ import annotations

import dataclasses
import itertools
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from counterforensics.detectors.deep import DeepNetwork, DeepRecipe
from counterforensics.detectors.imagenet import HUB, check_legacy_xception, check_source_name, load_legacy_xception
from counterforensics.detectors.training import TrainingSchedule
from counterforensics.errors import PixelError, StudyError
from counterforensics.learning.accelerator import exact
from counterforensics.learning.filters import remove_means
from counterforensics.learning.layers import GhostBatchNorm2d
from counterforensics.names import check_choice
from counterforensics.pixels import luma

MIDDLE_BLOCKS = 8
CHANNELS = ("luma", "rgb")
START_FILTERS = ("zero-mean", "random")


class SeparableConv2d(nn.Module):
    """A 3x3 filter for each map, then a 1x1 mixture of maps."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, before, 3, padding=1, groups=before, bias=False)
        self.pointwise = nn.Conv2d(before, after, 1, bias=False)

    def forward(self, maps: Tensor) -> Tensor:
        """float [n, before, h, w] -> [n, after, h, w]."""
        mixed: Tensor = self.pointwise(self.conv1(maps))
        return mixed


class XceptionBlock(nn.Module):
    """ReLU, separable convolution and batch normalisation, two or three times, beside a skip."""

    def __init__(self, widths: tuple[int, ...], *, stride: int = 1, first_relu: bool = True) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, after in itertools.pairwise(widths):
            layers += [nn.ReLU(), SeparableConv2d(before, after), GhostBatchNorm2d(after)]
        if stride > 1:
            layers.append(nn.MaxPool2d(3, stride, padding=1))
        self.rep = nn.Sequential(*layers[0 if first_relu else 1 :])
        self.skip: nn.Module = nn.Identity()
        self.skipbn: nn.Module = nn.Identity()
        if stride > 1:
            self.skip = nn.Conv2d(widths[0], widths[-1], 1, stride, bias=False)
            self.skipbn = GhostBatchNorm2d(widths[-1])

    def forward(self, maps: Tensor) -> Tensor:
        """float [n, widths[0], h, w] -> [n, widths[-1], h / stride, w / stride]."""
        total: Tensor = self.rep(maps) + self.skipbn(self.skip(maps))
        return total


class XceptionNetwork(DeepNetwork):
    """[n, 3, 128, 128] -> 2048x4x4 -> mean -> outputs; from luma, all three inputs see it."""

    least_side = 7

    def __init__(self, channels: str, start_filters: str, outputs: int) -> None:
        super().__init__()
        self.channels = channels
        self.reads_rgb = channels == "rgb"
        self.start_filters = start_filters
        self.entry = nn.Sequential(
            *(nn.Conv2d(3, 32, 3, 2, bias=False), GhostBatchNorm2d(32), nn.ReLU()),
            *(nn.Conv2d(32, 64, 3, bias=False), GhostBatchNorm2d(64), nn.ReLU()),
            XceptionBlock((64, 128, 128), stride=2, first_relu=False),
            XceptionBlock((128, 256, 256), stride=2),
            XceptionBlock((256, 728, 728), stride=2),
        )
        self.middle = nn.Sequential(*(XceptionBlock((728, 728, 728, 728)) for _ in range(MIDDLE_BLOCKS)))
        self.exit = nn.Sequential(
            XceptionBlock((728, 728, 1024), stride=2),
            *(SeparableConv2d(1024, 1536), GhostBatchNorm2d(1536), nn.ReLU()),
            *(SeparableConv2d(1536, 2048), GhostBatchNorm2d(2048), nn.ReLU()),
            *(nn.AdaptiveAvgPool2d(1), nn.Flatten()),
        )
        self.last = nn.Linear(2048, outputs)

    def features(self, pixels: Tensor) -> Tensor:
        """As `DeepNetwork.features`, d = 2048.  Raises PixelError for luma where the network reads RGB."""
        if self.channels == "luma":
            pixels = luma(pixels).expand(-1, 3, -1, -1)
        elif pixels.shape[1] != 3:
            raise PixelError(f"this Xception reads RGB, got {pixels.shape[1]} channel; channels=luma reads one")
        # In bfloat16 the first filters would see grey levels rounded to halves.
        with exact(pixels.device):
            residuals = self.entry[0](pixels / 127.5 - 1)
        features: Tensor = self.exit(self.middle(self.entry[1:](residuals)))
        return features

    def initialise(self, generator: torch.Generator) -> None:
        """Convolutions scaled to their inputs (He et al. 2015) [ours]; the published start is ImageNet's weights."""
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu", generator=generator)
        if self.start_filters == "zero-mean":
            remove_means(torch.as_tensor(self.entry[0].weight))
        nn.init.normal_(self.last.weight, 0, 0.01, generator=generator)
        nn.init.zeros_(self.last.bias)


@dataclass(frozen=True)
class Xception(DeepRecipe):
    """With Muon, after a start that predicts the SPAM feature [ours].

    channels: `luma`, which all three inputs see, or `rgb`.
    imagenet: "" begins at random; a safetensors file with the weights of timm's `legacy_xception`, or
    `hub:OWNER/NAME` for one on the Hugging Face hub (extra `hub`), begins there.
    crop: training shows random squares of this side of the patches (0: whole patches). The traces are local, the
    network takes any size, and a pass costs by the pixel: on a processor 64x64 shows four times as many scenes.
    start_filters: the filters of the first layer begin `zero-mean`, so that they see residuals and not brightness, or
    `random`.
    """

    lr: float = 5e-4
    optimiser: str = "muon"
    start: str = "spam"
    channels: str = "luma"
    crop: int = 64
    start_filters: str = "zero-mean"
    imagenet: str = ""

    name = "xception"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice(self.name, "channels", self.channels, CHANNELS)
        check_choice(self.name, "start_filters", self.start_filters, START_FILTERS)
        if self.crop and self.crop < 32:
            raise StudyError(f"{self.name}: crop must be 0 or at least 32, got {self.crop}")
        check_source_name(self.imagenet)

    def network(self) -> XceptionNetwork:
        """As `DeepRecipe.network`."""
        return XceptionNetwork(self.channels, self.start_filters, self.outputs)

    @property
    def reads_rgb(self) -> bool:
        """As `Recipe.reads_rgb`."""
        return self.channels == "rgb"

    def check_files(self) -> None:
        """As `Part.check_files`.  Raises WeightsError for a file without the weights of this network."""
        if self.imagenet:
            check_legacy_xception(self.network(), self.imagenet)

    @property
    def files(self) -> tuple[Path, ...]:
        """Files that training reads, whose content its result depends on."""
        return (Path(self.imagenet),) if self.imagenet and not self.imagenet.startswith(HUB) else ()

    def initialise(self, network: DeepNetwork, seed: int) -> None:
        """As `DeepRecipe.initialise`; ImageNet's weights go to all layers but the last.  Raises WeightsError."""
        super().initialise(network, seed)
        if self.imagenet:
            load_legacy_xception(network, self.imagenet)

    def schedule(self) -> TrainingSchedule:
        """As `DeepRecipe.schedule`, with its squares."""
        return dataclasses.replace(super().schedule(), crop=self.crop)
