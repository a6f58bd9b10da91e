"""Draw the heat maps of docs/localisation.md: `python tools/draw_localisation.py --out docs/images`.

A simulated photograph is manipulated in one region. The figure shows the photograph with the region outlined, and the
map of each detector, white at the detector's threshold.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from counterforensics import load_detector, manipulations
from counterforensics.photos.simulated import simulated_photos
from counterforensics.report.labels import manipulation_label
from counterforensics.seeds import seed_for
from counterforensics.sliding.findings import threshold_of
from counterforensics.sliding.localisation import Splice, measure_heat, splice
from counterforensics.sliding.scan import Subject

DETECTORS = ("spam-svm", "cozzolino2017")
FIGURES = {
    "localisation-easy.webp": ("median:7", "blur:1.1", "resize:1.5"),
    "localisation-hard.webp": ("median:3", "resize:1.01", "jpeg:90"),
}
SEED, SIDE, STRIDE = 3, 256, 16
COLOURS = "PuOr_r"  # orange is above the threshold, purple below; told apart by readers of any colour vision
LARGEST = 97.0  # percentile of the distance from the threshold at which the colours end
STYLE: Any = {"font.family": "DejaVu Sans", "font.size": 8, "figure.dpi": 110}


def main() -> None:
    """Draw both figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    for name, asked in FIGURES.items():
        with matplotlib.rc_context(STYLE):
            draw(asked).savefig(out / name, pil_kwargs={"quality": 80, "method": 6})
        print(out / name)


def draw(asked: tuple[str, ...]) -> Figure:
    """A row of panels for each manipulation: the splice, then the map of each detector."""
    photos = simulated_photos(devices=len(asked), photos=1, seed=SEED)
    figure = Figure(figsize=(7.2, 1.95 * len(asked)), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(len(asked), 1 + len(DETECTORS), squeeze=False)
    for row, photo, text in zip(panels, photos, asked, strict=True):
        seed = seed_for(SEED, "splice", photo.digest)
        made = splice(photo.read(), manipulations.parse(text), smallest=SIDE, largest=SIDE, seed=seed)
        row[0].imshow(made.photo)
        row[0].set_title(f"{manipulation_label(text)}, in the frame", fontsize=8)
        draw_maps(row[1:], made, text)
        for axes in row:
            axes.set_xticks([])
            axes.set_yticks([])
            x, y, width, height = made.region
            axes.add_patch(Rectangle((x, y), width, height, fill=False, color="white", linewidth=2.2))
            axes.add_patch(Rectangle((x, y), width, height, fill=False, color="black", linewidth=1, linestyle="dashed"))
    return figure


def draw_maps(row: Any, made: Splice, text: str) -> None:
    """One map in each panel, with its figures as title; colours end at the same distance from the threshold."""
    subject, maps = Subject(made.photo), []
    for kind in DETECTORS:
        network = load_detector(f"{kind}/{text}")
        maps.append(subject.scan(network, stride=STRIDE).heat_map(threshold_of(network)))
    end = float(np.nanpercentile(np.abs(maps), LARGEST))
    for axes, kind, heat in zip(row, DETECTORS, maps, strict=True):
        shown = axes.imshow(heat, cmap=COLOURS, vmin=-end, vmax=end)
        found = measure_heat(heat, made.mask)
        axes.set_title(f"{kind}: AUC {found.auc:.3f}, F1 {found.f1:.2f}", fontsize=8)
    bar = row[0].figure.colorbar(shown, ax=list(row), shrink=0.9, pad=0.02)
    bar.ax.tick_params(labelsize=6)
    bar.set_label("logit above the threshold", fontsize=7)


if __name__ == "__main__":
    main()
