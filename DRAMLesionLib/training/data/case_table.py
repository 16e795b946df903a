"""A data list from a folder of scans and what is known of them: a CSV table, or lesion masks."""

import csv
import io
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from DRAMLesionLib.images.image_file import grid_difference, read_geometry
from DRAMLesionLib.images.paths import stem
from DRAMLesionLib.lesions.quantify import severity_score
from DRAMLesionLib.lungs.lobes import LOBES
from DRAMLesionLib.system.errors import InputError
from DRAMLesionLib.system.progress import Progress, silent
from DRAMLesionLib.system.text_file import csv_delimiter, read_text
from DRAMLesionLib.training.data.datalist import (
    FILES,
    LABELS,
    REQUIRED,
    DataList,
    PerLobe,
    Scan,
    is_label,
    spread,
)
from DRAMLesionLib.training.data.find_files import NAME, PATTERNS, find_by_name

Kind = Literal["percent", "score"]
"""What is derived from masks."""
Column = Literal["percent", "fraction", "score"]
"""What a table's columns hold: fractions are 0..1 where percentages are 0..100."""

NAME_COLUMNS = ("name", "case")
UNKNOWN = ("", "-", "?", "na", "n/a", "nan", "none", "null")
"""Cells that say nothing."""


@dataclass(frozen=True)
class Row:
    """What a table knows of a case.

    Attributes:
        name: The case, or the name of its CT's file.
        percent: Lesion percentage of each lobe, 0..100.
        score: Severity score of each lobe, 0..5; None where the table has no scores.
    """

    name: str
    percent: PerLobe
    score: tuple[int | None, ...] | None


def read_table(path: str | Path, kind: Column | None = None) -> list[Row]:
    """Read a CSV table (comma, semicolon or tab) with a column ``name`` or ``case`` and columns for the lobes.

    Those are called ``percent_LUL``, ``percent_LLL``, ``percent_RUL``, ``percent_RML``, ``percent_RLL``, or ``score_LUL``
    and so on, or just ``LUL`` and so on with ``kind``. Case does not matter, other columns are left alone, an empty
    cell is a lobe of which nothing is known.

    Args:
        path: UTF-8.
        kind: What columns that are called after the lobes alone hold; ``fraction`` also says so of ``percent_LUL`` and so
            on.

    Raises:
        InputError: The file can't be read, columns are missing, or cells are wrong: all of them are named at once. Or
            all percentages are 0..1, so that they may be fractions.
    """
    path = Path(path)
    text = read_text(path, "UTF-8 text", "save the table as CSV (UTF-8)")
    delimiter = csv_delimiter(text.partition("\n")[0])
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    header = [cell.strip().lower() for cell in next(_lines(path, reader), [])]
    name_column = next((header.index(name) for name in NAME_COLUMNS if name in header), None)
    if name_column is None:
        raise InputError(f"{path}: no column called name or case in its first line: add one")
    columns = _lobe_columns(header, "percent" if kind == "fraction" else kind, path)
    rows: list[Row] = []
    problems: list[str] = []
    signed = False
    for cells in _lines(path, reader):
        if any(cell.strip() for cell in cells):
            cells = [*cells, *[""] * len(header)]
            values = {key: [cells[column].strip() for column in of] for key, of in columns.items()}
            signed = signed or any(text.endswith("%") for text in values.get("percent", ()))
            name = cells[name_column].strip()
            rows.append(_row(name, values, f"line {reader.line_num} ({name or 'no name'})", problems))
    names = [row.name for row in rows]
    problems += [
        f"{name} has {names.count(name)} rows" for name in dict.fromkeys(names) if names.count(name) > 1
    ]
    if not rows:
        problems.append("it has no rows")
    if problems:
        raise InputError(f"{path}: {len(problems)} problem(s): {'; '.join(problems)}: correct the table")
    if kind == "fraction":
        return [_from_fractions(path, row) for row in rows]
    if not signed:
        _refuse_fractions(path, rows)
    return rows


def _refuse_fractions(path: Path, rows: Sequence[Row]) -> None:
    """Ask where all percentages are 0..1 and some lie between: they may be fractions, a hundred times as much.

    Raises:
        InputError: They are.
    """
    values = [value for row in rows for value in row.percent if value is not None]
    if values and max(values) <= 1 and any(0 < value < 1 for value in values):
        raise InputError(
            f"{path}: all its percentages are 0..1, the largest is {max(values):g}: are they fractions (1 for the whole "
            "lobe)? Then add --kind fraction; if they are percentages, write a percent sign behind them"
        )


