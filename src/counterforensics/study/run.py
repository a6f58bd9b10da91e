"""Running a study: photographs in, rows and an outcome out. Run again, it computes what is missing."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import math
import os
import platform
import re
import shlex
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from counterforensics import attacks, manipulations
from counterforensics.errors import CounterforensicsError, StudyError, WeightsError
from counterforensics.evaluation import frequencies
from counterforensics.learning import weights
from counterforensics.learning.accelerator import best_device, describe
from counterforensics.photos.base import Photo
from counterforensics.photos.patches import Patches
from counterforensics.photos.simulated import SimulatedPhoto
from counterforensics.photos.splits import Split
from counterforensics.study.cluster import connected
from counterforensics.study.config import Study
from counterforensics.study.execution import Scheduler, Threads, execute
from counterforensics.study.outcome import ROW_COLUMNS, TIME_COLUMNS, Curve, Outcome, Scores, Spectra, Strip
from counterforensics.study.plan import Concealment, Measurement, Plan, Training, count_patches, patches_per_photo
from counterforensics.study.preparation import Prepared, cores, prepare
from counterforensics.study.progress import Progress
from counterforensics.study.remote_store import open_store
from counterforensics.study.store import Store, write_whole
from counterforensics.study.tasks import BATCH, CURVE, LOGITS, ROW, SPECTRA, TIME, patches_of

ROWS, PHOTOS, TIMES, SETTINGS = "rows.csv", "photos.csv", "times.csv", "study.yaml"
WHOLE = frozenset({"seed", "n_pristine", "n_manipulated", "fp", "tp"})


def run_study(
    study: Study,
    out: Path,
    *,
    workers: int | None = None,
    progress: Progress | None = None,
    store: str | None = None,
    cluster: str | None = None,
    gpu: bool = False,
) -> Outcome:
    """Run `study`, keep its results and write `out/rows.csv`.

    workers: tasks at a time, by default one a core.  store: a folder or an fsspec URL (`s3://bucket/folder`) where
    results are kept; `out/store` by default.  cluster: the address of a Dask scheduler, or `local` for worker processes
    on this machine; threads of this process by default.  gpu: an error unless one of its workers offers a GPU.
    Raises CounterforensicsError for photographs, a folder, a store or a cluster that cannot be used; a task that
    fails leaves a hole that the outcome names.
    """
    if gpu and cluster is None:
        raise StudyError("--gpu asks that a worker of a cluster has one: give --cluster; here a GPU is used unasked")
    progress = progress or Progress(quiet=True)
    workers = workers or cores()
    _claim(out, study)
    kept = open_store(store or out / "store")
    kept.sweep()
    if cluster is None:
        return _run(study, out, kept, Threads(workers), workers, progress)
    with connected(cluster, gpu=gpu, workers=workers, say=progress.say) as there:
        folders = tuple(folder.absolute() for folder in study.photos.folders)
        there.check(kept, folders)
        found = study.model_copy(update={"photos": study.photos.model_copy(update={"folders": folders})})
        return _run(found, out, kept, there, workers, progress)


def _run(study: Study, out: Path, store: Store, scheduler: Scheduler, workers: int, progress: Progress) -> Outcome:
    prepared = prepare(study, store, workers, progress)
    plan, splits = prepared.plan, prepared.splits
    failures = execute(plan, store, scheduler, out, progress)
    rows = _rows(study, plan, store)
    photos = _photo_table(study, prepared)
    _write_csv(_fields(rows), out / ROWS)
    _write_csv(photos.itertuples(index=False), out / PHOTOS, columns=photos.columns)
    times = _times(plan, store)
    _write_csv(times.itertuples(index=False), out / TIMES, columns=times.columns)
    _link_trained(plan, store, out)
    return Outcome(
        study=study.name,
        settings=study.as_yaml(),
        simulated=_simulated_roles(splits),
        rows=rows,
        scores=list(_scores(plan, store)),
        strips=list(_strips(plan, store)),
        curves=list(_curves(plan, store)),
        spectra=list(_spectra(plan, store)),
        times=times,
        photos=photos,
        provenance=_provenance(study),
        left_out=prepared.left_out,
        failures=failures,
    )


def _claim(out: Path, study: Study) -> None:
    """Make `out` the folder of this study; a StudyError if it is another's or cannot be written."""
    settings = out / SETTINGS
    try:
        out.mkdir(parents=True, exist_ok=True)
        if settings.exists():
            owner = _owner(settings)
            if owner != study.name:
                raise StudyError(f"{out} belongs to the study {owner!r}, not {study.name!r}; give another with --out")
        elif any(path.name != "store" and not path.name.startswith(".") for path in out.iterdir()):
            raise StudyError(f"{out} holds other files and no study; give an empty or new folder with --out")
        write_whole(settings, study.as_yaml())
    except OSError as error:
        raise StudyError(f"cannot write to {out} ({error.strerror}); give another folder with --out") from error


def _owner(settings: Path) -> Any:
    """The name of the study that `study.yaml` holds."""
    try:
        return yaml.safe_load(settings.read_text(encoding="utf-8"))["name"]
    except (yaml.YAMLError, ValueError, TypeError, KeyError) as error:
        raise StudyError(f"{settings} is not a study's; remove it, or give another folder with --out") from error


