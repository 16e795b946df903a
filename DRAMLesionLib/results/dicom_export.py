"""A results folder as DICOM objects: Segmentation and measurement report."""

from __future__ import annotations

from pathlib import Path

from DRAMLesionLib.images.volume import read_ct
from DRAMLesionLib.results.dicom_seg import make_dicom_seg, save_dataset
from DRAMLesionLib.results.dicom_source import find_source, highdicom
from DRAMLesionLib.system.progress import Progress, silent


def export_results(
    results: str | Path,
    dicom_folder: str | Path,
    out: str | Path,
    *,
    report: str | Path | None = None,
    series: str | None = None,
    progress: Progress = silent,
) -> list[Path]:
    """Write the results of a folder as a DICOM Segmentation, and its table as a measurement report.

    Args:
        results: The folder that ``segment`` wrote.
        dicom_folder: The CT's DICOM folder.
        out: The segmentation's file.
        report: The report's file; None for none.
        series: UID of the series, or its beginning or end.
        progress: Told the stage.

    Returns:
        The files that were written.

    Raises:
        InputError: highdicom is missing, or results and series don't belong together.
        OutputError: A file can't be written.
    """
    from DRAMLesionLib.results.dicom_report import write_dicom_report
    from DRAMLesionLib.results.folder import read_findings

    highdicom()
    progress("Reading the CT", 0.0)
    ct = read_ct(dicom_folder, series=series)
    findings = read_findings(results, ct)
    source = find_source(dicom_folder, ct, series)
    progress("Writing DICOM", 0.5)
    segmentation = make_dicom_seg(findings, source)
    save_dataset(segmentation, out)
    if report is not None:
        write_dicom_report(findings, segmentation, source, report)
    progress("Writing DICOM", 1.0)
    return [Path(file) for file in (out, report) if file is not None]
