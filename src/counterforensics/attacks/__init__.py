"""The attacks. A new one is one file with a dataclass of settings, a function, and one line of `ATTACKS`."""

from __future__ import annotations

from counterforensics.attacks.base import Attack, Concealed, Diagnostics, LearnedAttack, PreparedAttack
from counterforensics.attacks.deepfool import DeepFool, deepfool
from counterforensics.attacks.fgsm import Fgsm, fgsm
from counterforensics.attacks.gan_restoration import GENERATORS, GanEnsemble, GanKim, GanVgg, load_generator, restore
from counterforensics.attacks.jsma import Jsma, jsma
from counterforensics.attacks.pgd import Pgd, pgd
from counterforensics.attacks.spam_descent import SpamDescent, spam_descent
from counterforensics.attacks.spam_gradient import SpamGradient, spam_gradient
from counterforensics.names import Registry

ATTACKS: Registry[Attack] = Registry(
    "attack",
    Attack,  # type: ignore[type-abstract]
    {
        "fgsm": Fgsm,
        "pgd": Pgd,
        "deepfool": DeepFool,
        "jsma": Jsma,
        "spam-descent": SpamDescent,
        "spam-gradient": SpamGradient,
        **GENERATORS,
    },
)


def parse(text: str) -> Attack:
    """The attack that `text` names.  Raises NameNotFoundError, StudyError or AttackError.

    >>> parse("fgsm:epsilon=2")
    Fgsm(epsilon=2, loss='logit')
    """
    return ATTACKS.parse(text)


def text_form(attack: Attack) -> str:
    """The text that `parse` turns back into `attack`."""
    return ATTACKS.text_form(attack)


__all__ = [
    "ATTACKS",
    "Attack",
    "Concealed",
    "DeepFool",
    "Diagnostics",
    "Fgsm",
    "GanEnsemble",
    "GanKim",
    "GanVgg",
    "Jsma",
    "LearnedAttack",
    "Pgd",
    "PreparedAttack",
    "SpamDescent",
    "SpamGradient",
    "deepfool",
    "fgsm",
    "jsma",
    "load_generator",
    "parse",
    "pgd",
    "restore",
    "spam_descent",
    "spam_gradient",
    "text_form",
]
