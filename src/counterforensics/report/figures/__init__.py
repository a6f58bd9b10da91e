"""The figures of a report, in its order."""

from __future__ import annotations

from counterforensics.outcome import Outcome
from counterforensics.report.figures.costs import cost_pictures
from counterforensics.report.figures.det import det_pictures
from counterforensics.report.figures.devices import devices_picture
from counterforensics.report.figures.learning import learning_pictures
from counterforensics.report.figures.patches import patch_pictures
from counterforensics.report.figures.roc_and_logits import logit_pictures, roc_pictures
from counterforensics.report.figures.spectra import spectra_pictures
from counterforensics.report.figures.style import Picture
from counterforensics.report.figures.transfer import transfer_maps
from counterforensics.report.figures.uploads import upload_picture
from counterforensics.report.results import Results
from counterforensics.report.tables.costs import attack_costs


def all_pictures(outcome: Outcome, results: Results) -> list[Picture]:
    """Every figure that the outcome allows."""
    labels = results.labels
    return [
        *transfer_maps(results),
        *upload_picture(results),
        *devices_picture(results),
        *cost_pictures(attack_costs(results, outcome.times), labels, results.detectors),
        *patch_pictures(outcome.patches, labels),
        *spectra_pictures(outcome.spectra, labels),
        *roc_pictures(outcome.scores, labels, results.detectors),
        *det_pictures(outcome.scores, labels, results.detectors),
        *logit_pictures(outcome.scores, labels),
        *learning_pictures(outcome.curves, labels),
    ]
