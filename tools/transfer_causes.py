"""Why noise hides traces from a detector that it was not made for: `python -m tools.transfer_causes --photos DIR`.

In the paper's Tables III and IV, SPAM + SVM still finds nearly all median filtered patches under FGSM noise made for
Cozzolino2017 or Xception. In our tables, it misses most of them. This tool changes one thing at a time, and measures
what the shipped detectors still find (TPR at logit 0):

- loss: the logit, or the cross-entropy, that FGSM differentiates;
- manipulated: the photograph before patches are cut, each patch by itself, or its luma alone;
- noise: made for a detector; random signs in the luma; random signs in red, green and blue;
- width: of random signs in the luma, the standard deviation in pixels of the Gaussian filter that smooths white noise
  before its signs are taken; neighbours then move alike more often than by chance;
- alternating: every second sign is turned round, as on a chessboard, so that neighbours move alike less often;
- share: of random signs in the luma, the share of pixels that move, drawn at random;
- epsilon: the grey levels of each sign;
- training_pairs: with --train, SPAM + SVM trained on so many pairs of the other devices of DIR; 0: the shipped one.

OUT.csv gets a row for each judge and change, with the 95 % interval over photographs (Wilson's where all photographs
agree), two figures of the noise in the luma (the share of pixels that change, and the share of horizontal neighbours
that change by the same sign), and `fpr_noisy`: the share of pristine patches that the judge calls manipulated under
the same noise. The photographs, DIR/<device>/<photo>, should be of devices that the shipped detectors did not learn
from.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from scipy.ndimage import gaussian_filter

from counterforensics import load_detector, manipulations
from counterforensics.attacks import fgsm
from counterforensics.detectors import Network, parse
from counterforensics.detectors.base import score
from counterforensics.evaluation.rates import mean_interval
from counterforensics.intervals import wilson
from counterforensics.photos.folder import FolderPhoto, find_photos
from counterforensics.photos.patches import SIZE, Pairs, Patches
from counterforensics.pixels import Pixels, luma_of_photo

PAIRS = (1, 4, 10, 40)  # of each training photograph
WIDTHS = (0.0, 0.4, 0.6, 0.8, 1.2, 2.0)
DETECTORS = ("spam-svm", "cozzolino2017", "mislnet")
TARGETS = ("cozzolino2017", "mislnet")
PHOTOGRAPH, PATCH, LUMA = "photograph", "patch", "luma"
RANDOM_LUMA, RANDOM_RGB = "random, luma", "random, RGB"


@dataclass(frozen=True)
class Change:
    """How one experiment differs from FGSM on the logit, one grey level, on photographs manipulated as a whole."""

    noise: str = ""
    loss: str = "logit"
    manipulated: str = PHOTOGRAPH
    epsilon: int = 1
    width: float = 0.0
    alternating: bool = False
    share: float = 1.0


def changes() -> list[Change]:
    """All experiments: one thing changes at a time."""
    found = [Change()]
    for target in TARGETS:
        usual = Change(target)
        found += [usual, replace(usual, loss="cross-entropy")]
        found += [replace(usual, manipulated=how) for how in (PATCH, LUMA)]
        found += [replace(usual, epsilon=levels) for levels in (2, 3)]
    signs = Change(RANDOM_LUMA)
    found += [replace(signs, width=width) for width in WIDTHS]
    found += [replace(signs, width=width, alternating=True) for width in WIDTHS if width]
    found += [replace(signs, epsilon=levels) for levels in (2, 3)]
    # As many pixels of the luma as signs in red, green and blue move.
    return [*found, replace(signs, share=0.585), Change(RANDOM_RGB)]


@dataclass(frozen=True)
class Cut:
    """Where patches are cut from one photograph, uint8 [h, w, 3]."""

    photo: Pixels
    corners: tuple[tuple[int, int], ...]

    def patches(self, manipulation: Callable[[Pixels], Pixels], manipulated: str) -> Pixels:
        """RGB patches, uint8 [n, 128, 128, 3], of the manipulated photograph."""
        if manipulated == PHOTOGRAPH:
            whole = manipulation(self.photo)
            return np.stack([whole[top : top + SIZE, left : left + SIZE] for top, left in self.corners])
        given = self.photo if manipulated == PATCH else np.repeat(luma_of_photo(self.photo)[..., None], 3, axis=2)
        cut = [given[top : top + SIZE, left : left + SIZE] for top, left in self.corners]
        return np.stack([manipulation(np.ascontiguousarray(patch)) for patch in cut])


def noisy(patches: Pixels, change: Change, targets: dict[str, Network], draw: np.random.Generator) -> Pixels:
    """RGB patches, uint8 [n, h, w, 3], as the luma of the noisy ones: uint8 [n, 1, h, w]."""
    if change.noise == RANDOM_RGB:
        signs = np.sign(draw.normal(size=patches.shape)).astype(np.int16)
        return luma_of_photo((patches + change.epsilon * signs).clip(0, 255).astype(np.uint8))[:, None]
    luma = luma_of_photo(patches)[:, None]
    if change.noise == RANDOM_LUMA:
        field = draw.normal(size=luma.shape)
        if change.width:
            field = gaussian_filter(field, (0, 0, change.width, change.width))
        signs = np.sign(field).astype(np.int16)
        if change.alternating:
            signs[..., ::2, ::2] *= -1
            signs[..., 1::2, 1::2] *= -1
        if change.share < 1:
            signs[draw.random(signs.shape) >= change.share] = 0
        return (luma + change.epsilon * signs).clip(0, 255).astype(np.uint8)
    if change.noise:
        given, target = torch.from_numpy(luma), targets[change.noise]
        return fgsm(given, target, epsilon=change.epsilon, loss=change.loss).numpy()
    return luma


def figures_of(noise: Pixels, luma: Pixels) -> dict[str, float]:
    """Two shares (0..1) of the noise, uint8 [n, 1, h, w] both: pixels that change, and neighbours that change alike."""
    signs = np.sign(noise.astype(np.int16) - luma)
    alike = (signs[..., 1:] == signs[..., :-1]) & (signs[..., 1:] != 0)
    return {"changed": float((signs != 0).mean()), "neighbours_alike": float(alike.mean())}


def measured(cuts: list[Cut], manipulation: str, training: list[Cut]) -> Iterator[dict[str, object]]:
    """A row for each change and judge; `training`: where SPAM + SVM learns from, nothing for the shipped ones alone."""
    shipped = {name: load_detector(f"{name}/{manipulation}") for name in DETECTORS}
    for change in changes():
        yield from judged(cuts, manipulation, change, shipped, shipped, 0)
    for pairs in pairs_of(training, manipulation):
        own = {"spam-svm": parse("spam-svm").train(pairs, seed=0)}
        for change in (Change(), *map(Change, TARGETS), Change(RANDOM_LUMA)):
            yield from judged(cuts, manipulation, change, shipped, own, len(pairs))


def pairs_of(training: list[Cut], manipulation: str) -> Iterator[Pairs]:
    """Few pairs of each training photograph, then more of the same."""
    apply = manipulations.parse(manipulation)
    pristine = [luma_of_photo(cut.patches(lambda photo: photo, PHOTOGRAPH))[:, None] for cut in training]
    manipulated = [luma_of_photo(cut.patches(apply, PHOTOGRAPH))[:, None] for cut in training]
    for count in PAIRS if training else ():
        first, second = (Patches(tuple(patches[:count] for patches in both)) for both in (pristine, manipulated))
        yield Pairs(first, second)


def judged(
    cuts: list[Cut],
    manipulation: str,
    change: Change,
    targets: dict[str, Network],
    judges: dict[str, Network],
    training_pairs: int,
) -> Iterator[dict[str, object]]:
    """A row for each judge.  training_pairs: what it learned from; 0 for the shipped ones."""
    draw, apply = np.random.default_rng(0), manipulations.parse(manipulation)
    patches = [cut.patches(apply, change.manipulated) for cut in cuts]
    noise = [noisy(some, change, targets, draw) for some in patches]
    shares = figures_of(np.concatenate(noise), np.concatenate([luma_of_photo(some)[:, None] for some in patches]))
    untouched = [cut.patches(lambda photo: photo, PHOTOGRAPH) for cut in cuts]
    pristine = Patches(tuple(noisy(some, change, targets, draw) for some in untouched))
    for name, judge in judges.items():
        rates = np.array([(score(judge, Patches((some,)).batches(16)) > 0).mean() for some in noise])
        low, high = mean_interval(rates, seed=0)
        if np.isnan(low):  # all photographs agree
            low, high = wilson(float(rates[0]), len(rates))
        yield {
            "manipulation": manipulation,
            **asdict(change),
            **{name: round(value, 4) for name, value in shares.items()},
            "training_pairs": training_pairs,
            "judge": name,
            "photographs": len(cuts),
            "patches": sum(map(len, noise)),
            "tpr": round(float(rates.mean()), 6),
            "tpr_low": round(low, 6),
            "tpr_high": round(high, 6),
            "fpr_noisy": round(float((score(judge, pristine.batches(16)) > 0).mean()), 6),
        }


def cuts_of(photos: list[FolderPhoto], per_device: int, per_photo: int) -> list[Cut]:
    """Random places in the first photographs of each device."""
    draw = np.random.default_rng(0)
    taken: dict[str, int] = {}
    found = []
    for photo in photos:
        taken[photo.device] = taken.get(photo.device, 0) + 1
        if taken[photo.device] > per_device:
            continue
        pixels = photo.read()
        most = pixels.shape[0] - SIZE, pixels.shape[1] - SIZE
        corners = draw.integers(0, most, (per_photo, 2)).tolist()
        found.append(Cut(pixels, tuple((top, left) for top, left in corners)))
    return found


def main() -> None:
    """Measure, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--photos", type=Path, nargs="+", required=True, metavar="DIR", help="folders of DIR/<device>/<photo>"
    )
    parser.add_argument("--devices", nargs="*", help="these devices alone")
    parser.add_argument("--per-device", type=int, default=4, help="photographs of each device")
    parser.add_argument("--per-photo", type=int, default=4, help="patches of each photograph")
    parser.add_argument("--manipulations", nargs="*", default=["median:7", "median:3", "blur:1.1", "jpeg:70"])
    parser.add_argument("--train", action="store_true", help="also train SPAM + SVM on the other devices of DIR")
    parser.add_argument("--out", type=Path, required=True, metavar="OUT.csv")
    given = parser.parse_args()
    photos = find_photos(given.photos).photos
    shown = [one for one in photos if not given.devices or one.device in given.devices]
    cuts = cuts_of(shown, given.per_device, given.per_photo)
    others = [one for one in photos if one not in shown] if given.train else []
    training = cuts_of(others, len(others), max(PAIRS))
    with given.out.open("w", encoding="utf-8", newline="") as file:
        writer = None
        for manipulation in given.manipulations:
            for row in measured(cuts, manipulation, training):
                writer = writer or csv.DictWriter(file, list(row), lineterminator="\n")
                if not file.tell():
                    writer.writeheader()
                writer.writerow(row)
                file.flush()
                print(*row.values())


if __name__ == "__main__":
    main()
