"""What Python hands over by mistake: every function that reads it says in one error what it takes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import counterforensics
from counterforensics import attack_photo, detect, read_photo
from counterforensics.errors import CounterforensicsError
from counterforensics.laundering import fit_platform, launder
from counterforensics.photos.folder import find_photos
from tests.conftest import picture

PHOTO = picture(0, 160, 160)
SVM, STAND_IN = "spam-svm/median:7", "cozzolino2017/median:7"
NO_PATH = "a path is a text or a pathlib.Path, got "
NO_TEXT = "a text form must be a text, got "


def attack(**changes: Any) -> object:
    given: dict[str, Any] = {"detector": STAND_IN, "attack": "fgsm", "stride": 128} | changes
    return attack_photo(given.pop("photo", PHOTO), **given)


CASES: dict[str, tuple[Callable[[], object], str]] = {
    "no path": (lambda: read_photo(None), f"{NO_PATH}NoneType"),  # type: ignore[arg-type]
    "bytes as path": (lambda: read_photo(b"a.jpg"), f"{NO_PATH}bytes"),  # type: ignore[arg-type]
    "pixels as path": (lambda: read_photo(PHOTO), f"{NO_PATH}ndarray"),  # type: ignore[arg-type]
    "a zero byte": (lambda: read_photo("a\0.jpg"), r"'a\x00.jpg' is no path: it holds a zero byte"),
    "an address": (lambda: read_photo("s3://b/a.jpg"), "'s3://b/a.jpg' is an address; give a path of this machine"),
    "a list of rows": (lambda: detect(PHOTO.tolist()), "a photograph must be uint8 [h, w, 3], got list"),
    "rows of two lengths": (lambda: detect([[1], [1, 2]]), "a photograph must be uint8 [h, w, 3], got list"),  # type: ignore[arg-type]
    "one detector": (lambda: detect(PHOTO, detectors=SVM), "detectors must be a list of texts, got one text; write ["),
    "one manipulation": (
        lambda: detect(PHOTO, manipulations="median:7"),
        "manipulations must be a list of texts, got one text; write ['median:7']",
    ),
    "no manipulation": (
        lambda: detect(PHOTO, manipulations=[None]),  # type: ignore[list-item]
        "manipulations must be a list of texts, got [None]",
    ),
    "one folder": (
        lambda: find_photos("photos"),  # type: ignore[arg-type]
        "folders of photographs must be a list of texts, got one text; write ['photos']",
    ),
    "a number as folder": (
        lambda: find_photos([3]),  # type: ignore[list-item]
        "folders of photographs must be a list of texts, got [3]",
    ),
    "a zero byte in a folder": (lambda: find_photos([Path("a\0")]), "is no path: it holds a zero byte"),
    "no attack": (lambda: attack(attack=None), f"attack: {NO_TEXT}None"),
    "a number as manipulation": (lambda: attack(manipulate=3), f"manipulation: {NO_TEXT}3"),
    "half a region": (lambda: attack(region=(1, 2)), "a region is (x, y, width, height) in whole pixels, got (1, 2)"),
    "a number as region": (lambda: attack(region=3), "a region is (x, y, width, height) in whole pixels, got 3"),
    "half a pixel": (lambda: attack(region=(0.5, 0, 9, 9)), "in whole pixels, got (0.5, 0, 9, 9)"),
    "a stride of 0": (lambda: attack(stride=0), "the stride must be a whole number of pixels from 1 on, got 0"),
    "a negative seed": (lambda: attack(seed=-1), "attack: seed must be a whole number, 0..4294967295, got -1"),
    "a text as seed": (lambda: attack(seed="x"), "attack: seed must be a whole number, 0..4294967295, got 'x'"),
    "no platform": (lambda: launder(PHOTO, None), f"platform: {NO_TEXT}None"),  # type: ignore[arg-type]
    "a list of platforms": (lambda: launder(PHOTO, ["x"]), f"platform: {NO_TEXT}['x']"),  # type: ignore[arg-type]
    "no pairs": (lambda: fit_platform(None, None), f"{NO_PATH}NoneType"),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("case", CASES)
def test_an_odd_argument_is_one_clear_error(case: str) -> None:
    call, said = CASES[case]
    with pytest.raises(CounterforensicsError) as raised:
        call()
    assert said in str(raised.value)


def test_paths_and_numpy_s_numbers_are_taken() -> None:
    (record,) = Path(counterforensics.__file__).parent.glob("zoo/spam-svm/median*7/detector.json")
    judged = detect(PHOTO, detectors=[record.parent], stride=128)  # type: ignore[list-item]
    assert [finding.manipulation for finding in judged.findings] == ["median:7"]
    whole = np.int64(160)
    assert attack(region=(0, 0, whole, whole), stride=128)
