"""What the deep detectors share: one training for all, from a random start or from one that manipulations share."""

from __future__ import annotations

import copy
import dataclasses
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from counterforensics.detectors.base import Network, Recipe
from counterforensics.detectors.training import TrainingSchedule, fit
from counterforensics.errors import PixelError, StudyError, shown
from counterforensics.learning.accelerator import PRECISIONS
from counterforensics.learning.layers import project
from counterforensics.learning.monitor import SILENT, TrainingMonitor
from counterforensics.names import check_count
from counterforensics.photos.patches import Pairs

OPTIMISERS = ("adamw", "sgd")


class DeepNetwork(Network):
    """A convolutional network on grey levels; its last layer gives the outputs."""

    accelerated = True
    patch_side: int | None = None  # as `Recipe.patch_side`
    # Where the outputs come from: replaced when a start for several manipulations becomes a detector of one.
    last: nn.Linear

    def features(self, pixels: Tensor) -> Tensor:
        """float32 [n, c, h, w] in 0..255 -> float32 [n, d], what the last layer reads."""
        raise NotImplementedError

    def initialise(self, generator: torch.Generator) -> None:
        """Set every weight at random."""
        raise NotImplementedError

    def outputs(self, pixels: Tensor) -> Tensor:
        """As `Network.outputs`.  Raises PixelError for a patch size that the network cannot take."""
        height, width = pixels.shape[-2:]
        if self.patch_side is not None and (height, width) != (self.patch_side, self.patch_side):
            works = f"{self.patch_side}x{self.patch_side}"
            raise PixelError(f"this {type(self).__name__} takes patches of {works}, got {width}x{height}")
        outputs: Tensor = self.last(self.features(pixels))
        return outputs

    def logits(self, pixels: Tensor) -> Tensor:
        """As `Detector.logits`; of several outputs the one that is surest of its manipulation."""
        return self.outputs(pixels).amax(1)

    def select_output(self, output: int) -> Self:
        """The network with this one of its outputs: the detector of one manipulation."""
        one = copy.deepcopy(self)
        one.last = nn.Linear(self.last.in_features, 1)
        with torch.no_grad():
            one.last.weight.copy_(self.last.weight[output : output + 1])
            one.last.bias.copy_(self.last.bias[output : output + 1])
        return one


