"""Which photographs are examples of a pristine one to the detectors of a manipulation, and to attacks that learn.

The file of a photograph may show the traces of a manipulation already: one stored as JPEG of quality 85 shows those of
JPEG 90. What learned that it is pristine would learn nothing true. A threshold for few false alarms on such
photographs would pass over all that is manipulated, too.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from counterforensics.errors import StudyError
from counterforensics.manipulations import Manipulation
from counterforensics.photos.base import Photo
from counterforensics.photos.inspection import Inspection
from counterforensics.photos.splits import Split
from counterforensics.study.settings import Named, Study


def examples(split: Split, manipulation: Named[Manipulation], found: Mapping[str, Inspection]) -> Split:
    """`split` without those photographs of the training devices whose files show the traces of `manipulation` already.

    found: what each photograph is, by digest.  Raises StudyError if none is left to learn from.
    """
    left = dataclasses.replace(
        split,
        train=_without_traces(split.train, manipulation.part, found),
        validation=_without_traces(split.validation, manipulation.part, found),
    )
    if split.train and not left.train:
        best = max(found[photo.digest].quality or 0 for photo in split.train)
        raise StudyError(
            f"the training devices have no photograph without the traces of {manipulation.text}: all are stored as "
            f"JPEG of quality {best} or below; add photographs of higher quality, or leave {manipulation.text} out"
        )
    return left


def notes_on_examples(study: Study, splits: Mapping[int, Split], found: Mapping[str, Inspection]) -> list[str]:
    """A line for each manipulation whose traces some photographs of the training devices show already."""
    notes = []
    for manipulation in study.named_manipulations:
        part = manipulation.part
        learned_from = [{*split.train, *split.validation} for split in splits.values()]
        passed = max(len(photos) - len(_without_traces([*photos], part, found)) for photos in learned_from)
        if passed:
            many = f"{passed} photographs" if passed > 1 else "1 photograph"
            notes.append(
                f"no detector of {manipulation.text} learns from {many} of the training devices, or is calibrated on "
                f"{'them' if passed > 1 else 'it'}: the file is compressed as strongly already, or more"
            )
    return notes


def _without_traces(
    photos: Sequence[Photo], manipulation: Manipulation, found: Mapping[str, Inspection]
) -> tuple[Photo, ...]:
    """Those of the photographs whose files do not show the traces of `manipulation` yet."""
    qualities = [found[photo.digest].quality for photo in photos]
    return tuple(
        photo
        for photo, quality in zip(photos, qualities, strict=True)
        if quality is None or not manipulation.is_in_files_of(quality)
    )
