"""Detectors that were trained before: a study judges with their weights, and trains nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from counterforensics import names
from counterforensics.detectors import zoo
from counterforensics.detectors.base import Network, Recipe
from counterforensics.errors import StudyError, TrainingError, WeightsError, shown
from counterforensics.files import at_home, exists
from counterforensics.learning import weights
from counterforensics.learning.monitor import SILENT, TrainingMonitor
from counterforensics.photos.patches import Pairs

RECORD = weights.record_of("detector")
_MOST_NAMED = 10  # manipulations in a message


@dataclass(frozen=True)
class Trained(Recipe):
    """Detectors from a folder.

    weights: a folder that holds one for each manipulation, as a study writes it (`detectors/SEED/NAME`); or the folder
    of one trained detector; or a shipped name, `mislnet` or `mislnet/median:7`. A folder of that path goes first.
    """

    weights: str

    name = "trained"

    def __post_init__(self) -> None:
        """Raise StudyError for what cannot be a folder of this machine."""
        if not self.weights.strip() or "://" in self.weights:
            raise StudyError(f"{self.name}: weights must be a folder of this machine, got {shown(self.weights)}")

    @cached_property
    def folders(self) -> Mapping[str, Path]:
        """The folder of each manipulation, by text form, found once.  Raises WeightsError if there is none."""
        place = at_home(self.weights, WeightsError)
        if not exists(place) and self.weights in (*zoo.detectors(), *zoo.shipped()):
            place = zoo.folder_of(self.weights)
        found = {str(weights.read_record(folder).get("manipulation", "")): folder for folder in _detectors_in(place)}
        if not found:
            raise WeightsError(
                f"{self.name}: no trained detector in {shown(str(place))}; give a folder with {RECORD}, a folder with "
                f"one such folder for each manipulation, or the name of a shipped detector "
                f"({', '.join(zoo.detectors())})"
            )
        return found

    def trained_folder(self, manipulation: str) -> Path | None:
        """As `Recipe.trained_folder`."""
        found = self.folders
        if manipulation not in found:
            known = ", ".join(list(found)[:_MOST_NAMED])
            raise StudyError(
                f"{self.name}: {shown(self.weights)} has no detector of {manipulation}; study those alone that it has "
                f"(manipulations: [{known}])"
            )
        return found[manipulation]

    @property
    def files(self) -> tuple[Path, ...]:
        """As `Part.files`: the records and tensors of all manipulations."""
        return tuple(folder / name for folder in self.folders.values() for name in (RECORD, weights.TENSORS))

    def check_files(self) -> None:
        """As `Part.check_files`.  Raises WeightsError if a detector cannot be loaded."""
        for folder in self.folders.values():
            recipe_of(folder)

    @property
    def patch_side(self) -> int | None:
        """As `Recipe.patch_side`."""
        return self._recipe.patch_side

    @property
    def uses_gpu(self) -> bool:
        """As `Recipe.uses_gpu`."""
        return self._recipe.uses_gpu

    @property
    def reads_rgb(self) -> bool:
        """As `Recipe.reads_rgb`."""
        return self._recipe.reads_rgb

    @cached_property
    def _recipe(self) -> Recipe:
        """How the first of the detectors was built."""
        return recipe_of(next(iter(self.folders.values())))

    def build(self) -> Network:
        """As `Recipe.build`: the first of the detectors, untrained."""
        return self._recipe.build()

    def train(self, pairs: Pairs, *, seed: int, monitor: TrainingMonitor = SILENT) -> Network:
        """Nothing is left to train: always a TrainingError."""
        raise TrainingError(f"{self.name}: {shown(self.weights)} is trained; load_detector loads it")


def _detectors_in(place: Path) -> list[Path]:
    """`place` itself if it is the folder of a detector, or else the folders of detectors in it; none it cannot read."""
    if exists(place / RECORD):
        return [place]
    try:
        return [path.parent for path in sorted(place.glob(f"*/{RECORD}"))]
    except OSError:  # of a path that is too long, and the like
        return []


def recipe_of(folder: Path) -> Recipe:
    """The recipe in the record of a trained detector.  Raises CounterforensicsError if it cannot be built."""
    from counterforensics.detectors import DETECTORS

    record: dict[str, Any] = weights.read_record(folder)
    if record["detector"] == Trained.name:
        raise WeightsError(f"{folder / RECORD} names {Trained.name!r}, and not the detector that was trained")
    recipe: Recipe = names.build("detector", record["detector"], record["settings"], DETECTORS)
    return recipe
