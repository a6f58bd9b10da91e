"""How each detector does on each test device, without an attack."""

from __future__ import annotations

from counterforensics.report.labels import manipulation_label, section
from counterforensics.report.results import Results
from counterforensics.report.tables.cells import interval, seed_range
from counterforensics.report.tables.model import Cell, Column, Concerns, Row, Table, percent, titled

_RATES = ("fpr", "tpr", "acc")


def devices_table(results: Results) -> Table | None:
    """FPR, TPR and accuracy with intervals, a row for each device; None for a study with a single test device."""
    if len(results.devices) < 2:
        return None
    rows = [
        _row(results, *pair, device)
        for pair in results.pairs
        for device in results.devices
        if results.on_device("photos", *pair, device)
    ]
    return Table(
        key="devices",
        number=None,
        title=titled("By device, without an attack", rows),
        caption="Rates in percent on the photographs of each test device alone, with 95 % intervals. An interval "
        "resamples the photographs of this device. It says what other photographs of the same device would give, not "
        "what another device would give. devices.csv also has the rates under each attack.",
        stubs=("Manipulation", "Detector", "Device"),
        columns=(
            Column("Photographs"),
            *(Column(heading, name.upper()) for name in _RATES for heading in ("rate", "95 % interval")),
        ),
        rows=tuple(rows),
    )


def _row(results: Results, manipulation: str, detector: str, device: str) -> Row:
    photos = results.on_device("photos", manipulation, detector, device)
    cells = [Cell((f"{photos.high:.0f}" if photos else "",))]
    for name in _RATES:
        spread = results.on_device(name, manipulation, detector, device)
        cells.append(Cell((percent(spread.mean if spread else None), *seed_range(spread))))
        cells.append(Cell((interval(results.interval_on_device(name, manipulation, detector, device)),)))
    labels = (manipulation_label(manipulation), results.labels.detector(detector), device)
    about = Concerns(manipulation=labels[0], judge=labels[1])
    return Row(section(manipulation), labels, tuple(cells), about=about)
