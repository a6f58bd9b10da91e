"""Write the pages of results/ from their templates and the committed CSV files: `python -m tools.results_pages`.

    python -m tools.results_pages                  # write every page
    python -m tools.results_pages --check          # write nothing; exit status 1 if a page differs from its template
    python -m tools.results_pages --figures        # also draw the figures, and rank the entries of the leaderboard
    python -m tools.results_pages --reports DIR    # every table and figure of each study, drawn from its rows

A template is `results/NAME/pages/PAGE.md.jinja`.  Every figure of a page comes from a CSV file.  The finding in README
stands between two comments; its template is `results/finding.md.jinja`.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import pandas as pd

from counterforensics.errors import CounterforensicsError
from counterforensics.laundering import launder
from counterforensics.outcome import TIME_COLUMNS, Outcome
from counterforensics.photos.simulated import DEVICES
from counterforensics.report import write_report
from counterforensics.report.claims import find_claim
from counterforensics.report.figures.style import Picture
from counterforensics.report.figures.uploads import upload_picture
from counterforensics.report.leaderboard import write_leaderboard
from counterforensics.report.tables.costs import attack_costs
from counterforensics.report.tables.model import points
from counterforensics.study.settings import Study, load_study
from tools import results_figures, results_rows
from tools.results_rows import Recorded, Run

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "results"
STUDIES = {
    "cameras": "cameras",
    "restoration": "cameras/restoration",
    "full": "cameras/restoration-full",
    "ablation": "cameras/restoration-ablation",
    "others": "cameras/restoration-all",
    "simulated": "simulated-to-cameras",
    "uploads": "uploads",
}
# The study whose folder holds all that a leaderboard needs.
RANKED, LEADERBOARD = "uploads", "leaderboard"
FINDING = "finding.md.jinja"
README = ROOT / "README.md"
BEGINS, ENDS = ("<!-- The finding: written by tools/results_pages.py. -->\n", "<!-- The end of the finding. -->\n")
# Of results_rows, what templates use.
FILTERS = ("exact", "rough", "decibels", "case", "label", "platform", "listed")
FUNCTIONS = ("exact", "rough", "decibels", "grid", "markdown", "by_judge", "changed", "mean", "lowest_to_highest")


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status: 1 if --check finds a page that differs, 2 if the rows of a run cannot be used."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; name the pages that differ")
    parser.add_argument(
        "--figures", action="store_true", help="draw the figures and rank the entries that the pages show"
    )
    parser.add_argument("--reports", type=Path, metavar="DIR", help="write a report of each study, from its rows")
    given = parser.parse_args(arguments)
    try:
        return write(given)
    except (CounterforensicsError, OSError) as error:
        print(f"results_pages: {error}", file=sys.stderr)
        return 2


def write(given: argparse.Namespace) -> int:
    """Do what is asked; the exit status."""
    pages = {RESULTS / page: text for page, text in rendered().items()}
    pages[README] = with_finding(README.read_text(encoding="utf-8"))
    if given.check:
        stale = [path for path, text in pages.items() if not path.exists() or path.read_text("utf-8") != text]
        print("".join(f"{path.relative_to(ROOT)} differs from its template\n" for path in stale), end="")
        return 1 if stale else 0
    for path, text in pages.items():
        path.write_text(text, encoding="utf-8")
        print(path.relative_to(ROOT))
    if given.figures:
        for path, picture in pictures(runs()):
            path.write_bytes(picture.png)
            print(path.relative_to(ROOT))
        write_leaderboard([RESULTS / RANKED], RESULTS / RANKED / LEADERBOARD)
        print((RESULTS / RANKED / LEADERBOARD).relative_to(ROOT))
    if given.reports:
        for name, run in runs().items():
            print(write_report(outcome(run), given.reports / name))
    return 0


def templates(results: Path = RESULTS) -> list[Path]:
    """Every template of a page."""
    return sorted(results.glob("*/pages/*.md.jinja"))


def runs(results: Path = RESULTS) -> dict[str, Run]:
    """Every run whose rows the templates read, by the name that they use."""
    three = Run(results / STUDIES["simulated"], "three-devices.csv")
    return {**{name: Run(results / folder) for name, folder in STUDIES.items()}, "three_devices": three}


def rendered(results: Path = RESULTS) -> dict[str, str]:
    """Every page by its path below the folder `results`.

    Raises StudyError for rows of several seeds, and jinja2.UndefinedError where a template asks for rows that are gone.
    """
    environment = environment_of(results)
    texts = {
        path: environment.get_template(path.relative_to(results).as_posix()).render() for path in templates(results)
    }
    return {page_of(path.relative_to(results)): text for path, text in texts.items()}


def with_finding(readme: str, results: Path = RESULTS) -> str:
    """README.md with the finding as its template gives it."""
    before, rest = readme.split(BEGINS)
    _, after = rest.split(ENDS)
    return before + BEGINS + environment_of(results).get_template(FINDING).render() + ENDS + after


def environment_of(results: Path) -> jinja2.Environment:
    """What templates may use: the runs, and functions for their figures."""
    found = runs(results)
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(results),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    for name in FILTERS:
        environment.filters[name] = vars(results_rows)[name]
    for name in FUNCTIONS:
        environment.globals[name] = vars(results_rows)[name]
    environment.globals |= {
        **found,
        "all_runs": found,
        "recorded": Recorded(results / "cameras" / "recorded.csv", found),
        "localisation": pd.read_csv(results / "localisation" / "rows.csv").to_dict("records"),
        "causes": pd.read_csv(results / "transfer" / "causes.csv", keep_default_na=False).to_dict("records"),
        "paper": paper_of_xception,
        "costs": {name: costs(run) for name, run in found.items()},
        "on_gpu": last_points(pd.read_csv(results / "cameras" / "gpu-curves.csv")),
        "table_of": lambda name: results_rows.read_table(results / name),
        "points": points,
        "changed_detectors": changed_detectors,
        "adds_simulated": adds_simulated,
        "attacked_photos": lambda run: study_of(run).patches.attacked_photos,
        "scaled_by": scaled_by,
    }
    return environment


def page_of(template: Path) -> str:
    """The path of the page below results/, from the path of its template there.

    >>> page_of(Path("cameras/pages/noise.md.jinja"))
    'cameras/noise.md'
    """
    return (template.parents[1] / template.name.removesuffix(".jinja")).as_posix()


def costs(run: Run) -> list[dict[str, Any]]:
    """What each attack of a run achieves on each target: the figures of `AttackCost`, and the plain target."""
    if "target" not in run.times:
        return []
    found = attack_costs(run.results, run.times)
    return [{**dataclasses.asdict(cost), "target": run.plain_target(cost.target)} for cost in found]


def paper_of_xception(manipulation: str, judge: str) -> str:
    """The paper's TPR under FGSM noise for Xception (Table IV), in brackets.

    >>> paper_of_xception("median:7", "spam-svm")
    ' [99.3]'
    """
    claim = find_claim(manipulation, judge, "xception", "fgsm")
    return f" [{results_rows.rough(claim.tpr)}]" if claim else ""


def last_points(curves: pd.DataFrame) -> dict[tuple[str, str], dict[Any, Any]]:
    """The last line of each learning curve, by the network and the manipulation."""
    return {(line["network"], line["manipulation"]): line for line in curves.to_dict("records")}


def changed_detectors(run: Run) -> list[str]:
    """The detectors that the file of the study now has with other settings than the rows, as text forms."""
    now = {judge.text for judge in study_of(run).judges}
    return [f"`{text}`" for text in sorted(now - set(run.results.detectors))]


def adds_simulated(run: Run) -> bool:
    """Whether the file of the study now has photographs of simulated cameras, which the rows have not."""
    simulated = run.photos["device"].isin(DEVICES).any()
    return study_of(run).photos.simulated is not None and not simulated


def scaled_by(run: Run) -> list[str]:
    """The platforms of a run that scale the largest of its photographs down, whatever a manipulation made of it."""
    sizes = zip(run.photos["width"], run.photos["height"], strict=True)
    width, height = max(sizes, key=lambda size: int(size[0] * size[1]))
    black = np.zeros((height, width, 3), dtype=np.uint8)
    resized = [one(black) for one in study_of(run).manipulations if one.moves_pixels]
    largest = max([black, *resized], key=lambda photo: photo.size)
    return [text for text in run.results.launderings if launder(largest, text).pixels.shape != largest.shape]


def study_of(run: Run) -> Study:
    """The study of a run, as its file is now."""
    return load_study(str(ROOT / "studies" / f"{run.study}.yaml"))


def outcome(run: Run) -> Outcome:
    """A run as a report needs it, as far as its CSV files tell."""
    return Outcome(
        study=run.folder.name,
        settings="",
        simulated=(),
        rows=run.rows,
        scores=(),
        patches=(),
        curves=(),
        photos=run.photos,
        provenance={"SHA-256 of the rows begins with": run.digest},
        times=run.times if len(run.times) else pd.DataFrame(columns=list(TIME_COLUMNS)),
        trainings=run.trainings,
        devices=run.devices,
    )


def pictures(found: dict[str, Run]) -> Iterator[tuple[Path, Picture]]:
    """The figures of the pages that are drawn from rows, each with the path of its file."""
    drawn = {
        "cameras": [
            results_figures.detection(found["cameras"]),
            *results_figures.noise(found["cameras"]),
            results_figures.attacks_on_spam(found["cameras"]),
            results_figures.restoration(found["restoration"]),
            results_figures.ablation(found["ablation"]),
        ],
        "uploads": upload_picture(found["uploads"].results),
    }
    for name, some in drawn.items():
        for picture in some:
            yield RESULTS / name / "figures" / f"{picture.key}.png", picture


if __name__ == "__main__":
    sys.exit(main())
