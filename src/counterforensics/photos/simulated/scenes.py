"""Scenes in linear light, finer than the photographs of them.

A scene is a pile of opaque leaves, each lying over the ones before (dead leaves: Lee, Mumford & Huang 2001):
a background and a few large zones, each of one kind (bare, rough, a photograph, foliage, print, a grid), and
leaves of all sizes scattered over them. All numbers here are chosen.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from counterforensics.photos.simulated import surfaces
from counterforensics.photos.simulated.leaves import LEAF, NO_PLATE, Leaves, light_of
from counterforensics.photos.simulated.surfaces import Surface

SUPERSAMPLING = 2  # scene samples for each pixel of the photograph, along each side

Palette = npt.NDArray[np.float32]
Places = npt.NDArray[np.float64]


def scene(height: int, width: int, rng: np.random.Generator) -> Surface:
    """A scene for a photograph of `height` x `width` pixels.

    Returns float32 [2 height, 2 width, 3], linear light of sRGB primaries, about 0..1 with brighter spots.
    Leaves have sizes in pixels, so a smaller photograph shows fewer of them, not smaller ones.
    """
    height, width = SUPERSAMPLING * height, SUPERSAMPLING * width
    leaves = _composed(height, width, rng)
    return light_of(leaves, height, width, surfaces.textures(), surfaces.plates())


def _composed(height: int, width: int, rng: np.random.Generator) -> Leaves:
    """All leaves of a scene, the lowest first."""
    palette = _palette(rng)
    style = rng.dirichlet(list(_ZONES.values()))  # small parameters: scenes differ more than the zones of one
    background = _placed(width / 2, height / 2, width, height, 0.0, rectangle=True)
    piles = [*_zone(background, style, palette, rng)]
    for _ in range(max(3, round(rng.uniform(4, 16) * height * width / 3.1e6))):
        half_width, half_height = 650 * rng.uniform(0.2, 1.0, 2) ** 1.5
        centre = rng.uniform(0, width), rng.uniform(0, height)
        turn = rng.uniform(0, np.pi) if rng.random() < 0.7 else 0.0
        zone = _placed(*centre, half_width, half_height, turn, rectangle=rng.random() < 0.6)
        piles += _zone(zone, style, palette, rng)
    count = round(rng.uniform(0, 1) ** 2 * 400 * height * width / 3.1e6)
    piles.append(_scattered(count, height, width, palette, rng))
    return np.concatenate(piles)


def _placed(x: float, y: float, half_width: float, half_height: float, turn: float, *, rectangle: bool) -> Leaves:
    """One leaf without a look."""
    leaf = np.zeros(1, dtype=LEAF)
    leaf["x"], leaf["y"], leaf["turn"], leaf["rectangle"] = x, y, turn, rectangle
    leaf["half_width"], leaf["half_height"] = half_width, half_height
    return leaf


def _palette(rng: np.random.Generator) -> Palette:
    """Colours of a scene: float32 [6, 3], linear reflectances, most of them dull."""
    grey = np.exp(rng.uniform(np.log(0.04), np.log(0.8), 6))
    strength = rng.uniform(0.05, 0.5)
    # From sky to skin and earth, the most of nature's colour, and from flowers to leaves.
    warmth = rng.normal(rng.normal(0.1, 0.2), strength, 6)
    green = rng.normal(rng.normal(0, 0.1), strength / 2, 6)
    tint = np.exp(np.stack([warmth - green / 2, green, -warmth - green / 2], axis=1))
    return np.asarray(np.clip(grey[:, None] * tint, 0.01, 0.95), dtype=np.float32)


def _coloured(leaves: Leaves, palette: Palette, spread: float, rng: np.random.Generator) -> None:
    """Give each leaf a colour near one of the palette's."""
    colours = palette[rng.integers(0, len(palette), len(leaves))]
    grey = rng.normal(0, spread, (len(leaves), 1)) + rng.normal(0, spread / 4, (len(leaves), 3))
    for c, channel in enumerate(("red", "green", "blue")):
        leaves[channel] = np.clip(colours[:, c] * np.exp(grey[:, c]), 0.005, 1.2)


