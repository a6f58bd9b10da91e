"""From a study's settings to its graph of tasks."""

from __future__ import annotations

import dataclasses
import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from counterforensics import attacks, detectors, manipulations
from counterforensics.attacks import Attack
from counterforensics.detectors import Recipe
from counterforensics.errors import StudyError
from counterforensics.photos.base import Photo
from counterforensics.photos.patches import choose_cells
from counterforensics.photos.simulated import SimulatedPhoto
from counterforensics.photos.splits import Split
from counterforensics.seeds import seed_for
from counterforensics.study.config import Study
from counterforensics.study.inspection import Inspection
from counterforensics.study.store import Store
from counterforensics.study.tasks import Task


@dataclass(frozen=True)
class Measurement:
    """One line of rows.csv and the tasks behind it; the target and the attack are "" where there is none."""

    seed: int
    manipulation: str
    detector: str
    target: str
    attack: str
    row: str  # keys
    pristine: str
    positive: str


@dataclass(frozen=True)
class Training:
    """One trained detector, or what an attack learned, and its task."""

    seed: int
    manipulation: str
    name: str
    key: str
    kind: str = "detector"  # or "generator"


@dataclass(frozen=True)
class Concealment:
    """One attack on one detector's manipulation, and the crops and patches before and after."""

    seed: int
    manipulation: str
    target: str
    attack: str
    photos: tuple[Photo, ...]
    pristine: tuple[str, ...]
    manipulated: tuple[str, ...]
    key: str
    likeness: str


@dataclass
class Plan:
    """Every task of a study by key, and what they add up to."""

    tasks: dict[str, Task] = field(default_factory=dict)
    measurements: list[Measurement] = field(default_factory=list)
    trainings: list[Training] = field(default_factory=list)
    concealments: list[Concealment] = field(default_factory=list)

    def add(self, task: Task) -> str:
        """Put `task` into the graph once; its key."""
        self.tasks.setdefault(task.key, task)
        return task.key

    def targets(self) -> list[str]:
        """The keys that finish the study: its rows, and the scores, curves and spectra that its report shows."""
        rows = [measurement.row for measurement in self.measurements]
        scores = [key for measurement in self.measurements for key in (measurement.pristine, measurement.positive)]
        shown = [*(one.key for one in self.trainings), *(one.likeness for one in self.concealments)]
        return list(dict.fromkeys([*rows, *scores, *shown]))

    def missing(self, store: Store) -> tuple[list[str], list[str]]:
        """Keys of the tasks that must run, in an order in which they can, and of damaged entries among them.

        Only what a missing task reads is looked at: a finished study costs one look at each of its targets.
        """
        ordered: list[str] = []
        damaged: list[str] = []
        seen: set[str] = set()

        def visit(key: str) -> None:
            if key in seen:
                return
            seen.add(key)
            if store.has(key):
                return
            if store.is_damaged(key):
                damaged.append(key)
            for keys in self.tasks[key].needs.values():
                for needed in keys:
                    visit(needed)
            ordered.append(key)

        for target in self.targets():
            visit(target)
        return ordered, damaged

    def patches(self, keys: Iterable[str]) -> int:
        """How many patches several tasks write."""
        return sum(self.tasks[key].patches for key in keys)


def plan_study(study: Study, splits: Mapping[int, Split], found: Mapping[str, Inspection]) -> Plan:
    """All tasks of `study`, given its split for each seed and what its photographs are, by digest."""
    plan = Plan()
    for seed in study.seeds:
        crops = _Crops(plan, study, splits[seed], found)
        trainings = _Trainings(plan, crops, seed, splits[seed], study.manipulations)
        for manipulation in study.manipulations:
            _plan_manipulation(plan, study, splits[seed], seed, manipulation, trainings)
    return plan


