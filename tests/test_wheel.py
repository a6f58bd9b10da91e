"""The wheel, installed by itself into a folder, does what the README says; the citation file names the same release."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from tests.test_documents import blocks

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def run(*command: object, cwd: Path, **variables: str) -> str:
    """The output of a command that must succeed."""
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=os.environ | variables,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built without the network."""
    pytest.importorskip("hatchling", reason="hatchling is not installed")
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", folder, cwd=ROOT)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds the wheel's files and nothing else; the libraries that it needs are those of this Python."""
    folder = tmp_path_factory.mktemp("installed") / "packages"
    pip = (sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--no-compile")
    run(*pip, "--disable-pip-version-check", "--target", folder, wheel, cwd=wheel.parent)
    return folder


def test_the_wheel_has_the_size_that_the_documents_say(wheel: Path) -> None:
    text = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    (said,) = re.findall(r"The wheel has (\d+(?:\.\d+)?) MB", text)
    assert wheel.stat().st_size / 1e6 == pytest.approx(float(said), abs=1)


def test_the_installed_command_lists_the_shipped_detectors(installed: Path) -> None:
    out = run(installed / "bin" / "counterforensics", "list", "--json", cwd=installed.parent, PYTHONPATH=str(installed))
    assert '"spam-svm/median:7"' in out
    for kind in ('"telegram"', '"demo"', '"fgsm"'):
        assert kind in out


def test_the_five_lines_of_the_readme_run_from_the_installed_wheel(installed: Path) -> None:
    code = blocks("README.md", "python")[0]
    assert len([line for line in code.splitlines() if line]) <= 5
    where = "\nprint(counterforensics.__file__, counterforensics.__version__)"
    out = run(sys.executable, "-c", code + where, cwd=installed.parent, PYTHONPATH=str(installed))
    file = installed / "counterforensics" / "__init__.py"
    assert out == f"manipulated\n{file} {PROJECT['version']}\n"


def test_the_citation_and_the_changelog_name_this_release() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert {"cff-version", "message", "title", "authors"} <= citation.keys()  # what the format demands
    assert (citation["version"], citation["license"]) == (PROJECT["version"], PROJECT["license"])
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"\n## {citation['version']} ({citation['date-released']})\n" in changelog
    newest = re.split(r"^## ", changelog, flags=re.MULTILINE)[1]
    assert set(re.findall(r"^### (.+)$", newest, re.MULTILINE)) <= {"Added", "Changed", "Fixed"}
