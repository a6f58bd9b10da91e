"""The same study on a Dask cluster: the same rows, and clear words where it cannot run."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from tests.conftest import Command

pytestmark = pytest.mark.skipif(importlib.util.find_spec("distributed") is None, reason="distributed is not installed")


@pytest.mark.filterwarnings("ignore")
def test_a_study_on_worker_processes_gives_the_same_rows(
    finished: Path, tiny_yaml: Path, tmp_path: Path, command: Command
) -> None:
    answer = command("run", tiny_yaml, "--out", tmp_path / "out", "--cluster", "local", "--workers", "2")
    assert answer.status == 0, answer
    assert "2 workers, 0 with a GPU; dashboard http://" in answer.err
    assert (tmp_path / "out" / "rows.csv").read_bytes() == (finished / "rows.csv").read_bytes()


@pytest.mark.filterwarnings("ignore")
def test_an_address_where_nothing_listens_is_one_clear_line(
    tiny_yaml: Path, tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("counterforensics.study.cluster.SECONDS_TO_ANSWER", 1)
    answer = command("run", tiny_yaml, "--out", tmp_path / "out", "--cluster", "tcp://127.0.0.1:9")
    assert answer.status == 2
    assert "no Dask scheduler answers at 'tcp://127.0.0.1:9'" in answer.err
    assert "Traceback" not in answer.err


@pytest.mark.filterwarnings("ignore")
def test_a_gpu_that_no_worker_offers_is_one_clear_line(tiny_yaml: Path, tmp_path: Path, command: Command) -> None:
    answer = command("run", tiny_yaml, "--out", tmp_path / "out", "--cluster", "local", "--workers", "1", "--gpu")
    assert answer.status == 2
    assert "no worker at local offers the resource GPU; start them with --resources GPU=1" in answer.err
