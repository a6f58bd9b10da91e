"""One trained detector on a folder of photographs, without a study around it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from counterforensics import manipulations
from counterforensics.detectors import Detector, Network, load_detector
from counterforensics.detectors.base import score
from counterforensics.detectors.calibration import thresholds_of, why_no_threshold
from counterforensics.errors import LeakageError, PhotoError
from counterforensics.evaluation import auc_interval, operating_points, rates
from counterforensics.learning.accelerator import placed
from counterforensics.manipulations import manipulated
from counterforensics.outcome import LEARNED_AUC, OPERATING_COLUMNS
from counterforensics.photos.folder import FolderPhoto, Found, find_photos
from counterforensics.photos.inspection import Inspection
from counterforensics.photos.jpeg_quality import BANDS, JpegQuality, band_of
from counterforensics.photos.patches import Indices, Patches, choose_cells, cut, flat
from counterforensics.photos.remarks import JPEG_INSIDE, LOSSY, summary
from counterforensics.photos.splits import copies, lines_on_copies
from counterforensics.pixels import Pixels
from counterforensics.ranking import OPERATING_POINTS
from counterforensics.seeds import seed_for
from counterforensics.study.planning import cells_seed
from counterforensics.study.progress import Progress
from counterforensics.study.schedulers import memory
from counterforensics.study.tasks.files import BATCH
from counterforensics.study.tasks.photographs import inspect_in_budget, memory_of, too_large


def look_at(folder: Path) -> dict[str, Any]:
    """What is in a photo folder.

    `devices`: device -> of each photograph its name, width, height, SHA-256, and what is unusual (`remarks`).
    `unusable`: a line a file, its path and the reason.  `copies`: a line for each photograph whose pixels another one
    has, too.  `remarks`: a line for all that is unusual, with the first photograph that it is about.
    """
    found = find_photos([folder])
    devices: dict[str, list[dict[str, Any]]] = {}
    unusable = list(found.left_out)
    usable: dict[FolderPhoto, Inspection] = {}
    for photo in found.photos:
        try:
            seen = usable[photo] = inspect_in_budget(photo)
        except PhotoError as error:
            unusable.append(str(error))
        else:
            entry = {
                "photo": photo.path.name,
                "width": seen.width,
                "height": seen.height,
                "sha256": photo.digest,
                "remarks": list(seen.remarks),
            }
            devices.setdefault(photo.device, []).append(entry)
    return {
        "folder": str(folder),
        "devices": devices,
        "unusable": unusable,
        "copies": lines_on_copies(list(usable), {photo.digest: seen.content for photo, seen in usable.items()}),
        "remarks": summary({photo.where: seen.remarks for photo, seen in usable.items()}),
    }


def evaluate_detector(
    path_or_name: str, folders: Sequence[Path], manipulation: str, *, per_photo: int, progress: Progress
) -> dict[str, Any]:
    """Rates (0..1) of a detector on pristine and manipulated patches, with intervals resampled by photograph.

    Figures `..._at_fpr_001`, `..._at_fpr_01` and `..._at_fpr_05` are at the thresholds that the detector holds from its
    own held-out photographs for 0.1 %, 1 % and 5 % false alarms; None for a detector without. `eer` is the equal-error
    rate. `devices` has the rates of each device, `by_quality` those of
    photographs by the JPEG quality of their files (`photos.jpeg_quality.BANDS`, those that occur).
    Patches that are `flat` are not in the rates; `flat` counts them, and those called manipulated. `left_out` lists the
    photographs that cannot be used, those that the detector learned from, those that take more memory than there is for
    photographs under the manipulation, and all but one of those with the same pixels. `notes` has a line for whatever
    else the rates need to be read with, and for what is unusual about a photograph. One photograph is in memory at a
    time.
    Raises WeightsError, PhotoError, NameNotFoundError or StudyError; LeakageError, before anything is judged, if a
    photograph stands under two devices, or if the detector learned from all of them.
    """
    network = load_detector(path_or_name)
    manipulate = manipulations.parse(manipulation)
    photos, left_out = _distinct(find_photos(folders), manipulate, progress)
    photos, known = _unseen(network, photos)
    if known and not photos:
        raise LeakageError(f"the detector learned from all {len(known)} photographs; give photographs of other devices")
    judged, failed = _judge_all(placed(network), manipulate, photos, per_photo, progress)
    left_out += known + failed
    if not judged:
        raise PhotoError(f"no photograph in {', '.join(map(str, folders))} can be used: {left_out[0]}")
    textured = {state: _gathered(judged, state, which_are_flat=False) for state in STATES}
    verdicts_on_flat = {state: _gathered(judged, state, which_are_flat=True)[0] > 0 for state in STATES}
    thresholds = thresholds_of(network.facts)
    devices, without_rates = _by_device(textured, judged, thresholds)
    question = manipulations.text_form(manipulate)
    return {
        "detector": path_or_name,
        "manipulation": question,
        "photos": len(judged),
        "per_photo": per_photo,
        **_rates(textured, thresholds, seed_for(0, "intervals", manipulation)),
        "thresholds": {name: thresholds.get(name) for name in OPERATING_POINTS},
        "validation_auc": network.facts.get("validation_auc"),
        "devices": devices,
        "by_quality": _by_quality(textured, judged, thresholds),
        "flat": _counts_of_flat(verdicts_on_flat),
        "left_out": left_out,
        "notes": [
            *_of_question(network, question),
            *_of_learning(network),
            *_of_devices(network, judged),
            *_of_compression(manipulate, judged),
            *_of_flat(verdicts_on_flat),
            *without_rates,
            *summary({one.where: one.remarks for one in judged}),
        ],
    }


STATES = ("pristine", "manipulated")
_MOST_NAMED = 4  # devices in a note
Logits = npt.NDArray[np.float32]


@dataclass(frozen=True)
class _JudgedPhoto:
    """What a detector said of one photograph, by state (pristine, manipulated)."""

    where: str
    device: str
    remarks: tuple[str, ...]  # what is unusual about its file
    quality: JpegQuality | None  # of its file
    logits: Mapping[str, Logits]  # of each patch
    flat: Mapping[str, npt.NDArray[np.bool_]]  # of each patch


def _distinct(
    found: Found, manipulate: manipulations.Manipulation, progress: Progress
) -> tuple[dict[FolderPhoto, Inspection], list[str]]:
    """The photographs that can be decoded and manipulated, each once, and a line for each file that is left out.

    Raises LeakageError if one stands under two devices.
    """
    usable: dict[FolderPhoto, Inspection] = {}
    left_out, named = list(found.left_out), {manipulations.text_form(manipulate): manipulate}
    with progress.stage("photographs", len(found.photos)) as advance:
        for photo in found.photos:
            try:
                seen = inspect_in_budget(photo)
            except PhotoError as error:
                left_out.append(str(error))
            else:
                why_not = too_large(photo, seen, named)
                if why_not:
                    left_out.append(why_not)
                else:
                    usable[photo] = seen
            advance()
    content = {photo.digest: seen.content for photo, seen in usable.items()}
    twice = {photo.where: first for photo, first in copies({"evaluated": list(usable)}, content)}
    left_out += [f"{path}: the same pixels as {first.where}, which counts once" for path, first in twice.items()]
    return {photo: seen for photo, seen in usable.items() if photo.where not in twice}, left_out


def _unseen(
    network: Network, photos: Mapping[FolderPhoto, Inspection]
) -> tuple[dict[FolderPhoto, Inspection], list[str]]:
    """The photographs that the detector did not learn from, and a line for each other one."""
    unseen = {photo: seen for photo, seen in photos.items() if photo.digest not in network.learned_photos}
    return unseen, [f"{photo.where}: the detector learned from it" for photo in photos if photo not in unseen]


def _judge_all(
    detector: Detector,
    manipulate: manipulations.Manipulation,
    photos: Mapping[FolderPhoto, Inspection],
    per_photo: int,
    progress: Progress,
) -> tuple[list[_JudgedPhoto], list[str]]:
    """Each photograph judged in both states, and a line for each that cannot be."""
    judged, failed = [], []
    with progress.stage("judging", len(photos)) as advance:
        for photo, seen in photos.items():
            try:
                with memory.FOR_PHOTOGRAPHS.taken(memory_of(seen.width * seen.height, manipulate, photo)):
                    states = dict(zip(STATES, _two_states(photo, manipulate, per_photo), strict=True))
            except PhotoError as error:
                failed.append(str(error) if photo.path.name in str(error) else f"{photo.path}: {error}")
            else:
                logits = {state: score(detector, Patches((some,)).batches(BATCH)) for state, some in states.items()}
                which_are_flat = {state: flat(some) for state, some in states.items()}
                judged.append(
                    _JudgedPhoto(photo.where, photo.device, seen.remarks, seen.quality, logits, which_are_flat)
                )
            advance()
    return judged, failed


def _gathered(judged: Sequence[_JudgedPhoto], state: str, *, which_are_flat: bool) -> tuple[Logits, Indices]:
    """The logits of all patches that are flat, or of all others, and the photograph of each."""
    chosen = [one.flat[state] == which_are_flat for one in judged]
    logits = np.concatenate([one.logits[state][which] for one, which in zip(judged, chosen, strict=True)])
    return logits, np.repeat(np.arange(len(judged)), [which.sum() for which in chosen])


def _rates(
    textured: Mapping[str, tuple[Logits, Indices]], thresholds: Mapping[str, float], seed: int
) -> dict[str, float | None]:
    """The rates and their intervals.  Raises PhotoError if there is nothing to count in a state."""
    for state, (logits, _) in textured.items():
        if not len(logits):
            raise PhotoError(f"every {state} patch is flat: there is no noise to judge by; give other photographs")
    (before, photo_before), (after, photo_after) = (textured[state] for state in STATES)
    both = before, after, photo_before, photo_after
    measured = rates(*both, seed=seed)
    auc_low, auc_high = auc_interval(*both, seed=seed)
    return {
        **{name: getattr(measured, name) for name in ("fpr", "tpr", "acc")},
        **dataclasses.asdict(measured),
        "auc_low": auc_low,
        "auc_high": auc_high,
        **dict.fromkeys(OPERATING_COLUMNS),
        **operating_points(*both, thresholds=thresholds, seed=seed),
    }


def _by_device(
    textured: Mapping[str, tuple[Logits, Indices]], judged: Sequence[_JudgedPhoto], thresholds: Mapping[str, float]
) -> tuple[dict[str, Any], list[str]]:
    """The rates of each device, and a line for each that has none."""
    found, notes = {}, []
    names = np.array([one.device for one in judged])
    for name in sorted(set(names.tolist())):
        part = _part_of(textured, names == name)
        if all(map(len, part)):
            found[name] = _shares(*part, thresholds) | {"patches": len(part[0])}
        else:
            notes.append(f"{name}: its patches are flat, so it has no rates of its own")
    return found, notes


def _by_quality(
    textured: Mapping[str, tuple[Logits, Indices]], judged: Sequence[_JudgedPhoto], thresholds: Mapping[str, float]
) -> dict[str, dict[str, float | None]]:
    """The rates of the photographs in each of `BANDS`, where there are any; None for a rate of flat patches alone."""
    bands = np.array([band_of(one.quality, lossy=bool({LOSSY, JPEG_INSIDE} & {*one.remarks})) for one in judged])
    chosen = {band: bands == band for band in BANDS if band in bands}
    return {
        band: {"photographs": int(those.sum()), **_shares(*_part_of(textured, those), thresholds)}
        for band, those in chosen.items()
    }


def _part_of(textured: Mapping[str, tuple[Logits, Indices]], photos: npt.NDArray[np.bool_]) -> tuple[Logits, Logits]:
    """The logits of the patches of some photographs, pristine and manipulated."""
    before, after = (logits[photos[photo]] for logits, photo in (textured[state] for state in STATES))
    return before, after


def _shares(pristine: Logits, manipulated: Logits, thresholds: Mapping[str, float]) -> dict[str, float | None]:
    """Rates without intervals at 0 and at the thresholds; None where there is none, or nothing to count."""

    def share(logits: Logits, threshold: float | None) -> float | None:
        if threshold is None or not len(logits):
            return None
        return float((logits.astype(np.float64) > threshold).mean())

    fpr, tpr = share(pristine, 0.0), share(manipulated, 0.0)
    found = {"fpr": fpr, "tpr": tpr, "acc": None if fpr is None or tpr is None else (tpr + 1 - fpr) / 2}
    for name in OPERATING_POINTS:
        at = thresholds.get(name)
        found |= {f"tpr_at_{name}": share(manipulated, at), f"fpr_at_{name}": share(pristine, at)}
    return found


def _counts_of_flat(verdicts: Mapping[str, npt.NDArray[np.bool_]]) -> dict[str, int]:
    """How many flat patches there are in each state, and how many of them are called manipulated."""
    return {
        **{f"n_{state}": len(some) for state, some in verdicts.items()},
        **{name: int(verdicts[state].sum()) for name, state in (("fp", STATES[0]), ("tp", STATES[1]))},
    }


def _of_question(network: Network, question: str) -> Iterator[str]:
    """A line if the detector was trained to find something else than it is asked about."""
    if network.trained_for not in ("", question):
        yield (
            f"the detector was trained to find {network.trained_for}, not {question}: the TPR says how many patches it "
            f"calls manipulated after {question}, which it has not learned to find"
        )


def _of_devices(network: Network, judged: Sequence[_JudgedPhoto]) -> Iterator[str]:
    """A line if some photographs are of devices that the detector learned from, and one if it does not say which."""
    known = sorted({one.device for one in judged} & network.learned_devices)
    if known:
        more = f" and {len(known) - _MOST_NAMED} more" if len(known) > _MOST_NAMED else ""
        yield (
            f"the detector learned from other photographs of {', '.join(known[:_MOST_NAMED])}{more}: on devices that "
            "it has not seen, it may be worse"
        )
    if not network.learned_devices:
        yield (
            "the detector does not say from which photographs it learned (an older version trained it): give none that "
            "it has seen"
        )


def _of_learning(network: Network) -> Iterator[str]:
    """A line if the detector is at chance by its own held-out photographs, and one if it lacks thresholds."""
    area = network.facts.get("validation_auc")
    if isinstance(area, float) and area < LEARNED_AUC:
        yield (
            f"the detector has not learned: the AUC on held-out photographs of its training devices is {area:.2f}, "
            f"below {LEARNED_AUC:g}; at chance, an attack has nothing to conceal"
        )
    if not thresholds_of(network.facts):
        yield (
            "the detector holds no thresholds from held-out photographs, so there are no rates at 0.1 %, 1 % and 5 % "
            "false alarms: an older version trained it, or no photograph was held out; train it again for them"
        )
    elif why_not := why_no_threshold(network.facts, "fpr_001"):
        yield f"the detector holds no threshold for 0.1 % false alarms: {why_not}"


def _of_compression(manipulate: manipulations.Manipulation, judged: Sequence[_JudgedPhoto]) -> Iterator[str]:
    """A line if files are compressed as strongly already as the detector is asked about."""
    already = sum(one.quality is not None and manipulate.is_shown_by_jpeg(one.quality.quality) for one in judged)
    if already:
        yield (
            f"already compressed at quality {manipulate.shown_by_jpeg_up_to} or below: the answer means nothing for "
            f"{already} photograph{'s' if already > 1 else ''}"
        )


def _of_flat(verdicts: Mapping[str, npt.NDArray[np.bool_]]) -> Iterator[str]:
    """A line if there are flat patches."""
    if any(map(len, verdicts.values())):
        counts = " and ".join(
            f"{len(some)} {state} ({int(some.sum())} called manipulated)" for state, some in verdicts.items()
        )
        yield f"flat patches, which hold no noise to judge by, are not in the rates: {counts}"


def _two_states(photo: FolderPhoto, manipulate: manipulations.Manipulation, per_photo: int) -> tuple[Pixels, Pixels]:
    """The same cells of a photograph before and after: uint8 [n, 3, 128, 128], detectors pick their channels."""
    pixels = photo.read()
    cells = choose_cells(*pixels.shape[:2], per_photo=per_photo, seed=cells_seed(photo))
    return cut(pixels, cells, channels="rgb"), cut(manipulated(pixels, manipulate), cells, channels="rgb")
