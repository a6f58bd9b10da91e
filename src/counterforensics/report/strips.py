"""Figures of patches in their three states, with the noise that an attack added."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from counterforensics.report.drawing import (
    Grid,
    Picture,
    contest_slug,
    contest_text,
    picture,
    worth_drawing,
)
from counterforensics.report.labels import EASY, HARD, manipulation_label, ordered, restores
from counterforensics.study.outcome import Strip

MOST_STRIPS = 8


def strip_pictures(strips: Sequence[Strip]) -> list[Picture]:
    """Patches in their three states and what changed, amplified, a figure for each target and attack."""
    groups: dict[tuple[str, str], list[Strip]] = {}
    for strip in strips:
        groups.setdefault((strip.target, strip.attack), []).append(strip)
    drawn, why = worth_drawing(list(groups))
    return [_strip_picture(contest, groups[contest], why) for contest in drawn]


def _strip_picture(contest: tuple[str, str], strips: Sequence[Strip], why: str) -> Picture:
    shown = _chosen(strips)
    noises = [_noise(strip) for strip in shown]
    # Beside what a generator gave stands what the manipulation took, which can be seen where no pixel moved.
    taken = [_taken(strip) for strip in shown] if restores(contest[1]) and all(s.aligned for s in shown) else []
    gain = amplification([*noises, *taken])
    changes = [[took, noise] for took, noise in zip(taken, noises, strict=True)] if taken else [[n] for n in noises]
    names = [f"128 + {gain} t", f"128 + {gain} d"] if taken else [f"128 + {gain} d"]
    titles = ("pristine", "manipulated", "restored" if taken else "concealed", *names)

    def draw(figure: Figure) -> None:
        grid: Grid = figure.subplots(len(shown), len(titles), squeeze=False)
        for line, strip, changed in zip(grid, shown, changes, strict=True):
            amplified = [np.clip(128 + gain * change, 0, 255).astype(np.uint8) for change in changed]
            for axes, patch in zip(line, (strip.pristine, strip.manipulated, strip.concealed, *amplified), strict=True):
                _show(axes, patch)
            name = f"{manipulation_label(strip.manipulation)}\n{_short(strip.photo)}\n{_noise_text(changed[-1])}"
            line[0].set_ylabel(name, rotation=0, ha="right", va="center", fontsize=7, labelpad=6)
        for axes, title in zip(grid[0], titles, strict=True):
            axes.set_title(title)

    what = "d = concealed − manipulated"
    if taken:
        what = "t = pristine − manipulated, what was taken, and d = restored − manipulated, what was given back,"
    caption = (
        f"One test patch a line, in its three states, and {what} in grey levels, "
        f"amplified {gain} times around mid grey: an even grey there is a patch that the attack left alone. "
        "Beside each line: the manipulation, the photograph, the share of values that the attack changed and the "
        "largest change."
        + (f" {len(shown)} of {len(strips)} patches are shown." if len(shown) < len(strips) else "")
        + why
    )
    title = f"Patches{contest_text(contest)}"
    size = (6.2 + 1.1 * bool(taken), 1.27 * len(shown) + 0.3)
    return picture(f"strips{contest_slug(contest)}", title, caption, size, draw)


def amplification(noises: Sequence[npt.NDArray[np.int16]]) -> int:
    """The largest power of two up to 64 that keeps 99.5 % of the noise within 128 levels of mid grey.

    >>> amplification([np.array([-1, 0, 1], np.int16)]), amplification([np.array([-5, 5], np.int16)])
    (64, 16)
    """
    sizes = [float(np.quantile(np.abs(noise), 0.995)) for noise in noises if noise.size]
    largest = max([1.0, *sizes])
    return int(2 ** max(0, min(6, math.floor(math.log2(128 / largest)))))


def _chosen(strips: Sequence[Strip]) -> list[Strip]:
    """At most `MOST_STRIPS`: the first of every manipulation, then the seconds, in the tables' order."""
    order = ordered((strip.manipulation for strip in strips), (*EASY, *HARD))
    seen: dict[str, int] = {}
    ranked = []
    for place, strip in enumerate(strips):
        rank = seen[strip.manipulation] = seen.get(strip.manipulation, -1) + 1
        ranked.append((rank, order.index(strip.manipulation), place, strip))
    ranked.sort(key=lambda entry: entry[:3])
    return [strip for _, _, _, strip in sorted(ranked[:MOST_STRIPS], key=lambda entry: (entry[1], entry[0]))]


def _noise(strip: Strip) -> npt.NDArray[np.int16]:
    return np.subtract(strip.concealed, strip.manipulated, dtype=np.int16)


def _taken(strip: Strip) -> npt.NDArray[np.int16]:
    return np.subtract(strip.pristine, strip.manipulated, dtype=np.int16)


def _noise_text(noise: npt.NDArray[np.int16]) -> str:
    if not noise.size:
        return ""
    return f"{100 * float(np.mean(noise != 0)):.0f} % changed, max {int(np.abs(noise).max())}"


def _short(photo: str, length: int = 22) -> str:
    name = photo.replace("\\", "/").rsplit("/", 1)[-1]
    return name if len(name) <= length else f"{name[: length - 1]}…"


def _show(axes: Axes, patch: npt.NDArray[np.uint8]) -> None:
    # One channel is shown grey, three as colour; of any other number the first is shown.
    image = patch.transpose(1, 2, 0) if patch.shape[0] == 3 else patch[0]
    axes.imshow(image, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
