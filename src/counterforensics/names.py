"""The parts of a study, their text forms, and the plug-ins that outside packages add.

A part is a frozen dataclass of settings (`MedianFilter(size=7)`, `Fgsm(epsilon=2, loss="logit")`). A study names it in
text (`median:7`, `fgsm:epsilon=2,loss=logit`). A `Registry` holds the parts of one kind and translates both ways.
"""

from __future__ import annotations

import contextlib
import dataclasses
import re
import sys
import threading
import traceback
import weakref
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.metadata import EntryPoint, entry_points
from inspect import getmembers_static, isabstract
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar, Generic, TypeVar, get_origin, get_type_hints

from counterforensics.errors import (
    CounterforensicsError,
    PlugInError,
    StudyError,
    in_one_line,
    reason_of,
    shown,
    unknown_name,
)
from counterforensics.files import is_file
from counterforensics.sources import is_foreign, source_digest
from counterforensics.streams import output_as_errors

# What a text form can carry, and so the types that a setting may have.
SETTING_TYPES: tuple[type, ...] = (int, float, str, bool)
MOST_COUNTED = 10_000_000  # steps, pairs and the like: more is a slip of the keyboard
LONGEST_TEXT = 2000  # letters of a text form
_NUMBER = re.compile(r"[+-]?(?:(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?|inf|infinity|nan)", re.ASCII | re.IGNORECASE)
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")  # of a part or a study
_ENTRY_POINT = re.compile(r"[\w.]+\s*:\s*[\w.]+\s*(\[.*\])?")


class Part:
    """What a manipulation, a detector's recipe and an attack have in common: the defaults of what a study asks.

    version: raised when the same settings come to compute something else, so that no study takes an old result for a
    new one.  former_names: settings that were renamed, the old name -> the new one.
    """

    version: ClassVar[int] = 1
    former_names: ClassVar[Mapping[str, str]] = {}

    @property
    def files(self) -> tuple[Path, ...]:
        """Files that the part reads. Results depend on their content."""
        return ()

    def check_files(self) -> None:
        """Raise a CounterforensicsError if they cannot be used; a study asks before it computes anything."""
        for path in self.files:
            if not is_file(path):
                raise StudyError(f"{shown(str(path))} is no file; give the path of one")


AnyPart = TypeVar("AnyPart", bound=Part)


@dataclasses.dataclass(frozen=True)
class PlugIn(Generic[AnyPart]):
    """A part that another package registered.

    distribution: the package and version that it came with, "" if unknown.  source: a digest of its code.
    """

    part: type[AnyPart]
    distribution: str
    source: str


@dataclasses.dataclass
class _Found(Generic[AnyPart]):
    """The plug-ins of one kind that were found so far."""

    plug_ins: dict[str, PlugIn[AnyPart]] = dataclasses.field(default_factory=dict)
    broken: dict[str, list[str]] = dataclasses.field(default_factory=dict)  # name -> a line for each owner
    is_complete: bool = True  # False where a module was just being imported, so that its parts were not there yet


