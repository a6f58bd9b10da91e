"""Trained networks in files: tensors as safetensors, a record of them as JSON. Nothing is ever unpickled."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import fsspec
import safetensors
import safetensors.torch
import torch
from torch import Tensor

from counterforensics import __version__, names
from counterforensics.errors import CounterforensicsError, WeightsError
from counterforensics.learning.monitor import SavedNetwork

TENSORS = "weights.safetensors"
# Raised when older versions of the package can no longer read what is written.
FORMAT = 1
# A tensor of at least so many values takes half the room in float16; a smaller one is not worth the rounding.
MANY = 4096


class Settings(Protocol):
    """A frozen dataclass that says how a network is built."""

    def build(self) -> Any:
        """The network with every tensor in its place, untrained."""


def record_of(kind: str) -> str:
    """The name of the record beside the tensors of a `kind`, `detector` or `generator`."""
    return f"{kind}.json"


def save(
    network: SavedNetwork,
    folder: Path,
    *,
    name: str,
    settings: Settings,
    record: Mapping[str, Any],
    kind: str = "detector",
    half: bool = False,
) -> None:
    """Write `network` into `folder` (which exists): its tensors, and a record of how it came about.

    kind: what it is, `detector` or `generator`.  The record repeats the name, the settings, how training went, the
    version and the tensors' SHA-256, and whatever `record` adds (manipulation, seed, one digest of all that it was
    trained on).  half: store large tensors as float16: for what is shipped, whose figures are then measured on what
    was stored.
    """
    tensors = {key: tensor.detach().cpu().contiguous() for key, tensor in network.state_dict().items()}
    if half:
        tensors = {key: tensor.half() if tensor.numel() >= MANY else tensor for key, tensor in tensors.items()}
    content = safetensors.torch.save(tensors)
    (folder / TENSORS).write_bytes(content)
    described = {
        "format": FORMAT,
        kind: name,
        "settings": dataclasses.asdict(settings),  # type: ignore[call-overload]
        "version": __version__,
        "sha256": hashlib.sha256(content).hexdigest(),
        "training": dict(network.facts),
        **record,
    }
    write_record(folder, described, kind)


def write_record(folder: Path, record: Mapping[str, Any], kind: str = "detector") -> None:
    """Put `record` beside the tensors in `folder`."""
    (folder / record_of(kind)).write_text(json.dumps(record, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def read_record(folder: Path, kind: str = "detector") -> dict[str, Any]:
    """The record beside the tensors in `folder`.  Raises WeightsError if it is missing, unreadable or too new."""
    path = folder / record_of(kind)
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise WeightsError(
            f"no {kind} at {folder}: a folder with {path.name} and {TENSORS} is one ({error})"
        ) from error
    if not isinstance(record, dict) or not {kind, "settings", "sha256"} <= record.keys():
        raise WeightsError(f"{path} is not the record of a {kind}; it lacks {kind}, settings or sha256")
    if record.get("format", FORMAT) != FORMAT:
        written = f"in format {record['format']} by version {record.get('version')}"
        raise WeightsError(f"{folder} was written {written}; this version, {__version__}, reads format {FORMAT}")
    return record


@contextlib.contextmanager
def fetched(url: str, kind: str = "detector") -> Iterator[Path]:
    """A folder with a copy of what is stored at an fsspec URL.  Raises WeightsError if it cannot be read."""
    with tempfile.TemporaryDirectory() as place:
        try:
            files, base = fsspec.url_to_fs(url)
            for name in (TENSORS, record_of(kind)):
                (Path(place) / name).write_bytes(files.cat_file(f"{base.rstrip('/')}/{name}"))
        except Exception as error:  # each file system has its own
            raise WeightsError(f"no {kind} could be read from {url} ({type(error).__name__}: {error})") from error
        yield Path(place)


def load(folder: Path, known: Mapping[str, Any], kind: str = "detector") -> Any:
    """The network of this kind stored in `folder`, in evaluation mode; `known`: settings by name.

    Raises WeightsError if a file is missing, truncated, of other settings or another format, altered since it was
    written, or holds NaN.
    """
    record = read_record(folder, kind)
    path = folder / TENSORS
    content = _read(path)
    if hashlib.sha256(content).hexdigest() != record["sha256"]:
        raise WeightsError(f"{path} is truncated or altered: its SHA-256 is not the one in {record_of(kind)}")
    tensors = _parse(content, path)
    try:
        network: SavedNetwork = names.build(kind, str(record[kind]), record["settings"], known).build()
        network.load_state_dict(tensors)
    except (CounterforensicsError, RuntimeError) as error:
        raise WeightsError(f"{folder} holds another {kind} than its record says: {error}") from error
    if not all(torch.isfinite(tensor).all() for tensor in tensors.values() if tensor.is_floating_point()):
        raise WeightsError(f"{path} holds NaN or infinity; train this {kind} again")
    network.facts = record.get("training", {})
    network.trained_for = str(record.get("manipulation", ""))
    return network.eval()


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file of others.  Raises WeightsError if it is missing or something else."""
    return _parse(_read(path), path)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise WeightsError(f"{path} cannot be read ({error.strerror})") from error


def _parse(content: bytes, path: Path) -> dict[str, Tensor]:
    try:
        tensors: dict[str, Tensor] = safetensors.torch.load(content)
    except safetensors.SafetensorError as error:
        raise WeightsError(f"{path} is not a safetensors file ({error})") from error
    return tensors
