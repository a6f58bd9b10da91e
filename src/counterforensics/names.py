"""Text forms of manipulations, detectors and attacks, and the plug-ins that outside packages add.

A part of a study is named in text (`median:7`, `fgsm:epsilon=2,loss=logit`) and is a frozen dataclass in
Python (`MedianFilter(size=7)`, `Fgsm(epsilon=2, loss="logit")`). Both directions live here, once.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from importlib.metadata import entry_points
from typing import Any

from counterforensics.errors import CounterforensicsError, StudyError, unknown_name

Factory = Callable[..., Any]


@functools.cache
def plug_ins(group: str) -> Mapping[str, Factory]:
    """What outside packages registered under the entry point `counterforensics.<group>`, by name."""
    found = {}
    for point in entry_points(group=f"counterforensics.{group}"):
        try:
            found[point.name] = point.load()
        except Exception as error:
            raise CounterforensicsError(
                f"the plug-in {point.name!r} ({point.value}) cannot be loaded: {error}"
            ) from error
    return found


def parse(kind: str, text: str, known: Mapping[str, Factory]) -> Any:
    """Build the part that `text` names: `name`, `name:value`, `name:key=value,key=value`.

    A value without a key is the first setting of the dataclass. Raises NameNotFoundError for an unknown
    name or key and StudyError for a value of the wrong type; a part's own checks raise what they raise.
    """
    name, _, rest = text.strip().partition(":")
    if name not in known:
        raise unknown_name(kind, name, known)
    factory = known[name]
    fields = {field.name: field for field in dataclasses.fields(factory) if field.init}  # type: ignore[arg-type]
    settings: dict[str, Any] = {}
    for position, piece in enumerate(filter(None, rest.split(","))):
        key, equals, value = piece.partition("=")
        if not equals:
            if position or not fields:
                raise StudyError(f"cannot read {piece!r} in {text!r}; write {name}:KEY=VALUE,KEY=VALUE")
            key, value = next(iter(fields)), piece
        settings[key.strip()] = value.strip()
    return build(kind, name, settings, known)


def build(kind: str, name: str, settings: Mapping[str, Any], known: Mapping[str, Factory]) -> Any:
    """The part `name` with `settings` (texts or values) laid over its defaults; errors as in `parse`."""
    if name not in known:
        raise unknown_name(kind, name, known)
    factory = known[name]
    fields = {field.name: field for field in dataclasses.fields(factory) if field.init}  # type: ignore[arg-type]
    for key in settings:
        if key not in fields:
            raise unknown_name(f"setting of {name}", key, fields)
    typed = {key: _typed(f"{name}:{key}", value, fields[key].type) for key, value in settings.items()}
    try:
        return factory(**typed)
    except TypeError as error:
        missing = [key for key, field in fields.items() if _required(field) and key not in typed]
        if not missing:
            raise
        raise StudyError(f"{kind} {name!r} needs a value for {', '.join(missing)}; {name}:1 is one form") from error


def _required(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _typed(where: str, value: Any, annotation: Any) -> Any:
    """`value` as the type its dataclass field declares; only numbers, words and yes/no stand in a study."""
    wanted = str(annotation)
    try:
        if wanted == "bool":
            return value if isinstance(value, bool) else {"true": True, "false": False}[str(value).lower()]
        if wanted == "int":
            if isinstance(value, bool) or float(value) != int(float(value)):
                raise ValueError
            return int(float(value))
        if wanted == "float":
            if isinstance(value, bool):
                raise ValueError
            return float(value)
    except (KeyError, ValueError, TypeError, OverflowError):
        raise StudyError(f"{where} must be of type {wanted}, got {value!r}") from None
    return str(value)


def text_form(part: Any, known: Mapping[str, Factory]) -> str:
    """The shortest text that `parse` turns back into `part`: settings at their default are left out."""
    name = name_of(part, known)
    pieces = []
    for position, field in enumerate(field for field in dataclasses.fields(part) if field.init):
        value = getattr(part, field.name)
        if not _required(field) and value == field.default:
            continue
        shown = _number(value) if isinstance(value, float) else str(value)
        pieces.append(shown if position == 0 and _required(field) else f"{field.name}={shown}")
    return f"{name}:{','.join(pieces)}" if pieces else name


def _number(value: float) -> str:
    """The short form where it is the same number, every digit otherwise."""
    short = f"{value:g}"
    return short if float(short) == value else repr(value)


def name_of(part: Any, known: Mapping[str, Factory]) -> str:
    """The name under which the class of `part` is registered."""
    for name, factory in known.items():
        if type(part) is factory:
            return name
    raise CounterforensicsError(f"{part!r} is registered under no name; known: {', '.join(sorted(known))}")


def settings_of(factory: Factory) -> str:
    """The settings of a part and their defaults, for people: `epsilon=1, loss=logit`."""
    shown = []
    for field in dataclasses.fields(factory):  # type: ignore[arg-type]
        if field.init:
            shown.append(field.name if _required(field) else f"{field.name}={field.default}")
    return ", ".join(shown)
