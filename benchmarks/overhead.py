"""What a study costs beside its work: planning, hashing, the store and the journal."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from PIL import Image
from torch import Tensor

from benchmarks.side_by_side import Goal, Result, Spread
from counterforensics.photos.inspection import inspect
from counterforensics.study import prepare
from counterforensics.study.run import run_study
from counterforensics.study.settings import Study
from counterforensics.study.tasks import KINDS

DEVICES, PHOTOS, SIDE = 4, 250, 130  # each photograph is cropped twice: 2,000 tasks


def of_tiny_tasks(_: Tensor) -> Result:
    """The time of a run that no task takes, for each of its tasks."""
    with tempfile.TemporaryDirectory() as place:
        study = _study(Path(place) / "photographs")
        with timed() as (ran, looked):
            start = time.perf_counter()
            run_study(study, Path(place) / "out", workers=1)
            whole = time.perf_counter() - start
    work = sum(ran) + sum(looked)
    each = 1e3 * (whole - work) / len(ran)
    return Result(
        name="a study of 2,000 tiny tasks, in one process with one worker",
        comparison=f"{whole:.1f} s in all, {work:.1f} s of it inside {len(ran)} tasks and {len(looked)} photos seen",
        measured=Spread.of([each]),
        unit="ms a task beside its work",
        goal=Goal(at_most=10),
    )


def _study(folder: Path) -> Study:
    """A study of `DEVICES * PHOTOS` photographs hardly larger than a patch."""
    draw = np.random.default_rng(0)
    for device in range(DEVICES):
        (folder / f"device-{device}").mkdir(parents=True)
        for photo in range(PHOTOS):
            noise = draw.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
            Image.fromarray(noise).save(folder / f"device-{device}" / f"{photo:03}.png", compress_level=0)
    settings = {"photos": {"folders": [folder]}, "split": {"test": 2}, "patches": {"per_photo": 1}}
    return Study.model_validate(
        {"name": "tiny", "manipulations": ["median:3"], "detectors": ["spam-svm"], "attacks": [], **settings}
    )


@contextmanager
def timed() -> Iterator[tuple[list[float], list[float]]]:
    """The seconds that each task and each look at a photograph takes while the block lasts."""
    ran: list[float] = []
    looked: list[float] = []

    def clocked(call: Callable[..., Any], spent: list[float]) -> Callable[..., Any]:
        def run(*arguments: Any, **named: Any) -> Any:
            start = time.perf_counter()
            try:
                return call(*arguments, **named)
            finally:
                spent.append(time.perf_counter() - start)

        return run

    with ExitStack() as stack:
        for kind in KINDS.values():
            stack.enter_context(patch.object(kind, "run", clocked(kind.run, ran)))
        stack.enter_context(patch.object(prepare, "inspect", clocked(inspect, looked)))
        yield ran, looked
