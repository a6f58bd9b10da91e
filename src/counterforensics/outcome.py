"""What a study leaves behind for its report: rows, scores, pictures and where all of it came from.

Nothing here needs torch, so a report can be made on a machine that has none.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import pandas as pd

# Of rows.csv, the figures at other thresholds than 0.
OPERATING_COLUMNS = (
    *(f"{name}{bound}" for name in ("best_acc", "tpr_at_fpr_01", "tpr_at_fpr_05") for bound in ("", "_low", "_high")),
    "fpr_at_fpr_01",  # on the test photographs, at the threshold that the held-out ones gave for 1 %
    "fpr_at_fpr_05",
    *("tpr_at_fpr_001", "tpr_at_fpr_001_low", "tpr_at_fpr_001_high", "fpr_at_fpr_001"),  # for 0.1 %
    *("eer", "eer_low", "eer_high"),  # the equal-error rate
)

# A detector whose AUC on held-out photographs is below this has not learned: at chance there is nothing to conceal.
LEARNED_AUC = 0.6

# Of rows.csv, the figures of studies on whole photographs.
WHOLE_COLUMNS = (
    # At the threshold that 1 % of the held-out pristine patches exceed once they passed the platform, too.
    *(f"tpr_at_laundered_01{bound}" for bound in ("", "_low", "_high")),
    "fpr_at_laundered_01",
    # Of an attack on whole photographs: the TPR at positions that the attack cleared, and how much higher (0..1) the
    # TPR is at the cells, most of which lie between these positions.
    "tpr_at_cleared",
    "tpr_between",
)

# The platform that leaves photographs as they are.
NOT_LAUNDERED = "none"

# rows.csv, one line per measurement; an empty field is a figure that does not exist.
ROW_COLUMNS = (
    "study",
    "seed",
    "manipulation",
    "detector",
    "target",
    "attack",
    "laundering",  # the platform that all photographs passed before they were cut and judged; `none` without an upload
    "label",  # how the study calls the detector, the target and the attack in tables and figures
    "target_label",
    "attack_label",
    "n_pristine",
    "n_manipulated",
    "fp",
    "tp",
    "fpr",
    "tpr",
    "acc",
    "tpr_low",
    "tpr_high",
    "auc",
    *OPERATING_COLUMNS,
    "mse",
    "psnr",
    "unchanged",
    "zero_gradient",
    "changed",
    "already",
    "success",
    "ssim",  # of concealed and manipulated patches, as psnr is
    "psnr_pristine",  # of concealed and pristine ones, where the manipulation leaves pixels in their place
    "ssim_pristine",
    "psnr_before",  # of manipulated and pristine ones, before the attack
    "ssim_before",
    *WHOLE_COLUMNS,
)

# trainings.csv, one line per training; an empty field is a fact that does not exist.
TRAINING_COLUMNS = (
    "study",
    "seed",
    "manipulation",  # ALL for a start that all manipulations of the study share
    "role",  # detector, generator, or start: what a detector's training goes on from
    "name",  # as registered: spam-svm, gan-vgg
    "label",
    "part",  # the text form, with its settings
    "device",
    "precision",
    "augmentation",
    "laundering",  # platforms, of which each photograph that it learned from passed one
    "pairs",  # that it could learn from, those held out among them
    "pairs_per_step",
    "patches",  # seen, those seen again among them
    "steps",
    "best_step",  # whose state is kept
    "seconds",  # no two runs take the same time
    "validation_loss",  # of what is kept, on held-out photographs, as all that follows
    "validation_acc",
    "validation_auc",
    "validation_patches",  # pristine ones, and as many manipulated; the figures above and the thresholds come from them
    "threshold_fpr_01",  # that 1 % of the held-out pristine patches lie above
    "threshold_fpr_05",
    "threshold_fpr_001",  # 0.1 %, where `error_rates.NEEDED` are held out
    "validation_photos",  # of which the validation_patches are
    "validation_psnr",  # of a generator: to pristine patches, or to manipulated ones where pixels moved
    "validation_detected",  # of a generator: the share that its perceptual network calls manipulated
    "ended",  # planned; early, without a better validation; collapsed; diverged
    "reason",  # of a collapse or a divergence
    "start",  # the text form of the network that it went on from
    "start_manipulation",  # that the start learned, ALL for several
    "start_manipulations",  # how many those are
    "start_patches",  # seen by the start, and by its own
    "perceptual_net",  # of a generator: discriminator or none
)
# curves.csv, one line per figure at each point of a learning curve.
CURVE_COLUMNS = ("seed", "manipulation", "role", "part", "step", "figure", "value")

ALL = "all"
PLANNED, EARLY, COLLAPSED, DIVERGED = "planned", "early", "collapsed", "diverged"

# labels.csv, one line for each detector and attack of the study.
LABEL_COLUMNS = (
    "role",  # detector or attack
    "label",
    "part",  # the text form, as rows.csv has it under detector, target and attack
    "name",
    "settings",  # those that are not at their default: KEY=VALUE,KEY=VALUE
    "restores",  # whether an attack gives back the traces of pristine patches, where others add noise
    "plug_in",  # the package and version that it comes from; empty for a part of counterforensics
)

# times.csv, one line per attack on a manipulation. No two runs take the same time, so rows.csv does not have it.
TIME_COLUMNS = ("seed", "manipulation", "target", "attack", "patches", "seconds", "device")

# devices.csv, one line per measurement and test device: the rates of rows.csv on the photographs of this device.
DEVICE_COLUMNS = (
    *("seed", "manipulation", "detector", "target", "attack", "device"),
    "photos",  # test photographs of the device
    *("n_pristine", "n_manipulated", "fp", "tp"),
    *("fpr", "fpr_low", "fpr_high"),
    *("tpr", "tpr_low", "tpr_high"),
    *("acc", "acc_low", "acc_high"),
)

Logits = npt.NDArray[np.float32]


def _no_lines(columns: Sequence[str]) -> pd.DataFrame:
    """A table with these columns and no lines."""
    import pandas as pd

    return pd.DataFrame(columns=list(columns))


@dataclass(frozen=True)
class Scores:
    """What one judge said about the test patches of one manipulation; above 0 means manipulated."""

    seed: int
    manipulation: str
    detector: str
    pristine: Logits
    manipulated: Logits
    concealed: Mapping[tuple[str, str], Logits]  # by (target, attack); the target is "" where there is none


@dataclass(frozen=True)
class PatchStates:
    """One test patch in its three states, uint8 [c, h, w]."""

    manipulation: str
    target: str
    attack: str
    photo: str
    pristine: npt.NDArray[np.uint8]
    manipulated: npt.NDArray[np.uint8]
    concealed: npt.NDArray[np.uint8]
    aligned: bool = True  # whether the manipulation left every pixel in its place


@dataclass(frozen=True)
class Spectra:
    """Mean power of the patches of one concealment at each frequency, squares of grey levels: float64 [rings] each."""

    manipulation: str
    target: str
    attack: str
    frequencies: npt.NDArray[np.float64]  # cycles a pixel
    pristine: npt.NDArray[np.float64]
    manipulated: npt.NDArray[np.float64]
    concealed: npt.NDArray[np.float64]
    # Of the differences to pristine patches; none where the manipulation moved pixels.
    taken: npt.NDArray[np.float64] | None = None  # manipulated - pristine
    missing: npt.NDArray[np.float64] | None = None  # concealed - pristine


@dataclass(frozen=True)
class Curve:
    """How one training went: equally long columns, the first is the horizontal axis ("step")."""

    seed: int
    manipulation: str
    part: str  # the text form of the detector or attack that was trained
    columns: Mapping[str, Sequence[float]]
    role: str = "detector"  # or generator, or start: the network that the training of a detector goes on from


@dataclass(frozen=True)
class Outcome:
    """A finished study, or what could be finished of it."""

    study: str
    settings: str  # the study as YAML, every default spelled out
    simulated: Sequence[str]  # roles (train, validation, test) with photographs of simulated cameras
    rows: pd.DataFrame  # ROW_COLUMNS; rates 0..1; NaN where a figure does not exist
    scores: Sequence[Scores]
    patches: Sequence[PatchStates]
    curves: Sequence[Curve]
    photos: pd.DataFrame  # device, photo, role (train, validation, test), digest, width, height, patches
    provenance: Mapping[str, str]  # versions, seeds, command, time: label -> text
    left_out: Sequence[str] = field(default=())  # photographs that could not be used, each with its reason
    notes: Sequence[str] = field(default=())  # what is unusual about the photographs that were used
    failures: Sequence[str] = field(default=())  # tasks that failed, each with its reason: the holes in the tables
    spectra: Sequence[Spectra] = field(default=())
    times: pd.DataFrame = field(default_factory=partial(_no_lines, TIME_COLUMNS))
    trainings: pd.DataFrame = field(default_factory=partial(_no_lines, TRAINING_COLUMNS))
    labels: pd.DataFrame = field(default_factory=partial(_no_lines, LABEL_COLUMNS))
    devices: pd.DataFrame = field(default_factory=partial(_no_lines, DEVICE_COLUMNS))


def take_apart(text: str) -> tuple[str, dict[str, str]]:
    """A text form as its name and its settings; a value without a key has the key "".

    >>> take_apart("fgsm:epsilon=2,loss=logit")
    ('fgsm', {'epsilon': '2', 'loss': 'logit'})
    >>> take_apart("median:7")
    ('median', {'': '7'})
    """
    name, _, rest = text.partition(":")
    settings: dict[str, str] = {}
    for piece in filter(None, rest.split(",")):
        key, equals, value = piece.partition("=")
        settings[key.strip() if equals else ""] = (value if equals else key).strip()
    return name, settings


def default_labels(texts: Sequence[str]) -> dict[str, str]:
    """A label for each text form: its name, and the fewest settings that tell forms of the same name apart.

    A value without a key says what the part is about, and always stands there.

    texts: canonical text forms, all of detectors or all of attacks.  Different forms get different labels.

    >>> default_labels(["mislnet:steps=9", "cozzolino2017", "cozzolino2017:steps=0"])
    {'mislnet:steps=9': 'mislnet', 'cozzolino2017': 'cozzolino2017', 'cozzolino2017:steps=0': 'cozzolino2017 (steps=0)'}
    >>> default_labels(["trained:mislnet"])
    {'trained:mislnet': 'trained (mislnet)'}
    """
    forms = {text: take_apart(text) for text in texts}
    by_name: defaultdict[str, list[dict[str, str]]] = defaultdict(list)
    for name, settings in forms.values():
        by_name[name].append(settings)
    telling = {name: _telling(several) for name, several in by_name.items()}
    labels = {}
    for text, (name, settings) in forms.items():
        told = [f"{key}={settings[key]}" if key else settings[key] for key in telling[name] if key in settings]
        labels[text] = f"{name} ({', '.join(told)})" if told else name
    return labels


def _telling(several: Sequence[Mapping[str, str]]) -> list[str]:
    """The settings, in their order, whose values differ between all of `several`; few, though not always the fewest.

    A value without a key is always among them.
    """
    keys = list(dict.fromkeys(key for settings in several for key in settings))
    chosen = [""] if "" in keys else []

    def told_apart(key: str) -> tuple[int, int]:
        """How many are told apart with this key, too; of equal keys, one that all have says most."""
        values = {tuple(settings.get(one) for one in (*chosen, key)) for settings in several}
        return len(values), sum(key in settings for settings in several)

    different = len({tuple(settings.get(key) for key in keys) for settings in several})
    while different > 1 and len({tuple(settings.get(one) for one in chosen) for settings in several}) < different:
        chosen.append(max((key for key in keys if key not in chosen), key=told_apart))
    return [key for key in keys if key in chosen]
