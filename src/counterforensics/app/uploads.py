"""What a client sends: read as every other photograph, within limits."""

from __future__ import annotations

from pathlib import Path

from counterforensics.errors import PhotoError
from counterforensics.photos.folder import photo_at
from counterforensics.sliding.detecting import OpenedPhoto, opened

MOST_MEGABYTES = 64
MOST_PIXELS = 50_000_000


def open_upload(upload: str | Path | None) -> OpenedPhoto:
    """The photograph that a client sent.

    Raises PhotoError, in one sentence that names the file as the client does, for none, for one above the limits, and
    for a file that cannot be used.
    """
    if upload is None:
        raise PhotoError("Choose a photograph first.")
    place = Path(upload)
    try:
        _check_size(place)
        photo = opened(place)
    except PhotoError as error:
        raise PhotoError(str(error).replace(str(place), place.name)) from error
    return OpenedPhoto(photo.pixels, place.name, photo.remarks, photo.quality)


def _check_size(place: Path) -> None:
    """Raise PhotoError for a file of too many bytes, or of too many pixels by its header: nothing is decoded."""
    try:
        size = place.stat().st_size
    except OSError as error:
        raise PhotoError(f"{place.name} is no longer here; choose it again") from error
    if size > MOST_MEGABYTES * 2**20:
        raise PhotoError(f"{place}: the file has {size / 2**20:.0f} MB; this page takes at most {MOST_MEGABYTES} MB")
    pixels = photo_at(place).pixels()
    if pixels > MOST_PIXELS:
        raise PhotoError(f"{place}: more than {MOST_PIXELS // 10**6} megapixels, the most that this page takes")
