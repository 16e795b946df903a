"""Which case of a batch is which scan: ``key.csv``, the only file that holds inputs' paths; keep it private."""

import csv
import io
from collections.abc import Iterable
from pathlib import Path

from DRAMLesionLib.batch.listing import Case
from DRAMLesionLib.system.errors import InputError
from DRAMLesionLib.system.files import atomic_file

FILE_NAME = "key.csv"
_COLUMNS = ("case", "image", "series")


def read_scan_numbers(out: Path) -> dict[tuple[str, str], str]:
    """The names that scans have, by image and series; empty where no batch has numbered any.

    Raises:
        InputError: The file is damaged. Without it scans would get other numbers than their results have.
    """
    path = out / FILE_NAME
    if not path.is_file():
        return {}
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
    except OSError:
        return {}
    except (ValueError, csv.Error) as error:
        raise InputError(f"{path}: is damaged: restore it from a backup, or give another folder") from error
    return {
        (row["image"], row.get("series") or ""): row["case"]
        for row in rows
        if row.get("image") and row.get("case")
    }


def write_scan_numbers(out: Path, cases: Iterable[Case]) -> None:
    """Write the file, readable by its owner alone; scans of earlier runs stay in it.

    Raises:
        OutputError: It can't be written.
    """
    names = read_scan_numbers(out) | {(case.image, case.series or ""): case.name for case in cases}
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(_COLUMNS)
    writer.writerows((name, image, series) for (image, series), name in names.items())
    with atomic_file(out / FILE_NAME, private=True) as temporary:
        temporary.write_text(buffer.getvalue(), encoding="utf-8")
