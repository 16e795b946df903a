"""The command ``evaluate``."""

from pathlib import Path
from typing import Annotated

import typer

from DRAMLesionLib.commands.terminal.console import Reporter
from DRAMLesionLib.commands.terminal.options import Debug, Json
from DRAMLesionLib.system.files import check_output_file


def evaluate(
    prediction: Annotated[
        Path,
        typer.Argument(metavar="PRED", help="Lesion mask, a folder of masks, or a data list with labels."),
    ],
    reference: Annotated[
        Path,
        typer.Argument(metavar="REF", help="What to compare with: mask, folder, or data list with labels."),
    ],
    lobes: Annotated[
        Path | None,
        typer.Option(
            help="Lobe map or folder of lobe maps; a data list REF has its own. Without: no percentages."
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Write the scores to this .csv or .json file.")
    ] = None,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Compare lesion masks with reference masks: IoU, Dice, lobe percentages, severity scores.

    Masks in folders are found by name: NAME_lesion, NAME/lesion, NAME_label, NAME/label, or NAME.
    """
    with Reporter(json, debug) as reporter:
        from DRAMLesionLib.training.evaluation.masks import evaluate as run
        from DRAMLesionLib.training.evaluation.table import (
            as_dict,
            check_format,
            print_evaluation,
            write_evaluation,
        )

        if out is not None:
            check_format(out)
            check_output_file(out)
        evaluation = run(prediction, reference, lobes, progress=reporter.progress)
        if out is not None:
            write_evaluation(evaluation, out)
        reporter.result(as_dict(evaluation))
        if not json:
            print_evaluation(evaluation, reporter.console)
            for note in evaluation.notes:
                reporter.note(f"Note: {note}")
            if out is not None:
                reporter.note(f"Scores in {out}")
