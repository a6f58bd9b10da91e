"""Pictures, pairs and a target, on which parts are tried."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from counterforensics.detectors import Network
from counterforensics.photos.patches import Pairs, Patches
from counterforensics.pixels import Pixels, luma

SIDE = 64  # of the patches of a check, for a part that takes any
TOLERANCE = 1e-4  # of logits that the same network gives in batches of different sizes
NO_PAIRS = Pairs(Patches(()), Patches(()))


def sample_patches(count: int, *, side: int = SIDE, channels: int = 1, seed: int = 0) -> Pixels:
    """Smooth pictures under noise: uint8 [count, channels, side, side]."""
    generator = np.random.default_rng(seed)
    planes = generator.normal(size=(count * channels, side, side))
    smooth = np.stack([cv2.GaussianBlur(plane, (0, 0), 4) for plane in planes]) if len(planes) else planes
    noisy = 128 + 500 * smooth + generator.normal(0, 3, smooth.shape)
    return np.clip(noisy, 0, 255).astype(np.uint8).reshape(count, channels, side, side)


def sample_photo(height: int = 96, width: int = 140, *, seed: int = 0) -> Pixels:
    """A smooth picture under noise: uint8 [height, width, 3]."""
    planes = sample_patches(3, side=max(height, width), seed=seed)
    return np.ascontiguousarray(planes[:, 0, :height, :width].transpose(1, 2, 0))


def sample_pairs(photos: int = 10, per_photo: int = 6, *, side: int = SIDE, channels: int = 1) -> Pairs:
    """Pairs that any detector can learn, of so many photographs: the manipulated patch is median filtered.

    The last fifth of the photographs is held out.
    """
    pristine = [sample_patches(per_photo, side=side, channels=channels, seed=photo) for photo in range(photos)]
    manipulated = [
        np.stack([np.stack([cv2.medianBlur(plane, 5) for plane in patch]) for patch in patches]) for patches in pristine
    ]
    held_out = frozenset(range(photos - photos // 5, photos))
    return Pairs(Patches(tuple(pristine)), Patches(tuple(manipulated)), held_out)


class LinearTarget(Network):
    """A detector to attack: its logit is linear in the luma of patches of one side."""

    def __init__(self, patches: Pixels, seed: int = 0) -> None:
        """patches: uint8 [n, 1, side, side], three quarters of which it calls manipulated."""
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        directions = torch.randn(patches.shape[1:], generator=generator)
        directions = directions - directions.mean()
        scores = (torch.from_numpy(patches) * directions).flatten(1).sum(1)
        self.weights = nn.Parameter(directions / scores.std())
        self.bias = nn.Parameter(-scores.quantile(0.25) / scores.std())

    def logits(self, pixels: Tensor) -> Tensor:
        """As `Detector.logits`."""
        return (luma(pixels) * self.weights).flatten(1).sum(1) + self.bias
