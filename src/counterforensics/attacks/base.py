"""The contracts of attacks, and the checks of their settings.

An attack is a function from stored patches to stored patches. A frozen dataclass beside it holds the settings and their
defaults, calls the function, and is the part that a study names.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from functools import wraps
from inspect import signature
from typing import Any, ClassVar, Generic, ParamSpec, TypeVar

import torch
from torch import Tensor

from counterforensics import names
from counterforensics.detectors.base import Detector
from counterforensics.errors import AttackError, shown
from counterforensics.laundering import Chain, Platform
from counterforensics.learning.monitor import SILENT, SavedNetwork, TrainingMonitor
from counterforensics.manipulations.base import Manipulation
from counterforensics.names import Part
from counterforensics.photos.patches import Pairs
from counterforensics.pixels import check_patches

Saved = TypeVar("Saved", bound=SavedNetwork)
Arguments = ParamSpec("Arguments")

PATCHES_AT_ONCE = 16
PROCESSOR = torch.device("cpu")


@dataclass(frozen=True)
class Concealed:
    """Patches with their traces hidden, as they would be stored."""

    patches: Tensor  # uint8 [n, c, h, w]
    zero_gradient: Tensor | None = None  # float64 [n]: share of pixels the attack got no direction for


@dataclass
class Diagnostics:
    """Notes of an attack that follows gradients. Its function fills the object that it is given.

    zero_gradient: float64 [n], the share of pixels without a direction at the patch itself, 0..1.
    unrounded: float32 [n, c, h, w] in grey levels, the result before it was rounded and clipped.
    """

    zero_gradient: Tensor = field(default_factory=lambda: torch.empty(0, dtype=torch.float64))
    unrounded: Tensor = field(default_factory=lambda: torch.empty(0))


@dataclass(frozen=True)
class PreparedAttack:
    """A prepared attack: call it for the patches alone, or ask `conceal` for how it went, too."""

    # One batch: (patches, and the pristine ones for an attack that needs them), uint8 [n, c, h, w].
    conceal: Callable[[Tensor, Tensor | None], Concealed]
    device: torch.device = PROCESSOR  # where it works, if it has no target

    def __call__(self, patches: Tensor, originals: Tensor | None = None) -> Tensor:
        """uint8 [n, c, h, w] -> uint8 of the same shape, on the same device."""
        return self.conceal(patches, originals).patches


class Attack(Part, ABC):
    """A frozen dataclass of an attack's settings."""

    @property
    def needs_target(self) -> bool:
        """Whether the attacker holds a detector to attack."""
        return True

    @property
    def needs_pairs(self) -> bool:
        """Whether the attacker learns from pairs of the training devices; the others' results do not depend on them."""
        return False

    @property
    def needs_originals(self) -> bool:
        """Whether the attacker still holds the pristine patches behind those to conceal."""
        return False

    @property
    def restores(self) -> bool:
        """Whether it gives back the traces of pristine patches, where others add noise. Reports show it so."""
        return False

    @property
    def uploads(self) -> tuple[Platform | Chain, ...]:
        """The platforms behind which the target sees the result; none where the attack knows of no upload."""
        return ()

    @property
    def uses_gpu(self) -> bool:
        """Whether it runs on a GPU where there is one, whatever its target does."""
        return False

    def bounded(self, levels: int) -> Attack:
        """The same attack with no pixel moved by more than so many grey levels; itself if no setting bounds it."""
        return self

    def check_target(self, target: Detector) -> None:
        """Raise AttackError, and say what works, if this kind of detector cannot be attacked; weights do not matter."""

    def check_patches(self, side: int, manipulation: Manipulation) -> None:
        """Raise AttackError if it cannot conceal this manipulation in patches of this side."""

    @abstractmethod
    def prepare(self, target: Detector | None, pairs: Pairs, *, seed: int) -> PreparedAttack:
        """Ready the attack on `target`; `pairs` of training devices are for attacks that learn."""


class LearnedAttack(Attack, Generic[Saved]):
    """An attack that learns something worth keeping: a study trains it once and conceals with what it stored."""

    @property
    @abstractmethod
    def patches_seen(self) -> int:
        """How many patches pass while it learns."""

    @property
    def bytes_per_pixel(self) -> int:
        """Memory for each pixel of a photograph that it conceals in one piece; by default as much as our largest."""
        return 1024

    @property
    @abstractmethod
    def learning_settings(self) -> Mapping[str, Any]:
        """All that the result of learning depends on beside the pairs and the seed, as JSON values."""

    def pretrained_record(self) -> Mapping[str, Any] | None:
        """The record of what was learned elsewhere; None where it is to be learned.  Raises WeightsError."""
        return None

    @abstractmethod
    def build(self) -> Saved:
        """What is learned, with every tensor in its place, untrained."""

    @abstractmethod
    def learn(self, pairs: Pairs, *, seed: int, monitor: TrainingMonitor = SILENT) -> Saved:
        """Learn from `pairs` of the training devices.  Raises TrainingError."""

    @abstractmethod
    def prepare_with(self, learned: Saved) -> PreparedAttack:
        """Ready the attack with what was learned."""


