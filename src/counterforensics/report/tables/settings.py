"""The settings behind each label: the one place of a report that names them."""

from __future__ import annotations

from counterforensics.report.labels import ATTACK, DETECTOR, LabelledPart, Labels, shown_settings
from counterforensics.report.tables.model import NONE, Column, Row, Table, texts, titled

_SECTIONS = {DETECTOR: "Detectors", ATTACK: "Attacks"}


def settings_table(labels: Labels) -> Table | None:
    """A line for each detector and attack of the study; None where there is none."""
    if not labels.parts:
        return None
    rows = tuple(_row(labels, part) for part in sorted(labels.parts, key=lambda part: part.role != DETECTOR))
    return Table(
        key="settings",
        number=None,
        title=titled("The settings behind each label", rows),
        caption="What each detector and each attack of this report is: the name under which a study asks for it, "
        "those of its settings that are not at their default, and the package that it comes from, where that is a "
        "plug-in.",
        stubs=("Label",),
        columns=(Column("Name", words=True), Column("Settings", words=True), Column("Plug-in", words=True)),
        rows=rows,
    )


def _row(labels: Labels, part: LabelledPart) -> Row:
    shown = labels.detector(part.text) if part.role == DETECTOR else labels.attack(part.text)
    cells = texts([part.name, shown_settings(part.settings) or NONE, part.plug_in or NONE])
    return Row(_SECTIONS[part.role], (shown,), cells)
