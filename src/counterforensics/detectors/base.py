"""What a detector is, and what turns patches into one."""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from counterforensics.errors import CounterforensicsError, WeightsError
from counterforensics.learning.accelerator import device_of
from counterforensics.learning.monitor import SILENT, SavedNetwork, TrainingMonitor
from counterforensics.names import Part
from counterforensics.photos.patches import Pairs
from counterforensics.pixels import Pixels, check_pixels, to_pixels
from counterforensics.positions import Positions

PATCHES_AT_ONCE = 16  # of a photograph that is scanned


@runtime_checkable
class Detector(Protocol):
    """A trained detector."""

    differentiable: bool

    def logits(self, pixels: Tensor) -> Tensor:
        """float32 [n, c, h, w] in grey levels 0..255 -> float32 [n]; above 0 means manipulated."""


@dataclass(frozen=True)
class LinearInSpam:
    """A logit that is linear in the roots of the SPAM feature: weights . sqrt(feature + floor) + offset.

    weights, spread: float64 [338]; spread is how much each root varies over the training patches.
    """

    weights: npt.NDArray[np.float64]
    offset: float
    floor: float
    spread: npt.NDArray[np.float64]

    def logit(self, roots: npt.NDArray[np.float64]) -> float:
        """The logit of a feature whose roots, sqrt(feature + floor), are given: float64 [338]."""
        return float(self.weights @ roots) + self.offset


@runtime_checkable
class ScoredBySpam(Protocol):
    """A detector whose logit is linear in the roots of the exact SPAM feature of the luma."""

    def spam_score(self) -> LinearInSpam:
        """How it scores.  Raises AttackError if its settings make it another function of the feature."""


class Network(SavedNetwork):
    """A detector whose state is tensors: what a recipe builds, trains, saves and loads."""

    differentiable: bool = True
    reads_rgb: bool = False  # whether it takes RGB patches alone; the others take luma, too
    shares_overlap: bool = False  # whether `scan` computes once what overlapping patches share

    def __init_subclass__(cls, **options: Any) -> None:
        """Have `logits` of every network, those of plug-ins among them, begin with one check of what it is given."""
        super().__init_subclass__(**options)
        if "logits" in vars(cls):
            cls.logits = _checked(cls.logits)  # type: ignore[method-assign,assignment]

    def logits(self, pixels: Tensor) -> Tensor:
        """As `Detector.logits`.  Raises PixelError for anything but finite float32 [n, 1 or 3, h, w]."""
        raise NotImplementedError

    def outputs(self, pixels: Tensor) -> Tensor:
        """One logit for each manipulation that the network tells from pristine: float32 [n, outputs], mostly 1."""
        return self.logits(pixels)[:, None]

    def scan(self, photo: Pixels, positions: Positions) -> npt.NDArray[np.float32]:
        """The logit at every position of a stored photograph, uint8 [c, h, w]: float32 of `positions.shape`.

        Every patch is judged by itself, unless the network computes what overlapping patches share once.
        Raises PixelError, or WeightsError for a logit that is not finite.
        """
        return score(self, positions.batches(photo, PATCHES_AT_ONCE)).reshape(positions.shape)

    def select_output(self, output: int) -> Network:
        """The network with this one of its outputs."""
        if output:
            raise NotImplementedError(f"{type(self).__name__} has one output, got {output}")
        return self

    def forward(self, pixels: Tensor) -> Tensor:
        """The same as `logits`, so that a detector is a plain torch module too."""
        return self.logits(pixels)


def _checked(logits: Callable[[Any, Tensor], Tensor]) -> Callable[[Any, Tensor], Tensor]:
    """`logits` with a PixelError for whatever is no float32 [n, 1 or 3, h, w] of finite numbers."""

    @functools.wraps(logits)
    def checked(self: Any, pixels: Tensor) -> Tensor:
        return logits(self, check_pixels(pixels, type(self).__name__))

    return checked


