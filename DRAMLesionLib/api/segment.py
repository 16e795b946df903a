"""Segment a CT and get one result object."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from DRAMLesionLib.api.inputs import ct_of, lobes_of, numbers_of
from DRAMLesionLib.api.result import Result
from DRAMLesionLib.case import KeptModels, find_case
from DRAMLesionLib.images.volume import without_identifiers
from DRAMLesionLib.lesions.options import Options
from DRAMLesionLib.lesions.reading import Reading
from DRAMLesionLib.lungs.lobes import LOBES
from DRAMLesionLib.system.progress import Progress, silent

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from DRAMLesionLib.lesions.run_models import CaseModels

_kept = KeptModels()


def segment(
    ct: Any,
    lobes: Any = None,
    *,
    percent: Sequence[float | None] | Mapping[str, float] | None = None,
    score: Sequence[int | None] | Mapping[str, int] | None = None,
    who: str = "",
    model: str | Path | CaseModels | None = None,
    method: str | None = None,
    crf: bool = True,
    series: str | None = None,
    allow_missing_lobes: bool = False,
    keep_identifiers: bool = False,
    device: str = "auto",
    progress: Progress | None = None,
) -> Result:
    """Segment the lesions of a chest CT and quantify each lobe. Nothing is written.

    The mask is that of the command ``segment``, voxel for voxel. Models stay loaded for the next call.

    Args:
        ct: A NIfTI, NRRD or MHA file; a DICOM folder; a SimpleITK image; or a pair of an array, HU of shape (z, y, x)
            (z to superior, y to posterior, x to the patient's left), and its voxel size (z, y, x) in mm.
        lobes: The five lobes: a label map, ``.seg.nrrd`` or TotalSegmentator's folder; a SimpleITK image; or an array of
            shape (z, y, x), 1 LUL, 2 LLL, 3 RUL, 4 RML, 5 RLL. None finds approximate ones.
        percent: A reader's lesion percentages, 0..100, which the mask follows: five in the order LUL, LLL, RUL, RML, RLL
            with None for a lobe to leave, or a dict such as ``{"LLL": 65}``.
        score: A reader's severity scores, 0..5, likewise. Where a lobe has both, the percentage counts.
        who: Who gave these numbers, for the record.
        model: A model's name or folder; None: the default one. Or models that
            :func:`~DRAMLesionLib.lesions.run_models.load_case_models` has loaded.
        method: ``final`` (network) or ``dram`` (the lesion map, cut); None: final where it is there.
        crf: Sharpen the lesion map by the dense CRF.
        series: UID of the DICOM series, where the folder holds several.
        allow_missing_lobes: Accept a lobe without voxels, for instance after a lobectomy.
        keep_identifiers: Results may show the name of a DICOM folder.
        device: ``auto``, ``cpu``, ``cuda:N`` or ``mps``.
        progress: Called as ``progress(stage, fraction of the stage)``; raise :class:`DRAMLesionLib.Cancelled` from it to
            stop.

    Raises:
        InputError: Something that was given can't be used; the message says what to do.
    """
    tell = progress or silent
    tell("Reading the CT", 0.0)
    volume = ct_of(ct, series)
    if not keep_identifiers:
        volume = without_identifiers(volume)
    nothing = (None,) * len(LOBES)
    wanted, scores = numbers_of("percent", percent), numbers_of("score", score)
    reading = Reading(wanted or nothing, scores or nothing, who)
    named = model is None or isinstance(model, str | Path)
    options = Options(
        model=model if named else None,  # type: ignore[arg-type]
        method=method,
        device=device,
        crf=crf,
        allow_missing_lobes=allow_missing_lobes,
        reading=reading or None,
    )
    given = lobes_of(lobes, volume, allow_missing_lobes)
    findings = find_case(
        volume,
        options,
        lobes=given,
        models=_kept if named else model,  # type: ignore[arg-type]
        progress=tell,
    )
    return Result(findings)
