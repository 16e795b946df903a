"""Correction of a folder of results: what ``segment`` found, with what a person painted on it, as a new folder.

The mask begins as it is and follows the strokes; nothing changes far from them. Table and report are made anew.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from DRAMLesionLib.correction.correct_case import Refined, refine_case
from DRAMLesionLib.correction.propagation import FORGET, LESION
from DRAMLesionLib.images.volume import Volume, read_ct, read_on_grid, without_identifiers
from DRAMLesionLib.lesions.findings import Findings
from DRAMLesionLib.lesions.quantify import quantify
from DRAMLesionLib.lungs.lobes import LOBES
from DRAMLesionLib.results.folder import (
    DRAM,
    PROBABILITY,
    REFINED,
    SUMMARY,
    check_same_ct,
    ct_of,
    read_edits,
    read_findings,
    results_in,
    threshold_of,
    write_findings,
)
from DRAMLesionLib.system.errors import InputError
from DRAMLesionLib.system.progress import Progress, silent
from DRAMLesionLib.system.record import versions


def is_results(folder: str | Path) -> bool:
    """Whether a folder holds what ``segment`` wrote: a summary and a map."""
    names = results_in(folder) if Path(folder).is_dir() else []
    return SUMMARY in names and DRAM in names


def correct_results(
    results: str | Path,
    out: str | Path,
    *,
    edits: str | Path | None = None,
    ct: str | Path | None = None,
    series: str | None = None,
    threshold: float | None = None,
    with_scene: bool = False,
    keep_identifiers: bool = False,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Correct the results of one CT around painted voxels and write all of them anew, or none.

    Args:
        results: The folder that ``segment`` wrote. Map, mask, lobes and threshold are its own.
        out: The folder for the corrected results.
        edits: Label map on the CT's grid: 1 lesion, 2 not lesion, 0 not painted; None for none.
        ct: The CT; None where it still lies where it was, or in the folder of results or the one above.
        series: UID of the DICOM series, where the folder holds several.
        threshold: Threshold of the map, 0..1; None: that of the run.
        with_scene: Write the Slicer scene, too.
        keep_identifiers: Results may show the name of a DICOM folder, study date and slice thickness.
        progress: Told the stage and how much of it is done.

    Returns:
        JSON values: ``files`` written, and counts and times of the correction.

    Raises:
        InputError: The CT is not to be found, or something that was given can't be used; nothing was written.
    """
    progress("Reading the CT", 0.0)
    volume = read_ct(ct if ct is not None else ct_of(results), series=series)
    if not keep_identifiers:
        volume = without_identifiers(volume)
    findings = read_findings(results, volume)
    check_same_ct(results, findings)
    if not keep_identifiers:
        findings.record.pop("study", None)
    painted = None if edits is None else read_on_grid(edits, volume, "edits")
    threshold = threshold_of(Path(results) / _map_of(findings)[0]) if threshold is None else threshold
    name = Path(edits).name if edits else None
    corrected, refined = correct_findings(
        findings,
        painted,
        name,
        held=read_edits(results, volume),
        threshold=threshold,
        progress=progress,
    )
    write_findings(corrected, out, with_scene=with_scene, edits=refined.edits, progress=progress)
    return {"files": sorted(path.name for path in Path(out).iterdir() if path.is_file()), **refined.counts()}


def correct_findings(
    findings: Findings,
    edits: np.ndarray | Sequence[tuple[Any, int]] | None,
    edits_name: str | None = None,
    *,
    held: np.ndarray | None = None,
    threshold: float | None = None,
    progress: Progress = silent,
) -> tuple[Findings, Refined]:
    """Correct the mask of findings that are in memory around painted voxels; nothing changes far from them.

    Args:
        findings: The results of one CT with their maps. The mask begins as it is.
        edits: Shape (z, y, x): 1 lesion, 2 not lesion, 0 not painted; or strokes in their order: see
            :func:`~DRAMLesionLib.correction.correct_case.refine_case`. None for none.
        edits_name: What the edits are called in the record.
        held: uint8 (z, y, x), what was painted before, which stays as it was painted where nothing is painted over it.
        threshold: Threshold of the map, 0..1; None: that of the run.
        progress: Told the stage and how much of it is done.

    Returns:
        The findings with the new mask, its table, and the map where strokes have moved it; and what the correction did.

    Raises:
        InputError: The edits have another shape than the CT, or other values.
    """
    name, lesion_map = _map_of(findings)
    threshold = findings.threshold if threshold is None else threshold
    correction = {"map": name, "threshold": threshold, "edits": edits_name}
    refined = refine_case(
        findings.ct,
        findings.lobes,
        lesion_map,
        edits,
        progress,
        label=findings.lesion,
        threshold=threshold,
        provenance={**correction, "versions": versions()},
    )
    if held is not None:
        refined = _holding(refined, held)
    return _corrected(findings, name, lesion_map, refined, correction), refined


def _holding(refined: Refined, held: np.ndarray) -> Refined:
    """The correction with what was painted before it: new strokes do not spread over that."""
    older = np.where(refined.edits == FORGET, held, np.uint8(FORGET))
    label = np.where(older == FORGET, refined.label, np.uint8(older == LESION)).astype(np.uint8)
    return replace(refined, label=label, edits=np.where(older == FORGET, refined.edits, older))


def _map_of(findings: Findings) -> tuple[str, np.ndarray]:
    """The map that the mask was cut from, and its file's name."""
    if findings.probability is not None:
        return PROBABILITY, findings.probability
    return (REFINED, findings.refined) if findings.refined is not None else (DRAM, findings.dram)


def _corrected(
    findings: Findings, name: str, lesion_map: np.ndarray, refined: Refined, correction: dict[str, Any]
) -> Findings:
    """The findings with the corrected mask, its table, and the map where strokes have moved it."""
    ct: Volume = findings.ct
    moved = np.where(refined.session.changed, refined.session.probability, lesion_map).astype(np.float32)
    record = {**findings.record, "correction": {**correction, **refined.counts()}}
    table = quantify(ct.array, findings.lobes, refined.label, ct.spacing_mm, findings.dram)
    table = table.with_ranges(_ranges_left(findings, refined.label))
    corrected = replace(findings, lesion=refined.label, quantification=table, record=record)
    if name == PROBABILITY:
        return replace(corrected, probability=moved)
    return replace(corrected, refined=moved)


def _ranges_left(findings: Findings, label: np.ndarray) -> dict[int, tuple[float, float]]:
    """The ranges of the model's percentages, by the lobe's value, for lobes whose mask is still the model's."""
    corrected = set(np.unique(findings.lobes.labels[(findings.lesion != 0) != (label != 0)]).tolist())
    return {
        lobe.value: (region.percent_low, region.percent_high)
        for lobe, region in zip(LOBES, findings.quantification.lobes, strict=True)
        if region.percent_low is not None and region.percent_high is not None and lobe.value not in corrected
    }


def folder_beside(results: str | Path) -> Path:
    """Where corrected results go unless another folder is named: ``results_corrected`` beside ``results``.

    Raises:
        InputError: The path has no name to build on.
    """
    folder = Path(results).resolve()
    if not folder.name:
        raise InputError(f"{results}: give a folder for the corrected results with --out")
    return folder.with_name(f"{folder.name}_corrected")
