"""The leaderboard as a page and as a CSV file."""

from __future__ import annotations

import csv
import io
import math
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import quote

import pandas as pd
from markupsafe import Markup

from counterforensics.outcome import NOT_LAUNDERED
from counterforensics.report.formats import environment, template_text, to_html
from counterforensics.report.labels import manipulation_label
from counterforensics.report.leaderboard.runs import FIGURE, LAUNDERING, FinishedRun
from counterforensics.report.leaderboard.standings import FPR, HIGH, LOW, Leaderboard, Slice, Standing
from counterforensics.report.tables.cells import interval
from counterforensics.report.tables.model import NONE, Cell, Column, Concerns, Row, Table, number, percent

_SOURCES = (Column("Photographs"), Column("Study", words=True), Column("Remark", words=True))
ALL = "all"  # in a filter's attribute: a line over everything, which no choice of the filter is about
CSV_COLUMNS = (
    *("kind", "rank", "label", "part", "manipulation", "attack", "platform"),
    *("tpr_at_fpr_01", "tpr_at_fpr_01_low", "tpr_at_fpr_01_high", "tpr_without_attack", "tpr_of_target"),
    *("fpr_at_fpr_01", "psnr", "worst_manipulation", "worst_attack", "worst_target", "worst_platform"),
    *("photographs", "seeds", "studies", "remark"),
)
_NOT_APART = "Where two intervals overlap, the ranks do not say which of the two is better."
_DETECTORS = (
    "TPR in percent at the threshold that the detector's own held-out photographs give for 1 % FPR. The worst case is "
    "the mean over the manipulations of the lowest TPR on each, over all attacks and platforms, no attack among them. "
    "The ends of its interval are means, too, of the lowest ends (95 %, by photograph). FPR reached is the share of "
    f"pristine test patches above the same threshold. {_NOT_APART}"
)
_ATTACKS = (
    "TPR in percent that an attack leaves, at the judges' thresholds for 1 % FPR: the mean over manipulations, judges "
    "and platforms. For each of them the attacker has the choice of the target. Judges that have not learned do not "
    f"count. On its target: the mean over the detectors that the attack was made against, {NONE} where it needs none. "
    f"PSNR compares concealed with manipulated patches. {_NOT_APART}"
)


