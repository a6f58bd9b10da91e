"""counterforensics: how image manipulation detectors hold up against attacks that hide the traces."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

__version__ = version("counterforensics")
__all__ = [
    "__version__",
    "attack_photo",
    "attacks",
    "detect",
    "features",
    "load_detector",
    "manipulations",
    "psnr",
    "read_photo",
    "wrap",
]

if TYPE_CHECKING:
    from counterforensics import attacks, features, manipulations
    from counterforensics.detectors import load_detector, wrap
    from counterforensics.laundering.agreement import psnr
    from counterforensics.photos.folder import read_photo
    from counterforensics.sliding.attacking import attack_photo
    from counterforensics.sliding.detecting import detect

# Where each public function stands. It is loaded on first use: a report, or `--help`, needs no torch.
_PLACES = {
    "attack_photo": "counterforensics.sliding.attacking",
    "detect": "counterforensics.sliding.detecting",
    "load_detector": "counterforensics.detectors",
    "psnr": "counterforensics.laundering.agreement",
    "read_photo": "counterforensics.photos.folder",
    "wrap": "counterforensics.detectors",
}
_MODULES = ("attacks", "features", "manipulations")


def __getattr__(name: str) -> Any:
    if name in _PLACES:
        return vars(import_module(_PLACES[name]))[name]
    if name in _MODULES:
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
