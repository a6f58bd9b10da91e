"""The leaderboard: ranks that are counted by hand, runs that cannot be compared, an entry by one command, the page."""

from __future__ import annotations

import csv
import io
import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from counterforensics import __version__
from counterforensics.report.leaderboard import Leaderboard, Slice, write_leaderboard
from counterforensics.report.leaderboard.runs import NUMBERS, TEXTS, read_runs
from counterforensics.study.entering import enter
from counterforensics.study.settings import load_study
from counterforensics.study.yaml_file import BUILT_IN
from tests import test_report_page
from tests.conftest import COZZOLINO, Command, tiny_settings, write_study
from tests.test_plug_ins import WITHOUT_REPORT, Site
from tests.test_report_page import OVERFLOW, UNFOLD, WIDE, WIDTHS, axe, opened

browser = test_report_page.browser
Row = dict[str, Any]
COLUMNS = [*TEXTS[:-1], *NUMBERS]


def row(manipulation: str, detector: str, tpr: float, target: str = "", attack: str = "", **more: Any) -> Row:
    """A line of rows.csv, its interval 0.1 to either side."""
    texts = {"study": "s", "manipulation": manipulation, "detector": detector, "target": target, "attack": attack}
    labels = {"label": detector, "target_label": target, "attack_label": attack}
    rates = {"tpr_at_fpr_01": tpr, "tpr_at_fpr_01_low": max(0, tpr - 0.1), "tpr_at_fpr_01_high": min(1, tpr + 0.1)}
    return {**texts, **labels, "seed": 0, **rates, "fpr_at_fpr_01": 0.01, "psnr": 40.0 if attack else "", **more}


def judged(detector: str, before: float, own: float, other: float, **more: Any) -> list[Row]:
    """A detector that FGSM attacks itself, and by transfer from the other of two."""
    rest = {"alpha": "beta", "beta": "alpha"}[detector]
    return [
        row("median:7", detector, before, **more),
        row("median:7", detector, own, detector, "fgsm", **more),
        row("median:7", detector, other, rest, "fgsm", **more),
        row("jpeg:70", detector, 0.8, **more),
        row("jpeg:70", detector, 0.6, detector, "fgsm", **more),
    ]


ROWS = [*judged("alpha", 1.0, 0.5, 0.3), *judged("beta", 0.9, 0.1, 0.7)]


