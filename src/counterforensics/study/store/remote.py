"""A store in a bucket, or wherever else fsspec reaches: entries as objects, and a folder here that holds copies.

An entry is a record, KEY/entry.json, that names its files, their digests, and the place where they lie, which no other
attempt at the same task writes to. The record is one object and comes last, so an entry is there whole or not at all;
of two that finish the same task, the first one's record stays. Copies are verified by digest whenever they are read.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from counterforensics import records
from counterforensics.errors import StudyError, reason_of
from counterforensics.files import at_home, without_scheme
from counterforensics.learning.fetching import SECONDS_TO_ANSWER, file_system_at, within
from counterforensics.study.store.folder import ENTRY, FolderStore, Store, digest_of, files_in, record_of

# An object store that refuses is asked again after so many seconds, a minute and a half in all.
WAITS = (0.5, 1, 2, 4, 8, 16, 30, 30)
# Answers that more patience would not change.
_FINAL = (FileNotFoundError, FileExistsError)


class RemoteStore(Store):
    """Entries at an fsspec URL (`s3://bucket/folder`), with copies in a folder of this machine."""

    is_local: ClassVar[bool] = False

    def __init__(self, url: str, *, probe: bool = True) -> None:
        """Open the store at `url`; settings and credentials are those that fsspec finds in its configuration.

        probe: write, read and remove an object first.  Raises StudyError if the store cannot be used.
        """
        self.url = url.rstrip("/")
        try:
            self.files, self.base = file_system_at(self.url, use_listings_cache=False)
            if probe:
                within(SECONDS_TO_ANSWER, self._probe)
        except Exception as error:
            raise StudyError(
                f"cannot use the store {url} ({reason_of(error)}); check the address and the credentials, "
                "and install what its file system needs (pip install s3fs for s3://)"
            ) from error
        self.copies = FolderStore(_place_for_copies(self.url))

    def look(self) -> None:
        """See whether anything answers there.  Raises StudyError if nothing does."""
        try:
            within(SECONDS_TO_ANSWER, lambda: self.files.exists(self.base))
        except Exception as error:
            raise StudyError(f"cannot read the store {self.url} ({reason_of(error)}); check the address") from error

    def __reduce__(self) -> tuple[Any, ...]:
        """On another machine the store is opened anew, with that machine's credentials and folder for copies."""
        return _opened, (self.url,)

    def __str__(self) -> str:
        return self.url

    def _probe(self) -> None:
        place = self._place("probe", uuid.uuid4().hex)
        self.files.pipe_file(place, b"counterforensics")
        if self.files.cat_file(place) != b"counterforensics":
            raise OSError("what was written does not come back")
        self.files.rm_file(place)

    def folder(self, key: str) -> Path:
        """Where a verified copy of the entry is; an empty place where the store has none.

        Raises StudyError if the entry is damaged, and removes it: the next run computes it again.
        """
        record = None if self.copies.has(key) else self._record(f"{key}/{ENTRY}")
        if record is not None and not self._copied(record, key):
            self.discard(key)
            raise StudyError(f"an entry of {self.url} was damaged and is removed; run the same command again")
        return self.copies.folder(key)

    def _copied(self, record: Mapping[str, Any], key: str) -> bool:
        """Whether the files that `record` names came here as they were written."""
        with self.copies.unfinished(f"copying from {self.url}") as beside:
            if not self._fetched(record, beside):
                return False
            if self.copies.is_damaged(key):
                self.copies.discard(key)
            self.copies.put(beside, key, record)
            return True

    def _fetched(self, record: Mapping[str, Any], into: Path) -> bool:
        """Whether the files that `record` names are there, each as it was written."""
        for name, digest in record["files"].items():
            try:
                (into / name).write_bytes(self._patiently(self.files.cat_file, self._place(record["at"], name)))
            except FileNotFoundError:
                return False
            if digest_of(into / name) != digest:
                return False
        return True

    def has(self, key: str) -> bool:
        """Whether the entry is there; its files are verified when they are read."""
        return self._record(f"{key}/{ENTRY}") is not None

    def is_damaged(self, key: str) -> bool:
        """Whether there is a record that cannot be read."""
        return self._patiently(self.files.exists, self._place(key, ENTRY)) and not self.has(key)

    def discard(self, key: str) -> None:
        """Remove an entry and its copy."""
        self.copies.discard(key)
        self._remove(key)

    @contextlib.contextmanager
    def writing(self, key: str, label: str) -> Iterator[Path]:
        """As `Store.writing`: uploads the files, then the record, unless another was first."""
        with self.copies.unfinished(label) as folder:
            yield folder
            record = {**record_of(folder, label), "at": f"{key}/{uuid.uuid4().hex}"}
            self._publish(folder, f"{key}/{ENTRY}", record, first=True)
            self._drop_partial(key)

    def _publish(self, source: Path, place: str, record: Mapping[str, Any], *, first: bool) -> None:
        for name in record["files"]:
            self._patiently(self.files.put_file, str(source / name), self._place(record["at"], name))
        content = json.dumps(record, sort_keys=True).encode()
        try:
            self._patiently(self._create if first else self.files.pipe_file, self._place(place), content)
        except FileExistsError:
            # Perhaps ours, if only the answer to the first try was lost.
            there = self._record(place)
            if there is None or there["at"] != record["at"]:
                self._remove(record["at"])

    def _create(self, place: str, content: bytes) -> None:
        """Write an object where none is.  Raises FileExistsError: servers say it in several ways, so we look."""
        try:
            self.files.pipe_file(place, content, mode="create")
        except Exception:
            if self.files.exists(place):
                raise FileExistsError(place) from None
            raise

    def partial(self, key: str) -> Path:
        """Where the task of `key` may keep what it goes on from, with what any machine left of it."""
        place = self._partial_here(key)
        record = self._record(f"partial/{key}.json")
        self.copies.unfinished_folders.hold(place.parent)
        if record is not None:
            place.mkdir()
            if not self._fetched(record, place):
                shutil.rmtree(place)
        return place

    def keep_partial(self, key: str) -> None:
        """Upload what stands in `partial(key)`, in place of what stood there."""
        before, here = self._record(f"partial/{key}.json"), self._partial_here(key)
        record = {**record_of(here, "partial"), "at": f"partial/{key}-{uuid.uuid4().hex}"}
        self._publish(here, f"partial/{key}.json", record, first=False)
        if before is not None:
            self._remove(before["at"])

    def _partial_here(self, key: str) -> Path:
        """A folder of this process, in one that it holds: another on this machine may be at the same task."""
        return self.copies.unfinished_folders.place(f"partial-{key}") / "partial"

    def _drop_partial(self, key: str) -> None:
        """Remove what a task went on from, here and there."""
        self.copies.unfinished_folders.release(self._partial_here(key).parent)
        record = self._record(f"partial/{key}.json")
        if record is not None:
            self._remove(f"partial/{key}.json")
            self._remove(record["at"])

    def note(self, name: str, record: Mapping[str, Any]) -> None:
        """As `Store.note`; one object, for which no task waits long."""
        content = json.dumps(record).encode()
        self._patiently(self.files.pipe_file, self._place("log", name), content, waits=WAITS[:2])

    def notes(self) -> Iterator[Mapping[str, Any]]:
        """As `Store.notes`."""
        places = self._patiently(self.files.find, self._place("log"))
        contents = self._patiently(self.files.cat, places, on_error="omit") if places else {}
        for content in contents.values():
            with contextlib.suppress(ValueError):
                yield records.parse(content)

    def room(self) -> int | None:
        """As `Store.room`: object stores do not tell."""
        return None

    def sweep(self) -> None:
        """As `Store.sweep`, of the copies here."""
        self.copies.sweep()

    def _record(self, place: str) -> Mapping[str, Any] | None:
        """The record there, if there is one that makes sense."""
        try:
            record = records.parse(self._patiently(self.files.cat_file, self._place(place)))
            files_in(record)
            return record if isinstance(record["at"], str) else None
        except (FileNotFoundError, ValueError, KeyError):
            return None

    def _remove(self, place: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            self._patiently(self.files.rm, self._place(place), recursive=True)

    def _place(self, *parts: str) -> str:
        return "/".join([self.base, *parts])

    def _patiently(
        self, call: Callable[..., Any], *arguments: Any, waits: Sequence[float] = WAITS, **named: Any
    ) -> Any:
        """What `call` returns, asked again while the store refuses.  Raises StudyError if it never stops to."""
        for wait in (*waits, None):
            try:
                return call(*arguments, **named)
            except _FINAL:
                raise
            except Exception as error:
                if wait is None or isinstance(error, PermissionError):
                    raise StudyError(
                        f"the store {self.url} refuses ({reason_of(error)}); finished work is kept: "
                        "run the same command again"
                    ) from error
                time.sleep(wait)
        raise AssertionError("the last of the attempts returns or raises")


def open_store(place: str | Path, *, probe: bool = True) -> Store:
    """The store in a folder, or at an fsspec URL.

    probe: see whether it takes anything, which reading does not need.  Raises StudyError if it cannot be used.
    """
    text = without_scheme(str(place))
    if "://" in text:
        store = RemoteStore(text, probe=probe)
        if not probe:
            store.look()
        return store
    return FolderStore(at_home(text).absolute(), probe=probe)


def _opened(url: str) -> RemoteStore:
    return RemoteStore(url, probe=False)


def _place_for_copies(url: str) -> Path:
    """The folder for copies of that store's entries; COUNTERFORENSICS_COPIES says where else they go."""
    mine = Path(tempfile.gettempdir()) / f"counterforensics-{os.getuid() if hasattr(os, 'getuid') else 'user'}"
    root = Path(os.environ.get("COUNTERFORENSICS_COPIES", mine))
    return root / hashlib.sha256(url.encode()).hexdigest()[:16]
