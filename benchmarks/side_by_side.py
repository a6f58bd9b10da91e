"""Two ways to do one thing, timed in turns: a busy machine slows both of a pair, and the ratio stays."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Timed:
    """Something to time: `call` does `units` units of work, and one measurement makes `calls` calls."""

    call: Callable[[], object]
    units: int = 1
    calls: int = 1

    def seconds_per_unit(self) -> float:
        """Wall time of one unit of work, over one measurement."""
        start = time.perf_counter()
        for _ in range(self.calls):
            self.call()
        return (time.perf_counter() - start) / (self.calls * self.units)


@dataclass(frozen=True)
class Spread:
    """A median with the smallest and the largest value."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: list[float]) -> Spread:
        """The spread of some values."""
        return cls(statistics.median(values), min(values), max(values))


@dataclass(frozen=True)
class Goal:
    """The aim for a measurement: at least a value, or at most."""

    at_least: float | None = None
    at_most: float | None = None

    def met(self, value: float) -> bool:
        """Whether `value` is good enough."""
        return (self.at_least is None or value >= self.at_least) and (self.at_most is None or value <= self.at_most)

    def __str__(self) -> str:
        return f"at least {self.at_least:g}" if self.at_least is not None else f"at most {self.at_most:g}"


@dataclass(frozen=True)
class Agreement:
    """How far two results lie apart, and how far they may."""

    of_what: str
    difference: float
    allowed: float

    @property
    def holds(self) -> bool:
        """Whether the results are near enough to be called the same; not a number never is."""
        return self.difference <= self.allowed


@dataclass(frozen=True)
class Result:
    """One line of the table."""

    name: str
    comparison: str
    measured: Spread | None  # None: not measured here, and `remark` says why
    unit: str
    goal: Goal
    agreements: tuple[Agreement, ...] = ()
    remark: str = ""


def ratio(one: Timed, other: Timed, *, pairs: int) -> tuple[Spread, str]:
    """How many times the time of `other` a unit of `one` takes, and both times in words.

    Both run once to warm up (compilation, caches), then `pairs` times in turns, one other one other; a
    ratio is taken of each pair.
    """
    one.call()
    other.call()
    times = [(one.seconds_per_unit(), other.seconds_per_unit()) for _ in range(pairs)]
    first, second = (_duration(statistics.median(column)) for column in zip(*times, strict=True))
    return Spread.of([a / b for a, b in times]), f"{first} against {second} a patch"


def _duration(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1e3:.3g} ms"


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Let torch, and the kernels that follow it, use `count` threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
