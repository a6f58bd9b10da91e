"""What a platform does to a photograph that is uploaded: laundering.

A platform is data: a file in `platforms/` with its settings and where they come from. `fit_platform` measures the
settings from pairs of a sent and a received file.
"""

from __future__ import annotations

from counterforensics.errors import StudyError, shown
from counterforensics.laundering.base import Chain, Laundered, Platform, PlatformEvidence, settings_of
from counterforensics.laundering.fitting import PlatformFit, fit_platform
from counterforensics.laundering.profile import BUILT_IN, JpegPlatform, PlainJpeg, Unchanged, is_path, profile_class
from counterforensics.names import Registry, check_text
from counterforensics.pixels import Pixels

PLATFORMS: Registry[Platform] = Registry(
    "platform",
    Platform,  # type: ignore[type-abstract]
    {
        "none": Unchanged,
        "jpeg": PlainJpeg,
        **{path.stem: profile_class(path.stem) for path in sorted(BUILT_IN.glob("*.yaml"))},
    },
)
_MOST_STEPS = 10


def parse(text: str) -> Platform | Chain:
    """The platform that `text` names, a name or the path of a profile with settings, or a chain of them.

    Raises NameNotFoundError for an unknown name, StudyError for an impossible value, PlatformError for a file that
    holds no profile.

    >>> parse("telegram").size_after(4000, 3000)
    (2560, 1920)
    >>> text_form(parse("telegram > whatsapp:quality=60"))
    'telegram>whatsapp:quality=60'
    """
    check_text(text, "platform")
    pieces = [piece.strip() for piece in text.split(">")]
    if not all(pieces) or len(pieces) > _MOST_STEPS:
        works = f"write up to {_MOST_STEPS} platforms, such as telegram>whatsapp"
        raise StudyError(f"cannot read the platform {shown(text)}; {works}")
    steps = tuple(_registry_for(piece).parse(piece) for piece in pieces)
    return steps[0] if len(steps) == 1 else Chain(steps)


def text_form(platform: Platform | Chain) -> str:
    """The text that `parse` turns back into `platform`."""
    return ">".join(map(_text_of, platform.steps))


def launder(photo: Pixels, platform: Platform | Chain | str, *, orientation: int = 1) -> Laundered:
    """What comes back when `photo` is uploaded.

    photo: uint8 [h, w, 3], RGB, as stored.  platform: a text form, or what `parse` made of it.  orientation: the EXIF
    tag of the photograph, 1 to 8.  Returns the pixels and the bytes of the JPEG file.  Raises PixelError for an array
    that is no photograph, PhotoError for one that is too large, and the errors of `parse`.

    >>> import numpy as np
    >>> came = launder(np.zeros((300, 400, 3), dtype=np.uint8), "whatsapp:side=200")
    >>> came.pixels.shape, came.file[:2]
    ((150, 200, 3), b'\\xff\\xd8')
    """
    return (platform if isinstance(platform, Platform | Chain) else parse(platform))(photo, orientation=orientation)


def _text_of(platform: Platform) -> str:
    if isinstance(platform, JpegPlatform) and is_path(platform.source):
        return Registry("platform", Platform, {platform.source: type(platform)}).text_form(platform)  # type: ignore[type-abstract]
    return PLATFORMS.text_form(platform)


def _registry_for(text: str) -> Registry[Platform]:
    """Where the name of a text form stands: among the platforms, or alone, as the path of a profile."""
    name = text.partition(":")[0]
    if not is_path(name):
        return PLATFORMS
    return Registry("platform", Platform, {name: profile_class(name)})  # type: ignore[type-abstract]


__all__ = [
    "PLATFORMS",
    "Chain",
    "Laundered",
    "Platform",
    "PlatformEvidence",
    "PlatformFit",
    "fit_platform",
    "launder",
    "parse",
    "settings_of",
    "text_form",
]