def _plan_manipulation(
    plan: Plan, study: Study, split: Split, seed: int, manipulation: str, trainings: _Trainings
) -> None:
    crops = trainings.crops
    pristine, manipulated = crops.of(split.test, ""), crops.of(split.test, manipulation)
    attacked = crops.of(split.test, manipulation, attacked=True)
    trained = {}
    for detector in study.detectors:
        trained[detector] = trainings.of(detectors.parse(detector), manipulation)
        plan.trainings.append(Training(seed, manipulation, detector, trained[detector]))
    judged = _Judging(plan, seed, manipulation, trained, pristine)
    for detector in study.detectors:
        judged.measure(detector, "", "", manipulated, manipulated)
    for wanted in study.attacks:
        if manipulation not in (wanted.manipulations or study.manipulations):
            continue
        attack = attacks.parse(wanted.attack)
        for target in wanted.targets or ("",):
            conceal = _conceal_task(seed, manipulation, wanted.attack, attacked, target)
            if isinstance(attack, attacks.LearnedAttack):
                _check_taken(attack, manipulation, split)
            conceal = _with(conceal, {}, **trainings.digests(wanted.attack, attack))
            if target:
                conceal = _with(conceal, {"target": (trained[target],)})
            # An attack that learns nothing (FGSM) does not depend on, or read, the training patches.
            if attack.needs_pairs and isinstance(attack, attacks.LearnedAttack):
                learned = trainings.learned(attack, manipulation)
                plan.trainings.append(Training(seed, manipulation, wanted.attack, learned, "generator"))
                conceal = _with(conceal, {"generator": (learned,)})
            elif attack.needs_pairs:
                conceal = _with(conceal, trainings.pairs(manipulation), held_out=trainings.held_out)
            before = crops.of(split.test, "", attacked=True)
            if attack.needs_originals:
                conceal = _with(conceal, {"originals": before})
            key = plan.add(dataclasses.replace(conceal, patches=plan.patches(attacked)))
            likeness = plan.add(_compare_task(manipulation, wanted.attack, before, attacked, key, plan))
            plan.concealments.append(
                Concealment(seed, manipulation, target, wanted.attack, split.test, before, attacked, key, likeness)
            )
            for detector in study.detectors:
                judged.measure(detector, target, wanted.attack, (key,), attacked, likeness)


@dataclass(frozen=True)
class _Trainings:
    """Train tasks of one seed."""

    plan: Plan
    crops: _Crops
    seed: int
    split: Split
    manipulations: tuple[str, ...]
    hashed: dict[Path, str] = field(default_factory=dict)  # of files that trainings read, each read once

    @property
    def held_out(self) -> list[int]:
        """Positions, among the photographs learned from, of those kept for validation."""
        first = len(self.split.train)
        return list(range(first, first + len(self.split.validation)))

    def pairs(self, manipulation: str) -> dict[str, tuple[str, ...]]:
        """The crops that a detector of `manipulation` learns from."""
        learn = (*self.split.train, *self.split.validation)
        return {"pristine": self.crops.of(learn, ""), "manipulated": self.crops.of(learn, manipulation)}

    def of(self, recipe: Recipe, manipulation: str) -> str:
        """Plan the training of `recipe`, and before it that of the recipe that it starts from; its key."""
        needs = self.pairs(manipulation)
        settings: dict[str, Any] = {"manipulation": manipulation}
        if shared := getattr(recipe, "start_for", lambda _: None)(len(self.manipulations)):
            needs["start"] = (self._for_all(shared),)
            settings["start_output"] = self.manipulations.index(manipulation)
        elif start := getattr(recipe, "start", None):
            needs["start"] = (self.of(start, manipulation),)
        return self._add(recipe, manipulation, needs, settings)

    def _for_all(self, recipe: Recipe) -> str:
        """Plan the training of one network for all manipulations, an output for each."""
        learned = {f"manipulated {text}": self.pairs(text)["manipulated"] for text in self.manipulations}
        needs = {"pristine": self.pairs(self.manipulations[0])["pristine"], **learned}
        return self._add(recipe, "all manipulations", needs, {"manipulations": list(self.manipulations)})

    def _add(
        self, recipe: Recipe, manipulation: str, needs: Mapping[str, tuple[str, ...]], settings: Mapping[str, Any]
    ) -> str:
        text = detectors.text_form(recipe)
        settings = {
            "detector": text,
            "recipe": dataclasses.asdict(recipe),  # type: ignore[call-overload]
            "seed": seed_for(self.seed, "train", text, manipulation),
            "held_out": self.held_out,
            **({"version": recipe.version} if hasattr(recipe, "version") else {}),
            **self.digests(text, recipe),
            **settings,
        }
        label = f"train {text} on {manipulation}"
        crops = (key for role, keys in needs.items() if role != "start" for key in keys)
        seen = _patches_seen(recipe, self.plan.patches(crops))
        return self.plan.add(Task("train", settings, needs, label, by=text, patches=seen))

    def learned(self, attack: attacks.LearnedAttack, manipulation: str) -> str:
        """Plan what an attack learns, whoever judges it; its key."""
        text, photos = attacks.text_form(attack), (*self.split.train, *self.split.validation)
        settings = {
            "attack": text,
            "settings": attack.spelled_out,
            "seed": seed_for(self.seed, "learn", text, manipulation),
            "manipulation": manipulation,
            "held_out": self.held_out,
            "photos": [photo.digest for photo in photos],
        }
        label, devices = f"learn {text} on {manipulation}", tuple(sorted({photo.device for photo in photos}))
        task = Task("learn", settings, self.pairs(manipulation), label, patches=attack.patches_seen, devices=devices)
        return self.plan.add(task)

    def digests(self, text: str, part: Recipe | Attack) -> dict[str, Any]:
        """SHA-256 of the files that a recipe or an attack reads, if any.  Raises StudyError if one cannot be read."""
        files: tuple[Path, ...] = getattr(part, "files", ())
        try:
            for path in files:
                if path not in self.hashed:
                    self.hashed[path] = hashlib.sha256(path.read_bytes()).hexdigest()
        except OSError as error:
            raise StudyError(f"{text}: {error.filename} cannot be read ({error.strerror})") from error
        return {"files": {str(path): self.hashed[path] for path in files}} if files else {}


