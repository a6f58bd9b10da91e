"""Detectors so simple that the right answer of an attack on them is known, and pairs to train the real ones on."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from counterforensics.photos.patches import Pairs, Patches


class LinearDetector:
    """logit = sum(weights * pixels) + bias."""

    differentiable = True

    def __init__(self, weights: Tensor, bias: float = 0.0) -> None:
        self.weights = weights
        self.bias = bias

    def logits(self, pixels: Tensor) -> Tensor:
        return (pixels * self.weights).flatten(1).sum(1) + self.bias


class BlindDetector:
    """A detector that cannot be differentiated."""

    differentiable = False

    def logits(self, pixels: Tensor) -> Tensor:
        return pixels.mean((1, 2, 3)) - 128


class BrokenDetector(LinearDetector):
    """A detector whose gradient is NaN."""

    def logits(self, pixels: Tensor) -> Tensor:
        return super().logits(pixels) * torch.tensor(float("nan"))


def noisy_patches(count: int, *, seed: int = 0, size: int = 64, channels: int = 1) -> np.ndarray:
    """Smooth ramps under noise: uint8 [count, channels, size, size]."""
    draw = np.random.default_rng(seed)
    smooth = ndimage.gaussian_filter(draw.normal(size=(count, channels, size, size)), (0, 0, 4, 4))
    patches: np.ndarray = np.clip(128 + 500 * smooth + draw.normal(0, 3, smooth.shape), 0, 255).astype(np.uint8)
    return patches


def median_pairs(
    photos: int = 10, per_photo: int = 6, *, size: int = 64, channels: int = 1, held_out: int = 2
) -> Pairs:
    """Pairs that any detector can learn: the manipulated patch is median filtered."""
    pristine = [noisy_patches(per_photo, seed=photo, size=size, channels=channels) for photo in range(photos)]
    manipulated = [
        np.stack([np.stack([cv2.medianBlur(plane, 5) for plane in patch]) for patch in patches]) for patches in pristine
    ]
    return Pairs(Patches(tuple(pristine)), Patches(tuple(manipulated)), frozenset(range(photos - held_out, photos)))
