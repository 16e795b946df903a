"""Data lists: which scans to train on, and what is known of their lobes.

JSON in the style of MONAI's decathlon lists::

    {"training": [{"image": "ct.nii.gz", "lobes": "lobes.nii.gz", "percent": [5.7, 17.3, 11.4, 2.7, 24.1]},
                  {"image": "b_ct.nii.gz", "lobes": "b_lobes.nii.gz", "score": [0, 2, 1, null, 3]}],
     "validation": [...]}

Paths are relative to the list's folder. A row has ``percent``, one lesion percentage per lobe (LUL, LLL, RUL, RML,
RLL), or ``score``, one severity score 0..5 per lobe, or both; null where nothing is known. Where a lobe has both, the
percentage counts. ``label`` (a lesion mask) and ``edits`` (painted voxels: 1 lesion, 2 not lesion) may be there; no weak
training reads them. ``equalised`` is true where the CT's HU come from pictures whose contrast was equalised locally, as
published slices often were; only the variation of scanners in training looks at it. Other keys beside ``training`` and
``validation`` are left alone.
"""

import json
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from DRAMLesionLib.images.paths import stem
from DRAMLesionLib.lungs.lobes import LOBES
from DRAMLesionLib.system.errors import InputError
from DRAMLesionLib.system.files import write_text
from DRAMLesionLib.system.text_file import read_json
from DRAMLesionLib.training.data.weak_label import WeakLabel

FILES = ("image", "lobes", "label", "edits")
REQUIRED = ("image", "lobes")
LABELS = {"percent": 100, "score": 5}
"""The weak labels and their largest values."""
EQUALISED = "equalised"
PARTS = ("training", "validation")

LONGEST_SHOWN = 200
"""Characters of a path that an error shows."""

PerLobe = tuple[float | None, ...]


@dataclass(frozen=True)
class Scan:
    """One scan of a data list.

    Attributes:
        image: The CT.
        lobes: The lobes of the CT.
        percent: Lesion percentage of each lobe, 0..100, None where it is not known.
        score: Severity score of each lobe, 0..5, None where it is not known; None where the row has no scores.
        label: The scan's lesion mask, if there is one.
        edits: What a person painted, if there is such a file: 1 lesion, 2 not lesion.
        equalised: The HU come from pictures whose contrast was equalised locally.
    """

    image: Path
    lobes: Path
    percent: PerLobe = (None,) * len(LOBES)
    score: tuple[int | None, ...] | None = None
    label: Path | None = None
    edits: Path | None = None
    equalised: bool = False

    @property
    def name(self) -> str:
        """For people, and to find what belongs to it: ``case1`` of ``case1_ct.nii.gz`` and of ``case1/ct.nrrd``."""
        name = stem(self.image)
        if name.lower() in ("ct", "image"):
            return self.image.resolve().parent.name
        return re.sub(r"(?i)_(ct|image|0000)$", "", name)

    @property
    def is_healthy(self) -> bool:
        """Whether all lobes are known to have no lesion."""
        known = [self.weak_label(lobe.value) for lobe in LOBES]
        return all(label is not None and label.is_healthy for label in known)

    def weak_label(self, lobe: int) -> WeakLabel | None:
        """What is known of a lobe, or None; a percentage counts more than a score.

        Args:
            lobe: The lobe's value, 1..5.
        """
        percent, score = self.percent[lobe - 1], None if self.score is None else self.score[lobe - 1]
        if percent is not None:
            return WeakLabel.from_percent(percent)
        return None if score is None else WeakLabel.from_score(score)


@dataclass(frozen=True)
class DataList:
    """Scans to train on and scans to watch."""

    training: tuple[Scan, ...]
    validation: tuple[Scan, ...] = ()


def read_datalist(path: str | Path) -> DataList:
    """Read and check a data list.

    Raises:
        InputError: The file can't be read, or rows are wrong: all of them are named at once.
    """
    path = Path(path)
    content = read_json(path, "a data list", "give JSON with a 'training' list")
    if not isinstance(content, dict) or not isinstance(content.get("training"), list):
        raise InputError(f"{path}: not a data list: it has no 'training' list: give one")
    problems: list[str] = []
    parts = {name: tuple(_scans(content.get(name, []), name, path.parent, problems)) for name in PARTS}
    if not parts["training"] and not problems:
        problems.append("training is empty")
    if problems:
        raise InputError(f"{path}: {len(problems)} problem(s): {'; '.join(problems)}: correct the list")
    return DataList(parts["training"], parts["validation"])


def write_datalist(path: str | Path, scans: DataList, about: dict[str, Any] | None = None) -> None:
    """Write a data list, whole or not at all, with paths relative to its folder.

    Args:
        path: The JSON file.
        scans: The list's rows.
        about: JSON values to keep beside the rows, for instance where the labels come from.

    Raises:
        OutputError: It can't be written.
    """
    path = Path(path)
    rows = {part: [_row(scan, path.parent) for scan in getattr(scans, part)] for part in PARTS}
    text = json.dumps({**(about or {}), **rows}, indent=2, ensure_ascii=False, allow_nan=False)
    write_text(path, text + "\n")