def write_csv(path: Path, lines: Sequence[Row], columns: Sequence[str]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(lines)


def run_folder(
    folder: Path,
    rows: Sequence[Row] = ROWS,
    *,
    columns: Sequence[str] = COLUMNS,
    photo: str = "a" * 64,
    aucs: Mapping[str, float] = {},
) -> Path:
    """The folder of a finished run.  aucs: of a detector on held-out photographs, for both manipulations."""
    folder.mkdir()
    write_csv(folder / "rows.csv", rows, columns)
    photos = [{"device": "cam", "photo": f"{n}.png", "role": "test", "digest": photo} for n in range(7)]
    write_csv(folder / "photos.csv", photos, list(photos[0]))
    trainings = [
        {"role": "detector", "manipulation": manipulation, "part": part, "validation_auc": area}
        for part, area in ({"alpha": 0.99, "beta": 0.95} | dict(aucs)).items()
        for manipulation in ("median:7", "jpeg:70")
    ]
    write_csv(folder / "trainings.csv", trainings, list(trainings[0]))
    (folder / "study.yaml").write_text("name: s\n")
    return folder


def ranks(board: Path) -> list[dict[str, str]]:
    """The lines of a leaderboard.csv."""
    return list(csv.DictReader(io.StringIO((board / "leaderboard.csv").read_text("utf-8"))))


def test_detectors_are_ranked_by_the_mean_of_their_worst_cases(tmp_path: Path) -> None:
    board = Leaderboard(read_runs([run_folder(tmp_path / "run")]))
    first, second = board.rank_detectors(Slice())
    assert (first.part, first.rank, second.part, second.rank) == ("alpha", 1, "beta", 2)
    assert first.tpr == pytest.approx((0.3 + 0.6) / 2)
    assert (first.low, first.high) == pytest.approx(((0.2 + 0.5) / 2, (0.4 + 0.7) / 2))
    assert second.tpr == pytest.approx((0.1 + 0.6) / 2)
    assert (first.before, first.fpr, first.studies) == (0.9, 0.01, ("s",))
    assert first.worst is not None
    assert tuple(first.worst[["manipulation", "target", "attack"]]) == ("median:7", "beta", "fgsm")
    (alone, _) = board.rank_detectors(Slice(manipulation="jpeg:70"))
    assert alone.tpr == pytest.approx(0.6)


def test_attacks_are_ranked_by_what_they_leave_with_the_choice_of_the_target(tmp_path: Path) -> None:
    weaker = [row(m, d, 0.9, d, "noise") for m in ("median:7", "jpeg:70") for d in ("alpha", "beta")]
    partial = [row("median:7", "alpha", 0.0, "alpha", "partial")]
    board = Leaderboard(read_runs([run_folder(tmp_path / "run", [*ROWS, *weaker, *partial])]))
    fgsm, noise, unranked = board.rank_attacks(Slice())
    assert [(one.part, one.rank) for one in (fgsm, noise, unranked)] == [("fgsm", 1), ("noise", 2), ("partial", None)]
    assert fgsm.tpr == pytest.approx((0.3 + 0.1 + 0.6 + 0.6) / 4)
    assert fgsm.own == pytest.approx((0.5 + 0.1 + 0.6 + 0.6) / 4)
    assert [fgsm.before, fgsm.psnr] == pytest.approx([(1.0 + 0.9 + 0.8 + 0.8) / 4, 40.0])
    assert unranked.remark == "not ranked: no figure for 3 of 4 pairs of manipulation and judge"


def test_the_worst_case_is_over_platforms_where_photographs_were_laundered(tmp_path: Path) -> None:
    uploaded = [{**one, "laundering": "telegram", "tpr_at_fpr_01": one["tpr_at_fpr_01"] / 2} for one in ROWS]
    uploaded = [{**one, "tpr_at_fpr_01_low": 0.0} for one in uploaded]
    rows = [*({**one, "laundering": "none"} for one in ROWS), *uploaded]
    board = Leaderboard(read_runs([run_folder(tmp_path / "run", rows, columns=[*COLUMNS, "laundering"])]))
    assert board.platforms == ["none", "telegram"]
    assert board.rank_detectors(Slice())[0].tpr == pytest.approx((0.15 + 0.3) / 2)
    assert board.rank_detectors(Slice(platform="none"))[0].tpr == pytest.approx((0.3 + 0.6) / 2)
    assert board.slices()["platform"] == [Slice(platform="none"), Slice(platform="telegram")]


def test_what_has_not_learned_or_was_not_attacked_is_not_ranked(tmp_path: Path) -> None:
    bystander = [row(m, "gamma", 1.0) for m in ("median:7", "jpeg:70")]
    bystander += [row(m, "gamma", 0.9, "alpha", "fgsm", fpr_at_fpr_01=0.2) for m in ("median:7", "jpeg:70")]
    board = Leaderboard(read_runs([run_folder(tmp_path / "run", [*ROWS, *bystander], aucs={"beta": 0.55})]))
    alpha, *others = board.rank_detectors(Slice())
    assert (alpha.part, alpha.rank, alpha.remark) == ("alpha", 1, "")
    beta, gamma = sorted(others, key=lambda one: one.part)
    assert (beta.rank, gamma.rank) == (None, None)
    assert beta.remark == "not ranked: has not learned JPEG Q = 70 (AUC 0.55), Median 7 × 7 (AUC 0.55)"
    assert gamma.remark.startswith(
        "not ranked: no attack was aimed at it; its AUC on held-out photographs is not known"
    )
    assert "FPR reached is above 5 %" in gamma.remark
    (fgsm,) = board.rank_attacks(Slice())  # a judge that has not learned does not count
    assert fgsm.tpr == pytest.approx((0.3 + 0.6 + 0.9 + 0.9) / 4)


def test_of_two_runs_the_first_counts_and_each_figure_names_its_study(tmp_path: Path) -> None:
    first = run_folder(tmp_path / "one")
    again = [{**one, "tpr_at_fpr_01": 0.0, "tpr_at_fpr_01_low": 0.0} for one in ROWS[:1]]
    second = run_folder(tmp_path / "two", [*again, row("median:7", "alpha", 0.2, "alpha", "pgd")])
    board = write_leaderboard([first, second], tmp_path / "board")
    assert board.repeated == 1
    alpha = next(one for one in board.rank_detectors(Slice()) if one.part == "alpha")
    assert alpha.tpr == pytest.approx((0.2 + 0.6) / 2)
    assert alpha.studies == ("s", "s-2")
    page = (tmp_path / "board" / "index.html").read_text("utf-8")
    assert "1 row of later runs repeat" in page
    assert '<h3 id="study-s-2">' in page
    assert '<a href="#study-s-2">s-2</a>' in page


def test_the_table_and_the_page_hold_ranks_intervals_digests_and_versions(tmp_path: Path) -> None:
    folder = run_folder(tmp_path / "run", [*ROWS, row("median:7", "<i>", 0.5, label="<i>")])
    (folder / "provenance.json").write_text('{"versions": "counterforensics 9.9, torch 1.2"}')
    (folder / "report.html").touch()
    write_leaderboard([folder], tmp_path / "board")
    lines = ranks(tmp_path / "board")
    first = next(line for line in lines if line["kind"] == "detector" and line["manipulation"] == "")
    assert (first["rank"], first["part"], first["tpr_at_fpr_01"]) == ("1", "alpha", "0.450000")
    assert (first["tpr_at_fpr_01_low"], first["tpr_at_fpr_01_high"]) == ("0.350000", "0.550000")
    assert (first["photographs"], first["studies"], first["worst_target"]) == ("7", "s", "beta")
    assert {line["manipulation"] for line in lines} == {"", "median:7", "jpeg:70"}
    page = (tmp_path / "board" / "index.html").read_text("utf-8")
    assert "<i>" not in page
    assert "&lt;i&gt;" in page
    for told in ("counterforensics 9.9, torch 1.2", "a" * 64, "../run/report.html", "[35.00, 55.00]", __version__):
        assert told in page
    assert "http" not in page


def changed(name: str, content: str) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        (folder / name).write_text(content)

    return spoil


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (
            lambda folder: (folder / "rows.csv").unlink(),
            "is no finished run: it has no rows.csv; `counterforensics run",
        ),
        (changed("rows.csv", ""), "rows.csv' cannot be read as a table"),
        (changed("rows.csv", "study,seed\ns,0\n"), "lacks the column(s) manipulation, detector,"),
        (changed("rows.csv", ",".join(COLUMNS) + "\n"), "rows.csv' has no line: the run has not ended"),
        (changed("photos.csv", "device\ncam\n"), "photos.csv' lacks the column(s) photo, role, digest"),
        (changed("provenance.json", "{"), "provenance.json' is no JSON"),
    ],
)
def test_a_folder_that_is_no_run_is_refused_in_one_line(
    tmp_path: Path, refused: Callable[..., str], spoil: Callable[[Path], Any], said: str
) -> None:
    spoil(run_folder(tmp_path / "run"))
    assert said in refused("leaderboard", tmp_path / "run", "--out", tmp_path / "board")


