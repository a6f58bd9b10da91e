"""What comes from other machines: silence and floods end in one clear line."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import fsspec
import pytest

import counterforensics
from counterforensics import load_detector, records
from counterforensics.errors import StudyError, WeightsError
from counterforensics.learning import fetching, weights
from counterforensics.study.store import remote
from counterforensics.study.store.remote import RemoteStore, open_store

OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\n"
A_BLOCK = bytes(2**16)


def silent(line: socket.socket) -> None:
    """Say nothing until the other has gone."""
    while line.recv(2**16):
        pass


def endless(line: socket.socket) -> None:
    """Answer every question by zeros without end."""
    is_head = line.recv(2**16).startswith(b"HEAD")
    line.sendall(OK + b"Connection: close\r\n\r\n")
    while not is_head:
        line.sendall(A_BLOCK)


def promising(line: socket.socket) -> None:
    """Promise 10^12 bytes, and send zeros."""
    is_head = line.recv(2**16).startswith(b"HEAD")
    line.sendall(OK + b"Content-Length: 1000000000000\r\nConnection: close\r\n\r\n")
    while not is_head:
        line.sendall(A_BLOCK)


def senseless(line: socket.socket) -> None:
    """Send zeros from the first moment."""
    while True:
        line.sendall(A_BLOCK)


@contextmanager
def serving(answer: Callable[[socket.socket], None]) -> Iterator[str]:
    """The host and port of a server that answers so."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        lines: list[socket.socket] = []

        def serve(line: socket.socket) -> None:
            with suppress(OSError), line:
                answer(line)

        def listen() -> None:
            with suppress(OSError):  # closed
                while True:
                    lines.append(listener.accept()[0])
                    threading.Thread(target=serve, args=(lines[-1],), daemon=True).start()

        threading.Thread(target=listen, daemon=True).start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        for line in lines:
            with suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Patience of half a second, and a limit of a megabyte."""
    for module in (fetching, remote):
        monkeypatch.setattr(module, "SECONDS_TO_ANSWER", 0.5)
    for module, name in ((records, "LIMIT"), (weights, "MOST")):
        monkeypatch.setattr(module, name, 2**20)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (silent, r"TimeoutError: no answer for 0 s"),
        (endless, r"TooMuchError: more than 1,048,576 bytes"),
        (promising, r"TooMuchError: 1,000,000,000,000 bytes; at most 1,048,576 work"),
        (senseless, r"\w+: .*"),
    ],
)
def test_a_detector_from_a_server_that_is_none_is_one_clear_line(answer: Any, said: str) -> None:
    pytest.importorskip("aiohttp")
    with (
        serving(answer) as place,
        pytest.raises(WeightsError, match=rf"^no detector could be read from .* \({said}\)$"),
    ):
        load_detector(f"http://{place}/detector")


def test_a_chain_of_file_systems_is_refused_before_the_inner_one_is_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    chain = f"zip://detector::{tmp_path}/pipe"
    with pytest.raises(WeightsError, match="an address with :: joins file systems; give the address of one"):
        load_detector(chain)
    with pytest.raises(StudyError, match="an address with :: joins file systems; give the address of one"):
        open_store(chain)


@pytest.mark.parametrize("scheme", ["file://", "local://"])
def test_the_address_of_a_folder_here_is_the_folder(scheme: str, tmp_path: Path) -> None:
    shipped = Path(counterforensics.__file__).parent / "zoo"
    (record,) = shipped.glob("spam-svm/median*7/detector.json")
    assert load_detector(f"{scheme}{record.parent}").trained_for == "median:7"
    os.mkfifo(tmp_path / "detector.json")
    with pytest.raises(WeightsError, match=r"^no detector at .*not a regular file"):
        load_detector(f"{scheme}{tmp_path}")


@pytest.mark.parametrize("arguments", [("run", "demo", "--out"), ("photos",), ("status",)])
def test_an_address_in_the_place_of_a_path_is_one_line(refused: Callable[..., str], arguments: tuple[str, ...]) -> None:
    said = refused(*arguments, "s3://bucket/folder")
    assert said == "'s3://bucket/folder' is an address; give a path of this machine"


@pytest.mark.parametrize(
    ("answer", "probe"), [(silent, True), (endless, True), (promising, True), (senseless, True), (silent, False)]
)
def test_a_store_at_a_server_that_is_none_is_one_clear_line(answer: Any, probe: bool) -> None:
    pytest.importorskip("aiohttp")
    with (
        serving(answer) as place,
        pytest.raises(StudyError, match=r"^cannot .* the store http://.* \(\w+.*\); check the address"),
    ):
        open_store(f"http://{place}/store", probe=probe)


def test_what_comes_slowly_comes_whole_and_a_trickle_is_given_up(tmp_path: Path) -> None:
    turn = threading.Semaphore(0)

    class Slow:
        def __init__(self, blocks: int, size: int) -> None:
            self.blocks, self.size = blocks, size

        def __enter__(self) -> Slow:
            return self

        def __exit__(self, *_: object) -> None: ...

        def read(self, _: int) -> bytes:
            turn.acquire(timeout=0.3)  # nobody releases it
            self.blocks -= 1
            return bytes(self.size) if self.blocks >= 0 else b""

    def files(blocks: int, size: int) -> Any:
        return SimpleNamespace(info=lambda place: {"size": None}, open=lambda place, mode: Slow(blocks, size))

    fetching.download(files(4, fetching.LEAST), "here", tmp_path / "slow", 2**20)
    assert (tmp_path / "slow").stat().st_size == 4 * fetching.LEAST
    with pytest.raises(TimeoutError, match="no answer for"):
        fetching.download(files(1000, 1), "here", tmp_path / "trickle", 2**20)


def test_errors_and_answers_come_through(tmp_path: Path) -> None:
    assert fetching.within(60, lambda: 3) == 3
    with pytest.raises(ZeroDivisionError):
        fetching.within(60, lambda: 1 // 0)
    memory = fsspec.filesystem("memory")
    memory.pipe_file("/fetched/file", b"content")
    fetching.download(memory, "/fetched/file", tmp_path / "copy", 7)
    assert (tmp_path / "copy").read_bytes() == b"content"
    with pytest.raises(FileNotFoundError):
        fetching.download(memory, "/fetched/nothing", tmp_path / "copy", 7)
    with pytest.raises(fetching.TooMuchError):
        fetching.download(memory, "/fetched/file", tmp_path / "copy", 6)


def test_a_remote_store_that_answers_is_opened(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("COUNTERFORENSICS_COPIES", str(tmp_path))
    assert isinstance(open_store("memory://answers"), RemoteStore)
    assert isinstance(open_store("memory://answers", probe=False), RemoteStore)
