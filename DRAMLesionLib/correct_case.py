"""Correction without a viewer: a CT, its lobes, a map and painted voxels give a corrected label on disk."""

import json
from pathlib import Path
from typing import Any

from DRAMLesionLib import report, seg_nrrd
from DRAMLesionLib.case import versions
from DRAMLesionLib.correction import refine_case
from DRAMLesionLib.files import staged_directory
from DRAMLesionLib.findings import Findings
from DRAMLesionLib.lobes import read_lobes
from DRAMLesionLib.progress import Progress, silent
from DRAMLesionLib.quantify import quantify
from DRAMLesionLib.volume import read_ct, read_on_grid, write_volume


def correct_case(
    source: str | Path,
    map_path: str | Path,
    lobes_path: str | Path,
    out: str | Path,
    *,
    edits: str | Path | None = None,
    series: str | None = None,
    crf: bool = False,
    threshold: float | None = None,
    allow_missing_lobes: bool = False,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Correct one CT's map around painted voxels and write the label, all of the outputs or none.

    Args:
        source: The CT: a file or a DICOM folder.
        map_path: Lesion map 0..1 on the CT's grid.
        lobes_path: Lobes on the CT's grid.
        out: The folder for the results.
        edits: Label map on the CT's grid: 1 lesion, 2 not lesion, 0 not painted; None for none.
        series: UID of the DICOM series, where the folder holds several.
        crf: Sharpen the map by the dense CRF first; a map that ``segment`` wrote already is.
        threshold: Of the map, 0..1; None: as the ``summary.json`` beside the map says, else 0.5.
        allow_missing_lobes: Accept a lobe without voxels.
        progress: Told the stage and how much of it is done.

    Returns:
        JSON values: ``files`` written, and counts and times of the correction.

    Raises:
        InputError: Something that was given can't be used; nothing was written.
    """
    progress("Reading", 0.0)
    ct = read_ct(source, series=series)
    lobes = read_lobes(lobes_path, ct, allow_missing=allow_missing_lobes)
    lesion_map = read_on_grid(map_path, ct, "map")
    painted = None if edits is None else read_on_grid(edits, ct, "edits")
    threshold = _threshold(Path(map_path)) if threshold is None else threshold
    provenance = {
        "threshold": threshold,
        "map": Path(map_path).name,
        "edits": Path(edits).name if edits else None,
        "versions": versions(),
    }
    refined = refine_case(
        ct, lobes, lesion_map, painted, progress, crf=crf, threshold=threshold, provenance=provenance
    )
    table = quantify(ct.array, lobes, refined.label, ct.spacing_mm, refined.probability)
    record: dict[str, Any] = {"settings": provenance, "versions": versions(), "warnings": list(ct.warnings)}
    findings = Findings(ct, lobes, refined.probability, refined.label, table, record)
    with staged_directory(out) as folder:
        progress("Writing the results", 0.0)
        write_volume(refined.label, ct, folder / "lesion.nii.gz")
        write_volume(refined.edits, ct, folder / "edits.nii.gz")
        write_volume(refined.probability, ct, folder / "dram.nii.gz")
        seg_nrrd.write_segmentation(findings, folder / "lesion.seg.nrrd")
        report.write_table(findings, folder / "lobes.csv")
        report.write_summary(findings, folder / "summary.json")
        files = sorted(path.name for path in folder.iterdir())
    return {
        "files": files,
        "painted_voxels": int((refined.edits > 0).sum()),
        "strokes": refined.strokes,
        "changed_voxels": refined.changed,
        "seconds": round(refined.seconds, 3),
    }


def _threshold(map_path: Path) -> float:
    """The threshold that the map's own run used, where its summary lies beside it."""
    try:
        summary = json.loads((map_path.parent / "summary.json").read_text(encoding="utf-8"))
        return float(summary["record"]["settings"]["threshold"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0.5
