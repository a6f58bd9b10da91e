"""Any torch module as a detector: its input scaled, its outputs turned into one logit, both checked."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from counterforensics import manipulations
from counterforensics.detectors.base import Network, check_logits
from counterforensics.errors import PixelError, WeightsError, reason_of, shown
from counterforensics.learning.accelerator import device_of
from counterforensics.photos.patches import SIZE
from counterforensics.pixels import luma

PRISTINE_CLASS, MANIPULATED_CLASS = 0, 1
WHITES = (1, 255)
_PROBES = 4  # patches of noise that a model judges while it is wrapped


class WrappedModel(Network):
    """A torch module as a detector; `wrap` makes one.

    model: in evaluation mode.  name: what results call it.
    """

    def __init__(self, model: nn.Module, *, white: float, reads_rgb: bool, manipulated: int, name: str) -> None:
        super().__init__()
        self.model = model
        self.white = white
        self.reads_rgb = reads_rgb
        self.manipulated = manipulated
        self.name = name

    def logits(self, pixels: Tensor) -> Tensor:
        """As `Detector.logits`.  Raises PixelError for pixels, WeightsError for outputs, that cannot be used."""
        if any(part.training for part in self.model.modules()):
            raise WeightsError(f"{self.name} is in training mode; call eval() of the model before it judges")
        if self.reads_rgb and pixels.shape[1] != 3:
            raise PixelError(f"{self.name} reads RGB patches [n, 3, h, w], got {tuple(pixels.shape)}")
        seen = pixels if self.reads_rgb else luma(pixels)
        outputs = self.model(seen / (255 / self.white))
        return check_logits(self._logit_of(outputs, len(pixels)), len(pixels), self.model, WeightsError)

    def _logit_of(self, outputs: object, count: int) -> Tensor:
        """One logit a patch, float32 [n], from the outputs of the model."""
        expected = f"one logit a patch, [{count}] or [{count}, 1], or two, [{count}, 2]"
        if not isinstance(outputs, Tensor):
            raise WeightsError(f"{self.name} must give {expected}; it gives {type(outputs).__name__}")
        if tuple(outputs.shape) not in ((count,), (count, 1), (count, 2)) or not outputs.is_floating_point():
            raise WeightsError(f"{self.name} must give {expected}; it gives {outputs.dtype} {list(outputs.shape)}")
        values = outputs.float()
        if values.shape == (count, 2):
            return values[:, self.manipulated] - values[:, 1 - self.manipulated]
        sign = 1.0 if self.manipulated == MANIPULATED_CLASS else -1.0
        return sign * values.reshape(count)


def wrap(
    model: nn.Module,
    *,
    white: float,
    reads_rgb: bool,
    manipulated: int = MANIPULATED_CLASS,
    manipulation: str | None = None,
    name: str | None = None,
    side: int = SIZE,
) -> WrappedModel:
    """Make a detector of any torch module, for attacks, `detect` and `attack_photo`.

    model: takes float32 [n, c, h, w] and gives float [n], [n, 1] or [n, 2], logits and no probabilities. `wrap` puts
    the model into evaluation mode, and leaves its weights as they are and where they are.
    white: the value of white in the model's input, 1 or 255. A model that wants other values (less a mean, divided by a
    standard deviation) needs a first layer that computes them.
    reads_rgb: True for a model of three channels (RGB), False for a model of one (BT.601 luma).
    manipulated: the class that means manipulated, 0 or 1. Of two outputs a and b, for the classes 0 and 1, the logit of
    the detector is b - a, or a - b for class 0: the logarithm of the odds. One output is the logit of class 1.
    manipulation: the text form of the manipulation that the model was trained to find, such as `median:7`; None for a
    model that looks for any.
    name: what results call the detector, by default the name of the model's class.
    side: the side of the patches on which `wrap` tries the model. `detect` and `attack_photo` use patches of 128.
    Whether the detector is differentiable is found by trying, too.
    Raises WeightsError if the model cannot judge a batch of patches, if it gives anything but one or two finite logits
    a patch, or if its outputs are probabilities; NameNotFoundError or StudyError for `manipulation`.

    >>> brightness = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    >>> detector = wrap(brightness, white=1, reads_rgb=False)
    >>> round(detector.logits(torch.full((1, 1, 8, 8), 51.0)).item(), 4), detector.differentiable
    (0.2, True)
    """
    _check_settings(model, white, reads_rgb, manipulated)
    called = type(model).__name__ if name is None else name
    model.eval()
    wrapped = WrappedModel(model, white=white, reads_rgb=reads_rgb, manipulated=manipulated, name=called).eval()
    if manipulation is not None:
        wrapped.trained_for = manipulations.text_form(manipulations.parse(manipulation))
    wrapped.differentiable = _is_differentiable(wrapped, side)
    return wrapped


def _check_settings(model: object, white: object, reads_rgb: object, manipulated: object) -> None:
    """Raise WeightsError for settings of `wrap` that cannot be."""
    if not isinstance(model, nn.Module):
        got = model.__name__ if isinstance(model, type) else type(model).__name__
        raise WeightsError(f"wrap takes a torch module (torch.nn.Module), got {got}")
    if isinstance(model, Network):
        raise WeightsError(f"{type(model).__name__} is a detector of this package already; use it without wrap")
    if isinstance(white, bool) or white not in WHITES:
        raise WeightsError(f"white must be 1 or 255, the value of white in the model's input, got {shown(white)}")
    if not isinstance(reads_rgb, bool):
        raise WeightsError(f"reads_rgb must be True (RGB) or False (luma), got {shown(reads_rgb)}")
    if isinstance(manipulated, bool) or manipulated not in (PRISTINE_CLASS, MANIPULATED_CLASS):
        raise WeightsError(f"manipulated must be the class that means manipulated, 0 or 1, got {shown(manipulated)}")


def _is_differentiable(wrapped: WrappedModel, side: int) -> bool:
    """Whether the logits have a gradient by the pixels.  Raises WeightsError if the model cannot judge patches."""
    channels = 3 if wrapped.reads_rgb else 1
    generator = torch.Generator().manual_seed(0)
    noise = torch.randint(0, 256, (_PROBES, channels, side, side), generator=generator).float()
    pixels = noise.to(device_of(wrapped.model)).requires_grad_()
    inputs = f"float32 [{_PROBES}, {channels}, {side}, {side}] in 0..{wrapped.white:g}"
    with torch.enable_grad():
        try:
            outputs = wrapped.model(pixels / (255 / wrapped.white))
        except Exception as error:  # of a model that strangers wrote
            raise WeightsError(
                f"{wrapped.name} cannot judge {inputs}: {reason_of(error)}. Check reads_rgb ({wrapped.reads_rgb}), the "
                f"side of its patches ({side}) and the dtype of its weights"
            ) from error
        _check_no_probabilities(outputs, wrapped)
        logits = wrapped.logits(pixels)
        if not logits.requires_grad:
            return False
        (gradient,) = torch.autograd.grad(logits.sum(), pixels, allow_unused=True)
    return gradient is not None


def _check_no_probabilities(outputs: object, wrapped: WrappedModel) -> None:
    """Raise WeightsError for outputs of a softmax or a sigmoid: 0 is no boundary between their classes.

    Two outputs are probabilities if they lie in 0..1 and add up to 1. One output is a probability if it lies in 0..1
    and the last layer of the model is a sigmoid.
    """
    if not isinstance(outputs, Tensor) or not outputs.is_floating_point() or not 1 <= outputs.ndim <= 2:
        return
    values = outputs.detach().float().reshape(len(outputs), -1)
    within = bool(((values >= 0) & (values <= 1)).all())
    if values.shape[1] == 2:
        are_probabilities = within and bool(((values.sum(1) - 1).abs() < 1e-3).all())
    else:
        are_probabilities = within and isinstance([*wrapped.model.modules()][-1], nn.Sigmoid)
    if are_probabilities:
        raise WeightsError(f"{wrapped.name} gives probabilities; wrap the model without its last softmax or sigmoid")
