"""The command ``batch``."""

import contextlib
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from DRAMLesionLib.commands.terminal.console import Reporter
from DRAMLesionLib.commands.terminal.options import FLAGGED, Debug, Device, Json, MissingLobes, Strict, Who
from DRAMLesionLib.system.files import check_folder
from DRAMLesionLib.system.progress import duration

if TYPE_CHECKING:
    from DRAMLesionLib.batch import BatchResult, CaseEvent

SOME_FAILED, INTERRUPTED = 3, 130
_SHOWN = 20


def batch(
    source: Annotated[
        Path,
        typer.Argument(metavar="INPUT", help="Folder of CTs (files or DICOM), or CSV: image, lobes, name."),
    ],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder for the results.")],
    lobes: Annotated[
        str | None, typer.Option(help="Lobes of each case, beside its CT: '{name}_lobes.nii.gz'.")
    ] = None,
    images: Annotated[
        str | None, typer.Option(help="Which files, '*_ct.nii.gz', or DICOM series by description, '*lung*'.")
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(min=1, help="Cases at once; else by cores and memory. One runs without Dask."),
    ] = None,
    memory: Annotated[
        float, typer.Option("--memory-per-worker", min=0.1, help="GiB that each worker needs.")
    ] = 4.0,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Of each worker; else they share the cores.")
    ] = None,
    scheduler: Annotated[
        str | None, typer.Option(help="A running Dask scheduler, tcp://HOST:8786, and its workers.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Do only what is missing, damaged, failed or changed.")
    ] = False,
    retry_poisoned: Annotated[
        bool, typer.Option("--retry-poisoned", help="With --resume: also what was set aside after crashes.")
    ] = False,
    keep_identifiers: Annotated[
        bool, typer.Option("--keep-identifiers", help="Name cases after DICOM folders; show files' names.")
    ] = False,
    timeout: Annotated[float, typer.Option(min=0, help="Minutes that a case may take; 0: any.")] = 0.0,
    model: Annotated[str | None, typer.Option(help="Name of a model of either kind, or its folder.")] = None,
    method: Annotated[
        str | None, typer.Option(help="What makes the masks: final (network) or dram (the map, cut).")
    ] = None,
    table: Annotated[
        Path | None,
        typer.Option(
            "--csv", help="Readers' numbers, which the masks follow: the table that datalist takes."
        ),
    ] = None,
    who: Who = "",
    device: Device = "auto",
    no_crf: Annotated[bool, typer.Option("--no-crf", help="Leave the maps unrefined.")] = False,
    no_scene: Annotated[
        bool, typer.Option("--no-scene", help="Write no Slicer scenes and pictures.")
    ] = False,
    allow_missing_lobes: MissingLobes = False,
    strict: Strict = False,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Segment many CTs; one bad case never stops the rest. Exit code 3: some failed."""
    with Reporter(json, debug) as reporter, _stopped_by_termination():
        check_folder(out)
        reporter.progress("Looking for the cases", 0.0)
        from DRAMLesionLib.batch import BatchOptions, Workers, segment_batch
        from DRAMLesionLib.lesions.options import Options

        if model is not None and Path(model).is_dir():
            model = str(Path(model).resolve())  # workers may have another folder to start from
        options = Options(
            model=model,
            method=method,
            device=device,
            crf=not no_crf,
            allow_missing_lobes=allow_missing_lobes,
            with_scene=not no_scene,
        )
        how = BatchOptions(
            lobes, images, resume, retry_poisoned, keep_identifiers, 60 * timeout, readings=table, who=who
        )
        result = segment_batch(
            source,
            out,
            how,
            options=options,
            workers=Workers(workers, memory, scheduler, threads=threads),
            progress=reporter.progress,
            tell=lambda event: reporter.log(_event(event)),
            expect=reporter.expect,
        )
        reporter.result(_values(result))
        for line in describe(result):
            reporter.note(line)
        if result.stopped:
            raise typer.Exit(INTERRUPTED)
        if not result.good:
            raise typer.Exit(SOME_FAILED)
        if strict and result.flagged:
            raise typer.Exit(FLAGGED)


def describe(result: "BatchResult") -> list[str]:
    """What became of a batch, for people."""
    counts = result.statuses
    head = f"{counts['done']} of {result.count} cases done"
    if result.kept:
        head += f" ({result.kept} of them before)"
    if result.flagged:
        head += f", {len(result.flagged)} to look at (see {result.out / 'report.html'})"
    bad = len(result.failures)
    if bad:
        head += f", {bad} failed"
    lines = [f"Note: {note}" for note in result.notes]
    lines.append(f"{head} in {duration(result.seconds)}")
    shown = list(result.failures.items())[:_SHOWN]
    lines += [f"  {name}: {reason}" for name, reason in shown]
    if bad > len(shown):
        lines.append(f"  and {bad - len(shown)} more: see the manifest")
    if result.stopped:
        lines.append("Stopped: go on with --resume")
    lines.append(
        f"Results in {result.out}: manifest.csv, volumes.csv, report.html, cases/; key.csv is private"
    )
    return lines


def _values(result: "BatchResult") -> dict[str, Any]:
    return {
        "out": str(result.out),
        "cases": result.count,
        "done": result.statuses["done"],
        "kept": result.kept,
        "failed": result.statuses["failed"],
        "poisoned": result.statuses["poisoned"],
        "stopped": result.stopped,
        "seconds": round(result.seconds, 1),
        "failures": result.failures,
        "flagged": result.flagged,
        "notes": result.notes,
    }


def _event(event: "CaseEvent") -> dict[str, Any]:
    remaining = event.remaining_s
    return {
        "event": "case",
        "case": event.outcome.case,
        "status": event.outcome.status,
        "kept": event.outcome.kept,
        "seconds": event.outcome.seconds,
        "reason": event.outcome.reason,
        "ended": event.ended,
        "cases": event.count,
        "remaining_s": None if remaining is None else round(remaining),
    }


@contextlib.contextmanager
def _stopped_by_termination() -> Iterator[None]:
    """Clusters end a job by SIGTERM: end the batch as Ctrl-C does."""

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    try:
        before = signal.signal(signal.SIGTERM, stop)
    except ValueError:  # not the main thread: then nobody sends it signals
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
