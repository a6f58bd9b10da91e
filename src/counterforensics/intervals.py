"""The interval of a rate that resampling says nothing about."""

from __future__ import annotations

import math

_NORMAL = 1.959963984540054  # the 97.5 % quantile of the normal distribution

Interval = tuple[float, float]


def wilson(rate: float, trials: int) -> Interval:
    """95 % score interval (Wilson 1927) of a rate, 0..1, over so many independent trials, at least 1.

    It is short, and holds the true rate about as often as it says even for few trials and at 0 and 1, where the usual
    one has no width (Brown, Cai & DasGupta 2001, who advise it below 40 trials). Clopper and Pearson's is always on the
    safe side, but counts whole successes alone; photographs may agree on a rate between.

    >>> [round(end, 4) for end in wilson(1.0, 60)]
    [0.9398, 1.0]
    """
    square = _NORMAL**2 / trials
    middle = (rate + square / 2) / (1 + square)
    half = math.sqrt(square * (rate * (1 - rate) + square / 4)) / (1 + square)
    # The ends at 0 and 1 are exact, but for rounding.
    return 0.0 if rate <= 0 else max(0.0, middle - half), 1.0 if rate >= 1 else min(1.0, middle + half)
