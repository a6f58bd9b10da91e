"""Which entries of a store no study needs any more, and removing them."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from counterforensics import records
from counterforensics.errors import StudyError, in_one_line
from counterforensics.files import at_home, read_regular
from counterforensics.study.out_folder import PHOTOS, SETTINGS
from counterforensics.study.prepare import cores, prepare
from counterforensics.study.progress import Progress
from counterforensics.study.settings import Study
from counterforensics.study.status import record_of_run
from counterforensics.study.store.folder import ENTRY, FolderStore
from counterforensics.study.store.remote import open_store
from counterforensics.study.yaml_file import MOST_BYTES, MOST_VALUES, parse_yaml

_KEY_LETTERS = 64
_INSPECTION = "inspect "  # how the label of what was found of a photograph begins; such an entry is tiny, and is kept


@dataclass(frozen=True)
class Pruned:
    """What a store holds, in entries and bytes: what the given studies need, and what none of them needs."""

    store: str
    needed: int
    needed_bytes: int
    unneeded: int
    unneeded_bytes: int
    removed: bool  # whether what is not needed was removed


def prune_store(outs: Sequence[Path], *, remove: bool = False) -> Pruned:
    """Count the entries that no study of the output folders `outs` needs; with `remove` also remove them.

    A study needs the result of every task of its plan, as its folder holds the settings, and all that was trained and
    stands in its folder. The study of the folder in which the store lies counts as given. What was found of photographs
    is always kept.
    Raises StudyError if a folder holds no run, if the folders do not share one local store, if a run writes to the
    store, or if photographs of a run are gone, because then nobody can tell what it needs; PhotoError for photographs.
    """
    given = [at_home(out).absolute() for out in outs]
    store = _store_of(given)
    _check_unused(store)
    owner = store.root.parent  # of a store that stands where a run puts it by default
    users = dict.fromkeys([*given, owner] if (owner / SETTINGS).is_file() else given)
    needed = {key for out in users for key in _needed_by(out, store)}
    kept: list[Path] = []
    others: list[Path] = []
    for folder in _entries(store):
        (kept if folder.name in needed or _is_inspection(folder) else others).append(folder)
    sizes = [sum(map(_size, folders)) for folders in (kept, others)]
    if remove:
        _check_unused(store)
        for folder in others:
            shutil.rmtree(folder, ignore_errors=True)
    return Pruned(str(store), len(kept), sizes[0], len(others), sizes[1], remove)


def _store_of(outs: Sequence[Path]) -> FolderStore:
    """The one store that the last runs of these folders used.  Raises StudyError."""
    places = {out: str(record_of_run(out)["store"]) for out in outs}
    first, *more = dict.fromkeys(places.values())
    if more:
        raise StudyError(f"these folders use two stores, {first} and {more[0]}; prune one store at a time")
    if "://" in first:
        raise StudyError(
            f"store prune works on a folder, and the store is {first}; remove what is old with its own tools"
        )
    if not Path(first).is_dir():
        raise StudyError(f"there is no store at {first}, which the run of {outs[0]} used; run the study once more")
    for out in outs:
        if (out / "store").is_dir() and not (out / "store").samefile(first):
            raise StudyError(f"{out} holds a store, and its last run used {first}; run the study once more")
    store = open_store(first)
    assert isinstance(store, FolderStore)
    return store


def _check_unused(store: FolderStore) -> None:
    """Raise StudyError while a task writes to the store."""
    store.sweep()
    if any(store.unfinished_folders.root.iterdir()):
        raise StudyError(f"a run writes to {store}, or was killed on another machine; try again when it has ended")


def _needed_by(out: Path, store: FolderStore) -> Iterator[str]:
    """The keys that the study of `out` needs."""
    prepared = prepare(_study_in(out), store, cores(), Progress(quiet=True))
    gone = _photographs_in(out) - prepared.found.keys()
    if gone:
        raise StudyError(
            f"{len(gone)} photographs of the run in {out} are not where they were; without them, it is unknown which "
            "results it needs. Bring them back, or run the study again"
        )
    yield from prepared.plan.tasks
    for trained in ("detectors", "generators"):
        for link in (out / trained).rglob("*"):
            if link.is_symlink() and link.resolve().is_relative_to(store.root.resolve()):
                yield link.resolve().name


def _study_in(out: Path) -> Study:
    """The study whose settings lie in `out`, with every default spelled out.  Raises StudyError."""
    path = out / SETTINGS
    settings = parse_yaml(read_regular(path, 10 * MOST_BYTES, StudyError), str(path), most=10 * MOST_VALUES)
    try:
        return Study.model_validate(settings)
    except ValidationError as error:
        said = in_one_line(error.errors()[0]["msg"])
        raise StudyError(f"{path} is of another version ({said}); run the study once more") from error


def _photographs_in(out: Path) -> set[str]:
    """The digests of the photographs that the run in `out` used; none before its first end."""
    path = out / PHOTOS
    if not path.exists():
        return set()
    with path.open(encoding="utf-8", newline="") as file:
        return {str(line["digest"]) for line in csv.DictReader(file)}


def _entries(store: FolderStore) -> Iterator[Path]:
    """The folders of all entries, and of the checkpoints of tasks that have not ended."""
    for pattern in ("??/*", "partial/*"):
        for folder in sorted(store.root.glob(pattern)):
            if len(folder.name) == _KEY_LETTERS and folder.is_dir() and not folder.is_symlink():
                yield folder


def _is_inspection(folder: Path) -> bool:
    """Whether an entry holds what was found of a photograph."""
    try:
        record = records.read(folder / ENTRY, StudyError)
    except StudyError:
        return False
    return isinstance(record, dict) and str(record.get("task", "")).startswith(_INSPECTION)


def _size(folder: Path) -> int:
    """The bytes of the files in a folder."""
    return sum(path.lstat().st_size for path in folder.rglob("*") if not path.is_dir())
