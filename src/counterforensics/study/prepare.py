"""What stands before any task runs: the photographs, how they are split, and the graph of tasks that follows."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from counterforensics import records, versions
from counterforensics.errors import NameNotFoundError, PhotoError
from counterforensics.photos.base import Photo
from counterforensics.photos.folder import find_photos, format_of
from counterforensics.photos.inspection import Inspection, inspect
from counterforensics.photos.jpeg_quality import JpegQuality
from counterforensics.photos.remarks import summary
from counterforensics.photos.simulated import SimulatedPhoto, simulated_photos
from counterforensics.photos.splits import Split, audit, split_by_device
from counterforensics.study.examples import notes_on_examples
from counterforensics.study.plan import Plan
from counterforensics.study.planning import check_size, plan_study
from counterforensics.study.progress import Progress
from counterforensics.study.settings import Study
from counterforensics.study.store.folder import Store
from counterforensics.study.tasks.photographs import inspect_in_budget, too_large

# Of the look at a photograph: raised when it comes to find something else.
_VERSION = 5
_RECORD = "inspection.json"


@dataclass(frozen=True)
class Prepared:
    """A study that can run."""

    splits: Mapping[int, Split]  # by seed
    found: Mapping[str, Inspection]  # what each photograph is, by digest
    left_out: tuple[str, ...]  # photographs that cannot be used, each with its reason
    notes: tuple[str, ...]  # what is unusual about the photographs that are used
    plan: Plan


def prepare(study: Study, store: Store, workers: int, progress: Progress) -> Prepared:
    """Look at the photographs of `study`, `workers` at a time, split them and plan.

    What was found of a photograph is kept in `store`, so that it is decoded once.  Raises CounterforensicsError.
    """
    photos, unreadable = _all_photos(study)
    with progress.stage("photographs", len(photos)) as advance:
        inspected = _inspect_all(photos, study, store=store, workers=workers, advance=advance)
    left_out = (*unreadable, *inspected.left_out)
    splits, notes = _splits(study, inspected, left_out)
    notes += summary({photo.where: inspected.found[photo.digest].remarks for photo in inspected.photos})
    notes += notes_on_examples(study, splits, inspected.found)
    return Prepared(splits, inspected.found, left_out, tuple(notes), plan_study(study, splits, inspected.found))


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _all_photos(study: Study) -> tuple[list[Photo], tuple[str, ...]]:
    photos: list[Photo] = []
    left_out: tuple[str, ...] = ()
    if study.photos.simulated is not None:
        photos += simulated_photos(**study.photos.simulated.model_dump())
    simulated = len(photos)
    check_size(study, len(photos), simulated)
    if study.photos.folders:
        found = find_photos(study.photos.folders)
        photos += found.photos
        left_out = found.left_out
        check_size(study, len(photos), simulated)
    return photos, left_out


def _smallest_side(study: Study) -> int:
    """The side that a photograph must have for a patch to fit into it after every manipulation."""
    size = study.patches.size
    return max(size, *(manipulation.side_before(size) for manipulation in study.manipulations))


@dataclass(frozen=True)
class _Inspected:
    """The photographs that can be used, what they are (by digest), and why the others cannot."""

    photos: tuple[Photo, ...]
    found: Mapping[str, Inspection]
    left_out: tuple[str, ...]


def _inspect_all(
    photos: Sequence[Photo], study: Study, *, store: Store, workers: int, advance: Callable[[], None]
) -> _Inspected:
    """Inspect `photos`, each once in its life: what was found is kept in the store by the file's digest."""

    def look(photo: Photo) -> Inspection | str:
        try:
            return _remembered(photo, store)
        except PhotoError as error:
            return str(error)
        finally:
            advance()

    with ThreadPoolExecutor(workers) as pool:
        results = list(pool.map(look, photos))
    usable: list[Photo] = []
    found: dict[str, Inspection] = {}
    left_out = []
    for photo, result in zip(photos, results, strict=True):
        reason = result if isinstance(result, str) else _why_not(photo, result, study)
        if reason or isinstance(result, str):
            left_out.append(reason)
        else:
            usable.append(photo)
            found[photo.digest] = result
    return _Inspected(tuple(usable), found, tuple(left_out))


def _why_not(photo: Photo, found: Inspection, study: Study) -> str:
    """Why a photograph that can be decoded cannot be used in `study`; "" if it can."""
    size, smallest_side = f"{found.width}x{found.height}", _smallest_side(study)
    if min(found.width, found.height) < smallest_side:
        return f"{photo.where}: {size} is smaller than {smallest_side}x{smallest_side}, which a patch needs"
    return too_large(photo, found, {one.text: one.part for one in study.named_manipulations})


def _remembered(photo: Photo, store: Store) -> Inspection:
    if isinstance(photo, SimulatedPhoto):
        return inspect(photo)
    decoder = {name: versions.PIXELS[name] for name in versions.DECODER}
    decoder |= versions.readers_of(format_of(photo))
    key = hashlib.sha256(f"inspection {_VERSION} {photo.digest} {decoder}".encode()).hexdigest()
    found = _recorded(store.folder(key) / _RECORD) if store.has(key) else None
    if found is not None:
        return found
    # Another thread may be at a copy of the same file: only what is damaged is removed, never what it just wrote.
    if store.is_damaged(key) or store.has(key):
        store.discard(key)
    result = inspect_in_budget(photo)
    with store.writing(key, f"inspect {photo.name}") as folder:
        (folder / _RECORD).write_text(json.dumps(dataclasses.asdict(result), sort_keys=True), encoding="utf-8")
    return result


def _recorded(path: Path) -> Inspection | None:
    """What was found of a photograph; None if that is no record of it, whatever its digest."""
    try:
        record = records.read(path, PhotoError)
    except PhotoError:
        return None
    names = {field.name for field in dataclasses.fields(Inspection)}
    if not isinstance(record, dict) or record.keys() != names or not isinstance(record["content"], str):
        return None
    sides = record["width"], record["height"]
    remarks = record["remarks"]
    if not isinstance(remarks, list) or not all(isinstance(remark, str) for remark in remarks):
        return None
    quality = record["quality"]
    usable = all(type(side) is int and side > 0 for side in sides) and (quality is None or _is_quality(quality))
    stored = JpegQuality(**quality) if usable and quality else None
    return Inspection(*sides, record["content"], tuple(remarks), stored) if usable else None


def _is_quality(record: Any) -> bool:
    """Whether a record holds a `JpegQuality`."""
    if not isinstance(record, dict) or record.keys() != {"quality", "exact"}:
        return False
    return type(record["quality"]) is int and 1 <= record["quality"] <= 100 and type(record["exact"]) is bool


def _splits(study: Study, inspected: _Inspected, left_out: Sequence[str]) -> tuple[dict[int, Split], list[str]]:
    """The split of each seed, and what is odd about them."""
    content = {digest: inspection.content for digest, inspection in inspected.found.items()}
    splits: dict[int, Split] = {}
    notes: dict[str, None] = {}
    for seed in study.seeds:
        try:
            splits[seed] = split_by_device(inspected.photos, **dict(study.split), seed=seed)
        except (PhotoError, NameNotFoundError) as error:
            if not left_out:
                raise
            raise type(error)(f"{error}; {len(left_out)} left out, the first: {left_out[0]}") from error
        notes |= dict.fromkeys(audit(splits[seed], content))
    return splits, list(notes)
