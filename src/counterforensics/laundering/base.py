"""What a platform is, and what comes back from an upload."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from counterforensics.names import Part
from counterforensics.pixels import Pixels

# How well the settings of a platform are known, the best first.
MEASURED, DESCRIBED, CONTRADICTORY, DEFINED = "measured", "described", "contradictory", "defined"
KINDS = (MEASURED, DESCRIBED, CONTRADICTORY, DEFINED)


@dataclass(frozen=True)
class PlatformEvidence:
    """Where the settings of a platform come from.

    kind: `measured` on `pairs` pairs of a sent and a received file, `described` by somebody, `contradictory`
    descriptions, or `defined` by this package.  date: of the measurement, such as 2026-02.  inferred: the settings that
    no source gives, which we chose.  note: what the settings leave out.
    """

    kind: str
    pairs: int = 0
    date: str = ""
    source: str = ""
    inferred: tuple[str, ...] = ()
    note: str = ""

    def in_words(self) -> str:
        """One line for people.

        >>> PlatformEvidence("measured", pairs=51, date="2026-02", source="a data set", inferred=("kernel",)).in_words()
        'measured on 51 pairs, 2026-02 (a data set); chosen without a source: kernel'
        """
        words = f"measured on {self.pairs} pair{'s'[: self.pairs != 1]}" if self.kind == MEASURED else self.kind
        words += f", {self.date}" if self.date else ""
        words += f" ({self.source})" if self.source else ""
        words += f"; chosen without a source: {', '.join(self.inferred)}" if self.inferred else ""
        return words + (f"; {self.note}" if self.note else "")


@dataclass(frozen=True, eq=False)
class Laundered:
    """What comes back from an upload.

    pixels: uint8 [h, w, 3], decoded from `file`.  file: the bytes of a JPEG file without metadata, None where no
    platform of the chain stored one.  notes: what a user should know, a line each.
    """

    pixels: Pixels
    file: bytes | None
    notes: tuple[str, ...] = ()


class Platform(Part, ABC):
    """A frozen dataclass of settings that turns a whole photograph into the one that comes back from an upload."""

    evidence: ClassVar[PlatformEvidence]

    @property
    def steps(self) -> tuple[Platform, ...]:
        """The platforms that a photograph passes, one after the other: this one."""
        return (self,)

    @abstractmethod
    def __call__(self, photo: Pixels, *, orientation: int = 1) -> Laundered:
        """Upload `photo`, uint8 [h, w, 3], RGB as stored; orientation: the value of its EXIF tag, 1 to 8."""


@dataclass(frozen=True)
class Chain:
    """Several uploads, one after the other: `telegram>whatsapp`."""

    steps: tuple[Platform, ...]

    def __call__(self, photo: Pixels, *, orientation: int = 1) -> Laundered:
        """As `Platform.__call__`, for each step on what the step before gave.

        A stored file has no metadata, so the orientation is known to the steps before it alone.
        """
        found = Laundered(photo, None)
        for step in self.steps:
            came = step(found.pixels, orientation=orientation if found.file is None else 1)
            found = Laundered(came.pixels, came.file or found.file, (*found.notes, *came.notes))
        return found


def settings_of(platform: Platform | Chain) -> list[dict[str, Any]]:
    """All that the result of an upload owes to the platform, as JSON values: of each step the settings and the version.

    A name does not say as much: the settings behind it may change from one version of this package to the next.
    """
    return [{"settings": asdict(step), "version": step.version} for step in platform.steps]  # type: ignore[call-overload]
