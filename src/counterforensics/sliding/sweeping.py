"""Sweeps over a photograph by an attack that knows patches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from counterforensics.attacks import Attack
from counterforensics.attacks.base import PATCHES_AT_ONCE, PreparedAttack
from counterforensics.detectors.base import LinearInSpam, Network, ScoredBySpam
from counterforensics.errors import AttackError
from counterforensics.learning.accelerator import device_of
from counterforensics.photos.patches import Indices, Pairs, Patches
from counterforensics.pixels import Pixels
from counterforensics.sliding.scan import Subject
from counterforensics.sliding.views import Look, Mask, View

# Each sweep asks for a logit that is lower by this share of the logits' spread than the one before.
MARGIN = 0.1


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


class PatchSweeper:
    """Conceals flagged patches that do not overlap, sweep by sweep.

    Each sweep asks for a logit that is lower by `MARGIN` of the logits' spread than the one before, as a patch that
    stays just below the limit leaves its neighbours above it. An attack that is bound by grey levels begins with one.
    """

    def __init__(
        self,
        detector: Network,
        attack: Attack,
        limit: float,
        mask: Mask | None,
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

    def sweep(self, look: Look) -> Pixels:
        """The photograph, uint8 [h, w, 3], after one sweep over patches that do not overlap."""
        subject, (view,) = look.subject, look.views
        planes, side = subject.planes_for(self.detector).copy(), view.scan.positions.side
        before = planes.copy()
        prepared = self._prepared(look.spread)
        known = None if self.originals is None else self.originals.planes_for(self.detector)
        corners, device = side_by_side(view), device_of(self.detector)
        for start in range(0, len(corners), PATCHES_AT_ONCE):
            some = corners[start : start + PATCHES_AT_ONCE]
            given = None if known is None else patches_at(known, some, side, device)
            concealed = prepared(patches_at(planes, some, side, device), given).cpu().numpy()
            for (top, left), patch in zip(some, concealed, strict=True):
                planes[:, top : top + side, left : left + side] = patch
        if self.mask is not None:
            planes = np.where(self.mask, planes, before)
        return with_planes(subject.photo, before, planes)

    def _prepared(self, spread: float) -> PreparedAttack:
        """The attack on the detector for the next sweep."""
        target = lowered(self.detector, self.limit - self.number * MARGIN * spread)
        self.number += 1
        attack = self.attack.bounded(self.number)
        return attack.prepare(target, Pairs(Patches(()), Patches(())), seed=self.seed + self.number)


def patches_at(planes: Pixels, corners: Sequence[tuple[int, int]], side: int, device: torch.device) -> Tensor:
    """The patches of a photograph, uint8 [c, h, w], at these corners (top, left): uint8 [n, c, side, side]."""
    patches = np.stack([planes[:, top : top + side, left : left + side] for top, left in corners])
    return torch.from_numpy(patches).to(device)


def with_planes(photo: Pixels, before: Pixels, after: Pixels) -> Pixels:
    """The photograph, uint8 [h, w, 3], with other planes.

    before, after: uint8 [3 or 1, h, w], as `Subject.planes` has them.  Where they are luma, every channel moves as the
    luma moved, and ends at 0 and 255.
    """
    if len(after) == 3:
        return after.transpose(1, 2, 0).copy()
    moved = photo.astype(np.int16) + (after[0].astype(np.int16) - before[0])[..., None]
    return np.asarray(moved.clip(0, 255), dtype=np.uint8)


def side_by_side(view: View) -> list[tuple[int, int]]:
    """The corners (top, left) of flagged patches that do not overlap: of all grids of such patches the fullest."""
    positions, flagged = view.scan.positions, view.flagged
    rows, columns = (list(_grids(starts, positions.side)) for starts in (positions.tops, positions.lefts))
    best = max(((row, column) for row in rows for column in columns), key=lambda grid: flagged[np.ix_(*grid)].sum())
    chosen = [(i, j) for i in best[0] for j in best[1] if flagged[i, j]]
    return [(int(positions.tops[i]), int(positions.lefts[j])) for i, j in chosen]


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