def _patches_seen(recipe: Recipe, given: int) -> int:
    """Patches that pass in training: one pass over what is `given`, or as many steps as the recipe's settings say."""
    steps = getattr(recipe, "steps", 0)
    return 2 * steps * getattr(recipe, "pairs_per_step", 1) if steps else given


def _conceal_task(seed: int, manipulation: str, text: str, manipulated: tuple[str, ...], target: str) -> Task:
    attack = attacks.parse(text)
    settings = {
        "attack": text,
        "settings": dataclasses.asdict(attack),  # type: ignore[call-overload]
        "seed": seed_for(seed, "attack", text, manipulation),
    }
    return Task("conceal", settings, {"patches": manipulated}, f"conceal {manipulation} by {text}", by=target)


def _check_taken(attack: attacks.LearnedAttack, manipulation: str, split: Split) -> None:
    """Raise StudyError if what comes from a folder learned another manipulation, or on a test device or photograph."""
    record, text = attack.taken(), attacks.text_form(attack)
    if record is None:
        return
    if record.get("manipulation") != manipulation:
        learned = record.get("manipulation", "something unnamed")
        raise StudyError(f"{text} learned to hide {learned}, not {manipulation}: name its manipulations: [{learned}]")
    if not {"photos", "devices"} <= record.keys():
        raise StudyError(f"{text} does not say on which photographs it learned; take one that a study trained")
    if seen := set(record["photos"]) & {photo.digest for photo in split.test}:
        raise StudyError(f"{text} learned on {len(seen)} of the test photographs; take another, or test on others")
    if known := set(record["devices"]) & {photo.device for photo in split.test}:
        raise StudyError(
            f"{text} learned on photographs of the test device {min(known)}; take another, or test on others"
        )


def _compare_task(
    manipulation: str, attack: str, before: tuple[str, ...], attacked: tuple[str, ...], key: str, plan: Plan
) -> Task:
    aligned = not manipulations.moves_pixels(manipulations.parse(manipulation))
    needs = {"pristine": before, "manipulated": attacked, "concealed": (key,)}
    label = f"compare {manipulation} concealed by {attack}"
    return Task("compare", {"aligned": aligned}, needs, label, patches=plan.patches(attacked))


def _with(task: Task, needs: Mapping[str, tuple[str, ...]], **settings: Any) -> Task:
    """`task` with more to read and more settings."""
    return dataclasses.replace(task, needs={**task.needs, **needs}, settings={**task.settings, **settings})


