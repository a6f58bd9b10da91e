from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from counterforensics.errors import PixelError
from counterforensics.pixels import check_patches, luma, luma_of_photo, to_patches, to_pixels


@given(
    hnp.arrays(
        np.uint8, hnp.array_shapes(min_dims=4, max_dims=4, min_side=1, max_side=5).map(lambda s: (s[0], 3, *s[2:]))
    )
)
def test_stored_values_survive_the_way_to_floats_and_back(patches: np.ndarray) -> None:
    there = torch.from_numpy(patches)
    assert torch.equal(to_patches(to_pixels(there)), there)


@given(hnp.arrays(np.uint8, (4, 5, 3)))
def test_the_luma_of_rgb_patches_is_the_stored_luma_of_the_photo(photo: np.ndarray) -> None:
    pixels = torch.from_numpy(photo.transpose(2, 0, 1)[None].copy()).float()
    assert np.array_equal(luma(pixels)[0, 0].numpy(), luma_of_photo(photo).astype(np.float32))


@given(hnp.arrays(np.uint8, (16, 3)))
def test_luma_is_bt601_rounded_half_up(photo: np.ndarray) -> None:
    red, green, blue = photo.astype(int).T
    assert luma_of_photo(photo).tolist() == [
        (299 * r + 587 * g + 114 * b + 500) // 1000 for r, g, b in zip(red, green, blue, strict=True)
    ]


def test_the_gradient_of_luma_is_its_weights() -> None:
    pixels = torch.randint(0, 256, (2, 3, 4, 4)).float().requires_grad_()
    (gradient,) = torch.autograd.grad(luma(pixels).sum(), pixels)
    expected = torch.tensor([0.299, 0.587, 0.114]).reshape(1, 3, 1, 1).expand_as(gradient)
    torch.testing.assert_close(gradient, expected)


def test_half_levels_go_to_the_nearest_and_out_of_range_is_clipped() -> None:
    pixels = torch.tensor([-1e9, -0.4, 0.6, 254.4, 255.4, 1e9]).reshape(1, 1, 1, 6)
    assert to_patches(pixels).flatten().tolist() == [0, 0, 1, 254, 255, 255]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_level_that_is_no_number_is_refused(value: float) -> None:
    with pytest.raises(PixelError, match="NaN or infinity"):
        to_patches(torch.full((1, 1, 2, 2), value))


@pytest.mark.parametrize(
    ("patches", "said"),
    [
        (torch.zeros(2, 1, 8, 8), r"must be uint8, got torch.float32 of shape \(2, 1, 8, 8\)"),
        (torch.zeros(2, 8, 8, dtype=torch.uint8), r"shape \[n, 1 or 3, h, w\], got \(2, 8, 8\)"),
        (torch.zeros(2, 4, 8, 8, dtype=torch.uint8), r"got \(2, 4, 8, 8\)"),
        (np.zeros((1, 1, 8, 8), np.uint8), "got ndarray"),
    ],
)
def test_wrong_patches_are_repeated_in_the_error(patches: object, said: str) -> None:
    with pytest.raises(PixelError, match=said):
        check_patches(patches)


@given(st.integers(2, 6).filter(lambda channels: channels != 3))
def test_luma_takes_one_or_three_channels(channels: int) -> None:
    with pytest.raises(PixelError, match="1 or 3 channels"):
        luma(torch.zeros(1, channels, 2, 2))
