"""GAN restoration: a generator that gives manipulated patches back the traces of pristine ones (Kim et al. 2018).

Adversarial noise hides what a filter left; it does not bring back what the filter took. The generator learns that
from pairs of the training devices, against a discriminator of its own. No judge takes part in its training. The
paper's Table V has two: `gan-kim` and `gan-vgg`. Of the first only the outline was published in the open, so both
are stand-ins for it, made as METHODS section 5 describes. `gan-ensemble` is our own.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from counterforensics import names
from counterforensics.attacks.base import Concealed, Concealer, check_between, check_whole
from counterforensics.attacks.gan_restoration.discriminators import CROP, Ensemble, kim, vgg
from counterforensics.attacks.gan_restoration.generator import Generator
from counterforensics.attacks.gan_restoration.training import Restoration, Schedule, Weights
from counterforensics.detectors.base import Detector
from counterforensics.errors import AttackError, WeightsError
from counterforensics.learning import weights as files
from counterforensics.learning.accelerator import device_of, placed
from counterforensics.learning.course import SILENT, Course
from counterforensics.photos.patches import Pairs
from counterforensics.pixels import check_patches, to_patches, to_pixels
from counterforensics.seeds import seed_for

# That pass at once: on a processor, of more its caches do not hold what lies between two layers.
PATCHES_PER_PASS = {"cpu": 2, "cuda": 128}
LIKE = ("pristine", "manipulated")
PACE = ("steps", "pairs_per_step", "rate", "momentum")  # settings that say how a generator learns, and not what


class Size(NamedTuple):
    """How large the networks are and how long they learn."""

    width: int  # channels of the generator
    blocks: int
    opponent: int  # channels of the discriminator's first layers
    seeing: int  # steps
    restoring: int
    deceiving: int
    pairs_per_step: int
    rate: float


# `full` is what was described; its steps are ours. One processor core trains `small` in some minutes.
SIZES = {
    "full": Size(64, 16, 64, seeing=500, restoring=500, deceiving=1000, pairs_per_step=16, rate=1e-4),
    "small": Size(32, 4, 12, seeing=200, restoring=200, deceiving=800, pairs_per_step=8, rate=4e-4),
}


def restore(patches: Tensor, generator: Generator, *, seed: int = 0) -> Tensor:
    """Patches as a generator restores them, rounded to what a file can hold.

    patches: uint8 [n, c, h, w], of any side; RGB moves in all channels alike.  generator: see `load_generator`.
    seed: of the grain that a noisy generator draws; each patch draws its own.
    Returns uint8 of the same shape, on the same device.  Raises PixelError for anything else, AttackError for a
    generator in training mode.
    """
    check_patches(patches)
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
    """Standard normal noise for each patch, which depends on its content alone: alone and in a batch it is the same."""
    height, width = patches.shape[-2:]
    noise = []
    for patch in patches:
        draw = torch.Generator().manual_seed(seed_for(seed, "grain", patch.cpu().numpy().tobytes().hex()))
        noise.append(torch.randn(1, height, width, generator=draw))
    return torch.stack(noise)


def load_generator(folder: str | Path) -> Generator:
    """The generator that a study trained and stored in `folder`.  Raises WeightsError, with the reason."""
    generator: Generator = files.load(Path(folder), GENERATORS, "generator")
    return generator


@dataclass(frozen=True)
class GanRestoration:
    """What the attacks with a generator share.

    size: `full` as described, or `small`, which a processor core trains in some minutes.  steps, of the adversarial
    phase, pairs_per_step and rate, of Adam: 0 is what the size says.  momentum: of Adam.  adversarial: what deceiving
    the discriminator weighs beside a fidelity of 1.  like: what fidelity is to, `pristine`, or `manipulated` where a
    manipulation moves pixels (resizing).
    weights: the folder of a trained generator, which is then not trained; its settings are to be said here, too, except
    steps, pairs_per_step, rate and momentum.  seed: added to the study's, to see what a
    training owes to chance.
    """

    size: str = "full"
    steps: int = 0
    pairs_per_step: int = 0
    adversarial: float = 1e-3
    rate: float = 0.0
    momentum: float = 0.9
    like: str = "pristine"
    weights: str = ""
    seed: int = 0

    needs_target: ClassVar[bool] = False
    needs_originals: ClassVar[bool] = False
    least_side: ClassVar[int] = CROP
    name: ClassVar[str]

    def __post_init__(self) -> None:
        for setting, value, known in (("size", self.size, SIZES), ("like", self.like, LIKE)):
            if value not in known:
                raise AttackError(f"{self.name}: {setting} must be {' or '.join(known)}, got {value!r}")
        check_whole(self.name, "steps", self.steps, 0, 10_000_000, "")
        check_whole(self.name, "pairs_per_step", self.pairs_per_step, 0, 4096, "")
        check_between(self.name, "adversarial", self.adversarial, 0, 1e6)
        check_between(self.name, "rate", self.rate, 0, 1)
        check_between(self.name, "momentum", self.momentum, 0, 0.999)
        check_whole(self.name, "seed", self.seed, 0, 2**31, "")
        if "://" in self.weights:
            raise AttackError(f"{self.name}: weights must be a folder of this machine, got {self.weights!r}; copy it")

    @property
    def needs_pairs(self) -> bool:
        """As `Attack.needs_pairs`: not where the generator is trained already."""
        return not self.weights

    @property
    def patches_seen(self) -> int:
        """As `LearnedAttack.patches_seen`."""
        return 2 * self.schedule().pairs_per_step * self.schedule().steps

    @property
    def spelled_out(self) -> Mapping[str, Any]:
        """As `LearnedAttack.spelled_out`."""
        parts = {"schedule": dataclasses.asdict(self.schedule()), "loss": dataclasses.asdict(self.loss())}
        return parts | {"size": SIZES[self.size]._asdict(), "settings": dataclasses.asdict(self)}

    @property
    def files(self) -> tuple[Path, ...]:
        """What is read from elsewhere."""
        names = (files.TENSORS, files.record_of("generator"))
        return tuple(Path(self.weights) / name for name in names) if self.weights else ()

    def check_target(self, target: Detector) -> None:
        """As `Attack.check_target`: a generator attacks nobody in particular."""

    def prepare(self, target: Detector | None, pairs: Pairs, *, seed: int) -> Concealer:
        """Train the generator on `pairs`, unless `weights` names one.  Raises TrainingError or WeightsError."""
        return self.concealer(load_generator(self.weights) if self.taken() else self.learn(pairs, seed=seed))

    def taken(self) -> Mapping[str, Any] | None:
        """As `LearnedAttack.taken`.  Raises WeightsError for the generator of another attack or other settings, too.

        Settings of its pace may be left out. What is said must be true, as rows bear the name that it is part of.
        """
        if not self.weights:
            return None
        record = files.read_record(Path(self.weights), "generator")
        if record["generator"] != self.name:
            raise WeightsError(f"{self.weights} holds a generator of {record['generator']}, not of {self.name}")
        for field in dataclasses.fields(self):
            given = getattr(self, field.name)
            has = record["settings"].get(field.name, given)
            left_out = field.name in PACE and given == field.default
            if field.name not in ("weights", "seed") and has != given and not left_out:
                said = f"with {field.name}={has}, not {field.name}={given}"
                raise WeightsError(f"{self.weights} holds a generator {said}; say {field.name}={has}")
        return record

    def learn(self, pairs: Pairs, *, seed: int, course: Course = SILENT) -> Generator:
        """As `LearnedAttack.learn`."""
        return Restoration(self, pairs, seed=seed + self.seed, course=course).run()

    def concealer(self, generator: Generator) -> Concealer:
        """As `LearnedAttack.concealer`."""
        ready = placed(generator).eval()
        return Concealer(lambda patches, _: Concealed(restore(patches, ready, seed=self.seed)), device_of(ready))

    def build(self) -> Generator:
        """The generator, untrained."""
        return self._generator(noisy=False)

    def _generator(self, *, noisy: bool) -> Generator:
        """Channels last, as its kernels are fastest."""
        generator = Generator(SIZES[self.size].width, SIZES[self.size].blocks, noisy=noisy)
        return generator.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]

    def opponent(self) -> nn.Module:
        """The discriminator, untrained."""
        raise NotImplementedError

    def loss(self) -> Weights:
        """What each part of the generator's loss weighs."""
        raise NotImplementedError

    def schedule(self) -> Schedule:
        """How long each phase of the training lasts."""
        size = SIZES[self.size]
        share = self.steps / size.deceiving if self.steps else 1.0
        return Schedule(
            seeing=max(1, round(share * size.seeing)),
            restoring=max(1, round(share * size.restoring)),
            deceiving=self.steps or size.deceiving,
            pairs_per_step=self.pairs_per_step or size.pairs_per_step,
            rate=self.rate or size.rate,
            momentum=self.momentum,
            like=self.like,
        )


