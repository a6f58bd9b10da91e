"""One trained detector on a folder of photographs, without a study around it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from counterforensics import manipulations
from counterforensics.detectors import load_detector
from counterforensics.detectors.base import score
from counterforensics.errors import PhotoError
from counterforensics.evaluation import auc_interval, rates
from counterforensics.learning.accelerator import placed
from counterforensics.photos.folder import FolderPhoto, find_photos
from counterforensics.photos.inspection import inspect
from counterforensics.photos.patches import Patches, choose_cells, cut
from counterforensics.pixels import Pixels
from counterforensics.seeds import seed_for
from counterforensics.study.planning import cells_seed
from counterforensics.study.progress import Progress
from counterforensics.study.tasks.files import BATCH


def look_at(folder: Path) -> dict[str, Any]:
    """What is in a photo folder: `devices` (device -> photo, width, height) and `unusable` (path and reason)."""
    found = find_photos([folder])
    devices: dict[str, list[dict[str, Any]]] = {}
    unusable = list(found.left_out)
    for photo in found.photos:
        try:
            seen = inspect(photo)
        except PhotoError as error:
            unusable.append(str(error))
        else:
            entry = {
                "photo": photo.path.name,
                "width": seen.width,
                "height": seen.height,
                "sha256": photo.digest,
            }
            devices.setdefault(photo.device, []).append(entry)
    return {"folder": str(folder), "devices": devices, "unusable": unusable}


def evaluate_detector(
    path_or_name: str, folders: Sequence[Path], manipulation: str, *, per_photo: int, progress: Progress
) -> dict[str, Any]:
    """Rates (0..1) of a detector on pristine and manipulated patches, with intervals resampled by photograph.

    `devices` has the rates of each device. One photograph is in memory at a time; those that cannot be used are
    listed under `left_out`.
    Raises WeightsError, PhotoError, NameNotFoundError or StudyError.
    """
    detector = placed(load_detector(path_or_name))
    manipulate = manipulations.parse(manipulation)
    found = find_photos(folders)
    left_out = list(found.left_out)
    logits: dict[str, list[np.ndarray[Any, Any]]] = {"pristine": [], "manipulated": []}
    device_of: list[str] = []  # of each photograph used
    with progress.stage("photographs", len(found.photos)) as advance:
        for photo in found.photos:
            try:
                pristine, manipulated = _two_states(photo, manipulate, per_photo)
                logits["pristine"].append(score(detector, Patches((pristine,)).batches(BATCH)))
                logits["manipulated"].append(score(detector, Patches((manipulated,)).batches(BATCH)))
                device_of.append(photo.device)
            except PhotoError as error:
                left_out.append(str(error) if photo.path.name in str(error) else f"{photo.path}: {error}")
            advance()
    if not logits["pristine"]:
        raise PhotoError(f"no photograph in {', '.join(map(str, folders))} can be used: {left_out[0]}")
    photo_of = np.repeat(np.arange(len(device_of)), [len(part) for part in logits["pristine"]])
    before, after = (np.concatenate(logits[state]) for state in ("pristine", "manipulated"))
    seed = seed_for(0, "intervals", manipulation)
    measured = rates(before, after, photo_of, photo_of, seed=seed)
    auc_low, auc_high = auc_interval(before, after, photo_of, photo_of, seed=seed)
    return {
        "detector": path_or_name,
        "manipulation": manipulations.text_form(manipulate),
        "photos": len(device_of),
        "per_photo": per_photo,
        **{name: getattr(measured, name) for name in ("fpr", "tpr", "acc")},
        **dataclasses.asdict(measured),
        "auc_low": auc_low,
        "auc_high": auc_high,
        "devices": _by_device(before > 0, after > 0, np.array(device_of)[photo_of]),
        "left_out": left_out,
    }


def _by_device(false: np.ndarray[Any, Any], true: np.ndarray[Any, Any], device: np.ndarray[Any, Any]) -> dict[str, Any]:
    """The rates of each device, from the verdicts on its pristine and its manipulated patches."""
    found = {}
    for name in sorted(set(device.tolist())):
        fpr, tpr = (float(verdicts[device == name].mean()) for verdicts in (false, true))
        found[name] = {"fpr": fpr, "tpr": tpr, "acc": (tpr + 1 - fpr) / 2, "patches": int((device == name).sum())}
    return found


def _two_states(photo: FolderPhoto, manipulate: manipulations.Manipulation, per_photo: int) -> tuple[Pixels, Pixels]:
    """The same cells of a photograph before and after: uint8 [n, 3, 128, 128], detectors pick their channels."""
    pixels = photo.read()
    cells = choose_cells(*pixels.shape[:2], per_photo=per_photo, seed=cells_seed(photo))
    return cut(pixels, cells, channels="rgb"), cut(manipulate(pixels), cells, channels="rgb")
