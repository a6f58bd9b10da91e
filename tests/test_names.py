from __future__ import annotations

from dataclasses import dataclass

import pytest

from counterforensics import attacks, detectors, manipulations, names
from counterforensics.errors import CounterforensicsError, NameNotFoundError, StudyError

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


@pytest.mark.parametrize(("module", "text"), TEXTS, ids=lambda value: getattr(value, "__name__", value))
def test_a_text_form_comes_back_as_it_was(module: object, text: str) -> None:
    assert module.text_form(module.parse(text)) == text  # type: ignore[attr-defined]


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
        ("median:radius=7", NameNotFoundError, "unknown setting of median 'radius'"),
        ("median:big", StudyError, "median:size must be of type int, got 'big'"),
        ("median:3.5", StudyError, "median:size must be of type int, got '3.5'"),
        ("median:4", StudyError, "size must be odd"),
        ("jpeg:0", StudyError, "quality must lie between 1 and 100, got 0"),
        ("blur:nan", StudyError, "sigma must lie between"),
        ("resize:-1", StudyError, "scale must lie between"),
    ],
)
def test_a_text_that_names_nothing_says_what_would(text: str, error: type[Exception], said: str) -> None:
    with pytest.raises(error) as raised:
        manipulations.parse(text)
    assert said in str(raised.value)


@dataclass(frozen=True)
class _Part:
    size: int
    loud: bool = False


def test_yes_and_no_are_read_as_such() -> None:
    known = {"part": _Part}
    assert names.parse("part", "part:3,loud=true", known) == _Part(3, True)
    assert names.text_form(_Part(3, True), known) == "part:3,loud=True"
    with pytest.raises(StudyError, match="loud must be of type bool, got 'maybe'"):
        names.parse("part", "part:3,loud=maybe", known)


def test_a_part_nobody_registered_has_no_name() -> None:
    with pytest.raises(CounterforensicsError, match="registered under no name"):
        names.text_form(_Part(1), {})


def test_settings_are_shown_with_their_defaults() -> None:
    assert names.settings_of(_Part) == "size, loud=False"
