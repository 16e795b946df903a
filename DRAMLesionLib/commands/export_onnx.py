"""The command ``export-onnx``."""

from pathlib import Path
from typing import Annotated

import typer

from DRAMLesionLib.commands.console import Reporter
from DRAMLesionLib.commands.options import Debug, Json
from DRAMLesionLib.system.files import check_output_file


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
