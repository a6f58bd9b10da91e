"""A start that learns to predict the SPAM feature: it needs neither labels nor devices, and all manipulations share it.

Large networks that must find forensic traces by themselves often stay at chance for long. A network that has learned to
predict the roots of the 338 SPAM values of a patch has filters for such traces already [ours].
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from counterforensics.detectors.base import Network
from counterforensics.detectors.spam_head import spam_features, unit_energy
from counterforensics.detectors.training import DetectorTraining, TrainingSchedule
from counterforensics.learning.batches import Batch, central, some_of
from counterforensics.learning.monitor import TrainingMonitor
from counterforensics.photos.patches import Pairs, Patches
from counterforensics.pixels import Pixels

# One group of four residuals more or less moves a root that was 0 by about so much.
_SMALLEST_SPREAD = 0.01
# Training pairs whose features give the mean and the spread of each root.
_STANDARDISED_BY = 512


def fit_to_spam(
    network: Network,
    pairs: Pairs,
    optimiser: torch.optim.Optimizer,
    *,
    schedule: TrainingSchedule,
    seed: int,
    monitor: TrainingMonitor,
) -> None:
    """Train `network`, which has 338 outputs, in place; arguments and errors as for `detectors.training.fit`.

    The targets are the roots of the SPAM feature of what the network sees, standardised over the training patches, and
    the loss is their mean squared error. A network that knows no more than the mean of each root has a loss of 1, or of
    somewhat less, as roots that hardly vary count less.
    """
    SpamPrediction(network, pairs, optimiser, schedule=schedule, seed=seed, monitor=monitor).run()


class SpamPrediction(DetectorTraining):
    """The training of a network that predicts the SPAM feature of patches in any state."""

    def __init__(
        self,
        network: Network,
        pairs: Pairs,
        optimiser: torch.optim.Optimizer,
        *,
        schedule: TrainingSchedule,
        seed: int,
        monitor: TrainingMonitor,
    ) -> None:
        """As `fit_to_spam`."""
        super().__init__(network, pairs, optimiser, schedule=schedule, seed=seed, monitor=monitor)
        chosen = some_of(self.pairs, _STANDARDISED_BY, np.random.default_rng(seed))
        roots = torch.cat([self._roots(patches[chosen]) for patches in (self.pairs.pristine, self.pairs.manipulated)])
        self.mean = roots.mean(0)
        self.spread = roots.std(0).clamp_min(_SMALLEST_SPREAD)

    def _roots(self, patches: Pixels) -> Tensor:
        """Roots of the SPAM features of the squares that training shows: float32 [n, 338], on the processor."""
        return unit_energy(spam_features(central(patches, self.schedule.crop)), "sqrt")

    def _targets(self, patches: Pixels) -> Tensor:
        return (self._roots(patches) - self.mean) / self.spread

    def total_loss(self, part: Batch, outputs: Tensor) -> Tensor:
        """As `DetectorTraining.total_loss`: of each patch the mean squared error of the 338 values."""
        targets = self._targets(part.patches.cpu().numpy()).to(outputs.device)
        return (outputs - targets).square().mean(1).sum()

    @torch.no_grad()
    def validation(self) -> dict[str, float]:
        """As `TrainingLoop.validation`: the mean squared error alone."""
        if not len(self.validation_indices):
            return {"validation_loss": float("nan")}
        self.network.eval()
        errors = [self._errors(patches) for patches in (self.held_out.pristine, self.held_out.manipulated)]
        return {"validation_loss": torch.cat(errors).mean().item()}

    def _errors(self, patches: Patches) -> Tensor:
        """The mean squared error of each chosen held-out patch: float32 [n], on the processor."""
        targets = self._targets(patches[self.validation_indices])
        return (self.outputs_for(patches) - targets).square().mean(1)
