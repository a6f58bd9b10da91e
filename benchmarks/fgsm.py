"""FGSM: how much the attack adds to the gradient that it cannot do without."""

from __future__ import annotations

from torch import Tensor

from benchmarks.cozzolino2017 import detector, logits_and_gradient
from benchmarks.side_by_side import Agreement, Goal, Result, Timed, ratio, threads
from counterforensics.attacks import fgsm
from counterforensics.pixels import to_pixels


def against_bare_gradient(patches: Tensor) -> Result:
    """Time of `fgsm`, stored patches to stored patches, over forward and input gradient of the same batch."""
    network, pixels = detector("product"), to_pixels(patches)
    with threads(1):
        measured, times = ratio(
            Timed(lambda: fgsm(patches, network), units=len(patches)),
            Timed(lambda: logits_and_gradient(network, pixels), units=len(patches)),
            pairs=15,
        )
        _, gradient = logits_and_gradient(network, pixels)
        by_hand = (pixels - gradient.sign()).round().clamp(0, 255)
        difference = (fgsm(patches, network).float() - by_hand).abs().max().item()
    comparison = f"fgsm against the forward and input gradient in it, batches of {len(patches)}; one thread"
    agreement = Agreement("patches", difference, 0)
    return Result("FGSM", comparison, measured, "times the time", Goal(at_most=1.1), (agreement,), times)
