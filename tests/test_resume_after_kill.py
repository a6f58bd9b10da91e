"""A study that is killed, at any moment and again and again, ends with the same rows.

COUNTERFORENSICS_KILLS says how often it is killed; three times unless told.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

KILLS = int(os.environ.get("COUNTERFORENSICS_KILLS", "3"))
SCRIPT = Path(sys.executable).with_name("counterforensics")


def entries(out: Path) -> int:
    """How many results are kept so far."""
    return sum(1 for _ in out.glob("store/??/*/entry.json"))


def started(out: Path) -> int:
    """Another number for every run that has claimed the folder: each puts the settings in place anew."""
    settings = out / "study.yaml"
    return settings.stat().st_mtime_ns if settings.exists() else 0


def run_until(out: Path, study: Path, wanted: int, delay: float) -> int:
    """Run the study until it keeps `wanted` results and `delay` seconds more, then kill it; its exit status."""
    before = started(out)
    with subprocess.Popen(
        [SCRIPT, "run", study, "--out", out], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        while process.poll() is None and (started(out) == before or entries(out) < wanted):
            time.sleep(0.002)
        time.sleep(delay)
        process.kill()
        return process.wait()


@pytest.mark.skipif(not SCRIPT.exists(), reason="the console script is not installed beside this Python")
def test_rows_are_the_same_after_any_number_of_kills(finished: Path, tiny_yaml: Path, tmp_path: Path) -> None:
    # Moments are counted in results rather than seconds, so that they fall inside the run on any machine.
    draw = np.random.default_rng(20180904)
    total = entries(finished)
    out = tmp_path / "out"
    for kill in range(KILLS):
        kept = entries(out)
        wanted = kept + int(draw.uniform(0, 1.6 / (KILLS - kill + 1)) * (total - kept))
        assert run_until(out, tiny_yaml, wanted, draw.uniform(0, 0.05)) == -signal.SIGKILL
        assert wanted <= entries(out) <= total
        assert not (out / "rows.csv").exists() or entries(out) == total
    last = subprocess.run([SCRIPT, "run", tiny_yaml, "--out", out], capture_output=True, text=True, check=False)
    assert last.returncode == 0, last.stderr
    assert (out / "rows.csv").read_bytes() == (finished / "rows.csv").read_bytes()
    assert entries(out) == total
    assert list((out / "store" / "unfinished").iterdir()) == []
