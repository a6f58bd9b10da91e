"""From a study's settings to its plan."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from counterforensics import laundering, versions
from counterforensics.attacks import ATTACKS, Attack, LearnedAttack
from counterforensics.detectors import DETECTORS, Recipe, Start, text_form
from counterforensics.detectors.trained import recipe_of
from counterforensics.errors import StudyError
from counterforensics.laundering import Chain, Platform
from counterforensics.learning.weights import TENSORS, read_record, record_of
from counterforensics.manipulations import MANIPULATIONS, Manipulation
from counterforensics.names import Part, Registry
from counterforensics.outcome import ALL, NOT_LAUNDERED
from counterforensics.photos.base import Photo
from counterforensics.photos.folder import format_of
from counterforensics.photos.inspection import Inspection
from counterforensics.photos.patches import choose_cells
from counterforensics.photos.simulated import SimulatedPhoto
from counterforensics.photos.splits import Split
from counterforensics.seeds import seed_for
from counterforensics.sliding.concealing import attack_stride
from counterforensics.study.examples import examples
from counterforensics.study.plan import Concealment, Measurement, Plan, PlannedTraining
from counterforensics.study.settings import Contest, Named, Study
from counterforensics.study.store.folder import digest_of
from counterforensics.study.tasks import (
    COMPARE,
    CONCEAL,
    CONCEAL_PHOTO,
    CROP,
    JUDGE,
    LEARN,
    LOAD,
    MEASURE,
    SIMULATE,
    TRAIN,
    Task,
    Worker,
)
from counterforensics.study.tasks.photographs import upload

Keys = tuple[str, ...]

MOST_TASKS = 1_000_000  # planning takes about 0.1 ms for each


@dataclass(frozen=True)
class Upload:
    """A platform that photographs pass before they are cut: its text form, and what a crop owes to it."""

    text: str
    settings: Mapping[str, Any]


NO_UPLOAD = Upload(NOT_LAUNDERED, {})


def _uploads(texts: Sequence[str], platforms: Sequence[Platform | Chain]) -> list[Upload]:
    """Platforms, in their order."""
    named = zip(texts, platforms, strict=True)
    return [NO_UPLOAD if text == NOT_LAUNDERED else Upload(text, upload(text, platform)) for text, platform in named]


def plan_study(study: Study, splits: Mapping[int, Split], found: Mapping[str, Inspection]) -> Plan:
    """All tasks of `study`, given its split for each seed and what its photographs are, by digest."""
    plan = Plan()
    workers = _Workers()
    for seed in study.seeds:
        crops = _Crops(plan, workers, study, splits[seed], found)
        trainings = _Trainings(plan, workers, crops, seed, splits[seed], study.named_manipulations)
        for manipulation in study.named_manipulations:
            _plan_manipulation(study, trainings, manipulation)
    return plan


def check_size(study: Study, photos: int, simulated: int) -> None:
    """Raise StudyError for more tasks than can be planned in minutes, before they are planned.

    photos: how many there are; `simulated` of them come from simulated cameras.
    """
    judges, states = len(study.judges), 1 + len(study.named_manipulations)
    # A judge of a manipulation is trained, judges two states, and is measured once. Starts and generators are few.
    without_attack = len(study.named_manipulations) * 4 * judges
    # An attack on a manipulation conceals and is compared, and each judge judges and is measured once.
    contests = sum(len(contest.manipulations) for contest in study.contests)
    attacked = contests * (2 + 2 * judges)
    # Whole photographs are concealed one by one, and cut at two kinds of positions after each upload.
    uploads, whole = len(study.laundering), photos * contests if study.patches.attacked_photos else 0
    of_photos = simulated + photos * states * uploads + len(study.seeds) * whole * (1 + 2 * uploads)
    tasks = of_photos + len(study.seeds) * (without_attack + attacked) * uploads
    if tasks > MOST_TASKS:
        raise StudyError(f"the study would have about {tasks:,} tasks; at most {MOST_TASKS:,} work")


def _plan_manipulation(study: Study, trainings: _Trainings, manipulation: Named[Manipulation]) -> None:
    """Train the detectors of one manipulation, and let all of them judge it before and after each attack."""
    trained = {judge.text: trainings.of_judge(judge, manipulation) for judge in study.judges}
    contests = [contest for contest in study.contests if manipulation in contest.manipulations]
    attacks = _WholeAttacks if study.patches.attacked_photos else _PatchAttacks
    concealed = [(contest, attacks(trainings, manipulation, trained).plan(contest)) for contest in contests]
    for platform in _uploads(study.launderings, study.laundering):
        judging = _Judging(trainings, manipulation, trained, platform)
        for judge in study.judges:
            judging.measure(judge)
        for contest, concealment in concealed:
            judging.measure_attack(study.judges, contest, concealment)


@dataclass(frozen=True)
class _PatchAttacks:
    """The attacks on one manipulation, each on the patches of the test devices together."""

    trainings: _Trainings
    manipulation: Named[Manipulation]
    trained: Mapping[str, str]

    @property
    def photos(self) -> tuple[Photo, ...]:
        """Those whose patches are attacked."""
        return self.trainings.split.test

    def plan(self, contest: Contest) -> Concealment:
        """Plan an attack, and what compares patches before and after."""
        plan, crops, hidden = self.trainings.plan, self.trainings.crops, self.manipulation
        before = crops.of(self.photos, None, attacked=True)
        attacked = crops.of(self.photos, hidden, attacked=True)
        made, concealed = self._conceal(contest, before, attacked)
        aligned = not hidden.part.moves_pixels
        compare = Task(
            COMPARE,
            {"aligned": aligned},
            {"pristine": before, "manipulated": attacked, "concealed": concealed},
            f"compare {hidden.text} concealed by {contest.attack.text}",
            patches=plan.patches(attacked),
        )
        target = contest.target.text if contest.target else ""
        named = (self.trainings.seed, hidden.text, target, contest.attack.text, aligned)
        concealment = Concealment(*named, self.photos, before, attacked, concealed, made, plan.add(compare))
        plan.concealments.append(concealment)
        return concealment

    def _conceal(self, contest: Contest, before: Keys, attacked: Keys) -> tuple[Keys, Keys]:
        """Plan the attack itself; what it writes, and where the concealed patches are."""
        plan = self.trainings.plan
        task = _conceal_task(self.trainings, self.manipulation, contest, self.trained)
        needs = {"patches": attacked, **task.needs}
        if contest.attack.part.needs_originals:
            needs["originals"] = before
        key = plan.add(
            dataclasses.replace(
                task, needs=needs, patches=plan.patches(attacked), patch_bytes=self.trainings.crops.patch_bytes
            )
        )
        return (key,), (key,)


class _WholeAttacks(_PatchAttacks):
    """The attacks on one manipulation, each on whole photographs of the test devices, one by one."""

    @property
    def photos(self) -> tuple[Photo, ...]:
        """As `_PatchAttacks.photos`: the first ones of each device."""
        return self.trainings.crops.attacked_photos

    def _conceal(self, contest: Contest, before: Keys, attacked: Keys) -> tuple[Keys, Keys]:
        """As `_PatchAttacks._conceal`: one task for each photograph, and the crops of what it writes."""
        crops, hidden = self.trainings.crops, self.manipulation
        about_attack = _conceal_task(self.trainings, hidden, contest, self.trained)
        made = tuple(crops.concealed_photo(photo, hidden, about_attack) for photo in self.photos)
        return made, crops.of_concealed(self.photos, hidden, made)


def _conceal_task(
    trainings: _Trainings, manipulation: Named[Manipulation], contest: Contest, trained: Mapping[str, str]
) -> Task:
    """A task that conceals, without its patches; settings and needs are what the result owes to the attack."""
    attack = contest.attack.part
    text = contest.attack.text
    if isinstance(attack, LearnedAttack):
        _check_pretrained(attack, text, manipulation.text, trainings.split)
    workers = {"attack": trainings.workers.of(ATTACKS, attack, text)}
    settings = {
        "attack": workers["attack"].depends_on,
        "seed": seed_for(trainings.seed, "attack", ATTACKS.seed_name(attack), manipulation.text),
    }
    if attack.uploads:  # a platform of this package is known by name, and its settings may change
        settings["uploads"] = [laundering.settings_of(one) for one in attack.uploads]
    needs: dict[str, Keys] = {}
    if contest.target is not None:
        needs["target"] = (trained[contest.target.text],)
        workers["target"] = trainings.judging(contest.target, manipulation)
    # An attack that learns nothing (FGSM) neither depends on the training patches nor reads them.
    if attack.needs_pairs and isinstance(attack, LearnedAttack):
        needs["generator"] = (trainings.learned(attack, contest.attack, manipulation),)
    elif attack.needs_pairs:
        needs |= trainings.pairs(manipulation)
        settings["held_out"] = trainings.held_out([manipulation])
    label = f"conceal {manipulation.text} by {text}"
    return Task(CONCEAL, settings, needs, label, workers)


def _check_pretrained(attack: LearnedAttack[Any], text: str, manipulation: str, split: Split) -> None:
    """Raise StudyError if what comes from a folder learned another manipulation, or on a test device or photograph."""
    record = attack.pretrained_record()
    if record is None:
        return
    if record.get("manipulation") != manipulation:
        learned = record.get("manipulation", "something unnamed")
        raise StudyError(f"{text} learned to hide {learned}, not {manipulation}: name its manipulations: [{learned}]")
    _check_unseen(record, text, split)


def _check_unseen(record: Mapping[str, Any], text: str, split: Split) -> None:
    """Raise StudyError if what was trained before learned on a test device or photograph, or does not say on which."""
    if not {"photos", "devices"} <= record.keys():
        raise StudyError(
            f"{text} does not say on which photographs it learned; take one that a study trained, or write photos "
            "(SHA-256 of each file) and devices (names) into its record"
        )
    if seen := set(record["photos"]) & {photo.digest for photo in split.test}:
        raise StudyError(f"{text} learned on {len(seen)} of the test photographs; take another, or test on others")
    if known := set(record["devices"]) & {photo.device for photo in split.test}:
        raise StudyError(
            f"{text} learned on photographs of the test device {min(known)}; take another, or test on others"
        )


def plug_ins_of(study: Study) -> list[Worker]:
    """The parts of `study` that come from plug-ins."""
    named: list[tuple[Registry[Any], Named[Any]]] = [(MANIPULATIONS, one) for one in study.named_manipulations]
    named += [(DETECTORS, judge) for judge in study.judges]
    named += [(ATTACKS, contest.attack) for contest in study.contests]
    workers = _Workers()
    return [workers.of(registry, one.part, one.text) for registry, one in named if registry.code_of(one.part)]


@dataclass
class _Workers:
    """The parts of a study as tasks carry them, each described once."""

    known: dict[tuple[str, str], Worker] = field(default_factory=dict)
    hashed: dict[Path, str] = field(default_factory=dict)

    def of(self, registry: Registry[Any], part: Part, text: str) -> Worker:
        """`part` with all that a result owes to it.  Raises StudyError if a file that it reads cannot be read."""
        if (registry.kind, text) not in self.known:
            depends_on: dict[str, Any] = {
                "part": text,
                "settings": dataclasses.asdict(part),  # type: ignore[call-overload]
                "version": part.version,
            }
            if part.files:
                depends_on["files"] = {str(path): self.digest(path, text) for path in part.files}
            if code := registry.code_of(part):
                depends_on["code"] = code
            self.known[registry.kind, text] = Worker(part, text, depends_on, registry)
        return self.known[registry.kind, text]

    def digest(self, path: Path, text: str) -> str:
        """SHA-256 of a file, read once."""
        try:
            if path not in self.hashed:
                self.hashed[path] = digest_of(path)
        except OSError as error:
            raise StudyError(f"{text}: {error.filename} cannot be read ({error.strerror})") from error
        return self.hashed[path]


@dataclass(frozen=True)
class _Trainings:
    """Train and learn tasks of one seed."""

    plan: Plan
    workers: _Workers
    crops: _Crops
    seed: int
    split: Split
    manipulations: tuple[Named[Manipulation], ...]

    def examples(self, learned: Sequence[Named[Manipulation]]) -> Split:
        """The photographs that a training on some manipulations learns from, or is calibrated on.

        A photograph whose file shows the traces of the manipulation already is no example of a pristine one. A start
        for several manipulations learns from all.
        """
        if len(learned) > 1:
            return self.split
        return examples(self.split, learned[0], self.crops.found)

    def learned_from(self, learned: Sequence[Named[Manipulation]]) -> tuple[Photo, ...]:
        """The photographs of the training devices, those held out last."""
        examples = self.examples(learned)
        return (*examples.train, *examples.validation)

    def held_out(self, learned: Sequence[Named[Manipulation]]) -> list[int]:
        """Positions, among the photographs learned from, of those kept for validation."""
        examples = self.examples(learned)
        first = len(examples.train)
        return list(range(first, first + len(examples.validation)))

    def pairs(self, manipulation: Named[Manipulation]) -> dict[str, Keys]:
        """The crops that an attack learns from: of photographs as their cameras stored them."""
        return self._pairs(manipulation, self.learned_from([manipulation]), lambda photo: NO_UPLOAD)

    def laundered_pairs(
        self, manipulation: Named[Manipulation], learned: Sequence[Named[Manipulation]]
    ) -> dict[str, Keys]:
        """The crops that show `manipulation` to a detector: each photograph after one of the study's uploads.

        learned: all manipulations that the detector learns together.
        """
        return self._pairs(manipulation, self.learned_from(learned), self._passed)

    def _pairs(
        self, manipulation: Named[Manipulation], photos: Sequence[Photo], passed: Callable[[Photo], Upload]
    ) -> dict[str, Keys]:
        """The crops of both states.  passed: the upload of each photograph."""
        both = {"pristine": None, "manipulated": manipulation}
        return {
            role: tuple(key for photo in photos for key in self.crops.of([photo], state, upload=passed(photo)))
            for role, state in both.items()
        }

    def _passed(self, photo: Photo) -> Upload:
        """The upload that a photograph passes: the photograph alone decides which, in every study."""
        return self._uploads[seed_for(0, "upload", photo.digest) % len(self._uploads)]

    @cached_property
    def _uploads(self) -> list[Upload]:
        study = self.crops.study
        return _uploads(study.training_launderings, study.training_laundering)

    def of_judge(self, judge: Named[Recipe], manipulation: Named[Manipulation]) -> str:
        """Plan the training of a detector of the study, and note it and its starts; its key."""
        trained = self._of(judge.part, judge.text, [manipulation], judge.label)
        self._note(trained)
        return trained.key

    def _note(self, training: PlannedTraining) -> None:
        """Put a training into the plan once: what is a detector of the study is no mere start."""
        noted = self.plan.trainings.setdefault(training.key, training)
        if noted.role == "start" and training.role != "start":
            self.plan.trainings[training.key] = training

    def _of(self, recipe: Recipe, text: str, learned: Sequence[Named[Manipulation]], label: str) -> PlannedTraining:
        """Plan the training of `recipe` on some manipulations together, and before it its start, which is noted."""
        if len(learned) > 1:
            return self._of_several(recipe, text, learned, label)
        (manipulation,) = learned
        if (folder := recipe.trained_folder(manipulation.text)) is not None:
            key = self._load(recipe, text, manipulation.text, folder)
            return PlannedTraining(self.seed, manipulation.text, "detector", text, label, key)
        needs = self.laundered_pairs(manipulation, learned)
        settings: dict[str, Any] = {"manipulation": manipulation.text}
        start: PlannedTraining | None = None
        if wanted := self._start_for(recipe, manipulation):
            before = self._of(wanted.recipe, text_form(wanted.recipe), self._named(wanted.manipulations), label)
            start = dataclasses.replace(before, role="start")
            self._note(start)
            needs["start"] = (start.key,)
            if wanted.output is not None:
                settings["start_output"] = wanted.output
        key = self._add(recipe, text, learned, needs, settings)
        return PlannedTraining(self.seed, manipulation.text, "detector", text, label, key, start)

    def _of_several(
        self, recipe: Recipe, text: str, learned: Sequence[Named[Manipulation]], label: str
    ) -> PlannedTraining:
        """Plan the training of one network on several manipulations together."""
        needs = {"pristine": self.laundered_pairs(learned[0], learned)["pristine"]}
        needs |= {f"manipulated {one.text}": self.laundered_pairs(one, learned)["manipulated"] for one in learned}
        settings = {"manipulations": [one.text for one in learned]}
        key = self._add(recipe, text, learned, needs, settings)
        return PlannedTraining(self.seed, ALL, "detector", text, label, key, manipulations=len(learned))

    def judging(self, judge: Named[Recipe], manipulation: Named[Manipulation]) -> Worker:
        """Who judges, or is attacked: of a detector that was trained before, the recipe that it was trained by."""
        folder = judge.part.trained_folder(manipulation.text)
        if folder is None:
            return self.workers.of(DETECTORS, judge.part, judge.text)
        recipe = recipe_of(folder)
        # The files that its training read count no more.
        return Worker(recipe, text_form(recipe), {"code": DETECTORS.code_of(recipe)}, DETECTORS)

    def _load(self, recipe: Recipe, text: str, manipulation: str, folder: Path) -> str:
        """Plan the loading of a detector that was trained before; its key."""
        _check_unseen(read_record(folder), text, self.split)
        # The result owes itself to the stored detector, wherever it lies, and to the code that it runs.
        settings = {
            "manipulation": manipulation,
            "files": {name: self.workers.digest(folder / name, text) for name in (TENSORS, record_of("detector"))},
            "code": DETECTORS.code_of(recipe_of(folder)),
        }
        workers = {"recipe": self.workers.of(DETECTORS, recipe, text)}
        return self.plan.add(Task(LOAD, settings, {}, f"load {text} for {manipulation}", workers))

    def _start_for(self, recipe: Recipe, manipulation: Named[Manipulation]) -> Start | None:
        """What the training of a detector of `manipulation` goes on from."""
        kind = type(manipulation.part)
        forms = [one for one in self.manipulations if type(one.part) is kind and one.part.strength is not None]
        strongest = max(forms, key=lambda one: one.part.strength or 0.0).text if len(forms) > 1 else None
        return recipe.start_for(manipulation.text, among=[one.text for one in self.manipulations], strongest=strongest)

    def _named(self, texts: Sequence[str]) -> list[Named[Manipulation]]:
        """The study's manipulations of these texts."""
        return [one for one in self.manipulations if one.text in texts]

    def _add(
        self,
        recipe: Recipe,
        text: str,
        learned: Sequence[Named[Manipulation]],
        needs: Mapping[str, Keys],
        settings: Mapping[str, Any],
    ) -> str:
        worker = self.workers.of(DETECTORS, recipe, text)
        manipulation = learned[0].text if len(learned) == 1 else "all manipulations"
        settings = {
            "recipe": worker.depends_on,
            "seed": seed_for(self.seed, "train", DETECTORS.seed_name(recipe), manipulation),
            "held_out": self.held_out(learned),
            **settings,
        }
        passed = self.crops.study.training_launderings
        if passed != (NOT_LAUNDERED,):
            settings["laundering"] = ", ".join(passed)
        crops = (key for role, keys in needs.items() if role != "start" for key in keys)
        seen = recipe.patches_seen(self.plan.patches(crops))
        label = f"train {text} on {manipulation}"
        sources = _sources(self.learned_from(learned))
        return self.plan.add(Task(TRAIN, settings, needs, label, {"recipe": worker}, patches=seen, **sources))

    def learned(self, attack: LearnedAttack[Any], named: Named[Attack], manipulation: Named[Manipulation]) -> str:
        """Plan what an attack learns, whoever judges it, and note it; its key."""
        worker = self.workers.of(ATTACKS, attack, named.text)
        photos = self.learned_from([manipulation])
        settings = {
            "attack": {**worker.depends_on, "settings": attack.learning_settings},
            "seed": seed_for(self.seed, "learn", ATTACKS.seed_name(attack), manipulation.text),
            "manipulation": manipulation.text,
            "held_out": self.held_out([manipulation]),
            "photos": [photo.digest for photo in photos],
        }
        task = Task(
            LEARN,
            settings,
            self.pairs(manipulation),
            f"learn {named.text} on {manipulation.text}",
            {"attack": worker},
            patches=attack.patches_seen,
            **_sources(photos),
        )
        key = self.plan.add(task)
        self._note(PlannedTraining(self.seed, manipulation.text, "generator", named.text, named.label, key))
        return key


