"""The command ``steer``."""

from pathlib import Path
from typing import Annotated

import typer

from DRAMLesionLib.commands.terminal.console import Reporter
from DRAMLesionLib.commands.terminal.options import (
    Debug,
    Json,
    KeepIdentifiers,
    Percent,
    Score,
    Who,
    reading_of,
)


def steer(
    results: Annotated[Path, typer.Argument(metavar="RESULTS", help="Folder that segment wrote.")],
    ct: Annotated[
        Path, typer.Argument(metavar="CT", help="The CT that was segmented: file or DICOM folder.")
    ],
    percent: Percent = None,
    score: Score = None,
    who: Who = "",
    edits: Annotated[
        Path | None,
        typer.Option(help="Painted voxels on the CT's grid, which always hold: 1 lesion, 2 not lesion."),
    ] = None,
    series: Annotated[str | None, typer.Option(help="UID of the DICOM series.")] = None,
    no_scene: Annotated[bool, typer.Option("--no-scene", help="Write no Slicer scene and pictures.")] = False,
    keep_identifiers: KeepIdentifiers = False,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Cut the mask of a results folder anew, so that each lobe has the percentage or the score that a reader gives."""
    with Reporter(json, debug) as reporter:
        reading = reading_of(percent, score, who)
        if reading is None:
            from DRAMLesionLib.system.errors import InputError

            raise InputError("no lobe has a number: give --percent or --score, such as --score 2,4,-,1,4")
        reporter.begin(results)
        from DRAMLesionLib.lesions.options import Options

        reporter.expect(Options(with_scene=not no_scene).seconds_after({"Steering the mask": 3.0}))
        from DRAMLesionLib.case import steer_case
        from DRAMLesionLib.commands.segment import tell_files
        from DRAMLesionLib.results.table import print_table, summary, warnings_of

        findings = steer_case(
            results,
            ct,
            reading,
            edits=edits,
            series=series,
            with_scene=not no_scene,
            keep_identifiers=keep_identifiers,
            progress=reporter.progress,
        )
        reporter.result({"out": str(results), **summary(findings)})
        if not json:
            print_table(findings, reporter.console)
            for warning in warnings_of(findings):
                reporter.note(f"Note: {warning}")
            tell_files(reporter, results)