def relative(path: Path, folder: Path) -> str:
    """``path`` as seen from ``folder``, with forward slashes; absolute where there is no way (another drive)."""
    path = path.resolve()
    try:
        return Path(os.path.relpath(path, folder.resolve())).as_posix()
    except ValueError:
        return path.as_posix()


def _row(scan: Scan, folder: Path) -> dict[str, Any]:
    row: dict[str, Any] = {}
    for key in FILES:
        file = getattr(scan, key)
        if file is not None:
            row[key] = relative(file, folder)
    if scan.score is None or any(value is not None for value in scan.percent):
        row["percent"] = list(scan.percent)
    if scan.score is not None:
        row["score"] = list(scan.score)
    if scan.equalised:
        row[EQUALISED] = True
    return row


def _scans(rows: Any, part: str, folder: Path, problems: list[str]) -> list[Scan]:
    if not isinstance(rows, list):
        problems.append(f"{part} is no list")
        return []
    scans = []
    for number, row in enumerate(rows):
        wrong = list(_row_problems(row, folder))
        problems.extend(f"{part}[{number}]: {problem}" for problem in wrong)
        if not wrong:
            scans.append(_scan(row, folder))
    return scans


def _scan(row: dict[str, Any], folder: Path) -> Scan:
    paths = {key: folder / row[key] for key in FILES if row.get(key) is not None}
    labels: dict[str, Any] = {}
    if row.get("percent") is not None:
        labels["percent"] = tuple(None if value is None else float(value) for value in row["percent"])
    if row.get("score") is not None:
        labels["score"] = tuple(None if value is None else int(value) for value in row["score"])
    return Scan(**paths, **labels, equalised=row.get(EQUALISED, False))


def _row_problems(row: Any, folder: Path) -> Iterator[str]:
    if not isinstance(row, dict):
        yield "is no table of image, lobes and percent or score"
        return
    yield from (f"unknown key {key!r}" for key in row if key not in (*FILES, *LABELS, EQUALISED))
    for key in FILES:
        value = row.get(key)
        if value is None:
            if key in REQUIRED:
                yield f"{key} is missing"
        elif not isinstance(value, str) or not value:
            yield f"{key} is {value!r}, not a path"
        elif not _exists(folder / value):
            yield f"{key} {value[:LONGEST_SHOWN]!r} does not exist"
    if not isinstance(row.get(EQUALISED, False), bool):
        yield f"{EQUALISED} is {row[EQUALISED]!r}, neither true nor false"
    if all(row.get(key) is None for key in LABELS):
        yield f"percent (or score) is missing: give a list of {len(LOBES)} numbers"
    for key in LABELS:
        if row.get(key) is not None:
            yield from _label_problems(key, row[key])


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # too long a name, or a null byte in it
        return False


def _label_problems(key: str, values: Any) -> Iterator[str]:
    if not isinstance(values, list) or len(values) != len(LOBES):
        yield f"{key} is not a list of {len(LOBES)} numbers"
        return
    for lobe, value in zip(LOBES, values, strict=True):
        if value is not None and not is_label(key, value):
            kind = "a whole number from 0 to" if key == "score" else "0 to"
            yield f"{key} of {lobe.abbreviation} is {value!r}, not {kind} {LABELS[key]} or null"


def is_label(key: str, value: Any) -> bool:
    """Whether a value can be a ``percent`` or a ``score``."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= LABELS[key]:
        return False
    return key == "percent" or value == int(value)


def spread(scans: Sequence[Scan], fraction: float) -> DataList:
    """Set a part of scans aside for validation, mild and severe ones alike.

    The scans are put in the order of their severity and cut into as many runs as there are scans to set aside; the
    middle one of each run is taken. So the same scans always give the same parts.

    Args:
        scans: At least two.
        fraction: How many of them, 0..1; at least one stays on either side.
    """
    count = min(len(scans) - 1, max(1, round(len(scans) * fraction)))
    order = sorted(scans, key=lambda scan: (_severity(scan), scan.name))
    aside = {id(order[int((number + 0.5) * len(order) / count)]) for number in range(count)}
    return DataList(
        tuple(scan for scan in scans if id(scan) not in aside),
        tuple(scan for scan in scans if id(scan) in aside),
    )


def _severity(scan: Scan) -> float:
    """Mean percentage of the lobes that something is known of; the middle of its range for a score."""
    known = [label for lobe in LOBES if (label := scan.weak_label(lobe.value))]
    values = [(k.low + k.high) / 2 if k.fraction is None else k.fraction for k in known]
    return sum(values) / len(values) if values else 0.0
