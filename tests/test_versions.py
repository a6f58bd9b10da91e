"""Which libraries decide a result, where that counts, and what two machines must have in common."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from counterforensics import versions
from counterforensics.study.plan import Plan
from counterforensics.study.schedulers import cluster
from counterforensics.study.store.folder import FolderStore
from tests.conftest import plan_of, tiny_study

DECIDE_PIXELS = {"Pillow", "libjpeg in Pillow", "OpenCV", "libjpeg in OpenCV", "NumPy"}


def keys_by_kind(plan: Plan) -> dict[str, set[str]]:
    kinds: dict[str, set[str]] = {}
    for key, task in plan.tasks.items():
        kinds.setdefault(task.kind.name, set()).add(key)
    return kinds


@pytest.mark.parametrize("library", sorted(DECIDE_PIXELS))
def test_another_library_that_decides_pixels_gives_other_keys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, library: str
) -> None:
    study = tiny_study(tmp_path)
    before = keys_by_kind(plan_of(study))
    monkeypatch.setattr(versions, "PIXELS", {**versions.PIXELS, library: "another"})
    after = keys_by_kind(plan_of(study))
    made_from_patches = before.keys() - {"simulate"}
    assert {"crop", "train", "conceal", "judge", "measure"} <= made_from_patches
    assert all(not before[kind] & after[kind] for kind in made_from_patches)


def test_every_version_is_known_and_libraries_that_decide_pixels_are_among_those_compared() -> None:
    assert versions.PIXELS.keys() == DECIDE_PIXELS
    assert versions.PIXELS.items() <= versions.ALL.items()
    assert {"Python", "counterforensics", "torch", "numba", "scikit-learn"} <= versions.ALL.keys()
    assert versions.UNKNOWN not in versions.ALL.values()


@pytest.mark.parametrize("library", sorted(versions.ALL))
def test_a_worker_with_another_library_is_refused_in_words(tmp_path: Path, library: str) -> None:
    of_run = {**versions.ALL, library: "0.0.1"}
    said = cluster.trouble(FolderStore(tmp_path), "a key", [], (), of_run)
    assert said.startswith(f"has {library} {versions.ALL[library]}, the run has 0.0.1; install the same on every")


def test_a_torch_for_processors_and_one_for_gpus_are_the_same_release() -> None:
    assert "+" not in versions.ALL["torch"]


def test_what_a_worker_has_is_asked_of_the_libraries_that_it_loaded() -> None:
    script = (
        "import cv2; cv2.__version__ = '0.0.1'; from counterforensics import versions; print(versions.ALL['OpenCV'])"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout == "0.0.1\n"
