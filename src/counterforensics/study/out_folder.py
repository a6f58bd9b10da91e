"""The folder that a study writes into: whose it is, its tables, and paths to all that was trained."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import math
import os
import re
import shutil
from collections.abc import Iterable, Mapping
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import pandas as pd

from counterforensics.errors import StudyError, printable
from counterforensics.files import read_regular, write_whole
from counterforensics.study.plan import Plan
from counterforensics.study.settings import Study
from counterforensics.study.store.folder import Store
from counterforensics.study.yaml_file import MOST_BYTES, MOST_VALUES, parse_yaml

ROWS, TRAININGS, CURVES, LABELS = "rows.csv", "trainings.csv", "curves.csv", "labels.csv"
PHOTOS, DEVICES, TIMES, SETTINGS = "photos.csv", "devices.csv", "times.csv", "study.yaml"
PROVENANCE = "provenance.json"
LONGEST_NAME = 240  # bytes of a folder's name; file systems take 255
# What a spreadsheet takes for a formula at the beginning of a cell.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_WHOLE = frozenset(
    {"seed", "n_pristine", "n_manipulated", "fp", "tp"}
    | {"pairs", "pairs_per_step", "patches", "steps", "best_step", "start_patches", "start_manipulations"}
    | {"validation_patches", "validation_photos", "photos", "step"}
)


def claim(out: Path, study: Study) -> None:
    """Make `out` the folder of this study; a StudyError if it is another's or cannot be written."""
    settings = out / SETTINGS
    try:
        out.mkdir(parents=True, exist_ok=True)
        if settings.exists():
            owner = _owner(settings)
            if owner != study.name:
                raise StudyError(f"{out} belongs to the study {owner!r}, not {study.name!r}; give another with --out")
        elif any(path.name != "store" and not path.name.startswith(".") for path in out.iterdir()):
            raise StudyError(f"{out} holds other files and no study; give an empty or new folder with --out")
        write_whole(settings, study.as_yaml().encode())
    except OSError as error:
        raise StudyError(f"cannot write to {out} ({error.strerror}); give another folder with --out") from error


def _owner(settings: Path) -> str:
    """The name of the study that `study.yaml` holds."""
    refusal = f"{settings} is not a study's; remove it, or give another folder with --out"
    try:
        # Every default is spelled out there, so it may be longer than the file that a study came from.
        found = parse_yaml(read_regular(settings, 10 * MOST_BYTES, StudyError), str(settings), most=10 * MOST_VALUES)
    except StudyError as error:
        raise StudyError(refusal) from error
    name = found.get("name") if isinstance(found, dict) else None
    if not isinstance(name, str):
        raise StudyError(refusal)
    return name


def write_figures(frame: pd.DataFrame, path: Path) -> None:
    """rows.csv and its like: whole numbers as such, all others with six decimals, nothing for a missing figure."""
    lines = (
        [_field(name, value) for name, value in zip(frame.columns, row, strict=True)]
        for row in frame.itertuples(index=False, name=None)
    )
    _write(frame.columns, lines, path)


def write_table(frame: pd.DataFrame, path: Path) -> None:
    """A table whose numbers are written as they are.  Raises StudyError if it cannot be written."""
    _write(frame.columns, ([_cell(value) for value in row] for row in frame.itertuples(index=False)), path)


def write_provenance(provenance: Mapping[str, str], path: Path) -> None:
    """Versions, command and the like as JSON.  Raises StudyError if it cannot be written."""
    _write_content(json.dumps(provenance, indent=1) + "\n", path)


def _write(columns: Iterable[str], lines: Iterable[Iterable[Any]], path: Path) -> None:
    """A header and `lines`, whole or not at all."""
    content = io.StringIO()
    writer = csv.writer(content, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(lines)
    _write_content(content.getvalue(), path)


def _write_content(content: str, path: Path) -> None:
    try:
        write_whole(path, content.encode())
    except OSError as error:
        raise StudyError(f"cannot write {path} ({error.strerror}); finished work is kept") from error


def _cell(value: Any) -> Any:
    """A name as text that no spreadsheet takes for a formula and that UTF-8 can hold; anything else as it is."""
    if not isinstance(value, str):
        return value
    text = printable(value)
    return f"'{text}" if text.startswith(_FORMULA) else text


def _field(name: str, value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, Integral) and name in _WHOLE:
        return str(int(value))  # a large seed keeps every digit
    if not isinstance(value, Real):
        return str(_cell(str(value)))
    number = float(value)
    if math.isnan(number):
        return ""
    return str(int(number)) if name in _WHOLE else f"{number:.6f}"


def folder_name(text: str) -> str:
    """A text form as the name of one folder: without signs that end a path or a setting, and a long one is cut."""
    name = re.sub(r"[^\w.]+", "-", text)
    if len(name.encode()) <= LONGEST_NAME:
        return name
    return f"{name[: LONGEST_NAME // 4]}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def link_trained(plan: Plan, store: Store, out: Path) -> None:
    """Give all that was trained a path that a person can type: detectors/SEED/NAME/MANIPULATION."""
    for training in plan.trainings.values():
        if training.role == "start":
            continue
        link = out / f"{training.kind}s" / str(training.seed) / folder_name(training.part) / training.manipulation
        entry = store.folder(training.key)
        if not entry.exists() or link.resolve() == entry.resolve():
            continue
        try:
            if link.is_dir() and not link.is_symlink():
                shutil.rmtree(link)  # what copying a study made of the link
            link.unlink(missing_ok=True)
            link.parent.mkdir(parents=True, exist_ok=True)
            if store.is_local:
                link.symlink_to(os.path.relpath(entry, link.parent), target_is_directory=True)
            else:
                shutil.copytree(entry, link)
        except OSError as error:
            raise StudyError(f"cannot write {link} ({error.strerror}); finished work is kept") from error
