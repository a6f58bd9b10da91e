"""The SVM on disk against scikit-learn's, which holds everything in memory."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.svm import LinearSVC

from counterforensics.detectors import linear_svm
from counterforensics.detectors.linear_svm import Rows, fit_linear_svm, moments
from counterforensics.errors import TrainingError

Array = np.ndarray
OPEN = contextlib.ExitStack()


@pytest.fixture(scope="module", autouse=True)
def opened() -> Iterator[None]:
    """Closes at last what the tests of this file open."""
    with OPEN:
        yield


def rows_of(*parts: Array) -> Rows:
    rows = OPEN.enter_context(Rows(parts[0].shape[1]))
    for part in parts:
        rows.append(part)
    return rows


def two_classes(seed: int, count: int, width: int, apart: float) -> tuple[Array, Array]:
    """Correlated columns, the second class moved."""
    draw = np.random.default_rng(seed)
    mix = draw.normal(size=(width, width))
    negative, positive = (draw.normal(size=(count, width)) @ mix for _ in range(2))
    return negative.astype(np.float32), (positive + apart * draw.normal(size=width)).astype(np.float32)


def objective(weights: Array, bias: float, rows: Array, classes: Array, c: float) -> float:
    margins = (2 * classes - 1) * (rows @ weights + bias)
    return float(0.5 * (weights @ weights + bias**2) + c * (np.maximum(0, 1 - margins) ** 2).sum())


@pytest.mark.parametrize(("apart", "c"), [(0.0, 0.1), (0.1, 0.1), (2.0, 0.1), (0.1, 100.0), (0.1, 1e-4)])
def test_the_optimum_is_that_of_liblinear_or_a_better_one(apart: float, c: float) -> None:
    negative, positive = two_classes(0, 300, 20, apart)
    mean, scale = moments([rows_of(negative), rows_of(positive)])
    weights, bias = fit_linear_svm(rows_of(negative), rows_of(positive), mean, scale, c=c)
    rows = (np.concatenate([negative, positive]).astype(np.float64) - mean.numpy()) / scale.numpy()
    classes = np.repeat([0, 1], 300)
    other = LinearSVC(C=c, dual=False, tol=1e-10, max_iter=100_000).fit(rows, classes)
    ours = objective(weights.numpy(), bias, rows, classes, c)
    theirs = objective(other.coef_[0], other.intercept_[0], rows, classes, c)
    assert ours == pytest.approx(theirs, rel=1e-7)
    assert ours <= theirs * (1 + 1e-12)
    np.testing.assert_allclose(weights.numpy(), other.coef_[0], atol=1e-4)
    assert bias == pytest.approx(other.intercept_[0], abs=1e-4)


@given(st.integers(1, 9), st.integers(1, 40), st.integers(1, 40))
def test_moments_are_those_of_all_rows_however_they_are_cut(width: int, first: int, second: int) -> None:
    draw = np.random.default_rng([width, first, second])
    parts = [draw.normal(5, 3, (count, width)).astype(np.float32) for count in (first, second)]
    mean, scale = moments([rows_of(parts[0]), rows_of(parts[1])])
    together, _ = moments([rows_of(*parts)])
    whole = np.concatenate(parts).astype(np.float64)
    np.testing.assert_allclose(mean, whole.mean(0), rtol=1e-12)
    np.testing.assert_allclose(together, mean, rtol=1e-12)
    np.testing.assert_allclose(scale, whole.std(0), rtol=1e-9, atol=1e-12)


def test_rows_come_back_as_they_were_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linear_svm, "ROWS_AT_ONCE", 4)
    whole = np.arange(30, dtype=np.float32).reshape(10, 3)
    rows = rows_of(whole[:7], whole[7:])
    assert len(rows) == 10
    for _ in range(2):
        chunks = list(rows.chunks())
        assert [len(chunk) for chunk in chunks] == [4, 4, 2]
        assert torch.equal(torch.cat(chunks), torch.from_numpy(whole).double())


def test_the_answer_does_not_depend_on_how_rows_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    negative, positive = two_classes(1, 200, 10, 0.3)
    found = []
    for chunk in (7, 1000):
        monkeypatch.setattr(linear_svm, "ROWS_AT_ONCE", chunk)
        several = rows_of(negative), rows_of(positive)
        found.append(fit_linear_svm(*several, *moments(several), c=0.1)[0])
    torch.testing.assert_close(*found, rtol=1e-9, atol=1e-12)


def test_one_that_does_not_converge_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linear_svm, "MOST_PASSES", 1)
    negative, positive = map(rows_of, two_classes(0, 50, 5, 0.1))
    with pytest.raises(TrainingError, match=r"the SVM with c = 0\.5 did not converge in 1 steps; try a smaller c"):
        fit_linear_svm(negative, positive, *moments([negative, positive]), c=0.5)


def test_a_full_folder_for_temporary_files_is_blamed_and_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda: open("/dev/full", "r+b"))  # noqa: PTH123, SIM115
    monkeypatch.setattr(tempfile, "tempdir", "/small")
    with (
        pytest.raises(
            TrainingError, match=r"temporary files, '/small' \(No space left on device\); make room there, or"
        ),
        Rows(4) as rows,
    ):
        rows.append(np.zeros((10, 4), np.float32))
