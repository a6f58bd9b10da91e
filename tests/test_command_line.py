"""The commands: what they print for people and for programs, and how they leave."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import counterforensics
from counterforensics import attacks, detectors, laundering, manipulations
from counterforensics.outcome import ROW_COLUMNS
from counterforensics.photos.remarks import PROFILE
from counterforensics.study.settings import load_study
from tests.conftest import COZZOLINO, Command, picture

COMMANDS = ("run", "evaluate", "photos", "launder", "fit-platform", "list")


@pytest.fixture(scope="session")
def trained(finished: Path) -> Path:
    """The folder of a trained SPAM + SVM against median filtering."""
    return finished / "detectors" / "0" / "spam-svm" / "median:7"


# --- help


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself_with_an_example(command: Command, name: str) -> None:
    answer = command(name, "--help")
    assert answer.status == 0
    assert answer.err == ""
    assert re.search(rf"Usage: \S.* {name} \[OPTIONS\]", answer.out)
    assert "Example" in answer.out
    assert f"counterforensics {name}" in answer.out[answer.out.index("Example") :]


ALL_COMMANDS = (*COMMANDS, "plan", "status", "leaderboard", "detect", "attack", "app", "new", "store")


def test_help_shows_names_in_angle_brackets_and_code_without_its_quotes(command: Command) -> None:
    text = " ".join(command(name, "--help").out for name in ALL_COMMANDS)
    assert "DIR/<device>/<photo>" in text
    assert "runs/<study>" in text
    assert "//" not in text.replace("s3://", "")
    assert "`" not in text


def test_help_names_every_command(command: Command) -> None:
    answer = command("--help")
    assert answer.status == 0
    assert all(f"\n│ {name} " in answer.out for name in COMMANDS)


def test_the_version_is_the_package_s(command: Command) -> None:
    answer = command("--version")
    assert (answer.status, answer.out) == (0, f"{counterforensics.__version__}\n")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["rnu"], "No such command 'rnu'"),
        (["evaluate", "--photos", "x", "--manipulation", "median:7"], "Missing option '--detector'"),
        (["run", "--workers", "0"], "--workers must be a whole number from 1 to 10,000, got '0'"),
        (["plan", "--workers", "two"], "--workers must be a whole number from 1 to 10,000, got 'two'"),
        (
            ["evaluate", "--detector", "d", "--photos", "x", "--manipulation", "median:7", "--per-photo", "193"],
            "--per-photo must be a whole number from 1 to 192, got '193'",
        ),
        (["photos"], "Missing argument 'DIR'"),
    ],
)
def test_a_command_that_cannot_be_read_leaves_with_two(command: Command, arguments: list[str], said: str) -> None:
    answer = command(*arguments)
    assert answer.status == 2
    assert answer.out == ""
    assert said in answer.err


# --- commands that answer at once

FEW_NEED = {"dask", "distributed", "jinja2", "matplotlib", "pandas", "skimage", "sklearn"}
LARGE = FEW_NEED | {"PIL", "cv2", "numba", "numpy", "torch"}
ONE_AFTER_THE_OTHER = """
import json, sys
from counterforensics.cli import main

for sys.argv[1:], status in json.loads(sys.argv[1]):
    try:
        main()
    except SystemExit as leaving:
        assert int(leaving.code or 0) == status, sys.argv
