"""The detectors that come with the package: DETECTOR/MANIPULATION, each a folder of weights with its card.

A card says what the detector was trained on and what was measured on devices that it has not seen.
"""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[1] / "zoo"


def shipped() -> list[str]:
    """The names that `load_detector` knows, such as `cozzolino2017/median:7`."""
    folders = sorted(path.parent.relative_to(ROOT).parts for path in ROOT.glob("*/*/detector.json"))
    return [f"{detector}/{manipulation.replace('-', ':', 1)}" for detector, manipulation in folders]


def detectors() -> list[str]:
    """The detectors that are shipped, each for several manipulations: `cozzolino2017` and its like."""
    return sorted({name.partition("/")[0] for name in shipped()})


def folder_of(name: str) -> Path:
    """Where the detector `name` lies, or would lie. File systems that know no colon shall hold it too."""
    return ROOT / name.replace(":", "-")
