"""The rows of a study, looked up by what was measured and taken together over the seeds."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from counterforensics.errors import StudyError
from counterforensics.outcome import (
    DEVICE_COLUMNS,
    LEARNED_AUC,
    NOT_LAUNDERED,
    OPERATING_COLUMNS,
    PLANNED,
    ROW_COLUMNS,
    TRAINING_COLUMNS,
    WHOLE_COLUMNS,
    Outcome,
)
from counterforensics.report.claims import find_claim
from counterforensics.report.labels import DETECTORS, EASY, HARD, Contest, Labels, ordered

_ROW_TEXTS = (
    *("study", "manipulation", "detector", "target", "attack", "laundering"),
    *("label", "target_label", "attack_label"),
)
_TRAINING_TEXTS = (
    *("study", "manipulation", "role", "name", "label", "part", "device", "precision", "augmentation"),
    *("ended", "reason", "start", "start_manipulation", "perceptual_net", "laundering"),
)
_DEVICE_TEXTS = ("manipulation", "detector", "target", "attack", "device")
# Columns that rows of older versions lack.
_YOUNGER = (
    *("label", "target_label", "attack_label", "changed", "already", "success"),
    *("ssim", "psnr_pristine", "ssim_pristine", "psnr_before", "ssim_before"),
    *OPERATING_COLUMNS,
    "laundering",
    *WHOLE_COLUMNS,
)


@dataclass(frozen=True)
class Spread:
    """One figure over the seeds that have it: mean, lowest, highest, and how many seeds."""

    mean: float
    low: float
    high: float
    seeds: int


class Results:
    """A study's rows by (manipulation, detector, target, attack); the last two are "" without an attack.

    They are the rows of one laundering: of the first one in the rows, unless another is asked for.
    """

    def __init__(
        self,
        rows: pd.DataFrame,
        trainings: pd.DataFrame | None = None,
        labels: Labels | None = None,
        *,
        laundering: str = "",
        devices: pd.DataFrame | None = None,
    ) -> None:
        """rows, trainings: the columns of rows.csv and of trainings.csv; rates 0..1.

        labels: those of the rows by default.  laundering: whose rows these are; "" for the first one.
        devices: the columns of devices.csv.
        Raises StudyError where a column of the rows is missing.
        """
        missing = [name for name in ROW_COLUMNS if name not in rows.columns and name not in _YOUNGER]
        if missing:
            raise StudyError(f"rows lack the column(s) {', '.join(missing)}; they need {', '.join(ROW_COLUMNS)}")
        whole = _typed(rows, ROW_COLUMNS, _ROW_TEXTS)
        # Rows of older versions knew no upload.
        whole["laundering"] = whole["laundering"].replace("", NOT_LAUNDERED)
        self._all = whole, trainings
        self.launderings = list(dict.fromkeys(whole["laundering"]))
        self.laundering = laundering or next(iter(self.launderings), NOT_LAUNDERED)
        self._frame = frame = whole[whole["laundering"] == self.laundering]
        self._judged = _grouped(frame, ["manipulation", "detector", "target", "attack"])
        self._concealed = _grouped(frame, ["manipulation", "target", "attack"])
        self._trainings = _typed(pd.DataFrame() if trainings is None else trainings, TRAINING_COLUMNS, _TRAINING_TEXTS)
        self._trained = _grouped(self._trainings, ["role", "manipulation", "part"])
        lines = _typed(pd.DataFrame() if devices is None else devices, DEVICE_COLUMNS, _DEVICE_TEXTS)
        self._by_device = _grouped(lines[lines["attack"] == ""], ["manipulation", "detector", "device"])
        self.devices = list(dict.fromkeys(lines["device"]))
        self.labels = labels or Labels.of_rows(frame)
        self.manipulations = ordered(frame["manipulation"], (*EASY, *HARD))
        self.detectors = ordered(frame["detector"], DETECTORS)
        self.seeds = sorted({int(seed) for seed in frame["seed"].dropna()})

    def under(self, laundering: str) -> Results:
        """The rows after another laundering of the study."""
        rows, trainings = self._all
        return Results(rows, trainings, self.labels, laundering=laundering)

    @classmethod
    def of(cls, outcome: Outcome) -> Results:
        """Those of a finished study."""
        return cls(outcome.rows, outcome.trainings, Labels.of(outcome), devices=outcome.devices)

    @functools.cached_property
    def compared(self) -> bool:
        """Whether the paper has a figure for any of the rows."""
        keys = self._judged.keys()
        return any(find_claim(m, detector, target, attack) for m, detector, target, attack in keys)

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """Every manipulation with every detector."""
        return [(manipulation, detector) for manipulation in self.manipulations for detector in self.detectors]

    @property
    def contests(self) -> list[Contest]:
        """Every (target, attack) in the rows: attacks as they came, their targets in the paper's order."""
        return ordered_contests((target, attack) for _, target, attack in self._concealed if attack)

    def manipulations_of(self, target: str, attack: str) -> list[str]:
        """The manipulations that have at least one row for this contest."""
        return [m for m in self.manipulations if (m, target, attack) in self._concealed]

    def spread(
        self, column: str, manipulation: str, detector: str, target: str = "", attack: str = ""
    ) -> Spread | None:
        """The figure `column` over the seeds, or None where no seed has it."""
        part = self._judged.get((manipulation, detector, target, attack))
        return _spread(part, column) if part is not None else None

    def interval(
        self, manipulation: str, detector: str, target: str = "", attack: str = "", *, column: str = "tpr"
    ) -> tuple[float, float] | None:
        """95 % interval of a rate; over several seeds from the lowest lower to the highest upper end."""
        low = self.spread(f"{column}_low", manipulation, detector, target, attack)
        high = self.spread(f"{column}_high", manipulation, detector, target, attack)
        return (low.low, high.high) if low and high else None

    def on_device(self, column: str, manipulation: str, detector: str, device: str) -> Spread | None:
        """A figure of devices.csv without an attack, over the seeds that test on this device; None without any."""
        part = self._by_device.get((manipulation, detector, device))
        return None if part is None else _spread(part, column)

    def interval_on_device(
        self, column: str, manipulation: str, detector: str, device: str
    ) -> tuple[float, float] | None:
        """The interval of a figure on a device: from the lowest end of all seeds to the highest; None without one."""
        low, high = (self.on_device(f"{column}_{end}", manipulation, detector, device) for end in ("low", "high"))
        return (low.low, high.high) if low and high else None

    def quality(self, column: str, manipulation: str, target: str, attack: str) -> Spread | None:
        """A figure of the concealed patches themselves, which is the same whoever judges them."""
        part = self._concealed.get((manipulation, target, attack))
        return None if part is None else _spread(part.groupby("seed")[column].first().reset_index(), column)

    def trainings(self, role: str, part: str) -> pd.DataFrame:
        """The lines of trainings.csv on one detector or generator: text columns without NaN, the others float64."""
        return self._trainings[(self._trainings["role"] == role) & (self._trainings["part"] == part)]

    def trained(self, role: str, manipulation: str, part: str) -> pd.DataFrame | None:
        """As `trainings`, for one manipulation alone; None where there is no such line."""
        return self._trained.get((role, manipulation, part))

    def starts(self) -> list[tuple[str, str]]:
        """What detectors went on from and are no detectors themselves: manipulation and text form of each."""
        return [(manipulation, part) for role, manipulation, part in self._trained if role == "start"]

    def training(self, column: str, role: str, manipulation: str, part: str) -> Spread | None:
        """A figure of the trainings of one detector, generator or start over the seeds; None where no seed has it."""
        lines = self.trained(role, manipulation, part)
        return None if lines is None else _spread(lines, column)

    def unlearned(self, manipulation: str, detector: str) -> float | None:
        """The AUC on held-out photographs of a detector that has not learned under some seed; None of all others."""
        area = self.training("validation_auc", "detector", manipulation, detector)
        return area.low if area and area.low < LEARNED_AUC else None

    def endings(self, manipulation: str, attack: str) -> tuple[int, int | None]:
        """How many generators of this attack were trained for this manipulation, and how many of them as planned.

        The second is None where nothing tells how any of them ended.
        """
        rows = self._frame[(self._frame["attack"] == attack) & (self._frame["manipulation"] == manipulation)]
        trained = self.trained("generator", manipulation, attack)
        # Of a training that failed there is no line, but the rows that it leaves empty.
        seeds = {*rows["seed"].dropna(), *(() if trained is None else trained["seed"].dropna())}
        return len(seeds), None if trained is None else int((trained["ended"] == PLANNED).sum())

    def counts(self, target: str, attack: str) -> tuple[str, str]:
        """How many pristine and manipulated patches stand behind each figure of a contest, as text."""
        part = self._frame[(self._frame["target"] == target) & (self._frame["attack"] == attack)]
        return _count(part["n_pristine"]), _count(part["n_manipulated"])


