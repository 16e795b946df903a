"""The command ``phantom``."""

from typing import Annotated

import typer

from DRAMLesionLib.commands.terminal.console import Reporter
from DRAMLesionLib.commands.terminal.options import Debug, Json, Out
from DRAMLesionLib.system.files import check_folder


def phantom(
    out: Out,
    size: Annotated[tuple[int, int, int], typer.Option(help="Voxels along x, y, z.")] = (160, 160, 96),
    spacing: Annotated[tuple[float, float, float], typer.Option(help="mm along x, y, z.")] = (2.2, 2.2, 3.0),
    seed: Annotated[int, typer.Option(help="Another seed is another patient.")] = 0,
    orientation: Annotated[str, typer.Option(help="Axis order and signs, such as LPS or RAS.")] = "LPS",
    healthy: Annotated[bool, typer.Option("--healthy", help="Without lesions.")] = False,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Make a phantom chest CT with lobes, lesions and their known percentages."""
    with Reporter(json, debug) as reporter:
        check_folder(out)
        from DRAMLesionLib.phantom import make_phantom, save_phantom

        made = make_phantom(
            size,
            spacing,
            seed=seed,
            orientation=orientation,
            severity=0 if healthy else None,
            progress=reporter.progress,
        )
        save_phantom(made, out, progress=reporter.progress)
        reporter.result({"out": str(out), "percent": list(made.percent)})
        reporter.note(f"Phantom in {out}: ct.nii.gz, lobes.nii.gz, lesion.nii.gz, percent.json")
