"""What detectors and attacks are measured by."""

from __future__ import annotations

from counterforensics.evaluation.quality import changed, mse, psnr_of, ssim
from counterforensics.evaluation.rates import Rates, auc_interval, rates
from counterforensics.evaluation.spectrum import frequencies, radial_spectrum, residual_spectrum
from counterforensics.ranking import auc

__all__ = [
    "Rates",
    "auc",
    "auc_interval",
    "changed",
    "frequencies",
    "mse",
    "psnr_of",
    "radial_spectrum",
    "rates",
    "residual_spectrum",
    "ssim",
]
