"""Inputs that chance makes, in every domain that others write: each is read, or refused in one line.

`COUNTERFORENSICS_FUZZ=2000 pytest tests/test_fuzz.py` reads 2000 inputs, `COUNTERFORENSICS_FUZZ=photographs:17` that
one alone. Input number n of a domain comes from the seed [n], so it can be made again.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import hashlib
import io
import json
import os
import shutil
import signal
import struct
import sys
import time
import traceback
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
import yaml
from PIL import Image, features

from counterforensics import attacks, detectors, load_detector, manipulations
from counterforensics.attacks.gan_restoration import GENERATORS, load_generator, restore
from counterforensics.cli import main
from counterforensics.detectors import zoo
from counterforensics.errors import CounterforensicsError
from counterforensics.learning import weights
from counterforensics.names import Registry, setting_types
from counterforensics.photos.folder import examine, find_photos
from counterforensics.photos.inspection import inspect
from counterforensics.report import terminal_tables, write_report
from counterforensics.report.manifest import MANIFEST, manifest_of
from counterforensics.study.estimate import estimate_study
from counterforensics.study.evaluate import evaluate_detector
from counterforensics.study.progress import Progress
from counterforensics.study.run import run_study
from counterforensics.study.schedulers.memory import peak_memory, peak_of_task
from counterforensics.study.settings import load_study
from counterforensics.study.status import status_of
from counterforensics.study.store.folder import ENTRY, digest_of
from counterforensics.study.yaml_file import BUILT_IN, read_settings
from tests.conftest import picture, plan_of, tiny_settings, write_study
from tests.toys import noisy_patches

Draw = np.random.Generator

WANTED = os.environ.get("COUNTERFORENSICS_FUZZ", "280")
# Of one input: of the processor, of the clock where it hangs (other programs slow it down), and bytes.
MOST_SECONDS, MOST_WAITED, MOST_MEMORY = 60.0, 600.0, 3 * 10**9
QUIET = Progress(quiet=True)

VALUES: tuple[Any, ...] = (
    *(None, True, False, -1, 0, 1, 3, 10**7, 10**9, 2**31, 2**63, -(2**63), 10**30, 10**400),
    *(0.0, -0.0, 0.5, 1.0, 1e-320, 1e38, 1e308, float("inf"), float("-inf"), float("nan")),
    *(
        "",
        " ",
        "a",
        "x" * 3000,
        "\x1b[2J",
        "\0",
        "é",
        "\U0001f600",
        "\u202e",
        "[/b]",
        "=1+1",
        "1",
        "1e999",
        "1_000",
        "nan",
    ),
    *("..", "/", "~", "~nobodyzz", "a/../b", "a,b=c", "median:7", "spam-svm", "fgsm", "true", "null"),
    *([], [[]], [1, 2], ["a", "a"], [None], [[[[[1]]]]], {}, {"a": 1}, {"": {"": []}}, {"name": "x"}),
)
REGISTRIES: tuple[Registry[Any], ...] = (manipulations.MANIPULATIONS, detectors.DETECTORS, attacks.ATTACKS)
TEXTS = tuple(str(value) for value in VALUES)
PIECES = (
    *(
        "null",
        "true",
        "-1",
        "1e309",
        ".nan",
        ".inf",
        "9" * 5000,
        "[[[[]]]]",
        "[" * 500,
        "{" * 500,
        "- " * 300,
        "&a [*a]",
    ),
    *(
        "*unknown",
        "<<: *a",
        "!!python/object:os.system x",
        "!!binary aGk=",
        "!!set {a}",
        "---",
        "...",
        "? ",
        "\t",
        "\x00",
    ),
    *(
        "\x1b[31m",
        "\r",
        "\ufeff",
        "\ud7ff",
        "%YAML 9.9",
        "'",
        '"',
        "|",
        ">",
        "@",
        "`",
        "{a: 1",
        "a" * 3000,
        "2020-01-01",
        "0x1F",
    ),
)


# --- how inputs are changed


def one_of(draw: Draw, choices: Any) -> Any:
    """One of some values, as it is."""
    choices = list(choices)
    return choices[int(draw.integers(len(choices)))]


def places_in(tree: Any) -> list[tuple[Any, Any]]:
    """Every place of a value in JSON or YAML values: what holds it, and its key or number there."""
    keys = list(tree) if isinstance(tree, dict) else range(len(tree)) if isinstance(tree, list) else []
    return [place for key in keys for place in ((tree, key), *places_in(tree[key]))]


def another(value: Any, draw: Draw) -> Any:
    """Another value of the same type, which is likelier to work than any."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return one_of(draw, (value + 1, value - 1, 0, 1, 2, 3, 7, 64, 10 * value, int(draw.integers(1000))))
    if isinstance(value, float):
        return one_of(draw, (value / 2, value * 1.5, 0.0, 1.0, 1, 1e-9, -value, float(draw.random())))
    if isinstance(value, str):
        return (
            text_of_part(draw) if ":" in value or draw.random() < 0.3 else changed_text(value, draw).decode("latin-1")
        )
    return value


