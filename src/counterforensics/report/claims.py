"""What the paper printed: Tables I to V of Gragnaniello et al. (2018), one CSV file a table.

The files hold the figures as printed, in percent; a `note` flags the one cell that contradicts itself.
"""

from __future__ import annotations

import csv
import functools
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files

from counterforensics.outcome import take_apart

_SETTINGS_NOT_GIVEN = ("bayar2016", "xception")
_GANS = ("gan-kim", "gan-vgg")
# Settings of a generator that the paper does not give; rate and momentum are what older rows call lr and beta1.
_TRAINING = {"size", "steps", "pairs_per_step", "lr", "beta1", "rate", "momentum", "seed", "weights"}
TABLES = {1: "I", 2: "II", 3: "III", 4: "IV", 5: "V"}


@dataclass(frozen=True)
class Claim:
    """One cell of the paper; rates 0..1, None where the paper prints no such figure."""

    table: str  # "I" to "V"
    manipulation: str
    detector: str
    target: str
    attack: str
    fpr: float | None
    tpr: float
    acc: float | None
    note: str


@functools.cache
def load_claims() -> tuple[Claim, ...]:
    """All cells of Tables I to V, in the order in which they are printed."""
    folder = files("counterforensics.report").joinpath("claims")
    claims: list[Claim] = []
    for number, roman in TABLES.items():
        text = folder.joinpath(f"table{number}.csv").read_text(encoding="utf-8")
        claims.extend(_claim(roman, line) for line in csv.DictReader(text.splitlines()))
    return tuple(claims)


def find_claim(manipulation: str, detector: str, target: str = "", attack: str = "") -> Claim | None:
    """The paper's cell for these text forms, or None where the paper measured no such thing.

    The paper gives no training settings for Bayar2016 and Xception, so any are compared. Another detector with
    settings of its own is not the paper's, and FGSM is the paper's only at epsilon 1: anything else is compared
    with no claim. Both losses of FGSM are compared: the paper names none; and generators of any size, as it gives none.
    """
    return _by_key().get((manipulation, detector_as_claimed(detector), detector_as_claimed(target), as_claimed(attack)))


def detector_as_claimed(detector: str) -> str:
    """The name under which the paper has this detector; one that the paper does not have stays itself.

    >>> detector_as_claimed("xception:steps=100"), detector_as_claimed("cozzolino2017:steps=0")
    ('xception', 'cozzolino2017:steps=0')
    """
    name, _ = take_apart(detector)
    return name if name in _SETTINGS_NOT_GIVEN else detector


def as_claimed(attack: str) -> str:
    """The name under which the paper has this attack; an attack that the paper does not have stays itself.

    >>> as_claimed("fgsm:loss=cross-entropy"), as_claimed("fgsm:epsilon=2")
    ('fgsm', 'fgsm:epsilon=2')
    >>> as_claimed("gan-vgg:size=small"), as_claimed("gan-vgg:adversarial=0")
    ('gan-vgg', 'gan-vgg:adversarial=0')
    """
    name, settings = take_apart(attack)
    if name in _GANS:
        return name if settings.keys() <= _TRAINING else attack
    if name != "fgsm":
        return attack
    epsilon = settings.pop("epsilon", settings.pop("", "1"))
    settings.pop("loss", None)
    try:
        same = float(epsilon) == 1 and not settings
    except ValueError:
        same = False
    return name if same else attack


def table_number(target: str, attack: str) -> str | None:
    """Roman number of the paper's table for this target and attack (both "" for no attack), or None."""
    contest = detector_as_claimed(target), as_claimed(attack)
    return next((c.table for c in load_claims() if (c.target, c.attack) == contest), None)


@functools.cache
def _by_key() -> Mapping[tuple[str, str, str, str], Claim]:
    return {(c.manipulation, c.detector, c.target, c.attack): c for c in load_claims()}


def _claim(table: str, line: Mapping[str, str]) -> Claim:
    def rate(name: str) -> float | None:
        return float(line[name]) / 100 if line[name] else None

    names = {name: line[name] for name in ("manipulation", "detector", "target", "attack", "note")}
    return Claim(table=table, fpr=rate("fpr"), tpr=float(line["tpr"]) / 100, acc=rate("acc"), **names)
