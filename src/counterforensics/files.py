"""Files: of others only regular ones are read, as far as a limit allows; ours are written as a whole."""

from __future__ import annotations

import secrets
import stat
import tempfile
from pathlib import Path

from counterforensics.errors import CounterforensicsError, StudyError, shown


def read_regular(path: Path, limit: int, error: type[CounterforensicsError]) -> bytes:
    """All bytes of a regular file, 0 to `limit` of them.

    A pipe, a device, a socket or a folder is refused before it is opened, so that nothing waits. No byte is read behind
    the size that the file gives: the files of /proc give 0, and some of them never end. A file above `limit` bytes is
    refused before it is read.

    Raises `error`, with the path and the reason in one line, for these and for whatever the system says.
    """
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            raise error(f"{path}: cannot be read (not a regular file)")
        if found.st_size > limit:
            raise error(f"{path}: cannot be read ({found.st_size:,} bytes; at most {limit:,} work)")
        if not found.st_size:
            return b""
        with path.open("rb") as file:
            return file.read(found.st_size)
    except OSError as problem:
        raise error(f"{path}: cannot be read ({problem.strerror})") from problem
    except ValueError as problem:  # a path that no file can have
        raise error(f"{str(path)!r}: cannot be read ({problem})") from problem


def without_scheme(place: str) -> str:
    """A path without the `file://` or `local://` before it; an address of another kind as it is.

    >>> without_scheme("file:///data/runs"), without_scheme("s3://bucket/runs")
    ('/data/runs', 's3://bucket/runs')
    """
    return place.removeprefix("file://").removeprefix("local://")


def at_home(path: str | Path, error: type[CounterforensicsError] = StudyError) -> Path:
    """A path whose leading ~ stands for a home, as every path that is given to us is read.

    Raises `error` for the home of nobody, for the address of another machine, and for what is no path.
    """
    if "://" in str(path):
        raise error(f"{shown(str(path))} is an address; give a path of this machine")
    if "\0" in str(path):
        raise error(f"{shown(str(path))} is no path: it holds a zero byte")
    try:
        return Path(path).expanduser()
    except TypeError as problem:
        raise error(f"a path is a text or a pathlib.Path, got {type(path).__name__}") from problem
    except RuntimeError as problem:
        raise error(f"{shown(str(path))}: there is no such user, or no home; write the path without ~") from problem


def is_file(path: Path) -> bool:
    """Whether a file is there, which is none under a path that no file can have; see `exists`."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def exists(path: Path) -> bool:
    """Whether something is there, and be it a link to nothing.

    Nothing is under a path that no file can have, such as a name of 300 letters.
    """
    try:
        return path.exists() or path.is_symlink()
    except (OSError, ValueError):
        return False


def check_new(path: Path, error: type[CounterforensicsError]) -> None:
    """Raise an `error` unless a new file can be written to `path`; the folders above it are made."""
    if path.exists() or path.is_symlink():
        raise error(f"{path} exists already; give another name, or remove it first")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as problem:
        raise error(f"cannot write to {path.parent}: {problem.strerror}") from problem


def write_whole(path: Path, content: bytes) -> None:
    """Write a file beside its place and rename it there: a reader never sees half of it.  Raises OSError."""
    beside = path.with_name(f".{path.name}.{secrets.token_hex(8)}.part")
    try:
        beside.write_bytes(content)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