def text_of_part(draw: Draw, registry: Registry[Any] | None = None) -> str:
    """The text form of a part, or nearly one."""
    registry = registry or one_of(draw, REGISTRIES)
    name = one_of(draw, registry)
    text = f"{name}:{','.join(f'{key}={value}' for key, value in settings_of_part(draw, registry, name).items())}"
    if draw.random() < 0.2:
        at = int(draw.integers(len(text) + 1))
        text = text[:at] + one_of(draw, (*TEXTS, ":", "=", ",", ",,", "\n")) + text[at:]
    return text


def settings_of_part(draw: Draw, registry: Registry[Any], name: str) -> dict[str, Any]:
    """Some settings of a part, with values that are mostly of their types."""
    part = registry[name]
    types, defaults = setting_types(part), {field.name: field.default for field in dataclasses.fields(part)}
    settings = {}
    for key in types:
        if draw.random() < max(0.4, 1 / len(types)):
            usual = defaults[key]
            if usual is dataclasses.MISSING:
                usual = {int: 7, float: 1.5, bool: True, str: "pristine"}[types[key]]
            settings[key] = another(usual, draw) if draw.random() < 0.8 else one_of(draw, VALUES)
    return settings


def changed_tree(tree: Any, draw: Draw) -> Any:
    """JSON or YAML values with some of them replaced, taken away, doubled, nested or renamed."""
    tree = copy.deepcopy(tree)
    for _ in range(int(draw.integers(1, 3))):
        places = places_in(tree)
        if not places or draw.random() < 0.02:
            return one_of(draw, VALUES)
        holder, key = one_of(draw, places)
        how = draw.random()
        if how < 0.3:
            holder[key] = copy.deepcopy(one_of(draw, VALUES))
        elif how < 0.6:
            holder[key] = another(holder[key], draw)
        elif how < 0.75:
            del holder[key]
        elif how < 0.85:
            holder[key] = one_of(draw, ([holder[key]], {"a": holder[key]}, [holder[key]] * 3, str(holder[key])))
        elif isinstance(holder, dict):
            holder[one_of(draw, ("", "x" * 300, "a.b", f"{key}s", str(key).upper(), "name"))] = holder.pop(key)
        else:
            holder.append(one_of(draw, holder))
    return tree


def changed_bytes(content: bytes, draw: Draw) -> bytes:
    """Bytes with some of them flipped, cut off, taken out, doubled, exchanged or emptied."""
    for _ in range(int(draw.integers(1, 4))):
        first, last = sorted(int(at) for at in draw.integers(len(content) + 1, size=2))
        last = min(last, first + int(draw.integers(1, 5000)))
        how = int(draw.integers(7))
        if how <= 1:
            for at in draw.integers(max(len(content), 1), size=int(draw.integers(1, 20))):
                content = content[:at] + bytes([int(draw.integers(256))]) + content[at + 1 :]
        elif how == 2:
            content = content[:last]
        elif how == 3:
            content = content[:first] + content[last:]
        elif how == 4:
            content = content[:last] + content[first:]
        elif how == 5:
            content = content[:first] + bytes(last - first) + content[last:]
        else:
            middle = (first + last) // 2
            content = content[:first] + content[middle:last] + content[first:middle] + content[last:]
    return content


