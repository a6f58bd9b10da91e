"""The kinds of task that a study consists of. Each reads entries of the store and writes one of its own.

simulate (simulated cameras) -> crop -> train, learn -> conceal -> judge, compare -> measure

A detector that was trained before is loaded (load) instead of trained.
An attack on whole photographs conceals them one by one (conceal photo), and crops cut them afterwards.
"""

from __future__ import annotations

from collections.abc import Mapping

from counterforensics.study.tasks.base import Kind, Say, Task, Worker, run_task
from counterforensics.study.tasks.concealing import Compare, Conceal
from counterforensics.study.tasks.judging import Judge, Measure
from counterforensics.study.tasks.photographs import Crop, Simulate
from counterforensics.study.tasks.training import Learn, Load, Train
from counterforensics.study.tasks.whole import ConcealPhoto

SIMULATE, CROP = Simulate(), Crop()
TRAIN, LOAD, LEARN = Train(), Load(), Learn()
CONCEAL, CONCEAL_PHOTO = Conceal(), ConcealPhoto()
JUDGE, COMPARE, MEASURE = Judge(), Compare(), Measure()

# In the order in which a study needs them.
KINDS: Mapping[str, Kind] = {
    kind.name: kind for kind in (SIMULATE, CROP, TRAIN, LOAD, LEARN, CONCEAL, CONCEAL_PHOTO, JUDGE, COMPARE, MEASURE)
}

__all__ = [
    "COMPARE",
    "CONCEAL",
    "CONCEAL_PHOTO",
    "CROP",
    "JUDGE",
    "KINDS",
    "LEARN",
    "LOAD",
    "MEASURE",
    "SIMULATE",
    "TRAIN",
    "Kind",
    "Say",
    "Task",
    "Worker",
    "run_task",
]
