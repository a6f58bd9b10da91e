"""Results of tasks in files, each under the hash of all it depends on.

An entry is a folder: the files a task wrote and `entry.json` with their digests. It is written beside and
renamed into place, so it is there whole or not at all, whatever moment the process dies. `remote` keeps
entries in an object store instead.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
import stat
import uuid
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, ClassVar

from counterforensics import records
from counterforensics.errors import StudyError
from counterforensics.files import write_whole
from counterforensics.study.store.unfinished import UnfinishedFolders

ENTRY = "entry.json"
_PREFIX = 2  # letters of a key that name the folder which its entry is in
_FOLDERS = ("log", "partial", "unfinished")


class Store(ABC):
    """Entries addressed by key (SHA-256, hexadecimal), and what tasks leave while they run."""

    is_local: ClassVar[bool]  # whether what `folder` gives is the entry itself, and not a copy for the moment

    @abstractmethod
    def folder(self, key: str) -> Path:
        """Where the files of the entry `key` are; a place where nothing is if there is no such entry."""

    @abstractmethod
    def has(self, key: str) -> bool:
        """Whether the entry is there."""

    @abstractmethod
    def is_damaged(self, key: str) -> bool:
        """Whether something is there that is not the entry it was."""

    @abstractmethod
    def discard(self, key: str) -> None:
        """Remove an entry; its task computes it again."""

    @abstractmethod
    def writing(self, key: str, label: str) -> AbstractContextManager[Path]:
        """An empty folder that becomes the entry `key` when the block ends well, and vanishes otherwise.

        Raises StudyError if the store takes no more; what was finished before stays.
        """

    @abstractmethod
    def partial(self, key: str) -> Path:
        """Where the task of `key` may keep what it goes on from when it is killed; gone once the entry is there."""

    @abstractmethod
    def keep_partial(self, key: str) -> None:
        """Make what stands in `partial(key)` outlive this machine."""

    @abstractmethod
    def note(self, name: str, record: Mapping[str, Any]) -> None:
        """Keep a small record (JSON values) under `name`, in place of the one before."""

    @abstractmethod
    def notes(self) -> Iterator[Mapping[str, Any]]:
        """Every record noted so far; one that is being written or is damaged is passed over."""

    @abstractmethod
    def room(self) -> int | None:
        """Bytes that it can still take; None where that cannot be told."""

    @abstractmethod
    def sweep(self) -> None:
        """Remove what processes that are gone left unfinished, those of this machine at once."""


class FolderStore(Store):
    """Entries in a folder."""

    is_local: ClassVar[bool] = True

    def __init__(self, root: Path, *, probe: bool = True) -> None:
        """Open the store at `root`; with `probe` create it where there is none, and see that it can be written.

        Raises StudyError if it cannot.
        """
        self.root = root
        self.unfinished_folders = UnfinishedFolders(root / "unfinished")
        if probe:
            self._probe()

    def _probe(self) -> None:
        empty = self.unfinished_folders.place(uuid.uuid4().hex)
        try:
            empty.parent.mkdir(parents=True, exist_ok=True)
            self.unfinished_folders.hold(empty)
            self.unfinished_folders.release(empty)
            self._check_folders()
        except OSError as error:
            raise StudyError(
                f"cannot write to {self.root} ({error.strerror}); choose another folder with --out or --store"
            ) from error

    def _check_folders(self) -> None:
        """Raise StudyError if a file, or a link to nowhere, stands in the place of a folder of the store."""
        for path in self.root.iterdir():
            if (path.name in _FOLDERS or len(path.name) == _PREFIX) and not path.is_dir():
                raise StudyError(f"cannot write to {self.root} ({path.name} in it is no folder); move it away")

    def __str__(self) -> str:
        return str(self.root)

    def folder(self, key: str) -> Path:
        """As `Store.folder`."""
        return self.root / key[:_PREFIX] / key

    def partial(self, key: str) -> Path:
        """As `Store.partial`."""
        return self.root / "partial" / key

    def has(self, key: str) -> bool:
        """As `Store.has`: every file has the digest that it was written with."""
        folder = self.folder(key)
        try:
            files = files_in(records.read(folder / ENTRY, StudyError))
            return all(digest_of(folder / name) == digest for name, digest in files.items())
        except (OSError, ValueError, StudyError):
            return False

    def is_damaged(self, key: str) -> bool:
        """As `Store.is_damaged`."""
        return os.path.lexists(self.folder(key)) and not self.has(key)

    def discard(self, key: str) -> None:
        """As `Store.discard`."""
        folder = self.folder(key)
        if folder.is_symlink() or folder.is_file():
            folder.unlink()
        shutil.rmtree(folder, ignore_errors=True)

    @contextlib.contextmanager
    def writing(self, key: str, label: str) -> Iterator[Path]:
        """As `Store.writing`."""
        with self.unfinished(label) as folder:
            yield folder
            self.put(folder, key, record_of(folder, label))
            shutil.rmtree(self.partial(key), ignore_errors=True)

    @contextlib.contextmanager
    def unfinished(self, label: str) -> Iterator[Path]:
        """An empty folder that vanishes when the block ends.  Raises StudyError if the disk is full."""
        folder = self.unfinished_folders.place(uuid.uuid4().hex)
        try:
            self.unfinished_folders.hold(folder)
            yield folder
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES):
                raise StudyError(
                    f"cannot write to {self.root} ({error.strerror}) at {label}; finished work is kept: "
                    "make room and run the same command again"
                ) from error
            raise
        finally:
            self.unfinished_folders.release(folder)

    def put(self, unfinished: Path, key: str, record: Mapping[str, Any]) -> None:
        """Make a folder that `record` describes the entry `key`, unless another was first: either will do."""
        (unfinished / ENTRY).write_text(json.dumps(record, indent=1, sort_keys=True), encoding="utf-8")
        folder = self.folder(key)
        folder.parent.mkdir(exist_ok=True)
        try:
            unfinished.rename(folder)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise

    def keep_partial(self, key: str) -> None:
        """As `Store.keep_partial`: nothing to do, the folder does."""

    def note(self, name: str, record: Mapping[str, Any]) -> None:
        """As `Store.note`."""
        place = self.root / "log" / name
        place.parent.mkdir(exist_ok=True)
        write_whole(place, json.dumps(record).encode())

    def notes(self) -> Iterator[Mapping[str, Any]]:
        """As `Store.notes`."""
        for place in sorted((self.root / "log").glob("*.json")):
            with contextlib.suppress(StudyError):
                yield records.read(place, StudyError)

    def room(self) -> int | None:
        """As `Store.room`."""
        return shutil.disk_usage(self.root).free

    def sweep(self) -> None:
        """As `Store.sweep`."""
        self.unfinished_folders.sweep()


def record_of(folder: Path, label: str) -> dict[str, Any]:
    """What an entry says of itself: its task, and the digest of each of its files."""
    return {"task": label, "files": {path.name: digest_of(path) for path in sorted(folder.iterdir())}}


def files_in(record: Any) -> Mapping[str, str]:
    """The digests of an entry's files by name, as its record has them.  Raises ValueError if it is no such record."""
    files = record.get("files") if isinstance(record, dict) else None
    if not isinstance(files, dict):
        raise ValueError("the record of an entry names files")
    for name, digest in files.items():
        if name != Path(name).name or not isinstance(digest, str):
            raise ValueError("an entry holds files, each with its digest, and nothing outside of it")
    return files


def digest_of(path: Path) -> str:
    """SHA-256 of a regular file, hexadecimal.  Raises OSError for anything else: a pipe could be waited for."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError(errno.EINVAL, "Not a regular file", str(path))
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
