"""counterforensics: how image manipulation detectors hold up against attacks that hide the traces."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

__version__ = version("counterforensics")
__all__ = ["__version__", "attack_photo", "detect", "load_detector", "read_photo"]

if TYPE_CHECKING:
    from counterforensics.detectors import load_detector
    from counterforensics.photos.folder import read_photo
    from counterforensics.sliding.attacking import attack_photo
    from counterforensics.sliding.detecting import detect

# Where each public name stands. It is loaded on first use: a report, or `--help`, needs no torch.
_PLACES = {
    "attack_photo": "counterforensics.sliding.attacking",
    "detect": "counterforensics.sliding.detecting",
    "load_detector": "counterforensics.detectors",
    "read_photo": "counterforensics.photos.folder",
}


def __getattr__(name: str) -> Any:
    if name in _PLACES:
        return vars(import_module(_PLACES[name]))[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