def ordered_contests(contests: Iterable[Contest]) -> list[Contest]:
    """Distinct (target, attack) pairs: attacks as they came, their targets in the paper's order."""
    pairs = dict.fromkeys(contests)
    attacks = dict.fromkeys(attack for _, attack in pairs)
    targets = {attack: ordered((t for t, other in pairs if other == attack), DETECTORS) for attack in attacks}
    return [(target, attack) for attack in attacks for target in targets[attack]]


def together(spreads: Iterable[Spread | None]) -> Spread | None:
    """Several spreads of the same figure as one; None where there is none."""
    known = [spread for spread in spreads if spread is not None]
    if not known:
        return None
    seeds = sum(spread.seeds for spread in known)
    mean = sum(spread.mean * spread.seeds for spread in known) / seeds
    return Spread(mean, min(spread.low for spread in known), max(spread.high for spread in known), seeds)


def _typed(frame: pd.DataFrame, columns: Sequence[str], texts: Sequence[str]) -> pd.DataFrame:
    """`columns` of the frame alone: `texts` as str, "" where a file that was read back has NaN; the rest as numbers."""
    found = frame.reindex(columns=list(columns))
    for name in columns:
        column = found[name].astype(object)
        found[name] = column.fillna("").astype(str) if name in texts else pd.to_numeric(column)
    return found


def _grouped(frame: pd.DataFrame, columns: list[str]) -> dict[tuple[str, ...], pd.DataFrame]:
    """The rows by what they have in these text columns, in the order of their first rows."""
    groups: Any = frame.groupby(columns, sort=False)
    return {tuple(key): part for key, part in groups}


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
