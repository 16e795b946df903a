"""A folder of results back to findings: what ``segment`` wrote is read again, for the panel and for scripts."""

import contextlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from DRAMLesionLib.images.volume import Volume, read_on_grid, write_volume
from DRAMLesionLib.lesions.findings import Findings
from DRAMLesionLib.lesions.quantify import quantify
from DRAMLesionLib.lungs.lobes import LOBES, LobeMap
from DRAMLesionLib.results import report, seg_nrrd, table
from DRAMLesionLib.results.dicom_seg import FILE_NAME as DICOM_SEG
from DRAMLesionLib.results.dicom_seg import DicomFolder, write_dicom_seg
from DRAMLesionLib.results.scene import available, process
from DRAMLesionLib.results.scene.available import PICTURES, SCENE_NAME
from DRAMLesionLib.system.allocation import give_freed_memory_back
from DRAMLesionLib.system.errors import InputError
from DRAMLesionLib.system.files import staged_directory
from DRAMLesionLib.system.progress import Progress, silent
from DRAMLesionLib.system.record import Stopwatch
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


OUTPUTS = {
    "lesion.nii.gz": "lesion mask, 1 lesion",
    "lesion.seg.nrrd": "the same as a Slicer segmentation",
    "dram.nii.gz": "lesion map (dRAM), 0 to 1",
    "refined_dram.nii.gz": "the map after attention and CRF",
    "lobes.nii.gz": "lobes, 1 LUL, 2 LLL, 3 RUL, 4 RML, 5 RLL",
    "lobes.csv": "table per lobe, per lung and in total",
    "summary.json": "the table with settings, versions and times",
    "report.html": "report with pictures",
}
"""What every case gives; the scene and its pictures come on top where slicer-core is installed."""


PROBABILITY = "lesion_probability.nii.gz"
"""Comes on top where the final network made the mask: what it was cut from, 0 to 1."""


def write_findings(
    findings: Findings,
    out: str | Path,
    *,
    with_scene: bool = True,
    dicom_folder: DicomFolder | None = None,
    progress: Progress = silent,
    watch: Stopwatch | None = None,
) -> Findings:
    """Write all outputs of a case into a folder, all of them or none.

    Args:
        findings: Of the case. A scene that can't be written is added to the warnings of its record.
        out: The folder.
        with_scene: Write ``scene.mrb`` and its pictures where slicer-core is installed.
        dicom_folder: Where the CT's series is, where a DICOM Segmentation is wanted.
        progress: Told the stage and how much of it is done.
        watch: Adds the seconds of writing.

    Returns:
        The findings without refined map and probability, which are as large as the CT and lie in files now: who does not
        hold the findings has that memory back while the scene is made.
    """
    watch = watch or Stopwatch(findings.record.setdefault("seconds", {}))
    ct = findings.ct
    slim = replace(findings, refined=None, probability=None)
    owned = (*OUTPUTS, PROBABILITY, DICOM_SEG, SCENE_NAME, *PICTURES)
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(staged_directory(out, owned, last="summary.json"))
        # The scene's process works while the files are written, and needs memory, too.
        give_freed_memory_back()
        making = process.begin_scene_folder(slim, folder) if with_scene else None
        if making is not None:
            stack.callback(making.stop)
        with watch.stage("write"):
            progress("Writing the results", 0.0)
            if findings.refined is not None:
                write_volume(findings.refined, ct, folder / "refined_dram.nii.gz")
            if findings.probability is not None:
                write_volume(findings.probability, ct, folder / PROBABILITY)
            del findings
            give_freed_memory_back()
            write_volume(slim.lesion, ct, folder / "lesion.nii.gz")
            write_volume(slim.dram, ct, folder / "dram.nii.gz")
            write_volume(slim.lobes.labels, ct, folder / "lobes.nii.gz")
            seg_nrrd.write_segmentation(slim, folder / "lesion.seg.nrrd")
            table.write_table(slim, folder / "lobes.csv")
        if dicom_folder is not None:
            with watch.stage("DICOM Segmentation"):
                progress("Writing the DICOM Segmentation", 0.0)
                write_dicom_seg(slim, dicom_folder.folder, folder / DICOM_SEG, dicom_folder.series)
        with watch.stage("report"):
            progress("Drawing the report", 0.0)
            drawings = report.draw(slim)
        pictures: dict[str, Path] = {}
        give_freed_memory_back()
        if making is not None:
            with watch.stage("scene"):
                progress("Making the Slicer scene", 0.0)
                try:
                    written = making.finish(progress)
                except available.SceneUnavailable as reason:
                    written = reason.written
                    lacking = "no pictures of the Slicer scene" if written else "no Slicer scene"
                    slim.record.setdefault("warnings", []).append(f"{lacking}: {reason}")
                pictures = {path.name: path for path in written if path.suffix == ".png"}
        progress("Writing the report", 0.0)
        report.write_report(slim, folder / "report.html", pictures, drawings)
        table.write_summary(slim, folder / "summary.json")
    return slim
