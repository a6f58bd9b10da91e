"""How well detectors find the manipulated region of a photograph: `python tools/localise.py --simulated 9 --out DIR`.

Each photograph becomes a splice per manipulation: the manipulation changes one region, drawn by seed, and nothing else.
All detectors of that manipulation map the splice, and each map is compared with the region, pixel by pixel. OUT gets

- splices.csv: a row for each photograph and detector, added when the photograph is done. The same command goes on where
  it was stopped. Rows of a detector that has other weights by now are measured again.
- rows.csv: the means over photographs, by source, detector and manipulation, with 95 % intervals.
- table.md: the same for a reader.

The photographs: --photos DIR with DIR/<device>/<photo>, --simulated N, or both. Photographs of a device that one of the
detectors learned from are left out.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import io
import math
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from counterforensics import manipulations
from counterforensics.detectors import Network
from counterforensics.errors import CounterforensicsError, PhotoError, StudyError, shown, unknown_name
from counterforensics.evaluation.rates import mean_interval
from counterforensics.files import write_whole
from counterforensics.photos.folder import FolderPhoto, find_photos
from counterforensics.photos.simulated import DEVICES, SimulatedPhoto, simulated_photos
from counterforensics.seeds import seed_for
from counterforensics.sliding.detecting import NamedDetector, select
from counterforensics.sliding.findings import threshold_of, why_no_answer
from counterforensics.sliding.localisation import localise, splice
from counterforensics.sliding.scan import Subject, default_stride

Row = dict[str, Any]
SIMULATED, PHOTOGRAPHS = "simulated cameras", "photographs"
FIGURES = ("auc", "f1", "f1_best", "iou")
# What a measurement depends on: a row with the same values is not measured again.
SETTINGS = ("smallest", "largest", "stride", "seed")
KEY = ("digest", "detector", "weights", *SETTINGS)
COLUMNS = ("source", "device", "photo", "manipulation", *KEY, "x", "y", "width", "height", *FIGURES, "no_answer")
GROUP = ("source", "detector", "manipulation", *SETTINGS)


@dataclass(frozen=True)
class Question:
    """What is asked of every photograph.  smallest, largest: sides of the region.  stride: None for the detector's."""

    detectors: tuple[NamedDetector, ...]
    smallest: int
    largest: int
    stride: int | None
    seed: int

    def key(self, photo: FolderPhoto | SimulatedPhoto, one: NamedDetector) -> Row:
        """The values of `KEY`."""
        stride = self.stride or default_stride(one.network)
        values = (photo.digest[:12], one.name, fingerprint(one.network), self.smallest, self.largest, stride, self.seed)
        return dict(zip(KEY, values, strict=True))


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status: 2 if something given cannot be."""
    given = parser().parse_args(arguments)
    try:
        for name, number in (("--per-device", given.per_device), ("--stride", given.stride)):
            check_positive(name, number)
        photos: list[FolderPhoto | SimulatedPhoto] = [*simulated(given.simulated, given.seed), *from_folder(given)]
        if not photos:
            raise PhotoError("no photographs; give --photos DIR, --simulated N with N from 1 on, or both")
        detectors = tuple(select(given.detectors, given.manipulations))
        question = Question(detectors, given.smallest, given.largest, given.stride, given.seed)
        unseen, left_out = of_unseen_devices(photos, detectors)
        left_out += measure_all(unseen, question, given.out)
    except (CounterforensicsError, OSError) as error:
        print(f"localise: {error}", file=sys.stderr)
        return 2
    print("".join(f"left out: {line}\n" for line in left_out), end="", file=sys.stderr)
    return 0


def check_positive(name: str, number: int | None) -> None:
    """Raise StudyError unless a number that is given is at least 1."""
    if number is not None and number < 1:
        raise StudyError(f"{name} must be at least 1, got {shown(number)}")


def parser() -> argparse.ArgumentParser:
    """The options."""
    found = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    found.add_argument("--photos", type=Path, metavar="DIR")
    found.add_argument("--devices", nargs="+", default=[], metavar="DEVICE", help="of DIR; all without it")
    found.add_argument("--per-device", type=int, metavar="N", help="photographs of each device, drawn by seed")
    found.add_argument(
        "--simulated", type=int, default=0, metavar="N", help="photographs of simulated cameras, 1024x768"
    )
    found.add_argument("--detectors", nargs="+", default=["spam-svm", "cozzolino2017"], metavar="NAME")
    found.add_argument("--manipulations", nargs="+", default=list(manipulations.PAPER), metavar="NAME")
    found.add_argument("--smallest", type=int, default=256, metavar="PIXELS", help="side of a region, at least")
    found.add_argument("--largest", type=int, default=256, metavar="PIXELS", help="side of a region, at most")
    found.add_argument("--stride", type=int, metavar="PIXELS", help="by default that of the detector, 16 or 64")
    found.add_argument("--seed", type=int, default=0)
    found.add_argument("--out", type=Path, required=True, metavar="DIR")
    return found


def simulated(count: int, seed: int) -> list[SimulatedPhoto]:
    """The first `count` photographs of simulated cameras, a camera after the other."""
    if count < 1:
        return []
    devices = min(count, len(DEVICES))
    photos = simulated_photos(devices=devices, photos=math.ceil(count / devices), seed=seed_for(seed, "localise"))
    return sorted(photos, key=lambda photo: (photo.index, photo.device))[:count]


def from_folder(given: argparse.Namespace) -> list[FolderPhoto]:
    """The photographs of the devices asked for, at most `per_device` of each."""
    if given.photos is None:
        return []
    found = find_photos([given.photos])
    print("".join(f"left out: {line}\n" for line in found.left_out), end="", file=sys.stderr)
    by_device = {device: list(photos) for device, photos in groupby(found.photos, key=lambda photo: photo.device)}
    chosen = []
    for device in given.devices or by_device:
        if device not in by_device:
            raise unknown_name("device", device, by_device)
        photos = by_device[device]
        order = np.random.default_rng(seed_for(given.seed, "localise", device)).permutation(len(photos))
        chosen += [photos[place] for place in sorted(order[: given.per_device])]
    return chosen


def of_unseen_devices(
    photos: Sequence[FolderPhoto | SimulatedPhoto], detectors: Sequence[NamedDetector]
) -> tuple[list[FolderPhoto | SimulatedPhoto], list[str]]:
    """The photographs of devices that no detector learned from, and a line for each other one.

    Raises PhotoError if none is left.
    """
    learned = {device: one.name for one in detectors for device in sorted(one.network.learned_devices)}
    unseen = [photo for photo in photos if photo.device not in learned]
    seen = [photo for photo in photos if photo.device in learned]
    left_out = [f"{photo.where}: {learned[photo.device]} learned from {photo.device}" for photo in seen]
    if not unseen:
        raise PhotoError(f"the detectors learned from every device given (first: {left_out[0]}); give others")
    return unseen, left_out


def measure_all(photos: Sequence[FolderPhoto | SimulatedPhoto], question: Question, out: Path) -> list[str]:
    """Measure what is not measured yet, write all files; a line for each photograph that cannot be used."""
    out.mkdir(parents=True, exist_ok=True)
    path = out / "splices.csv"
    rows = up_to_date(read(path), question.detectors)
    write(path, COLUMNS, rows)
    known = {key_of(row) for row in rows}
    left_out = []
    for number, photo in enumerate(photos, 1):
        begun = time.perf_counter()
        missing = [one for one in question.detectors if key_of(question.key(photo, one)) not in known]
        try:
            found = list(measure(photo, missing, question)) if missing else []
        except CounterforensicsError as error:
            left_out.append(str(error) if photo.where in str(error) else f"{photo.where}: {error}")
            continue
        with path.open("a", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
            writer.writerows({name: cell(value) for name, value in row.items()} for row in found)
        print(
            f"{number}/{len(photos)} {photo.name}: {len(found)} maps, {time.perf_counter() - begun:.0f} s", flush=True
        )
    summary = summarised(read(path))
    write(out / "rows.csv", list(summary[0]) if summary else GROUP, summary)
    put(out / "table.md", table(summary))
    return left_out


def measure(
    photo: FolderPhoto | SimulatedPhoto, detectors: Sequence[NamedDetector], question: Question
) -> Iterator[Row]:
    """The rows of one photograph.  All its splices have the same region."""
    pixels, seed = photo.read(), seed_for(question.seed, "splice", photo.digest)
    own = photo.jpeg_quality()
    for asked, several in groupby(detectors, key=lambda one: one.network.trained_for):
        manipulation = manipulations.parse(asked)
        made = splice(pixels, manipulation, smallest=question.smallest, largest=question.largest, seed=seed)
        subject, mask = Subject(made.photo), made.mask
        for one in several:
            why = why_no_answer(subject, one.network, own)
            figures = None if why else localise(subject, one.network, mask, stride=question.stride)
            yield {
                **{"source": PHOTOGRAPHS if isinstance(photo, FolderPhoto) else SIMULATED, "device": photo.device},
                **{"photo": photo.name, "manipulation": asked, **question.key(photo, one), **made.region._asdict()},
                **{"no_answer": why, **(asdict(figures) if figures else {})},
            }


def fingerprint(network: Network) -> str:
    """What tells a detector from another of the same name: of its weights and its threshold, 12 letters."""
    digest = hashlib.sha256(repr(threshold_of(network)).encode())
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(name.encode() + tensor.cpu().numpy().tobytes())
    return digest.hexdigest()[:12]


def key_of(row: Row) -> tuple[str, ...]:
    """What a row was measured with."""
    return tuple(str(row[name]) for name in KEY)


def up_to_date(rows: Iterable[Row], detectors: Sequence[NamedDetector]) -> list[Row]:
    """The rows of detectors that have the same weights as then, and did not learn from the device of the row."""
    weights = {one.name: fingerprint(one.network) for one in detectors}
    learned = {one.name: one.network.learned_devices for one in detectors}
    same = [row for row in rows if weights.get(row["detector"], row["weights"]) == row["weights"]]
    return [row for row in same if row["device"] not in learned.get(row["detector"], ())]


def read(path: Path) -> list[Row]:
    """The rows of splices.csv, none without the file.  A last row that was cut off is left out."""
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return [row for row in csv.DictReader(file) if None not in row and None not in row.values()]


def write(path: Path, columns: Sequence[str], rows: Sequence[Row]) -> None:
    """Write a CSV file, whole or not at all; numbers with six digits, NaN as an empty cell."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: cell(value) for name, value in row.items()} for row in rows)
    put(path, text.getvalue())


