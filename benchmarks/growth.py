"""How time and memory grow with photographs and with workers: `python -m benchmarks.growth`. Takes ten minutes.

Each run is a process of its own; its memory is that of its largest process. Photographs are made before the
clock starts, so that what is timed is what happens to a user's: looked at, cropped, learned from, attacked, judged.
Growth is measured there and back, as machines are not as fast in one minute as in the next. What one worker in this
process takes beside its tasks and its looks at photographs is the study's own: planning, hashing, store and notes.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

import yaml
from rich.console import Console
from rich.table import Table

from counterforensics.photos.simulated import simulated_photos

DEVICES, PHOTOS = 4, 4  # of each device; times 1, 4 and 16
GROWTH, WORKERS = (1, 4, 16, 4, 1), (1, 2, 4)
SIZE = (512, 384)
DETECTOR = "cozzolino2017:steps=0"  # learns from every patch once, so that all work grows with the photographs
RUN = """
import sys, time
from pathlib import Path
from benchmarks.overhead import timed
from counterforensics.study.settings import load_study
from counterforensics.study.schedulers.memory import peak_memory
from counterforensics.study.store.remote import open_store
from counterforensics.study.run import run_study

study, out, workers, cluster = sys.argv[1:]
with timed() as (ran, looked):
    start = time.perf_counter()
    outcome = run_study(load_study(study), Path(out), workers=int(workers), cluster=cluster or None)
    seconds = time.perf_counter() - start
assert not outcome.failures, outcome.failures
largest = max(note["peak_memory"] for note in open_store(Path(out) / "store").notes())
print(seconds, max(largest, peak_memory()), sum(ran) + sum(looked))
"""


@dataclass(frozen=True)
class Grown:
    """One run."""

    photos: int
    workers: int
    scheduler: str  # "threads" or "processes"
    seconds: float
    memory: int  # bytes
    beside: float | None  # share of the seconds in no task; None where tasks run side by side


def main() -> None:
    """Measure, print, and write the figures where --json says."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.growth", description=__doc__)
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures to FILE")
    arguments = parser.parse_args()
    runs = []
    with tempfile.TemporaryDirectory() as place:
        studies = {times: _study(Path(place) / f"times-{times}", times) for times in set(GROWTH)}
        plans = [(times, 1, "threads") for times in GROWTH]
        plans += [(4, workers, scheduler) for scheduler in ("threads", "processes") for workers in WORKERS]
        for times, workers, scheduler in plans:
            runs.append(_run(studies[times], times, workers, scheduler))
            Console().print(_table(runs))
    if arguments.json is not None:
        arguments.json.write_text(json.dumps([asdict(run) for run in runs], indent=2) + "\n", encoding="utf-8")


def _study(folder: Path, times: int) -> Path:
    """The file of a study of so many times the photographs, which lie beside it."""
    for photo in simulated_photos(devices=DEVICES, photos=PHOTOS * times, width=SIZE[0], height=SIZE[1]):
        (folder / "photographs" / photo.device).mkdir(parents=True, exist_ok=True)
        (folder / "photographs" / photo.device / f"{photo.index:03}.jpg").write_bytes(photo.encoded())
    settings = {
        "name": "growth",
        "photos": {"folders": ["photographs"]},
        "split": {"test": 2},
        "patches": {"per_photo": 24},
        "manipulations": ["median:7"],
        "detectors": ["spam-svm", DETECTOR],
        "attacks": [{"attack": "fgsm", "targets": [DETECTOR]}],
    }
    path = folder / "growth.yaml"
    path.write_text(yaml.safe_dump(settings), encoding="utf-8")
    return path


def _run(study: Path, times: int, workers: int, scheduler: str) -> Grown:
    with tempfile.TemporaryDirectory() as out:
        cluster = "" if scheduler == "threads" else "local"
        command = [sys.executable, "-c", RUN, str(study), f"{out}/run", str(workers), cluster]
        printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    seconds, memory, work = map(float, printed.split()[-3:])
    beside = 1 - work / seconds if scheduler == "threads" and workers == 1 else None
    return Grown(DEVICES * PHOTOS * times, workers, scheduler, seconds, int(memory), beside)


def _table(runs: list[Grown]) -> Table:
    table = Table(title="A study of simulated photographs of 512x384, 24 patches each")
    for heading in ("photographs", "workers", "seconds", "ms a photograph", "memory", "beside tasks"):
        table.add_column(heading, justify="right")
    for run in runs:
        each, memory = 1e3 * run.seconds / run.photos, f"{run.memory / 1e6:.0f} MB"
        beside = "" if run.beside is None else f"{100 * run.beside:.1f} %"
        took = f"{run.seconds:.1f}", f"{each:.0f}"
        table.add_row(str(run.photos), f"{run.workers} {run.scheduler}", *took, memory, beside)
    return table


if __name__ == "__main__":
    main()
