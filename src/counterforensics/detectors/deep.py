"""What the deep detectors share: one training for all, from a random start or from one that manipulations share."""

from __future__ import annotations

import copy
import dataclasses
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

import torch
from torch import Tensor, nn

from counterforensics.detectors.base import Network, Recipe, Start
from counterforensics.detectors.spam_start import fit_to_spam
from counterforensics.detectors.training import TrainingSchedule, fit
from counterforensics.errors import PixelError, StudyError
from counterforensics.features.spam import DIMENSION
from counterforensics.learning.accelerator import PRECISIONS
from counterforensics.learning.layer_rates import RULES, parameter_groups
from counterforensics.learning.layers import project
from counterforensics.learning.monitor import SILENT, TrainingMonitor
from counterforensics.learning.muon import Muon, matrices
from counterforensics.names import check_choice, check_count
from counterforensics.photos.patches import Pairs

OPTIMISERS = ("adamw", "muon", "sgd")
STARTS = ("random", "shared", "spam")
LEARNED = ("verdicts", "spam")
MOST_OUTPUTS = 1000  # as many as a study may have manipulations


class DeepNetwork(Network):
    """A convolutional network on grey levels; its last layer gives the outputs."""

    accelerated = True
    patch_side: int | None = None  # as `Recipe.patch_side`
    least_side = 1  # of patches of any size
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
            raise PixelError(f"the detector takes patches of {works}, got {width}x{height}")
        if min(height, width) < self.least_side:
            least = f"{self.least_side}x{self.least_side}"
            raise PixelError(f"the detector takes patches of at least {least}, got {width}x{height}")
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

    name: as text forms and messages have it.
    steps, pairs_per_step, patience, precision: as `TrainingSchedule` has them. Patches are turned at random.
    optimiser: `adamw`, `muon` as `learning.muon` has it, or `sgd` with `momentum`; at most at the learning rate `lr`,
    with `weight_decay`.
    lr_rule: `fan-in` lowers the rate of wide layers, as `learning.layer_rates` has it; `one` rate serves all layers.
    start: where training begins. `random`: at random weights. `shared`: at one network for all manipulations of the
    study, which has learned to tell each from pristine. `spam`: at one network that has learned to predict the SPAM
    feature. Either of the two is trained once, for `start_steps` at `start_lr`.
    curriculum: a detector of a weak manipulation goes on from that of the strongest of its kind in the study; only the
    strongest goes on from `start`.
    outputs, learns: of a start, how many values it gives, and whether they are `verdicts` or the `spam` feature.
    """

    steps: int = 2000
    pairs_per_step: int = 32
    optimiser: str = "adamw"
    lr: float = 1e-3
    lr_rule: str = "fan-in"
    weight_decay: float = 5e-4
    momentum: float = 0.9
    start: str = "random"
    start_steps: int = 1000
    start_lr: float = 1e-3
    curriculum: bool = False
    patience: int = 8
    precision: str = "bfloat16"
    outputs: int = 1
    learns: str = "verdicts"

    name: ClassVar[str]
    uses_gpu = True
    version: ClassVar[int] = 2
    former_names: ClassVar[Mapping[str, str]] = {"rate": "lr", "decay": "weight_decay"}

    WARM_UP: ClassVar[float] = 0.05
    VALIDATED: ClassVar[int] = 384

    def __post_init__(self) -> None:
        name = self.name
        given = vars(self)
        counts = {"steps": 0, "pairs_per_step": 1, "start_steps": 1, "patience": 0}
        for setting, least in counts.items():
            check_count(name, setting, given[setting], least)
        check_count(name, "outputs", self.outputs, 1, MOST_OUTPUTS)
        if not self.steps and self.start == "random":
            raise StudyError(
                f"{name}: steps=0 leaves the network untrained where start=random; give steps of 1 or more, or "
                "start=shared or start=spam"
            )
        for setting in ("lr", "weight_decay", "momentum", "start_lr"):
            if not 0 <= given[setting] <= 1:
                raise StudyError(f"{name}: {setting} must lie between 0 and 1, got {given[setting]:g}")
        for setting in ("lr", "start_lr"):
            if not given[setting]:
                raise StudyError(f"{name}: {setting}=0 leaves the network untrained; give a rate above 0")
        words = {"optimiser": OPTIMISERS, "precision": PRECISIONS, "lr_rule": RULES, "start": STARTS, "learns": LEARNED}
        for setting, known in words.items():
            check_choice(name, setting, given[setting], known)

    @property
    def gives_verdicts(self) -> bool:
        """As `Recipe.gives_verdicts`."""
        return self.learns == "verdicts"

    @abstractmethod
    def network(self) -> DeepNetwork:
        """The layers, untrained."""

    def build(self) -> DeepNetwork:
        """The network with every tensor in its place, untrained; channels last, as its kernels are fastest."""
        return self.network().to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]

    def patches_seen(self, given: int) -> int:
        """As `Recipe.patches_seen`: so many steps, whatever is given."""
        return 2 * self.steps * self.pairs_per_step if self.steps else given

    def start_for(self, manipulation: str, *, among: Sequence[str], strongest: str | None) -> Start | None:
        """As `Recipe.start_for`.  Raises StudyError for a curriculum without a stronger form in the study."""
        if self.curriculum and strongest is None and among != [manipulation]:
            kind = manipulation.partition(":")[0]
            raise StudyError(
                f"curriculum=true needs a stronger or a weaker form of {manipulation}, and the study has none; add "
                f"another {kind}, or leave curriculum out"
            )
        if self.curriculum and strongest not in (None, manipulation):
            return Start(self, (str(strongest),))
        if self.start == "random":
            return None
        spam = self.start == "spam"
        before = dataclasses.replace(
            self,
            steps=self.start_steps,
            lr=self.start_lr,
            start="random",
            curriculum=False,
            outputs=DIMENSION if spam else len(among),
            learns="spam" if spam else "verdicts",
        )
        return Start(before, tuple(among), None if spam else list(among).index(manipulation))

    def train(self, pairs: Pairs, *, seed: int, monitor: TrainingMonitor = SILENT) -> DeepNetwork:
        """Train on `pairs` of one manipulation, or of several together where there are several outputs.

        A start that is wanted is trained on `pairs`, too; of a curriculum there is one form, and so no stronger one.
        """
        before = self.start_for("this", among=["this"], strongest=None)
        if before is not None:
            start = before.recipe.train(pairs, seed=seed, monitor=monitor.before())
            return self.fine_tune(start, pairs, seed=seed, monitor=monitor)
        network = self.build()
        self.initialise(network, seed)
        return self._fit(network, pairs, seed, monitor)

    def fine_tune(self, start: Network, pairs: Pairs, *, seed: int, monitor: TrainingMonitor = SILENT) -> DeepNetwork:
        """As `Recipe.fine_tune`; where `start` has learned something else, its last layer is begun anew."""
        network = self.build()
        state = start.state_dict()
        if state["last.weight"].shape != network.last.weight.shape:
            self.initialise(network, seed)
            state |= {f"last.{name}": tensor for name, tensor in network.last.state_dict().items()}
        network.load_state_dict(state)
        self._fit(network, pairs, seed, monitor)
        before = int(start.facts.get("patches", 0)) + int(start.facts.get("start_patches", 0))
        network.facts = {**network.facts, "start_patches": before}
        return network

    def _fit(self, network: DeepNetwork, pairs: Pairs, seed: int, monitor: TrainingMonitor) -> DeepNetwork:
        fit_it = fit_to_spam if self.learns == "spam" else fit
        fit_it(network, pairs, self.optimiser_for(network), schedule=self.schedule(), seed=seed, monitor=monitor)
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
            validations=min(12, -(-self.steps // 20)),
            validated=self.VALIDATED,
            patience=self.patience,
            augment=True,
            precision=self.precision,
        )

    def optimiser_for(self, network: DeepNetwork) -> torch.optim.Optimizer:
        """As the settings say."""
        orthogonal = matrices(network, but=network.last) if self.optimiser == "muon" else []
        groups = parameter_groups(
            network, rule=self.lr_rule, lr=self.lr, weight_decay=self.weight_decay, orthogonal=orthogonal
        )
        if self.optimiser == "sgd":
            return torch.optim.SGD(groups, lr=self.lr, momentum=self.momentum)
        if self.optimiser == "muon":
            return Muon(groups, lr=self.lr)
        return torch.optim.AdamW(groups, lr=self.lr, fused=True)