@dataclass(frozen=True)
class Start:
    """The network that a training goes on from: `recipe`, trained on `manipulations` (text forms) together.

    output: of a network with an output for each of `manipulations`, the one that training goes on from.
    """

    recipe: Recipe
    manipulations: tuple[str, ...]
    output: int | None = None


class Recipe(Part, ABC):
    """A frozen dataclass that says how a detector is built and trained.

    A recipe may go on from another network, its start. A study trains each start once, whatever goes on from it, and
    hands it to `fine_tune`.
    """

    @property
    def patch_side(self) -> int | None:
        """The one side of patches that the detector takes; None for any."""
        return None

    @property
    def uses_gpu(self) -> bool:
        """Whether the detector runs on a GPU where there is one: `accelerated` of the network that it builds."""
        return False

    @property
    def reads_rgb(self) -> bool:
        """Whether the detector takes RGB patches alone; the others take luma, too."""
        return False

    @property
    def gives_verdicts(self) -> bool:
        """Whether what is trained tells manipulated patches from pristine ones; a mere start may do something else."""
        return True

    def start_for(self, manipulation: str, *, among: Sequence[str], strongest: str | None) -> Start | None:
        """The start of a detector of `manipulation` in a study of several; None without one.

        manipulation: a text form, one of `among`, the manipulations of the study in its order.  strongest: of the same
        kind the strongest form in the study, `manipulation` itself perhaps; None where the study has one form only,
        or the kind has no order.  `train` without a study has `among=[manipulation]` and no strongest form.
        Raises StudyError if these cannot give the start that the settings ask for.
        """
        return None

    def trained_folder(self, manipulation: str) -> Path | None:
        """The folder of a detector of `manipulation` that was trained before; None where it is to be trained.

        manipulation: a text form.  Raises StudyError if the recipe has detectors of other manipulations alone, and
        WeightsError if it finds none.
        """
        return None

    def patches_seen(self, given: int) -> int:
        """How many patches pass in training, of `given` ones: what its time goes by. By default each passes once."""
        return given

    @abstractmethod
    def build(self) -> Network:
        """The detector with every tensor in its place, untrained."""

    @abstractmethod
    def train(self, pairs: Pairs, *, seed: int, monitor: TrainingMonitor = SILENT) -> Network:
        """The detector trained on `pairs`, in evaluation mode, its start included.  Raises TrainingError."""

    def fine_tune(self, start: Network, pairs: Pairs, *, seed: int, monitor: TrainingMonitor = SILENT) -> Network:
        """As `train`, going on from the trained `start`; of one with several outputs, from the one that was chosen."""
        raise NotImplementedError(f"{type(self).__name__} goes on from no start")


def check_logits(logits: Any, count: int, detector: object, error: type[CounterforensicsError]) -> Tensor:
    """`logits` themselves if they are one finite number for each of `count` patches; an `error` otherwise."""
    name = type(detector).__name__
    if not isinstance(logits, Tensor):
        raise error(f"{name} must give its logits as a tensor [n], got {type(logits).__name__}")
    if not logits.is_floating_point() or logits.shape != (count,):
        got = f"{logits.dtype} of shape {tuple(logits.shape)}"
        raise error(f"{name} must give one logit a patch, a real number, for {count} patches; got {got}")
    if not torch.isfinite(logits).all():
        raise error(f"the verdict of {name} holds NaN or infinity; check its weights")
    return logits


def score(detector: Detector, batches: Iterable[Pixels]) -> npt.NDArray[np.float32]:
    """The detector's logits for stored patches, float32 [n]; `batches`, uint8 [some, c, h, w], pass one by one.

    Raises WeightsError where the detector gives anything but a finite number for each patch.
    """
    device = device_of(detector)
    found = [np.empty(0, dtype=np.float32)]
    with torch.no_grad():
        for some in batches:
            logits = detector.logits(to_pixels(torch.from_numpy(some).to(device)))
            found.append(check_logits(logits, len(some), detector, WeightsError).float().cpu().numpy())
    return np.concatenate(found)
