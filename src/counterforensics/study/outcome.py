"""What a study leaves behind for its report: rows, scores, pictures and where all of it came from.

Nothing here needs torch, so a report can be made on a machine that has none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pandas as pd

# rows.csv, one line per measurement; an empty field is a figure that does not exist.
ROW_COLUMNS = (
    "study",
    "seed",
    "manipulation",
    "detector",
    "target",
    "attack",
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
    "training",  # of the judge: hardware, precision, augmentation, patches seen; "" where there is nothing to say
    "learned",  # likewise, of an attack that learns
)

# times.csv, one line per attack on a manipulation. No two runs take the same time, so rows.csv does not have it.
TIME_COLUMNS = ("seed", "manipulation", "target", "attack", "patches", "seconds", "device")

Logits = npt.NDArray[np.float32]


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
class Strip:
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
    detector: str
    columns: Mapping[str, Sequence[float]]


@dataclass(frozen=True)
class Outcome:
    """A finished study, or what could be finished of it."""

    study: str
    settings: str  # the study as YAML, every default spelled out
    simulated: Sequence[str]  # roles (train, validation, test) with photographs of simulated cameras
    rows: pd.DataFrame  # ROW_COLUMNS; rates 0..1; NaN where a figure does not exist
    scores: Sequence[Scores]
    strips: Sequence[Strip]
    curves: Sequence[Curve]
    photos: pd.DataFrame  # device, photo, role (train, validation, test), digest, width, height, patches
    provenance: Mapping[str, str]  # versions, seeds, command, time: label -> text
    left_out: Sequence[str] = field(default=())  # photographs that could not be used, each with its reason
    failures: Sequence[str] = field(default=())  # tasks that failed, each with its reason: the holes in the tables
    spectra: Sequence[Spectra] = field(default=())
    times: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=list(TIME_COLUMNS)))
