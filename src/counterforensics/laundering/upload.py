"""Reading photographs to upload and files that came back, and writing a file at once or not at all."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from counterforensics.errors import PlatformError, in_one_line
from counterforensics.files import exists, write_whole
from counterforensics.laundering.jpeg import Header, header_of
from counterforensics.photos.folder import content_of, decode
from counterforensics.pixels import Pixels


@dataclass(frozen=True, eq=False)
class PictureFile:
    """A photograph in a file: pixels uint8 [h, w, 3] as stored, and what its header says."""

    path: Path
    pixels: Pixels
    header: Header


def read_picture(path: Path) -> PictureFile:
    """The photograph in a file.  Raises PhotoError if it cannot be used."""
    content = content_of(path)
    return PictureFile(path, decode(content, path), header_of(content, path))


def check_free(path: Path, *, force: bool) -> None:
    """Raise PlatformError if `path` is there already and may not be replaced, or is no place for a file."""
    if path.is_dir():
        raise PlatformError(f"{path} is a folder; give the path of a file")
    if exists(path) and not force:
        raise PlatformError(f"{path} exists already; give another file, or --force to replace it")


def write_file(path: Path, content: bytes) -> None:
    """Write a file as a whole or not at all, and the folders above it.  Raises PlatformError if that fails."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, content)
    except (OSError, ValueError) as error:
        raise PlatformError(f"{path}: cannot be written ({in_one_line(error)}); give another file") from error
