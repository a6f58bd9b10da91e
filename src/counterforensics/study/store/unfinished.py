"""Folders of unfinished work: how a process keeps its own, and how those that nobody works on are swept away.

Neither the name of a host nor the number of a process says whose a folder is: containers and clones share both. So a
folder has a random name. Its process holds a lock on it, which ends with the process, however that ends, and renews the
folder's time every few seconds. The lock tells processes of the same kernel apart, in whatever containers they are.
Elsewhere, and where folders cannot be locked, a folder counts as left when its time is old.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import threading
import uuid
from functools import cache
from pathlib import Path

SECONDS_BETWEEN_BEATS = 20.0
SECONDS_UNTIL_LEFT = 900.0  # without a beat

_locks: dict[Path, int | None] = {}  # of the folders that this process holds: an open, locked file each
_changing = threading.Lock()


class UnfinishedFolders:
    """The folders of unfinished work in one place."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def place(self, name: str) -> Path:
        """Where a folder of this process is, or would be: for the same name always the same."""
        return self.root / f"{_kernel()}-{_token(os.getpid())}-{name}"

    def hold(self, path: Path) -> None:
        """Make an empty folder at `path`, a `place`, and keep it from others until `release`."""
        self.release(path)
        while True:
            path.mkdir()
            is_ours, lock = _locked(path)
            if is_ours:
                break
        with _changing:
            _locks[path] = lock
        _keep_beating(os.getpid())

    def release(self, path: Path) -> None:
        """Remove the folder at `path`, if it is still there, and let it go."""
        shutil.rmtree(path, ignore_errors=True)
        with _changing:
            lock = _locks.pop(path, None)
        if lock is not None:
            os.close(lock)

    def sweep(self) -> None:
        """Remove the folders that nobody works on."""
        now = self._now()
        for path in self.root.iterdir():
            with contextlib.suppress(OSError):
                if path not in _locks:
                    _remove_if_left(path, now)

    def _now(self) -> float:
        """The time by the clock that folders here get theirs from, which may be a server's."""
        fresh = self.place(uuid.uuid4().hex)
        self.hold(fresh)
        try:
            return fresh.stat().st_mtime
        finally:
            self.release(fresh)


def beat() -> None:
    """Renew the time of every folder that this process holds."""
    with _changing:
        held = list(_locks)
    for path in held:
        with contextlib.suppress(OSError):  # it became an entry a moment ago
            os.utime(path)


@cache
def _keep_beating(process: int) -> None:
    """Start the thread that renews the folders of this process, once."""
    resting = threading.Event()

    def go_on() -> None:
        while not resting.wait(SECONDS_BETWEEN_BEATS):
            beat()

    threading.Thread(target=go_on, name="heartbeat", daemon=True).start()


def _remove_if_left(path: Path, now: float) -> None:
    """Remove a folder that nobody works on any more.  Raises OSError if it is gone."""
    is_old = now - path.lstat().st_mtime > SECONDS_UNTIL_LEFT
    lock = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
    try:
        can_tell = _take(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        of_this_kernel = bool(_kernel()) and path.name.startswith(f"{_kernel()}-")
        if is_old or (can_tell and of_this_kernel):
            shutil.rmtree(path)  # locked, so that its process sees that it is gone
    except BlockingIOError:
        return  # it is held
    finally:
        os.close(lock)


def _locked(path: Path) -> tuple[bool, int | None]:
    """Whether the folder at `path` is still there, and the open, locked folder; None where folders have no locks."""
    try:
        lock = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False, None  # swept before it could be locked
    if not _take(lock, fcntl.LOCK_SH):
        os.close(lock)
        return True, None
    try:
        if os.path.samestat(os.fstat(lock), path.stat()):
            return True, lock
    except FileNotFoundError:
        pass
    os.close(lock)
    return False, None


def _take(lock: int, how: int) -> bool:
    """Lock an open folder; False where folders have no locks.  Raises BlockingIOError if another holds it."""
    try:
        fcntl.flock(lock, how)
    except BlockingIOError:
        raise
    except OSError:
        return False
    return True


@cache
def _kernel() -> str:
    """What tells this running kernel from every other; "" where it does not say."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip().replace("-", "")
    except (OSError, ValueError):
        return ""


@cache
def _token(process: int) -> str:
    """A random name of this process; `process` is its number, as a fork is another."""
    return uuid.uuid4().hex
