"""The rows of a finished run as the templates of results pages read them.

A template names a detector by its plain name (`bayar2016`) and finds it whatever its settings are: the form without
settings where the rows have one, else the first.  Any other form of it has its whole text form as name.
"""

from __future__ import annotations

import csv
import hashlib
import json
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from counterforensics.errors import StudyError
from counterforensics.outcome import NOT_LAUNDERED, take_apart
from counterforensics.report.claims import find_claim
from counterforensics.report.labels import spelled
from counterforensics.report.results import Results

_PLATFORMS = {
    "telegram": "Telegram",
    "x": "X",
    "whatsapp": "WhatsApp",
    "facebook": "Facebook",
    "instagram": "Instagram",
}
_MANIPULATIONS = {"jpeg": "JPEG {}", "median": "median {0}x{0}"}
_PHOTO_COLUMNS = ["device", "photo", "role", "digest", "width", "height", "patches"]
_RENAMED = {"momentum": "beta1", "rate": "lr"}
DIGEST = 12  # letters of the SHA-256 of rows.csv that tell one run from another


@dataclass(frozen=True)
class Measured:
    """One line of rows.csv; rates 0..1, None for a figure that does not exist.

    judge, target: plain names, "" for no target.  attack: text form, "" without an attack.  settings: of the attack.
    laundering: the platform that all photographs passed, "none" without one.  Figures `..._at_fpr_01` are at the
    threshold for 1 % FPR of the judge, `..._at_laundered_01` at that from held-out photographs after the same upload.
    The `paper_` figures are the paper's, None where it measured no such thing.
    """

    manipulation: str
    judge: str
    target: str
    attack: str
    laundering: str
    settings: dict[str, str]
    fpr: float | None
    tpr: float | None
    tpr_low: float | None
    tpr_high: float | None
    acc: float | None
    auc: float | None
    success: float | None
    psnr: float | None
    psnr_pristine: float | None
    psnr_before: float | None
    ssim_pristine: float | None
    ssim_before: float | None
    unchanged: float | None
    already: float | None
    zero_gradient: float | None
    n_pristine: float | None
    n_manipulated: float | None
    tpr_at_fpr_01: float | None
    fpr_at_fpr_01: float | None
    tpr_at_laundered_01: float | None
    fpr_at_laundered_01: float | None
    paper_tpr: float | None
    paper_acc: float | None

    @property
    def case(self) -> str:
        """The manipulation as a page has it."""
        return case(self.manipulation)

    @property
    def name(self) -> str:
        """The judge as a page has it."""
        return label(self.judge)

    @property
    def aim(self) -> str:
        """The target as a page has it."""
        return label(self.target)

    @property
    def kind(self) -> str:
        """The name of the attack without its settings."""
        return take_apart(self.attack)[0]

    @property
    def fpr_own(self) -> float | None:
        """The FPR at the threshold that the judge has for 1 % FPR, whatever the upload."""
        return self.fpr_at_fpr_01

    @property
    def tpr_calibrated(self) -> float | None:
        """The TPR at the threshold for 1 % FPR that held-out photographs give after the same upload."""
        return self.tpr_at_fpr_01 if self.laundering == NOT_LAUNDERED else self.tpr_at_laundered_01

    @property
    def fpr_calibrated(self) -> float | None:
        """The FPR at the same threshold."""
        return self.fpr_at_fpr_01 if self.laundering == NOT_LAUNDERED else self.fpr_at_laundered_01


_FIGURES = [name for name, kind in Measured.__annotations__.items() if kind == "float | None" and "paper" not in name]


