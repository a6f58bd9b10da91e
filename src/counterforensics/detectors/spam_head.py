"""The linear layer over SPAM features: the SVM of SPAM + SVM, and where Cozzolino2017 starts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from counterforensics.detectors.base import LinearInSpam, check_logits
from counterforensics.detectors.linear_svm import Rows, fit_linear_svm, moments
from counterforensics.errors import AttackError, StudyError, TrainingError, WeightsError
from counterforensics.features.spam import DIMENSION, s3_spam14hv
from counterforensics.names import check_choice
from counterforensics.pixels import Pixels, luma
from counterforensics.positions import Positions

NORMALISATIONS = ("sqrt", "l2")

# Of the SVM. Far below, all weights are 0; far above, the solver finds no end.
LEAST_COST, MOST_COST = 1e-9, 1e9

# A bin's share is at least this under the root, where its slope stays finite; one quad counts 6.7e-5.
_FLOOR = 1e-7


def unit_energy(feature: Tensor, normalisation: str) -> Tensor:
    """The feature scaled to constant energy: float32 [n, 338] -> [n, 338].

    `sqrt` takes the root of every share (the group's later code; the energy of a histogram's root is its
    sum); `l2` divides by the Euclidean norm. Which of the two the paper means by "unit energy" is inferred.
    """
    if normalisation == "l2":
        norm: Tensor = torch.linalg.vector_norm(feature, dim=1, keepdim=True)
        return feature / norm
    return torch.sqrt(feature + _FLOOR)


class LinearHead(nn.Module):
    """A linear classifier on standardised features: weight . (feature - mean) / scale + bias."""

    mean: Tensor
    scale: Tensor

    def __init__(self, normalisation: str) -> None:
        super().__init__()
        self.normalisation = normalisation
        self.register_buffer("mean", torch.zeros(DIMENSION))
        self.register_buffer("scale", torch.ones(DIMENSION))
        self.weight = nn.Parameter(torch.zeros(DIMENSION))
        self.bias = nn.Parameter(torch.zeros(()))

    def forward(self, feature: Tensor) -> Tensor:
        """SPAM features float32 [n, 338] -> logits [n]."""
        standardised = (unit_energy(feature, self.normalisation) - self.mean) / self.scale
        return torch.as_tensor(standardised @ self.weight + self.bias)


def linear_in_spam(head: LinearHead) -> LinearInSpam:
    """The head as a function of the feature's roots.  Raises AttackError for the normalisation l2."""
    if head.normalisation != "sqrt":
        raise AttackError(f"attacks on SPAM features need normalisation=sqrt, this detector has {head.normalisation!r}")
    weight, mean, scale = (tensor.detach().double().cpu().numpy() for tensor in (head.weight, head.mean, head.scale))
    weights = weight / scale
    return LinearInSpam(weights, float(head.bias.detach()) - float(weights @ mean), _FLOOR, scale)


def check_svm(name: str, c: float, normalisation: str) -> None:
    """Raise StudyError for a cost or a normalisation that cannot be."""
    if not LEAST_COST <= c <= MOST_COST:
        raise StudyError(f"{name}: c must lie between {LEAST_COST:g} and {MOST_COST:g}, got {c:g}")
    check_choice(name, "normalisation", normalisation, NORMALISATIONS)


def spam_features(patches: Pixels) -> Tensor:
    """Exact SPAM features of the luma of stored patches: uint8 [n, c, h, w] -> float32 [n, 338]."""
    planes = luma(torch.from_numpy(patches).float())[:, 0].round().to(torch.uint8)
    return torch.from_numpy(s3_spam14hv(planes.numpy()))


def scan_logits(
    head: LinearHead, features: Callable[[Positions], Iterator[npt.NDArray[np.float32]]], positions: Positions
) -> npt.NDArray[np.float32]:
    """The logits of a head at all positions, float32 of `positions.shape`, in bands on as many threads as torch has.

    features: gives the features of each row of positions, float32 [c, 338].  Raises WeightsError for a logit that is
    not finite.
    """

    def of_band(band: Positions) -> npt.NDArray[np.float32]:
        with torch.no_grad():
            rows = [head(torch.from_numpy(row)).numpy() for row in features(band)]
        return np.stack(rows)

    bands = positions.bands(torch.get_num_threads())
    with ThreadPoolExecutor(len(bands)) as pool:
        logits = np.concatenate(list(pool.map(of_band, bands)))
    check_logits(torch.from_numpy(logits).flatten(), logits.size, head, WeightsError)
    return logits


def unit_features(batches: Iterable[Pixels], feature: Callable[[Pixels], Tensor], normalisation: str) -> Rows:
    """The unit-energy features of stored patches, uint8 [k, c, h, w] each batch: rows of 338, on disk."""
    rows = Rows(DIMENSION)
    with torch.no_grad():
        for some in batches:
            rows.append(unit_energy(feature(some), normalisation).numpy())
    return rows


def fit_head(head: LinearHead, pristine: Rows, manipulated: Rows, *, c: float) -> None:
    """Set `head` to the standardisation and the linear SVM of two sets of unit-energy features.

    Raises TrainingError where a class is empty, or nothing tells one from the other.
    """
    if not len(pristine) or not len(manipulated):
        counts = f"{len(pristine)} pristine and {len(manipulated)} manipulated patches"
        raise TrainingError(f"a detector needs patches of both classes, got {counts}")
    mean, scale = moments([pristine, manipulated])
    scale[scale < 1e-12] = 1.0  # a bin that never varies carries no information
    weight, bias = fit_linear_svm(pristine, manipulated, mean, scale, c=c)
    if not weight.float().any():
        raise TrainingError("the SVM learned nothing: pristine and manipulated patches have the same features")
    with torch.no_grad():
        head.mean.copy_(mean)
        head.scale.copy_(scale)
        head.weight.copy_(weight)
        head.bias.fill_(bias)
