"""GAN restoration: a generator gives manipulated patches back the traces of pristine ones (Kim et al. 2018).

Adversarial noise hides the traces that a filter left; it does not bring back the details that the filter took. A
generator learns to do so from pairs of the training devices, against a discriminator of its own. No judge takes part in
its training. The paper's Table V has two generators, `gan-kim` and `gan-vgg`. Only the outline of the first was
published in the open, so both are stand-ins, made as METHODS section 5 describes. `gan-ensemble` is our own.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from counterforensics.attacks.base import (
    Concealed,
    LearnedAttack,
    PreparedAttack,
    check_between,
    check_choice,
    check_whole,
    check_yes_or_no,
)
from counterforensics.attacks.gan_restoration.discriminators import CROP, Discriminator, Ensemble, kim, vgg
from counterforensics.attacks.gan_restoration.generator import Generator
from counterforensics.attacks.gan_restoration.training import LossWeights, RestorationSchedule, RestorationTraining
from counterforensics.attacks.uploads import check_upload_of_patches, parse_uploads, profiles
from counterforensics.detectors.base import Detector
from counterforensics.errors import AttackError, WeightsError
from counterforensics.files import at_home
from counterforensics.laundering import settings_of
from counterforensics.learning import weights as files
from counterforensics.learning.accelerator import device_of, placed
from counterforensics.learning.monitor import SILENT, TrainingMonitor
from counterforensics.manipulations import Manipulation, text_form
from counterforensics.photos.patches import Pairs
from counterforensics.pixels import check_patches, to_patches, to_pixels
from counterforensics.seeds import seed_for

# Patches that pass at once. On a processor a patch passes alone, which takes no longer. There the order in which a
# convolution adds may depend on the size of the batch, and one rounding more may move a pixel by a grey level.
PATCHES_PER_PASS = {"cpu": 1, "cuda": 128}
LIKE = ("pristine", "manipulated")
# Settings of how a generator is trained. All others say what it is trained to do.
PACE = ("steps", "pairs_per_step", "lr", "beta1")


class Size(NamedTuple):
    """How large the networks are, and how long they are trained (see `RestorationSchedule`)."""

    width: int  # channels of the generator
    blocks: int  # residual blocks of the generator
    discriminator: int  # channels of the discriminator's first layers
    pretrain_steps: int
    warmup_steps: int
    adversarial_steps: int
    pairs_per_step: int
    lr: float


# `full` has the layers that were described; its steps are ours. One processor core trains `small` in some minutes.
SIZES = {
    "full": Size(64, 16, 64, pretrain_steps=500, warmup_steps=500, adversarial_steps=1000, pairs_per_step=16, lr=1e-4),
    "small": Size(32, 4, 12, pretrain_steps=200, warmup_steps=200, adversarial_steps=800, pairs_per_step=8, lr=4e-4),
}


def restore(patches: Tensor, generator: Generator, *, seed: int = 0) -> Tensor:
    """Patches as a generator restores them, rounded to what a file can hold.

    patches: uint8 [n, c, h, w], of any side; the three channels of RGB move alike.
    generator: as `load_generator` gives it.
    seed: of the grain that a noisy generator gets; each patch has its own.
    Returns uint8 of the same shape, on the same device.  Raises PixelError for anything else, AttackError for a
    generator in training mode.
    """
    check_patches(patches)
    if not isinstance(generator, Generator):
        raise AttackError(f"restore needs a generator as load_generator gives it, got {type(generator).__name__}")
    if generator.training:
        raise AttackError("this generator is in training mode, where patches depend on each other; call .eval() first")
    if not len(patches):
        return patches.clone()
    device = device_of(generator)
    with torch.inference_mode():
        together = PATCHES_PER_PASS.get(device.type, PATCHES_PER_PASS["cpu"])
        parts = [_restored(some, generator, seed, device) for some in patches.split(together)]
    return torch.cat(parts).to(patches.device)


def _restored(patches: Tensor, generator: Generator, seed: int, device: torch.device) -> Tensor:
    grain = _grain(patches, seed).to(device) if generator.noisy else None
    return to_patches(generator(to_pixels(patches).to(device), grain))


def _grain(patches: Tensor, seed: int) -> Tensor:
    """Standard normal noise for each patch, from the seed and the patch's content: in any batch it is the same."""
    height, width = patches.shape[-2:]
    noise = []
    for patch in patches:
        draw = torch.Generator().manual_seed(seed_for(seed, "grain", patch.cpu().numpy().tobytes().hex()))
        noise.append(torch.randn(1, height, width, generator=draw))
    return torch.stack(noise)


