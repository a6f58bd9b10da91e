"""Photographs judged by the shipped detectors, or by those that are named."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from counterforensics import manipulations
from counterforensics.detectors import Network, load_detector, zoo
from counterforensics.detectors.wrapping import WrappedModel
from counterforensics.errors import CounterforensicsError, PhotoError, StudyError, WeightsError, shown, unknown_name
from counterforensics.files import at_home, exists
from counterforensics.learning import weights
from counterforensics.learning.accelerator import placed
from counterforensics.manipulations.base import check_photo
from counterforensics.names import several
from counterforensics.photos.folder import photo_at
from counterforensics.photos.jpeg_quality import JpegQuality
from counterforensics.photos.remarks import RESIZED
from counterforensics.pixels import Pixels, luma_of_photo
from counterforensics.sliding.findings import FalseAlarms, Finding, question_of
from counterforensics.sliding.scan import Scan, Subject

# Of a map: the colour of pixels whose patches are flagged, and how much of the photograph still shows through it.
FLAGGED_COLOUR = (230, 80, 0)
_VEIL = 0.65


@dataclass(frozen=True)
class NamedDetector:
    """A loaded detector, what to call it, and the false alarms of its verdicts as its card has them."""

    name: str
    network: Network
    false_alarms: FalseAlarms | None


@dataclass(frozen=True)
class JudgedPhotograph:
    """All findings on one photograph.  where: its path, or `array`.  remarks: what is unusual about its file."""

    where: str
    findings: tuple[Finding, ...]
    remarks: tuple[str, ...]

    def agreement(self) -> dict[str, dict[str, int]]:
        """For each manipulation how many detectors gave which verdict."""
        questions = dict.fromkeys(finding.manipulation for finding in self.findings)
        return {
            asked: dict(Counter(found.verdict for found in self.findings if found.manipulation == asked))
            for asked in questions
        }


def select(names: Sequence[str | Network] = (), questions: Sequence[str] = ()) -> list[NamedDetector]:
    """The detectors to ask, loaded.

    names: of shipped detectors (`spam-svm/median:7`, or `spam-svm` for all of them), folders, or URLs; none means all
    that are shipped. A detector itself may stand for its name.  questions: text forms of the manipulations to ask
    about; none means all.
    Raises WeightsError, NameNotFoundError or StudyError, with what there is, if nothing is left; WeightsError also for
    two detectors of one name.
    """
    names, questions = _named_or_loaded(names), several("manipulations", questions)
    asked = {manipulations.text_form(manipulations.parse(question)) for question in questions}
    found: dict[str, NamedDetector] = {}
    for name in names or sorted({one.split("/")[0] for one in zoo.shipped()}):
        for one in _of_family(name, asked):
            if one.network.trained_for in asked or not asked:
                same = found.setdefault(one.name, one)
                is_given = isinstance(name, Network) or isinstance(same.network, WrappedModel)
                if is_given and same.network is not one.network:
                    raise WeightsError(
                        f"two detectors are called {shown(one.name)}; wrap one of them with another name"
                    )
    if not found:
        shipped = ", ".join(zoo.shipped()) or "none"
        raise StudyError(
            f"none of these detectors looks for {', '.join(sorted(asked))}; the shipped detectors are {shipped}"
        )
    return sorted(found.values(), key=_order)


def _order(one: NamedDetector) -> tuple[int, str]:
    """The paper's manipulations in its order, then others."""
    known = list(manipulations.PAPER)
    asked = one.network.trained_for
    return (known.index(asked) if asked in known else len(known), one.name)


def _named_or_loaded(given: Sequence[str | Network]) -> tuple[str | Network, ...]:
    """The detectors as names and networks.  Raises StudyError for what is neither, or one text alone."""
    if isinstance(given, str) or not isinstance(given, Iterable):
        return several("detectors", given)
    found = tuple(given)
    several("detectors", [one for one in found if not isinstance(one, Network)])
    return tuple(one if isinstance(one, Network) else str(one) for one in found)


