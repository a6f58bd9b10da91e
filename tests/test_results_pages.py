"""The pages of results/: every number comes from a committed CSV file, and a page is what its template gives."""

from __future__ import annotations

import csv
import doctest
import re
import shutil
from pathlib import Path

import pytest
from tools import localise, results_pages, results_rows
from tools.results_pages import RESULTS, rendered, runs, templates

from counterforensics.errors import StudyError
from counterforensics.report.leaderboard import write_leaderboard

TEMPLATES = [*templates(), RESULTS / results_pages.FINDING]
SHARED = sorted(RESULTS.glob("*/pages/shared.jinja"))  # what several templates import
# What a template may write with digits, as it is no measurement: in this order, each is taken out.
ALLOWED = (
    r"\{#.*?#\}",  # comments
    r"\{% set \w+ = [\d.]+ %\}",  # a choice of the page, such as the bound of a list, which the page prints
    r"\{%.*?%\}|\{\{.*?\}\}",  # looked at on their own, see `code_of`
    r"\]\([^)]*\)",  # link targets
    r"```.*?```",  # commands
    r"`[^`]*`",  # settings, file names
    r"(JPEG|blur|resize|median) (\d+x\d+|[\d.]+)",  # manipulations
    r"\b\d+x\d+\b",  # sizes of patches and filters
    r"(Bayar|Cozzolino)20\d\d",
    r"\b95 % interval|\b8[ -]bits?\b|SHA-256|[sS]eed 0\b|seed 0\b|bfloat16",
    r"\bquality 90\b|\bnear 90\b|\bat 90\b",  # of JPEG 90
    r"\((whole, )?\d(, \d)*\)|^\| \d\.|\b\d, \d and \d\b|\b4 has\b|\bas \d\b|\bthan \d\b",  # lines of the ablation
    r"AUC of 0\.50",  # chance
    r"\bF1\b",
)
# Bounds and lengths of lists that a page states: no results.
CHOICES = {"far", "chance", "uneven", "little", "apart", "reach", "half", "quarter", "most", "few", "well"}
CHOICES |= {"allowed", "bound", "shown", "coarse", "one_level", "none_wide"}  # the last two: settings of the noise
# Quoted texts with digits: formats, manipulations, detectors, settings, names in recorded.csv, lines of the ablation.
NAMES = (
    r"[^\d]*%\+?\.?\d?[dfg][^\d]*|%\+?\.\df|\{:,\.0f\}",
    r"(blur|jpeg|median|resize):[\d.]+",
    r"(bayar|cozzolino)20\d\d(/|:steps=0)?|spam-svm/jpeg:90",
    r"(\w+=[\w.]+,?)+",
    r"(fine-tuning|cameras)/earlier[-\w]*\.csv|f1",
    r"(older|perfect|spectrum)-[\w-]+",
    r"\d\. [^\d%]*(\d, )?[^\d%]*(`beta1=0\.9`)?",
)


def code_of(template: str) -> str:
    """The statements and expressions of a template, without names in quotes, indices and factors of percent."""
    found = " ".join(re.findall(r"\{%.*?%\}|\{\{.*?\}\}", re.sub(r"\{% set \w+ = [\d.]+ %\}", "", template), re.DOTALL))
    without_texts = re.sub(r'"[^"]*"', "", found)
    return re.sub(r"\b100 \*|/ 100\b|\[\d\]|\(1 - |, \d\)|(>|==) 1\b|\.f1\b", "", without_texts)


@pytest.fixture(scope="module")
def pages() -> dict[str, str]:
    return rendered()


