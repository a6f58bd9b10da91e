"""Files from other machines: no answer is waited for without end, and none fills memory or disk."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar

import fsspec

Answer = TypeVar("Answer")

SECONDS_TO_ANSWER = 20.0
LEAST = 20_000  # bytes that must come in that time
_BLOCK = 2**20


class TooMuchError(OSError):
    """More came than was asked for."""


def file_system_at(url: str, **options: Any) -> tuple[Any, str]:
    """The fsspec file system behind an address, and the path in it.

    Raises ValueError for a chain of file systems, whose inner one is opened and read at once, however large, and
    whatever fsspec raises.
    """
    if "::" in url:
        raise ValueError("an address with :: joins file systems; give the address of one")
    found: tuple[Any, str] = fsspec.url_to_fs(url, **options)
    return found


def within(seconds: float, call: Callable[[], Answer]) -> Answer:
    """What `call` returns or raises.  Raises TimeoutError after so many seconds; the call is then left to itself."""
    answer = _begun(call)
    try:
        return answer.result(seconds)
    except TimeoutError:
        if answer.done():  # its own
            raise
        raise TimeoutError(f"no answer for {seconds:.0f} s") from None


def download(files: Any, place: str, target: Path, most: int) -> None:
    """Copy what an fsspec file system has at `place` into the file `target`.

    Raises TooMuchError for more than `most` bytes, TimeoutError where (almost) nothing comes for `SECONDS_TO_ANSWER`,
    and whatever the file system raises.
    """
    came = [0]
    copied = _begun(lambda: _copy(files, place, target, most, came))
    while True:
        before = came[0]
        try:
            return copied.result(SECONDS_TO_ANSWER)
        except TimeoutError:
            if copied.done():  # its own
                raise
            if came[0] - before < LEAST:
                came[0] = most  # the next block ends it
                raise TimeoutError(f"no answer for {SECONDS_TO_ANSWER:.0f} s") from None


def _copy(files: Any, place: str, target: Path, most: int, came: list[int]) -> None:
    size = files.info(place).get("size") or 0
    if size > most:
        raise TooMuchError(f"{size:,} bytes; at most {most:,} work")
    with files.open(place, "rb") as source, target.open("wb") as copy:
        while block := source.read(_BLOCK):
            came[0] += len(block)
            if came[0] > most:
                raise TooMuchError(f"more than {most:,} bytes")
            copy.write(block)


def _begun(call: Callable[[], Answer]) -> Future[Answer]:
    """The future of `call`, in a thread that no end of this process waits for."""
    answer: Future[Answer] = Future()

    def run() -> None:
        try:
            answer.set_result(call())
        except BaseException as error:
            answer.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return answer
