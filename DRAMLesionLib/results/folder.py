"""A folder of results back to findings: what ``segment`` wrote is read again, for the panel and for scripts."""

from pathlib import Path
from typing import Any

import numpy as np

from DRAMLesionLib.images.volume import Volume, read_on_grid
from DRAMLesionLib.lesions.findings import Findings
from DRAMLesionLib.lesions.quantify import quantify
from DRAMLesionLib.lungs.lobes import LOBES, LobeMap
from DRAMLesionLib.system.errors import InputError
from DRAMLesionLib.system.text_file import read_json

SUMMARY, MAP, REFINED, PROBABILITY, LESION, LOBE_LABELS = (
    "summary.json",
    "dram.nii.gz",
    "refined_dram.nii.gz",
    "lesion_probability.nii.gz",
    "lesion.nii.gz",
    "lobes.nii.gz",
)


def read_findings(folder: str | Path, ct: Volume, lobes: LobeMap | None = None) -> Findings:
    """Read the results of a CT.

    The table is counted anew from CT, lobes and lesion; model, settings and times come from the summary.

    Args:
        folder: What ``segment`` wrote.
        ct: The CT that the results were made from, on the same grid.
        lobes: The lobes that the run was given, where the caller still has them; None: those in the folder.

    Returns:
        The findings; ``refined`` is None where the CRF did not run, ``probability`` where the final network did not.

    Raises:
        InputError: A result is missing or damaged, or lies on another grid than the CT.
    """
    folder = Path(folder)
    summary = _read_summary(folder / SUMMARY)
    record = dict(summary["record"])
    if lobes is None:
        found = summary["lobes"]
        labels = _labels(folder / LOBE_LABELS, ct, "lobes", len(LOBES))
        lobes = LobeMap(labels, bool(found["approximate"]), str(found["source"]))
    else:
        record["settings"] = {**record.get("settings", {}), "lobes": lobes.source}
    lesion_map = _map(folder / MAP, ct)
    refined, probability = (
        _map(folder / name, ct) if (folder / name).is_file() else None for name in (REFINED, PROBABILITY)
    )
    lesion = _labels(folder / LESION, ct, "lesion mask", 1)
    table = quantify(ct.array, lobes, lesion, ct.spacing_mm, lesion_map)
    return Findings(ct, lobes, lesion_map, lesion, table, record, refined, probability)


def _read_summary(path: Path) -> dict[str, Any]:
    summary = read_json(path, "a whole summary", "give a folder that segment wrote, or segment the CT again")
    lobes = summary.get("lobes") if isinstance(summary, dict) else None
    whole = isinstance(lobes, dict) and {"approximate", "source"} <= lobes.keys()
    if not whole or not isinstance(summary.get("record"), dict):
        raise InputError(f"{path}: not a summary of results: segment the CT again")
    return summary


def _labels(path: Path, ct: Volume, what: str, most: int) -> np.ndarray:
    labels = read_on_grid(path, ct, what)
    low, high = labels.min(), labels.max()
    if not (low >= 0 and high <= most):
        raise InputError(
            f"{path}: {what} has values {low:g}..{high:g}, expected 0..{most}: segment the CT again"
        )
    return labels.astype(np.uint8, copy=False)


def _map(path: Path, ct: Volume) -> np.ndarray:
    values = read_on_grid(path, ct, "lesion map")
    low, high = float(values.min()), float(values.max())
    if not (low >= 0 and high <= 1):
        raise InputError(
            f"{path}: lesion map has values {low:g}..{high:g}, expected 0..1: segment the CT again"
        )
    return values.astype(np.float32, copy=False)
