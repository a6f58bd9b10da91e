"""How manipulations, detectors and attacks are written for a reader, and in which order they stand."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from counterforensics.outcome import Outcome, default_labels, take_apart

EASY = ("blur:1.1", "jpeg:70", "median:7", "resize:1.5")
HARD = ("blur:0.5", "jpeg:90", "median:3", "resize:1.01")
DETECTORS = ("spam-svm", "bayar2016", "cozzolino2017", "xception", "mislnet", "bayar2016-published")
RESTORING = ("gan-kim", "gan-vgg", "gan-ensemble")  # where an outcome does not say which attacks restore
DETECTOR, ATTACK = "detector", "attack"  # the roles of `Outcome.labels`

_SPELLING = {
    "spam-svm": "SPAM + SVM",
    "bayar2016": "Bayar2016",
    "bayar2016-published": "Bayar2016, as published",
    "cozzolino2017": "Cozzolino2017",
    "xception": "Xception",
    "mislnet": "MISLnet",
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
_MANIPULATIONS = {
    "blur": "Blurring σ = {}",
    "jpeg": "JPEG Q = {}",
    "median": "Median {0} × {0}",
    "resize": "Resizing × {}",
}
# Where rows have the text form of a part, and where its label.
_ROW_LABELS = {DETECTOR: (("detector", "label"), ("target", "target_label")), ATTACK: (("attack", "attack_label"),)}

Contest = tuple[str, str]  # the text forms of a target, "" where no detector is targeted, and of an attack


@dataclass(frozen=True)
class LabelledPart:
    """A detector or an attack of the study."""

    role: str  # DETECTOR or ATTACK
    text: str  # the text form
    label: str  # as rows.csv has it
    name: str
    settings: str  # those that are not at their default: KEY=VALUE,KEY=VALUE
    restores: bool
    plug_in: str  # package and version, "" for a part of counterforensics


class Labels:
    """What a reader sees of each detector and attack in place of its text form."""

    def __init__(self, parts: Iterable[LabelledPart] = ()) -> None:
        """parts: all detectors and attacks of a study; a part that is not among them gets its default label."""
        self.parts = tuple(parts)
        self._shown = {role: _shown([part for part in self.parts if part.role == role]) for role in _ROW_LABELS}
        self._slugs = {role: _slugs([part for part in self.parts if part.role == role]) for role in _ROW_LABELS}

    @classmethod
    def of(cls, outcome: Outcome) -> Labels:
        """Those of everything that the outcome tells of."""
        return cls(_parts(outcome.rows, outcome.labels, _texts(outcome)))

    @classmethod
    def of_rows(cls, rows: pd.DataFrame) -> Labels:
        """Those of the detectors and attacks in `rows`."""
        return cls(_parts(rows, pd.DataFrame(), {}))

    def detector(self, text: str) -> str:
        """The label of the detector with this text form, in the literature's spelling."""
        return self._shown[DETECTOR].get(text) or spelled(_default(text))

    def attack(self, text: str) -> str:
        """The label of the attack with this text form, in the literature's spelling."""
        return self._shown[ATTACK].get(text) or spelled(_default(text))

    def trainings(self, text: str) -> str:
        """One label for all trainings that differ from `text`, a detector or an attack, in the seed alone.

        >>> Labels().trainings("gan-vgg:seed=1")
        'GAN restoration (VGG)'
        """
        if text in self._shown[DETECTOR]:
            return self.detector(text)
        plain = whatever_the_seed(text)
        alike = (other for other in self._shown[ATTACK] if whatever_the_seed(other) == plain)
        first = next(alike, plain)
        shown = self._shown[ATTACK]
        return shown[plain] if plain in shown else _without_seed(shown.get(first) or spelled(_default(plain)))

    def contest(self, contest: Contest | None) -> str:
        """The end of a title: under which attack, and against which target; empty without an attack.

        >>> Labels().contest(("mislnet", "fgsm"))
        ' under FGSM, target MISLnet'
        """
        if contest is None:
            return ""
        target, attack = contest
        return f" under {self.attack(attack)}" + (f", target {self.detector(target)}" if target else "")

    def contest_slug(self, contest: Contest | None) -> str:
        """The end of a file name for this target and attack; empty without an attack.

        >>> Labels().contest_slug(("mislnet", "fgsm"))
        '-fgsm-mislnet'
        """
        if contest is None:
            return ""
        target, attack = contest
        return f"-{self.attack_slug(attack)}" + (f"-{self._slug(DETECTOR, target)}" if target else "")

    def attack_slug(self, text: str) -> str:
        """The attack's label as a part of a file name, which no other attack has."""
        return self._slug(ATTACK, text)

    def restores(self, attack: str) -> bool:
        """Whether the attack gives back the traces of pristine patches, where others add noise.

        >>> Labels().restores("gan-vgg:size=small"), Labels().restores("fgsm")
        (True, False)
        """
        known = (part.restores for part in self.parts if part.role == ATTACK and part.text == attack)
        return next(known, take_apart(attack)[0] in RESTORING)

    def _slug(self, role: str, text: str) -> str:
        return self._slugs[role].get(text) or slug(_default(text))


def spelled(label: str) -> str:
    """A label that begins with a known name, in the literature's spelling; what the user wrote stays as it is.

    >>> spelled("cozzolino2017 (steps=0)"), spelled("mislnet"), spelled("mislnet at night"), spelled("mine (a=b)")
    ('Cozzolino2017 (steps = 0)', 'MISLnet', 'mislnet at night', 'mine (a=b)')
    """
    name, bracket, rest = label.partition(" (")
    return _SPELLING[name] + bracket + rest.replace("=", " = ") if name in _SPELLING else label


