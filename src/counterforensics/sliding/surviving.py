"""An attack on a whole photograph that is to survive uploads: PGD through the platforms."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from counterforensics.attacks import Pgd
from counterforensics.attacks.base import PATCHES_AT_ONCE
from counterforensics.attacks.gradients import evidence
from counterforensics.detectors.base import Network
from counterforensics.laundering.differentiable import pulled_back
from counterforensics.learning.accelerator import device_of
from counterforensics.photos.patches import SIZE
from counterforensics.pixels import Pixels, to_pixels
from counterforensics.sliding.scan import Subject
from counterforensics.sliding.sweeping import MARGIN, lowered, patches_at, with_planes
from counterforensics.sliding.views import Look, Mask

Gradient = npt.NDArray[np.float32]


class UploadSweeper:
    """Walks along the gradient that the target gives behind each platform, over the whole photograph at once.

    A sweep takes the attack's number of steps. Each step uploads the photograph as it is now, and lets the target judge
    patches side by side; where the first one lies is drawn for each step, so that over the steps every position counts.
    Patches below the limit give no gradient, so pixels change only where they must. The gradients of all platforms add
    up: the expectation over uploads (Athalye et al. 2018, "expectation over transformation"), all equally likely.
    As in `PatchSweeper`, each sweep asks for a lower logit than the one before, and the bound of the change begins with
    one grey level.
    """

    def __init__(
        self, detector: Network, attack: Pgd, photo: Pixels, limit: float, mask: Mask | None, stride: int, seed: int
    ) -> None:
        self.detector, self.attack, self.limit, self.mask, self.stride = detector, attack, limit, mask, stride
        self.photo = photo
        self.planes = Subject(photo).planes_for(detector)
        self.change = np.zeros(self.planes.shape, dtype=np.float32)  # fractions of a level add up
        self.velocity = np.zeros_like(self.change)
        self.generator = np.random.default_rng([seed, SIZE])
        self.number = 0

    def sweep(self, look: Look) -> Pixels:
        """The photograph, uint8 [h, w, 3], after one sweep."""
        self.number += 1
        epsilon = self.attack.bounded(self.number).epsilon
        target = lowered(self.detector, self.limit - self.number * MARGIN * look.spread)
        for _ in range(self.attack.steps):
            gradient = self._gradient(self._changed(), target)
            if not gradient.any():
                break
            # Dong et al. 2018, Eq. 6, then Madry et al. 2018, Section 2.1, as in `attacks.pgd`.
            self.velocity = self.attack.momentum * self.velocity + gradient / np.abs(gradient).mean()
            self.change -= np.float32(self.attack.step) * np.sign(self.velocity)
            self.change = self.change.clip(-epsilon, epsilon)
            if self.mask is not None:
                self.change *= self.mask
        return self._changed()

    def _changed(self) -> Pixels:
        """The photograph, uint8 [h, w, 3], with the change so far, rounded."""
        after = (self.planes + self.change.round()).clip(0, 255).astype(np.uint8)
        return with_planes(self.photo, self.planes, after)

    def _gradient(self, photo: Pixels, target: Network) -> Gradient:
        """How the evidence against the photograph rises with its planes, over all uploads: float32 [c, h, w]."""
        planes = Subject(photo).planes_for(target)
        total = np.zeros(planes.shape, dtype=np.float32)
        for upload in self.attack.uploads:
            came = Subject(upload(photo).pixels).planes_for(target)
            total += pulled_back(self._behind_upload(came, target), planes, upload)
        return total

    def _behind_upload(self, came: Pixels, target: Network) -> Gradient:
        """The same by the planes that came back, uint8 [c, h', w']; 0 where no patch is above the target's 0."""
        gradient = np.zeros(came.shape, dtype=np.float32)
        corners = list(self._corners(*came.shape[1:]))
        for start in range(0, len(corners), PATCHES_AT_ONCE):
            some = corners[start : start + PATCHES_AT_ONCE]
            pixels = to_pixels(patches_at(came, some, SIZE, device_of(target)))
            seen = evidence(pixels, target, loss=self.attack.loss, above=-self.attack.confidence)
            resists = (seen.logits > -self.attack.confidence)[:, None, None, None]
            for (top, left), part in zip(some, (seen.gradient * resists).cpu().numpy(), strict=True):
                gradient[:, top : top + SIZE, left : left + SIZE] = part
        return gradient

    def _corners(self, height: int, width: int) -> Iterator[tuple[int, int]]:
        """Patches side by side, as many as fit from a random first one on."""
        tops, lefts = (self._starts(length) for length in (height, width))
        return ((top, left) for top in tops for left in lefts)

    def _starts(self, length: int) -> range:
        """Along one axis: from a random place near the first edge onwards, or as far from the last edge backwards."""
        first = self.stride * int(self.generator.integers(0, max(1, min(SIZE, length - SIZE + 1) // self.stride)))
        if self.generator.random() < 0.5:
            return range(first, length - SIZE + 1, SIZE)
        return range(length - SIZE - first, -1, -SIZE)