def _from_fractions(path: Path, row: Row) -> Row:
    """A row whose percentages were given as fractions."""
    if any(value is not None and value > 1 for value in row.percent):
        raise InputError(
            f"{path}: {row.name} has {max(v for v in row.percent if v is not None):g}, more than a whole lobe: leave out "
            "--kind fraction if these are percentages"
        )
    return replace(row, percent=tuple(None if v is None else round(100 * v, 6) for v in row.percent))


def _lines(path: Path, reader: Iterator[list[str]]) -> Iterator[list[str]]:
    try:
        yield from reader
    except csv.Error as error:
        raise InputError(f"{path}: no table: {error}: save it as CSV again") from error


def collect(
    folder: str | Path,
    table: Sequence[Row] | None = None,
    *,
    kind: Kind = "percent",
    patterns: dict[str, Sequence[str]] | None = None,
    progress: Progress = silent,
) -> tuple[dict[str, Scan], list[str]]:
    """The scans of a folder with their weak labels.

    Args:
        folder: Where the CTs and their lobes are, and masks and painted voxels if there are any.
        table: What is known of the cases; None derives it from the lesion masks.
        kind: What to derive from the masks.
        patterns: How the files are called, for ``image``, ``lobes``, ``label`` and ``edits``; those of
            :data:`~DRAMLesionLib.training.data.find_files.PATTERNS` where one is not given.
        progress: Told after each scan.

    Returns:
        The scans by the names of their cases, and notes: one line each on what was left out.

    Raises:
        InputError: Files are missing, lie on other grids or can't be read: all problems are named at once.
    """
    folder = Path(folder)
    patterns = {**PATTERNS, **(patterns or {})}
    files = {key: find_by_name(folder, patterns[key], folders=key == "lobes") for key in FILES}
    if not files["image"]:
        called = " or ".join(patterns["image"])
        raise InputError(f"{folder}: no CT called {called} in it: give another folder, or --image PATTERN")
    known = dict.fromkeys(files["image"]) if table is None else _by_case(table, files["image"])
    scans: dict[str, Scan] = {}
    problems: list[str] = []
    for number, (name, row) in enumerate(known.items()):
        progress("Reading the scans", number / len(known))
        present = {key: files[key][name] for key in FILES if name in files[key]}
        wanted = REQUIRED if table is not None else (*REQUIRED, "label")
        missing = [_missing(name, key, patterns[key]) for key in wanted if key not in present]
        wrong = missing or list(_grid_problems(name, present))
        problems += wrong
        if wrong:
            continue
        scan = Scan(
            present["image"], present["lobes"], label=present.get("label"), edits=present.get("edits")
        )
        try:
            scans[name] = _from_label(scan, kind) if row is None else _labelled(scan, row)
        except InputError as error:
            problems.append(f"{name}: {error}")
    progress("Reading the scans", 1.0)
    if problems:
        raise InputError(
            f"{folder}: {len(problems)} problem(s): {'; '.join(problems)}: add what is named, or take its row out"
        )
    left = [name for name in files["image"] if name not in known]
    return scans, [
        f"{len(left)} CT(s) without a row in the table, left out: {', '.join(left)}"
    ] if left else []


def split(scans: dict[str, Scan], validation: Sequence[str]) -> DataList:
    """Set scans aside for validation.

    Args:
        scans: All, by the names of their cases.
        validation: Names of cases, or one number between 0 and 1: that part of them, mild and severe ones alike.

    Raises:
        InputError: A name that no scan has, or nothing is left to train on.
    """
    if len(validation) == 1 and (fraction := _number(validation[0])) is not None and 0 < fraction < 1:
        if len(scans) < 2:
            raise InputError("--validation: there is one scan only: leave it out, or give more scans")
        return spread(tuple(scans.values()), fraction)
    if unknown := [name for name in validation if name not in scans]:
        raise InputError(
            f"--validation: no scan is called {', '.join(unknown)}: use a number between 0 and 1, or names of "
            f"{', '.join(scans)}"
        )
    training = tuple(scan for name, scan in scans.items() if name not in validation)
    if not training:
        raise InputError("--validation: no scan is left to train on: set fewer aside")
    return DataList(training, tuple(scan for name, scan in scans.items() if name in validation))


