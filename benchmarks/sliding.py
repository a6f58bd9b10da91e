"""A whole photograph at every 16th position: patches that share their computation, against patch by patch."""

from __future__ import annotations

from torch import Tensor

from benchmarks.side_by_side import Agreement, Goal, Result, Timed, ratio, threads
from counterforensics.detectors import load_detector
from counterforensics.detectors.base import PATCHES_AT_ONCE, score
from counterforensics.photos.patches import SIZE
from counterforensics.photos.simulated import simulated_photos
from counterforensics.pixels import luma_of_photo
from counterforensics.positions import Positions, sliding

DETECTORS = ("spam-svm/median:7", "cozzolino2017/median:7")
STRIDE = 16
WIDTH, HEIGHT = 1024, 768
FEW = 2  # rows of positions that are judged patch by patch: all of them take minutes


def against_patch_by_patch(_: Tensor) -> Result:
    """Time of the patches of a photograph one by one over their time when overlapping ones share it; both detectors."""
    (photo,) = simulated_photos(devices=1, photos=1, width=WIDTH, height=HEIGHT)
    plane = luma_of_photo(photo.read())[None]
    positions = sliding(HEIGHT, WIDTH, stride=STRIDE, side=SIZE)
    few = Positions(positions.tops[:FEW], positions.lefts, SIZE)
    count, of_few = len(positions.tops) * len(positions.lefts), FEW * len(positions.lefts)
    networks = [load_detector(name) for name in DETECTORS]

    def alone() -> list[object]:
        return [score(network, few.batches(plane, PATCHES_AT_ONCE)) for network in networks]

    def together() -> list[object]:
        return [network.scan(plane, positions) for network in networks]

    with threads(1):
        measured, times = ratio(Timed(alone, units=of_few), Timed(together, units=count), pairs=5)
        agreements = [
            Agreement(
                f"logits of {name}",
                float(abs(network.scan(plane, few).flatten() - score(network, few.batches(plane, FEW))).max()),
                1e-4,
            )
            for name, network in zip(DETECTORS, networks, strict=True)
        ]
    comparison = f"a photograph of {WIDTH}x{HEIGHT} at stride {STRIDE}, {' and '.join(DETECTORS)}; one thread"
    return Result("Sliding patches", comparison, measured, "times faster", Goal(at_least=20), tuple(agreements), times)
