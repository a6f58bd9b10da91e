"""Colour filter arrays, and ways to fill in the two colours that each pixel lacks.

Every method here keeps what was measured, and fills in linear ramps of grey without error.
raw: float32 [h, w], light 0..1, white-balanced.  cfa: one of PHASES.  Each returns float32 [h, w, 3], RGB.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from counterforensics.compiled import compiled

Field = npt.NDArray[np.float32]

PHASES = ("RGGB", "BGGR", "GRBG", "GBRG")

# OpenCV names a pattern by its second row and column: its BG is RGGB.
_OPENCV_EDGE_AWARE = {
    "RGGB": cv2.COLOR_BayerBG2RGB_EA,
    "BGGR": cv2.COLOR_BayerRG2RGB_EA,
    "GRBG": cv2.COLOR_BayerGB2RGB_EA,
    "GBRG": cv2.COLOR_BayerGR2RGB_EA,
}

# Malvar, He & Cutler 2004, Fig. 2, times 16: what gives green; red or blue at a green pixel that has it in
# its row; red at blue and blue at red.
_GREEN = ((0, 0, -2, 0, 0), (0, 0, 4, 0, 0), (-2, 4, 8, 4, -2), (0, 0, 4, 0, 0), (0, 0, -2, 0, 0))
_IN_ROW = ((0, 0, 1, 0, 0), (0, -2, 0, -2, 0), (-2, 8, 10, 8, -2), (0, -2, 0, -2, 0), (0, 0, 1, 0, 0))
_OPPOSITE = ((0, 0, -3, 0, 0), (0, 4, 0, 4, 0), (-3, 0, 12, 0, -3), (0, 4, 0, 4, 0), (0, 0, -3, 0, 0))

# Bilinear interpolation of samples on every second pixel: of both directions, and of a quincunx; times 4.
_OF_FOUR = ((1, 2, 1), (2, 4, 2), (1, 2, 1))
_OF_TWO = ((0, 1, 0), (1, 4, 1), (0, 1, 0))

_Kernel = Sequence[Sequence[int]]


def mosaic(rgb: Field, cfa: str) -> Field:
    """What a sensor with the filter array `cfa` sees.  rgb: float32 [h, w, 3].  Returns float32 [h, w]."""
    raw = np.empty(rgb.shape[:2], dtype=np.float32)
    for n, colour in enumerate(cfa):
        i, j = divmod(n, 2)
        raw[i::2, j::2] = rgb[i::2, j::2, "RGB".index(colour)]
    return raw


def balance(raw: Field, cfa: str, red: float, blue: float) -> Field:
    """White balance: red and blue pixels divided by their sensitivities.  raw: float32 [h, w]."""
    balanced = raw.copy()
    for n, colour in enumerate(cfa):
        i, j = divmod(n, 2)
        balanced[i::2, j::2] /= np.float32({"R": red, "G": 1.0, "B": blue}[colour])
    return balanced


def bilinear(raw: Field, cfa: str) -> Field:
    """The mean of the nearest two or four pixels of the colour."""
    planes = [
        _filtered(raw * _sites(raw.shape, cfa, colour), _OF_TWO if colour == "G" else _OF_FOUR, 4) for colour in "RGB"
    ]
    return np.dstack(planes)


def malvar(raw: Field, cfa: str) -> Field:
    """Linear with second-order corrections from the other colours (Malvar, He & Cutler 2004)."""
    kernels = (_GREEN, _IN_ROW, tuple(zip(*_IN_ROW, strict=True)), _OPPOSITE)
    green, in_row, in_column, opposite = (_filtered(raw, kernel, 16) for kernel in kernels)
    rgb = np.empty((*raw.shape, 3), dtype=np.float32)
    for n, colour in enumerate(cfa):
        i, j = divmod(n, 2)
        here = slice(i, None, 2), slice(j, None, 2)
        for c, wanted in enumerate("RGB"):
            if wanted == colour:
                source = raw
            elif wanted == "G":
                source = green
            elif colour != "G":
                source = opposite
            else:
                source = in_row if cfa[2 * i + (1 - j)] == wanted else in_column
            rgb[(*here, c)] = source[here]
    return rgb


def median(raw: Field, cfa: str) -> Field:
    """Bilinear, then medians of colour differences over 3 x 3 pixels, measured values kept (Freeman 1988)."""
    red, green, blue = cv2.split(bilinear(raw, cfa))
    red_less_green, blue_less_green = cv2.medianBlur(red - green, 3), cv2.medianBlur(blue - green, 3)
    green = np.where(_sites(raw.shape, cfa, "R") > 0, raw - red_less_green, green)
    green = np.where(_sites(raw.shape, cfa, "B") > 0, raw - blue_less_green, green)
    return np.dstack([green + red_less_green, green, green + blue_less_green])


def edge_aware(raw: Field, cfa: str) -> Field:
    """OpenCV's edge-aware method, in 16 bits."""
    padded = cv2.copyMakeBorder(raw, 4, 4, 4, 4, cv2.BORDER_REFLECT_101)  # keeps the phase
    stored = np.rint(padded * 65535).astype(np.uint16)
    rgb = cv2.cvtColor(stored, _OPENCV_EDGE_AWARE[cfa])[4:-4, 4:-4]
    return np.asarray(rgb / np.float32(65535), dtype=np.float32)