def _textured(leaves: Leaves, contrast: float, rng: np.random.Generator) -> None:
    """Give each leaf two textures, the coarse of `contrast` (the logarithm of light deviates by it)."""
    n = len(leaves)
    leaves["plate"] = NO_PLATE
    leaves["coarse"], leaves["fine"] = rng.integers(0, surfaces.TEXTURES, (2, n))
    leaves["coarse_step"], leaves["fine_step"] = (
        np.exp(rng.uniform(-3.0, -1.0, n)),
        np.exp(rng.uniform(-2.0, 0.2, n)),
    )
    leaves["coarse_contrast"] = contrast * rng.uniform(0.5, 1.0, n)
    leaves["fine_contrast"] = contrast * rng.uniform(0.0, 0.8, n)
    leaves["grid_turn"] = rng.uniform(0, 2 * np.pi, n)
    leaves["grid_x"], leaves["grid_y"] = rng.uniform(-4000, 4000, (2, n))


def _contrast(rng: np.random.Generator) -> float:
    """Contrast of a texture: from hardly visible (most surfaces) to bark and gravel."""
    return float(np.exp(rng.uniform(np.log(0.01), np.log(0.7))))


# --- kinds of zones: what lies on a large leaf


def _zone(zone: Leaves, style: npt.NDArray[np.float64], palette: Palette, rng: np.random.Generator) -> list[Leaves]:
    """A large leaf and all that lies on it."""
    _coloured(zone, palette, 0.2, rng)
    _textured(zone, _contrast(rng), rng)
    for shade in ("shade_x", "shade_y"):
        zone[shade] = rng.normal(0, 4e-4)
    kind = list(_ZONES)[rng.choice(len(_ZONES), p=style)]
    return [zone, *kind(zone, palette, rng)]


def _bare(zone: Leaves, palette: Palette, rng: np.random.Generator) -> list[Leaves]:
    """Sky, walls, things out of focus: next to no texture."""
    zone["coarse_contrast"] *= 0.4
    zone["fine_contrast"] = 0
    return []


def _rough(zone: Leaves, palette: Palette, rng: np.random.Generator) -> list[Leaves]:
    """Stone, sand, cloth: a texture as it is."""
    return []


def _photographed(zone: Leaves, palette: Palette, rng: np.random.Generator) -> list[Leaves]:
    """A reduced photograph, enlarged, with the zone's textures over it."""
    zone["plate"] = rng.integers(0, surfaces.PLATES)
    zone["plate_step"] = np.exp(rng.uniform(np.log(0.15), np.log(0.6)))
    zone["coarse_contrast"] *= 0.5
    return []


def _foliage(zone: Leaves, palette: Palette, rng: np.random.Generator) -> list[Leaves]:
    """Small leaves of like colour and about one size, all over the zone."""
    size = float(np.exp(rng.uniform(np.log(4), np.log(30))))
    area = 4 * float(zone["half_width"][0] * zone["half_height"][0])
    leaves = _spread_over(zone, min(12_000, round(1.2 * area / size**2)), rng)
    slender = rng.uniform(0.15, 1.0)
    leaves["half_width"] = size * np.exp(rng.normal(0, 0.4, len(leaves)))
    leaves["half_height"] = leaves["half_width"] * slender
    leaves["turn"] = rng.uniform(0, np.pi) + rng.normal(0, rng.uniform(0.2, 2), len(leaves))
    _coloured(leaves, palette[rng.integers(0, len(palette), 2)], rng.uniform(0.1, 0.7), rng)
    _textured(leaves, 0.5 * _contrast(rng), rng)
    return [leaves]


def _print(zone: Leaves, palette: Palette, rng: np.random.Generator) -> list[Leaves]:
    """Dark strokes in lines on something bright: lettering, seen from near or far."""
    size = float(np.exp(rng.uniform(np.log(5), np.log(60))))
    strokes = _grid_of(zone, size, 2.2 * size, rng)
    upright = rng.random(len(strokes)) < 0.5
    thin = rng.uniform(0.08, 0.25) * size
    strokes["half_width"] = np.where(upright, thin, rng.uniform(0.2, 0.5, len(strokes)) * size)
    strokes["half_height"] = np.where(upright, rng.uniform(0.3, 0.8, len(strokes)) * size, thin)
    strokes["rectangle"] = rng.random(len(strokes)) < 0.7
    _coloured(strokes, palette[[palette.sum(1).argmin()]] * np.float32(0.5), 0.1, rng)
    _textured(strokes, 0.05, rng)
    _coloured(zone, palette[[palette.sum(1).argmax()]] ** np.float32(0.5), 0.1, rng)
    zone["coarse_contrast"] *= 0.3
    return [strokes]


