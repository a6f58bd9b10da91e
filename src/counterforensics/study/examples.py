"""The photographs that serve as pristine examples to the detectors of a manipulation, and to attacks that learn.

The file of a photograph may show the traces of a manipulation already: a JPEG file of quality 85 shows the traces of
JPEG 90. A detector that learned such a file as pristine would learn a wrong label. A threshold with few false alarms on
such files would also miss most manipulated patches.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from counterforensics.manipulations import Manipulation
from counterforensics.photos.base import Photo
from counterforensics.photos.inspection import Inspection
from counterforensics.photos.splits import Split
from counterforensics.study.settings import Named, Study


def examples(split: Split, manipulation: Named[Manipulation], found: Mapping[str, Inspection]) -> Split:
    """`split` without those photographs of the training devices whose files show the traces of `manipulation` already.

    If none is left to train on, it is `split` unchanged: the detector then learns little, and a note says why.
    found: the inspection of each photograph, by digest.
    """
    train = _without_traces(split.train, manipulation.part, found)
    validation = _without_traces(split.validation, manipulation.part, found)
    return dataclasses.replace(split, train=train, validation=validation) if train else split


def notes_on_examples(study: Study, splits: Mapping[int, Split], found: Mapping[str, Inspection]) -> list[str]:
    """Lines on the manipulations whose traces some photographs of the training devices show already, each line once."""
    noted = (
        _note(manipulation, split, found) for manipulation in study.named_manipulations for split in splits.values()
    )
    return [note for note in dict.fromkeys(noted) if note]


def _note(manipulation: Named[Manipulation], split: Split, found: Mapping[str, Inspection]) -> str:
    """The note on the photographs that detectors of `manipulation` leave out; "" if they leave out none."""
    photos = (*split.train, *split.validation)
    passed = len(photos) - len(_without_traces(photos, manipulation.part, found))
    if not passed:
        return ""
    if examples(split, manipulation, found) == split:
        return (
            f"every photograph to train on is compressed as strongly as {manipulation.text} already, or more: "
            "detectors of it learn little from them; add photographs of higher quality"
        )
    many, files = (f"{passed} photographs", "the files are") if passed > 1 else ("1 photograph", "the file is")
    return (
        f"detectors of {manipulation.text} neither learn from {many} of the training devices, nor take thresholds from "
        f"there: {files} compressed as strongly already, or more"
    )


def _without_traces(
    photos: Sequence[Photo], manipulation: Manipulation, found: Mapping[str, Inspection]
) -> tuple[Photo, ...]:
    """Those of the photographs whose files do not show the traces of `manipulation`."""
    stored = ((photo, found[photo.digest].quality) for photo in photos)
    return tuple(
        photo for photo, quality in stored if quality is None or not manipulation.is_shown_by_jpeg(quality.quality)
    )