class Registry(Mapping[str, type[AnyPart]]):
    """The parts of one kind by name: those of this package, and plug-ins.

    Plug-ins are classes under the entry point group `counterforensics.<kind>s`. They are loaded on first use, so that
    a module of plug-ins may import any module of this package. One that cannot be used is left out, and `broken` says
    why; the others work.
    """

    def __init__(self, kind: str, contract: type[AnyPart], own: Mapping[str, type[AnyPart]]) -> None:
        """kind: `manipulation`, `detector` or `attack`.  contract: the base class of all.  own: of this package."""
        self.kind = kind
        self.contract = contract
        self._own = dict(own)
        self._loaded: _Found[AnyPart] | None = None
        self._lock = threading.Lock()
        self._loading = threading.local()
        _REGISTRIES.append(weakref.ref(self))

    def __getitem__(self, name: str) -> type[AnyPart]:
        if name in self._own:
            return self._own[name]
        return self.plug_ins[name].part

    def __iter__(self) -> Iterator[str]:
        yield from self._own
        yield from self.plug_ins

    def __len__(self) -> int:
        return len(self._own) + len(self.plug_ins)

    @property
    def plug_ins(self) -> Mapping[str, PlugIn[AnyPart]]:
        """The plug-ins that can be used, by name."""
        return self._load().plug_ins

    @property
    def broken(self) -> Mapping[str, str]:
        """Why plug-ins cannot be used, by name: one line for each, and of two with the same name the first."""
        return {name: lines[0] for name, lines in self._load().broken.items()}

    @property
    def broken_met(self) -> list[str]:
        """A line for each plug-in that cannot be used; none before somebody asked for plug-ins."""
        return [] if self._loaded is None else [line for lines in self._loaded.broken.values() for line in lines]

    @property
    def plug_ins_met(self) -> Mapping[str, PlugIn[AnyPart]]:
        """As `plug_ins`; none before somebody asked for plug-ins."""
        return {} if self._loaded is None else self._loaded.plug_ins

    def _load(self) -> _Found[AnyPart]:
        """Import all plug-ins of this kind, once.

        No lock is held meanwhile: a thread that imports a plug-in may wait for another, which asks for plug-ins. Two
        threads that come at the same time load the same classes, and the first result is kept.
        """
        if self._loaded is not None:
            return self._loaded
        begun: _Found[AnyPart] | None = vars(self._loading).get("found")
        if begun is not None:  # a plug-in asks while this thread imports it: it sees what is there so far
            return begun
        found = self._loading.found = _Found[AnyPart]()
        try:
            for point in _entry_points(f"counterforensics.{self.kind}s", found):
                self._load_one(point, found)
        finally:
            del self._loading.found
        if found.is_complete:
            with self._lock:
                self._loaded = self._loaded or found
            return self._loaded
        return found

    def _load_one(self, point: EntryPoint, found: _Found[AnyPart]) -> None:
        distribution = _distribution_of(point)
        place = f"{point.value} of {distribution}" if distribution else point.value
        try:
            self._check_name(point.name, found)
            with output_as_errors():  # it may print something, and a program may read what we print
                part = _class_of(point)
                check_part(part, self.contract)
            self._check_class(part, found)
            source = source_digest(_modules_of(part, point))
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # SystemExit, and pytest's Skipped, are no Exception
            if _is_being_imported(point):
                found.is_complete = False
                return
            line = f"the plug-in {point.name!r} ({place}) cannot be used: {_reason(error)}"
            found.broken.setdefault(point.name, []).append(line)
        else:
            found.plug_ins[point.name] = PlugIn(part, distribution, source)

    def _check_name(self, name: str, found: _Found[AnyPart]) -> None:
        if not NAME.fullmatch(name):
            raise PlugInError("its name may hold letters, digits, dots, dashes and underscores alone")
        if name in self._own:
            raise PlugInError(f"the name is taken: counterforensics has a {self.kind} {name!r}")
        if name in found.plug_ins:
            owner = found.plug_ins[name]
            raise PlugInError(f"the name is taken by {owner.part.__module__} of {owner.distribution or 'a plug-in'}")

    def _check_class(self, part: type[AnyPart], found: _Found[AnyPart]) -> None:
        others = self._own | {name: plug_in.part for name, plug_in in found.plug_ins.items()}
        for name, other in others.items():
            if part is other:
                raise PlugInError(f"{part.__name__} is registered as {name!r} already; a class has one name")

    def parse(self, text: str) -> AnyPart:
        """Build the part that `text` names: `name`, `name:value`, `name:key=value,key=value`.

        A value without a key is the first setting of the dataclass. Raises NameNotFoundError for an unknown
        name or key, StudyError for a value of the wrong type, and PlugInError for a plug-in that cannot be used; a
        part's own checks raise what they raise.
        """
        check_text(text, self.kind)
        name, _, rest = text.strip().partition(":")
        fields = _settings_of(_named(self.kind, name, self))
        settings: dict[str, Any] = {}
        for position, piece in enumerate(filter(None, rest.split(","))):
            key, equals, value = (side.strip() for side in piece.partition("="))
            if not equals:
                if position or not fields:
                    works = f"write {name}:KEY=VALUE,KEY=VALUE" if fields else f"{name} has no settings"
                    raise StudyError(f"cannot read {shown(piece)} in {shown(text)}; {works}")
                key, value = next(iter(fields)), key
            if key in settings:
                raise StudyError(f"{shown(text)} gives {shown(key)} twice; give it once")
            settings[key] = value
        return self.build(name, settings)

    def build(self, name: str, settings: Mapping[str, Any]) -> AnyPart:
        """The part `name` with `settings` (texts or values) laid over its defaults; errors as in `parse`."""
        return build(self.kind, name, settings, self)

    def check(self, name: str) -> None:
        """Raise PlugInError, with the reason, if `name` is that of a plug-in that cannot be used."""
        if name not in self and name in self.broken:
            raise PlugInError(self.broken[name])

    def is_plug_in(self, part: type[Part]) -> bool:
        """Whether `part` is a class of another package."""
        return all(part is not own for own in self._own.values())

    def text_form(self, part: AnyPart) -> str:
        """The shortest text that `parse` turns back into `part`: settings at their default are left out.

        Raises StudyError for a value that no text form can carry.
        """
        return self._text(part, {})

    def seed_name(self, part: AnyPart) -> str:
        """The text form with every setting under its first name: seeds go by it, so a new name changes no figure."""
        return self._text(part, {new: old for old, new in part.former_names.items()})

    def _text(self, part: AnyPart, renamed: Mapping[str, str]) -> str:
        """The text form, with some settings under other names."""
        name = self.name_of(part)
        pieces = []
        for position, (key, text) in enumerate(changed_settings(part).items()):
            if "," in text or text != text.strip():
                raise StudyError(
                    f"{name}:{key} cannot stand in a text form: {shown(text)} holds a comma or outer blanks"
                )
            first = position == 0 and _is_required(next(iter(_settings_of(type(part)).values())))
            pieces.append(text if first and text and "=" not in text else f"{renamed.get(key, key)}={text}")
        return f"{name}:{','.join(pieces)}" if pieces else name

    def name_of(self, part: AnyPart) -> str:
        """The name under which the class of `part` is registered."""
        for name, factory in self.items():
            if type(part) is factory:
                return name
        raise CounterforensicsError(f"{part!r} is registered under no name; known: {', '.join(sorted(self))}")

    def code_of(self, part: AnyPart) -> dict[str, str]:
        """What tells the code of a plug-in from that of another version; nothing for a part of this package.

        `distribution`: its package and version.  `source`: a digest of the modules that define it (see `sources`), as
        they were when the plug-in was loaded.
        """
        name = self.name_of(part)
        if name in self._own:
            return {}
        plug_in = self.plug_ins[name]
        return {"distribution": plug_in.distribution, "source": plug_in.source}


