"""Running a study: what is computed, what is kept, and what is left after trouble."""

from __future__ import annotations

import csv
import dataclasses
import errno
import hashlib
import io
import json
import math
import os
import re
import shutil
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from counterforensics import detectors
from counterforensics.detectors.xception import Xception
from counterforensics.errors import LeakageError, NameNotFoundError, PhotoError, StudyError
from counterforensics.evaluation import mse, psnr_of, radial_spectrum, residual_spectrum, ssim
from counterforensics.outcome import (
    CURVE_COLUMNS,
    LABEL_COLUMNS,
    PLANNED,
    ROW_COLUMNS,
    TIME_COLUMNS,
    TRAINING_COLUMNS,
    Outcome,
)
from counterforensics.photos.folder import find_photos
from counterforensics.report import write_report
from counterforensics.study import prepare
from counterforensics.study.out_folder import claim, folder_name, write_figures
from counterforensics.study.run import run_study
from counterforensics.study.schedulers import execute
from counterforensics.study.settings import Study, load_study
from counterforensics.study.store.folder import ENTRY, FolderStore, Store
from counterforensics.study.tasks import COMPARE, CONCEAL, JUDGE, TRAIN, Kind, Say, Task, run_task
from counterforensics.study.tasks.files import LIKENESS, PATCHES, SPECTRA, save
from tests.conftest import COZZOLINO, picture, plan_of, tiny_settings, tiny_study, write_study

FGSM_2 = [{"attack": "fgsm:epsilon=2", "targets": [COZZOLINO]}]


