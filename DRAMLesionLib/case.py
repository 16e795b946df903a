"""The main job on one CT: read, find the lobes, map, refine, segment, quantify, and write everything."""

import contextlib
import platform
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import DRAMLesionLib
from DRAMLesionLib.images.volume import Volume, read_ct, without_identifiers, write_volume
from DRAMLesionLib.lesions.dram import predict_maps
from DRAMLesionLib.lesions.findings import Findings
from DRAMLesionLib.lesions.networks.bundle import Model
from DRAMLesionLib.lesions.probability import (
    EDGE_MM,
    MAJORITY,
    predict_lesion,
    segment_lesion,
    take_speckle_off,
    with_refined_dram,
)
from DRAMLesionLib.lesions.quantify import quantify
from DRAMLesionLib.lesions.refined_dram import refine_dram
from DRAMLesionLib.lesions.run_models import CaseModels, load_case_models
from DRAMLesionLib.lungs.lobes import find_lobes
from DRAMLesionLib.results import report, seg_nrrd
from DRAMLesionLib.results.arrays import write_handover
from DRAMLesionLib.results.dicom_seg import FILE_NAME as DICOM_SEG
from DRAMLesionLib.results.dicom_seg import DicomFolder, check_source, write_dicom_seg
from DRAMLesionLib.results.scene import nodes as scene
from DRAMLesionLib.results.scene.headless import SCENE_NAME
from DRAMLesionLib.results.scene.rendering import PICTURES
from DRAMLesionLib.system.allocation import give_freed_memory_back
from DRAMLesionLib.system.device import find_device
from DRAMLesionLib.system.files import staged_directory
from DRAMLesionLib.system.memory import shortage_explained, smaller_setting
from DRAMLesionLib.system.progress import Progress, silent

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


@dataclass
class Stopwatch:
    """Seconds of each stage, in the order they ran."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time a block as the stage ``name``."""
        start = time.perf_counter()
        yield
        self.seconds[name] = round(time.perf_counter() - start, 3)


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


def find_lesions(
    ct: Volume,
    models: CaseModels | Model,
    *,
    lobes_path: str | Path | None = None,
    device: str = "cpu",
    crf: bool = True,
    allow_missing_lobes: bool = False,
    progress: Progress = silent,
    watch: Stopwatch | None = None,
) -> Findings:
    """The same in memory: lobes, dRAM, refined dRAM, lesion mask and table of a CT.

    Arguments as above; ``models`` may be a dRAM model alone.
    """
    watch = watch or Stopwatch()
    notes: list[str] = []
    how: dict[str, Any] = {"device": device, "progress": progress, "notes": notes}
    models = models if isinstance(models, CaseModels) else CaseModels(models)
    with watch.stage("lobes"):
        lobe_map = find_lobes(ct, lobes_path, allow_missing=allow_missing_lobes, progress=progress)
    labels, wanted = lobe_map.labels, models.dram.description
    with watch.stage("dRAM"):
        maps = predict_maps(models.dram.network, wanted, ct.array, labels, ct.spacing_mm, **how)
    dram, refined = maps.dram, maps.attended
    if crf:
        with watch.stage("CRF"):
            progress("Refining the dRAM", 0.0)
            refined = refine_dram(maps.best, ct.array, ct.spacing_mm, labels, wanted)
    del maps  # the attended map is as large as the others, and of no more use
    probability, cut, threshold = None, dram if refined is None else refined, wanted.threshold
    if models.final is not None:
        with watch.stage("final network"):
            final = models.final.description
            probability = predict_lesion(models.final.network, final, ct.array, labels, ct.spacing_mm, **how)
            if crf and refined is not None:
                probability = with_refined_dram(
                    probability, final.threshold, refined, wanted.threshold, final.dram_share
                )
            cut, threshold = probability, final.threshold
    settings = _settings(models, lobe_map.source, crf, device)
    if cut is not dram:  # the network's own map stays as it is
        with watch.stage("smooth"):
            take_speckle_off(cut, labels, threshold, ct.spacing_mm)
        settings["smoothing"] = {"gaussian_mm": EDGE_MM, "majority": MAJORITY}
    with watch.stage("quantify"):
        lesion = segment_lesion(cut, labels, threshold)
        table = quantify(ct.array, lobe_map, lesion, ct.spacing_mm, dram)
    record: dict[str, Any] = {
        **models.facts(),
        "settings": settings,
        "versions": versions(),
        "seconds": watch.seconds,
        "warnings": [*ct.warnings, *notes],
    }
    return Findings(ct, lobe_map, dram, lesion, table, record, refined, probability)


def _settings(models: CaseModels, lobes: str, crf: bool, device: str) -> dict[str, Any]:
    """For the record: the dRAM model's description, and the final network's under ``segmentation``."""
    dram = models.dram.description.to_dict()
    settings = {"method": models.method, "lobes": lobes, "device": device, **dram}
    settings["crf"] = {"enabled": crf, **dram["crf"]}
    if models.final is not None:
        settings["segmentation"] = models.final.description.to_dict()
    return settings


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
        making = scene.begin_scene_folder(slim, folder) if with_scene else None
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
            report.write_table(slim, folder / "lobes.csv")
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
                except scene.SceneUnavailable as reason:
                    written = reason.written
                    lacking = "no pictures of the Slicer scene" if written else "no Slicer scene"
                    slim.record.setdefault("warnings", []).append(f"{lacking}: {reason}")
                pictures = {path.name: path for path in written if path.suffix == ".png"}
        progress("Writing the report", 0.0)
        report.write_report(slim, folder / "report.html", pictures, drawings)
        report.write_summary(slim, folder / "summary.json")
    return slim


def versions() -> dict[str, str]:
    """Versions of what the result depends on."""
    from importlib.metadata import PackageNotFoundError, version

    found = {"DRAMLesion": DRAMLesionLib.__version__, "Python": platform.python_version()}
    for package in ("torch", "monai", "numpy", "scipy", "SimpleITK", "slicer-core"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
