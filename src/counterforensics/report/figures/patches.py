"""Figures of patches in their three states, with the noise that an attack added."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from counterforensics.outcome import PatchStates
from counterforensics.report.figures.alt import told
from counterforensics.report.figures.style import Grid, Picture, picture, worth_drawing
from counterforensics.report.labels import EASY, HARD, Contest, Labels, manipulation_label, ordered

MOST_PATCHES = 8  # of a figure
Change = npt.NDArray[np.int16]


def patch_pictures(patches: Sequence[PatchStates], labels: Labels) -> list[Picture]:
    """Patches in their three states and what changed, amplified, a figure for each target and attack."""
    groups: dict[Contest, list[PatchStates]] = {}
    for patch in patches:
        groups.setdefault((patch.target, patch.attack), []).append(patch)
    drawn, why = worth_drawing(list(groups), labels.restores)
    return [_picture(contest, groups[contest], labels, why) for contest in drawn]


def _picture(contest: Contest, patches: Sequence[PatchStates], labels: Labels, why: str) -> Picture:
    shown = _chosen(patches)
    # Beside what a generator gave stands what the manipulation took, which can be seen where no pixel moved.
    restored = labels.restores(contest[1]) and all(patch.aligned for patch in shown)
    changes = [[*([_taken(patch)] if restored else []), _noise(patch)] for patch in shown]
    gain = amplification([change for changed in changes for change in changed])
    names = [f"128 + {gain} {letter}" for letter in ("td" if restored else "d")]
    titles = ("pristine", "manipulated", "restored" if restored else "concealed", *names)

    def draw(figure: Figure) -> None:
        grid: Grid = figure.subplots(len(shown), len(titles), squeeze=False)
        for line, patch, changed in zip(grid, shown, changes, strict=True):
            amplified = [np.clip(128 + gain * change, 0, 255).astype(np.uint8) for change in changed]
            states = (patch.pristine, patch.manipulated, patch.concealed, *amplified)
            for axes, state in zip(line, states, strict=True):
                _show(axes, state)
            name = f"{manipulation_label(patch.manipulation)}\n{_short(patch.photo)}\n{_noise_text(changed[-1])}"
            line[0].set_ylabel(name, rotation=0, ha="right", va="center", fontsize=7, labelpad=6)
        for axes, title in zip(grid[0], titles, strict=True):
            axes.set_title(title)

    caption = _caption(gain, restored, len(shown), len(patches)) + why
    size = (6.2 + 1.1 * restored, 1.27 * len(shown) + 0.3)
    return picture(
        f"patches{labels.contest_slug(contest)}",
        f"Patches{labels.contest(contest)}",
        (caption, _alt(shown, changes)),
        size,
        draw,
    )


def _alt(shown: Sequence[PatchStates], changes: Sequence[Sequence[Change]]) -> str:
    """Each line of the figure: the manipulation, the photograph and how much the attack changed."""
    lines = [
        f"{manipulation_label(patch.manipulation)}, {_short(patch.photo)}: {_noise_text(changed[-1])}"
        for patch, changed in zip(shown, changes, strict=True)
    ]
    return f"A line for each patch, with its states side by side and the change amplified. {told(lines)}"


def _caption(gain: int, restored: bool, shown: int, of: int) -> str:
    what = "d = concealed − manipulated"
    if restored:
        what = "t = pristine − manipulated, what was taken, and d = restored − manipulated, what was given back,"
    return (
        f"One test patch a line, in its three states, and {what} in grey levels, "
        f"amplified {gain} times around mid grey: an even grey there is a patch that the attack left alone. "
        "Beside each line: the manipulation, the photograph, the share of values that the attack changed and the "
        "largest change." + (f" {shown} of {of} patches are shown." if shown < of else "")
    )


def amplification(changes: Sequence[Change]) -> int:
    """The largest power of two up to 64 that keeps 99.5 % of the changes within 128 levels of mid grey.

    >>> amplification([np.array([-1, 0, 1], np.int16)]), amplification([np.array([-5, 5], np.int16)])
    (64, 16)
    """
    sizes = [float(np.quantile(np.abs(change), 0.995)) for change in changes if change.size]
    largest = max([1.0, *sizes])
    return int(2 ** max(0, min(6, math.floor(math.log2(128 / largest)))))


def _chosen(patches: Sequence[PatchStates]) -> list[PatchStates]:
    """At most `MOST_PATCHES`: the first of every manipulation, then the seconds, in the tables' order."""
    order = ordered((patch.manipulation for patch in patches), (*EASY, *HARD))
    seen: dict[str, int] = {}
    ranked = []
    for place, patch in enumerate(patches):
        rank = seen[patch.manipulation] = seen.get(patch.manipulation, -1) + 1
        ranked.append((rank, order.index(patch.manipulation), place, patch))
    ranked.sort(key=lambda entry: entry[:3])
    return [patch for _, _, _, patch in sorted(ranked[:MOST_PATCHES], key=lambda entry: (entry[1], entry[0]))]


def _noise(patch: PatchStates) -> Change:
    return np.subtract(patch.concealed, patch.manipulated, dtype=np.int16)


def _taken(patch: PatchStates) -> Change:
    return np.subtract(patch.pristine, patch.manipulated, dtype=np.int16)


def _noise_text(noise: Change) -> str:
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