def rows_of(out: Path) -> list[dict[str, str]]:
    with (out / "rows.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def kinds_missing(study: Study, out: Path) -> Counter[str]:
    plan = plan_of(study)
    missing, damaged = plan.missing(FolderStore(out / "store"))
    assert damaged == []
    return Counter(plan.tasks[key].kind.name for key in missing)


def entries(out: Path, study: Study, kind: str) -> list[Path]:
    plan = plan_of(study)
    folders = [FolderStore(out / "store").folder(key) for key, task in plan.tasks.items() if task.kind.name == kind]
    assert all(folder.is_dir() for folder in folders)
    return folders


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The kinds of the tasks that are run, as they are run."""
    kinds: list[str] = []
    original = run_task

    def recorded(task: Task, store: Store, say: Callable[[str], None]) -> None:
        kinds.append(task.kind.name)
        original(task, store, say)

    monkeypatch.setattr(execute, "run_task", recorded)
    return kinds


RunKind = Callable[[Task, Store, Path, Say], None]


def failing(monkeypatch: pytest.MonkeyPatch, kind: Kind, instead: Callable[[RunKind, Task, Store, Path], None]) -> None:
    """Run tasks of this kind by `instead`, which is given the original."""
    original = kind.run

    def run_instead(_: Kind, task: Task, store: Store, folder: Path, say: Say) -> None:
        instead(original, task, store, folder)

    monkeypatch.setattr(type(kind), "run", run_instead)


# --- rows


def test_rows_have_the_documented_columns_and_one_line_a_measurement(finished: Path) -> None:
    lines = (finished / "rows.csv").read_text(encoding="utf-8").splitlines()
    assert lines[0] == ",".join(ROW_COLUMNS)
    contests = [(row["manipulation"], row["detector"], row["target"], row["attack"]) for row in rows_of(finished)]
    assert contests == [
        (manipulation, detector, target, attack)
        for manipulation in ("median:7", "jpeg:70")
        for target, attack in (("", ""), (COZZOLINO, "fgsm"))
        for detector in ("spam-svm", COZZOLINO)
    ]


def test_figures_of_a_row_agree_with_its_counts(finished: Path) -> None:
    for row in rows_of(finished):
        assert (row["study"], row["seed"], row["n_pristine"], row["n_manipulated"]) == ("tiny", "0", "24", "24")
        fpr, tpr = int(row["fp"]) / 24, int(row["tp"]) / 24
        shown = [row[name] for name in ("fpr", "tpr", "acc")]
        assert shown == [f"{value:.6f}" for value in (fpr, tpr, (tpr + 1 - fpr) / 2)]
        assert float(row["tpr_low"]) <= tpr <= float(row["tpr_high"])
        assert 0 <= float(row["auc"]) <= 1


def test_figures_of_an_attack_stand_where_there_is_one(finished: Path) -> None:
    quality = (
        "mse",
        "psnr",
        "unchanged",
        "zero_gradient",
        "changed",
        "already",
        "ssim",
        "psnr_pristine",
        "ssim_before",
    )
    for row in rows_of(finished):
        assert all(bool(row[name]) == bool(row["attack"]) for name in quality)
        if row["attack"]:
            # An epsilon of 1 moves every pixel by 1 or not at all.
            assert float(row["mse"]) <= 1
            assert float(row["changed"]) == pytest.approx(float(row["mse"]), abs=1e-6)
            detected = round((1 - float(row["already"])) * int(row["n_manipulated"]))
            assert bool(row["success"]) == (detected > 0)
            assert float(row["psnr"]) == pytest.approx(10 * np.log10(255**2 / float(row["mse"])), abs=1e-4)


def test_the_outcome_names_photographs_by_role_and_device(finished: Path, copy: Path, tiny_yaml: Path) -> None:
    photos = run_study(load_study(str(tiny_yaml)), copy).photos
    assert len(photos) == 8
    devices = photos.groupby("role")["device"].agg(set).to_dict()
    assert len(devices["test"]) == 2
    assert not devices["test"] & (devices["train"] | devices["validation"])
    assert set(photos["patches"]) == {6}
    pd.testing.assert_frame_equal(pd.read_csv(copy / "photos.csv"), photos)


def test_trained_detectors_have_a_path_a_person_can_type(finished: Path) -> None:
    for detector in ("spam-svm", COZZOLINO):
        loaded = detectors.load_detector(finished / "detectors" / "0" / folder_name(detector) / "median:7")
        assert loaded.differentiable == (detector == COZZOLINO)


# --- a rerun


def test_a_second_run_computes_nothing_and_says_the_same(
    finished: Path, copy: Path, tiny_yaml: Path, computed: list[str]
) -> None:
    study = load_study(str(tiny_yaml))
    assert kinds_missing(study, copy) == Counter()
    run_study(study, copy)
    assert computed == []
    assert (copy / "rows.csv").read_bytes() == (finished / "rows.csv").read_bytes()


def test_a_study_that_was_moved_without_its_links_computes_nothing(
    finished: Path, tmp_path: Path, tiny_yaml: Path, computed: list[str]
) -> None:
    moved = Path(shutil.copytree(finished, tmp_path / "moved", symlinks=False))
    run_study(load_study(str(tiny_yaml)), moved)
    assert computed == []
    link = moved / "detectors" / "0" / "spam-svm" / "median:7"
    assert link.is_symlink()
    assert moved in link.resolve().parents


def test_another_epsilon_computes_the_rows_of_that_attack_alone(
    finished: Path, copy: Path, tmp_path: Path, computed: list[str]
) -> None:
    study = tiny_study(tmp_path, attacks=FGSM_2)
    expected = Counter(conceal=2, compare=2, judge=4, measure=4)  # 2 manipulations, 2 judges
    assert kinds_missing(study, copy) == expected
    run_study(study, copy)
    assert Counter(computed) == expected
    before, after = rows_of(finished), rows_of(copy)
    assert [row for row in after if not row["attack"]] == [row for row in before if not row["attack"]]
    assert {row["attack"] for row in after} == {"", "fgsm:epsilon=2"}


@pytest.mark.parametrize(
    ("changes", "missing"),
    [
        # The other detector keeps its scores, but judges what was concealed from the new one.
        (
            {"detectors": ["spam-svm", "x"], "attacks": [{"attack": "fgsm", "targets": ["x"]}]},
            Counter(train=2, conceal=2, compare=2, judge=8, measure=6),
        ),
        ({"detectors": ["spam-svm:c=0.2", COZZOLINO]}, Counter(train=2, judge=6, measure=4)),
        # A new manipulation: 8 photographs manipulated, 2 detectors and a start, 4 rows; the pristine crops are there.
        (
            {"manipulations": ["median:7", "jpeg:70", "blur:1.1"]},
            Counter(crop=8, train=3, conceal=1, compare=1, judge=6, measure=4),
        ),
        ({"manipulations": ["jpeg:70"]}, Counter()),
        ({"attacks": []}, Counter()),
    ],
    ids=["the target", "a judge", "one more manipulation", "one manipulation less", "no attack"],
)
def test_a_change_computes_what_depends_on_it(
    finished: Path, tmp_path: Path, changes: dict[str, object], missing: Counter[str]
) -> None:
    settings = tiny_settings(**changes)
    text = str(write_study(tmp_path / "s.yaml", settings).read_text(encoding="utf-8"))
    (tmp_path / "s.yaml").write_text(text.replace("- x", f"- {COZZOLINO.replace('steps=2', 'steps=1')}"))
    assert kinds_missing(load_study(str(tmp_path / "s.yaml")), finished) == missing


def test_a_key_depends_on_version_settings_and_what_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    task = Task(JUDGE, {"a": 1}, {"patches": ("k1", "k2")}, "for people")
    assert dataclasses.replace(task, label="other words").key == task.key
    others = [
        dataclasses.replace(task, kind=TRAIN),
        dataclasses.replace(task, settings={"a": 2}),
        dataclasses.replace(task, needs={"patches": ("k2", "k1")}),
        dataclasses.replace(task, needs={"judge": ("k1", "k2")}),
    ]
    keys = {task.key, *(other.key for other in others)}
    monkeypatch.setattr(type(JUDGE), "version", JUDGE.version + 1)
    keys.add(dataclasses.replace(task).key)
    assert len(keys) == 6


@pytest.mark.parametrize("aligned", [True, False])
def test_what_is_compared_is_the_mean_over_all_patches(tmp_path: Path, aligned: bool) -> None:
    store, draw = FolderStore(tmp_path), np.random.default_rng(0)
    states = {
        role: draw.integers(0, 256, (70, 1, 32, 32), np.uint8) for role in ("pristine", "manipulated", "concealed")
    }
    for role, patches in states.items():
        with store.writing(role, "patches") as folder:
            np.save(folder / PATCHES, patches)
    task = Task(COMPARE, {"aligned": aligned}, {role: (role,) for role in states})
    run_task(task, store, print)
    pristine, manipulated, concealed = map(torch.from_numpy, states.values())
    expected = [radial_spectrum(some) for some in (pristine, manipulated, concealed)]
    likeness = {"ssim": ssim(concealed, manipulated)}
    if aligned:
        expected += [residual_spectrum(some, pristine) for some in (manipulated, concealed)]
        likeness |= {"ssim_pristine": ssim(concealed, pristine), "ssim_before": ssim(manipulated, pristine)}
    np.testing.assert_allclose(np.load(store.folder(task.key) / SPECTRA), expected, rtol=1e-9)
    found = json.loads((store.folder(task.key) / LIKENESS).read_text(encoding="utf-8"))
    for name, each in likeness.items():
        assert found[name] == pytest.approx(each.mean().item(), rel=1e-9)
    psnrs = {"psnr_pristine": concealed, "psnr_before": manipulated} if aligned else {}
    for name, some in psnrs.items():
        assert found[name] == pytest.approx(psnr_of(mse(some, pristine).mean().item()), rel=1e-9)
    assert found.keys() == likeness.keys() | psnrs.keys()


# --- damage


@pytest.mark.parametrize(
    ("kind", "file", "again"),
    [
        ("measure", "row.json", {"measure"}),
        ("judge", "logits.npy", {"judge"}),
        ("train", "curve.json", {"train"}),
    ],
)
def test_a_damaged_result_is_computed_again_with_the_same_rows(
    finished: Path, copy: Path, tiny_yaml: Path, computed: list[str], kind: str, file: str, again: set[str]
) -> None:
    study = load_study(str(tiny_yaml))
    damaged = entries(copy, study, kind)[0] / file
    damaged.write_bytes(damaged.read_bytes()[:-3])
    outcome = run_study(study, copy)
    assert set(computed) == again
    assert len(computed) == 1
    assert outcome.failures == ()
    assert len(outcome.scores) == 4
    assert (copy / "rows.csv").read_bytes() == (finished / "rows.csv").read_bytes()
    computed.clear()
    run_study(study, copy)
    assert computed == []


def test_damaged_patches_are_computed_again_when_a_task_reads_them(
    finished: Path, copy: Path, tiny_yaml: Path, computed: list[str]
) -> None:
    study = load_study(str(tiny_yaml))
    for folder in entries(copy, study, "crop"):
        (folder / "patches.npy").write_bytes(b"")
    for folder in (*entries(copy, study, "measure"), *entries(copy, study, "judge")):
        shutil.rmtree(folder)
    run_study(study, copy)
    # The judges read the test photographs: 2 devices, 2 photographs, pristine and manipulated twice.
    assert Counter(computed) == Counter(crop=12, judge=12, measure=8)
    assert (copy / "rows.csv").read_bytes() == (finished / "rows.csv").read_bytes()


def test_damaged_patches_cost_a_finished_study_a_picture_and_no_row(
    finished: Path, copy: Path, tiny_yaml: Path
) -> None:
    study = load_study(str(tiny_yaml))
    first, second = (folder / "patches.npy" for folder in entries(copy, study, "conceal"))
    first.write_bytes(b"")
    outcome = run_study(study, copy)
    assert [shown.manipulation for shown in outcome.patches] == ["jpeg:70"]
    second.write_bytes(second.read_bytes()[:-1])
    assert list(run_study(study, copy).patches) == []
    assert (copy / "rows.csv").read_bytes() == (finished / "rows.csv").read_bytes()


# --- entries that another program wrote, with the right digests


def rewritten(entry: Path, name: str, content: bytes) -> None:
    """Put another file into an entry, and its digest into the entry's record."""
    (entry / name).write_bytes(content)
    record = json.loads((entry / ENTRY).read_text(encoding="utf-8"))
    record["files"][name] = hashlib.sha256(content).hexdigest()
    (entry / ENTRY).write_text(json.dumps(record), encoding="utf-8")


def stored_photo(width: int = 256, height: int = 192) -> bytes:
    """A photograph of the size that the simulated cameras of the tiny study have, or of another."""
    content = io.BytesIO()
    Image.fromarray(picture(0, width, height)).save(content, "JPEG")
    return content.getvalue()


def stored_array(array: Any, *, pickled: bool = False) -> bytes:
    content = io.BytesIO()
    np.save(content, array, allow_pickle=pickled)
    return content.getvalue()


OF_ANOTHER_SHAPE = {
    "logits, pickled": ("judge", "logits.npy", stored_array(np.array([{}, None], dtype=object), pickled=True)),
    "logits that are text": ("judge", "logits.npy", stored_array(np.array(["a", "b"]))),
    "logits of another count": ("judge", "logits.npy", stored_array(np.zeros(3, dtype=np.float32))),
    "logits in a square": ("judge", "logits.npy", stored_array(np.zeros((12, 12), dtype=np.float32))),
    "logits that are whole": ("judge", "logits.npy", stored_array(np.zeros(12, dtype=np.int64))),
    "logits cut short": ("judge", "logits.npy", stored_array(np.zeros(12, dtype=np.float32))[:-4]),
    "logits that say 8 TB": (
        "judge",
        "logits.npy",
        stored_array(np.zeros(1, "f4")).replace(b"(1,)", b"(2000000000000,)"),
    ),
    "logits that are nothing": ("judge", "logits.npy", b""),
    "logits with half a header": ("judge", "logits.npy", stored_array(np.zeros(12, "f4")).replace(b"(12,)", b"((12,")),
    "a row of 400 digits": ("measure", "row.json", b'{"fpr": 1' + b"0" * 400 + b"}"),
    "a row with half a count": (
        "measure",
        "row.json",
        b'{"n_pristine": 0.5, "n_manipulated": 1, "fp": 0, "tp": 0, "fpr": 0.0, "tpr": 0.0, "acc": 0.5}',
    ),
    "a row that is a list": ("measure", "row.json", b"[]"),
    "a row that is empty": ("measure", "row.json", b"{}"),
    "a row nested deep": ("measure", "row.json", b'{"a":' * 100_000),
    "a row of lists": ("measure", "row.json", b'{"fpr": []}'),
    "likeness that is a number": ("compare", "likeness.json", b"3"),
    "spectra of text": ("compare", "spectra.npy", stored_array(np.array([["a"]]))),
    "a curve that is an object": ("train", "curve.json", b'{"a": 1}'),
    "a curve of other points": ("train", "curve.json", b'[{"step": 1}, {"epoch": 1}]'),
    "a photograph cut short": ("simulate", "photo.jpg", stored_photo()[:3000] + b"\xff\xd9"),
    "a photograph of another size": ("simulate", "photo.jpg", stored_photo(256, 200)),
    "a photograph that is text": ("simulate", "photo.jpg", b"no photograph"),
    "a detector's record": ("train", "detector.json", b'{"detector": "spam-svm", "settings": null, "sha256": ""}'),
}


@pytest.mark.parametrize("which", OF_ANOTHER_SHAPE)
def test_an_entry_of_another_shape_is_damaged_like_any_other(copy: Path, tiny_yaml: Path, which: str) -> None:
    kind, name, content = OF_ANOTHER_SHAPE[which]
    study = load_study(str(tiny_yaml))
    (entry, *_) = entries(copy, study, kind)
    rewritten(entry, name, content)
    assert FolderStore(copy / "store").has(entry.name)
    if kind == "simulate":  # crops alone read it, so all that stands behind it must run again
        for other in set((copy / "store").glob("??/*")) - set(entries(copy, study, kind)):
            shutil.rmtree(other)
    assert entry.name in plan_of(study).missing(FolderStore(copy / "store"))[1]


@pytest.mark.parametrize(
    "changes",
    [
        {"pairs": "spam-svm"},
        {"training": {"steps": "many"}},
        {"settings": {"c": math.nan}},
        {"settings": {"colour": "red"}},
        {"detector": "no-such-detector"},
    ],
    ids=str,
)
def test_a_detector_whose_record_says_what_cannot_be_is_damaged_like_any_other(
    copy: Path, tiny_yaml: Path, changes: Mapping[str, Any]
) -> None:
    study = load_study(str(tiny_yaml))
    (entry, *_) = entries(copy, study, "train")
    record = json.loads((entry / "detector.json").read_text(encoding="utf-8"))
    rewritten(entry, "detector.json", json.dumps(record | changes).encode())
    assert entry.name in plan_of(study).missing(FolderStore(copy / "store"))[1]


@pytest.mark.usefixtures("no_report")
def test_entries_of_another_shape_are_computed_again(finished: Path, copy: Path, tiny_yaml: Path) -> None:
    study = load_study(str(tiny_yaml))
    for which in ("logits, pickled", "a row of lists", "spectra of text", "a curve that is an object"):
        kind, name, content = OF_ANOTHER_SHAPE[which]
        for entry in entries(copy, study, kind):
            rewritten(entry, name, content)
    for entry in entries(copy, study, "crop"):  # which the trainings read
        rewritten(entry, "patches.npy", stored_array(np.zeros((6, 1, 8, 8), dtype=np.int64)))
    assert run_study(study, copy).failures == ()
    assert (copy / "rows.csv").read_bytes() == (finished / "rows.csv").read_bytes()
    assert kinds_missing(study, copy) == Counter()


@pytest.mark.usefixtures("no_report")
@pytest.mark.parametrize("content", [b"[]", b"{", b"\xff", b'{"device": ["a"], "seconds": 1.0, "patches": 1}'])
def test_a_time_of_another_shape_costs_a_finished_study_that_time_and_no_row(
    finished: Path, copy: Path, tiny_yaml: Path, content: bytes
) -> None:
    study = load_study(str(tiny_yaml))
    entry, _ = entries(copy, study, "conceal")
    rewritten(entry, "time.json", content)
    outcome = run_study(study, copy)
    assert len(outcome.times) == 1
    assert (copy / "rows.csv").read_bytes() == (finished / "rows.csv").read_bytes()


@pytest.mark.usefixtures("no_report")
@pytest.mark.parametrize("content", [b"3", b'["a"]', b"\xff", b"{"])
def test_a_curve_of_another_shape_that_no_row_needs_costs_a_finished_study_that_curve(
    copy: Path, tiny_yaml: Path, content: bytes
) -> None:
    study = load_study(str(tiny_yaml))
    starts = [training.key for training in plan_of(study).trainings.values() if training.role == "start"]
    assert starts
    store = FolderStore(copy / "store")
    for key in starts:
        rewritten(store.folder(key), "curve.json", content)
    assert not any(curve.role == "start" for curve in run_study(study, copy).curves)


@pytest.mark.parametrize(
    "content",
    [b'{"w": 1}', b"[]", b"3", b"{", b'{"a":' * 100_000, b'{"width": "a", "height": 1, "content": "c"}'],
    ids=["another", "a list", "a number", "half", "nested deep", "a text as width"],
)
def test_what_was_found_of_a_photograph_is_found_again_if_the_record_is_of_another_shape(
    photo_folder: Path, tmp_path: Path, content: bytes
) -> None:
    store = FolderStore(tmp_path / "store")
    (photo, *_) = find_photos([photo_folder]).photos
    found = prepare._remembered(photo, store)
    (entry,) = (path for path in store.root.glob("??/*") if path.name != "log")
    rewritten(entry, "inspection.json", content)
    assert store.has(entry.name)
    assert prepare._remembered(photo, store) == found
    assert prepare._recorded(entry / "inspection.json") == found


# --- trouble


def test_a_failing_task_leaves_a_hole_and_its_neighbours_go_on(
    finished: Path, copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(original: RunKind, task: Task, store: Store, folder: Path) -> None:
        if "median" in task.label:
            raise RuntimeError("no such luck")
        original(task, store, folder, print)

    study = tiny_study(tmp_path, attacks=FGSM_2)
    failing(monkeypatch, CONCEAL, fail)
    outcome = run_study(study, copy)
    (failure,) = outcome.failures
    assert failure.startswith("conceal median:7 by fgsm:epsilon=2: RuntimeError: no such luck (test_study.py:")
    figures = ROW_COLUMNS[ROW_COLUMNS.index("n_pristine") :]
    for row in rows_of(copy):
        hole = (row["manipulation"], row["attack"]) == ("median:7", "fgsm:epsilon=2")
        assert all(row[name] == "" for name in figures) == hole
    assert [row for row in rows_of(copy) if not row["attack"]] == [
        row for row in rows_of(finished) if not row["attack"]
    ]
    assert [shown.manipulation for shown in outcome.patches] == ["jpeg:70"]
    monkeypatch.undo()
    assert kinds_missing(study, copy) == Counter(conceal=1, compare=1, judge=2, measure=2)
    assert run_study(study, copy).failures == ()
    assert all(row["tpr"] for row in rows_of(copy))


def test_a_full_disk_stops_the_study_and_the_next_run_goes_on(
    finished: Path, copy: Path, tiny_yaml: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = load_study(str(tiny_yaml))
    for folder in (*entries(copy, study, "measure"), *entries(copy, study, "judge")):
        shutil.rmtree(folder)
    (copy / "rows.csv").unlink()
    written = []

    def fill(original: RunKind, task: Task, store: Store, folder: Path) -> None:
        original(task, store, folder, print)
        written.append(task.key)
        if len(written) > 3:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    failing(monkeypatch, JUDGE, fill)
    with pytest.raises(StudyError, match=r"cannot write to .*store \(No space left on device\) at judge .*"):
        run_study(study, copy, workers=1)
    assert not (copy / "rows.csv").exists()
    assert list((copy / "store" / "unfinished").iterdir()) == []
    monkeypatch.undo()
    assert kinds_missing(study, copy)["judge"] == 12 - 3
    run_study(study, copy)
    assert (copy / "rows.csv").read_bytes() == (finished / "rows.csv").read_bytes()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_a_large_array_on_a_full_disk_says_that_the_disk_is_full() -> None:
    with pytest.raises(OSError, match="No space left on device") as caught:
        save(Path("/dev/full"), np.zeros((64, 1, 128, 128), dtype=np.uint8))
    assert caught.value.errno == errno.ENOSPC


def test_rows_that_cannot_be_written_are_a_clear_error(copy: Path, tiny_yaml: Path) -> None:
    (copy / "rows.csv").unlink()
    (copy / "rows.csv").mkdir()
    with pytest.raises(StudyError, match=r"cannot write .*rows\.csv \(Is a directory\); finished work is kept"):
        run_study(load_study(str(tiny_yaml)), copy)


def test_leftovers_of_a_killed_run_are_swept(copy: Path, tiny_yaml: Path) -> None:
    left = copy / "store" / "unfinished" / "0123-4567-of another process"
    left.mkdir()
    (left / "patches.npy").write_bytes(b"half of them")
    os.utime(left, (0, 0))
    run_study(load_study(str(tiny_yaml)), copy)
    assert list((copy / "store" / "unfinished").iterdir()) == []


# --- the folder


def test_a_run_killed_before_its_settings_were_in_place_can_start_again(tmp_path: Path, tiny_yaml: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / ".study.yaml.12345").write_text("name: ti", encoding="utf-8")
    study = load_study(str(tiny_yaml))
    claim(out, study)
    assert (out / "study.yaml").read_text(encoding="utf-8") == study.as_yaml()


@pytest.mark.parametrize("name", ["2024", "1.5", "null", "yes", "0x1f", "a.b-c_d"])
def test_a_study_knows_its_own_folder_whatever_its_name(tmp_path: Path, name: str) -> None:
    study = tiny_study(tmp_path, name=name)
    for _ in range(2):
        claim(tmp_path / "out", study)
    with pytest.raises(StudyError, match=f"belongs to the study {name!r}, not 'other'; give another with --out"):
        claim(tmp_path / "out", tiny_study(tmp_path, name="other"))


# --- photographs in folders


def test_the_same_photograph_under_two_devices_stops_the_run_even_with_other_metadata(
    photos: Path, tmp_path: Path
) -> None:
    original = (photos / "device-0" / "one.jpg").read_bytes()
    comment = b"\xff\xfe\x00\x07hello"  # behind the start-of-image marker: other bytes, the same pixels
    (photos / "device-1" / "copy.jpg").write_bytes(original[:2] + comment + original[2:])
    study = tiny_study(tmp_path, photos={"folders": [str(photos)]})
    with pytest.raises(
        LeakageError, match=r"the same photograph stands twice: \S+/device-\d/\S+ \(\w+\) and \S+/device-\d/"
    ):
        run_study(study, tmp_path / "out")


def test_copies_beside_each_other_are_inspected_side_by_side(photos: Path, tmp_path: Path) -> None:
    original = (photos / "device-0" / "one.jpg").read_bytes()
    for number in range(40):
        (photos / "device-0" / f"copy-{number}.jpg").write_bytes(original)
    study = tiny_study(tmp_path, photos={"folders": [str(photos)]}, split={"test": ["no such device"]})
    for _ in range(2):
        with pytest.raises(NameNotFoundError, match="unknown device 'no such device'"):
            run_study(study, tmp_path / "out", workers=8)


def test_too_few_photographs_left_name_the_first_reason(photos: Path, tmp_path: Path) -> None:
    for path in photos.glob("device-[123]/*"):
        path.write_bytes(b"not a photograph")
    study = tiny_study(tmp_path, photos={"folders": [str(photos)]})
    with pytest.raises(PhotoError) as caught:
        run_study(study, tmp_path / "out")
    assert str(caught.value) == (
        "the split needs devices: at least 1 to train and 2 to test; the photographs come from 1; 6 left out, "
        f"the first: {photos / 'device-1' / 'one.jpg'}: "
        "not a JPEG, PNG, TIFF, WebP, AVIF or HEIF file, whatever its name says"
    )


# --- starts that manipulations share

DEEP = "mislnet:steps=1,pairs_per_step=2,start=shared,start_steps=1"
DEEP_SETTINGS = {"detectors": ["spam-svm", DEEP], "attacks": [{"attack": "fgsm", "targets": [DEEP]}]}


def test_all_manipulations_of_a_study_share_one_start(tmp_path: Path, computed: list[str]) -> None:
    study = tiny_study(tmp_path, **DEEP_SETTINGS)
    trained = [task for task in plan_of(study).tasks.values() if task.kind is TRAIN]
    starts = [task for task in trained if "manipulations" in task.settings]
    assert len(trained) == 2 + 2 + 1
    assert [task.settings["manipulations"] for task in starts] == [["median:7", "jpeg:70"]]
    fine = {task.settings["manipulation"]: task for task in trained if "start" in task.needs}
    assert {text: task.settings["start_output"] for text, task in fine.items()} == {"median:7": 0, "jpeg:70": 1}
    outcome = run_study(study, tmp_path / "out")
    assert outcome.failures == ()
    assert Counter(computed)["train"] == 5
    assert not (tmp_path / "out" / "store" / "partial").exists() or not [
        *(tmp_path / "out" / "store" / "partial").iterdir()
    ]
    trainings = outcome.trainings
    deep = trainings[(trainings["role"] == "detector") & (trainings["name"] == "mislnet")]
    start = trainings[trainings["role"] == "start"]
    assert set(deep["augmentation"]) == {"flips and 90-degree turns"}
    assert (set(deep["patches"]), set(deep["start_patches"])) == ({4}, {4})
    assert list(start["manipulation"]) == ["all"]
    assert (set(deep["start"]), set(deep["start_manipulations"])) == ({start["part"].iloc[0]}, {2})
    assert trainings.loc[trainings["name"] == "spam-svm", "steps"].isna().all()
    both = (tmp_path / "out" / "rows.csv").read_bytes()
    run_study(study, tmp_path / "alone", workers=1)
    assert (tmp_path / "alone" / "rows.csv").read_bytes() == both


def test_attacks_conceal_no_more_patches_of_a_device_than_they_are_told(tmp_path: Path) -> None:
    study = tiny_study(tmp_path, patches={"per_photo": 6, "attacked_per_device": 4})
    rows = run_study(study, tmp_path / "out").rows
    attacked = rows["attack"] != ""
    assert set(rows.loc[~attacked, "n_manipulated"]) == {24}  # 2 devices, 2 photographs each, 6 patches
    assert set(rows.loc[attacked, "n_manipulated"]) == {8}
    assert set(rows["n_pristine"]) == {24}


def test_a_patch_size_that_a_detector_cannot_take_is_refused_before_anything_runs(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="takes patches of 128x128 alone, got size 64"):
        tiny_study(tmp_path, **DEEP_SETTINGS, patches={"size": 64})


def test_a_training_depends_on_the_content_of_the_files_it_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Xception, "check_files", lambda recipe: None)  # what stands in the file does not matter here
    file = tmp_path / "imagenet.safetensors"
    study = tiny_study(tmp_path, detectors=[f"xception:imagenet={file}"], attacks=[])
    with pytest.raises(StudyError, match=r"imagenet\.safetensors cannot be read \(No such file or directory\)"):
        plan_of(study)
    keys = []
    for content in (b"one", b"one", b"two"):
        file.write_bytes(content)
        keys.append({key for key, task in plan_of(study).tasks.items() if task.kind is TRAIN})
    assert keys[0] == keys[1]
    assert not keys[0] & keys[2]


@pytest.mark.parametrize("text", ["xception:imagenet=/a/../../b", "tiny-cnn:words=" + "w" * 1500, "spam-svm"])
def test_a_trained_network_lies_in_one_folder_whatever_its_settings(text: str) -> None:
    name = folder_name(text)
    assert "/" not in name
    assert len(name.encode()) <= 240
    assert folder_name(text + "1") != name
    assert (name == text) == (text == "spam-svm")


# --- attacks of every kind


@pytest.fixture(scope="module")
def attacked(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Outcome]:
    folder = tmp_path_factory.mktemp("attacked")
    wanted = [
        {"attack": "pgd:epsilon=1,steps=2", "targets": [COZZOLINO]},
        {"attack": "spam-descent", "targets": ["spam-svm"]},
        {"attack": "spam-descent:goal=pristine,sweeps=2"},
    ]
    study = tiny_study(folder, attacks=wanted, manipulations=["median:7"])
    return folder / "out", run_study(study, folder / "out", workers=2)


def test_attacks_with_a_target_without_one_and_with_the_originals_stand_in_one_study(
    attacked: tuple[Path, Outcome],
) -> None:
    rows = attacked[1].rows
    assert attacked[1].failures == ()
    contests = set(zip(rows["target"], rows["attack"], strict=True)) - {("", "")}
    assert contests == {
        (COZZOLINO, "pgd:epsilon=1,steps=2"),
        ("spam-svm", "spam-descent"),
        ("", "spam-descent:goal=pristine,sweeps=2"),
    }
    flipped = rows[(rows["attack"] == "spam-descent") & (rows["detector"] == "spam-svm")].iloc[0]
    assert (flipped["tpr"], flipped["success"]) == (0, 1)
    assert flipped["psnr"] >= 45


def test_how_long_attacks_took_stands_beside_the_rows_and_not_in_them(attacked: tuple[Path, Outcome]) -> None:
    times = pd.read_csv(attacked[0] / "times.csv", keep_default_na=False)
    assert tuple(times.columns) == TIME_COLUMNS
    assert len(times) == 3
    assert (times["patches"] == 24).all()
    assert (times["seconds"] > 0).all()
    assert "seconds" not in pd.read_csv(attacked[0] / "rows.csv").columns


def test_success_counts_what_the_judge_detected_before(attacked: tuple[Path, Outcome]) -> None:
    scores = {judged.detector: judged for judged in attacked[1].scores}
    rows = attacked[1].rows
    for row in rows[rows["attack"] != ""].to_dict("records"):
        judged = scores[row["detector"]]
        detected = judged.manipulated > 0
        assert row["already"] == pytest.approx(1 - detected.mean())
        after = judged.concealed[row["target"], row["attack"]]
        if detected.any():
            assert row["success"] == pytest.approx((after[detected] <= 0).mean())


# --- trainings and labels


def test_every_training_of_a_study_is_a_line_of_facts(finished: Path) -> None:
    trainings = pd.read_csv(finished / "trainings.csv", keep_default_na=False)
    assert tuple(trainings.columns) == TRAINING_COLUMNS
    roles = trainings.groupby(["role", "manipulation"])["part"].agg(sorted).to_dict()
    start = COZZOLINO.replace("steps=2,pairs_per_step=4", "steps=0")
    for manipulation in ("median:7", "jpeg:70"):
        assert roles["detector", manipulation] == sorted(["spam-svm", COZZOLINO])
        assert roles["start", manipulation] == [start]
    tuned = trainings[(trainings["part"] == COZZOLINO) & (trainings["manipulation"] == "median:7")].iloc[0]
    assert (tuned["name"], tuned["label"], tuned["start"]) == ("cozzolino2017", "cozzolino2017", start)
    assert (tuned["steps"], tuned["patches"], tuned["pairs"]) == ("2", "16", 24)
    assert tuned["ended"] == PLANNED
    assert 0 <= float(tuned["validation_auc"]) <= 1
    assert 0 <= float(tuned["validation_acc"]) <= 1
    assert float(tuned["seconds"]) >= 0


def test_the_learning_curves_of_a_study_are_a_table_and_its_last_points_are_the_facts(finished: Path) -> None:
    curves = pd.read_csv(finished / "curves.csv")
    assert tuple(curves.columns) == CURVE_COLUMNS
    losses = curves[(curves["part"] == COZZOLINO) & (curves["figure"] == "validation_loss")]
    assert losses.groupby("manipulation")["step"].agg(list).to_dict() == {"jpeg:70": [0, 1, 2], "median:7": [0, 1, 2]}
    trainings = pd.read_csv(finished / "trainings.csv")
    joined = losses.merge(trainings, on=["seed", "manipulation", "role", "part"])
    kept = joined[joined["step"] == joined["best_step"]]
    assert kept["value"].tolist() == pytest.approx(kept["validation_loss"].tolist(), abs=1e-6)
    assert len(kept) == 2


def test_labels_stand_in_rows_and_in_a_table_of_their_own(tmp_path: Path) -> None:
    detectors = ["spam-svm", {"detector": COZZOLINO, "label": "Mine"}]
    attacks = [{"attack": "fgsm:epsilon=2", "label": "Twice", "targets": ["Mine"]}]
    study = tiny_study(tmp_path, detectors=detectors, attacks=attacks, manipulations=["median:7"])
    run_study(study, tmp_path / "out")
    rows = rows_of(tmp_path / "out")
    assert {(row["detector"], row["label"]) for row in rows} == {("spam-svm", "spam-svm"), (COZZOLINO, "Mine")}
    shown = {(row["target"], row["target_label"], row["attack"], row["attack_label"]) for row in rows}
    assert shown == {("", "", "", ""), (COZZOLINO, "Mine", "fgsm:epsilon=2", "Twice")}
    labels = pd.read_csv(tmp_path / "out" / "labels.csv", keep_default_na=False)
    assert tuple(labels.columns) == LABEL_COLUMNS
    assert labels[["role", "label", "name", "settings"]].values.tolist() == [
        ["detector", "spam-svm", "spam-svm", ""],
        ["detector", "Mine", "cozzolino2017", COZZOLINO.partition(":")[2]],
        ["attack", "Twice", "fgsm", "epsilon=2"],
    ]


def test_another_label_computes_nothing(finished: Path, copy: Path, tmp_path: Path, computed: list[str]) -> None:
    renamed = [{"detector": "spam-svm", "label": "The SVM"}, COZZOLINO]
    run_study(tiny_study(tmp_path, detectors=renamed), copy)
    assert computed == []
    assert {row["label"] for row in rows_of(copy)} == {"The SVM", "cozzolino2017"}


def test_figures_are_written_whole_or_with_six_decimals_and_others_as_they_are(tmp_path: Path) -> None:
    columns = ["seed", "tp", "tpr", "psnr", "ended"]
    table = pd.DataFrame([[2**62 + 1, 3.0, 1 / 3, np.inf, "planned"], [0, np.nan, None, 48, ["a", 1]]], columns=columns)
    write_figures(table.astype(object), tmp_path / "table.csv")
    lines = (tmp_path / "table.csv").read_text(encoding="utf-8").splitlines()
    assert lines[1:] == ["4611686018427387905,3,0.333333,inf,planned", "0,,,48.000000,\"['a', 1]\""]


def test_what_is_there_so_far_is_written_without_computing(
    tmp_path: Path, tiny_yaml: Path, computed: list[str]
) -> None:
    study, out = load_study(str(tiny_yaml)), tmp_path / "out"
    nothing = run_study(study, out, so_far=True)
    assert computed == []
    assert nothing.rows["tpr"].isna().all()
    (note,) = (note for note in nothing.notes if "have not run" in note)
    missing, total = re.findall(r"\d+", note)[:2]
    assert note == f"{missing} of {total} tasks have not run; the rows hold the results of the others"
    assert missing == total
    write_report(nothing, out)
    whole = run_study(study, out)
    computed.clear()
    again = run_study(study, out, so_far=True)
    assert computed == []
    assert not any("have not run" in note for note in again.notes)
    pd.testing.assert_frame_equal(again.rows, whole.rows)
