"""SPAM descent: the cost of visiting a pixel, against the cost of computing the feature anew."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from torch import Tensor

from benchmarks.features import recounting
from benchmarks.side_by_side import Goal, Result, Spread, Timed, ratio, threads
from counterforensics.attacks.spam_descent import sweep
from counterforensics.attacks.spam_objective import Followed, Objective, aimed, followed
from counterforensics.features import s3_spam14hv

MILLISECONDS = 1e3
FLOOR = 1e-7


def begin(plane: npt.NDArray[np.uint8]) -> Followed:
    """A patch and an objective of random weights, always the same: time does not depend on them."""
    weights = np.random.default_rng(0).normal(size=338)
    return aimed(followed(plane, FLOOR), Objective(np.zeros(338), weights, FLOOR, 0.0))


def one_sweep(plane: npt.NDArray[np.uint8]) -> int:
    """Every pixel visited once, both of its steps weighed, the better one taken.  Returns how many changed."""
    before, order = plane.astype(np.int16), np.random.default_rng(0).permutation(plane.size)
    lowest, highest = np.zeros_like(before), np.full_like(before, 255)
    return int(sweep(*begin(plane), before, lowest, highest, order, np.inf, -np.inf))


def full_sweep(patches: Tensor) -> Result:
    """Wall time of a sweep, which is not a ratio, so it depends on the machine."""
    plane = patches[0, 0].numpy()
    timed = Timed(lambda: one_sweep(plane))
    timed.call()
    measured = Spread.of([MILLISECONDS * timed.seconds_per_unit() for _ in range(15)])
    comparison = f"a full sweep of a 128x128 patch, {one_sweep(plane):,} pixels changed; one thread"
    return Result("SPAM descent", comparison, measured, "ms", Goal(at_most=50))


def against_our_own_recount(patches: Tensor) -> Result:
    """A visited pixel by counting both candidates anew with the fastest kernel there is, over ours."""
    planes = patches[:, 0].numpy()
    with threads(1):
        measured, times = ratio(
            Timed(lambda: s3_spam14hv(planes), units=len(planes) // 2, calls=4),
            Timed(lambda: one_sweep(planes[0]), units=planes[0].size),
            pairs=9,
        )
    comparison = "a visited pixel, incrementally against computing s3_spam14hv of both candidates anew; one thread"
    return Result("SPAM descent", comparison, measured, "times faster", Goal(at_least=1000), remark=times)


def against_sealwatch_recount(patches: Tensor) -> Result:
    """The same, counted anew by sealwatch."""
    comparison = "a visited pixel, incrementally against sealwatch's cooccurrence4 of both candidates; one thread"
    goal = Goal(at_least=1000)
    tables = recounting(patches)
    if tables is None:
        remark = "skipped: sealwatch is not installed (pip install --no-deps -r oracles.txt)"
        return Result("SPAM descent", comparison, None, "times faster", goal, remark=remark)
    plane = patches[0, 0].numpy()
    with threads(1):
        measured, times = ratio(
            Timed(tables.call, units=tables.units // 2), Timed(lambda: one_sweep(plane), units=plane.size), pairs=5
        )
    return Result("SPAM descent", comparison, measured, "times faster", goal, remark=times)
