"""What a training step sees: pairs drawn by the step's own seed, shown the way they lie or turned."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from counterforensics.photos.patches import Indices, Pairs
from counterforensics.pixels import Pixels

Drawn = TypeVar("Drawn")

# Batches that wait ready while the network is busy.
_AHEAD = 4


@dataclass(frozen=True)
class Batch:
    """Pairs taken apart, their patches in random order.

    Side by side, batch normalisation would show a network the other of a pair and patches of the same photograph: it
    would learn to compare, which it cannot when it judges.
    """

    patches: Tensor  # uint8 [2n, c, h, w]
    signs: Tensor  # float32 [2n, 1]: -1 pristine, 1 manipulated
    weights: Tensor  # float32 [2n, outputs]: what each output's margin weighs, 1 in all for every patch

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


def draw_pairs(pairs: Pairs, indices: Indices, generator: np.random.Generator, *, turned: bool, crop: int) -> Pixels:
    """The pairs at `indices`, pristine first: uint8 [n, 2, c, h, w]; see `Schedule` for `turned` and `crop`."""
    both = np.stack([pairs.pristine[indices], pairs.manipulated[indices]], axis=1)
    if crop:
        both = _cropped(both, crop, generator)
    if turned:
        ways = generator.integers(0, 8, len(both))
        both = np.stack([_turn(pair, way) for pair, way in zip(both, ways, strict=True)])
    return both


def draw(pairs: Pairs, count: int, generator: np.random.Generator, *, turned: bool, crop: int) -> Batch:
    """`count` pairs at random, taken apart; see `Schedule` for `turned` and `crop`."""
    indices = some_of(pairs, count, generator)
    both = draw_pairs(pairs, indices, generator, turned=turned, crop=crop)
    outputs = pairs.outputs
    weights = np.full((count, 2, outputs), 1 / outputs, dtype=np.float32)  # pristine: no output may fire
    weights[:, 1] = np.eye(outputs, dtype=np.float32)[pairs.output[indices]]
    order = generator.permutation(2 * count)
    return Batch(
        torch.from_numpy(both.reshape(2 * count, *both.shape[2:])[order]),
        torch.tensor([-1.0, 1.0]).repeat(count)[order, None],
        torch.from_numpy(weights.reshape(2 * count, outputs)[order]),
    )


def central(patches: Pixels, side: int) -> Pixels:
    """The squares of this side in the middle of `patches`, to validate on what `crop` shows; 0 shows all."""
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
    """One of the eight ways in which a square can lie."""
    turned = np.rot90(pair, way % 4, axes=(-2, -1))
    return turned[..., ::-1] if way >= 4 else turned


def prefetched(batches: Iterable[Drawn]) -> Iterator[Drawn]:
    """`batches`, drawn by a thread ahead of their use; an error in it is raised here."""
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
