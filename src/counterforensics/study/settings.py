"""A study's settings: one YAML file, checked before anything is computed."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Generic, TypeVar

import yaml
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    PlainValidator,
    ValidationError,
    model_serializer,
    model_validator,
)
from pydantic_core import ErrorDetails

from counterforensics import attacks, detectors, manipulations
from counterforensics.attacks import Attack, LearnedAttack
from counterforensics.detectors import Recipe
from counterforensics.errors import CounterforensicsError, StudyError, shown, unknown_name
from counterforensics.files import at_home
from counterforensics.laundering import Chain, Platform
from counterforensics.laundering import parse as parse_platform
from counterforensics.laundering import text_form as platform_text
from counterforensics.manipulations import Manipulation
from counterforensics.names import MOST_COUNTED, NAME, number_text, whole_number
from counterforensics.outcome import NOT_LAUNDERED, default_labels
from counterforensics.photos.patches import GRID, SIZE, Channels
from counterforensics.study.yaml_file import read_settings

LONGEST_LABEL = 60
LONGEST_NAME = 100
MOST_LISTED = 1000  # parts, seeds or folders in one list
MOST_ROWS = 1_000_000
LARGEST_SEED = 2**63 - 1
# What names of files may hold on every system.
_LABEL = re.compile(r"[^\x00-\x1f\x7f/\\:*?\"<>|]+")

AnyPart = TypeVar("AnyPart")


@dataclass(frozen=True)
class Named(Generic[AnyPart]):
    """A manipulation, detector or attack of a study: parsed once, when the study is read."""

    part: AnyPart
    text: str  # its text form, the shortest
    label: str  # its name in tables and figures


@dataclass(frozen=True)
class Contest:
    """One attack of a study on one of its detectors, or on none, and the manipulations that it is to hide."""

    attack: Named[Attack]
    target: Named[Recipe] | None
    manipulations: tuple[Named[Manipulation], ...]


def _parsed_by(parse: Callable[[str], Any]) -> PlainValidator:
    """A text form, turned into the part that it names."""

    def read(text: Any) -> Any:
        if not isinstance(text, str):
            raise ValueError("write a text form, such as NAME or NAME:SETTING=VALUE")
        return parse(text)

    return PlainValidator(read)


ManipulationText = Annotated[
    Manipulation, _parsed_by(manipulations.parse), PlainSerializer(manipulations.text_form, return_type=str)
]
RecipeText = Annotated[Recipe, _parsed_by(detectors.parse), PlainSerializer(detectors.text_form, return_type=str)]
PlatformText = Annotated[Platform | Chain, _parsed_by(parse_platform), PlainSerializer(platform_text, return_type=str)]
AttackText = Annotated[Attack, _parsed_by(attacks.parse), PlainSerializer(attacks.text_form, return_type=str)]


def _checked_label(label: Any) -> str | None:
    """`label` if it can name files and rows, or None."""
    if label is None:
        return None
    works = f'a label has 1 to {LONGEST_LABEL} letters, none of / \\ : * ? " < > |, no space or dot at its ends'
    if not isinstance(label, str) or not _LABEL.fullmatch(label) or len(label) > LONGEST_LABEL:
        raise ValueError(works)
    if label != label.strip(" .") or not any(letter.isalnum() for letter in label):
        raise ValueError(works)
    return label


Label = Annotated[str | None, PlainValidator(_checked_label)]


def _repeated(values: Sequence[Any]) -> list[Any]:
    """Those of `values` that stood before."""
    seen: set[Any] = set()
    return [value for value in values if value in seen or seen.add(value)]  # type: ignore[func-returns-value]


def _checked_whole(given: Any) -> int:
    """A whole number that is written as one: neither true nor 1_000, which Python takes, too."""
    try:
        return whole_number(given)
    except ValueError:
        raise ValueError("write a whole number") from None


def _checked_number(given: Any) -> float:
    """A number that is written as one."""
    try:
        return float(number_text(given))
    except ValueError:
        raise ValueError("write a number") from None


def _checked_devices(given: Any) -> Any:
    """A number of devices, or their names."""
    if isinstance(given, list | tuple):
        if not all(isinstance(name, str) for name in given):
            raise ValueError('write names of devices as texts, such as ["1"]')
        return tuple(given)
    try:
        return whole_number(given)
    except ValueError:
        raise ValueError("write a number of devices, or a list of their names, [NAME, NAME]") from None


def _checked_name(given: Any) -> str:
    """The name of a study, which names a folder, too."""
    if not isinstance(given, str) or len(given) > LONGEST_NAME or not NAME.fullmatch(given):
        works = (
            f"a study's name has 1 to {LONGEST_NAME} letters, digits, dots, dashes and underscores, none of . - _ first"
        )
        raise ValueError(works)
    return given


Whole = Annotated[int, BeforeValidator(_checked_whole)]
Number = Annotated[float, BeforeValidator(_checked_number)]
Devices = Annotated[int | tuple[str, ...], BeforeValidator(_checked_devices)]


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=False, arbitrary_types_allowed=True)


class SimulatedSettings(_Settings):
    """Photographs of simulated cameras; see `photos.simulated`."""

    devices: Whole = Field(9, ge=2)
    photos: Whole = Field(12, ge=1, description="photographs of each device")
    width: Whole = Field(1024, ge=SIZE)
    height: Whole = Field(768, ge=SIZE)
    seed: Whole = Field(0, ge=0, le=LARGEST_SEED)


class PhotoSettings(_Settings):
    """Where the photographs come from; folders and simulated cameras may be mixed."""

    folders: Annotated[tuple[Path, ...], Field(max_length=MOST_LISTED)] = ()
    simulated: SimulatedSettings | None = None


class SplitSettings(_Settings):
    """Which devices are tested on, and which share of the training photographs is held out."""

    test: Devices = 3
    train: Devices | None = Field(None, description="how many of the others, or names; all if absent")
    validation: Number = Field(0.1, ge=0, lt=0.9)

    @model_validator(mode="after")
    def _tests_and_trains_on_something(self) -> SplitSettings:
        for name, value in (("test", self.test), ("train", self.train)):
            if value is not None and (not value or (isinstance(value, int) and value < 1)):
                raise ValueError(f"{name} must name at least one device, or be at least 1")
        if not isinstance(self.test, int) and (repeated := _repeated(self.test)):
            raise ValueError(f"test names {shown(repeated[0])} twice")
        both = set(_names(self.test)) & set(_names(self.train))
        if both:
            raise ValueError(f"{shown(min(both))} is a device under test and under train; keep one of the two")
        return self


def _names(devices: int | tuple[str, ...] | None) -> tuple[str, ...]:
    """The devices that are named."""
    return devices if isinstance(devices, tuple) else ()


class PatchSettings(_Settings):
    """How many patches are taken, and of what."""

    size: Whole = Field(SIZE, ge=32, le=1024)
    per_photo: Whole = Field(GRID[0] * GRID[1], ge=1, le=GRID[0] * GRID[1])
    per_device: Whole | None = Field(
        None, ge=1, le=MOST_COUNTED, description="spread over a device's photographs; balances devices"
    )
    attacked_per_device: Whole | None = Field(
        None, ge=1, le=MOST_COUNTED, description="the attacks conceal so many of a test device's patches; all if absent"
    )
    attacked_photos: Whole | None = Field(
        None,
        ge=1,
        le=MOST_COUNTED,
        description="the attacks conceal so many whole photographs of each test device; patches alone if absent",
    )
    channels: Channels = "luma"


class DetectorSettings(_Settings):
    """One detector: a text form alone, or with a label of its own."""

    detector: RecipeText
    label: Label = None

    @model_validator(mode="before")
    @classmethod
    def _of_text(cls, given: Any) -> Any:
        if isinstance(given, str):
            return {"detector": given}
        if not isinstance(given, Mapping):
            raise ValueError("write a detector as NAME, NAME:SETTING=VALUE or {detector: NAME, label: TEXT}")
        return given

    @model_serializer(mode="plain")
    def _shortest(self) -> str | dict[str, str]:
        text = detectors.text_form(self.detector)
        return text if self.label is None else {"detector": text, "label": self.label}


class AttackSettings(_Settings):
    """One attack, whom it attacks, and what it hides; a text form alone for one that needs no target."""

    attack: AttackText
    label: Label = None
    targets: tuple[str, ...] = Field(
        (), max_length=MOST_LISTED, description="labels or text forms of detectors of the study"
    )
    manipulations: tuple[ManipulationText, ...] | None = Field(
        None, min_length=1, max_length=MOST_LISTED, description="those of the study that it is to hide; all if absent"
    )

    @model_validator(mode="before")
    @classmethod
    def _of_text(cls, given: Any) -> Any:
        if isinstance(given, str):
            return {"attack": given}
        if not isinstance(given, Mapping):
            raise ValueError("write an attack as NAME, or as {attack: NAME, targets: [DETECTOR]}")
        return given


class Study(_Settings):
    """Everything that a study's figures depend on."""

    name: Annotated[str, PlainValidator(_checked_name)]
    photos: PhotoSettings = PhotoSettings()
    split: SplitSettings = Field(default_factory=lambda: SplitSettings.model_validate({}))
    patches: PatchSettings = Field(default_factory=lambda: PatchSettings.model_validate({}))
    manipulations: tuple[ManipulationText, ...] = Field(
        tuple(manipulations.parse(text) for text in manipulations.PAPER), min_length=1, max_length=MOST_LISTED
    )
    detectors: tuple[DetectorSettings, ...] = Field(min_length=1, max_length=MOST_LISTED)
    attacks: tuple[AttackSettings, ...] = Field((), max_length=MOST_LISTED)
    laundering: tuple[PlatformText, ...] = Field(
        (parse_platform(NOT_LAUNDERED),),
        min_length=1,
        max_length=MOST_LISTED,
        description="platforms that the test photographs pass before they are cut and judged; none judges them as is",
    )
    training_laundering: tuple[PlatformText, ...] = Field(
        (parse_platform(NOT_LAUNDERED),),
        min_length=1,
        max_length=MOST_LISTED,
        description="platforms, of which each photograph of a training device passes one before it is learned from",
    )
    seeds: tuple[Annotated[Whole, Field(ge=0, le=LARGEST_SEED)], ...] = Field(
        (0,), min_length=1, max_length=MOST_LISTED
    )

    @cached_property
    def launderings(self) -> tuple[str, ...]:
        """The text forms of the platforms, in the order of the study."""
        return tuple(map(platform_text, self.laundering))

    @cached_property
    def training_launderings(self) -> tuple[str, ...]:
        """The text forms of the platforms that training photographs pass, in the order of the study."""
        return tuple(map(platform_text, self.training_laundering))

    @cached_property
    def named_manipulations(self) -> tuple[Named[Manipulation], ...]:
        """The manipulations; a label is the text form."""
        texts = {manipulations.text_form(part): part for part in self.manipulations}
        return tuple(Named(part, text, text) for text, part in texts.items())

    @cached_property
    def judges(self) -> tuple[Named[Recipe], ...]:
        """The detectors, all of which judge.  Raises StudyError for labels that do not tell them apart."""
        texts = [detectors.text_form(one.detector) for one in self.detectors]
        labels = _labels("detectors", texts, [one.label for one in self.detectors])
        return tuple(Named(one.detector, text, labels[text]) for one, text in zip(self.detectors, texts, strict=True))

    @cached_property
    def contests(self) -> tuple[Contest, ...]:
        """Every attack on every one of its targets.  Raises StudyError or NameNotFoundError for an unknown target."""
        texts = [attacks.text_form(one.attack) for one in self.attacks]
        labels = _labels("attacks", texts, [one.label for one in self.attacks])
        found = []
        for one, text in zip(self.attacks, texts, strict=True):
            named = Named(one.attack, text, labels[text])
            targets = [self._target(target, text) for target in one.targets]
            hidden = self._hidden_by(one, text)
            found += [Contest(named, target, hidden) for target in targets or (None,)]
        return tuple(found)

    def _target(self, given: str, attack: str) -> Named[Recipe]:
        """The detector that a target names by its label or by its text form."""
        by_name = {judge.label: judge for judge in self.judges} | {judge.text: judge for judge in self.judges}
        if given in by_name:
            return by_name[given]
        with contextlib.suppress(CounterforensicsError, KeyError):
            # A text form may be written in more than one way.
            return by_name[detectors.text_form(detectors.parse(given))]
        raise unknown_name(f"target of {attack}", given, by_name)

    def _hidden_by(self, settings: AttackSettings, attack: str) -> tuple[Named[Manipulation], ...]:
        if settings.manipulations is None:
            return self.named_manipulations
        known = {one.text: one for one in self.named_manipulations}
        texts = [manipulations.text_form(part) for part in settings.manipulations]
        for text in texts:
            if text not in known:
                raise unknown_name(f"manipulation of {attack}", text, known)
        return tuple(known[text] for text in texts)

    @model_validator(mode="after")
    def _fits_together(self) -> Study:
        texts: dict[str, list[Any]] = {
            "manipulations": list(map(manipulations.text_form, self.manipulations)),
            "detectors": [detectors.text_form(one.detector) for one in self.detectors],
            "laundering": list(self.launderings),
            "training_laundering": list(self.training_launderings),
            "seeds": list(self.seeds),
        }
        for kind, values in texts.items():
            if repeated := _repeated(values):
                raise ValueError(f"{kind} names {shown(repeated[0])} twice")
        self._check_size()
        for judge in self.judges:
            side = judge.part.patch_side
            if side not in (None, self.patches.size):
                raise ValueError(f"{judge.text} takes patches of {side}x{side} alone, got size {self.patches.size}")
            if judge.part.reads_rgb and self.patches.channels != "rgb":
                raise ValueError(f"{judge.text} reads RGB, and patches.channels is luma; set channels: rgb")
        for settings in self.attacks:
            self._check_attack(settings)
        self._check_whole_photographs()
        self._check_contests()
        return self

    def _check_size(self) -> None:
        """Raise ValueError for more rows than anybody reads, before they are planned."""
        contests = sum(max(1, len(one.targets)) for one in self.attacks)
        rows = len(self.seeds) * len(self.manipulations) * len(self.detectors) * (1 + contests) * len(self.laundering)
        if rows > MOST_ROWS:
            raise ValueError(f"the study would have up to {rows:,} rows; at most {MOST_ROWS:,} work")

    def _check_attack(self, settings: AttackSettings) -> None:
        attack, text = settings.attack, attacks.text_form(settings.attack)
        if attack.needs_target and not settings.targets:
            raise ValueError(f"attack {text!r} needs targets: list one or more of the study's detectors")
        if not attack.needs_target and settings.targets:
            raise ValueError(f"attack {text!r} takes no targets, got {', '.join(settings.targets)}")
        for manipulation in settings.manipulations or self.manipulations:
            attack.check_patches(self.patches.size, manipulation)

    def _check_whole_photographs(self) -> None:
        """What attacks on whole photographs need, and what an upload needs of an attack."""
        if self.patches.attacked_photos is None:
            uploads = [text for text in self.launderings if text != NOT_LAUNDERED]
            if uploads and self.attacks:
                raise ValueError(
                    f"laundering: {uploads[0]} takes whole photographs, and the attacks conceal patches; set "
                    "patches.attacked_photos to how many photographs of each test device they conceal"
                )
            return
        if self.patches.size != SIZE:
            raise ValueError(f"patches.attacked_photos takes patches of {SIZE}, got size {self.patches.size}")
        for settings in self.attacks:
            if settings.attack.needs_pairs and not isinstance(settings.attack, LearnedAttack):
                raise ValueError(
                    f"attack {attacks.text_form(settings.attack)!r} learns for each target and conceals patches alone; "
                    "leave patches.attacked_photos out"
                )

    def _check_contests(self) -> None:
        built = {}
        for contest in self.contests:
            if contest.target is not None:
                if contest.target.text not in built:
                    built[contest.target.text] = contest.target.part.build()
                contest.attack.part.check_target(built[contest.target.text])
        measured = [
            (contest.attack.text, contest.target.text if contest.target else "", hidden.text)
            for contest in self.contests
            for hidden in contest.manipulations
        ]
        for attack, target, _ in _repeated(measured):
            raise ValueError(f"attacks names {attack!r}{f' on {target}' if target else ''} twice")

    def as_yaml(self) -> str:
        """The study with every default spelled out."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False)


def _labels(kind: str, texts: Sequence[str], given: Sequence[str | None]) -> dict[str, str]:
    """The label of each text form: the given one, or the name, with settings where two would look the same."""
    labels: dict[str, str] = {}
    for text, label in zip(texts, given, strict=True):
        if label is not None and labels.setdefault(text, label) != label:
            raise ValueError(f"{kind} give {text!r} two labels, {labels[text]!r} and {label!r}")
    labels |= default_labels([text for text in dict.fromkeys(texts) if text not in labels])
    # File systems that know no capital letters shall tell them apart, too.
    owners: dict[str, str] = {}
    for text, label in labels.items():
        first = owners.setdefault(label.casefold(), text)
        if first != text:
            raise ValueError(f"{kind} give the label {label!r} to {first!r} and to {text!r}; each needs its own")
    return labels


def load_study(text: str, *, photos: Sequence[Path] = ()) -> Study:
    """The study of that built-in name or YAML path; `photos` replaces its folders.

    Without folders of its own, a study has photographs of simulated cameras alone; `photos` replaces these.  Folders in
    a YAML file are relative to that file.  Raises StudyError (or NameNotFoundError) with one clear
    line: an unknown name or key with the nearest known one, an impossible value with what works.
    """
    settings, base = read_settings(text)
    if photos:
        own = settings.get("photos")
        beside = own if isinstance(own, Mapping) and own.get("folders") else {}
        settings["photos"] = {**beside, "folders": [str(folder) for folder in photos]}
        base = Path()
    try:
        study = Study.model_validate(settings)
    except ValidationError as error:
        raise _one_line(text, error) from error
    except CounterforensicsError as error:  # of a part, which does not know where it stands
        raise type(error)(f"{text}: {error}") from error
    folders = tuple(base / _expanded(folder) for folder in study.photos.folders)
    if repeated := _repeated([folder.resolve() for folder in folders]):
        raise StudyError(f"{text}: photos.folders names {shown(str(repeated[0]))} twice; give each folder once")
    if not folders and study.photos.simulated is None:
        raise StudyError(f"study {study.name!r} names no photographs; give a folder with --photos DIR")
    for judge in study.judges:
        judge.part.check_files()
    return study.model_copy(update={"photos": study.photos.model_copy(update={"folders": folders})})


def _expanded(folder: Path) -> Path:
    if "\0" in str(folder):
        raise StudyError(f"no folder can be called {shown(str(folder))}")
    return at_home(folder)


# What is wrong, by pydantic's name for it, in words of ours; a mapping of what it says beside is filled in.
_WORDS = {
    "missing": "it is needed",
    "tuple_type": "write a list, [ONE, ANOTHER]",
    "string_type": "write a text",
    "path_type": "write a path",
    "literal_error": "must be {expected}",
    "model_type": "write settings, KEY: VALUE",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "less_than": "must be less than {lt}",
    "too_short": "must hold at least {min_length}",
    "too_long": "must hold at most {max_length:,}",
}


def _one_line(text: str, error: ValidationError) -> CounterforensicsError:
    """The first thing that is wrong, as an error of ours; a key that is missing may only be misspelt."""
    found = error.errors(include_url=False)
    first = min(found, key=lambda wrong: wrong["type"] != "extra_forbidden")
    context = first.get("ctx", {})
    cause = context.get("error")
    where = ".".join(str(part) for part in first["loc"])
    if isinstance(cause, CounterforensicsError):
        return type(cause)(f"{text}: {where}: {cause}" if where else f"{text}: {cause}")
    if first["type"] == "extra_forbidden":
        return unknown_name(f"key in {text}", str(first["loc"][-1]), _known_keys(first["loc"][:-1]))
    if first["type"] in _WORDS:
        words = _WORDS[first["type"]].format_map(context)
    else:
        words = first["msg"].removeprefix("Value error, ")
    given = "" if first["type"] == "missing" or not where else f", got {_given(first)}"
    return StudyError(f"{text}: {where or 'study'}: {words}{given}")


def _given(wrong: ErrorDetails) -> str:
    """What was given, or how much of it where that is what is wrong."""
    return str(wrong["ctx"]["actual_length"]) if wrong["type"] in ("too_short", "too_long") else shown(wrong["input"])


def _known_keys(location: Sequence[int | str]) -> Mapping[str, Any]:
    parts: Mapping[str, type[BaseModel]] = {
        "photos": PhotoSettings,
        "simulated": SimulatedSettings,
        "split": SplitSettings,
        "patches": PatchSettings,
        "detectors": DetectorSettings,
        "attacks": AttackSettings,
    }
    named = [parts[part] for part in location if isinstance(part, str) and part in parts]
    return (named[-1] if named else Study).model_fields