def _rows(study: Study, plan: Plan, store: Store) -> pd.DataFrame:
    """One row for each measurement; counts and rates are empty where its tasks failed."""
    records = []
    trained = {(one.seed, one.manipulation, one.name): _training(store, one) for one in plan.trainings}
    taken = {attack: _taken(attack) for attack in {one.attack for one in plan.measurements} if attack}
    for measurement in plan.measurements:
        record: dict[str, Any] = {"study": study.name}
        record |= {name: getattr(measurement, name) for name in ROW_COLUMNS[1:6]}
        learned = trained.get((measurement.seed, measurement.manipulation, measurement.attack), "")
        record["learned"] = learned or taken.get(measurement.attack, "")
        path = store.folder(measurement.row) / ROW
        if path.exists():
            record |= json.loads(path.read_text(encoding="utf-8"))
            record["training"] = trained[measurement.seed, measurement.manipulation, measurement.detector]
        records.append(record)
    return pd.DataFrame.from_records(records).reindex(columns=list(ROW_COLUMNS))


def _times(plan: Plan, store: Store) -> pd.DataFrame:
    """How long each attack took on the patches of a manipulation, where it is done."""
    records = []
    for concealment in plan.concealments:
        path = store.folder(concealment.key) / TIME
        if path.exists():
            named = {name: getattr(concealment, name) for name in TIME_COLUMNS[:4]}
            records.append(named | json.loads(path.read_text(encoding="utf-8")))
    return pd.DataFrame.from_records(records, columns=list(TIME_COLUMNS))


def _training(store: Store, training: Training) -> str:
    """How something was trained, in the words of a row; "" where it says nothing of it."""
    with contextlib.suppress(WeightsError):
        record = weights.read_record(store.folder(training.key), training.kind)
        return _restorer(record) if training.kind == "generator" else _judge(record)
    return ""


def _taken(text: str) -> str:
    """As `_training`, of an attack that learned elsewhere."""
    attack = attacks.parse(text)
    record = attack.taken() if isinstance(attack, attacks.LearnedAttack) else None
    return _restorer(record) if record else ""


def _restorer(record: Mapping[str, Any]) -> str:
    facts = record.get("training", {})
    if not {"kept_step", "steps", "ended", "pairs_per_step", "device", "precision", "perceptual"} <= facts.keys():
        return "; ".join(f"{name}: {fact}" for name, fact in facts.items())  # what somebody else's attack says of it
    kept = "" if facts["kept_step"] == facts["steps"] else f"; the generator of step {facts['kept_step']} is kept"
    ended = facts["ended"] + kept
    steps = f"{facts['steps']} steps of {facts['pairs_per_step']} pairs, {ended}"
    return "; ".join([facts["device"], facts["precision"], f"perceptual space: {facts['perceptual']}", steps])


def _judge(record: Mapping[str, Any]) -> str:
    facts = record.get("training", {})
    if not facts:
        return ""
    words = [facts[name] for name in ("device", "precision", "augmentation")]
    start = f" after a start on {facts['start_patches']}" if "start_patches" in facts else ""
    return "; ".join([*words, f"{facts['patches']} patches{start}"])


def _fields(rows: pd.DataFrame) -> Iterator[list[str]]:
    """The lines of rows.csv: whole numbers as such, everything else with six decimals, nothing for what is missing."""
    for row in rows.itertuples(index=False):
        yield [_field(name, value) for name, value in zip(ROW_COLUMNS, row, strict=True)]


