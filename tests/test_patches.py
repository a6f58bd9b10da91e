"""Patches: where they lie, what is cut, and that reading a few gives what holding all would."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from counterforensics.errors import PhotoError, PixelError
from counterforensics.photos.patches import Pairs, Patches, PatchFile, choose_cells, cut, grid_corners
from counterforensics.pixels import luma_of_photo
from tests.conftest import picture

sides = st.integers(128, 3000)
# Patches need not be large to be counted: stacks of 2x2 patches, each patch different from all others.
counts = st.lists(st.integers(1, 6), min_size=1, max_size=5)


def stacks_of(counts: list[int]) -> tuple[np.ndarray, ...]:
    numbers = np.arange(sum(counts) * 4, dtype=np.uint8).reshape(-1, 1, 2, 2)
    return tuple(np.split(numbers, np.cumsum(counts)[:-1]))


# --- the grid


@given(height=sides, width=sides)
def test_the_grid_spans_the_photo_and_stays_inside(height: int, width: int) -> None:
    corners = grid_corners(height, width)
    assert corners.shape == ((12, 16, 2) if width >= height else (16, 12, 2))
    assert corners[0, 0].tolist() == [0, 0]
    assert corners[-1, -1].tolist() == [height - 128, width - 128]
    assert (np.diff(corners[..., 0], axis=0) >= 0).all()
    assert (np.diff(corners[..., 1], axis=1) >= 0).all()


@given(height=sides, width=sides)
def test_steps_of_the_grid_differ_by_at_most_one_pixel(height: int, width: int) -> None:
    corners = grid_corners(height, width)
    for steps in (np.diff(corners[:, 0, 0]), np.diff(corners[0, :, 1])):
        assert np.ptp(steps) <= 1


@given(height=sides, width=sides)
def test_a_photo_turned_on_its_side_has_the_same_grid_on_its_side(height: int, width: int) -> None:
    if height != width:
        turned = grid_corners(width, height).transpose(1, 0, 2)[..., ::-1]
        np.testing.assert_array_equal(turned, grid_corners(height, width))


@pytest.mark.parametrize(("height", "width"), [(127, 500), (500, 127), (1, 1)])
def test_a_photo_smaller_than_a_patch_is_refused_with_both_sizes(height: int, width: int) -> None:
    with pytest.raises(PhotoError, match=f"a photograph of {width}x{height} is smaller than a 128x128 patch"):
        grid_corners(height, width)


@given(height=sides, width=sides, few=st.integers(1, 192), many=st.integers(1, 192), seed=st.integers(0, 2**32 - 1))
def test_chosen_cells_are_sorted_and_no_two_are_the_same_patch(
    height: int, width: int, few: int, many: int, seed: int
) -> None:
    few, many = sorted((few, many))
    cells = choose_cells(height, width, per_photo=many, seed=seed)
    corners = grid_corners(height, width).reshape(-1, 2)
    distinct = len(np.unique(corners, axis=0))
    assert len(cells) == min(many, distinct)
    assert (np.diff(cells) > 0).all()
    assert len(np.unique(corners[cells], axis=0)) == len(cells)
    assert set(choose_cells(height, width, per_photo=few, seed=seed)) <= set(cells)


def test_the_seed_chooses_the_cells() -> None:
    first, again, other = (choose_cells(768, 1024, per_photo=20, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert first.tolist() != other.tolist()


# --- cutting


@settings(max_examples=20, deadline=None)
@given(height=st.integers(32, 90), width=st.integers(32, 90), seed=st.integers(0, 1000))
def test_a_patch_is_the_photo_at_its_corner(height: int, width: int, seed: int) -> None:
    photo = picture(seed, width, height)
    cells = choose_cells(height, width, per_photo=9, seed=seed, size=32)
    corners = grid_corners(height, width, size=32).reshape(-1, 2)[cells]
    patches = cut(photo, cells, channels="rgb", size=32)
    assert patches.shape == (len(cells), 3, 32, 32)
    for patch, (top, left) in zip(patches, corners, strict=True):
        np.testing.assert_array_equal(patch, photo[top : top + 32, left : left + 32].transpose(2, 0, 1))


def test_luma_patches_are_the_luma_of_rgb_patches() -> None:
    photo = picture(0, 300, 200)
    cells = choose_cells(200, 300, per_photo=10, seed=0)
    luma, rgb = cut(photo, cells), cut(photo, cells, channels="rgb")
    assert luma.shape == (10, 1, 128, 128)
    np.testing.assert_array_equal(luma[:, 0], luma_of_photo(rgb.transpose(0, 2, 3, 1)))


def test_the_grid_moves_with_a_photo_that_grew() -> None:
    cells = np.array([0, 191])
    grown = cut(picture(0, 600, 450), cells)
    assert cut(picture(0, 400, 300), cells).shape == grown.shape
    np.testing.assert_array_equal(grown[1, 0], luma_of_photo(picture(0, 600, 450))[-128:, -128:])


# --- files of patches


@settings(max_examples=25, deadline=None)
@given(count=st.integers(1, 8), indices=st.data())
def test_patches_read_from_a_file_are_the_stored_ones(
    tmp_path_factory: pytest.TempPathFactory, count: int, indices: st.DataObject
) -> None:
    patches = np.random.default_rng(count).integers(0, 256, (count, 3, 5, 4), dtype=np.uint8)
    path = tmp_path_factory.mktemp("patches") / "patches.npy"
    np.save(path, patches)
    some = np.array(indices.draw(st.lists(st.integers(0, count - 1), max_size=12)), dtype=np.int64)
    file = PatchFile.open(path)
    assert file.shape == (count, 3, 5, 4)
    np.testing.assert_array_equal(file[some], patches[some])


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((2, 1, 4, 4), dtype=np.float32),
        np.zeros((2, 4, 4), dtype=np.uint8),
        np.asfortranarray(np.zeros((2, 3, 4, 4), dtype=np.uint8)),
    ],
    ids=["not uint8", "not four axes", "not in C order"],
)
def test_a_file_of_anything_else_is_refused(tmp_path: Path, array: np.ndarray) -> None:
    np.save(tmp_path / "patches.npy", array)
    with pytest.raises(PixelError, match=r"must hold uint8 \[n, c, h, w\], holds"):
        PatchFile.open(tmp_path / "patches.npy")


@pytest.mark.parametrize("shape", [b"((2, 1, 4, 4)", b"(2, 1, 4, a),"], ids=["open bracket", "letter"])
def test_a_file_whose_header_is_damaged_is_refused(tmp_path: Path, shape: bytes) -> None:
    path = tmp_path / "patches.npy"
    np.save(path, np.zeros((2, 1, 4, 4), dtype=np.uint8))
    path.write_bytes(path.read_bytes().replace(b"(2, 1, 4, 4),", shape))
    with pytest.raises(PixelError, match=r"must hold uint8 \[n, c, h, w\], holds no array"):
        PatchFile.open(path)


def test_a_file_cut_short_is_noticed_when_the_lost_patch_is_read(tmp_path: Path) -> None:
    path = tmp_path / "patches.npy"
    np.save(path, np.ones((3, 1, 8, 8), dtype=np.uint8))
    file = PatchFile.open(path)
    path.write_bytes(path.read_bytes()[:-1])
    assert file[np.array([0, 1])].all()
    with pytest.raises(PixelError, match="is shorter than its header says"):
        file[np.array([2])]


# --- patches of several photographs


@given(counts=counts, indices=st.data())
def test_patches_of_several_photos_read_like_one_array(counts: list[int], indices: st.DataObject) -> None:
    patches, whole = Patches(stacks_of(counts)), np.concatenate(stacks_of(counts))
    assert len(patches) == len(whole)
    np.testing.assert_array_equal(patches.photo, np.repeat(np.arange(len(counts)), counts))
    some = np.array(indices.draw(st.lists(st.integers(0, len(whole) - 1), max_size=20)), dtype=np.int64)
    np.testing.assert_array_equal(patches[some], whole[some])


@given(counts=counts, size=st.integers(1, 40))
def test_batches_hold_every_patch_once_and_in_order(counts: list[int], size: int) -> None:
    patches, whole = Patches(stacks_of(counts)), np.concatenate(stacks_of(counts))
    batches = list(patches.batches(size))
    assert [len(batch) for batch in batches[:-1]] == [size] * (len(batches) - 1)
    np.testing.assert_array_equal(np.concatenate(batches), whole)


def test_some_photos_bring_their_own_patches() -> None:
    stacks = stacks_of([2, 3, 1])
    some = Patches(stacks).of_photos([2, 0])
    np.testing.assert_array_equal(np.concatenate(list(some.batches(9))), np.concatenate([stacks[2], stacks[0]]))


def test_no_photos_have_no_patches() -> None:
    assert len(Patches(())) == 0
    assert list(Patches(()).batches(4)) == []


# --- pairs


@given(counts=counts, held_out=st.sets(st.integers(0, 4)))
def test_training_and_validation_share_no_photo_and_lose_none(counts: list[int], held_out: set[int]) -> None:
    held_out &= set(range(len(counts)))
    stacks = stacks_of(counts)
    pairs = Pairs(Patches(stacks), Patches(tuple(255 - stack for stack in stacks)), frozenset(held_out))
    parts = pairs.training(), pairs.validation()
    assert [len(part) for part in parts] == [
        sum(count for photo, count in enumerate(counts) if photo not in held_out),
        sum(count for photo, count in enumerate(counts) if photo in held_out),
    ]
    for part in parts:
        every = np.arange(len(part))
        if len(part):
            np.testing.assert_array_equal(part.pristine[every], 255 - part.manipulated[every])


def test_pairs_of_different_numbers_are_refused() -> None:
    with pytest.raises(PixelError, match="as many pristine as manipulated patches, got 3 pristine and 2 manipulated"):
        Pairs(Patches(stacks_of([3])), Patches(stacks_of([2])))
