"""Splits by device: nobody is trained on what he is tested on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from counterforensics.errors import LeakageError, NameNotFoundError, PhotoError
from counterforensics.photos.base import Photo
from counterforensics.photos.splits import Split, audit, split_by_device


@dataclass(frozen=True)
class Named:
    """A photograph of which nothing is read."""

    device: str
    number: int

    @property
    def name(self) -> str:
        return f"{self.device}/{self.number}.jpg"

    @property
    def where(self) -> str:
        return self.name

    @property
    def digest(self) -> str:
        return self.name

    def read(self) -> np.ndarray:
        raise AssertionError("a split reads no photograph")


def photos_of(**devices: int) -> list[Named]:
    return [Named(device, number) for device, count in devices.items() for number in range(count)]


FOUR = photos_of(a=3, b=2, c=4, d=1)


def devices(photos: tuple[Photo, ...]) -> set[str]:
    return {photo.device for photo in photos}


# --- the split


@given(
    counts=st.lists(st.integers(1, 5), min_size=2, max_size=8),
    test=st.integers(1, 7),
    validation=st.floats(0, 0.9),
    seed=st.integers(0, 2**31),
)
def test_every_photo_has_one_role_and_no_device_two_sides(
    counts: list[int], test: int, validation: float, seed: int
) -> None:
    photos = photos_of(**{f"device-{number}": count for number, count in enumerate(counts)})
    if test >= len(counts):
        with pytest.raises(PhotoError, match=f"the split needs devices: at least 1 to train and {test} to test"):
            split_by_device(photos, test=test, validation=validation, seed=seed)
        return
    split = split_by_device(photos, test=test, validation=validation, seed=seed)
    assert len(devices(split.test)) == test
    assert not devices(split.test) & devices((*split.train, *split.validation))
    everybody: list[Photo] = [*split.train, *split.validation, *split.test]
    assert sorted(everybody, key=list[Photo](photos).index) == photos
    learn = len(split.train) + len(split.validation)
    assert len(split.validation) == (max(round(validation * learn), 1) if validation > 0 and learn > 1 else 0)


def test_the_seed_chooses_the_devices_whatever_order_they_come_in() -> None:
    tested = [
        devices(split_by_device(photos, test=2, seed=seed).test) for seed in range(8) for photos in (FOUR, FOUR[::-1])
    ]
    assert tested[::2] == tested[1::2]
    assert len({frozenset(some) for some in tested}) > 2


def test_named_devices_are_tested_and_all_others_learn() -> None:
    split = split_by_device(FOUR, test=["c", "a"], validation=0)
    assert [photo.name for photo in split.test] == [photo.name for photo in FOUR if photo.device in "ac"]
    assert [photo.name for photo in split.train] == [photo.name for photo in FOUR if photo.device in "bd"]
    assert split.validation == ()


def test_a_device_named_twice_is_tested_once() -> None:
    assert split_by_device(FOUR, test=["c", "c"]).test == split_by_device(FOUR, test=["c"]).test


def test_a_pattern_names_every_device_it_fits() -> None:
    photos = photos_of(**{"canon-1": 1, "canon-2": 1, "nikon-1": 1, "canon [1]": 1})
    split = split_by_device(photos, test=["canon-*"], train=["?????-*"], validation=0)
    assert (devices(split.test), devices(split.train)) == ({"canon-1", "canon-2"}, {"nikon-1"})
    assert devices(split_by_device(photos, test=["canon [1]"]).test) == {"canon [1]"}


def test_fewer_devices_learn_on_request() -> None:
    split = split_by_device(FOUR, test=1, train=2, validation=0)
    assert len(devices(split.train)) == 2
    assert len(devices(split.test)) == 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"test": 4}, "the split needs devices: at least 1 to train and 4 to test; the photographs come from 4"),
        ({"test": 2, "train": 3}, "the split needs devices: 3 to train and 2 to test; the photographs come from 4"),
        ({"test": ["a", "b", "c", "d"]}, "the split needs devices: at least 1 to train and 4 to test; the photographs"),
        ({"test": []}, "the split needs devices: at least 1 to train and"),
    ],
)
def test_too_few_devices_are_counted(settings: dict[str, object], message: str) -> None:
    with pytest.raises(PhotoError) as caught:
        split_by_device(FOUR, **settings)  # type: ignore[arg-type]
    assert str(caught.value).startswith(message)


def test_an_unknown_test_device_is_answered_by_the_nearest() -> None:
    with pytest.raises(NameNotFoundError, match="unknown device 'canon'; did you mean 'canon-1'"):
        split_by_device(photos_of(**{"canon-1": 1, "nikon-2": 1}), test=["canon"])


# --- the audit


def test_a_clean_split_passes_the_audit() -> None:
    assert audit(split_by_device(FOUR, test=1), {photo.digest: photo.name for photo in FOUR}) == ()


@pytest.mark.parametrize(
    ("roles", "message"),
    [
        ((("a", "train"), ("b", "train")), "a/0.jpg (train) and b/0.jpg (train)"),
        ((("a", "train"), ("b", "test")), "a/0.jpg (train) and b/0.jpg (test)"),
        ((("a", "validation"), ("b", "test")), "a/0.jpg (validation) and b/0.jpg (test)"),
        ((("b", "test"), ("c", "test")), "b/0.jpg (test) and c/0.jpg (test)"),
    ],
)
def test_the_same_pixels_under_two_devices_stop_the_run(roles: tuple[tuple[str, str], ...], message: str) -> None:
    by_role: dict[str, tuple[Photo, ...]] = {"train": (), "validation": (), "test": ()}
    for device, role in roles:
        by_role[role] += (Named(device, 0),)
    with pytest.raises(LeakageError) as caught:
        audit(Split(**by_role), {f"{device}/0.jpg": "the same pixels" for device, _ in roles})
    assert str(caught.value).startswith(f"the same photograph stands twice: {message};")


def test_a_copy_on_the_other_side_of_one_device_stops_the_run() -> None:
    split = Split(train=(Named("a", 0),), validation=(Named("a", 1),), test=(Named("b", 0),))
    with pytest.raises(LeakageError, match=r"a/0.jpg \(train\) and a/1.jpg \(validation\)"):
        audit(split, {"a/0.jpg": "same", "a/1.jpg": "same", "b/0.jpg": "other"})


def test_a_copy_beside_its_original_is_noted() -> None:
    split = Split(train=(Named("a", 0), Named("a", 1)), validation=(), test=(Named("b", 0),))
    notes = audit(split, {"a/0.jpg": "same", "a/1.jpg": "same", "b/0.jpg": "other"})
    assert notes == ("a/1.jpg: the same pixels as a/0.jpg; both are counted",)
