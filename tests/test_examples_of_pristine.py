"""Which photographs a training learns from: none whose file shows the traces of the manipulation already."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from counterforensics.manipulations import PAPER, Manipulation, parse
from counterforensics.photos.folder import find_photos
from counterforensics.photos.inspection import Inspection, inspect
from counterforensics.photos.jpeg_quality import JpegQuality, quality_of
from counterforensics.photos.simulated import DEVICES, SimulatedPhoto, simulated_photos
from counterforensics.photos.splits import Split
from counterforensics.study.examples import examples, notes_on_examples
from counterforensics.study.planning import plan_study
from counterforensics.study.settings import Named
from counterforensics.study.tasks import TRAIN
from tests.conftest import tiny_study

PHOTOS = simulated_photos(devices=9, photos=1, width=128, height=128)


def split_of(qualities: list[int | None]) -> tuple[Split, dict[str, Inspection]]:
    """Four photographs to train on, two held out and two to test, of these qualities, and what each is."""
    chosen = PHOTOS[: len(qualities)]
    found = {
        photo.digest: Inspection(128, 128, photo.digest, quality=JpegQuality(quality, exact=True) if quality else None)
        for photo, quality in zip(chosen, qualities, strict=True)
    }
    return Split(tuple(chosen[:4]), tuple(chosen[4:6]), tuple(chosen[6:])), found


def nine_cameras() -> tuple[Split, dict[str, Inspection]]:
    """One photograph of each: six to train on, one held out and two to test, and what each is."""
    photos = simulated_photos(devices=9, photos=1, width=192, height=160)
    return Split(tuple(photos[:6]), (photos[6],), tuple(photos[7:])), {photo.digest: inspect(photo) for photo in photos}


def named(text: str) -> Named[Manipulation]:
    """A manipulation as studies have it."""
    return Named(parse(text), text, text)


@given(st.lists(st.none() | st.integers(1, 100), min_size=8, max_size=8), st.integers(1, 99))
def test_photographs_of_that_quality_or_less_are_no_examples_for_jpeg(
    qualities: list[int | None], quality: int
) -> None:
    split, found = split_of([100, *qualities[1:]])
    left = examples(split, named(f"jpeg:{quality}"), found)
    of_photo = dict(zip(found, [100, *qualities[1:]], strict=True))
    for role in ("train", "validation"):
        given_, kept = split.roles[role], left.roles[role]
        expected = [photo for photo in given_ if (of_photo[photo.digest] or 101) > quality]
        assert list(kept) == expected
    assert left.test == split.test  # the test devices are what they are


@pytest.mark.parametrize("text", [text for text in PAPER if not text.startswith("jpeg")])
def test_all_photographs_are_examples_for_what_no_file_shows(text: str) -> None:
    split, found = split_of([1] * 8)
    assert examples(split, named(text), found) == split


def test_without_an_example_to_train_on_all_photographs_are_taken_and_a_note_says_so(tmp_path: Path) -> None:
    split, found = split_of([85, 80, 90, 70, 99, 99, 99, 99])
    study = tiny_study(tmp_path, manipulations=["jpeg:90"], detectors=["spam-svm"], attacks=[])
    assert examples(split, named("jpeg:90"), found) == split
    assert notes_on_examples(study, {0: split}, found) == [
        "every photograph to train on is compressed as strongly as jpeg:90 already, or more: detectors of it learn "
        "little from them; add photographs of higher quality"
    ]


def test_each_seed_is_noted_and_the_same_once(tmp_path: Path) -> None:
    split, found = split_of([85, 99, 99, 99, 99, 99, 99, 99])
    other = Split(split.train[1:], split.validation, (*split.test, split.train[0]))
    study = tiny_study(tmp_path, manipulations=["jpeg:90"], detectors=["spam-svm"], attacks=[])
    (note,) = notes_on_examples(study, {0: split, 1: split, 2: other}, found)
    assert note.startswith("detectors of jpeg:90 neither learn from 1 photograph of the training devices")
    assert notes_on_examples(study, {0: other}, found) == []


@pytest.mark.parametrize("device", DEVICES)
def test_a_simulated_camera_knows_the_quality_of_its_files(device: str) -> None:
    photo = SimulatedPhoto(device, 0, 128, 128, 0)
    assert photo.jpeg_quality() == quality_of(photo.encoded())
    assert inspect(photo).quality == photo.jpeg_quality()


def test_a_detector_of_jpeg_learns_from_examples_alone_and_a_note_says_so(tmp_path: Path) -> None:
    study = tiny_study(tmp_path, manipulations=["jpeg:90", "median:7"], detectors=["spam-svm"], attacks=[])
    split, found = nine_cameras()
    splits = dict.fromkeys(study.seeds, split)
    learned = {
        task.settings["manipulation"]: task
        for task in plan_study(study, splits, found).tasks.values()
        if task.kind is TRAIN
    }
    learned_from = (*split.train, *split.validation)
    compressed = {"simulated-d", "simulated-g"}  # the second is held out
    stored = {photo.device: found[photo.digest].quality for photo in learned_from}
    assert {device for device, one in stored.items() if one is None or one.quality <= 90} == compressed
    assert set(learned["median:7"].devices) == {photo.device for photo in learned_from}
    assert set(learned["jpeg:90"].devices) == set(learned["median:7"].devices) - compressed
    assert (learned["median:7"].settings["held_out"], learned["jpeg:90"].settings["held_out"]) == ([6], [])
    assert learned["jpeg:90"].photos == tuple(photo.digest for photo in split.train if photo.device not in compressed)
    assert notes_on_examples(study, splits, found) == [
        "detectors of jpeg:90 neither learn from 2 photographs of the training devices, nor take thresholds from "
        "there: the files are compressed as strongly already, or more"
    ]


def test_a_start_for_several_manipulations_learns_from_all_photographs(tmp_path: Path) -> None:
    detector = "mislnet:steps=1,start=shared,start_steps=1"
    study = tiny_study(tmp_path, manipulations=["jpeg:90", "median:7"], detectors=[detector], attacks=[])
    split, found = nine_cameras()
    splits = dict.fromkeys(study.seeds, split)
    plan = plan_study(study, splits, found)
    (start,) = (one for one in plan.trainings.values() if one.role == "start")
    assert len(plan.tasks[start.key].devices) == 7


def test_an_inspection_holds_the_quality_of_a_jpeg_file_and_none_of_another(photo_folder: Path) -> None:
    found = {photo.name: inspect(photo).quality for photo in find_photos([photo_folder]).photos}
    assert found["device-0/one.jpg"] == JpegQuality(95, exact=True)
    assert found["device-0/two.png"] is None
