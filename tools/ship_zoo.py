"""Make the shipped detectors from a finished study: `python tools/ship_zoo.py RUN --photos DIR [--into ZOO]`.

RUN is what `counterforensics run studies/zoo.yaml --out RUN` wrote; DIR holds photographs in DIR/<device>/<photo>,
those of the study's test devices among them. Every detector is stored as it is shipped, read back, and measured
with `counterforensics evaluate` on the test devices; what was found is its card, and a line of the table in
docs/zoo.md, which is printed.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from counterforensics import detectors, manipulations
from counterforensics.detectors import zoo
from counterforensics.detectors.trained import recipe_of
from counterforensics.learning import weights
from counterforensics.outcome import LEARNED_AUC, OPERATING_COLUMNS
from counterforensics.photos.patches import SIZE
from counterforensics.sliding.detecting import judge, opened, select
from counterforensics.sliding.findings import MANIPULATED, NO_ANSWER
from counterforensics.sliding.scan import default_stride
from counterforensics.study.evaluate import evaluate_detector
from counterforensics.study.progress import Progress

PER_PHOTO = 48
FIGURES = (
    "fpr",
    "tpr",
    "acc",
    "auc",
    "tpr_low",
    "tpr_high",
    *OPERATING_COLUMNS,
    "n_pristine",
    "n_manipulated",
    "fp",
    "tp",
    "photos",
    "devices",
    "by_quality",
)


def main() -> None:
    """Ship every detector of a study, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--photos", type=Path, required=True, metavar="DIR")
    parser.add_argument("--into", type=Path, default=zoo.ROOT, metavar="ZOO")
    arguments = parser.parse_args()
    table = pd.read_csv(arguments.run / "photos.csv")
    settings = yaml.safe_load((arguments.run / "study.yaml").read_text(encoding="utf-8"))
    for source in sorted((arguments.run / "detectors" / str(settings["seeds"][0])).glob("*/*")):
        ship(source, table, arguments.photos, arguments.into)
        record = weights.read_record(target_of(source, arguments.into))
        print(line_of_page(f"{record['detector']}/{record['manipulation']}", record))


def ship(source: Path, photos: pd.DataFrame, folder: Path, into: Path) -> dict[str, Any]:
    """Store the detector in `source` under `into`, with its card; the measured figures."""
    record = weights.read_record(source)
    recipe = recipe_of(source)
    target = target_of(source, into)
    target.mkdir(parents=True, exist_ok=True)
    kept = {name: record[name] for name in ("manipulation", "seed", "pairs", "trained_on")}
    network = detectors.load_detector(source)
    weights.save(network, target, name=record["detector"], settings=recipe, record=kept, half=True)
    test = photos[photos["role"] == "test"]
    card = measured(target, record["manipulation"], folder, sorted(test["device"].unique()))
    card["whole"] = whole_photographs(target, record["manipulation"], folder, sorted(test["device"].unique()))
    learned = photos[photos["digest"].isin(record["photos"])]
    devices = {device: int(count) for device, count in learned.groupby("device").size().items()}
    described = {"measured": card, "devices": devices, "photos": sorted(learned["digest"])}
    weights.write_record(target, {**weights.read_record(target), **described})
    return card


def target_of(source: Path, into: Path) -> Path:
    """Where the detector in `source` is shipped to."""
    return into / str(weights.read_record(source)["detector"]) / source.name.replace(":", "-")


def line_of_page(name: str, record: Mapping[str, Any]) -> str:
    """The line of docs/zoo.md on the detector `name`, from its record with the card in it; rates in percent."""
    found = record["measured"]

    def rate(column: str) -> str:
        return "—" if found.get(column) is None else f"{100 * found[column]:.2f}"

    def with_interval(column: str) -> str:
        interval = f" ({rate(f'{column}_low')} to {rate(f'{column}_high')})"
        return rate(column) + (interval if found.get(column) is not None else "")

    area = record["training"].get("validation_auc")
    verdict = " has not learned" if area is not None and area < LEARNED_AUC else ""
    # Cards of earlier versions hold no figures of whole photographs.
    whole = found.get("whole")
    photographs = (
        []
        if whole is None
        else [
            f"{whole['pristine_flagged']} of {whole['photographs']}",
            f"{whole['manipulated_flagged']} of {whole['manipulated']}",
        ]
    )
    cells = [f"`{name}`{verdict}", rate("fpr"), with_interval("tpr"), rate("acc"), f"{found['auc']:.4f}"]
    at_threshold = [with_interval("tpr_at_fpr_01"), rate("fpr_at_fpr_01")]
    return f"| {' | '.join([*cells, *at_threshold, *photographs])} |"


def measured(detector: Path, manipulation: str, folder: Path, devices: list[str]) -> dict[str, Any]:
    """What `counterforensics evaluate` finds on the photographs of `devices` alone."""
    with tempfile.TemporaryDirectory() as place:
        for device in devices:
            (Path(place) / device).symlink_to((folder / device).resolve(), target_is_directory=True)
        quiet = Progress(quiet=True)
        found = evaluate_detector(str(detector), [Path(place)], manipulation, per_photo=PER_PHOTO, progress=quiet)
    return {"per_photo": PER_PHOTO, **{name: found[name] for name in FIGURES}}


def whole_photographs(detector: Path, manipulation: str, folder: Path, devices: list[str]) -> dict[str, int]:
    """How many whole photographs of `devices` the detector calls manipulated, pristine and manipulated ones.

    A photograph counts in a state if the detector has an answer for it.
    """
    (one,) = select([str(detector)])
    manipulate = manipulations.parse(manipulation)
    stride = default_stride(one.network) if one.network.shares_overlap else SIZE
    found = {"photographs": 0, "pristine_flagged": 0, "manipulated": 0, "manipulated_flagged": 0, "stride": stride}
    for device in devices:
        for path in sorted((folder / device).iterdir()):
            photo = opened(path)
            states = {"photographs": photo, "manipulated": replace(photo, pixels=manipulate(photo.pixels))}
            for count, state in states.items():
                (finding,) = judge(state, [one], stride=stride).findings
                found[count] += finding.verdict != NO_ANSWER
                flagged = "pristine_flagged" if count == "photographs" else "manipulated_flagged"
                found[flagged] += finding.verdict == MANIPULATED
    return found


if __name__ == "__main__":
    main()
