"""What everything is measured on: patches whose residuals are distributed as a photograph's."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from counterforensics.photos.patches import choose_cells, cut
from counterforensics.photos.simulated import simulated_photos

BATCH = 32
WIDTH, HEIGHT = 640, 480
DEVICES = 4


def photographed() -> Tensor:
    """A batch of 128x128 luma patches of simulated photographs of four devices, uint8 [32, 1, 128, 128]."""
    cells = choose_cells(HEIGHT, WIDTH, per_photo=BATCH // DEVICES, seed=0)
    photos = simulated_photos(devices=DEVICES, photos=1, width=WIDTH, height=HEIGHT)
    return torch.from_numpy(np.concatenate([cut(photo.read(), cells) for photo in photos]))
