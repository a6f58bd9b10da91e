"""Measuring a platform from pairs: the settings are known where a script made the files; and pairs that are none."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from counterforensics.errors import PlatformError
from counterforensics.laundering import fit_platform, launder, parse
from counterforensics.laundering.agreement import agreement
from counterforensics.laundering.jpeg import ijg_tables
from counterforensics.laundering.kernels import KERNELS
from counterforensics.laundering.least_squares import fitted_weights, named_weights, nearest_kernels
from counterforensics.photos.simulated import simulated_photos
from counterforensics.pixels import Pixels
from tests.conftest import Command

MEASURED_PAIRS = Path(__file__).parents[2] / "shared" / "platforms" / "telegram"
PILLOWS = {name: Image.Resampling[name.upper()] for name in ("box", "hamming", "bilinear", "bicubic", "lanczos")}


@pytest.fixture(scope="session")
def scenes() -> list[Pixels]:
    """Photographs by simulated cameras, 512 x 384."""
    return [photo.read() for photo in simulated_photos(devices=3, photos=1, width=512, height=384)]


@dataclass(frozen=True)
class Script:
    """A platform that is no part of the package: Pillow and OpenCV alone."""

    side: int
    kernel: str
    quality: int
    subsampling: str
    progressive: bool

    def upload(self, photo: Pixels, path: Path) -> None:
        """Write what comes back."""
        height, width = photo.shape[:2]
        scale = self.side / max(width, height)
        size = round(width * scale), round(height * scale)
        if self.kernel == "area":
            small = Image.fromarray(cv2.resize(photo, size, interpolation=cv2.INTER_AREA))
        else:
            small = Image.fromarray(photo).resize(size, PILLOWS[self.kernel])
        small.save(path, quality=self.quality, subsampling=self.subsampling, progressive=self.progressive)


def drawn(seed: int) -> Script:
    """A random platform."""
    draw = np.random.default_rng(seed)
    return Script(
        int(draw.integers(200, 500)),
        str(draw.choice([*PILLOWS, "area"])),
        int(draw.integers(30, 99)),
        str(draw.choice(["4:2:0", "4:2:2", "4:4:4"])),
        bool(draw.integers(2)),
    )


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Where sent and received files go."""
    for name in ("sent", "received"):
        (tmp_path / name).mkdir()
    return tmp_path / "sent", tmp_path / "received"


def save(photo: Pixels, path: Path, orientation: int = 1, **how: Any) -> None:
    """Write a photograph with an EXIF orientation."""
    image = Image.fromarray(photo)
    image.getexif()[274] = orientation
    image.save(path, exif=image.getexif(), **how)


def received_by(platform: str, photo: Pixels, path: Path, orientation: int = 1) -> None:
    """Write what a platform of the package gives back."""
    file = launder(photo, platform, orientation=orientation).file
    assert file is not None
    path.write_bytes(file)


@pytest.mark.parametrize("seed", range(8))
def test_the_settings_of_a_random_platform_are_found(
    seed: int, scenes: list[Pixels], folders: tuple[Path, Path]
) -> None:
    script = drawn(seed)
    for index, photo in enumerate(scenes[:2]):
        save(photo, folders[0] / f"{index}.png")
        script.upload(photo, folders[1] / f"{index}.jpg")
    found = fit_platform(*folders)
    settings = found.platform
    assert (settings.side, settings.measure, settings.upright) == (script.side, "longer", True)
    assert (settings.kernel, settings.quality) == (script.kernel, script.quality)
    assert (settings.subsampling, settings.progressive) == (script.subsampling, script.progressive)
    assert found.kernel is not None
    assert found.kernel.runner_up != script.kernel
    assert [one.pair for one in found.held_out] == ["0", "1"]
    assert "no photograph is higher than wide, so the side may be that of the width" in found.notes


@pytest.mark.parametrize("kernel", ["box", "pillow-box"])
def test_the_two_box_filters_are_told_apart_where_centres_lie_on_the_border(
    kernel: str, scenes: list[Pixels], folders: tuple[Path, Path]
) -> None:
    for index, photo in enumerate(scenes[:2]):
        cut = np.ascontiguousarray(photo[:384, :480])
        save(cut, folders[0] / f"{index}.png")
        received_by(f"telegram:side=320,kernel={kernel}", cut, folders[1] / f"{index}.jpg")
    found = fit_platform(*folders).kernel
    assert found is not None
    assert (found.kernel, found.runner_up) != ("box", "pillow-box")
    assert (found.kernel, found.scores[kernel]) == (kernel, 100)


