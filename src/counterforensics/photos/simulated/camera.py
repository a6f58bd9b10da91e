"""A camera: from light in front of the lens to the JPEG file that it writes.

light -> lens and focus -> sensor (colour filters, fixed patterns, noise) -> white balance -> demosaicing ->
lens correction -> colour -> tone -> noise reduction -> sharpening -> JPEG with the camera's own tables.
"""

from __future__ import annotations

import functools
import io
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from counterforensics.photos.simulated import demosaicing
from counterforensics.pixels import LUMA_WEIGHTS, Pixels
from counterforensics.seeds import seed_for

Field = npt.NDArray[np.float32]

RAW_STEPS = 2**14 - 1  # steps of the converter between dark and saturated
_GREY = 0.18  # where a meter puts the mean of a scene, as a part of saturation


@dataclass(frozen=True)
class Camera:
    """Everything about one device that a photograph of it depends on. All values are chosen.

    cfa: colours of the filter array's first four pixels, two rows of two, such as "RGGB".
    demosaicing: a name of `demosaicing.METHODS`.
    sensor_scale: pixels of the sensor per pixel of the photograph, along a side; above 1 the camera reduces.
    optics: standard deviation of the Gaussian blur of lens, filter and focus at its best, in sensor pixels.
    focus: the largest further blur, of what lies out of focus, in sensor pixels.
    shot, read: noise of variance shot * x + read^2 at light x (0 dark, 1 saturated; Foi et al. 2008), at base
        sensitivity; `sensitivities` are the stops above base that its photographs use, 0..sensitivities.
    gain_pattern, dark_pattern: standard deviations of the fixed patterns, multiplied (PRNU) and added.
    red, blue: sensitivity to grey light in red and blue relative to green, undone by white balance.
    crosstalk: the part of each colour that leaks into the others, undone by the colour matrix.
    saturation, contrast: of colours (1 neutral) and of the tone curve (0 none, 1 a full smoothstep).
    distortion: of the lens, corrected by resampling: the part by which corners move inwards.
    smoothing: standard deviation of the blur of luma, in pixels (noise reduction of the plainest kind).
    coring: fine detail of luma below this many grey levels is removed (noise reduction).
    chroma_blur: standard deviation of the blur of colour differences, in pixels.
    sharpening: (radius, amount) of an unsharp mask on luma, the radius in pixels.
    luma_table, chroma_table: quantisation steps, 64 in rows.
    subsampling: "4:4:4", "4:2:2" or "4:2:0".
    """

    cfa: str
    demosaicing: str
    optics: float
    luma_table: tuple[int, ...]
    chroma_table: tuple[int, ...]
    subsampling: str = "4:2:0"
    sensor_scale: float = 1.0
    focus: float = 1.5
    shot: float = 1e-4
    read: float = 1e-3
    sensitivities: float = 3.0
    gain_pattern: float = 0.008
    dark_pattern: float = 2e-4
    red: float = 0.5
    blue: float = 0.65
    crosstalk: float = 0.15
    saturation: float = 1.0
    contrast: float = 0.2
    distortion: float = 0.0
    smoothing: float = 0.0
    coring: float = 0.0
    chroma_blur: float = 0.0
    sharpening: tuple[float, float] = (1.0, 0.0)


def photograph(light: Field, camera: Camera, *, size: tuple[int, int], device: str, seed: int) -> bytes:
    """The JPEG file that `camera` writes of a scene.

    light: float32 [h, w, 3], linear, finer than the sensor.  size: height and width of the photograph.
    device: names the fixed patterns, the same in every photo of a device.  seed: exposure, focus and noise.
    """
    rng = np.random.default_rng(seed)
    height, width = sensor_size(camera, size)
    stops = camera.sensitivities * rng.uniform(0, 1) ** 2  # mostly near base
    focused = through_lens(light, camera, (height, width), rng)
    exposed = expose(focused, _GREY * 2 ** rng.uniform(-1.0, 0.8))
    raw = sense(exposed, camera, stops=stops, device=device, rng=rng)
    return encode(develop(raw, camera, size=size, stops=stops), camera)


def sensor_size(camera: Camera, size: tuple[int, int]) -> tuple[int, int]:
    """Height and width of the sensor behind a photograph of `size`: even, for whole cells of its filters."""
    height, width = (2 * round(side * camera.sensor_scale / 2 + 0.49) for side in size)
    return height, width


