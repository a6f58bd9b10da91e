"""Tasks around attacks on whole photographs: concealing one, and what it has to do with patches."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import torch

from counterforensics.attacks import Attack, LearnedAttack
from counterforensics.detectors import load_detector
from counterforensics.evaluation import changed, mse
from counterforensics.learning.accelerator import describe, device_of, placed
from counterforensics.manipulations import Manipulation, manipulated
from counterforensics.pixels import Pixels
from counterforensics.sliding.attacking import write_png
from counterforensics.sliding.concealing import conceal_photo, conceal_without_target
from counterforensics.sliding.scan import Subject
from counterforensics.study.store.folder import Store
from counterforensics.study.tasks.base import Say, Task
from counterforensics.study.tasks.concealing import Conceal, prepared_attack
from counterforensics.study.tasks.files import CHANGED, CONCEALED, MSE, TIME, ZERO, save
from counterforensics.study.tasks.photographs import memory_of, photograph

# Bytes for each pixel of a photograph that an attack sweeps over, of memory and of the file (measured on 0.8 and 3.1
# megapixels: 170 to 250, and 0.6 to 1.3).
SWEEPING = 250
PNG_BYTES_PER_PIXEL = 1.3


class ConcealPhoto(Conceal):
    """A whole manipulated photograph of a test device after an attack, and what the attack did to it."""

    name = "conceal photo"
    version = 1
    writes = (CONCEALED, MSE, CHANGED, ZERO, TIME)
    unit = "pixels"

    def run(self, task: Task, store: Store, folder: Path, say: Say) -> None:
        """As `Kind.run`."""
        pristine = photograph(task, store)
        manipulation: Manipulation = task.workers["manipulation"].part
        before_attack = manipulated(pristine, manipulation)
        rgb = task.settings["channels"] == "rgb"
        begin = time.perf_counter()
        concealed, device = _concealed(task, store, before_attack, pristine, rgb)
        seconds = time.perf_counter() - begin
        write_png(concealed, folder / CONCEALED)
        # Each photograph as a patch of its own: uint8 [1, 3 or 1, h, w].
        before, after = (torch.from_numpy(Subject(photo).planes(rgb=rgb))[None] for photo in (before_attack, concealed))
        # One figure for each patch that is cut from the photograph later, as an attack on patches has it.
        save(folder / MSE, mse(before, after).numpy().repeat(task.patches))
        save(folder / CHANGED, changed(before, after).numpy().repeat(task.patches))
        save(folder / ZERO, np.empty(0))
        taken = {"patches": task.patches, "seconds": seconds, "device": describe(device)}
        (folder / TIME).write_text(json.dumps(taken), encoding="utf-8")

    def bytes_written(self, task: Task) -> int:
        """As `Kind.bytes_written`."""
        return int(PNG_BYTES_PER_PIXEL * task.pixels)

    def memory(self, task: Task) -> int:
        """As `Kind.memory`."""
        attack: Attack = task.workers["attack"].part
        per_pixel = attack.bytes_per_pixel if isinstance(attack, LearnedAttack) else SWEEPING
        return memory_of(task.pixels, task.workers["manipulation"].part, task.photo) + per_pixel * task.pixels


def _concealed(task: Task, store: Store, before: Pixels, pristine: Pixels, rgb: bool) -> tuple[Pixels, torch.device]:
    """The photograph, uint8 [h, w, 3], after the attack, and where the attack worked."""
    attack: Attack = task.workers["attack"].part
    originals = pristine if attack.needs_originals and pristine.shape == before.shape else None
    seed = task.settings["seed"]
    if "target" in task.needs:
        target = placed(load_detector(store.folder(task.needs["target"][0])))
        swept = conceal_photo(before, target, attack, originals=originals, seed=seed)
        return swept.photo, device_of(target)
    prepared, device = prepared_attack(task, store)
    at_once = isinstance(attack, LearnedAttack)
    return conceal_without_target(before, prepared, at_once=at_once, originals=originals, rgb=rgb), device
