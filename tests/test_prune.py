"""Removing from a store what no study needs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from counterforensics.errors import StudyError
from counterforensics.study.prune import prune_store
from counterforensics.study.run import run_study
from counterforensics.study.settings import load_study
from counterforensics.study.store.folder import FolderStore
from tests.conftest import Command, tiny_settings, write_study

SMALL = {"manipulations": ["jpeg:70"], "detectors": ["spam-svm"], "attacks": []}


def entries(store: Path) -> set[str]:
    return {path.name for path in store.glob("??/*")}


@pytest.fixture
def shrunk(copy: Path, tmp_path: Path) -> Path:
    """The tiny study run once more without one manipulation, one detector and the attack."""
    study = load_study(str(write_study(tmp_path / "small.yaml", tiny_settings(**SMALL))))
    assert run_study(study, copy).failures == ()
    return copy


def test_what_a_study_needs_stays_and_a_dry_run_removes_nothing(shrunk: Path, command: Command, tmp_path: Path) -> None:
    # The links to what was trained earlier keep it; without them no study needs it.
    shutil.rmtree(shrunk / "detectors" / "0" / "spam-svm" / "median:7", ignore_errors=True)
    (shrunk / "detectors" / "0" / "spam-svm" / "median:7").unlink(missing_ok=True)
    before, rows = entries(shrunk / "store"), (shrunk / "rows.csv").read_bytes()
    dry = json.loads(command("store", "prune", shrunk, "--json").out)
    assert dry["removed"] is False
    assert entries(shrunk / "store") == before
    assert dry["needed"] + dry["unneeded"] == len(before)
    assert min(dry["needed"], dry["unneeded"], dry["unneeded_bytes"]) > 0
    answer = command("store", "prune", shrunk, "--yes")
    assert answer.status == 0
    assert f"Removed: {dry['unneeded']} entries" in answer.out
    left = entries(shrunk / "store")
    assert len(left) == dry["needed"]
    # The same study computes nothing again, although its rows are gone from the folder.
    study = load_study(str(tmp_path / "small.yaml"))
    (shrunk / "rows.csv").unlink()
    assert run_study(study, shrunk).failures == ()
    assert (shrunk / "rows.csv").read_bytes() == rows
    assert entries(shrunk / "store") == left
    assert prune_store([shrunk]).unneeded == 0


def test_what_was_trained_and_stands_in_the_folder_stays(shrunk: Path) -> None:
    links = [path for path in (shrunk / "detectors").rglob("*") if path.is_symlink()]
    assert len(links) == 4
    prune_store([shrunk], remove=True)
    assert all((link / "detector.json").exists() for link in links)


def test_a_second_study_keeps_what_it_needs(shrunk: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    study = load_study(str(write_study(tmp_path / "tiny.yaml", tiny_settings())))
    run_study(study, other, store=str(shrunk / "store"))
    record = json.loads((shrunk / "run.json").read_text())
    assert record["store"] == str(shrunk / "store")
    assert prune_store([shrunk, other]).unneeded == 0
    assert prune_store([shrunk]).unneeded > 0
    # The folder in which the store lies uses it, whether it is named or not.
    run_study(load_study(str(tmp_path / "small.yaml")), other, store=str(shrunk / "store"))
    run_study(study, shrunk)
    assert prune_store([other]).unneeded == 0


def test_nothing_is_removed_while_a_task_writes(shrunk: Path) -> None:
    store = FolderStore(shrunk / "store")
    before = entries(shrunk / "store")
    with store.unfinished("a task"), pytest.raises(StudyError, match="a run writes to"):
        prune_store([shrunk], remove=True)
    assert entries(shrunk / "store") == before


def test_a_folder_or_a_store_that_cannot_be_pruned_is_refused(
    shrunk: Path, tmp_path: Path, refused: Callable[..., str]
) -> None:
    (tmp_path / "empty").mkdir()
    assert "holds no run" in refused("store", "prune", tmp_path / "empty", "--yes")
    record = json.loads((shrunk / "run.json").read_text())
    copied = Path(shutil.copytree(shrunk, tmp_path / "second", symlinks=True))
    (copied / "run.json").write_text(json.dumps(record | {"store": "s3://bucket/store"}))
    assert "the store is s3://bucket/store" in refused("store", "prune", copied, "--yes")
    assert "use two stores" in refused("store", "prune", shrunk, copied, "--yes")
    (copied / "run.json").write_text(json.dumps(record | {"store": str(tmp_path / "nowhere")}))
    assert "there is no store at" in refused("store", "prune", copied, "--yes")
    (copied / "run.json").write_text(json.dumps(record))  # as in a copy of a folder
    assert f"{copied} holds a store, and its last run used {shrunk / 'store'}" in refused("store", "prune", copied)


def test_nothing_is_removed_if_photographs_of_the_run_are_gone(shrunk: Path) -> None:
    table = (shrunk / "photos.csv").read_text()
    (shrunk / "photos.csv").write_text(table + "camera,gone,test," + 64 * "0" + ",256,192,6\n")
    with pytest.raises(StudyError, match="1 photographs of the run"):
        prune_store([shrunk], remove=True)
