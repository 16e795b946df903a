"""The command line: ``python -m DRAMLesionLib`` and ``dramlesion``.

Results go to standard output, progress and errors to standard error. With ``--json`` standard output is one JSON object
per line: ``{"event": "progress" | "result" | "error", ...}``. The exit code is 0 only on success, 2 for what the user can
mend, 1 for a fault of the program, 130 when interrupted.
"""

import sys
from typing import Annotated

import typer

from DRAMLesionLib import __version__
from DRAMLesionLib.commands.batch import batch
from DRAMLesionLib.commands.compare import compare
from DRAMLesionLib.commands.datalist import datalist
from DRAMLesionLib.commands.doctor import doctor
from DRAMLesionLib.commands.evaluate import evaluate
from DRAMLesionLib.commands.neighbours import dicom_seg, export_nnunet, export_onnx, import_nnunet
from DRAMLesionLib.commands.phantom import phantom
from DRAMLesionLib.commands.pseudo_label import pseudo_label
from DRAMLesionLib.commands.refine import refine
from DRAMLesionLib.commands.segment import segment
from DRAMLesionLib.commands.steer import steer
from DRAMLesionLib.commands.study import study
from DRAMLesionLib.commands.terminal.console import INTERRUPTED, print_json
from DRAMLesionLib.commands.train import train
from DRAMLesionLib.commands.view import view
from DRAMLesionLib.system.streams import end_with, lasting, restart_in_utf8

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
    compare,
    view,
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


def main() -> None:
    """Run the command line."""
    restart_in_utf8()
    sys.stdout, sys.stderr = lasting(sys.stdout), lasting(sys.stderr)
    if sys.argv[1:2] == ["segment"]:  # its threads have nothing left to write; others save while they end
        end_with(_run)
    _run()


def _run() -> None:
    if "--json" not in sys.argv[1:]:
        app()
        return
    try:
        code = app(standalone_mode=False)
    except typer.Abort:
        code = INTERRUPTED
        print_json({"event": "error", "message": "stopped; nothing was written", "code": code})
    except Exception as error:
        # Errors of the arguments, raised before any command begins: Click's, or those of the copy that Typer brings.
        if not hasattr(error, "format_message"):
            raise
        message, code = " ".join(error.format_message().split()), 2
        print_json({"event": "error", "message": message, "code": code})
        print(f"Error: {message}", file=sys.stderr)
    sys.exit(code or 0)
