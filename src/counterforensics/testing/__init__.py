"""Contract tests: what every manipulation, detector and attack must do, of this package or of a plug-in.

`check_manipulation`, `check_detector` and `check_attack` take the text form by which a study names a part, so that the
entry point of a plug-in is tested, too. They need no test framework: a broken contract is an AssertionError that says
in a line how it was broken.

    from counterforensics.testing import check_manipulation

    def test_sharpening() -> None:
        check_manipulation("sharpen:1")

Each contract is a function of its own, in `MANIPULATION_CHECKS`, `DETECTOR_CHECKS` and `ATTACK_CHECKS`. Each takes a
case, such as `DetectorCase("tiny-cnn")`, which trains its detector once, so that a test framework can report them one
by one.
"""

from __future__ import annotations

from counterforensics.detectors.base import Detector
from counterforensics.testing.attacks import ATTACK_CHECKS, AttackCase
from counterforensics.testing.detectors import DETECTOR_CHECKS, DetectorCase
from counterforensics.testing.manipulations import MANIPULATION_CHECKS, ManipulationCase
from counterforensics.testing.samples import LinearTarget, sample_pairs, sample_patches, sample_photo


def check_manipulation(text: str) -> None:
    """Raise AssertionError unless the manipulation that `text` names, such as `median:7`, keeps every contract."""
    case = ManipulationCase(text)
    for check in MANIPULATION_CHECKS:
        check(case)


def check_detector(text: str, *, side: int | None = None) -> None:
    """Raise AssertionError unless the detector that `text` names keeps every contract.

    text: with settings that keep training short, such as `mislnet:steps=1`; it is trained several times.  side: of the
    patches that it learns from, 64 unless it takes another.
    """
    case = DetectorCase(text, side)
    for check in DETECTOR_CHECKS:
        check(case)


def check_attack(text: str, *, target: Detector | None = None) -> None:
    """Raise AssertionError unless the attack that `text` names keeps every contract.

    text: with settings that keep learning short, for an attack that learns.  target: the detector that it attacks. By
    default this is the first that it can attack of two: one whose logit is linear in the pixels, and a SPAM + SVM.
    """
    case = AttackCase(text, target)
    for check in ATTACK_CHECKS:
        check(case)


__all__ = [
    "ATTACK_CHECKS",
    "DETECTOR_CHECKS",
    "MANIPULATION_CHECKS",
    "AttackCase",
    "DetectorCase",
    "LinearTarget",
    "ManipulationCase",
    "check_attack",
    "check_detector",
    "check_manipulation",
    "sample_pairs",
    "sample_patches",
    "sample_photo",
]
