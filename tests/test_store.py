"""The store: an entry is there whole or not at all."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from counterforensics.errors import StudyError
from counterforensics.study.store import unfinished as unfinished_folders
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


def replaced_by_a_link_to_nowhere(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.symlink_to("nowhere")


def replaced_by(path: Path, make: Callable[[Path], object]) -> None:
    path.unlink()
    make(path)


def sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(20_000_000_000)


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
        lambda folder: (folder / ENTRY).write_bytes(b'{"a":' * 100_000),
        lambda folder: replaced_by(folder / ENTRY, os.mkfifo),
        lambda folder: replaced_by(folder / "result.txt", os.mkfifo),
        lambda folder: replaced_by(folder / "result.txt", lambda path: path.symlink_to("/dev/zero")),
        lambda folder: replaced_by(folder / ENTRY, sparse),
        lambda folder: (folder / ENTRY).write_text('{"files": {"../../x": "0"}}', encoding="utf-8"),
        lambda folder: (folder / ENTRY).write_text('{"files": {"result.txt": 3}}', encoding="utf-8"),
        replaced_by_a_file,
        replaced_by_a_link_to_nowhere,
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
        "nested deep",
        "a pipe as record",
        "a pipe",
        "a device",
        "20 GB of record",
        "a file elsewhere",
        "a number as digest",
        "a file",
        "a link to nowhere",
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


# Begins to write an entry, says so, and waits for ever.
WRITING = """
import sys
from pathlib import Path
from counterforensics.study.store.folder import FolderStore

with FolderStore(Path(sys.argv[1])).writing("0" * 64, "a task") as folder:
    (folder / "half.npy").write_bytes(b"half")
    print(folder, flush=True)
    sys.stdin.read()
"""


@contextmanager
def another_process(store: FolderStore) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """A process that is writing an entry, and the folder that it writes into."""
    command = [sys.executable, "-c", WRITING, str(store.root)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process, Path(process.stdout.readline().rstrip())
        process.kill()


def test_what_dead_processes_left_is_swept_and_what_living_ones_write_is_not(store: FolderStore) -> None:
    with another_process(store) as (process, theirs), store.writing(KEY, "a task") as ours:
        FolderStore(store.root).sweep()
        assert sorted(unfinished(store)) == sorted([ours.name, theirs.name])
        process.kill()
        process.wait()
        FolderStore(store.root).sweep()
        assert unfinished(store) == [ours.name]
        (ours / "result.txt").write_text("whole", encoding="utf-8")
    assert store.has(KEY)
    assert unfinished(store) == []


def aged(path: Path) -> None:
    """Make the last beat of a folder's process long ago."""
    now = path.stat().st_mtime
    os.utime(path, (now, now - unfinished_folders.SECONDS_UNTIL_LEFT - 60))


@pytest.mark.parametrize("name", ["0123-4567-a machine that started anew", "host:1:another version"])
def test_what_another_machine_left_is_swept_when_nobody_renewed_it_for_long(store: FolderStore, name: str) -> None:
    there = store.root / "unfinished" / name
    there.mkdir()
    store.sweep()
    assert unfinished(store) == [name]
    aged(there)
    store.sweep()
    assert unfinished(store) == []


@pytest.mark.parametrize("alike", ["names", "kernels"])
def test_machines_with_one_host_name_and_process_number_leave_each_other_alone(
    store: FolderStore, monkeypatch: pytest.MonkeyPatch, alike: str
) -> None:
    with another_process(store) as (process, theirs):
        # As in two containers, or two clones of one machine: all that could be told apart by names is the same.
        monkeypatch.setattr(socket, "gethostname", lambda: "node")
        monkeypatch.setattr(os, "getpid", lambda: process.pid)
        if alike == "kernels":
            monkeypatch.setattr(unfinished_folders, "_token", lambda process: theirs.name.split("-")[1])
        with FolderStore(store.root).writing(KEY, "a task") as ours:
            FolderStore(store.root).sweep()
            assert sorted(unfinished(store)) == sorted([ours.name, theirs.name])


def test_a_folder_that_is_held_is_kept_however_old_and_its_time_is_renewed(store: FolderStore) -> None:
    with store.writing(KEY, "a task") as folder:
        aged(folder)
        store.sweep()
        assert unfinished(store) == [folder.name]
        before = folder.stat().st_mtime
        unfinished_folders.beat()
        assert folder.stat().st_mtime > before + unfinished_folders.SECONDS_UNTIL_LEFT
        (folder / "result.txt").write_text("whole", encoding="utf-8")
    unfinished_folders.beat()
    assert store.has(KEY)


def test_where_folders_cannot_be_locked_the_time_alone_counts(
    store: FolderStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unfinished_folders, "_take", lambda *_: False)
    with another_process(store) as (_, theirs):
        store.sweep()
        assert unfinished(store) == [theirs.name]
        aged(theirs)
        store.sweep()
        assert unfinished(store) == []


def test_a_folder_that_is_swept_before_it_is_locked_is_made_again(
    store: FolderStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    swept: list[Path] = []
    locked = unfinished_folders._locked

    def late(path: Path) -> tuple[bool, int | None]:
        if not swept:
            swept.append(path)
            path.rmdir()
        return locked(path)

    monkeypatch.setattr(unfinished_folders, "_locked", late)
    keep(store)
    assert swept
    assert store.has(KEY)


@pytest.mark.parametrize("name", ["log", "partial", "unfinished", KEY[:2]])
@pytest.mark.parametrize("target", ["a file", "nowhere"])
def test_what_stands_in_the_place_of_a_folder_is_named(store: FolderStore, name: str, target: str) -> None:
    place = store.root / name
    shutil.rmtree(place, ignore_errors=True)
    if target == "nowhere":
        place.symlink_to(target)
    else:
        place.touch()
    with pytest.raises(
        StudyError, match=rf"cannot write to {store.root} \((.* {name} in it is no folder|File exists|{name} in)"
    ):
        FolderStore(store.root)
    assert list(FolderStore(store.root, probe=False).notes()) == []


@pytest.mark.parametrize("place", ["file/store", "file"])
def test_a_store_below_or_at_a_file_is_refused(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StudyError, match=r"cannot write to .* choose another folder with --out or --store"):
        FolderStore(tmp_path / place)
