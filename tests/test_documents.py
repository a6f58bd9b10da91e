"""README and docs are tests too: their code runs, their commands work, their links lead somewhere."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import torch
import yaml
from PIL import Image

from counterforensics.attacks.gan_restoration import SIZES, Size
from counterforensics.detectors import bayar2016, cozzolino2017, deep, xception
from counterforensics.detectors.base import score
from counterforensics.detectors.training import TrainingSchedule
from counterforensics.study import settings as study_settings
from counterforensics.study.settings import Study, load_study
from counterforensics.study.yaml_file import read_settings
from counterforensics.testing import sample_pairs
from tests.conftest import Command, picture, tiny_settings, write_study

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("results/**/*.md")])


def blocks(document: str, language: str) -> list[str]:
    """The fenced blocks of one language in a document."""
    text = (ROOT / document).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def prose(document: Path) -> str:
    """The text of a document without its fenced blocks."""
    return re.sub(r"^```.*?^```", "", document.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


def anchors(document: Path) -> set[str]:
    """The anchors of the headings in a document, as GitHub and the site form them."""
    titles = re.findall(r"^#+ (.+)$", prose(document), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.strip().lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_relative_link_leads_somewhere(document: Path) -> None:
    links = [link for link in re.findall(r"\]\(([^)\s]+)\)", prose(document)) if "://" not in link]
    dead = []
    for link in links:
        path, _, anchor = link.partition("#")
        place = document.parent / path if path else document
        if not place.exists() or (anchor and anchor not in anchors(place)):
            dead.append(link)
    assert dead == []


# --- links to other sites: `make links` visits them, which needs a network; their form is checked here

ADDRESS = re.compile(r"https?://[^\s<>\"'`\])]+")
# Addresses that name a work have one form each.
WORKS = {
    "doi.org": re.compile(r"/10\.\d{4,9}/[^\s]+"),
    "arxiv.org": re.compile(r"/abs/\d{4}\.\d{4,5}"),
}
BARE_WORK = re.compile(r"\b(?:doi|arxiv)\s*:\s*\S+", re.IGNORECASE)


def faults_of_addresses(text: str) -> list[str]:
    """What is wrong with the form of each address of another site in `text`."""
    faults = [f"{work} is no link" for work in BARE_WORK.findall(text)]
    for address in ADDRESS.findall(text):
        parts = urlsplit(address)
        host = (parts.hostname or "").removeprefix("www.")
        if parts.scheme != "https":
            faults.append(f"{address} is not https")
        if not re.fullmatch(r"([a-z0-9-]+\.)+[a-z]{2,}", host) or address[-1] in ".,;:":
            faults.append(f"{address} is no address")
        if host == "dx.doi.org" or not WORKS.get(host, re.compile(r".*")).fullmatch(parts.path):
            faults.append(f"{address} is no {host} address of a work")
    return faults


def in_one_spelling(address: str) -> str:
    """An address without what does not change where it leads."""
    return re.sub(r"^https?://(www\.)?", "", address).rstrip("/").removesuffix(".git").lower()


def test_links_to_other_sites_are_well_formed_and_spelled_in_one_way() -> None:
    texts = {str(path.relative_to(ROOT)): prose(path) for path in DOCUMENTS}
    for other in ("CITATION.cff", "pyproject.toml"):
        texts[other] = (ROOT / other).read_text(encoding="utf-8")
    assert {name: faults for name, text in texts.items() if (faults := faults_of_addresses(text))} == {}
    spellings: dict[str, set[str]] = {}
    for text in texts.values():
        for address in ADDRESS.findall(text):
            spellings.setdefault(in_one_spelling(address), set()).add(address)
    assert spellings
    assert [several for several in spellings.values() if len(several) > 1] == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[a](http://example.org/x)", "is not https"),
        ("see https://example.org/x.", "is no address"),
        ("[a](https://localhost/x)", "is no address"),
        ("[a](https://doi.org/10.1109)", "is no doi.org address of a work"),
        ("[a](https://dx.doi.org/10.1109/x)", "is no dx.doi.org address of a work"),
        ("[a](https://arxiv.org/pdf/1808.08426)", "is no arxiv.org address of a work"),
        ("(arXiv:1808.08426)", "is no link"),
    ],
)
def test_an_address_of_the_wrong_form_is_found(text: str, said: str) -> None:
    (fault,) = faults_of_addresses(text)
    assert said in fault


def test_addresses_of_the_right_form_are_left_alone() -> None:
    assert faults_of_addresses("[a](https://doi.org/10.1109/x.2018(1)), <https://arxiv.org/abs/1808.08426>") == []
    assert in_one_spelling("http://www.example.org/X/") == in_one_spelling("https://example.org/x")


def test_the_python_of_the_readme_runs(capsys: pytest.CaptureFixture[str]) -> None:
    judged, code = blocks("README.md", "python")
    exec(compile(judged, "README.md", "exec"), {})
    assert capsys.readouterr().out == "manipulated\n"
    exec(compile(code, "README.md", "exec"), {})
    before, after, shape = capsys.readouterr().out.replace("\n        ", " ").splitlines()
    assert before.count("True") > after.count("True")
    assert shape == "(12, 338)"


def test_the_python_of_the_page_on_attacks_runs(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("foolbox", reason="foolbox is not installed")
    (code,) = blocks("docs/attacks.md", "python")
    exec(compile(code, "attacks.md", "exec"), {})
    assert capsys.readouterr().out.startswith("torch.uint8 tensor([")


def test_the_python_of_the_page_on_localisation_runs(capsys: pytest.CaptureFixture[str]) -> None:
    (code,) = blocks("docs/localisation.md", "python")
    exec(compile(code, "localisation.md", "exec"), {})
    assert "Localised(auc=0.9" in capsys.readouterr().out


def test_the_python_of_the_page_on_detectors_runs(capsys: pytest.CaptureFixture[str]) -> None:
    (code,) = blocks("docs/detectors.md", "python")
    torch.manual_seed(0)
    exec(compile(code, "detectors.md", "exec"), {})
    assert capsys.readouterr().out.count("tensor([") == 2


def test_make_has_every_target_that_the_documents_name() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))
    named = {
        name for path in DOCUMENTS for name in re.findall(r"make ([a-z]+)(?=[`\s])", path.read_text(encoding="utf-8"))
    }
    assert {"demo", "test", "lint", "bench"} <= named
    assert named <= targets
    assert (ROOT / ".ci" / "run").read_text(encoding="utf-8").count("make test") == 1


def one_step(steps: int, pairs_per_step: int, **settings: Any) -> TrainingSchedule:
    """A schedule of no more than a step of two pairs."""
    return TrainingSchedule(min(steps, 1), min(pairs_per_step, 2), **settings)


def only_medians(text: str, read: Callable[[str], Any] = read_settings) -> Any:
    """A study as it stands, but for two of the paper's eight manipulations: the others show nothing else."""
    settings, base = read(text)
    return settings | ({"manipulations": ["median:7", "median:3"]} if text == "paper" else {}), base


