"""Pairs of a file that was sent to a platform and the file that came back, and whether they are one photograph."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from counterforensics.errors import CounterforensicsError, PlatformError
from counterforensics.laundering.jpeg import Coding
from counterforensics.laundering.orientation import upright
from counterforensics.laundering.upload import PictureFile, read_picture
from counterforensics.photos.folder import FORMATS, READABLE
from counterforensics.pixels import Pixels, luma_of_photo

_THUMBNAIL = 96  # pixels of the longer side at which two photographs are compared
_LEAST_LIKENESS = 0.97  # a correlation
Size = tuple[int, int]  # width, height


@dataclass(frozen=True)
class UploadPair:
    """The paths of a file that was sent and of the one that came back."""

    name: str
    sent: Path
    received: Path


@dataclass(frozen=True)
class PairFacts:
    """What a pair shows without a simulation.

    before: the size of what was sent, turned as it came back.  after: of what came back.  coding: how that is written.
    turned: whether the EXIF orientation was applied; None where there is none to apply.
    """

    pair: UploadPair
    before: Size
    after: Size
    coding: Coding
    orientation: int
    turned: bool | None

    @property
    def is_reduced(self) -> bool:
        """Whether the platform resized it."""
        return self.before != self.after


def find_pairs(sent: Path, received: Path) -> tuple[list[UploadPair], list[str]]:
    """The pairs of two folders by file name without suffix, or of two files; and a line for each file left out.

    Raises PlatformError if there is no pair.
    """
    if sent.is_file() and received.is_file():
        return [UploadPair(sent.stem, sent, received)], []
    for folder in (sent, received):
        if not folder.is_dir():
            raise PlatformError(f"{folder} is no folder; give two folders of photographs, or two photographs")
    left_out: list[str] = []
    unique = []
    for paths in (_photographs(sent, left_out), _photographs(received, left_out)):
        left_out += [f"{path}: another file has the same name" for some in paths.values() for path in some[1:]]
        unique.append({stem: some[0] for stem, some in paths.items() if len(some) == 1})
    first, second = unique
    for own, other, folder in ((first, second, received), (second, first, sent)):
        left_out += [f"{path}: no partner in {folder}" for stem, path in own.items() if stem not in other]
    pairs = [UploadPair(stem, path, second[stem]) for stem, path in first.items() if stem in second]
    if not pairs:
        found = f"{len(first)} and {len(second)} photographs"
        raise PlatformError(
            f"no pairs in {sent} and {received} ({found}): a sent file and the one that came back have the same name"
        )
    return pairs, left_out


def _photographs(folder: Path, left_out: list[str]) -> Mapping[str, list[Path]]:
    """The photographs of a folder by their names without suffix; a line in `left_out` for each other file."""
    found: dict[str, list[Path]] = {}
    try:
        for path in sorted(folder.iterdir()):
            if path.name.startswith("."):
                continue
            if path.suffix.lower() not in FORMATS:
                left_out.append(f"{path}: not a {READABLE} file by its name")
            elif not path.is_file():
                left_out.append(f"{path}: cannot be read (not a regular file)")
            else:
                found.setdefault(path.stem, []).append(path)
    except OSError as error:
        raise PlatformError(f"cannot list {folder}: {error.strerror}") from error
    return found


def read_pair(pair: UploadPair) -> tuple[PictureFile, PictureFile]:
    """Both pictures.  Raises PhotoError if one of them cannot be read."""
    return read_picture(pair.sent), read_picture(pair.received)


def facts_of(pair: UploadPair) -> PairFacts:
    """What a pair shows.  Raises PhotoError for a file, and PlatformError for a pair, that cannot be used."""
    sent, received = read_pair(pair)
    coding = received.header.coding
    if coding is None:
        raise PlatformError(f"{pair.received}: {received.header.why_not}")
    orientation = sent.header.orientation
    candidates: dict[bool | None, Pixels] = {None: sent.pixels}
    if orientation != 1:
        candidates = {True: upright(sent.pixels, orientation), False: sent.pixels}
    reasons = {turned: _why_not_same(pixels, received.pixels) for turned, pixels in candidates.items()}
    fitting = [turned for turned, why in reasons.items() if not why]
    if not fitting:
        raise PlatformError(f"{pair.name}: {next(iter(reasons.values()))}")
    best = max(fitting, key=lambda turned: _likeness(candidates[turned], received.pixels))
    return PairFacts(pair, _size(candidates[best]), _size(received.pixels), coding, orientation, best)


def usable(pairs: list[UploadPair]) -> tuple[list[PairFacts], list[str]]:
    """The facts of the pairs that can be used, and a line for each that cannot.

    Raises PlatformError if none can.
    """
    found, left_out = [], []
    for pair in pairs:
        try:
            found.append(facts_of(pair))
        except CounterforensicsError as error:
            left_out.append(str(error))
    if not found:
        more = f" ({len(left_out)} pairs left out)" if len(left_out) > 1 else ""
        raise PlatformError(f"no pair can be used{more}: {left_out[0]}")
    return found, left_out


def _size(photo: Pixels) -> Size:
    return photo.shape[1], photo.shape[0]


def _why_not_same(sent: Pixels, received: Pixels) -> str:
    """Why `received` cannot be `sent` after an upload; "" if it can."""
    (width, height), (across, down) = _size(sent), _size(received)
    change = f"{width}x{height} came back as {across}x{down}"
    # The other side may be rounded up or down.
    differs, differs_turned = (
        abs(a * height - b * width) > max(width, height) for a, b in ((across, down), (down, across))
    )
    if differs and not differs_turned:
        return f"{change}: turned, but the EXIF orientation of the sent file does not say so"
    if across > width or down > height:
        return f"{change}: enlarged, which no profile can describe"
    if differs:
        return f"{change}: cropped, for the ratio of its sides changed"
    likeness = _likeness(sent, received)
    if likeness < _LEAST_LIKENESS:
        return f"not the same photograph, or cropped (correlation {likeness:.2f}; at least {_LEAST_LIKENESS} works)"
    return ""


def _likeness(one: Pixels, other: Pixels) -> float:
    """The correlation of the luma of two photographs at the size of a thumbnail; 0 where nothing is to be seen."""
    if (one.shape[1] > one.shape[0]) != (other.shape[1] > other.shape[0]) and one.shape[0] != one.shape[1]:
        return 0.0
    width, height = _size(other)
    scale = min(1.0, _THUMBNAIL / max(width, height))
    size = max(2, round(width * scale)), max(2, round(height * scale))
    small = [
        cv2.resize(luma_of_photo(photo), size, interpolation=cv2.INTER_AREA).astype(np.float64).ravel()
        for photo in (one, other)
    ]
    if min(float(photo.std()) for photo in small) == 0:
        return 0.0
    return float(np.corrcoef(*small)[0, 1])
