"""Findings for another process of the same machine: plain arrays, since packing takes longer than all the rest.

``segment --handover`` writes them for the panel, which has the CT already and reads array by array, so that its window
never stands still for long; the scene's process gets them with the CT, which it takes as it lies on the disk. Of lobes,
maps and mask only the box outside of which they are 0 is written.
"""

import json
from collections.abc import Collection, Generator, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import numpy as np

from DRAMLesionLib.images.box import Box, Unshared, zeros_on_demand
from DRAMLesionLib.images.geometry import Geometry
from DRAMLesionLib.images.volume import Volume
from DRAMLesionLib.lesions.findings import Findings
from DRAMLesionLib.lesions.quantify import Quantification, Region
from DRAMLesionLib.lesions.reading import Reading
from DRAMLesionLib.lungs.lobes import LOBES, LobeMap
from DRAMLesionLib.results.lesion_list import LesionList, keep_lesions, known_lesions
from DRAMLesionLib.system.errors import InputError
from DRAMLesionLib.system.files import staged_directory
from DRAMLesionLib.system.text_file import read_json

WORDS = "findings.json"
"""Holds all that is no array: the table, the record, what is known of lobes and CT."""
CT = "ct"
ARRAYS: dict[str, tuple[str, int]] = {
    "lobes": ("uint8", len(LOBES)),
    "dram": ("float32", 1),
    "lesion": ("uint8", 1),
    "refined": ("float32", 1),
    "probability": ("float32", 1),
}
"""By name: dtype, and the greatest value; the smallest is 0. The CT may have any dtype and value."""
_PART_BYTES = 16 << 20
FOR_SCENE = (CT, "lobes", "dram", "lesion")
"""What a scene shows: neither refined map nor probability, which are as large as the CT."""


def write_arrays(findings: Findings, out: str | Path, names: Collection[str] = tuple(ARRAYS)) -> None:
    """Write findings into a folder at once; see :func:`writing_arrays`."""
    for _name in writing_arrays(findings, out, names):
        pass


def writing_arrays(
    findings: Findings, out: str | Path, names: Collection[str] = tuple(ARRAYS)
) -> Generator[str, None, None]:
    """Write findings into a folder, whole or not at all: boxes ``NAME.npy`` in canonical axes, and :data:`WORDS`.

    Args:
        findings: The results of one CT.
        out: The folder; arrays of earlier findings go.
        names: Which of :data:`ARRAYS` to write, and ``ct`` where the reader does not have it. What the findings
            lack is left out.

    Yields:
        The name of the array that is being written, after each part of it; between two of them the caller may do
        something else, but must leave the findings as they are.

    Raises:
        OutputError: The folder can't be written.
    """
    arrays = {
        CT: findings.ct.array,
        "lobes": findings.lobes.labels,
        "dram": findings.dram,
        "lesion": findings.lesion,
        "refined": findings.refined,
        "probability": findings.probability,
    }
    written = {name: array for name, array in arrays.items() if name in names and array is not None}
    lesions, boxes = known_lesions(findings), dict[str, list[list[int]]]()
    words = {
        "arrays": list(written),
        "boxes": boxes,
        "approximate": findings.lobes.approximate,
        "source": findings.lobes.source,
        "record": findings.record,
        "regions": [asdict(region) for region in findings.quantification.regions],
        "ct": _words_of_ct(findings.ct),
        "reading": findings.reading.to_dict() if findings.reading else None,
        "cuts": findings.cuts,
        "lesion_list": lesions.to_dict() if lesions else None,
    }
    with staged_directory(out, (WORDS, *map(_file, arrays)), last=WORDS) as folder:
        for name, array in written.items():
            if name != CT:
                box = yield from _box_of(array, name)
                boxes[name] = [[side.start, side.stop] for side in box]
                array = array[box].astype(ARRAYS[name][0], copy=False)
            yield from _saving(folder / _file(name), array, name)
        (folder / WORDS).write_text(json.dumps(words), encoding="utf-8")


def _saving(path: Path, array: np.ndarray, name: str) -> Generator[str, None, None]:
    """``numpy.save`` in parts of some slices; nobody waits for the disk, since the reader is on the same machine."""
    header = {"descr": array.dtype.str, "fortran_order": False, "shape": array.shape}
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for part in _parts(array):
            file.write(np.ascontiguousarray(array[part]).data)
            yield name