def load_generator(folder: str | Path) -> Generator:
    """The generator that a study trained and stored in `folder`, in evaluation mode.  Raises WeightsError."""
    if not isinstance(folder, str | Path):
        raise WeightsError(f"a generator is named by its folder, got {type(folder).__name__}")
    generator: Generator = files.load(at_home(folder, WeightsError), GENERATORS, "generator")
    return generator


@dataclass(frozen=True)
class GanRestoration(LearnedAttack[Generator]):
    """What the attacks with a generator share.

    size: `full` as described, or `small`, which a processor core trains in some minutes.
    steps: of the adversarial phase; the other phases keep their proportion to it.  lr, beta1: of Adam.  0 for steps,
    pairs_per_step or lr takes the value of the size.
    adversarial: weight of the adversarial loss beside a fidelity of 1.
    like: the patches that fidelity compares with: `pristine`, or `manipulated` where a manipulation moves pixels
    (resizing).
    weights: the folder of a trained generator, which is then not trained. Its settings must be given here, too, except
    steps, pairs_per_step, lr and beta1.
    seed: added to the seed of the study, to see how much a training owes to chance.
    through: platforms joined by `+`, such as `telegram` or `none+jpeg:80`: what the generator learns against sees
    patches as they come back from an upload, each step from one of these platforms.
    """

    size: str = "full"
    steps: int = 0
    pairs_per_step: int = 0
    adversarial: float = 1e-3
    lr: float = 0.0
    beta1: float = 0.9
    like: str = "pristine"
    weights: str = ""
    seed: int = 0
    through: str = ""

    needs_target = False
    restores = True
    uses_gpu = True
    former_names: ClassVar[Mapping[str, str]] = {"rate": "lr", "momentum": "beta1"}
    name: ClassVar[str]

    def __post_init__(self) -> None:
        check_choice(self.name, "size", self.size, SIZES)
        check_choice(self.name, "like", self.like, LIKE)
        check_whole(self.name, "steps", self.steps, 0, 10_000_000, "")
        check_whole(self.name, "pairs_per_step", self.pairs_per_step, 0, 4096, "")
        check_between(self.name, "adversarial", self.adversarial, 0, 1e6)
        check_between(self.name, "lr", self.lr, 0, 1)
        check_between(self.name, "beta1", self.beta1, 0, 0.999)
        check_whole(self.name, "seed", self.seed, 0, 2**31, "")
        check_upload_of_patches(self.name, self.through, CROP)
        if "://" in self.weights:
            raise AttackError(f"{self.name}: weights must be a folder of this machine, got {self.weights!r}; copy it")

    @property
    def needs_pairs(self) -> bool:
        """As `Attack.needs_pairs`: a trained generator needs none."""
        return not self.weights

    @property
    def patches_seen(self) -> int:
        """As `LearnedAttack.patches_seen`."""
        return 2 * self.schedule().pairs_per_step * self.schedule().steps

    @property
    def bytes_per_pixel(self) -> int:
        """As `LearnedAttack.bytes_per_pixel`: four float32 maps for each channel (measured: 513 to 529, and 1025)."""
        return 4 * 4 * SIZES[self.size].width

    @property
    def learning_settings(self) -> Mapping[str, Any]:
        """As `LearnedAttack.learning_settings`."""
        parts = {"schedule": dataclasses.asdict(self.schedule()), "loss": dataclasses.asdict(self.loss_weights())}
        if uploads := parse_uploads(self.through):  # by name alone a platform could change
            parts["uploads"] = {str(number): settings_of(one) for number, one in enumerate(uploads)}
        return parts | {"size": SIZES[self.size]._asdict(), "settings": dataclasses.asdict(self)}

    @property
    def files(self) -> tuple[Path, ...]:
        """As `Part.files`: those of a trained generator, and profiles of platforms."""
        names = (files.TENSORS, files.record_of("generator"))
        trained = tuple(at_home(self.weights, WeightsError) / name for name in names) if self.weights else ()
        return trained + profiles(self.through)

    def check_patches(self, side: int, manipulation: Manipulation) -> None:
        """As `Attack.check_patches`; a trained generator takes all patches."""
        if not self.needs_pairs:
            return
        if side < CROP:
            raise AttackError(f"{self.name} learns on patches of at least {CROP}, got size {side}")
        if self.like == "pristine" and manipulation.moves_pixels:
            raise AttackError(
                f"{self.name}: like=pristine needs manipulations that leave pixels in place, and "
                f"{text_form(manipulation)} moves them; name other manipulations, or set like=manipulated"
            )

    def prepare(self, target: Detector | None, pairs: Pairs, *, seed: int) -> PreparedAttack:
        """Train the generator on `pairs`, unless `weights` names one.  Raises TrainingError or WeightsError."""
        return self.prepare_with(
            load_generator(self.weights) if self.pretrained_record() else self.learn(pairs, seed=seed)
        )

    def pretrained_record(self) -> Mapping[str, Any] | None:
        """As `LearnedAttack.pretrained_record`.  Raises WeightsError for another attack's generator, or other settings.

        Rows bear the text form of the attack, so each setting in it must be true. Settings of `PACE` may be left out.
        """
        if not self.weights:
            return None
        record = files.read_record(at_home(self.weights, WeightsError), "generator")
        if record["generator"] != self.name:
            raise WeightsError(f"{self.weights} holds a generator of {record['generator']}, not of {self.name}")
        for field in dataclasses.fields(self):
            given = vars(self)[field.name]
            has = record["settings"].get(field.name, given)
            left_out = field.name in PACE and given == field.default
            if field.name not in ("weights", "seed") and has != given and not left_out:
                said = f"with {field.name}={has}, not {field.name}={given}"
                raise WeightsError(f"{self.weights} holds a generator {said}; set {field.name}={has}")
        return record

    def learn(self, pairs: Pairs, *, seed: int, monitor: TrainingMonitor = SILENT) -> Generator:
        """As `LearnedAttack.learn`."""
        return self.training(pairs, seed=seed, monitor=monitor).run()

    def training(self, pairs: Pairs, *, seed: int, monitor: TrainingMonitor = SILENT) -> RestorationTraining:
        """The training that `learn` runs, before its first step.  Raises TrainingError for pairs that do not do."""
        return RestorationTraining(
            self.build(),
            self.discriminator(),
            pairs,
            weights=self.loss_weights(),
            schedule=self.schedule(),
            seed=seed + self.seed,
            monitor=monitor,
            uploads=parse_uploads(self.through),
            settings=f"{type(self).__name__} {self.learning_settings}",
        )

    def prepare_with(self, learned: Generator) -> PreparedAttack:
        """As `LearnedAttack.prepare_with`."""
        ready = placed(learned).eval()
        return PreparedAttack(lambda patches, _: Concealed(restore(patches, ready, seed=self.seed)), device_of(ready))

    def build(self) -> Generator:
        """As `LearnedAttack.build`."""
        return self._generator(noisy=False)

    def _generator(self, *, noisy: bool) -> Generator:
        """An untrained generator; channels last, as the kernels for that layout are fastest."""
        generator = Generator(SIZES[self.size].width, SIZES[self.size].blocks, noisy=noisy)
        return generator.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]

    def discriminator(self) -> Discriminator | Ensemble:
        """The network that the generator learns against, untrained."""
        raise NotImplementedError

    def loss_weights(self) -> LossWeights:
        """The weight of each part of the generator's loss."""
        raise NotImplementedError

    def schedule(self) -> RestorationSchedule:
        """How long each phase of the training lasts."""
        size = SIZES[self.size]
        share = self.steps / size.adversarial_steps if self.steps else 1.0
        return RestorationSchedule(
            pretrain_steps=max(1, round(share * size.pretrain_steps)),
            warmup_steps=max(1, round(share * size.warmup_steps)),
            adversarial_steps=self.steps or size.adversarial_steps,
            pairs_per_step=self.pairs_per_step or size.pairs_per_step,
            lr=self.lr or size.lr,
            beta1=self.beta1,
            like=self.like,
        )


