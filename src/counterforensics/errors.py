"""Errors that a user can cause. Each message repeats what was given and says what works.

The command line prints the message of a `CounterforensicsError` as one line and exits with status 2;
anything else is a defect of ours and keeps its traceback.
"""

from __future__ import annotations

import difflib
import itertools
import reprlib
import traceback
from collections.abc import Iterable
from pathlib import Path

LONGEST_GIVEN = 120  # letters of what was given that a message repeats
_LONGEST_SAID = 300  # letters of what somebody else says that a message repeats
_MOST_KNOWN = 100  # names that a message lists
_ROOM = reprlib.Repr()
_ROOM.maxstring = _ROOM.maxother = _ROOM.maxlong = LONGEST_GIVEN
_DIGITS = 40


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


class PlatformError(CounterforensicsError):
    """A platform's profile, or the pairs to measure it from, cannot be used."""


class PixelError(CounterforensicsError, ValueError):
    """An array is not what a function takes: dtype, shape or range."""


class WeightsError(CounterforensicsError):
    """Stored weights are missing, damaged or of another recipe."""


class TrainingError(CounterforensicsError):
    """A detector cannot be trained from what was given."""


class AttackError(CounterforensicsError, ValueError):
    """An attack's settings, or its target, make no sense."""


class SlowStartWarning(UserWarning):
    """No folder can keep compiled code; all works, slower."""


def shown(given: object) -> str:
    """`given` as a message repeats it: as Python writes it, control characters escaped, a long one cut in its middle.

    >>> shown("median\\x1b"), shown([1, 2]), shown("n" * 1000)[-4:], shown(10**400)
    ("'median\\\\x1b'", '[1, 2]', "nnn'", 'a whole number of about 401 digits')
    """
    if isinstance(given, int) and given.bit_length() > 4 * _DIGITS:
        return f"a whole number of about {int(given.bit_length() * 0.30103) + 1} digits"
    try:
        return _ROOM.repr(given)
    except ValueError:  # a long number somewhere inside
        return f"a {type(given).__name__}"


def printable(text: str) -> str:
    """`text` with every character escaped that a terminal would obey, or that is none: names are shown, not followed.

    >>> printable("a\\x1b[2J b\\udcff")
    'a\\\\x1b[2J b\\\\udcff'
    """
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode("ascii") for one in text)


def in_one_line(said: object) -> str:
    """The beginning of what somebody else says, without line breaks; "" for an error that fails to say anything.

    >>> in_one_line(ValueError("not\\n  this")), len(in_one_line("n" * 1000))
    ('not this', 300)
    """
    try:
        return " ".join(str(said).split())[:_LONGEST_SAID]
    except Exception:  # of a class of others, whose __str__ raises
        return ""


def reason_of(error: BaseException) -> str:
    """The type of a foreign error and what it says, as `in_one_line`.

    >>> reason_of(ValueError("not\\nthis")), reason_of(TimeoutError())
    ('ValueError: not this', 'TimeoutError')
    """
    name, said = type(error).__name__, in_one_line(error)
    return in_one_line(f"{name}: {said}") if said else name


def place_of(error: BaseException) -> str:
    """The file and the line in which an error was raised, such as `spam.py:94`."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    return f"{Path(place.filename).name}:{place.lineno}"


def unknown_name(kind: str, given: str, known: Iterable[str]) -> NameNotFoundError:
    """The error for an unknown name: repeats it, names the nearest known one, lists all.

    >>> print(unknown_name("detector", "spamsvm", ["spam-svm", "cozzolino2017"]))
    unknown detector 'spamsvm'; did you mean 'spam-svm'? Known: cozzolino2017, spam-svm
    """
    names = sorted(itertools.islice(known, 10 * _MOST_KNOWN))
    near = difflib.get_close_matches(given[:LONGEST_GIVEN], names, n=1, cutoff=0.4)
    hint = f"; did you mean {near[0]!r}?" if near else "."
    listed = ", ".join(names[:_MOST_KNOWN]) + (", ..." if len(names) > _MOST_KNOWN else "")
    return NameNotFoundError(f"unknown {kind} {shown(given)}{hint} Known: {listed}")