def through_lens(light: Field, camera: Camera, size: tuple[int, int], rng: np.random.Generator) -> Field:
    """Light on the pixels of the sensor: blurred, vignetted, averaged over each pixel.

    light: float32 [h, w, 3].  Returns float32 [*size, 3].
    """
    height, width = size
    sigma = camera.optics * light.shape[0] / height
    sharp = cv2.resize(cv2.GaussianBlur(light, (0, 0), sigma), (width, height), interpolation=cv2.INTER_AREA)
    y, x = np.linspace(-1, 1, height, dtype=np.float32)[:, None], np.linspace(-1, 1, width, dtype=np.float32)
    if camera.focus > 0:
        out_of_focus = cv2.GaussianBlur(sharp, (0, 0), rng.uniform(0.3, 1.0) * camera.focus)
        cx, cy, depth, turn = *rng.uniform(-1, 1, 2), rng.uniform(0, 4), rng.uniform(0, 2 * np.pi)
        away = np.abs(np.cos(turn) * (x - cx) + np.sin(turn) * (y - cy)) * depth  # of the plane in focus
        part = np.clip(away + rng.uniform(-1.2, 0.8), 0, 1)[:, :, None].astype(np.float32)
        sharp += part * (out_of_focus - sharp)
    vignette = 1 / (1 + np.float32(rng.uniform(0.02, 0.2)) * (x * x + y * y)) ** 2  # the law of cos^4
    return np.asarray(sharp * vignette[:, :, None], dtype=np.float32)


def expose(light: Field, mean: float) -> Field:
    """Light scaled to the wanted mean, or darker where highlights would be lost; 1 saturates.

    light: float32 [h, w, 3].  Returns float32 of the same shape, 0..1.
    """
    sample = light[::8, ::8]
    gain = min(mean / max(float(sample.mean()), 1e-6), 1.0 / max(float(np.percentile(sample, 99.5)), 1e-6))
    return np.asarray(np.clip(light * np.float32(gain), 0, 1), dtype=np.float32)


def sense(light: Field, camera: Camera, *, stops: float, device: str, rng: np.random.Generator) -> Field:
    """Raw values: one colour a pixel, fixed patterns, Poisson-Gaussian noise (Foi et al. 2008), steps.

    light: float32 [h, w, 3] in 0..1.  stops: of sensitivity above base; each halves the light of a raw value.
    Returns float32 [h, w] in 0..1 before white balance, a multiple of 1/RAW_STEPS. Photon counts are large
    enough here for the normal approximation of the Poisson law.
    """
    sensitivity = np.array([[camera.red], [1], [camera.blue]], dtype=np.float32)
    mixed = cv2.transform(light, _mixing(camera.crosstalk) * sensitivity)
    raw = demosaicing.mosaic(mixed, camera.cfa)
    gain, dark = patterns(camera, device, raw.shape)
    raw = raw * gain + dark
    shot, read = np.float32(camera.shot * 2**stops), np.float32(camera.read * 2**stops)
    variance = shot * np.maximum(raw, 0) + read**2
    raw += np.sqrt(variance) * rng.standard_normal(raw.shape, dtype=np.float32)
    return np.clip(np.rint(raw * RAW_STEPS) / np.float32(RAW_STEPS), 0, 1)


def patterns(camera: Camera, device: str, shape: tuple[int, ...]) -> tuple[Field, Field]:
    """The fixed patterns of a device: a factor for each pixel (PRNU), and what it reads in the dark.

    Returns two float32 arrays of `shape`; they depend on nothing but the camera, its name and the shape.
    """
    rng = np.random.default_rng(seed_for(0, "patterns", device))
    gain = 1 + np.float32(camera.gain_pattern) * rng.standard_normal(shape, dtype=np.float32)
    return gain, np.float32(camera.dark_pattern) * rng.standard_normal(shape, dtype=np.float32)


