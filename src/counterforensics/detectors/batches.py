"""What a training step sees: pairs drawn by the step's own seed, shown the way they lie or turned."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from counterforensics.photos.patches import Pairs
from counterforensics.pixels import Pixels

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


def draw(pairs: Pairs, count: int, generator: np.random.Generator, *, turned: bool, crop: int) -> Batch:
    """`count` pairs at random; see `Schedule` for `turned` and `crop`."""
    indices = np.sort(generator.integers(0, len(pairs), size=count))
    both = np.stack([pairs.pristine[indices], pairs.manipulated[indices]], axis=1)  # [n, 2, c, h, w]
    if crop:
        both = _cropped(both, crop, generator)
    if turned:
        both = np.stack([_turn(pair, way) for pair, way in zip(both, generator.integers(0, 8, count), strict=True)])
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


def prefetched(batches: Iterable[Batch]) -> Iterator[Batch]:
    """`batches`, drawn by a thread ahead of their use; an error in it is raised here."""
    ready: queue.Queue[Batch | BaseException | None] = queue.Queue(_AHEAD)
    stop = threading.Event()

    def put(item: Batch | BaseException | None) -> bool:
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
