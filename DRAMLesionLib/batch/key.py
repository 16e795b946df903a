"""The key of a batch: which case is which scan. The only file that holds inputs' paths; keep it private."""

import csv
import io
from collections.abc import Iterable
from pathlib import Path

from DRAMLesionLib.batch.cases import Case
from DRAMLesionLib.files import atomic_file

KEY_NAME = "key.csv"
_COLUMNS = ("case", "image", "series")


def read_key(out: Path) -> dict[tuple[str, str], str]:
    """The names that scans have, by image and series; empty where there is no key."""
    try:
        with (out / KEY_NAME).open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
    except OSError:
        return {}
    return {(row["image"], row["series"] or ""): row["case"] for row in rows if row.get("image")}


def write_key(out: Path, cases: Iterable[Case]) -> None:
    """Write the key, readable by its owner alone; scans of earlier runs stay in it.

    Raises:
        OutputError: It can't be written.
    """
    names = read_key(out) | {(case.image, case.series or ""): case.name for case in cases}
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(_COLUMNS)
    writer.writerows((name, image, series) for (image, series), name in names.items())
    with atomic_file(out / KEY_NAME) as temporary:
        temporary.write_text(buffer.getvalue(), encoding="utf-8")
    (out / KEY_NAME).chmod(0o600)
