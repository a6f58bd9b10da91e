"""Errors that a user can cause. Each message repeats what was given and says what works.

The command line prints the message of a `CounterforensicsError` as one line and exits with status 2;
anything else is a defect of ours and keeps its traceback.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class CounterforensicsError(Exception):
    """Base of every error caused by what was given to us."""


class PhotoError(CounterforensicsError):
    """A photograph, or a folder of photographs, cannot be used."""


class LeakageError(PhotoError):
    """The same photograph stands on both sides of a split."""


class StudyError(CounterforensicsError):
    """A study's settings, its output folder or its store cannot be used."""


class NameNotFoundError(CounterforensicsError):
    """A name (manipulation, detector, attack, study, key) is not one we know."""


class PlugInError(CounterforensicsError):
    """A plug-in cannot be used."""


class PixelError(CounterforensicsError, ValueError):
    """An array is not what a function takes: dtype, shape or range."""


class WeightsError(CounterforensicsError):
    """Stored weights are missing, damaged or of another recipe."""


class TrainingError(CounterforensicsError):
    """A detector cannot be trained from what was given."""


class AttackError(CounterforensicsError, ValueError):
    """An attack's settings, or its target, make no sense."""


def unknown_name(kind: str, given: str, known: Iterable[str]) -> NameNotFoundError:
    """The error for an unknown name: repeats it, names the nearest known one, lists all.

    >>> print(unknown_name("detector", "spamsvm", ["spam-svm", "cozzolino2017"]))
    unknown detector 'spamsvm'; did you mean 'spam-svm'? Known: cozzolino2017, spam-svm
    """
    names = sorted(known)
    near = difflib.get_close_matches(given, names, n=1, cutoff=0.4)
    hint = f"; did you mean {near[0]!r}?" if near else "."
    return NameNotFoundError(f"unknown {kind} {given!r}{hint} Known: {', '.join(names)}")
