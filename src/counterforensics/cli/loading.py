"""Loading torch and the other large libraries, which takes most of the time of a short command."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator


@contextlib.contextmanager
def loading() -> Iterator[None]:
    """Keep Python from looking for garbage during an import.

    An import makes hundreds of thousands of objects and no garbage. Without this, the search takes a tenth of the time.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
