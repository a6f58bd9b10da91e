"""Hand-crafted features: the SRM submodel s3_spam14hv, exact here and differentiable in `soft`."""

from __future__ import annotations

from counterforensics.features.spam import s3_spam14hv

__all__ = ["s3_spam14hv"]
