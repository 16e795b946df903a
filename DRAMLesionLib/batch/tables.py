"""The table of a batch: volumes, percentages and scores of all its cases."""

import csv
from collections.abc import Iterable, Iterator
from pathlib import Path

from DRAMLesionLib.batch.work import CASES
from DRAMLesionLib.results.folder import TABLE
from DRAMLesionLib.results.table import ALL_COLUMNS, read_table
from DRAMLesionLib.system.files import atomic_file

VOLUMES_NAME = "volumes.csv"


def write_volumes(out: Path, names: Iterable[str]) -> int:
    """Write ``volumes.csv``: the ``lobes.csv`` of all finished cases, one under the other, behind a column ``case``.

    Args:
        out: The batch's folder.
        names: The cases that are done.

    Returns:
        How many cases are in it.
    """
    count = 0
    with (
        atomic_file(out / VOLUMES_NAME) as temporary,
        temporary.open("w", encoding="utf-8", newline="") as file,
    ):
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["case", *ALL_COLUMNS])
        for name in names:
            try:
                rows = [
                    [row[column] for column in ALL_COLUMNS] for row in read_table(out / CASES / name / TABLE)
                ]
            except (OSError, KeyError):
                continue
            writer.writerows([name, *row] for row in rows)
            count += 1
    return count


def read_volumes(out: Path) -> Iterator[tuple[str, dict[str, dict[str, str]]]]:
    """The cases of ``volumes.csv``: name, and the row of each region (``LUL`` ... ``total``) by its column's names."""
    name = ""
    regions: dict[str, dict[str, str]] = {}
    with (out / VOLUMES_NAME).open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            if row["case"] != name:
                if regions:
                    yield name, regions
                name, regions = row["case"], {}
            regions[row["region"]] = row
    if regions:
        yield name, regions
