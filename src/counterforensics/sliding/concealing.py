"""An attack over a whole photograph, until no sliding patch is flagged.

An attack knows patches. Here it conceals patches that lie side by side, then those that overlap them and are still
flagged, and so on. Patches that are not flagged are left alone, so pixels change only where they must.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from counterforensics.attacks import Attack
from counterforensics.attacks.base import PATCHES_AT_ONCE, PreparedAttack, check_whole
from counterforensics.detectors.base import LinearInSpam, Network, ScoredBySpam
from counterforensics.errors import AttackError, StudyError, shown
from counterforensics.evaluation import mse, psnr_of, ssim
from counterforensics.learning.accelerator import device_of
from counterforensics.names import whole_number
from counterforensics.photos.patches import SIZE, Indices, Pairs, Patches
from counterforensics.pixels import Pixels
from counterforensics.positions import sliding
from counterforensics.sliding.findings import stored_threshold
from counterforensics.sliding.scan import Scan, Subject

# Pixels between the positions that an attack clears: of detectors that share overlaps, and of the others.
STRIDE_SHARED, STRIDE_BY_PATCH = 8, 32
MARGIN = 0.1
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

    photo: uint8 [h, w, 3].  before, after: the target's scans.  psnr in dB (infinite for no change), ssim (1 for no
    change), largest_change in grey levels, changed: the share (0..1) of pixels: all against the photograph before the
    attack.  sweeps: how often the attack went over it.  seconds: without reading and writing.
    """

    photo: Pixels = field(repr=False)
    before: Scan = field(repr=False)
    after: Scan = field(repr=False)
    threshold: float
    psnr: float
    ssim: float
    largest_change: int
    changed: float
    sweeps: int
    seconds: float


class LoweredDetector(Network):
    """A detector whose logit is lower by `by`: 0 is where the attack is to end."""

    def __init__(self, detector: Network, by: float) -> None:
        super().__init__()
        self.detector = detector
        self.by = by
        self.differentiable = detector.differentiable
        self.reads_rgb = detector.reads_rgb

    def logits(self, pixels: Tensor) -> Tensor:
        """As `Detector.logits`."""
        return self.detector.logits(pixels) - self.by


class LoweredInSpam(LoweredDetector):
    """As `LoweredDetector`, of a detector that is linear in the SPAM feature."""

    def spam_score(self) -> LinearInSpam:
        """As `ScoredBySpam.spam_score`."""
        assert isinstance(self.detector, ScoredBySpam)
        score = self.detector.spam_score()
        return replace(score, offset=score.offset - self.by)


