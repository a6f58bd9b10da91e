"""What is known of this process's memory."""

from __future__ import annotations

import numpy as np
import pytest

from counterforensics.study import memory


def test_the_peak_is_at_least_what_was_held_and_never_falls() -> None:
    before = memory.peak_memory()
    held = np.ones(before // 8 + 4_000_000)  # more than all before
    assert memory.peak_memory() >= held.nbytes
    del held
    memory.release()
    assert memory.peak_memory() > before


def test_releasing_is_harmless_without_glibc(monkeypatch: pytest.MonkeyPatch) -> None:
    memory._trimmer.cache_clear()
    monkeypatch.setattr("ctypes.CDLL", lambda name: object())
    memory.release()
    assert memory._trimmer() is None
    memory._trimmer.cache_clear()