def patches_per_photo(study: Study, split: Split, per_device: int | None) -> Mapping[str, int]:
    """Patches of each photograph, at most, by device: a device's photographs share its budget if it has one."""
    counts = Counter(photo.device for photos in split.roles.values() for photo in photos)
    most = study.patches.per_photo
    if per_device is None:
        return dict.fromkeys(counts, most)
    return {device: min(most, max(1, per_device // count)) for device, count in counts.items()}


@cache
def count_patches(found: Inspection, per_photo: int, size: int) -> int:
    """How many patches a photograph gives: fewer than `per_photo` if it is hardly larger than one."""
    return len(choose_cells(found.height, found.width, per_photo=per_photo, seed=0, size=size))


def cells_seed(photo: Photo) -> int:
    """The seed by which the cells of `photo` are chosen: the same in every state and in every study."""
    return seed_for(0, "cells", photo.digest)


@dataclass(frozen=True)
class _Crops:
    """Crop tasks of one split."""

    plan: Plan
    study: Study
    split: Split
    found: Mapping[str, Inspection]
    planned: dict[tuple[str, str, int], str] = field(default_factory=dict)  # keys, by photograph, state and share

    @cached_property
    def _per_photo(self) -> Mapping[str, int]:
        return patches_per_photo(self.study, self.split, self.study.patches.per_device)

    @cached_property
    def _attacked(self) -> Mapping[str, int]:
        """As `_per_photo`, of the patches that are attacked: the first of those cells."""
        most = patches_per_photo(self.study, self.split, self.study.patches.attacked_per_device)
        return {device: min(count, self._per_photo[device]) for device, count in most.items()}

    def of(self, photos: Sequence[Photo], manipulation: str, *, attacked: bool = False) -> tuple[str, ...]:
        """Keys of the crops of `photos` ("" is pristine), in their order."""
        per_photo = self._attacked if attacked else self._per_photo
        return tuple(self._once(photo, manipulation, per_photo[photo.device]) for photo in photos)

    def _once(self, photo: Photo, manipulation: str, per_photo: int) -> str:
        """The key of a crop, planned when it is first asked for."""
        which = (photo.digest, manipulation, per_photo)
        if which not in self.planned:
            self.planned[which] = self._crop(photo, manipulation, per_photo)
        return self.planned[which]

    def _crop(self, photo: Photo, manipulation: str, per_photo: int) -> str:
        settings = {
            "photo": photo.digest,
            "manipulation": manipulation,
            "backend": manipulations.BACKEND,
            "per_photo": per_photo,
            "size": self.study.patches.size,
            "channels": self.study.patches.channels,
            "seed": cells_seed(photo),
        }
        needs, found = {}, self.found[photo.digest]
        pixels, patches = found.width * found.height, count_patches(found, per_photo, self.study.patches.size)
        if isinstance(photo, SimulatedPhoto):
            develop = Task("develop", {"photo": photo.digest}, {}, f"develop {photo.name}", photo, pixels=pixels)
            needs = {"developed": (self.plan.add(develop),)}
        label = f"crop {photo.name} {manipulation or 'pristine'}"
        return self.plan.add(Task("crop", settings, needs, label, photo, pixels=pixels, patches=patches))


@dataclass(frozen=True)
class _Judging:
    """Judge and measure tasks of one manipulation."""

    plan: Plan
    seed: int
    manipulation: str
    trained: Mapping[str, str]
    pristine: tuple[str, ...]

    def measure(
        self,
        detector: str,
        target: str,
        attack: str,
        patches: tuple[str, ...],
        origin: tuple[str, ...],
        likeness: str = "",
    ) -> None:
        """Plan one row: `detector` on pristine patches and on `patches`, which were `origin` before an attack.

        likeness: the key of what compares them, for an attack.
        """
        pristine = self._judge(detector, self.pristine, "pristine patches")
        positive = self._judge(detector, patches, f"patches concealed by {attack}" if attack else "manipulated patches")
        needs = {
            "pristine": (pristine,),
            "positive": (positive,),
            "patches": self.pristine,
            "positive patches": origin,
        }
        if attack:
            needs["concealed"] = patches
            needs["before"] = (self._judge(detector, origin, "attacked patches before the attack"),)
            needs["likeness"] = (likeness,)
        settings = {"seed": seed_for(self.seed, "intervals", self.manipulation)}
        label = f"measure {detector} on {self.manipulation} {attack}".rstrip()
        counted = self.plan.patches((*self.pristine, *patches))
        row = self.plan.add(Task("measure", settings, needs, label, patches=counted))
        self.plan.measurements.append(
            Measurement(self.seed, self.manipulation, detector, target, attack, row, pristine, positive)
        )

    def _judge(self, detector: str, patches: tuple[str, ...], what: str) -> str:
        needs = {"judge": (self.trained[detector],), "patches": patches}
        label = f"judge {what} of {self.manipulation} by {detector}"
        return self.plan.add(Task("judge", {}, needs, label, by=detector, patches=self.plan.patches(patches)))
