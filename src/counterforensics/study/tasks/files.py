"""The files that tasks write, and how others read them."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from tokenize import TokenError
from typing import Any

import numpy as np

from counterforensics import names, records
from counterforensics.attacks import ATTACKS
from counterforensics.detectors import DETECTORS
from counterforensics.errors import CounterforensicsError, StudyError
from counterforensics.files import is_file
from counterforensics.learning import weights
from counterforensics.names import Registry
from counterforensics.photos.folder import decode
from counterforensics.photos.patches import Pairs, Patches, PatchFile
from counterforensics.pixels import Pixels
from counterforensics.study.schedulers import memory
from counterforensics.study.store.folder import ENTRY, Store, files_in
from counterforensics.study.tasks.base import Task

BATCH = 16  # patches
BATCHES_BETWEEN_RELEASES = 4
_LARGEST = 2**63  # whole number in a record
PATCHES, LOGITS, MSE, CHANGED, ZERO = ("patches.npy", "logits.npy", "mse.npy", "changed.npy", "zero_gradient.npy")
PHOTO, CURVE, ROW, TIME = "photo.jpg", "curve.json", "row.json", "time.json"
LIKENESS, SPECTRA, CONCEALED = "likeness.json", "spectra.npy", "concealed.png"


def patches_of(keys: tuple[str, ...], store: Store) -> Patches:
    """The patches in several entries, in order.  Raises PixelError, or what the file system does."""
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


def is_whole(task: Task, folder: Path) -> bool:
    """Whether `folder` holds what `task` writes. Digests may be right where another program wrote the entry."""
    return all(_is_as_written(folder / name, task) for name in task.kind.writes)


def is_readable(folder: Path) -> bool:
    """As `is_whole`, of whatever task wrote the entry: how many patches it had is not known."""
    return all(_is_as_written(path, None) for path in folder.iterdir())


def record_in(path: Path) -> Any:
    """The record that a task wrote; None if it is gone, or is not what tasks write under its name."""
    try:
        record = records.read(path, StudyError)
        return record if _RECORDS[path.name](record) else None
    except (StudyError, MemoryError):
        return None


def _is_as_written(path: Path, task: Task | None) -> bool:
    """Whether a file is what tasks write under its name; `task`: the one that wrote it, if that is known."""
    try:
        if path.name in _ARRAYS:
            return _fits(path, *_ARRAYS[path.name], task.patches if task else None)
        if path.name == PHOTO:
            height, width, _ = decode(path.read_bytes(), path).shape
            return task is None or height * width == task.pixels
        if path.name == CONCEALED:
            return decode(path.read_bytes(), path).size > 0
        if path.name in _RECORDS:
            return record_in(path) is not None
        if path.name in _TRAINED:
            return is_file(path) and _is_of_its_tensors(path.parent, _TRAINED[path.name])
        return is_file(path)
    except (OSError, ValueError, RecursionError, MemoryError, TokenError, CounterforensicsError):
        return False


def _is_of_its_tensors(folder: Path, kind: str) -> bool:
    """Whether the record of what was trained is about the tensors beside it, by the digest that the entry names.

    Its settings must be possible ones, too.
    """
    record = weights.read_record(folder, kind)
    names.build(kind, record[kind], record["settings"], _KNOWN[kind])
    named = files_in(records.read(folder / ENTRY, StudyError))
    return bool(named.get(weights.TENSORS) == record["sha256"])


def _fits(path: Path, dtypes: str, dimensions: int, counts: bool, patches: int | None) -> bool:
    """Whether a .npy file holds an array of one of the dtypes, with so many dimensions and entries."""
    with path.open("rb") as file:
        readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
        version = np.lib.format.read_magic(file)
        if version not in readers:
            return False
        shape, is_fortran, dtype = readers[version](file)
        length = file.tell() + dtype.itemsize * math.prod(shape)
    is_counted = not counts or patches is None or shape[:1] == (patches,)
    fits = dtype.name in dtypes.split() and len(shape) == dimensions and is_counted
    return fits and not is_fortran and path.stat().st_size == length


def _is_number(one: Any) -> bool:
    return isinstance(one, float) or (isinstance(one, int) and abs(one) <= _LARGEST)


def _are_numbers(record: Any) -> bool:
    return isinstance(record, dict) and all(one is None or _is_number(one) for one in record.values())


def _is_row(record: Any) -> bool:
    counts, rates = ("n_pristine", "n_manipulated", "fp", "tp"), ("fpr", "tpr", "acc")
    counted = _are_numbers(record) and all(type(record.get(name)) is int and record[name] >= 0 for name in counts)
    return counted and all(isinstance(record.get(name), int | float) for name in rates)


def _is_curve(record: Any) -> bool:
    points = isinstance(record, list) and all(_are_numbers(point) for point in record)
    return points and all(point.keys() == record[0].keys() for point in record)


def _is_time(record: Any) -> bool:
    named = isinstance(record, dict) and isinstance(record.get("device"), str)
    return named and all(_is_number(record.get(name)) for name in ("patches", "seconds"))


# What tasks write: dtypes, dimensions, and whether there is one entry for each patch.
_ARRAYS = {
    PATCHES: ("uint8", 4, True),
    LOGITS: ("float32", 1, True),
    MSE: ("float32 float64", 1, True),
    CHANGED: ("float32 float64", 1, True),
    ZERO: ("float64", 1, False),
    SPECTRA: ("float64", 2, False),
}
_RECORDS: Mapping[str, Callable[[Any], bool]] = {
    ROW: _is_row,
    LIKENESS: _are_numbers,
    CURVE: _is_curve,
    TIME: _is_time,
}
_KNOWN: Mapping[str, Registry[Any]] = {"detector": DETECTORS, "generator": ATTACKS}
_TRAINED = {weights.record_of(kind): kind for kind in _KNOWN}


def save(path: Path, array: np.ndarray[Any, Any]) -> None:
    """`array` as a .npy file. A full disk is an OSError that says so: np.save's has no number, a map dies of it."""
    content = io.BytesIO()
    np.save(content, array)
    path.write_bytes(content.getbuffer())