@dataclass(frozen=True)
class _Perceptual(GanRestoration):
    """With the loss that was described.  perceptual: weight of its perceptual part beside a fidelity of 1."""

    perceptual: float = 1e-3

    def __post_init__(self) -> None:
        super().__post_init__()
        check_between(self.name, "perceptual", self.perceptual, 0, 1e6)

    def loss_weights(self) -> LossWeights:
        """As `GanRestoration.loss_weights`."""
        return LossWeights(perceptual=self.perceptual, adversarial=self.adversarial)


@dataclass(frozen=True)
class GanKim(_Perceptual):
    """Against the discriminator of Kim et al. (2018); the paper's Table V, top."""

    name = "gan-kim"

    def discriminator(self) -> Discriminator | Ensemble:
        """As `GanRestoration.discriminator`."""
        return kim(SIZES[self.size].discriminator)


@dataclass(frozen=True)
class GanVgg(_Perceptual):
    """Against a VGG-16 as discriminator; the paper's Table V, bottom."""

    name = "gan-vgg"

    def discriminator(self) -> Discriminator | Ensemble:
        """As `GanRestoration.discriminator`."""
        return vgg(SIZES[self.size].discriminator)


@dataclass(frozen=True)
class GanEnsemble(GanRestoration):
    """Against several discriminators that see different things, towards the pristine co-occurrences [ours].

    members: number of discriminators of pixels.
    features: whether one more discriminator sees soft SPAM features.
    co_occurrence: weight of the distance of soft SPAM features beside a fidelity of 1.
    noisy: whether the generator gets noise beside the patch.
    beta1: 0.5 as in Radford et al. (2016), who found that adversarial training swings with more.
    """

    adversarial: float = 2.5e-4
    beta1: float = 0.5
    members: int = 3
    features: bool = True
    co_occurrence: float = 2.5e-3
    noisy: bool = False

    name = "gan-ensemble"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_whole(self.name, "members", self.members, 1, 64, "")
        check_between(self.name, "co_occurrence", self.co_occurrence, 0, 1e6)
        check_yes_or_no(self.name, "features", self.features)
        check_yes_or_no(self.name, "noisy", self.noisy)

    def build(self) -> Generator:
        """As `GanRestoration.build`."""
        return self._generator(noisy=self.noisy)

    def discriminator(self) -> Discriminator | Ensemble:
        """As `GanRestoration.discriminator`."""
        return Ensemble(self.members, SIZES[self.size].discriminator, co_occurrences=self.features)

    def loss_weights(self) -> LossWeights:
        """As `GanRestoration.loss_weights`."""
        return LossWeights(perceptual=0.0, adversarial=self.adversarial, co_occurrence=self.co_occurrence)


GENERATORS: Mapping[str, type[GanRestoration]] = {one.name: one for one in (GanKim, GanVgg, GanEnsemble)}

__all__ = ["GENERATORS", "GanEnsemble", "GanKim", "GanRestoration", "GanVgg", "Generator", "load_generator", "restore"]
