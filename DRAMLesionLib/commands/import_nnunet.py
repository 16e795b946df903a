"""The command ``import-nnunet``."""

from pathlib import Path
from typing import Annotated

import typer

from DRAMLesionLib.commands.console import Reporter
from DRAMLesionLib.commands.options import Debug, Json, MissingLobes, Out
from DRAMLesionLib.system.files import check_folder


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
