"""The detectors. A new one is one file with a recipe and one line of `DETECTORS`."""

from __future__ import annotations

from pathlib import Path

from counterforensics.detectors import zoo
from counterforensics.detectors.base import Detector, Network, Recipe, Start
from counterforensics.detectors.bayar2016 import Bayar2016, Bayar2016Published
from counterforensics.detectors.cozzolino2017 import Cozzolino2017
from counterforensics.detectors.mislnet import MislNet, MislNetPublished
from counterforensics.detectors.spam_svm import SpamSvm
from counterforensics.detectors.trained import Trained
from counterforensics.detectors.wrapping import wrap
from counterforensics.detectors.xception import Xception
from counterforensics.errors import WeightsError, unknown_name
from counterforensics.files import at_home, exists, without_scheme
from counterforensics.learning import weights
from counterforensics.names import Registry

DETECTORS: Registry[Recipe] = Registry(
    "detector",
    Recipe,  # type: ignore[type-abstract]
    {
        "spam-svm": SpamSvm,
        "bayar2016": Bayar2016,
        "bayar2016-published": Bayar2016Published,
        "cozzolino2017": Cozzolino2017,
        "xception": Xception,
        "mislnet": MislNet,
        "mislnet-published": MislNetPublished,
        "trained": Trained,
    },
)


def parse(text: str) -> Recipe:
    """The recipe that `text` names.  Raises NameNotFoundError or StudyError.

    >>> parse("spam-svm:c=0.01")
    SpamSvm(c=0.01, normalisation='sqrt')
    """
    return DETECTORS.parse(text)


def text_form(recipe: Recipe) -> str:
    """The text that `parse` turns back into `recipe`."""
    return DETECTORS.text_form(recipe)


def load_detector(path_or_name: str | Path) -> Network:
    """A trained detector, ready for `.logits(pixels)`: a folder that a study wrote, or the name of a shipped one.

    A folder may be an fsspec URL (`s3://bucket/folder`). Names are DETECTOR/MANIPULATION, such as
    `cozzolino2017/median:7`; `counterforensics list` shows them. A folder of that path goes first.
    Raises WeightsError, with the reason, if there is none or it is damaged.
    """
    network: Network
    if not isinstance(path_or_name, str | Path):
        raise WeightsError(f"a detector is named by a folder, a URL or a name, got {type(path_or_name).__name__}")
    place = without_scheme(str(path_or_name))
    if "://" in place:
        with weights.fetched(place) as copy:
            network = weights.load(copy, DETECTORS)
        return network
    folder = at_home(place, WeightsError)
    if not exists(folder):
        if str(path_or_name) not in (shipped := zoo.shipped()):
            raise WeightsError(
                f"no detector at {folder}; {unknown_name('shipped detector', str(path_or_name), shipped)}"
            )
        folder = zoo.folder_of(str(path_or_name))
    network = weights.load(folder, DETECTORS)
    return network


__all__ = ["DETECTORS", "Detector", "Network", "Recipe", "Start", "load_detector", "parse", "text_form", "wrap"]
