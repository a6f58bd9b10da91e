"""A linear SVM (squared hinge loss, L2 penalty) whose training rows stay on disk, however many there are.

The objective is that of LIBLINEAR's primal solver (Fan et al. 2008), bias penalised like a weight: 1/2 |w|^2 +
c sum max(0, 1 - y w.x)^2. It is convex and piecewise quadratic, so Newton's method on the rows inside the margin ends
at the optimum after a dozen passes (Keerthi & DeCoste 2005).
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator, Sequence
from typing import Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from counterforensics.errors import TrainingError, shown

MOST_PASSES = 200
TOLERANCE = 1e-9  # of the gradient, as a share of what it is at zero weights
ROWS_AT_ONCE = 2048  # held in memory at once


class Rows:
    """Rows of float32 numbers in a nameless file of the folder for temporary files, gone when the block ends."""

    def __init__(self, width: int) -> None:
        with _temporary():
            self._file = tempfile.TemporaryFile()  # noqa: SIM115, __exit__ closes it
        self._width, self._count = width, 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):  # what could not be written was said already
            self._file.close()

    def append(self, rows: npt.NDArray[np.float32]) -> None:
        """Add rows, float32 [n, width].  Raises TrainingError where the folder has no room for them."""
        with _temporary():
            self._file.write(np.ascontiguousarray(rows, dtype=np.float32).data)
            self._file.flush()
        self._count += len(rows)

    def __len__(self) -> int:
        return self._count

    def chunks(self) -> Iterator[Tensor]:
        """All rows in order, float64 [some, width] each."""
        self._file.seek(0)
        while content := self._file.read(4 * self._width * ROWS_AT_ONCE):
            yield torch.frombuffer(bytearray(content), dtype=torch.float32).reshape(-1, self._width).double()


@contextlib.contextmanager
def _temporary() -> Iterator[None]:
    """Blame the folder for temporary files, and no other, for what it cannot take."""
    try:
        yield
    except OSError as error:
        place = tempfile.tempdir or os.environ.get("TMPDIR", "/tmp")
        raise TrainingError(
            f"cannot keep the training's features in the folder for temporary files, {shown(place)} "
            f"({error.strerror}); make room there, or set TMPDIR to another folder"
        ) from error


def moments(several: Sequence[Rows]) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each column over all rows, float64 [width]."""
    count = sum(map(len, several))
    mean = torch.stack([chunk.sum(0) for rows in several for chunk in rows.chunks()]).sum(0) / count
    squares = torch.stack([(chunk - mean).square().sum(0) for rows in several for chunk in rows.chunks()]).sum(0)
    return mean, (squares / count).sqrt()


def fit_linear_svm(negative: Rows, positive: Rows, mean: Tensor, scale: Tensor, *, c: float) -> tuple[Tensor, float]:
    """Weights, float64 [width], and bias for standardised rows, (row - mean) / scale.

    Raises TrainingError if the solver does not converge.
    """
    problem = _Problem(negative, positive, mean, scale, c)
    weights = torch.zeros(len(mean) + 1, dtype=torch.float64)
    value, gradient, curvature = problem.at(weights)
    enough = TOLERANCE * float(gradient.norm())
    for _ in range(MOST_PASSES):
        if float(gradient.norm()) <= enough:
            return weights[:-1], float(weights[-1])
        step = torch.linalg.solve(curvature, -gradient)
        slope, share = float(gradient @ step), 1.0
        while True:
            found = problem.at(weights + share * step)
            # The last bits of a sum over all rows are noise: near the optimum a full step is as good as it gets.
            if found[0] <= value + 1e-4 * share * slope + 1e-12 * abs(value) or share < 1e-6:
                break
            share /= 2
        weights = weights + share * step
        value, gradient, curvature = found
    raise TrainingError(f"the SVM with c = {c:g} did not converge in {MOST_PASSES} steps; try a smaller c")


class _Problem:
    """The objective over rows of two classes."""

    def __init__(self, negative: Rows, positive: Rows, mean: Tensor, scale: Tensor, c: float) -> None:
        self.classes = ((-1.0, negative), (1.0, positive))
        self.mean, self.scale, self.c = mean, scale, c

    def at(self, weights: Tensor) -> tuple[float, Tensor, Tensor]:
        """Value, gradient and (generalised) second derivative at `weights`, the bias last."""
        value, gradient = 0.5 * float(weights @ weights), weights.clone()
        curvature = torch.eye(len(weights), dtype=torch.float64)
        for sign, rows in self.classes:
            for chunk in rows.chunks():
                signed = sign * torch.cat([(chunk - self.mean) / self.scale, torch.ones(len(chunk), 1)], dim=1)
                short = 1 - signed @ weights  # how far each row falls short of the margin
                inside, missing = signed[short > 0], short[short > 0]
                value += self.c * float(missing @ missing)
                gradient -= 2 * self.c * (missing @ inside)
                curvature += 2 * self.c * (inside.T @ inside)
        return value, gradient, curvature
