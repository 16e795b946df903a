"""The command ``train``."""

from pathlib import Path
from typing import Annotated

import typer

from DRAMLesionLib.commands.options import Debug, Device, Json, Out
from DRAMLesionLib.console import Reporter


def train(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE", help="YAML file, such as Training/dram.yaml.")],
    data: Annotated[Path, typer.Option("--data", help="Data list: JSON with images, lobes and percentages.")],
    out: Out,
    epochs: Annotated[int | None, typer.Option(help="Instead of the recipe's.")] = None,
    device: Device = "auto",
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Train a dRAM network from one lesion percentage per lobe."""
    with Reporter(json, debug) as reporter:
        from DRAMLesionLib.training.engine import train as run

        bundle = run(
            recipe, data, out, epochs=epochs, device=device, progress=reporter.progress, log=reporter.log
        )
        reporter.result({"model": str(bundle)})
        reporter.note(f"Model in {bundle}: use it by --model {bundle}")
