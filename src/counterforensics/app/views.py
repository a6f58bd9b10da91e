"""What a client sees: HTML and pictures."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Iterable, Sequence
from typing import Any

import cv2
import numpy as np
from PIL import Image

from counterforensics.errors import printable
from counterforensics.pixels import Pixels, luma_of_photo
from counterforensics.positions import Positions
from counterforensics.sliding.attacking import AttackedPhoto
from counterforensics.sliding.detecting import FLAGGED_COLOUR, JudgedPhotograph, OpenedPhoto, overlay
from counterforensics.sliding.findings import MANIPULATED, MOST_FLAGGED, NO_ANSWER, Finding
from counterforensics.sliding.scan import Scan

LARGEST_SIDE = 720  # of a preview, in pixels
AMPLIFIED = 20

CSS = """
.cf-status {padding: .6em .8em; border-left: 4px solid var(--border-color-primary); overflow-wrap: anywhere}
.cf-status.cf-error {border-color: #c2410c; font-weight: 600}
.cf-table {overflow-x: auto; font-size: .9em}
.cf-table table {border-collapse: collapse; width: 100%; border: 0 !important; margin: 0}
.cf-table tr > * {text-align: left; padding: .3em .5em !important; border: 0 !important}
.cf-table tr {border: 0 !important; border-bottom: 1px solid var(--border-color-primary) !important}
.cf-table tr.cf-found td {font-weight: 600}
.cf-table .cf-why {font-weight: 400; opacity: .75}
.cf-note {margin: .8em 0; font-size: .9em}
.cf-maps {display: grid; grid-template-columns: repeat(auto-fill, minmax(200px, 1fr)); gap: .8em; margin-top: .8em}
.cf-picture {margin: 0}
.cf-picture img {max-width: 100%; height: auto; display: block}
.cf-picture figcaption {font-size: .85em; opacity: .75; padding-top: .2em; overflow-wrap: anywhere}
.cf-key {display: inline-block; width: 1em; height: 1em; vertical-align: -.1em; background: rgb(RED_GREEN_BLUE)}
""".replace("RED_GREEN_BLUE", " ".join(map(str, FLAGGED_COLOUR)))


def status(text: str, *, wrong: bool = False) -> str:
    """One line about how it goes, or of what went wrong."""
    kind = "cf-status cf-error" if wrong else "cf-status"
    return f'<div class="{kind}" role="{"alert" if wrong else "status"}">{_text(text)}</div>'


def preview(photo: OpenedPhoto) -> str:
    """A photograph, made smaller, above its size and what is unusual about its file."""
    height, width = photo.pixels.shape[:2]
    quality = "" if photo.quality is None else f", JPEG quality {photo.quality.quality:g}"
    remarks = "".join(f"; {remark}" for remark in photo.remarks)
    return _picture(shrunk(photo.pixels), f"{photo.where}: {width}x{height}{quality}{remarks}")


def findings(judged: JudgedPhotograph) -> str:
    """A table of what each detector says, the manipulations one after the other."""
    rows = [(_cells_of(finding), "cf-found" if finding.verdict == MANIPULATED else "") for finding in judged.findings]
    note = _note(
        f"The verdict is about the photograph as a whole: it is manipulated where more than {MOST_FLAGGED:.0%} of its "
        "patches are flagged. A detector flags about 1 % of pristine patches. Where only a region was manipulated, the "
        "maps show more than the verdict."
    )
    return _table(("manipulation", "detector", "verdict", "patches flagged", "false alarms"), rows) + note


def _cells_of(finding: Finding) -> list[str]:
    alarms = finding.false_alarms
    measured = "not measured" if alarms is None else f"{alarms.rate:.1%} of {alarms.photographs}"
    share = "" if finding.flagged is None else f"{finding.flagged:.1%} of {finding.patches}"
    name = _text(finding.detector.removesuffix(f"/{finding.manipulation}"))
    if finding.verdict == NO_ANSWER:
        why = f'{finding.verdict} <span class="cf-why">({_text(finding.why)})</span>'
        return [_text(finding.manipulation), name, why, "", ""]
    return [_text(finding.manipulation), name, finding.verdict, share, "" if finding.flagged is None else measured]


def maps(judged: JudgedPhotograph, photo: Pixels) -> str:
    """Where each detector flags patches: small pictures, those with the largest share first."""
    grey, factor = luma_of_photo(shrunk(photo)), _factor(photo)
    shares = {finding.detector: finding.flagged for finding in judged.findings if finding.flagged is not None}
    pictures = [
        _picture(
            overlay(grey, smaller(finding.scan, factor), finding.threshold),
            f"{finding.detector}: {finding.flagged:.1%} of the patches flagged",
        )
        for finding in sorted(judged.findings, key=lambda finding: -(finding.flagged or 0))
        if finding.scan is not None and finding.flagged
    ]
    none = [name for name, share in shares.items() if not share]
    without = _note(f"No patch is flagged by {', '.join(none)}.") if none else ""
    key = _note("where patches are flagged: the more of them, the stronger the colour", key=True) if pictures else ""
    return f'{key}<div class="cf-maps">{"".join(pictures)}</div>{without}'


def attacked(result: AttackedPhoto) -> str:
    """The figures of an attack: the share that each detector flags before and after, and what the attack changed."""
    found = result.as_json()
    rows = []
    for name, before in result.before.items():
        target = " (target)" if name == result.target else ""
        shares = ["flat" if share is None else f"{share:.1%}" for share in (before, result.after[name])]
        rows.append(([_text(name) + target, *shares], "cf-found" if target else ""))
    quality = "no pixel changed" if found["psnr"] is None else f"PSNR {found['psnr']:.2f} dB, SSIM {found['ssim']:.4f}"
    changes = (
        f"{quality}; largest change {found['largest_change']} grey levels; {found['changed']:.1%} of the pixels "
        f"changed; {found['left']} of {found['positions']} positions are still flagged; {found['seconds']:.1f} seconds"
    )
    return _table(("detector", "flagged before", "flagged after"), rows) + _note(changes)


def difference(result: AttackedPhoto) -> str:
    """What the attack changed, `AMPLIFIED` times as strong, around a middle grey."""
    return _picture(
        amplified(result.manipulated, result.concealed.photo),
        f"what the attack changed, {AMPLIFIED} times as strong; grey means no change",
    )


def amplified(before: Pixels, after: Pixels) -> Pixels:
    """The difference of two photographs, uint8 [h, w, 3], times `AMPLIFIED`, around 128, every k-th pixel of it.

    >>> amplified(np.full((1, 1, 3), 9, np.uint8), np.full((1, 1, 3), 8, np.uint8)).tolist()
    [[[108, 108, 108]]]
    """
    factor = _factor(before)
    changes = after[::factor, ::factor].astype(np.int16) - before[::factor, ::factor]
    return np.asarray((128 + AMPLIFIED * changes).clip(0, 255), dtype=np.uint8)


def shrunk(photo: Pixels) -> Pixels:
    """A photograph, uint8 [h, w, 3], of no more than `LARGEST_SIDE` pixels a side, made smaller by a whole factor."""
    factor = _factor(photo)
    height, width = photo.shape[0] // factor, photo.shape[1] // factor
    if factor == 1:
        return photo
    whole = photo[: height * factor, : width * factor]
    return np.asarray(cv2.resize(whole, (width, height), interpolation=cv2.INTER_AREA), dtype=np.uint8)


def smaller(found: Scan, factor: int) -> Scan:
    """A scan over a photograph that is smaller by a whole factor; its positions are those of the same patches."""
    at = found.positions
    positions = Positions(at.tops // factor, at.lefts // factor, at.side // factor)
    return Scan(positions, found.logits, found.flat, found.height // factor, found.width // factor)


def _factor(photo: Pixels) -> int:
    height, width = photo.shape[:2]
    return int(-(-max(height, width) // LARGEST_SIDE))


def _picture(pixels: Pixels, caption: str) -> str:
    """A figure that holds its picture: nothing is written to a disk."""
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "JPEG", quality=90, subsampling=0)
    source = base64.b64encode(content.getvalue()).decode("ascii")
    told = _text(caption)
    return (
        f'<figure class="cf-picture"><img alt="{told}" src="data:image/jpeg;base64,{source}">'
        f"<figcaption>{told}</figcaption></figure>"
    )


def _note(text: str, *, key: bool = False) -> str:
    """A sentence below a table or above pictures; `key`: the colour that it explains stands before it."""
    sign = '<span class="cf-key"></span> ' if key else ""
    return f'<p class="cf-note">{sign}{_text(text)}</p>'


def _table(headings: Sequence[str], rows: Iterable[tuple[list[str], str]]) -> str:
    """A table of cells that are HTML already, each row with its class."""
    head = "".join(f"<th>{heading}</th>" for heading in headings)
    body = "".join(f'<tr class="{kind}">{"".join(f"<td>{cell}</td>" for cell in cells)}</tr>' for cells, kind in rows)
    return f'<div class="cf-table"><table><tr>{head}</tr>{body}</table></div>'


def _text(given: Any) -> str:
    """Text as HTML shows it, without characters that nobody sees."""
    return html.escape(printable(str(given)))
