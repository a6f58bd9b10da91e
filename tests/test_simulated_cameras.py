"""Simulated cameras: always the same bytes, other pictures for other settings, a sensor that adds up."""

from __future__ import annotations

import dataclasses
import io
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from counterforensics.errors import PhotoError, StudyError
from counterforensics.photos import simulated
from counterforensics.photos.simulated import DEVICES, SimulatedPhoto, camera, demosaicing, simulated_photos, surfaces
from counterforensics.photos.simulated.devices import CAMERAS
from counterforensics.photos.simulated.leaves import LEAF, NO_PLATE, light_of
from counterforensics.photos.simulated.quantisation import annex_k, radial
from counterforensics.photos.simulated.scenes import SUPERSAMPLING, scene

# A camera that does nothing beyond its sensor: what it sees, it stores.
PLAIN = camera.Camera(
    cfa="RGGB",
    demosaicing="bilinear",
    optics=0.5,
    luma_table=(1,) * 64,
    chroma_table=(1,) * 64,
    red=1.0,
    blue=1.0,
    crosstalk=0.0,
    gain_pattern=0.0,
    dark_pattern=0.0,
)


def small(device: str = "simulated-a", index: int = 0, seed: int = 0) -> SimulatedPhoto:
    return SimulatedPhoto(device, index, width=256, height=192, seed=seed)


def flat(level: float, side: int = 256) -> camera.Field:
    return np.full((side, side, 3), level, dtype=np.float32)


def correlation(a: camera.Field, b: camera.Field) -> float:
    return float(np.corrcoef(a.ravel(), b.ravel())[0, 1])


# --- photos


def test_a_photo_is_always_the_same_bytes_in_any_order_and_in_threads() -> None:
    photos = [small("simulated-a"), small("simulated-f", 3), small("simulated-d", 1, seed=9)]
    once = [photo.encoded() for photo in photos]
    with ThreadPoolExecutor(3) as pool:
        again = list(pool.map(SimulatedPhoto.encoded, reversed(photos)))
    assert again[::-1] == once


@pytest.mark.parametrize("device", DEVICES)
def test_a_photo_has_the_size_and_the_tables_of_its_device(device: str) -> None:
    photo = small(device)
    with Image.open(io.BytesIO(photo.encoded())) as stored:
        assert stored.size == (256, 192)
        own = CAMERAS[device]
        tables = [tuple(table) for table in stored.quantization.values()]  # type: ignore[attr-defined]
        assert list(dict.fromkeys(tables)) == list(dict.fromkeys((own.luma_table, own.chroma_table)))
        sampling = {"4:4:4": (1, 1), "4:2:2": (2, 1), "4:2:0": (2, 2)}[own.subsampling]
        assert stored.layer[0][1:3] == sampling  # type: ignore[attr-defined]
    pixels = photo.read()
    assert pixels.shape == (192, 256, 3)
    assert pixels.dtype == np.uint8
    assert pixels.std() > 2


def test_the_collection_is_named_counted_and_without_repeats() -> None:
    photos = simulated_photos(devices=3, photos=4, width=256, height=192, seed=5)
    assert [photo.name for photo in photos[:2]] == ["simulated-a/000.jpg", "simulated-a/001.jpg"]
    assert [photo.device for photo in photos] == [device for device in DEVICES[:3] for _ in range(4)]
    assert len({photo.digest for photo in photos}) == len(photos)


def test_there_are_many_devices_and_no_two_alike() -> None:
    assert len(DEVICES) >= 12
    assert all(device.startswith("simulated-") for device in DEVICES)
    assert len(set(CAMERAS.values())) == len(DEVICES)
    assert {own.cfa for own in CAMERAS.values()} == set(demosaicing.PHASES)
    assert {own.demosaicing for own in CAMERAS.values()} == set(demosaicing.METHODS)
    assert {own.subsampling for own in CAMERAS.values()} == {"4:4:4", "4:2:2", "4:2:0"}


def test_photos_share_no_scene() -> None:
    photos = [small(), small(index=1), small("simulated-b"), small(seed=1)]
    pictures = [photo.read().mean(2).astype(np.float32) for photo in photos]
    for n, picture in enumerate(pictures):
        assert all(abs(correlation(picture, other)) < 0.7 for other in pictures[n + 1 :])


