"""How well a heat map finds the manipulated region of a photograph.

A splice is a photograph in which one region was manipulated and the rest is as the camera stored it. Its mask is known,
so each pixel of a heat map is right or wrong.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from counterforensics.detectors.base import Network
from counterforensics.errors import PhotoError, PixelError, shown
from counterforensics.manipulations import Manipulation
from counterforensics.manipulations.base import check_photo
from counterforensics.photos.patches import SIZE
from counterforensics.pixels import Pixels, luma_of_photo
from counterforensics.positions import sliding
from counterforensics.sliding.attacking import manipulated_in
from counterforensics.sliding.concealing import Region
from counterforensics.sliding.findings import threshold_of
from counterforensics.sliding.scan import Subject, flat_at

_DRAWS = 200  # of places, before a photograph counts as one without texture
_TEXTURE_STRIDE = 32  # pixels between the patches of a region that must not be flat


@dataclass(frozen=True)
class Splice:
    """A photograph, uint8 [h, w, 3], that was manipulated in `region` and nowhere else."""

    photo: Pixels
    region: Region

    @property
    def mask(self) -> npt.NDArray[np.bool_]:
        """Which pixels were manipulated, bool [h, w]."""
        return self.region.mask(*self.photo.shape[:2])


@dataclass(frozen=True)
class Localised:
    """How well a heat map finds the manipulated pixels of one photograph; every figure is 0..1, the higher the better.

    auc: the chance that a manipulated pixel is hotter than a pristine one, ties count half.  f1, iou: of the pixels
    above the detector's own threshold, 2 TP / (2 TP + FP + FN) and TP / (TP + FP + FN).  f1_best: the F1 at the
    threshold that is best for this very photograph, which only someone who knows the mask can choose.
    """

    auc: float
    f1: float
    f1_best: float
    iou: float


def splice(photo: Pixels, manipulation: Manipulation, *, smallest: int, largest: int, seed: int) -> Splice:
    """Manipulate a textured region of a photograph, uint8 [h, w, 3]; arguments and errors as for `draw_region`.

    Raises AttackError where the manipulation makes the region smaller.
    """
    region = draw_region(photo, smallest=smallest, largest=largest, seed=seed)
    return Splice(manipulated_in(photo, manipulation, region), region)


def draw_region(photo: Pixels, *, smallest: int, largest: int, seed: int) -> Region:
    """A region with texture, its size and its place drawn by `seed`.

    photo: uint8 [h, w, 3].  smallest, largest: pixels; width and height are drawn apart, each from this range.  The
    place is any that lies wholly inside, on no grid.  A region is drawn again if a patch in it is flat
    (`photos.patches.flat`): neither a detector nor a person could see a manipulation there.
    Raises PhotoError for a region that does not fit, and for a photograph in which no region with texture is found.
    """
    height, width = check_photo(photo).shape[:2]
    _check_sides(smallest, largest, height, width)
    random, plane = np.random.default_rng(seed), luma_of_photo(photo)
    for _ in range(_DRAWS):
        columns, rows = (int(side) for side in random.integers(smallest, largest + 1, 2))
        x, y = int(random.integers(0, width - columns + 1)), int(random.integers(0, height - rows + 1))
        part = plane[None, y : y + rows, x : x + columns]
        if not flat_at(part, sliding(rows, columns, stride=_TEXTURE_STRIDE, side=min(SIZE, rows, columns))).any():
            return Region(x, y, columns, rows)
    raise PhotoError(f"no region of {smallest} to {largest} pixels a side with texture in {_DRAWS} draws")


def _check_sides(smallest: int, largest: int, height: int, width: int) -> None:
    for side in (smallest, largest):
        if isinstance(side, bool) or not isinstance(side, int) or side < 4:
            raise PhotoError(f"the side of a region must be a whole number of pixels from 4 on, got {shown(side)}")
    if smallest > largest:
        raise PhotoError(f"the smallest side of a region, {smallest}, is larger than the largest, {largest}")
    if largest > min(height, width) or largest == height == width:
        raise PhotoError(
            f"a region of {largest}x{largest} pixels does not leave pristine pixels in a photograph of {width}x{height}"
        )


def localise(
    subject: Subject, network: Network, mask: npt.NDArray[np.bool_], *, stride: int | None = None
) -> Localised:
    """How well a detector's heat map finds the manipulated pixels.

    subject: the spliced photograph.  mask: bool [h, w], True where it was manipulated.  stride: as `scan` has it.
    The threshold is the one by which `detect` flags a patch.  Errors as for `scan` and `measure_heat`.
    """
    return measure_heat(subject.scan(network, stride=stride).heat_map(threshold_of(network)), mask)


def measure_heat(heat: npt.NDArray[np.float32], mask: npt.NDArray[np.bool_]) -> Localised:
    """Compare a heat map, float [h, w], with the mask, bool [h, w], of the manipulated pixels.

    heat: above 0 means manipulated; NaN, where nothing was judged, counts as cooler than every judged pixel.
    Raises PixelError for arrays of different shapes, and for a mask without manipulated or without pristine pixels.

    >>> mask = np.array([[True, True, False, False]])
    >>> measure_heat(np.float32([[3, 1, 1, -2]]), mask)
    Localised(auc=0.875, f1=0.8, f1_best=0.8, iou=0.6666666666666666)
    """
    from sklearn.metrics import auc, roc_curve

    if heat.shape != mask.shape or heat.ndim != 2:
        raise PixelError(f"heat and mask must have one shape [h, w], got {heat.shape} and {mask.shape}")
    if mask.all() or not mask.any():
        counts = f"{int(mask.sum())} of {mask.size} are manipulated"
        raise PixelError(f"the mask must hold manipulated and pristine pixels, {counts}")
    false, true, _ = roc_curve(mask.ravel(), _judged(heat).ravel(), drop_intermediate=False)
    inside = int(mask.sum())
    hits, alarms = np.rint(true * inside), np.rint(false * (mask.size - inside))
    called = heat > 0
    hit, either = int((called & mask).sum()), int((called | mask).sum())
    return Localised(
        auc=float(auc(false, true)),
        f1=2 * hit / (either + hit),
        f1_best=float((2 * hits / (hits + alarms + inside)).max()),
        iou=hit / either,
    )


def _judged(heat: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """The map with a value just below its lowest in place of NaN."""
    unknown = np.isnan(heat)
    if unknown.all():
        return np.zeros_like(heat)
    return np.where(unknown, np.nextafter(heat[~unknown].min(), -np.inf), heat) if unknown.any() else heat
