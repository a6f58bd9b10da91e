"""What the attacks achieve and what that costs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from counterforensics.outcome import take_apart
from counterforensics.report.labels import Labels
from counterforensics.report.results import Results
from counterforensics.report.tables.failures import failed_manipulations
from counterforensics.report.tables.learned import target_label, unlearned_targets, wholly_unlearned
from counterforensics.report.tables.model import NONE, Cell, Column, Concerns, Row, Table, number, percent, texts

_PSNR = 4  # the column of the mean PSNR


@dataclass(frozen=True)
class AttackCost:
    """One attack on one target, over the manipulations: means, and the worst case; None where a figure is missing."""

    target: str
    attack: str
    success: float | None
    least_success: float | None
    already: float | None
    others: float | None  # success on the judges of another kind than the target
    psnr: float | None
    least_psnr: float | None
    changed: float | None
    seconds: float | None  # a patch
    device: str
    failed: bool = False  # whether the attack left most patches as they were, on some manipulation
    unlearned: bool = False  # whether the target has not learned to find some of the manipulations
    grey: bool = False  # nor any other


def attack_costs(results: Results, times: pd.DataFrame) -> list[AttackCost]:
    """Every contest of the rows, in their order."""
    return [_cost(results, target, attack, _taken(times, target, attack)) for target, attack in results.contests]


def cost_table(labels: Labels, found: Sequence[AttackCost], notes: Sequence[str] = ()) -> Table | None:
    """The attacks beside each other; None without an attack."""
    if not found:
        return None
    devices = dict.fromkeys(cost.device for cost in found if cost.device)
    columns = [Column(heading, "Success on the target (%)") for heading in ("mean", "worst")]
    columns += [Column("Already pristine (%)"), Column("Success on others (%)")]
    columns += [Column(heading, "PSNR (dB)") for heading in ("mean", "worst")]
    columns += [Column("Changed pixels (%)"), Column("Seconds a patch")]
    return Table(
        key="attacks",
        number=None,
        title="What the attacks achieve, and what it costs",
        caption="Success: of the manipulated patches that a judge detects, the share that it calls pristine once they "
        "are concealed and stored; means over the manipulations and the worst of them. Already pristine: the "
        "share of attacked patches that the target already missed before the attack; success does not count them. "
        "Others: judges of another kind than the target, or all judges where no detector was targeted.",
        stubs=("Attack", "Target"),
        columns=tuple(columns),
        rows=tuple(_row(labels, cost) for cost in found),
        notes=(
            *(f"Time is that of one processor thread, or of the GPU, on: {device}." for device in devices),
            *notes,
        ),
    )


def _cost(results: Results, target: str, attack: str, taken: tuple[float | None, str]) -> AttackCost:
    manipulations = results.manipulations_of(target, attack)
    own = [target] if target else results.detectors
    other = [judge for judge in results.detectors if take_apart(judge)[0] != take_apart(target)[0]]

    def figures(column: str, judges: Sequence[str]) -> list[float]:
        spreads = (results.spread(column, m, judge, target, attack) for m in manipulations for judge in judges)
        return [spread.mean for spread in spreads if spread]

    def qualities(column: str) -> list[float]:
        spreads = (results.quality(column, m, target, attack) for m in manipulations)
        return [spread.mean for spread in spreads if spread]

    success, psnr = figures("success", own), qualities("psnr")
    return AttackCost(
        target=target,
        attack=attack,
        success=_mean(success),
        least_success=min(success, default=None),
        already=_mean(figures("already", own)),
        others=_mean(figures("success", other)),
        psnr=_mean(psnr),
        least_psnr=min(psnr, default=None),
        changed=_mean(qualities("changed")),
        seconds=taken[0],
        device=taken[1],
        failed=bool(failed_manipulations(results, (target, attack))),
        unlearned=bool(unlearned_targets(results, target, attack)),
        grey=wholly_unlearned(results, target, attack),
    )


def _taken(times: pd.DataFrame, target: str, attack: str) -> tuple[float | None, str]:
    """Seconds a patch, and on what; (None, "") where nobody looked at a clock."""
    own = times[(times["target"] == target) & (times["attack"] == attack)]
    patches = own["patches"].sum()
    if not patches:
        return None, ""
    return float(own["seconds"].sum() / patches), ", ".join(dict.fromkeys(own["device"]))


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None


def _row(labels: Labels, cost: AttackCost) -> Row:
    aimed = (cost.success, cost.least_success, cost.already) if cost.target else (None, None, None)
    cells = [percent(value) for value in (*aimed, cost.others)]
    cells += [number(cost.psnr), number(cost.least_psnr)]
    cells += [percent(cost.changed), NONE if cost.seconds is None else f"{cost.seconds:.3g}"]
    shown = list(texts(cells))
    if cost.failed:
        shown[_PSNR] = Cell((cells[_PSNR], "attack failed"))
    target = target_label(labels, cost.target, mark=cost.unlearned)
    name = labels.attack(cost.attack)
    return Row("", (name, target), tuple(shown), cost.grey, Concerns(attack=name))
