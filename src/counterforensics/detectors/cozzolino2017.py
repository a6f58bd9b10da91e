"""Cozzolino2017: SPAM features recast as a network, fine-tuned (Cozzolino, Poggi & Verdoliva 2017).

The network is the soft SPAM feature and a linear layer that starts as a linear SVM. Its second layer
has two named parametrisations: `product`, which keeps the co-occurrence a product over its four taps, and
`free`, the published one, in which all 625 filters are free.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from counterforensics.detectors.base import Network, Recipe, Start
from counterforensics.detectors.spam_head import LinearHead, check_svm, fit_head, scan_logits, unit_features
from counterforensics.detectors.training import TrainingSchedule, fit, squared_hinge
from counterforensics.errors import StudyError
from counterforensics.features.merging import CODES
from counterforensics.features.sliding import sliding_soft_s3_spam14hv
from counterforensics.features.soft import Quantiser, exact_quantiser, merge, residuals, soft_s3_spam14hv
from counterforensics.learning.monitor import SILENT, TrainingMonitor
from counterforensics.names import check_choice, check_count
from counterforensics.photos.patches import Pairs
from counterforensics.pixels import Pixels, luma, luma_of_planes, to_pixels
from counterforensics.positions import Positions

VALIDATIONS = 3


class CozzolinoNetwork(Network):
    """What both parametrisations share: a differentiable feature, then the linear layer."""

    def __init__(self, alpha: float, normalisation: str) -> None:
        super().__init__()
        self.differentiable = math.isfinite(alpha)
        self.alpha = alpha
        self.taps = nn.Parameter(exact_quantiser().taps)
        self.head = LinearHead(normalisation)

    def feature(self, pixels: Tensor) -> Tensor:
        """float32 [n, c, h, w] in 0..255 -> float32 [n, 338], on the scale of `s3_spam14hv`."""
        raise NotImplementedError

    def logits(self, pixels: Tensor) -> Tensor:
        """As `Detector.logits`."""
        return torch.as_tensor(self.head(self.feature(pixels)))


class ProductNetwork(CozzolinoNetwork):
    """Residual filters and, for each, five levels and five offsets: 28 parameters before the linear layer."""

    shares_overlap = True

    def __init__(self, alpha: float, normalisation: str) -> None:
        super().__init__(alpha, normalisation)
        exact = exact_quantiser()
        self.levels = nn.Parameter(exact.levels)
        self.offsets = nn.Parameter(exact.offsets)

    def feature(self, pixels: Tensor) -> Tensor:
        """As `CozzolinoNetwork.feature`."""
        quantiser = Quantiser(self.taps, self.levels, self.offsets)
        return soft_s3_spam14hv(luma(pixels), quantiser, alpha=self.alpha)

    def scan(self, photo: Pixels, positions: Positions) -> npt.NDArray[np.float32]:
        """As `Network.scan`; each pixel's co-occurrences are computed once."""
        plane, quantiser = luma_of_planes(photo), Quantiser(self.taps, self.levels, self.offsets)
        features = partial(sliding_soft_s3_spam14hv, plane, quantiser=quantiser, alpha=self.alpha)
        return scan_logits(self.head, features, positions)


class FreeNetwork(CozzolinoNetwork):
    """Two residual filters, then 625 free filters of four taps for each of the four co-occurrences.

    The maps of a 128x128 patch take 150 MB, so one co-occurrence of one patch is computed at a time and again
    for its gradient: meant for a GPU.
    """

    def __init__(self, alpha: float, normalisation: str) -> None:
        super().__init__(alpha, normalisation)
        levels = exact_quantiser().levels[0]
        codes = torch.cartesian_prod(levels, levels, levels, levels)
        self.codes = nn.Parameter(codes.repeat(4, 1, 1))
        self.biases = nn.Parameter(-(codes**2).sum(1).repeat(4, 1) / 2)

    def feature(self, pixels: Tensor) -> Tensor:
        """As `CozzolinoNetwork.feature`."""
        r, u = residuals(luma(pixels), self.taps)
        views = (r, u.transpose(1, 2), u, r.transpose(1, 2))
        along, down, across, up = (self._shares(view, table) for table, view in enumerate(views))
        return torch.cat([merge(along + down), merge(across + up)], dim=1)

    def _shares(self, residual: Tensor, table: int) -> Tensor:
        """Share of each code along the rows of `residual` [n, h, w]: [n, 625]."""
        if not len(residual):
            return residual.new_zeros(0, CODES)
        settings = self.codes[table], self.biases[table]
        return torch.cat([checkpoint(self._shares_of_one, one, *settings, use_reentrant=False) for one in residual])

    def _shares_of_one(self, residual: Tensor, codes: Tensor, biases: Tensor) -> Tensor:
        scores = residual.unfold(1, 4, 1).reshape(-1, 4) @ codes.T + biases
        if self.alpha == float("inf"):
            return torch.bincount(scores.argmax(1), minlength=CODES)[None].to(scores.dtype) / len(scores)
        return torch.softmax(self.alpha * scores, dim=1).mean(0, keepdim=True)


NETWORKS: Mapping[str, type[CozzolinoNetwork]] = {"product": ProductNetwork, "free": FreeNetwork}


