"""The optimiser Muon, against torch's own and against the singular value decomposition."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from counterforensics.detectors import parse
from counterforensics.detectors.deep import DeepRecipe
from counterforensics.learning.checkpoint import optimiser_state, restore_optimiser
from counterforensics.learning.layer_rates import parameter_groups
from counterforensics.learning.muon import DIRECTIONS, LARGEST_SIDE, LENGTH, MOMENTUM, Muon, matrices, orthogonalised


def normal(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**31))
def test_an_orthogonalised_matrix_keeps_its_singular_vectors_and_has_singular_values_near_1(
    rows: int, columns: int, seed: int
) -> None:
    left, values, right = torch.linalg.svd(normal(rows, columns, seed=seed), full_matrices=False)
    values = values.clamp_min(0.05 * values[0])  # the polynomial lifts no value that is far below the others
    turned = left.T @ orthogonalised(left @ values.diag() @ right) @ right.T
    assert turned.diag().min() > 0.6
    assert turned.diag().max() < 1.25
    torch.testing.assert_close(turned - turned.diag().diag(), torch.zeros_like(turned), rtol=0, atol=1e-4)


@pytest.mark.parametrize("shape", [(30, 20), (20, 30), (8, 8)])
def test_the_steps_of_a_matrix_are_those_of_the_muon_of_torch(shape: tuple[int, int]) -> None:
    weights = [nn.Parameter(normal(*shape, seed=0)) for _ in range(2)]
    start = weights[0].detach().clone()
    ours = Muon([{"params": [weights[0]], "orthogonal": True, "weight_decay": 0.4}], lr=0.001)
    # The two count the decay from different rates: ours from the rate of Adam, torch's from the length of the step.
    theirs = torch.optim.Muon([weights[1]], lr=LENGTH * 0.001, weight_decay=0.4 / LENGTH, momentum=MOMENTUM)
    for step in range(4):
        for weight, optimiser in zip(weights, (ours, theirs), strict=True):
            weight.grad = normal(*shape, seed=step + 1)
            optimiser.step()
    moved, moved_theirs = (weight.detach() - start for weight in weights)
    # torch makes its steps orthogonal in bfloat16.
    assert (moved - moved_theirs).norm() < 0.02 * moved_theirs.norm()


@pytest.mark.parametrize("shape", [(6, 3, 5, 5), (LARGEST_SIDE + 8, LARGEST_SIDE + 40, 1, 1), (520, 65, 3, 3)])
def test_a_convolution_takes_the_steps_of_its_flat_matrix(shape: tuple[int, int, int, int]) -> None:
    kernel = nn.Parameter(normal(*shape, seed=0).to(memory_format=torch.channels_last))
    flat = nn.Parameter(kernel.detach().flatten(1).clone())
    optimisers = [Muon([{"params": [weight], "orthogonal": True}], lr=0.001) for weight in (kernel, flat)]
    for step in range(3):
        kernel.grad = normal(*shape, seed=step + 1).to(memory_format=torch.channels_last)
        flat.grad = kernel.grad.flatten(1)
        for optimiser in optimisers:
            optimiser.step()
    torch.testing.assert_close(kernel.detach().flatten(1), flat.detach())


def test_all_that_is_no_matrix_takes_the_steps_of_adamw() -> None:
    biases = [nn.Parameter(normal(7, seed=0)) for _ in range(2)]
    ours = Muon([{"params": [biases[0]], "weight_decay": 0.1}], lr=0.01)
    theirs = torch.optim.AdamW([biases[1]], lr=0.01, weight_decay=0.1, fused=True)
    for step in range(3):
        for bias, optimiser in zip(biases, (ours, theirs), strict=True):
            bias.grad = normal(7, seed=step + 1)
            optimiser.step()
    torch.testing.assert_close(biases[0], biases[1], rtol=0, atol=0)


def test_a_wide_matrix_learns_to_step_along_the_singular_vectors_of_a_steady_gradient() -> None:
    rows, columns, rank = LARGEST_SIDE + 8, LARGEST_SIDE + 40, 3
    left = torch.linalg.qr(normal(rows, rank, seed=0)).Q
    right = torch.linalg.qr(normal(columns, rank, seed=1)).Q
    gradient = left @ torch.tensor([9.0, 3.0, 1.0]).diag() @ right.T
    weight = nn.Parameter(torch.zeros(rows, columns))
    optimiser = Muon([{"params": [weight], "orthogonal": True, "weight_decay": 0.0}], lr=0.001)
    for _ in range(20):
        before = weight.detach().clone()
        weight.grad = gradient.clone()
        optimiser.step()
    step = (weight.detach() - before) / (-LENGTH * 0.001)
    torch.testing.assert_close(left.T @ step @ right, torch.eye(rank), rtol=0, atol=0.01)


def test_a_wide_matrix_forgets_no_part_of_its_gradients() -> None:
    weight = nn.Parameter(torch.zeros(LARGEST_SIDE + 1, LARGEST_SIDE + 2))
    optimiser = Muon([{"params": [weight], "orthogonal": True}], lr=0.001)
    gradient = normal(*weight.shape, seed=3)
    weight.grad = gradient.clone()
    optimiser.step()
    state = optimiser.state[weight]
    taken = gradient - state["momentum"]
    # All that is missing from the momentum lies in the directions of the step, and is the share that it took.
    values = torch.linalg.svdvals(taken)
    assert values[DIRECTIONS] < 1e-4 * values[0]
    basis = torch.linalg.svd(taken).U[:, :DIRECTIONS]
    torch.testing.assert_close(basis @ (basis.T @ gradient) * (1 - MOMENTUM), taken, rtol=0, atol=1e-4)


def test_constrained_filters_and_the_last_layer_learn_by_adamw() -> None:
    recipe = parse("bayar2016")
    assert isinstance(recipe, DeepRecipe)
    network = recipe.build()
    weights = matrices(network, but=network.last)
    shapes = [(64, 12, 7, 7), (48, 64, 5, 5), (4096, 10800), (4096, 4096)]
    assert [tuple(weight.shape) for weight in weights] == shapes
    groups = parameter_groups(network, rule="fan-in", lr=1e-3, weight_decay=0.1, orthogonal=weights)
    marked = [group for group in groups if group.get("orthogonal")]
    assert [(len(group["params"]), group["lr"]) for group in marked] == [(4, 1e-3)]
    assert sum(len(group["params"]) for group in groups) == len(list(network.parameters()))


def test_depthwise_convolutions_learn_by_adamw() -> None:
    recipe = parse("xception")
    assert isinstance(recipe, DeepRecipe)
    network = recipe.build()
    chosen = {id(weight) for weight in matrices(network, but=network.last)}
    kernels = [one for one in network.modules() if isinstance(one, nn.Conv2d) and id(one.weight) in chosen]
    assert kernels
    assert all(kernel.groups == 1 for kernel in kernels)


def test_without_a_gradient_nothing_moves() -> None:
    weight = nn.Parameter(normal(4, 4, seed=0))
    before = weight.detach().clone()
    Muon([{"params": [weight], "orthogonal": True}], lr=0.1).step()
    torch.testing.assert_close(weight.detach(), before, rtol=0, atol=0)


@pytest.mark.parametrize("shape", [(6, 3, 5, 5), (LARGEST_SIDE + 8, LARGEST_SIDE + 40), (LARGEST_SIDE + 8, 600, 1, 1)])
def test_a_restored_optimiser_takes_the_same_steps(shape: tuple[int, ...]) -> None:
    weight = nn.Parameter(normal(*shape, seed=0))
    optimiser = Muon([{"params": [weight], "orthogonal": True}], lr=0.001)
    weight.grad = normal(*shape, seed=1)
    optimiser.step()
    copy = nn.Parameter(weight.detach().clone())
    restored = Muon([{"params": [copy], "orthogonal": True}], lr=0.001)
    restore_optimiser(restored, {name: kept.clone() for name, kept in optimiser_state(optimiser).items()})
    for step in range(2, 4):
        for one, steps in ((weight, optimiser), (copy, restored)):
            one.grad = normal(*shape, seed=step)
            steps.step()
    torch.testing.assert_close(copy.detach(), weight.detach(), rtol=0, atol=0)
