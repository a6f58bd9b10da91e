"""docs/clusters.md: its commands are commands, its settings are settings, and its Slurm cluster runs a study."""

from __future__ import annotations

import re
import shlex
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dask
import pytest
import typer
import yaml

from counterforensics.cli import app
from tests.conftest import Command
from tests.test_documents import blocks

PAGE = "docs/clusters.md"
pytest.importorskip("distributed", reason="distributed is not installed")

# Slurm keeps a copy of the script: what submits it removes its own.
SBATCH = """#!/bin/sh
cp "$1" "{folder}/job.sh"
setsid bash "{folder}/job.sh" > "{folder}/job.log" 2>&1 &
echo "Submitted batch job $!"
"""
SCANCEL = """#!/bin/sh
kill -- "-$1"
"""


def commands() -> Iterator[list[str]]:
    """Every command of the page, in words, without what is set for it."""
    for block in blocks(PAGE, "sh"):
        for line in block.splitlines():
            words = shlex.split(line, comments=True)
            while words and "=" in words[0]:
                words.pop(0)
            yield words
    for document in yaml.safe_load_all(blocks(PAGE, "yaml")[0]):
        for container in document["spec"].get("template", {}).get("spec", {}).get("containers", ()):
            yield [str(word) for word in container["command"]]


def parser_of(program: str, word: str) -> Any:
    """What reads the words behind `program word`."""
    from distributed.cli import dask_scheduler, dask_worker

    if program == "dask":
        return {"scheduler": dask_scheduler, "worker": dask_worker}[word].main
    return typer.main.get_command(app).commands[word]  # type: ignore[attr-defined]


@pytest.mark.parametrize("words", [words for words in commands() if words[0] in ("dask", "counterforensics")], ids=str)
def test_a_command_of_the_page_has_options_that_exist(words: list[str]) -> None:
    with parser_of(*words[:2]).make_context(words[1], words[2:]):
        pass


def test_the_page_has_commands_of_every_kind() -> None:
    first = {tuple(words[:2]) for words in commands()}
    assert {("dask", "scheduler"), ("dask", "worker"), ("pip", "install"), ("counterforensics", "run")} <= first
    assert {("counterforensics", "plan"), ("counterforensics", "status")} <= first


def test_the_settings_of_dask_that_the_page_names_exist() -> None:
    import distributed

    text = (Path(__file__).parents[1] / PAGE).read_text(encoding="utf-8")
    names = re.findall(r"DASK_(DISTRIBUTED__[A-Z_]+)", text)
    assert len(names) == 3
    for name in names:
        assert dask.config.get(name.lower().replace("__", ".").replace("worker_ttl", "worker-ttl"), distributed) != (
            distributed
        )


@pytest.mark.filterwarnings("ignore")
def test_the_slurm_cluster_of_the_page_runs_a_study(
    finished: Path, tiny_yaml: Path, tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("dask_jobqueue", reason="dask-jobqueue is not installed")
    for name, content in (("sbatch", SBATCH), ("scancel", SCANCEL)):
        script = tmp_path / name
        script.write_text(content.format(folder=tmp_path), encoding="utf-8")
        script.chmod(script.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    answers = []

    def run(_: str) -> None:
        address = namespace["cluster"].scheduler_address
        answers.append(command("run", tiny_yaml, "--out", tmp_path / "out", "--cluster", address, "--gpu"))

    namespace: dict[str, Any] = {"input": run}
    code = blocks(PAGE, "python")[0].replace("jobs=8", "jobs=1")
    try:
        exec(compile(code, PAGE, "exec"), namespace)
    finally:
        namespace["cluster"].close()
    assert answers[0].status == 0, answers[0]
    assert "1 workers, 1 with a GPU" in answers[0].err
    assert (tmp_path / "out" / "rows.csv").read_bytes() == (finished / "rows.csv").read_bytes()
