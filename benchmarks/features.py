"""Exact SPAM features against sealwatch, the public Python implementation of the rich models."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from benchmarks.side_by_side import Agreement, Goal, Result, Timed, ratio, threads
from counterforensics.features import s3_spam14hv

NAME = "SPAM features"
COMPARISON = "s3_spam14hv whole against sealwatch's four cooccurrence4 on residuals it is given; one thread"
GOAL = Goal(at_least=100)
THEIRS = 8  # patches that sealwatch is timed on; ours are timed on the whole batch, both by the patch

Residuals = npt.NDArray[np.float64]


def against_sealwatch(patches: Tensor) -> Result:
    """Time of sealwatch's four co-occurrences of a patch over the time of our whole feature.

    Theirs starts from quantised residuals and ends before the symmetries are merged, so whatever else it does
    is not held against it; ours is timed from pixels to the 338 numbers.
    """
    theirs = recounting(patches)
    if theirs is None:
        remark = "skipped: sealwatch is not installed (pip install --no-deps -r oracles.txt)"
        return Result(NAME, COMPARISON, None, "times faster", GOAL, remark=remark)
    symm4 = _module_of_sealwatch("srm.symm").symm4
    planes = patches[:, 0].numpy()
    features = np.stack([np.hstack([symm4(part, T=2) for part in pair]) for pair in theirs.call()])  # type: ignore[attr-defined]
    difference = np.abs(features - s3_spam14hv(planes[:THEIRS])).max().item()
    with threads(1):
        measured, times = ratio(theirs, Timed(lambda: s3_spam14hv(planes), units=len(planes), calls=4), pairs=9)
    agreement = Agreement("features", difference, 5e-7)
    return Result(NAME, COMPARISON, measured, "times faster", GOAL, (agreement,), times)


def recounting(patches: Tensor) -> Timed | None:
    """sealwatch's four co-occurrences of some of the patches; None where it is not installed."""
    if find_spec("sealwatch") is None:
        return None
    count, rounding = _module_of_sealwatch("srm.cooccurrence").cooccurrence4, _module_of_sealwatch("tools.matlab").round
    residuals = [_residuals(plane, rounding) for plane in patches[:THEIRS, 0].numpy()]

    def tables() -> list[tuple[Any, Any]]:
        return [
            (count(r, "hor", 2) + count(u, "ver", 2), count(r, "ver", 2) + count(u, "hor", 2)) for r, u in residuals
        ]

    return Timed(tables, units=THEIRS)


def _residuals(plane: npt.NDArray[np.uint8], rounded: Callable[[Any], Any]) -> tuple[Residuals, Residuals]:
    """R and U, divided by 3, rounded and truncated as sealwatch's `all3rd` leaves them."""
    x = plane.astype(int)
    r = -x[2:-2, 4:] + 3 * x[2:-2, 3:-1] - 3 * x[2:-2, 2:-2] + x[2:-2, 1:-3]
    u = -x[:-4, 2:-2] + 3 * x[1:-3, 2:-2] - 3 * x[2:-2, 2:-2] + x[3:-1, 2:-2]
    return np.clip(rounded(r / 3), -2, 2), np.clip(rounded(u / 3), -2, 2)


def _module_of_sealwatch(name: str) -> Any:
    """One of its modules, without its packages' own start, which imports JPEG libraries not needed here."""
    spec = find_spec("sealwatch")
    assert spec is not None
    root = Path(str(spec.origin)).parent
    for package in ("sealwatch", "sealwatch.srm", "sealwatch.tools"):
        if package not in sys.modules:
            empty = ModuleType(package)
            empty.__path__ = [str(root.joinpath(*package.split(".")[1:]))]
            empty.__spec__ = spec
            sys.modules[package] = empty
    return importlib.import_module(f"sealwatch.{name}")
