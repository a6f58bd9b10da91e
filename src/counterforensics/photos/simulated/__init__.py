"""Simulated cameras: photographs that need no download, the default source of a study.

Each device has its own sensor, processing and JPEG tables (`devices`); each photo has a scene of its own
(`scenes`), so devices share neither cameras nor compositions. A photo is made when it is read: always the
same bytes for the same device, index, size and seed, under the same versions of the libraries.
"""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from functools import cached_property

import cv2
import numba
import numpy as np
import PIL
from PIL import Image

from counterforensics.errors import StudyError
from counterforensics.photos.jpeg_quality import JpegQuality, nearest_quality
from counterforensics.photos.simulated import surfaces
from counterforensics.photos.simulated.camera import photograph
from counterforensics.photos.simulated.devices import CAMERAS
from counterforensics.photos.simulated.scenes import scene
from counterforensics.pixels import Pixels
from counterforensics.seeds import seed_for

DEVICES: tuple[str, ...] = tuple(CAMERAS)

# Raised when the same settings would give other pixels; kept results of earlier versions are then not reused.
VERSION = 1

SMALLEST_SIDE = 128
LARGEST_SIDE = 4096  # a scene takes 48 bytes per pixel of its photo, and processing as much again
MOST_PHOTOS = 1000  # of one device: what three digits of a name can number
LARGEST_SEED = 2**63 - 1


@dataclass(frozen=True)
class SimulatedPhoto:
    """One photograph of one simulated device; a `counterforensics.photos.base.Photo`.

    index: which of the device's photos, from 0.  width, height: pixels.  seed: of the study; another seed
    gives other scenes and other noise, by the same cameras.  Raises StudyError for an impossible value.
    """

    device: str
    index: int
    width: int
    height: int
    seed: int

    def __post_init__(self) -> None:
        if self.device not in CAMERAS:
            raise StudyError(f"no simulated device {self.device!r}; there are {', '.join(DEVICES)}")
        _check("index", self.index, 0, MOST_PHOTOS - 1)
        _check("width", self.width, SMALLEST_SIDE, LARGEST_SIDE)
        _check("height", self.height, SMALLEST_SIDE, LARGEST_SIDE)
        _check("seed", self.seed, 0, LARGEST_SEED)

    @property
    def name(self) -> str:
        """`device/number.jpg`, such as `simulated-a/003.jpg`."""
        return f"{self.device}/{self.index:03}.jpg"

    @property
    def where(self) -> str:
        """Its name: it lies in no file."""
        return self.name

    @cached_property
    def digest(self) -> str:
        """SHA-256 (hexadecimal) of all that the picture depends on: camera, scene, seed, versions."""
        depends_on = (
            *("simulated photo", VERSION, self, CAMERAS[self.device], surfaces.sources_digest()),
            *(cv2.__version__, numba.__version__, np.__version__, PIL.__version__),
        )
        return hashlib.sha256(repr(depends_on).encode()).hexdigest()

    def jpeg_quality(self) -> JpegQuality:
        """How strongly the camera compresses."""
        return nearest_quality(CAMERAS[self.device].luma_table)

    def encoded(self) -> bytes:
        """The JPEG file that the camera wrote."""
        seeds = {use: seed_for(self.seed, self.device, self.index, use) for use in ("scene", "camera")}
        light = scene(self.height, self.width, np.random.default_rng(seeds["scene"]))
        size = (self.height, self.width)
        return photograph(light, CAMERAS[self.device], size=size, device=self.device, seed=seeds["camera"])

    def read(self) -> Pixels:
        """The photograph, decoded: uint8 [height, width, 3], RGB."""
        with Image.open(io.BytesIO(self.encoded())) as picture:
            return np.asarray(picture.convert("RGB"))


def simulated_photos(
    *, devices: int = 9, photos: int = 12, width: int = 1024, height: int = 768, seed: int = 0
) -> list[SimulatedPhoto]:
    """`photos` photographs by each of the first `devices` simulated devices.

    width, height: pixels, 128..4096.  seed: 0 or more; another seed, other scenes.
    Raises StudyError for values out of these ranges.

    >>> [photo.name for photo in simulated_photos(devices=2, photos=1)]
    ['simulated-a/000.jpg', 'simulated-b/000.jpg']
    """
    _check("devices", devices, 1, len(DEVICES))
    _check("photos", photos, 1, MOST_PHOTOS)
    named = DEVICES[:devices]
    return [SimulatedPhoto(device, index, width, height, seed) for device in named for index in range(photos)]


def _check(name: str, value: int, low: int, high: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise StudyError(f"simulated photos: {name} must be a whole number from {low} to {high}, got {value!r}")