@pytest.mark.skipif(not MEASURED_PAIRS.is_dir(), reason="the measured pairs are not here")
def test_telegram_is_found_on_its_pairs() -> None:
    name = "D02_I_nat_0004.jpg"
    found = fit_platform(MEASURED_PAIRS / "sent" / name, MEASURED_PAIRS / "received" / name)
    telegram = parse("telegram")
    assert {**vars(found.platform)} == {**vars(telegram)}
    assert found.kernel is not None
    assert (found.kernel.kernel, next(iter(found.kernel.distances))) == ("box", "box")
    others = {name: score for name, score in found.kernel.scores.items() if name != "box"}
    assert found.kernel.scores["box"] > max(others.values()) + 4


def test_a_profile_gives_back_what_it_was_fitted_to(
    scenes: list[Pixels], folders: tuple[Path, Path], tmp_path: Path, command: Command
) -> None:
    for index, photo in enumerate(scenes):
        save(photo, folders[0] / f"{index}.png")
        received_by("whatsapp:side=300,subsampling=4:2:2,kernel=lanczos", photo, folders[1] / f"{index}.jpg")
    out = tmp_path / "mine.yaml"
    answer = command("fit-platform", *folders, "--out", out, "--json")
    assert (answer.status, answer.err) == (0, "")
    found = json.loads(answer.out)
    assert found["pairs"] == ["0", "1", "2"]
    assert found["held_out"] == [
        {"pair": name, "psnr": None, "pixels_equal": 1.0, "coefficients_equal": 1.0} for name in found["pairs"]
    ]
    assert found["kernel"]["kernel"] == "lanczos"
    assert found["qualities"] == [{"quality": 70, "files": 3}]
    assert launder(scenes[0], str(out)).file == (folders[1] / "0.jpg").read_bytes()
    platform: Any = parse(str(out))
    assert (platform.evidence.kind, platform.evidence.pairs) == ("measured", 3)
    assert platform.evidence.inferred == ("upright",)
    shown = command("fit-platform", *folders, "--out", out, "--force")
    assert shown.status == 0
    assert "lanczos" in shown.out
    assert "identical" in shown.out
    again = command("fit-platform", *folders, "--out", out)
    assert (again.status, again.err.count("\n")) == (2, 1)
    assert f"{out} exists already; give another file, or --force to replace it" in again.err


@pytest.mark.parametrize("turned", [True, False])
def test_whether_the_orientation_is_applied_is_found(
    turned: bool, scenes: list[Pixels], folders: tuple[Path, Path]
) -> None:
    for index, orientation in enumerate((6, 3)):
        save(scenes[index], folders[0] / f"{index}.jpg", orientation, quality=95)
        with Image.open(folders[0] / f"{index}.jpg") as image:
            stored = np.asarray(image)
        received_by(f"telegram:side=300,upright={turned}", stored, folders[1] / f"{index}.jpg", orientation)
    assert fit_platform(*folders).platform.upright == turned


def test_a_width_is_told_from_a_longer_side(scenes: list[Pixels], folders: tuple[Path, Path]) -> None:
    upright = [np.ascontiguousarray(np.rot90(scenes[0])), scenes[1]]
    for index, photo in enumerate(upright):
        save(photo, folders[0] / f"{index}.png")
        received_by("instagram:side=200", photo, folders[1] / f"{index}.jpg")
    found = fit_platform(*folders).platform
    assert (found.measure, found.side) == ("width", 200)
    assert not any("higher than wide" in note for note in fit_platform(*folders).notes)
    save(scenes[2], folders[0] / "2.png")
    received_by("telegram:side=300", scenes[2], folders[1] / "2.jpg")
    with pytest.raises(PlatformError, match="no single longer side or width after the upload"):
        fit_platform(*folders)


