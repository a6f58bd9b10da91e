"""Tasks on whole photographs: simulating one, and cutting patches from one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from counterforensics import laundering
from counterforensics.errors import StudyError
from counterforensics.laundering import Chain, Platform
from counterforensics.manipulations import Manipulation, manipulated
from counterforensics.photos.base import Photo
from counterforensics.photos.folder import FolderPhoto, decode, format_of
from counterforensics.photos.inspection import Inspection, inspect
from counterforensics.photos.patches import choose_cells, cut_at, grid_corners
from counterforensics.photos.simulated import SimulatedPhoto
from counterforensics.pixels import Pixels
from counterforensics.positions import sliding
from counterforensics.study.schedulers import memory
from counterforensics.study.store.folder import Store
from counterforensics.study.tasks.base import Kind, Say, Task
from counterforensics.study.tasks.files import CONCEALED, PATCHES, PHOTO, save

# A simulated photograph as JPEG takes up to so many bytes a pixel (measured on its cameras).
JPEG_BYTES_PER_PIXEL = 0.8
# Bytes of memory for each pixel (measured): while a photograph is decoded; of each of its states, and of the luma of
# the one that is cut; while one is simulated, and what that takes beside.
DECODING, STATE, LUMA = 8, 3, 1
DECODING_OF = {"WEBP": 18, "AVIF": 11, "HEIF": 11}  # where it takes more
SIMULATING, SIMULATION = 155, 80_000_000


class Simulate(Kind):
    """A simulated photograph as the JPEG file that its camera wrote."""

    name = "simulate"
    version = 1
    writes = (PHOTO,)
    unit = "pixels"

    def run(self, task: Task, store: Store, folder: Path, say: Say) -> None:
        """As `Kind.run`."""
        assert isinstance(task.photo, SimulatedPhoto)
        (folder / PHOTO).write_bytes(task.photo.encoded())

    def memory(self, task: Task) -> int:
        """As `Kind.memory`."""
        return SIMULATION + SIMULATING * task.pixels

    def bytes_written(self, task: Task) -> int:
        """As `Kind.bytes_written`."""
        return int(JPEG_BYTES_PER_PIXEL * task.pixels)


class Crop(Kind):
    """The patches of one photograph: pristine, manipulated or concealed as a whole, perhaps uploaded, and then cut."""

    name = "crop"
    version = 2
    writes = (PATCHES,)
    unit = "pixels"

    def run(self, task: Task, store: Store, folder: Path, say: Say) -> None:
        """As `Kind.run`."""
        pristine = photograph(task, store)
        settings, size = task.settings, task.settings["size"]
        cells = choose_cells(*pristine.shape[:2], per_photo=settings["per_photo"], seed=settings["seed"], size=size)
        photo = pristine
        if "concealed" in task.needs:
            path = store.folder(task.needs["concealed"][0]) / CONCEALED
            photo = decode(path.read_bytes(), path)
        elif "manipulation" in task.workers:
            manipulation: Manipulation = task.workers["manipulation"].part
            photo = manipulated(pristine, manipulation)
        if "laundering" in settings:
            photo = _uploaded(photo, settings["laundering"])
        corners = grid_corners(*photo.shape[:2], size=size).reshape(-1, 2)[cells]
        if "cleared" in settings:
            corners = sliding(*photo.shape[:2], stride=settings["cleared"], side=size).nearest(corners)
        save(folder / PATCHES, cut_at(photo, corners, channels=settings["channels"], size=size))

    def worker_name(self, task: Task) -> str:
        """As `Kind.worker_name`."""
        return task.workers["manipulation"].text if "manipulation" in task.workers else "pristine"

    def memory(self, task: Task) -> int:
        """As `Kind.memory`."""
        part = task.workers["manipulation"].part if "manipulation" in task.workers else None
        return memory_of(task.pixels, part, task.photo)

    def bytes_written(self, task: Task) -> int:
        """As `Kind.bytes_written`."""
        return task.patch_bytes * task.patches


def memory_of(pixels: int, manipulation: Manipulation | None, photo: Photo | None = None) -> int:
    """Bytes that a photograph of so many pixels takes at most, while it is decoded, manipulated and cut.

    photo: tells the format of the file; without one, a JPEG, PNG or TIFF file is meant.
    """
    decoding = pixels * DECODING_OF.get(format_of(photo) if photo else "", DECODING)
    if manipulation is None:
        return decoding
    # The pristine one, what comes of it, and one more that a filter or a coder makes on the way.
    return max(decoding, 2 * STATE * pixels + (STATE + LUMA) * manipulation.pixels_after(pixels))


def too_large(photo: Photo, found: Inspection, named: Mapping[str, Manipulation]) -> str:
    """Why a photograph cannot be manipulated in the memory that there is for photographs; "" if it can.

    named: the manipulations by their text forms, at least one.
    """
    pixels, room = found.width * found.height, memory.FOR_PHOTOGRAPHS.total
    takes, manipulation = max((memory_of(pixels, part, photo), text) for text, part in named.items())
    if takes <= room:
        return ""
    return (
        f"{photo.where}: {manipulation} of {found.width}x{found.height} takes {takes / 1e9:.1f} GB of memory, at most "
        f"{room / 1e9:.1f} work; leave one of the two out"
    )


def inspect_in_budget(photo: Photo) -> Inspection:
    """As `inspect`, in the memory that there is for photographs."""
    pixels = photo.pixels() if isinstance(photo, FolderPhoto) else 0
    with memory.FOR_PHOTOGRAPHS.taken(memory_of(pixels, None, photo)):
        return inspect(photo)


def upload(text: str, platform: Platform | Chain) -> Mapping[str, Any]:
    """A platform as `Crop` finds it in its settings: its text form, and all that the result owes to it."""
    return {"platform": text, "steps": laundering.settings_of(platform)}


def _uploaded(photo: Pixels, wanted: Mapping[str, Any]) -> Pixels:
    """What comes back from the upload that `upload` described.  Raises StudyError for a profile that has changed."""
    platform = laundering.parse(wanted["platform"])
    if upload(wanted["platform"], platform) != wanted:
        raise StudyError(
            f"{wanted['platform']}: the profile has changed since the run was planned; run the same command again"
        )
    return laundering.launder(photo, platform).pixels


def photograph(task: Task, store: Store) -> Pixels:
    """The photograph behind a task as its camera stored it: uint8 [h, w, 3]."""
    assert task.photo is not None
    if "simulated" not in task.needs:
        return task.photo.read()
    path = store.folder(task.needs["simulated"][0]) / PHOTO
    return decode(path.read_bytes(), path)
