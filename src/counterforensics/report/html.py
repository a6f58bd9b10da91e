"""The report as one self-contained page: what the study is, what it found, and all that stands behind it."""

from __future__ import annotations

import base64
import io
import struct
from collections.abc import Sequence

import pandas as pd
from markupsafe import Markup
from PIL import Image

from counterforensics.outcome import Outcome
from counterforensics.report.answer import answer_of
from counterforensics.report.figures.style import Picture
from counterforensics.report.findings import findings, overview_table
from counterforensics.report.first_screen import board
from counterforensics.report.formats import environment, template_text, to_html
from counterforensics.report.labels import whatever_the_loss
from counterforensics.report.results import Results
from counterforensics.report.tables.model import Table
from counterforensics.report.verdicts import KEEPS_HALF, KEEPS_MOST

GLOSSARY = (
    ("pristine", "A patch as the camera stored it, without any manipulation."),
    ("manipulated", "A patch of a photograph that was blurred, compressed, filtered or resized as a whole."),
    ("concealed", "A manipulated patch after an attack that hides the manipulation, stored in 8 bits again."),
    ("target", "The detector that the attacker knows and works against."),
    ("judge", "The detector that scores the result; it may be the target or another one."),
    ("logit", "What a detector says about a patch; above 0 it means manipulated."),
    ("FPR", "False positive rate: the share of pristine patches that a judge calls manipulated."),
    ("TPR", "True positive rate: the share of manipulated (or concealed) patches called manipulated."),
    ("ACC", "Accuracy: (TPR + 1 − FPR) / 2, so both kinds of patch count the same."),
    ("AUC", "Area under the ROC curve: 1 for a perfect ranking of the patches, 0.5 for chance."),
    ("EER", "Equal-error rate: at one threshold, the FPR and the share of missed manipulated patches are both this."),
    ("lead", "TPR − FPR of a judge: how much more often it calls manipulated patches manipulated than pristine ones."),
    ("holds, weakened, fails", "Under an attack a judge keeps at least 90 % of its lead, at least 50 %, or less."),
    ("mixed", "Fewer than three quarters of the manipulations share a verdict."),
    ("no answer", "A detector has not learned, or its accuracy is below 60 % before the attack: nothing is concealed."),
    ("attack failed", "The attack left at least half of its patches as they were."),
    ("held-out photographs", "Photographs of the training devices that a detector did not learn from."),
    ("has not learned", "Said of a detector with an AUC below 0.6 on held-out photographs; attacks on it are grey."),
    ("operating point", "A threshold, such as the one that 1 % of the held-out pristine patches lie above."),
    ("success", "The share of the patches that a judge detects and, once they are concealed, calls pristine."),
    ("MSE, PSNR", "Mean squared change of a concealed patch against the manipulated one, in squared grey "
     "levels, and the same in decibels (peak 255); an MSE of 1 is 48.13 dB."),
    ("unchanged", "The share of concealed patches equal to the manipulated ones."),
    ("zero grad.", "The share of pixels at which the gradient that the attack follows is exactly zero."),
)  # fmt: skip
_ROLES = ("train", "validation", "test")


def render_report(outcome: Outcome, results: Results, tables: Sequence[Table], pictures: Sequence[Picture]) -> str:
    """The page as text.  No address outside it; every text of the outcome is escaped."""
    overview = overview_table(results)
    shown = [*([overview] if overview else []), *tables]
    return (
        environment()
        .get_template("page.html")
        .render(
            outcome=outcome,
            # Ours, and not to be escaped: neither is HTML.
            css=Markup(template_text("style.css")),
            script=Markup(template_text("page.js")),
            most=KEEPS_MOST,
            half=KEEPS_HALF,
            answer=[_unbroken(text) for text in answer_of(results)],
            board=board(outcome, results),
            simulated="test" in outcome.simulated,
            compared=results.compared,
            filters=_filters(shown),
            scope=_scope(outcome, results),
            findings=[_unbroken(text) for text in findings(results)],
            tables=[Markup(to_html(table)) for table in shown],
            shown=[_embedded(number, picture) for number, picture in enumerate(pictures, start=1)],
            split=_split(outcome.photos),
            shared_devices=_shared_devices(outcome.photos),
            photos=_photos(outcome.photos),
            contents=_contents(outcome, shown, pictures),
            glossary=GLOSSARY,
        )
    )


