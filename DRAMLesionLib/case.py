"""The main job on one CT: read, find the lobes, map, refine, segment, quantify, and write everything."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from DRAMLesionLib.images.dicom.study import study_of
from DRAMLesionLib.images.volume import Volume, read_ct, read_on_grid, without_identifiers
from DRAMLesionLib.lesions.find import find_lesions
from DRAMLesionLib.lesions.findings import Findings
from DRAMLesionLib.lesions.options import Options
from DRAMLesionLib.lesions.reading import Reading
from DRAMLesionLib.lesions.run_models import CaseModels, load_case_models
from DRAMLesionLib.lesions.steer import steer_to
from DRAMLesionLib.phantom.known_percent import known_percent
from DRAMLesionLib.results.arrays import write_arrays
from DRAMLesionLib.results.dicom_source import check_source
from DRAMLesionLib.results.folder import DICOM_SEG, check_same_ct, read_findings, write_findings
from DRAMLesionLib.results.lesion_list import lesions_of
from DRAMLesionLib.system.device import find_device
from DRAMLesionLib.system.memory import shortage_explained, smaller_setting
from DRAMLesionLib.system.progress import Progress, silent
from DRAMLesionLib.system.record import Stopwatch


def segment_case(
    source: str | Path,
    out: str | Path,
    options: Options | None = None,
    *,
    models: CaseModels | None = None,
    progress: Progress = silent,
    **choices: Any,
) -> Findings:
    """Segment one CT and write all results into a folder, all of them or none.

    Args:
        source: A NIfTI, NRRD or MHA file, or a DICOM folder.
        out: The folder for the results; an earlier run's results are replaced, other files stay.
        options: How to segment, and what to write.
        models: Models that are loaded already; None loads those that the options name.
        progress: Told the stage and how much of it is done.
        **choices: Fields of :class:`~DRAMLesionLib.lesions.options.Options` by name, which change ``options``:
            ``segment_case("ct.nii.gz", "results", crf=False)``.

    Returns:
        The findings without refined map and probability, which lie in files now.

    Raises:
        InputError: Something that was given can't be used; nothing was written.
    """
    options, watch = replace(options or Options(), **choices), Stopwatch()
    dicom_folder = check_source(source, options.series) if options.dicom_seg else None
    with _ready_to_find(source, options, models, progress, watch) as find:
        # The findings are not held here, so that maps can go as soon as they are written.
        return write_findings(
            find(),
            out,
            with_scene=options.with_scene,
            dicom_folder=dicom_folder,
            progress=progress,
            watch=watch,
        )


def segment_to_arrays(
    source: str | Path,
    out: str | Path,
    options: Options | None = None,
    *,
    models: CaseModels | None = None,
    progress: Progress = silent,
) -> Findings:
    """Segment one CT for another process, which has the CT already and goes on with plain arrays.

    Args:
        source: A NIfTI, NRRD or MHA file, or a DICOM folder.
        out: The folder for the arrays: see :mod:`DRAMLesionLib.results.arrays`. No report, scene or image is written.
        options: How to segment; what they say of scene and DICOM does not count here.
        models: Models that are loaded already; None loads those that the options name.
        progress: Told the stage and how much of it is done.

    Returns:
        The findings.

    Raises:
        InputError: Something that was given can't be used; nothing was written.
    """
    with _ready_to_find(source, options or Options(), models, progress, Stopwatch()) as find:
        findings = find()
        progress("Handing over", 0.0)
        lesions_of(findings)  # handed over, too: to list them would make the other process's window wait
        write_arrays(findings, out)
        return findings


def steer_case(
    results: str | Path,
    source: str | Path,
    reading: Reading,
    *,
    edits: str | Path | None = None,
    series: str | None = None,
    with_scene: bool = True,
    keep_identifiers: bool = False,
    progress: Progress = silent,
) -> Findings:
    """Cut the mask of a results folder anew as a reader says, and write all results again, all of them or none.

    Args:
        results: The folder that ``segment`` wrote. Its maps stay as they are, so it can be steered again.
        source: The CT that the results were made from: a file or a DICOM folder.
        reading: The reader's numbers. Lobes that they leave keep the mask and the number that they have.
        edits: Painted voxels on the CT's grid, which always hold: 1 lesion, 2 not lesion. None for none.
        series: UID of the DICOM series, where the folder holds several.
        with_scene: Write ``scene.mrb`` and its pictures anew where slicer-core is installed; else an older scene goes.
        keep_identifiers: Results may show the name of a DICOM folder, study date and slice thickness.
        progress: Told the stage and how much of it is done.

    Returns:
        The findings without refined map and probability, which lie in files.

    Raises:
        InputError: Something that was given can't be used, or does not belong together; nothing was written.
    """
    watch = Stopwatch()
    progress("Reading the CT", 0.0)
    ct = read_ct(source, series=series)
    if not keep_identifiers:
        ct = without_identifiers(ct)
    findings = read_findings(results, ct)
    check_same_ct(results, findings)
    if not keep_identifiers:
        findings.record.pop("study", None)
    dicom_folder = check_source(source, series) if (Path(results) / DICOM_SEG).is_file() else None
    painted = None if edits is None else read_on_grid(edits, ct, "edits")
    with watch.stage("steer"):
        progress("Steering the mask", 0.0)
        findings = steer_to(findings, reading, painted)
    findings.record["seconds"] = {**findings.record.get("seconds", {}), **watch.seconds}
    return write_findings(
        findings, results, with_scene=with_scene, dicom_folder=dicom_folder, progress=progress
    )


@contextmanager
def _ready_to_find(
    source: str | Path, options: Options, models: CaseModels | None, progress: Progress, watch: Stopwatch
) -> Iterator[Callable[[], Findings]]:
    """Models loaded and CT read: yields what finds the lesions. Lack of memory in the block ends in one line."""
    if models is None:
        device = find_device(options.device)
        with watch.stage("load model"):
            models = load_case_models(options.model, options.method, device)
    with watch.stage("read"):
        progress("Reading the CT", 0.0)
        ct = read_ct(source, series=options.series)
    about = _about(source, options)
    if not options.keep_identifiers:
        ct = without_identifiers(ct)
    loaded, device = models, models.device
    with shortage_explained(str(source), lambda: smaller_setting(ct.array.shape, ct.spacing_mm, str(device))):
        yield lambda: _steered(_find(ct, loaded, options, progress, watch, about), options.reading)


def _find(
    ct: Volume,
    models: CaseModels,
    options: Options,
    progress: Progress,
    watch: Stopwatch,
    about: dict[str, Any],
) -> Findings:
    findings = find_lesions(ct, models, options, progress=progress, watch=watch)
    findings.record.update(about)
    return findings


def _about(source: str | Path, options: Options) -> dict[str, Any]:
    """What the record says of a CT beside its voxels: the given name, its study on request, the truth of a phantom."""
    about: dict[str, Any] = {"name": " ".join(options.name.split())} if options.name else {}
    shown = options.keep_identifiers if options.with_study is None else options.with_study
    if shown and (study := study_of(source, options.series)):
        about["study"] = study
    if true_percent := known_percent(source):
        about["phantom"] = {"true_percent": true_percent}
    return about


def _steered(findings: Findings, reading: Reading | None) -> Findings:
    return steer_to(findings, reading) if reading else findings
