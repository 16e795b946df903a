"""The command ``study``."""

from pathlib import Path
from typing import Annotated

import typer

from DRAMLesionLib.commands.terminal.console import Reporter
from DRAMLesionLib.commands.terminal.options import Debug, Device, Json, Out
from DRAMLesionLib.system.files import check_folder


def study(
    recipe: Annotated[
        Path, typer.Argument(metavar="STUDY", help="The study that ships, study, or a YAML file.")
    ],
    data: Annotated[
        Path,
        typer.Option("--data", help="Data list; each row has the experts' mask as label, to compare with."),
    ],
    out: Out,
    epochs: Annotated[int | None, typer.Option(min=1, help="Instead of each recipe's, for a trial.")] = None,
    seed: Annotated[list[int] | None, typer.Option(min=0, help="Instead of the study's; repeatable.")] = None,
    no_picture: Annotated[bool, typer.Option("--no-picture", help="Draw no stages.png.")] = False,
    device: Device = "auto",
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Train and compare all methods of a study; run it again to go on where it was stopped."""
    with Reporter(json, debug) as reporter:
        check_folder(out)
        from DRAMLesionLib.training.evaluation.study_report import make_study
        from DRAMLesionLib.training.stopping import STOPPED_EXIT_CODE, Stopped, stop_signals

        try:
            with stop_signals() as wished:
                text = make_study(
                    recipe,
                    data,
                    out,
                    seeds=tuple(seed) if seed else None,
                    epochs=epochs,
                    picture=not no_picture,
                    device=device,
                    progress=reporter.progress,
                    log=reporter.log,
                    stop=wished,
                )
        except Stopped:
            reporter.note(f"Stopped: run the same command again to go on in {out}")
            raise typer.Exit(STOPPED_EXIT_CODE) from None
        reporter.result({"table": str(out / "study.md")})
        reporter.note(text)
        stages = "" if no_picture else ", stages in stages.png"
        reporter.note(f"Table in {out / 'study.md'} and study.csv{stages}")