def leaderboard_csv(board: Leaderboard) -> bytes:
    """All rankings, a line each; "" where a ranking is over everything or a figure does not exist."""
    content = io.StringIO()
    writer = csv.writer(content, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    overall = [Slice(), *(over for part in board.slices().values() for over in part)]
    for over in overall:
        writer.writerows(_line(board, "detector", one) for one in board.rank_detectors(over))
    for over in overall:
        if board.attacks:
            writer.writerows(_line(board, "attack", one) for one in board.rank_attacks(over))
    return content.getvalue().encode()


def leaderboard_page(board: Leaderboard, folder: Path, version: str) -> str:
    """The page as text; `folder` is where it will be, from which it links to the reports of the runs.

    Every text of a run is escaped.
    """
    tables = list(_tables(board))
    about = [row.about for table in tables for row in table.rows]
    filters = [
        (key, key.capitalize(), [value for value in dict.fromkeys(found) if value not in ("", ALL)])
        for key, found in (
            ("manipulation", [one.manipulation for one in about]),
            ("attack", [one.attack for one in about]),
            ("platform", [one.platform for one in about]),
        )
    ]
    return (
        environment()
        .get_template("leaderboard.html")
        .render(
            # Ours, and not to be escaped: neither is HTML.
            css=Markup(template_text("style.css")),
            script=Markup(template_text("page.js")),
            tables=[Markup(to_html(table)) for table in tables],
            filters=[one for one in filters if len(one[2]) > 1],
            runs=[_run(run, folder) for run in board.runs],
            repeated=board.repeated,
            version=version,
            simulated=any("test" in run.provenance.get("simulated cameras", "") for run in board.runs),
            photographs=len(board.runs[0].tested),
            devices=board.runs[0].tested["device"].nunique(),
            tested_digest=board.runs[0].tested_digest,
            tested=[(one.device, one.photo, one.digest) for one in board.runs[0].tested.itertuples()],
        )
    )


def _line(board: Leaderboard, kind: str, one: Standing) -> list[str]:
    worst = (
        ["", "", "", ""]
        if one.worst is None
        else [str(one.worst[name]) for name in ("manipulation", "attack", "target", LAUNDERING)]
    )
    rates = (one.tpr, one.low, one.high, one.before, one.own, one.fpr, one.psnr)
    return [
        *(kind, "" if one.rank is None else str(one.rank), one.label, one.part),
        *(one.over.manipulation, one.over.attack, one.over.platform),
        *("" if math.isnan(rate) else f"{rate:.6f}" for rate in rates),
        *worst,
        *(str(len(board.runs[0].tested)), " ".join(map(str, board.runs[0].seeds)), " ".join(one.studies), one.remark),
    ]


def _run(run: FinishedRun, folder: Path) -> dict[str, object]:
    """What the page says of a run, with a link to its report where there is one."""
    report = run.folder / "report.html"
    link = quote(os.path.relpath(report.resolve(), folder.resolve()).replace(os.sep, "/")) if report.is_file() else ""
    roles = run.photos.groupby("role").size()
    facts = {
        **(run.provenance or {"versions": "not known: an older version ran this study"}),
        "seeds": ", ".join(map(str, run.seeds)),
        "photographs": ", ".join(f"{count:,} {role}" for role, count in roles.items()),
        "SHA-256 of the test photographs' digests": run.tested_digest,
        "SHA-256 of rows.csv": run.digest,
    }
    return {"study": run.study, "link": link, "facts": facts, "settings": run.settings}


def _tables(board: Leaderboard) -> Iterator[Table]:
    whole = [Slice()]
    yield _detector_table(board, "detectors", "Detectors", _DETECTORS, whole)
    if board.attacks:
        yield _attack_table(board, "attacks", "Attacks", _ATTACKS, whole)
    for name, parts in board.slices().items():
        told = f"As the first table, for one {name} alone."
        yield _detector_table(board, f"detectors-by-{name}", f"Detectors by {name}", told, parts)
        if board.attacks and name != "attack":
            told = f"As the second table, for one {name} alone."
            yield _attack_table(board, f"attacks-by-{name}", f"Attacks by {name}", told, parts)
    yield _figure_table(board)


def _detector_table(board: Leaderboard, key: str, title: str, caption: str, parts: Sequence[Slice]) -> Table:
    columns = (
        *(Column("worst case", "TPR"), Column("95 % interval", "TPR"), Column("without an attack", "TPR")),
        *(Column("FPR reached"), Column("Lowest TPR of one condition", words=True), *_SOURCES),
    )
    rows = [
        _row(board, one, (percent(one.before), percent(one.fpr), _condition(board, one.worst)))
        for over in parts
        for one in board.rank_detectors(over)
    ]
    return Table(key, None, title, caption, ("Rank", "Detector"), columns, tuple(rows))


def _attack_table(board: Leaderboard, key: str, title: str, caption: str, parts: Sequence[Slice]) -> Table:
    columns = (
        *(Column("left", "TPR"), Column("95 % interval", "TPR"), Column("on its target", "TPR")),
        *(Column("without it", "TPR"), Column("PSNR in dB"), *_SOURCES),
    )
    rows = [
        _row(board, one, (percent(one.own), percent(one.before), number(one.psnr)))
        for over in parts
        for one in board.rank_attacks(over)
    ]
    return Table(key, None, title, caption, ("Rank", "Attack"), columns, tuple(rows))


def _row(board: Leaderboard, one: Standing, own: tuple[str, str, str]) -> Row:
    """A line of a ranking.  own: the figures between the interval and the sources."""
    texts = (percent(one.tpr), _interval(one), *own, str(len(board.runs[0].tested)))
    cells = (*(Cell((text,)) for text in texts), _studies(one.studies), Cell((one.remark,)))
    attack = board.label("attack", one.over.attack) if one.over.attack else ""
    manipulation = manipulation_label(one.over.manipulation) if one.over.manipulation else ""
    platform = _platform(one.over.platform) if one.over.platform else ""
    about = Concerns(manipulation=manipulation or ALL, attack=attack or ALL, platform=platform or ALL)
    labels = (NONE if one.rank is None else str(one.rank), one.label)
    return Row(manipulation or attack or platform, labels, cells, grey=one.rank is None, about=about)


def _figure_table(board: Leaderboard) -> Table:
    """Every figure behind the ranks."""
    columns = [Column("Target", words=True)]
    columns += [Column("Platform", words=True)] if len(board.platforms) > 1 else []
    columns += [Column("TPR"), Column("95 % interval"), Column("FPR reached"), Column("PSNR in dB")]
    columns += [Column("Study", words=True)]
    rows = []
    for manipulation in board.manipulations:
        part = board.figures[board.figures["manipulation"] == manipulation]
        part = part.sort_values(FIGURE, kind="stable")
        for _, one in part.iterrows():
            rows.append(_figure_row(board, manipulation, one))
    caption = (
        "Each TPR in percent at the judge's own threshold for 1 % FPR, the lowest first; its interval resamples whole "
        "photographs. Over several seeds, rates are means, and intervals reach from the lowest end to the highest."
    )
    stubs = ("Detector", "Attack")
    return Table("every-figure", None, "Every figure", caption, stubs, tuple(columns), tuple(rows))


def _figure_row(board: Leaderboard, manipulation: str, one: pd.Series) -> Row:
    attack = board.label("attack", one["attack"]) if one["attack"] else ""
    platform = _platform(one[LAUNDERING])
    cells = [board.label("detector", one["target"]) if one["target"] else ""]
    cells += [platform] if len(board.platforms) > 1 else []
    cells += [percent(one[FIGURE]), interval((one[LOW], one[HIGH])), percent(one[FPR]), number(one["psnr"])]
    about = Concerns(manipulation_label(manipulation), attack or ALL, platform=platform)
    labels = (board.label("detector", one["detector"]), attack or "no attack")
    texts = tuple(Cell((text,)) for text in cells)
    return Row(manipulation_label(manipulation), labels, (*texts, _studies(board.studies([one["run"]]))), about=about)


def _condition(board: Leaderboard, worst: pd.Series | None) -> str:
    """The condition of a figure in words, with the figure."""
    if worst is None:
        return NONE
    attack = board.label("attack", worst["attack"]) if worst["attack"] else "no attack"
    target = f" on {board.label('detector', worst['target'])}" if worst["target"] else ""
    platform = f", {_platform(worst[LAUNDERING])}" if len(board.platforms) > 1 else ""
    return f"{percent(worst[FIGURE])}: {manipulation_label(worst['manipulation'])}, {attack}{target}{platform}"


def _platform(name: str) -> str:
    return "no upload" if name == NOT_LAUNDERED else name


def _studies(names: Sequence[str]) -> Cell:
    return Cell((", ".join(names) or NONE,), link=f"#study-{names[0]}" if len(names) == 1 else "#studies")


def _interval(one: Standing) -> str:
    return NONE if math.isnan(one.low) else interval((one.low, one.high))
