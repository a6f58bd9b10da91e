"""The file from which a killed training goes on: tensors and progress in one safetensors file, whole or not there."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import torch
from safetensors.torch import save_file
from torch import Tensor

FILE = "checkpoint.safetensors"
_META = "progress"


@dataclass(frozen=True)
class Checkpoint:
    """The checkpoint, in `folder`, of the training that `identity` describes; a folder of None keeps nothing."""

    folder: Path | None
    identity: str

    def write(self, states: Mapping[str, Mapping[str, Tensor]], progress: Mapping[str, Any]) -> None:
        """Replace the checkpoint by `states` (name -> tensors by key) and `progress` (JSON values)."""
        if self.folder is None:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        tensors = {
            f"{state}/{key}": tensor.detach().cpu().contiguous()
            for state, content in states.items()
            for key, tensor in content.items()
        }
        beside = self.folder / f".{FILE}.{uuid.uuid4().hex}"
        save_file(tensors, beside, {_META: json.dumps({"identity": self.identity, **progress})})
        beside.replace(self.folder / FILE)

    def read(self) -> tuple[dict[str, dict[str, Tensor]], dict[str, Any]] | None:
        """The states and the progress that were written last; None without a whole checkpoint of this training."""
        if self.folder is None:
            return None
        states: dict[str, dict[str, Tensor]] = {}
        try:
            with safetensors.safe_open(self.folder / FILE, framework="pt") as file:
                progress = json.loads((file.metadata() or {})[_META])
                for name in file.keys():  # noqa: SIM118 - the file is no mapping
                    state, _, key = name.partition("/")
                    states.setdefault(state, {})[key] = file.get_tensor(name)
        except (OSError, KeyError, ValueError, safetensors.SafetensorError):
            return None
        return (states, progress) if progress.get("identity") == self.identity else None


def optimiser_state(optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The tensors that `optimiser` keeps for each parameter, under "position.name"."""
    state = optimiser.state_dict()["state"]
    return {f"{position}.{name}": tensor for position, kept in state.items() for name, tensor in kept.items()}


@torch.no_grad()
def restore_optimiser(optimiser: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Give `optimiser` back what `optimiser_state` took from one like it."""
    parameters = [parameter for group in optimiser.param_groups for parameter in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        position, _, name = key.partition(".")
        parameter = parameters[int(position)]
        # A fused optimiser walks through memory: its moments must lie as the parameter does (channels last).
        lying = torch.empty_like(parameter).copy_(tensor) if tensor.shape == parameter.shape else tensor
        state.setdefault(int(position), {})[name] = lying
    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})
