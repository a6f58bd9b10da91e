"""Detectors and attacks over a whole photograph, by patches that slide over it and overlap."""

from __future__ import annotations

from counterforensics.sliding.concealing import ConcealedPhoto, conceal_photo
from counterforensics.sliding.findings import Finding, question_of
from counterforensics.sliding.scan import Scan, scan

__all__ = ["ConcealedPhoto", "Finding", "Scan", "conceal_photo", "question_of", "scan"]