class GradientAttack(Attack):
    """An attack that needs a target with gradients and nothing else; its settings are a frozen dataclass.

    name: as text forms and messages have it.  `conceal` calls the attack's function.
    """

    name: ClassVar[str]

    def check_target(self, target: Detector) -> None:
        """As `Attack.check_target`."""
        check_target(self.name, target)

    @abstractmethod
    def conceal(self, patches: Tensor, detector: Detector, *, seed: int) -> Concealed:
        """Conceal one batch, uint8 [n, c, h, w], from a detector that has gradients."""

    def prepare(self, target: Detector | None, pairs: Pairs, *, seed: int) -> PreparedAttack:
        """Nothing to learn: `pairs` are not used."""
        detector = check_target(self.name, target)
        return PreparedAttack(lambda patches, originals: self.conceal(patches, detector, seed=seed))


def conceal_by(
    function: Callable[..., Tensor], settings: GradientAttack, patches: Tensor, detector: Detector, **more: Any
) -> Concealed:
    """Conceal one batch by an attack's function (patches, detector, *, diagnostics, ...), called with its settings.

    settings: a frozen dataclass.  more: keywords of the function that are no settings, such as the seed.
    """
    diagnostics = Diagnostics()
    own = asdict(settings)  # type: ignore[call-overload]
    concealed = function(patches, detector, **own, **more, diagnostics=diagnostics)
    return Concealed(concealed, diagnostics.zero_gradient)


def check_given(attack: str, target: object) -> Detector:
    """`target` if it is a detector; an AttackError otherwise."""
    if target is None:
        raise AttackError(f"{attack} needs a target detector, got none")
    if isinstance(target, type) or not isinstance(target, Detector) or not callable(target.logits):
        got = target.__name__ if isinstance(target, type) else type(target).__name__
        raise AttackError(
            f"{attack} needs a detector as its target, with `logits` and `differentiable` as load_detector gives it, "
            f"got {got}"
        )
    return target


def check_target(attack: str, target: object) -> Detector:
    """`target` if it has gradients; an AttackError that says what works otherwise."""
    detector = check_given(attack, target)
    if not detector.differentiable:
        raise AttackError(
            f"{attack} needs gradients, and the target has none; attack a differentiable detector "
            "(cozzolino2017 stands in for spam-svm)"
        )
    return detector


def check_whole(attack: str, setting: str, value: int, least: int, most: int, unit: str) -> None:
    """Raise AttackError unless `value` is a whole number between `least` and `most`."""
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise AttackError(f"{attack}: {setting} must be a whole number{unit}, {least}..{most}, got {shown(value)}")


def check_between(attack: str, setting: str, value: float, least: float, most: float) -> None:
    """Raise AttackError unless `value` is a number between `least` and `most`."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
        raise AttackError(f"{attack}: {setting} must lie between {least:g} and {most:g}, got {shown(value)}")


def check_choice(attack: str, setting: str, value: str, choices: Iterable[str]) -> None:
    """Raise AttackError unless `value` is one of `choices`."""
    names.check_choice(attack, setting, value, choices, AttackError)


def check_yes_or_no(attack: str, setting: str, value: bool) -> None:
    """Raise AttackError unless `value` is True or False."""
    if not isinstance(value, bool):
        raise AttackError(f"{attack}: {setting} must be True or False, got {value!r}")


def checked_by(
    settings: Callable[..., Attack],
) -> Callable[[Callable[Arguments, Tensor]], Callable[Arguments, Tensor]]:
    """Make an attack's function raise the same AttackError for bad settings as its dataclass `settings` does.

    The checks stand in the dataclass alone. Keywords that are no settings (seed, originals) are not checked.
    """
    known = signature(settings).parameters

    def decorate(function: Callable[Arguments, Tensor]) -> Callable[Arguments, Tensor]:
        @wraps(function)
        def checked(*args: Arguments.args, **keywords: Arguments.kwargs) -> Tensor:
            settings(**{name: value for name, value in keywords.items() if name in known})
            return function(*args, **keywords)

        return checked

    return decorate


def follows_gradients(
    settings: type[GradientAttack],
) -> Callable[[Callable[Arguments, Tensor]], Callable[Arguments, Tensor]]:
    """As `checked_by`, for a function (patches, detector, *, diagnostics, ...) that follows gradients.

    It also checks patches and detector, and passes `PATCHES_AT_ONCE` of them at a time, as many as a study does. The
    maps of a deep detector take 6 MB a patch and more. No patch depends on another, so the result is the same.
    """

    def decorate(function: Callable[Arguments, Tensor]) -> Callable[Arguments, Tensor]:
        @checked_by(settings)
        @wraps(function)
        def in_chunks(*args: Arguments.args, **keywords: Arguments.kwargs) -> Tensor:
            given = signature(function).bind(*args, **keywords).arguments
            patches, diagnostics = check_patches(given.pop("patches")), given.pop("diagnostics", None)
            check_target(settings.name, given["detector"])
            concealed: list[Tensor] = []
            notes: list[Diagnostics] = []
            some_at_a_time: Any = function  # whose arguments are known by name alone
            for some in patches.split(PATCHES_AT_ONCE):
                note = Diagnostics()
                concealed.append(some_at_a_time(some, **given, diagnostics=note))
                if diagnostics is not None:
                    notes.append(note)
            if diagnostics is not None:
                diagnostics.zero_gradient = torch.cat([note.zero_gradient for note in notes])
                diagnostics.unrounded = torch.cat([note.unrounded for note in notes])
            return torch.cat(concealed)

        return in_chunks

    return decorate
