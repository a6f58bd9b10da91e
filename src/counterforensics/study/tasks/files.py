"""The files that tasks write, and how others read them."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from counterforensics.photos.patches import Pairs, Patches, PatchFile
from counterforensics.pixels import Pixels
from counterforensics.study.schedulers import memory
from counterforensics.study.store.folder import Store
from counterforensics.study.tasks.base import Task

BATCH = 16  # patches
BATCHES_BETWEEN_RELEASES = 4
PATCHES, LOGITS, MSE, CHANGED, ZERO = ("patches.npy", "logits.npy", "mse.npy", "changed.npy", "zero_gradient.npy")
PHOTO, CURVE, ROW, TIME = "photo.jpg", "curve.json", "row.json", "time.json"
LIKENESS, SPECTRA = "likeness.json", "spectra.npy"


def patches_of(keys: tuple[str, ...], store: Store) -> Patches:
    """The patches in several entries, in order."""
    return Patches(tuple(PatchFile.open(store.folder(key) / PATCHES) for key in keys))


def pairs_of(task: Task, store: Store) -> Pairs:
    """The pairs behind the roles `pristine` and `manipulated ...`, held-out photographs by position."""
    pristine, held_out = patches_of(task.needs["pristine"], store), frozenset(task.settings["held_out"])
    roles = [role for role in task.needs if role.startswith("manipulated")]
    several = [Pairs(pristine, patches_of(task.needs[role], store), held_out) for role in roles]
    return several[0] if len(several) == 1 else Pairs.together(several)


def batches(patches: Patches) -> Iterator[Pixels]:
    """All patches, some at a time. Freed memory goes back between them, or a task would hold more the longer it is."""
    for number, some in enumerate(patches.batches(BATCH)):
        if number % BATCHES_BETWEEN_RELEASES == 0:
            memory.release()
        yield some


def save(path: Path, array: np.ndarray[Any, Any]) -> None:
    """`array` as a .npy file. A full disk is an OSError that says so: np.save's has no number, a map dies of it."""
    content = io.BytesIO()
    np.save(content, array)
    path.write_bytes(content.getbuffer())