def lowered(detector: Network, by: float) -> LoweredDetector:
    """`detector` with a logit that is lower by `by`."""
    return (LoweredInSpam if isinstance(detector, ScoredBySpam) else LoweredDetector)(detector, by)


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
    Raises AttackError, PhotoError, PixelError or WeightsError.
    """
    begin = time.perf_counter()
    check_whole("attack", "seed", seed, 0, MOST_SEED, "")
    attack.check_target(detector)
    if stride is None:
        stride = attack_stride(detector)
    limit = min(0.0, stored_threshold(detector))
    mask = None if region is None else region.mask(*photo.shape[:2])
    sweeper = _Sweeper(detector, attack, limit, mask, None if originals is None else Subject(originals), seed)
    subject = Subject(photo)
    before = best_scan = subject.scan(detector, stride=stride)
    best, number = photo, 0
    current, flagged = best_scan, _relevant(best_scan, limit, mask)
    fewest = int(flagged.sum())
    while flagged.any() and number < sweeps:
        number += 1
        subject = Subject(sweeper.sweep(subject, current, flagged))
        current = subject.scan(detector, stride=stride)
        flagged = _relevant(current, limit, mask)
        say(f"sweep {number}: {int(flagged.sum())} of {flagged.size} patches are flagged")
        if flagged.sum() < fewest:
            fewest, best, best_scan = int(flagged.sum()), subject.photo, current
    return ConcealedPhoto(best, before, best_scan, limit, *likeness(photo, best), number, time.perf_counter() - begin)


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
    return after.transpose(1, 2, 0).copy() if rgb else _with_luma(photo, planes, after)


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


def _relevant(found: Scan, limit: float, mask: npt.NDArray[np.bool_] | None) -> npt.NDArray[np.bool_]:
    """The flagged positions, bool [r, c]; with a mask those whose patch has a pixel in it."""
    flagged = found.above(limit)
    if mask is None:
        return flagged
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    side, tops, lefts = found.positions.side, found.positions.tops, found.positions.lefts
    high = (tops + side > rows[0]) & (tops <= rows[-1])
    wide = (lefts + side > columns[0]) & (lefts <= columns[-1])
    return flagged & np.outer(high, wide)


class _Sweeper:
    """Conceals flagged patches that do not overlap, sweep by sweep.

    Each sweep asks for a logit that is lower by `MARGIN` of the logits' spread than the one before, as a patch that
    stays just below the limit leaves its neighbours above it. An attack that is bound by grey levels begins with one.
    """

    def __init__(
        self,
        detector: Network,
        attack: Attack,
        limit: float,
        mask: npt.NDArray[np.bool_] | None,
        originals: Subject | None,
        seed: int,
    ) -> None:
        self.detector, self.attack, self.limit, self.mask, self.seed = detector, attack, limit, mask, seed
        self.originals = originals
        self.number = 0
        if attack.needs_originals and originals is None:
            raise AttackError(
                "this attack needs the photograph as it was before the manipulation; let the command manipulate it"
            )

    def sweep(self, subject: Subject, current: Scan, flagged: npt.NDArray[np.bool_]) -> Pixels:
        """The photograph, uint8 [h, w, 3], after one sweep over patches that do not overlap."""
        planes, side = subject.planes_for(self.detector).copy(), current.positions.side
        before = planes.copy()
        prepared = self._prepared(float(current.logits[~current.flat].std()))
        corners = side_by_side(current, flagged)
        for start in range(0, len(corners), PATCHES_AT_ONCE):
            some = corners[start : start + PATCHES_AT_ONCE]
            given = None if self.originals is None else self._cut(self.originals.planes_for(self.detector), some, side)
            concealed = prepared(self._cut(planes, some, side), given).cpu().numpy()
            for (top, left), patch in zip(some, concealed, strict=True):
                planes[:, top : top + side, left : left + side] = patch
        if self.mask is not None:
            planes = np.where(self.mask, planes, before)
        return planes.transpose(1, 2, 0).copy() if len(planes) == 3 else _with_luma(subject.photo, before, planes)

    def _prepared(self, spread: float) -> PreparedAttack:
        """The attack on the detector for the next sweep."""
        target = lowered(self.detector, self.limit - self.number * MARGIN * spread)
        self.number += 1
        attack = self.attack.bounded(self.number)
        return attack.prepare(target, Pairs(Patches(()), Patches(())), seed=self.seed + self.number)

    def _cut(self, planes: Pixels, corners: list[tuple[int, int]], side: int) -> Tensor:
        patches = np.stack([planes[:, top : top + side, left : left + side] for top, left in corners])
        return torch.from_numpy(patches).to(device_of(self.detector))


def _with_luma(photo: Pixels, before: Pixels, after: Pixels) -> Pixels:
    """The photograph with every channel moved as its luma moved, uint8 [1, h, w] each; a channel ends at 0 and 255."""
    moved = photo.astype(np.int16) + (after[0].astype(np.int16) - before[0])[..., None]
    return np.asarray(moved.clip(0, 255), dtype=np.uint8)


def side_by_side(found: Scan, flagged: npt.NDArray[np.bool_]) -> list[tuple[int, int]]:
    """The corners (top, left) of flagged patches that do not overlap: of all grids of such patches the fullest."""
    rows, columns = (
        list(_grids(starts, found.positions.side)) for starts in (found.positions.tops, found.positions.lefts)
    )
    best = max(((row, column) for row in rows for column in columns), key=lambda grid: flagged[np.ix_(*grid)].sum())
    chosen = [(i, j) for i in best[0] for j in best[1] if flagged[i, j]]
    return [(int(found.positions.tops[i]), int(found.positions.lefts[j])) for i, j in chosen]


def _grids(starts: Indices, side: int) -> Iterator[list[int]]:
    """Every way to choose positions that do not overlap, as close as they go.

    Each of the first ones begins a grid onwards, and each of the last ones a grid backwards.
    """
    for order in (range(len(starts)), range(len(starts))[::-1]):
        for first in order:
            if abs(starts[first] - starts[order[0]]) >= side:
                break
            grid = [first]
            for index in order:
                is_further = abs(index - order[0]) > abs(grid[-1] - order[0])
                if is_further and abs(starts[index] - starts[grid[-1]]) >= side:
                    grid.append(index)
            yield sorted(grid)
