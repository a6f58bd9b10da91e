"""What the hardware offers: a GPU is used unasked, bfloat16 wherever it is fast."""

from __future__ import annotations

import contextlib
import os
import platform
from collections.abc import Iterator
from typing import Any, TypeVar

import torch
from torch import nn

from counterforensics.learning.course import Learned

Placed = TypeVar("Placed", bound=Learned)

PRECISIONS = ("bfloat16", "float32")


def best_device() -> torch.device:
    """The GPU if there is one, else the processor."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def placed(network: Placed) -> Placed:
    """`network` on the GPU, if there is one and it can use it."""
    return network.to(best_device()) if network.accelerated else network


def device_of(module: object) -> torch.device:
    """Where the tensors of `module` are; the processor for what has none."""
    parameters = module.parameters() if isinstance(module, nn.Module) else iter(())
    return next((parameter.device for parameter in parameters), torch.device("cpu"))


def describe(device: torch.device) -> str:
    """The device in words, for a record or a row."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else f"processor ({platform.machine()})"


def precision_on(device: torch.device, wanted: str) -> str:
    """`wanted`, or float32 where bfloat16 is missing or only emulated, and slower."""
    return wanted if wanted == "float32" or _has_bfloat16(device) else "float32"


def _has_bfloat16(device: torch.device) -> bool:
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    # torch answers for processors through private names alone; without them bfloat16 is not used.
    asked = (getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))
    return any(ask() for ask in asked if ask is not None)


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """Mixed precision as `precision_on` found it."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bfloat16")


def exact(device: torch.device) -> torch.autocast:
    """Full precision within `autocast`: bfloat16 has no room for a grey level in 256."""
    return torch.autocast(device.type, enabled=False)


@contextlib.contextmanager
def deterministic(device: torch.device) -> Iterator[None]:
    """On a GPU, only kernels whose result repeats; on the processor all of ours do."""
    if device.type != "cuda":
        yield
        return
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    memory: Any = torch.utils.deterministic
    before = torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark
    filled = memory.fill_uninitialized_memory
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.backends.cudnn.benchmark = False
    # Nobody reads memory that was not written, and filling it takes a kernel for every tensor that is made.
    memory.fill_uninitialized_memory = False
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0])
        torch.backends.cudnn.benchmark = before[1]
        memory.fill_uninitialized_memory = filled
