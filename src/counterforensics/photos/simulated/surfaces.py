"""What a leaf of a scene can show: textures (procedural and natural) and plates (reduced photographs).

The photographs and natural textures are those in the wheels of scikit-image and scikit-learn, read from the
installed packages; nothing is downloaded. They are reduced to a fraction of their size before use, so that no
trace of how they were stored reaches a simulated sensor. Those of scikit-image used here are in the public domain or
CC0; scikit-learn's are CC BY 2.0, china.jpg by danielbuechele and flower.jpg by vultilion.
"""

from __future__ import annotations

import functools
import hashlib
import threading
from importlib.resources import files

import cv2
import numpy as np
import numpy.typing as npt

from counterforensics.errors import PhotoError

Surface = npt.NDArray[np.float32]

TEXTURE_SIDE = 512
PLATE_SIDE = 256

# (package, file): photographs in colour, shown on leaves as plates.
_PHOTOGRAPHS = (
    ("sklearn", "datasets/images/china.jpg"),
    ("sklearn", "datasets/images/flower.jpg"),
    ("skimage", "data/astronaut.png"),
    ("skimage", "data/chelsea.png"),
    ("skimage", "data/coffee.png"),
    ("skimage", "data/hubble_deep_field.jpg"),
    ("skimage", "data/retina.jpg"),
    ("skimage", "data/rocket.jpg"),
)
# Natural surfaces, whose brightness becomes a texture.
_NATURAL = (("skimage", "data/brick.png"), ("skimage", "data/grass.png"), ("skimage", "data/gravel.png"))

# Amplitude spectra 1/f^slope; those of natural images lie near 1 (Field 1987).
_CLOUD_SLOPES = (0.7, 0.9, 1.1, 1.3, 1.6, 2.0)
_RELIEF_SLOPES = (1.3, 1.6, 2.0)

TEXTURES = len(_CLOUD_SLOPES) + len(_RELIEF_SLOPES) + len(_NATURAL)
PLATES = 2 * len(_PHOTOGRAPHS)

_lock = threading.Lock()


def textures() -> Surface:
    """All textures, made once a process: float32 [TEXTURES, 512, 512], mean 0, standard deviation 1.

    A leaf's brightness is multiplied by exp(contrast * texture). Read them mirrored at their borders.
    """
    with _lock:
        return _textures()


def plates() -> Surface:
    """All plates, made once a process: float32 [PLATES, 256, 256, 3], linear light, mean 0.35 per plate.

    Two squares from each photograph, reduced by area to 256 pixels a side. Read them mirrored, like textures.
    """
    with _lock:
        return _plates()


@functools.cache
def sources_digest() -> str:
    """SHA-256 (hexadecimal) of the packaged files that surfaces are made from."""
    digest = hashlib.sha256()
    for package, name in (*_PHOTOGRAPHS, *_NATURAL):
        digest.update(hashlib.sha256(_stored(package, name)).digest())
    return digest.hexdigest()


@functools.cache
def _textures() -> Surface:
    rng = np.random.default_rng(0)
    clouds = [_cloud(slope, rng) for slope in _CLOUD_SLOPES]
    reliefs = [_relief(slope, rng) for slope in _RELIEF_SLOPES]
    natural = [_natural(package, name) for package, name in _NATURAL]
    return np.stack([*clouds, *reliefs, *natural])


@functools.cache
def _plates() -> Surface:
    squares = []
    for package, name in _PHOTOGRAPHS:
        light = _linear(_decoded(package, name))
        side = min(light.shape[:2])
        for square in (light[:side, :side], light[-side:, -side:]):
            reduced = cv2.resize(square, (PLATE_SIDE, PLATE_SIDE), interpolation=cv2.INTER_AREA)
            squares.append(reduced * (0.35 / reduced.mean()))
    return np.stack(squares)


def _cloud(slope: float, rng: np.random.Generator) -> Surface:
    """A Gaussian random field with amplitude spectrum 1/f^slope: [512, 512]."""
    frequency = np.hypot(np.fft.fftfreq(TEXTURE_SIDE)[:, None], np.fft.rfftfreq(TEXTURE_SIDE)[None])
    frequency[0, 0] = np.inf  # no mean
    spectrum = np.fft.rfft2(rng.standard_normal((TEXTURE_SIDE, TEXTURE_SIDE))) / frequency**slope
    return _standardised(np.fft.irfft2(spectrum, (TEXTURE_SIDE, TEXTURE_SIDE)))


def _relief(slope: float, rng: np.random.Generator) -> Surface:
    """A rough surface lit from one side: the slope of a random field, darker in its hollows [chosen]."""
    height = _cloud(slope, rng)
    lit = _standardised(height - np.roll(height, (1, 1), (0, 1)))
    return _standardised(np.tanh(lit) + 0.4 * height)


def _natural(package: str, name: str) -> Surface:
    """The logarithm of a stored surface's brightness, reduced to half its size and mirrored: [512, 512]."""
    light = _linear(_decoded(package, name)).mean(2)
    half = cv2.resize(light, (TEXTURE_SIDE // 2, TEXTURE_SIDE // 2), interpolation=cv2.INTER_AREA)
    return _standardised(np.log(np.pad(half, (0, TEXTURE_SIDE // 2), mode="symmetric") + 0.02))


def _standardised(field: npt.NDArray[np.floating]) -> Surface:
    return np.asarray((field - field.mean()) / field.std(), dtype=np.float32)


def _linear(stored: npt.NDArray[np.uint8]) -> Surface:
    """Stored sRGB as linear light, by the exponent 2.2: float32 in 0..1."""
    return ((stored.astype(np.float32) / 255) ** 2.2).astype(np.float32)


def _decoded(package: str, name: str) -> npt.NDArray[np.uint8]:
    """The packaged picture as uint8 [h, w, 3], RGB."""
    stream = np.frombuffer(_stored(package, name), dtype=np.uint8)
    return np.asarray(cv2.cvtColor(cv2.imdecode(stream, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB), dtype=np.uint8)


def _stored(package: str, name: str) -> bytes:
    try:
        return files(package).joinpath(*name.split("/")).read_bytes()
    except (OSError, ModuleNotFoundError) as error:
        reason = f"the picture {name} of the package {package}, which simulated photographs need, is not installed"
        raise PhotoError(f"{reason}; reinstall scikit-image and scikit-learn from their wheels") from error
