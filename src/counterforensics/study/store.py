"""Results of tasks in files, each under the hash of all it depends on.

An entry is a folder: the files a task wrote and `entry.json` with their digests. It is written beside and
renamed into place, so it is there whole or not at all, whatever moment the process dies.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

from counterforensics.errors import StudyError

ENTRY = "entry.json"


class Store:
    """A folder of entries, addressed by key (SHA-256, hexadecimal)."""

    def __init__(self, root: Path) -> None:
        """Open or create the store at `root`.  Raises StudyError if the folder cannot be written."""
        self.root = root
        self._unfinished = root / "unfinished"
        try:
            self._unfinished.mkdir(parents=True, exist_ok=True)
            probe = self._beside()
            probe.mkdir()
            probe.rmdir()
        except OSError as error:
            raise StudyError(f"cannot write to {root} ({error.strerror}); choose another folder with --out") from error

    def folder(self, key: str) -> Path:
        """Where the entry `key` is, or would be."""
        return self.root / key[:2] / key

    def partial(self, key: str) -> Path:
        """Where the task of `key` may keep what it goes on from when it is killed; gone once the entry is there."""
        return self.root / "partial" / key

    def has(self, key: str) -> bool:
        """Whether the entry is there and every file in it has the digest it was written with."""
        folder = self.folder(key)
        try:
            files = json.loads((folder / ENTRY).read_text(encoding="utf-8"))["files"]
            return all(_digest(folder / name) == digest for name, digest in files.items())
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return False

    def is_damaged(self, key: str) -> bool:
        """Whether something is there that is not the entry it was."""
        return self.folder(key).exists() and not self.has(key)

    def discard(self, key: str) -> None:
        """Remove an entry; its task computes it again."""
        folder = self.folder(key)
        if folder.is_file():
            folder.unlink()
        shutil.rmtree(folder, ignore_errors=True)

    @contextlib.contextmanager
    def writing(self, key: str, label: str) -> Iterator[Path]:
        """An empty folder that becomes the entry `key` when the block ends well, and vanishes otherwise.

        Raises StudyError if the disk is full; what was finished before stays.
        """
        unfinished = self._beside()
        try:
            unfinished.mkdir()
            yield unfinished
            files = {path.name: _digest(path) for path in sorted(unfinished.iterdir())}
            record = json.dumps({"task": label, "files": files}, indent=1, sort_keys=True)
            (unfinished / ENTRY).write_text(record, encoding="utf-8")
            self._rename(unfinished, self.folder(key))
            shutil.rmtree(self.partial(key), ignore_errors=True)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES):
                raise StudyError(
                    f"cannot write to {self.root} ({error.strerror}) at {label}; finished work is kept: "
                    "make room and run the same command again"
                ) from error
            raise
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)

    def _beside(self) -> Path:
        """A new name for something unfinished, by which `sweep` knows whose it is."""
        return self._unfinished / f"{os.getpid()}-{uuid.uuid4().hex}"

    def _rename(self, unfinished: Path, folder: Path) -> None:
        folder.parent.mkdir(exist_ok=True)
        try:
            unfinished.rename(folder)
        except OSError as error:
            # Another worker was first: both results come from the same inputs, so either will do.
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise

    def sweep(self) -> None:
        """Remove what processes that are gone left unfinished."""
        for path in self._unfinished.iterdir():
            owner = path.name.partition("-")[0]
            if owner.isdigit() and not _alive(int(owner)):
                shutil.rmtree(path, ignore_errors=True)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
