"""What a training step sees: pairs at random, cropped and turned."""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from counterforensics.photos.patches import Indices, Pairs
from counterforensics.pixels import Pixels

Drawn = TypeVar("Drawn")

# Batches that are drawn ahead of their use.
_AHEAD = 4


@dataclass(frozen=True)
class Batch:
    """The patches of n pairs, in random order.

    In order, the patches that batch normalisation mixes would be pairs, and patches of one photograph. A network would
    learn to compare them, which it cannot do when it judges.
    """

    patches: Tensor  # uint8 [2n, c, h, w]
    signs: Tensor  # float32 [2n, 1]: -1 pristine, 1 manipulated
    weights: Tensor  # float32 [2n, outputs], 0..1: of each output's loss; those of a patch sum to 1

    def __len__(self) -> int:
        return len(self.patches)

    def parts(self, size: int) -> Iterator[Batch]:
        """The batch in parts of at most `size` patches."""
        tensors = self.patches, self.signs, self.weights
        yield from (Batch(*part) for part in zip(*(torch.split(tensor, size) for tensor in tensors), strict=True))

    def to(self, device: torch.device) -> Batch:
        """The batch on `device`."""
        return Batch(*(tensor.to(device, non_blocking=True) for tensor in (self.patches, self.signs, self.weights)))


def some_of(pairs: Pairs, count: int, generator: np.random.Generator) -> Indices:
    """Positions of `count` pairs at random, some perhaps twice, in order: int64 [count]."""
    return np.sort(generator.integers(0, len(pairs), size=count))


def augmentation_in_words(*, augment: bool, crop: int) -> str:
    """What `draw_pairs` does to patches, for a record.

    >>> augmentation_in_words(augment=True, crop=64)
    'flips and 90-degree turns, random 64x64 squares'
    """
    turns = ["flips and 90-degree turns"] if augment else []
    squares = [f"random {crop}x{crop} squares"] if crop else []
    return ", ".join(turns + squares) or "no augmentation"


def draw_pairs(pairs: Pairs, indices: Indices, generator: np.random.Generator, *, augment: bool, crop: int) -> Pixels:
    """The pairs at `indices`, pristine first: uint8 [n, 2, c, h, w], both patches of a pair treated alike.

    augment: show each pair in one of the eight ways in which a square can lie; no trace minds.
    crop: show a random square of this side, in pixels; 0 shows whole patches.
    """
    both = np.stack([pairs.pristine[indices], pairs.manipulated[indices]], axis=1)
    if crop:
        both = _cropped(both, crop, generator)
    if augment:
        ways = generator.integers(0, 8, len(both))
        both = np.stack([_turn(pair, way) for pair, way in zip(both, ways, strict=True)])
    return both


def draw(pairs: Pairs, count: int, generator: np.random.Generator, *, augment: bool, crop: int) -> Batch:
    """A batch of `count` pairs at random, some perhaps twice; `augment` and `crop` as `draw_pairs` has them."""
    indices = some_of(pairs, count, generator)
    both = draw_pairs(pairs, indices, generator, augment=augment, crop=crop)
    outputs = pairs.outputs
    weights = np.full((count, 2, outputs), 1 / outputs, dtype=np.float32)  # on a pristine patch no output may fire
    weights[:, 1] = np.eye(outputs, dtype=np.float32)[pairs.output[indices]]
    order = generator.permutation(2 * count)
    return Batch(
        torch.from_numpy(both.reshape(2 * count, *both.shape[2:])[order]),
        torch.tensor([-1.0, 1.0]).repeat(count)[order, None],
        torch.from_numpy(weights.reshape(2 * count, outputs)[order]),
    )


def central(patches: Pixels, side: int) -> Pixels:
    """The square of this side in the middle of each patch, for validation; 0 shows whole patches.

    patches: uint8 [n, c, h, w].  Returns uint8 [n, c, side, side], or less where a patch is smaller.
    """
    if not side:
        return patches
    side = min(side, *patches.shape[-2:])
    top, left = ((whole - side) // 2 for whole in patches.shape[-2:])
    return np.ascontiguousarray(patches[..., top : top + side, left : left + side])


def _cropped(both: Pixels, side: int, generator: np.random.Generator) -> Pixels:
    height, width = both.shape[-2:]
    side = min(side, height, width)
    corners = zip(
        generator.integers(0, height - side + 1, len(both)),
        generator.integers(0, width - side + 1, len(both)),
        strict=True,
    )
    return np.stack(
        [pair[..., top : top + side, left : left + side] for pair, (top, left) in zip(both, corners, strict=True)]
    )


def _turn(pair: Pixels, way: int) -> Pixels:
    """The pair in one of the eight ways in which a square can lie."""
    turned = np.rot90(pair, way % 4, axes=(-2, -1))
    return turned[..., ::-1] if way >= 4 else turned


def prefetched(batches: Iterable[Drawn]) -> Generator[Drawn, None, None]:
    """`batches`, drawn by a thread ahead of their use; an error of the thread is raised where its batch is awaited."""
    ready: queue.Queue[Drawn | BaseException | None] = queue.Queue(_AHEAD)
    stop = threading.Event()

    def put(item: Drawn | BaseException | None) -> bool:
        while not stop.is_set():
            try:
                ready.put(item, timeout=0.1)
                return True
            except queue.Full:
                continue
        return False

    def run() -> None:
        try:
            for batch in batches:
                if not put(batch):
                    return
            put(None)
        except BaseException as error:
            put(error)

    thread = threading.Thread(target=run, name="batches", daemon=True)
    thread.start()
    try:
        while (item := ready.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        stop.set()
        thread.join()
