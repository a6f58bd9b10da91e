"""Photographs in folders: `DIR/<device>/<photo>`."""

from __future__ import annotations

import hashlib
import io
import logging
import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, TiffImagePlugin, UnidentifiedImageError, features

from counterforensics.errors import PhotoError, in_one_line
from counterforensics.files import at_home, read_regular
from counterforensics.names import several
from counterforensics.photos import heif_file
from counterforensics.photos.base import Photo
from counterforensics.photos.jpeg_file import check_jpeg
from counterforensics.photos.jpeg_quality import JpegQuality, quality_of
from counterforensics.photos.png_file import check_png
from counterforensics.photos.remarks import remarks_on
from counterforensics.photos.tiff_file import prepare_tiff
from counterforensics.photos.webp_file import check_chunks, check_webp, is_webp
from counterforensics.pixels import Pixels

# What Pillow logs comes as an error or as a remark of ours, too; a log that somebody sets up still gets it.
logging.getLogger("PIL").addHandler(logging.NullHandler())

MAX_BYTES = 2**30  # of a file: more than the pixels that `decode` takes fill uncompressed
MAX_PIXELS = 178_956_970  # Pillow's own limit, unless another library of the process moved that
_BOMB = f"more than {MAX_PIXELS:,} pixels, refused as a bomb"
# What a file of each suffix must hold. A suffix that lies says that something re-encoded the file.
FORMATS = {
    **dict.fromkeys((".jpg", ".jpeg", ".jpe", ".jfif"), "JPEG"),
    ".png": "PNG",
    **dict.fromkeys((".tif", ".tiff"), "TIFF"),
    ".webp": "WEBP",
    ".avif": "AVIF",
    **dict.fromkeys((".heic", ".heif", ".hif"), "HEIF"),
}
READABLE = "JPEG, PNG, TIFF, WebP, AVIF or HEIF"
_WORKING = f"{READABLE} photographs work"
_CHECKS = {
    **dict.fromkeys(("JPEG", "MPO"), check_jpeg),
    "PNG": check_png,
    "WEBP": check_webp,
}
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # how a file begins
_ROWS_AT_ONCE = 256
# What Pillow raises for files that are damaged.
_DAMAGED = (OSError, ValueError, SyntaxError, EOFError, MemoryError, RuntimeError)


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

    def pixels(self) -> int:
        """How many pixels the file says that it has; 0 where it cannot be told, which decoding will say."""
        try:
            if format_of(self) == "HEIF":
                return heif_file.pixels_in(content_of(self.path))
            if not self.path.is_file():
                return 0
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                with Image.open(self.path) as image:
                    return image.width * image.height
        except Exception:  # whatever a decoder raises
            return 0

    def read(self) -> Pixels:
        """The photograph, uint8 [h, w, 3].  Raises PhotoError if it cannot be used or is no longer the same file."""
        return decode(self._content(), self.path)

    def examine(self) -> tuple[Pixels, tuple[str, ...], JpegQuality | None]:
        """As `read`, what is unusual about the file, a few words each, and its quality as `jpeg_quality` has it."""
        content = self._content()
        pixels, remarks = examine(content, self.path)
        return pixels, remarks, self._quality_in(content)

    def jpeg_quality(self) -> JpegQuality | None:
        """How strongly the file is compressed, None if it is no JPEG file.  Errors as for `read`."""
        return self._quality_in(self._content())

    def _quality_in(self, content: bytes) -> JpegQuality | None:
        try:
            return quality_of(content)
        except (*_DAMAGED, Image.DecompressionBombError) as error:
            raise PhotoError(f"{self.path}: not a picture whose headers can be read ({in_one_line(error)})") from error

    def _content(self) -> bytes:
        content = content_of(self.path)
        if hashlib.sha256(content).hexdigest() != self.digest:
            raise PhotoError(f"{self.path} changed while it was in use; run again to start from the new file")
        return content


def photo_at(path: str | Path) -> FolderPhoto:
    """The photograph in one file, of whatever device.  Raises PhotoError if it is no file that can be read."""
    place = at_home(path, PhotoError)
    if place.suffix.lower() not in FORMATS:
        raise PhotoError(f"{place}: {place.suffix or 'a file without a suffix'} is not read; {_WORKING}")
    return FolderPhoto(place.parent.name, place, hashlib.sha256(content_of(place)).hexdigest())


