"""An attack: random noise, which any other attack must beat."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from counterforensics.attacks.base import Attack, Concealed, PreparedAttack, check_whole
from counterforensics.detectors.base import Detector
from counterforensics.photos.patches import Pairs
from counterforensics.pixels import to_patches, to_pixels


@dataclass(frozen=True)
class RandomNoise(Attack):
    """The settings of `random_noise`, and their defaults."""

    epsilon: int = 1

    needs_target = False  # the noise is made against no detector

    def __post_init__(self) -> None:
        check_whole("random-noise", "epsilon", self.epsilon, 1, 255, " of grey levels")

    def prepare(self, target: Detector | None, pairs: Pairs, *, seed: int) -> PreparedAttack:
        """Nothing to prepare: neither a target nor pairs are used."""

        def conceal(patches: Tensor, originals: Tensor | None) -> Concealed:
            return Concealed(random_noise(patches, epsilon=self.epsilon, seed=seed))

        return PreparedAttack(conceal)


def random_noise(patches: Tensor, *, epsilon: int = RandomNoise.epsilon, seed: int = 0) -> Tensor:
    """Make every pixel `epsilon` grey levels darker or brighter, at random: uint8 [n, c, h, w] -> the same shape.

    The noise of a patch depends on the seed and on its own pixels, not on the other patches of the batch.
    """
    pixels = to_pixels(patches)
    for patch, stored in zip(pixels, patches, strict=True):
        content = zlib.crc32(stored.cpu().numpy().tobytes())
        signs = np.random.default_rng([seed, content]).choice([-1, 1], size=stored.shape)
        patch += epsilon * torch.from_numpy(signs).to(patch)
    return to_patches(pixels)
