"""Whether a report that stands on disk is still the one an outcome would give: drawing it again takes a while."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

STAMP = ".report.json"


def digest_of(outcome: Any) -> str:
    """SHA-256 of everything in an outcome, and of the code and the library that draw it."""
    digest = hashlib.sha256(version("matplotlib").encode())
    for part in sorted(files("counterforensics.report").iterdir(), key=lambda part: part.name):
        if part.is_file():
            digest.update(part.read_bytes())
    for content in _contents(outcome):
        digest.update(len(content).to_bytes(8, "big") + content)
    return digest.hexdigest()


def stands(out: Path, digest: str) -> bool:
    """Whether the report with that digest is in `out`, none of its files missing."""
    stamped = _read(out)
    return stamped.get("digest") == digest and all((out / name).is_file() for name in stamped["files"])


def outdated(out: Path, names: Iterable[str]) -> list[Path]:
    """The files of an earlier report in `out` that one with the files `names` does not have."""
    old = (out / name for name in sorted(set(_read(out)["files"]) - set(names)))
    return [path for path in old if path.resolve().is_relative_to(out.resolve())]


def stamp(digest: str, names: Iterable[str]) -> bytes:
    """The content of the stamp: what the report was made of, and its files, relative to its folder."""
    return (json.dumps({"digest": digest, "files": sorted(names)}, indent=1) + "\n").encode()


def _read(out: Path) -> dict[str, Any]:
    """The stamp in `out`, that of no report where there is none."""
    try:
        stamped = json.loads((out / STAMP).read_text(encoding="utf-8"))
        return {"digest": str(stamped["digest"]), "files": [str(name) for name in stamped["files"]]}
    except (OSError, ValueError, KeyError, TypeError):
        return {"files": []}


def _contents(value: Any) -> Iterator[bytes]:
    """Everything in nested dataclasses, mappings and sequences, in order."""
    yield type(value).__name__.encode()
    if isinstance(value, pd.DataFrame):
        yield value.to_csv(index=False).encode()
    elif isinstance(value, np.ndarray):
        yield f"{value.dtype} {value.shape}".encode()
        yield value.tobytes()
    elif dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            yield from _contents(getattr(value, field.name))
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _contents(key)
            yield from _contents(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _contents(item)
    else:
        yield repr(value).encode()
