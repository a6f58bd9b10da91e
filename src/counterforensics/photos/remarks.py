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

_SOFTWARE = 0x0131
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
    }
    return tuple(remark for remark, applies in found.items() if applies)


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
