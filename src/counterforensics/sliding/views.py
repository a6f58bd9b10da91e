"""What a target sees of a photograph: the photograph itself, or what platforms give back after an upload."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from counterforensics.detectors.base import Network
from counterforensics.laundering import Chain, Platform
from counterforensics.pixels import Pixels
from counterforensics.sliding.scan import Scan, Subject

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class View:
    """One photograph as the target sees it.

    scan: the target's logits.  flagged: bool [r, c], the positions that the attack is to clear.
    """

    scan: Scan
    flagged: Mask


@dataclass(frozen=True)
class Look:
    """A state of the photograph and all views of it: one without an upload, otherwise one for each platform."""

    subject: Subject
    views: tuple[View, ...]

    @property
    def flagged(self) -> int:
        """How many positions of all views are flagged."""
        return sum(int(view.flagged.sum()) for view in self.views)

    @property
    def patches(self) -> int:
        """How many patches of all views are not flat."""
        return sum(view.scan.patches for view in self.views)

    def above(self, threshold: float) -> int:
        """How many patches of all views, wherever they lie, have a logit above `threshold`."""
        return sum(int(view.scan.above(threshold).sum()) for view in self.views)

    @property
    def positions(self) -> int:
        """How many positions all views have."""
        return sum(view.flagged.size for view in self.views)

    @property
    def spread(self) -> float:
        """The standard deviation of the logits of all patches that are not flat."""
        return float(np.concatenate([view.scan.logits[~view.scan.flat] for view in self.views]).std())


@dataclass(frozen=True)
class Viewer:
    """Looks at a photograph with the eyes of the target.

    detector: the target.  uploads: the platforms that the photograph passes first, each by itself; none for no upload.
    limit: a patch is flagged above this logit.  mask: bool [h, w], the pixels that may change; None for all.  stride:
    pixels between positions.
    """

    detector: Network
    uploads: tuple[Platform | Chain, ...]
    limit: float
    mask: Mask | None
    stride: int

    def look(self, photo: Pixels) -> Look:
        """All views of a photograph, uint8 [h, w, 3]."""
        subject = Subject(photo)
        seen = [Subject(upload(photo).pixels) for upload in self.uploads] if self.uploads else [subject]
        return Look(subject, tuple(map(self._view, seen)))

    def _view(self, subject: Subject) -> View:
        scan = subject.scan(self.detector, stride=self.stride)
        return View(scan, _relevant(scan, self.limit, self.mask))


def _relevant(found: Scan, limit: float, mask: Mask | None) -> Mask:
    """The flagged positions, bool [r, c]; with a mask those whose patch has a pixel in it."""
    flagged = found.above(limit)
    if mask is None:
        return flagged
    if mask.shape != (found.height, found.width):  # a platform has reduced the photograph
        shares = cv2.resize(mask.astype(np.float32), (found.width, found.height), interpolation=cv2.INTER_AREA)
        mask = shares > 0
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    side, tops, lefts = found.positions.side, found.positions.tops, found.positions.lefts
    high = (tops + side > rows[0]) & (tops <= rows[-1])
    wide = (lefts + side > columns[0]) & (lefts <= columns[-1])
    return flagged & np.outer(high, wide)
