"""Tasks that judge: the logits of a detector, and the row that follows from them."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from counterforensics.detectors import Recipe, load_detector
from counterforensics.detectors.base import score
from counterforensics.detectors.calibration import threshold_for, thresholds_of
from counterforensics.evaluation import operating_points, psnr_of, rates, rates_at
from counterforensics.learning import weights
from counterforensics.learning.accelerator import placed
from counterforensics.ranking import OPERATING_POINTS
from counterforensics.study.store.folder import Store
from counterforensics.study.tasks.base import Kind, Say, Task
from counterforensics.study.tasks.files import CHANGED, LIKENESS, LOGITS, MSE, ROW, ZERO, batches, patches_of, save

_BYTES_OF_LOGIT = 4


class Judge(Kind):
    """The logits of one detector for one set of patches."""

    name = "judge"
    version = 1
    writes = (LOGITS,)

    def run(self, task: Task, store: Store, folder: Path, say: Say) -> None:
        """As `Kind.run`."""
        detector = placed(load_detector(store.folder(task.needs["judge"][0])))
        save(folder / LOGITS, score(detector, batches(patches_of(task.needs["patches"], store))))

    def bytes_written(self, task: Task) -> int:
        """As `Kind.bytes_written`."""
        return _BYTES_OF_LOGIT * task.patches

    def uses_gpu(self, task: Task) -> bool:
        """As `Kind.uses_gpu`."""
        recipe: Recipe = task.workers["recipe"].part
        return recipe.uses_gpu


class Measure(Kind):
    """One row: a judge's verdicts on pristine and on manipulated or concealed patches."""

    name = "measure"
    version = 6
    writes = (ROW,)

    def run(self, task: Task, store: Store, folder: Path, say: Say) -> None:
        """As `Kind.run`."""
        pristine, positive = (np.load(store.folder(task.needs[role][0]) / LOGITS) for role in ("pristine", "positive"))
        photos = (patches_of(task.needs[role], store).photo for role in ("patches", "positive patches"))
        photo_of_pristine, photo_of_positive = photos
        logits = pristine, positive, photo_of_pristine, photo_of_positive
        found = rates(*logits, seed=task.settings["seed"])
        row: dict[str, Any] = dataclasses.asdict(found)
        row |= {"fpr": found.fpr, "tpr": found.tpr, "acc": found.acc}
        thresholds = thresholds_of(weights.read_record(store.folder(task.needs["judge"][0])).get("training", {}))
        row |= operating_points(*logits, thresholds=thresholds, seed=task.settings["seed"])
        if "concealed" in task.needs:
            before = np.load(store.folder(task.needs["before"][0]) / LOGITS)
            row |= _quality([store.folder(key) for key in task.needs["concealed"]]) | _success(before, positive)
            row |= json.loads((store.folder(task.needs["likeness"][0]) / LIKENESS).read_text(encoding="utf-8"))
        if "laundered" in task.needs:
            held_out = np.load(store.folder(task.needs["laundered"][0]) / LOGITS)
            thresholds = {"laundered_01": threshold_for(held_out, OPERATING_POINTS["fpr_01"])}
            row |= rates_at(*logits, thresholds=thresholds, seed=task.settings["seed"])
        if "cleared" in task.needs:
            cleared = float((np.load(store.folder(task.needs["cleared"][0]) / LOGITS) > 0).mean())
            row |= {"tpr_at_cleared": cleared, "tpr_between": found.tpr - cleared}
        (folder / ROW).write_text(json.dumps(row, sort_keys=True), encoding="utf-8")


def _quality(folders: Sequence[Path]) -> dict[str, float]:
    """Means over patches; PSNR is that of the mean MSE, as patches left alone have none of their own."""
    error, share, zero = (
        np.concatenate([np.load(folder / name) for folder in folders]) for name in (MSE, CHANGED, ZERO)
    )
    mean = float(error.mean())
    quality = {"mse": mean, "psnr": psnr_of(mean), "unchanged": float((share == 0).mean())}
    quality |= {"changed": float(share.mean())}
    return quality | ({"zero_gradient": float(zero.mean())} if len(zero) else {})


def _success(before: np.ndarray[Any, Any], after: np.ndarray[Any, Any]) -> dict[str, float]:
    """The share of patches that the judge called pristine already, and of the others the share that it now does."""
    detected = before > 0
    missed = {"already": float((~detected).mean())} if len(detected) else {}
    return missed | ({"success": float((after[detected] <= 0).mean())} if detected.any() else {})
