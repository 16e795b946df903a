"""The command ``train``."""

from pathlib import Path
from typing import Annotated, Any

import typer

from DRAMLesionLib.commands.terminal.console import Reporter
from DRAMLesionLib.commands.terminal.options import Debug, Device, Json, Out
from DRAMLesionLib.system.files import check_folder


def train(
    recipe: Annotated[
        Path,
        typer.Argument(metavar="RECIPE", help="A recipe that ships, such as dram or final, or a YAML file."),
    ],
    data: Annotated[Path, typer.Option("--data", help="Data list: JSON with images, lobes and percentages.")],
    out: Out,
    epochs: Annotated[int | None, typer.Option(min=1, help="Instead of the recipe's.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Instead of the recipe's.")] = None,
    threads: Annotated[int | None, typer.Option(min=0, help="CPU threads, instead of the recipe's.")] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the checkpoint, if there is one.")
    ] = False,
    tensorboard: Annotated[
        bool, typer.Option("--tensorboard", help="Write TensorBoard's files, too.")
    ] = False,
    device: Device = "auto",
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Train a model by a recipe. Ctrl+C, SIGTERM or a file OUT.training/stop end it at a checkpoint (exit code 75)."""
    with Reporter(json, debug) as reporter:
        check_folder(out)
        from DRAMLesionLib.training.distributed import is_first_process
        from DRAMLesionLib.training.engine import TRAINING
        from DRAMLesionLib.training.engine import train as run
        from DRAMLesionLib.training.stopping import STOPPED_EXIT_CODE, Stopped, stop_signals

        def progress(stage: str, fraction: float) -> None:
            if not json or stage != TRAINING:  # with JSON each step has its own line
                reporter.progress(stage, fraction)

        first = is_first_process()
        try:
            with stop_signals() as wished:
                bundle = run(
                    recipe,
                    data,
                    out,
                    epochs=epochs,
                    seed=seed,
                    threads=threads,
                    device=device,
                    resume=resume,
                    tensorboard=tensorboard,
                    progress=progress,
                    log=reporter.log,
                    stop=wished,
                )
        except Stopped as stopped:
            if first:
                checkpoint: Any = str(stopped.checkpoint) if stopped.checkpoint else None
                reporter.log({"event": "stopped", "checkpoint": checkpoint})
                reporter.note(f"Stopped at {checkpoint or 'no checkpoint'}: go on with --resume")
            raise typer.Exit(STOPPED_EXIT_CODE) from None
        if first:
            reporter.result({"model": str(bundle)})
            reporter.note(f"Model in {bundle}: use it by --model {bundle}")