def changed_text(text: str, draw: Draw) -> bytes:
    """A text with lines taken away, doubled or exchanged, pieces put in, or bytes changed."""
    for _ in range(int(draw.integers(1, 3))):
        lines = text.splitlines(keepends=True) or [""]
        at, how = int(draw.integers(len(lines))), int(draw.integers(6))
        if how == 0:
            del lines[at]
        elif how == 1:
            lines.insert(at, one_of(draw, lines))
        elif how == 2:
            lines[at] = f"{lines[at].partition(':')[0]}: {one_of(draw, PIECES)}\n"
        elif how == 3:
            lines[at] = lines[at].replace(":", one_of(draw, ("", " ", "::", ": &a", ": *a", ": [", "s:")), 1)
        elif how == 4:
            lines[at] = " " * int(draw.integers(6)) + lines[at].lstrip()
        else:
            inside = int(draw.integers(len(lines[at]) + 1))
            lines[at] = lines[at][:inside] + one_of(draw, PIECES) + lines[at][inside:]
        text = "".join(lines)
    content = text.encode("utf-8", "surrogatepass")
    return changed_bytes(content, draw) if draw.random() < 0.2 else content


# --- studies


@cache
def studies() -> tuple[str, ...]:
    """The texts of studies that work."""
    folder = Path(load_study.__code__.co_filename).parent
    files = [folder / "built_in" / f"{name}.yaml" for name in BUILT_IN] + [folder.parent / "templates" / "study.yaml"]
    whole = tiny_settings(
        photos={"folders": ["photos"], "simulated": {"devices": 4, "photos": 2, "seed": 1}},
        split={"test": ["a", "b"], "train": 2, "validation": 0.2},
        patches={"size": 64, "per_photo": 2, "per_device": 5, "attacked_per_device": 3, "channels": "rgb"},
        detectors=["spam-svm:c=2", {"detector": "mislnet:steps=3", "label": "mine"}, "bayar2016"],
        attacks=[
            {"attack": "pgd:epsilon=2", "targets": ["mine"], "manipulations": ["median:7"], "label": "theirs"},
            {"attack": "gan-kim:size=small", "label": "learned"},
        ],
        seeds=[0, 1],
    )
    return (*(file.read_text(encoding="utf-8") for file in files), *map(yaml.safe_dump, (tiny_settings(), whole)))


def fuzz_studies(draw: Draw, folder: Path) -> None:
    """A study's file: read, and where it can be, written and read again."""
    text = one_of(draw, studies())
    if draw.random() < 0.5:
        content = changed_text(text, draw)
    else:
        tree = changed_tree(yaml.safe_load(text), draw)
        content = yaml.dump(tree, allow_unicode=bool(draw.integers(2))).encode("utf-8", "surrogatepass")
    path = folder / "study.yaml"
    path.write_bytes(content)
    with contextlib.suppress(CounterforensicsError):
        read_settings(str(path))
    study = load_study(str(path), photos=[folder] if draw.random() < 0.2 else [])
    path.write_text(study.as_yaml(), encoding="utf-8")
    assert load_study(str(path)) == study
    cameras = study.photos.simulated
    if cameras is not None and cameras.photos * len(study.manipulations) * len(study.seeds) < 100:
        plan_of(study)


# --- detectors and generators


@cache
def trained() -> tuple[tuple[str, bytes, bytes], ...]:
    """What works: the kind, the record and the tensors of detectors and of a generator."""
    names = ("spam-svm/median:7", "cozzolino2017/median:7", "mislnet/median:7")
    shipped = [(zoo.folder_of(name) / "detector.json", zoo.folder_of(name) / weights.TENSORS) for name in names]
    attack = GENERATORS["gan-kim"](size="small")
    network = attack.build()
    network.initialise(torch.Generator().manual_seed(0))
    tensors = safetensors.torch.save({name: tensor.contiguous() for name, tensor in network.state_dict().items()})
    record = {
        "format": weights.FORMAT,
        "generator": "gan-kim",
        "settings": vars(attack),
        "sha256": "",
        "training": {"steps": 1, "best_step": 1},
        "manipulation": "median:7",
        "photos": ["0" * 64],
        "devices": ["a"],
    }
    found = [("detector", record.read_bytes(), tensors.read_bytes()) for record, tensors in shipped]
    return (*found, ("generator", json.dumps(record).encode(), tensors))


