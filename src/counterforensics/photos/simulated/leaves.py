"""Opaque leaves painted over one another, and the light that comes from them (compiled, without the GIL)."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from counterforensics.compiled import compiled
from counterforensics.photos.simulated.surfaces import Surface

NO_PLATE = -1

LEAF = np.dtype(
    [
        # Shape, in scene samples: a rectangle or an ellipse, its half axes and its turn.
        ("rectangle", np.bool_),
        *((name, np.float32) for name in ("x", "y", "half_width", "half_height", "turn")),
        # Colour in linear light, and how it brightens along x and y, as a part of it per sample.
        *((name, np.float32) for name in ("red", "green", "blue", "shade_x", "shade_y")),
        # A plate instead of the colour, and two textures over it: which, its contrast, and its grid, which is
        # turned and takes `step` texture samples per scene sample.
        *((name, np.int32) for name in ("plate", "coarse", "fine")),
        *((name, np.float32) for name in ("plate_step", "coarse_step", "fine_step", "coarse_contrast")),
        *((name, np.float32) for name in ("fine_contrast", "grid_turn", "grid_x", "grid_y")),
    ]
)
Leaves = np.ndarray[Any, Any]


def light_of(leaves: Leaves, height: int, width: int, textures: Surface, plates: Surface) -> Surface:
    """The light from leaves that were dropped in order, the last on top.

    leaves: [n] of dtype LEAF; the first one shows wherever no other lies.
    Returns float32 [height, width, 3], linear.
    """
    label = np.zeros((height, width), dtype=np.int32)
    _paint(leaves, label)
    light = np.empty((height, width, 3), dtype=np.float32)
    _light(leaves, label, textures, plates, light)
    return light


@compiled(nogil=True)
def _paint(leaves: Any, label: Any) -> None:
    """Number of the topmost leaf, row by row: each row of an ellipse or rectangle is one interval."""
    height, width = label.shape
    for n in range(len(leaves)):
        leaf = leaves[n]
        a, b = max(leaf.half_width, np.float32(0.5)), max(leaf.half_height, np.float32(0.5))
        cos, sin = np.cos(leaf.turn), np.sin(leaf.turn)
        reach = abs(a * sin) + abs(b * cos) if leaf.rectangle else np.hypot(a * sin, b * cos)
        for i in range(max(0, int(np.ceil(leaf.y - reach))), min(height, int(leaf.y + reach) + 1)):
            y = i - leaf.y
            if leaf.rectangle:
                left, right = _between(cos, y * sin, a, -np.inf, np.inf)
                left, right = _between(-sin, y * cos, b, left, right)
            else:
                # |x cos + y sin|^2 / a^2 + |y cos - x sin|^2 / b^2 = 1, a quadratic p x^2 + 2 q x + r = 0
                p = (cos / a) ** 2 + (sin / b) ** 2
                q = y * cos * sin * (1 / a**2 - 1 / b**2)
                r = (y * sin / a) ** 2 + (y * cos / b) ** 2 - 1
                root = np.sqrt(max(q * q - p * r, 0.0))
                left, right = (-q - root) / p, (-q + root) / p
            first = int(np.ceil(min(max(leaf.x + left, 0.0), float(width))))
            last = int(np.floor(min(max(leaf.x + right, -1.0), width - 1.0)))
            for j in range(first, last + 1):
                label[i, j] = n


@numba.njit(nogil=True, inline="always")
def _between(slope: Any, offset: Any, half: Any, left: Any, right: Any) -> Any:
    """The interval of x where |slope x + offset| <= half, cut to left..right."""
    if abs(slope) < 1e-6:
        return (left, right) if abs(offset) <= half else (1.0, 0.0)
    one, other = (-half - offset) / slope, (half - offset) / slope
    return max(left, min(one, other)), min(right, max(one, other))


@compiled(nogil=True)
def _light(leaves: Any, label: Any, textures: Any, plates: Any, light: Any) -> None:
    height, width = label.shape
    cos, sin = np.cos(leaves["grid_turn"]), np.sin(leaves["grid_turn"])
    for i in range(height):
        for j in range(width):
            n = label[i, j]
            leaf = leaves[n]
            x, y = j - leaf.grid_x, i - leaf.grid_y
            u, v = cos[n] * x + sin[n] * y, cos[n] * y - sin[n] * x
            shade = 1 + leaf.shade_x * (j - leaf.x) + leaf.shade_y * (i - leaf.y)
            shade = min(max(shade, np.float32(0.25)), np.float32(2.0))
            log = np.float32(0)
            if leaf.coarse_contrast > 0:
                step = leaf.coarse_step
                log += leaf.coarse_contrast * _sample(textures[leaf.coarse], u * step, v * step)
            if leaf.fine_contrast > 0:
                step = leaf.fine_step
                log += leaf.fine_contrast * _sample(textures[leaf.fine], u * step, v * step)
            if log != 0:
                shade *= np.exp(min(log, np.float32(1.5)))
            if leaf.plate >= 0:
                plate, step = plates[leaf.plate], leaf.plate_step
                for c in range(3):
                    light[i, j, c] = shade * _sample(plate[:, :, c], u * step, v * step)
            else:
                light[i, j, 0] = shade * leaf.red
                light[i, j, 1] = shade * leaf.green
                light[i, j, 2] = shade * leaf.blue


@numba.njit(nogil=True, inline="always")
def _sample(surface: Any, x: Any, y: Any) -> Any:
    """Bilinear sample of a surface that is mirrored at its borders."""
    side = surface.shape[0]
    i, j = int(np.floor(y)), int(np.floor(x))
    dy, dx = np.float32(y - i), np.float32(x - j)
    i0, i1, j0, j1 = _mirror(i, side), _mirror(i + 1, side), _mirror(j, side), _mirror(j + 1, side)
    upper = surface[i0, j0] + dx * (surface[i0, j1] - surface[i0, j0])
    lower = surface[i1, j0] + dx * (surface[i1, j1] - surface[i1, j0])
    return upper + dy * (lower - upper)


@numba.njit(nogil=True, inline="always")
def _mirror(i: int, side: int) -> int:
    i = i & (2 * side - 1)  # sides are powers of two
    return i if i < side else 2 * side - 1 - i
