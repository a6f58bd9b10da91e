"""Exact SPAM features: equal to independent implementations, and to the definition written out."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from counterforensics.errors import PixelError
from counterforensics.features import s3_spam14hv
from counterforensics.features.merging import BINS, CODES
from counterforensics.features.spam import count_codes

Patch = npt.NDArray[np.uint8]

# Patches with features on which two implementations by others agree to the byte; kept beside the checkout.
ORACLE = Path(__file__).parents[2] / "shared" / "oracles" / "s3_spam14hv.npz"

# Odd shapes down to the smallest; few levels give the crowded bins of a photograph, many the rare ones.
SIDES = st.integers(8, 23)
PATCHES = st.tuples(SIDES, SIDES, st.sampled_from([3, 12, 255])).flatmap(
    lambda drawn: arrays(np.uint8, drawn[:2], elements=st.integers(0, drawn[2]))
)


def level(residual: int) -> int:
    """Quantised with q = 3 and T = 2: to the nearest of -2 .. 2 after division by 3."""
    return int(np.sign(residual)) * min(2, (abs(residual) + 1) // 3)


def written_out(patch: Patch) -> npt.NDArray[np.float64]:
    """s3_spam14hv as it is defined, position by position (Fridrich & Kodovsky 2012)."""
    x = patch.astype(int)
    height, width = x.shape
    rows, columns = range(2, height - 2), range(2, width - 2)
    r = np.array([[level(x[i, j - 1] - 3 * x[i, j] + 3 * x[i, j + 1] - x[i, j + 2]) for j in columns] for i in rows])
    u = np.array([[level(x[i + 1, j] - 3 * x[i, j] + 3 * x[i - 1, j] - x[i - 2, j]) for j in columns] for i in rows])
    return np.concatenate([merged(r) + merged(u.T), merged(u) + merged(r.T)])


def merged(levels: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Shares of the 169 kinds of runs of four along the rows."""
    bins: dict[tuple[int, ...], int] = {(0, 0, 0, 0): 0}
    for a, b, c, d in itertools.product(range(-2, 3), repeat=4):
        if (a, b, c, d) not in bins:
            number = max(bins.values()) + 1
            alike = [(a, b, c, d), (-a, -b, -c, -d), (d, c, b, a), (-d, -c, -b, -a)]
            bins.update(dict.fromkeys(alike, number))
    counts = np.zeros(BINS)
    for row in levels.tolist():
        for j in range(len(row) - 3):
            counts[bins[tuple(row[j : j + 4])]] += 1
    shares: np.ndarray[tuple[int, ...], np.dtype[np.float64]] = counts / counts.sum()
    return shares


def test_the_feature_equals_the_oracle() -> None:
    if not ORACLE.exists():
        pytest.skip("the oracle file s3_spam14hv.npz does not lie beside this checkout")
    with np.load(ORACLE) as oracle:
        names = [key.removesuffix("__patch") for key in oracle if key.endswith("__patch")]
        assert names
        for name in names:
            feature = s3_spam14hv(oracle[f"{name}__patch"][None])[0]
            np.testing.assert_allclose(feature, oracle[f"{name}__feature"], rtol=5e-7, atol=1e-9, err_msg=name)


@settings(max_examples=40, deadline=None)
@given(PATCHES)
def test_the_feature_is_its_definition(patch: Patch) -> None:
    np.testing.assert_allclose(s3_spam14hv(patch[None])[0], written_out(patch), rtol=5e-7, atol=1e-9)


@settings(max_examples=40, deadline=None)
@given(PATCHES)
def test_each_half_sums_to_two(patch: Patch) -> None:
    feature = s3_spam14hv(patch[None])[0].astype(np.float64)
    np.testing.assert_allclose([feature[:BINS].sum(), feature[BINS:].sum()], 2, rtol=1e-6)


@settings(max_examples=40, deadline=None)
@given(PATCHES)
def test_what_the_symmetries_ignore_changes_nothing(patch: Patch) -> None:
    """The negative, and the mirror image across the other diagonal, which turns R into U and U into R."""
    feature = s3_spam14hv(patch[None])
    for alike in (255 - patch, patch[::-1, ::-1].T):
        np.testing.assert_allclose(s3_spam14hv(alike[None]), feature, rtol=5e-7, atol=1e-9)


@settings(max_examples=40, deadline=None)
@given(PATCHES)
def test_a_flip_keeps_the_tables_of_the_residual_across_it(patch: Patch) -> None:
    """Left to right for U, top to bottom for R. The other residual looks further to one side than to the other,
    so a flip moves it by a pixel against the crop, and the whole feature is only nearly the same."""
    counts, mirrored, upturned = (codes(some) for some in (patch, patch[:, ::-1], patch[::-1]))
    reverse = np.arange(CODES).reshape(5, 5, 5, 5).transpose().ravel()
    np.testing.assert_array_equal(mirrored[1], counts[1])
    np.testing.assert_array_equal(mirrored[2], counts[2][reverse])
    np.testing.assert_array_equal(upturned[0], counts[0])
    np.testing.assert_array_equal(upturned[3], counts[3][reverse])


def codes(patch: Patch) -> npt.NDArray[np.int32]:
    """The four tables of one patch: R along rows, U along columns, U along rows, R along columns."""
    counts = np.empty((4, CODES), np.int32)
    level_of = np.array([level(residual) + 2 for residual in range(-1020, 1021)], np.uint8)
    count_codes(np.ascontiguousarray(patch), level_of, counts)
    return counts


def test_a_quadratic_surface_is_as_good_as_flat() -> None:
    """Third differences of a polynomial of second order are 0."""
    i, j = np.mgrid[:12, :15]
    surface = (i * i + j * j - i * j + 40).astype(np.uint8)
    feature = s3_spam14hv(surface[None])[0]
    assert feature[[0, BINS]].tolist() == [2, 2]
    assert np.count_nonzero(feature) == 2


def test_patches_are_counted_one_by_one() -> None:
    patches = np.random.default_rng(0).integers(0, 40, (5, 20, 31), dtype=np.uint8)
    alone = np.concatenate([s3_spam14hv(patch[None]) for patch in patches])
    np.testing.assert_array_equal(s3_spam14hv(patches), alone)
    np.testing.assert_array_equal(s3_spam14hv(patches[::-1, ::1, ::1]), alone[::-1])
    assert s3_spam14hv(patches[:0]).shape == (0, 338)


@pytest.mark.parametrize(
    ("patches", "says"),
    [
        (np.zeros((1, 16, 16), np.float32), "float32"),
        (np.zeros((1, 16, 16), np.int16), "int16"),
        (np.zeros((16, 16), np.uint8), r"\(16, 16\)"),
        (np.zeros((1, 1, 16, 16), np.uint8), r"\(1, 1, 16, 16\)"),
        ([[0]], "list"),
        (np.zeros((1, 7, 16), np.uint8), "8x8, got 7x16"),
        (np.zeros((1, 16, 7), np.uint8), "8x8, got 16x7"),
    ],
)
def test_anything_else_is_refused_and_named(patches: Patch, says: str) -> None:
    with pytest.raises(PixelError, match=says):
        s3_spam14hv(patches)