def put(path: Path, text: str) -> None:
    """Write a text file as a whole.  Raises PhotoError if it cannot be written."""
    try:
        write_whole(path, text.encode())
    except OSError as error:
        raise PhotoError(f"cannot write {path}: {error.strerror}") from error


def cell(value: object) -> object:
    """A value as it stands in a CSV file."""
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.6f}"
    return value


def summarised(rows: Sequence[Row]) -> list[Row]:
    """The means over photographs with their intervals, a row for each value of `GROUP`."""
    ordered = sorted(rows, key=lambda row: [str(row[name]) for name in GROUP])
    found = []
    for group, several in groupby(ordered, key=lambda row: tuple(row[name] for name in GROUP)):
        alike = list(several)
        judged = [row for row in alike if not row["no_answer"]]
        devices = len({row["device"] for row in judged})
        line = {**dict(zip(GROUP, group, strict=True)), "photographs": len(judged), "devices": devices}
        for name in FIGURES:
            values = np.array([float(row[name]) for row in judged])
            low, high = mean_interval(values, seed=seed_for(0, "localise", "interval"))
            line |= {name: values.mean() if len(values) else math.nan, f"{name}_low": low, f"{name}_high": high}
        found.append({**line, "no_answer": len(alike) - len(judged)})
    return sorted(found, key=place_of)


