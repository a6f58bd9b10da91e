"""The attacks. A new one is one file with a function, a dataclass and one line of `ATTACKS`."""

from __future__ import annotations

from collections.abc import Mapping

from counterforensics import names
from counterforensics.attacks.base import Attack, Concealed, Concealer, LearnedAttack
from counterforensics.attacks.deepfool import DeepFool, deepfool
from counterforensics.attacks.fgsm import Fgsm, fgsm
from counterforensics.attacks.gan_restoration import GENERATORS, GanEnsemble, GanKim, GanVgg, load_generator, restore
from counterforensics.attacks.jsma import Jsma, jsma
from counterforensics.attacks.pgd import Pgd, pgd
from counterforensics.attacks.spam_descent import SpamDescent, spam_descent
from counterforensics.attacks.spam_gradient import SpamGradient, spam_gradient

ATTACKS: Mapping[str, names.Factory] = {
    "fgsm": Fgsm,
    "pgd": Pgd,
    "deepfool": DeepFool,
    "jsma": Jsma,
    "spam-descent": SpamDescent,
    "spam-gradient": SpamGradient,
    **GENERATORS,
    **names.plug_ins("attacks"),
}


def parse(text: str) -> Attack:
    """The attack that `text` names.  Raises NameNotFoundError, StudyError or AttackError.

    >>> parse("fgsm:epsilon=2")
    Fgsm(epsilon=2, loss='logit')
    """
    attack: Attack = names.parse("attack", text, ATTACKS)
    return attack


def text_form(attack: Attack) -> str:
    """The text that `parse` turns back into `attack`."""
    return names.text_form(attack, ATTACKS)


__all__ = [
    "ATTACKS",
    "Attack",
    "Concealed",
    "Concealer",
    "DeepFool",
    "Fgsm",
    "GanEnsemble",
    "GanKim",
    "GanVgg",
    "Jsma",
    "LearnedAttack",
    "Pgd",
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
