"""The command ``datalist``."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from DRAMLesionLib.commands.terminal.console import Reporter
from DRAMLesionLib.commands.terminal.options import Debug, Json
from DRAMLesionLib.system.files import check_output_file

Pattern = Annotated[
    list[str] | None, typer.Option(metavar="PATTERN", help="How they are called, as for --image.")
]


def datalist(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where the CTs and their lobes are.")],
    out: Annotated[Path, typer.Option("--out", help="The data list to write, .json.")],
    table: Annotated[
        Path | None,
        typer.Option(
            "--csv", help="Table: column name, and percent_LUL ... percent_RLL or score_LUL ... score_RLL."
        ),
    ] = None,
    from_labels: Annotated[
        bool,
        typer.Option(
            "--from-labels", help="Derive the percentages from lesion masks in FOLDER, for studies."
        ),
    ] = False,
    kind: Annotated[
        Literal["percent", "fraction", "score"] | None,
        typer.Option(
            help="What columns called just LUL ... RLL hold (fraction: 0..1 for percent), or what to derive from masks."
        ),
    ] = None,
    validation: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME|FRACTION", help="A case to set aside (repeat it), or a part of them such as 0.2."
        ),
    ] = None,
    image: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATTERN",
            help="How the CTs are called, without suffix; else {name}_ct or {name}/ct. Repeat it for more.",
        ),
    ] = None,
    lobes: Pattern = None,
    label: Pattern = None,
    edits: Pattern = None,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Make a data list for training from a folder of scans and a table of lobe percentages or scores.

    Lobes are called {name}_lobes or {name}/lobes, lesion masks {name}_lesion or _label, painted voxels {name}_edits.
    """
    with Reporter(json, debug) as reporter:
        check_output_file(out)
        from DRAMLesionLib.system.errors import InputError
        from DRAMLesionLib.training.data.case_table import collect, read_table, split
        from DRAMLesionLib.training.data.datalist import write_datalist

        if (table is None) == (not from_labels):
            raise InputError("give either --csv TABLE, or --from-labels to derive percentages from masks")
        if out.suffix.lower() != ".json":
            raise InputError(f"{out}: a data list is JSON: end the name in .json")
        given = {"image": image, "lobes": lobes, "label": label, "edits": edits}
        rows = None if table is None else read_table(table, kind)
        scans, notes = collect(
            folder,
            rows,
            kind="score" if kind == "score" else "percent",
            patterns={key: patterns for key, patterns in given.items() if patterns},
            progress=reporter.progress,
        )
        parts = split(scans, validation or ())
        write_datalist(out, parts)
        counts = {"training": len(parts.training), "validation": len(parts.validation)}
        reporter.result({"out": str(out), **counts, "notes": notes})
        for note in notes:
            reporter.note(f"Note: {note}")
        reporter.note(
            f"{out}: {counts['training']} scan(s) to train on, {counts['validation']} for validation"
        )
