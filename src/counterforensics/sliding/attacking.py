"""Photographs whose traces an attack hides, from a file to a file."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from counterforensics import attacks, laundering, manipulations
from counterforensics.attacks import Attack
from counterforensics.detectors import Network, zoo
from counterforensics.errors import AttackError, CounterforensicsError, PhotoError
from counterforensics.files import check_new, exists, write_whole
from counterforensics.laundering import Chain, Platform
from counterforensics.laundering.profile import Unchanged
from counterforensics.manipulations import Manipulation, manipulated
from counterforensics.pixels import Pixels
from counterforensics.sliding.concealing import ConcealedPhoto, Region, conceal_photo
from counterforensics.sliding.detecting import NamedDetector, load_named, named, opened
from counterforensics.sliding.findings import threshold_of
from counterforensics.sliding.scan import Subject

SUFFIX = ".png"


@dataclass(frozen=True)
class AttackedPhoto:
    """A concealed photograph, and the shares (0..1) of its patches that each detector flags before and after.

    A detector flags a patch above its threshold, as `detect` does; the share is None where every patch is flat.
    manipulated: the photograph before the attack, uint8 [h, w, 3].  uploaded: for each platform of the attack, the same
    shares of the photographs that come back.
    """

    target: str
    manipulated: Pixels = field(repr=False)
    concealed: ConcealedPhoto
    before: dict[str, float | None]
    after: dict[str, float | None]
    uploaded: dict[str, dict[str, dict[str, float | None]]]

    def as_json(self) -> dict[str, Any]:
        """The figures as JSON values; `psnr` is None where no pixel changed."""
        result = self.concealed
        return {
            "target": self.target,
            "before": self.before,
            "after": self.after,
            "uploaded": self.uploaded,
            "left": result.after.above(result.threshold),
            "positions": result.after.patches,
            "psnr": result.psnr if result.changed else None,
            "ssim": result.ssim,
            "largest_change": result.largest_change,
            "changed": result.changed,
            "sweeps": result.sweeps,
            "seconds": result.seconds,
            "seconds_per_megapixel": result.seconds / (result.photo.shape[0] * result.photo.shape[1] / 1e6),
        }


def attack_photo(
    photo: str | Path | Pixels,
    *,
    detector: str | Network,
    attack: str,
    manipulate: str | None = None,
    region: tuple[int, int, int, int] | None = None,
    stride: int | None = None,
    seed: int = 0,
    say: Callable[[str], None] = lambda _: None,
) -> AttackedPhoto:
    """Hide the traces in a photograph from a detector, at all positions that slide over it.

    photo: the path of a file, or uint8 [h, w, 3], RGB.  detector: the name of a shipped one, a folder, or
    the detector itself, such as `wrap` makes it.
    attack, manipulate: text forms, such as `pgd:epsilon=1` and `median:7`; the photograph is manipulated first.
    `pgd:through=telegram` hides the traces in what comes back from an upload.
    region: (x, y, width, height) in pixels; nothing outside is manipulated, nor changed by the attack.
    stride, seed: as `conceal_photo` has them.  say: gets a line for each sweep, and for each detector that judges the
    photograph before and after; what it raises ends the work.
    Other shipped detectors of the same manipulation judge, too.
    Raises an error of counterforensics for a photograph, a name or a region that cannot be, and for an attack that
    cannot attack this detector.
    """
    target, part = named(detector), ready(attacks.parse(attack))
    part.check_target(target.network)
    original = opened(photo).pixels
    place = None if region is None else Region.of(region)
    manipulated = original if manipulate is None else manipulated_in(original, manipulations.parse(manipulate), place)
    known = original if manipulate is not None and manipulated.shape == original.shape else None
    result = conceal_photo(
        manipulated, target.network, part, originals=known, region=place, stride=stride, seed=seed, say=say
    )
    judges = [target, *_others(target)]
    both = {"before": manipulated, "after": result.photo}

    def shares(platform: Platform | Chain) -> dict[str, dict[str, float | None]]:
        """What the judges flag in the photographs, before and after the attack, that come back from an upload."""
        return {when: _shares(Subject(platform(pixels).pixels), judges, say) for when, pixels in both.items()}

    own = shares(Unchanged())
    uploaded = {laundering.text_form(platform): shares(platform) for platform in part.uploads}
    return AttackedPhoto(target.name, manipulated, result, own["before"], own["after"], uploaded)


def ready(attack: Attack) -> Attack:
    """`attack` if it needs no photographs to learn from.  Raises AttackError that says what works."""
    if attack.needs_pairs:
        raise AttackError(
            f"{attacks.text_form(attack)} learns from photographs of several devices; give a generator that a study "
            "has trained, as in gan-kim:weights=FOLDER"
        )
    return attack


def manipulated_in(photo: Pixels, manipulation: Manipulation, region: Region | None) -> Pixels:
    """The photograph, uint8 [h, w, 3], manipulated as a whole or in a region alone, whose size stays.

    The region shows its own pixels of the manipulated photograph. Where the manipulation changes the size, the region
    is manipulated by itself, and the middle of the result fills it; one that shrinks it is refused.
    Raises AttackError for a region outside, or one that the manipulation makes smaller.
    """
    if region is None:
        return manipulated(photo, manipulation)
    mask = region.mask(*photo.shape[:2])
    x, y, width, height = region
    changed = manipulated(photo, manipulation) if not manipulation.moves_pixels else None
    result = photo.copy()
    if changed is not None and changed.shape == photo.shape:
        result[mask] = changed[mask]
        return result
    part = manipulated(photo[y : y + height, x : x + width], manipulation)
    top, left = (part.shape[0] - height) // 2, (part.shape[1] - width) // 2
    if min(top, left) < 0:
        size = f"{part.shape[1]}x{part.shape[0]}"
        raise AttackError(f"{manipulations.text_form(manipulation)} makes the region {width}x{height} smaller, {size}")
    result[y : y + height, x : x + width] = part[top : top + height, left : left + width]
    return result


def _others(target: NamedDetector) -> list[NamedDetector]:
    """The shipped detectors of the same manipulation but the target."""
    asked = target.network.trained_for
    return [load_named(name) for name in zoo.shipped() if name.split("/")[1] == asked and name != target.name]


def _shares(subject: Subject, judges: list[NamedDetector], say: Callable[[str], None]) -> dict[str, float | None]:
    found = {}
    for judge in judges:
        say(f"{judge.name} judges the photograph")
        scan = subject.scan(judge.network)
        found[judge.name] = scan.flagged(threshold_of(judge.network)) if scan.patches else None
    return found


def attack_all(
    photos: Sequence[Path], out: Path, *, done: Callable[[], None] = lambda: None, **how: Any
) -> tuple[list[dict[str, Any]], list[str]]:
    """Attack photographs from file to file; the figures of each as JSON values, and a line for each that was left out.

    out: a new PNG file for one photograph; otherwise a folder that gets NAME.png of each NAME.  A file that is there
    already is kept, and its photograph left out, so that the same call goes on where it was stopped.
    how: as `attack_photo` has it.  done: is called after each photograph.
    Raises an error of counterforensics if the one photograph, or not one of several, can be attacked.
    """
    alone = len(photos) == 1 and out.suffix != ""
    targets = {place: out if alone else out / f"{place.stem}{SUFFIX}" for place in photos}
    _check_targets(targets)
    found, left_out = [], []
    for place, target in targets.items():
        try:
            check_output(target)
            attacked = attack_photo(place, **how)
            write_png(attacked.concealed.photo, target)
        except CounterforensicsError as error:
            if len(photos) == 1:
                raise
            left_out.append(str(error) if str(place) in str(error) else f"{place}: {error}")
        else:
            found.append({"photo": str(place), "out": str(target), **attacked.as_json()})
        done()
    if not found and not any(map(exists, targets.values())):
        raise PhotoError(f"none of {len(left_out)} photographs can be attacked; the first: {left_out[0]}")
    return found, left_out


def _check_targets(targets: Mapping[Path, Path]) -> None:
    """Raise PhotoError if two photographs would be written to one file."""
    seen: dict[Path, Path] = {}
    for place, target in targets.items():
        if target in seen:
            raise PhotoError(f"{seen[target]} and {place} would both become {target}; rename one")
        seen[target] = place


def check_output(path: Path) -> None:
    """Raise PhotoError unless a new PNG file can be written to `path`: nothing is computed in vain."""
    if path.suffix.lower() != SUFFIX:
        reason = (
            "JPEG would put its own traces over the attack and undo changes of one grey level"
            if path.suffix.lower() in (".jpg", ".jpeg")
            else "only PNG keeps every grey level here"
        )
        raise PhotoError(f"the concealed photograph must go to a {SUFFIX} file, got {path}: {reason}")
    check_new(path, PhotoError)


def write_png(photo: Pixels, path: Path) -> None:
    """Write a photograph, uint8 [h, w, 3], whole or not at all, without metadata.  Raises PhotoError."""
    content = io.BytesIO()
    Image.fromarray(photo).save(content, "PNG")
    try:
        write_whole(path, content.getvalue())
    except OSError as error:
        raise PhotoError(f"cannot write {path}: {error.strerror}") from error
