"""The cases of a batch: listed from a folder of files, a DICOM tree, or a CSV; no image is opened for it.

Files keep the names that people gave them. DICOM folders and series are numbered (``case0001``), since their folders
are often named after patients; which number is which scan stands in ``key.csv`` alone
(see :mod:`DRAMLesionLib.batch.scan_numbers`).
"""

import csv
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from DRAMLesionLib.images.dicom.tree import MIN_SLICES, could_be_dicom, find_series
from DRAMLesionLib.images.paths import is_volume_file, stem
from DRAMLesionLib.results.folder import is_result
from DRAMLesionLib.system.errors import InputError
from DRAMLesionLib.system.progress import Progress, silent
from DRAMLesionLib.system.text_file import csv_delimiter, read_text

COLUMNS = ("image", "lobes", "name", "series")
"""What a CSV of cases may have; ``image`` it must."""
_CT_ENDING = re.compile(r"(^|[_.\- ])(ct|0000)$", re.IGNORECASE)
_LONGEST_NAME = 80


@dataclass(frozen=True, slots=True)
class Case:
    """One CT of a batch.

    Attributes:
        name: The name of its folder among the results: letters, digits, ``_``, ``-`` and ``.``; no two are alike,
            whatever the case of their letters.
        image: An image file, a DICOM folder, or one DICOM file.
        lobes: A file or folder of lobes; None finds approximate ones.
        series: UID of the series, where a folder holds several.
        reading: A reader's numbers as the fields of :class:`~DRAMLesionLib.lesions.reading.Reading` by name; None where
            nothing is said of the case.
    """

    name: str
    image: str
    lobes: str | None = None
    series: str | None = None
    reading: dict[str, Any] | None = None


@dataclass(frozen=True)
class Listing:
    """The cases, and sentences on what was passed over."""

    cases: list[Case]
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Scan:
    """A scan without a name: ``wanted`` is the name to give it, empty for a number."""

    image: str
    wanted: str = ""
    lobes: str | None = None
    series: str | None = None
    explicit: bool = False


Numbers = Mapping[tuple[str, str], str]
"""Names that an earlier run gave, by image and series (an empty text for none)."""


def list_cases(
    source: str | Path,
    *,
    lobes: str | None = None,
    images: str | None = None,
    out: str | Path | None = None,
    known: Numbers | None = None,
    keep_identifiers: bool = False,
    progress: Progress = silent,
) -> Listing:
    """List the cases of a batch, in the order of their paths or of the CSV's rows.

    Args:
        source: A folder that is searched with all below it, or a CSV with the columns of :data:`COLUMNS` (its paths
            may be relative to it).
        lobes: Where the lobes of each case are: a path with ``{name}`` (the file's name without suffix and a last
            ``_ct``), ``{stem}`` (with it) or ``{folder}`` (the folder's name), relative to the CT's folder.
        images: A pattern such as ``*_ct.nii.gz`` for the files to take (their names, or paths within ``source``), or
            for the descriptions of DICOM series. Without one, files whose names end in ``ct`` are taken
            where there are any, else all.
        out: The folder for the results, which is passed over.
        known: Numbers that DICOM scans have already.
        keep_identifiers: Name DICOM scans after their folders.
        progress: Told how far the search for DICOM series is.

    Raises:
        InputError: There is nothing to segment, or the CSV or the pattern can't be used.
    """
    source = Path(source)
    if source.is_dir():
        scans, notes = _search(source, lobes, images, Path(out) if out else None, keep_identifiers, progress)
    elif source.suffix.lower() in (".csv", ".tsv", ".txt"):
        scans, notes = _read_csv(source, lobes, keep_identifiers), []
    else:
        raise InputError(
            f"{source}: no such folder or CSV: give a folder of CTs, or a CSV with a column 'image'"
        )
    if not scans:
        raise InputError(
            f"{source}: no CT found: give a folder of images or DICOM series, or choose by --images"
        )
    return Listing(list(_named(scans, known or {})), notes)