class Run:
    """A folder with the rows.csv of a run, and the other CSV files and the provenance.json that it may have left.

    study: the name of the study, as the rows have it.
    """

    def __init__(self, folder: Path, rows: str = "rows.csv") -> None:
        content = (folder / rows).read_bytes()
        self.digest = hashlib.sha256(content).hexdigest()[:DIGEST]
        self.folder = folder
        self.rows = pd.read_csv(folder / rows)
        self.study = str(self.rows["study"].iloc[0])
        record = folder / "provenance.json"
        self.provenance: dict[str, str] = json.loads(record.read_text("utf-8")) if record.exists() else {}
        self.devices, self.times, self.trainings = (
            _read(folder / f"{n}.csv") for n in ("devices", "times", "trainings")
        )
        # Studies below the folder of another have its photographs; rows under another name have not those of rows.csv.
        own = [place / "photos.csv" for place in (folder, folder.parent)] if rows == "rows.csv" else []
        self.photos = next((pd.read_csv(path) for path in own if path.exists()), pd.DataFrame(columns=_PHOTO_COLUMNS))
        if "target" in self.times:
            self.times["target"] = self.times["target"].astype(object).fillna("")
        self.results = Results(self.rows, self.trainings, devices=self.devices)
        if len(self.results.seeds) > 1:
            raise StudyError(
                f"{folder / rows} has the seeds {self.results.seeds}; the pages read rows of a single seed"
            )
        if len(empty := self.rows[self.rows[["fp", "tp"]].isna().any(axis=1)]):
            named = empty.iloc[0][["manipulation", "detector", "target", "attack"]]
            first = " ".join(filter(None, map(_text, named)))
            raise StudyError(f"{folder / rows} has {len(empty)} rows without figures (first: {first}); finish the run")
        forms = self.results.detectors
        self.forms = {_plain(form, forms): form for form in forms}
        self._names = {form: name for name, form in self.forms.items()}
        self.measured = [self._measured(line) for line in self.rows.astype(object).to_dict("records")]
        self.manipulations = self.results.manipulations
        self.detectors = [name for name in self.forms if name == take_apart(name)[0]]

    def where(self, **wanted: Any) -> list[Measured]:
        """The lines that have these values; `kind` is the name of the attack, "" without one."""
        return [one for one in self.measured if all(getattr(one, name) == value for name, value in wanted.items())]

    def one(self, **wanted: Any) -> Measured | None:
        """The first of these lines, None without any."""
        return next(iter(self.where(**wanted)), None)

    def before(self, after: Measured) -> Measured | None:
        """The line of the same judge and manipulation without an attack."""
        return self.one(manipulation=after.manipulation, judge=after.judge, attack="")

    def attacks(self, *kinds: str) -> list[str]:
        """The text forms of the attacks with these names, in the order of the rows."""
        return list(dict.fromkeys(one.attack for one in self.measured if one.kind in kinds))

    def targets(self, kind: str) -> list[str]:
        """The plain names of the detectors that an attack is aimed at, in the paper's order."""
        aimed = {one.target for one in self.measured if one.kind == kind}
        return [name for name in self.detectors if name in aimed]

    def attacks_on(self, target: str) -> list[str]:
        """The text forms of the attacks that are aimed at this detector or at none, in the order of the rows."""
        return list(dict.fromkeys(one.attack for one in self.measured if one.attack and one.target in ("", target)))

    def attack_columns(self, target: str) -> list[list[str]]:
        """The same attacks as columns of a table; one that has other settings for other manipulations is one column."""
        columns: list[list[str]] = []
        hides = {attack: {one.manipulation for one in self.where(attack=attack)} for attack in self.attacks_on(target)}
        for attack, manipulations in hides.items():
            others = [
                column
                for column in columns
                if take_apart(column[0])[0] == take_apart(attack)[0]
                and not any(manipulations & hides[one] for one in column)
            ]
            if others:
                others[0].append(attack)
            else:
                columns.append([attack])
        return columns

    def plain_target(self, form: str) -> str:
        """The plain name of a target's text form; "" stays itself."""
        return self._names.get(form, form)

    def patches_seen(self, detector: str) -> str:
        """The patches that each training of a detector saw, as rows or trainings.csv have it; "" where they do not."""
        lines = self.results.trainings("detector", self.forms[detector])
        known = [f"{patches:,.0f}" for patches in lines["patches"].dropna().unique()]
        if not known and "training" in self.rows:
            told = self.rows[self.rows["detector"] == self.forms[detector]]["training"].dropna().unique()
            known = [text.rpartition("; ")[2].removesuffix(" patches") for text in told if "patches" in text]
        return listed(known, "")

    def held_out_auc(self, detector: str, manipulation: str) -> float:
        """The AUC of a detector on its held-out photographs, from trainings.csv; NaN without it."""
        area = self.results.training("validation_auc", "detector", manipulation, self.forms[detector])
        return area.mean if area else math.nan

    def false_alarms(self, detector: str, manipulation: str) -> list[tuple[str, float]]:
        """The test devices by their FPR without an attack, the highest first; none without devices.csv."""
        form = self.forms[detector]
        found = {d: self.results.on_device("fpr", manipulation, form, d) for d in self.results.devices}
        known = [(device, rate.mean) for device, rate in found.items() if rate is not None]
        return sorted(known, key=lambda line: -line[1])

    @property
    def attack_hours(self) -> float:
        """The hours that all attacks took, from times.csv."""
        return float(self.times["seconds"].sum()) / 3600

    def training_hours(self, detector: str) -> float | None:
        """The hours of all trainings of a detector, from trainings.csv; None without them."""
        seconds = self.results.trainings("detector", self.forms[detector])["seconds"].dropna()
        return float(seconds.sum()) / 3600 if len(seconds) else None

    def _measured(self, line: dict[Any, Any]) -> Measured:
        names = {name: _text(line[name]) for name in ("manipulation", "detector", "target", "attack")}
        claim = find_claim(names["manipulation"], names["detector"], names["target"], names["attack"])
        figures = {name: _number(line.get(name)) for name in _FIGURES} | _exact_rates(line)
        return Measured(
            manipulation=names["manipulation"],
            judge=self._names[names["detector"]],
            target=self.plain_target(names["target"]),
            attack=names["attack"],
            laundering=_text(line.get("laundering")) or NOT_LAUNDERED,
            settings=take_apart(names["attack"])[1],
            paper_tpr=claim.tpr if claim else None,
            paper_acc=claim.acc if claim else None,
            **figures,
        )


