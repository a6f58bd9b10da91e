"""counterforensics: how image manipulation detectors hold up against attacks that hide the traces."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING, Any

__version__ = version("counterforensics")
__all__ = ["__version__", "load_detector", "read_photo"]

if TYPE_CHECKING:
    from counterforensics.detectors import load_detector
    from counterforensics.photos.folder import read_photo


def __getattr__(name: str) -> Any:
    # Loaded on first use: a report, or `--help`, needs no torch.
    if name == "load_detector":
        from counterforensics.detectors import load_detector

        return load_detector
    if name == "read_photo":
        from counterforensics.photos.folder import read_photo

        return read_photo
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
