"""What stands before any task runs: the photographs, how they are split, and the graph of tasks that follows."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from counterforensics import manipulations
from counterforensics.errors import NameNotFoundError, PhotoError
from counterforensics.photos.base import Photo
from counterforensics.photos.folder import find_photos
from counterforensics.photos.simulated import simulated_photos
from counterforensics.photos.splits import Split, audit, split_by_device
from counterforensics.study.config import Study
from counterforensics.study.inspection import Inspected, Inspection, inspect_all
from counterforensics.study.plan import Plan, plan_study
from counterforensics.study.progress import Progress
from counterforensics.study.store import Store


@dataclass(frozen=True)
class Prepared:
    """A study that can run."""

    splits: Mapping[int, Split]  # by seed
    found: Mapping[str, Inspection]  # what each photograph is, by digest
    left_out: tuple[str, ...]  # photographs that cannot be used, and what is odd about the others
    plan: Plan


def prepare(study: Study, store: Store, workers: int, progress: Progress) -> Prepared:
    """Look at the photographs of `study`, `workers` at a time, split them and plan.

    What was found of a photograph is kept in `store`, so that it is decoded once.  Raises CounterforensicsError.
    """
    photos, unreadable = _all_photos(study)
    with progress.stage("photographs", len(photos)) as advance:
        inspected = inspect_all(
            photos, smallest_side=_smallest_side(study), store=store, workers=workers, advance=advance
        )
    left_out = (*unreadable, *inspected.left_out)
    splits, notes = _splits(study, inspected, left_out)
    return Prepared(splits, inspected.found, (*left_out, *notes), plan_study(study, splits, inspected.found))


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _all_photos(study: Study) -> tuple[list[Photo], tuple[str, ...]]:
    photos: list[Photo] = []
    left_out: tuple[str, ...] = ()
    if study.photos.simulated is not None:
        photos += simulated_photos(**study.photos.simulated.model_dump())
    if study.photos.folders:
        found = find_photos(study.photos.folders)
        photos += found.photos
        left_out = found.left_out
    return photos, left_out


def _smallest_side(study: Study) -> int:
    """The side that a photograph must have for a patch to fit into it after every manipulation."""
    size = study.patches.size
    needs = (getattr(manipulations.parse(text), "side_for", None) for text in study.manipulations)
    return max(size, *(need(size) if need else size for need in needs))


def _splits(study: Study, inspected: Inspected, left_out: Sequence[str]) -> tuple[dict[int, Split], list[str]]:
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
