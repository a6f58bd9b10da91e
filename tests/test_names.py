"""Text forms, both ways. Plug-ins have a file of their own."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from types import ModuleType
from typing import ClassVar

import pytest

from counterforensics import attacks, detectors, manipulations, names
from counterforensics.errors import CounterforensicsError, NameNotFoundError, StudyError
from counterforensics.manipulations import MANIPULATIONS
from counterforensics.names import Part, Registry

TEXTS = [
    *((manipulations, text) for text in manipulations.PAPER),
    (detectors, "spam-svm"),
    (detectors, "spam-svm:c=0.01,normalisation=l2"),
    (detectors, "cozzolino2017:parametrisation=free"),
    (detectors, "cozzolino2017:steps=0"),
    (detectors, "cozzolino2017:alpha=0.12345678901"),
    (attacks, "fgsm"),
    (attacks, "fgsm:epsilon=2,loss=cross-entropy"),
]
EVERY_PART = [
    (registry, name)
    for registry in (manipulations.MANIPULATIONS, detectors.DETECTORS, attacks.ATTACKS)
    for name in registry
]


@pytest.mark.parametrize(("module", "text"), TEXTS, ids=[text for _, text in TEXTS])
def test_a_text_form_comes_back_as_it_was(module: ModuleType, text: str) -> None:
    assert module.text_form(module.parse(text)) == text


@pytest.mark.parametrize(
    ("text", "shortest"), [("blur:1.10", "blur:1.1"), ("median:size=7", "median:7"), (" resize: 1.50", "resize:1.5")]
)
def test_a_text_form_is_brought_to_its_shortest(text: str, shortest: str) -> None:
    assert manipulations.text_form(manipulations.parse(text)) == shortest


@pytest.mark.parametrize(
    ("text", "error", "said"),
    [
        ("medain:7", NameNotFoundError, "unknown manipulation 'medain'; did you mean 'median'?"),
        ("median", StudyError, "manipulation 'median' needs a value for size"),
        ("median:7,9", StudyError, "cannot read '9' in 'median:7,9'"),
        ("median:7,size=9", StudyError, "'median:7,size=9' gives 'size' twice; give it once"),
        ("median:radius=7", NameNotFoundError, "unknown setting of median 'radius'"),
        ("median:big", StudyError, "median:size must be of type int, got 'big'"),
        ("median:3.5", StudyError, "median:size must be of type int, got '3.5'"),
        ("median:1_1", StudyError, "median:size must be of type int, got '1_1'"),
        ("median:true", StudyError, "median:size must be of type int, got 'true'"),
        ("median:\N{ARABIC-INDIC DIGIT SEVEN}", StudyError, "median:size must be of type int, got"),
        ("median:7,size=3", StudyError, "'median:7,size=3' gives 'size' twice; give it once"),
        ("median:" + "9" * 500, StudyError, "median:size must be of type int, got '999"),
        ("blur:1_1.5", StudyError, "blur:sigma must be of type float, got '1_1.5'"),
        ("x" * 5000, StudyError, "a text form has at most 2000 letters, got 5000: 'xxx"),
        ("med\x1b[2J", NameNotFoundError, r"unknown manipulation 'med\x1b[2J'; did you mean 'median'?"),
        ("median:inf", StudyError, "median:size must be of type int, got 'inf'"),
        ("median:4", StudyError, "size must be odd"),
        ("jpeg:0", StudyError, "quality must lie between 1 and 100, got 0"),
        ("blur:nan", StudyError, "sigma must lie between"),
        ("blur:0.05", StudyError, "blur: sigma must lie between 0.3 and 50, got 0.05"),
        ("resize:1", StudyError, "scale must differ by at least 0.001 from 1, which changes nothing, got 1"),
        ("resize:1.0005", StudyError, "scale must differ by at least 0.001 from 1, which changes nothing, got 1.0005"),
        ("resize:-1", StudyError, "scale must lie between"),
    ],
)
def test_a_text_that_names_nothing_says_what_would(text: str, error: type[Exception], said: str) -> None:
    with pytest.raises(error) as raised:
        manipulations.parse(text)
    assert said in str(raised.value)
    assert len(str(raised.value)) < 400


@pytest.mark.parametrize("name", MANIPULATIONS)
def test_the_form_that_a_name_alone_is_answered_with_works(name: str) -> None:
    with pytest.raises(StudyError, match=f"needs a value for .*; write {name}:") as raised:
        manipulations.parse(name)
    suggested = str(raised.value).rpartition(" ")[2]
    assert manipulations.text_form(manipulations.parse(suggested)) == suggested


@dataclass(frozen=True)
class Sized(Part):
    """A part with settings of every type."""

    size: int
    loud: bool = False
    strength: float = 1
    mode: str = "soft"

    former_names: ClassVar[dict[str, str]] = {"power": "strength"}


@dataclass(frozen=True)
class Plain(Part):
    """A part without settings."""


@dataclass(frozen=True)
class Named(Part):
    """A part that begins with a word."""

    mode: str


@pytest.fixture
def known() -> Registry[Part]:
    return Registry("part", Part, {"sized": Sized, "plain": Plain, "named": Named})


def test_yes_and_no_are_read_as_such(known: Registry[Part]) -> None:
    assert known.parse("sized:3,loud=true") == Sized(3, True)
    assert known.text_form(Sized(3, True)) == "sized:3,loud=True"
    with pytest.raises(StudyError, match="loud must be of type bool, got 'maybe'"):
        known.parse("sized:3,loud=maybe")


def test_a_default_has_the_type_of_its_setting_whoever_gives_it(known: Registry[Part]) -> None:
    left_out, given = known.parse("sized:3"), known.parse("sized:3,strength=1")
    assert repr(left_out) == repr(given) == "Sized(size=3, loud=False, strength=1.0, mode='soft')"


def test_a_large_whole_number_keeps_every_digit(known: Registry[Part]) -> None:
    assert known.parse("sized:9007199254740993") == Sized(9007199254740993)


@pytest.mark.parametrize("mode", ["a=b", "", "soft"])
def test_a_word_comes_back_as_it_was(known: Registry[Part], mode: str) -> None:
    assert known.parse(known.text_form(Named(mode))) == Named(mode)


@pytest.mark.parametrize("mode", ["a,b", " a"])
def test_a_word_that_no_text_form_can_carry_is_refused(known: Registry[Part], mode: str) -> None:
    with pytest.raises(StudyError, match=r"named:mode cannot stand in a text form: .* holds a comma or outer blanks"):
        known.text_form(Named(mode))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("plain:3", "cannot read '3' in 'plain:3'; plain has no settings"),
        ("plain:size=3", "plain has no settings, got 'size'"),
        ("sized:3,power=2", "sized: the setting 'power' is now called 'strength'"),
    ],
)
def test_a_setting_that_there_is_not_or_no_longer_is_said(known: Registry[Part], text: str, said: str) -> None:
    with pytest.raises(StudyError) as raised:
        known.parse(text)
    assert str(raised.value) == said


def test_a_part_nobody_registered_has_no_name() -> None:
    with pytest.raises(CounterforensicsError, match="registered under no name"):
        Registry("part", Part, {}).text_form(Sized(1))


def test_settings_are_shown_with_their_defaults() -> None:
    assert names.settings_with_defaults(Sized) == "size, loud=False, strength=1, mode=soft"


@pytest.mark.parametrize(("registry", "name"), EVERY_PART, ids=[name for _, name in EVERY_PART])
def test_every_part_is_a_class_that_a_study_can_name(registry: Registry[Part], name: str) -> None:
    names.check_part(registry[name], registry.contract)
    assert not registry.is_plug_in(registry[name])
    assert dataclasses.is_dataclass(registry[name])
