"""The store: an entry is there whole or not at all."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from counterforensics.errors import StudyError
from counterforensics.study.store.folder import ENTRY, FolderStore

KEY = hashlib.sha256(b"a task").hexdigest()


def keep(store: FolderStore, key: str = KEY, content: str = "a result") -> None:
    with store.writing(key, "a task") as folder:
        (folder / "result.txt").write_text(content, encoding="utf-8")


def fail(store: FolderStore, label: str, error: Exception) -> None:
    with store.writing(KEY, label) as folder:
        (folder / "result.txt").write_text("half", encoding="utf-8")
        raise error


def unfinished(store: FolderStore) -> list[str]:
    return [path.name for path in (store.root / "unfinished").iterdir()]


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "store")


def gone_process() -> int:
    """The number of a process that is no more."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_an_entry_is_there_once_it_is_written(store: FolderStore) -> None:
    assert not store.has(KEY)
    assert not store.is_damaged(KEY)
    keep(store)
    assert store.has(KEY)
    assert not store.is_damaged(KEY)
    assert (store.folder(KEY) / "result.txt").read_text(encoding="utf-8") == "a result"
    assert unfinished(store) == []


def test_an_entry_is_still_there_for_the_next_process(store: FolderStore) -> None:
    keep(store)
    assert FolderStore(store.root).has(KEY)


def test_a_task_that_fails_leaves_nothing(store: FolderStore) -> None:
    with pytest.raises(ZeroDivisionError):
        fail(store, "a task", ZeroDivisionError())
    assert not store.folder(KEY).exists()
    assert unfinished(store) == []


def replaced_by_a_file(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.write_text("a file", encoding="utf-8")


def emptied(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir()


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "result.txt").write_text("a resulT", encoding="utf-8"),
        lambda folder: (folder / "result.txt").write_bytes(b""),
        lambda folder: (folder / "result.txt").unlink(),
        lambda folder: (folder / ENTRY).unlink(),
        lambda folder: (folder / ENTRY).write_text("{", encoding="utf-8"),
        lambda folder: (folder / ENTRY).write_text("[]", encoding="utf-8"),
        lambda folder: (folder / ENTRY).write_text('{"files": []}', encoding="utf-8"),
        lambda folder: (folder / ENTRY).write_bytes(b"\xff"),
        replaced_by_a_file,
        emptied,
    ],
    ids=[
        "altered",
        "emptied",
        "file gone",
        "record gone",
        "record cut",
        "other record",
        "no files",
        "not text",
        "a file",
        "an empty folder",
    ],
)
def test_a_damaged_entry_is_noticed_and_can_be_written_anew(
    store: FolderStore, damage: Callable[[Path], object]
) -> None:
    keep(store)
    damage(store.folder(KEY))
    assert not store.has(KEY)
    assert store.is_damaged(KEY)
    store.discard(KEY)
    assert not store.folder(KEY).exists()
    assert not store.is_damaged(KEY)
    keep(store)
    assert store.has(KEY)


def test_the_first_of_two_workers_wins(store: FolderStore) -> None:
    with store.writing(KEY, "a task") as folder:
        (folder / "result.txt").write_text("second", encoding="utf-8")
        keep(store, content="first")
    assert (store.folder(KEY) / "result.txt").read_text(encoding="utf-8") == "first"
    assert store.has(KEY)
    assert unfinished(store) == []


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES])
def test_a_folder_that_takes_no_more_is_a_clear_error(store: FolderStore, number: int) -> None:
    other = hashlib.sha256(b"another").hexdigest()
    keep(store, other)
    with pytest.raises(StudyError) as caught:
        fail(store, "train spam-svm", OSError(number, os.strerror(number)))
    assert str(caught.value) == (
        f"cannot write to {store.root} ({os.strerror(number)}) at train spam-svm; finished work is kept: "
        "make room and run the same command again"
    )
    assert store.has(other)
    assert not store.folder(KEY).exists()
    assert unfinished(store) == []


def test_another_trouble_of_a_task_stays_what_it_is(store: FolderStore) -> None:
    with pytest.raises(FileNotFoundError):
        fail(store, "a task", FileNotFoundError(errno.ENOENT, "No such file or directory"))


def test_what_dead_processes_left_is_swept_and_what_living_ones_write_is_not(store: FolderStore) -> None:
    left = store.root / "unfinished" / f"{socket.gethostname()}:{gone_process()}:left"
    left.mkdir()
    (left / "half.npy").write_bytes(b"half")
    with store.writing(KEY, "a task") as folder:
        store.sweep()
        assert unfinished(store) == [folder.name]
        (folder / "result.txt").write_text("whole", encoding="utf-8")
    assert store.has(KEY)


@pytest.mark.parametrize("place", ["file/store", "file"])
def test_a_store_below_or_at_a_file_is_refused(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StudyError, match=r"cannot write to .* choose another folder with --out or --store"):
        FolderStore(tmp_path / place)
