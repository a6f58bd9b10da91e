"""Functions that numba compiles, and keeps compiled wherever it has a folder for that.

numba keeps them as pickles that hold machine code: whoever can write into that folder can run code in this process, as
with Python's own `__pycache__`. The package unpickles no other file.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable
from typing import Any

import numba
from numba.core.caching import FunctionCache

from counterforensics.errors import SlowStartWarning

_said: set[str] = set()
_SLOW = (
    "no folder can keep compiled code, so every start takes some seconds more; "
    "set NUMBA_CACHE_DIR to a folder that you alone can write to"
)


class _KeptCode(FunctionCache):  # type: ignore[misc]
    """Compiled code on disk. Damaged files are written anew, and a full disk ends nothing: the function is compiled."""

    def load_overload(self, signature: Any, target: Any) -> Any:
        """The compiled function for these types; None if it is not there, or cannot be read."""
        try:
            return super().load_overload(signature, target)
        except Exception:  # whatever bytes stand there
            with contextlib.suppress(OSError):
                self.flush()
            return None

    def save_overload(self, signature: Any, data: Any) -> None:
        """Keep the compiled function, where that is possible."""
        try:
            super().save_overload(signature, data)
        except Exception:
            _say_once(_SLOW)


def compiled(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """`numba.njit(**options)`, kept between runs.

    Without a folder to keep it in (packages that cannot be written, no home, a full disk) every process compiles anew,
    with the same result. Then a SlowStartWarning says once what to set.
    """

    def decorate(function: Callable[..., Any]) -> Any:
        dispatcher = numba.njit(**options)(function)
        try:
            dispatcher._cache = _KeptCode(function)
        except (RuntimeError, OSError):  # numba finds no folder, or one that is none
            _say_once(_SLOW)
        return dispatcher

    return decorate


def _say_once(message: str) -> None:
    if message not in _said:
        _said.add(message)
        warnings.warn(message, SlowStartWarning, stacklevel=2)
