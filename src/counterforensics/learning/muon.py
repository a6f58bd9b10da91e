"""Muon: a step whose matrix is made orthogonal, so that it moves a layer alike in all directions (Jordan et al. 2024).

The gradient of a layer has a few large singular values, and Adam follows mostly these. An orthogonal step has singular
values near 1, so the rare directions learn, too. Its length follows the layer's shape (Yang, Simon & Bernstein 2023, "A
spectral condition for feature learning"). For a wide layer this takes too long: its step is orthogonal in a few
directions, and what is left of the gradient waits for later steps (Ahn et al. 2025, "Dion").
"""

from __future__ import annotations

from collections.abc import Callable
from math import sqrt
from typing import Any

import torch
from torch import Tensor, nn

from counterforensics.learning.layers import ConstrainedConv2d

# An orthogonal step is so many times as long as the learning rate says for Adam: 0.02 at 1e-3 [Jordan et al.].
LENGTH = 20.0
MOMENTUM = 0.95
# The polynomial a x + b x^3 + c x^5 brings every singular value in 0..1 near 1 within five rounds [Jordan et al.].
_A, _B, _C = 3.4445, -4.7750, 2.0315
_ROUNDS = 5
# The time of a whole step grows with the square of the smaller side. Wider matrices step in so many directions, as many
# as a batch of 16 pairs has patches [ours].
LARGEST_SIDE = 512
DIRECTIONS = 32


def orthogonalised(matrix: Tensor) -> Tensor:
    """The matrix with the same singular vectors, and singular values of about 0.7 to 1.2.

    matrix: float [m, n].  A matrix of zeros stays one.

    >>> orthogonalised(torch.diag(torch.tensor([3.0, 0.5]))).diag().round(decimals=1)
    tensor([0.7000, 1.0000])
    """
    tall = matrix.shape[0] > matrix.shape[1]
    wide: Tensor = matrix.T if tall else matrix
    wide = wide / wide.norm().clamp_min(1e-7)
    for _ in range(_ROUNDS):
        gram = wide @ wide.T
        wide = _A * wide + (_B * gram + _C * gram @ gram) @ wide
    return wide.T if tall else wide


def matrices(network: nn.Module, *, but: nn.Module) -> list[Tensor]:
    """The weights that learn by orthogonal steps: of convolutions and dense layers. All others learn by AdamW.

    Left out are constrained convolutions, and depthwise ones, whose channels do not mix.
    but: the last layer, whose rows are outputs and no features.
    """
    layers = [one for one in network.modules() if isinstance(one, nn.Conv2d | nn.Linear) and one is not but]
    return [one.weight for one in layers if not isinstance(one, nn.Conv2d) or _mixes_freely(one)]


def _mixes_freely(layer: nn.Conv2d) -> bool:
    """Whether each filter reads all channels, under no constraint."""
    return layer.groups == 1 and not isinstance(layer, ConstrainedConv2d)


class Muon(torch.optim.AdamW):
    """AdamW whose groups marked `orthogonal` take orthogonal steps, `LENGTH` times as long as their rate."""

    def __init__(self, params: list[dict[str, Any]], *, lr: float) -> None:
        """params: groups, some with `orthogonal=True`."""
        super().__init__(params, lr=lr, fused=True)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Take a step of every parameter that has a gradient."""
        for group in self.param_groups:
            if group.get("orthogonal"):
                for parameter in group["params"]:
                    self._orthogonal_step(parameter, group)
        super().step(closure)

    def _orthogonal_step(self, parameter: Tensor, group: dict[str, Any]) -> None:
        """Step along the orthogonal direction; the gradient is then gone, so AdamW passes over the parameter."""
        if parameter.grad is None:
            return
        state = self.state[parameter]
        if not state:
            state["step"] = torch.zeros(())  # AdamW looks for it
            state["momentum"] = torch.zeros_like(parameter.flatten(1), memory_format=torch.contiguous_format)
        state["step"] += 1
        gradient = parameter.grad.flatten(1)
        rows, columns = gradient.shape
        kept = 1 - group["lr"] * group["weight_decay"]
        length = LENGTH * group["lr"] * sqrt(max(1, rows / columns))
        if min(rows, columns) > LARGEST_SIDE:
            left, right = _few_directions(gradient, state)
            matrix = parameter.flatten(1)
            matrix.addmm_(left, right.T, beta=kept, alpha=-length)
            if matrix.data_ptr() != parameter.data_ptr():  # a kernel may be flattened into a copy
                parameter.copy_(matrix.view_as(parameter))
        else:
            direction = _all_directions(gradient, state)
            parameter.mul_(kept).sub_(direction.view_as(parameter), alpha=length)
        parameter.grad = None


def _all_directions(gradient: Tensor, state: dict[str, Tensor]) -> Tensor:
    """Nesterov's momentum of the gradients [m, n], made orthogonal: [m, n]."""
    momentum = state["momentum"].lerp_(gradient, 1 - MOMENTUM)
    return orthogonalised(gradient.lerp(momentum, MOMENTUM))


def _few_directions(gradient: Tensor, state: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Dion's step for gradients [m, n], as the factors [m, d] and [n, d] of a matrix of rank d = `DIRECTIONS`.

    It is orthogonal in the largest directions of the momentum; one round of power iteration at each step finds them.
    """
    momentum = state["momentum"].add_(gradient)
    if "right" not in state:
        start = torch.randn(momentum.shape[1], DIRECTIONS, generator=torch.Generator().manual_seed(0))
        state["right"] = torch.linalg.qr(start.to(momentum.device)).Q
    left = torch.linalg.qr(momentum @ state["right"]).Q
    right = (left.T @ momentum).T
    # What the step takes leaves the momentum, but for a share; all else stays for later steps.
    momentum.addmm_(left, right.T, alpha=MOMENTUM - 1)
    state["right"] = right / right.norm(dim=0).clamp_min(1e-8)
    return left, state["right"]
