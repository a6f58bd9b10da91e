"""What a photograph is to a study."""

from __future__ import annotations

from typing import Protocol

from counterforensics.pixels import Pixels


class Photo(Protocol):
    """One photograph of one device, read only when a task needs it."""

    @property
    def device(self) -> str:
        """The camera that took it; devices, never photographs, are split into training and test."""

    @property
    def name(self) -> str:
        """What to call it in a message or a table: `device/file`."""

    @property
    def where(self) -> str:
        """Where a person finds it: the path of its file, or its name if it is in none."""

    @property
    def digest(self) -> str:
        """Hexadecimal content address: of the file's bytes, or of everything a simulation depends on."""

    def read(self) -> Pixels:
        """The photograph, uint8 [h, w, 3], RGB, as stored (no rotation).  Raises PhotoError if it cannot be."""
