"""A detector behind uploads: the target of attacks that are to survive a platform."""

from __future__ import annotations

import torch
from torch import Tensor

from counterforensics import laundering
from counterforensics.detectors.base import Detector
from counterforensics.laundering import Chain, Platform
from counterforensics.laundering.differentiable import upload

SEPARATOR = "+"


def parse_uploads(text: str) -> tuple[Platform | Chain, ...]:
    """The platforms in a text, joined by `+`; none in "".  Raises the errors of `laundering.parse`.

    >>> [laundering.text_form(one) for one in parse_uploads("none + telegram>x + jpeg:80")]
    ['none', 'telegram>x', 'jpeg:80']
    """
    return tuple(map(laundering.parse, text.split(SEPARATOR))) if text.strip() else ()


class DetectorAfterUpload:
    """A detector that sees patches as they come back from uploads; its logit is the mean over the platforms."""

    def __init__(self, detector: Detector, uploads: tuple[Platform | Chain, ...]) -> None:
        self.detector = detector
        self.uploads = uploads
        self.differentiable = detector.differentiable

    def logits(self, pixels: Tensor) -> Tensor:
        """As `Detector.logits`."""
        return torch.stack([self.detector.logits(upload(pixels, one)) for one in self.uploads]).mean(0)
