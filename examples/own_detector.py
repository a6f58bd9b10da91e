"""Train a torch module of your own, make it a detector with `wrap`, and attack it.

    python examples/own_detector.py

The module knows nothing of this package: it takes images in 0..1 and gives two logits.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

import counterforensics
from counterforensics.testing import sample_pairs


class TwoConvolutions(nn.Module):
    """Two logits, for pristine and manipulated, from differences of neighbouring pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(1, 8, 5, stride=2), nn.ReLU(), nn.Conv2d(8, 2, 5, stride=2))

    def forward(self, images: Tensor) -> Tensor:  # float32 [n, 1, h, w] in 0..1 -> float32 [n, 2]
        logits: Tensor = self.layers(255 * images.diff(dim=-1)).mean((2, 3))
        return logits


def main() -> None:
    torch.manual_seed(0)
    pairs = sample_pairs(photos=20)  # pristine patches, and the same patches after a median filter, uint8 [n, 1, h, w]
    pristine, manipulated = (
        torch.from_numpy(next(part.batches(len(pairs)))) for part in (pairs.pristine, pairs.manipulated)
    )
    images = torch.cat([pristine, manipulated]) / 255
    labels = torch.cat([torch.zeros(len(pairs)), torch.ones(len(pairs))]).long()

    model = TwoConvolutions()
    adam = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(60):
        loss = nn.functional.cross_entropy(model(images), labels)
        adam.zero_grad()
        torch.autograd.backward(loss)
        adam.step()

    detector = counterforensics.wrap(
        model, white=1, reads_rgb=False, side=manipulated.shape[-1], name="two-convolutions"
    )
    concealed = counterforensics.attacks.pgd(manipulated, detector, epsilon=2)  # uint8 in, uint8 out
    for state, patches in (("pristine", pristine), ("manipulated", manipulated), ("concealed", concealed)):
        found = (detector.logits(patches.float()) > 0).float().mean()
        print(f"{state}: {found:.0%} of {len(patches)} patches are called manipulated")
    print(f"PSNR of the change: {counterforensics.psnr(manipulated, concealed):.1f} dB")


if __name__ == "__main__":
    main()