print("", *sorted({module.partition(".")[0] for module in sys.modules}))
"""


def loaded_by(*commands: tuple[list[str], int]) -> set[str]:
    """The packages that a new interpreter has loaded after `commands`, each with the exit status it must have."""
    arguments = [sys.executable, "-c", ONE_AFTER_THE_OTHER, json.dumps(commands)]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.splitlines()[-1].split())


def test_a_command_that_needs_no_part_loads_no_large_library(finished: Path, tmp_path: Path) -> None:
    twice = tmp_path / "twice.yaml"
    twice.write_text("name: one\nname: two\n", encoding="utf-8")
    loaded = loaded_by(
        (["--help"], 0),
        (["run", "--help"], 0),
        (["lsit"], 2),
        (["list", "--study", "demo"], 0),
        (["list", "--study", "dmo"], 2),
        (["plan", "dmo"], 2),
        (["run", str(twice)], 2),
        (["run", str(tmp_path / "nowhere.yaml")], 2),
        (["status", str(finished)], 0),
        (["status", str(tmp_path)], 2),
    )
    assert loaded & LARGE == set()


def test_a_command_that_only_names_parts_loads_no_library_that_few_functions_need(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("name: wrong\ndetectors: [smap-svm]\n", encoding="utf-8")
    nowhere = str(tmp_path / "nowhere")
    loaded = loaded_by(
        (["list"], 0), (["list", "--json"], 0), (["run", str(wrong)], 2), (["plan", "--photos", nowhere], 2)
    )
    assert loaded & FEW_NEED == set()


# --- list


def test_list_names_every_part(command: Command) -> None:
    answer = command("list", "--json")
    assert answer.status == 0
    assert answer.err == ""
    assert json.loads(answer.out) == {
        "manipulations": sorted(manipulations.MANIPULATIONS),
        "detectors": sorted(detectors.DETECTORS),
        "attacks": sorted(attacks.ATTACKS),
        "platforms": sorted(laundering.PLATFORMS),
        "plug_ins": {"manipulations": [], "detectors": [], "attacks": [], "platforms": []},
        "plug_in_packages": {"manipulations": {}, "detectors": {}, "attacks": {}, "platforms": {}},
        "broken_plug_ins": {"manipulations": {}, "detectors": {}, "attacks": {}, "platforms": {}},
        "paper_manipulations": list(manipulations.PAPER),
        "studies": ["demo", "leaderboard", "paper"],
        "shipped_detectors": detectors.zoo.shipped(),
    }


def test_list_shows_people_names_and_settings(command: Command) -> None:
    answer = command("list")
    assert answer.status == 0
    assert all(name in answer.out for name in ("median", "spam-svm", "cozzolino2017", "fgsm", "epsilon=1", "demo"))


@pytest.mark.parametrize("name", ["demo", "paper"])
def test_list_prints_a_built_in_study_that_runs_as_a_file_of_ones_own(
    command: Command, tmp_path: Path, name: str
) -> None:
    answer = command("list", "--study", name)
    assert (answer.status, answer.err) == (0, "")
    copy = tmp_path / "mine.yaml"
    copy.write_text(answer.out, encoding="utf-8")
    photos = [tmp_path] if name == "paper" else []
    assert load_study(str(copy), photos=photos) == load_study(name, photos=photos)
    assert json.loads(command("list", "--study", name, "--json").out)["name"] == name


def test_list_of_an_unknown_study_names_the_built_in_ones(refused: Callable[..., str]) -> None:
    assert refused("list", "--study", "dmo") == (
        "unknown built-in study 'dmo'; did you mean 'demo'? Known: demo, leaderboard, paper"
    )


# --- photos


def test_photos_lists_devices_sizes_and_files_that_cannot_be_used(command: Command, photos: Path) -> None:
    bad = photos / "device-2" / "bad.png"
    bad.write_bytes(b"x")
    answer = command("photos", photos, "--json")
    assert answer.status == 0
    assert answer.err == ""
    found = json.loads(answer.out)
    assert list(found) == ["folder", "devices", "unusable", "copies", "remarks"]
    assert found["copies"] == found["remarks"] == []
    assert found["folder"] == str(photos)
    assert found["unusable"] == [f"{bad}: not a JPEG, PNG, TIFF, WebP, AVIF or HEIF file, whatever its name says"]
    assert list(found["devices"]) == [f"device-{number}" for number in range(4)]
    for entries in found["devices"].values():
        assert [(entry["photo"], entry["width"], entry["height"]) for entry in entries] == [
            ("one.jpg", 192, 160),
            ("two.png", 192, 160),
        ]
        assert all(len(entry["sha256"]) == 64 for entry in entries)


def test_photos_tells_people_the_same(command: Command, photos: Path) -> None:
    bad = photos / "device-2" / "bad.png"
    bad.write_bytes(b"x")
    answer = command("photos", photos)
    assert answer.status == 0
    assert answer.out.count("2 of 192x160") == 4
    assert (
        f"Cannot be used: {bad}: not a JPEG, PNG, TIFF, WebP, AVIF or HEIF file, whatever its name says\n" in answer.out
    )


def test_photos_names_copies_and_what_is_unusual(command: Command, photos: Path) -> None:
    original = photos / "device-0" / "two.png"
    beside, elsewhere = photos / "device-0" / "z.tif", photos / "device-1" / "z.tif"
    with Image.open(original) as image:
        for path in (beside, elsewhere):
            image.save(path, icc_profile=b"a profile")
    expected = {
        "copies": [
            f"{beside}: the same pixels as {original}, under the same device",
            f"{elsewhere}: the same pixels as {original}, under another device; no study takes both, keep one",
        ],
        "remarks": [f"{beside} and 1 more: a colour profile (ICC), which is not applied"],
    }
    found = json.loads(command("photos", photos, "--json").out)
    assert {name: found[name] for name in expected} == expected
    assert [entry["remarks"] for entry in found["devices"]["device-1"]] == [[], [], [PROFILE]]
    shown = command("photos", photos).out
    for heading, name in (("Twice", "copies"), ("Note", "remarks")):
        for line in expected[name]:
            assert f"{heading}: {line}\n" in shown


# --- evaluate


def test_evaluate_gives_rates_intervals_and_counts(command: Command, trained: Path, photo_folder: Path) -> None:
    answer = command(
        *("evaluate", "--detector", trained, "--photos", photo_folder, "--manipulation", "median:size=7"),
        *("--per-photo", 5, "--json"),
    )
    assert answer.status == 0
    assert answer.err == ""
    result = json.loads(answer.out)
    assert (result["detector"], result["manipulation"]) == (str(trained), "median:7")
    assert (result["photos"], result["per_photo"], result["left_out"]) == (8, 5, [])
    assert (result["n_pristine"], result["n_manipulated"]) == (40, 40)
    assert result["fpr"] == result["fp"] / 40
    assert result["tpr"] == result["tp"] / 40
    assert result["acc"] == pytest.approx((result["tpr"] + 1 - result["fpr"]) / 2)
    assert 0 <= result["auc"] <= 1
    for name in ("fpr", "tpr", "acc"):
        assert 0 <= result[f"{name}_low"] <= result[name] <= result[f"{name}_high"] <= 1
    by_device = result["devices"]
    assert list(by_device) == [f"device-{number}" for number in range(4)]
    assert sum(found["patches"] for found in by_device.values()) == 40
    for name in ("fpr", "tpr", "acc"):  # devices have equally many patches
        assert np.mean([found[name] for found in by_device.values()]) == pytest.approx(result[name])


def test_evaluate_answers_the_same_twice(command: Command, trained: Path, photo_folder: Path) -> None:
    arguments = ("evaluate", "--detector", trained, "--photos", photo_folder, "--manipulation", "median:7")
    first, second = (command(*arguments, "--per-photo", 2, "--json") for _ in range(2))
    assert first == second


def test_evaluate_tells_people_the_same(command: Command, trained: Path, photos: Path) -> None:
    bad = photos / "device-0" / "small.png"
    shutil.copy(photos / "device-0" / "two.png", bad)
    bad.write_bytes(bad.read_bytes()[:3000])
    arguments = ("evaluate", "--detector", trained, "--photos", photos, "--manipulation", "median:7", "--per-photo", 2)
    answer = command(*arguments)
    assert answer.status == 0
    assert "16 pristine and 16 manipulated patches of 8 photographs; files left out: 1" in " ".join(answer.out.split())
    assert f"Left out: {bad}: truncated or damaged" in answer.out
    result = json.loads(command(*arguments, "--json").out)
    assert f"{result['tpr']:.2%}" in answer.out
    assert "device-3" in answer.out
    assert len(result["left_out"]) == 1


def test_evaluate_takes_several_folders(command: Command, trained: Path, photo_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "more" / "device-9").mkdir(parents=True)
    for number in range(2):
        Image.fromarray(picture(90 + number)).save(tmp_path / "more" / "device-9" / f"{number}.png")
    arguments = ("evaluate", "--detector", trained, "--photos", photo_folder, "--photos", tmp_path / "more")
    answer = command(*arguments, "--manipulation", "jpeg:70", "--per-photo", 1, "--json")
    assert json.loads(answer.out)["photos"] == 10


# --- run


@pytest.mark.filterwarnings("ignore:constrained_layout not applied:UserWarning")
def test_run_writes_rows_report_tables_and_figures_where_it_says(
    command: Command, finished: Path, tiny_yaml: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(finished, tmp_path / "runs" / "tiny", symlinks=True)
    answer = command("run", tiny_yaml)
    assert answer.status == 0
    assert answer.err == ""
    assert answer.out.endswith("Rows: runs/tiny/rows.csv\nReport: runs/tiny/report.html\n")
    out = tmp_path / "runs" / "tiny"
    assert (out / "rows.csv").read_bytes() == (finished / "rows.csv").read_bytes()
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "counterforensics run" in page
    assert COZZOLINO.partition(":")[0] in page.lower()
    assert {path.suffix for path in (out / "tables").iterdir()} == {".md", ".tex"}
    assert {path.suffix for path in (out / "figures").iterdir()} == {".png", ".pdf"}


def test_run_on_a_folder_of_photographs_resumes_where_it_was_told_to(
    command: Command, photo_folder: Path, tiny_yaml: Path, tmp_path: Path, no_report: None
) -> None:
    (tmp_path / "s.yaml").write_text(
        "name: folder\nsplit: {test: 1}\npatches: {per_photo: 4}\nmanipulations: [median:7]\ndetectors: [spam-svm]\n"
    )
    arguments = ("run", tmp_path / "s.yaml", "--photos", photo_folder, "--out", tmp_path / "o", "--workers", 2)
    first = command(*arguments)
    assert first.status == 0
    assert first.err == ""
    rows = (tmp_path / "o" / "rows.csv").read_text(encoding="utf-8").splitlines()
    assert rows[0] == ",".join(ROW_COLUMNS)
    assert rows[1].startswith("folder,0,median:7,spam-svm,,,none,spam-svm,,,8,8,")
    assert len(rows) == 2
    assert command(*arguments) == first


def test_run_with_failed_tasks_lists_them_and_leaves_with_two(
    command: Command, finished: Path, tiny_yaml: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_report: None
) -> None:
    from counterforensics.study.tasks import CONCEAL

    def fail(*_: object) -> None:
        raise RuntimeError("no such luck")

    monkeypatch.setattr(type(CONCEAL), "version", CONCEAL.version + 1)
    monkeypatch.setattr(type(CONCEAL), "run", fail)
    shutil.copytree(finished, tmp_path / "o", symlinks=True)
    answer = command("run", tiny_yaml, "--out", tmp_path / "o")
    assert answer.status == 2
    assert answer.err == "counterforensics: 2 tasks failed; run the same command again to retry them\n"
    for manipulation in ("jpeg:70", "median:7"):
        assert f"Failed: conceal {manipulation} by fgsm: RuntimeError: no such luck (" in answer.out


def test_an_interrupted_run_says_how_to_go_on(
    command: Command, tiny_yaml: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("counterforensics.study.run.run_study", interrupt)
    answer = command("run", tiny_yaml, "--out", tmp_path)
    assert answer.status == 130
    assert answer.err == "counterforensics: stopped; finished work is kept, and the same command resumes it\n"


def test_a_defect_of_ours_keeps_its_traceback(
    command: Command, tiny_yaml: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def break_down(*_: object, **__: object) -> None:
        raise AssertionError("a defect")

    monkeypatch.setattr("counterforensics.study.run.run_study", break_down)
    with pytest.raises(AssertionError, match="a defect"):
        command("run", tiny_yaml, "--out", tmp_path)