def _of_family(name: str | Network, asked: Collection[str]) -> Iterator[NamedDetector]:
    """The detectors behind a name; of a shipped family those of the manipulations that are asked, where any are."""
    if isinstance(name, Network):
        yield named(name)
        return
    shipped = zoo.shipped()
    family = [one for one in shipped if one.split("/")[0] == name]
    if family and not exists(at_home(name)):
        for one in family:
            if one.split("/")[1] in asked or not asked:
                yield load_named(one)
    elif "://" in name or exists(at_home(name)) or name in shipped:
        yield load_named(name)
    else:
        kinds = sorted({one.split("/")[0] for one in shipped})
        raise WeightsError(f"no detector at {shown(name)}; {unknown_name('shipped detector', name, kinds + shipped)}")


def named(detector: str | Network) -> NamedDetector:
    """A detector with its name; its class names one that is neither loaded by name nor wrapped.

    Raises WeightsError as `load_named`, and for a detector that bears the name of a shipped one.
    """
    if not isinstance(detector, Network):
        return load_named(detector)
    name = detector.name if isinstance(detector, WrappedModel) else type(detector).__name__
    if name in zoo.shipped():
        raise WeightsError(f"{shown(name)} is the name of a shipped detector; wrap the model with another name")
    return NamedDetector(name, placed(detector), None)


def load_named(name: str) -> NamedDetector:
    """The detector of this name, folder or URL.  Raises WeightsError; also for one whose question nobody wrote down."""
    network, name = load_detector(name), str(name)
    if not network.trained_for:
        raise WeightsError(f"the record of {shown(name)} does not say which manipulation it looks for")
    return NamedDetector(name, placed(network), _false_alarms(name))


def _false_alarms(name: str) -> FalseAlarms | None:
    """What the card says of whole pristine photographs; None where it says nothing."""
    if "://" in name:
        return None
    folder = at_home(name)
    record = weights.read_record(folder if exists(folder) else zoo.folder_of(name))
    card = record.get("measured")
    whole = card.get("whole") if isinstance(card, dict) else None
    if not isinstance(whole, dict):
        return None
    photographs, flagged = whole.get("photographs"), whole.get("pristine_flagged")
    if not isinstance(photographs, int) or not isinstance(flagged, int) or photographs < 1:
        return None
    return FalseAlarms(photographs, flagged)


@dataclass(frozen=True)
class OpenedPhoto:
    """A photograph in memory.  quality: of its own JPEG file; None for another file, or an array."""

    pixels: Pixels
    where: str
    remarks: tuple[str, ...] = ()
    quality: JpegQuality | None = None


def opened(photo: str | Path | Pixels) -> OpenedPhoto:
    """A photograph from a path, or from pixels, uint8 [h, w, 3].  Raises PhotoError or PixelError."""
    if not isinstance(photo, str | Path):
        return OpenedPhoto(check_photo(photo), "array")
    file = photo_at(photo)
    pixels, remarks, quality = file.examine()
    return OpenedPhoto(pixels, file.where, remarks, quality)


def judge(
    photo: OpenedPhoto,
    detectors: Sequence[NamedDetector],
    *,
    stride: int | None = None,
    done: Callable[[], None] = lambda: None,
) -> JudgedPhotograph:
    """Ask every detector about one photograph.

    done: is called after each detector.  Raises PhotoError, PixelError or WeightsError.
    """
    subject = Subject(photo.pixels)
    findings = []
    for one in detectors:
        findings.append(
            question_of(
                subject,
                one.network,
                detector=one.name,
                quality=photo.quality,
                resized=RESIZED in photo.remarks,
                stride=stride,
                false_alarms=one.false_alarms,
            )
        )
        done()
    return JudgedPhotograph(photo.where, tuple(findings), photo.remarks)


def detect(
    photo: str | Path | Pixels,
    *,
    detectors: Sequence[str | Network] = (),
    manipulations: Sequence[str] = (),
    stride: int | None = None,
) -> JudgedPhotograph:
    """What was done to a photograph, as the shipped detectors see it, or those that are given.

    photo: the path of a file, or uint8 [h, w, 3], RGB, as stored.  detectors, manipulations: as `select` has them.
    stride: pixels between two patches; by default 16 for detectors on SPAM features and 64 for others.
    Raises PhotoError, PixelError, WeightsError, NameNotFoundError or StudyError.
    """
    return judge(opened(photo), select(detectors, manipulations), stride=stride)


