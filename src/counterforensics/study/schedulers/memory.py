"""The memory of this process: how much it held at most, what it keeps for the next, and what it gives back."""

from __future__ import annotations

import contextlib
import ctypes
import resource
import sys
from functools import cache
from pathlib import Path
from typing import Any

# mallopt's names for what is fetched from the system by itself, and for how much may lie free; the most that the first
# may be, which glibc also ends at by itself.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_LARGE = 32 * 2**20


def peak_memory() -> int:
    """Bytes that this process held at most, so far."""
    with contextlib.suppress(OSError):
        # What getrusage tells on Linux includes the process that started this one.
        status = Path("/proc/self/status").read_text(encoding="ascii")
        return int(status.partition("VmHWM:")[2].split()[0]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


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