# Weak, so that a registry that nobody uses says no more of its plug-ins.
_REGISTRIES: list[weakref.ref[Registry[Any]]] = []


def broken_plug_ins() -> list[str]:
    """A line for each plug-in that somebody asked for and that cannot be used."""
    registries = (reference() for reference in _REGISTRIES)
    lines = [line for registry in registries if registry is not None for line in registry.broken_met]
    return list(dict.fromkeys(lines))


def plug_in_behind(error: BaseException) -> str:
    """The name of the plug-in in whose code `error` was raised, or that called the code; "" if there is none."""
    frames = [frame.f_globals.get("__name__", "") for frame, _ in traceback.walk_tb(error.__traceback__)]
    packages = {str(module).partition(".")[0] for module in frames}
    for reference in _REGISTRIES:
        registry = reference()
        for name, plug_in in ({} if registry is None else registry.plug_ins_met).items():
            if plug_in.part.__module__.partition(".")[0] in packages:
                return name
    return ""


def several(what: str, given: Iterable[str | Path]) -> tuple[str, ...]:
    """Names as a tuple of texts.  Raises StudyError for one text alone, whose letters would count, and for no list.

    >>> several("detectors", ["spam-svm", "mislnet"])
    ('spam-svm', 'mislnet')
    """
    if isinstance(given, str):
        raise StudyError(f"{what} must be a list of texts, got one text; write [{shown(given)}]")
    if isinstance(given, Iterable):
        found = tuple(given)
        if all(isinstance(one, str | Path) for one in found):
            return tuple(map(str, found))
    raise StudyError(f"{what} must be a list of texts, got {shown(given)}")


