"""Whether a report that stands on disk is still the one an outcome would give: drawing it again takes a while."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import version
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from counterforensics.files import is_file

MANIFEST = ".report.json"
_NO_CODE = ("__pycache__",)
_MODULES = ("outcome.py", "ranking.py", "error_rates.py", "intervals.py")  # outside `report`, and decide what it says


def digest_of(outcome: Any, package: Traversable | None = None) -> str:
    """SHA-256 of everything in an outcome, and of the code and the library that draw it.

    package: the folder of `counterforensics` whose code is meant, by default the one that runs.
    """
    package = package or files("counterforensics")
    digest = hashlib.sha256()
    for content in (version("matplotlib").encode(), *_code(package), *_contents(outcome)):
        digest.update(len(content).to_bytes(8, "big") + content)
    return digest.hexdigest()


def stands(out: Path, digest: str) -> bool:
    """Whether the report with that digest is in `out`, none of its files missing."""
    found = _read(out)
    return found.get("digest") == digest and all(is_file(out / name) for name in found["files"])


def outdated(out: Path, names: Iterable[str]) -> list[Path]:
    """The files of an earlier report in `out` that one with the files `names` does not have."""
    old = (out / name for name in sorted(set(_read(out)["files"]) - set(names)))
    return [path for path in old if path.resolve().is_relative_to(out.resolve())]


def manifest_of(digest: str, names: Iterable[str]) -> bytes:
    """The content of the manifest: what the report was made of, and its files, relative to its folder."""
    return (json.dumps({"digest": digest, "files": sorted(names)}, indent=1) + "\n").encode()


def _read(out: Path) -> dict[str, Any]:
    """The manifest in `out`, that of no report where there is none."""
    try:
        found = json.loads((out / MANIFEST).read_text(encoding="utf-8"))
        return {"digest": str(found["digest"]), "files": [str(name) for name in found["files"]]}
    except (OSError, ValueError, KeyError, TypeError):
        return {"files": []}


def _code(package: Traversable) -> Iterator[bytes]:
    """Path and content of every file that decides how an outcome is shown."""
    for name in _MODULES:
        yield package.joinpath(name).read_bytes()
    yield from _folder(package.joinpath("report"), "report")


def _folder(folder: Traversable, path: str) -> Iterator[bytes]:
    for part in sorted(folder.iterdir(), key=lambda part: part.name):
        if part.is_dir() and part.name not in _NO_CODE:
            yield from _folder(part, f"{path}/{part.name}")
        elif part.is_file():
            yield f"{path}/{part.name}".encode()
            yield part.read_bytes()


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
