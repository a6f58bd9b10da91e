"""Differentiable SPAM features: the exact ones where hard, and one gradient however they are computed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor

from counterforensics.detectors.cozzolino2017 import CozzolinoNetwork, FreeNetwork, ProductNetwork
from counterforensics.errors import PixelError
from counterforensics.features import s3_spam14hv
from counterforensics.features.co_occurrence import COLUMNS, ROWS, co_occurrence, co_occurrence_by_matrix_product
from counterforensics.features.memberships import memberships, memberships_by_softmax
from counterforensics.features.soft import exact_quantiser, soft_s3_spam14hv

Make = Callable[[int, int, int], Tensor]
HARD = float("inf")
# Residuals of 4 x 4 hold one run in each row; 40 x 60 take several of the kernel's blocks.
SHAPES = [(4, 4), (4, 31), (17, 5), (40, 60)]
DIRECTIONS = pytest.mark.parametrize("along", [ROWS, COLUMNS], ids=["rows", "columns"])


def noise(count: int, height: int, width: int) -> Tensor:
    """Independent grey levels, uint8 [n, 1, h, w]."""
    return torch.randint(0, 256, (count, 1, height, width), generator=seeded(1), dtype=torch.uint8)


def smooth(count: int, height: int, width: int) -> Tensor:
    """Blurred noise of the contrast of a photograph, whose residuals are mostly small; uint8 [n, 1, h, w]."""
    blurred = gaussian_filter(np.random.default_rng(2).normal(size=(count, 1, height, width)), (0, 0, 1.5, 1.5))
    return torch.from_numpy((128 + 250 * blurred).round().clip(0, 255).astype(np.uint8))


def soft_levels(count: int, height: int, width: int) -> Tensor:
    """Memberships from nearly hard to nearly even, float32 [n, 5, h, w]."""
    scores = torch.randn(count, 5, height, width, generator=seeded(3))
    return torch.softmax(scores * torch.linspace(0.1, 12, width), dim=1)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def weighted(network: CozzolinoNetwork) -> CozzolinoNetwork:
    """With a linear layer such as an SVM leaves behind, always the same."""
    with torch.no_grad():
        network.head.weight.copy_(torch.randn(338, generator=seeded(4)))
        network.head.scale.fill_(0.05)
    return network


def logits_and_gradient(network: CozzolinoNetwork, patches: Tensor) -> tuple[Tensor, Tensor]:
    pixels = patches.float().requires_grad_()
    logits = network.logits(pixels)
    (gradient,) = torch.autograd.grad(logits.sum(), pixels)
    return logits.detach(), gradient


def assert_close_by_largest(actual: Tensor, expected: Tensor, tolerance: float) -> None:
    """Within `tolerance` of the largest expected value: entries that cancel have no digits of their own."""
    assert (actual - expected).abs().max() <= tolerance * expected.abs().max()


@pytest.mark.parametrize("make", [noise, smooth])
@pytest.mark.parametrize(("height", "width"), [(8, 8), (9, 40), (57, 23), (128, 128)])
def test_the_hard_feature_is_the_exact_one(make: Make, height: int, width: int) -> None:
    patches = make(3, height, width)
    soft = soft_s3_spam14hv(patches.float(), exact_quantiser(), alpha=HARD)
    np.testing.assert_allclose(soft.numpy(), s3_spam14hv(patches[:, 0].numpy()), rtol=0, atol=1e-6)


def test_the_soft_feature_comes_near_the_exact_one_as_it_hardens() -> None:
    patches = smooth(2, 64, 64)
    exact = torch.from_numpy(s3_spam14hv(patches[:, 0].numpy()))
    distances = [
        (soft_s3_spam14hv(patches.float(), exact_quantiser(), alpha=alpha) - exact).abs().sum().item()
        for alpha in (0.25, 1, 4, 16)
    ]
    assert distances == sorted(distances, reverse=True)
    assert distances[-1] < 1e-4


@DIRECTIONS
@pytest.mark.parametrize(("height", "width"), SHAPES)
def test_co_occurrence_and_its_gradient_are_those_of_the_matrix_product(height: int, width: int, along: int) -> None:
    outer = torch.randn(3, 25, 25, generator=seeded(5))
    kernel, product = (soft_levels(3, height, width).requires_grad_() for _ in range(2))
    shares, expected = co_occurrence(kernel, along), co_occurrence_by_matrix_product(product, along)
    torch.testing.assert_close(shares, expected, rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(shares.sum((1, 2)), torch.ones(3), rtol=1e-5, atol=0)
    torch.autograd.backward(shares, outer)
    torch.autograd.backward(expected, outer)
    assert kernel.grad is not None
    assert product.grad is not None
    assert_close_by_largest(kernel.grad, product.grad, 1e-5)


@DIRECTIONS
@pytest.mark.parametrize(("height", "width"), [(4, 4), (5, 7)])
def test_the_matrix_product_is_the_definition_and_its_gradient_exact(height: int, width: int, along: int) -> None:
    levels = soft_levels(2, height, width).double().requires_grad_()
    line = levels.movedim(along, 3)
    run = [line[..., k : line.shape[3] - 3 + k] for k in range(4)]
    shares = torch.einsum("naij,nbij,ncij,ndij->nabcd", *run) / run[0][0, 0].numel()
    torch.testing.assert_close(co_occurrence_by_matrix_product(levels, along), shares.reshape(2, 25, 25))
    assert torch.autograd.gradcheck(lambda given: co_occurrence_by_matrix_product(given, along), levels, fast_mode=True)


def test_co_occurrence_reads_any_memory_layout() -> None:
    levels = soft_levels(2, 12, 33)
    strided = levels.transpose(2, 3)
    assert not strided.is_contiguous()
    torch.testing.assert_close(co_occurrence(strided, ROWS), co_occurrence(levels, COLUMNS), rtol=1e-5, atol=1e-7)


def test_not_a_number_shows() -> None:
    levels = soft_levels(2, 6, 9)
    levels[1, 2, 3, 4] = float("nan")
    shares = co_occurrence(levels)
    assert torch.isfinite(shares[0]).all()
    assert torch.isnan(shares[1]).any()


@pytest.mark.parametrize("alpha", [0.5, 1.0, 3.0])
@pytest.mark.parametrize("make", [noise, smooth])
def test_both_parametrisations_are_one_function(make: Make, alpha: float) -> None:
    patches = make(2, 24, 37)
    product, gradient = logits_and_gradient(weighted(ProductNetwork(alpha, "sqrt")), patches)
    free, expected = logits_and_gradient(weighted(FreeNetwork(alpha, "sqrt")), patches)
    assert_close_by_largest(product, free, 1e-5)
    assert_close_by_largest(gradient, expected, 1e-5)


def test_both_parametrisations_are_one_function_after_training_too() -> None:
    """A product network with other filters, levels and offsets is the free one with their 625 sums."""
    product, free = ProductNetwork(0.7, "sqrt"), FreeNetwork(0.7, "sqrt")
    with torch.no_grad():
        for tensor in (product.taps, product.levels, product.offsets):
            tensor.add_(0.1 * torch.randn(tensor.shape, generator=seeded(6)))
        free.taps.copy_(product.taps)
        for table, residual in enumerate((0, 1, 1, 0)):  # R along rows, U along columns, U along rows, R along columns
            levels, offsets = product.levels[residual], product.offsets[residual]
            free.codes[table] = torch.cartesian_prod(levels, levels, levels, levels)
            free.biases[table] = torch.cartesian_prod(offsets, offsets, offsets, offsets).sum(1)
    patches = smooth(2, 22, 35)
    logits, gradient = logits_and_gradient(weighted(product), patches)
    expected, expected_gradient = logits_and_gradient(weighted(free), patches)
    assert_close_by_largest(logits, expected, 1e-5)
    assert_close_by_largest(gradient, expected_gradient, 1e-5)


@pytest.mark.parametrize("alpha", [0.1, 1.0, 16.0, HARD])
def test_memberships_sum_to_one(alpha: float) -> None:
    residual = torch.arange(-1020.0, 1021.0).reshape(1, 1, -1)
    exact = exact_quantiser()
    of_levels = memberships(residual, exact.levels[0], exact.offsets[0], alpha)
    assert of_levels.shape == (1, 5, 1, 2041)
    assert (of_levels >= 0).all()
    torch.testing.assert_close(of_levels.sum(1), torch.ones(1, 1, 2041), rtol=1e-6, atol=0)


@pytest.mark.parametrize("alpha", [0.1, 1.0, 4.0])
def test_memberships_have_the_gradient_of_a_softmax(alpha: float) -> None:
    residual, outer = 4 * torch.randn(3, 9, 14, generator=seeded(8)), torch.randn(3, 5, 9, 14, generator=seeded(9))
    levels, offsets = (table[0] for table in exact_quantiser()[1:])
    gradients = []
    for function in (memberships, memberships_by_softmax):
        given = [tensor.clone().requires_grad_() for tensor in (residual.transpose(1, 2), levels, offsets)]
        shares = function(given[0], given[1], given[2], alpha)
        torch.autograd.backward(shares, outer.transpose(2, 3))
        gradients.append([tensor.grad for tensor in given])
    for actual, expected in zip(*gradients, strict=True):
        torch.testing.assert_close(actual, expected, rtol=1e-5, atol=1e-5)


@DIRECTIONS
@pytest.mark.parametrize("tiny", [1e-12, 1e-38, 1e-42])
def test_a_membership_too_small_to_count_keeps_its_gradient(tiny: float, along: int) -> None:
    """Down to denormal numbers, which count as 0 in the shares but not in where the gradient leads."""
    kernel, product = (soft_levels(2, 9, 12) for _ in range(2))
    for levels in (kernel, product):
        levels[:, 1, 2:7, 3:9] = tiny
        levels.requires_grad_()
    outer = torch.rand(2, 25, 25, generator=seeded(7)) + 0.5
    torch.autograd.backward(co_occurrence(kernel, along), outer)
    torch.autograd.backward(co_occurrence_by_matrix_product(product, along), outer)
    assert kernel.grad is not None
    assert product.grad is not None
    assert (kernel.grad[:, 1, 2:7, 3:9] > 0).all()
    assert_close_by_largest(kernel.grad, product.grad, 1e-5)


@pytest.fixture
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("threads")
def test_neither_threads_nor_company_change_a_patch() -> None:
    network, patches = weighted(ProductNetwork(1.0, "sqrt")), smooth(5, 64, 48)
    torch.set_num_threads(1)
    shares = co_occurrence(soft_levels(5, 64, 48))
    logits, gradient = logits_and_gradient(network, patches)
    alone = torch.cat([logits_and_gradient(network, patch[None])[1] for patch in patches])
    torch.testing.assert_close(alone, gradient, rtol=1e-5, atol=1e-5 * gradient.abs().max().item())
    for count in (2, 3, 8):
        torch.set_num_threads(count)
        assert torch.equal(co_occurrence(soft_levels(5, 64, 48)), shares)
        again = logits_and_gradient(network, patches)
        torch.testing.assert_close(again, (logits, gradient), rtol=1e-6, atol=1e-6 * gradient.abs().max().item())


def test_what_is_loaded_from_a_cache_gives_what_was_compiled_to_the_last_bit(tmp_path: Path) -> None:
    # Of small residuals, whose memberships are soft: hard ones sum to the same in any order.
    code = """
        import hashlib, torch
        from counterforensics.features.soft import exact_quantiser, soft_s3_spam14hv
        patches = torch.rand(2, 1, 40, 60, generator=torch.Generator().manual_seed(8)).mul(9).requires_grad_()
        features = soft_s3_spam14hv(patches, exact_quantiser(), alpha=1.0)
        (gradient,) = torch.autograd.grad(features.square().sum(), patches)
        print(*(hashlib.sha256(found.detach().numpy().tobytes()).hexdigest() for found in (features, gradient)))
    """
    command = [sys.executable, "-c", dedent(code)]
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
    compiled, loaded = (subprocess.run(command, env=environment, capture_output=True, check=True) for _ in range(2))
    assert list(tmp_path.rglob("*.nbi"))
    assert compiled.stdout == loaded.stdout


@pytest.mark.parametrize("network", [ProductNetwork(1.0, "sqrt"), FreeNetwork(1.0, "sqrt")], ids=["product", "free"])
def test_a_patch_without_a_run_is_refused(network: CozzolinoNetwork) -> None:
    assert network.logits(torch.zeros(1, 1, 8, 8)).shape == (1,)
    for size in ((7, 30), (30, 7)):
        with pytest.raises(PixelError, match="at least 8x8, got {}x{}".format(*size)):
            network.logits(torch.zeros(1, 1, *size))