def shown_settings(settings: str) -> str:
    """Settings as a table shows them.

    >>> shown_settings("steps=0,optimiser=adamw"), shown_settings("7"), shown_settings("")
    ('steps = 0, optimiser = adamw', '7', '')
    """
    return settings.replace(",", ", ").replace("=", " = ")


def manipulation_label(text: str) -> str:
    """`median:7` as `Median 7 × 7`; a manipulation that is not known keeps its text form."""
    name, settings = take_apart(text)
    if name in _MANIPULATIONS and set(settings) == {""}:
        return _MANIPULATIONS[name].format(settings[""])
    return text


def whatever_the_seed(attack: str) -> str:
    """The attack without a seed of its own: what its trainings have in common.

    >>> whatever_the_seed("gan-vgg:seed=1,size=small"), whatever_the_seed("gan-vgg:seed=1")
    ('gan-vgg:size=small', 'gan-vgg')
    """
    return _without(attack, "seed")


def whatever_the_loss(attack: str) -> str:
    """The attack without the loss that it follows: one attack may be run with several.

    >>> whatever_the_loss("fgsm:loss=cross-entropy,epsilon=2"), whatever_the_loss("fgsm:loss=logit")
    ('fgsm:epsilon=2', 'fgsm')
    """
    return _without(attack, "loss")


def predicts_spam(part: str) -> bool:
    """Whether that is a start that learns to predict the SPAM feature, which detects nothing.

    >>> predicts_spam("xception:outputs=338,learns=spam"), predicts_spam("xception")
    (True, False)
    """
    return take_apart(part)[1].get("learns") == "spam"


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


def slug(text: str) -> str:
    """`text` as part of a file name: lower case, and a hyphen for every stretch of other characters."""
    return re.sub(r"[^\w.]+|_+", "-", text.lower()).strip("-") or "unnamed"


def distinct(names: Iterable[str]) -> list[str]:
    """The same names, those that stood before with a number.

    >>> distinct(["a", "b", "a", "a"])
    ['a', 'b', 'a-2', 'a-3']
    """
    found: dict[str, None] = {}
    for name in names:
        number, told = 1, name
        while told in found:
            number += 1
            told = f"{name}-{number}"
        found[told] = None
    return list(found)


def _default(text: str) -> str:
    return default_labels([text])[text]


def _without(attack: str, setting: str) -> str:
    """The text form of the attack without one setting."""
    name, settings = take_apart(attack)
    rest = ",".join(f"{key}={value}" if key else value for key, value in settings.items() if key != setting)
    return f"{name}:{rest}" if rest else name


def _without_seed(label: str) -> str:
    """`gan-vgg (size=small, seed=1)` without the seed; any other label as it is."""
    name, bracket, rest = label.rpartition(" (")
    if not bracket or not rest.endswith(")"):
        return label
    told = [piece for piece in rest[:-1].split(", ") if not piece.startswith(("seed=", "seed ="))]
    return f"{name} ({', '.join(told)})" if told else name


def _shown(parts: Sequence[LabelledPart]) -> dict[str, str]:
    """The label of each part by its text form; one that a known name's spelling would double stays as it is."""
    count = Counter(spelled(part.label) for part in parts)
    return {part.text: spelled(part.label) if count[spelled(part.label)] == 1 else part.label for part in parts}


def _slugs(parts: Sequence[LabelledPart]) -> dict[str, str]:
    slugs = distinct(slug(part.label) for part in parts)
    return dict(zip((part.text for part in parts), slugs, strict=True))


def _texts(outcome: Outcome) -> dict[str, list[str]]:
    """The text forms by role of what was scored and drawn, which may not stand in the rows."""
    contests = [contest for scores in outcome.scores for contest in scores.concealed]
    contests += [(patch.target, patch.attack) for patch in outcome.patches]
    contests += [(one.target, one.attack) for one in outcome.spectra]
    detectors = [*(scores.detector for scores in outcome.scores), *(target for target, _ in contests)]
    return {DETECTOR: detectors, ATTACK: [attack for _, attack in contests]}


def _parts(rows: pd.DataFrame, labels: pd.DataFrame, more: Mapping[str, Iterable[str]]) -> list[LabelledPart]:
    """Every detector and attack, first those that `labels` lists, in its order."""
    listed = {
        (str(line["role"]), str(line["part"])): line for line in labels.astype(object).fillna("").to_dict("records")
    }
    parts = []
    for role, columns in _ROW_LABELS.items():
        known: dict[str, str] = {}
        for text, label in columns:
            known |= _column(rows, text, label)
        named = [text for own, text in listed if own == role]
        texts = list(dict.fromkeys(filter(None, [*named, *known, *more.get(role, ())])))
        known |= {text: str(listed[role, text]["label"]) for text in named}
        default = default_labels(texts)
        parts += [_part(role, text, known.get(text) or default[text], listed.get((role, text))) for text in texts]
    return parts


def _column(rows: pd.DataFrame, text: str, label: str) -> dict[str, str]:
    """Each text form in a column of the rows with its label, "" where the rows have none."""
    if text not in rows.columns:
        return {}
    texts = rows[text].astype(object).fillna("").astype(str)
    labels = rows[label].astype(object).fillna("").astype(str) if label in rows.columns else [""] * len(texts)
    return dict(zip(texts, labels, strict=True))


def _part(role: str, text: str, label: str, line: Mapping[Any, Any] | None) -> LabelledPart:
    name, _, settings = text.partition(":")
    if line is None:
        return LabelledPart(role, text, label, name, settings, role == ATTACK and name in RESTORING, "")
    restores = str(line["restores"]).lower() in ("true", "1", "1.0")
    return LabelledPart(role, text, label, str(line["name"]), str(line["settings"]), restores, str(line["plug_in"]))
