"""ImageNet's weights for our Xception, from a file or the Hugging Face hub, by the names that timm gives its layers."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from counterforensics.errors import WeightsError
from counterforensics.learning.weights import read_tensors

HUB = "hub:"
FILE = "model.safetensors"

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


def load_legacy_xception(network: nn.Module, source: str) -> None:
    """Give every layer of our Xception but the last the weights in `source`, a safetensors file or `hub:OWNER/NAME`.

    Raises WeightsError if there is none, or it holds another network.
    """
    theirs = read_tensors(_from_hub(source.removeprefix(HUB)) if source.startswith(HUB) else Path(source))
    ours = {name: _their_name(name) for name in network.state_dict() if not name.startswith(_OURS_ALONE)}
    alone = sorted((theirs.keys() - _THEIRS_ALONE) ^ set(ours.values()))
    if alone:
        raise WeightsError(f"{source} does not hold the weights of legacy_xception: {alone[0]} has no counterpart")
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
        message = "weights from the Hugging Face hub need the extra hub: pip install 'counterforensics[hub]'"
        raise WeightsError(message) from error
    try:
        return Path(hf_hub_download(repository, FILE))
    except (OSError, ValueError) as error:
        raise WeightsError(f"{FILE} of {repository} cannot be had from the Hugging Face hub: {error}") from error
