"""What fine-tuning adds to SPAM features that are recast as a network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from counterforensics.report import claims
from counterforensics.report.labels import EASY, HARD, Labels, manipulation_label, section
from counterforensics.report.results import Results
from counterforensics.report.tables.model import Cell, Column, Concerns, Row, Table, percent, points

TUNED, UNTUNED, HANDCRAFTED = "cozzolino2017", "cozzolino2017:steps=0", "spam-svm"
_HEADINGS = {TUNED: "{}, fine-tuned", UNTUNED: "{}, not fine-tuned", HANDCRAFTED: "{}"}

Figures = list[float | None]  # accuracies, then differences, then the paper's difference; rates, None where one lacks


def fine_tuning_table(results: Results) -> Table | None:
    """Accuracies of the detectors that share these features, and their differences; None without two of them."""
    names = [name for name in (HANDCRAFTED, UNTUNED, TUNED) if name in results.detectors]
    if TUNED not in names or len(names) < 2:
        return None
    compared = [name for name in (UNTUNED, HANDCRAFTED) if name in names]
    figures = {m: _figures(results, m, names, compared) for m in results.manipulations}
    accuracies = [value for values in figures.values() for value in values[: len(names)]]
    if not any(value is not None for value in accuracies):
        return None
    return Table(
        key="fine-tuning-gain",
        number=None,
        title="What fine-tuning adds",
        caption="Accuracy without an attack in percent, and differences in percentage points. The "
        "detectors share their features: SPAM with an SVM, the same features as a network whose last "
        "layer is that SVM, and this network after fine-tuning.",
        stubs=("Manipulation",),
        columns=_columns(results.labels, names, compared),
        rows=tuple(_rows(figures, names, compared)),
        notes=("A mean is taken over the manipulations for which all detectors shown have an accuracy.",),
    )


def _columns(labels: Labels, names: Sequence[str], compared: Sequence[str]) -> tuple[Column, ...]:
    lead = f"{labels.detector(TUNED)} minus {labels.detector(HANDCRAFTED)}"
    gains = {UNTUNED: "Gain by fine-tuning", HANDCRAFTED: lead}
    columns = [Column(_HEADINGS[name].format(labels.detector(name)), "ACC") for name in names]
    columns += [Column(gains[name], "Difference") for name in compared]
    columns += [Column(lead, "Paper")] if HANDCRAFTED in names else []
    return tuple(columns)


def _figures(results: Results, manipulation: str, names: Sequence[str], compared: Sequence[str]) -> Figures:
    spreads = {name: results.spread("acc", manipulation, name) for name in names}
    acc = {name: spread.mean if spread else None for name, spread in spreads.items()}
    figures = [acc[name] for name in names]
    figures += [_minus(acc[TUNED], acc[name]) for name in compared]
    if HANDCRAFTED in names:
        tuned, before = (claims.find_claim(manipulation, name) for name in (TUNED, HANDCRAFTED))
        figures.append(_minus(tuned.acc if tuned else None, before.acc if before else None))
    return figures


def _rows(figures: Mapping[str, Figures], names: Sequence[str], compared: Sequence[str]) -> list[Row]:
    rows = [_row(manipulation, values, len(names)) for manipulation, values in figures.items()]
    for label, four in (("Easy", EASY), ("Challenging", HARD)):
        whole = [values for m in four if (values := figures.get(m)) and None not in values]
        if whole:
            means: Figures = [float(value) for value in np.mean(np.array(whole, dtype=np.float64), axis=0)]
            for place, name in enumerate(compared, start=len(names)):
                means[place] = _minus(means[names.index(TUNED)], means[names.index(name)])
            rows.append(Row("Means", (f"{label}, mean of {len(whole)} of 4",), _cells(means, len(names))))
    return rows


def _row(manipulation: str, values: Figures, accuracies: int) -> Row:
    label = manipulation_label(manipulation)
    return Row(section(manipulation), (label,), _cells(values, accuracies), about=Concerns(label))


def _cells(values: Sequence[float | None], accuracies: int) -> tuple[Cell, ...]:
    plain = [Cell((percent(value),)) for value in values[:accuracies]]
    return (*plain, *(Cell((points(value, 0.0),)) for value in values[accuracies:]))


def _minus(left: float | None, right: float | None) -> float | None:
    # Of the figures as printed, so that a reader can redo the sum.
    return None if left is None or right is None else round(left, 4) - round(right, 4)
