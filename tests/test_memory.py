"""What is known of this process's memory."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from counterforensics.study.schedulers import memory


def test_the_peak_is_at_least_what_was_held_and_never_falls() -> None:
    before = memory.peak_memory()
    held = np.ones(before // 8 + 4_000_000)  # more than all before
    assert memory.peak_memory() >= held.nbytes
    del held
    memory.release()
    assert memory.peak_memory() > before


def test_releasing_and_reusing_are_harmless_without_glibc(monkeypatch: pytest.MonkeyPatch) -> None:
    for known in (memory.of_glibc, memory.reuse):
        known.cache_clear()
    monkeypatch.setattr("ctypes.CDLL", lambda name: object())
    memory.release()
    memory.reuse()
    assert memory.of_glibc("malloc_trim") is None
    for known in (memory.of_glibc, memory.reuse):
        known.cache_clear()


# Compares patches through a store, so many, and says how much the process then held at most.
COMPARE = """
import sys
from pathlib import Path

import numpy as np

from counterforensics.study.schedulers.memory import peak_memory
from counterforensics.study.store.remote import open_store
from counterforensics.study.tasks import COMPARE, Task, run_task
from counterforensics.study.tasks.files import PATCHES

store = open_store(Path(sys.argv[1]))
for count in (128, 640):
    patches = np.random.default_rng(count).integers(0, 256, (count, 1, 128, 128), dtype=np.uint8)
    with store.writing(f"{count:064}", "patches") as folder:
        np.save(folder / PATCHES, patches)
    needs = {role: (f"{count:064}",) for role in ("pristine", "manipulated", "concealed")}
    run_task(Task(COMPARE, {"aligned": True}, needs), store, print)
    print(peak_memory() - patches.nbytes)
"""


def test_a_long_task_gives_memory_back_as_it_goes(tmp_path: Path) -> None:
    command = [sys.executable, "-c", textwrap.dedent(COMPARE), str(tmp_path / "store")]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    short, long = map(int, ran.stdout.split())
    # Where nothing is released in between, 1.6 times.
    assert long < 1.45 * short
