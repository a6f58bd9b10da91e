"""What is seen on a figure, in words, for a reader who does not see it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

_MOST = 8  # things that are told one by one


def span(values: Iterable[float | None], unit: str, decimals: int = 0) -> str:
    """The lowest and the highest of the values, "no figure" without any.

    >>> span([0.25, None, 1.0], "%"), span([3.0], "dB", 1), span([], "%")
    ('25 to 100 %', '3.0 dB', 'no figure')
    """
    scale = 100 if unit == "%" else 1
    known = [scale * value for value in values if value is not None and value == value]
    if not known:
        return "no figure"
    low, high = f"{min(known):.{decimals}f}", f"{max(known):.{decimals}f}"
    return f"{low} {unit}".rstrip() if low == high else f"{low} to {high} {unit}".rstrip()


def told(things: Sequence[str]) -> str:
    """Things one after the other, the first few of many, as a sentence.

    >>> told(["a: 1", "b: 2"]), told([str(n) for n in range(10)])
    ('a: 1; b: 2.', '0; 1; 2; 3; 4; 5; 6; 7; and 2 more.')
    """
    rest = [f"and {len(things) - _MOST} more"] if len(things) > _MOST else []
    return "; ".join([*things[:_MOST], *rest]) + "."
