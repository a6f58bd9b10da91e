"""The scripts of `examples/` run, and what they print is what they are there to show."""

from __future__ import annotations

import re
import runpy
import sys
from pathlib import Path

import pytest
import torch

EXAMPLES = Path(__file__).parents[1] / "examples"


def printed_by(name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> str:
    """Run a script in this process, as `python examples/NAME.py`; returns what it prints."""
    monkeypatch.setattr(sys, "argv", [name])
    with torch.random.fork_rng():
        runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name="__main__")
    return capsys.readouterr().out


def test_every_example_has_a_test() -> None:
    assert {path.stem for path in EXAMPLES.glob("*.py")} == {"judge_and_attack", "own_detector", "small_study"}


def test_a_shipped_detector_judges_and_is_attacked(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = printed_by("judge_and_attack", capsys, monkeypatch)
    verdicts = re.findall(r"^(\w+): (\w+) \(", out, re.MULTILINE)
    assert verdicts == [("pristine", "pristine"), ("filtered", "manipulated"), ("concealed", "pristine")]
    assert "spam-svm/median:7 flags 100% of the patches before the attack, 0% after it" in out


def test_a_detector_of_ones_own_finds_the_filter_until_it_is_attacked(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = dict(re.findall(r"^(\w+): (\d+)%", printed_by("own_detector", capsys, monkeypatch), re.MULTILINE))
    assert int(found["pristine"]) < 10
    assert int(found["manipulated"]) > 90
    assert int(found["concealed"]) < 10


def test_a_small_study_shows_that_the_attack_does_not_transfer(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = printed_by("small_study", capsys, monkeypatch)
    cozzolino, spam = (
        [float(rate) for rate in re.findall(r"[01]\.\d+", line)]
        for line in out.splitlines()
        if line.startswith(("cozzolino2017", "spam-svm"))
    )
    assert "Failed" not in out
    assert min(*cozzolino, spam[0]) > 0.8
    assert spam[1] < 0.2