@pytest.mark.parametrize(
    "change", [{"device": "simulated-b"}, {"index": 1}, {"width": 272}, {"height": 208}, {"seed": 1}]
)
def test_the_digest_changes_with_every_setting_of_a_photo(change: dict[str, str | int]) -> None:
    assert small().digest == small().digest
    assert dataclasses.replace(small(), **change).digest != small().digest  # type: ignore[arg-type]


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(camera.Camera)])
def test_the_digest_changes_with_every_setting_of_a_camera(field: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = small().digest
    changed = dataclasses.replace(CAMERAS["simulated-a"], **{field: "another"})  # type: ignore[arg-type]
    monkeypatch.setattr(simulated, "CAMERAS", {"simulated-a": changed})
    assert small().digest != before


def test_the_digest_changes_with_the_version(monkeypatch: pytest.MonkeyPatch) -> None:
    before = small().digest
    monkeypatch.setattr(simulated, "VERSION", simulated.VERSION + 1)
    assert small().digest != before


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"devices": len(DEVICES) + 1}, f"devices must be a whole number from 1 to {len(DEVICES)}, got"),
        ({"devices": 0}, "devices must be"),
        ({"photos": 0}, "photos must be"),
        ({"width": 127}, "width must be a whole number from 128 to 4096, got 127"),
        ({"height": 100_000}, "height must be"),
        ({"seed": -1}, "seed must be"),
        ({"photos": 2.5}, r"photos must be a whole number from 1 to 1000, got 2\.5"),
    ],
)
def test_impossible_settings_are_refused_in_one_line(settings: dict[str, int], message: str) -> None:
    with pytest.raises(StudyError, match=message) as error:
        simulated_photos(**settings)
    assert "\n" not in str(error.value)


def test_a_device_that_does_not_exist_is_refused() -> None:
    with pytest.raises(StudyError, match="simulated-zz"):
        small("simulated-zz")


# --- scenes


def test_leaves_cover_what_they_should() -> None:
    leaves = np.zeros(3, dtype=LEAF)
    leaves["plate"] = NO_PLATE
    leaves["x"], leaves["y"] = [50, 30, 70], [50, 50, 50]
    leaves["half_width"], leaves["half_height"] = [200, 10.3, 20.3], [200, 20.3, 10.3]
    leaves["rectangle"], leaves["turn"] = [True, False, True], [0, np.pi / 2, np.pi / 2]
    leaves["red"] = [0.25, 0.5, 1.0]
    none = np.zeros((1, 2, 2), dtype=np.float32)
    red = light_of(leaves, 100, 100, none, none[..., None])[:, :, 0]
    y, x = np.mgrid[:100, :100]
    np.testing.assert_array_equal(red == 0.5, ((x - 30) / 20.3) ** 2 + ((y - 50) / 10.3) ** 2 <= 1)
    np.testing.assert_array_equal(red == 1.0, (abs(x - 70) <= 10) & (abs(y - 50) <= 20))


def test_a_scene_is_finer_than_the_photo_finite_and_not_negative() -> None:
    light = scene(192, 256, np.random.default_rng(0))
    assert light.shape == (SUPERSAMPLING * 192, SUPERSAMPLING * 256, 3)
    assert light.dtype == np.float32
    assert np.isfinite(light).all()
    assert light.min() >= 0


# --- sensor and processing


@pytest.mark.parametrize("level", [0.1, 0.4, 0.7])
@pytest.mark.parametrize("stops", [0.0, 2.0])
def test_noise_of_a_flat_scene_follows_the_poisson_gaussian_line(level: float, stops: float) -> None:
    own = dataclasses.replace(PLAIN, shot=1e-4, read=2e-3)
    raw = camera.sense(flat(level), own, stops=stops, device="d", rng=np.random.default_rng(0))
    expected = 1e-4 * 2**stops * level + (2e-3 * 2**stops) ** 2 + 1 / (12 * camera.RAW_STEPS**2)
    assert raw.mean() == pytest.approx(level, abs=4 * (expected / raw.size) ** 0.5)
    assert raw.var() == pytest.approx(expected, rel=0.03)  # 5 standard errors: (2 / 65536)^0.5 each


def test_the_fixed_pattern_is_the_same_in_two_photos_and_of_one_device_only() -> None:
    own = dataclasses.replace(PLAIN, gain_pattern=0.02, dark_pattern=1e-3, shot=1e-4)
    one, two, other = (
        camera.sense(flat(0.5), own, stops=0, device=device, rng=np.random.default_rng(seed))
        for device, seed in (("d", 1), ("d", 2), ("e", 3))
    )
    pattern = (0.5 * 0.02) ** 2 + 1e-3**2
    noise = 1e-4 * 0.5 + PLAIN.read**2
    assert correlation(one, two) == pytest.approx(pattern / (pattern + noise), abs=0.02)
    assert abs(correlation(one, other)) < 0.02


@pytest.mark.parametrize("cfa", demosaicing.PHASES)
def test_a_mosaic_holds_the_colours_of_its_filters(cfa: str) -> None:
    rgb = np.broadcast_to(np.array([1, 2, 3], dtype=np.float32), (8, 8, 3))
    raw = demosaicing.mosaic(rgb, cfa)
    assert raw[:2, :2].ravel().tolist() == ["RGB".index(colour) + 1 for colour in cfa]
    assert demosaicing.balance(raw, cfa, 0.5, 1.5)[:2, :2].ravel().tolist() == [2.0] * 4


