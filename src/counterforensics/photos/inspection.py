"""What a photograph turns out to be when it is decoded: whether it can be used, its size, and its content."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from counterforensics.photos.base import Photo
from counterforensics.photos.folder import FolderPhoto
from counterforensics.photos.jpeg_quality import JpegQuality
from counterforensics.photos.simulated import SimulatedPhoto


@dataclass(frozen=True)
class Inspection:
    """What a photograph turned out to be."""

    width: int
    height: int
    content: str  # digest of the pixels, whatever the file around them
    remarks: tuple[str, ...] = ()  # what is unusual about the file
    quality: JpegQuality | None = None  # None for no JPEG file


def inspect(photo: Photo) -> Inspection:
    """Decode `photo` once.  Raises PhotoError if it cannot be used."""
    if isinstance(photo, SimulatedPhoto):
        return Inspection(photo.width, photo.height, photo.digest, quality=photo.jpeg_quality())
    pixels, remarks, quality = photo.examine() if isinstance(photo, FolderPhoto) else (photo.read(), (), None)
    height, width = pixels.shape[:2]
    content = hashlib.sha256(f"{width}x{height}".encode())
    content.update(np.ascontiguousarray(pixels).data)
    return Inspection(width, height, content.hexdigest(), remarks, quality)
