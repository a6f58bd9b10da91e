"""To and from other attack libraries: our detectors as their classifiers, their attacks as ours.

    from counterforensics.bridge import Borrowed, foolbox_attack
    attack = Borrowed(foolbox_attack(foolbox.attacks.LinfPGD(steps=10), epsilon=1))
    concealed = attack.prepare(detector, pairs, seed=0).conceal(patches, None)
    concealed.lost           # which patches the attack had concealed until they were stored

Other libraries work on float images in 0..1, and their success holds until a file is written. The patches of a borrowed
attack are rounded to grey levels and judged again. Each library is needed for its own attacks only.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from counterforensics.attacks.base import Attack, Concealed, PreparedAttack, check_given, check_target
from counterforensics.detectors.base import Detector
from counterforensics.errors import AttackError
from counterforensics.learning.accelerator import device_of
from counterforensics.photos.patches import Pairs
from counterforensics.pixels import to_patches, to_pixels

PEAK = 255.0
MANIPULATED = 1  # the class, where there are two outputs; 0 is pristine

# An attack of another library, as a function: (classifier, images in 0..1, labels) -> images.
Run = Callable[[nn.Module, Tensor, Tensor], Tensor]


class Classifier(nn.Module):
    """A detector as other libraries expect one: images in 0..1 in, one or two logits out.

    With two outputs the classes are pristine (0) and manipulated (1), and their difference is the detector's logit,
    so that the cross-entropy of both forms is the same. Always in evaluation mode. Around a detector without
    gradients (spam-svm) it serves attacks that ask for none; those that do meet an AttackError.
    """

    def __init__(self, detector: Detector, outputs: int = 2) -> None:
        super().__init__()
        if outputs not in (1, 2):
            raise AttackError(f"a classifier has 1 or 2 outputs, got {outputs!r}")
        self.detector = detector
        self.outputs = outputs
        self.eval()

    def forward(self, images: Tensor) -> Tensor:
        """float32 [n, c, h, w] in 0..1 -> float32 [n, outputs]."""
        if images.requires_grad:
            check_target("an attack of another library", self.detector)
        logits = self.detector.logits(images * PEAK)[:, None]
        return logits if self.outputs == 1 else torch.cat([-logits / 2, logits / 2], dim=1)


@dataclass(frozen=True)
class Rounded(Concealed):
    """The patches of a borrowed attack, as stored, and how many of its successes rounding took."""

    fooled: Tensor | None = None  # bool [n]: concealed before rounding
    kept: Tensor | None = None  # bool [n]: concealed after it

    @property
    def lost(self) -> Tensor | None:
        """bool [n]: concealed until it was stored."""
        return None if self.fooled is None or self.kept is None else self.fooled & ~self.kept


@dataclass(frozen=True)
class Borrowed(Attack):
    """An attack of another library as one of ours; made in Python, as its settings are not words and numbers.

    run: see `Run`; one of the functions below makes it.  outputs: of the classifier that it gets, 1 or 2.
    It may be prepared for any detector. Whether it needs gradients shows when it asks for them.
    """

    run: Run
    outputs: int = 2

    def prepare(self, target: Detector | None, pairs: Pairs, *, seed: int) -> PreparedAttack:
        """Nothing to learn: `pairs` are not used. `seed` becomes torch's before every batch, and is then forgotten."""
        classifier = Classifier(check_given("an attack of another library", target), self.outputs)

        def conceal(patches: Tensor, originals: Tensor | None) -> Rounded:
            images = to_pixels(patches) / PEAK
            if not len(images):
                return Rounded(patches.clone())
            labels = torch.full((len(images),), MANIPULATED, device=images.device)
            with torch.random.fork_rng():
                torch.manual_seed(seed)
                found = self.run(classifier, images, labels).detach().to(images)
            unrounded = found * PEAK
            stored = to_patches(unrounded)
            with torch.no_grad():
                fooled = classifier.detector.logits(unrounded) <= 0
                kept = classifier.detector.logits(to_pixels(stored)) <= 0
            return Rounded(stored, fooled=fooled, kept=kept)

        return PreparedAttack(conceal)


def foolbox_attack(attack: Any, *, epsilon: float | None = None) -> Run:
    """An attack of Foolbox (3.x); epsilon in grey levels, None for an attack that looks for its own."""

    def run(classifier: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        import foolbox

        model = foolbox.PyTorchModel(classifier, bounds=(0, 1), device=device_of(classifier))
        bound = None if epsilon is None else epsilon / PEAK
        found: Tensor = attack(model, images, labels, epsilons=bound)[1]
        return found

    return run


def torchattacks_attack(kind: Callable[..., Any], *, targeted: bool = False, **settings: Any) -> Run:
    """An attack class of torchattacks (3.x), with its settings; its epsilons are shares of 255.

    targeted: it is told the class to reach (pristine), as JSMA must be, not the class to leave.
    """

    def run(classifier: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        attack = kind(classifier, **settings)
        if targeted:
            attack.set_mode_targeted_by_label(quiet=True)
        found: Tensor = attack(images, 1 - labels if targeted else labels)
        return found

    return run


def art_attack(kind: Callable[..., Any], *, targeted: bool = False, **settings: Any) -> Run:
    """An evasion attack class of the Adversarial Robustness Toolbox (1.x), with its settings.

    targeted: it takes the class to reach (pristine), as SaliencyMapMethod does, not the class to leave.
    """

    def run(classifier: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        from art.estimators.classification import PyTorchClassifier

        shape = tuple(images.shape[1:])
        loss = nn.CrossEntropyLoss()
        model = PyTorchClassifier(classifier, loss, input_shape=shape, nb_classes=2, clip_values=(0, 1))
        classes = nn.functional.one_hot(1 - labels if targeted else labels, 2).cpu().numpy()
        found = kind(model, **settings).generate(images.cpu().numpy(), classes)
        return torch.from_numpy(found)

    return run


def secml_attack(attack: Any) -> Run:
    """An evasion attack of SecML-Torch (1.x)."""

    def run(classifier: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        from secmlt.models.pytorch.base_pytorch_nn import BasePyTorchClassifier
        from torch.utils.data import DataLoader, TensorDataset

        batch = DataLoader(TensorDataset(images, labels), batch_size=len(images))
        found = attack(BasePyTorchClassifier(classifier), batch)
        return torch.cat([some for some, _ in found])

    return run
