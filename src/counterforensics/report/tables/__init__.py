"""The tables of a report: the paper's, those of this study alone, and the settings behind the labels."""

from __future__ import annotations

import pandas as pd

from counterforensics.report.results import Results
from counterforensics.report.tables.attacks import attack_tables
from counterforensics.report.tables.costs import attack_costs, cost_table
from counterforensics.report.tables.detection import detection_table
from counterforensics.report.tables.devices import devices_table
from counterforensics.report.tables.failures import failed_notes
from counterforensics.report.tables.fine_tuning import fine_tuning_table
from counterforensics.report.tables.learned import contest_notes
from counterforensics.report.tables.learning import learning_table
from counterforensics.report.tables.model import UNKNOWN, Sample, Table
from counterforensics.report.tables.operating_points import operating_points_table
from counterforensics.report.tables.restoration import restoration_table
from counterforensics.report.tables.settings import settings_table
from counterforensics.report.tables.trainings import trainings_table
from counterforensics.report.tables.uploads import positions_table, uploads_table


def all_tables(results: Results, times: pd.DataFrame, sample: Sample = UNKNOWN) -> list[Table]:
    """Every table that the rows allow, in the order of the report.

    times: the columns of times.csv.
    """
    tables = [
        detection_table(results, sample),
        operating_points_table(results),
        devices_table(results),
        *attack_tables(results, sample),
        uploads_table(results),
        positions_table(results),
        fine_tuning_table(results),
        restoration_table(results),
        trainings_table(results),
        learning_table(results),
        cost_table(
            results.labels,
            attack_costs(results, times),
            (*failed_notes(results, results.contests), *contest_notes(results)),
        ),
        settings_table(results.labels),
    ]
    return [table for table in tables if table]
