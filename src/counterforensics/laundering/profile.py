"""A platform that stores uploads as JPEG files, and the YAML files that hold the settings of real platforms."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from dataclasses import dataclass, field, make_dataclass
from pathlib import Path
from typing import Any, ClassVar

import yaml

from counterforensics import names
from counterforensics.errors import PlatformError, StudyError, in_one_line, shown, unknown_name
from counterforensics.files import at_home, read_regular
from counterforensics.laundering.base import DEFINED, KINDS, MEASURED, Laundered, Platform, PlatformEvidence
from counterforensics.laundering.jpeg import SUBSAMPLINGS, Coding, Table, decode_file, encode, ijg_tables
from counterforensics.laundering.kernels import KERNELS, resized
from counterforensics.laundering.orientation import upright
from counterforensics.manipulations.base import check_photo, check_range, check_whole
from counterforensics.pixels import Pixels

SUFFIXES = (".yaml", ".yml")
MEASURES = ("longer", "width")
BUILT_IN = Path(__file__).parent / "platforms"
_MOST_BYTES = 100_000
_LARGEST_SIDE = 65_500
_LARGEST_STEP = 255  # of a quantisation table


@dataclass(frozen=True)
class JpegPlatform(Platform):
    """What a platform does to an upload: turn it upright, reduce it, and store it as JPEG without metadata.

    quality: of the IJG's tables, 1 to 100; 0 where `luma_table` and `chroma_table` give 64 steps each, by row.
    side: pixels of the longer side, or of the width (see `measure`), to which a larger photograph is reduced; 0: none
    is.  A smaller photograph is never enlarged.  measure: `longer` or `width`.  kernel: one of `KERNELS`.  subsampling:
    `4:2:0`, `4:2:2` or `4:4:4`.  progressive: the order of the data in the file.  upright: whether the EXIF orientation
    is applied; otherwise it is lost.
    """

    quality: int
    side: int
    measure: str
    kernel: str
    subsampling: str
    progressive: bool
    upright: bool
    luma_table: str
    chroma_table: str

    evidence: ClassVar[PlatformEvidence]
    source: ClassVar[str]  # the name or the path by which `profile_class` finds the class again

    def __post_init__(self) -> None:
        name = self.source
        for setting, value, most in (("quality", self.quality, 100), ("side", self.side, _LARGEST_SIDE)):
            check_whole(f"{name}: {setting}", value)
            check_range(f"{name}: {setting}", value, 0, most)
        names.check_choice(name, "measure", self.measure, MEASURES)
        names.check_choice(name, "kernel", self.kernel, KERNELS)
        names.check_choice(name, "subsampling", self.subsampling, SUBSAMPLINGS)
        if not self.quality:
            for setting, text in (("luma_table", self.luma_table), ("chroma_table", self.chroma_table)):
                _table(name, setting, text)

    def __reduce__(self) -> tuple[Any, ...]:
        return restored, (self.source, dataclasses.asdict(self))

    @property
    def files(self) -> tuple[Path, ...]:
        """The file of the profile, unless it comes with the package."""
        return (at_home(self.source, PlatformError),) if is_path(self.source) else ()

    @property
    def coding(self) -> Coding:
        """How the file is written."""
        if self.quality:
            luma, chroma = ijg_tables(self.quality)
        else:
            luma = _table(self.source, "luma_table", self.luma_table)
            chroma = _table(self.source, "chroma_table", self.chroma_table)
        return Coding(luma, chroma, self.subsampling, self.progressive)

    def size_after(self, width: int, height: int) -> tuple[int, int]:
        """Width and height of what comes back; the other side is rounded half up, and is 1 at least."""
        return reduced_size(width, height, self.side, self.measure)

    def __call__(self, photo: Pixels, *, orientation: int = 1) -> Laundered:
        """As `Platform.__call__`."""
        photo = check_photo(photo)
        seen = upright(photo, orientation) if self.upright else photo
        height, width = seen.shape[:2]
        after = self.size_after(width, height)
        content = encode(resized(seen, *after, self.kernel), self.coding)
        notes = []
        if self.side and after == (width, height):
            what = "longer side" if self.measure == "longer" else "width"
            notes.append(
                f"{self.source}: the {what} of {width}x{height} is within {self.side}, so it was only recompressed"
            )
        return Laundered(decode_file(content), content, tuple(notes))


def reduced_size(width: int, height: int, side: int, measure: str) -> tuple[int, int]:
    """The size after a reduction to `side`; errors and rounding as in `JpegPlatform.size_after`.

    >>> reduced_size(3968, 2976, 2560, "longer"), reduced_size(800, 600, 2560, "longer")
    ((2560, 1920), (800, 600))
    >>> reduced_size(9, 20, 3, "width")
    (3, 7)
    """
    before = max(width, height) if measure == "longer" else width
    if not 0 < side < before:
        return width, height
    across, down = (max(1, (2 * one * side + before) // (2 * before)) for one in (width, height))
    return across, down


def _table(name: str, setting: str, text: str) -> Table:
    """The 64 steps of a quantisation table.  Raises StudyError for anything else."""
    try:
        steps = tuple(names.whole_number(step) for step in text.split())
    except ValueError:
        steps = ()
    if len(steps) != 64 or not all(1 <= step <= _LARGEST_STEP for step in steps):
        need = f"64 whole numbers from 1 to {_LARGEST_STEP}, by row, with blanks between them"
        raise StudyError(f"{name}: {setting} must be {need} where quality is 0, got {shown(text)}")
    return steps


@dataclass(frozen=True)
class PlainJpeg(JpegPlatform):
    """JPEG at IJG `quality` and nothing else: baseline, 4:2:0, not resized, as the manipulation `jpeg`."""

    quality: int
    side: int = 0
    measure: str = "longer"
    kernel: str = "box"
    subsampling: str = "4:2:0"
    progressive: bool = False
    upright: bool = False
    luma_table: str = ""
    chroma_table: str = ""

    evidence: ClassVar[PlatformEvidence] = PlatformEvidence(DEFINED, source="JPEG at a given quality")
    source: ClassVar[str] = "jpeg"


@dataclass(frozen=True)
class Unchanged(Platform):
    """No platform: the photograph comes back as it was sent."""

    evidence: ClassVar[PlatformEvidence] = PlatformEvidence(DEFINED, source="nothing happens to the photograph")

    def __call__(self, photo: Pixels, *, orientation: int = 1) -> Laundered:
        """As `Platform.__call__`; no file is stored."""
        return Laundered(check_photo(photo), None)


def profile_text(settings: Mapping[str, int | str | bool], evidence: PlatformEvidence) -> bytes:
    """The YAML file of a platform with these settings."""
    known = {key: value for key, value in dataclasses.asdict(evidence).items() if value}
    known |= {"inferred": list(evidence.inferred)} if evidence.inferred else {}
    content = {"settings": dict(settings), "evidence": known}
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=120).encode()


def restored(source: str, settings: Mapping[str, Any]) -> JpegPlatform:
    """The platform that `JpegPlatform.__reduce__` took apart: a class made from a file is no attribute of a module."""
    made = PlainJpeg if source == PlainJpeg.source else profile_class(source)
    return made(**settings)


def profile_class(source: str) -> type[JpegPlatform]:
    """The class of a platform, from a built-in name or the path of a YAML file.

    The same content of the same file gives the same class.  Raises PlatformError for a file that holds no profile.
    """
    path = at_home(source, PlatformError) if is_path(source) else BUILT_IN / f"{source}.yaml"
    return class_from(source, read_regular(path, _MOST_BYTES, PlatformError))


def is_path(name: str) -> bool:
    """Whether a platform is named by the path of its profile."""
    return name.endswith(SUFFIXES)


@functools.cache
def class_from(source: str, content: bytes) -> type[JpegPlatform]:
    """The class of the platform that a YAML file describes.  source: its name or path.  Errors as `profile_class`."""
    profile = _mapping(source, "a profile", _parsed(source, content), ("settings", "evidence"))
    fields = {one.name: one.type for one in dataclasses.fields(JpegPlatform)}
    given = _mapping(source, "settings", profile.get("settings"), fields)
    missing = [name for name in fields if name not in given and name not in ("luma_table", "chroma_table")]
    if missing:
        raise PlatformError(f"{shown(source)} lacks settings: {', '.join(missing)}; a profile gives each of them")
    settings = {name: _as_text(value) for name, value in given.items()}
    evidence = _evidence(source, profile.get("evidence"))
    space = {"evidence": evidence, "source": source, "__module__": __name__}
    types = names.setting_types(JpegPlatform)
    bare = make_dataclass("Profile", list(types.items()), bases=(JpegPlatform,), namespace=space, frozen=True)
    defaults: JpegPlatform = names.build(
        "platform", source, {"luma_table": "", "chroma_table": "", **settings}, {source: bare}
    )
    values = dataclasses.asdict(defaults)
    whole = [(name, kind, field(default=values[name])) for name, kind in types.items()]
    space["__doc__"] = f"The platform of {source}."
    return make_dataclass("Profile", whole, bases=(JpegPlatform,), namespace=space, frozen=True)


def _parsed(source: str, content: bytes) -> Any:
    """The values of a YAML file: texts, lists and mappings; `4:2:0` is no number of base 60 here."""
    try:
        return yaml.load(content.decode("utf-8"), Loader=yaml.BaseLoader)
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise PlatformError(f"{shown(source)} is no YAML file in UTF-8: {in_one_line(error)}") from error


def _mapping(source: str, what: str, value: Any, known: Any) -> dict[str, Any]:
    """`value` if it is a mapping whose keys are all `known`."""
    if not isinstance(value, dict):
        keys = ", ".join(known)
        raise PlatformError(f"{shown(source)}: {what} must hold the keys {keys}, got {shown(value)}")
    for key in value:
        if key not in known:
            raise unknown_name(f"key of {what} in {shown(source)}", str(key), known)
    return value


def _as_text(value: Any) -> str:
    """A setting as a text form writes it; the steps of a table may be a list."""
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


def _evidence(source: str, value: Any) -> PlatformEvidence:
    known = [one.name for one in dataclasses.fields(PlatformEvidence)]
    given = _mapping(source, "evidence", value, known)
    names.check_choice(source, "evidence kind", str(given.get("kind", "")), KINDS, PlatformError)
    pairs = str(given.get("pairs", "0"))
    if not pairs.isdecimal() or (given["kind"] == MEASURED) != (int(pairs) > 0):
        need = "a whole number, above 0 where the kind is measured"
        raise PlatformError(f"{shown(source)}: pairs must be {need}, got {shown(pairs)}")
    inferred = given.get("inferred", [])
    texts = {key: str(given.get(key, "")) for key in ("date", "source", "note")}
    return PlatformEvidence(
        given["kind"], int(pairs), inferred=tuple(inferred) if isinstance(inferred, list) else (), **texts
    )
