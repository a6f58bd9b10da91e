"""What detectors and attacks are measured by."""

from __future__ import annotations

from counterforensics.evaluation.quality import changed, mse, psnr_of
from counterforensics.evaluation.rates import Rates, auc, auc_interval, rates

__all__ = ["Rates", "auc", "auc_interval", "changed", "mse", "psnr_of", "rates"]
