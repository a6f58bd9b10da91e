"""128x128 patches: where they lie in a photograph, how they are cut, and how many are read without holding all.

The paper takes 192 partially overlapping patches from each photograph (Section IV); a grid of 16 x 12 that
spans the photograph is inferred.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tokenize import TokenError
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

from counterforensics.errors import PhotoError, PixelError, shown
from counterforensics.pixels import Pixels, luma_of_photo

SIZE = 128
GRID = (16, 12)  # cells along the longer side and along the shorter
Channels = Literal["luma", "rgb"]
Indices = npt.NDArray[np.int64]


def grid_corners(height: int, width: int, *, size: int = SIZE) -> Indices:
    """Top-left corners of the grid over a photograph, as int64 [rows, columns, 2] of (top, left).

    Corners are spread evenly from edge to edge. Raises PhotoError if the photograph is smaller than a patch.

    >>> grid_corners(768, 1024).shape, grid_corners(1024, 768).shape
    ((12, 16, 2), (16, 12, 2))
    >>> grid_corners(768, 1024)[-1, -1].tolist()
    [640, 896]
    """
    if min(height, width) < size:
        raise PhotoError(f"a photograph of {width}x{height} is smaller than a {size}x{size} patch")
    columns, rows = GRID if width >= height else GRID[::-1]
    tops = np.rint(np.linspace(0, height - size, rows)).astype(np.int64)
    lefts = np.rint(np.linspace(0, width - size, columns)).astype(np.int64)
    return np.stack(np.meshgrid(tops, lefts, indexing="ij"), axis=-1)


def choose_cells(height: int, width: int, *, per_photo: int, seed: int, size: int = SIZE) -> Indices:
    """Which cells of the grid are used, as sorted flat indices int64 [at most per_photo], at random by `seed`.

    Cells whose patches would be the same (a photograph hardly larger than a patch) count once.

    >>> choose_cells(768, 1024, per_photo=192, seed=0).size
    192
    >>> choose_cells(128, 128, per_photo=192, seed=0)
    array([0])
    """
    corners = grid_corners(height, width, size=size).reshape(-1, 2)
    _, distinct = np.unique(corners, axis=0, return_index=True)
    chosen = np.random.default_rng(seed).permutation(distinct)[:per_photo]
    return np.sort(chosen).astype(np.int64)


def cut(photo: Pixels, cells: Indices, *, channels: Channels = "luma", size: int = SIZE) -> Pixels:
    """The patches at `cells` of the photograph's own grid.

    photo: uint8 [h, w, 3].  Returns uint8 [n, 1 or 3, size, size]: BT.601 luma or RGB.
    A manipulation that changes the photograph's size moves the grid with it.
    """
    return cut_at(photo, grid_corners(*photo.shape[:2], size=size).reshape(-1, 2)[cells], channels=channels, size=size)


def cut_at(photo: Pixels, corners: Indices, *, channels: Channels = "luma", size: int = SIZE) -> Pixels:
    """The patches whose top-left corners are `corners`, int64 [n, 2] of (top, left); else as `cut`."""
    if channels == "luma":
        plane = luma_of_photo(photo)
        return np.stack([plane[None, top : top + size, left : left + size] for top, left in corners])
    return np.stack([photo[top : top + size, left : left + size].transpose(2, 0, 1) for top, left in corners])


# Of a patch's third-order differences, which the SPAM features count; one pixel that differs makes eight.
MOST_NOISE_OF_FLAT = 0.001


def flat(patches: Pixels) -> npt.NDArray[np.bool_]:
    """Which patches hold no noise to judge by, such as overexposed sky: bool [n].

    patches: uint8 [n, c, h, w], sides of at least 4.  A patch is flat if of its third-order differences, along rows and
    columns and over all channels, at most `MOST_NOISE_OF_FLAT` (0..1) are not 0. A detector has learned nothing about
    such a patch, and its logit is that of a constant.

    >>> flat(np.full((1, 1, 128, 128), 255, dtype=np.uint8)).tolist()
    [True]
    """
    levels = patches.astype(np.int16)
    shares = [(np.diff(levels, 3, axis=axis) != 0).mean((1, 2, 3)) for axis in (2, 3)]
    return np.asarray(np.mean(shares, axis=0) <= MOST_NOISE_OF_FLAT)


class Stack(Protocol):
    """The patches of one photograph: a uint8 array [n, c, h, w], or something that reads like one."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    def __getitem__(self, indices: Indices, /) -> Pixels: ...