def changed_tensors(content: bytes, draw: Draw) -> bytes:
    """A safetensors file whose header, bytes or tensors are others."""
    how = draw.random()
    if how < 0.3:
        return changed_bytes(content, draw)
    length = int.from_bytes(content[:8], "little")
    if how < 0.6:
        header = json.dumps(changed_tree(json.loads(content[8 : 8 + length]), draw)).encode()
        if draw.random() < 0.3:
            header = changed_bytes(header, draw)
        size = len(header) if draw.random() < 0.8 else int(one_of(draw, (0, 1, 2**20, 2**40, 2**64 - 1)))
        return size.to_bytes(8, "little") + header + content[8 + length :]
    tensors: dict[str, torch.Tensor] = safetensors.torch.load(content)
    name = one_of(draw, tensors)
    tensor = tensors[name]
    real = tensor.double()
    others: tuple[Callable[[], torch.Tensor], ...] = (
        lambda: torch.full_like(real, float(one_of(draw, (np.nan, np.inf, 1e38, 1e300, 0.0, -1.0)))),
        lambda: real.to(one_of(draw, (torch.float64, torch.float16, torch.bfloat16, torch.int8, torch.bool))),
        lambda: tensor.to(torch.float8_e4m3fn),
        lambda: real[None],
        lambda: real.flatten()[:1],
        lambda: torch.zeros(0),
        lambda: tensor * 1e30,
        lambda: -tensor,
    )
    tensors[name] = one_of(draw, others)().contiguous()
    if draw.random() < 0.2:
        tensors[f"{name}.more"] = tensors[name].clone()
    if draw.random() < 0.2:
        del tensors[one_of(draw, tensors)]
    written: bytes = safetensors.torch.save(tensors)
    return written


def fuzz_detectors(draw: Draw, folder: Path) -> None:
    """A folder with a detector or a generator: read, and where it can be, asked about patches or photographs."""
    kind, record, tensors = one_of(draw, trained())
    which = draw.random()
    if which < 0.6:
        tensors = changed_tensors(tensors, draw)
    described = json.loads(record) | {"sha256": hashlib.sha256(tensors).hexdigest()}
    if which > 0.4:
        described = changed_tree(described, draw)
    text = json.dumps(described)
    (folder / f"{kind}.json").write_bytes(text.encode() if draw.random() < 0.9 else changed_text(text, draw))
    (folder / weights.TENSORS).write_bytes(tensors)
    with contextlib.suppress(CounterforensicsError):
        detectors.parse(f"cozzolino2017:start={folder}")
    if kind == "generator":
        restore(torch.from_numpy(noisy_patches(1)), load_generator(folder))
        return
    network = load_detector(folder)
    network.logits(torch.from_numpy(noisy_patches(1, size=128)).float())
    answer = evaluate_detector(str(folder), [photographs(folder.parent)], "median:7", per_photo=1, progress=QUIET)
    json.dumps(answer)


@cache
def photographs(parent: Path) -> Path:
    """A folder with a photograph of each of two devices."""
    for device in range(2):
        (parent / "photographs" / str(device)).mkdir(parents=True)
        Image.fromarray(picture(device)).save(parent / "photographs" / str(device) / "one.jpg", quality=95)
    return parent / "photographs"


# --- records of a store