def build(kind: str, name: str, settings: Mapping[str, Any], known: Mapping[str, type[AnyPart]]) -> AnyPart:
    """The part `name` of `known` with `settings` (texts or values) laid over its defaults.

    Raises NameNotFoundError for an unknown name or key, StudyError for a value of the wrong type or an old key.
    """
    factory = _named(kind, name, known)
    fields = _settings_of(factory)
    for key in settings:
        if key in factory.former_names and key not in fields:
            raise StudyError(f"{name}: the setting {key!r} is now called {factory.former_names[key]!r}")
        if key not in fields:
            raise unknown_name(f"setting of {name}", key, fields) if fields else _no_settings(name, key)
    types = setting_types(factory)
    # A default of 1 for a float becomes 1.0, so that a setting left out and the same setting given are one.
    defaults = {key: field.default for key, field in fields.items() if field.default is not dataclasses.MISSING}
    typed = {key: _typed(f"{name}:{key}", value, types[key]) for key, value in {**defaults, **settings}.items()}
    missing = [key for key, field in fields.items() if _is_required(field) and key not in typed]
    if missing:
        raise StudyError(f"{kind} {name!r} needs a value for {', '.join(missing)}; {_advice(name, missing, factory)}")
    is_plug_in = isinstance(known, Registry) and known.is_plug_in(factory)
    try:
        part = factory(**typed)
        if is_plug_in:
            _check_answers(name, part)
        return part
    except CounterforensicsError:
        raise
    except Exception as error:
        if is_plug_in:
            given = ",".join(f"{key}={value}" for key, value in settings.items())
            raise StudyError(f"{name}{':' if given else ''}{given}: {_reason(error)}") from error
        raise


def _check_answers(name: str, part: Part) -> None:
    """Raise PlugInError unless the part of a plug-in has a version and files as keys of results take them."""
    if type(part.version) is not int:
        raise PlugInError(f"{name}: its version must be a whole number, got {shown(part.version)}")
    if not isinstance(part.files, tuple) or not all(isinstance(path, Path) for path in part.files):
        raise PlugInError(f"{name}: its files must be a tuple of pathlib.Path, got {shown(part.files)}")


# What a required setting may be, the likeliest first.
_EXAMPLES: Mapping[Any, tuple[Any, ...]] = {int: (70, 7, 1, 2, 10), float: (1.5, 1, 0.5, 10), bool: (True,), str: ()}


def _advice(name: str, missing: Sequence[str], factory: type[Part]) -> str:
    """How to write a part that cannot do without a value: a form that works, where one is easily found."""
    types = setting_types(factory)
    if len(missing) == 1:
        for value in _EXAMPLES[types[missing[0]]]:
            with contextlib.suppress(Exception):  # a part's checks may raise whatever they like
                factory(**{missing[0]: value})
                return f"write {name}:{missing[0].upper()}, such as {name}:{str(value).lower()}"
    return f"write {name}:{','.join(f'{key}={key.upper()}' for key in missing)}"


def _no_settings(name: str, key: str) -> StudyError:
    return StudyError(f"{name} has no settings, got {shown(key)}")


def _named(kind: str, name: str, known: Mapping[str, type[AnyPart]]) -> type[AnyPart]:
    if isinstance(known, Registry):
        known.check(name)
    if name not in known:
        raise unknown_name(kind, name, known)
    return known[name]


def _entry_points(group: str, found: _Found[Any]) -> list[EntryPoint]:
    """The entry points of a group, in an order that does not depend on where packages lie."""
    try:
        points = entry_points(group=group)
    except Exception as error:  # a damaged file of any installed package
        found.broken[""] = [f"no plug-ins can be read: an installed package is damaged ({_reason(error)})"]
        return []
    return sorted(points, key=lambda point: (point.name, _distribution_of(point), point.value))


def _distribution_of(point: EntryPoint) -> str:
    """The package that registered `point`, and its version; "" where its metadata are missing."""
    try:
        return f"{point.dist.metadata['Name']} {point.dist.version}" if point.dist else ""
    except Exception:
        return ""


def _class_of(point: EntryPoint) -> Any:
    """What `point` names, imported."""
    if not _ENTRY_POINT.fullmatch(point.value):
        raise PlugInError(f"its entry point must read MODULE:CLASS, got {point.value!r}")
    return point.load()


