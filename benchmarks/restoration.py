"""GAN restoration: what stored patches in and out add to the generator's forward pass."""

from __future__ import annotations

import torch
from torch import Tensor

from benchmarks.side_by_side import Agreement, Goal, Result, Timed, ratio, threads
from counterforensics.attacks import GanVgg, restore
from counterforensics.attacks.gan_restoration import PATCHES_PER_PASS
from counterforensics.pixels import to_pixels

PATCHES = 1000
THREADS = 2


def against_bare_forward(patches: Tensor) -> Result:
    """Time of `restore` on 1,000 patches over one forward pass of the small generator for the same batches."""
    generator = GanVgg(size="small").build()
    generator.initialise(torch.Generator().manual_seed(0))
    torch.nn.init.normal_(generator.last.weight, std=0.01, generator=torch.Generator().manual_seed(1))
    generator.eval()
    many = patches.repeat(-(-PATCHES // len(patches)), 1, 1, 1)[:PATCHES]
    # As many at once as `restore` takes: in larger batches the bare pass is the slower one of the two.
    batches = [to_pixels(some) for some in torch.split(many, PATCHES_PER_PASS["cpu"])]

    def forward() -> Tensor:
        with torch.inference_mode():
            return torch.cat([generator(some) for some in batches])

    with threads(THREADS):
        measured, times = ratio(
            Timed(lambda: restore(many, generator), units=PATCHES), Timed(forward, units=PATCHES), pairs=3
        )
        by_hand = forward().round().clamp(0, 255)
        difference = (restore(many, generator).float() - by_hand).abs().max().item()
    comparison = (
        f"restoring {PATCHES} patches against the generator's forward pass, both in batches of {len(batches[0])}, "
        f"size small; {THREADS} threads"
    )
    agreement = Agreement("patches", difference, 0)
    return Result("GAN restoration", comparison, measured, "times the time", Goal(at_most=1.1), (agreement,), times)