def safe_name(text: str) -> str:
    """``text`` as a name for a folder, wherever it may lie; empty where nothing of it serves."""
    return re.sub(r"[^\w.\-]+", "_", text).strip("._- ")[:_LONGEST_NAME].rstrip("._- ")


def _search(
    source: Path, lobes: str | None, images: str | None, out: Path | None, keep: bool, progress: Progress
) -> tuple[list[_Scan], list[str]]:
    files: list[Path] = []
    folders: dict[Path, int] = {}
    earlier = 0
    for path in _walk(source, out.resolve() if out else None):
        if is_result(path):
            earlier += is_volume_file(path)
        elif is_volume_file(path):
            files.append(path)
        elif could_be_dicom(path):
            folders[path.parent] = folders.get(path.parent, 0) + 1
    chosen, notes = _choose(source, files, images)
    if earlier:
        notes.append(f"{earlier} files passed over, which are results of earlier runs")
    scans = [_file(path, _name_in(source, path), lobes) for path in chosen]
    targets = {one.lobes for one in scans}
    scans = [one for one in scans if one.image not in targets]
    if folders:
        series, passed = find_series(list(folders), progress)
        kept = [one for one in series if images is None or fnmatch(one.description.lower(), images.lower())]
        passed += len(series) - len(kept)
        if passed:
            notes.append(
                f"{passed} DICOM series passed over: no CT of {MIN_SLICES} slices or more, or not chosen"
            )
        for one in kept:
            wanted = _identity(source, Path(one.folder), one.description) if keep else ""
            scans.append(
                _Scan(
                    one.folder,
                    wanted,
                    _lobes(lobes, Path(one.folder), None, ""),
                    None if one.alone else one.uid,
                )
            )
    return scans, notes


def _walk(folder: Path, out: Path | None) -> Iterator[Path]:
    """All files below a folder, sorted within each; hidden ones, and the results' folder, are passed over."""
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        raise InputError(f"{folder}: {error.strerror}: check its permissions") from error
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            if out is None or Path(entry.path).resolve() != out:
                yield from _walk(Path(entry.path), out)
        else:
            yield Path(entry.path)


def _choose(source: Path, files: list[Path], images: str | None) -> tuple[list[Path], list[str]]:
    files = [path for path in files if not path.name.lower().endswith(".seg.nrrd")]
    if images is not None:
        return [
            p for p in files if fnmatch(p.name, images) or fnmatch(p.relative_to(source).as_posix(), images)
        ], []
    ending = [path for path in files if _CT_ENDING.search(stem(path))]
    if ending and len(ending) < len(files):
        others = len(files) - len(ending)
        return ending, [f"{others} images passed over, since others' names end in 'ct': choose by --images"]
    return files, []


def _name_in(source: Path, path: Path) -> str:
    parts = [*path.relative_to(source).parts[:-1], _own_name(path)]
    return "_".join(part for part in parts if part) or source.resolve().name


def _own_name(path: Path) -> str:
    """The file's name without suffix and a last ``_ct``; nothing of ``ct.nii.gz``."""
    return _CT_ENDING.sub("", stem(path))


def _identity(source: Path, folder: Path, description: str) -> str:
    return "_".join([*folder.relative_to(source).parts, description]) or source.resolve().name


def _file(path: Path, wanted: str, pattern: str | None) -> _Scan:
    name = _own_name(path) or path.resolve().parent.name
    return _Scan(str(path), wanted, _lobes(pattern, path.parent, path, name))


def _lobes(pattern: str | None, folder: Path, file: Path | None, name: str) -> str | None:
    """Where the lobes of an image lie."""
    if pattern is None:
        return None
    own = folder.resolve().name
    words = {"name": name or own, "stem": stem(file) if file else own, "folder": own}
    try:
        path = pattern.format(**words)
    except (KeyError, IndexError, ValueError, AttributeError) as error:
        raise InputError(
            f"--lobes {pattern}: not a pattern: use {{name}}, {{stem}} and {{folder}}, such as '{{name}}_lobes.nii.gz'"
        ) from error
    if path == pattern and Path(path).is_absolute():
        raise InputError(
            f"--lobes {pattern}: one file can't serve all cases: use {{name}}, {{stem}} or {{folder}}"
        )
    return str(folder / Path(path).expanduser())


