"""A detector behind uploads: the target of attacks that are to survive a platform."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from counterforensics import laundering
from counterforensics.detectors.base import Detector
from counterforensics.errors import AttackError
from counterforensics.laundering import Chain, Platform
from counterforensics.laundering.differentiable import upload
from counterforensics.laundering.profile import JpegPlatform

SEPARATOR = "+"


def parse_uploads(text: str) -> tuple[Platform | Chain, ...]:
    """The platforms in a text, joined by `+`; none in "".  Raises the errors of `laundering.parse`.

    >>> [laundering.text_form(one) for one in parse_uploads("none + telegram>x + jpeg:80")]
    ['none', 'telegram>x', 'jpeg:80']
    """
    return tuple(map(laundering.parse, text.split(SEPARATOR))) if text.strip() else ()


def profiles(text: str) -> tuple[Path, ...]:
    """The files of the platforms in a text that do not come with the package."""
    return tuple(path for one in parse_uploads(text) for step in one.steps for path in step.files)


def check_upload_of_patches(attack: str, text: str, side: int) -> None:
    """Raise AttackError if an upload would reduce patches of this side, or the errors of `laundering.parse`."""
    for step in (step for one in parse_uploads(text) for step in one.steps):
        if isinstance(step, JpegPlatform) and step.size_after(side, side) != (side, side):
            raise AttackError(
                f"{attack}: through={text} reduces patches of {side}x{side} to {step.side}; give a platform with a "
                "larger side"
            )


class DetectorAfterUpload:
    """A detector that sees patches as they come back from uploads; its logit is the mean over the platforms."""

    def __init__(self, detector: Detector, uploads: tuple[Platform | Chain, ...]) -> None:
        self.detector = detector
        self.uploads = uploads
        self.differentiable = detector.differentiable

    def logits(self, pixels: Tensor) -> Tensor:
        """As `Detector.logits`."""
        return torch.stack([self.detector.logits(upload(pixels, one)) for one in self.uploads]).mean(0)
