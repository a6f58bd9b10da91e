"""The kinds of task a study consists of. Each reads entries of the store and writes one of its own.

develop (simulated cameras) -> crop -> train, learn -> conceal -> judge, compare -> measure
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import io
import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from counterforensics import attacks, detectors, manipulations
from counterforensics.attacks import Concealer
from counterforensics.detectors.base import Network, score
from counterforensics.evaluation import changed, mse, psnr_of, radial_spectrum, rates, residual_spectrum, ssim
from counterforensics.learning import weights
from counterforensics.learning.accelerator import describe, device_of, placed
from counterforensics.learning.course import Course
from counterforensics.photos.folder import decode
from counterforensics.photos.patches import Pairs, Patches, PatchFile, choose_cells, cut
from counterforensics.pixels import Pixels
from counterforensics.study import memory
from counterforensics.study.store import Store

BATCH = 16
BATCHES_BETWEEN_RELEASES = 4
PATCHES, LOGITS, MSE, CHANGED, ZERO = ("patches.npy", "logits.npy", "mse.npy", "changed.npy", "zero_gradient.npy")
PHOTO, CURVE, ROW, TIME = "photo.jpg", "curve.json", "row.json", "time.json"
LIKENESS, SPECTRA = "likeness.json", "spectra.npy"


@dataclass(frozen=True)
class Task:
    """One unit of work. Its key is the hash of everything its result depends on."""

    kind: str
    settings: Mapping[str, Any]  # JSON values
    needs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # role -> keys of the entries it reads
    label: str = ""  # for people
    photo: Any = None  # the photograph behind settings["photo"], whose digest is what counts
    by: str = ""  # the detector that does the work, in its text form: a GPU is of use to some
    pixels: int = 0  # of the photograph that it develops or crops, as forecasts count work
    patches: int = 0  # that it writes or goes through
    devices: tuple[str, ...] = ()  # whose photographs it learns from, for the record: their digests count

    @property
    def who(self) -> str:
        """What does the work, in words by which its cost is known: `median:7`, `fgsm on cozzolino2017`."""
        if self.kind == "crop":
            return str(self.settings["manipulation"]) or "pristine"
        return " on ".join(name for name in (self.settings.get("attack", ""), self.by) if name)

    @cached_property
    def key(self) -> str:
        """SHA-256 (hexadecimal) of kind, its version, settings and the keys of what is read."""
        content = {
            "kind": self.kind,
            "version": KINDS[self.kind].version,
            "settings": self.settings,
            "needs": {role: list(keys) for role, keys in self.needs.items()},
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class Kind:
    """How tasks of one kind run. A new version makes every result of the old one worthless."""

    version: int
    run: Callable[..., None]  # (task, store, folder to write into)
    tells: bool = False  # whether it takes long enough to be given `say=` too


def run_task(task: Task, store: Store, say: Callable[[str], None]) -> None:
    """Run `task` and keep its result in `store`; `say` hears how far a long one is.  Raises whatever goes wrong."""
    # One thread a task: results do not depend on how many cores there are, and tasks fill the cores.
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    memory.reuse()
    with store.writing(task.key, task.label) as folder:
        kind = KINDS[task.kind]
        kind.run(task, store, folder, **({"say": say} if kind.tells else {}))
    memory.release()


def _develop(task: Task, store: Store, folder: Path) -> None:
    """A simulated photograph as the JPEG file that its camera wrote."""
    (folder / PHOTO).write_bytes(task.photo.encoded())


def _crop(task: Task, store: Store, folder: Path) -> None:
    """The patches of one photograph, pristine or manipulated as a whole and then cut."""
    pristine = _photograph(task, store)
    settings = task.settings
    cells = choose_cells(
        *pristine.shape[:2], per_photo=settings["per_photo"], seed=settings["seed"], size=settings["size"]
    )
    text = settings["manipulation"]
    photo = manipulations.parse(text)(pristine) if text else pristine
    _save(folder / PATCHES, cut(photo, cells, channels=settings["channels"], size=settings["size"]))


def _photograph(task: Task, store: Store) -> Pixels:
    if "developed" not in task.needs:
        photo: Pixels = task.photo.read()
        return photo
    path = store.folder(task.needs["developed"][0]) / PHOTO
    return decode(path.read_bytes(), path)


def _train(task: Task, store: Store, folder: Path, *, say: Callable[[str], None]) -> None:
    """A detector for one manipulation, or a start for several, trained on the training devices."""
    recipe = detectors.parse(task.settings["detector"])
    curve: list[Mapping[str, float]] = []
    pairs = pairs_of(task, store)
    course = _course(task, store, curve, say)
    network = recipe.train(pairs, seed=task.settings["seed"], course=course, **_start(task, store))
    shown = ("manipulation", "manipulations", "seed")
    record = {name: task.settings[name] for name in shown if name in task.settings}
    record |= {"pairs": len(pairs), "trained_on": _short_digest(task)}
    name = task.settings["detector"].partition(":")[0]
    weights.save(network, folder, name=name, settings=recipe, record=record)
    (folder / CURVE).write_text(json.dumps(curve), encoding="utf-8")


def _start(task: Task, store: Store) -> dict[str, Network]:
    """What the training goes on from, if anything: of a start for several manipulations, the one output."""
    if "start" not in task.needs:
        return {}
    start = detectors.load_detector(store.folder(task.needs["start"][0]))
    output = task.settings.get("start_output")
    return {"start": start if output is None else start.only(output)}


def _short_digest(task: Task) -> str:
    """One digest for all patches a detector was trained on."""
    roles = [role for role in task.needs if role == "pristine" or role.startswith("manipulated")]
    return hashlib.sha256("".join(key for role in roles for key in task.needs[role]).encode()).hexdigest()


def pairs_of(task: Task, store: Store) -> Pairs:
    """The pairs behind the roles `pristine` and `manipulated ...`, held-out photographs by position."""
    pristine, held_out = patches_of(task.needs["pristine"], store), frozenset(task.settings["held_out"])
    roles = [role for role in task.needs if role.startswith("manipulated")]
    several = [Pairs(pristine, patches_of(task.needs[role], store), held_out) for role in roles]
    return several[0] if len(several) == 1 else Pairs.together(several)


def patches_of(keys: tuple[str, ...], store: Store) -> Patches:
    """The patches in several entries, in order."""
    return Patches(tuple(PatchFile.open(store.folder(key) / PATCHES) for key in keys))


def _batches(patches: Patches) -> Iterator[Pixels]:
    """All patches, some at a time. Freed memory goes back between them, or a task would hold more the longer it is."""
    for number, some in enumerate(patches.batches(BATCH)):
        if number % BATCHES_BETWEEN_RELEASES == 0:
            memory.release()
        yield some


def _learn(task: Task, store: Store, folder: Path, *, say: Callable[[str], None]) -> None:
    """What an attack learns from the training devices: a generator, trained once whoever judges it."""
    attack = attacks.parse(task.settings["attack"])
    if not isinstance(attack, attacks.LearnedAttack):
        raise TypeError(f"{task.settings['attack']} learns nothing")
    curve: list[Mapping[str, float]] = []
    pairs = pairs_of(task, store)
    learned = attack.learn(pairs, seed=task.settings["seed"], course=_course(task, store, curve, say))
    record = {name: task.settings[name] for name in ("manipulation", "seed", "photos")}
    record |= {"pairs": len(pairs), "trained_on": _short_digest(task), "devices": list(task.devices)}
    name = task.settings["attack"].partition(":")[0]
    weights.save(learned, folder, name=name, settings=attack, record=record, kind="generator")
    (folder / CURVE).write_text(json.dumps(curve), encoding="utf-8")


def _course(task: Task, store: Store, curve: list[Mapping[str, float]], say: Callable[[str], None]) -> Course:
    """Where a training keeps its checkpoints, and the `curve` to which it adds its points."""
    kept = functools.partial(store.keep_partial, task.key)
    return Course(curve.append, say=say, folder=store.partial(task.key), kept=kept)


def _prepared(task: Task, store: Store) -> tuple[Concealer, torch.device]:
    """The attack, ready to conceal, and where it works."""
    attack, seed = attacks.parse(task.settings["attack"]), task.settings["seed"]
    if "generator" in task.needs and isinstance(attack, attacks.LearnedAttack):
        folder = store.folder(task.needs["generator"][0])
        concealer = attack.concealer(weights.load(folder, attacks.ATTACKS, "generator"))
        return concealer, concealer.device
    target = placed(detectors.load_detector(store.folder(task.needs["target"][0]))) if "target" in task.needs else None
    pairs = pairs_of(task, store) if "pristine" in task.needs else Pairs(Patches(()), Patches(()))
    concealer = attack.prepare(target, pairs, seed=seed)
    return concealer, concealer.device if target is None else device_of(target)


def _conceal(task: Task, store: Store, folder: Path) -> None:
    """The manipulated patches of the test devices after an attack, and what it did to them."""
    concealer, device = _prepared(task, store)
    source = patches_of(task.needs["patches"], store)
    originals = _batches(patches_of(task.needs["originals"], store)) if "originals" in task.needs else None
    seconds = 0.0
    shape = (len(source), *source.stacks[0].shape[1:])
    measured: dict[str, list[np.ndarray[Any, Any]]] = {MSE: [], CHANGED: [], ZERO: []}
    with (folder / PATCHES).open("wb") as stored:
        header = {"descr": "|u1", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(stored, header)
        for some in _batches(source):
            before = torch.from_numpy(some)
            given = None if originals is None else torch.from_numpy(next(originals)).to(device)
            begin = time.perf_counter()
            concealed = concealer.conceal(before.to(device), given)
            seconds += time.perf_counter() - begin
            after = torch.from_numpy(np.stack([as_stored(patch) for patch in concealed.patches.cpu().numpy()]))
            stored.write(after.numpy().tobytes())
            measured[MSE].append(mse(before, after).numpy())
            measured[CHANGED].append(changed(before, after).numpy())
            if concealed.zero_gradient is not None:
                measured[ZERO].append(concealed.zero_gradient.cpu().numpy())
    for name, parts in measured.items():
        _save(folder / name, np.concatenate(parts) if parts else np.empty(0))
    taken = {"patches": len(source), "seconds": seconds, "device": describe(device)}
    (folder / TIME).write_text(json.dumps(taken), encoding="utf-8")


def _save(path: Path, array: np.ndarray[Any, Any]) -> None:
    """`array` as a .npy file. A full disk is an OSError that says so: np.save's has no number, a map dies of it."""
    content = io.BytesIO()
    np.save(content, array)
    path.write_bytes(content.getbuffer())


