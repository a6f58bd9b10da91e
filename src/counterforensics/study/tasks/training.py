"""Tasks that learn: a detector, and whatever an attack learns. And the task that loads a trained detector."""

from __future__ import annotations

import functools
import hashlib
import json
import shutil
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from counterforensics.attacks import LearnedAttack
from counterforensics.detectors import Network, Recipe, load_detector
from counterforensics.detectors.calibration import calibrate
from counterforensics.errors import StudyError
from counterforensics.learning import weights
from counterforensics.learning.accelerator import placed
from counterforensics.learning.monitor import TrainingMonitor
from counterforensics.study.store.folder import Store
from counterforensics.study.tasks.base import Kind, Say, Task
from counterforensics.study.tasks.files import CURVE, pairs_of

# Of a training's settings those that its record repeats.
_RECORDED = ("manipulation", "manipulations", "seed", "laundering")


class Train(Kind):
    """A detector for one manipulation, or a start for several, trained on the training devices."""

    name = "train"
    version = 5
    writes = (weights.TENSORS, weights.record_of("detector"), CURVE)
    reports_progress = True

    def run(self, task: Task, store: Store, folder: Path, say: Say) -> None:
        """As `Kind.run`."""
        recipe: Recipe = task.workers["recipe"].part
        pairs, seed = pairs_of(task, store), task.settings["seed"]
        curve: list[Mapping[str, float]] = []
        monitor = _monitor(task, store, curve, say)
        if "start" in task.needs:
            network = recipe.fine_tune(_start(task, store), pairs, seed=seed, monitor=monitor)
        else:
            network = recipe.train(pairs, seed=seed, monitor=monitor)
        if "manipulation" in task.settings and recipe.gives_verdicts:
            network.facts = {**network.facts, **calibrate(placed(network), pairs)}
        name = task.workers["recipe"].text.partition(":")[0]
        weights.save(network, folder, name=name, settings=recipe, record=_record(task, len(pairs)))
        (folder / CURVE).write_text(json.dumps(curve), encoding="utf-8")

    def bytes_written(self, task: Task) -> int:
        """As `Kind.bytes_written`."""
        return _bytes_of(task.workers["recipe"].part)

    def uses_gpu(self, task: Task) -> bool:
        """As `Kind.uses_gpu`."""
        recipe: Recipe = task.workers["recipe"].part
        return recipe.uses_gpu


class Load(Kind):
    """A detector that was trained before, copied into the store."""

    name = "load"
    version = 1
    writes = Train.writes

    def run(self, task: Task, store: Store, folder: Path, say: Say) -> None:
        """As `Kind.run`."""
        recipe: Recipe = task.workers["recipe"].part
        source = recipe.trained_folder(task.settings["manipulation"])
        if source is None:
            raise StudyError(f"{task.workers['recipe'].text} is no detector that was trained before")
        load_detector(source)
        for name in (weights.TENSORS, weights.record_of("detector")):
            shutil.copyfile(source / name, folder / name)
        (folder / CURVE).write_text("[]", encoding="utf-8")

    def bytes_written(self, task: Task) -> int:
        """As `Kind.bytes_written`."""
        return _bytes_of(task.workers["recipe"].part)


class Learn(Kind):
    """A generator, or whatever else an attack learns from the training devices: once, whoever judges it."""

    name = "learn"
    version = 3
    writes = (weights.TENSORS, weights.record_of("generator"), CURVE)
    reports_progress = True

    def run(self, task: Task, store: Store, folder: Path, say: Say) -> None:
        """As `Kind.run`."""
        attack: LearnedAttack[Any] = task.workers["attack"].part
        pairs = pairs_of(task, store)
        curve: list[Mapping[str, float]] = []
        monitor = _monitor(task, store, curve, say)
        learned = attack.learn(pairs, seed=task.settings["seed"], monitor=monitor)
        name = task.workers["attack"].text.partition(":")[0]
        weights.save(learned, folder, name=name, settings=attack, record=_record(task, len(pairs)), kind="generator")
        (folder / CURVE).write_text(json.dumps(curve), encoding="utf-8")

    def bytes_written(self, task: Task) -> int:
        """As `Kind.bytes_written`."""
        return _bytes_of(task.workers["attack"].part)

    def uses_gpu(self, task: Task) -> bool:
        """As `Kind.uses_gpu`."""
        attack: LearnedAttack[Any] = task.workers["attack"].part
        return attack.uses_gpu


def _start(task: Task, store: Store) -> Network:
    """The network that training goes on from: of a start for several manipulations, the one output."""
    start = load_detector(store.folder(task.needs["start"][0]))
    output = task.settings.get("start_output")
    return start if output is None else start.select_output(output)


def _monitor(task: Task, store: Store, curve: list[Mapping[str, float]], say: Say) -> TrainingMonitor:
    """Where a training keeps its checkpoints, and the `curve` to which it adds its points."""
    kept = functools.partial(store.keep_partial, task.key)
    return TrainingMonitor(curve.append, say=say, folder=store.partial(task.key), kept=kept)


def _record(task: Task, pairs: int) -> dict[str, Any]:
    """What the record beside the weights says of the training's settings and patches."""
    roles = [role for role in task.needs if role == "pristine" or role.startswith("manipulated")]
    patches = "".join(key for role in roles for key in task.needs[role])
    named = {name: task.settings[name] for name in _RECORDED if name in task.settings}
    sources = {"photos": list(task.photos), "devices": list(task.devices)}
    return {**named, **sources, "pairs": pairs, "trained_on": hashlib.sha256(patches.encode()).hexdigest()}


@cache
def _bytes_of(part: Any) -> int:
    """Bytes of the tensors of a trained detector, or of whatever an attack learned."""
    state = part.build().state_dict()
    return sum(tensor.numel() * tensor.element_size() for tensor in state.values())
