"""The main job on one CT: read, find the lobes, map, refine, segment, quantify, and write everything."""

from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

from DRAMLesionLib.images.volume import Volume, read_ct, without_identifiers
from DRAMLesionLib.lesions.find import find_lesions
from DRAMLesionLib.lesions.findings import Findings
from DRAMLesionLib.lesions.run_models import load_case_models
from DRAMLesionLib.results.arrays import write_handover
from DRAMLesionLib.results.dicom_seg import check_source
from DRAMLesionLib.results.folder import write_findings
from DRAMLesionLib.system.device import find_device
from DRAMLesionLib.system.memory import shortage_explained, smaller_setting
from DRAMLesionLib.system.progress import Progress, silent
from DRAMLesionLib.system.record import Stopwatch


def segment_case(
    source: str | Path,
    out: str | Path,
    *,
    lobes: str | Path | None = None,
    model: str | Path | None = None,
    method: str | None = None,
    device: str = "auto",
    series: str | None = None,
    crf: bool = True,
    with_scene: bool = True,
    dicom_seg: bool = False,
    allow_missing_lobes: bool = False,
    keep_identifiers: bool = False,
    handover: bool = False,
    progress: Progress = silent,
) -> Findings:
    """Segment one CT and write all results into a folder, all of them or none.

    Args:
        source: A NIfTI, NRRD or MHA file, or a DICOM folder.
        out: The folder for the results; an earlier run's results are replaced, other files stay.
        lobes: A label map or segmentation of the five lobes on the CT's grid; None finds approximate ones.
        model: A bundle's folder or name, of either kind; None is the default model.
        method: ``final`` or ``dram``; None: see :func:`~DRAMLesionLib.lesions.run_models.load_case_models`.
        device: See :func:`~DRAMLesionLib.system.device.find_device`.
        series: UID of the DICOM series, where the folder holds several.
        crf: Sharpen the map by the dense CRF.
        with_scene: Write ``scene.mrb`` and its pictures where slicer-core is installed.
        dicom_seg: Write ``lesion.dcm`` too, a DICOM Segmentation that references ``source``, which has to be DICOM.
        allow_missing_lobes: Accept a lobe without voxels, for instance after a lobectomy.
        keep_identifiers: Results may show the name of a DICOM folder. Its tags are never shown, but in ``lesion.dcm``,
            which belongs to the patient's study and names both, as the standard asks.
        handover: Write none of these results, but arrays for a program that goes on with them: see
            :mod:`DRAMLesionLib.results.arrays`.
        progress: Told the stage and how much of it is done.

    Returns:
        What was found.

    Raises:
        InputError: Something that was given can't be used; nothing was written.
    """
    watch = Stopwatch()
    place = find_device(device)
    dicom_folder = check_source(source, series) if dicom_seg else None
    with watch.stage("load model"):
        models = load_case_models(model, method, place)
    with watch.stage("read"):
        progress("Reading the CT", 0.0)
        ct = read_ct(source, series=series)
    if not keep_identifiers:
        ct = without_identifiers(ct)
    find = partial(
        find_lesions,
        ct,
        models,
        lobes_path=lobes,
        device=str(place),
        crf=crf,
        allow_missing_lobes=allow_missing_lobes,
        progress=progress,
        watch=watch,
    )
    with memory_explained(source, ct, str(place)):
        if not handover:
            # Not held here, so that maps can go as soon as they are written.
            return write_findings(
                find(), out, with_scene=with_scene, dicom_folder=dicom_folder, progress=progress, watch=watch
            )
        findings = find()
        progress("Handing over", 0.0)
        write_handover(findings, out)
        return findings


def memory_explained(source: str | Path, ct: Volume, device: str) -> AbstractContextManager[None]:
    """A block whose lack of memory ends in one line that says which size of this CT would fit."""
    return shortage_explained(str(source), lambda: smaller_setting(ct.array.shape, ct.spacing_mm, device))