def _modules_of(part: type[Part], point: EntryPoint) -> set[str]:
    """The modules whose code decides what `part` does: those of the class and of the parts that it derives from.

    A class that a function made is not to be found in the module that it names. Then the entry point's counts, too.
    """
    modules = {base.__module__ for base in part.__mro__ if issubclass(base, Part) and is_foreign(base.__module__)}
    home = sys.modules.get(part.__module__)
    if home is None or vars(home).get(part.__qualname__) is not part:
        modules.add(point.module)
    return modules


def _is_being_imported(point: EntryPoint) -> bool:
    """Whether the module of `point` is only half imported at this moment, by this or another thread."""
    module = sys.modules.get(point.value.partition(":")[0].strip())
    return bool(getattr(getattr(module, "__spec__", None), "_initializing", False))


def check_part(factory: Any, contract: type[Part]) -> None:
    """Raise PlugInError unless `factory` is a class that fulfils `contract` and that a text form can name."""
    base = f"{contract.__module__.removesuffix('.base')}.{contract.__name__}"
    if isinstance(factory, contract):
        raise PlugInError(f"{factory!r} is an instance; name its class, {type(factory).__name__}")
    if isinstance(factory, ModuleType):
        raise PlugInError(f"{factory.__name__} is a module; name a class in it, {factory.__name__}:CLASS")
    if not isinstance(factory, type) or not issubclass(factory, contract):
        raise PlugInError(f"{getattr(factory, '__qualname__', repr(factory))} is no subclass of {base}")
    _check_dataclass(factory)
    if lacks := _missing_of(factory):
        raise PlugInError(f"{factory.__name__} lacks {', '.join(lacks)}, which {base} asks for")
    types = setting_types(factory)
    for key, field in _settings_of(factory).items():
        if hasattr(contract, key):
            advice = f"choose another, or write `{key}: ClassVar[...]` if it is no setting"
            raise PlugInError(f"its setting {key!r} has the name of something that {base} defines; {advice}")
        _check_setting(key, field, types[key])


def _check_dataclass(factory: type[Part]) -> None:
    """Raise PlugInError unless `factory` is a frozen dataclass whose every setting is a field."""
    parameters: Any = getattr(factory, "__dataclass_params__", None)
    if parameters is None or not parameters.frozen or not parameters.eq:
        raise PlugInError(f"{factory.__name__} is no frozen dataclass; write @dataclass(frozen=True) above the class")
    for key, kind in _hints_of(factory).items():
        forgotten = key in vars(factory).get("__annotations__", {}) and "__dataclass_params__" not in vars(factory)
        if forgotten and get_origin(kind) is not ClassVar and kind is not ClassVar:
            raise PlugInError(f"its setting {key!r} is no field; write @dataclass(frozen=True) above the class")
        if isinstance(kind, dataclasses.InitVar):
            raise PlugInError(f"its setting {key!r} is an InitVar, which is not kept; write a plain type")


def _missing_of(factory: type[Part]) -> list[str]:
    """Methods and class constants that `factory` must define and does not."""
    names: set[str] = set(getattr(factory, "__abstractmethods__", ())) if isabstract(factory) else set()
    defined = {name for name, _ in getmembers_static(factory)}
    constants = {key for key, kind in _hints_of(factory).items() if get_origin(kind) is ClassVar}
    return sorted(names | (constants - defined))


def _check_setting(key: str, field: dataclasses.Field[Any], wanted: Any) -> None:
    """Raise PlugInError unless a text form can carry a setting and leave it out at its default."""
    if wanted not in SETTING_TYPES:
        shown = wanted.__name__ if isinstance(wanted, type) else wanted
        raise PlugInError(f"its setting {key!r} is of type {shown}; a text form carries int, float, str and bool")
    if field.default_factory is not dataclasses.MISSING:
        raise PlugInError(f"its setting {key!r} has a default_factory; write a plain default")
    fits = (wanted, int) if wanted is float else (wanted,)
    if not _is_required(field) and type(field.default) not in fits:
        raise PlugInError(f"its setting {key!r} is of type {wanted.__name__} and has the default {field.default!r}")


def _reason(error: BaseException) -> str:
    return in_one_line(error) if isinstance(error, PlugInError) else reason_of(error)


def _settings_of(factory: type[Part]) -> dict[str, dataclasses.Field[Any]]:
    fields = dataclasses.fields(factory)  # type: ignore[arg-type]
    return {field.name: field for field in fields if field.init}


