"""Detectors that were trained before, as detectors of a study."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from counterforensics.detectors import Recipe, load_detector, parse, text_form, zoo
from counterforensics.detectors.mislnet import MislNet
from counterforensics.detectors.spam_svm import SpamSvm
from counterforensics.detectors.trained import Trained
from counterforensics.errors import StudyError, TrainingError, WeightsError
from counterforensics.study.entering import enter
from counterforensics.study.out_folder import folder_name
from counterforensics.study.run import run_study
from counterforensics.study.settings import load_study
from counterforensics.study.tasks import LOAD, TRAIN
from counterforensics.testing import sample_pairs
from tests.conftest import COZZOLINO, plan_of, tiny_settings, tiny_study, write_study

# All that names the detector, in rows.csv.
NAMES = {"detector", "target", "label", "target_label"}


def folder_of(finished: Path, recipe: str) -> Path:
    """Where a run keeps its detectors of one recipe."""
    return finished / "detectors" / "0" / folder_name(recipe)


def rows_of(out: Path) -> list[dict[str, str]]:
    with (out / "rows.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def changed(source: Path, folder: Path, **entries: Any) -> str:
    """A copy of trained detectors in `folder`, each with `entries` of its record changed (None: left out)."""
    shutil.copytree(source, folder)
    for path in folder.glob("*/detector.json") if entries else ():
        record = json.loads(path.read_text("utf-8")) | entries
        path.write_text(json.dumps({name: value for name, value in record.items() if value is not None}), "utf-8")
    return f"trained:{folder}"


def test_a_detector_from_a_folder_gives_the_same_rows(finished: Path, tmp_path: Path) -> None:
    before = {text: f"trained:{folder_of(finished, text)}" for text in ("spam-svm", COZZOLINO)}
    study = tiny_study(
        tmp_path, detectors=list(before.values()), attacks=[{"attack": "fgsm", "targets": [before[COZZOLINO]]}]
    )
    assert run_study(study, tmp_path / "out", workers=2).failures == ()
    again, first = rows_of(tmp_path / "out"), rows_of(finished)
    assert [row["detector"] for row in again] == [before[row["detector"]] for row in first]
    assert [[value for name, value in row.items() if name not in NAMES] for row in again] == [
        [value for name, value in row.items() if name not in NAMES] for row in first
    ]


def test_nothing_is_trained_and_a_judge_is_known_by_its_own_recipe(tmp_path: Path) -> None:
    plan = plan_of(tiny_study(tmp_path, detectors=["trained:mislnet"], attacks=[]))
    kinds = [task.kind for task in plan.tasks.values()]
    assert TRAIN not in kinds
    assert kinds.count(LOAD) == 2  # one for each manipulation
    judges = {task.worker_name.partition(":")[0] for task in plan.tasks.values() if task.kind.name == "judge"}
    assert judges == {"mislnet"}


def test_a_result_depends_on_the_stored_detector_and_not_on_its_place(finished: Path, tmp_path: Path) -> None:
    source = folder_of(finished, "spam-svm")
    texts = [f"trained:{source}", changed(source, tmp_path / "moved"), changed(source, tmp_path / "other", seed=99)]
    plans = [plan_of(tiny_study(tmp_path, detectors=[text], attacks=[])) for text in texts]
    keys = [{key for key, task in plan.tasks.items() if task.kind is LOAD} for plan in plans]
    assert keys[0] == keys[1]
    assert not keys[0] & keys[2]


@pytest.mark.parametrize(("text", "recipe"), [("trained:mislnet", MislNet), ("trained:spam-svm", SpamSvm)])
def test_it_declares_what_the_recipe_declares(text: str, recipe: type[Recipe]) -> None:
    one, other = parse(text), recipe()
    assert (one.patch_side, one.uses_gpu, one.reads_rgb) == (other.patch_side, other.uses_gpu, other.reads_rgb)
    assert type(one.build()) is type(other.build())
    assert text_form(one) == text
    assert len(one.files) == 16  # a record and tensors for each manipulation
    one.check_files()


def test_one_folder_is_a_detector_of_its_own_manipulation(finished: Path) -> None:
    folder = folder_of(finished, "spam-svm") / "median:7"
    one = Trained(str(folder))
    assert one.trained_folder("median:7") == folder
    with pytest.raises(StudyError, match=r"has no detector of jpeg:70; .* \(manipulations: \[median:7\]\)"):
        one.trained_folder("jpeg:70")
    with pytest.raises(TrainingError, match="is trained; load_detector loads it"):
        one.train(sample_pairs(), seed=0)


def test_one_shipped_detector_is_named_as_everywhere() -> None:
    assert list(Trained("mislnet/median:7").folders) == ["median:7"]


def test_a_shipped_detector_enters_a_protocol() -> None:
    study = enter(load_study("leaderboard"), ["trained:mislnet"])
    assert "trained:mislnet" in {contest.target.text for contest in study.contests if contest.target}


@pytest.mark.parametrize("text", ["trained:nothing-there", "trained:spam-svn", f"trained:{'long/' * 60}{'a' * 300}"])
def test_a_folder_without_a_detector_is_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"no trained detector in .*; give .* \(cozzolino2017, mislnet, spam-svm\)"):
        load_study(str(write_study(tmp_path / "s.yaml", tiny_settings(detectors=[text], attacks=[]))))


def test_a_place_that_is_no_folder_of_this_machine_is_refused() -> None:
    for place in ("s3://bucket/detectors", " "):
        with pytest.raises(StudyError, match="trained: weights must be a folder of this machine, got"):
            Trained(place)


def test_a_detector_that_saw_a_test_photograph_or_device_is_refused(finished: Path, tmp_path: Path) -> None:
    source = folder_of(finished, "spam-svm")
    record = json.loads((source / "median:7" / "detector.json").read_text("utf-8"))
    split = {"test": record["devices"][:1]}
    with pytest.raises(StudyError, match=r"learned on 2 of the test photographs; take another, or test on others"):
        plan_of(tiny_study(tmp_path, detectors=[f"trained:{source}"], attacks=[], split=split))
    other = changed(source, tmp_path / "other", photos=["0" * 64])
    with pytest.raises(StudyError, match=f"learned on photographs of the test device {record['devices'][0]}; take"):
        plan_of(tiny_study(tmp_path, detectors=[other], attacks=[], split=split))
    for unsaid in ("photos", "devices"):
        silent = changed(source, tmp_path / unsaid, **{unsaid: None})
        with pytest.raises(StudyError, match=r"does not say on which photographs it learned; .* into its record"):
            plan_of(tiny_study(tmp_path, detectors=[silent], attacks=[]))


def test_a_record_that_leads_back_to_itself_is_refused(finished: Path, tmp_path: Path) -> None:
    place = tmp_path / "circle"
    text = changed(folder_of(finished, "spam-svm"), place, detector="trained", settings={"weights": str(place)})
    for use in (parse(text).check_files, parse(text).build, lambda: load_detector(place / "median:7")):
        with pytest.raises(WeightsError, match="names 'trained', and not the detector that was trained"):
            use()


def test_a_damaged_detector_fails_alone(finished: Path, tmp_path: Path) -> None:
    text = changed(folder_of(finished, "spam-svm"), tmp_path / "damaged")
    path = tmp_path / "damaged" / "median:7" / "weights.safetensors"
    path.write_bytes(path.read_bytes()[:-4])
    outcome = run_study(tiny_study(tmp_path, detectors=[text], attacks=[]), tmp_path / "out", workers=2)
    measured = [row["manipulation"] for row in rows_of(tmp_path / "out") if row["tpr"]]
    assert measured == ["jpeg:70"]
    (said,) = outcome.failures
    assert "truncated or altered" in said


@pytest.mark.parametrize(("name", "photos", "devices"), [("mislnet/median:7", 234, 64), ("mislnet/jpeg:90", 182, 51)])
def test_a_shipped_detector_says_on_which_photographs_it_learned(name: str, photos: int, devices: int) -> None:
    network = load_detector(name)
    assert len(network.learned_photos) == photos
    assert len(network.learned_devices) == devices


def test_every_shipped_detector_names_its_photographs() -> None:
    assert all(load_detector(name).learned_photos for name in zoo.shipped())
