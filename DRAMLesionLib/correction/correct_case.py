"""Correction without a viewer: a CT, its lobes, a map and painted voxels give a corrected label on disk."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from DRAMLesionLib.correction.propagation import FORGET, LESION, NOT_LESION
from DRAMLesionLib.correction.session import CorrectionSession, sharpened
from DRAMLesionLib.correction.strokes import pieces
from DRAMLesionLib.images.volume import Volume, read_ct, read_on_grid, without_identifiers, write_volume
from DRAMLesionLib.lesions.findings import Findings
from DRAMLesionLib.lesions.quantify import quantify
from DRAMLesionLib.lungs.lobes import LobeMap
from DRAMLesionLib.lungs.read_lobes import read_lobes
from DRAMLesionLib.results.folder import (
    DRAM,
    EDITS,
    PROBABILITY,
    REFINED,
    REPORT,
    SUMMARY,
    results_in,
    threshold_of,
    write_mask,
)
from DRAMLesionLib.results.folder import LESION as LESION_FILE
from DRAMLesionLib.results.report import write_report
from DRAMLesionLib.results.table import write_summary
from DRAMLesionLib.system.errors import InputError
from DRAMLesionLib.system.files import staged_directory
from DRAMLesionLib.system.progress import Progress, silent
from DRAMLesionLib.system.record import versions


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
    keep_identifiers: bool = False,
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
        crf: Sharpen the map by the dense CRF first; ``refined_dram.nii.gz`` of ``segment`` already is.
        threshold: Threshold of the map, 0..1; None: as the ``summary.json`` beside the map says, else 0.5. Where a map
            of ``segment`` lies beside its mask, and neither a threshold nor ``crf`` is given, the label begins with that
            mask.
        allow_missing_lobes: Accept a lobe without voxels.
        keep_identifiers: Results may show the name of a DICOM folder.
        progress: Told the stage and how much of it is done.

    Returns:
        JSON values: ``files`` written, and counts and times of the correction.

    Raises:
        InputError: Something that was given can't be used; nothing was written.
    """
    progress("Reading the CT", 0.0)
    ct = read_ct(source, series=series)
    if not keep_identifiers:
        ct = without_identifiers(ct)
    lobes = read_lobes(lobes_path, ct, allow_missing=allow_missing_lobes)
    lesion_map = read_on_grid(map_path, ct, "map")
    painted = None if edits is None else read_on_grid(edits, ct, "edits")
    given = threshold is not None
    threshold = threshold_of(map_path) if threshold is None else threshold
    provenance = {
        "threshold": threshold,
        "map": Path(map_path).name,
        "edits": Path(edits).name if edits else None,
        "versions": versions(),
    }
    refined = refine_case(
        ct,
        lobes,
        lesion_map,
        painted,
        progress,
        label=None if crf or given else _mask_beside(map_path, ct),
        crf=crf,
        threshold=threshold,
        provenance=provenance,
    )
    table = quantify(ct.array, lobes, refined.label, ct.spacing_mm, refined.probability)
    record: dict[str, Any] = {
        "settings": provenance,
        "versions": versions(),
        "warnings": [*ct.warnings, *lobes.warnings],
    }
    findings = Findings(ct, lobes, refined.probability, refined.label, table, record)
    with staged_directory(out, last=SUMMARY) as folder:
        progress("Writing the results", 0.0)
        write_volume(refined.edits, ct, folder / EDITS)
        write_volume(refined.probability, ct, folder / REFINED)
        write_mask(findings, folder)
        write_report(findings, folder / REPORT)
        write_summary(findings, folder / SUMMARY)
        files = sorted(path.name for path in folder.iterdir())
    return {"files": files, **refined.counts()}


def _mask_beside(map_path: str | Path, ct: Volume) -> np.ndarray | None:
    """The mask of the run that made a map, where map and mask lie in its folder of results; else None."""
    folder = Path(map_path).parent
    if Path(map_path).name not in (DRAM, REFINED, PROBABILITY) or not {SUMMARY, LESION_FILE} <= set(
        results_in(folder)
    ):
        return None
    return (read_on_grid(folder / LESION_FILE, ct, "lesion mask") > 0).astype(np.uint8)