@cache
def finished(parent: Path) -> tuple[Path, Path]:
    """A study of a folder and of simulated cameras, and its finished run."""
    settings = tiny_settings(
        photos={
            "folders": [str(photographs(parent))],
            "simulated": {"devices": 3, "photos": 1, "width": 192, "height": 160},
        },
        split={"test": 2},
        patches={"per_photo": 2, "size": 64},
        manipulations=["median:7"],
        detectors=["spam-svm", "cozzolino2017:svm_pairs=4,steps=1,pairs_per_step=2"],
        attacks=[{"attack": "fgsm", "targets": ["cozzolino2017"]}],
    )
    study = write_study(parent / "study.yaml", settings)
    assert run_study(load_study(str(study)), parent / "finished", workers=2).failures == ()
    (parent / "finished" / MANIFEST).write_bytes(manifest_of("0" * 64, ["report.html"]))
    return study, parent / "finished"


def is_json(content: bytes) -> bool:
    """Whether bytes hold a JSON value."""
    try:
        json.loads(content)
    except ValueError:
        return False
    return True


def changed_file(path: Path, draw: Draw) -> None:
    """Another content in the place of a file, or something else than a file."""
    content, how = path.read_bytes(), draw.random()
    path.unlink()
    if how < 0.05:
        one_of(draw, (path.mkdir, lambda: path.symlink_to("nowhere"), lambda: os.mkfifo(path), lambda: None))()
    elif path.suffix == ".json" and how < 0.85 and is_json(content):
        path.write_text(json.dumps(changed_tree(json.loads(content), draw)), encoding="utf-8")
    elif path.suffix == ".npy" and how < 0.5:
        array = np.load(io.BytesIO(content))
        other = one_of(
            draw, (array.astype(np.float16), array[..., None], array[:0], array.astype(str), array.T, -array)
        )
        np.save(path, other)
    else:
        path.write_bytes(changed_bytes(content, draw))


def fuzz_records(draw: Draw, folder: Path) -> None:
    """A finished run with other records, mostly under right digests: looked at, planned, and run to its end."""
    study, out = finished(folder.parent)
    out = Path(shutil.copytree(out, folder / "out", symlinks=True))
    files = sorted(path for path in (out / "store").rglob("*") if path.is_file() and not path.is_symlink())
    records = [path for path in files if path.suffix == ".json"]
    for _ in range(int(draw.integers(1, 4))):
        path = one_of(draw, one_of(draw, (records, files, sorted(out.glob("*.json")))))
        if not path.is_file():
            continue
        changed_file(path, draw)
        entry = path.with_name(ENTRY)
        if path.is_file() and entry.is_file() and path != entry and draw.random() < 0.9:
            with contextlib.suppress(ValueError, TypeError, KeyError):
                described = json.loads(entry.read_bytes())
                described["files"][path.name] = digest_of(path)
                entry.write_text(json.dumps(described), encoding="utf-8")
    settings = load_study(str(study))
    estimate_study(settings, out, workers=1)
    with contextlib.suppress(CounterforensicsError):
        json.dumps(vars(status_of(out)), default=list)
    outcome = run_study(settings, out, workers=1)
    assert not outcome.failures, outcome.failures
    terminal_tables(outcome)
    if draw.random() < 0.03:
        write_report(outcome, out)


# --- photographs


@cache
def encoded() -> tuple[tuple[str, bytes], ...]:
    """Photographs that work, as files of several kinds."""
    ways: tuple[tuple[str, str, dict[str, Any]], ...] = (
        ("jpg", "RGB", {}),
        ("jpg", "RGB", {"progressive": True, "quality": 95}),
        ("jpg", "RGB", {"subsampling": 0, "optimize": True}),
        ("jpg", "L", {}),
        ("jpg", "RGB", {"restart_marker_blocks": 4}),
        ("png", "RGB", {}),
        ("png", "L", {}),
        ("png", "RGBA", {}),
        *(
            ("tif", "RGB", {"compression": how})
            for how in ("raw", "tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg")
        ),
        ("tif", "L", {}),
        ("webp", "RGB", {}),
        ("webp", "RGBA", {"lossless": True}),
        *(("avif", mode, {"speed": 10}) for mode in ("RGB", "L") if features.check("avif")),
    )
    found = []
    for number, (suffix, mode, options) in enumerate(ways):
        stream = io.BytesIO()
        exif = Image.Exif()
        exif[0x0112], exif[0x010F] = 6, "maker"
        image = Image.fromarray(picture(number)).convert(mode)
        image.save(stream, {"jpg": "JPEG", "tif": "TIFF"}.get(suffix, suffix.upper()), exif=exif, **options)
        found.append((suffix, stream.getvalue()))
    return tuple(found)


