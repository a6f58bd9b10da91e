"""What a finished plan left in the store, gathered for tables and the report."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from counterforensics.attacks import ATTACKS, LearnedAttack
from counterforensics.detectors import DETECTORS
from counterforensics.errors import CounterforensicsError, WeightsError, printable
from counterforensics.evaluation import frequencies
from counterforensics.learning import weights
from counterforensics.names import Registry, changed_settings
from counterforensics.outcome import (
    CURVE_COLUMNS,
    LABEL_COLUMNS,
    NOT_LAUNDERED,
    ROW_COLUMNS,
    TIME_COLUMNS,
    TRAINING_COLUMNS,
    Curve,
    PatchStates,
    Scores,
    Spectra,
)
from counterforensics.photos.patches import Patches
from counterforensics.study.plan import Concealment, Measurement, Plan, PlannedTraining
from counterforensics.study.settings import Named, Study
from counterforensics.study.store.folder import Store
from counterforensics.study.tasks.files import BATCH, CURVE, LOGITS, ROW, SPECTRA, TIME, patches_of, record_in

_NAMED = (
    *("seed", "manipulation", "detector", "target", "attack", "laundering"),
    *("label", "target_label", "attack_label"),
)


def rows(study: Study, plan: Plan, store: Store) -> pd.DataFrame:
    """One row for each measurement; counts and rates are empty where its tasks failed."""
    records = []
    for measurement in plan.measurements:
        record: dict[str, Any] = {"study": study.name}
        record |= {name: getattr(measurement, name) for name in _NAMED}
        records.append(record | (record_in(store.folder(measurement.row) / ROW) or {}))
    return pd.DataFrame.from_records(records).reindex(columns=list(ROW_COLUMNS))


def trainings(study: Study, plan: Plan, store: Store) -> pd.DataFrame:
    """One line for each training that is there, and for each generator that was trained elsewhere."""
    records = []
    for training in plan.trainings.values():
        with contextlib.suppress(WeightsError):
            record = weights.read_record(store.folder(training.key), training.kind)
            records.append(_training(study, training, record))
    return pd.DataFrame.from_records([*records, *_pretrained(study)], columns=list(TRAINING_COLUMNS))


def _training(study: Study, training: PlannedTraining, record: Mapping[str, Any]) -> dict[str, Any]:
    facts, start = record.get("training", {}), training.start
    return {
        "study": study.name,
        "seed": training.seed,
        "manipulation": training.manipulation,
        "role": training.role,
        "name": training.part.partition(":")[0],
        "label": training.label,
        "part": training.part,
        "pairs": record.get("pairs"),
        "laundering": record.get("laundering", NOT_LAUNDERED),
        "start": start.part if start else "",
        "start_manipulation": start.manipulation if start else "",
        "start_manipulations": start.manipulations if start else None,
        **{name: facts[name] for name in TRAINING_COLUMNS if name in facts},
    }


def _pretrained(study: Study) -> Iterator[dict[str, Any]]:
    """The generators that attacks take from folders."""
    for contest in study.contests:
        attack = contest.attack
        record = attack.part.pretrained_record() if isinstance(attack.part, LearnedAttack) else None
        if record is not None:
            for seed in study.seeds:
                learned = str(record.get("manipulation", ""))
                training = PlannedTraining(seed, learned, "generator", attack.text, attack.label, "")
                yield _training(study, training, record)


def labels(study: Study) -> pd.DataFrame:
    """One line for each detector and attack of the study."""
    attacks = {contest.attack.text: contest.attack for contest in study.contests}
    records = [_label("detector", judge, DETECTORS) for judge in study.judges]
    records += [{**_label("attack", attack, ATTACKS), "restores": attack.part.restores} for attack in attacks.values()]
    return pd.DataFrame.from_records(records, columns=list(LABEL_COLUMNS))


def _label(role: str, named: Named[Any], registry: Registry[Any]) -> dict[str, Any]:
    settings = changed_settings(named.part)
    return {
        "role": role,
        "label": named.label,
        "part": named.text,
        "name": registry.name_of(named.part),
        "settings": ",".join(f"{key}={value}" for key, value in settings.items()),
        "restores": False,
        "plug_in": registry.code_of(named.part).get("distribution", ""),
    }


def times(plan: Plan, store: Store) -> pd.DataFrame:
    """How long each attack took on the patches of a manipulation, where it is done."""
    records = []
    for concealment in plan.concealments:
        parts = [record_in(store.folder(key) / TIME) for key in concealment.made]
        if taken := [part for part in parts if part is not None]:
            totals = {name: sum(part[name] for part in taken) for name in ("patches", "seconds")}
            named = {name: getattr(concealment, name) for name in TIME_COLUMNS[:4]}
            records.append({**named, **totals, "device": taken[0]["device"]})
    return pd.DataFrame.from_records(records, columns=list(TIME_COLUMNS))


def scores(study: Study, plan: Plan, store: Store) -> Iterator[Scores]:
    """Every judge's logits, where they exist: of photographs as the first platform of the study leaves them."""
    by_judge: dict[tuple[int, str, str], list[Measurement]] = {}
    for measurement in (one for one in plan.measurements if one.laundering == study.launderings[0]):
        by_judge.setdefault((measurement.seed, measurement.manipulation, measurement.detector), []).append(measurement)
    for (seed, manipulation, detector), measurements in by_judge.items():
        logits = {}
        for measurement in measurements:
            path = store.folder(measurement.positive) / LOGITS
            if path.exists():
                logits[measurement.target, measurement.attack] = np.load(path)
        pristine = store.folder(measurements[0].pristine) / LOGITS
        manipulated = logits.pop(("", ""), None)
        if manipulated is not None and pristine.exists():
            yield Scores(seed, manipulation, detector, np.load(pristine), manipulated, logits)


