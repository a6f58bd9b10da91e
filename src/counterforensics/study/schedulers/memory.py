"""The memory of this process: how much it held at most, what it keeps for the next, and what it gives back."""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

# mallopt's names for what is fetched from the system by itself, and for how much may lie free; the most that the first
# may be, which glibc also ends at by itself.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_LARGE = 32 * 2**20


_running = [0]  # tasks of this process
_counting = threading.Lock()


def peak_memory() -> int:
    """Bytes that this process held at most, so far, or since `peak_of_task` began."""
    with contextlib.suppress(OSError):
        # What getrusage tells on Linux includes the process that started this one.
        status = Path("/proc/self/status").read_text(encoding="ascii")
        return int(status.partition("VmHWM:")[2].split()[0]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


@contextlib.contextmanager
def peak_of_task() -> Iterator[None]:
    """Begin `peak_memory` anew, unless another task runs in this process: what it held earlier is not of this one."""
    with _counting:
        if not _running[0]:
            with contextlib.suppress(OSError):  # Linux alone can
                Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
        _running[0] += 1
    try:
        yield
    finally:
        with _counting:
            _running[0] -= 1


def memory_of_machine() -> int | None:
    """Bytes of memory that there are for this process; None where that cannot be told."""
    limits = []
    with contextlib.suppress(OSError, ValueError):
        limits.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    with contextlib.suppress(OSError, ValueError):  # of a container; "max" is no limit
        limits.append(int(Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii")))
    return min(limits, default=None)


def release() -> None:
    """Return freed memory to the system, where the C library can.

    Tensors that come and go in threads leave holes, and glibc keeps them: batch after batch the process grew by half.
    """
    trim = of_glibc("malloc_trim")
    if trim is not None:
        trim(0)


@cache
def reuse() -> None:
    """Let freed memory serve what is asked for next, until `release`.

    glibc learns that by itself, but not in a process that Dask started: its setting for small memory has every array
    fetched from the system anew, page by page, and comparing patches took four times as long.
    """
    choose = of_glibc("mallopt")
    if choose is not None:
        for parameter, value in ((_MMAP_THRESHOLD, _LARGE), (_TRIM_THRESHOLD, 2 * _LARGE)):
            choose(parameter, value)


@cache
def of_glibc(name: str) -> Any:
    """A function of glibc; None elsewhere."""
    try:
        return getattr(ctypes.CDLL(None), name)
    except (AttributeError, OSError, TypeError):
        return None


@dataclass(frozen=True)
class MemoryLimit:
    """The memory that one task may take where it runs."""

    size: int | None  # bytes; None where nobody says
    where: str  # who has it
    gpu: bool  # whether tasks that can use a GPU run on one, whose memory they then take


class Budget:
    """Bytes of memory that the threads of this process share: who asks for more than is left waits for the others."""

    def __init__(self, total: int) -> None:
        self.total = total
        self._left = total
        self._changed = threading.Condition()

    @contextlib.contextmanager
    def taken(self, size: int) -> Iterator[None]:
        """Hold so many bytes while the block lasts. Who needs more than there are gets all of them, alone."""
        size = min(size, self.total)
        with self._changed:
            self._changed.wait_for(lambda: size <= self._left)
            self._left -= size
        try:
            yield
        finally:
            with self._changed:
                self._left += size
                self._changed.notify_all()


# For photographs that are decoded, manipulated and cut. The largest that Pillow opens (179 megapixels) fits.
FOR_PHOTOGRAPHS = Budget(2_700_000_000)
