"""Measure the rates that come with the package, for `counterforensics plan`: `python tools/measure_durations.py`.

Small studies of simulated cameras run here task by task, what one thing does in a process of its own, whose memory is
then that thing's. What is written is the time for a pixel or a patch on one core of this machine: leave it idle.
"""

from __future__ import annotations

import csv
import itertools
import multiprocessing
import tempfile
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from counterforensics import detectors
from counterforensics.attacks import ATTACKS, LearnedAttack
from counterforensics.attacks import parse as parse_attack
from counterforensics.attacks.gan_restoration import SIZES
from counterforensics.detectors import DETECTORS
from counterforensics.manipulations import PAPER
from counterforensics.study.estimate import SHIPPED, durations_of, plain
from counterforensics.study.prepare import prepare
from counterforensics.study.progress import Progress
from counterforensics.study.schedulers.execute import attempt
from counterforensics.study.schedulers.journal import notes_in
from counterforensics.study.settings import Study
from counterforensics.study.store.folder import FolderStore
from counterforensics.study.tasks import Task

STEPS = 8  # of long trainings, which are cut short: the time of a step does not change
START = "cozzolino2017:steps=0"  # fits an SVM and nothing else: a rate of its own
PHOTOS = {"simulated": {"devices": 4, "photos": 2, "width": 1024, "height": 768}}


def main() -> None:
    """Run, and write the table."""
    progress = Progress()
    with tempfile.TemporaryDirectory() as place:
        store = FolderStore(Path(place))
        for study in (_of_manipulations(), _of_detectors(), _of_photographs()):
            _measure(study, store, progress)
        rates = {key: rate for key, rate in durations_of(notes_in(store)).items() if key[1] in (plain(key[1]), START)}
    with SHIPPED.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["kind", "worker_name", "seconds", "memory"])
        writer.writerows([*key, f"{rate.seconds:.3g}", rate.memory] for key, rate in sorted(rates.items()))


def _of_manipulations() -> Study:
    """Every manipulation, judged by what is cheap."""
    return _study(patches={"per_photo": 24}, manipulations=PAPER, detectors=["spam-svm"])


def _of_detectors() -> Study:
    """Every detector, attacked by all that can attack it."""
    names = [_short(name) for name in sorted(set(DETECTORS) - {"trained"})]
    attacks = [
        {"attack": attack, "targets": [name]}
        for attack, name in itertools.product(sorted(ATTACKS), names)
        if "-published" not in name and _can_attack(attack, name)
    ]
    learned = [name for name in sorted(ATTACKS) if isinstance(parse_attack(name), LearnedAttack)]
    attacks += [{"attack": f"{name}:size={size},steps={STEPS}"} for name in learned for size in SIZES]
    patches = {"per_photo": 24, "attacked_per_device": 24}
    return _study(patches=patches, manipulations=["median:7"], detectors=names, attacks=attacks)


def _of_photographs() -> Study:
    """Whole photographs, attacked by all that can attack a detector that learns in a minute."""
    names = ["spam-svm", "cozzolino2017"]
    pairs = [pair for pair in itertools.product(sorted(ATTACKS), names) if _can_attack(*pair)]
    return _study(
        patches={"per_photo": 24, "attacked_photos": 1},
        manipulations=["median:7"],
        detectors=names,
        attacks=[{"attack": attack, "targets": [name]} for attack, name in pairs],
    )


def _short(name: str) -> str:
    recipe = detectors.parse(name)
    before = f",start_steps={STEPS}" if getattr(recipe, "start", "random") != "random" else ""
    return f"{name}:steps={STEPS}{before}" if getattr(recipe, "steps", 0) >= 100 else name


def _study(**settings: Any) -> Study:
    return Study.model_validate({"name": "rates", "photos": PHOTOS, "split": {"test": 2}, **settings})


def _can_attack(attack: str, detector: str) -> bool:
    try:
        _study(detectors=[detector], attacks=[{"attack": attack, "targets": [detector]}])
    except ValueError:
        return False
    return True


def _measure(study: Study, store: FolderStore, progress: Progress) -> None:
    plan = prepare(study, store, 1, Progress(quiet=True)).plan
    missing, _ = plan.missing(store)
    tasks = [plan.tasks[key] for key in missing]  # in an order in which they can run
    depths: dict[str, int] = {}
    for task in tasks:
        depths[task.key] = 1 + max((depths.get(key, 0) for keys in task.needs.values() for key in keys), default=0)

    def depth(task: Task) -> tuple[int, str]:
        """What others start from first, each kind by itself."""
        return depths[task.key], task.kind.name

    with progress.tasks([task.kind.name for task in tasks]) as advance:
        for _, whole in itertools.groupby(sorted(tasks, key=depth), key=depth):
            for _, some in itertools.groupby(sorted(whole, key=_worker), key=_worker):
                alike = list(some)
                with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
                    process.submit(_run, alike, store).result()
                for task in alike:
                    advance(task.kind.name)


def _worker(task: Task) -> str:
    return task.worker_name


def _run(tasks: Sequence[Task], store: FolderStore) -> None:
    for task in tasks:
        failed = attempt(task, store, "rates", print, [])
        if failed:
            raise RuntimeError(f"{task.label}: {failed.reason}")


if __name__ == "__main__":
    main()
