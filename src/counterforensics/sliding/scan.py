"""A detector at every sliding position of a photograph."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from counterforensics.detectors.base import Network
from counterforensics.manipulations.base import check_photo
from counterforensics.photos.patches import MOST_NOISE_OF_FLAT, SIZE
from counterforensics.pixels import Pixels, luma_of_photo
from counterforensics.positions import Indices, Positions, sliding

# Pixels between two positions: of a detector that computes once what overlapping patches share, and of any other.
STRIDE_SHARED, STRIDE_BY_PATCH = 16, 64
_ROWS_AT_ONCE = 16  # of positions, while flat patches are looked for
_FINEST = 8  # pixels between positions that a heat map takes; finer ones cost time and change nothing


@dataclass(frozen=True)
class Scan:
    """What a detector says of the patches of one photograph.

    logits: float32 [r, c], one for each of `positions`; above 0 means manipulated.  flat: bool [r, c], the patches that
    hold no noise to judge by.  height, width: of the photograph.
    """

    positions: Positions
    logits: npt.NDArray[np.float32]
    flat: npt.NDArray[np.bool_]
    height: int
    width: int

    @property
    def patches(self) -> int:
        """How many patches are judged: all that are not flat."""
        return int((~self.flat).sum())

    def above(self, threshold: float) -> npt.NDArray[np.bool_]:
        """Which positions are flagged, bool [r, c]: their logit lies above `threshold`, and they are not flat."""
        return (self.logits.astype(np.float64) > threshold) & ~self.flat

    def flagged(self, threshold: float) -> float:
        """The share (0..1) of the patches whose logit lies above `threshold`; NaN if every patch is flat."""
        return float(self.above(threshold).sum()) / self.patches if self.patches else float("nan")

    def flag_map(self, threshold: float) -> npt.NDArray[np.float32]:
        """Of the patches over a pixel the share (0..1) that is flagged: float32 [h, w], NaN where all are flat."""
        return self._mean(self.above(threshold).astype(np.float64))

    def heat_map(self, threshold: float = 0.0) -> npt.NDArray[np.float32]:
        """How far above `threshold` the detector sees each pixel, float32 [h, w].

        A pixel gets the upper quartile of the logits of the patches that cover it (the smallest logit that at least
        three quarters of them do not exceed), less the threshold; NaN where all of them are flat. Patches that reach
        over the edge of a manipulated region lie between both classes. The mean and the median therefore miss a rim of
        the region, and the maximum adds a rim around it. Of the rules that were tried, the upper quartile finds regions
        best at a fixed threshold, and ranks pixels better than the mean (docs/localisation.md). Of positions less than
        8 pixels apart, the map takes every second, third and so on.
        """
        rows, columns = _thinned(self.positions.tops), _thinned(self.positions.lefts)
        logits = np.where(self.flat, np.nan, self.logits.astype(np.float64) - threshold)[np.ix_(rows, columns)]
        # Beyond the last position stands NaN, for cells that fewer patches cover than others.
        padded = np.pad(logits, (0, 1), constant_values=np.nan)
        above, heights = _covering(self.positions.tops[rows], self.positions.side, self.height)
        beside, widths = _covering(self.positions.lefts[columns], self.positions.side, self.width)
        cells = np.stack([_upper_quartile(padded[over][:, beside]) for over in above])
        return np.repeat(np.repeat(cells.astype(np.float32), heights, axis=0), widths, axis=1)

    def _mean(self, values: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
        """For each pixel the mean of the values of the judged patches that cover it; NaN without any."""
        judged = ~self.flat
        total, covered = self._spread(np.where(judged, values, 0.0)), self._spread(judged.astype(np.float64))
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(covered > 0.5, total / covered, np.nan).astype(np.float32)

    def _spread(self, values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """For each pixel the sum of the values of all patches that cover it."""
        at, side = np.zeros((self.height + 1, self.width + 1)), self.positions.side
        tops, lefts = self.positions.tops, self.positions.lefts
        # The four corners of a patch: two sums over rows and columns turn them into an area.
        for down, right, sign in ((0, 0, 1), (side, side, 1), (side, 0, -1), (0, side, -1)):
            np.add.at(at, np.ix_(tops + down, lefts + right), sign * values)
        return np.asarray(at.cumsum(0).cumsum(1)[:-1, :-1])


def _thinned(starts: Indices) -> Indices:
    """Along one axis, the places of positions that are at least `_FINEST` pixels apart, and of the last: int64."""
    step = -(-_FINEST // int(starts[1] - starts[0])) if len(starts) > 1 else 1
    return np.unique([*range(0, len(starts), step), len(starts) - 1]).astype(np.int64)


def _covering(starts: Indices, side: int, length: int) -> tuple[Indices, Indices]:
    """Along one axis, the cells that the same patches cover.

    Returns for each cell the places of these patches in `starts`, int64 [cells, most], filled up with the place after
    the last one; and its length in pixels, int64 [cells].
    """
    edges = np.unique([0, *starts, *(starts + side), length])
    first = np.searchsorted(starts, edges[:-1] - side, side="right")
    end = np.searchsorted(starts, edges[:-1], side="right")
    places = first[:, None] + np.arange((end - first).max())
    return np.where(places < end[:, None], places, len(starts)), np.diff(edges)


def _upper_quartile(logits: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Of each cell in a row of cells, [k, cells, l] logits, the upper quartile of those that are not NaN: [cells]."""
    values = np.sort(logits.transpose(1, 0, 2).reshape(logits.shape[1], -1))  # NaN comes last
    known = (~np.isnan(values)).sum(1)
    rank = np.maximum(-(-3 * known // 4) - 1, 0)
    return np.asarray(values[np.arange(len(values)), rank])


class Subject:
    """A photograph that several detectors judge: what all of them need is computed once.

    photo: uint8 [h, w, 3], RGB.
    """

    def __init__(self, photo: Pixels) -> None:
        self.photo = check_photo(photo)
        self._flat: dict[tuple[bool, int], npt.NDArray[np.bool_]] = {}

    @cached_property
    def luma(self) -> Pixels:
        """uint8 [1, h, w]."""
        return luma_of_photo(self.photo)[None]

    @cached_property
    def rgb(self) -> Pixels:
        """uint8 [3, h, w]."""
        return np.ascontiguousarray(self.photo.transpose(2, 0, 1))

    def planes_for(self, detector: Network) -> Pixels:
        """The photograph as the detector takes it: luma, or RGB for one that reads RGB alone."""
        return self.planes(rgb=detector.reads_rgb)

    def planes(self, *, rgb: bool) -> Pixels:
        """The photograph as red, green and blue, or as luma: uint8 [3 or 1, h, w]."""
        return self.rgb if rgb else self.luma

    def scan(self, detector: Network, *, stride: int | None = None) -> Scan:
        """As the function `scan`."""
        stride = default_stride(detector) if stride is None else stride
        height, width = self.photo.shape[:2]
        positions, planes = sliding(height, width, stride=stride, side=SIZE), self.planes_for(detector)
        key = (detector.reads_rgb, stride)
        if key not in self._flat:
            self._flat[key] = flat_at(planes, positions)
        return Scan(positions, detector.scan(planes, positions), self._flat[key], height, width)


def default_stride(detector: Network) -> int:
    """16 pixels for detectors whose overlapping patches share their computation, 64 for the others."""
    return STRIDE_SHARED if detector.shares_overlap else STRIDE_BY_PATCH


def scan(photo: Pixels, detector: Network, *, stride: int | None = None) -> Scan:
    """Judge a photograph, uint8 [h, w, 3], at positions every `stride` pixels, by default as `default_stride` has it.

    Raises PhotoError for a photograph that is smaller than a patch, PixelError or WeightsError.
    """
    return Subject(photo).scan(detector, stride=stride)


def flat_at(planes: Pixels, positions: Positions) -> npt.NDArray[np.bool_]:
    """Which patches of a photograph, uint8 [c, h, w], are flat, bool [r, c]: as `photos.patches.flat` has it."""
    found = []
    for band in positions.bands(-(-len(positions.tops) // _ROWS_AT_ONCE)):
        first = band.tops[0]
        rows = planes[:, first : band.tops[-1] + band.side]
        found.append(_flat_in(rows, Positions(band.tops - first, band.lefts, band.side)))
    return np.concatenate(found)


def _flat_in(planes: Pixels, positions: Positions) -> npt.NDArray[np.bool_]:
    side, tops, lefts = positions.side, positions.tops, positions.lefts
    shares = []
    for axis, (height, width) in ((0, (side - 3, side)), (1, (side, side - 3))):
        noise = np.diff(planes.astype(np.int16), 3, axis=1 + axis) != 0
        counts = np.sum([_counts(marks) for marks in noise], axis=0)
        lower, upper = (
            counts[np.ix_(row, lefts + width)] - counts[np.ix_(row, lefts)] for row in (tops + height, tops)
        )
        shares.append((lower - upper) / (len(planes) * height * width))
    return np.asarray(np.mean(shares, axis=0) <= MOST_NOISE_OF_FLAT)


def _counts(marks: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """How many marks lie above and to the left of each corner: int64 [h + 1, w + 1]."""
    counts = np.zeros((marks.shape[0] + 1, marks.shape[1] + 1), np.int64)
    counts[1:, 1:] = marks.cumsum(0).cumsum(1)
    return counts