@pytest.mark.parametrize("cfa", demosaicing.PHASES)
@pytest.mark.parametrize("method", demosaicing.METHODS)
def test_demosaicing_keeps_what_was_measured_and_flat_colours(cfa: str, method: str) -> None:
    fill_in = demosaicing.METHODS[method]
    rng = np.random.default_rng(0)
    raw = rng.uniform(0.2, 0.8, (32, 32)).astype(np.float32)
    np.testing.assert_allclose(demosaicing.mosaic(fill_in(raw, cfa), cfa), raw, atol=1e-4)
    colour = np.broadcast_to(np.array([0.2, 0.5, 0.3], dtype=np.float32), (32, 32, 3))
    np.testing.assert_allclose(fill_in(demosaicing.mosaic(colour, cfa), cfa), colour, atol=1e-4)


@pytest.mark.parametrize("cfa", demosaicing.PHASES)
@pytest.mark.parametrize("method", demosaicing.METHODS)
def test_a_grey_ramp_stays_grey(cfa: str, method: str) -> None:
    """Linear ramps are what every method here fills in without error, away from the mirrored border."""
    y, x = np.mgrid[:32, :32].astype(np.float32)
    grey = np.repeat((0.2 + 0.01 * x + 0.005 * y)[:, :, None], 3, axis=2)
    filled = demosaicing.METHODS[method](demosaicing.mosaic(grey, cfa), cfa)
    np.testing.assert_allclose(filled[4:-4, 4:-4], grey[4:-4, 4:-4], atol=1e-4)


@pytest.mark.parametrize("device", DEVICES)
def test_a_grey_scene_stays_grey_in_every_camera(device: str) -> None:
    own = dataclasses.replace(CAMERAS[device], shot=0.0, read=0.0, gain_pattern=0.0, dark_pattern=0.0)
    size = (128, 128)
    light = flat(0.18, camera.sensor_size(own, size)[0])
    raw = camera.sense(light, own, stops=0, device=device, rng=np.random.default_rng(0))
    picture = camera.develop(raw, own, size=size)
    assert np.ptp(picture.astype(int), axis=2).max() <= 1
    assert np.ptp(picture) <= 1


def test_the_tone_curve_is_that_of_srgb() -> None:
    linear = np.array([-1, 0, 0.001, 0.18, 1, 2], dtype=np.float32)
    expected = [0, 0, 0.01292, 0.46135, 1, 1]
    np.testing.assert_allclose(camera.tone(linear, 0.0), expected, atol=12.92 / camera.RAW_STEPS)


def test_coring_removes_faint_detail_and_keeps_strong() -> None:
    detail = np.random.default_rng(0).standard_normal((64, 64)).astype(np.float32)
    for strength, kept in ((0.1, 0.0), (100.0, 1.0)):
        cored = camera.core(128 + strength * detail, threshold=3.0)
        assert (cored - 128).std() / strength == pytest.approx(max(kept, 0.18), abs=0.12)


def test_straightening_leaves_the_centre_and_pulls_the_corners() -> None:
    y, x = np.mgrid[:65, :65].astype(np.float32)
    straight = camera.straighten(np.dstack([x, y, x + y]), 0.1)
    assert straight[32, 32].tolist() == pytest.approx([32, 32, 64])
    assert straight[0, 0].tolist() == pytest.approx([3.2, 3.2, 6.4], abs=0.1)


def test_exposure_meets_the_mean_unless_highlights_would_be_lost() -> None:
    assert camera.expose(flat(3.0), 0.18).mean() == pytest.approx(0.18)
    bright = flat(0.01)
    bright[:64] = 1.0
    assert camera.expose(bright, 0.5).max() == pytest.approx(1.0)
    assert camera.expose(bright, 0.5).mean() == pytest.approx(0.2575, abs=1e-3)


@pytest.mark.parametrize("quality", [75, 80, 86, 90, 95, 98])
def test_the_standard_table_is_the_one_that_pillow_writes(quality: int) -> None:
    stream = io.BytesIO()
    Image.new("L", (8, 8)).save(stream, "JPEG", quality=quality)
    with Image.open(stream) as stored:
        assert tuple(stored.quantization[0]) == annex_k(quality)  # type: ignore[attr-defined]


def test_a_table_stays_within_eight_bits() -> None:
    assert (min(radial(0, 400, 2)), max(radial(0, 400, 2))) == (1, 255)


def test_a_missing_packaged_picture_is_named() -> None:
    with pytest.raises(PhotoError, match=r"no_such\.png of the package skimage"):
        surfaces._stored("skimage", "data/no_such.png")