def as_stored(patch: Pixels) -> Pixels:
    """A patch, uint8 [c, h, w], after it went through a PNG file: what any judge gets to see."""
    image = patch[0] if len(patch) == 1 else np.ascontiguousarray(patch.transpose(1, 2, 0)[..., ::-1])
    written, content = cv2.imencode(".png", image, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    if not written:
        raise OSError(f"a patch of shape {patch.shape} could not be encoded as PNG")
    decoded = np.asarray(cv2.imdecode(content, cv2.IMREAD_UNCHANGED), dtype=np.uint8)
    return decoded[None] if decoded.ndim == 2 else np.ascontiguousarray(decoded[..., ::-1].transpose(2, 0, 1))


def _compare(task: Task, store: Store, folder: Path) -> None:
    """How like the manipulated patches concealed ones are, and how like the pristine ones, where pixels stayed."""
    pristine, manipulated, concealed = (
        _batches(patches_of(task.needs[role], store)) for role in ("pristine", "manipulated", "concealed")
    )
    found: dict[str, list[np.ndarray[Any, Any]]] = {}
    spectra: np.ndarray[Any, Any] = np.zeros((5 if task.settings["aligned"] else 3, 1))
    count = 0
    for states in zip(pristine, manipulated, concealed, strict=True):
        original, before, after = map(torch.from_numpy, states)
        measured = {"ssim": ssim(after, before)}
        powers = [radial_spectrum(some) for some in (original, before, after)]
        if task.settings["aligned"]:
            measured |= {"ssim_pristine": ssim(after, original), "ssim_before": ssim(before, original)}
            measured |= {"mse_pristine": mse(after, original), "mse_before": mse(before, original)}
            powers += [residual_spectrum(some, original) for some in (before, after)]
        for name, values in measured.items():
            found.setdefault(name, []).append(values.numpy())
        spectra = spectra + len(after) * np.stack(powers)
        count += len(after)
    means = {name: float(np.concatenate(parts).mean()) for name, parts in found.items()}
    likeness = {name.replace("mse", "psnr"): psnr_of(mean) if "mse" in name else mean for name, mean in means.items()}
    (folder / LIKENESS).write_text(json.dumps(likeness, sort_keys=True), encoding="utf-8")
    _save(folder / SPECTRA, spectra / max(count, 1))


def _judge(task: Task, store: Store, folder: Path) -> None:
    """The logits of one detector for one set of patches."""
    detector = placed(detectors.load_detector(store.folder(task.needs["judge"][0])))
    _save(folder / LOGITS, score(detector, _batches(patches_of(task.needs["patches"], store))))


def _measure(task: Task, store: Store, folder: Path) -> None:
    """One row: a judge's verdicts on pristine and on manipulated or concealed patches."""
    pristine, positive = (np.load(store.folder(task.needs[role][0]) / LOGITS) for role in ("pristine", "positive"))
    photos = (patches_of(task.needs[role], store).photo for role in ("patches", "positive patches"))
    found = rates(pristine, positive, *photos, seed=task.settings["seed"])
    row: dict[str, Any] = dataclasses.asdict(found)
    row |= {"fpr": found.fpr, "tpr": found.tpr, "acc": found.acc}
    if "concealed" in task.needs:
        before = np.load(store.folder(task.needs["before"][0]) / LOGITS)
        row |= _quality(store.folder(task.needs["concealed"][0])) | _success(before, positive)
        row |= json.loads((store.folder(task.needs["likeness"][0]) / LIKENESS).read_text(encoding="utf-8"))
    (folder / ROW).write_text(json.dumps(row, sort_keys=True), encoding="utf-8")


def _quality(folder: Path) -> dict[str, float]:
    """Means over patches; PSNR is that of the mean MSE, as patches left alone have none of their own."""
    error, share, zero = (np.load(folder / name) for name in (MSE, CHANGED, ZERO))
    mean = float(error.mean())
    quality = {"mse": mean, "psnr": psnr_of(mean), "unchanged": float((share == 0).mean())}
    quality |= {"changed": float(share.mean())}
    return quality | ({"zero_gradient": float(zero.mean())} if len(zero) else {})


def _success(before: np.ndarray[Any, Any], after: np.ndarray[Any, Any]) -> dict[str, float]:
    """The share of patches that the judge called pristine already, and of the others the share that it now does."""
    detected = before > 0
    missed = {"already": float((~detected).mean())} if len(detected) else {}
    return missed | ({"success": float((after[detected] <= 0).mean())} if detected.any() else {})


KINDS: Mapping[str, Kind] = {
    "develop": Kind(1, _develop),
    "crop": Kind(1, _crop),
    "train": Kind(3, _train, tells=True),
    "learn": Kind(2, _learn, tells=True),
    "conceal": Kind(2, _conceal),
    "judge": Kind(1, _judge),
    "compare": Kind(2, _compare),
    "measure": Kind(2, _measure),
}
