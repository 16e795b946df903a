"""The command ``refine``."""

from pathlib import Path
from typing import Annotated

import typer

from DRAMLesionLib.commands.console import Reporter
from DRAMLesionLib.commands.options import Debug, Json, KeepIdentifiers, MissingLobes, Out


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
    keep_identifiers: KeepIdentifiers = False,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Correct a map's label around painted voxels, as the correction panel does."""
    with Reporter(json, debug) as reporter:
        from DRAMLesionLib.correction.correct_case import correct_case

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
            keep_identifiers=keep_identifiers,
            progress=reporter.progress,
        )
        reporter.result({"out": str(out), **done})
        reporter.note(f"Results in {out}: {', '.join(done['files'])}")
