"""Contract tests over every manipulation, and each against another library or a closed form."""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from counterforensics.errors import PixelError, StudyError
from counterforensics.manipulations import BACKEND, MANIPULATIONS, PAPER, parse
from counterforensics.manipulations.base import Manipulation
from counterforensics.names import Registry
from counterforensics.pixels import Pixels
from counterforensics.testing import MANIPULATION_CHECKS, ManipulationCase, check_manipulation

# Every manipulation at the paper's settings, and one that makes a photograph smaller.
TEXTS = (*PAPER, "resize:0.5")


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    draw = np.random.default_rng(0)
    smooth = ndimage.gaussian_filter(draw.normal(size=(96, 140, 3)), (3, 3, 0))
    return np.asarray(np.clip(128 + 400 * smooth + draw.normal(0, 4, smooth.shape), 0, 255), dtype=np.uint8)


def test_every_manipulation_is_tried() -> None:
    assert {text.partition(":")[0] for text in TEXTS} == set(MANIPULATIONS)


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("check", MANIPULATION_CHECKS, ids=lambda check: check.__name__)
def test_a_manipulation_keeps_its_contract(check: Callable[[ManipulationCase], None], text: str) -> None:
    check(ManipulationCase(text))


@pytest.mark.parametrize("text", ["blur:0.3", "resize:1.001", "resize:0.999"])
def test_the_weakest_settings_still_change_a_photograph(text: str) -> None:
    manipulation = parse(text)
    side = manipulation.side_before(8)
    photo = np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)
    assert not np.array_equal(manipulation(photo), photo)


# --- manipulations that break it


@dataclass(frozen=True)
class Wrong(Manipulation):
    """A manipulation that is wrong in the way that `how` says."""

    how: str

    def __call__(self, photo: Pixels) -> Pixels:
        result: Pixels = WRONG[self.how][0](photo)
        return result


def painted(photo: Pixels) -> Pixels:
    """Overwrites its argument."""
    photo[0] = 0
    return photo.copy()


WRONG: dict[str, tuple[Callable[[Pixels], Any], str]] = {
    "float": (lambda photo: photo / 2, "it must return uint8 [h, w, 3], returns float64 (96, 140, 3)"),
    "grey": (lambda photo: photo[..., 0], "it must return uint8 [h, w, 3], returns uint8 (96, 140)"),
    "painted": (painted, "it changes the photograph that it is given"),
    "nothing": (lambda photo: photo.copy(), "it leaves a noisy photograph as it was"),
    "random": (
        lambda photo: photo ^ np.random.randint(0, 2, photo.shape, dtype=np.uint8),  # noqa: NPY002
        "it gives another result for the same photograph",
    ),
    "mirrored": (lambda photo: photo[:, ::-1], "it moves what is shown; say `moves_pixels = True`"),
    "cropped": (lambda photo: photo[8:, 8:], "the result is 120x120 for 128x128; say `moves_pixels = True`"),
}


@pytest.mark.parametrize("how", WRONG)
def test_a_broken_contract_is_said(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    known = Registry("manipulation", Manipulation, {"wrong": Wrong})  # type: ignore[type-abstract]
    monkeypatch.setattr("counterforensics.testing.manipulations.MANIPULATIONS", known)
    with pytest.raises(AssertionError) as raised:
        check_manipulation(f"wrong:{how}")
    assert str(raised.value).startswith(f"wrong:{how}: {WRONG[how][1]}")


# --- each against another library or a closed form


@pytest.mark.parametrize("text", PAPER)
@pytest.mark.parametrize(
    "wrong",
    [
        *(np.zeros((8, 8), np.uint8), np.zeros((8, 8, 3)), np.zeros((8, 8, 4), np.uint8), [[0]], None),
        *(np.zeros((0, 0, 3), np.uint8), np.zeros((0, 8, 3), np.uint8), np.zeros((8, 0, 3), np.uint8)),
    ],
    ids=["grey", "float", "alpha", "list", "nothing", "empty", "no row", "no column"],
)
def test_what_is_no_photograph_is_refused(text: str, wrong: object) -> None:
    with pytest.raises(PixelError, match=r"must be uint8 \[h, w, 3\], got"):
        parse(text)(wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", MANIPULATIONS)
@pytest.mark.parametrize("value", ["x", None, True, [], math.nan, math.inf, 10**400, -1])
def test_a_setting_that_is_no_number_in_range_is_refused(name: str, value: Any) -> None:
    make: Any = MANIPULATIONS[name]
    with pytest.raises(StudyError, match=f"{name}: .* must "):
        make(value)


@pytest.mark.parametrize("name", ["median", "jpeg"])
def test_a_setting_that_is_no_whole_number_is_refused(name: str) -> None:
    make: Any = MANIPULATIONS[name]
    with pytest.raises(StudyError, match=rf"{name}: .* must be a whole number, got 3\.5"):
        make(3.5)


@pytest.mark.parametrize("size", [3, 7])
def test_the_median_is_scipys(size: int, photo: np.ndarray) -> None:
    expected = np.stack([ndimage.median_filter(photo[..., c], size, mode="nearest") for c in range(3)], axis=-1)
    assert np.array_equal(parse(f"median:{size}")(photo), expected)


@pytest.mark.parametrize("quality", [70, 90])
def test_jpeg_is_pillows_bit_for_bit(quality: int, photo: np.ndarray) -> None:
    stream = io.BytesIO()
    Image.fromarray(photo).save(stream, "JPEG", quality=quality, subsampling="4:2:0")
    assert np.array_equal(parse(f"jpeg:{quality}")(photo), np.asarray(Image.open(stream).convert("RGB")))


@pytest.mark.parametrize("sigma", [0.5, 1.1])
def test_blur_is_a_gaussian_to_one_grey_level(sigma: float, photo: np.ndarray) -> None:
    radius = (round(6 * sigma + 1) | 1) // 2
    expected = ndimage.gaussian_filter(
        photo.astype(float), (sigma, sigma, 0), mode="mirror", radius=(radius, radius, 0)
    )
    assert np.abs(parse(f"blur:{sigma}")(photo) - expected).max() <= 1


@pytest.mark.parametrize(("scale", "size"), [(1.5, (144, 210)), (1.01, (97, 141)), (0.5, (48, 70))])
def test_resize_scales_both_sides(scale: float, size: tuple[int, int], photo: np.ndarray) -> None:
    assert parse(f"resize:{scale:g}")(photo).shape == (*size, 3)


def test_bicubic_keeps_a_ramp_straight() -> None:
    ramp = np.repeat(np.arange(40, 200, 2, dtype=np.uint8)[None, :, None], 3, axis=2).repeat(80, axis=0)
    bigger = parse("resize:1.5")(ramp)[60, 10:-10, 0].astype(int)
    expected = 40 + 2 * ((np.arange(120) + 0.5) / 1.5 - 0.5)
    assert np.abs(bigger - expected[10:-10]).max() <= 1


def test_a_jpeg_cannot_be_larger_than_the_format() -> None:
    with pytest.raises(PixelError, match="at most 65500 pixels a side, got 65501x1"):
        parse("jpeg:70")(np.zeros((1, 65501, 3), np.uint8))


def test_the_backend_is_recorded_with_its_version() -> None:
    assert BACKEND.startswith("opencv ")
    assert BACKEND.split()[1].count(".") >= 2