def _read_csv(path: Path, pattern: str | None, keep: bool) -> list[_Scan]:
    lines = read_text(path, "UTF-8 text", "save the table as CSV in UTF-8").splitlines()
    try:
        return _read_rows(path, lines, pattern, keep)
    except csv.Error as error:
        raise InputError(f"{path}: no table: {error}: save it as CSV again") from error


def _read_rows(path: Path, lines: list[str], pattern: str | None, keep: bool) -> list[_Scan]:
    delimiter = csv_delimiter(lines[0] if lines else "")
    rows = csv.DictReader(lines, delimiter=delimiter, skipinitialspace=True)
    columns = [name.strip() for name in rows.fieldnames or []]
    rows.fieldnames = columns
    if "image" not in columns:
        raise InputError(
            f"{path}: has no column 'image': give the columns {', '.join(COLUMNS)}, the first at least"
        )
    return [_row(path, rows.line_num, row, pattern, keep) for row in rows if any(row.values())]


def _row(path: Path, line: int, row: dict[str, str | None], pattern: str | None, keep: bool) -> _Scan:
    values = {name: (row.get(name) or "").strip() for name in COLUMNS}
    if any("\0" in value for value in values.values()):
        raise InputError(f"{path}: line {line}: has a null byte: save the table as CSV again")
    if not values["image"]:
        raise InputError(f"{path}: line {line}: no image: give its path or take the line out")
    image = path.parent / Path(values["image"]).expanduser()
    given = values["name"]
    if given and safe_name(given) != given:
        raise InputError(
            f"{path}: line {line}: the name {given!r} can't name a folder: use letters, digits, _ and -"
        )
    is_file = is_volume_file(image)
    wanted = given or (_own_name(image) or image.parent.name if is_file else (image.name if keep else ""))
    if values["lobes"]:
        lobes: str | None = str(path.parent / Path(values["lobes"]).expanduser())
    else:
        lobes = _lobes(pattern, image.parent if is_file else image, image if is_file else None, wanted)
    return _Scan(str(image), wanted, lobes, values["series"] or None, explicit=bool(given))


def _named(scans: Iterable[_Scan], known: Numbers) -> Iterator[Case]:
    """Give each scan its name; those that want none get the next numbers."""
    scans = list(scans)
    used: set[str] = set()
    for one in scans:
        if one.explicit:
            if one.wanted.casefold() in used:
                raise InputError(f"the name {one.wanted} is given to two cases: give each its own")
            used.add(one.wanted.casefold())
    keys = {known[key] for one in scans if (key := (one.image, one.series or "")) in known}
    used |= {name.casefold() for name in keys}
    number = _numbers(len(scans), used | {name.casefold() for name in known.values()})
    for one in scans:
        key = (one.image, one.series or "")
        if one.explicit:
            name = one.wanted
        elif key in known:
            name = known[key]
        else:
            name = _free(safe_name(one.wanted), used) if safe_name(one.wanted) else number()
            used.add(name.casefold())
        yield Case(name, one.image, one.lobes, one.series)


def _free(name: str, used: set[str]) -> str:
    if name.casefold() not in used:
        return name
    count = 2
    while f"{name}_{count}".casefold() in used:
        count += 1
    return f"{name}_{count}"


def _numbers(count: int, taken: set[str]) -> Callable[[], str]:
    digits = max(4, len(str(count)))
    last = 0

    def following() -> str:
        nonlocal last
        while True:
            last += 1
            name = f"case{last:0{digits}d}"
            if name not in taken:
                taken.add(name)
                return name

    return following