def test_tables_of_another_rule_and_several_qualities_are_said(
    scenes: list[Pixels], folders: tuple[Path, Path]
) -> None:
    luma, chroma = [3] * 64, [5] * 64
    for index, photo in enumerate(scenes):
        save(photo, folders[0] / f"{index}.png")
        Image.fromarray(photo).save(folders[1] / f"{index}.jpg", qtables=[luma, chroma], subsampling="4:4:4")
    found = fit_platform(*folders)
    assert (found.platform.quality, found.platform.side, found.qualities) == (0, 0, {None: 3})
    assert found.platform.luma_table == " ".join(["3"] * 64)
    assert found.kernel is None
    assert any("no photograph was reduced (the longest side is 512 pixels)" in note for note in found.notes)
    assert all(one.agreement is not None and one.agreement.pixels == 1 for one in found.held_out)
    for index, quality in enumerate((60, 70, 90)):
        received_by(f"telegram:quality={quality}", scenes[index], folders[1] / f"{index}.jpg")
    found = fit_platform(*folders)
    assert found.platform.quality == 70
    assert any("the quality differs between the files: IJG 60 to 90" in note for note in found.notes)


# --- pairs that are none


def cropped(photo: Pixels) -> Pixels:
    """All but a border on one side."""
    return np.ascontiguousarray(photo[:, 60:])


