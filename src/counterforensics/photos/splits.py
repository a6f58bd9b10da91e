"""Which devices are trained on and which are tested on, and the audit that no photograph is on both sides."""

from __future__ import annotations

import fnmatch
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from counterforensics.errors import LeakageError, PhotoError, unknown_name
from counterforensics.photos.base import Photo
from counterforensics.seeds import seed_for


@dataclass(frozen=True)
class Split:
    """Photographs by role; training and validation photographs come from the same devices."""

    train: tuple[Photo, ...]
    validation: tuple[Photo, ...]
    test: tuple[Photo, ...]

    @property
    def roles(self) -> Mapping[str, tuple[Photo, ...]]:
        """The three groups by name."""
        return {"train": self.train, "validation": self.validation, "test": self.test}


def split_by_device(
    photos: Sequence[Photo],
    *,
    test: int | Sequence[str],
    train: int | Sequence[str] | None = None,
    validation: float = 0.1,
    seed: int = 0,
) -> Split:
    """Split photographs by device (Gragnaniello et al. 2018, Section IV: 6 devices to train, 3 to test).

    test: names of the test devices (`*` and `?` as in file names), or how many to draw at random by `seed`.
    train: names likewise, or how many of the others to draw; None takes all.  validation: share
    (0 <= share < 1) of the training devices' photographs held out for choosing, at random, at least one if
    the share is above 0 and two photographs are there.
    Raises PhotoError if there are too few devices, NameNotFoundError for an unknown one.
    """
    by_device: defaultdict[str, list[Photo]] = defaultdict(list)
    for photo in photos:
        by_device[photo.device].append(photo)
    draw = np.random.default_rng(seed_for(seed, "split"))
    shuffled = [str(device) for device in draw.permutation(sorted(by_device))]
    test_devices = _chosen(test, shuffled)
    train_devices = _chosen(train, [device for device in shuffled if device not in test_devices])
    if not test_devices or not train_devices:
        needed = f"{_count(train)} to train and {_count(test)} to test"
        raise PhotoError(f"the split needs devices: {needed}; the photographs come from {len(by_device)}")
    learn = [photo for device in sorted(train_devices) for photo in by_device[device]]
    count = max(round(validation * len(learn)), 1) if validation > 0 and len(learn) > 1 else 0
    held_out = set(draw.permutation(len(learn))[:count].tolist())
    return Split(
        train=tuple(photo for position, photo in enumerate(learn) if position not in held_out),
        validation=tuple(photo for position, photo in enumerate(learn) if position in held_out),
        test=tuple(photo for device in sorted(test_devices) for photo in by_device[device]),
    )


def _chosen(wanted: int | Sequence[str] | None, devices: Sequence[str]) -> list[str]:
    """The first so many devices, or those that patterns name (each at least one), or all; none if too few."""
    if wanted is None:
        return list(devices)
    if isinstance(wanted, int):
        return list(devices[:wanted]) if len(devices) >= wanted else []
    for pattern in wanted:
        if not any(_fits(device, pattern) for device in devices):
            raise unknown_name("device", pattern, devices)
    return [device for device in devices if any(_fits(device, pattern) for pattern in wanted)]


def _fits(device: str, pattern: str) -> bool:
    # A name that holds a bracket fits itself before it is read as a pattern.
    return device == pattern or fnmatch.fnmatchcase(device, pattern)


def _count(wanted: int | Sequence[str] | None) -> str:
    return "at least 1" if wanted is None else str(wanted if isinstance(wanted, int) else len(wanted))


def copies(roles: Mapping[str, Sequence[Photo]], content: Mapping[str, str]) -> list[tuple[Photo, Photo]]:
    """The photographs that stand twice under one device in one role, by content: each with the one that came first.

    content: `photo.digest` -> digest of its pixels, so that rewritten metadata hides nothing.
    Raises LeakageError, naming both files, if a photograph stands under two devices or in two roles.
    """
    seen: dict[str, tuple[str, Photo]] = {}
    found = []
    for role, photos in roles.items():
        for photo in photos:
            first_role, first = seen.setdefault(content[photo.digest], (role, photo))
            if first is photo:
                continue
            if first_role != role or first.device != photo.device:
                raise LeakageError(
                    f"the same photograph stands twice: {first.where} ({first_role}) and {photo.where} ({role}); "
                    "keep it under one device"
                )
            found.append((photo, first))
    return found


def lines_on_copies(photos: Sequence[Photo], content: Mapping[str, str]) -> list[str]:
    """A line for each photograph that stands twice, under one device or two, with the one that came first.

    content: as for `copies`.
    """
    first: dict[str, Photo] = {}
    lines = []
    for photo in photos:
        original = first.setdefault(content[photo.digest], photo)
        if original is not photo:
            other = original.device != photo.device
            advice = "under another device; no study takes both, keep one" if other else "under the same device"
            lines.append(f"{photo.where}: the same pixels as {original.where}, {advice}")
    return lines


def audit(split: Split, content: Mapping[str, str]) -> tuple[str, ...]:
    """Check that no photograph, by content, stands under two devices or on two sides of a split.

    content: as for `copies`.  Returns one line for each photograph that stands twice under one device (harmless, but
    counted twice).  Raises LeakageError for anything worse.
    """
    return tuple(
        f"{photo.where}: the same pixels as {first.where}; both are counted"
        for photo, first in copies(split.roles, content)
    )