def test_a_rate_that_is_none_is_refused(tmp_path: Path, refused: Callable[..., str]) -> None:
    run_folder(tmp_path / "run", [{**ROWS[0], "tpr_at_fpr_01": 1.5}])
    assert "tpr_at_fpr_01 must lie in 0..1" in refused("leaderboard", tmp_path / "run", "--out", tmp_path / "board")
    run_folder(tmp_path / "other", [{**ROWS[0], "fpr_at_fpr_01": "many"}])
    assert "fpr_at_fpr_01 must hold numbers" in refused("leaderboard", tmp_path / "other", "--out", tmp_path / "board")


@pytest.mark.parametrize(
    ("rows", "how", "said"),
    [
        ([{**one, "seed": 1} for one in ROWS], {}, "has the seeds [0] and"),
        (ROWS, {"photo": "b" * 64}, "were tested on different photographs (7 and 7); make a leaderboard for each"),
        (ROWS, {"columns": [*COLUMNS, "laundering"]}, "differ in the column(s) laundering; run both with one version"),
        (
            [{**one, "detector": one["detector"].replace("alpha", "alpha:depth=2")} for one in ROWS],
            {},
            "the label 'alpha' is the detector 'alpha' in",
        ),
    ],
)
def test_runs_that_cannot_be_compared_are_refused_in_one_line(
    tmp_path: Path, refused: Callable[..., str], rows: list[Row], how: dict[str, Any], said: str
) -> None:
    folders = run_folder(tmp_path / "one"), run_folder(tmp_path / "two", rows, **how)
    assert said in refused("leaderboard", *folders, "--out", tmp_path / "board")
    assert not (tmp_path / "board").exists()


