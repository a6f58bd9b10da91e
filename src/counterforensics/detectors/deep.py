"""What the deep detectors share: one training for all, from a random start or from one that manipulations share."""

from __future__ import annotations

import copy
import dataclasses
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from counterforensics.detectors.base import Network
from counterforensics.detectors.training import Schedule, fit
from counterforensics.errors import PixelError, StudyError
from counterforensics.learning.accelerator import PRECISIONS
from counterforensics.learning.course import SILENT, Course
from counterforensics.learning.layers import project
from counterforensics.photos.patches import Pairs

OPTIMISERS = ("adamw", "sgd")


class DeepNetwork(Network):
    """A convolutional network on grey levels; its last layer gives the outputs."""

    accelerated = True
    side: int | None = None  # as `DeepRecipe.side`
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
        if self.side is not None and (height, width) != (self.side, self.side):
            works = f"{self.side}x{self.side}"
            raise PixelError(f"this {type(self).__name__} takes patches of {works}, got {width}x{height}")
        outputs: Tensor = self.last(self.features(pixels))
        return outputs

    def logits(self, pixels: Tensor) -> Tensor:
        """As `Detector.logits`; of several outputs the one that is surest of its manipulation."""
        return self.outputs(pixels).amax(1)

    def only(self, output: int) -> Self:
        """The network with this one of its outputs: the detector of one manipulation."""
        one = copy.deepcopy(self)
        one.last = nn.Linear(self.last.in_features, 1)
        with torch.no_grad():
            one.last.weight.copy_(self.last.weight[output : output + 1])
            one.last.bias.copy_(self.last.bias[output : output + 1])
        return one


@dataclass(frozen=True)
class DeepRecipe:
    """Settings that the deep detectors share; `training.Schedule` says what the loop does with them.

    A step sees `pairs_per_step` pristine patches and the same cells manipulated, flipped and turned at random;
    of `steps`, the state that validates best is kept, and after `patience` validations without a better one training
    ends (0: never early). optimiser: `adamw` or `sgd` (with `momentum`), at most at
    `rate`, with weight decay `decay`. shared_steps: 0 trains from a random start. More first trains one start of
    that many steps, at `shared_rate`, for all manipulations of a study at once, an output for each, and then
    fine-tunes it for `steps` on each manipulation. precision: `bfloat16` where the hardware has it, else
    float32. outputs: manipulations that one network tells from pristine, above 1 only in a shared start.
    """

    steps: int = 2000
    pairs_per_step: int = 32
    optimiser: str = "adamw"
    rate: float = 1e-3
    decay: float = 5e-4
    momentum: float = 0.9
    shared_steps: int = 0
    shared_rate: float = 1e-3
    patience: int = 8
    precision: str = "bfloat16"
    outputs: int = 1

    # The one patch side that the network's fully connected layers take; None takes any.
    side: ClassVar[int | None] = None
    WARM_UP: ClassVar[float] = 0.05
    VALIDATED: ClassVar[int] = 192

    def __post_init__(self) -> None:
        name = type(self).__name__.lower()
        counts = {"steps": 0, "pairs_per_step": 1, "shared_steps": 0, "patience": 0, "outputs": 1}
        for setting, least in counts.items():
            if getattr(self, setting) < least:
                raise StudyError(f"{name}: {setting} must be at least {least}, got {getattr(self, setting)}")
        for setting in ("rate", "decay", "momentum", "shared_rate"):
            if not 0 <= getattr(self, setting) <= 1:
                raise StudyError(f"{name}: {setting} must lie between 0 and 1, got {getattr(self, setting):g}")
        for setting, known in (("optimiser", OPTIMISERS), ("precision", PRECISIONS)):
            if getattr(self, setting) not in known:
                raise StudyError(f"{name}: {setting} must be {' or '.join(known)}, got {getattr(self, setting)!r}")

    def network(self) -> DeepNetwork:
        """The layers."""
        raise NotImplementedError

    def build(self) -> DeepNetwork:
        """The network with every tensor in its place, untrained; channels last, as its kernels are fastest."""
        return self.network().to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]

    def start_for(self, manipulations: int) -> Self | None:
        """The start that so many manipulations share; None where training begins at random."""
        if not self.shared_steps:
            return None
        return dataclasses.replace(
            self, steps=self.shared_steps, rate=self.shared_rate, shared_steps=0, outputs=manipulations
        )

    def train(
        self, pairs: Pairs, *, seed: int, course: Course = SILENT, start: DeepNetwork | None = None
    ) -> DeepNetwork:
        """Train on `pairs` of one manipulation, or of several together where there are several outputs.

        start: a network of one output to go on from.  Without it, one that is wanted is trained on `pairs` too.
        """
        network, before = self.build(), self.start_for(1)
        if start is None and before is not None:
            start = before.train(pairs, seed=seed, course=course.before())
        if start is not None:
            network.load_state_dict(start.state_dict())
        else:
            self.begin(network, seed)
        fit(network, pairs, self.optimiser_for(network), schedule=self.schedule(), seed=seed, course=course)
        if start is not None:
            network.facts = {**network.facts, "start_patches": start.facts.get("patches", 0)}
        return network

    def begin(self, network: DeepNetwork, seed: int) -> None:
        """Give `network` the weights that training from nothing begins with."""
        network.initialise(torch.Generator().manual_seed(seed))
        project(network)

    def schedule(self) -> Schedule:
        """What the training loop does."""
        return Schedule(
            steps=self.steps,
            pairs_per_step=self.pairs_per_step,
            warm_up=self.WARM_UP,
            validations=self._validations,
            validated=self.VALIDATED,
            patience=self.patience,
            turned=True,
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
            {"params": [tensor for tensor in tensors if tensor.ndim > 1], "weight_decay": self.decay},
            {"params": [tensor for tensor in tensors if tensor.ndim <= 1], "weight_decay": 0.0},
        ]
        if self.optimiser == "sgd":
            return torch.optim.SGD(groups, lr=self.rate, momentum=self.momentum)
        return torch.optim.AdamW(groups, lr=self.rate, fused=True)
