"""A look at every photograph before a study starts: can it be used, how large is it, have we seen it before."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from counterforensics.errors import PhotoError
from counterforensics.photos.base import Photo
from counterforensics.photos.simulated import SimulatedPhoto
from counterforensics.study.store import Store

_VERSION = 1
_RECORD = "inspection.json"


@dataclass(frozen=True)
class Inspection:
    """What a photograph turned out to be."""

    width: int
    height: int
    content: str  # digest of the pixels, whatever the file around them


def inspect(photo: Photo) -> Inspection:
    """Decode `photo` once.  Raises PhotoError if it cannot be used."""
    if isinstance(photo, SimulatedPhoto):
        return Inspection(photo.width, photo.height, photo.digest)
    pixels = photo.read()
    height, width = pixels.shape[:2]
    content = hashlib.sha256(f"{width}x{height}".encode())
    content.update(pixels.tobytes())
    return Inspection(width, height, content.hexdigest())


@dataclass(frozen=True)
class Inspected:
    """The photographs that can be used, what they are (by digest), and why the others cannot."""

    photos: tuple[Photo, ...]
    found: Mapping[str, Inspection]
    left_out: tuple[str, ...]


def inspect_all(
    photos: Sequence[Photo], *, smallest_side: int, store: Store, workers: int, advance: Callable[[], None]
) -> Inspected:
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
        if isinstance(result, str):
            left_out.append(result)
        elif min(result.width, result.height) < smallest_side:
            size = f"{result.width}x{result.height}"
            where = getattr(photo, "path", photo.name)
            left_out.append(f"{where}: {size} is smaller than {smallest_side}x{smallest_side}, which a patch needs")
        else:
            usable.append(photo)
            found[photo.digest] = result
    return Inspected(tuple(usable), found, tuple(left_out))


def _remembered(photo: Photo, store: Store) -> Inspection:
    if isinstance(photo, SimulatedPhoto):
        return inspect(photo)
    key = hashlib.sha256(f"inspection {_VERSION} {photo.digest}".encode()).hexdigest()
    if store.has(key):
        return Inspection(**json.loads((store.folder(key) / _RECORD).read_text(encoding="utf-8")))
    # Another thread may be at a copy of the same file: only what is damaged is removed, never what it just wrote.
    if store.is_damaged(key):
        store.discard(key)
    result = inspect(photo)
    with store.writing(key, f"inspect {photo.name}") as folder:
        (folder / _RECORD).write_text(json.dumps(vars(result), sort_keys=True), encoding="utf-8")
    return result