def test_the_pages_are_what_the_templates_give(pages: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert len(pages) == len(TEMPLATES) - 1 == 13
    readme = results_pages.README.read_text(encoding="utf-8")
    assert results_pages.with_finding(readme) == readme, "run python -m tools.results_pages"
    for page, text in pages.items():
        assert (RESULTS / page).read_text(encoding="utf-8") == text, f"{page}: run python -m tools.results_pages"


def test_the_leaderboard_is_that_of_the_committed_rows(tmp_path: Path) -> None:
    folder = RESULTS / results_pages.RANKED
    write_leaderboard([folder], tmp_path)
    committed = folder / results_pages.LEADERBOARD / "leaderboard.csv"
    assert (tmp_path / "leaderboard.csv").read_bytes() == committed.read_bytes()


def test_check_names_a_page_that_differs(
    pages: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(results_pages, "rendered", lambda: pages)
    assert results_pages.main(["--check"]) == 0
    monkeypatch.setattr(results_pages, "rendered", lambda: {**pages, "cameras/noise.md": "x"})
    assert results_pages.main(["--check"]) == 1
    assert capsys.readouterr().out == "results/cameras/noise.md differs from its template\n"


@pytest.mark.parametrize("path", [*TEMPLATES, *SHARED], ids=str)
def test_no_template_writes_a_number(path: Path) -> None:
    template = path.read_text(encoding="utf-8")
    prose = template
    for pattern in ALLOWED:
        prose = re.sub(pattern, " ", prose, flags=re.DOTALL | re.MULTILINE)
    assert re.findall(r".{0,30}\d.{0,30}", prose) == []
    assert re.findall(r".{0,30}\d.{0,30}", code_of(template)) == []


@pytest.mark.parametrize("path", [*TEMPLATES, *SHARED], ids=str)
def test_no_template_hides_a_number(path: Path) -> None:
    template = path.read_text(encoding="utf-8")
    assert set(re.findall(r"\{% set (\w+) = [\d.]+ %\}", template)) <= CHOICES
    code = re.findall(r"\{%.*?%\}|\{\{.*?\}\}", template, re.DOTALL)
    texts = {text for piece in code for text in re.findall(r'"([^"]*)"', piece) if re.search(r"\d", text)}
    assert [text for text in sorted(texts) if not any(re.fullmatch(name, text) for name in NAMES)] == []


def test_a_number_in_a_template_is_found() -> None:
    assert re.search(r"\d", code_of("{{ 97.2 }}"))
    assert re.search(r"\d", code_of("{% if one.tpr > 0.5 %}"))
    assert not re.search(r"\d", code_of('{% set far = 3 %}{{ one("median:7")[0] | rough }}'))


def test_pages_are_short_and_figures_few() -> None:
    for path in (RESULTS / "cameras").glob("*.md"):
        lines = path.read_text(encoding="utf-8").splitlines()
        assert len(lines) < (60 if path.name == "README.md" else 100), path.name
        assert path.name == "README.md" or sum("](figures/" in line for line in lines) >= 1
    figures = list((RESULTS / "cameras").rglob("*.png"))
    assert 6 <= len(figures) <= 8
    shown = "".join(path.read_text(encoding="utf-8") for path in (RESULTS / "cameras").glob("*.md"))
    assert [path.name for path in figures if f"figures/{path.name}" not in shown] == []


def test_the_accuracies_are_those_of_the_counts(pages: dict[str, str]) -> None:
    with (RESULTS / "cameras" / "rows.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if not row["attack"]]
    table = pages["cameras/detection.md"].split("## Accuracy")[1].split("\n\n")[2].splitlines()
    names = [cell.strip() for cell in table[0].split("|")[2:-1]]
    for line, manipulation in zip(table[2:], dict.fromkeys(row["manipulation"] for row in rows), strict=True):
        for name, cell in zip(names, line.split("|")[2:-1], strict=True):
            plain = {"SPAM + SVM": "spam-svm"}.get(name, name.lower())
            row = next(r for r in rows if r["manipulation"] == manipulation and r["detector"].split(":")[0] == plain)
            right = int(row["tp"]) + int(row["n_pristine"]) - int(row["fp"])
            assert cell.split()[0] == f"{100 * right / (int(row['n_pristine']) + int(row['n_manipulated'])):.2f}"


def test_a_rerun_changes_the_words(tmp_path: Path) -> None:
    results = tmp_path / "results"
    shutil.copytree(RESULTS, results)
    path = results / "cameras" / "rows.csv"
    with path.open(encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    for line in lines:
        if line["detector"].startswith("bayar2016") and not line["attack"]:
            line["fp"], line["tp"], line["auc"] = "0", line["n_manipulated"], "1.000000"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(lines[0]))
        writer.writeheader()
        writer.writerows(lines)
    rates = {"canon_eos_600d": 0.01, "oneplus_a3003": 0.02, "canon_powershot_sx260hs": 0.4}
    with (results / "cameras" / "devices.csv").open("w", encoding="utf-8", newline="") as file:
        devices = csv.writer(file)
        devices.writerow(("seed", "manipulation", "detector", "target", "attack", "device", "fpr"))
        devices.writerows((0, "resize:1.01", "spam-svm", "", "", name, fpr) for name, fpr in rates.items())
        devices.writerow((0, "blur:1.1", "spam-svm", "", "", "oneplus_a3003", 0))
    page = rendered(results)["cameras/detection.md"]
    assert "| JPEG 70 | 99.98 [99.99] | 100.00 [99.43] |" in page
    summary = page.split("![")[0]
    assert "Bayar2016 on" not in summary
    assert "Cozzolino2017 on resize 1.01" in summary
    assert "1 of 40 detectors call more than" in summary
    assert "- SPAM + SVM on resize 1.01: canon_powershot_sx260hs 40.0 %.\n" in page


def test_rows_of_several_seeds_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    text = (RESULTS / "simulated-to-cameras" / "rows.csv").read_text(encoding="utf-8")
    again = text.split("\n", 1)[1].replace("simulated-to-cameras,0,", "simulated-to-cameras,1,")
    (folder / "rows.csv").write_text(text + again, encoding="utf-8")
    with pytest.raises(StudyError, match=r"has the seeds \[0, 1\]; the pages read rows of a single seed"):
        results_rows.Run(folder)


def test_rows_of_a_run_that_has_not_finished_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    head, first, *others = (RESULTS / "simulated-to-cameras" / "rows.csv").read_text(encoding="utf-8").splitlines()
    empty = ",".join(first.split(",")[:6]) + "," * (head.count(",") - 5)
    (tmp_path / "rows.csv").write_text("\n".join([head, empty, *others]), encoding="utf-8")
    monkeypatch.setattr(results_pages, "rendered", lambda: results_rows.Run(tmp_path))
    assert results_pages.main([]) == 2
    refusal = f"{tmp_path}/rows.csv has 1 rows without figures (first: blur:1.1 spam-svm); finish the run"
    assert capsys.readouterr().err == f"results_pages: {refusal}\n"


def test_a_recorded_figure_that_is_not_there_is_an_error() -> None:
    recorded = results_rows.Recorded(RESULTS / "cameras" / "recorded.csv", {})
    assert recorded("paper-patches") == "400000"
    assert not recorded.holds("hardware-full")
    with pytest.raises(KeyError, match="hours-nobody"):
        recorded.holds("hours-nobody")


def test_reports_are_drawn_from_rows_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    few = {name: runs()[name] for name in ("full", "three_devices")}
    monkeypatch.setattr(results_pages, "runs", lambda: few)
    monkeypatch.setattr(results_pages, "rendered", dict)
    monkeypatch.setattr(results_pages, "with_finding", lambda readme: readme)
    assert results_pages.main(["--reports", str(tmp_path)]) == 0
    full, three = ((tmp_path / name / "tables" / "table1.md").read_text(encoding="utf-8") for name in few)
    assert "of 55 test photographs from 3 devices" in full
    assert "85.97" in three
    assert "test photographs" not in three
    assert (tmp_path / "full" / "figures" / "transfer-untargeted.png").exists()


def test_the_table_of_localisation_comes_from_its_rows() -> None:
    folder = RESULTS / "localisation"
    assert localise.table(localise.summarised(localise.read(folder / "splices.csv"))) == (
        folder / "table.md"
    ).read_text(encoding="utf-8")


@pytest.mark.parametrize("module", [results_pages, results_rows], ids=["results_pages", "results_rows"])
def test_the_examples_in_docstrings(module: object) -> None:
    assert doctest.testmod(module).failed == 0  # type: ignore[arg-type]
