"""An attack over a whole photograph, until no sliding patch is flagged.

An attack knows patches. Here it conceals patches that lie side by side, then those that overlap them and are still
flagged, and so on. Patches that are not flagged are left alone, so pixels change only where they must.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from counterforensics.attacks import Attack, Pgd
from counterforensics.attacks.base import PreparedAttack, check_whole
from counterforensics.detectors.base import Network
from counterforensics.errors import AttackError, StudyError, shown
from counterforensics.evaluation import mse, psnr_of, ssim
from counterforensics.names import whole_number
from counterforensics.photos.patches import SIZE
from counterforensics.pixels import Pixels
from counterforensics.positions import sliding
from counterforensics.sliding.findings import stored_threshold
from counterforensics.sliding.scan import Subject
from counterforensics.sliding.surviving import UploadSweeper
from counterforensics.sliding.sweeping import PatchSweeper, with_planes
from counterforensics.sliding.views import Look, Viewer

# Pixels between the positions that an attack clears: of detectors that share overlaps, and of the others.
STRIDE_SHARED, STRIDE_BY_PATCH = 8, 32
SWEEPS = 40
# As `seeds.seed_for` gives them.
MOST_SEED = 2**32 - 1


class Region(NamedTuple):
    """A rectangle of pixels: its left and top corner, its width and its height."""

    x: int
    y: int
    width: int
    height: int

    @classmethod
    def read(cls, given: str, name: str) -> Region:
        """Four whole numbers with commas between them.  Raises StudyError, which begins with `name`, for anything else.

        >>> Region.read("10, 20,130,140", "--region")
        Region(x=10, y=20, width=130, height=140)
        """
        with contextlib.suppress(ValueError):
            x, y, width, height = (whole_number(part) for part in given.split(","))
            return cls(x, y, width, height)
        raise StudyError(f"{name} must be X,Y,WIDTH,HEIGHT in whole pixels, got {shown(given)}")

    @classmethod
    def of(cls, given: Sequence[int]) -> Region:
        """Four whole numbers.  Raises AttackError for anything else.

        >>> Region.of((10, 20, 130, 140))
        Region(x=10, y=20, width=130, height=140)
        """
        try:
            x, y, width, height = map(whole_number, given)
        except (TypeError, ValueError) as error:
            raise AttackError(f"a region is (x, y, width, height) in whole pixels, got {shown(given)}") from error
        return cls(x, y, width, height)

    def mask(self, height: int, width: int) -> npt.NDArray[np.bool_]:
        """Which pixels of a photograph lie in it, bool [h, w].  Raises AttackError if it leaves the photograph."""
        inside = 0 <= self.x < self.x + self.width <= width and 0 <= self.y < self.y + self.height <= height
        if not inside:
            given = f"{self.x},{self.y},{self.width},{self.height}"
            raise AttackError(
                f"the region {given} (x,y,width,height) does not lie in a photograph of {width}x{height} pixels"
            )
        mask = np.zeros((height, width), dtype=np.bool_)
        mask[self.y : self.y + self.height, self.x : self.x + self.width] = True
        return mask


@dataclass(frozen=True)
class ConcealedPhoto:
    """A photograph whose traces an attack has hidden.

    photo: uint8 [h, w, 3].  before, after: how the target sees it.  threshold: a patch is flagged above this logit.
    psnr in dB (infinite for no change), ssim (1 for no change), largest_change in grey levels, changed: the share
    (0..1) of pixels: all against the photograph before the attack.  sweeps: how often the attack went over it.
    seconds: without reading and writing.
    """

    photo: Pixels = field(repr=False)
    before: Look = field(repr=False)
    after: Look = field(repr=False)
    threshold: float
    psnr: float
    ssim: float
    largest_change: int
    changed: float
    sweeps: int
    seconds: float


def conceal_photo(
    photo: Pixels,
    detector: Network,
    attack: Attack,
    *,
    originals: Pixels | None = None,
    region: Region | None = None,
    stride: int | None = None,
    sweeps: int = SWEEPS,
    seed: int = 0,
    say: Callable[[str], None] = lambda _: None,
) -> ConcealedPhoto:
    """Hide the traces that `detector` sees in a photograph, at every position that slides by `stride` pixels.

    photo: uint8 [h, w, 3], manipulated.  originals: the photograph before it was manipulated, for an attack that needs
    it.  region: the only pixels that may change; None for all.  stride: by default 8 for detectors whose overlapping
    patches share their computation, 32 for the others.  A patch is flagged above the lower of 0 and the threshold for
    1 % false alarms that the detector holds.  say: gets a line for each sweep.
    A detector that takes luma is attacked in luma, and red, green and blue move alike; one that reads RGB is attacked
    in RGB.  Every sweep conceals flagged patches that do not overlap; the state with the fewest flagged patches counts.
    An attack with `uploads` hides the traces that the detector sees in the photographs that come back (`surviving`).
    Raises AttackError, PhotoError, PixelError or WeightsError.
    """
    begin = time.perf_counter()
    check_whole("attack", "seed", seed, 0, MOST_SEED, "")
    attack.check_target(detector)
    stride = attack_stride(detector) if stride is None else stride
    limit = min(0.0, stored_threshold(detector))
    mask = None if region is None else region.mask(*photo.shape[:2])
    sweeper: PatchSweeper | UploadSweeper
    if attack.uploads:
        if not isinstance(attack, Pgd):
            raise AttackError(
                f"{type(attack).__name__} cannot attack a whole photograph through an upload; give pgd:through=PLATFORM"
            )
        sweeper = UploadSweeper(detector, attack, photo, limit, mask, stride, seed)
    else:
        sweeper = PatchSweeper(detector, attack, limit, mask, None if originals is None else Subject(originals), seed)
    viewer = Viewer(detector, attack.uploads, limit, mask, stride)
    first = best = now = viewer.look(photo)
    number = 0
    while now.flagged and number < sweeps:
        number += 1
        now = viewer.look(sweeper.sweep(now))
        say(f"sweep {number}: {now.flagged} of {now.positions} patches are flagged")
        best = now if now.flagged < best.flagged else best
    changes = likeness(photo, best.subject.photo)
    return ConcealedPhoto(best.subject.photo, first, best, limit, *changes, number, time.perf_counter() - begin)


def attack_stride(detector: Network) -> int:
    """Pixels between the positions that an attack on this detector clears."""
    return STRIDE_SHARED if detector.shares_overlap else STRIDE_BY_PATCH


def conceal_without_target(
    photo: Pixels, prepared: PreparedAttack, *, at_once: bool, originals: Pixels | None = None, rgb: bool = False
) -> Pixels:
    """Hide the traces in a photograph by an attack that knows no detector.

    photo, originals: as `conceal_photo` has them.  at_once: the attack takes patches of any size, as generators do, and
    the photograph is one of them; otherwise patches lie side by side, and the last ones touch the right and lower edge.
    rgb: the attack sees red, green and blue; otherwise luma, and all three move alike.
    Returns uint8 [h, w, 3].  Raises AttackError or PixelError.
    """
    planes = Subject(photo).planes(rgb=rgb)
    known = None if originals is None else Subject(originals).planes(rgb=rgb)
    after = planes.copy()
    tiles = [(slice(None), slice(None))] if at_once else _tiles(*photo.shape[:2])
    for rows, columns in tiles:
        given = None if known is None else _one(known[:, rows, columns], prepared.device)
        concealed = prepared(_one(planes[:, rows, columns], prepared.device), given)
        after[:, rows, columns] = concealed[0].cpu().numpy()
    return with_planes(photo, planes, after)


def _tiles(height: int, width: int) -> list[tuple[slice, slice]]:
    """Rows and columns of the patches side by side."""
    grid = sliding(height, width, stride=SIZE, side=SIZE)
    return [(slice(top, top + SIZE), slice(left, left + SIZE)) for top in grid.tops for left in grid.lefts]


def _one(planes: Pixels, device: torch.device) -> Tensor:
    """A patch alone, uint8 [1, c, h, w]."""
    return torch.from_numpy(np.ascontiguousarray(planes))[None].to(device)


def likeness(before: Pixels, after: Pixels) -> tuple[float, float, int, float]:
    """PSNR in dB, SSIM, largest change in grey levels and share of changed pixels of two photographs [h, w, 3]."""
    one, other = (torch.from_numpy(photo).permute(2, 0, 1)[None] for photo in (before, after))
    differences = np.abs(before.astype(np.int16) - after)
    changed = float((differences > 0).any(2).mean())
    return psnr_of(float(mse(one, other))), float(ssim(one, other)), int(differences.max()), changed
