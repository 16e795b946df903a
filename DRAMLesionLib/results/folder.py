"""A folder of results: what its files are called, how findings become files, and how files become findings again."""

import contextlib
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from DRAMLesionLib.images.paths import exists, is_volume_file
from DRAMLesionLib.images.volume import NEUTRAL_NAME, Volume, read_on_grid, write_volume
from DRAMLesionLib.lesions.findings import Findings
from DRAMLesionLib.lesions.quantify import Quantification, quantify
from DRAMLesionLib.lesions.reading import Reading
from DRAMLesionLib.lungs.lobes import LOBES, LobeMap
from DRAMLesionLib.results import report, seg_nrrd, table
from DRAMLesionLib.results.begun import BegunResults, begun_results
from DRAMLesionLib.results.dicom_seg import FILE_NAME as DICOM_SEG
from DRAMLesionLib.results.dicom_seg import write_dicom_seg
from DRAMLesionLib.results.dicom_source import DicomFolder
from DRAMLesionLib.results.lesion_list import lesions_of, write_lesions
from DRAMLesionLib.results.scene import available, process
from DRAMLesionLib.results.scene.available import PICTURES, SCENE_NAME
from DRAMLesionLib.system.allocation import give_freed_memory_back
from DRAMLesionLib.system.errors import InputError
from DRAMLesionLib.system.progress import Progress, silent
from DRAMLesionLib.system.record import Stopwatch
from DRAMLesionLib.system.text_file import read_json

LESION, SEGMENTATION = "lesion.nii.gz", "lesion.seg.nrrd"
DRAM, REFINED, PROBABILITY = "dram.nii.gz", "refined_dram.nii.gz", "lesion_probability.nii.gz"
LOBE_LABELS, EDITS = "lobes.nii.gz", "edits.nii.gz"
CT_COPY = "segmented_ct.nii.gz"
"""The CT itself, where it came from memory and lies in no file of its own."""
TABLE, LESIONS, SUMMARY, REPORT = "lobes.csv", "lesions.csv", "summary.json", "report.html"
OUTPUTS = {
    LESION: "lesion mask, 1 lesion",
    SEGMENTATION: "the same as a Slicer segmentation",
    DRAM: "lesion map (dRAM), 0 to 1",
    REFINED: "the map after attention and CRF",
    LOBE_LABELS: "lobes, 1 LUL, 2 LLL, 3 RUL, 4 RML, 5 RLL",
    TABLE: "table per lobe, per lung and in total",
    LESIONS: "the lesions, the largest first",
    SUMMARY: "the table with settings, versions and times",
    REPORT: "report with pictures",
}
"""What every case gives; the scene and its pictures come on top where slicer-core is installed, and
:data:`PROBABILITY` where the final network made the mask: what it was cut from, 0 to 1."""
OWNED = (*OUTPUTS, PROBABILITY, DICOM_SEG, SCENE_NAME, *PICTURES)
"""All that a run may write: what an earlier one left under these names would pass for its results."""
USUAL_THRESHOLD = 0.5
_SAME_HU = 0.5
"""Means of one CT differ by less, however it was converted."""


def results_in(folder: str | Path) -> list[str]:
    """The names of the results that a folder holds, without the scene's pictures, in the order of :data:`OWNED`."""
    return [name for name in OWNED if name not in PICTURES and (Path(folder) / name).is_file()]


def is_result(path: Path) -> bool:
    """Whether a file is a result of this software and no input: one of its names, beside its own summary."""
    if path.name not in (*OWNED, EDITS, CT_COPY):
        return False
    return is_results(path.parent)


def is_results(folder: str | Path) -> bool:
    """Whether a folder holds the results of a CT: a whole summary."""
    try:
        _read_summary(Path(folder) / SUMMARY)
    except InputError:
        return False
    return True


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
        known = summary["lobes"]
        labels = _labels(folder / LOBE_LABELS, ct, "lobes", len(LOBES))
        lobes = LobeMap(labels, bool(known["approximate"]), str(known["source"]))
    else:
        record["settings"] = {**record.get("settings", {}), "lobes": lobes.source}
    dram = _map(folder / DRAM, ct)
    refined, probability = (
        _map(folder / name, ct) if (folder / name).is_file() else None for name in (REFINED, PROBABILITY)
    )
    lesion = _labels(folder / LESION, ct, "lesion mask", 1)
    table = quantify(ct.array, lobes, lesion, ct.spacing_mm, dram).with_ranges(_ranges(summary))
    findings = Findings(ct, lobes, dram, lesion, table, record, refined, probability)
    return replace(findings, **_reading(folder / SUMMARY, summary.get("reading")))


