"""ImageNet's weights for our Xception, from a file or the Hugging Face hub, by the names that timm gives its layers."""

from __future__ import annotations

import re
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path

import safetensors
from torch import nn

from counterforensics.errors import StudyError, WeightsError, shown
from counterforensics.files import is_file
from counterforensics.learning.weights import read_tensors

HUB = "hub:"
FILE = "model.safetensors"
_REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}", re.ASCII)
_NO_HUB = "weights from the Hugging Face hub need the extra hub: pip install 'counterforensics[hub]'"

# timm's `legacy_xception`, layer by layer.
_THEIR_NAMES = {
    "entry.0": "conv1",
    "entry.1": "bn1",
    "entry.3": "conv2",
    "entry.4": "bn2",
    **{f"entry.{place}": f"block{place - 5}" for place in (6, 7, 8)},
    **{f"middle.{place}": f"block{place + 4}" for place in range(8)},
    "exit.0": "block12",
    "exit.1": "conv3",
    "exit.2": "bn3",
    "exit.4": "conv4",
    "exit.5": "bn4",
}
_OURS_ALONE = "last."
_THEIRS_ALONE = {"fc.weight", "fc.bias"}


def check_source_name(source: str) -> None:
    """Raise StudyError if `source` begins like a repository of the hub and cannot be one."""
    name = source.removeprefix(HUB)
    if source.startswith(HUB) and (not _REPOSITORY.fullmatch(name) or ".." in name):
        raise StudyError(f"xception: imagenet must be a file or {HUB}OWNER/NAME, got {shown(source)}")


def check_legacy_xception(network: nn.Module, source: str) -> None:
    """Raise WeightsError if `source` is a file that `load_legacy_xception` would refuse; only its header is read."""
    if source.startswith(HUB):
        if find_spec("huggingface_hub") is None:
            raise WeightsError(_NO_HUB)
        return
    if not is_file(Path(source)):
        raise WeightsError(
            f"xception: imagenet={shown(source)} is no file; give one with the weights of legacy_xception"
        )
    try:
        with safetensors.safe_open(source, framework="pt") as file:
            theirs = {name: list(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
    except (OSError, safetensors.SafetensorError) as error:
        raise WeightsError(
            f"{source} is no safetensors file ({error}); give one of legacy_xception's weights"
        ) from error
    state = network.state_dict()
    ours = {_their_name(name): name for name in state if not name.startswith(_OURS_ALONE)}
    _check_names(source, theirs, ours)
    for their_name, name in ours.items():
        if theirs[their_name] != list(state[name].shape):
            shapes = f"{theirs[their_name]} in place of {list(state[name].shape)}"
            raise WeightsError(f"{source} does not hold the weights of legacy_xception: {their_name} is {shapes}")


def _check_names(source: str, theirs: Iterable[str], ours: Iterable[str]) -> None:
    alone = sorted((set(theirs) - _THEIRS_ALONE) ^ set(ours))
    if alone:
        raise WeightsError(f"{source} does not hold the weights of legacy_xception: {alone[0]} has no counterpart")


def load_legacy_xception(network: nn.Module, source: str) -> None:
    """Give every layer of our Xception but the last the weights in `source`, a safetensors file or `hub:OWNER/NAME`.

    Raises WeightsError if there is none, or it holds another network.
    """
    theirs = read_tensors(_from_hub(source.removeprefix(HUB)) if source.startswith(HUB) else Path(source))
    ours = {name: _their_name(name) for name in network.state_dict() if not name.startswith(_OURS_ALONE)}
    _check_names(source, theirs, ours.values())
    try:
        network.load_state_dict({name: theirs[their_name] for name, their_name in ours.items()}, strict=False)
    except RuntimeError as error:
        raise WeightsError(f"{source} does not hold the weights of legacy_xception: {error}") from error


def _their_name(name: str) -> str:
    """timm's name for one of our tensors: `entry.6.rep.0.pointwise.weight` is `block1.rep.0.pointwise.weight`."""
    part, place, *rest = name.split(".")
    return ".".join([_THEIR_NAMES[f"{part}.{place}"], *rest])


def _from_hub(repository: str) -> Path:
    try:
        from huggingface_hub import hf_hub_download
    except ImportError as error:
        raise WeightsError(_NO_HUB) from error
    try:
        return Path(hf_hub_download(repository, FILE))
    except (OSError, ValueError) as error:
        raise WeightsError(f"{FILE} of {repository} cannot be fetched from the Hugging Face hub: {error}") from error