@dataclass(frozen=True)
class Refined:
    """What :func:`refine_case` gives; arrays are (z, y, x) on the CT's grid.

    Attributes:
        probability: float32, 0..1: the map as given (or sharpened by the CRF), moved where edits moved it.
        label: uint8, 1 lesion.
        edits: uint8, 0, 1 lesion, 2 not lesion.
        strokes: How many pieces the edits were painted in.
        changed: Voxels whose label differs from the one that the correction began with.
        seconds: How long the whole took.
        session: To go on with.
    """

    probability: np.ndarray
    label: np.ndarray
    edits: np.ndarray
    strokes: int
    changed: int
    seconds: float
    session: CorrectionSession

    def counts(self) -> dict[str, Any]:
        """JSON values: painted and changed voxels, strokes, seconds."""
        return {
            "painted_voxels": int((self.edits > 0).sum()),
            "strokes": self.strokes,
            "changed_voxels": self.changed,
            "seconds": round(self.seconds, 3),
        }


def refine_case(
    ct: Volume,
    lobes: LobeMap,
    probability: np.ndarray,
    edits: np.ndarray | Sequence[tuple[Any, int]] | None = None,
    progress: Progress = silent,
    *,
    label: np.ndarray | None = None,
    crf: bool = False,
    threshold: float = 0.5,
    provenance: dict[str, Any] | None = None,
    directory: str | Path | None = None,
) -> Refined:
    """Correct a map around painted voxels without a viewer.

    A file of edits has no order; they are painted in pieces of 3 cm from the first slice to the last.

    Args:
        ct: The CT.
        lobes: The lobes of the CT.
        probability: float (z, y, x), 0..1.
        edits: (z, y, x): 1 lesion, 2 not lesion, 0 not painted; or strokes in the order in which they were painted, each
            its voxels and its value as :meth:`CorrectionSession.paint` takes them. None for none.
        progress: Told how many pieces were painted.
        label: (z, y, x), 1 lesion: where the label begins; None: with the map cut at the threshold.
        crf: Sharpen the map by the dense CRF first (``refined_dram.nii.gz`` of ``segment`` already is).
        threshold: Threshold of the map, 0..1.
        provenance: See :class:`CorrectionSession`.
        directory: See :class:`CorrectionSession`.

    Raises:
        InputError: See :class:`CorrectionSession`; or edits with other values.
    """
    begin = time.perf_counter()
    strokes: Sequence[tuple[Any, int]] = ()
    if isinstance(edits, Sequence):
        strokes = edits
    elif edits is not None:
        edits = np.asarray(edits)
        if edits.shape != ct.array.shape:
            raise InputError(
                f"edits: shape {edits.shape}, the CT has {ct.array.shape}: give them on the CT's grid"
            )
        if not np.isin(edits, (FORGET, LESION, NOT_LESION)).all():
            raise InputError("edits: other values than 0, 1 and 2: give 1 for lesion and 2 for not lesion")
        strokes = pieces(edits, ct.spacing_mm)
    if crf:
        progress("Sharpening the map", 0.0)
        probability = sharpened(probability, ct.array, lobes.labels, ct.spacing_mm)
    session = CorrectionSession(
        ct.array,
        lobes,
        probability,
        ct.spacing_mm,
        label=label,
        threshold=threshold,
        provenance={**(provenance or {}), "crf": crf},
        directory=directory,
        ct=ct,
    )
    before = session.label
    for count, (voxels, value) in enumerate(strokes):
        progress("Applying the edits", count / len(strokes))
        session.paint(voxels, value)
    if directory is not None:
        session.save(directory)
    inside = (lobes.labels > 0) | session.changed
    moved = np.where(session.changed, session.probability, np.asarray(probability, np.float32))
    label = session.label
    return Refined(
        np.where(inside, moved, np.float32(0)),
        label,
        session.edits,
        len(strokes),
        int((label != before).sum()),
        time.perf_counter() - begin,
        session,
    )
