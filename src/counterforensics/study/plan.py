"""The graph of a study's tasks, and what each row, training and attack of the study is made of."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from counterforensics.errors import StudyError
from counterforensics.photos.base import Photo
from counterforensics.study.store.folder import Store
from counterforensics.study.tasks import Task
from counterforensics.study.tasks.files import is_whole


@dataclass(frozen=True)
class Measurement:
    """One line of rows.csv and the tasks behind it; target, attack and their labels are "" where there is none."""

    seed: int
    manipulation: str
    detector: str
    target: str
    attack: str
    laundering: str
    label: str
    target_label: str
    attack_label: str
    row: str  # keys
    pristine: str
    positive: str


@dataclass(frozen=True)
class PlannedTraining:
    """One line of trainings.csv and its task."""

    seed: int
    manipulation: str
    role: str  # detector, generator or start
    part: str  # the text form
    label: str
    key: str
    start: PlannedTraining | None = None  # that it goes on from
    manipulations: int = 1  # how many it learns, where `manipulation` is ALL

    @property
    def kind(self) -> str:
        """What its record calls it: `detector` or `generator`."""
        return "generator" if self.role == "generator" else "detector"


@dataclass(frozen=True)
class Concealment:
    """One attack on one detector's manipulation, and the crops and patches before and after."""

    seed: int
    manipulation: str
    target: str
    attack: str
    aligned: bool  # whether the manipulation leaves every pixel in its place
    photos: tuple[Photo, ...]
    pristine: tuple[str, ...]  # crops, as the two that follow; an attack on patches writes its own
    manipulated: tuple[str, ...]
    concealed: tuple[str, ...]
    made: tuple[str, ...]  # what the attack wrote
    likeness: str


@dataclass
class Plan:
    """Every task of a study by key, and what they add up to."""

    tasks: dict[str, Task] = field(default_factory=dict)
    measurements: list[Measurement] = field(default_factory=list)
    trainings: dict[str, PlannedTraining] = field(default_factory=dict)  # by key
    concealments: list[Concealment] = field(default_factory=list)

    def add(self, task: Task) -> str:
        """Put `task` into the graph once; its key."""
        self.tasks.setdefault(task.key, task)
        return task.key

    def targets(self) -> list[str]:
        """The keys that finish the study: its rows, and the scores, curves and spectra that its report shows."""
        rows = [measurement.row for measurement in self.measurements]
        scores = [key for measurement in self.measurements for key in (measurement.pristine, measurement.positive)]
        # A start is of use to a training that must run, and to nothing else.
        trained = [one.key for one in self.trainings.values() if one.role != "start"]
        shown = [*trained, *(one.likeness for one in self.concealments)]
        return list(dict.fromkeys([*rows, *scores, *shown]))

    def missing(self, store: Store, *, fetch: bool = False) -> tuple[list[str], list[str]]:
        """Keys of the tasks that must run, in an order in which they can, and of damaged entries among them.

        Only what a missing task reads is looked at: a finished study costs one look at each of its targets.
        fetch: also look into the targets that must come from elsewhere, as a run does that then reads them.
        """
        targets = self.targets()
        looked_into = set(self.tasks) if store.is_local else set(targets) if fetch else set()
        ordered: list[str] = []
        damaged: list[str] = []
        seen: set[str] = set()

        def visit(key: str) -> None:
            if key in seen:
                return
            seen.add(key)
            if store.has(key):
                if key not in looked_into or self._is_whole(key, store):
                    return
                damaged.append(key)
            elif store.is_damaged(key):
                damaged.append(key)
            for keys in self.tasks[key].needs.values():
                for needed in keys:
                    visit(needed)
            ordered.append(key)

        for target in targets:
            visit(target)
        return ordered, damaged

    def _is_whole(self, key: str, store: Store) -> bool:
        """Whether an entry holds what its task writes."""
        try:
            return is_whole(self.tasks[key], store.folder(key))
        except StudyError:  # it did not come as it was written, and is removed
            return False

    def patches(self, keys: Iterable[str]) -> int:
        """How many patches several tasks write."""
        return sum(self.tasks[key].patches for key in keys)
