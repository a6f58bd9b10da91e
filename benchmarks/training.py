"""Training: our engine against a plain loop over the same network and data, and what feeds it."""

from __future__ import annotations

import itertools
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmarks.side_by_side import Goal, Result, Spread, Timed, ratio
from counterforensics.detectors import parse
from counterforensics.detectors.deep import DeepNetwork, DeepRecipe
from counterforensics.detectors.training import DetectorTraining, cross_entropy
from counterforensics.learning import accelerator
from counterforensics.learning.batches import draw, prefetched
from counterforensics.learning.monitor import SILENT
from counterforensics.photos.patches import Pairs, Patches, PatchFile
from counterforensics.pixels import to_pixels

PAIRS_PER_STEP = 16
# Dense bfloat16 peaks of GPUs, in TFLOP/s, as their data sheets give them.
PEAKS = {"H100": 989.0, "H200": 989.0, "A100": 312.0, "L4": 121.0}


def recipe(name: str) -> DeepRecipe:
    """A recipe whose step is small enough to be timed in turns."""
    made = parse(f"{name}:start=random,pairs_per_step={PAIRS_PER_STEP}")
    assert isinstance(made, DeepRecipe)
    return made


def pairs_of(patches: Tensor) -> Pairs:
    """Pairs without a manipulation: time does not depend on what is learned."""
    stack = patches.numpy()
    return Pairs(Patches((stack,)), Patches((np.ascontiguousarray(stack[..., ::-1]),)))


def engine(name: str, patches: Tensor) -> Callable[[], object]:
    """One step of ours, from stored pairs to moved weights."""
    made = recipe(name)
    network = made.build()
    made.initialise(network, seed=0)
    optimiser = made.optimiser_for(network)
    training = DetectorTraining(
        network, pairs_of(patches), optimiser, schedule=made.schedule(), seed=0, loss=cross_entropy, monitor=SILENT
    )
    return lambda: training.take_step(training.batch(0)).item()


def plain(name: str, patches: Tensor) -> Callable[[], object]:
    """One step as a tutorial writes it: float32, the layout that tensors come in, a whole batch at once."""
    made, device = recipe(name), accelerator.best_device()
    network = made.network().to(device).train()
    optimiser = torch.optim.AdamW(network.parameters(), lr=made.lr, weight_decay=made.weight_decay)

    def step() -> float:
        batch = draw(pairs_of(patches), PAIRS_PER_STEP, np.random.default_rng(0), augment=True, crop=0)
        optimiser.zero_grad()
        labels = (batch.signs.to(device) + 1) / 2
        outputs = network.outputs(to_pixels(batch.patches).to(device))
        loss = torch.nn.functional.binary_cross_entropy_with_logits(outputs, labels)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        return loss.item()

    return step


def against_plain(name: str, patches: Tensor) -> Result:
    """How many times the time of our step the plain loop's takes."""
    device = accelerator.best_device()
    precision = accelerator.precision_on(device, "bfloat16")
    units = 2 * PAIRS_PER_STEP
    with_gpu = device.type == "cuda"
    calls, pairs = (20, 9) if with_gpu else (1, 3)
    one, other = (Timed(step(name, patches), units=units, calls=calls) for step in (plain, engine))
    measured, times = ratio(one, other, pairs=pairs)
    remark = f"{accelerator.describe(device)}, {precision}; {times}"
    if precision == "float32":
        remark += "; no bfloat16 here, and the goal is for hardware that has it"
    comparison = f"a training step of {units} patches, ours against a plain float32 loop; all cores"
    return Result(name, comparison, measured, "times faster", Goal(at_least=2), remark=remark)


def xception_against_plain(patches: Tensor) -> Result:
    """See `against_plain`."""
    return against_plain("xception", patches)


def bayar2016_against_plain(patches: Tensor) -> Result:
    """See `against_plain`."""
    return against_plain("bayar2016", patches)


def pipeline_against_xception(patches: Tensor) -> Result:
    """Patches that the input pipeline alone delivers, from files, for each that a training of Xception takes."""
    step = Timed(engine("xception", patches), units=2 * PAIRS_PER_STEP)
    with tempfile.TemporaryDirectory() as place:
        files = []
        for number in range(8):
            path = Path(place) / f"{number}.npy"
            np.save(path, patches.numpy())
            files.append(PatchFile.open(path))
        pairs = Pairs(Patches(tuple(files)), Patches(tuple(files)))
        batches = prefetched(
            draw(pairs, PAIRS_PER_STEP, np.random.default_rng(number), augment=True, crop=0)
            for number in itertools.count()
        )
        feed = Timed(lambda: next(batches), units=2 * PAIRS_PER_STEP, calls=100)
        measured, times = ratio(step, feed, pairs=3)
        batches.close()
    comparison = "the input pipeline alone, from files, against what a training of Xception takes; all cores"
    return Result("Input pipeline", comparison, measured, "times the patches", Goal(at_least=10), remark=times)


def share_of_peak(patches: Tensor) -> Result:
    """Xception's forward and backward passes on a GPU in patches a second, and their share of its bfloat16 peak."""
    name, unit, goal = "xception", "patches/s", Goal(at_least=0)
    comparison = "forward and backward passes on a GPU, 256 patches of 128x128 at once"
    device = accelerator.best_device()
    if device.type != "cuda":
        return Result(name, comparison, None, unit, goal, remark="skipped: no GPU here")
    network = recipe(name).build().to(device).train()
    batch = to_pixels(patches.repeat(8, 1, 1, 1)).to(device)
    rates = [_rate(network, batch) for _ in range(5)]
    peak = next((peak for model, peak in PEAKS.items() if model in accelerator.describe(device)), None)
    flop = 3 * 2 * _multiplications(network, batch[:1])
    used = f"{np.median(rates) * flop / 1e12:.0f} TFLOP/s"
    share = f", {np.median(rates) * flop / 1e12 / peak:.1%} of the dense bfloat16 peak" if peak else ""
    return Result(
        name, comparison, Spread.of(rates), unit, goal, remark=f"{accelerator.describe(device)}: {used}{share}"
    )


def _rate(network: DeepNetwork, batch: Tensor) -> float:
    torch.cuda.synchronize()
    start = time.perf_counter()
    for _ in range(20):
        with accelerator.autocast(batch.device, "bfloat16"):
            outputs = network.outputs(batch)
        outputs.float().sum().backward()  # type: ignore[no-untyped-call]
    torch.cuda.synchronize()
    return 20 * len(batch) / (time.perf_counter() - start)


def _multiplications(network: DeepNetwork, one: Tensor) -> float:
    """Multiply-adds of one patch forward, counted at the layers that have nearly all of them."""
    total = 0.0

    def count(layer: torch.nn.Module, _: object, result: Tensor) -> None:
        nonlocal total
        if isinstance(layer, torch.nn.Conv2d):
            total += result[0].numel() * layer.weight[0].numel()
        elif isinstance(layer, torch.nn.Linear):
            total += layer.weight.numel()

    hooks = [layer.register_forward_hook(count) for layer in network.modules()]
    with torch.no_grad():
        network.eval().outputs(one)
    for hook in hooks:
        hook.remove()
    network.train()
    return total
