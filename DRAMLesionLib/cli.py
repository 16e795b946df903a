"""The command line: ``python -m DRAMLesionLib`` and ``dramlesion``.

Results go to standard output, progress and errors to standard error. With ``--json`` standard output is one JSON object
per line: ``{"event": "progress" | "result" | "error", ...}``. The exit code is 0 only on success, 2 for what the user can
mend, 1 for a fault of the program, 130 when interrupted.
"""

import sys
from typing import Annotated, Any

import typer

from DRAMLesionLib import __version__
from DRAMLesionLib.commands.batch import batch
from DRAMLesionLib.commands.datalist import datalist
from DRAMLesionLib.commands.dicom_seg import dicom_seg
from DRAMLesionLib.commands.doctor import doctor
from DRAMLesionLib.commands.evaluate import evaluate
from DRAMLesionLib.commands.export_onnx import export_onnx
from DRAMLesionLib.commands.nnunet import export_nnunet, import_nnunet
from DRAMLesionLib.commands.phantom import phantom
from DRAMLesionLib.commands.pseudo_label import pseudo_label
from DRAMLesionLib.commands.refine import refine
from DRAMLesionLib.commands.segment import segment
from DRAMLesionLib.commands.steer import steer
from DRAMLesionLib.commands.study import study
from DRAMLesionLib.commands.train import train

app = typer.Typer(
    name="dramlesion",
    help="COVID-19 lesions, lobe percentages and severity scores from chest CT. Research use only, not for diagnosis.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

for command in (
    segment,
    steer,
    batch,
    phantom,
    refine,
    datalist,
    train,
    pseudo_label,
    evaluate,
    study,
    dicom_seg,
    export_nnunet,
    import_nnunet,
    export_onnx,
    doctor,
):
    app.command()(command)


@app.callback(invoke_without_command=True)
def _root(version: Annotated[bool, typer.Option("--version", help="Show the version.")] = False) -> None:
    if version:
        print(f"dramlesion {__version__}")
        raise typer.Exit


def main() -> Any:
    """Run the command line."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # file names in any script, whatever the terminal's encoding
            stream.reconfigure(errors="backslashreplace")
    return app()