def develop(raw: Field, camera: Camera, *, size: tuple[int, int], stops: float = 0.0) -> Pixels:
    """The picture that the camera makes of raw values.

    raw: float32 [h, w] in 0..1.  size: height and width of the picture.  stops: of sensitivity above base;
    noise reduction grows with them and sharpening falls.  Returns uint8 [*size, 3], RGB.
    """
    balanced = np.clip(demosaicing.balance(raw, camera.cfa, camera.red, camera.blue), 0, 1)
    rgb = demosaicing.METHODS[camera.demosaicing](balanced, camera.cfa)
    if camera.sensor_scale > 1:
        rgb = cv2.resize(rgb, size[::-1], interpolation=cv2.INTER_AREA)
    rgb = rgb[: size[0], : size[1]]  # the sensor may be a pixel larger, to be even
    if camera.distortion != 0:
        rgb = straighten(rgb, camera.distortion)
    levels = 255 * tone(cv2.transform(rgb, _colour_matrix(camera)), camera.contrast)
    ycc = cv2.cvtColor(levels, cv2.COLOR_RGB2YCrCb)
    if camera.chroma_blur > 0:
        ycc[:, :, 1:] = cv2.GaussianBlur(ycc[:, :, 1:], (0, 0), camera.chroma_blur)
    y = np.ascontiguousarray(ycc[:, :, 0])
    if camera.smoothing > 0:
        y = cv2.GaussianBlur(y, (0, 0), camera.smoothing)
    if camera.coring > 0:
        y = core(y, camera.coring * 2 ** (stops / 2))
    radius, amount = camera.sharpening
    if amount > 0:
        y = y + np.float32(amount / 2 ** (stops / 4)) * (y - cv2.GaussianBlur(y, (0, 0), radius))
    ycc[:, :, 0] = y
    rgb = cv2.cvtColor(ycc, cv2.COLOR_YCrCb2RGB)
    return np.asarray(np.clip(np.rint(rgb), 0, 255), dtype=np.uint8)


def straighten(rgb: Field, distortion: float) -> Field:
    """Lens distortion corrected as cameras do it, by resampling (bilinear): r becomes r (1 - distortion r^2).

    rgb: float32 [h, w, 3]; r is 1 in the corners.  Returns float32 of the same shape.
    """
    height, width = rgb.shape[:2]
    y = np.arange(height, dtype=np.float32)[:, None] - np.float32((height - 1) / 2)
    x = np.arange(width, dtype=np.float32)[None] - np.float32((width - 1) / 2)
    pull = 1 - np.float32(distortion) * (x * x + y * y) / (x[0, 0] ** 2 + y[0, 0] ** 2)
    mapped = x * pull - x[0, 0], y * pull - y[0, 0]
    return np.asarray(cv2.remap(rgb, *mapped, cv2.INTER_LINEAR), dtype=np.float32)


def tone(linear: Field, contrast: float) -> Field:
    """Linear light as display values: the curve of sRGB (IEC 61966-2-1), then a part of a smoothstep.

    linear: float32, clipped to 0..1.  contrast: 0 (sRGB alone) to 1.  Returns float32, same shape, 0..1.
    """
    return np.take(_tone_curve(contrast), np.rint(np.clip(linear, 0, 1) * RAW_STEPS).astype(np.int32))


def core(y: Field, threshold: float) -> Field:
    """Luma without faint fine detail: what differs from the surroundings shrinks by up to `threshold` levels.

    y: float32 [h, w] in grey levels.  Smooth shrinkage (a Wiener-like gain d^2 / (d^2 + t^2)), as cheap
    noise reduction in cameras does [inferred].
    """
    around = cv2.GaussianBlur(y, (0, 0), 1.5)
    detail = y - around
    energy = cv2.boxFilter(detail * detail, -1, (3, 3))
    return np.asarray(around + detail * (energy / (energy + np.float32(threshold**2))), dtype=np.float32)


def _mixing(crosstalk: float) -> Field:
    """The colours that the filters pass, of the true ones: rows sum to 1, so grey stays grey."""
    return np.full((3, 3), crosstalk / 3, dtype=np.float32) + (1 - crosstalk) * np.eye(3, dtype=np.float32)


def _colour_matrix(camera: Camera) -> Field:
    """Undoes the crosstalk, then moves colours from grey by the saturation (BT.601 luma held)."""
    grey = np.tile(np.array(LUMA_WEIGHTS) / 1000, (3, 1))
    saturated = grey + camera.saturation * (np.eye(3) - grey)
    return np.asarray(saturated @ np.linalg.inv(_mixing(camera.crosstalk)), dtype=np.float32)


@functools.cache
def _tone_curve(contrast: float) -> Field:
    """Display value of each raw step: float32 [RAW_STEPS + 1] in 0..1."""
    linear = np.linspace(0, 1, RAW_STEPS + 1)
    display = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    smoothstep = display * display * (3 - 2 * display)
    return np.asarray(display + contrast * (smoothstep - display), dtype=np.float32)


def encode(picture: Pixels, camera: Camera) -> bytes:
    """The picture as the camera's JPEG file.  picture: uint8 [h, w, 3], RGB."""
    stream = io.BytesIO()
    tables = [list(camera.luma_table), list(camera.chroma_table)]
    Image.fromarray(picture).save(stream, "JPEG", qtables=tables, subsampling=camera.subsampling)
    return stream.getvalue()