def patch_states(plan: Plan, store: Store) -> Iterator[PatchStates]:
    """A patch in its three states for each attack of the first seed."""
    seed = min((concealment.seed for concealment in plan.concealments), default=0)
    shown: dict[tuple[str, ...], int] = {}
    for concealment in plan.concealments:
        if concealment.seed == seed:
            # Patches are too large to be looked at in every rerun: one that is gone or damaged costs a picture, no row.
            with contextlib.suppress(OSError, EOFError, ValueError, CounterforensicsError):
                if concealment.pristine not in shown:
                    shown[concealment.pristine] = _worth_seeing(patches_of(concealment.pristine, store))
                yield _states(concealment, shown[concealment.pristine], store)


def _worth_seeing(patches: Patches) -> int:
    """The patch with more contrast than three quarters of the others: neither an empty wall nor the best of all."""
    contrast = np.concatenate([some.std(axis=(1, 2, 3)) for some in patches.batches(BATCH)])
    return int(np.argsort(contrast, kind="stable")[3 * len(contrast) // 4])


def _states(concealment: Concealment, position: int, store: Store) -> PatchStates:
    pristine = patches_of(concealment.pristine, store)
    index = np.array([position])
    return PatchStates(
        manipulation=concealment.manipulation,
        target=concealment.target,
        attack=concealment.attack,
        photo=printable(concealment.photos[int(pristine.photo[position])].name),
        pristine=pristine[index][0],
        manipulated=patches_of(concealment.manipulated, store)[index][0],
        concealed=patches_of(concealment.concealed, store)[index][0],
        aligned=concealment.aligned,
    )


def curves(plan: Plan, store: Store) -> Iterator[Curve]:
    """How each training went, and then each start."""
    for training in sorted(plan.trainings.values(), key=lambda one: one.role == "start"):
        if columns := _curve(store, training.key):
            yield Curve(training.seed, training.manipulation, training.part, columns, training.role)


def curve_points(curves: Iterable[Curve]) -> pd.DataFrame:
    """The table curves.csv."""
    lines = [
        (curve.seed, curve.manipulation, curve.role, curve.part, step, figure, value)
        for curve in curves
        for figure, values in list(curve.columns.items())[1:]
        for step, value in zip(next(iter(curve.columns.values())), values, strict=True)
    ]
    return pd.DataFrame(lines, columns=list(CURVE_COLUMNS))


def _curve(store: Store, key: str) -> dict[str, list[float]]:
    points = record_in(store.folder(key) / CURVE)
    return {name: [point[name] for point in points] for name in points[0]} if points else {}


def spectra(plan: Plan, store: Store) -> Iterator[Spectra]:
    """What each attack of the first seed did to the spectrum."""
    seed = min((concealment.seed for concealment in plan.concealments), default=0)
    for concealment in plan.concealments:
        path = store.folder(concealment.likeness) / SPECTRA
        if concealment.seed == seed and path.exists():
            named, spectra = (concealment.manipulation, concealment.target, concealment.attack), np.load(path)
            yield Spectra(*named, frequencies(spectra.shape[1]), *spectra)