def _write_csv(lines: Iterable[Iterable[Any]], path: Path, columns: Iterable[str] = ROW_COLUMNS) -> None:
    """A header and `lines`, whole or not at all.  Raises StudyError if it cannot be written."""
    content = io.StringIO()
    writer = csv.writer(content, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(lines)
    try:
        write_whole(path, content.getvalue())
    except OSError as error:
        raise StudyError(f"cannot write {path} ({error.strerror}); finished work is kept") from error


def _field(name: str, value: Any) -> str:
    if isinstance(value, str):
        return value
    if value is None or math.isnan(value):
        return ""
    return str(int(value)) if name in WHOLE else f"{value:.6f}"


def _link_trained(plan: Plan, store: Store, out: Path) -> None:
    """Give all that was trained a path that a person can type: detectors/SEED/NAME/MANIPULATION."""
    for training in plan.trainings:
        # A study names a generator by its folder, and a comma ends a name there.
        name = training.name if training.kind == "detector" else re.sub(r"[^\w.]+", "-", training.name)
        link = out / f"{training.kind}s" / str(training.seed) / name / training.manipulation
        entry = store.folder(training.key)
        if not entry.exists() or link.resolve() == entry.resolve():
            continue
        try:
            if link.is_dir() and not link.is_symlink():
                shutil.rmtree(link)  # what copying a study made of the link
            link.unlink(missing_ok=True)
            link.parent.mkdir(parents=True, exist_ok=True)
            if store.lasts:
                link.symlink_to(os.path.relpath(entry, link.parent), target_is_directory=True)
            else:
                shutil.copytree(entry, link)
        except OSError as error:
            raise StudyError(f"cannot write {link} ({error.strerror}); finished work is kept") from error


def _scores(plan: Plan, store: Store) -> Iterator[Scores]:
    """Every judge's logits, where they exist."""
    by_judge: dict[tuple[int, str, str], list[Measurement]] = {}
    for measurement in plan.measurements:
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


def _strips(plan: Plan, store: Store) -> Iterator[Strip]:
    """A patch in its three states for each attack of the first seed."""
    seed = min((concealment.seed for concealment in plan.concealments), default=0)
    shown: dict[tuple[str, ...], int] = {}
    for concealment in plan.concealments:
        if concealment.seed == seed:
            # Patches are too large to be looked at in every rerun: one that is gone or damaged costs a picture, no row.
            with contextlib.suppress(OSError, EOFError, ValueError, CounterforensicsError):
                if concealment.pristine not in shown:
                    shown[concealment.pristine] = _worth_seeing(patches_of(concealment.pristine, store))
                yield _strip(concealment, shown[concealment.pristine], store)


def _worth_seeing(patches: Patches) -> int:
    """The patch with more contrast than three quarters of the others: neither an empty wall nor the best of all."""
    contrast = np.concatenate([some.std(axis=(1, 2, 3)) for some in patches.batches(BATCH)])
    return int(np.argsort(contrast, kind="stable")[3 * len(contrast) // 4])


def _strip(concealment: Concealment, position: int, store: Store) -> Strip:
    pristine = patches_of(concealment.pristine, store)
    index = np.array([position])
    return Strip(
        manipulation=concealment.manipulation,
        target=concealment.target,
        attack=concealment.attack,
        photo=concealment.photos[int(pristine.photo[position])].name,
        pristine=pristine[index][0],
        manipulated=patches_of(concealment.manipulated, store)[index][0],
        concealed=patches_of((concealment.key,), store)[index][0],
        aligned=not manipulations.moves_pixels(manipulations.parse(concealment.manipulation)),
    )


def _curves(plan: Plan, store: Store) -> Iterator[Curve]:
    """How each training went, and then each start that the manipulations share."""
    starts: dict[str, Curve] = {}
    for training in plan.trainings:
        if columns := _curve(store, training.key):
            yield Curve(training.seed, training.manipulation, training.name, columns)
        task = plan.tasks[training.key]
        start = task.needs["start"][0] if "start_output" in task.settings else ""
        if start and start not in starts and (columns := _curve(store, start)):
            name = f"start of {training.name.partition(':')[0]}"
            starts[start] = Curve(training.seed, "all manipulations", name, columns)
    yield from starts.values()


def _curve(store: Store, key: str) -> dict[str, list[float]]:
    path = store.folder(key) / CURVE
    points = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    return {name: [point[name] for point in points] for name in points[0]} if points else {}


def _spectra(plan: Plan, store: Store) -> Iterator[Spectra]:
    """What each attack of the first seed did to the spectrum."""
    seed = min((concealment.seed for concealment in plan.concealments), default=0)
    for concealment in plan.concealments:
        path = store.folder(concealment.likeness) / SPECTRA
        if concealment.seed == seed and path.exists():
            named, spectra = (concealment.manipulation, concealment.target, concealment.attack), np.load(path)
            yield Spectra(*named, frequencies(spectra.shape[1]), *spectra)


def _simulated_roles(splits: Mapping[int, Split]) -> list[str]:
    """The roles in which a simulated camera stands, under any seed."""
    roles = (role for split in splits.values() for role, photos in split.roles.items() if any(map(_simulated, photos)))
    return list(dict.fromkeys(roles))


def _simulated(photo: Photo) -> bool:
    return isinstance(photo, SimulatedPhoto)


def _photo_table(study: Study, prepared: Prepared) -> pd.DataFrame:
    """Every photograph of the first seed's split, and what it was found to be."""
    columns = ["device", "photo", "role", "digest", "width", "height", "patches"]
    records = []
    split = next(iter(prepared.splits.values()))
    per_photo = patches_per_photo(study, split, study.patches.per_device)
    for role, photos in split.roles.items():
        for photo in photos:
            found = prepared.found[photo.digest]
            patches = count_patches(found, per_photo[photo.device], study.patches.size)
            records.append((photo.device, photo.name, role, photo.digest, found.width, found.height, patches))
    return pd.DataFrame(records, columns=columns)


def _provenance(study: Study) -> dict[str, str]:
    packages = (
        "counterforensics",
        "torch",
        "numpy",
        "numba",
        "scikit-learn",
        "opencv-python-headless",
        "pillow",
    )
    return {
        "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "versions": ", ".join(f"{name} {version(name)}" for name in packages),
        "Python": f"{platform.python_version()} on {platform.system()} {platform.machine()}",
        "manipulations made by": manipulations.BACKEND,
        "seeds": ", ".join(map(str, study.seeds)),
        "device": f"{describe(best_device())}; one processor thread a task",
    }