def _parts(array: np.ndarray) -> Iterator[slice]:
    """Cuts of an array's first axis; none of an array without values."""
    step = max(1, _PART_BYTES // max(1, array[:1].nbytes))
    for start in range(0, len(array) if array.size else 0, step):
        yield slice(start, start + step)


def _box_of(array: np.ndarray, name: str) -> Generator[str, None, Box]:
    """The box outside of which an array is 0, empty for nothing but zeros; yields the name after each part of it."""
    planes, seen = np.zeros(array.shape[0], bool), np.zeros(array.shape[1:], bool)
    for part in _parts(array):
        for number, plane in enumerate(array[part], part.start):
            filled = plane != 0
            planes[number] = filled.any()
            seen |= filled
        yield name
    return _extent(planes), _extent(seen.max(axis=1)), _extent(seen.max(axis=0))


def _extent(filled: np.ndarray) -> slice:
    where = np.flatnonzero(filled)
    return slice(int(where[0]), int(where[-1]) + 1) if where.size else slice(0, 0)


def reading_arrays(
    folder: str | Path, ct: Volume | None = None, lobes: LobeMap | None = None, *, mapped: bool = False
) -> Generator[str, None, Findings]:
    """Read what :func:`write_arrays` wrote, an array at a time. Nothing in the files is executed.

    Args:
        folder: The folder.
        ct: The CT that the results were made from; None where it was written, too.
        lobes: The lobes that the run was given, where the caller still has them.
        mapped: Take the CT as it lies on the disk; a change of it stays in memory. The other arrays are expanded, in
            either case, and take memory where they are not 0; here they are
            :class:`~DRAMLesionLib.images.box.Unshared`.

    Yields:
        The name of what was read; between two of them the caller may do something else.

    Returns:
        The findings.

    Raises:
        InputError: Something is missing or damaged, or of another CT.
    """
    folder = Path(folder)
    words = _read_words(folder / WORDS)
    mode: Literal["c"] | None = "c" if mapped else None
    if ct is None:
        ct = _read_ct(folder / _file(CT), words["ct"], mode)
        yield CT
    arrays: dict[str, np.ndarray] = {}
    for name in ARRAYS:
        if name == "lobes" and lobes is not None:
            continue
        if name in words["arrays"] or name in FOR_SCENE:
            box = _known_box(words, name, ct, folder / WORDS)
            arrays[name] = _read_array(folder / _file(name), name, ct, box)
            if mapped:
                arrays[name] = arrays[name].view(Unshared)
        yield name
    record = dict(words["record"])
    if lobes is None:
        lobes = LobeMap(arrays["lobes"], bool(words["approximate"]), str(words["source"]))
    else:
        record["settings"] = {**record.get("settings", {}), "lobes": lobes.source}
    table = Quantification(tuple(Region(**region) for region in words["regions"]))
    maps = (arrays.get("refined"), arrays.get("probability"))
    reading, cuts = words.get("reading"), words.get("cuts")
    findings = Findings(
        ct,
        lobes,
        arrays["dram"],
        arrays["lesion"],
        table,
        record,
        *maps,
        reading=Reading(**reading) if reading else None,
        cuts=tuple(cuts) if cuts else None,
    )
    if words.get("lesion_list"):
        keep_lesions(findings, LesionList.from_dict(words["lesion_list"]))
    return findings


def read_arrays(folder: str | Path, ct: Volume | None = None, *, mapped: bool = False) -> Findings:
    """Read what :func:`write_arrays` wrote at once.

    Args:
        folder: The folder.
        ct: The CT that the results were made from; None where it was written, too.
        mapped: See :func:`reading_arrays`.

    Raises:
        InputError: Something is missing or damaged, or of another CT.
    """
    steps = reading_arrays(folder, ct, mapped=mapped)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def _file(name: str) -> str:
    return f"{name}.npy"


def _words_of_ct(ct: Volume) -> dict[str, Any]:
    return {
        "spacing_mm": ct.spacing_mm,
        "geometry": asdict(ct.geometry),
        "name": ct.name,
        "path": str(ct.path) if ct.path else None,
        "warnings": ct.warnings,
    }


def _read_words(path: Path) -> dict[str, Any]:
    words = read_json(path, "what segment hands over", "segment the CT again")
    needed = {"arrays", "boxes", "approximate", "source", "record", "regions", "ct"}
    if not isinstance(words, dict) or not needed <= words.keys():
        raise InputError(f"{path}: not what segment hands over: segment the CT again")
    return words


def _read_ct(path: Path, words: dict[str, Any], mode: Literal["c"] | None) -> Volume:
    geometry = Geometry(**{key: tuple(value) for key, value in words["geometry"].items()})
    source = Path(words["path"]) if words["path"] else None
    hu, spacing_mm = _load(path, mode), tuple(words["spacing_mm"])
    return Volume(hu, spacing_mm, geometry, words["name"], source, tuple(words["warnings"]))


def _known_box(words: dict[str, Any], name: str, ct: Volume, path: Path) -> Box:
    """Where an array's values lie in the CT.

    Raises:
        InputError: The words don't say, or it lies outside the CT.
    """
    try:
        sides = [slice(int(start), int(stop)) for start, stop in words["boxes"][name]]
        z, y, x = sides
        inside = [
            0 <= side.start <= side.stop <= length for side, length in zip(sides, ct.array.shape, strict=True)
        ]
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise InputError(f"{path}: does not say where {name} lies: segment the CT again") from error
    if not all(inside):
        raise InputError(f"{path}: {name} lies outside the CT: segment the CT again")
    return z, y, x


def _read_array(path: Path, name: str, ct: Volume, box: Box) -> np.ndarray:
    dtype, most = ARRAYS[name]
    array, expected = _load(path, "c"), tuple(side.stop - side.start for side in box)
    if array.dtype != dtype or array.shape != expected:
        raise InputError(
            f"{path}: holds {array.dtype} {array.shape}, expected {dtype} {expected}: segment the CT again"
        )
    whole = zeros_on_demand(ct.array.shape, dtype)
    if not array.size:
        return whole
    low, high = float(array.min()), float(array.max())
    if not (low >= 0 and high <= most):  # NaN fails both
        raise InputError(f"{path}: has values {low:g}..{high:g}, expected 0..{most}: segment the CT again")
    np.copyto(whole[box], array, where=array != 0)
    return whole


def _load(path: Path, mode: Literal["c"] | None) -> np.ndarray:
    try:
        array = np.load(path, mmap_mode=mode, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: can't be read ({error}): segment the CT again") from error
    if not isinstance(array, np.ndarray):
        raise InputError(f"{path}: holds several arrays, expected one: segment the CT again")
    return array