def _unbroken(text: str) -> str:
    """A figure and its percent sign stay on one line."""
    return text.replace(" %", "\u00a0%")


def _filters(tables: Sequence[Table]) -> list[tuple[str, str, list[str]]]:
    """Each filter with its label and its values, in the order in which the tables have them."""
    about = [row.about for table in tables for row in table.rows]
    judges = [column.judge for table in tables for column in table.columns]
    attacks = [attack for table in tables for attack in table.attacks]
    values = {
        "manipulation": [one.manipulation for one in about],
        "attack": [*(one.attack for one in about), *attacks],
        "judge": [*(one.judge for one in about), *judges],
    }
    return [(key, key.capitalize(), [v for v in dict.fromkeys(found) if v]) for key, found in values.items()]


def _scope(outcome: Outcome, results: Results) -> str:
    """One line on the size of the study: only what its rows and its photographs say."""
    attacks = {whatever_the_loss(attack) for _, attack in results.contests}
    pieces = [
        _count(len(results.manipulations), "manipulation"),
        _count(len(results.detectors), "detector"),
        _count(len(attacks), "attack"),
        _count(len(results.seeds), "seed"),
    ]
    if len(outcome.photos):
        pieces.append(_count(len(outcome.photos), "photograph"))
        pieces.append(_count(int(outcome.photos["device"].nunique()), "device"))
    return " · ".join(pieces)


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _embedded(number: int, picture: Picture) -> dict[str, object]:
    # A PNG file holds its size at bytes 16 to 24; figures are drawn at 200 dots an inch and shown at 130.
    wide, high = struct.unpack(">II", picture.png[16:24])
    return {
        "number": number,
        "key": picture.key,
        "title": picture.title,
        "caption": picture.caption,
        "alt": picture.alt,
        "base64": base64.b64encode(_webp(picture.png)).decode("ascii"),
        "width": round(wide * 0.65),
        "height": round(high * 0.65),
    }


def _webp(png: bytes) -> bytes:
    """The same pixels in a smaller file."""
    file = io.BytesIO()
    with Image.open(io.BytesIO(png)) as image:
        image.convert("RGB").save(file, format="WEBP", lossless=True, quality=60, method=4)
    return file.getvalue()


def _split(photos: pd.DataFrame) -> list[tuple[str, str, str, str]]:
    """Role, device, photographs and patches; then the sums of each role."""
    lines = []
    if not len(photos):
        return []
    roles = sorted(photos["role"].unique(), key=lambda role: (_ROLES.index(role) if role in _ROLES else 9, role))
    for role in roles:
        own = photos[photos["role"] == role]
        for device, part in own.groupby("device"):
            lines.append((str(role), str(device), f"{len(part):,}", f"{int(part['patches'].sum()):,}"))
        devices = _count(int(own["device"].nunique()), "device")
        lines.append((f"{role}, all", devices, f"{len(own):,}", f"{int(own['patches'].sum()):,}"))
    return lines


def _shared_devices(photos: pd.DataFrame) -> list[str]:
    """The devices that have photographs both for testing and in another role."""
    tested = photos["role"] == "test"
    return sorted(map(str, set(photos[tested]["device"]) & set(photos[~tested]["device"])))


def _photos(photos: pd.DataFrame) -> list[tuple[str, ...]]:
    return [
        (str(p.device), str(p.photo), str(p.role), f"{p.width} × {p.height}", str(p.digest))
        for p in photos.itertuples()
    ]


def _contents(outcome: Outcome, tables: Sequence[Table], pictures: Sequence[Picture]) -> list[tuple[str, str]]:
    entries = [
        ("answer", "Verdicts", True),
        ("question", "Findings", True),
        ("tables", "Tables", bool(tables)),
        ("figures", "Figures", bool(pictures)),
        ("split", "Photographs", True),
        ("holes", "What is missing", bool(outcome.failures)),
        ("provenance", "Provenance and settings", True),
        ("glossary", "Words", True),
    ]
    return [(anchor, text) for anchor, text, there in entries if there]