def patched_jpeg(content: bytes, draw: Draw) -> bytes:
    """Another size, table, marker or length in one of the segments before the picture."""
    segments, at = [], 2
    while at + 4 <= len(content) and content[at] == 0xFF and content[at + 1] != 0xDA:
        length = int.from_bytes(content[at + 2 : at + 4], "big")
        segments.append(content[at : at + 2 + length])
        at += 2 + length
    number = int(draw.integers(len(segments)))
    one = bytearray(segments[number])
    inside = int(draw.integers(1, min(len(one), 24)))
    one[inside] = int(one_of(draw, (0, 1, 2, 255, int(draw.integers(256)))))
    if draw.random() < 0.3:
        size = draw.integers(1, 16000, size=2)
        frames = [n for n, segment in enumerate(segments) if segment[1] in (0xC0, 0xC2)]
        number = frames[0]
        one = bytearray(segments[number])
        one[5:9] = struct.pack(">HH", *map(int, size))
    segments[number] = bytes(one)
    if draw.random() < 0.3:
        segments.insert(int(draw.integers(len(segments) + 1)), one_of(draw, segments))
    return content[:2] + b"".join(segments) + content[at:]


def patched_png(content: bytes, draw: Draw) -> bytes:
    """Chunks with another content, kind or order, and checksums that are right."""
    chunks, at = [], 8
    while at + 8 <= len(content):
        length = int.from_bytes(content[at : at + 4], "big")
        chunks.append((content[at + 4 : at + 8], content[at + 8 : at + 8 + length]))
        at += 12 + length
    number = int(draw.integers(len(chunks)))
    kind, body = chunks[number]
    how = draw.random()
    if how < 0.3:
        chunks[0] = (
            b"IHDR",
            struct.pack(">II", *map(int, draw.integers(0, 2 ** int(draw.integers(1, 32)), 2))) + chunks[0][1][8:],
        )
    elif how < 0.6:
        chunks[number] = (kind, changed_bytes(body, draw))
    elif how < 0.75:
        kinds = (b"tRNS", b"PLTE", b"iCCP", b"eXIf", b"acTL", b"fcTL", b"tEXt", b"zTXt", b"IEND", b"IDAT", b"aaaa")
        chunks.insert(int(draw.integers(len(chunks) + 1)), (one_of(draw, kinds), body[:2000]))
    else:
        chunks.insert(int(draw.integers(len(chunks) + 1)), chunks.pop(number))
    parts = (
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    )
    return content[:8] + b"".join(parts)


def patched_tiff(content: bytes, draw: Draw) -> bytes:
    """A tag with another number, type, count or value."""
    order = "<" if content[:2] == b"II" else ">"
    directory = struct.unpack(f"{order}I", content[4:8])[0]
    count = struct.unpack(f"{order}H", content[directory : directory + 2])[0]
    at = directory + 2 + 12 * int(draw.integers(count))
    tag, type_, values, value = struct.unpack(f"{order}HHII", content[at : at + 12])
    number = int(one_of(draw, (0, 1, 2, 3, 8, 16, 255, 6000, 65535, 2**31, 2**32 - 1, int(draw.integers(2**32)))))
    entry = one_of(
        draw,
        (
            (tag, type_, values, number),
            (tag, type_, number, value),
            (tag, int(draw.integers(20)), values, value),
            (
                int(
                    one_of(
                        draw, (256, 257, 258, 259, 262, 266, 273, 274, 277, 278, 279, 284, 317, 322, 338, 339, 347, 530)
                    )
                ),
                4,
                1,
                number,
            ),
        ),
    )
    return content[:at] + struct.pack(f"{order}HHII", *entry) + content[at + 12 :]


