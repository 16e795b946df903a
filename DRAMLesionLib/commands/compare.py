"""The command ``compare``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from DRAMLesionLib.commands.terminal.console import Reporter
from DRAMLesionLib.commands.terminal.options import FLAGGED, Debug, Device, Json, KeepIdentifiers, Out, Strict

if TYPE_CHECKING:
    from rich.console import Console

    from DRAMLesionLib.followup.comparison import Comparison
    from DRAMLesionLib.followup.interval import Interval


def compare(
    sources: Annotated[
        list[Path],
        typer.Argument(
            metavar="BASELINE FOLLOWUP [MORE...]",
            help="Folders that segment wrote, or CTs, which are segmented first; the earliest first.",
        ),
    ],
    out: Out,
    ct: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CT", help="The CT of each folder, in order, - where the results know it; for DICOM."
        ),
    ] = None,
    days: Annotated[
        str | None, typer.Option(metavar="0,14,...", help="Days of the exams since the first one.")
    ] = None,
    coarser: Annotated[
        float,
        typer.Option(min=0.5, max=4.0, help="Factor on the registration's voxels; 2 is six times as fast."),
    ] = 1.0,
    model: Annotated[str | None, typer.Option(help="Model for CTs: its name or its folder.")] = None,
    device: Device = "auto",
    keep_identifiers: KeepIdentifiers = False,
    strict: Strict = False,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Compare exams of one patient: what changed in each lobe, and what became of each lesion."""
    with Reporter(json, debug) as reporter:
        reporter.begin(out)
        from DRAMLesionLib.followup.page import OUTPUTS, REPORT
        from DRAMLesionLib.followup.sources import compare_sources, usual_seconds
        from DRAMLesionLib.lesions.options import Options

        options = Options(model=model, device=device, keep_identifiers=keep_identifiers)
        reporter.expect(usual_seconds(sources, options, coarser))
        comparison = compare_sources(
            sources,
            out,
            cts=[None if path == "-" else path for path in ct or ()],
            days=_numbers(days),
            coarser=coarser,
            options=options,
            progress=reporter.progress,
        )
        reporter.result({"out": str(out), **comparison.summary})
        if not json:
            print_changes(comparison, reporter.console)
            reporter.look(comparison.flags)
            reporter.note(f"Comparison in {out}: {', '.join(OUTPUTS)}")
            reporter.note(f"Start with {out / REPORT}")
        if strict and comparison.flags:
            raise typer.Exit(FLAGGED)


def _numbers(text: str | None) -> list[float]:
    from DRAMLesionLib.system.errors import InputError

    try:
        return [float(part) for part in text.split(",")] if text else []
    except ValueError as error:
        raise InputError(f"--days {text}: not numbers with commas between: give such as 0,14") from error


def certainty_lines(interval: "Interval") -> list[str]:
    """Which regions changed for certain, and what of the change the densities confirm; nothing where it is not known."""
    from DRAMLesionLib.followup.changes import UNCERTAIN
    from DRAMLesionLib.followup.words import range_text, signed_ml_text

    lines = []
    told = [change for change in interval.regions if change.verdict is not None]
    if told:
        certain = [
            f"{one.key} {one.verdict} ({range_text(one.points_low, one.points_high)} points)"
            for one in told
            if one.verdict != UNCERTAIN
        ]
        lines.append(f"Beyond their ranges: {', '.join(certain) or f'none, {UNCERTAIN}'}.")
    total = interval.total
    if total.gained_ml is not None and total.lost_ml is not None:
        lines.append(
            f"By density: {signed_ml_text(total.gained_ml)} mL where the lung became denser, "
            f"{signed_ml_text(-total.lost_ml)} mL where less dense."
        )
    return lines


def print_changes(comparison: "Comparison", console: "Console") -> None:
    """The changes of each interval as a table, and how many lesions came, went or changed."""
    from rich.table import Table
    from rich.text import Text

    from DRAMLesionLib.followup.words import signed_ml_text, signed_text, whole_text
    from DRAMLesionLib.results.numbers import ml_text, percent_text
    from DRAMLesionLib.system.record import RESEARCH_USE

    for number, interval in enumerate(comparison.intervals, start=1):
        title = f"exam {number} to exam {number + 1}"
        # Without edges it fits a terminal of 80 columns.
        table = Table(
            title=Text(title), title_justify="left", header_style="bold", show_edge=False, pad_edge=False
        )
        table.add_column("region", no_wrap=True)
        for name in ("lesion mL", "change", "lesion %", "points", "score", "change"):
            table.add_column(name, justify="right", no_wrap=True)
        for place, change in enumerate(interval.regions):
            scores = (
                f"{change.before.score} → {change.after.score}" if change.change_score is not None else "–"
            )
            table.add_row(
                change.after.name.removesuffix(" lobe"),
                f"{ml_text(change.before.lesion_ml)} → {ml_text(change.after.lesion_ml)}",
                signed_ml_text(change.change_ml),
                f"{percent_text(change.before.percent)} → {percent_text(change.after.percent)}",
                signed_text(change.change_points),
                scores,
                whole_text(change.change_score),
                style="bold" if change.key == "total" else "",
                end_section=place in (4, 6),
            )
        console.print(table)
        for line in certainty_lines(interval):
            console.print(Text(line))
        kinds = ", ".join(f"{count} {kind}" for kind, count in interval.counts().items() if count)
        console.print(Text(f"Lesions: {kinds or 'none'}."))
    console.print(Text(f"{RESEARCH_USE}."))
