"""Functions that numba compiles, and keeps compiled wherever it has a folder for that."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numba

from counterforensics.errors import SlowStartWarning

_said: set[str] = set()


def compiled(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """`numba.njit(**options)`, kept between runs.

    Without a folder to keep it in (packages that cannot be written, no home) every process compiles anew, with the same
    result. Then a SlowStartWarning says once what to set.
    """

    def decorate(function: Callable[..., Any]) -> Any:
        try:
            return numba.njit(cache=True, **options)(function)
        except RuntimeError as error:
            if "cannot cache" not in str(error):
                raise
        message = (
            "no folder can keep compiled code, so that every start takes some seconds more; "
            "set NUMBA_CACHE_DIR to a folder that can be written"
        )
        if message not in _said:
            _said.add(message)
            warnings.warn(message, SlowStartWarning, stacklevel=2)
        return numba.njit(**options)(function)

    return decorate
