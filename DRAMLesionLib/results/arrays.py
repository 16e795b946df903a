"""Findings from one process to another that has the CT already: plain arrays, since packing takes longer than the rest.

``segment --handover`` writes them, the panel reads them array by array, so that its window never stands still for long.
"""

import json
from collections.abc import Generator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from DRAMLesionLib.images.volume import Volume
from DRAMLesionLib.lesions.findings import Findings
from DRAMLesionLib.lesions.quantify import Quantification, Region
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