def read_edits(folder: str | Path, ct: Volume) -> np.ndarray | None:
    """What a person painted on the results of a folder: uint8 (z, y, x), 1 lesion, 2 not lesion; None for nothing.

    Edits that an older correction left beside newer results do not count.

    Args:
        folder: What ``segment`` or ``refine`` wrote.
        ct: The CT that the results were made from, on the same grid.

    Raises:
        InputError: The edits are damaged, or lie on another grid than the CT.
    """
    folder = Path(folder)
    corrected = "correction" in _read_summary(folder / SUMMARY)["record"]
    if not corrected or not (folder / EDITS).is_file():
        return None
    return _labels(folder / EDITS, ct, "edits", 2)


def _ranges(summary: dict[str, Any]) -> dict[int, tuple[float, float]]:
    """The range of each lobe's percentage, by the lobe's value, where the summary has one."""
    rows = {row.get("region"): row for row in summary.get("regions") or () if isinstance(row, dict)}
    ranges = {}
    for lobe in LOBES:
        row = rows.get(lobe.abbreviation, {})
        low, high = row.get("lesion_percent_low"), row.get("lesion_percent_high")
        if isinstance(low, int | float) and isinstance(high, int | float) and 0 <= low <= high <= 100:
            ranges[lobe.value] = (float(low), float(high))
    return ranges


def check_same_ct(folder: str | Path, findings: Findings) -> None:
    """Refuse a CT that lies on the grid of the results, but has other densities than the one they were made from.

    Args:
        folder: What ``segment`` wrote.
        findings: Its findings, read with the CT in question.

    Raises:
        InputError: It is another CT.
    """
    path = Path(folder) / SUMMARY
    _check_means(path, _read_summary(path), findings.ct.name, findings.quantification)


def _check_means(path: Path, summary: dict[str, Any], name: str, table: Quantification) -> None:
    regions = summary.get("regions")
    means = {row.get("region"): row.get("mean_hu") for row in regions or () if isinstance(row, dict)}
    for region in table.regions:
        known = means.get(region.key)
        if isinstance(known, int | float) and abs(known - (region.mean_hu or 0)) > _SAME_HU:
            raise InputError(
                f"{name}: not the CT of {path.parent}: its {region.name} has a mean of "
                f"{region.mean_hu or 0:.0f} HU, the results say {known:.0f}: give the CT that was segmented"
            )


