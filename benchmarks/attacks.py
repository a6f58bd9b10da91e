"""Attacks: against the forward and backward passes in them, and against other libraries on the same detector."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from benchmarks.cozzolino2017 import detector as random_cozzolino2017
from benchmarks.cozzolino2017 import logits_and_gradient
from benchmarks.side_by_side import Goal, Result, Spread, Timed, ratio, threads
from counterforensics import load_detector
from counterforensics.attacks import Attack, parse
from counterforensics.bridge import Borrowed, Run, art_attack, foolbox_attack, torchattacks_attack
from counterforensics.detectors.base import Detector
from counterforensics.evaluation import mse, psnr_of
from counterforensics.photos.patches import Pairs, Patches
from counterforensics.pixels import to_pixels

TARGET = "mislnet/median:7"
NOTHING = Pairs(Patches(()), Patches(()))
LIBRARIES = {"Foolbox": "foolbox", "torchattacks": "torchattacks", "ART": "art"}
FEW = 8  # patches for attacks of other libraries that take them one by one
GIBIBYTE = 2**30

Concealing = Callable[[Tensor], Tensor]


@cache
def target() -> Detector:
    """A network that comes with the package."""
    return load_detector(TARGET)


def manipulated(patches: Tensor) -> Tensor:
    """Those of the median-filtered patches that the target detects."""
    filtered = torch.from_numpy(np.stack([cv2.medianBlur(patch[0], 7)[None] for patch in patches.numpy()]))
    with torch.no_grad():
        return filtered[target().logits(to_pixels(filtered)) > 0]


def ours(text: str, detector: Detector) -> Concealing:
    """An attack of ours, ready."""
    attack: Attack = parse(text)
    return attack.prepare(detector, NOTHING, seed=0)


def theirs(run: Run, detector: Detector) -> Concealing:
    """An attack of another library, without the rounding and judging that the bridge adds."""
    return Borrowed(run).prepare(detector, NOTHING, seed=0)


def race(
    name: str, one: str, other: Concealing, patches: Tensor, goal: Goal, *, detector: Detector | None = None
) -> Result:
    """How many times the time of `one` of ours the `other` takes, and the success of both once stored."""
    seen_by = "a cozzolino2017 with a random head" if detector else TARGET
    detector = detector or target()
    own = ours(one, detector)
    with threads(1):
        measured, times = ratio(
            Timed(lambda: other(patches), units=len(patches)),
            Timed(lambda: own(patches), units=len(patches)),
            pairs=3,
        )
    achieved = "; ".join(
        f"{who}: {_achieved(detector, patches, some(patches))}" for who, some in (("theirs", other), ("ours", own))
    )
    size, side = len(patches), patches.shape[-1]
    comparison = f"{one} against {name}'s, {size} of {side}x{side} on {seen_by}; one thread"
    return Result(one, comparison, measured, "times faster", goal, remark=f"{times}; {achieved}")


def _achieved(detector: Detector, patches: Tensor, concealed: Tensor) -> str:
    """Success on the stored patches, and PSNR."""
    with torch.no_grad():
        success = (detector.logits(to_pixels(concealed)) <= 0).double().mean().item()
    return f"{100 * success:.0f} % concealed at {psnr_of(mse(patches, concealed).mean().item()):.2f} dB"


def missing(library: str, name: str, goal: Goal) -> Result:
    """The line of the table where a library is not installed."""
    remark = f"skipped: {library} is not installed (pip install --no-deps -r oracles.txt)"
    return Result(name, f"against {library}'s", None, "times faster", goal, remark=remark)


def pgd_against_bare_passes(patches: Tensor) -> Result:
    """Ten steps of PGD, none saved by an early success, over the bare forward and input gradient of the batch."""
    found = manipulated(patches)
    pixels, attack = to_pixels(found), ours("pgd:steps=10,confidence=inf", target())
    with threads(1):
        measured, times = ratio(
            Timed(lambda: attack(found), units=len(found)),
            Timed(lambda: logits_and_gradient(target(), pixels), units=len(found)),
            pairs=5,
        )
    comparison = f"pgd:steps=10 without early exit against one forward and input gradient of {TARGET}; one thread"
    return Result("PGD", comparison, measured, "passes", Goal(at_most=10.5), remark=times)


def pgd_against(library: str) -> Callable[[Tensor], Result]:
    """PGD of ten steps as it comes, against another library's with the same steps and epsilon."""

    def benchmark(patches: Tensor) -> Result:
        goal, step, epsilon = Goal(at_least=1), 1 / 255, 2 / 255
        if find_spec(LIBRARIES[library]) is None:
            return missing(library, "PGD", goal)
        runs: dict[str, Callable[[], Run]] = {
            "Foolbox": lambda: foolbox_attack(
                _of("foolbox.attacks", "LinfPGD")(abs_stepsize=step, steps=10, random_start=False), epsilon=2
            ),
            "torchattacks": lambda: torchattacks_attack(
                _of("torchattacks", "PGD"), eps=epsilon, alpha=step, steps=10, random_start=False
            ),
            "ART": lambda: art_attack(
                _of("art.attacks.evasion", "ProjectedGradientDescent"),
                eps=epsilon,
                eps_step=step,
                max_iter=10,
                verbose=False,
            ),
        }
        return race(library, "pgd:steps=10", theirs(runs[library](), target()), manipulated(patches), goal)

    benchmark.__name__ = f"pgd_against_{library}"
    return benchmark


