"""Who has the page open: the files of each client, and how the work of each is stopped."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import threading
from collections import defaultdict
from pathlib import Path


class Clients:
    """The clients of a page, by the name of their session.  Several threads may use it at once.

    folder: where the page keeps uploads and what it serves, each file in a folder of its own.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._stops: dict[str, threading.Event] = {}
        self._uploads: defaultdict[str, set[Path]] = defaultdict(set)

    def begin(self, session: str) -> threading.Event:
        """Work begins; the event that it returns is set when the client stops the work, or leaves."""
        with self._lock:
            stop = self._stops[session] = threading.Event()
            return stop

    def stop(self, session: str) -> None:
        """Stop the work that this client asked for, if there is any."""
        with self._lock:
            if session in self._stops:
                self._stops[session].set()

    def received(self, session: str, upload: Path) -> None:
        """Note a file that a client sent; the files that the client sent earlier are deleted."""
        with self._lock:
            earlier = self._uploads[session] - {upload}
            self._uploads[session] = {upload}
            self._forget(earlier)

    def place(self, session: str, name: str) -> Path:
        """Where a new file for this client may be written; `name` is how it ends."""
        folder = self._folder / self._token(session)
        folder.mkdir(exist_ok=True)
        return folder / f"{self._token(session)}-{name}"

    def leave(self, session: str) -> None:
        """A client closed the page: its work stops, and every file of the client is deleted."""
        self.stop(session)
        with self._lock:
            self._stops.pop(session, None)
            self._forget(self._uploads.pop(session, set()))
        for served in self._folder.glob(f"*/{self._token(session)}-*"):
            shutil.rmtree(served.parent, ignore_errors=True)

    def _forget(self, uploads: set[Path]) -> None:
        """Delete uploads; one that another client sent as well stays until that client leaves."""
        for upload in uploads - set().union(*self._uploads.values()):
            upload.unlink(missing_ok=True)
            with contextlib.suppress(OSError):  # the same bytes under another name lie in the same folder
                upload.parent.rmdir()

    @staticmethod
    def _token(session: str) -> str:
        return hashlib.sha256(session.encode()).hexdigest()[:8]
