"""Run a small study from Python, and read its rows with pandas.

    python examples/small_study.py [OUT]

The study trains two detectors on simulated cameras, attacks the first, and lets both judge. It writes OUT/rows.csv.
The same command resumes a run that was stopped.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import pandas as pd

from counterforensics.study.run import run_study
from counterforensics.study.settings import Study

SETTINGS = {
    "name": "small",
    "photos": {"simulated": {"devices": 4, "photos": 3, "width": 512, "height": 384}},
    "split": {"test": 2},
    "patches": {"per_photo": 12},
    "manipulations": ["median:7"],
    "detectors": ["spam-svm", "cozzolino2017:steps=0"],
    "attacks": [{"attack": "spam-descent", "targets": ["spam-svm"]}],
}


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(sys.argv[1] if len(sys.argv) > 1 else folder)
        outcome = run_study(Study.model_validate(SETTINGS), out)
        for failure in outcome.failures:
            print(f"Failed: {failure}")

        rows = pd.read_csv(out / "rows.csv")  # one line a measurement; rates are 0..1
        rows["attack"] = rows["attack"].fillna("no attack")
        print(rows.pivot_table(index="label", columns="attack", values="tpr").round(3))


if __name__ == "__main__":
    main()
