"""The commands that write for, or read from, other programs: ``dicom-seg``, ``export-nnunet``, ``import-nnunet`` and
``export-onnx``."""

from pathlib import Path
from typing import Annotated

import typer

from DRAMLesionLib.commands.terminal.console import Reporter
from DRAMLesionLib.commands.terminal.options import Debug, Json, MissingLobes, Out
from DRAMLesionLib.system.files import check_folder, check_output_file


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


def export_nnunet(
    data: Annotated[Path, typer.Option("--data", help="Data list with labels, such as pseudo-label writes.")],
    out: Annotated[Path, typer.Option("--out", help="Data set's folder: .../nnUNet_raw/DatasetNNN_Name.")],
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Write a data list with pseudo labels as an nnU-Net v2 raw data set."""
    with Reporter(json, debug) as reporter:
        check_folder(out)
        from DRAMLesionLib.training.data.nnunet import export_nnunet as run

        done = run(data, out, reporter.progress)
        reporter.result({"out": str(out), **done})
        reporter.note(
            f"{out}: {done['training']} training cases ({done['corrected']} corrected), {done['test']} test cases"
        )


def import_nnunet(
    predictions: Annotated[
        Path, typer.Argument(metavar="PREDICTIONS", help="Output folder of nnUNetv2_predict.")
    ],
    dataset: Annotated[Path, typer.Option("--dataset", help="The data set that export-nnunet wrote.")],
    out: Out,
    allow_missing_lobes: MissingLobes = False,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Bring nnU-Net's predictions back: mask, table, summary and report of each case."""
    with Reporter(json, debug) as reporter:
        check_folder(out)
        from DRAMLesionLib.training.data.nnunet import import_nnunet as run

        done = run(
            predictions, dataset, out, allow_missing_lobes=allow_missing_lobes, progress=reporter.progress
        )
        totals = {
            case.name: {
                "lesion_percent": case.findings.quantification.total.percent,
                "severity_score": case.findings.quantification.total_score,
            }
            for case in done
        }
        reporter.result({"out": str(out), "cases": totals})
        for case in done:
            table = case.findings.quantification
            reporter.note(
                f"{case.folder}: {table.total.percent or 0:.1f} % lesion, score {table.total_score}/25"
            )


def export_onnx(
    out: Annotated[Path, typer.Option("--out", help="File to write, .onnx.")],
    model: Annotated[str | None, typer.Option(help="Name of a model of either kind, or its folder.")] = None,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Write a model's network as ONNX and compare it with torch."""
    with Reporter(json, debug) as reporter:
        check_output_file(out)
        from DRAMLesionLib.lesions.networks.onnx_export import export_onnx as run

        done = run(model, out, reporter.progress)
        reporter.result({"out": str(out), **done})
        reporter.note(f"{out}: largest difference from torch {done['difference']:.1e}")
