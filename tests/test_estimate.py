"""`counterforensics plan`: what a study will do and cost."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from counterforensics.attacks import ATTACKS
from counterforensics.attacks.gan_restoration import GENERATORS
from counterforensics.detectors import DETECTORS
from counterforensics.manipulations import PAPER
from counterforensics.study.estimate import SHIPPED, durations_of, estimate
from counterforensics.study.plan import Plan
from counterforensics.study.schedulers.journal import DONE
from counterforensics.study.settings import load_study
from counterforensics.study.store.folder import FolderStore
from counterforensics.study.tasks import CONCEAL, CROP, JUDGE, MEASURE, TRAIN, Task, Worker
from tests.conftest import Command, plan_of, tiny_settings, tiny_study, write_study

SVM = Worker(DETECTORS.parse("spam-svm"), "spam-svm", {}, DETECTORS)


def size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def test_before_a_run_everything_is_left_and_after_it_nothing(
    finished: Path, tiny_yaml: Path, tmp_path: Path, command: Command
) -> None:
    before = json.loads(command("plan", tiny_yaml, "--out", tmp_path / "out", "--json").out)
    after = json.loads(command("plan", tiny_yaml, "--out", finished, "--json").out)
    ran = json.loads((finished / "run.json").read_text(encoding="utf-8"))["tasks"]
    assert before["left"] == len(ran) == sum(cost["tasks"] for cost in before["kinds"].values())
    assert after["left"] == after["disk"] == after["seconds"] == 0
    for kind, cost in before["kinds"].items():
        assert (cost["done"], after["kinds"][kind]["done"]) == (0, cost["tasks"])
    assert list((tmp_path / "out").iterdir()) == [tmp_path / "out" / "store"]


def test_the_disk_that_it_foresees_is_what_the_store_takes(finished: Path, tiny_yaml: Path, tmp_path: Path) -> None:
    foreseen = estimate(load_study(str(tiny_yaml)), *planned(tiny_yaml), FolderStore(tmp_path), 1).disk
    notes = size_of(finished / "store" / "log")
    assert foreseen == pytest.approx(size_of(finished / "store") - notes, rel=0.15)


def planned(study: Path) -> tuple[Plan]:
    return (plan_of(load_study(str(study))),)


def test_patches_are_those_that_tasks_write(finished: Path, tiny_yaml: Path) -> None:
    rows = list(csv.DictReader((finished / "rows.csv").read_text(encoding="utf-8").splitlines()))
    measured = [task for task in planned(tiny_yaml)[0].tasks.values() if task.kind is MEASURE]
    counts = [int(row["n_pristine"]) + int(row["n_manipulated"]) for row in rows]
    assert sorted(task.patches for task in measured) == sorted(counts)


def note(task: Task, seconds: float, **changes: object) -> dict[str, object]:
    about = {"kind": task.kind.name, "worker_name": task.worker_name, "amount": task.amount}
    return about | {"seconds": seconds, "peak_memory": 10**9, "outcome": DONE} | changes


def test_rates_of_this_store_come_before_those_of_the_package(tmp_path: Path, tiny_yaml: Path) -> None:
    (plan,) = planned(tiny_yaml)
    store, study = FolderStore(tmp_path), load_study(str(tiny_yaml))
    assert estimate(study, plan, store, 1).measured_here == 0
    for number, task in enumerate(plan.tasks.values()):
        store.note(f"{number}.json", note(task, 2.0))
    found = estimate(study, plan, store, 1)
    assert found.measured_here == found.left == len(plan.tasks)
    assert found.seconds == pytest.approx(2 * len(plan.tasks))
    assert found.kinds["judge"].seconds == pytest.approx(2 * found.kinds["judge"].tasks)
    by_photograph = {"crop", "simulate"}  # whose memory goes by its pixels
    assert {cost.memory for kind, cost in found.kinds.items() if kind not in by_photograph} == {10**9}


def test_other_settings_of_the_same_attack_are_the_next_best_guide() -> None:
    attack, target = "fgsm:epsilon=2", "xception:steps=9"
    workers = {
        "attack": Worker(ATTACKS.parse(attack), attack, {}, ATTACKS),
        "target": Worker(DETECTORS.parse(target), target, {}, DETECTORS),
    }
    task = Task(CONCEAL, {}, workers=workers, patches=10)
    rates = durations_of([note(task, 5.0), note(task, 99.0, outcome="failed"), {"outcome": DONE, "kind": "train"}])
    assert rates["conceal", "fgsm:epsilon=2 on xception:steps=9"].seconds == 0.5
    assert rates["conceal", "fgsm on xception"].seconds == 0.5
    assert len(rates) == 2


@pytest.mark.parametrize(("workers", "seconds"), [(1, 7.0), (2, 6.0), (9, 6.0)])
def test_workers_share_what_does_not_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int, seconds: float
) -> None:
    """Two crops of one second, a training of four that reads the first, and a last second that reads all."""
    plan = Plan()
    first, second = (
        plan.add(Task(CROP, {"manipulation": name}, pixels=1, patches=1)) for name in ("median:3", "median:7")
    )
    train = plan.add(Task(TRAIN, {}, {"pristine": (first,)}, patches=4, workers={"recipe": SVM}))
    plan.add(Task(JUDGE, {}, {"judge": (train,), "patches": (second,)}, patches=1, workers={"recipe": SVM}))
    store = FolderStore(tmp_path)
    for number, task in enumerate(plan.tasks.values()):
        store.note(f"{number}.json", note(task, float(task.patches)))
    monkeypatch.setattr(plan, "targets", lambda: list(plan.tasks)[::-1])
    assert estimate(tiny_study(tmp_path), plan, store, workers).seconds == seconds


def test_the_package_knows_a_rate_of_everything_it_has() -> None:
    with SHIPPED.open(encoding="utf-8", newline="") as file:
        known = {(row["kind"], row["worker_name"]) for row in csv.DictReader(file)}
    assert {("crop", name) for name in (*PAPER, "pristine")} <= known
    to_train = set(DETECTORS) - {"trained"}
    assert {(kind, name) for kind in ("train", "judge") for name in to_train} <= known
    assert {re.split(" on |:", who)[0] for kind, who in known if kind == "conceal"} == set(ATTACKS)
    assert {("learn", f"{name}{size}") for name in GENERATORS for size in ("", ":size=small")} <= known
    assert {("simulate", ""), ("measure", "")} <= known


def test_a_person_reads_sizes_times_and_what_is_not_known(
    tiny_yaml: Path, tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("counterforensics.study.estimate.shipped_durations", lambda: {})
    answer = command("plan", tiny_yaml, "--out", tmp_path / "out", "--workers", "3")
    assert answer.status == 0
    assert "Unknown duration: train spam-svm" in answer.out
    assert "(workers: 3)" in answer.out
    assert f" in {tmp_path / 'out' / 'store'}; " in answer.out
    assert "are free there" in answer.out


def test_photographs_that_cannot_be_used_are_named(photos: Path, tmp_path: Path, command: Command) -> None:
    (photos / "device-0" / "one.jpg").write_bytes(b"no photograph")
    study = write_study(tmp_path / "tiny.yaml", tiny_settings(photos={"folders": [str(photos)]}))
    answer = command("plan", study, "--out", tmp_path / "out")
    assert "Left out:" in answer.out
    assert "one.jpg" in answer.out


def test_a_study_that_does_not_exist_is_one_line(refused: Callable[..., str]) -> None:
    assert "no-such.yaml" in refused("plan", "no-such.yaml")
