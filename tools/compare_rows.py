"""Compare the rows of two runs, column by column: `python tools/compare_rows.py BEFORE/rows.csv AFTER/rows.csv`.

Rows are paired by what was measured. Columns that one of the two lacks are named. Every figure that differs is named,
too, and the exit status is then 1.
"""

from __future__ import annotations

import argparse
import csv
import sys
from pathlib import Path

MEASURED = ("seed", "manipulation", "detector", "target", "attack")
Key = tuple[str, ...]


def main() -> int:
    """The exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    arguments = parser.parse_args()
    before, after = read(arguments.before), read(arguments.after)
    lines = differences(before, after)
    shared = columns_of(before) & columns_of(after)
    print(f"columns only before: {', '.join(sorted(columns_of(before) - shared)) or 'none'}")
    print(f"columns only after: {', '.join(sorted(columns_of(after) - shared)) or 'none'}")
    print(f"{len(before)} rows before, {len(after)} after, {len(shared)} columns in both, {len(lines)} differences")
    print("\n".join(lines))
    return 1 if lines else 0


def read(path: Path) -> dict[Key, dict[str, str]]:
    """The rows of a rows.csv by what was measured, in their order."""
    with path.open(encoding="utf-8", newline="") as file:
        return {tuple(row[name] for name in MEASURED): row for row in csv.DictReader(file)}


def columns_of(rows: dict[Key, dict[str, str]]) -> set[str]:
    """The names of the columns."""
    return {name for row in rows.values() for name in row}


def differences(before: dict[Key, dict[str, str]], after: dict[Key, dict[str, str]]) -> list[str]:
    """A line for each row that one lacks, for another order, and for each figure that differs."""
    lines = [f"only before: {' '.join(key)}" for key in before if key not in after]
    lines += [f"only after: {' '.join(key)}" for key in after if key not in before]
    common = [key for key in before if key in after]
    if common != [key for key in after if key in before]:
        lines.append("the rows stand in another order")
    for key in common:
        for name in before[key].keys() & after[key].keys():
            if before[key][name] != after[key][name]:
                lines.append(f"{' '.join(key)}: {name} was {before[key][name]}, is {after[key][name]}")
    return lines


if __name__ == "__main__":
    sys.exit(main())