def _reading(path: Path, values: Any) -> dict[str, Any]:
    """The findings' fields ``reading`` and ``cuts`` from a summary's ``reading``; none where nobody read."""
    if values is None:
        return {}
    try:
        numbers = (values["wanted_percent"], values["wanted_score"])
        reading = Reading(*numbers, tuple(values["wanted_by"]))
        cuts = tuple(None if cut is None else float(cut) for cut in values["cut"])
    except (InputError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: its reading is damaged ({error}): segment the CT again") from error
    return {"reading": reading, "cuts": cuts if len(cuts) == len(LOBES) else None}


def ct_of(folder: str | Path) -> Path:
    """The CT that the results of a folder were made from, by what their summary says of it.

    Raises:
        InputError: The folder holds no results, or the CT is no longer where it was, nor beside them; or it was DICOM,
            whose place is not kept.
    """
    folder = Path(folder)
    summary = _read_summary(folder / SUMMARY)
    name, kept = str(summary.get("ct", "")), summary["record"].get("ct_file")
    places = [folder / kept] if isinstance(kept, str) and kept else []
    if name and Path(name).name == name and is_volume_file(name):
        places += [folder / name, folder.resolve().parent / name]
    for place in places:
        if exists(place) and place.is_file():
            return place
    raise InputError(
        f"{folder}: the CT of these results is not to be found: name it with --ct (in Python: ct=)"
    )


def known_again(folder: str | Path, ct: Volume) -> Volume:
    """A CT that was saved along with its results under the name that it had before; any other CT as it is.

    Args:
        folder: The results.
        ct: The CT that they were made from.
    """
    if ct.path is None or ct.path.name != CT_COPY:
        return ct
    name = str(_read_summary(Path(folder) / SUMMARY).get("ct", ""))
    return replace(ct, name=name if is_volume_file(Path(name)) else NEUTRAL_NAME, path=None)


def _file_of(ct: Volume, folder: Path) -> str | None:
    """Where a CT's file lies, seen from a folder of results; None for DICOM, whose folders are named after people."""
    if ct.path is None or not is_volume_file(ct.path):
        return None
    path = ct.path.resolve()
    try:
        return Path(os.path.relpath(path, folder.resolve())).as_posix()
    except ValueError:  # on another drive
        return path.as_posix()


def threshold_of(map_path: str | Path) -> float:
    """The threshold that a map of a results folder was cut at; 0.5 where no summary beside it says.

    Args:
        map_path: A map of any name; :data:`PROBABILITY` is the final network's, which has a threshold of its own.
    """
    map_path = Path(map_path)
    try:
        settings = _read_summary(map_path.parent / SUMMARY)["record"]["settings"]
        if map_path.name == PROBABILITY:
            settings = settings["segmentation"]
        threshold = float(settings["threshold"])
    except (InputError, ValueError, KeyError, TypeError, OverflowError):
        return USUAL_THRESHOLD
    return threshold if 0 < threshold < 1 else USUAL_THRESHOLD


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


def begin_results(
    out: str | Path, child: process.Child | None = None
) -> contextlib.AbstractContextManager[BegunResults]:
    """Where the results of a block go, for :func:`write_findings`: all of them or none.

    Args:
        out: The folder for the results.
        child: A process that waits to make their scene; None: there shall be none before the rest is written.

    Raises:
        OutputError: The folder can't be written.
    """
    return begun_results(out, OWNED, SUMMARY, child)


def write_findings(
    findings: Findings,
    out: str | Path,
    *,
    with_scene: bool = True,
    dicom_folder: DicomFolder | None = None,
    edits: np.ndarray | None = None,
    with_ct: bool = False,
    progress: Progress = silent,
    watch: Stopwatch | None = None,
    scene_child: process.Child | None = None,
    begun: BegunResults | None = None,
) -> Findings:
    """Write all outputs of a case into a folder, all of them or none.

    Args:
        findings: The results of one CT. A scene that can't be written is added to the warnings of its record.
        out: The folder.
        with_scene: Write the scene and its pictures where slicer-core is installed.
        dicom_folder: The folder of the CT's series, where a DICOM Segmentation is wanted.
        edits: uint8 (z, y, x), what a person painted: 1 lesion, 2 not lesion; None writes none.
        with_ct: Write the CT, too, so that the folder can be read without another file.
        progress: Told the stage and how much of it is done.
        watch: Takes the seconds of each stage of writing.
        scene_child: One of :func:`~DRAMLesionLib.results.scene.process.waiting_child`; None starts one.
        begun: What :func:`begin_results` gave for the same folder; the block that it is from moves the files there.

    Returns:
        The findings with one map, the one that the mask was cut from, as ``dram``. The others are as large as the CT and
        lie in files now: who does not hold the findings has that memory back while the scene is made.
    """
    watch = watch or Stopwatch(findings.record.setdefault("seconds", {}))
    slim = replace(findings, dram=findings.map, refined=None, probability=None)
    with contextlib.ExitStack() as stack:
        begun = begun or stack.enter_context(begin_results(out))
        folder = begun.folder
        # The scene's process works while the files are written, and needs memory, too.
        give_freed_memory_back()
        if with_scene and begun.making is None:
            begun.making = process.begin_scene_folder(slim, folder, scene_child)
        making = begun.making
        with watch.stage("write"):
            progress("Writing the results", 0.0)
            maps = {DRAM: findings.dram, REFINED: findings.refined, PROBABILITY: findings.probability}
            del findings
            while maps:  # each one goes as soon as it is written
                name, values = maps.popitem()
                if values is not None:
                    write_volume(values, slim.ct, folder / name)
                del values
                give_freed_memory_back()
            write_volume(slim.lobes.labels, slim.ct, folder / LOBE_LABELS)
            write_mask(slim, folder)
            if edits is not None:
                write_volume(edits, slim.ct, folder / EDITS)
            if with_ct:
                write_volume(slim.ct.array, slim.ct, folder / CT_COPY)
        if dicom_folder is not None:
            with watch.stage("DICOM Segmentation"):
                progress("Writing the DICOM Segmentation", 0.0)
                write_dicom_seg(slim, dicom_folder.folder, folder / DICOM_SEG, dicom_folder.series)
        give_freed_memory_back()
        with watch.stage("report"):
            progress("Drawing the report", 0.0)
            drawings = report.draw(slim)
        give_freed_memory_back()
        pictures = {} if making is None else _finished_pictures(making, slim, watch, progress)
        progress("Writing the report", 0.0)
        report.write_report(slim, folder / REPORT, pictures, drawings)
        slim.record["ct_file"] = CT_COPY if with_ct else _file_of(slim.ct, Path(out))
        table.write_summary(slim, folder / SUMMARY)
    return slim


def write_mask(findings: Findings, folder: Path) -> None:
    """Write the lesion mask in its two formats, and the two tables that were counted from it."""
    write_volume(findings.lesion, findings.ct, folder / LESION)
    seg_nrrd.write_segmentation(findings, folder / SEGMENTATION)
    table.write_table(findings, folder / TABLE)
    write_lesions(lesions_of(findings), folder / LESIONS)


def _finished_pictures(
    making: process.Making, findings: Findings, watch: Stopwatch, progress: Progress
) -> dict[str, Path]:
    """Wait for the scene; its pictures by name. Where it can't be made the record gets a warning."""
    with watch.stage("scene"):
        progress("Making the Slicer scene", 0.0)
        try:
            written = making.finish(progress)
        except available.SceneUnavailable as reason:
            written = reason.written
            lacking = "no pictures of the Slicer scene" if written else "no Slicer scene"
            findings.record.setdefault("warnings", []).append(f"{lacking}: {reason}")
    return {path.name: path for path in written if path.suffix == ".png"}
