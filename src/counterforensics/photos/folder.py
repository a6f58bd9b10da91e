"""Photographs in folders: `DIR/<device>/<photo>`."""

from __future__ import annotations

import hashlib
import io
import os
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from counterforensics.errors import PhotoError
from counterforensics.files import read_regular
from counterforensics.photos.jpeg_quality import JpegQuality, quality_of
from counterforensics.pixels import Pixels

MAX_BYTES = 2**30  # of a file: more than the pixels that `decode` takes fill uncompressed
# What a file of each suffix must hold. A suffix that lies says that something re-encoded the file.
FORMATS = {".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG", ".tif": "TIFF", ".tiff": "TIFF"}


@dataclass(frozen=True)
class FolderPhoto:
    """A photograph in a file, known by the digest of its bytes."""

    device: str
    path: Path
    digest: str  # SHA-256 of the file, hexadecimal

    @property
    def name(self) -> str:
        """`device/file`."""
        return f"{self.device}/{self.path.name}"

    @property
    def where(self) -> str:
        """Its path."""
        return str(self.path)

    def read(self) -> Pixels:
        """The photograph, uint8 [h, w, 3].  Raises PhotoError if it cannot be used or is no longer the same file."""
        return decode(self._content(), self.path)

    def jpeg_quality(self) -> JpegQuality | None:
        """How strongly the file is compressed, None if it is no JPEG file.  Errors as for `read`."""
        try:
            return quality_of(self._content())
        except (OSError, SyntaxError, Image.DecompressionBombError) as error:
            raise PhotoError(f"{self.path}: not a picture whose headers can be read ({error})") from error

    def _content(self) -> bytes:
        content = _content(self.path)
        if hashlib.sha256(content).hexdigest() != self.digest:
            raise PhotoError(f"{self.path} changed while it was in use; run again to start from the new file")
        return content


@dataclass(frozen=True)
class Found:
    """What a search of photo folders gave."""

    photos: tuple[FolderPhoto, ...]
    left_out: tuple[str, ...]  # one line a file: its path and the reason


def find_photos(folders: Sequence[Path]) -> Found:
    """All photographs of `DIR/<device>/<photo>.{jpg,jpeg,png,tif,tiff}`, sorted by device and file name.

    A device that stands in several folders is one device. Files that cannot be opened are left out with
    their reason; hidden files and other suffixes are passed over. Raises PhotoError if a folder is
    missing, is given twice or holds no photograph in a device folder.
    """
    _check_distinct(folders)
    photos: list[FolderPhoto] = []
    left_out: list[str] = []
    for folder in folders:
        paths = list(_photo_paths(folder))
        if not paths:
            raise PhotoError(_why_empty(folder))
        for path in paths:
            try:
                digest = hashlib.sha256(_content(path)).hexdigest()
            except PhotoError as error:
                left_out.append(str(error))
            else:
                photos.append(FolderPhoto(path.parent.name, path, digest))
    photos.sort(key=lambda photo: (photo.device, photo.path.name, photo.digest))
    return Found(tuple(photos), tuple(left_out))


def _check_distinct(folders: Sequence[Path]) -> None:
    """Raise PhotoError if two of `folders` are one, by whatever path: each photograph would count twice."""
    seen: dict[str, Path] = {}
    for folder in folders:
        place = os.path.realpath(folder)
        if place in seen:
            also = "" if seen[place] == folder else f", also as {seen[place]}"
            raise PhotoError(f"the photo folder {folder} is given twice{also}; give each folder once")
        seen[place] = folder


def _photo_paths(folder: Path) -> Iterator[Path]:
    try:
        if not folder.is_dir():
            raise PhotoError(f"no photo folder at {folder}; give a folder that holds <device>/<photo>.jpg")
        for device in sorted(folder.iterdir()):
            if device.is_dir() and not device.name.startswith("."):
                yield from (path for path in sorted(device.iterdir()) if _is_photo(path))
    except OSError as error:
        raise PhotoError(f"cannot list {error.filename or folder}: {error.strerror}") from error


def _is_photo(path: Path) -> bool:
    return path.suffix.lower() in FORMATS and not path.name.startswith(".") and not path.is_dir()


def _why_empty(folder: Path) -> str:
    loose = any(_is_photo(path) for path in folder.iterdir())
    what = "photographs but no device folders" if loose else "no photographs"
    return f"{folder} holds {what}; photographs stand in {folder}/<device>/<photo>.{{jpg,jpeg,png,tif,tiff}}"


def _content(path: Path) -> bytes:
    content = read_regular(path, MAX_BYTES, PhotoError)
    if not content:
        raise PhotoError(f"{path}: the file is empty (0 bytes)")
    return content


def decode(content: bytes, path: Path) -> Pixels:
    """The pixels of an encoded photograph, uint8 [h, w, 3], RGB, as stored: no rotation, no colour management.

    8-bit RGB and greyscale (three equal channels) are taken, and alpha that is opaque everywhere.
    Anything that would change the noise on the way to 8-bit RGB is refused. Raises PhotoError.
    """
    try:
        with warnings.catch_warnings():
            # Pillow warns on the way to its limit and again about harmless metadata; its errors are what counts.
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(content)) as image:
                _check_format(image, path)
                return np.asarray(_as_rgb(image, path), dtype=np.uint8)
    except Image.DecompressionBombError as error:
        raise PhotoError(
            f"{path}: more than {2 * (Image.MAX_IMAGE_PIXELS or 0):,} pixels, refused as a bomb"
        ) from error
    except UnidentifiedImageError as error:
        raise PhotoError(f"{path}: not a JPEG, PNG or TIFF file, whatever its name says") from error
    except PhotoError:
        raise
    except (OSError, ValueError, SyntaxError, EOFError, MemoryError) as error:
        raise PhotoError(f"{path}: truncated or damaged ({error})") from error


def _check_format(image: Image.Image, path: Path) -> None:
    expected = FORMATS.get(path.suffix.lower())
    # MPO is a JPEG with further pictures behind it, as phones write them; the first is the photograph.
    found = "JPEG" if image.format == "MPO" else image.format
    if found != expected:
        raise PhotoError(f"{path}: mislabelled, the file holds {found}; rename it to say what it is")


def _stored_deeper(image: Image.Image) -> bool:
    """Whether the file holds more than 8 bits a channel where Pillow's mode no longer says so, as in `RGB;16B`."""
    layouts = (tile[3] for tile in getattr(image, "tile", ()))
    return any(";16" in str(layout[0] if isinstance(layout, tuple) else layout) for layout in layouts)


def _as_rgb(image: Image.Image, path: Path) -> Image.Image:
    if _stored_deeper(image) or image.mode.startswith(("I", "F")):
        raise PhotoError(f"{path}: more than 8 bits a channel; only 8-bit RGB or greyscale photographs work")
    if "transparency" in image.info:
        raise PhotoError(f"{path}: has a transparent colour; only opaque photographs work")
    if image.mode in ("RGB", "L"):
        return image.convert("RGB")
    if image.mode in ("RGBA", "LA"):
        if image.getchannel("A").getextrema() != (255, 255):
            raise PhotoError(f"{path}: has transparent pixels; only opaque photographs work")
        return image.convert("RGB")
    raise PhotoError(f"{path}: colour mode {image.mode}; only 8-bit RGB or greyscale photographs work")
