"""Compiled kernels on as many threads as torch may use."""

from __future__ import annotations

import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch


def by_threads(kernel: Callable[..., None], *arrays: Any) -> None:
    """Call `kernel` on parts of the batch: every array is cut along its first dimension, all in the same places.

    The kernel gives up Python's lock, and what it makes of a patch does not depend on the patches beside it.
    """
    workers = min(torch.get_num_threads(), len(arrays[0]))
    if workers <= 1:
        return kernel(*arrays)
    parts = zip(*(np.array_split(array, workers) for array in arrays), strict=True)
    list(_pool(workers).map(lambda part: kernel(*part), parts))


@functools.cache
def _pool(workers: int) -> ThreadPoolExecutor:
    """Threads that stay: a kernel runs for a few milliseconds, and starting threads takes a part of that."""
    return ThreadPoolExecutor(workers)
