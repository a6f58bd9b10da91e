"""The accuracy of each detector on each test device, without an attack."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from counterforensics.report.figures.alt import span, told
from counterforensics.report.figures.style import (
    DETECTOR_COLOURS,
    DETECTOR_MARKS,
    GRID_GREY,
    INK,
    WIDTH,
    DetectorStyle,
    Grid,
    Picture,
    legend,
    legend_line,
    line_count,
    panels,
    picture,
    text_width,
    wrapped,
)
from counterforensics.report.labels import manipulation_label
from counterforensics.report.results import Results, together

MOST_DEVICES = 8  # that one figure draws
_LETTERS = 22  # in a line of a label
_LINE, _BETWEEN = 0.075, 0.12  # inches: for each device, and between two detectors
_WIDE = 4  # panels side by side
_CAPTION = (
    "The accuracy of each detector without an attack, and its 95 % interval, on the photographs of each test device "
    "alone. Where the devices of a detector lie apart, its mean over all devices hides the difference."
)


def devices_picture(results: Results) -> list[Picture]:
    """One figure, a panel for each manipulation; none for a study with a single test device."""
    devices = _drawn(results)
    if len(results.devices) < 2 or not devices:
        return []
    looks = dict(zip(devices, _looks(), strict=False))
    below = legend([legend_line(d, **_line(look), marker=look.mark) for d, look in looks.items()], 4)
    names = [wrapped(results.labels.detector(detector), _LETTERS) for detector in results.detectors]
    wide = min(_WIDE, len(results.manipulations))
    while wide > 1 and max(text_width(name, 7) for name in names) + 1.1 * wide > WIDTH:
        wide -= 1
    high = math.ceil(len(results.manipulations) / wide)

    def draw(figure: Figure) -> None:
        grid: Grid = figure.subplots(high, wide, squeeze=False, sharex=True, sharey=True)
        for axes, manipulation in panels(grid, results.manipulations, "accuracy (%)"):
            _draw(axes, results, manipulation, looks)
            axes.set_yticks(range(len(names)), names)
            axes.set_title(manipulation_label(manipulation))
        grid[0, 0].invert_yaxis()
        below.draw(figure)

    line = max(_LINE * len(devices) + _BETWEEN, 0.12 * line_count(names) + 0.04)
    size = (WIDTH, high * (line * len(names) + 0.45) + below.height + 0.3)
    return [
        picture("device-rates", "By device, without an attack", (_caption(results, devices), _alt(results)), size, draw)
    ]


def _drawn(results: Results) -> list[str]:
    """The devices with the lowest mean accuracy, in the order of the study."""
    means = {device: _mean(results, device) for device in results.devices}
    known = [device for device, mean in means.items() if not math.isnan(mean)]
    lowest = sorted(known, key=lambda device: means[device])[:MOST_DEVICES]
    return [device for device in known if device in lowest]


def _mean(results: Results, device: str) -> float:
    """The mean accuracy of all detectors on this device."""
    found = together(results.on_device("acc", *pair, device) for pair in results.pairs)
    return found.mean if found else math.nan


def _looks() -> list[DetectorStyle]:
    """A colour and a mark for each device; no two share a mark, for readers who see no colours."""
    marks = [*filter(None, DETECTOR_MARKS), "*"]
    return [DetectorStyle(colour, mark) for mark, colour in zip(marks, itertools.cycle(DETECTOR_COLOURS), strict=False)]


def _line(look: DetectorStyle) -> dict[str, Any]:
    return {"color": look.colour, "markersize": 3.5, "linewidth": 1.0}


def _draw(axes: Axes, results: Results, manipulation: str, looks: dict[str, DetectorStyle]) -> None:
    """A point and a line for each detector and device; the devices of a detector lie one below the other."""
    step = min(0.2, 0.75 / max(len(looks) - 1, 1))
    for row, detector in enumerate(results.detectors):
        for place, (device, look) in enumerate(looks.items()):
            mean = results.on_device("acc", manipulation, detector, device)
            ends = results.interval_on_device("acc", manipulation, detector, device)
            if mean and ends:
                at = row + step * (place - (len(looks) - 1) / 2)
                axes.plot([100 * ends[0], 100 * ends[1]], [at, at], color=look.colour, linewidth=1.0)
                axes.plot([100 * mean.mean], [at], marker=look.mark, **_line(look))
    axes.axvline(50, color=INK, linewidth=0.6, linestyle=(0, (1, 2)))
    axes.set_xlim(-2, 102)
    axes.set_xticks(range(0, 101, 25))
    axes.grid(axis="x", color=GRID_GREY, linewidth=0.5)


def _caption(results: Results, devices: Sequence[str]) -> str:
    left_out = len(results.devices) - len(devices)
    few = f" The {len(devices)} of {len(results.devices)} devices with the lowest mean accuracy are drawn."
    return f"{_CAPTION} Dotted: chance.{few if left_out else ''}"


def _alt(results: Results) -> str:
    """The range of the accuracies of each device, over detectors and manipulations."""
    lines = []
    for device in results.devices:
        found = (results.on_device("acc", *pair, device) for pair in results.pairs)
        lines.append(f"{device}: {span((one.mean if one else None for one in found), '%')}")
    return f"Accuracies with intervals, a panel a manipulation. Each device over all detectors: {told(lines)}"