@dataclass(frozen=True)
class DeepRecipe(Recipe):
    """Settings that the deep detectors share.

    steps, pairs_per_step, patience, precision: as `TrainingSchedule` has them. Patches are turned at random.
    optimiser: `adamw`, or `sgd` with `momentum`; at most at the learning rate `lr`, with `weight_decay`.
    shared_steps: 0 trains from a random start. With more, one start for all manipulations of a study is trained first,
    for so many steps at `shared_lr`, with one output for each manipulation; then it is fine-tuned for `steps` on each.
    outputs: manipulations that one network tells from pristine, above 1 only in a shared start.
    """

    steps: int = 2000
    pairs_per_step: int = 32
    optimiser: str = "adamw"
    lr: float = 1e-3
    weight_decay: float = 5e-4
    momentum: float = 0.9
    shared_steps: int = 0
    shared_lr: float = 1e-3
    patience: int = 8
    precision: str = "bfloat16"
    outputs: int = 1

    uses_gpu = True
    former_names: ClassVar[Mapping[str, str]] = {"rate": "lr", "decay": "weight_decay", "shared_rate": "shared_lr"}

    WARM_UP: ClassVar[float] = 0.05
    VALIDATED: ClassVar[int] = 192

    def __post_init__(self) -> None:
        name = type(self).__name__.lower()
        given = vars(self)
        counts = {"steps": 0, "pairs_per_step": 1, "shared_steps": 0, "patience": 0, "outputs": 1}
        for setting, least in counts.items():
            check_count(name, setting, given[setting], least)
        if not self.steps and not self.shared_steps:
            raise StudyError(f"{name}: steps=0 without shared_steps leaves the network untrained; give one of them")
        for setting in ("lr", "weight_decay", "momentum", "shared_lr"):
            if not 0 <= given[setting] <= 1:
                raise StudyError(f"{name}: {setting} must lie between 0 and 1, got {given[setting]:g}")
        for setting in ("lr", "shared_lr"):
            if not given[setting]:
                raise StudyError(f"{name}: {setting}=0 leaves the network untrained; give a rate above 0")
        for setting, known in (("optimiser", OPTIMISERS), ("precision", PRECISIONS)):
            if given[setting] not in known:
                raise StudyError(f"{name}: {setting} must be {' or '.join(known)}, got {shown(given[setting])}")

    @abstractmethod
    def network(self) -> DeepNetwork:
        """The layers, untrained."""

    def build(self) -> DeepNetwork:
        """The network with every tensor in its place, untrained; channels last, as its kernels are fastest."""
        return self.network().to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]

    def patches_seen(self, given: int) -> int:
        """As `Recipe.patches_seen`: so many steps, whatever is given."""
        return 2 * self.steps * self.pairs_per_step if self.steps else given

    def shared_start(self, manipulations: int) -> Self | None:
        """As `Recipe.shared_start`."""
        if not self.shared_steps:
            return None
        return dataclasses.replace(
            self, steps=self.shared_steps, lr=self.shared_lr, shared_steps=0, outputs=manipulations
        )

    def train(self, pairs: Pairs, *, seed: int, monitor: TrainingMonitor = SILENT) -> DeepNetwork:
        """Train on `pairs` of one manipulation, or of several together where there are several outputs.

        A start that is wanted is trained on `pairs`, too.
        """
        before = self.shared_start(1)
        if before is not None:
            start = before.train(pairs, seed=seed, monitor=monitor.before())
            return self.fine_tune(start, pairs, seed=seed, monitor=monitor)
        network = self.build()
        self.initialise(network, seed)
        return self._fit(network, pairs, seed, monitor)

    def fine_tune(self, start: Network, pairs: Pairs, *, seed: int, monitor: TrainingMonitor = SILENT) -> DeepNetwork:
        """As `Recipe.fine_tune`."""
        network = self.build()
        network.load_state_dict(start.state_dict())
        self._fit(network, pairs, seed, monitor)
        network.facts = {**network.facts, "start_patches": start.facts.get("patches", 0)}
        return network

    def _fit(self, network: DeepNetwork, pairs: Pairs, seed: int, monitor: TrainingMonitor) -> DeepNetwork:
        optimiser = self.optimiser_for(network)
        fit(network, pairs, optimiser, schedule=self.schedule(), seed=seed, monitor=monitor)
        return network

    def initialise(self, network: DeepNetwork, seed: int) -> None:
        """Give `network` the weights that training from nothing begins with."""
        network.initialise(torch.Generator().manual_seed(seed))
        project(network)

    def schedule(self) -> TrainingSchedule:
        """What the training loop does."""
        return TrainingSchedule(
            steps=self.steps,
            pairs_per_step=self.pairs_per_step,
            warm_up=self.WARM_UP,
            validations=self._validations,
            validated=self.VALIDATED,
            patience=self.patience,
            augment=True,
            precision=self.precision,
        )

    @property
    def _validations(self) -> int:
        """A look at held-out pairs takes as long as several steps; fine-tuning is short."""
        return min(4, -(-self.steps // 10)) if self.shared_steps else min(16, -(-self.steps // 20))

    def optimiser_for(self, network: nn.Module) -> torch.optim.Optimizer:
        """Weights decay; biases and normalisations do not."""
        tensors = list(network.parameters())
        groups: list[dict[str, Any]] = [
            {"params": [tensor for tensor in tensors if tensor.ndim > 1], "weight_decay": self.weight_decay},
            {"params": [tensor for tensor in tensors if tensor.ndim <= 1], "weight_decay": 0.0},
        ]
        if self.optimiser == "sgd":
            return torch.optim.SGD(groups, lr=self.lr, momentum=self.momentum)
        return torch.optim.AdamW(groups, lr=self.lr, fused=True)