def _lobe_columns(header: list[str], kind: Kind | None, path: Path) -> dict[str, list[int]]:
    """Where each lobe's percentages and scores stand."""
    names = [lobe.abbreviation.lower() for lobe in LOBES]
    columns: dict[str, list[int]] = {}
    problems = []
    for key, prefix in (("percent", "percent_"), ("score", "score_"), (kind, "")):
        present = [name for name in names if prefix + name in header]
        if key is None and present and not columns:
            raise InputError(
                f"{path}: what are its columns {', '.join(present).upper()}: say --kind percent or score"
            )
        if key is None or not present:
            continue
        problems += [f"no column {prefix}{name.upper()}" for name in names if prefix + name not in header]
        problems += [
            f"{prefix}{name.upper()} is there twice" for name in present if header.count(prefix + name) > 1
        ]
        if key in columns:
            problems.append(f"it has {key}_{names[0].upper()} as well as {names[0].upper()}")
        if not problems:
            columns[key] = [header.index(prefix + name) for name in names]
    if not columns and not problems:
        problems.append("no columns percent_LUL, ... or score_LUL, ...")
    if problems:
        raise InputError(f"{path}: {'; '.join(problems)}: give five columns, one for each lobe")
    return columns


def _row(name: str, cells: dict[str, list[str]], where: str, problems: list[str]) -> Row:
    if not name:
        problems.append(f"{where}: the name is empty")
    values: dict[str, tuple[Any, ...]] = {}
    for key, texts in cells.items():
        numbers = []
        for lobe, text in zip(LOBES, texts, strict=True):
            number = None if text.lower() in UNKNOWN else _number(text.removesuffix("%"))
            if text.lower() not in UNKNOWN and not is_label(key, number):
                whole = "a whole number from " if key == "score" else ""
                problems.append(
                    f"{where}: {key} of {lobe.abbreviation} is {text!r}, not {whole}0 to {LABELS[key]}"
                )
            numbers.append(number)
        values[key] = tuple(numbers)
    score = values.get("score")
    whole_scores = None if score is None else tuple(None if s is None else math.floor(s) for s in score)
    return Row(name, values.get("percent", (None,) * len(LOBES)), whole_scores)


def _number(text: str) -> float | None:
    """A number with a point or a comma; None where it is none."""
    try:
        number = float(text.strip().replace(",", "."))
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _by_case(table: Sequence[Row], images: dict[str, Path]) -> dict[str, Row | None]:
    """The table's rows by the names of the cases; it may name the CT's file instead."""
    by_file = {key: name for name, path in images.items() for key in (path.name, stem(path))}
    return {row.name if row.name in images else by_file.get(row.name, row.name): row for row in table}


def _missing(name: str, key: str, patterns: Sequence[str]) -> str:
    return f"{name}: no {key} (called {' or '.join(pattern.replace(NAME, name) for pattern in patterns)})"


def _labelled(scan: Scan, row: Row) -> Scan:
    return replace(scan, percent=row.percent, score=row.score)


def _grid_problems(name: str, files: dict[str, Path]) -> Iterator[str]:
    image = files["image"]
    try:
        geometry = read_geometry(image)
        for key, path in files.items():
            if key != "image" and path.is_file():
                difference = grid_difference(path, geometry, path.name, image.name)
                if difference:
                    yield f"{name}: {difference}"
    except InputError as error:
        yield f"{name}: {error}"


def _from_label(scan: Scan, kind: Kind) -> Scan:
    """The scan with what its lesion mask says of each lobe."""
    from DRAMLesionLib.images.volume import read_ct, read_on_grid
    from DRAMLesionLib.lungs.read_lobes import read_lobes

    assert scan.label is not None  # collect() has seen to it
    ct = read_ct(scan.image)
    labels = read_lobes(scan.lobes, ct, allow_missing=True).labels
    lesion = read_on_grid(scan.label, ct, "lesion mask") != 0
    voxels = np.bincount(labels.ravel(), minlength=len(LOBES) + 1)[1:]
    inside = np.bincount(labels[lesion], minlength=len(LOBES) + 1)[1:]
    percent = [100 * float(n / of) if of else None for n, of in zip(inside, voxels, strict=True)]
    if kind == "score":
        return replace(scan, score=tuple(None if p is None else severity_score(p) for p in percent))
    return replace(scan, percent=tuple(None if p is None else round(p, 4) for p in percent))