class Recorded:
    """Figures that no rows.csv has, from recorded.csv: of the paper, read off a figure, or of a run that is gone.

    A figure with a digest belongs to the run whose rows.csv has that digest: it holds as long as those rows stand.
    """

    def __init__(self, path: Path, runs: dict[str, Run]) -> None:
        digests = {run.digest for run in runs.values()}
        with path.open(encoding="utf-8", newline="") as file:
            lines = list(csv.DictReader(file))
        self._values = {line["name"]: line["value"] for line in lines if line["digest"] in ("", *digests)}
        self._known = {line["name"] for line in lines}
        self._current = {line["digest"] for line in lines} & digests

    def __call__(self, name: str) -> str:
        """The value, as it stands in the file."""
        return self._values[name]

    def holds(self, *names: str) -> bool:
        """Whether all of these figures are of the rows that stand here.  Raises KeyError for a name not in the file."""
        if unknown := set(names) - self._known:
            raise KeyError(f"recorded.csv has no {', '.join(sorted(unknown))}")
        return set(names) <= self._values.keys()

    def of(self, run: Run) -> bool:
        """Whether a sentence that was written with the rows of this run in view still speaks of them."""
        return run.digest in self._current


def read_table(path: Path) -> list[list[str]]:
    """A CSV file as it stands: its heading and its lines."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def grid(corner: str, rows: Sequence[str], columns: Sequence[str], cell: Callable[[str, str], str]) -> str:
    """A Markdown table of manipulations by detectors; `cell` gives the text of one cell from the names of both."""
    lines = [[corner, *map(label, columns)], ["---", *["---:"] * len(columns)]]
    lines += [[case(row), *(str(cell(row, column)).strip() for column in columns)] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def markdown(lines: Sequence[Sequence[str]], words: int = 1) -> str:
    """A Markdown table of a heading and its lines; the first `words` columns hold words, all others figures."""
    head, *body = lines
    rule = ["---"] * words + ["---:"] * (len(head) - words)
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, rule, *body))


def changed(settings: dict[str, str]) -> str:
    """What sets a generator apart from others of its study, in the order of the alphabet; neither size nor seed.

    An older name of a setting becomes the name of now.

    >>> changed({"size": "small", "seed": "1", "momentum": "0.9"}), changed({"size": "small"})
    ('beta1=0.9', '')
    """
    renamed = {_RENAMED.get(name, name): value for name, value in settings.items()}
    return ",".join(f"{name}={renamed[name]}" for name in sorted(renamed) if name not in ("size", "seed"))


def case(manipulation: str) -> str:
    """A manipulation as a page has it.

    >>> case("median:7"), case("blur:1.1"), case("jpeg:70")
    ('median 7x7', 'blur 1.1', 'JPEG 70')
    """
    name, _, setting = manipulation.partition(":")
    return _MANIPULATIONS.get(name, f"{name} {{}}").format(setting).strip()


def label(name: str) -> str:
    """A detector or an attack as a page has it.

    >>> label("spam-svm"), label("cozzolino2017:steps=0"), label("fgsm")
    ('SPAM + SVM', 'Cozzolino2017 (steps=0)', 'FGSM')
    """
    plain, _, settings = name.partition(":")
    return spelled(plain) + (f" ({settings})" if settings else "")


def platform(name: str, without: str = "none") -> str:
    """A platform as a page has it; `without` for photographs that were not sent.

    >>> platform("whatsapp"), platform("jpeg:80"), platform("none", "no upload")
    ('WhatsApp', 'JPEG 80', 'no upload')
    """
    return without if name == NOT_LAUNDERED else _PLATFORMS.get(name, case(name))


def listed(names: Iterable[str], nothing: str = "none") -> str:
    """Names as a sentence has them.

    >>> listed(["a"]), listed(["a", "b", "c"]), listed([])
    ('a', 'a, b and c', 'none')
    """
    *first, last = list(names) or [nothing]
    return f"{', '.join(first)} and {last}" if first else last


def by_judge(found: Iterable[Measured]) -> str:
    """The judges of these lines, each with its manipulations.

    >>> by_judge([])
    'none'
    """
    judges: dict[str, list[str]] = {}
    for one in found:
        judges.setdefault(one.name, []).append(one.case)
    return "; ".join(f"{name} on {listed(list(dict.fromkeys(cases)))}" for name, cases in judges.items()) or "none"


def exact(rate: float | None) -> str:
    """A rate 0..1 in percent with two decimals, "—" for None.

    >>> exact(0.99966), exact(None)
    ('99.97', '—')
    """
    return "—" if rate is None else f"{100 * rate:.2f}"


def rough(rate: float | None) -> str:
    """A rate 0..1 in percent with one decimal, "—" for None.

    >>> rough(0.4475), rough(None)
    ('44.8', '—')
    """
    return "—" if rate is None else f"{100 * rate:.1f}"


def decibels(value: float | None) -> str:
    """A PSNR with two decimals, "—" for None.

    >>> decibels(48.1308), decibels(None)
    ('48.13', '—')
    """
    return "—" if value is None else f"{value:.2f}"


def lowest_to_highest(values: Iterable[float | None], text: Callable[[float], str] = rough) -> str:
    """The lowest and the highest of some figures, once if they read the same.

    >>> lowest_to_highest([0.1, 0.25, None]), lowest_to_highest([0.1])
    ('10.0 to 25.0', '10.0')
    """
    known = [value for value in values if value is not None]
    low, high = text(min(known)), text(max(known))
    return low if low == high else f"{low} to {high}"


def mean(values: Iterable[float | None]) -> float:
    """The mean of the figures that are there, NaN without any."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else math.nan


def _read(path: Path) -> pd.DataFrame:
    return pd.read_csv(path) if path.exists() else pd.DataFrame()


def _plain(form: str, forms: Sequence[str]) -> str:
    """The plain name of a detector, or its text form where another form has the better right to the plain name."""
    name = _name_of(form)
    first = name if name in forms else next(one for one in forms if _name_of(one) == name)
    return name if form == first else form


def _name_of(form: str) -> str:
    """The name of a detector without settings; of one that was trained before, the name of the trained one."""
    name, settings = take_apart(form)
    return settings.get("", name) if name == "trained" else name


def _exact_rates(line: dict[Any, Any]) -> dict[str, float]:
    """The rates from the counts: rows.csv rounds rates to six decimals, and a page would round them again."""
    fpr, tpr = line["fp"] / line["n_pristine"], line["tp"] / line["n_manipulated"]
    return {"fpr": fpr, "tpr": tpr, "acc": (tpr + 1 - fpr) / 2}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _number(value: Any) -> float | None:
    return None if value is None or math.isnan(float(value)) else float(value)
