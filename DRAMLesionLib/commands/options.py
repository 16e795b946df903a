"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="Progress, result and errors as JSON lines.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda:N or mps.")]
Out = Annotated[Path, typer.Option("--out", help="Folder for the results.")]
Lobes = Annotated[
    Path | None,
    typer.Option(help="Lobes on the CT's grid: label map, .seg.nrrd or TotalSegmentator's folder."),
]
KeepIdentifiers = Annotated[
    bool, typer.Option("--keep-identifiers", help="Results may show the name of a DICOM folder.")
]
MissingLobes = Annotated[
    bool, typer.Option("--allow-missing-lobes", help="Accept a lobe without voxels (after a lobectomy).")
]
