"""Cozzolino2017: the time that the product form of its second layer saves, and its patches a second."""

from __future__ import annotations

import os

import torch
from torch import Tensor

from benchmarks.side_by_side import Agreement, Goal, Result, Spread, Timed, ratio, threads
from counterforensics.detectors.base import Detector
from counterforensics.detectors.cozzolino2017 import Cozzolino2017, CozzolinoNetwork
from counterforensics.pixels import to_pixels

FEW = 2  # patches for timing the free form: it takes seconds for each
THREADS = 2


def detector(parametrisation: str) -> CozzolinoNetwork:
    """With exact filters and a linear layer of random weights, always the same: time does not depend on them."""
    network = Cozzolino2017(parametrisation=parametrisation).build().eval()
    with torch.no_grad():
        network.head.weight.copy_(torch.randn(338, generator=torch.Generator().manual_seed(0)))
    return network


def logits_and_gradient(network: Detector, pixels: Tensor) -> tuple[Tensor, Tensor]:
    """Forward, and the gradient of the sum of the logits with respect to the pixels."""
    pixels = pixels.detach().requires_grad_()
    logits = network.logits(pixels)
    (gradient,) = torch.autograd.grad(logits.sum(), pixels)
    return logits.detach(), gradient


def product_against_free(patches: Tensor) -> Result:
    """Time of forward and input gradient with 625 free filters over the time of the same function as a product.

    Both get the same few patches. The free form computes one co-occurrence of one patch at a time, and again
    for its gradient, as it must where memory is short.
    """
    pixels = to_pixels(patches[:FEW])
    product, free = detector("product"), detector("free")
    with threads(1):
        measured, times = ratio(
            Timed(lambda: logits_and_gradient(free, pixels), units=FEW),
            Timed(lambda: logits_and_gradient(product, pixels), units=FEW, calls=10),
            pairs=5,
        )
        pair = zip(logits_and_gradient(product, pixels), logits_and_gradient(free, pixels), strict=True)
        agreements = [
            Agreement(name, ((a - b).abs().max() / b.abs().max()).item(), 1e-5)
            for name, (a, b) in zip(("logits", "gradients"), pair, strict=True)
        ]
    comparison = "forward and input gradient, product against 625 free filters; one thread"
    return Result("Cozzolino2017", comparison, measured, "times faster", Goal(at_least=100), tuple(agreements), times)


def on_two_threads(patches: Tensor) -> Result:
    """Patches a second, forward and input gradient of the whole batch: not a ratio, so it depends on the machine."""
    name, unit, goal = "Cozzolino2017", "patches/s", Goal(at_least=200)
    comparison = f"product, forward and input gradient, batches of {len(patches)}; {THREADS} threads"
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if cores < THREADS:
        return Result(name, comparison, None, unit, goal, remark=f"skipped: {cores} core, {THREADS} needed")
    network, pixels = detector("product"), to_pixels(patches)
    timed = Timed(lambda: logits_and_gradient(network, pixels), units=len(pixels))
    with threads(THREADS):
        timed.call()
        measured = Spread.of([1 / timed.seconds_per_unit() for _ in range(15)])
    remark = f"{THREADS} of {cores} cores; depends on the machine and on its other work"
    return Result(name, comparison, measured, unit, goal, remark=remark)
