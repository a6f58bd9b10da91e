"""Running a study: photographs in, rows and an outcome out. Run again, it computes what is missing."""

from __future__ import annotations

import platform
import shlex
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

import pandas as pd

from counterforensics import manipulations
from counterforensics.errors import StudyError, printable
from counterforensics.files import at_home
from counterforensics.learning.accelerator import best_device, describe
from counterforensics.outcome import Outcome
from counterforensics.photos.base import Photo
from counterforensics.photos.simulated import SimulatedPhoto
from counterforensics.photos.splits import Split
from counterforensics.study import by_device, collect, out_folder
from counterforensics.study.estimate import check_memory, room_here
from counterforensics.study.planning import count_patches, patches_per_photo, plug_ins_of
from counterforensics.study.prepare import Prepared, cores, prepare
from counterforensics.study.progress import Progress
from counterforensics.study.schedulers.cluster import connected
from counterforensics.study.schedulers.execute import Scheduler, Threads, execute
from counterforensics.study.schedulers.memory import MemoryLimit
from counterforensics.study.settings import Study
from counterforensics.study.store.folder import Store
from counterforensics.study.store.remote import open_store


def run_study(
    study: Study,
    out: Path,
    *,
    workers: int | None = None,
    progress: Progress | None = None,
    store: str | None = None,
    cluster: str | None = None,
    gpu: bool = False,
    so_far: bool = False,
) -> Outcome:
    """Run `study`, keep its results and write `out/rows.csv`.

    workers: tasks at a time, by default one a core.  store: a folder or an fsspec URL (`s3://bucket/folder`) where
    results are kept; `out/store` by default.  cluster: the address of a Dask scheduler, or `local` for worker processes
    on this machine; threads of this process by default.  gpu: an error unless one of its workers offers a GPU.
    so_far: compute nothing, and gather what is there; the notes of the outcome say how much is missing.
    Raises CounterforensicsError for photographs, a folder, a store or a cluster that cannot be used; a task that
    fails leaves a hole that the outcome names.
    """
    if gpu and cluster is None:
        raise StudyError(
            "--gpu needs a cluster; give --cluster, too. Without --gpu, tasks of this process use a GPU if there is one"
        )
    progress = progress or Progress(quiet=True)
    workers = workers or cores()
    out = at_home(out)
    out_folder.claim(out, study)
    kept = open_store(store or out / "store")
    if so_far:
        return _gather(study, out, kept, prepare(study, kept, workers, progress), ())
    kept.sweep()
    if cluster is None:
        return _run(study, out, kept, Threads(workers), workers, progress, room_here())
    with connected(cluster, gpu=gpu, workers=workers, say=progress.say) as there:
        folders = tuple(folder.absolute() for folder in study.photos.folders)
        there.check(kept, folders, plug_ins_of(study))
        found = study.model_copy(update={"photos": study.photos.model_copy(update={"folders": folders})})
        return _run(found, out, kept, there, workers, progress, there.room())


def _run(
    study: Study, out: Path, store: Store, scheduler: Scheduler, workers: int, progress: Progress, room: MemoryLimit
) -> Outcome:
    prepared = prepare(study, store, workers, progress)
    check_memory(prepared.plan, room, progress.say)
    failures = execute(prepared.plan, store, scheduler, out, progress)
    return _gather(study, out, store, prepared, failures)


def _gather(study: Study, out: Path, store: Store, prepared: Prepared, failures: Sequence[str]) -> Outcome:
    """The outcome, from what is in the store, and its files in `out`."""
    plan = prepared.plan
    missing = 0 if failures else len(plan.missing(store)[0])
    unfinished = (f"{missing} of {len(plan.tasks)} tasks have not run; the rows hold the results of the others",)
    outcome = Outcome(
        study=study.name,
        settings=study.as_yaml(),
        simulated=_simulated_roles(prepared.splits),
        rows=collect.rows(study, plan, store),
        scores=list(collect.scores(study, plan, store)),
        patches=list(collect.patch_states(plan, store)),
        curves=list(collect.curves(plan, store)),
        spectra=list(collect.spectra(plan, store)),
        times=collect.times(plan, store),
        trainings=collect.trainings(study, plan, store),
        labels=collect.labels(study),
        devices=by_device.devices(study, plan, store),
        photos=_photo_table(study, prepared),
        provenance=_provenance(study),
        left_out=tuple(map(printable, prepared.left_out)),
        notes=tuple(map(printable, (*prepared.notes, *(unfinished if missing else ())))),
        failures=tuple(map(printable, failures)),
    )
    out_folder.write_figures(outcome.rows, out / out_folder.ROWS)
    out_folder.write_figures(outcome.trainings, out / out_folder.TRAININGS)
    out_folder.write_figures(collect.curve_points(outcome.curves), out / out_folder.CURVES)
    out_folder.write_figures(outcome.devices, out / out_folder.DEVICES)
    out_folder.write_table(outcome.labels, out / out_folder.LABELS)
    out_folder.write_table(outcome.photos, out / out_folder.PHOTOS)
    out_folder.write_table(outcome.times, out / out_folder.TIMES)
    simulated = {"simulated cameras": ", ".join(outcome.simulated)} if outcome.simulated else {}
    out_folder.write_provenance({**outcome.provenance, **simulated}, out / out_folder.PROVENANCE)
    out_folder.link_trained(plan, store, out)
    return outcome


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
            names = printable(photo.device), printable(photo.name)
            records.append((*names, role, photo.digest, found.width, found.height, patches))
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
        "command": printable(shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])),
        "versions": ", ".join(f"{name} {version(name)}" for name in packages),
        "Python": f"{platform.python_version()} on {platform.system()} {platform.machine()}",
        "manipulations made by": manipulations.BACKEND,
        "seeds": ", ".join(map(str, study.seeds)),
        "device": f"{describe(best_device())}; one processor thread a task",
    }
