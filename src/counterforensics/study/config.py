"""A study's settings: one YAML file, checked before anything is computed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from counterforensics import attacks, detectors, manipulations
from counterforensics.attacks import Attack
from counterforensics.errors import CounterforensicsError, StudyError, unknown_name
from counterforensics.photos.patches import GRID, SIZE, Channels

BUILT_IN = ("demo", "paper")


def _checked_by(module: Any) -> AfterValidator:
    """A text form, checked and brought to its shortest form by the parser of `module`."""

    def canonical(text: str) -> str:
        shortest: str = module.text_form(module.parse(text))
        return shortest

    return AfterValidator(canonical)


ManipulationText = Annotated[str, _checked_by(manipulations)]
DetectorText = Annotated[str, _checked_by(detectors)]
AttackText = Annotated[str, _checked_by(attacks)]


def _repeated(values: Sequence[Any]) -> list[Any]:
    """Those of `values` that stood before."""
    return [value for position, value in enumerate(values) if value in values[:position]]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=False)


class SimulatedSettings(_Part):
    """Photographs of simulated cameras; see `photos.simulated`."""

    devices: int = Field(9, ge=2)
    photos: int = Field(12, ge=1, description="photographs of each device")
    width: int = Field(1024, ge=SIZE)
    height: int = Field(768, ge=SIZE)
    seed: int = Field(0, ge=0)


class PhotoSettings(_Part):
    """Where the photographs come from; folders and simulated cameras may be mixed."""

    folders: tuple[Path, ...] = ()
    simulated: SimulatedSettings | None = None


class SplitSettings(_Part):
    """Which devices are tested on, and which share of the training photographs is held out."""

    test: int | tuple[str, ...] = 3
    train: int | tuple[str, ...] | None = Field(None, description="how many of the others, or names; all if absent")
    validation: float = Field(0.1, ge=0, lt=0.9)

    @model_validator(mode="after")
    def _tests_and_trains_on_something(self) -> SplitSettings:
        for name, value in (("test", self.test), ("train", self.train)):
            if value is not None and (not value or (isinstance(value, int) and value < 1)):
                raise ValueError(f"{name} must name at least one device, or be at least 1")
        if not isinstance(self.test, int) and (repeated := _repeated(self.test)):
            raise ValueError(f"test names {repeated[0]!r} twice")
        return self


class PatchSettings(_Part):
    """How many patches are taken, and of what."""

    size: int = Field(SIZE, ge=32, le=1024)
    per_photo: int = Field(GRID[0] * GRID[1], ge=1, le=GRID[0] * GRID[1])
    per_device: int | None = Field(None, ge=1, description="spread over a device's photographs; balances devices")
    attacked_per_device: int | None = Field(
        None, ge=1, description="the attacks conceal so many of a test device's patches; all if absent"
    )
    channels: Channels = "luma"


class AttackSettings(_Part):
    """One attack, whom it attacks, and what it hides."""

    attack: AttackText
    targets: tuple[DetectorText, ...] = ()
    manipulations: tuple[ManipulationText, ...] | None = Field(
        None, min_length=1, description="those of the study that it is to hide; all if absent"
    )


class Study(_Part):
    """Everything that a study's figures depend on."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    photos: PhotoSettings = PhotoSettings()
    split: SplitSettings = Field(default_factory=lambda: SplitSettings.model_validate({}))
    patches: PatchSettings = Field(default_factory=lambda: PatchSettings.model_validate({}))
    manipulations: tuple[ManipulationText, ...] = Field(manipulations.PAPER, min_length=1)
    detectors: tuple[DetectorText, ...] = Field(min_length=1)
    attacks: tuple[AttackSettings, ...] = ()
    seeds: tuple[Annotated[int, Field(ge=0)], ...] = Field((0,), min_length=1)

    @model_validator(mode="after")
    def _fits_together(self) -> Study:
        for kind in ("manipulations", "detectors", "seeds"):
            if repeated := _repeated(getattr(self, kind)):
                raise ValueError(f"{kind} names {repeated[0]!r} twice")
        for detector in self.detectors:
            side = getattr(detectors.parse(detector), "side", None)
            if side not in (None, self.patches.size):
                raise ValueError(f"{detector} takes patches of {side}x{side} alone, got size {self.patches.size}")
        for settings in self.attacks:
            self._check_targets(settings)
        contests = [
            (settings.attack, target, manipulation)
            for settings in self.attacks
            for target in settings.targets or ("",)
            for manipulation in settings.manipulations or self.manipulations
        ]
        for attack, target, _ in _repeated(contests):
            raise ValueError(f"attacks names {attack!r}{f' on {target}' if target else ''} twice")
        return self

    def _check_targets(self, settings: AttackSettings) -> None:
        attack = attacks.parse(settings.attack)
        if attack.needs_target and not settings.targets:
            raise ValueError(f"attack {settings.attack!r} needs targets: list one or more of the study's detectors")
        if not attack.needs_target and settings.targets:
            raise ValueError(f"attack {settings.attack!r} takes no targets, got {', '.join(settings.targets)}")
        self._check_learning(settings, attack)
        for manipulation in settings.manipulations or ():
            if manipulation not in self.manipulations:
                raise unknown_name(f"manipulation of {settings.attack}", manipulation, self.manipulations)
        for target in settings.targets:
            if target not in self.detectors:
                raise unknown_name(f"target of {settings.attack}", target, self.detectors)
            attack.check_target(detectors.parse(target).build())

    def _check_learning(self, settings: AttackSettings, attack: Attack) -> None:
        """What an attack that learns asks of the patches; one that has learned asks nothing."""
        if not attack.needs_pairs:
            return
        least = getattr(attack, "least_side", 0)
        if least > self.patches.size:
            raise ValueError(f"{settings.attack} learns on patches of at least {least}, got size {self.patches.size}")
        for text in settings.manipulations or self.manipulations:
            if getattr(attack, "like", "") == "pristine" and manipulations.moves_pixels(manipulations.parse(text)):
                raise ValueError(
                    f"{settings.attack} is to be like=pristine, and {text} moves pixels; "
                    "name manipulations that do not, or say like=manipulated"
                )

    def as_yaml(self) -> str:
        """The study with every default spelled out."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False)


def load_study(text: str, *, photos: Sequence[Path] = ()) -> Study:
    """The study of that built-in name or YAML path; `photos` replaces its photographs by folders.

    Folders in a YAML file are relative to that file. Raises StudyError (or NameNotFoundError) with one clear
    line: an unknown name or key with the nearest known one, an impossible value with what works.
    """
    settings, base = _read(text)
    if photos:
        settings["photos"] = {"folders": [str(folder) for folder in photos]}
        base = Path()
    try:
        study = Study.model_validate(settings)
    except ValidationError as error:
        raise _one_line(text, error) from error
    folders = tuple(base / _expanded(folder) for folder in study.photos.folders)
    if not folders and study.photos.simulated is None:
        raise StudyError(f"study {study.name!r} names no photographs; give a folder with --photos DIR")
    return study.model_copy(update={"photos": study.photos.model_copy(update={"folders": folders})})


def _expanded(folder: Path) -> Path:
    try:
        return folder.expanduser()
    except RuntimeError as error:
        raise StudyError(f"photo folder {folder}: there is no such user") from error


def _read(text: str) -> tuple[dict[str, Any], Path]:
    if text in BUILT_IN:
        source = resources.files("counterforensics.study") / "built_in" / f"{text}.yaml"
        content, base = source.read_text(encoding="utf-8"), Path()
    else:
        path = Path(text)
        if path.suffix not in (".yaml", ".yml"):
            raise unknown_name("study", text, BUILT_IN)
        try:
            content, base = path.read_text(encoding="utf-8"), path.parent
        except (OSError, UnicodeDecodeError) as error:
            raise StudyError(f"cannot read the study {text}: {error}") from error
    try:
        settings = yaml.safe_load(content)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise StudyError(f"{text} is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(settings, dict):
        raise StudyError(f"{text} must hold settings (name:, photos:, ...), holds {type(settings).__name__}")
    return settings, base


def _one_line(text: str, error: ValidationError) -> CounterforensicsError:
    """The first thing that is wrong, as an error of ours; a key that is missing may only be misspelt."""
    first = min(error.errors(), key=lambda wrong: wrong["type"] != "extra_forbidden")
    cause = first.get("ctx", {}).get("error")
    where = ".".join(str(part) for part in first["loc"])
    if isinstance(cause, CounterforensicsError):
        return type(cause)(f"{text}: {where}: {cause}" if where else f"{text}: {cause}")
    if first["type"] == "extra_forbidden":
        return unknown_name(f"key in {text}", str(first["loc"][-1]), _known_keys(first["loc"][:-1]))
    given = "" if first["type"] == "missing" else f", got {first['input']!r}"
    message = f"{text}: {where or 'study'}: {first['msg'].removeprefix('Value error, ')}"
    return StudyError(message + (given if where else ""))


def _known_keys(location: Sequence[int | str]) -> Mapping[str, Any]:
    parts: Mapping[str, type[BaseModel]] = {
        "photos": PhotoSettings,
        "simulated": SimulatedSettings,
        "split": SplitSettings,
        "patches": PatchSettings,
        "attacks": AttackSettings,
    }
    named = [parts[part] for part in location if isinstance(part, str) and part in parts]
    return (named[-1] if named else Study).model_fields