def as_json(judged: JudgedPhotograph, maps: dict[str, str] | None = None) -> dict[str, Any]:
    """A judged photograph as JSON values; `maps`: paths of the maps that were written, by detector."""
    return {
        "photo": judged.where,
        "findings": [_finding_as_json(finding, (maps or {}).get(finding.detector)) for finding in judged.findings],
        "agreement": judged.agreement(),
        "remarks": list(judged.remarks),
    }


def _finding_as_json(finding: Finding, written: str | None) -> dict[str, Any]:
    alarms = finding.false_alarms
    measured = None
    if alarms is not None:
        low, high = alarms.interval
        measured = {"rate": alarms.rate, "low": low, "high": high, "photographs": alarms.photographs}
    return {
        "manipulation": finding.manipulation,
        "detector": finding.detector,
        "patches": finding.patches,
        "flagged": finding.flagged,
        "threshold": finding.threshold,
        "verdict": finding.verdict,
        "why": finding.why,
        "false_alarms": measured,
        "map": written,
    }


def write_maps(judged: JudgedPhotograph, photo: Pixels, folder: Path) -> dict[str, str]:
    """Write what each detector sees and where, as PNG and as a float array; the PNG's path by detector.

    FOLDER/<detector>.png shows the photograph, grey, under a colour where flagged patches lie; FOLDER/<detector>.npy
    is `Scan.heat_map`, float32 [h, w].  Raises PhotoError if they cannot be written.
    """
    written = {}
    grey = luma_of_photo(photo)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for finding in judged.findings:
            if finding.scan is not None:
                path = folder / f"{finding.detector.strip('/').replace('/', '_').replace(':', '-')}.png"
                Image.fromarray(overlay(grey, finding.scan, finding.threshold)).save(path)
                np.save(path.with_suffix(".npy"), finding.scan.heat_map(finding.threshold))
                written[finding.detector] = str(path)
    except OSError as error:
        raise PhotoError(f"cannot write maps to {folder}: {error.strerror or error}") from error
    return written


def overlay(grey: Pixels, found: Scan, threshold: float) -> Pixels:
    """A grey photograph, uint8 [h, w], under a colour that is the stronger the more patches are flagged: [h, w, 3]."""
    share = np.nan_to_num(found.flag_map(threshold))[..., None] * np.float32(_VEIL)
    colour = np.array(FLAGGED_COLOUR, dtype=np.float32)
    return np.asarray(np.rint(grey[..., None] * (1 - share) + colour * share), dtype=np.uint8)


def judge_all(
    photos: Sequence[Path],
    detectors: Sequence[NamedDetector],
    *,
    stride: int | None = None,
    maps: Path | None = None,
    done: Callable[[], None] = lambda: None,
) -> tuple[list[dict[str, Any]], list[str]]:
    """Several photographs, one after the other, as JSON values; and a line for each that could not be judged.

    maps: a folder for the maps of all photographs, in a folder of each one's name.  Raises PhotoError if not one can be
    judged.
    """
    found, left_out = [], []
    if maps:
        _check_writable(maps)
    for place in photos:
        try:
            photo = opened(place)
            judged = judge(photo, detectors, stride=stride, done=done)
            written = write_maps(judged, photo.pixels, _map_folder(maps, place, photos)) if maps else None
        except CounterforensicsError as error:
            left_out.append(str(error))
        else:
            found.append(as_json(judged, written))
    if not found:
        several = f"none of {len(left_out)} photographs can be judged; the first: " if len(left_out) > 1 else ""
        raise PhotoError(f"{several}{left_out[0]}")
    return found, left_out


def _check_writable(maps: Path) -> None:
    """Raise PhotoError, before anything is judged, if no map can be written to a folder; it is made if need be."""
    try:
        maps.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=maps):
            pass
    except OSError as error:
        raise PhotoError(f"cannot write maps to {maps}: {error.strerror}") from error


def _map_folder(maps: Path, place: Path, photos: Sequence[Path]) -> Path:
    """MAPS/<name>; where two photographs share a name, MAPS/<folder>_<name>."""
    alike = [other for other in photos if other.name == place.name]
    return maps / (place.name if len(alike) == 1 else f"{place.parent.name}_{place.name}")