def format_of(photo: Photo) -> str:
    """What the file of a photograph must hold by its suffix, as `FORMATS` names it; "" for one that is in no file."""
    return FORMATS.get(photo.path.suffix.lower(), "") if isinstance(photo, FolderPhoto) else ""


@dataclass(frozen=True)
class Found:
    """What a search of photo folders gave."""

    photos: tuple[FolderPhoto, ...]
    left_out: tuple[str, ...]  # one line a file: its path and the reason


def find_photos(folders: Sequence[Path]) -> Found:
    """All photographs of `DIR/<device>/<photo>`, by their suffix (see `FORMATS`), sorted by device and file name.

    A device that stands in several folders is one device. Every other file is left out with its reason: another
    format, a place beside the device folders, or impossible to open. A folder inside a device folder is left out as a
    whole. Hidden files and folders, whose names begin with a dot, are passed over. Raises PhotoError if a folder is
    missing, is given twice or holds no photograph in a device folder.
    """
    folders = [at_home(folder, PhotoError) for folder in several("folders of photographs", folders)]
    _check_distinct(folders)
    photos: list[FolderPhoto] = []
    left_out: list[str] = []
    for folder in folders:
        paths, others = _listed(folder)
        if not paths:
            raise PhotoError(_why_empty(folder, others))
        left_out += others
        for path in paths:
            try:
                digest = hashlib.sha256(content_of(path)).hexdigest()
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


def _listed(folder: Path) -> tuple[list[Path], list[str]]:
    """The files that are photographs by their place and suffix, and a line for each file or folder that is not."""
    paths, others = [], []
    try:
        if not folder.is_dir():
            raise PhotoError(f"no photo folder at {folder}; give a folder that holds <device>/<photo>.jpg")
        for device in _visible(folder):
            if not device.is_dir():
                others.append(f"{device}: stands beside the device folders; photographs stand in one of them")
                continue
            for path in _visible(device):
                if path.is_dir():
                    others.append(
                        f"{path}: a folder inside a device folder, which is not read; move its photographs up"
                    )
                elif path.suffix.lower() not in FORMATS:
                    others.append(f"{path}: {path.suffix or 'a file without a suffix'} is not read; {_WORKING}")
                else:
                    paths.append(path)
    except OSError as error:
        raise PhotoError(f"cannot list {error.filename or folder}: {error.strerror}") from error
    return paths, others


def _visible(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))


def _why_empty(folder: Path, others: Sequence[str]) -> str:
    loose = any(path.suffix.lower() in FORMATS and path.is_file() for path in _visible(folder))
    what = "photographs but no device folders" if loose else "no photographs"
    found = f" ({len(others)} left out, the first: {others[0]})" if others else ""
    return f"{folder} holds {what}; photographs stand in {folder}/<device>/<photo>.{{jpg,png,tif,...}}{found}"


def content_of(path: Path) -> bytes:
    """All bytes of the file of a photograph.  Raises PhotoError if it is empty, too large, or no regular file."""
    content = read_regular(path, MAX_BYTES, PhotoError)
    if not content:
        raise PhotoError(f"{path}: the file is empty (0 bytes)")
    return content


def read_photo(path: str | Path) -> Pixels:
    """One photograph from its file, as those of a folder are read: uint8 [h, w, 3], RGB.

    path: the file; its suffix says its format (`FORMATS`).  The pixels are those that the file stores, in the grid of
    the sensor: no rotation, no colour management.  Of several pictures in one file the first is read, of a HEIF file
    the primary one.  Raises PhotoError, in one line that begins with the path, for every file that a folder of
    photographs would leave out: docs/photographs.md lists the reasons.
    """
    where = at_home(path, PhotoError)
    return decode(content_of(where), where)


def decode(content: bytes, path: Path) -> Pixels:
    """The pixels of an encoded photograph, uint8 [h, w, 3], RGB, as stored: no rotation, no colour management.

    8-bit RGB and greyscale (three equal channels) are taken, and alpha that is opaque everywhere.
    Anything that would change the noise on the way to 8-bit RGB is refused. Raises PhotoError.
    """
    return examine(content, path)[0]