def _sources(photos: Sequence[Photo]) -> dict[str, Any]:
    """What a record says of the photographs that a training learns from: their digests, and their devices."""
    return {
        "photos": tuple(photo.digest for photo in photos),
        "devices": tuple(sorted({photo.device for photo in photos})),
    }


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


@cache
def _stride_of(target: Recipe) -> int:
    """Pixels between the positions that an attack on such a detector clears; its layers say so, whatever it learned."""
    return attack_stride(target.build())


def cells_seed(photo: Photo) -> int:
    """The seed by which the cells of `photo` are chosen: the same in every state and in every study."""
    return seed_for(0, "cells", photo.digest)


@dataclass(frozen=True)
class _Crops:
    """Crop tasks of one split."""

    plan: Plan
    workers: _Workers
    study: Study
    split: Split
    found: Mapping[str, Inspection]
    # Keys, by photograph, state, share and upload.
    planned: dict[tuple[str, str, int, str], str] = field(default_factory=dict)

    @cached_property
    def _per_photo(self) -> Mapping[str, int]:
        return patches_per_photo(self.study, self.split, self.study.patches.per_device)

    @cached_property
    def _attacked(self) -> Mapping[str, int]:
        """As `_per_photo`, of the patches that are attacked: the first of those cells."""
        budget, whole = self.study.patches.attacked_per_device, self.study.patches.attacked_photos
        most = patches_per_photo(self.study, self.split, budget)
        if whole and budget:
            # Fewer photographs share the budget of a device.
            counts = Counter(photo.device for photo in self.attacked_photos)
            most = {**most, **{device: max(1, budget // count) for device, count in counts.items()}}
        return {device: min(count, self._per_photo[device]) for device, count in most.items()}

    @property
    def patch_bytes(self) -> int:
        """Bytes of one patch."""
        return self.study.patches.size**2 * (3 if self.study.patches.channels == "rgb" else 1)

    @cached_property
    def attacked_photos(self) -> tuple[Photo, ...]:
        """Of each test device the first photographs, as many as attacks conceal as a whole."""
        taken: Counter[str] = Counter()
        chosen = []
        for photo in self.split.test:
            taken[photo.device] += 1
            if taken[photo.device] <= (self.study.patches.attacked_photos or 0):
                chosen.append(photo)
        return tuple(chosen)

    def of(
        self,
        photos: Iterable[Photo],
        manipulation: Named[Manipulation] | None,
        *,
        attacked: bool = False,
        upload: Upload = NO_UPLOAD,
    ) -> Keys:
        """Keys of the crops of `photos` (pristine without a manipulation), in their order.

        attacked: of the patches that are attacked alone.  upload: which the photographs pass before they are cut.
        """
        per_photo = self._attacked if attacked else self._per_photo
        return tuple(self._once(photo, manipulation, per_photo[photo.device], upload) for photo in photos)

    def of_concealed(
        self,
        photos: Iterable[Photo],
        manipulation: Named[Manipulation],
        made: Keys,
        *,
        upload: Upload = NO_UPLOAD,
        cleared: int = 0,
    ) -> Keys:
        """Keys of the crops of concealed photographs, `made` of each of `photos`.

        cleared: cut at positions of this stride, which an attack cleared; 0 cuts at the cells.
        """
        return tuple(
            self._crop(photo, manipulation, self._attacked[photo.device], upload, concealed=key, cleared=cleared)
            for photo, key in zip(photos, made, strict=True)
        )

    def concealed_photo(self, photo: Photo, manipulation: Named[Manipulation], about_attack: Task) -> str:
        """Plan the concealment of a whole photograph by the attack of `about_attack`; its key."""
        manipulated = self.workers.of(MANIPULATIONS, manipulation.part, manipulation.text)
        settings = {
            **about_attack.settings,
            "photo": photo.digest,
            "manipulation": manipulated.depends_on,
            "made by": self._libraries(photo),
            "channels": self.study.patches.channels,
            "seed": seed_for(about_attack.settings["seed"], "photo", photo.digest),
        }
        found = self.found[photo.digest]
        task = Task(
            CONCEAL_PHOTO,
            settings,
            {**about_attack.needs, **self._simulated(photo)},
            f"{about_attack.label} in {photo.name}",
            {**about_attack.workers, "manipulation": manipulated},
            photo,
            pixels=manipulation.part.pixels_after(found.width * found.height),
            patches=count_patches(found, self._attacked[photo.device], self.study.patches.size),
        )
        return self.plan.add(task)

    def _once(self, photo: Photo, manipulation: Named[Manipulation] | None, per_photo: int, upload: Upload) -> str:
        """The key of a crop, planned when it is first asked for."""
        which = (photo.digest, manipulation.text if manipulation else "", per_photo, upload.text)
        if which not in self.planned:
            self.planned[which] = self._crop(photo, manipulation, per_photo, upload)
        return self.planned[which]

    def _libraries(self, photo: Photo) -> dict[str, str]:
        """The versions of all that decides the pixels of a photograph."""
        return {**versions.PIXELS, **versions.readers_of(format_of(photo))}

    def _simulated(self, photo: Photo) -> dict[str, Keys]:
        """Where a photograph of a simulated camera comes from; nothing for another one."""
        if not isinstance(photo, SimulatedPhoto):
            return {}
        found = self.found[photo.digest]
        settings, pixels = {"photo": photo.digest}, found.width * found.height
        task = Task(SIMULATE, settings, label=f"simulate {photo.name}", photo=photo, pixels=pixels)
        return {"simulated": (self.plan.add(task),)}

    def _crop(
        self,
        photo: Photo,
        manipulation: Named[Manipulation] | None,
        per_photo: int,
        upload: Upload,
        *,
        concealed: str = "",
        cleared: int = 0,
    ) -> str:
        workers = {}
        if manipulation is not None:
            workers["manipulation"] = self.workers.of(MANIPULATIONS, manipulation.part, manipulation.text)
        settings = {
            "photo": photo.digest,
            "manipulation": workers["manipulation"].depends_on if workers else None,
            "made by": self._libraries(photo),
            "per_photo": per_photo,
            "size": self.study.patches.size,
            "channels": self.study.patches.channels,
            "seed": cells_seed(photo),
        }
        # What most crops do without is in the key of the others alone.
        if upload is not NO_UPLOAD:
            settings["laundering"] = upload.settings
        if cleared:
            settings["cleared"] = cleared
        needs = self._simulated(photo)
        if concealed:
            needs["concealed"] = (concealed,)
        found = self.found[photo.digest]
        state = manipulation.text if manipulation else "pristine"
        states = [state, *(["concealed"] if concealed else []), *([upload.text] if upload is not NO_UPLOAD else [])]
        task = Task(
            CROP,
            settings,
            needs,
            f"crop {photo.name} {' '.join(states)}",
            workers,
            photo,
            pixels=found.width * found.height,
            patches=count_patches(found, per_photo, self.study.patches.size),
            patch_bytes=self.patch_bytes,
        )
        return self.plan.add(task)


@dataclass(frozen=True)
class _Judging:
    """Judge and measure tasks of one manipulation."""

    trainings: _Trainings
    manipulation: Named[Manipulation]
    trained: Mapping[str, str]
    upload: Upload

    def measure(self, judge: Named[Recipe]) -> None:
        """Plan the row of `judge` on pristine and on manipulated patches."""
        self._row(judge, None, self._manipulated, self._manipulated, {})

    def measure_attack(self, judges: Iterable[Named[Recipe]], contest: Contest, concealment: Concealment) -> None:
        """Plan the row of each judge on pristine patches and on those that an attack concealed."""
        crops, hidden, photos = self.trainings.crops, self.manipulation, concealment.photos
        patches, before = concealment.concealed, concealment.manipulated
        cleared: Keys = ()
        if crops.study.patches.attacked_photos:
            made = concealment.made
            patches = crops.of_concealed(photos, hidden, made, upload=self.upload)
            before = crops.of(photos, hidden, attacked=True, upload=self.upload)
            if contest.target is not None:
                stride = _stride_of(self.trainings.judging(contest.target, hidden).part)
                cleared = crops.of_concealed(photos, hidden, made, upload=self.upload, cleared=stride)
        for judge in judges:
            needs: dict[str, Keys] = {"concealed": concealment.made, "likeness": (concealment.likeness,)}
            needs["before"] = (self._judge(judge, before, "attacked patches before the attack"),)
            if cleared:
                needs["cleared"] = (self._judge(judge, cleared, "patches that the attack cleared"),)
            self._row(judge, contest, patches, before, needs)

    @cached_property
    def _pristine(self) -> Keys:
        return self.trainings.crops.of(self.trainings.split.test, None, upload=self.upload)

    @cached_property
    def _manipulated(self) -> Keys:
        return self.trainings.crops.of(self.trainings.split.test, self.manipulation, upload=self.upload)

    @cached_property
    def _held_out(self) -> Keys:
        """Pristine crops of the held-out photographs after the upload; none without an upload."""
        if self.upload is NO_UPLOAD:
            return ()
        held_out = self.trainings.examples([self.manipulation]).validation
        return self.trainings.crops.of(held_out, None, upload=self.upload)

    def _row(
        self, judge: Named[Recipe], contest: Contest | None, patches: Keys, origin: Keys, needs: Mapping[str, Keys]
    ) -> None:
        """Plan one row: `judge` on pristine patches and on `patches`, which were `origin` before an attack."""
        plan, seed, hidden = self.trainings.plan, self.trainings.seed, self.manipulation.text
        attack = contest.attack if contest else None
        target = contest.target if contest else None
        shown = f"patches concealed by {attack.text}" if attack else "manipulated patches"
        pristine = self._judge(judge, self._pristine, "pristine patches")
        positive = self._judge(judge, patches, shown)
        needs = {
            "pristine": (pristine,),
            "positive": (positive,),
            "patches": self._pristine,
            "positive patches": origin,
            "judge": (self.trained[judge.text],),
            **needs,
        }
        if self._held_out:
            needs["laundered"] = (self._judge(judge, self._held_out, "held-out pristine patches"),)
        label = " ".join(filter(None, ["measure", judge.text, "on", hidden, attack.text if attack else ""]))
        settings = {"seed": seed_for(seed, "intervals", hidden)}
        counted = plan.patches((*self._pristine, *patches))
        row = plan.add(Task(MEASURE, settings, needs, label, patches=counted))
        texts = (judge.text, target.text if target else "", attack.text if attack else "", self.upload.text)
        labels = (judge.label, target.label if target else "", attack.label if attack else "")
        plan.measurements.append(Measurement(seed, hidden, *texts, *labels, row, pristine, positive))

    def _judge(self, judge: Named[Recipe], patches: Keys, shown: str) -> str:
        plan = self.trainings.plan
        needs = {"judge": (self.trained[judge.text],), "patches": patches}
        where = "" if self.upload is NO_UPLOAD else f", uploaded to {self.upload.text},"
        label = f"judge {shown} of {self.manipulation.text}{where} by {judge.text}"
        workers = {"recipe": self.trainings.judging(judge, self.manipulation)}
        return plan.add(Task(JUDGE, {}, needs, label, workers, patches=plan.patches(patches)))
