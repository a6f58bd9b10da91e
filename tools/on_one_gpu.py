"""Run a study on one machine whose workers share its GPU, within a time.

    python tools/on_one_gpu.py studies/cameras.yaml --out runs/cameras --workers 16 --minutes 9

A small network leaves most of a GPU idle between its steps, and `--cluster local` gives a GPU one training at a time.
Here every worker offers the GPU, so as many trainings share it as there are workers. When the time is over, the workers
end, and the rows, tables, curves and times of all that is done are written. Run the same command again to go on.
Without a GPU the workers use the processor.
"""

from __future__ import annotations

import argparse
import os
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

RUN = [sys.executable, "-m", "counterforensics", "run"]
SECONDS_TO_END = 10.0


def main() -> None:
    """Run a study, or as much of it as the time allows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--photos", action="append", default=[], metavar="DIR")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--minutes", type=float, required=True, help="until the workers end; writing takes more")
    arguments = parser.parse_args()
    wanted = [arguments.study, "--out", str(arguments.out)]
    wanted += [word for folder in arguments.photos for word in ("--photos", folder)]
    if not finished(wanted, arguments.workers, 60 * arguments.minutes):
        print("The time is over; what is done is written now. Run the same command again to go on.", flush=True)
        subprocess.run([*RUN, *wanted, "--so-far"], check=True)


def finished(wanted: Sequence[str], workers: int, seconds: float) -> bool:
    """Run the study of these arguments on workers of its own; whether it ended in that time."""
    ends = time.monotonic() + seconds
    address = f"tcp://127.0.0.1:{_free_port()}"
    started = [_dask("scheduler", "--host", "127.0.0.1", "--port", address.rpartition(":")[2], "--no-dashboard")]
    try:
        offer = ("--nthreads", "1", "--no-nanny", "--no-dashboard", "--memory-limit", "0", "--resources", "GPU=1")
        started += [_dask("worker", address, *offer) for _ in range(workers)]
        study = subprocess.Popen([*RUN, *wanted, "--cluster", address])
        started.append(study)
        try:
            study.wait(max(0.0, ends - time.monotonic()))
        except subprocess.TimeoutExpired:
            return False
        if study.returncode:
            sys.exit(study.returncode)
        return True
    finally:
        _end(started)


def _dask(role: str, *words: str) -> subprocess.Popen[bytes]:
    """A scheduler or a worker, one processor thread each; what it says is dropped."""
    alone = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", f"distributed.cli.dask_{role}", *words]
    return subprocess.Popen(command, env=alone, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _end(started: Sequence[subprocess.Popen[bytes]]) -> None:
    """End all of them, the last first."""
    for process in reversed(started):
        process.terminate()
    for process in started:
        try:
            process.wait(SECONDS_TO_END)
        except subprocess.TimeoutExpired:
            process.kill()


def _free_port() -> int:
    with socket.socket() as asked:
        asked.bind(("127.0.0.1", 0))
        return int(asked.getsockname()[1])


if __name__ == "__main__":
    main()
