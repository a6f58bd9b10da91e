"""The one place where stored 8-bit patches and differentiable grey levels meet.

Between stages a patch is `uint8 [n, c, h, w]`, c = 1 (luma) or 3 (RGB). Inside differentiable code it is
`float32` of the same shape, still in grey levels 0..255, so that an epsilon of 1 is one level of a stored file.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from counterforensics.errors import PixelError

Pixels = npt.NDArray[np.uint8]

# ITU-R BT.601 weights of red, green and blue, in thousandths so that integers stay exact.
LUMA_WEIGHTS = (299, 587, 114)
PIXELS_AT_ONCE = 2**18


def to_pixels(patches: Tensor) -> Tensor:
    """Stored patches as float32 grey levels 0..255, on the same device.

    patches: uint8 [n, c, h, w], c = 1 or 3.  Raises PixelError for anything else.

    >>> to_pixels(torch.full((1, 1, 2, 2), 255, dtype=torch.uint8)).max().item()
    255.0
    """
    return check_patches(patches).to(torch.float32)


def to_patches(pixels: Tensor) -> Tensor:
    """Grey levels as stored values: rounded to the nearest integer, then clipped to 0..255.

    pixels: float [n, c, h, w].  Returns uint8 of the same shape.  Raises PixelError on NaN or infinity,
    which have no nearest grey level.

    >>> to_patches(torch.tensor([[[[-3.0, 1.6, 254.6, 300.0]]]])).flatten().tolist()
    [0, 2, 255, 255]
    """
    if not torch.isfinite(pixels).all():
        raise PixelError("pixels hold NaN or infinity; grey levels are finite numbers")
    return pixels.round().clamp(0, 255).to(torch.uint8)


def check_patches(patches: Any) -> Tensor:
    """`patches` itself if it is a uint8 tensor [n, 1 or 3, h, w]; a PixelError that says what it is otherwise."""
    if not isinstance(patches, Tensor):
        raise PixelError(f"patches must be a uint8 tensor [n, c, h, w], got {type(patches).__name__}")
    if patches.dtype != torch.uint8:
        raise PixelError(f"patches must be uint8, got {patches.dtype} of shape {tuple(patches.shape)}")
    if patches.ndim != 4 or patches.shape[1] not in (1, 3) or 0 in patches.shape[2:]:
        raise PixelError(f"patches must have shape [n, 1 or 3, h, w], got {tuple(patches.shape)}")
    return patches


def check_pixels(pixels: Any, taker: str) -> Tensor:
    """`pixels` itself if it is a float32 tensor [n, 1 or 3, h, w] of finite numbers.

    Raises a PixelError otherwise, which says what `taker` takes, what it got, and how to turn the one into the other.
    """
    takes = f"{taker} takes pixels as a float32 tensor [n, 1 or 3, h, w] of grey levels 0..255"
    if not isinstance(pixels, Tensor):
        raise PixelError(f"{takes}, got {type(pixels).__name__}")
    got = f"{pixels.dtype} of shape {tuple(pixels.shape)}"
    if pixels.dtype != torch.float32:
        advice = "to_pixels of counterforensics.pixels" if pixels.dtype == torch.uint8 else "its method float()"
        raise PixelError(f"{takes}, got {got}; {advice} makes it one")
    if pixels.ndim != 4 or pixels.shape[1] not in (1, 3) or 0 in pixels.shape[2:]:
        raise PixelError(f"{takes}, got {got}")
    # One pass without a copy: a sum of grey levels is finite.
    total = float(pixels.detach().sum())
    if not math.isfinite(total):
        raise PixelError(f"{takes}, got {got} that holds NaN or infinity")
    if total <= pixels.numel() and _in_unit_range(pixels):
        raise PixelError(f"{takes}, got {got} whose values all lie in 0..1; multiply them by 255")
    return pixels


def _in_unit_range(pixels: Tensor) -> bool:
    """Whether these are shares of white, 0..1, and no grey levels: a black photograph holds whole numbers alone.

    Pixels that carry a gradient are an attack's on its way, which may leave whole numbers.
    """
    if pixels.requires_grad or not pixels.numel():
        return False
    return bool(((pixels >= 0) & (pixels <= 1)).all() and (pixels != pixels.round()).any())


def luma(pixels: Tensor) -> Tensor:
    """BT.601 luma in whole grey levels; one channel passes through.

    pixels: float32 [n, c, h, w] in 0..255, c = 1 or 3.  Returns float32 [n, 1, h, w].
    From RGB the value is rounded as it would be when stored, and the gradient passes through the
    rounding unchanged (straight-through), so a detector scores RGB exactly as it scores stored luma.

    >>> red = torch.tensor([255.0, 0.0, 0.0]).reshape(1, 3, 1, 1)
    >>> luma(red).item()
    76.0
    """
    if pixels.shape[1] == 1:
        return pixels
    if pixels.shape[1] != 3:
        raise PixelError(f"pixels must have 1 or 3 channels, got shape {tuple(pixels.shape)}")
    weights = torch.tensor(LUMA_WEIGHTS, dtype=pixels.dtype, device=pixels.device).reshape(1, 3, 1, 1) / 1000
    exact = (pixels * weights).sum(1, keepdim=True)
    return _round_luma(pixels.detach()) + (exact - exact.detach())  # the bracket is 0, and carries the gradient


def _round_luma(pixels: Tensor) -> Tensor:
    """Luma rounded half up in exact integer arithmetic, as `luma_of_photo` rounds it."""
    weights = torch.tensor(LUMA_WEIGHTS, dtype=torch.int64, device=pixels.device).reshape(1, 3, 1, 1)
    whole = pixels.round().to(torch.int64)
    rounded = torch.div((whole * weights).sum(1, keepdim=True) + 500, 1000, rounding_mode="floor")
    return rounded.to(pixels.dtype)


def luma_of_photo(photo: Pixels) -> Pixels:
    """BT.601 luma of a stored photograph or patch, rounded half up to 8 bits.

    photo: uint8 [..., 3], channels last, RGB.  Returns uint8 [...].

    >>> luma_of_photo(np.array([[255, 0, 0], [10, 10, 10]], dtype=np.uint8)).tolist()
    [76, 10]
    """
    luma = np.empty(photo.shape[:-1], dtype=np.uint8)
    # Some pixels at a time: whole numbers of 32 bits take 20 bytes a pixel, more than the photograph itself.
    pixels, into = photo.reshape(-1, photo.shape[-1]), luma.reshape(-1)
    for start in range(0, len(pixels), PIXELS_AT_ONCE):
        weighted = pixels[start : start + PIXELS_AT_ONCE].astype(np.int32) @ np.asarray(LUMA_WEIGHTS, dtype=np.int32)
        into[start : start + PIXELS_AT_ONCE] = (weighted + 500) // 1000
    return luma


def luma_of_planes(photo: Pixels) -> Pixels:
    """BT.601 luma of a stored photograph whose channels come first.

    photo: uint8 [1 or 3, h, w]; one channel is luma already.  Returns uint8 [h, w].  Raises PixelError.

    >>> luma_of_planes(np.full((3, 1, 2), 7, dtype=np.uint8)).tolist()
    [[7, 7]]
    """
    if photo.ndim != 3 or photo.dtype != np.uint8 or photo.shape[0] not in (1, 3):
        raise PixelError(f"a photograph must be uint8 [1 or 3, h, w], got {photo.dtype} of shape {photo.shape}")
    return photo[0] if len(photo) == 1 else luma_of_photo(np.ascontiguousarray(photo.transpose(1, 2, 0)))
