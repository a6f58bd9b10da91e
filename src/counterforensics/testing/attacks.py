"""The contracts of an attack."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from counterforensics.attacks import ATTACKS, Attack, Concealed, LearnedAttack, PreparedAttack
from counterforensics.detectors import DETECTORS
from counterforensics.detectors.base import Detector
from counterforensics.errors import AttackError
from counterforensics.learning import weights
from counterforensics.learning.monitor import SavedNetwork
from counterforensics.manipulations import MANIPULATIONS
from counterforensics.photos.patches import Pairs
from counterforensics.pixels import to_pixels
from counterforensics.testing.common import (
    check_contract,
    check_flag,
    copied_state,
    drawn_before,
    expect,
    same_state,
)
from counterforensics.testing.samples import (
    NO_PAIRS,
    SIDE,
    TOLERANCE,
    LinearTarget,
    sample_pairs,
)

# Share of values that may round to the next grey level in a batch of another size.
ROUNDED_OTHERWISE = 0.001


@dataclass(frozen=True)
class AttackCase:
    """An attack under test.  target: the detector that it attacks; None chooses one."""

    text: str
    target_given: Detector | None = None

    @cached_property
    def attack(self) -> Attack:
        """The attack that the text form names."""
        return ATTACKS.parse(self.text)

    @cached_property
    def pairs(self) -> Pairs:
        """What an attack learns from."""
        return sample_pairs()

    @cached_property
    def manipulated(self) -> Tensor:
        """Patches to conceal: uint8 [6, 1, side, side]."""
        return torch.from_numpy(sample_pairs(3, 2).manipulated[np.arange(6)])

    @cached_property
    def originals(self) -> Tensor:
        """The pristine patches behind them."""
        return torch.from_numpy(sample_pairs(3, 2).pristine[np.arange(6)])

    @cached_property
    def target(self) -> Detector | None:
        """The detector that is attacked; None for an attack that needs none."""
        if not self.attack.needs_target:
            return None
        if self.target_given is not None:
            return self.target_given
        linear = LinearTarget(self.manipulated.numpy()).eval()
        try:
            self.attack.check_target(linear)
        except AttackError:
            return DETECTORS.parse("spam-svm").train(self.pairs, seed=0)
        return linear

    @cached_property
    def learned(self) -> SavedNetwork:
        """What an attack that learns has learned, once for all checks."""
        if not isinstance(self.attack, LearnedAttack):
            raise TypeError(f"{self.text} learns nothing")
        with drawn_before(self.text, 1):
            learned: SavedNetwork = self.attack.learn(self.pairs, seed=3)
        return learned

    def prepared(self, seed: int = 3) -> PreparedAttack:
        """The attack, prepared anew."""
        attack = ATTACKS.parse(self.text)
        if isinstance(attack, LearnedAttack):
            prepared: PreparedAttack = attack.prepare_with(self.learned)
        else:
            prepared = attack.prepare(self.target, self.pairs if attack.needs_pairs else NO_PAIRS, seed=seed)
        expect(
            isinstance(prepared, PreparedAttack), self.text, f"prepare must return a PreparedAttack, got {prepared!r}"
        )
        return prepared

    def conceal(self, patches: Tensor, originals: Tensor) -> Concealed:
        """`patches` concealed; the attack gets `originals` if it asks for them."""
        concealed = self.prepared().conceal(patches, originals if self.attack.needs_originals else None)
        expect(isinstance(concealed, Concealed), self.text, f"conceal must return Concealed, returns {concealed!r:.80}")
        return concealed


def names_an_attack(case: AttackCase) -> None:
    """A study can name it, and it takes the patches and the target of these checks."""
    check_contract(case.text, ATTACKS)
    attack = case.attack
    flags = {
        "needs_target": attack.needs_target,
        "needs_pairs": attack.needs_pairs,
        "needs_originals": attack.needs_originals,
        "restores": attack.restores,
        "uses_gpu": attack.uses_gpu,
    }
    for name, value in flags.items():
        check_flag(case.text, name, value)
    if case.target is not None:
        attack.check_target(case.target)
    attack.check_patches(SIDE, MANIPULATIONS.parse("median:5"))


def gives_stored_patches(case: AttackCase) -> None:
    """uint8 of the same shape, luma, RGB or none at all; what it is given stays as it was."""
    colour = case.manipulated.expand(-1, 3, -1, -1).contiguous(), case.originals.expand(-1, 3, -1, -1).contiguous()
    nothing = torch.empty(0, 1, SIDE, SIDE, dtype=torch.uint8)
    for patches, originals in ((case.manipulated, case.originals), colour, (nothing, nothing)):
        before = patches.clone(), originals.clone()
        concealed = case.conceal(patches, originals)
        found = f"{concealed.patches.dtype} {tuple(concealed.patches.shape)} for uint8 {tuple(patches.shape)}"
        right = concealed.patches.dtype == torch.uint8 and concealed.patches.shape == patches.shape
        expect(right, case.text, f"it must give uint8 patches of the same shape, gives {found}")
        expect(concealed.patches.device == patches.device, case.text, "it must give patches on the device of its input")
        kept = torch.equal(patches, before[0]) and torch.equal(originals, before[1])
        expect(kept, case.text, "it changes the patches that it is given")
        _check_zero_gradient(case.text, concealed, len(patches))


def _check_zero_gradient(text: str, concealed: Concealed, count: int) -> None:
    shares = concealed.zero_gradient
    if shares is not None:
        right = shares.dtype == torch.float64 and shares.shape == (count,)
        expect(right, text, f"zero_gradient must be float64 ({count},), is {shares.dtype} {tuple(shares.shape)}")
        expect(bool(((shares >= 0) & (shares <= 1)).all()), text, "zero_gradient must hold shares, 0..1")


def leaves_its_target_alone(case: AttackCase) -> None:
    """Weights, mode and gradients of the target stay as they were."""
    target: object = case.target
    if not isinstance(target, nn.Module):
        return
    state, training = copied_state(target), target.training
    case.conceal(case.manipulated, case.originals)
    expect(same_state(target, state), case.text, "it changes the weights of its target")
    expect(target.training == training, case.text, "it changes the mode of its target")
    clean = all(parameter.grad is None for parameter in target.parameters())
    expect(clean, case.text, "it leaves gradients in its target; use torch.autograd.grad")


def conceals_the_same_twice(case: AttackCase) -> None:
    """Neither an earlier call nor random numbers drawn elsewhere play a part."""
    results = []
    for seed in (1, 2):
        with drawn_before(case.text, seed):
            results.append(case.conceal(case.manipulated, case.originals).patches)
    same = torch.equal(*results)
    expect(same, case.text, "the same patches and seed give another result; draw from a generator of its own")


def conceals_a_patch_alone(case: AttackCase) -> None:
    """A result depends neither on the other patches of a batch nor on their order, up to what networks round."""
    together = case.conceal(case.manipulated, case.originals).patches
    pieces = [(case.manipulated[k : k + 1], case.originals[k : k + 1]) for k in range(len(together))]
    alone = torch.cat([case.conceal(patch, original).patches for patch, original in pieces])
    expect(alike(together, alone), case.text, "a patch's result depends on the batch that it is in")
    backwards = case.conceal(case.manipulated.flip(0), case.originals.flip(0)).patches.flip(0)
    expect(alike(together, backwards), case.text, "a patch's result depends on its place in the batch")


def alike(one: Tensor, other: Tensor) -> bool:
    """Whether at most one value in a thousand differs, by one grey level: uint8 of the same shape.

    Convolutions round differently in batches of other sizes, and where a value lies between two grey levels it shows.
    """
    difference = (one.int() - other.int()).abs()
    return bool(difference.max() <= 1) and bool((difference > 0).double().mean() <= ROUNDED_OTHERWISE)


def lowers_the_logits_of_its_target(case: AttackCase) -> None:
    """No patch looks more manipulated to the target than before, and together they look less so."""
    if case.target is None:
        return
    after = case.conceal(case.manipulated, case.originals).patches
    with torch.no_grad():
        logits = [case.target.logits(to_pixels(patches)) for patches in (case.manipulated, after)]
    called = logits[0] > 0
    expect(bool(called.any()), case.text, "the target calls none of the patches manipulated; give another target")
    raised = logits[1][called] > logits[0][called] + TOLERANCE * logits[0][called].abs().clamp_min(1)
    expect(not bool(raised.any()), case.text, "it makes a patch look more manipulated to its target")
    lower = bool(logits[1][called].mean() < logits[0][called].mean())
    expect(lower, case.text, "it does not lower the logits of its target")


def needs_pairs_only_if_it_says_so(case: AttackCase) -> None:
    """Without `needs_pairs`, results do not depend on the pairs of the training devices."""
    if case.attack.needs_pairs or isinstance(case.attack, LearnedAttack):
        return
    given = case.originals if case.attack.needs_originals else None
    results = [
        case.attack.prepare(case.target, pairs, seed=3).conceal(case.manipulated, given).patches
        for pairs in (NO_PAIRS, case.pairs)
    ]
    expect(torch.equal(*results), case.text, "its results depend on the pairs; say `needs_pairs = True`")


def learns_the_same_twice(case: AttackCase) -> None:
    """What it learns depends on pairs, seed and settings, and serves as well from files."""
    attack = case.attack
    if not isinstance(attack, LearnedAttack):
        return
    json.dumps(dict(attack.learning_settings))
    seen: object = attack.patches_seen
    expect(type(seen) is int, case.text, f"patches_seen must be a count, is {seen!r}")
    differ = f"uses_gpu is {attack.uses_gpu}, but accelerated of what it builds is {attack.build().accelerated}"
    expect(attack.uses_gpu == attack.build().accelerated, case.text, differ)
    with drawn_before(case.text, 2):
        again = ATTACKS.parse(case.text).prepare(case.target, case.pairs, seed=3)
    with tempfile.TemporaryDirectory() as folder:
        name = ATTACKS.name_of(attack)
        weights.save(case.learned, Path(folder), name=name, settings=attack, record={}, kind="generator")
        loaded = attack.prepare_with(weights.load(Path(folder), ATTACKS, "generator"))
    given = case.originals if attack.needs_originals else None
    expected = case.conceal(case.manipulated, case.originals).patches
    same = torch.equal(again.conceal(case.manipulated, given).patches, expected)
    expect(same, case.text, "learning twice from the same pairs by the same seed conceals differently")
    same = torch.equal(loaded.conceal(case.manipulated, given).patches, expected)
    expect(same, case.text, "what it learned conceals differently after it was saved and loaded")


ATTACK_CHECKS: tuple[Callable[[AttackCase], None], ...] = (
    names_an_attack,
    gives_stored_patches,
    leaves_its_target_alone,
    conceals_the_same_twice,
    conceals_a_patch_alone,
    lowers_the_logits_of_its_target,
    needs_pairs_only_if_it_says_so,
    learns_the_same_twice,
)
