"""The rates of each test device: in devices.csv, and in a table and a figure of the report."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pandas as pd
import pytest

from counterforensics.intervals import wilson
from counterforensics.outcome import DEVICE_COLUMNS, Outcome
from counterforensics.report import report_tables, write_report
from counterforensics.report.figures.devices import MOST_DEVICES, devices_picture
from counterforensics.report.results import Results
from counterforensics.report.tables.devices import devices_table
from tests.test_report import by_device, simulate

KEY = ["seed", "manipulation", "detector", "target", "attack"]
COUNTS = ["n_pristine", "n_manipulated", "fp", "tp"]


def read(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, keep_default_na=False)


@pytest.fixture(scope="module")
def outcome() -> Outcome:
    small = simulate(("median:7", "jpeg:70"), ("spam-svm", "xception"), (("xception", "fgsm"),), patches=24)
    return dataclasses.replace(small, scores=(), patches=(), curves=(), spectra=())


def test_the_counts_of_the_devices_add_up_to_the_rows(finished: Path) -> None:
    rows, lines = read(finished / "rows.csv"), read(finished / "devices.csv")
    assert list(lines.columns) == list(DEVICE_COLUMNS)
    assert lines.groupby(KEY)["device"].nunique().eq(2).all()
    added = lines.groupby(KEY)[COUNTS].sum()
    assert added.equals(rows.set_index(KEY)[COUNTS].sort_index())


def test_the_devices_are_the_test_devices_with_their_photographs(finished: Path) -> None:
    lines, photos = read(finished / "devices.csv"), read(finished / "photos.csv")
    test = photos[photos["role"] == "test"]
    assert set(lines["device"]) == set(test["device"])
    for device, part in lines.groupby("device"):
        own = test[test["device"] == device]
        assert set(part["photos"]) == {len(own)}
        assert set(part["n_pristine"]) == {own["patches"].sum()}


def test_rates_and_intervals_are_those_of_the_counts(finished: Path) -> None:
    lines = read(finished / "devices.csv")
    assert (lines["fpr"] - lines["fp"] / lines["n_pristine"]).abs().max() < 1e-6
    assert (lines["tpr"] - lines["tp"] / lines["n_manipulated"]).abs().max() < 1e-6
    assert (lines["acc"] - (lines["tpr"] + 1 - lines["fpr"]) / 2).abs().max() < 2e-6
    for name in ("fpr", "tpr", "acc"):
        assert (lines[f"{name}_low"] <= lines[name] + 1e-6).all()
        assert (lines[name] <= lines[f"{name}_high"] + 1e-6).all()
    # All photographs of a device agree at 100 %: Wilson's interval for as many trials.
    certain = lines[lines["tpr"] == 1]
    assert len(certain)
    for low, photos in zip(certain["tpr_low"], certain["photos"], strict=True):
        assert low == pytest.approx(wilson(1.0, photos)[0], abs=1e-6)


def test_the_table_has_a_line_for_each_manipulation_detector_and_device(outcome: Outcome) -> None:
    table = devices_table(Results.of(by_device(outcome, 2)))
    assert table is not None
    assert [row.labels[2] for row in table.rows] == ["camera-0", "camera-1"] * 4
    last = [str(cell) for cell in table.rows[1].cells]
    assert last == ["4", "10.00", "[0.00, 15.00]", "90.00", "[80.00, 95.00]", "90.00", "[40.00, 98.00]"]
    assert table.rows[0].about.judge == "SPAM + SVM"


def test_several_seeds_give_the_mean_of_those_that_test_on_the_device(outcome: Outcome) -> None:
    first = by_device(outcome, 2)
    again = first.devices.assign(seed=1, fpr=0.5, fpr_low=0.3, fpr_high=0.7)
    again = again[again["device"] == "camera-1"]
    found = dataclasses.replace(first, devices=pd.concat([first.devices, again], ignore_index=True))
    table = devices_table(Results.of(found))
    assert table is not None
    assert [cell.lines for cell in table.rows[0].cells[1:3]] == [("0.00",), ("[0.00, 5.00]",)]
    assert [cell.lines for cell in table.rows[1].cells[1:3]] == [("30.00", "10.00 to 50.00"), ("[0.00, 70.00]",)]


def test_a_single_device_has_neither_table_nor_figure(outcome: Outcome) -> None:
    for devices in (0, 1):
        single = by_device(outcome, devices)
        assert "devices" not in [table.key for table in report_tables(single)]
        assert devices_picture(Results.of(single)) == []


def test_of_many_devices_the_worst_are_drawn_and_the_caption_says_so(outcome: Outcome) -> None:
    (few,) = devices_picture(Results.of(by_device(outcome, 3)))
    assert "are drawn" not in few.caption
    assert "camera-2: 85 %" in few.alt
    (many,) = devices_picture(Results.of(by_device(outcome, 11)))
    assert f"The {MOST_DEVICES} of 11 devices with the lowest mean accuracy are drawn." in many.caption


def test_the_page_holds_both_folded(outcome: Outcome, tmp_path: Path) -> None:
    page = write_report(by_device(outcome, 2), tmp_path).read_text(encoding="utf-8")
    assert '<details class="fold" id="devices"' in page
    names = re.findall(r'\bid="([^"]+)"', page)
    assert len(names) == len(set(names))
    assert page.count("By device, without an attack") >= 2
    assert (tmp_path / "figures" / "device-rates.png").exists()
    assert (tmp_path / "tables" / "devices.md").exists()
