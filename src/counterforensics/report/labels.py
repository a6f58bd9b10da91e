"""How manipulations, detectors and attacks are written for a reader, and in which order they stand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

EASY = ("blur:1.1", "jpeg:70", "median:7", "resize:1.5")
HARD = ("blur:0.5", "jpeg:90", "median:3", "resize:1.01")
DETECTORS = ("spam-svm", "bayar2016", "cozzolino2017", "xception", "mislnet")

_DETECTOR_LABELS = {
    "spam-svm": "SPAM + SVM",
    "bayar2016": "Bayar2016",
    "cozzolino2017": "Cozzolino2017",
    "xception": "Xception",
    "mislnet": "MISLnet",
}
_ATTACK_LABELS = {
    "fgsm": "FGSM",
    "pgd": "PGD",
    "deepfool": "DeepFool",
    "jsma": "JSMA",
    "spam-descent": "SPAM descent",
    "spam-gradient": "SPAM gradient",
    "gan-kim": "GAN restoration (Kim)",
    "gan-vgg": "GAN restoration (VGG)",
    "gan-ensemble": "GAN restoration (ensemble)",
}
_MANIPULATION_LABELS = {
    "blur": "Blurring σ = {}",
    "jpeg": "JPEG Q = {}",
    "median": "Median {0} × {0}",
    "resize": "Resizing × {}",
}


def take_apart(text: str) -> tuple[str, dict[str, str]]:
    """A text form as its name and its settings; a value without a key has the key "".

    >>> take_apart("fgsm:epsilon=2,loss=logit")
    ('fgsm', {'epsilon': '2', 'loss': 'logit'})
    >>> take_apart("median:7")
    ('median', {'': '7'})
    """
    name, _, rest = text.partition(":")
    settings: dict[str, str] = {}
    for piece in filter(None, rest.split(",")):
        key, equals, value = piece.partition("=")
        settings[key.strip() if equals else ""] = (value if equals else key).strip()
    return name, settings


def manipulation_label(text: str) -> str:
    """`median:7` as `Median 7 × 7`; a manipulation that is not known keeps its text form."""
    name, settings = take_apart(text)
    if name in _MANIPULATION_LABELS and set(settings) == {""}:
        return _MANIPULATION_LABELS[name].format(settings[""])
    return text


def detector_label(text: str) -> str:
    """`cozzolino2017:steps=0` as `Cozzolino2017 (steps = 0)`."""
    return _with_settings(text, _DETECTOR_LABELS)


def short_labels(texts: Iterable[str]) -> dict[str, str]:
    """Labels for narrow places in a figure: settings only where two of a kind must be told apart, on a second line.

    >>> labels = short_labels(["cozzolino2017", "cozzolino2017:steps=0", "mislnet:steps=300"])
    >>> list(labels.values())
    ['Cozzolino2017', 'Cozzolino2017\\n(steps = 0)', 'MISLnet']
    """
    forms = dict.fromkeys(texts)
    kinds = Counter(take_apart(text)[0] for text in forms)
    labels = _ATTACK_LABELS | _DETECTOR_LABELS

    def short(text: str) -> str:
        kind = take_apart(text)[0]
        label = labels.get(kind, kind)
        return label + _with_settings(text, labels).removeprefix(label).replace(" (", "\n(") * (kinds[kind] > 1)

    return {text: short(text) for text in forms}


def attack_label(text: str) -> str:
    """`fgsm:epsilon=2` as `FGSM (epsilon = 2)`."""
    return _with_settings(text, _ATTACK_LABELS)


def restores(attack: str) -> bool:
    """Whether the attack is a generator that restores what a manipulation took.

    >>> restores("gan-vgg:size=small"), restores("fgsm")
    (True, False)
    """
    return take_apart(attack)[0].startswith("gan-")


def whatever_the_seed(attack: str) -> str:
    """The attack without a seed of its own: what its trainings have in common.

    >>> whatever_the_seed("gan-vgg:seed=1,size=small"), whatever_the_seed("gan-vgg:seed=1")
    ('gan-vgg:size=small', 'gan-vgg')
    """
    name, settings = take_apart(attack)
    rest = ",".join(f"{key}={value}" if key else value for key, value in settings.items() if key != "seed")
    return f"{name}:{rest}" if rest else name


def section(manipulation: str) -> str:
    """Which part of a table a manipulation stands in: the easy four, the challenging four, or the rest."""
    if manipulation in EASY:
        return "Easy cases"
    return "Challenging cases" if manipulation in HARD else "Other manipulations"


def ordered(names: Iterable[str], first: Iterable[str]) -> list[str]:
    """Distinct `names` in the order of `first` (by text form, else by bare name); the rest as they came."""
    known = list(first)
    bare = [take_apart(name)[0] for name in known]

    def place(name: str) -> tuple[int, bool]:
        base = take_apart(name)[0]
        if name in known:
            return known.index(name), False
        # Beside its plain form, a form with settings comes second.
        return (bare.index(base), True) if base in bare else (len(known), False)

    return sorted(dict.fromkeys(names), key=place)


def _with_settings(text: str, labels: dict[str, str]) -> str:
    name, settings = take_apart(text)
    label = labels.get(name, name)
    if not settings:
        return label
    shown = ", ".join(f"{key} = {value}" if key else value for key, value in settings.items())
    return f"{label} ({shown})"