@dataclass(frozen=True)
class _Perceptual(GanRestoration):
    """With the loss that was described.  perceptual: what its perceptual part weighs."""

    perceptual: float = 1e-3

    def __post_init__(self) -> None:
        super().__post_init__()
        check_between(self.name, "perceptual", self.perceptual, 0, 1e6)

    def loss(self) -> Weights:
        """As `GanRestoration.loss`."""
        return Weights(perceptual=self.perceptual, adversarial=self.adversarial)


@dataclass(frozen=True)
class GanKim(_Perceptual):
    """Against the discriminator of Kim et al. (2018); the paper's Table V, top."""

    name = "gan-kim"

    def opponent(self) -> nn.Module:
        """As `GanRestoration.opponent`."""
        return kim(SIZES[self.size].opponent)


@dataclass(frozen=True)
class GanVgg(_Perceptual):
    """Against a VGG-16 as discriminator; the paper's Table V, bottom."""

    name = "gan-vgg"

    def opponent(self) -> nn.Module:
        """As `GanRestoration.opponent`."""
        return vgg(SIZES[self.size].opponent)


@dataclass(frozen=True)
class GanEnsemble(GanRestoration):
    """Against several discriminators that see different things, towards the pristine co-occurrences [ours].

    members: discriminators of pixels.  features: whether one more sees soft SPAM features.  co_occurrence: what the
    distance of soft SPAM features weighs.  noisy: whether the generator is given noise.  momentum: as in Radford et
    al. (2016), who found adversarial training to swing with more.
    """

    adversarial: float = 2.5e-4
    momentum: float = 0.5
    members: int = 3
    features: bool = True
    co_occurrence: float = 2.5e-3
    noisy: bool = False

    name = "gan-ensemble"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_whole(self.name, "members", self.members, 1, 64, "")
        check_between(self.name, "co_occurrence", self.co_occurrence, 0, 1e6)

    def build(self) -> Generator:
        """As `GanRestoration.build`."""
        return self._generator(noisy=self.noisy)

    def opponent(self) -> nn.Module:
        """As `GanRestoration.opponent`."""
        return Ensemble(self.members, SIZES[self.size].opponent, co_occurrences=self.features)

    def loss(self) -> Weights:
        """As `GanRestoration.loss`."""
        return Weights(perceptual=0.0, adversarial=self.adversarial, co_occurrence=self.co_occurrence)


GENERATORS: Mapping[str, names.Factory] = {one.name: one for one in (GanKim, GanVgg, GanEnsemble)}

__all__ = ["GENERATORS", "GanEnsemble", "GanKim", "GanRestoration", "GanVgg", "Generator", "load_generator", "restore"]
