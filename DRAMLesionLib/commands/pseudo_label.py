"""The command ``pseudo-label``."""

from pathlib import Path
from typing import Annotated

import typer

from DRAMLesionLib.commands.terminal.console import Reporter
from DRAMLesionLib.commands.terminal.options import Debug, Device, Json
from DRAMLesionLib.system.files import check_folder


def pseudo_label(
    data: Annotated[Path, typer.Option("--data", help="Data list: JSON with images, lobes and percentages.")],
    out: Annotated[Path, typer.Option("--out", help="Folder for the labels and the new data list.")],
    model: Annotated[
        str | None, typer.Option(help="Name or folder of a dRAM model or of a final network.")
    ] = None,
    rule: Annotated[
        str, typer.Option(help="fixed, otsu, or quantile: each lobe's known percentage sets its threshold.")
    ] = "quantile",
    crf: Annotated[
        bool, typer.Option("--crf/--no-crf", help="Refine the map by the dense CRF first.")
    ] = False,
    smooth: Annotated[float, typer.Option(min=0, max=20, help="Smooth the map first, sigma in mm.")] = 2.0,
    dram_share: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="With a final network: how much the dRAM counts beside it."),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Keep labels that are there already.")] = False,
    device: Device = "auto",
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Guess a lesion label for each training scan, to train the final network on."""
    with Reporter(json, debug) as reporter:
        check_folder(out)
        from typing import get_args

        from DRAMLesionLib.system.errors import InputError
        from DRAMLesionLib.training.data.pseudo_label import Rule
        from DRAMLesionLib.training.data.pseudo_labels import PseudoLabelSettings, write_pseudo_labels

        if rule not in get_args(Rule):
            raise InputError(f"--rule {rule}: use one of {', '.join(get_args(Rule))}")
        settings = PseudoLabelSettings(rule, crf, smooth, dram_share)  # type: ignore[arg-type]
        made = write_pseudo_labels(
            data, model, out, settings, resume=resume, device=device, progress=reporter.progress
        )
        reporter.result({"data": str(made)})
        reporter.note(f"Data list with labels: {made}: train with: train final --data {made}")