def place_of(row: Row) -> tuple[str, str, int, str]:
    """By source and kind of detector; the paper's manipulations in its order, then others."""
    known, asked = manipulations.PAPER, str(row["manipulation"])
    return row["source"], row["detector"].split("/")[0], known.index(asked) if asked in known else len(known), asked


def table(rows: Sequence[Row]) -> str:
    """The summary as Markdown, a part for each source."""
    parts = ["# How well heat maps find a manipulated region\n"]
    heading = (
        "detector",
        "photographs",
        "pixel AUC",
        "F1, own threshold",
        "F1, best threshold",
        "IoU",
        "side",
        "stride",
    )
    for source, several in groupby(rows, key=lambda row: row["source"]):
        lines = [f"\n## {source[0].upper()}{source[1:]}\n", f"| {' | '.join(heading)} |", "|---" * len(heading) + "|"]
        for row in several:
            sides = row["smallest"] if row["smallest"] == row["largest"] else f"{row['smallest']} to {row['largest']}"
            figures = [with_interval(row, name) for name in FIGURES]
            cells = [f"`{row['detector']}`", row["photographs"], *figures, sides, row["stride"]]
            lines.append(f"| {' | '.join(map(str, cells))} |")
        parts.append("\n".join(lines) + "\n")
    parts.append(
        "\nMeans over photographs; in brackets the 95 % interval, photographs resampled. "
        "— where there is nothing to say: all photographs agree, or none has an answer.\n"
    )
    return "".join(parts)


def with_interval(row: Row, name: str) -> str:
    """`0.981 (0.970 to 0.990)`."""
    value, low, high = (float(row[column]) for column in (name, f"{name}_low", f"{name}_high"))
    if math.isnan(value):
        return "—"
    return f"{value:.3f} " + ("(—)" if math.isnan(low) else f"({low:.3f} to {high:.3f})")


if __name__ == "__main__":
    sys.exit(main())
