"""The ranks of detectors and of attacks, from the rows of several runs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from counterforensics.outcome import LEARNED_AUC
from counterforensics.report.labels import DETECTORS, EASY, HARD, manipulation_label, ordered, spelled
from counterforensics.report.leaderboard.runs import FIGURE, LAUNDERING, FinishedRun

LOW, HIGH, FPR = f"{FIGURE}_low", f"{FIGURE}_high", "fpr_at_fpr_01"
_RANKED = [FIGURE, LOW, HIGH]
CONDITION = ["manipulation", "detector", "target", "attack", LAUNDERING]
MOST_FPR = 0.05  # that a threshold for 1 % may reach on the test photographs without a remark


@dataclass(frozen=True)
class Slice:
    """The part of the figures that a ranking is over; "" for all manipulations, attacks or platforms."""

    manipulation: str = ""
    attack: str = ""
    platform: str = ""


@dataclass(frozen=True)
class Standing:
    """One line of a ranking.  Rates are 0..1, NaN where there are none.

    rank: from 1, None for what is not ranked, which `remark` explains.  tpr: the figure that ranks, with the ends of
    its interval.  before: the TPR without an attack.  own: of an attack, the TPR of its target.  worst: of a
    detector, the condition with the lowest TPR (a line of `Leaderboard.figures`).
    """

    part: str
    label: str
    over: Slice
    rank: int | None
    tpr: float
    low: float
    high: float
    before: float
    own: float
    fpr: float
    psnr: float
    worst: pd.Series | None
    studies: tuple[str, ...]
    remark: str


class Leaderboard:
    """All figures of the runs, one for each condition, and the rankings over them."""

    def __init__(self, runs: Sequence[FinishedRun]) -> None:
        self.runs = runs
        everything = pd.concat([run.rows.assign(run=number) for number, run in enumerate(runs)], ignore_index=True)
        keys = [*CONDITION, "seed"]
        # A condition that several runs measured counts once, as the first of them has it.
        rows = everything.drop_duplicates(keys)
        self.repeated = len(everything) - len(rows)
        figures = {FIGURE: "mean", LOW: "min", HIGH: "max", FPR: "mean", "psnr": "mean", "run": "first"}
        self.figures = rows.groupby(CONDITION, sort=False).agg(figures).reset_index()
        self._labels = {
            role: dict(zip(everything[text], everything[label], strict=True))
            for role, text, label in (("detector", "detector", "label"), ("attack", "attack", "attack_label"))
        }
        self.manipulations = ordered(rows["manipulation"], (*EASY, *HARD))
        self.detectors = ordered(rows["detector"], DETECTORS)
        self.attacks = [name for name in dict.fromkeys(rows["attack"]) if name]
        self.platforms = list(dict.fromkeys(rows[LAUNDERING]))

    def label(self, role: str, part: str) -> str:
        """The label of a `detector` or an `attack`, in the literature's spelling."""
        return spelled(self._labels[role].get(part) or part)

    @cached_property
    def held_out(self) -> dict[tuple[str, str], float]:
        """The lowest AUC on held-out photographs by manipulation and detector, where the runs tell it."""
        lines = pd.concat([run.trainings for run in self.runs], ignore_index=True)
        lines = lines[lines["role"] == "detector"].assign(auc=pd.to_numeric(lines["validation_auc"], errors="coerce"))
        lowest = lines.dropna(subset=["auc"]).groupby(["manipulation", "part"])["auc"].min().reset_index()
        keys = zip(map(str, lowest["manipulation"]), map(str, lowest["part"]), strict=True)
        return dict(zip(keys, map(float, lowest["auc"]), strict=True))

    def slices(self) -> dict[str, list[Slice]]:
        """The parts that get a ranking of their own, by what they are parts of."""
        parts = {"manipulation": self.manipulations, "attack": self.attacks, "platform": self.platforms}
        return {name: [Slice(**{name: one}) for one in ones] for name, ones in parts.items() if len(ones) > 1}

    def rank_detectors(self, over: Slice) -> list[Standing]:
        """Detectors by the TPR that they keep at worst: the mean over the manipulations of the lowest TPR on each.

        The lowest is over all attacks and platforms of the slice, no attack among them.
        """
        found = [self._detector(name, over, self._part(over)) for name in self.detectors]
        return _ranked(found, best_first=True)

    def rank_attacks(self, over: Slice) -> list[Standing]:
        """Attacks by the TPR that they leave: the mean over manipulations, judges and platforms.

        For each of them the attacker has the choice of the target. Judges that have not learned do not count.
        """
        part = self._part(over)
        judged = {key for key in self._keys(part) if not self._unlearned(*key[:2])}
        names = [over.attack] if over.attack else self.attacks
        return _ranked([self._attack(name, over, part, judged) for name in names], best_first=False)

    def _part(self, over: Slice) -> pd.DataFrame:
        """The figures of a slice; those without an attack belong to every attack."""
        part = self.figures
        if over.manipulation:
            part = part[part["manipulation"] == over.manipulation]
        if over.attack:
            part = part[part["attack"].isin(["", over.attack])]
        if over.platform:
            part = part[part[LAUNDERING] == over.platform]
        return part

    def _keys(self, part: pd.DataFrame) -> set[tuple[str, str, str]]:
        columns = (part[name] for name in ("manipulation", "detector", LAUNDERING))
        return {(str(m), str(d), str(p)) for m, d, p in zip(*columns, strict=True)}

    def _unlearned(self, manipulation: str, detector: str) -> bool:
        return self.held_out.get((manipulation, detector), 1.0) < LEARNED_AUC

    def _detector(self, name: str, over: Slice, part: pd.DataFrame) -> Standing:
        own = part[part["detector"] == name].dropna(subset=[FIGURE])
        tpr, low, high = _means(own.groupby("manipulation")[_RANKED].min())
        plain = own[own["attack"] == ""]
        wanted = [over.manipulation] if over.manipulation else self.manipulations
        fpr = float(own.groupby("manipulation")[FPR].max().mean()) if len(own) else math.nan
        why_not = self._why_not(name, own, wanted)
        remarks = [*([why_not] if why_not else []), *self._remarks(name, wanted, fpr)]
        return Standing(
            part=name,
            label=self.label("detector", name),
            over=over,
            rank=None if why_not else 0,
            tpr=tpr,
            low=low,
            high=high,
            before=float(plain[FIGURE].mean()),
            own=math.nan,
            fpr=fpr,
            psnr=math.nan,
            worst=own.iloc[int(own[FIGURE].to_numpy().argmin())] if len(own) else None,
            studies=self.studies(own["run"]),
            remark="; ".join(remarks),
        )

    def _why_not(self, name: str, own: pd.DataFrame, wanted: Sequence[str]) -> str:
        """Why a detector is not ranked; "" if it is."""
        if not len(own):
            return "not ranked: no figure at 1 % FPR"
        if failed := [one for one in wanted if self._unlearned(one, name)]:
            areas = ", ".join(f"{manipulation_label(one)} (AUC {self.held_out[one, name]:.2f})" for one in failed)
            return f"not ranked: has not learned {areas}"
        if missing := [one for one in wanted if one not in set(own["manipulation"])]:
            return f"not ranked: no figure for {', '.join(map(manipulation_label, missing))}"
        attacked = own[own["attack"] != ""]
        if len(attacked) and not attacked["target"].isin(["", name]).any():
            return "not ranked: no attack was aimed at it"
        return ""

    def _remarks(self, name: str, wanted: Sequence[str], fpr: float) -> list[str]:
        """What a reader must know of a detector that is ranked."""
        unknown = not any((one, name) in self.held_out for one in wanted)
        remarks = ["its AUC on held-out photographs is not known"] if unknown else []
        return remarks + ([f"FPR reached is above {100 * MOST_FPR:g} %"] if fpr > MOST_FPR else [])

    def _attack(self, name: str, over: Slice, part: pd.DataFrame, judged: set[tuple[str, str, str]]) -> Standing:
        known = [not self._unlearned(m, d) for m, d in zip(part["manipulation"], part["detector"], strict=True)]
        part = part[np.array(known, dtype=bool)]
        own = part[part["attack"] == name].dropna(subset=[FIGURE])
        place = ["manipulation", "detector", LAUNDERING]
        lowest = own.groupby(place)[_RANKED].min()
        tpr, low, high = _means(lowest)
        before = part[part["attack"] == ""].set_index(place)[FIGURE].reindex(lowest.index)
        missing = len(judged) - len(lowest)
        why_not = (
            f"not ranked: no figure for {missing} of {len(judged)} pairs of manipulation and judge" if missing else ""
        )
        return Standing(
            part=name,
            label=self.label("attack", name),
            over=over,
            rank=None if why_not else 0,
            tpr=tpr,
            low=low,
            high=high,
            before=float(before.mean()),
            own=float(own[own["target"] == own["detector"]][FIGURE].mean()),
            fpr=math.nan,
            psnr=float(own["psnr"].replace(math.inf, math.nan).mean()),
            worst=None,
            studies=self.studies(own["run"]),
            remark=why_not,
        )

    def studies(self, numbers: Iterable[int]) -> tuple[str, ...]:
        """The names of the runs with these numbers."""
        return tuple(self.runs[int(number)].study for number in dict.fromkeys(numbers))


def _means(figures: pd.DataFrame) -> tuple[float, float, float]:
    """The mean of the figure that ranks and of the ends of its interval; NaN without lines."""
    tpr, low, high = (float(figures[column].mean()) for column in _RANKED)
    return tpr, low, high


def _ranked(found: Sequence[Standing], *, best_first: bool) -> list[Standing]:
    """The ranked ones by their TPR, then the others; equal ones share a rank."""
    sign = -1 if best_first else 1
    first = sorted((one for one in found if one.rank is not None), key=lambda one: sign * one.tpr)
    values = [one.tpr for one in first]
    numbered = [Standing(**{**vars(one), "rank": values.index(one.tpr) + 1}) for one in first]
    return [*numbered, *(one for one in found if one.rank is None)]
