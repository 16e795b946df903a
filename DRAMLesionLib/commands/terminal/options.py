"""Options that several commands share."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from DRAMLesionLib.lesions.reading import Reading

Json = Annotated[bool, typer.Option("--json", help="Progress, result and errors as JSON lines.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda:N or mps.")]
Out = Annotated[Path, typer.Option("--out", help="Folder for the results.")]
Lobes = Annotated[
    Path | None,
    typer.Option(help="Lobes on the CT's grid: label map, .seg.nrrd or TotalSegmentator's folder."),
]
KeepIdentifiers = Annotated[
    bool,
    typer.Option(
        "--keep-identifiers", help="Results may show a DICOM folder's name, study date and slice thickness."
    ),
]
Name = Annotated[
    str | None, typer.Option(metavar="TEXT", help="What the report calls the CT, instead of its file's name.")
]
Percent = Annotated[
    str | None,
    typer.Option(
        metavar="LUL,LLL,RUL,RML,RLL",
        help="A reader's lesion percentages, 16,65,13,4,54: the mask follows; - leaves a lobe.",
    ),
]
Score = Annotated[
    str | None,
    typer.Option(
        metavar="LUL,LLL,RUL,RML,RLL",
        help="A reader's severity scores, 2,4,2,1,4, likewise; - leaves a lobe.",
    ),
]
Who = Annotated[str, typer.Option(metavar="NAME", help="Who gave the numbers, for the record.")]
FLAGGED = 4
"""The exit code of ``--strict`` where a result has flags."""

Strict = Annotated[
    bool,
    typer.Option("--strict", help="Exit code 4 where a result should be looked at; results are written."),
]
MissingLobes = Annotated[
    bool, typer.Option("--allow-missing-lobes", help="Accept a lobe without voxels (after a lobectomy).")
]


def reading_of(percent: str | None, score: str | None, who: str) -> "Reading | None":
    """A reader's numbers from the options ``--percent``, ``--score`` and ``--who``; None where no lobe has any.

    Raises:
        InputError: They are not five numbers of the right size, or ``--who`` is given alone.
    """
    from DRAMLesionLib.lesions.reading import Reading, parse_numbers
    from DRAMLesionLib.system.errors import InputError

    given = {
        kind: parse_numbers(kind, text) for kind, text in (("percent", percent), ("score", score)) if text
    }
    reading = Reading(**given, who=who)  # type: ignore[arg-type]
    if who and not reading:
        raise InputError("--who: names a reader without numbers: give --percent or --score, too")
    return reading or None