def cropped_alike(photo: Pixels) -> Pixels:
    """The middle, of the same ratio of sides."""
    height, width = photo.shape[:2]
    return np.ascontiguousarray(photo[height // 8 : -height // 8, width // 8 : -width // 8])


def enlarged(photo: Pixels) -> Pixels:
    """Twice as large."""
    return photo.repeat(2, 0).repeat(2, 1)


WRONG: dict[str, tuple[Callable[[Pixels], Pixels], str]] = {
    "cropped": (cropped, "512x384 came back as 300x255: cropped, for the ratio of its sides changed"),
    "cropped alike": (cropped_alike, "not the same photograph, or cropped (correlation 0."),
    "enlarged": (enlarged, "512x384 came back as 1024x768: enlarged"),
    "mirrored": (lambda photo: photo[:, ::-1].copy(), "not the same photograph, or cropped (correlation"),
    "turned": (
        lambda photo: np.rot90(photo).copy(),
        "512x384 came back as 225x300: turned, but the EXIF orientation of the sent file does not say so",
    ),
    "grey": (lambda photo: np.full_like(photo, 90), "not the same photograph, or cropped (correlation 0.00"),
}


@pytest.mark.parametrize("how", WRONG)
def test_a_pair_that_is_none_is_left_out_and_named(
    how: str, scenes: list[Pixels], folders: tuple[Path, Path], tmp_path: Path, command: Command
) -> None:
    change, said = WRONG[how]
    sent, received = (folder / "a.png" for folder in folders)
    received = received.with_suffix(".jpg")
    save(scenes[0], sent)
    received_by("jpeg:90" if how == "enlarged" else "telegram:side=300", change(scenes[0]), received)
    answer = command("fit-platform", sent, received, "--out", tmp_path / "mine.yaml")
    assert (answer.status, answer.out, answer.err.count("\n")) == (2, "", 1)
    assert f"no pair can be used: a: {said}" in answer.err
    assert not (tmp_path / "mine.yaml").exists()
    save(scenes[1], folders[0] / "b.png")
    received_by("telegram:side=300", scenes[1], folders[1] / "b.jpg")
    found = fit_platform(*folders)
    assert found.pairs == ("b",)
    assert [said in line for line in found.left_out] == [True]
    assert any("one pair only: nothing could be held out" in note for note in found.notes)


def test_another_photograph_is_no_pair(scenes: list[Pixels], folders: tuple[Path, Path]) -> None:
    save(scenes[0], folders[0] / "a.png")
    received_by("telegram:side=300", scenes[1], folders[1] / "a.jpg")
    with pytest.raises(PlatformError, match=r"no pair can be used: a: not the same photograph, or cropped"):
        fit_platform(*folders)


def test_files_without_a_partner_are_named(scenes: list[Pixels], folders: tuple[Path, Path]) -> None:
    for name in ("a.png", "only-sent.png", "twice.png", "twice.jpg"):
        save(scenes[0], folders[0] / name)
    (folders[0] / "notes.txt").write_text("x", encoding="utf-8")
    for name in ("a.jpg", "only-received.jpg", "broken.jpg"):
        received_by("telegram:side=300", scenes[0], folders[1] / name)
    (folders[0] / "broken.png").write_bytes(b"x")
    os.mkfifo(folders[0] / "pipe.jpg")
    (folders[0] / "nowhere.png").symlink_to("gone.png")
    found = fit_platform(*folders)
    assert found.pairs == ("a",)
    said = sorted(line.removeprefix(str(folders[0].parent)) for line in found.left_out)
    assert said == [
        f"/received/only-received.jpg: no partner in {folders[0]}",
        "/sent/broken.png: not a JPEG, PNG, TIFF, WebP, AVIF or HEIF file, whatever its name says",
        "/sent/notes.txt: not a JPEG, PNG, TIFF, WebP, AVIF or HEIF file by its name",
        "/sent/nowhere.png: cannot be read (not a regular file)",
        f"/sent/only-sent.png: no partner in {folders[1]}",
        "/sent/pipe.jpg: cannot be read (not a regular file)",
        "/sent/twice.png: another file has the same name",
    ]


def test_folders_without_pairs_are_refused_in_one_line(
    scenes: list[Pixels], folders: tuple[Path, Path], tmp_path: Path, command: Command
) -> None:
    save(scenes[0], folders[0] / "a.png")
    save(scenes[0], folders[1] / "b.png")
    out = tmp_path / "mine.yaml"
    cases: list[tuple[tuple[object, ...], str]] = [
        ((*folders, "--out", out), "(1 and 1 photographs): a sent file and the one that came back have the same name"),
        ((folders[0], tmp_path / "no", "--out", out), "no is no folder; give two folders of photographs"),
        ((folders[0], folders[1] / "b.png", "--out", out), "b.png is no folder; give two folders of photographs"),
        ((folders[0] / "a.png", folders[1] / "b.png", "--out", out), "b.png: it is no JPEG file but PNG"),
        ((*folders, "--out", tmp_path / "mine.txt"), "a profile is a YAML file; end the name in .yaml or .yml"),
    ]
    for arguments, said in cases:
        answer = command("fit-platform", *arguments)
        assert (answer.status, answer.out, answer.err.count("\n")) == (2, "", 1), said
        assert said in answer.err
    assert not out.exists()


# --- the parts of a fit


@pytest.mark.parametrize("kernel", KERNELS)
def test_the_weights_of_a_kernel_predict_what_it_gives(kernel: str, scenes: list[Pixels]) -> None:
    before, after = 120, 75
    photo = np.ascontiguousarray(scenes[0][:40, :before])
    small = np.asarray(KERNELS[kernel](photo, after, 40))
    columns = np.arange(20, 50)
    weights = named_weights(kernel, before, after, columns)
    first = np.floor((columns + 0.5) * before / after - 0.5).astype(int) - 5
    for column, own, start in zip(columns, weights, first, strict=True):
        predicted = photo[:, start : start + own.size].transpose(0, 2, 1) @ own
        assert np.abs(predicted - small[:, column]).max() <= 2.5


def test_least_squares_find_the_weights_of_a_noisy_photograph() -> None:
    """A white picture of noise, stored without loss: the weights are known to the rounding."""
    photo = np.random.default_rng(0).integers(0, 256, (200, 320, 1), dtype=np.uint8).repeat(3, axis=2)
    small = np.asarray(Image.fromarray(photo).resize((200, 125), Image.Resampling.BICUBIC))
    fitted = fitted_weights(photo, small, "bicubic")
    distances = nearest_kernels(fitted, 320, 200)
    assert next(iter(distances)) == "bicubic"
    assert distances["bicubic"] < 2
    assert all(abs(one.weights.sum() - 1) < 0.01 for one in fitted)


def test_agreement_counts_what_is_equal() -> None:
    photo = np.random.default_rng(1).integers(0, 256, (16, 24, 3), dtype=np.uint8)
    same = agreement(photo, photo, ijg_tables(90)[0])
    assert (same.psnr, same.pixels, same.coefficients) == (np.inf, 1.0, 1.0)
    brighter = photo.copy()
    brighter[:8, :8] = np.minimum(photo[:8, :8].astype(int) + 40, 255)
    other = agreement(photo, brighter, (1,) * 64)
    assert other.pixels == (photo == brighter).mean() < 1
    assert other.coefficients >= 5 / 6
    assert other.psnr == pytest.approx(10 * np.log10(255**2 / np.square(photo - brighter.astype(float)).mean()))
