"""Trained detectors in files: the tensors as safetensors, what they are as JSON. Nothing is ever unpickled."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch

from counterforensics import __version__, names
from counterforensics.detectors.base import Network, Recipe
from counterforensics.errors import CounterforensicsError, WeightsError

TENSORS = "weights.safetensors"
RECORD = "detector.json"


def save(network: Network, folder: Path, *, name: str, recipe: Recipe, record: Mapping[str, Any]) -> None:
    """Write `network` into `folder` (which exists): its tensors, and a record of how it came about.

    The record repeats the name, the recipe's settings, the version and the tensors' SHA-256, and whatever
    `record` adds (manipulation, seed, one digest of all that it was trained on).
    """
    tensors = {key: tensor.detach().cpu().contiguous() for key, tensor in network.state_dict().items()}
    content = safetensors.torch.save(tensors)
    (folder / TENSORS).write_bytes(content)
    described = {
        "detector": name,
        "settings": dataclasses.asdict(recipe),  # type: ignore[call-overload]
        "version": __version__,
        "sha256": hashlib.sha256(content).hexdigest(),
        "training": dict(network.facts),
        **record,
    }
    (folder / RECORD).write_text(json.dumps(described, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def read_record(folder: Path) -> dict[str, Any]:
    """The record beside the tensors in `folder`.  Raises WeightsError if it is missing or unreadable."""
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise WeightsError(f"no detector at {folder}: a folder with {RECORD} and {TENSORS} is one ({error})") from error
    if not isinstance(record, dict) or not {"detector", "settings", "sha256"} <= record.keys():
        raise WeightsError(f"{folder / RECORD} is not the record of a detector; it lacks detector, settings or sha256")
    return record


def load(folder: Path, recipes: Mapping[str, names.Factory]) -> Network:
    """The detector stored in `folder`, in evaluation mode.

    Raises WeightsError if a file is missing, truncated, of another recipe, altered since it was written,
    or holds NaN.
    """
    record = read_record(folder)
    path = folder / TENSORS
    try:
        content = path.read_bytes()
    except OSError as error:
        raise WeightsError(f"{path} cannot be read ({error.strerror})") from error
    if hashlib.sha256(content).hexdigest() != record["sha256"]:
        raise WeightsError(f"{path} is truncated or altered: its SHA-256 is not the one in {RECORD}")
    try:
        tensors = safetensors.torch.load(content)
    except safetensors.SafetensorError as error:
        raise WeightsError(f"{path} is not a safetensors file ({error})") from error
    try:
        recipe: Recipe = names.build("detector", str(record["detector"]), record["settings"], recipes)
        network = recipe.build()
        network.load_state_dict(tensors)
    except (CounterforensicsError, RuntimeError) as error:
        raise WeightsError(f"{folder} holds another detector than its record says: {error}") from error
    if not all(torch.isfinite(tensor).all() for tensor in tensors.values() if tensor.is_floating_point()):
        raise WeightsError(f"{path} holds NaN or infinity; train this detector again")
    network.facts = record.get("training", {})
    return network.eval()