def examine(content: bytes, path: Path) -> tuple[Pixels, tuple[str, ...]]:
    """As `decode`, and what is unusual about the file, a few words each."""
    try:
        with warnings.catch_warnings():
            # Pillow warns on the way to its limit and again about harmless metadata; its errors are what counts.
            warnings.simplefilter("ignore")
            with _opened(content, path) as image:
                _check_format(str(image.format), path)
                if image.width * image.height > MAX_PIXELS:
                    raise PhotoError(_BOMB)
                remarks = remarks_on(image, path, content)
                if isinstance(image, TiffImagePlugin.TiffImageFile):
                    prepare_tiff(image, content)
                elif image.format in _CHECKS:
                    _CHECKS[image.format](content)
                return _rgb(image), remarks
    except Image.DecompressionBombError as error:
        raise PhotoError(f"{path}: {_BOMB}") from error
    except UnidentifiedImageError as error:
        raise PhotoError(f"{path}: {_why_unidentified(content)}") from error
    except PhotoError as error:
        raise PhotoError(f"{path}: {error}") from error
    except _DAMAGED as error:
        detail = f" ({in_one_line(error)})" if str(error) else ""
        raise PhotoError(f"{path}: truncated or damaged{detail}") from error


def _why_unidentified(content: bytes) -> str:
    """Why Pillow knows no format of a file."""
    if content.startswith(_TIFF):
        return "truncated or damaged, or a TIFF of a kind that is not read; 8-bit RGB or greyscale photographs work"
    return f"not a {READABLE} file, whatever its name says"


def _opened(content: bytes, path: Path) -> Image.Image:
    """A file, opened.  Raises PhotoError, and whatever Pillow raises.

    WebP, AVIF and HEIF files are known by their first bytes, because the installed Pillow may not read them.
    """
    found = "WEBP" if is_webp(content) else heif_file.format_by_boxes(content)
    if not found:
        return Image.open(io.BytesIO(content))
    _check_format(found, path)
    if found == "WEBP":
        check_chunks(content)
    else:
        if heif_file.pixels_in(content) > MAX_PIXELS:
            raise PhotoError(_BOMB)
        heif_file.check_boxes(content)
    if found == "HEIF":
        return heif_file.open_heif(content)
    if not features.check(found.lower()):
        raise PhotoError(f"the installed Pillow reads no {found}; a newer one does (pip install --upgrade pillow)")
    try:
        return Image.open(io.BytesIO(content))
    except UnidentifiedImageError as error:
        raise PhotoError("truncated or damaged (its headers cannot be read)") from error


def _check_format(held: str, path: Path) -> None:
    expected = FORMATS.get(path.suffix.lower())
    # MPO is a JPEG with further pictures behind it, as phones write them; the first is the photograph.
    found = "JPEG" if held == "MPO" else held
    if found != expected:
        advice = "rename it to say what it is" if found in FORMATS.values() else f"only {_WORKING}"
        raise PhotoError(f"mislabelled, the file holds {found}; {advice}")


def _stored_deeper(image: Image.Image) -> bool:
    """Whether the file holds more than 8 bits a channel where Pillow's mode no longer says so, as in `RGB;16B`."""
    layouts = (tile[3] for tile in getattr(image, "tile", ()))
    return any(";16" in str(layout[0] if isinstance(layout, tuple) else layout) for layout in layouts)


def _rgb(image: Image.Image) -> Pixels:
    """The pixels, some rows at a time: a copy of all in Pillow's own form would take a third more than the result."""
    if _stored_deeper(image) or image.mode.startswith(("I", "F")):
        raise PhotoError("more than 8 bits a channel; only 8-bit RGB or greyscale photographs work")
    if "transparency" in image.info:
        raise PhotoError("has a transparent colour; only opaque photographs work")
    if image.mode not in ("RGB", "L", "RGBA", "LA"):
        raise PhotoError(f"colour mode {image.mode}; only 8-bit RGB or greyscale photographs work")
    if image.mode in ("RGBA", "LA") and image.getchannel("A").getextrema() != (255, 255):
        raise PhotoError("has transparent pixels; only opaque photographs work")
    image.load()
    width, height = image.im.size  # `image.size` is that of a turned TIFF file
    pixels = np.empty((height, width, 3), dtype=np.uint8)
    for top in range(0, height, _ROWS_AT_ONCE):
        rows = pixels[top : top + _ROWS_AT_ONCE]
        rows[:] = np.asarray(image.crop((0, top, width, top + len(rows))).convert("RGB"))
    return pixels
