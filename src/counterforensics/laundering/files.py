"""Laundering from file to file, and a profile from files: what the command line calls."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from counterforensics.errors import PlatformError, shown
from counterforensics.files import at_home
from counterforensics.laundering import fit_platform, parse, text_form
from counterforensics.laundering.profile import SUFFIXES
from counterforensics.laundering.upload import check_free, read_picture, write_file
from counterforensics.names import one_of

_JPEG = (".jpg", ".jpeg")


def launder_file(photo: Path, platform: str, out: Path, *, force: bool = False) -> dict[str, Any]:
    """Write what comes back when the photograph in a file is uploaded; returns what was done, as plain data.

    platform: a text form.  out: a path that ends in .jpg or .jpeg.  force: replace the file that is there.  Raises
    PlatformError for a path that cannot be written and for a platform that stores no file, PhotoError for a file that
    is no photograph, and the errors of `parse`.
    """
    photo, out = at_home(photo, PlatformError), at_home(out, PlatformError)
    found = parse(platform)
    if out.suffix.lower() not in _JPEG:
        raise PlatformError(f"{out}: a platform gives a JPEG file; end the name in {one_of(_JPEG)}")
    check_free(out, force=force)
    sent = read_picture(photo)
    came = found(sent.pixels, orientation=sent.header.orientation)
    if came.file is None:
        raise PlatformError(f"{shown(platform)} stores no file: the photograph comes back as it was sent")
    write_file(out, came.file)
    return {
        "photo": str(photo),
        "platform": text_form(found),
        "out": str(out),
        "sent": {"width": sent.pixels.shape[1], "height": sent.pixels.shape[0]},
        "orientation": sent.header.orientation,
        "received": {"width": came.pixels.shape[1], "height": came.pixels.shape[0]},
        "bytes": len(came.file),
        "evidence": {text_form(step): step.evidence.in_words() for step in found.steps},
        "notes": list(came.notes),
    }


def fit_to_file(sent: Path, received: Path, out: Path, *, force: bool = False) -> dict[str, Any]:
    """Measure a platform from pairs and write its profile; returns the figures, as plain data.

    sent, received: as for `fit_platform`.  out: a path that ends in .yaml.  force: replace the file that is there.
    Raises PlatformError for a path that cannot be written, and the errors of `fit_platform`.
    """
    out = at_home(out, PlatformError)
    if out.suffix not in SUFFIXES:
        raise PlatformError(f"{out}: a profile is a YAML file; end the name in {one_of(SUFFIXES)}")
    check_free(out, force=force)
    found = fit_platform(sent, received, name=str(out))
    write_file(out, found.profile)
    return {"profile": str(out), **found.record()}
