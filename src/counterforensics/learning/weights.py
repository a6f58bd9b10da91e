"""Trained networks in files: tensors as safetensors, a record of them as JSON. Neither is ever unpickled."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import math
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from counterforensics import __version__, names, records
from counterforensics.errors import CounterforensicsError, WeightsError, in_one_line, reason_of
from counterforensics.files import read_regular
from counterforensics.learning.fetching import download, file_system_at
from counterforensics.learning.monitor import SavedNetwork

TENSORS = "weights.safetensors"
# Raised when older versions of the package can no longer read what is written.
FORMAT = 1
# A tensor of at least so many values takes half the room in float16; a smaller one is not worth the rounding.
MANY = 4096
MOST = 2**30  # bytes of the tensors of one network; the largest here has 84 MB
# What the training of any network says in numbers.
_FIGURES = (
    *("pairs", "pairs_per_step", "patches", "start_patches", "steps", "best_step", "seconds"),
    *("validation_loss", "validation_acc", "validation_auc", "validation_patches", "validation_psnr"),
    *("validation_detected", "validation_photos", "threshold_fpr_001", "threshold_fpr_01", "threshold_fpr_05"),
)
_LARGEST = 1e300  # number in a record: an infinite one, or a whole one of 400 digits, fits no table
# Kinds of numbers that tensors of real numbers may be stored as.
FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


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
    """The record beside the tensors in `folder`.

    Raises WeightsError if it is missing, unreadable, too new, or no record of a `kind`.
    """
    path = folder / record_of(kind)
    try:
        record = records.read(path, WeightsError)
    except WeightsError as error:
        raise WeightsError(
            f"no {kind} at {folder}: a folder with {path.name} and {TENSORS} is one ({error})"
        ) from error
    if not isinstance(record, dict) or not {kind, "settings", "sha256"} <= record.keys():
        raise WeightsError(f"{path} is not the record of a {kind}; it lacks {kind}, settings or sha256")
    if record.get("format", FORMAT) != FORMAT:
        written = in_one_line(f"in format {record['format']} by version {record.get('version')}")
        raise WeightsError(f"{folder} was written {written}; this version, {__version__}, reads format {FORMAT}")
    _check_shape(record, kind, path)
    return record


def _check_shape(record: Mapping[str, Any], kind: str, path: Path) -> None:
    """Raise WeightsError unless every entry of a record that is read has its type."""
    texts, objects = (kind, "sha256", "manipulation", "laundering"), ("settings", "training")
    lists = ("photos", "devices")
    wanted = dict.fromkeys(texts, str) | dict.fromkeys(objects, dict) | dict.fromkeys(lists, list)
    if isinstance(record.get("devices"), dict):  # of a shipped detector: device -> number of photographs
        wanted["devices"] = dict
    for name, type_ in wanted.items():
        if name in record and not isinstance(record[name], type_):
            says = f"{name} must be {records.called(type_())}, got {records.called(record[name])}"
            raise WeightsError(f"{path} is not the record of a {kind}: {says}")
    for name in lists:
        if not all(isinstance(one, str) for one in record.get(name, [])):
            raise WeightsError(f"{path} is not the record of a {kind}: {name} must be a list of texts")
    for name, value in [("pairs", record.get("pairs", 0)), *record.get("training", {}).items()]:
        if not isinstance(value, str | int | float) or (not isinstance(value, str) and abs(value) > _LARGEST):
            raise WeightsError(f"{path} is not the record of a {kind}: {name} must be a number or a text")
        if name in _FIGURES and (isinstance(value, str) or not math.isfinite(value)):
            raise WeightsError(f"{path} is not the record of a {kind}: {name} must be a number")


@contextlib.contextmanager
def fetched(url: str, kind: str = "detector") -> Iterator[Path]:
    """A folder with a copy of what is stored at an fsspec URL.  Raises WeightsError if it cannot be read."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as place:
        try:
            files, base = file_system_at(url)
            for name, most in ((record_of(kind), records.LIMIT), (TENSORS, MOST)):
                download(files, f"{base.rstrip('/')}/{name}", Path(place) / name, most)
        except Exception as error:  # each file system has its own
            raise WeightsError(f"no {kind} could be read from {url} ({reason_of(error)})") from error
        yield Path(place)


def load(folder: Path, known: Mapping[str, Any], kind: str = "detector") -> Any:
    """The network of this kind stored in `folder`, in evaluation mode; `known`: settings by name.

    Raises WeightsError if a file is missing, truncated, of other settings or another format, altered since it was
    written, or holds NaN, another kind of numbers, or nothing that was learned.
    """
    record = read_record(folder, kind)
    path = folder / TENSORS
    content = _read(path)
    if hashlib.sha256(content).hexdigest() != record["sha256"]:
        raise WeightsError(f"{path} is truncated or altered: its SHA-256 is not the one in {record_of(kind)}")
    tensors = _parse(content, path)
    try:
        network: SavedNetwork = names.build(kind, record[kind], record["settings"], known).build()
        _check_numbers(tensors, network.state_dict(), path)
        network.load_state_dict(tensors)
    except (CounterforensicsError, RuntimeError) as error:
        raise WeightsError(f"{folder} holds another {kind} than its record says: {in_one_line(error)}") from error
    _check_values(network, path, kind)
    network.facts = record.get("training", {})
    network.trained_for = str(record.get("manipulation", ""))
    network.learned_photos = frozenset(record.get("photos", ()))
    network.learned_devices = frozenset(record.get("devices", ()))
    return network.eval()


def _check_numbers(tensors: Mapping[str, Tensor], wanted: Mapping[str, Tensor], path: Path) -> None:
    """Raise WeightsError where a tensor holds another kind of numbers than the network's of that name."""
    for name, tensor in tensors.items():
        if name not in wanted or tensor.dtype == wanted[name].dtype:
            continue
        if tensor.dtype not in FLOATS or wanted[name].dtype not in FLOATS:
            raise WeightsError(f"{name} in {path.name} holds {tensor.dtype}, not {wanted[name].dtype}")


def _check_values(network: SavedNetwork, path: Path, kind: str) -> None:
    """Raise WeightsError where a tensor holds NaN, or all that training changes is zero: then nothing was learned."""
    state = network.state_dict().values()
    if not all(torch.isfinite(tensor).all() for tensor in state if tensor.is_floating_point()):
        raise WeightsError(f"{path} holds NaN or infinity; train this {kind} again")
    learned = list(network.parameters())
    if learned and not any(parameter.any() for parameter in learned):
        raise WeightsError(f"{path} holds no trained weights: every weight is zero; train this {kind} again")


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file of others.  Raises WeightsError if it is missing or something else."""
    return _parse(_read(path), path)


def _read(path: Path) -> bytes:
    return read_regular(path, MOST, WeightsError)


def _parse(content: bytes, path: Path) -> dict[str, Tensor]:
    try:
        tensors: dict[str, Tensor] = safetensors.torch.load(content)
    except safetensors.SafetensorError as error:
        raise WeightsError(f"{path} is not a safetensors file ({in_one_line(error)})") from error
    return tensors
