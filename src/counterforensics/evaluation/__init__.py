"""What detectors and attacks are measured by."""

from __future__ import annotations

from counterforensics.error_rates import equal_error_rate
from counterforensics.evaluation.operating_points import best_threshold, operating_points, rates_at
from counterforensics.evaluation.quality import changed, mse, psnr_of, ssim
from counterforensics.evaluation.rates import Rates, VerdictRates, auc_interval, eer_interval, rates, verdict_rates
from counterforensics.evaluation.spectrum import frequencies, radial_spectrum, residual_spectrum
from counterforensics.ranking import auc

__all__ = [
    "Rates",
    "VerdictRates",
    "auc",
    "auc_interval",
    "best_threshold",
    "changed",
    "eer_interval",
    "equal_error_rate",
    "frequencies",
    "mse",
    "operating_points",
    "psnr_of",
    "radial_spectrum",
    "rates",
    "rates_at",
    "residual_spectrum",
    "ssim",
    "verdict_rates",
]
