"""Records that others wrote: JSON is read up to a limit, and whatever else stands there is an error of ours."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from counterforensics.errors import CounterforensicsError
from counterforensics.files import read_regular

LIMIT = 64 * 2**20  # bytes; the record of a run of 100,000 tasks has a third of that

_IN_JSON = {dict: "an object", list: "a list", str: "a text", bool: "true or false", type(None): "null"}


def parse(content: bytes) -> Any:
    """The JSON value in `content`.  Raises ValueError if it holds none, or one that is nested too deep.

    >>> parse(b'{"seed": 0}')
    {'seed': 0}
    """
    try:
        return json.loads(content)
    except RecursionError as error:
        raise ValueError("it is nested too deep") from error


def read(path: Path, error: type[CounterforensicsError]) -> Any:
    """The JSON value in a regular file.  Raises `error`, in one line, if there is none."""
    try:
        return parse(read_regular(path, LIMIT, error))
    except ValueError as problem:
        raise error(f"{path}: holds no JSON ({problem})") from problem


def called(value: Any) -> str:
    """What a JSON value is, in words.

    >>> called(None), called([]), called(3)
    ('null', 'a list', 'a number')
    """
    return _IN_JSON.get(type(value), "a number")
