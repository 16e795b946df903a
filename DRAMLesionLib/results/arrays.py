"""Findings from one process to another that has the CT already: plain arrays, since packing takes longer than the rest.

``segment --handover`` writes them, the panel reads them array by array, so that its window never stands still for long.
"""

import json
from collections.abc import Generator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from DRAMLesionLib.images.geometry import Geometry
from DRAMLesionLib.images.volume import Volume
from DRAMLesionLib.lesions.findings import Findings
from DRAMLesionLib.lesions.quantify import Quantification, Region, quantify
from DRAMLesionLib.lungs.lobes import LOBES, LobeMap
from DRAMLesionLib.system.errors import InputError
from DRAMLesionLib.system.files import staged_directory

WORDS = "handover.json"
ARRAYS: dict[str, tuple[str, int]] = {
    "lobes": ("uint8", len(LOBES)),
    "dram": ("float32", 1),
    "lesion": ("uint8", 1),
    "refined": ("float32", 1),
    "probability": ("float32", 1),
}
"""By name: dtype, and the greatest value; the smallest is 0. The last two may be missing."""
MAY_BE_MISSING = ("refined", "probability")


def write_handover(findings: Findings, out: str | Path) -> None:
    """Write all but the CT into a folder, whole or not at all: ``NAME.npy`` in canonical axes, and a file of words."""
    arrays = {
        "lobes": findings.lobes.labels,
        "dram": findings.dram,
        "lesion": findings.lesion,
        "refined": findings.refined,
        "probability": findings.probability,
    }
    words = {
        "approximate": findings.lobes.approximate,
        "source": findings.lobes.source,
        "record": findings.record,
        "regions": [asdict(region) for region in findings.quantification.regions],
    }
    with staged_directory(out, (WORDS, *map(_file, ARRAYS)), last=WORDS) as folder:
        for name, array in arrays.items():
            if array is not None:
                np.save(folder / _file(name), array.astype(ARRAYS[name][0], copy=False), allow_pickle=False)
        (folder / WORDS).write_text(json.dumps(words), encoding="utf-8")


def read_handover(
    folder: str | Path, ct: Volume, lobes: LobeMap | None = None
) -> Generator[str, None, Findings]:
    """Read what :func:`write_handover` wrote, an array at a time.

    Args:
        folder: The folder.
        ct: The CT that the results were made from.
        lobes: The lobes that the run was given, where the caller still has them.

    Yields:
        The name of what was read; between two of them the caller may do something else.

    Returns:
        The findings.

    Raises:
        InputError: Something is missing or damaged, or of another CT.
    """
    folder = Path(folder)
    words = _words(folder / WORDS)
    found: dict[str, np.ndarray | None] = {}
    for name in ARRAYS:
        if name == "lobes" and lobes is not None:
            continue
        found[name] = _array(folder / _file(name), name, ct)
        yield name
    record = dict(words["record"])
    if lobes is None:
        lobes = LobeMap(_there(found["lobes"]), bool(words["approximate"]), str(words["source"]))
    else:
        record["settings"] = {**record.get("settings", {}), "lobes": lobes.source}
    table = Quantification(tuple(Region(**region) for region in words["regions"]))
    maps = (found["refined"], found["probability"])
    return Findings(ct, lobes, _there(found["dram"]), _there(found["lesion"]), table, record, *maps)


def _file(name: str) -> str:
    return f"{name}.npy"


def _there(array: np.ndarray | None) -> np.ndarray:
    assert array is not None
    return array


def _words(path: Path) -> dict[str, Any]:
    try:
        words = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: can't be read: segment the CT again") from error
    except ValueError as error:
        raise InputError(f"{path}: damaged ({error}): segment the CT again") from error
    if not isinstance(words, dict) or not {"approximate", "source", "record", "regions"} <= words.keys():
        raise InputError(f"{path}: not what segment hands over: segment the CT again")
    return words


def _array(path: Path, name: str, ct: Volume) -> np.ndarray | None:
    if name in MAY_BE_MISSING and not path.is_file():
        return None
    dtype, most = ARRAYS[name]
    try:
        array = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: can't be read ({error}): segment the CT again") from error
    if array.dtype != dtype or array.shape != ct.array.shape:
        raise InputError(
            f"{path}: holds {array.dtype} {array.shape}, expected {dtype} {ct.array.shape}: segment the CT again"
        )
    low, high = float(array.min()), float(array.max())
    if not (low >= 0 and high <= most):  # NaN fails both
        raise InputError(f"{path}: has values {low:g}..{high:g}, expected 0..{most}: segment the CT again")
    return array


def pack(findings: Findings, path: str | Path) -> None:
    """Write findings into a new folder, for the scene's process to :func:`unpack`: plain arrays, without checksums.

    The refined map and the probability stay out: no scene shows them, and they are as large as the CT.
    """
    ct = findings.ct
    words = {
        "spacing_mm": ct.spacing_mm,
        "geometry": asdict(ct.geometry),
        "name": ct.name,
        "path": str(ct.path) if ct.path else None,
        "warnings": ct.warnings,
        "approximate": findings.lobes.approximate,
        "source": findings.lobes.source,
        "record": findings.record,
    }
    arrays = {
        "hu": ct.array,
        "lobes": findings.lobes.labels,
        "dram": findings.dram,
        "lesion": findings.lesion,
        "words": np.frombuffer(json.dumps(words).encode(), np.uint8),
    }
    folder = Path(path)
    folder.mkdir()
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array, allow_pickle=False)


def unpack(path: str | Path) -> Findings:
    """Take what :func:`pack` wrote as it lies on the disk; the files stay as they are. Nothing in them is executed."""
    arrays = {
        file.stem: np.load(file, mmap_mode="c", allow_pickle=False) for file in Path(path).glob("*.npy")
    }
    words = json.loads(arrays["words"].tobytes())
    geometry = Geometry(**{key: tuple(value) for key, value in words["geometry"].items()})
    spacing_mm = tuple(words["spacing_mm"])
    where = Path(words["path"]) if words["path"] else None
    ct = Volume(arrays["hu"], spacing_mm, geometry, words["name"], where, tuple(words["warnings"]))
    lobes = LobeMap(arrays["lobes"], words["approximate"], words["source"])
    table = quantify(ct.array, lobes, arrays["lesion"], spacing_mm, arrays["dram"])
    return Findings(ct, lobes, arrays["dram"], arrays["lesion"], table, words["record"])
