"""A store in a bucket: the same promises as a folder's, and patience with servers."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import pickle
import socket
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest

from counterforensics.errors import StudyError
from counterforensics.study.run import run_study
from counterforensics.study.store import remote
from counterforensics.study.store.folder import ENTRY, FolderStore, Store
from counterforensics.study.store.remote import RemoteStore, open_store
from tests.conftest import tiny_study
from tests.laboratory import USER, Process, listens, wait

KEY = hashlib.sha256(b"a task").hexdigest()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of an S3 server on this machine."""
    for module in ("s3fs", "moto", "flask", "flask_cors"):
        pytest.importorskip(module, reason=f"{module} is not installed")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-p", str(port)]
    process = Process.start("s3", command, tmp_path_factory.mktemp("server"), dict(os.environ))
    address = f"http://127.0.0.1:{port}"
    wait(lambda: listens("127.0.0.1", port), "an S3 server")
    yield address
    process.kill()


@pytest.fixture(params=["memory", "s3"])
def url(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An empty place in this process's memory, or an empty bucket, and a folder for copies of its entries."""
    monkeypatch.setenv("COUNTERFORENSICS_COPIES", str(tmp_path / "copies"))
    place = f"{request.param}://{uuid.uuid4().hex}"
    if request.param == "s3":
        settings = {"key": USER, "secret": USER, "endpoint_url": request.getfixturevalue("server")}
        monkeypatch.setitem(fsspec.config.conf, "s3", settings)
    files, base = fsspec.url_to_fs(place)
    files.mkdir(base)
    yield place
    if files.exists(base):
        files.rm(base, recursive=True)


@pytest.fixture
def store(url: str) -> RemoteStore:
    return RemoteStore(url)


@pytest.fixture
def elsewhere(store: RemoteStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RemoteStore:
    """The same store as another machine opens it: what it knows of the first came through the store."""
    monkeypatch.setenv("COUNTERFORENSICS_COPIES", str(tmp_path / "other copies"))
    other = pickle.loads(pickle.dumps(store))
    assert isinstance(other, RemoteStore)
    return other


def keep(store: Store, content: str = "a result", key: str = KEY) -> None:
    with store.writing(key, "a task") as folder:
        (folder / "result.txt").write_text(content, encoding="utf-8")


def fail(store: Store) -> None:
    with store.writing(KEY, "a task") as folder:
        (folder / "result.txt").write_text("half", encoding="utf-8")
        raise ZeroDivisionError


def objects(store: RemoteStore) -> dict[str, bytes]:
    """Everything in the bucket."""
    files, base = fsspec.url_to_fs(store.url)
    return {path: files.cat_file(path) for path in files.find(base)}


def test_an_entry_is_there_for_every_machine_once_it_is_written(store: RemoteStore, elsewhere: RemoteStore) -> None:
    assert not elsewhere.has(KEY)
    assert not elsewhere.folder(KEY).exists()
    keep(store)
    assert elsewhere.has(KEY)
    assert not elsewhere.is_damaged(KEY)
    assert elsewhere.copies.root != store.copies.root
    assert (elsewhere.folder(KEY) / "result.txt").read_text(encoding="utf-8") == "a result"


def test_a_task_that_fails_leaves_nothing(store: RemoteStore) -> None:
    with pytest.raises(ZeroDivisionError):
        fail(store)
    assert objects(store) == {}


def test_the_first_of_two_machines_wins_and_nothing_of_the_second_stays(
    store: RemoteStore, elsewhere: RemoteStore
) -> None:
    with store.writing(KEY, "a task") as folder:
        (folder / "result.txt").write_text("second", encoding="utf-8")
        keep(elsewhere, "first")
    for one in (store, elsewhere):
        assert (one.folder(KEY) / "result.txt").read_text(encoding="utf-8") == "first"
    assert sorted(path.rpartition("/")[2] for path in objects(store)) == [ENTRY, "result.txt"]


def test_a_process_that_dies_before_the_record_leaves_no_entry(
    store: RemoteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def died(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as dying:
        dying.setattr(store.files, "pipe_file", died)
        with pytest.raises(KeyboardInterrupt):
            keep(store)
    assert len(objects(store)) == 1
    assert not store.has(KEY)
    keep(store)
    assert store.has(KEY)


def damage_file(store: RemoteStore) -> None:
    (place,) = (path for path in objects(store) if path.endswith("result.txt"))
    store.files.pipe_file(place, b"a resulT")


def remove_file(store: RemoteStore) -> None:
    (place,) = (path for path in objects(store) if path.endswith("result.txt"))
    store.files.rm_file(place)


@pytest.mark.parametrize("damage", [damage_file, remove_file])
def test_a_damaged_entry_is_noticed_when_it_is_read_and_can_be_written_anew(
    store: RemoteStore, elsewhere: RemoteStore, damage: Callable[[RemoteStore], None]
) -> None:
    keep(store)
    damage(store)
    with pytest.raises(StudyError, match="was damaged and is removed; run the same command again"):
        elsewhere.folder(KEY)
    assert not elsewhere.has(KEY)
    keep(elsewhere)
    assert (elsewhere.folder(KEY) / "result.txt").read_text(encoding="utf-8") == "a result"


@pytest.mark.parametrize("record", [b"{", b"[]", b'{"files": []}', b"\xff"])
def test_a_damaged_record_is_noticed_before_anything_is_read(store: RemoteStore, record: bytes) -> None:
    keep(store)
    store.files.pipe_file(f"{store.base}/{KEY}/{ENTRY}", record)
    assert not store.has(KEY)
    assert store.is_damaged(KEY)
    store.discard(KEY)
    assert not store.is_damaged(KEY)
    assert objects(store) == {}


def test_a_damaged_copy_is_fetched_again(store: RemoteStore) -> None:
    keep(store)
    copy = store.folder(KEY) / "result.txt"
    copy.write_text("a resulT", encoding="utf-8")
    assert (store.folder(KEY) / "result.txt").read_text(encoding="utf-8") == "a result"


def test_what_a_killed_task_left_is_there_on_another_machine_until_the_task_is_done(
    store: RemoteStore, elsewhere: RemoteStore
) -> None:
    for content in ("older", "newer"):
        folder = store.partial(KEY)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "checkpoint").write_text(content, encoding="utf-8")
        store.keep_partial(KEY)
    assert (elsewhere.partial(KEY) / "checkpoint").read_text(encoding="utf-8") == "newer"
    assert len(objects(store)) == 2
    keep(elsewhere)
    assert not any("partial" in path for path in objects(store))
    assert not elsewhere.partial(KEY).exists()


def test_notes_are_records_that_replace_each_other(store: RemoteStore) -> None:
    assert list(store.notes()) == []
    store.note("a.json", {"outcome": "running"})
    store.note("a.json", {"outcome": "done"})
    store.note("b.json", {"outcome": "failed"})
    assert sorted(note["outcome"] for note in store.notes()) == ["done", "failed"]


def refusing(times: int, error: Exception, original: Callable[..., Any]) -> Callable[..., Any]:
    """`original`, after so many refusals."""
    left = iter(range(times))

    def call(*arguments: Any, **named: Any) -> Any:
        if next(left, None) is not None:
            raise error
        return original(*arguments, **named)

    return call


def test_a_store_that_refuses_for_a_while_is_asked_again(store: RemoteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []
    monkeypatch.setattr("time.sleep", waited.append)
    original = store.files.put_file
    monkeypatch.setattr(store.files, "put_file", refusing(3, ConnectionError("try later"), original))
    keep(store)
    assert store.has(KEY)
    assert waited == list(remote.WAITS[:3])


def test_a_store_that_refuses_for_good_is_a_clear_error(store: RemoteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    monkeypatch.setattr(store.files, "put_file", refusing(100, ConnectionError("down"), store.files.put_file))
    with pytest.raises(StudyError, match=r"the store \w+://\w+ refuses \(ConnectionError: down\); finished work"):
        keep(store)


def test_an_entry_whose_record_was_written_though_the_answer_was_lost_is_whole(
    store: RemoteStore, elsewhere: RemoteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    written, answers = store.files.pipe_file, iter([ConnectionError("reset")])

    def lost(*arguments: Any, **named: Any) -> None:
        written(*arguments, **named)
        for error in answers:
            raise error

    monkeypatch.setattr(store.files, "pipe_file", lost)
    keep(store)
    assert (elsewhere.folder(KEY) / "result.txt").read_text(encoding="utf-8") == "a result"
    assert sorted(path.rpartition("/")[2] for path in objects(store)) == [ENTRY, "result.txt"]


def test_a_server_may_say_in_words_of_its_own_that_another_was_first(
    store: RemoteStore, elsewhere: RemoteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = elsewhere.files.pipe_file

    def said(place: str, content: bytes, mode: str = "overwrite") -> None:
        try:
            written(place, content, mode=mode)
        except FileExistsError:
            raise OSError(errno.EINVAL, "At least one of the pre-conditions you specified did not hold") from None

    keep(store, "first")
    monkeypatch.setattr("time.sleep", lambda seconds: pytest.fail("waited"))
    monkeypatch.setattr(elsewhere.files, "pipe_file", said)
    keep(elsewhere, "second")
    assert (elsewhere.folder(KEY) / "result.txt").read_text(encoding="utf-8") == "first"
    assert len(objects(store)) == 2


def test_two_processes_at_the_same_task_keep_apart_what_they_go_on_from(
    store: RemoteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = store.partial(KEY)
    ours.mkdir(parents=True)
    (ours / "checkpoint").write_text("half of it", encoding="utf-8")
    monkeypatch.setattr("counterforensics.study.store.unfinished._token", lambda process: "another process")
    assert store.partial(KEY) != ours
    keep(store)
    assert (ours / "checkpoint").read_text(encoding="utf-8") == "half of it"


@pytest.mark.parametrize(
    "record",
    [
        b'{"a":' * 100_000,
        b'{"files": {"../../result.txt": "0"}, "at": "x"}',
        b'{"files": {"result.txt": []}, "at": "x"}',
        b'{"files": {}, "at": 3}',
    ],
    ids=["nested deep", "a file elsewhere", "no digest", "no place"],
)
def test_a_record_that_others_wrote_is_damaged_and_nothing_is_written_outside(
    store: RemoteStore, record: bytes
) -> None:
    store.files.pipe_file(f"{store.base}/{KEY}/entry.json", record)
    assert not store.has(KEY)
    assert store.is_damaged(KEY)
    assert not store.folder(KEY).exists()
    store.discard(KEY)
    keep(store)
    assert store.has(KEY)


def test_no_task_waits_long_for_a_note(store: RemoteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []
    monkeypatch.setattr("time.sleep", waited.append)
    monkeypatch.setattr(store.files, "pipe_file", refusing(100, ConnectionError("down"), keep))
    with pytest.raises(StudyError, match="refuses"):
        store.note("a.json", {})
    assert sum(waited) < 2


def test_a_store_that_may_not_be_written_is_not_asked_twice(
    store: RemoteStore, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: pytest.fail("waited"))
    monkeypatch.setattr(store.files, "pipe_file", refusing(100, PermissionError("read-only"), keep))
    with pytest.raises(StudyError, match=rf"cannot use the store {url} \(PermissionError: read-only\); check the addr"):
        RemoteStore(url)
    with pytest.raises(StudyError, match=r"refuses \(PermissionError: read-only\); finished work is kept"):
        keep(store)


def test_a_bucket_without_credentials_is_a_clear_error(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "no such file")
    monkeypatch.setitem(fsspec.config.conf, "s3", {"endpoint_url": server})
    with pytest.raises(StudyError, match=r"cannot use the store s3://bucket \(.*credentials.*\); check the address"):
        open_store("s3://bucket")


def test_an_unknown_file_system_is_a_clear_error() -> None:
    with pytest.raises(StudyError, match=r"cannot use the store nowhere://bucket \(ValueError: Protocol not known"):
        open_store("nowhere://bucket")


def test_a_folder_is_a_store_too(tmp_path: Path) -> None:
    for place in (str(tmp_path / "a"), tmp_path / "b", f"file://{tmp_path}/c"):
        assert type(open_store(place)) is FolderStore
    assert (tmp_path / "c").is_dir()


def test_a_study_in_a_remote_store_gives_the_same_rows(
    url: str, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcome = run_study(tiny_study(tmp_path), tmp_path / "out", store=url)
    assert (tmp_path / "out" / "rows.csv").read_bytes() == (finished / "rows.csv").read_bytes()
    assert not (tmp_path / "out" / "store").exists()
    assert json.loads((tmp_path / "out" / "run.json").read_text(encoding="utf-8"))["store"] == url
    monkeypatch.setattr("counterforensics.study.schedulers.execute.run_task", lambda *_: pytest.fail("computed again"))
    again = run_study(tiny_study(tmp_path), tmp_path / "out", store=url)
    assert again.rows.equals(outcome.rows)
    for link in (tmp_path / "out" / "detectors").glob("*/*/*"):
        assert link.is_dir()
        assert not link.is_symlink()
