"""Draw the pictures of docs/one-photograph.md: `python tools/draw_one_photograph.py [--into docs/images]`.

The photograph comes from a simulated camera; a square of it was filtered by a median.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from counterforensics import attack_photo, detect
from counterforensics.app.views import AMPLIFIED, amplified
from counterforensics.photos.simulated import simulated_photos
from counterforensics.pixels import Pixels, luma_of_photo
from counterforensics.sliding.detecting import overlay

DETECTOR, ATTACK, MANIPULATION = "spam-svm/median:7", "spam-descent", "median:7"
REGION = (150, 64, 256, 256)  # left, top, width, height


def flagged(photo: Pixels) -> tuple[Pixels, float]:
    """Where the detector flags patches, uint8 [h, w, 3], and the share of them, 0..1."""
    (finding,) = detect(photo, detectors=[DETECTOR]).findings
    assert finding.scan is not None
    assert finding.flagged is not None
    return overlay(luma_of_photo(photo), finding.scan, finding.threshold), finding.flagged


def draw(pictures: dict[str, Pixels], path: Path) -> None:
    """Write pictures side by side, each under its caption; a frame shows the region."""
    figure = Figure(figsize=(4.2 * len(pictures), 3.35), layout="constrained")
    for axes, (caption, pixels) in zip(figure.subplots(1, len(pictures)), pictures.items(), strict=True):
        axes.imshow(pixels)
        axes.set_title(caption, fontsize=11)
        axes.set_axis_off()
        left, top, width, height = REGION
        sides = [left, left + width, left + width, left, left], [top, top, top + height, top + height, top]
        axes.plot(*sides, color="white", linewidth=1.5, linestyle="--")
    figure.savefig(path, dpi=80)


def main() -> None:
    """Draw and write both pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--into", type=Path, default=Path(__file__).parents[1] / "docs" / "images")
    into = parser.parse_args().into
    into.mkdir(parents=True, exist_ok=True)
    pristine = np.ascontiguousarray(simulated_photos(devices=1, photos=1)[0].read()[200:584, 200:712])
    result = attack_photo(pristine, detector=DETECTOR, attack=ATTACK, manipulate=MANIPULATION, region=REGION)
    before, share_before = flagged(result.manipulated)
    after, share_after = flagged(result.concealed.photo)
    draw(
        {
            "the photograph, median filtered in the frame": result.manipulated,
            f"detected: {share_before:.0%} of the patches flagged": before,
        },
        into / "one-photograph-detect.png",
    )
    changes = amplified(result.manipulated, result.concealed.photo)
    draw(
        {
            "after the attack": result.concealed.photo,
            f"what it changed, {AMPLIFIED} times as strong": changes,
            f"detected: {share_after:.0%} of the patches flagged": after,
        },
        into / "one-photograph-attack.png",
    )


if __name__ == "__main__":
    main()
