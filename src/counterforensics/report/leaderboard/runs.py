"""Finished runs as a leaderboard needs them: read from their folders, and checked to be comparable."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from counterforensics.errors import StudyError, shown
from counterforensics.files import read_regular
from counterforensics.outcome import NOT_LAUNDERED
from counterforensics.report.labels import distinct

FIGURE = "tpr_at_fpr_01"
LAUNDERING = "laundering"  # a column that rows of older versions lack
TEXTS = ("study", "manipulation", "detector", "target", "attack", "label", "target_label", "attack_label", LAUNDERING)
NUMBERS = ("seed", FIGURE, f"{FIGURE}_low", f"{FIGURE}_high", "fpr_at_fpr_01", "psnr")
_FILES = ("rows.csv", "study.yaml", "photos.csv")
_MOST_BYTES = 2**29  # of rows.csv; a million rows have 300 MB
_MAKE = "`counterforensics run STUDY --out DIR` makes one"


@dataclass(frozen=True)
class FinishedRun:
    """The folder of a finished study.

    rows: `TEXTS` as str, "" where empty, and `NUMBERS` as float64, rates 0..1.  columns: all that rows.csv has.
    trainings, labels: empty where the folder has none.  photos: device, photo, role and digest of each photograph.
    provenance: versions, command and the like by name; empty in runs of older versions.
    """

    folder: Path
    study: str
    rows: pd.DataFrame
    columns: tuple[str, ...]
    trainings: pd.DataFrame
    labels: pd.DataFrame
    photos: pd.DataFrame
    provenance: dict[str, str]
    settings: str
    digest: str  # SHA-256 of rows.csv

    @property
    def seeds(self) -> list[int]:
        """The seeds of its rows."""
        return sorted({int(seed) for seed in self.rows["seed"].dropna()})

    @property
    def tested(self) -> pd.DataFrame:
        """The test photographs."""
        return self.photos[self.photos["role"] == "test"]

    @property
    def tested_digest(self) -> str:
        """One SHA-256 of the digests of all test photographs, whatever their order."""
        return hashlib.sha256("\n".join(sorted(map(str, self.tested["digest"]))).encode()).hexdigest()


def read_runs(folders: Sequence[Path]) -> list[FinishedRun]:
    """The runs in the folders, each study with a name of its own.

    Raises StudyError if a folder is no finished run, if its rows lack a column, or if the runs cannot be compared:
    other columns, seeds or test photographs, or one label for different settings.
    """
    if not folders:
        raise StudyError(f"a leaderboard needs the folder of at least one finished run; {_MAKE}")
    runs = [_read(folder) for folder in folders]
    for other in runs[1:]:
        _check_comparable(runs[0], other)
    _check_labels(runs)
    names = distinct(run.study for run in runs)
    return [FinishedRun(**{**vars(run), "study": name}) for run, name in zip(runs, names, strict=True)]


def _read(folder: Path) -> FinishedRun:
    for name in _FILES:
        if not (folder / name).is_file():
            raise StudyError(f"{shown(str(folder))} is no finished run: it has no {name}; {_MAKE}")
    content = read_regular(folder / "rows.csv", _MOST_BYTES, StudyError)
    rows = _table(content, folder / "rows.csv", (*TEXTS[:-1], *NUMBERS))
    photos = _csv(folder / "photos.csv", ("device", "photo", "role", "digest"))
    trainings, labels = (
        _csv(folder / name, needed) if (folder / name).is_file() else pd.DataFrame(columns=list(needed))
        for name, needed in (
            ("trainings.csv", ("role", "manipulation", "part", "validation_auc")),
            ("labels.csv", ("role", "part", "plug_in")),
        )
    )
    return FinishedRun(
        folder=folder,
        study=str(rows["study"].iloc[0]),
        rows=_typed(rows, folder / "rows.csv"),
        columns=tuple(rows.columns),
        trainings=trainings,
        labels=labels,
        photos=photos,
        provenance=_provenance(folder / "provenance.json"),
        settings=read_regular(folder / "study.yaml", _MOST_BYTES, StudyError).decode("utf-8", "replace"),
        digest=hashlib.sha256(content).hexdigest(),
    )


def _csv(path: Path, needed: Sequence[str]) -> pd.DataFrame:
    return _table(read_regular(path, _MOST_BYTES, StudyError), path, needed)


def _table(content: bytes, path: Path, needed: Sequence[str]) -> pd.DataFrame:
    """The lines of a CSV file, every field a text.  Raises StudyError without lines or without a needed column."""
    try:
        found = pd.read_csv(io.BytesIO(content), dtype=str, keep_default_na=False)
    except ValueError as error:  # not UTF-8, no table, or nothing at all
        raise StudyError(f"{shown(str(path))} cannot be read as a table ({' '.join(str(error).split())})") from error
    missing = [name for name in needed if name not in found.columns]
    if missing:
        raise StudyError(
            f"{shown(str(path))} lacks the column(s) {', '.join(missing)}; run the study again with this version"
        )
    if not len(found) and path.name == "rows.csv":
        raise StudyError(f"{shown(str(path))} has no line: the run has not ended; run the same command again")
    return found


def _typed(rows: pd.DataFrame, path: Path) -> pd.DataFrame:
    """`TEXTS` and `NUMBERS` of the rows."""
    found = rows.reindex(columns=[*TEXTS, *NUMBERS]).copy()
    found[LAUNDERING] = found[LAUNDERING].astype(object).fillna("").replace("", NOT_LAUNDERED)
    for name in NUMBERS:
        try:
            found[name] = pd.to_numeric(found[name])
        except ValueError as error:
            raise StudyError(f"{shown(str(path))}: {name} must hold numbers ({error})") from error
        if name != "psnr" and not found[name].dropna().between(0, 1 if name != "seed" else float("inf")).all():
            raise StudyError(f"{shown(str(path))}: {name} must lie in 0..1" if name != "seed" else f"{path}: bad seed")
    return found


def _provenance(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    try:
        found = json.loads(read_regular(path, 2**20, StudyError))
    except ValueError as error:
        raise StudyError(f"{shown(str(path))} is no JSON ({error}); run the study again") from error
    return {str(name): str(text) for name, text in found.items()} if isinstance(found, dict) else {}


def _check_comparable(first: FinishedRun, other: FinishedRun) -> None:
    here, there = shown(str(first.folder)), shown(str(other.folder))
    if differing := sorted(set(first.columns) ^ set(other.columns)):
        raise StudyError(
            f"the rows of {here} and {there} differ in the column(s) {', '.join(differing)}; run both with one version"
        )
    if first.seeds != other.seeds:
        raise StudyError(
            f"{here} has the seeds {first.seeds} and {there} has {other.seeds}; runs need the same to be compared"
        )
    if first.tested_digest != other.tested_digest:
        raise StudyError(
            f"{here} and {there} were tested on different photographs ({len(first.tested)} and {len(other.tested)}); "
            "make a leaderboard for each"
        )


def _check_labels(runs: Sequence[FinishedRun]) -> None:
    """Raise StudyError if a label stands for different settings, or for different versions of a plug-in."""
    owners: dict[tuple[str, str], tuple[str, Path]] = {}
    for run in runs:
        for role, label, part in _labelled(run):
            first, folder = owners.setdefault((role, label), (part, run.folder))
            if first != part:
                raise StudyError(
                    f"the label {shown(label)} is the {role} {shown(first)} in {shown(str(folder))} and "
                    f"{shown(part)} in {shown(str(run.folder))}; give each a label of its own"
                )


def _labelled(run: FinishedRun) -> Iterator[tuple[str, str, str]]:
    """Role, label and part of every detector and attack; a part of a plug-in with its version."""
    plug_ins = {(line.role, line.part): line.plug_in for line in run.labels.itertuples()}
    columns = (("detector", "label", "detector"), ("detector", "target_label", "target"))
    for role, label, part in (*columns, ("attack", "attack_label", "attack")):
        pairs = run.rows[[label, part]].drop_duplicates()
        for name, text in zip(map(str, pairs[label]), map(str, pairs[part]), strict=True):
            if text:
                package = str(plug_ins.get((role, text), ""))
                yield role, name or text, f"{text} of {package}" if package else text