@pytest.fixture
def nine_devices(tmp_path: Path) -> Path:
    """Photographs so small that the paper's protocol takes seconds: nine devices, one photograph each."""
    folder = tmp_path / "photographs"
    for device in range(9):
        (folder / f"device-{device}").mkdir(parents=True)
        Image.fromarray(picture(device, 130, 129)).save(folder / f"device-{device}" / "one.png")
    return folder


def test_the_commands_of_the_readme_work_one_after_the_other(
    nine_devices: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Command, no_report: None
) -> None:
    monkeypatch.chdir(tmp_path)
    write_study(tmp_path / "my-study.yaml", tiny_settings(name="mine", manipulations=["median:7"]))
    monkeypatch.setattr(study_settings, "read_settings", only_medians)
    for trained in (cozzolino2017, deep):
        monkeypatch.setattr(trained, "TrainingSchedule", one_step)
    monkeypatch.setattr(bayar2016, "UNITS", 8)
    monkeypatch.setattr(xception, "MIDDLE_BLOCKS", 1)
    monkeypatch.setitem(SIZES, "full", Size(4, 1, 1, 1, 1, 1, pairs_per_step=2, lr=1e-4))
    commands = [line.split("#")[0] for block in blocks("README.md", "sh") for line in block.splitlines()]
    commands = [line.replace("DIR", str(nine_devices)) for line in commands if line.startswith("counterforensics ")]
    assert len(commands) == 5
    for line in commands:
        answer = command(*shlex.split(line)[1:])
        assert answer.status == 0, (line, answer)
    # Four judges of two manipulations, without an attack, under two forms of FGSM on three targets, and two generators.
    rows = (tmp_path / "runs" / "paper" / "rows.csv").read_text(encoding="utf-8").splitlines()
    assert len(rows) == 1 + 4 * 2 * (1 + 2 * 3 + 2)


def test_the_study_in_the_docs_is_a_study_and_shows_the_defaults() -> None:
    (text,) = blocks("docs/studies.md", "yaml")
    shown = Study.model_validate(yaml.safe_load(text))
    assert shown.patches.size == Study.model_validate({"name": "x", "detectors": ["spam-svm"]}).patches.size
    assert set(yaml.safe_load(text)) == set(Study.model_fields)


@pytest.mark.parametrize("path", sorted(ROOT.glob("studies/*.yaml")), ids=lambda path: path.stem)
def test_the_studies_of_the_repository_are_valid(path: Path) -> None:
    assert load_study(str(path)).name == path.stem


def test_the_documents_name_no_private_place() -> None:
    for path in DOCUMENTS:
        assert "/work/" not in path.read_text(encoding="utf-8"), path
        assert "/tmp/" not in path.read_text(encoding="utf-8"), path


def test_the_files_that_new_plugin_writes_stand_in_contributing() -> None:
    written = ROOT / "src" / "counterforensics" / "templates" / "plugin" / "src" / "my_plugin"
    shown = blocks("CONTRIBUTING.md", "python")
    for name in ("sharpen", "tiny_cnn", "random_noise"):
        assert (written / f"{name}.py").read_text(encoding="utf-8") in shown


def test_ten_lines_of_contributing_train_a_detector_of_ones_own(capsys: pytest.CaptureFixture[str]) -> None:
    code, *_ = blocks("CONTRIBUTING.md", "python")
    lines = [line for line in code.splitlines() if line.strip() and not line.startswith(("import ", "from "))]
    assert len(lines) == 10
    found: dict[str, Any] = {}
    exec(compile(code, "CONTRIBUTING.md", "exec"), found)
    assert float(capsys.readouterr().out) > 0.9
    unseen = sample_pairs(4, 4)
    for patches, manipulated in ((unseen.pristine, False), (unseen.manipulated, True)):
        assert ((score(found["network"], patches.batches(16)) > 0) == manipulated).mean() > 0.9


def test_the_contract_test_of_contributing_runs() -> None:
    lines = [line for block in blocks("CONTRIBUTING.md", "sh") for line in block.splitlines()]
    (code,) = [shlex.split(line)[2] for line in lines if line.startswith("python -c ")]
    exec(code, {})
