"""The command line: ``python -m DRAMLesionLib`` and ``dramlesion``.

Results go to standard output, progress and errors to standard error. With ``--json`` standard output is one JSON object
per line: ``{"event": "progress" | "result" | "error", ...}``. The exit code is 0 only on success, 2 for what the user can
mend, 1 for a fault of the program, 130 when interrupted.
"""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from DRAMLesionLib import __version__
from DRAMLesionLib.console import Reporter

app = typer.Typer(
    name="dramlesion",
    help="COVID-19 lesions, lobe percentages and severity scores from chest CT. Research use only, not for diagnosis.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Json = Annotated[bool, typer.Option("--json", help="Progress, result and errors as JSON lines.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda:N or mps.")]
Out = Annotated[Path, typer.Option("--out", help="Folder for the results.")]
Lobes = Annotated[
    Path | None,
    typer.Option(help="Lobes on the CT's grid: label map, .seg.nrrd or TotalSegmentator's folder."),
]
MissingLobes = Annotated[
    bool, typer.Option("--allow-missing-lobes", help="Accept a lobe without voxels (after a lobectomy).")
]


@app.callback(invoke_without_command=True)
def _root(version: Annotated[bool, typer.Option("--version", help="Show the version.")] = False) -> None:
    if version:
        print(f"dramlesion {__version__}")
        raise typer.Exit


@app.command()
def segment(
    source: Annotated[
        Path, typer.Argument(metavar="INPUT", help="NIfTI, NRRD or MHA file, or DICOM folder.")
    ],
    out: Out,
    lobes: Lobes = None,
    model: Annotated[str | None, typer.Option(help="Name of a model, or its folder.")] = None,
    device: Device = "auto",
    series: Annotated[str | None, typer.Option(help="UID of the DICOM series.")] = None,
    no_crf: Annotated[bool, typer.Option("--no-crf", help="Leave the map unrefined, to compare.")] = False,
    no_scene: Annotated[bool, typer.Option("--no-scene", help="Write no Slicer scene and pictures.")] = False,
    allow_missing_lobes: MissingLobes = False,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Segment the lesions of a chest CT and quantify each lobe."""
    with Reporter(json, debug) as reporter:
        from DRAMLesionLib.case import OUTPUTS, segment_case
        from DRAMLesionLib.report import print_table, summary, warnings_of

        findings = segment_case(
            source,
            out,
            lobes=lobes,
            model=model,
            device=device,
            series=series,
            crf=not no_crf,
            with_scene=not no_scene,
            allow_missing_lobes=allow_missing_lobes,
            progress=reporter.progress,
        )
        reporter.result({"out": str(out), **summary(findings)})
        if not json:
            print_table(findings, reporter.console)
            for warning in warnings_of(findings):
                reporter.note(f"Note: {warning}")
            scene = ["scene.mrb"] if (out / "scene.mrb").exists() else []
            names = [name for name in OUTPUTS if (out / name).exists()]
            reporter.note(f"Results in {out}: {', '.join([*names, *scene])}")
            reporter.note(f"Start with {out / 'report.html'}")


@app.command()
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


@app.command()
def refine(
    ct: Annotated[Path, typer.Argument(metavar="CT", help="NIfTI, NRRD or MHA file, or DICOM folder.")],
    map_path: Annotated[
        Path, typer.Option("--map", help="Lesion map 0..1 on the CT's grid, such as refined_dram.nii.gz.")
    ],
    lobes: Annotated[Path, typer.Option(help="Lobes on the CT's grid.")],
    out: Out,
    edits: Annotated[
        Path | None, typer.Option(help="Painted voxels on the CT's grid: 1 lesion, 2 not lesion.")
    ] = None,
    series: Annotated[str | None, typer.Option(help="UID of the DICOM series.")] = None,
    crf: Annotated[bool, typer.Option("--crf", help="Sharpen the map by the dense CRF first.")] = False,
    threshold: Annotated[
        float | None,
        typer.Option(min=0.01, max=0.99, help="Of the map; else the one it was segmented with, or 0.5."),
    ] = None,
    allow_missing_lobes: MissingLobes = False,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Correct a map's label around painted voxels, as the correction panel does."""
    with Reporter(json, debug) as reporter:
        from DRAMLesionLib.correct_case import correct_case

        done = correct_case(
            ct,
            map_path,
            lobes,
            out,
            edits=edits,
            series=series,
            crf=crf,
            threshold=threshold,
            allow_missing_lobes=allow_missing_lobes,
            progress=reporter.progress,
        )
        reporter.result({"out": str(out), **done})
        reporter.note(f"Results in {out}: {', '.join(done['files'])}")


@app.command()
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


@app.command()
def doctor(json: Json = False, debug: Debug = False) -> None:
    """Show what is installed, the devices, their memory, and the models."""
    with Reporter(json, debug) as reporter:
        from DRAMLesionLib.doctor import examine, print_examination

        examination = examine()
        reporter.result(examination)
        if not json:
            print_examination(examination, reporter.console)


def main() -> Any:
    """Run the command line."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # file names in any script, whatever the terminal's encoding
            stream.reconfigure(errors="backslashreplace")
    return app()
