"""The memory of this process: how much it held at most, and giving back what it no longer holds."""

from __future__ import annotations

import contextlib
import ctypes
import resource
import sys
from functools import cache
from pathlib import Path
from typing import Any


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
    trim = _trimmer()
    if trim is not None:
        trim(0)


@cache
def _trimmer() -> Any:
    """glibc's malloc_trim; None elsewhere."""
    try:
        return ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):
        return None