def deepfool_against(library: str, goal: Goal) -> Callable[[Tensor], Result]:
    """DeepFool on stored patches against another library's on real numbers."""

    def benchmark(patches: Tensor) -> Result:
        if find_spec(LIBRARIES[library]) is None:
            return missing(library, "DeepFool", goal)
        runs: dict[str, Callable[[], Run]] = {
            "Foolbox": lambda: foolbox_attack(_of("foolbox.attacks", "L2DeepFoolAttack")()),
            "torchattacks": lambda: torchattacks_attack(_of("torchattacks", "DeepFool")),
            "ART": lambda: art_attack(_of("art.attacks.evasion", "DeepFool"), verbose=False),
        }
        found = manipulated(patches)[:FEW]
        return race(library, "deepfool", theirs(runs[library](), target()), found, goal)

    benchmark.__name__ = f"deepfool_against_{library}"
    return benchmark


def _of(module: str, name: str) -> Any:
    return getattr(import_module(module), name)


def jsma_against_torchattacks(patches: Tensor) -> Result:
    """JSMA as it comes against torchattacks' as it comes, on the small patch that torchattacks has the memory for."""
    goal = Goal(at_least=20)
    if find_spec("torchattacks") is None:
        return missing("torchattacks", "JSMA", goal)
    small = patches[:1, :, :32, :32].contiguous()
    # No network was trained on patches so small. The head is random, with a bias that makes the verdict "manipulated".
    detector = random_cozzolino2017("product")
    with torch.no_grad():
        detector.head.bias.add_(0.3 - detector.logits(to_pixels(small))[0])
    borrowed = torchattacks_attack(_of("torchattacks", "JSMA"), targeted=True)
    return race("torchattacks", "jsma", theirs(borrowed, detector), small, goal, detector=detector)


def memory_of_jsma(_: Tensor) -> Result:
    """The largest that a process grows which conceals 32 RGB patches of 128x128 at once, everything in it."""
    code = (
        "import resource, torch\n"
        "from counterforensics import load_detector\n"
        "from counterforensics.attacks import jsma\n"
        "torch.set_num_threads(1)\n"
        "patches = torch.randint(0, 256, (32, 3, 128, 128), dtype=torch.uint8)\n"
        f"jsma(patches, load_detector({TARGET!r}), share=0.03)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    used = int(done.stdout) * 1024 / GIBIBYTE
    comparison = f"memory of a process that conceals 32 RGB patches of 128x128 from {TARGET} by jsma"
    return Result("JSMA", comparison, Spread.of([used]), "GiB", Goal(at_most=2))