def setting_types(factory: type[Part]) -> dict[str, Any]:
    """The type of each setting, whether or not its module postpones annotations."""
    hints = _hints_of(factory)
    return {key: hints[key] for key in _settings_of(factory)}


def _hints_of(factory: type[Part]) -> dict[str, Any]:
    """The types that a class and its bases write down.  Raises PlugInError if one of them cannot be read."""
    try:
        return get_type_hints(factory)
    except Exception as error:
        raise PlugInError(
            f"a type in {factory.__name__} cannot be read ({_reason(error)}); import it outside of TYPE_CHECKING"
        ) from error


def changed_settings(part: Part) -> dict[str, str]:
    """The settings of `part` that are not at their default, in their order, as a text form shows them."""
    changed = {}
    for key, field in _settings_of(type(part)).items():
        value = getattr(part, key)
        if _is_required(field) or value != field.default:
            changed[key] = _number(value) if isinstance(value, float) else str(value)
    return changed


def settings_with_defaults(factory: type[Part]) -> str:
    """The settings of a part and their defaults, for people: `epsilon=1, loss=logit`."""
    fields = _settings_of(factory)
    return ", ".join(key if _is_required(field) else f"{key}={field.default}" for key, field in fields.items())


def _is_required(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _typed(where: str, value: Any, wanted: Any) -> Any:
    """`value` as the type that its dataclass field declares; only numbers, words and yes/no stand in a study."""
    try:
        if wanted is bool:
            return value if isinstance(value, bool) else {"true": True, "false": False}[str(value).lower()]
        if wanted is int:
            whole = whole_number(value)
            if abs(whole) >= 2**63:  # more than arrays hold
                raise ValueError
            return whole
        if wanted is float:
            return float(number_text(value))
    except (KeyError, ValueError):
        raise StudyError(f"{where} must be of type {wanted.__name__}, got {shown(value)}") from None
    text = str(value)
    if not text.isprintable():
        raise StudyError(f"{where} holds a letter that cannot be shown: {shown(value)}; write plain text")
    return text


def whole_number(value: Any) -> int:
    """`value` as a whole number, which a text may write as `7` or `7.0`.  Raises ValueError otherwise."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    text = number_text(value)
    try:
        return int(text)
    except ValueError:
        number = float(text)
        if not number.is_integer():  # as inf and nan are not
            raise
        return int(number)


def number_text(value: Any) -> str:
    """How a number is written.  Raises ValueError for what Python alone takes as one: True, 1_000, other digits."""
    text = str(value).strip()
    if isinstance(value, bool) or not _NUMBER.fullmatch(text):
        raise ValueError
    return text


def check_count(name: str, setting: str, value: int, least: int, most: int = MOST_COUNTED) -> None:
    """Raise StudyError unless `value` is a number of steps, pairs or the like from `least` to `most`."""
    if not least <= value <= most:
        raise StudyError(f"{name}: {setting} must lie between {least} and {most:,}, got {shown(value)}")


def one_of(words: Iterable[str]) -> str:
    """The words as a choice.

    >>> one_of(["box"]), one_of(["box", "hamming"]), one_of(["box", "pillow-box", "hamming"])
    ('box', 'box or hamming', 'box, pillow-box or hamming')
    """
    *others, last = words
    return f"{', '.join(others)} or {last}" if others else last


def check_choice(
    name: str,
    setting: str,
    given: str,
    known: Iterable[str],
    error: type[CounterforensicsError] = StudyError,
) -> None:
    """Raise `error` unless `given` is one of the few words `known`."""
    words = tuple(known)
    if given not in words:
        raise error(f"{name}: {setting} must be {one_of(words)}, got {shown(given)}")


def check_text(text: str, kind: str) -> None:
    """Raise StudyError unless `text` can be a text form by its type and length.  kind: as in `Registry`."""
    if not isinstance(text, str):
        raise StudyError(f"{kind}: a text form must be a text, got {shown(text)}")
    if len(text) > LONGEST_TEXT:
        raise StudyError(f"a text form has at most {LONGEST_TEXT} letters, got {len(text)}: {shown(text)}")


def _number(value: float) -> str:
    """The short form where it is the same number, every digit otherwise."""
    short = f"{value:g}"
    return short if float(short) == value else repr(value)
