"""The command ``dicom-seg``."""

from pathlib import Path
from typing import Annotated

import typer

from DRAMLesionLib.commands.console import Reporter
from DRAMLesionLib.commands.options import Debug, Json
from DRAMLesionLib.system.files import check_output_file


def dicom_seg(
    results: Annotated[
        Path, typer.Argument(metavar="RESULTS", help="Folder with lesion.nii.gz and lobes.nii.gz of segment.")
    ],
    dicom: Annotated[Path, typer.Option("--dicom", help="DICOM folder of the CT.")],
    out: Annotated[Path, typer.Option("--out", help="DICOM Segmentation to write.")],
    report: Annotated[
        Path | None, typer.Option("--report", help="Write a measurement report (TID 1500) too.")
    ] = None,
    series: Annotated[str | None, typer.Option(help="UID of the DICOM series.")] = None,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Write lesion and lobes as a DICOM Segmentation that references the CT's series."""
    with Reporter(json, debug) as reporter:
        check_output_file(out)
        from DRAMLesionLib.results.dicom_export import export_results

        files = export_results(
            results,
            dicom,
            out,
            report=report,
            series=series,
            progress=reporter.progress,
        )
        reporter.result({"files": [str(file) for file in files]})
        reporter.note(f"Written: {', '.join(str(file) for file in files)}")
