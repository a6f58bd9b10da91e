"""A platform as a function with gradients, for attacks that are to survive an upload.

Forward, a photograph passes the platform itself, so every grey level is that of `launder`. Backward, it passes an
approximation of the platform (Athalye et al. 2018, "backward pass differentiable approximation"). The approximation
resizes, subsamples the colour, takes the DCT, rounds softly, and goes back; it rounds nothing else. Soft rounding gives
the nearest whole number plus the cube of the rest (Shin & Song 2017). So a coefficient between two whole numbers gives
most of the gradient. A coefficient near a whole number gives little: JPEG would undo a small change of it.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import pad

from counterforensics.laundering.base import Chain, Platform
from counterforensics.laundering.jpeg import SUBSAMPLINGS, Coding, Table
from counterforensics.laundering.kernels import OPENCV, PILLOW, box_runs
from counterforensics.laundering.profile import JpegPlatform
from counterforensics.pixels import Pixels

Gradient = npt.NDArray[np.float32]

_BLOCK = 8
_PROBED = 256  # impulses that a library resizes at a time


def upload(pixels: Tensor, platform: Platform | Chain) -> Tensor:
    """What comes back when photographs of one size are uploaded, with gradients.

    pixels: float32 [n, 1 or 3, h, w] in grey levels 0..255; they are rounded before the upload.  One channel is a grey
    photograph, and comes back as one.  platform: what `laundering.parse` gives; the EXIF orientation is 1.
    Returns float32 [n, c, h', w'] in whole grey levels, on the same device: the pixels that `launder` gives, with the
    gradient of `soft_upload`.

    >>> from counterforensics import laundering
    >>> grey = torch.full((1, 1, 16, 24), 100.0, requires_grad=True)
    >>> came = upload(grey, laundering.parse("telegram:side=12"))
    >>> came.shape, came.unique().tolist()
    (torch.Size([1, 1, 8, 12]), [100.0])
    """
    stored = pixels.detach().round().clamp(0, 255).to(torch.uint8).cpu().numpy()
    exact = torch.from_numpy(np.stack([_laundered(one, platform) for one in stored])).to(pixels)
    if not pixels.requires_grad:
        return exact
    soft = soft_upload(pixels, platform)
    return exact + (soft - soft.detach())  # the bracket is 0, and carries the gradient


def soft_upload(pixels: Tensor, platform: Platform | Chain) -> Tensor:
    """An approximation of an upload that has gradients.

    pixels, result: as `upload` has them, but for grey levels between whole ones.
    """
    for step in platform.steps:
        if isinstance(step, JpegPlatform):
            height, width = pixels.shape[-2:]
            across, down = step.size_after(width, height)
            rows = _along(pixels, across, step.kernel).transpose(-1, -2)
            pixels = _along(rows, down, step.kernel).transpose(-1, -2)
            pixels = _jpeg(pixels, step.coding).clamp(0, 255)
    return pixels


def pulled_back(gradient: Gradient, planes: Pixels, platform: Platform | Chain) -> Gradient:
    """The gradient by a photograph, from the gradient by what came back.

    gradient: float32 [c, h', w'].  planes: the photograph, uint8 [1 or 3, h, w].  Returns float32 [c, h, w].

    >>> from counterforensics import laundering
    >>> platform = laundering.parse("telegram:side=12")
    >>> pulled_back(np.ones((1, 8, 12), dtype=np.float32), np.zeros((1, 16, 24), dtype=np.uint8), platform).shape
    (1, 16, 24)
    """
    pixels = torch.from_numpy(planes).float()[None].requires_grad_()
    came = soft_upload(pixels, platform)
    (by_photo,) = torch.autograd.grad(came, pixels, torch.from_numpy(gradient)[None])
    return np.asarray(by_photo[0].numpy())


def _laundered(stored: Pixels, platform: Platform | Chain) -> Pixels:
    """One photograph, uint8 [1 or 3, h, w], after the upload."""
    channels = len(stored)
    photo = np.ascontiguousarray(np.broadcast_to(stored, (3, *stored.shape[1:])).transpose(1, 2, 0))
    return platform(photo).pixels.transpose(2, 0, 1)[:channels]


class _Taps(NamedTuple):
    """For each output pixel the input pixels that it takes, int64, and their weights, float32: [taps, after] each."""

    places: Tensor
    weights: Tensor


def _along(pixels: Tensor, side: int, kernel: str) -> Tensor:
    """The last axis reduced to `side` pixels by one of `kernels.KERNELS`; unchanged at its own length."""
    before = pixels.shape[-1]
    if before == side:
        return pixels
    taps = _taps(before, side, kernel)
    total = torch.zeros((*pixels.shape[:-1], side), dtype=pixels.dtype, device=pixels.device)
    for places, weights in zip(*taps, strict=True):
        total = total + pixels[..., places.to(pixels.device)] * weights.to(pixels)
    return total


@functools.lru_cache(maxsize=32)
def _taps(before: int, after: int, kernel: str) -> _Taps:
    """The kernel along one axis, from `before` to `after` pixels."""
    if kernel == "box":
        first, count = box_runs(before, after)
        tap = np.arange(int(count.max()))[:, None]
        places = np.minimum(first + tap, before - 1)
        weights = np.where(tap < count, 1.0 / count, 0.0).astype(np.float32)
    else:
        matrix = np.concatenate([_probed(before, after, kernel, start) for start in range(0, before, _PROBED)])
        most = int((matrix != 0).sum(0).max())
        places = np.argsort(matrix == 0, axis=0, kind="stable")[:most]
        weights = np.take_along_axis(matrix, places, axis=0)
    return _Taps(torch.from_numpy(places), torch.from_numpy(weights))


def _probed(before: int, after: int, kernel: str, start: int) -> npt.NDArray[np.float32]:
    """What a library makes of single bright pixels: their weights in each output pixel, float32 [some, after]."""
    impulses = np.eye(min(_PROBED, before - start), before, start, dtype=np.float32)
    if kernel in PILLOW:
        return np.array(Image.fromarray(impulses).resize((after, len(impulses)), PILLOW[kernel]))
    return np.asarray(cv2.resize(impulses, (after, len(impulses)), interpolation=OPENCV[kernel]), dtype=np.float32)


def _jpeg(pixels: Tensor, coding: Coding) -> Tensor:
    """float [n, 1 or 3, h, w], stored as JPEG with soft rounding, and decoded."""
    if pixels.shape[1] == 1:
        return _coded(pixels - 128, coding.luma) + 128
    # JFIF: luma, and blue and red less luma, whose factors give all three the same range.
    red, green, blue = pixels[:, :1], pixels[:, 1:2], pixels[:, 2:]
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    across, down = SUBSAMPLINGS[coding.subsampling]
    to_blue = _colour((blue - luma) / 1.772, coding.chroma, across, down)
    to_red = _colour((red - luma) / 1.402, coding.chroma, across, down)
    luma = _coded(luma - 128, coding.luma) + 128
    red = luma + 1.402 * to_red
    blue = luma + 1.772 * to_blue
    green = (luma - 0.299 * red - 0.114 * blue) / 0.587
    return torch.cat([red, green, blue], 1)


def _colour(plane: Tensor, table: Table, across: int, down: int) -> Tensor:
    """One plane of colour, around 0: means of 2x2 or 2x1 pixels are coded, and scaled up by linear interpolation."""
    height, width = plane.shape[-2:]
    plane = _extended(plane, across, down)
    parts = [plane[..., i::down, j::across] for i in range(down) for j in range(across)]
    plane = _coded(torch.stack(parts).mean(0), table)
    if across == 2:
        plane = _doubled(plane)
    if down == 2:
        plane = _doubled(plane.transpose(-1, -2)).transpose(-1, -2)
    return plane[..., :height, :width]


def _coded(plane: Tensor, table: Table) -> Tensor:
    """One plane, around 0, after the DCT of 8x8 blocks, soft quantisation, and the way back."""
    height, width = plane.shape[-2:]
    steps = torch.tensor(table, dtype=plane.dtype, device=plane.device).reshape(_BLOCK, _BLOCK)
    basis = _dct_basis().to(plane)
    whole = _extended(plane, _BLOCK, _BLOCK)
    rows, columns = (side // _BLOCK for side in whole.shape[-2:])
    blocks = whole.reshape(-1, rows, _BLOCK, columns, _BLOCK).transpose(2, 3)
    coefficients = _softly_rounded(basis @ blocks @ basis.T / steps) * steps
    back = (basis.T @ coefficients @ basis).transpose(2, 3)
    return back.reshape(-1, 1, rows * _BLOCK, columns * _BLOCK)[..., :height, :width]


def _softly_rounded(values: Tensor) -> Tensor:
    """The nearest whole number plus the cube of the rest (Shin & Song 2017).

    >>> _softly_rounded(torch.tensor([2.0, 2.5, 2.75, -1.25])).tolist()
    [2.0, 2.125, 2.984375, -1.015625]
    """
    whole = values.detach().round()
    return whole + (values - whole) ** 3


@functools.cache
def _dct_basis() -> Tensor:
    """The orthonormal DCT-II of 8 values: float64 [8, 8], a frequency a row."""
    frequency, place = torch.meshgrid(*2 * [torch.arange(_BLOCK, dtype=torch.float64)], indexing="ij")
    basis = torch.cos(torch.pi * (2 * place + 1) * frequency / (2 * _BLOCK)) / 2
    basis[0] /= 2**0.5
    return basis


def _extended(plane: Tensor, across: int, down: int) -> Tensor:
    """With the last column and row repeated until the sides are multiples of `across` and `down`."""
    height, width = plane.shape[-2:]
    more = (0, -width % across, 0, -height % down)
    return pad(plane, more, mode="replicate") if any(more) else plane


def _doubled(plane: Tensor) -> Tensor:
    """Twice the columns: each is three quarters of the nearer pixel and a quarter of the further; edges repeat."""
    padded = pad(plane, (1, 1, 0, 0), mode="replicate")
    near = 3 * plane
    halves = torch.stack([near + padded[..., :-2], near + padded[..., 2:]], -1) / 4
    return halves.flatten(-2)