@dataclass(frozen=True)
class PatchFile:
    """Patches in a .npy file, read one by one: nothing stays open or in memory between two reads."""

    path: Path
    shape: tuple[int, ...]
    offset: int

    @classmethod
    def open(cls, path: Path) -> PatchFile:
        """The patches in `path`, uint8 [n, c, h, w] in C order.  Raises PixelError for another array."""
        try:
            array = np.load(path, mmap_mode="r", allow_pickle=False)
        except (ValueError, EOFError, TokenError) as error:
            raise PixelError(f"{path} must hold uint8 [n, c, h, w], holds no array ({shown(str(error))})") from error
        if array.dtype != np.uint8 or array.ndim != 4 or not array.flags.c_contiguous:
            raise PixelError(f"{path} must hold uint8 [n, c, h, w], holds {array.dtype} {array.shape}")
        return cls(path, array.shape, array.offset)

    def __getitem__(self, indices: Indices) -> Pixels:
        size = int(np.prod(self.shape[1:]))
        with self.path.open("rb", buffering=0) as file:
            patches = np.empty((len(indices), size), dtype=np.uint8)
            for row, index in zip(patches, indices, strict=True):
                file.seek(self.offset + int(index) * size)
                if file.readinto(row.data) != size:
                    raise PixelError(f"{self.path} is shorter than its header says")
        return patches.reshape(len(indices), *self.shape[1:])


@dataclass(frozen=True)
class Patches:
    """Patches of several photographs, in order, read as they are asked for."""

    stacks: tuple[Stack, ...]

    @cached_property
    def photo(self) -> Indices:
        """int64 [n]: for each patch, the position of its photograph in `stacks`."""
        return np.repeat(np.arange(len(self.stacks)), [stack.shape[0] for stack in self.stacks])

    @cached_property
    def _starts(self) -> Indices:
        return np.cumsum([0, *(stack.shape[0] for stack in self.stacks)], dtype=np.int64)

    def __len__(self) -> int:
        return int(self._starts[-1])

    def __getitem__(self, indices: Indices) -> Pixels:
        """Patches at `indices` (int64 [k], any order), uint8 [k, c, h, w]."""
        photos = self.photo[indices]
        patches = np.empty((len(indices), *self.stacks[0].shape[1:]), dtype=np.uint8)
        for photo in np.unique(photos):
            here = np.flatnonzero(photos == photo)
            patches[here] = self.stacks[photo][np.asarray(indices)[here] - self._starts[photo]]
        return patches

    def batches(self, size: int, indices: Indices | None = None) -> Iterator[Pixels]:
        """The patches at `indices`, by default all, in order and at most `size` at a time."""
        indices = np.arange(len(self)) if indices is None else indices
        for start in range(0, len(indices), size):
            yield self[indices[start : start + size]]

    def of_photos(self, photos: Sequence[int]) -> Patches:
        """The patches of some of the photographs."""
        return Patches(tuple(self.stacks[photo] for photo in photos))


@dataclass(frozen=True)
class Pairs:
    """Pristine patches and the same cells of the manipulated photographs: patch i of both has one origin."""

    pristine: Patches
    manipulated: Patches
    held_out: frozenset[int] = frozenset()  # photographs kept for validation, by position
    manipulation: tuple[int, ...] = ()  # of each photograph, where pairs of several manipulations stand together

    def __post_init__(self) -> None:
        if len(self.pristine) != len(self.manipulated):
            counts = f"{len(self.pristine)} pristine and {len(self.manipulated)} manipulated"
            raise PixelError(f"pairs need as many pristine as manipulated patches, got {counts}")

    def __len__(self) -> int:
        return len(self.pristine)

    @classmethod
    def together(cls, several: Sequence[Pairs]) -> Pairs:
        """The pairs of several manipulations, in order, as the pairs of one."""
        pristine = [stack for pairs in several for stack in pairs.pristine.stacks]
        manipulated = [stack for pairs in several for stack in pairs.manipulated.stacks]
        counts = [len(pairs.pristine.stacks) for pairs in several]
        # A photograph's new position is its own, after all photographs of the manipulations before.
        first = [sum(counts[:number]) for number in range(len(several))]
        held_out = {first[number] + photo for number, pairs in enumerate(several) for photo in pairs.held_out}
        manipulation = [number for number, count in enumerate(counts) for _ in range(count)]
        return cls(Patches(tuple(pristine)), Patches(tuple(manipulated)), frozenset(held_out), tuple(manipulation))

    @property
    def outputs(self) -> int:
        """How many manipulations there are."""
        return max(self.manipulation, default=0) + 1

    @cached_property
    def output(self) -> Indices:
        """int64 [n]: which manipulation each pair shows."""
        return np.asarray(self.manipulation or [0] * len(self.pristine.stacks), dtype=np.int64)[self.pristine.photo]

    def training(self) -> Pairs:
        """The pairs to learn from."""
        return self._of([photo for photo in range(len(self.pristine.stacks)) if photo not in self.held_out])

    def validation(self) -> Pairs:
        """The pairs held out to choose by; empty if none is."""
        return self._of(sorted(self.held_out))

    def _of(self, photos: list[int]) -> Pairs:
        which = tuple(self.manipulation[photo] for photo in photos) if self.manipulation else ()
        return Pairs(self.pristine.of_photos(photos), self.manipulated.of_photos(photos), manipulation=which)
