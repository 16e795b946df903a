"""The command ``view``."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from DRAMLesionLib.commands.terminal.console import Reporter
from DRAMLesionLib.commands.terminal.options import Debug, Json, KeepIdentifiers


def view(
    what: Annotated[
        Path,
        typer.Argument(
            metavar="WHAT", help="Folder that segment or batch wrote, or a CT: file or DICOM folder."
        ),
    ],
    ct: Annotated[
        Path | None, typer.Option("--ct", help="The CT of the results, where it lies elsewhere now.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder for corrected results: RESULTS_corrected.")
    ] = None,
    training: Annotated[
        Path | None, typer.Option("--training", help="Folder for accepted cases, beside the results.")
    ] = None,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Print the address alone.")] = False,
    host: Annotated[
        str, typer.Option(help="Where to listen; others reach another than loopback.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0 takes a free one.", min=0, max=65535)] = 0,
    idle_minutes: Annotated[
        float, typer.Option(help="End after so many minutes without a tab; 0 for never.", min=0)
    ] = 0.0,
    keep_identifiers: KeepIdentifiers = False,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Read, steer and correct results in the browser, as in Slicer's panel; a CT is segmented first."""
    with Reporter(json, debug) as reporter:
        from DRAMLesionLib.view.available import check, go_there
        from DRAMLesionLib.view.cases import entries_of
        from DRAMLesionLib.view.server import Listening, serve

        go_there(sys.argv[1:])
        check()
        entries = entries_of(what, ct=ct, out=out, training=training, keep_identifiers=keep_identifiers)

        def told(address: str) -> None:
            reporter.result({"address": address})
            if not json:
                reporter.console.print(f"Open {address}", soft_wrap=True, highlight=False)
                reporter.console.print("Ctrl+C ends it; so does the button at the upper right of the page.")

        serve(entries, Listening(host, port, not no_browser, idle_minutes), told)
