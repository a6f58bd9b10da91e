"""What the hardware offers: a GPU is used where there is one, bfloat16 where it is fast."""

from __future__ import annotations

import contextlib
import os
import platform
from collections.abc import Iterator
from typing import Any, TypeVar

import torch
from torch import nn

from counterforensics.learning.monitor import SavedNetwork

Placed = TypeVar("Placed", bound=SavedNetwork)

PRECISIONS = ("bfloat16", "float32")


def best_device() -> torch.device:
    """The GPU if there is one, else the processor."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def placed(network: Placed) -> Placed:
    """`network` on the GPU, if there is one and it can use it.

    From then on float32 means float32 on the GPU: TensorFloat-32 would round each factor of a convolution to 10 bits.
    """
    if not network.accelerated:
        return network
    device = best_device()
    if device.type == "cuda":
        torch.backends.cudnn.allow_tf32 = False
        torch.backends.cuda.matmul.allow_tf32 = False
    return network.to(device)


def device_of(module: object) -> torch.device:
    """The device of the parameters of `module`; the processor where it has none."""
    parameters = module.parameters() if isinstance(module, nn.Module) else iter(())
    return next((parameter.device for parameter in parameters), torch.device("cpu"))


def describe(device: torch.device) -> str:
    """The device in words, for records."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else f"processor ({platform.machine()})"


def precision_on(device: torch.device, wanted: str) -> str:
    """`wanted`, or float32 where bfloat16 is not faster."""
    return wanted if wanted == "float32" or is_fast_in_bfloat16(device) else "float32"


def is_fast_in_bfloat16(device: torch.device) -> bool:
    """Whether the device computes in bfloat16 itself, and faster than in float32.

    Of processors only those with matrix tiles (AMX) count. One with AVX-512 instructions alone multiplied matrices at
    83 GFLOP/s in bfloat16 and at 150 in float32, on one core (measured on a Xeon; of others inferred).
    """
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    # torch answers for processors through a private name alone; without it bfloat16 is not used.
    ask = getattr(torch.cpu, "_is_amx_tile_supported", None)
    return ask is not None and bool(ask())


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """The context in which a network computes in `precision`, as `precision_on` found it."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bfloat16")


def exact(device: torch.device) -> torch.autocast:
    """Full precision within `autocast`: the 8 bits of bfloat16 cannot hold small differences of grey levels."""
    return torch.autocast(device.type, enabled=False)


@contextlib.contextmanager
def deterministic(device: torch.device) -> Iterator[None]:
    """On a GPU, use only kernels whose result repeats. On the processor all of ours do."""
    if device.type != "cuda":
        yield
        return
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    memory: Any = torch.utils.deterministic
    before = torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark
    filled = memory.fill_uninitialized_memory
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.backends.cudnn.benchmark = False
    # Nobody reads memory that was not written, and filling it takes one kernel a tensor.
    memory.fill_uninitialized_memory = False
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0])
        torch.backends.cudnn.benchmark = before[1]
        memory.fill_uninitialized_memory = filled