def test_without_a_run_or_with_an_unknown_entry_there_is_no_leaderboard(
    tmp_path: Path, refused: Callable[..., str]
) -> None:
    assert "needs the folder of at least one finished run" in refused("leaderboard", "--out", tmp_path)
    said = refused("leaderboard", "--enter", "pgdd", "--out", tmp_path)
    assert "detector or attack" in said
    assert "pgd" in said
    said = refused("leaderboard", "--enter", "spam-svm", "--out", tmp_path)
    assert "cannot enter the study 'leaderboard'" in said
    assert "twice" in said


def test_the_protocol_is_built_in_and_takes_detectors_and_attacks() -> None:
    assert "leaderboard" in BUILT_IN
    study = enter(load_study("leaderboard"), ["cozzolino2017:steps=1", "deepfool", "spam-gradient"])
    texts = {attack: [c.target.text for c in study.contests if c.target and c.attack.text == attack]
             for attack in ("fgsm", "spam-descent", "deepfool")}  # fmt: skip
    assert texts["fgsm"][-1] == "cozzolino2017:steps=1"
    assert texts["spam-descent"] == ["spam-svm"]
    assert len(texts["deepfool"]) >= 2


def test_a_detector_of_a_plug_in_enters_by_one_command(tmp_path: Path) -> None:
    site = Site(tmp_path / "site")
    site.folder.mkdir()
    template = files("counterforensics") / "templates" / "plugin" / "src" / "my_plugin" / "tiny_cnn.py"
    site.add("mine", {"tiny_cnn.py": template.read_text("utf-8")}, {"detectors": {"tiny-cnn": "tiny_cnn:TinyCnn"}})
    protocol = write_study(
        tmp_path / "tiny.yaml", tiny_settings(manipulations=["median:7"], detectors=[COZZOLINO], name="protocol")
    )
    path = os.pathsep.join(filter(None, [str(site.folder), os.environ.get("PYTHONPATH", "")]))
    arguments = ["leaderboard", "--enter", "tiny-cnn:steps=2", "--protocol", protocol, "--out", tmp_path / "board"]
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_REPORT, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": path},
    )
    assert done.returncode == 0, done.stderr
    lines = ranks(tmp_path / "board")
    entered = [line for line in lines if line["part"] == "tiny-cnn:steps=2"]
    assert entered[0]["studies"] == "protocol"
    page = (tmp_path / "board" / "index.html").read_text("utf-8")
    assert "tiny-cnn" in page
    assert "counterforensics 0" in page  # the versions that made the figures


