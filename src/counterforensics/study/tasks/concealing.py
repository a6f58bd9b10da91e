"""Tasks around an attack: concealing patches, and comparing them with the patches before."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from counterforensics.attacks import ATTACKS, Attack, LearnedAttack, PreparedAttack
from counterforensics.detectors import Recipe, load_detector
from counterforensics.evaluation import changed, mse, psnr_of, radial_spectrum, residual_spectrum, ssim
from counterforensics.learning import weights
from counterforensics.learning.accelerator import describe, device_of, placed
from counterforensics.photos.patches import Pairs, Patches
from counterforensics.pixels import Pixels
from counterforensics.study.store.folder import Store
from counterforensics.study.tasks.base import Kind, Say, Task
from counterforensics.study.tasks.files import (
    CHANGED,
    LIKENESS,
    MSE,
    PATCHES,
    SPECTRA,
    TIME,
    ZERO,
    batches,
    pairs_of,
    patches_of,
    save,
)

Measured = dict[str, list[np.ndarray[Any, Any]]]


class Conceal(Kind):
    """The manipulated patches of the test devices after an attack, and what it did to them."""

    name = "conceal"
    version = 2
    writes = (PATCHES, MSE, CHANGED, ZERO, TIME)

    def run(self, task: Task, store: Store, folder: Path, say: Say) -> None:
        """As `Kind.run`."""
        prepared, device = prepared_attack(task, store)
        source = patches_of(task.needs["patches"], store)
        originals = batches(patches_of(task.needs["originals"], store)) if "originals" in task.needs else None
        seconds = 0.0
        measured: Measured = {MSE: [], CHANGED: [], ZERO: []}
        with (folder / PATCHES).open("wb") as stored:
            shape = (len(source), *source.stacks[0].shape[1:])
            header = {"descr": "|u1", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(stored, header)
            for some in batches(source):
                before = torch.from_numpy(some)
                given = None if originals is None else torch.from_numpy(next(originals)).to(device)
                begin = time.perf_counter()
                concealed = prepared.conceal(before.to(device), given)
                seconds += time.perf_counter() - begin
                after = torch.from_numpy(np.stack([as_stored(patch) for patch in concealed.patches.cpu().numpy()]))
                stored.write(after.numpy().tobytes())
                measured[MSE].append(mse(before, after).numpy())
                measured[CHANGED].append(changed(before, after).numpy())
                if concealed.zero_gradient is not None:
                    measured[ZERO].append(concealed.zero_gradient.cpu().numpy())
        for name, parts in measured.items():
            save(folder / name, np.concatenate(parts) if parts else np.empty(0))
        taken = {"patches": len(source), "seconds": seconds, "device": describe(device)}
        (folder / TIME).write_text(json.dumps(taken), encoding="utf-8")

    def bytes_written(self, task: Task) -> int:
        """As `Kind.bytes_written`."""
        return task.patch_bytes * task.patches

    def uses_gpu(self, task: Task) -> bool:
        """As `Kind.uses_gpu`."""
        attack: Attack = task.workers["attack"].part
        target: Recipe | None = task.workers["target"].part if "target" in task.workers else None
        return attack.uses_gpu or (target is not None and target.uses_gpu)


def prepared_attack(task: Task, store: Store) -> tuple[PreparedAttack, torch.device]:
    """The attack, ready to conceal, and where it works."""
    attack: Attack = task.workers["attack"].part
    if "generator" in task.needs and isinstance(attack, LearnedAttack):
        folder = store.folder(task.needs["generator"][0])
        prepared = attack.prepare_with(weights.load(folder, ATTACKS, "generator"))
        return prepared, prepared.device
    target = placed(load_detector(store.folder(task.needs["target"][0]))) if "target" in task.needs else None
    pairs = pairs_of(task, store) if "pristine" in task.needs else Pairs(Patches(()), Patches(()))
    prepared = attack.prepare(target, pairs, seed=task.settings["seed"])
    return prepared, prepared.device if target is None else device_of(target)


def as_stored(patch: Pixels) -> Pixels:
    """A patch, uint8 [c, h, w], after it went through a PNG file: what any judge gets to see."""
    image = patch[0] if len(patch) == 1 else np.ascontiguousarray(patch.transpose(1, 2, 0)[..., ::-1])
    written, content = cv2.imencode(".png", image, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    if not written:
        raise OSError(f"a patch of shape {patch.shape} could not be encoded as PNG")
    decoded = np.asarray(cv2.imdecode(content, cv2.IMREAD_UNCHANGED), dtype=np.uint8)
    return decoded[None] if decoded.ndim == 2 else np.ascontiguousarray(decoded[..., ::-1].transpose(2, 0, 1))


class Compare(Kind):
    """How like the manipulated patches concealed ones are, and how like the pristine ones, where pixels stayed."""

    name = "compare"
    version = 2
    writes = (LIKENESS, SPECTRA)

    def run(self, task: Task, store: Store, folder: Path, say: Say) -> None:
        """As `Kind.run`."""
        aligned = task.settings["aligned"]
        roles = ("pristine", "manipulated", "concealed")
        pristine, manipulated, concealed = (batches(patches_of(task.needs[role], store)) for role in roles)
        found: Measured = {}
        spectra: np.ndarray[Any, Any] = np.zeros((5 if aligned else 3, 1))
        count = 0
        for states in zip(pristine, manipulated, concealed, strict=True):
            original, before, after = map(torch.from_numpy, states)
            measured = {"ssim": ssim(after, before)}
            powers = [radial_spectrum(some) for some in (original, before, after)]
            if aligned:
                measured |= {"ssim_pristine": ssim(after, original), "ssim_before": ssim(before, original)}
                measured |= {"mse_pristine": mse(after, original), "mse_before": mse(before, original)}
                powers += [residual_spectrum(some, original) for some in (before, after)]
            for name, values in measured.items():
                found.setdefault(name, []).append(values.numpy())
            spectra = spectra + len(after) * np.stack(powers)
            count += len(after)
        means = {name: float(np.concatenate(parts).mean()) for name, parts in found.items()}
        likeness = {
            name.replace("mse", "psnr"): psnr_of(mean) if "mse" in name else mean for name, mean in means.items()
        }
        (folder / LIKENESS).write_text(json.dumps(likeness, sort_keys=True), encoding="utf-8")
        save(folder / SPECTRA, spectra / max(count, 1))