def changed_header(content: bytes, draw: Draw) -> bytes:
    """Other bytes among the first 400, where the boxes of an AVIF file stand, and the chunks of a WebP file begin."""
    return changed_bytes(content[:400], draw) + content[400:]


def fuzz_photographs(draw: Draw, folder: Path) -> None:
    """A photograph's file: looked for in its folder, decoded, inspected, and asked how it is compressed."""
    suffix, content = one_of(draw, encoded())
    patched = {"jpg": patched_jpeg, "png": patched_png, "tif": patched_tiff}.get(suffix, changed_header)
    if draw.random() < 0.6:
        content = patched(content, draw)
    if draw.random() < 0.5:
        content = changed_bytes(content, draw)
    path = folder / "device" / f"one.{suffix}"
    path.parent.mkdir()
    path.write_bytes(content)
    for photo in find_photos([folder]).photos:
        with contextlib.suppress(CounterforensicsError):
            photo.jpeg_quality()
        with contextlib.suppress(CounterforensicsError):
            inspect(photo)
    pixels, remarks = examine(content, path)
    assert pixels.dtype == np.uint8
    assert pixels.ndim == 3
    assert all(remark.isprintable() for remark in remarks)


# --- names and settings


def fuzz_names(draw: Draw, folder: Path) -> None:
    """The text form of a part, or settings under its name: parsed, and used where it can be."""
    registry = one_of(draw, REGISTRIES)
    if draw.random() < 0.4:
        name = one_of(draw, registry)
        part = registry.build(name, settings_of_part(draw, registry, name))
    else:
        part = registry.parse(text_of_part(draw, registry))
    assert registry.parse(registry.text_form(part)) == part
    with contextlib.suppress(CounterforensicsError):
        part.check_files()
    if isinstance(part, manipulations.Manipulation):
        part(picture(0, 64, 80))
    elif isinstance(part, detectors.Recipe):
        part.build()
    elif isinstance(part, attacks.Attack):
        part.check_patches(128, manipulations.parse("median:7"))
        part.check_target(load_detector("cozzolino2017/median:7"))


# --- the command line


def fuzz_command_line(draw: Draw, folder: Path) -> None:
    """Arguments: exit 0, or 2 and one line."""
    study, _ = finished(folder.parent)
    photos = photographs(folder.parent)
    path = folder / "study.yaml"
    path.write_bytes(changed_text(study.read_text(encoding="utf-8"), draw))
    nasty = [text_of_part(draw).replace("\0", "") for _ in range(30)]
    nasty += [text.replace("\0", "") for text in TEXTS if text not in ("/", "..", "~", "demo", "paper")]
    usual: dict[str, tuple[str, ...]] = {
        "list": ("--json",),
        "photos": (str(photos), "--json"),
        "plan": (str(one_of(draw, (study, path))), "--out", "out", "--workers", "2", "--json"),
        "status": (str(folder.parent / "finished"), "--json"),
        "evaluate": (
            "--detector",
            "spam-svm/median:7",
            "--photos",
            str(photos),
            "--manipulation",
            "median:7",
            "--per-photo",
            "1",
        ),
        "new study": ("mine.yaml",),
        "new plugin": ("my-parts",),
    }
    command = one_of(draw, usual)
    arguments = list(usual[command])
    for _ in range(int(draw.integers(3))):
        at, how = int(draw.integers(len(arguments) + 1)), draw.random()
        if how < 0.6 and at < len(arguments):
            arguments[at] = one_of(draw, nasty)
        elif how < 0.8:
            arguments.insert(
                at, one_of(draw, (*nasty, "--json", "--out", "--store", "--photos", "--help", "--gpu", "--", "-x"))
            )
        elif arguments:
            del arguments[at % len(arguments)]
    status, said = called([*command.split(), *arguments], folder)
    assert status in (0, 2), (status, said)
    if status == 2:
        assert said.startswith("counterforensics: "), said
        assert said.endswith("\n"), said
        assert said[:-1].isprintable(), said
        assert len(said) < 2500, len(said)


