"""Standard output is for answers: what strangers write there is sent to standard error."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Iterator

_OUT, _ERROR = 1, 2  # the file descriptors of a process
_changing = threading.Lock()
_inside = 0  # threads
_restoring = contextlib.ExitStack()


@contextlib.contextmanager
def output_as_errors() -> Iterator[None]:
    """Meanwhile all that this process and its children write to standard output goes to standard error.

    Threads may be inside at the same time: the last one that leaves brings standard output back.
    """
    global _inside
    with _changing:
        if not _inside:
            _redirect()
        _inside += 1
    try:
        yield
    finally:
        with _changing:
            _inside -= 1
            if not _inside:
                _restoring.close()


def _redirect() -> None:
    """Redirect Python's standard output and the file descriptor behind it; `_restoring` undoes both."""
    with contextlib.suppress(OSError):  # a process may have neither of the two
        _flush()
        kept = os.dup(_OUT)
        _restoring.callback(os.close, kept)
        _restoring.callback(os.dup2, kept, _OUT)
        _restoring.callback(_flush)
        os.dup2(_ERROR, _OUT)
    _restoring.enter_context(contextlib.redirect_stdout(sys.stderr))


def _flush() -> None:
    """Write what stands in Python's buffer to where standard output goes now."""
    if sys.stdout is not None:
        with contextlib.suppress(OSError):  # whoever writes next meets the same error
            sys.stdout.flush()
