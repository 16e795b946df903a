"""The command ``export-nnunet``."""

from pathlib import Path
from typing import Annotated

import typer

from DRAMLesionLib.commands.console import Reporter
from DRAMLesionLib.commands.options import Debug, Json
from DRAMLesionLib.system.files import check_folder


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
