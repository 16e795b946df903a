"""The main job on one CT: read, find the lobes, map, refine, segment, quantify, and write everything."""

import contextlib
import importlib
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from DRAMLesionLib.images.dicom.study import study_of
from DRAMLesionLib.images.volume import Volume, read_ct, read_on_grid, without_identifiers
from DRAMLesionLib.lesions.findings import Findings
from DRAMLesionLib.lesions.options import Options
from DRAMLesionLib.lesions.reading import Reading
from DRAMLesionLib.lungs.lobes import LobeMap
from DRAMLesionLib.phantom.known_percent import known_percent
from DRAMLesionLib.results.arrays import write_arrays
from DRAMLesionLib.results.dicom_source import check_source
from DRAMLesionLib.results.folder import (
    DICOM_SEG,
    begin_results,
    check_same_ct,
    read_edits,
    read_findings,
    write_findings,
)
from DRAMLesionLib.results.lesion_list import lesions_of
from DRAMLesionLib.results.scene.process import waiting_child
from DRAMLesionLib.system.errors import InputError
from DRAMLesionLib.system.memory import MOST_BESIDE, shortage_explained, smaller_setting
from DRAMLesionLib.system.progress import Progress, silent
from DRAMLesionLib.system.record import Stopwatch

if TYPE_CHECKING:
    import numpy as np

    from DRAMLesionLib.lesions.run_models import CaseModels