@dataclass(frozen=True)
class Cozzolino2017(Recipe):
    """The linear layer starts as a linear SVM on the network's own soft feature, then all is fine-tuned.

    `alpha` is the inverse temperature of the softmax that replaces the hard assignment, on grey levels
    0..255. The larger it is, the closer the feature is to the exact one and the more pixels have a gradient of
    exactly 0: a quarter of them from 16 upward. 0.5 was chosen by photographs held out from training devices.
    The SVM sees at most `svm_pairs` pairs drawn at random, with cost `c`. Then `steps` steps of Adam, each on
    `pairs_per_step` pairs, at `lr` for the linear layer and `feature_lr` for the filters; 0 steps leave
    the SVM as it is. Loss and penalty stay the SVM's. The paper gives neither alpha, nor rates, nor the number
    of steps: all are ours [inferred].
    """

    parametrisation: str = "product"
    alpha: float = 0.5
    svm_pairs: int = 10000
    steps: int = 60
    pairs_per_step: int = 32
    lr: float = 3e-4
    feature_lr: float = 3e-4
    c: float = 0.1
    normalisation: str = "sqrt"

    version: ClassVar[int] = 2
    former_names: ClassVar[Mapping[str, str]] = {"rate": "lr", "feature_rate": "feature_lr"}

    def __post_init__(self) -> None:
        check_choice("cozzolino2017", "parametrisation", self.parametrisation, NETWORKS)
        if not self.alpha > 0:
            raise StudyError(f"cozzolino2017: alpha must be positive, got {self.alpha:g}")
        for setting, value, least in (
            ("steps", self.steps, 0),
            ("pairs_per_step", self.pairs_per_step, 1),
            ("svm_pairs", self.svm_pairs, 1),
        ):
            check_count("cozzolino2017", setting, value, least)
        if not (0 <= self.lr <= 1 and 0 <= self.feature_lr <= 1):
            given = f"lr={self.lr:g}, feature_lr={self.feature_lr:g}"
            raise StudyError(f"cozzolino2017: rates must lie between 0 and 1, got {given}")
        if self.steps and not (self.lr or self.feature_lr):
            raise StudyError(
                "cozzolino2017: fine-tuning with lr=0 and feature_lr=0 changes nothing; set steps=0 instead"
            )
        check_svm("cozzolino2017", self.c, self.normalisation)

    def build(self) -> CozzolinoNetwork:
        """The network with exact filters and a linear layer of zeros."""
        return NETWORKS[self.parametrisation](self.alpha, self.normalisation)

    def start_for(self, manipulation: str, *, among: Sequence[str], strongest: str | None) -> Start | None:
        """As `Recipe.start_for`: fine-tuning begins from the SVM on soft features for the same manipulation."""
        if self.steps == 0:
            return None
        svm = Cozzolino2017(
            self.parametrisation, self.alpha, self.svm_pairs, steps=0, c=self.c, normalisation=self.normalisation
        )
        return Start(svm, (manipulation,))

    def patches_seen(self, given: int) -> int:
        """As `Recipe.patches_seen`: the SVM sees what is given, fine-tuning so many steps."""
        return 2 * self.steps * self.pairs_per_step if self.steps else given

    def train(self, pairs: Pairs, *, seed: int, monitor: TrainingMonitor = SILENT) -> CozzolinoNetwork:
        """Fit the SVM on the training photographs; then fine-tune, and keep the best."""
        network = self.build()
        self._fit_svm(network.head, pairs.training(), seed)
        if self.steps == 0:
            return network.eval()
        return self.fine_tune(network, pairs, seed=seed, monitor=monitor)

    def fine_tune(
        self, start: Network, pairs: Pairs, *, seed: int, monitor: TrainingMonitor = SILENT
    ) -> CozzolinoNetwork:
        """As `Recipe.fine_tune`."""
        network = self.build()
        network.load_state_dict(start.state_dict())
        # The SVM's own objective goes on, penalty and all, now with the filters free, so that what is kept is
        # better at what it was. Cross-entropy falls by calibration alone, and the easy cases lost accuracy to it.
        penalty = 1 / (self.c * 2 * min(self.svm_pairs, len(pairs.training())))
        filters = [tensor for name, tensor in network.named_parameters() if not name.startswith("head.")]
        groups = [
            {"params": [network.head.weight], "lr": self.lr, "weight_decay": penalty},
            {"params": [network.head.bias], "lr": self.lr},
            {"params": filters, "lr": self.feature_lr},
        ]
        schedule = TrainingSchedule(self.steps, self.pairs_per_step, validations=VALIDATIONS)
        adam = torch.optim.Adam(groups)
        fit(network, pairs, adam, loss=squared_hinge, schedule=schedule, seed=seed, monitor=monitor)
        return network

    def _fit_svm(self, head: LinearHead, pairs: Pairs, seed: int) -> None:
        """Fit `head` on soft features; both parametrisations start from the same, so the cheap one computes them."""
        start = ProductNetwork(self.alpha, self.normalisation)
        chosen = np.sort(np.random.default_rng(seed).permutation(len(pairs))[: self.svm_pairs])
        features = partial(
            unit_features,
            feature=lambda some: start.feature(to_pixels(torch.from_numpy(some))),
            normalisation=self.normalisation,
        )
        pristine, manipulated = (patches.batches(16, chosen) for patches in (pairs.pristine, pairs.manipulated))
        with features(pristine) as negative, features(manipulated) as positive:
            fit_head(head, negative, positive, c=self.c)
