"""Data lists: which scans to train on, and what is known of their lobes.

JSON in the style of MONAI's decathlon lists::

    {"training": [{"image": "ct.nii.gz", "lobes": "lobes.nii.gz", "percent": [5.7, 17.3, 11.4, 2.7, 24.1]}],
     "validation": [...]}

Paths are relative to the list's folder. ``percent`` has one lesion percentage per lobe (LUL, LLL, RUL, RML, RLL), null
where it is not known.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from DRAMLesionLib.errors import InputError
from DRAMLesionLib.lobes import LOBES

KEYS = {"image", "lobes", "percent"}


@dataclass(frozen=True)
class Scan:
    """One scan of a data list.

    Attributes:
        image: The CT.
        lobes: Its lobes.
        percent: Lesion percentage of each lobe, 0..100, None where it is not known.
    """

    image: Path
    lobes: Path
    percent: tuple[float | None, ...]


@dataclass(frozen=True)
class DataList:
    """Scans to train on and scans to watch."""

    training: tuple[Scan, ...]
    validation: tuple[Scan, ...]


def read_datalist(path: str | Path) -> DataList:
    """Read and check a data list.

    Raises:
        InputError: The file can't be read, or rows are wrong: all of them are named at once.
    """
    path = Path(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}: give a data list (JSON)") from error
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InputError(f"{path}: not a data list: {error}: give JSON with a 'training' list") from error
    if not isinstance(content, dict) or not isinstance(content.get("training"), list):
        raise InputError(f"{path}: not a data list: it has no 'training' list")
    problems: list[str] = []
    parts = {
        name: tuple(_scans(content.get(name, []), name, path.parent, problems))
        for name in ("training", "validation")
    }
    if not parts["training"] and not problems:
        problems.append("training is empty")
    if problems:
        raise InputError(f"{path}: {len(problems)} problem(s): {'; '.join(problems)}")
    return DataList(parts["training"], parts["validation"])


def _scans(rows: Any, part: str, folder: Path, problems: list[str]) -> list[Scan]:
    if not isinstance(rows, list):
        problems.append(f"{part} is no list")
        return []
    scans = []
    for number, row in enumerate(rows):
        found = list(_row_problems(row, folder))
        problems.extend(f"{part}[{number}]: {problem}" for problem in found)
        if not found:
            percent = tuple(None if value is None else float(value) for value in row["percent"])
            scans.append(Scan(folder / row["image"], folder / row["lobes"], percent))
    return scans


def _row_problems(row: Any, folder: Path) -> list[str]:
    if not isinstance(row, dict):
        return ["is no table of image, lobes and percent"]
    problems = [f"unknown key {key!r}" for key in row if key not in KEYS]
    for key in ("image", "lobes"):
        if not isinstance(row.get(key), str):
            problems.append(f"{key} is missing")
        elif not (folder / row[key]).exists():
            problems.append(f"{key} {row[key]!r} does not exist")
    percent = row.get("percent")
    if not isinstance(percent, list) or len(percent) != len(LOBES):
        problems.append(f"percent is not a list of {len(LOBES)} numbers")
    else:
        for lobe, value in zip(LOBES, percent, strict=True):
            number = isinstance(value, int | float) and not isinstance(value, bool)
            if value is not None and not (number and 0 <= value <= 100):
                problems.append(f"percent of {lobe.abbreviation} is {value!r}, not 0 to 100 or null")
    return problems
