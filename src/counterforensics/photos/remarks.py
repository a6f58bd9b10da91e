"""What is unusual about a photograph that can be used: it is said, and nothing is done about it."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path

from PIL import Image

from counterforensics.photos.tiff_file import holds_jpeg
from counterforensics.photos.webp_file import is_lossy

SEVERAL = "several pictures in one file, of which the first counts"
PROFILE = "a colour profile (ICC), which is not applied"
JPEG_INSIDE = "JPEG inside a TIFF file"
LOSSY = "a lossy format other than JPEG (WebP, AVIF or HEIF), whose compression changes the noise in another way"
SCREENSHOT = "its name says that it is a screenshot"
EDITED = "its metadata say that an editor saved it"
RESIZED = "its metadata record a picture of the same shape and another size, so it was resized before"

_SOFTWARE = 0x0131
_EXIF, _RECORDED_WIDTH, _RECORDED_HEIGHT = 0x8769, 0xA002, 0xA003
# Of the ratio of the sides, by which a picture that was resized may differ from one that was cropped.
_SAME_SHAPE = 0.01
_EDITORS = (
    *("photoshop", "lightroom", "gimp", "imagemagick", "paint", "picasa", "snapseed", "darktable", "rawtherapee"),
    *("affinity", "capture one", "irfanview", "acdsee", "pixelmator", "luminar", "google", "instagram", "canva"),
)


def remarks_on(image: Image.Image, path: Path, content: bytes) -> tuple[str, ...]:
    """What is unusual about an opened picture, a few words each; it must still be open.

    content: the file.  Raises PhotoError, without a path, if it is a WebP file that is cut off.
    """
    software = ""
    with contextlib.suppress(Exception):  # metadata may be anything, and no photograph is refused for them
        # Pillow would decode a whole PNG file for its EXIF.
        named = image.info.get("Software", "") if image.format == "PNG" else image.getexif().get(_SOFTWARE, "")
        software = str(named).lower()
    found = {
        SEVERAL: getattr(image, "is_animated", False),
        PROFILE: "icc_profile" in image.info,
        JPEG_INSIDE: holds_jpeg(image),
        LOSSY: image.format in ("AVIF", "HEIF") or (image.format == "WEBP" and is_lossy(content)),
        SCREENSHOT: "screenshot" in path.stem.lower(),
        EDITED: any(editor in software for editor in _EDITORS),
        RESIZED: _is_resized(image),
    }
    return tuple(remark for remark, applies in found.items() if applies)


def _is_resized(image: Image.Image) -> bool:
    """Whether the metadata record another size of the same shape; a crop mostly has another shape.

    Of a JPEG file alone: Pillow would decode the whole of others for their EXIF data.
    """
    if image.format not in ("JPEG", "MPO"):
        return False
    try:
        recorded = image.getexif().get_ifd(_EXIF)
        sides = int(recorded.get(_RECORDED_WIDTH, 0)), int(recorded.get(_RECORDED_HEIGHT, 0))
    except Exception:  # metadata may be anything
        return False
    if min(sides) < 1 or sorted(sides) == sorted(image.size):
        return False
    # A picture that was turned upright has its sides exchanged.
    (short, long), (short_now, long_now) = sorted(sides), sorted(image.size)
    return abs(short * long_now / (long * short_now) - 1) <= _SAME_SHAPE


def summary(remarks: Mapping[str, tuple[str, ...]]) -> list[str]:
    """A line for each remark, with the first photograph that it is about; `remarks`: by the photograph's path.

    >>> summary({"a.jpg": (PROFILE,), "b.jpg": (), "c.jpg": (PROFILE,)})
    ['a.jpg and 1 more: a colour profile (ICC), which is not applied']
    """
    lines = []
    for remark in dict.fromkeys(remark for some in remarks.values() for remark in some):
        paths = [path for path, some in remarks.items() if remark in some]
        more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
        lines.append(f"{paths[0]}{more}: {remark}")
    return lines
