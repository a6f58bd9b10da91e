"""The versions of what decides a result: the one place where they are asked for.

Two releases of a decoder, a filter or a generator of random numbers may give other pixels from the same photograph. So
`PIXELS` is part of the key of every crop, and all that is made from crops has it in its own key. `ALL` is compared with
the workers of a cluster.

Beyond the pixels keys leave libraries out. Features are exact counts, whatever numba compiles. SVMs and networks differ
between releases by rounding alone, as they do between processors.
"""

from __future__ import annotations

import platform
import re
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version

import cv2
import numpy as np
import PIL
import torch
from PIL import features

from counterforensics import __version__

UNKNOWN = "unknown"


def _jpeg_of_pillow() -> str:
    """The version of the libjpeg by which Pillow reads and writes."""
    turbo, plain = features.version("libjpeg_turbo"), features.version("jpg")
    return f"turbo {turbo}" if turbo else str(plain or UNKNOWN)


def _jpeg_of_opencv() -> str:
    """The version of the libjpeg by which OpenCV reads and writes."""
    found = re.search(r"^\s*JPEG:.*\(ver ([^)]+)\)", cv2.getBuildInformation(), re.MULTILINE)
    return found[1] if found else UNKNOWN


# What decodes photographs, manipulates them, and draws where patches are cut.
PIXELS: Mapping[str, str] = {
    "Pillow": PIL.__version__,
    "libjpeg in Pillow": _jpeg_of_pillow(),
    "OpenCV": cv2.__version__,
    "libjpeg in OpenCV": _jpeg_of_opencv(),
    "NumPy": np.__version__,
}

DECODER = ("Pillow", "libjpeg in Pillow")  # of them what reads photographs


def readers_of(form: str) -> dict[str, str]:
    """The versions of what reads photographs of a format alone, beside `DECODER`; they decide no others.

    form: a name as Pillow has it (`photos.folder.FORMATS`).

    >>> readers_of("JPEG"), list(readers_of("WEBP"))
    ({}, ['libwebp in Pillow'])
    """
    if form == "HEIF":
        try:
            return {"pillow-heif": version("pillow-heif")}
        except PackageNotFoundError:
            return {"pillow-heif": UNKNOWN}
    if form in ("WEBP", "AVIF"):
        name = form.lower()
        known = features.version(name) if features.check(name) else None
        return {f"lib{name} in Pillow": str(known or UNKNOWN)}
    return {}


# What workers of one run have in common. A torch for processors and one for GPUs are the same release.
ALL: Mapping[str, str] = {
    "Python": platform.python_version(),
    "counterforensics": __version__,
    **PIXELS,
    "torch": torch.__version__.partition("+")[0],
    "numba": version("numba"),
    "scikit-learn": version("scikit-learn"),
}


def differences(there: Mapping[str, str | None], here: Mapping[str, str] = ALL) -> str:
    """What `there` has in another version than `here`, in words; "" if nothing.

    >>> differences({"Python": "3.9.1"}, {"Python": "3.12.3"})
    'has Python 3.9.1, the run has 3.12.3'
    """
    different = [
        f"{name} {there.get(name)}, the run has {wanted}" for name, wanted in here.items() if there.get(name) != wanted
    ]
    return f"has {'; '.join(different)}" if different else ""