def directional(raw: Field, cfa: str) -> Field:
    """Green along the smoother of row and column, corrected by the bend of the colour at hand; then red and
    blue by their differences from green, bilinear (Hamilton & Adams 1997)."""
    padded = cv2.copyMakeBorder(raw, 2, 2, 2, 2, cv2.BORDER_REFLECT_101)
    is_green = _sites(raw.shape, cfa, "G")
    green = np.empty_like(raw)
    _green_along_edges(padded, is_green, green)
    planes = [green, green, green]
    for c, colour in ((0, "R"), (2, "B")):
        difference = (raw - green) * _sites(raw.shape, cfa, colour)
        planes[c] = green + _filtered(difference, _OF_FOUR, 4)
    return np.dstack(planes)


METHODS: Mapping[str, Callable[[Field, str], Field]] = MappingProxyType(
    {
        "bilinear": bilinear,
        "malvar": malvar,
        "median": median,
        "edge-aware": edge_aware,
        "directional": directional,
    }
)


def _filtered(raw: Field, kernel: _Kernel, divisor: int) -> Field:
    """Correlation with kernel / divisor, mirrored at the borders so that the phase holds."""
    weights = np.array(kernel, dtype=np.float32) / np.float32(divisor)
    return np.asarray(cv2.filter2D(raw, -1, weights, borderType=cv2.BORDER_REFLECT_101), dtype=np.float32)


def _sites(shape: tuple[int, ...], cfa: str, colour: str) -> Field:
    """1 where the filter array has `colour`, 0 elsewhere: float32 of `shape`."""
    sites = np.zeros(shape, dtype=np.float32)
    for n, own in enumerate(cfa):
        i, j = divmod(n, 2)
        sites[i::2, j::2] = own == colour
    return sites


@compiled(nogil=True)
def _green_along_edges(padded: Any, is_green: Any, green: Any) -> None:
    height, width = green.shape
    for y in range(height):
        for x in range(width):
            i, j = y + 2, x + 2
            here = padded[i, j]
            if is_green[y, x] > 0:
                green[y, x] = here
                continue
            left, right, up, down = padded[i, j - 1], padded[i, j + 1], padded[i - 1, j], padded[i + 1, j]
            bend_x = 2 * here - padded[i, j - 2] - padded[i, j + 2]
            bend_y = 2 * here - padded[i - 2, j] - padded[i + 2, j]
            cost_x, cost_y = abs(left - right) + abs(bend_x), abs(up - down) + abs(bend_y)
            along_x, along_y = (left + right) / 2 + bend_x / 4, (up + down) / 2 + bend_y / 4
            if cost_x < cost_y:
                green[y, x] = along_x
            elif cost_y < cost_x:
                green[y, x] = along_y
            else:
                green[y, x] = (along_x + along_y) / 2