def segment_case(
    source: str | Path,
    out: str | Path,
    options: Options | None = None,
    *,
    models: "CaseModels | None" = None,
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
    with (
        # It takes seconds to import Slicer: beside what this process imports and reads.
        waiting_child() if options.with_scene else contextlib.nullcontext() as scene_child,
        _ready_to_find(source, options, models, progress, watch) as find,
        # What a reader says changes the mask in the end.
        begin_results(out, scene_child if options.reading is None else None) as begun,
    ):
        _import_meanwhile("DRAMLesionLib.results.report.views")  # with matplotlib, for the report
        # The findings are not held here, so that maps can go as soon as they are written.
        return write_findings(
            find(begun.begin_scene),
            out,
            with_scene=options.with_scene,
            dicom_folder=dicom_folder,
            progress=progress,
            watch=watch,
            scene_child=scene_child,
            begun=begun,
        )


def find_case(
    source: str | Path | Volume,
    options: Options | None = None,
    *,
    lobes: LobeMap | None = None,
    models: "CaseModels | KeptModels | None" = None,
    progress: Progress = silent,
) -> Findings:
    """Segment one CT and keep the results in memory; nothing is written.

    Args:
        source: A NIfTI, NRRD or MHA file, a DICOM folder, or a CT that was read already.
        options: How to segment; what they say of scene and DICOM does not count here.
        lobes: The lobes, where they were read already; None takes those that the options name.
        models: Models that are loaded already, or what keeps them from run to run; None loads those that the options
            name.
        progress: Told the stage and how much of it is done.

    Returns:
        The findings with all their maps.

    Raises:
        InputError: Something that was given can't be used.
    """
    with _ready_to_find(source, options or Options(), models, progress, Stopwatch(), lobes) as find:
        return find()


def segment_to_arrays(
    source: str | Path,
    out: str | Path,
    options: Options | None = None,
    *,
    models: "CaseModels | None" = None,
    progress: Progress = silent,
    outline: Callable[["np.ndarray"], None] | None = None,
) -> Findings:
    """Segment one CT for another process, which has the CT already and goes on with plain arrays.

    Args:
        source: A NIfTI, NRRD or MHA file, or a DICOM folder.
        out: The folder for the arrays: see :mod:`DRAMLesionLib.results.arrays`. No report, scene or image is written.
        options: How to segment; what they say of scene and DICOM does not count here.
        models: Models that are loaded already; None loads those that the options name.
        progress: Told the stage and how much of it is done.
        outline: Called with the mask, uint8 (z, y, x), before the lesion map is made where the mask does not depend on
            it.

    Returns:
        The findings.

    Raises:
        InputError: Something that was given can't be used; nothing was written.
    """
    with _ready_to_find(source, options or Options(), models, progress, Stopwatch(), outline=outline) as find:
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
        edits: Painted voxels on the CT's grid, which always hold: 1 lesion, 2 not lesion. None: those that the folder
            was corrected by, if it was.
        series: UID of the DICOM series, where the folder holds several.
        with_scene: Write ``scene.mrb`` and its pictures anew where slicer-core is installed; else an older scene goes.
        keep_identifiers: Results may show the name of a DICOM folder, study date and slice thickness.
        progress: Told the stage and how much of it is done.

    Returns:
        The findings without refined map and probability, which lie in files.

    Raises:
        InputError: Something that was given can't be used, or does not belong together; nothing was written.
    """
    from DRAMLesionLib.lesions.steer import steer_to

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
    painted = read_edits(results, ct) if edits is None else read_on_grid(edits, ct, "edits")
    with watch.stage("steer"):
        progress("Steering the mask", 0.0)
        findings = steer_to(findings, reading, painted)
    findings.record["seconds"] = {**findings.record.get("seconds", {}), **watch.seconds}
    return write_findings(
        findings, results, with_scene=with_scene, dicom_folder=dicom_folder, progress=progress
    )


@contextmanager
def _ready_to_find(
    source: str | Path | Volume,
    options: Options,
    models: "CaseModels | KeptModels | None",
    progress: Progress,
    watch: Stopwatch,
    lobes: LobeMap | None = None,
    outline: Callable[["np.ndarray"], None] | None = None,
) -> Iterator["Find"]:
    """CT read and models loaded: yields what finds the lesions.

    That may be given what is called when the mask is known, of a large CT when its map is refined, too. Lack of memory in
    the block ends in one line.
    """
    with watch.stage("read"):
        progress("Reading the CT", 0.0)
        if _is_image(source):
            _check_choices(options)
            _import_meanwhile("DRAMLesionLib.lesions.find")  # with torch, while the CT is unpacked
        ct = source if isinstance(source, Volume) else read_ct(source, series=options.series)
    about = _about(source, options)
    if not options.keep_identifiers:
        ct = without_identifiers(ct)
    _check_choices(options)
    # A CT that can't be used is refused before torch is imported, which takes seconds.
    with watch.stage("load model"):
        progress("Loading the models", 0.0)
        from DRAMLesionLib.lesions.find import find_lesions, find_lesions_in
        from DRAMLesionLib.lesions.steer import steer_to

        if isinstance(models, KeptModels) or models is None:
            kept = models or KeptModels()
            models = kept.load(options.model, options.method, options.device)
        loaded = models
    device = loaded.device
    how: dict[str, Any] = {"progress": progress, "watch": watch}
    if outline is not None:
        how["outline"] = outline

    def find(known: Callable[[Findings], None] | None = None) -> Findings:
        if known is not None:
            # A large CT's scene would need its memory while this process needs most.
            how.update(known=known, beside=ct.array.size <= MOST_BESIDE)
        if lobes is None:
            findings = find_lesions(ct, loaded, options, **how)
        else:
            findings = find_lesions_in(ct, lobes, loaded, crf=options.crf, **how)
        findings.record.update(about)
        return steer_to(findings, options.reading) if options.reading else findings

    name = ct.name if isinstance(source, Volume) else str(source)
    with shortage_explained(name, lambda: smaller_setting(ct.array.shape, ct.spacing_mm, str(device))):
        yield find


class Find(Protocol):
    """Finds the lesions of a CT that was read."""

    def __call__(self, known: Callable[[Findings], None] | None = None) -> Findings:
        """See :func:`DRAMLesionLib.lesions.find.find_lesions`."""


def _is_image(source: str | Path | Volume) -> bool:
    """Whether it is a file that begins as an image does: most likely the whole of it is a CT."""
    from DRAMLesionLib.images.image_checks import has_header
    from DRAMLesionLib.images.paths import is_volume_file

    if isinstance(source, Volume):
        return False
    path = Path(source)
    return path.is_file() and is_volume_file(path) and has_header(path)


def _import_meanwhile(module: str) -> None:
    """Begin to import a module in a thread; who imports it later waits for what is left, and sees what went wrong."""

    def work() -> None:
        with contextlib.suppress(Exception):
            importlib.import_module(module)

    if module not in sys.modules:
        threading.Thread(target=work, name=f"import {module}").start()


def _about(source: str | Path | Volume, options: Options) -> dict[str, Any]:
    """What the record says of a CT beside its voxels: the given name, its study on request, the truth of a phantom."""
    about: dict[str, Any] = {"name": " ".join(options.name.split())} if options.name else {}
    if isinstance(source, Volume):
        return about
    shown = options.keep_identifiers if options.with_study is None else options.with_study
    if shown and (study := study_of(source, options.series)):
        about["study"] = study
    if true_percent := known_percent(source):
        about["phantom"] = {"true_percent": true_percent}
    return about


def _check_choices(options: Options) -> None:
    """Refuse lobes and models that are not there, as long as it costs nothing: torch is not imported yet."""
    from DRAMLesionLib.images.paths import exists
    from DRAMLesionLib.lesions.networks.bundle_folders import find_bundle

    if options.lobes is not None and not exists(Path(options.lobes)):
        raise InputError(f"{options.lobes}: no such file or folder: check the path of the lobes")
    if options.model is not None:
        find_bundle(options.model)


class KeptModels:
    """The models of the last run, which most likely are those of the next one."""

    def __init__(self) -> None:
        """Nothing is loaded yet."""
        self._key: tuple[Any, ...] | None = None
        self._models: CaseModels | None = None

    def load(self, model: str | Path | None, method: str | None, device: str) -> "CaseModels":
        """The models of a run, loaded anew where others were asked for, or where their files have changed.

        Args:
            model: A model's name or folder; None: the default one.
            method: ``final`` or ``dram``; None: the final network where it is there.
            device: Where they compute: see :func:`~DRAMLesionLib.system.device.find_device`.

        Raises:
            InputError: There is no such model, method or device.
        """
        from DRAMLesionLib.lesions.networks.bundle_folders import bundle_folders, find_bundles
        from DRAMLesionLib.lesions.run_models import load_case_models
        from DRAMLesionLib.system.device import find_device

        folders = set(find_bundles(bundle_folders()).values())
        if model and Path(model).is_dir():
            folders.add(Path(model))
        files = sorted(
            (str(file), file.stat().st_mtime_ns) for folder in folders for file in folder.glob("*/*")
        )
        key = (model, method, device, tuple(files))
        if self._models is None or key != self._key:
            self._key = self._models = None  # both would not fit into a small memory
            self._models = load_case_models(model, method, find_device(device))
            self._key = key
        return self._models
