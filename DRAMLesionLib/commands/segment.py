"""The command ``segment``."""

from pathlib import Path
from typing import Annotated

import typer

from DRAMLesionLib.commands.terminal.console import Reporter
from DRAMLesionLib.commands.terminal.options import (
    FLAGGED,
    Debug,
    Device,
    Json,
    KeepIdentifiers,
    Lobes,
    MissingLobes,
    Name,
    Out,
    Percent,
    Score,
    Strict,
    Who,
    reading_of,
)


def segment(
    source: Annotated[
        Path, typer.Argument(metavar="INPUT", help="NIfTI, NRRD or MHA file, or DICOM folder.")
    ],
    out: Out,
    lobes: Lobes = None,
    model: Annotated[str | None, typer.Option(help="Name of a model of either kind, or its folder.")] = None,
    method: Annotated[
        str | None,
        typer.Option(
            help="What makes the mask: final (network) or dram (the lesion map, cut). Default: final where it is there."
        ),
    ] = None,
    device: Device = "auto",
    series: Annotated[str | None, typer.Option(help="UID of the DICOM series.")] = None,
    no_crf: Annotated[bool, typer.Option("--no-crf", help="Leave the map unrefined, to compare.")] = False,
    no_scene: Annotated[bool, typer.Option("--no-scene", help="Write no Slicer scene and pictures.")] = False,
    dicom_seg: Annotated[
        bool, typer.Option("--dicom-seg", help="Write lesion.dcm, a DICOM Segmentation, too; INPUT is DICOM.")
    ] = False,
    percent: Percent = None,
    score: Score = None,
    who: Who = "",
    allow_missing_lobes: MissingLobes = False,
    name: Name = None,
    keep_identifiers: KeepIdentifiers = False,
    handover: Annotated[
        bool,
        typer.Option(
            "--handover", help="Write plain arrays for a program that goes on with them, no report."
        ),
    ] = False,
    strict: Strict = False,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Segment the lesions of a chest CT and quantify each lobe."""
    with Reporter(json, debug) as reporter:
        reporter.begin(out)
        from DRAMLesionLib.system.allocation import keep_freed_memory, wait_without_spinning

        wait_without_spinning()
        keep_freed_memory()
        from DRAMLesionLib.lesions.options import Options  # with numpy

        options = Options(
            lobes=lobes,
            series=series,
            model=model,
            method=method,
            device=device,
            crf=not no_crf,
            allow_missing_lobes=allow_missing_lobes,
            with_scene=not no_scene,
            dicom_seg=dicom_seg,
            keep_identifiers=keep_identifiers,
            name=name,
            reading=reading_of(percent, score, who),
        )
        reporter.expect(options.seconds())
        # What follows imports scipy; torch comes once the CT was read.
        from DRAMLesionLib.case import segment_case, segment_to_arrays
        from DRAMLesionLib.lesions.quality import flags_of
        from DRAMLesionLib.results.table import print_table, summary, warnings_of

        run = segment_to_arrays if handover else segment_case
        findings = run(source, out, options, progress=reporter.progress)
        reporter.result({"out": str(out), **summary(findings)})
        if not json:
            print_table(findings, reporter.console)
            reporter.look(flags_of(findings.record))
            for warning in warnings_of(findings):
                reporter.note(f"Note: {warning}")
            if not handover:
                tell_files(reporter, out)
        if strict and flags_of(findings.record):
            raise typer.Exit(FLAGGED)


def tell_files(reporter: Reporter, out: Path) -> None:
    """Say which files there are, and with which to start."""
    from DRAMLesionLib.results.folder import REPORT, results_in

    reporter.note(f"Results in {out}: {', '.join(results_in(out))}")
    reporter.note(f"Start with {out / REPORT}")
