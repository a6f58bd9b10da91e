"""The parts keep the contracts of counterforensics, and each does what it is for."""

from __future__ import annotations

import numpy as np
import torch

from counterforensics.testing import check_attack, check_detector, check_manipulation, sample_patches
from my_plugin.random_noise import random_noise
from my_plugin.sharpen import Sharpen


def test_the_manipulation_keeps_its_contract() -> None:
    check_manipulation("sharpen:1")


def test_the_detector_keeps_its_contract() -> None:
    check_detector("tiny-cnn:steps=2")


def test_the_attack_keeps_its_contract() -> None:
    check_attack("random-noise")


def test_sharpening_makes_an_edge_steeper() -> None:
    edge = np.repeat(np.array([100, 100, 100, 120, 120, 120], dtype=np.uint8), 3).reshape(1, 6, 3).repeat(9, axis=0)
    before, after = (int(photo[4, 3, 0]) - int(photo[4, 2, 0]) for photo in (edge, Sharpen(1)(edge)))
    assert after > before


def test_the_noise_is_as_strong_as_asked() -> None:
    patches = torch.from_numpy(sample_patches(2, side=64)).clamp(9, 246)
    noisy = random_noise(patches, epsilon=3)
    assert ((noisy.int() - patches.int()).abs() == 3).all()
