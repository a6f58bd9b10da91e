"""The rows of a study, looked up by what was measured and taken together over the seeds."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from counterforensics.errors import StudyError
from counterforensics.report.labels import DETECTORS, EASY, HARD, ordered
from counterforensics.study.outcome import ROW_COLUMNS

_TEXTS = ("study", "manipulation", "detector", "target", "attack", "training", "learned")
_PLANNED = "as planned"  # how an attack's `learned` ends where its training went to the end
_LIKENESS = ("ssim", "psnr_pristine", "ssim_pristine", "psnr_before", "ssim_before")
_YOUNGER = (
    "training",
    "learned",
    "changed",
    "already",
    "success",
    *_LIKENESS,
)  # columns that rows of older versions lack
Key = tuple[str, str, str, str]


@dataclass(frozen=True)
class Spread:
    """One figure over the seeds that have it: mean, lowest, highest, and how many seeds."""

    mean: float
    low: float
    high: float
    seeds: int


class Measured:
    """A study's rows by (manipulation, detector, target, attack); the last two are "" without an attack."""

    def __init__(self, rows: pd.DataFrame) -> None:
        """rows: the columns of rows.csv, rates 0..1.  Raises StudyError where a column is missing."""
        rows = rows.reindex(columns=[*rows.columns, *(name for name in _YOUNGER if name not in rows.columns)])
        missing = [name for name in ROW_COLUMNS if name not in rows.columns]
        if missing:
            raise StudyError(f"rows lack the column(s) {', '.join(missing)}; they need {', '.join(ROW_COLUMNS)}")
        frame = rows.loc[:, list(ROW_COLUMNS)].copy()
        for name in ROW_COLUMNS:
            # A rows.csv that was read back has NaN where a text is empty.
            texts = name in _TEXTS
            frame[name] = frame[name].astype(object).fillna("").astype(str) if texts else pd.to_numeric(frame[name])
        self._frame = frame
        groups = frame.groupby(["manipulation", "detector", "target", "attack"], sort=False)
        self._groups: dict[Key, pd.DataFrame] = {tuple(key): part for key, part in groups}  # type: ignore[misc]
        self.manipulations = ordered(frame["manipulation"], (*EASY, *HARD))
        self.detectors = ordered(frame["detector"], DETECTORS)
        self.seeds = sorted({int(seed) for seed in frame["seed"].dropna()})

    @property
    def contests(self) -> list[tuple[str, str]]:
        """Every (target, attack) in the rows: attacks as they came, their targets in the paper's order."""
        pairs = dict.fromkeys((target, attack) for _, _, target, attack in self._groups if attack)
        attacks = list(dict.fromkeys(attack for _, attack in pairs))
        return [
            (target, attack)
            for attack in attacks
            for target in ordered((t for t, a in pairs if a == attack), DETECTORS)
        ]

    def manipulations_of(self, target: str, attack: str) -> list[str]:
        """The manipulations that have at least one row for this contest."""
        return [m for m in self.manipulations if any(k[0] == m and k[2:] == (target, attack) for k in self._groups)]

    def spread(
        self, column: str, manipulation: str, detector: str, target: str = "", attack: str = ""
    ) -> Spread | None:
        """The figure `column` over the seeds, or None where no seed has it."""
        part = self._groups.get((manipulation, detector, target, attack))
        return _spread(part, column) if part is not None else None

    def interval(
        self, manipulation: str, detector: str, target: str = "", attack: str = ""
    ) -> tuple[float, float] | None:
        """95 % interval of the TPR; over several seeds from the lowest lower to the highest upper end."""
        low = self.spread("tpr_low", manipulation, detector, target, attack)
        high = self.spread("tpr_high", manipulation, detector, target, attack)
        return (low.low, high.high) if low and high else None

    def quality(self, column: str, manipulation: str, target: str, attack: str) -> Spread | None:
        """A figure of the concealed patches themselves, which is the same whoever judges them."""
        parts = [part for key, part in self._groups.items() if (key[0], *key[2:]) == (manipulation, target, attack)]
        if not parts:
            return None
        by_seed = pd.concat(parts).groupby("seed")[column].first().reset_index()
        return _spread(by_seed, column)

    def trainings(self, detector: str) -> list[str]:
        """How `detector` was trained, in the words of its rows; more than one where manipulations differ."""
        texts = self._frame.loc[self._frame["detector"] == detector, "training"]
        return [text for text in dict.fromkeys(texts) if text]

    def learned(self, attack: str) -> list[str]:
        """How an attack that learns was trained, in the words of its rows; more than one where manipulations differ."""
        texts = self._frame.loc[self._frame["attack"] == attack, "learned"]
        return [text for text in dict.fromkeys(texts) if text]

    def endings(self, manipulation: str, attack: str) -> tuple[int, int]:
        """How many trainings there were of the attack for this manipulation, and how many of them ended as planned."""
        part = self._frame[(self._frame["attack"] == attack) & (self._frame["manipulation"] == manipulation)]
        # Of a training that failed no row says anything; in older files, nor does a row whose judge failed.
        learned = part.groupby("seed")["learned"].max()
        return len(learned), int(learned.str.endswith(_PLANNED).sum())

    def counts(self, target: str, attack: str) -> tuple[str, str]:
        """How many pristine and manipulated patches stand behind each figure of a contest, as text."""
        part = self._frame[(self._frame["target"] == target) & (self._frame["attack"] == attack)]
        return _count(part["n_pristine"]), _count(part["n_manipulated"])


def together(spreads: Iterable[Spread | None]) -> Spread | None:
    """Several spreads of the same figure as one; None where there is none."""
    known = [spread for spread in spreads if spread is not None]
    if not known:
        return None
    seeds = sum(spread.seeds for spread in known)
    mean = sum(spread.mean * spread.seeds for spread in known) / seeds
    return Spread(mean, min(spread.low for spread in known), max(spread.high for spread in known), seeds)


def _spread(part: pd.DataFrame, column: str) -> Spread | None:
    values = part[column].to_numpy(dtype=np.float64)
    values = values[~np.isnan(values)]
    if not len(values):
        return None
    return Spread(float(np.mean(values)), float(values.min()), float(values.max()), len(values))


def _count(values: pd.Series) -> str:
    numbers = [int(value) for value in values.dropna() if math.isfinite(value)]
    if not numbers:
        return "an unknown number of"
    low, high = min(numbers), max(numbers)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"