def test_a_run_is_read_as_it_was_written(finished: Path, tmp_path: Path, command: Command) -> None:
    done = command("leaderboard", finished, "--out", tmp_path / "board")
    assert done.status == 0
    assert f"Leaderboard: {tmp_path / 'board' / 'index.html'}" in done.out


# --- the page in a browser


@pytest.fixture
def crowded(tmp_path: Path) -> Path:
    """A page of many detectors with long labels, two platforms and two attacks."""
    names = [f"detector-{number}" for number in range(6)]
    rows = []
    for place, platform in enumerate(("none", "telegram>whatsapp:side=1600,quality=70")):
        for m in ("median:7", "jpeg:70"):
            for number, name in enumerate(names):
                label = f"A detector with a label of its own, number {number}"
                told = {"laundering": platform, "label": label, "target_label": ""}
                rows.append(row(m, name, 0.9 - 0.3 * place, **told))
                rows += [row(m, name, 0.5 - 0.04 * number, "", attack, **told) for attack in ("fgsm", "gan-vgg")]
    folder = run_folder(tmp_path / "run", rows, columns=[*COLUMNS, "laundering"], aucs={names[3]: 0.5})
    write_leaderboard([folder], tmp_path / "board")
    return tmp_path / "board" / "index.html"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_fits_any_width_and_can_be_read_by_everybody(browser: Any, crowded: Path, scheme: str) -> None:
    for width in WIDTHS:
        page = opened(browser, crowded, viewport={"width": width, "height": 900}, color_scheme=scheme)
        page.evaluate(UNFOLD)
        assert page.evaluate(OVERFLOW) == 0, f"{width} pixels"
        assert page.evaluate(WIDE) == []
        page.context.close()
    page = opened(browser, crowded, viewport={"width": 1400, "height": 900}, color_scheme=scheme)
    page.evaluate(UNFOLD)
    found = axe.Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
    assert [one["id"] for one in found if one["impact"] in ("serious", "critical")] == []
    page.context.close()


def test_filters_choose_a_manipulation_an_attack_and_a_platform(browser: Any, crowded: Path) -> None:
    page = opened(browser, crowded)
    assert page.locator("#detectors tbody tr:visible").count() == 6  # the ranks are open from the beginning
    page.get_by_role("button", name="Open all").click()
    page.locator("select[name=manipulation]").select_option("Median 7 × 7")
    assert page.locator("#detectors-by-manipulation tbody tr:visible:not(.section)").count() == 6
    assert page.locator("#every-figure tbody tr:visible:not(.section)").count() == 36
    page.locator("select[name=platform]").select_option("no upload")
    page.locator("select[name=attack]").select_option("FGSM")
    assert page.locator("#every-figure tbody tr:visible:not(.section)").count() == 6
    page.context.close()


# --- the page of the documents


def test_the_commands_of_the_page_are_those_of_the_command_line(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Command
) -> None:
    page = (Path(__file__).parents[1] / "docs" / "leaderboard.md").read_text("utf-8")
    run, rank, entry, trained = re.findall(r"^counterforensics (.+)$", page, re.MULTILINE)
    assert run.split() == ["run", "leaderboard"]
    assert entry.split()[:2] == ["leaderboard", "--enter"]  # as `test_a_detector_of_a_plug_in_enters_by_one_command`
    enter(load_study("leaderboard"), [trained.split()[2]])
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "leaderboard").symlink_to(finished)
    assert command(*rank.split()).status == 0
    assert "Simulated cameras." in (tmp_path / "board" / "index.html").read_text("utf-8")
    columns = (tmp_path / "board" / "leaderboard.csv").read_text("utf-8").partition("\n")[0].split(",")
    assert [name for name in columns if f"`{name}`" not in page] == []