def _grid(zone: Leaves, palette: Palette, rng: np.random.Generator) -> list[Leaves]:
    """Windows, tiles, bricks, boards: rectangles of like size, side by side."""
    width, height = np.exp(rng.uniform(np.log(8), np.log(160), 2))
    tiles = _grid_of(zone, width, height, rng)
    fill = rng.uniform(0.3, 0.48, 2)
    tiles["half_width"], tiles["half_height"] = fill[0] * width, fill[1] * height
    tiles["rectangle"] = True
    _coloured(tiles, palette[rng.integers(0, len(palette), 2)], rng.uniform(0.02, 0.4), rng)
    _textured(tiles, _contrast(rng), rng)
    return [tiles]


_Zone = Callable[[Leaves, Palette, np.random.Generator], list[Leaves]]
# How often each kind is met: parameters of a Dirichlet distribution.
_ZONES: Mapping[_Zone, float] = MappingProxyType(
    {_bare: 0.4, _rough: 0.9, _photographed: 0.5, _foliage: 0.6, _print: 0.2, _grid: 0.25}
)


def _grid_of(zone: Leaves, width: float, height: float, rng: np.random.Generator) -> Leaves:
    """Leaves without a look, one in each cell of `width` x `height` of a grid that covers the zone."""
    columns = np.arange(-zone["half_width"][0], zone["half_width"][0], width) + width / 2
    rows = np.arange(-zone["half_height"][0], zone["half_height"][0], height) + height / 2
    across, along = (axis.ravel() for axis in np.meshgrid(columns, rows))
    if not zone["rectangle"][0]:
        inside = np.hypot(across / zone["half_width"], along / zone["half_height"]) < 0.95
        across, along = across[inside], along[inside]
    return _dropped(zone, across, along)


def _spread_over(zone: Leaves, count: int, rng: np.random.Generator) -> Leaves:
    """`count` leaves without a shape or look, uniform over the zone."""
    if zone["rectangle"][0]:
        across, along = rng.uniform(-1, 1, (2, count))
    else:
        radius, angle = np.sqrt(rng.uniform(0, 1, count)), rng.uniform(0, 2 * np.pi, count)
        across, along = radius * np.cos(angle), radius * np.sin(angle)
    return _dropped(zone, across * zone["half_width"], along * zone["half_height"])


def _dropped(zone: Leaves, across: Places, along: Places) -> Leaves:
    """Leaves at places given along the zone's own axes, turned as it is."""
    leaves = np.zeros(len(across), dtype=LEAF)
    cos, sin = np.cos(zone["turn"]), np.sin(zone["turn"])
    leaves["x"], leaves["y"] = zone["x"] + across * cos - along * sin, zone["y"] + across * sin + along * cos
    leaves["turn"] = zone["turn"]
    return leaves


def _scattered(count: int, height: int, width: int, palette: Palette, rng: np.random.Generator) -> Leaves:
    """Leaves of all sizes anywhere: radii of density 1/r^3 from 5 to 200 scene samples (Lee et al. 2001)."""
    everywhere = _placed(width / 2, height / 2, width / 2, height / 2, 0.0, rectangle=True)
    leaves = _spread_over(everywhere, count, rng)
    radius = (5.0**-2 - rng.uniform(0, 1, count) * (5.0**-2 - 200.0**-2)) ** -0.5
    leaves["half_width"], leaves["half_height"] = radius, radius * rng.uniform(0.2, 1, count)
    leaves["turn"] = rng.uniform(0, np.pi, count)
    leaves["rectangle"] = rng.random(count) < 0.4
    _coloured(leaves, palette, 0.3, rng)
    _textured(leaves, _contrast(rng), rng)
    return leaves