def called(arguments: list[str], folder: Path) -> tuple[int, str]:
    """The exit status of a command in this process, and what it says on standard error."""
    argv, out, said = sys.argv, io.StringIO(), io.StringIO()
    sys.argv = ["counterforensics", *arguments]
    try:
        with contextlib.chdir(folder), contextlib.redirect_stdout(out), contextlib.redirect_stderr(said):
            main()
    except SystemExit as leaving:
        return int(leaving.code or 0), said.getvalue()
    finally:
        sys.argv = argv
    return 0, said.getvalue()


# --- all of them

DOMAINS: dict[str, tuple[Callable[[Draw, Path], None], float]] = {
    "studies": (fuzz_studies, 0.25),
    "detectors": (fuzz_detectors, 0.15),
    "records": (fuzz_records, 0.1),
    "photographs": (fuzz_photographs, 0.2),
    "names": (fuzz_names, 0.2),
    "command_line": (fuzz_command_line, 0.1),
}


class TooLongError(BaseException):
    """An input took too long. No code that is tested catches it."""


@contextlib.contextmanager
def limited() -> Iterator[None]:
    """A block that may take so many seconds."""

    def end(*_: object) -> None:
        raise TooLongError(f"more than {MOST_SECONDS:.0f} s of the processor, or {MOST_WAITED:.0f} s")

    limits = ((signal.SIGPROF, signal.ITIMER_PROF, MOST_SECONDS), (signal.SIGALRM, signal.ITIMER_REAL, MOST_WAITED))
    before = {number: signal.signal(number, end) for number, _, _ in limits}
    for _, timer, seconds in limits:
        signal.setitimer(timer, seconds)
    try:
        yield
    finally:
        for number, timer, _ in limits:
            signal.setitimer(timer, 0)
            signal.signal(number, before[number])


@dataclass(frozen=True)
class Tried:
    """What became of one input."""

    seed: int
    fault: str  # "" if nothing is wrong with the answer
    refused: bool
    seconds: float
    memory: int  # bytes that the process grew by


def tried(domain: str, seed: int, folder: Path) -> Tried:
    """Give one input to the project, in an empty folder."""
    function, _ = DOMAINS[domain]
    fault, refused = "", False
    with peak_of_task():
        held, began = peak_memory(), time.process_time()
        try:
            with limited():
                function(np.random.default_rng([seed]), folder)
        except CounterforensicsError:
            refused = True
        except (Exception, TooLongError) as error:
            places = [f"{Path(one.filename).name}:{one.lineno}" for one in traceback.extract_tb(error.__traceback__)]
            ours = [one for one in places if not one.startswith("test_fuzz")]
            fault = f"{type(error).__name__}: {str(error)[:300]} ({' '.join((ours or places)[-6:])})"
        seconds, taken = time.process_time() - began, peak_memory() - held
    if not fault and taken > MOST_MEMORY:
        fault = f"took {taken:,} bytes"
    return Tried(seed, fault, refused, seconds, taken)


def seeds_of(domain: str) -> range:
    """The inputs of a domain that are wanted."""
    only, _, seed = WANTED.partition(":")
    if not seed:
        return range(round(int(WANTED) * DOMAINS[domain][1]))
    return range(int(seed), int(seed) + 1) if only == domain else range(0)


@pytest.mark.parametrize("domain", DOMAINS)
def test_whatever_is_given_is_read_or_refused_in_one_line(
    domain: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "100")
    if domain in ("records", "command_line"):
        finished(tmp_path)
    found = []
    for seed in seeds_of(domain):
        folder = tmp_path / f"input-{seed}"
        folder.mkdir()
        found.append(tried(domain, seed, folder))
        shutil.rmtree(folder)
    for name in ("seconds", "memory"):
        most = max(found, key=lambda one: vars(one)[name], default=None)
        print(f"{domain}: most {name}: {most}")
    print(f"{domain}: {sum(one.refused for one in found)} of {len(found)} refused")
    faults = [f"COUNTERFORENSICS_FUZZ={domain}:{one.seed} gives {one.fault}" for one in found if one.fault]
    assert not faults, "\n".join(faults)
