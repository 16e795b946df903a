"""The command ``refine``."""

from pathlib import Path
from typing import Annotated, Any

import typer

from DRAMLesionLib.commands.terminal.console import Reporter
from DRAMLesionLib.commands.terminal.options import Debug, Json, KeepIdentifiers, MissingLobes
from DRAMLesionLib.system.files import check_folder


def refine(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="RESULTS|CT",
            help="Folder that segment wrote; or a CT, with its map and lobes as options.",
        ),
    ],
    edits: Annotated[
        Path | None, typer.Option(help="Painted voxels on the CT's grid: 1 lesion, 2 not lesion.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder for the results; for RESULTS else RESULTS_corrected.")
    ] = None,
    ct: Annotated[
        Path | None, typer.Option("--ct", help="For RESULTS: the CT, where it is not where it was.")
    ] = None,
    map_path: Annotated[
        Path | None, typer.Option("--map", help="For a CT: lesion map 0..1 on its grid, of any program.")
    ] = None,
    lobes: Annotated[Path | None, typer.Option(help="For a CT: its lobes, on its grid.")] = None,
    series: Annotated[str | None, typer.Option(help="UID of the DICOM series.")] = None,
    crf: Annotated[
        bool, typer.Option("--crf", help="For a CT: sharpen the map by the dense CRF first.")
    ] = False,
    threshold: Annotated[
        float | None,
        typer.Option(min=0.01, max=0.99, help="Threshold of the map; else the run's that made it, or 0.5."),
    ] = None,
    allow_missing_lobes: MissingLobes = False,
    keep_identifiers: KeepIdentifiers = False,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Correct results around painted voxels, as the correction panel does; far from them nothing changes.

    refine RESULTS --edits FILE takes map, mask, lobes and threshold from RESULTS and writes all results anew.
    """
    with Reporter(json, debug) as reporter:
        reporter.progress("Starting", 0.0)
        from DRAMLesionLib.lesions.options import Options

        reporter.expect(
            Options(with_scene=False).seconds_after({"Sharpening": 2.0, "Applying the edits": 3.0})
        )
        from DRAMLesionLib.correction.correct_results import correct_results, folder_beside, is_results

        more: dict[str, Any] = {
            "edits": edits,
            "series": series,
            "threshold": threshold,
            "keep_identifiers": keep_identifiers,
            "progress": reporter.progress,
        }
        if is_results(source):
            _refuse(
                source, "is a folder of results, which has its own", {"--map": map_path, "--lobes": lobes}
            )
            _refuse(source, "is a folder of results, whose map is sharp already", {"--crf": crf or None})
            out = folder_beside(source) if out is None else out
            check_folder(out)
            done = correct_results(source, out, ct=ct, **more)
        else:
            map_path, lobes, out = _needed(source, {"--map": map_path, "--lobes": lobes, "--out": out})
            _refuse(source, "is the CT itself", {"--ct": ct})
            check_folder(out)
            from DRAMLesionLib.correction.correct_case import correct_case

            done = correct_case(
                source, map_path, lobes, out, crf=crf, allow_missing_lobes=allow_missing_lobes, **more
            )
        reporter.result({"out": str(out), **done})
        reporter.note(f"{done['changed_voxels']} voxels changed around {done['painted_voxels']} painted ones")
        reporter.note(f"Results in {out}: {', '.join(done['files'])}")


def _refuse(source: Path, why: str, given: dict[str, Any]) -> None:
    from DRAMLesionLib.system.errors import InputError

    for option, value in given.items():
        if value is not None:
            raise InputError(f"{source}: {why}: leave out {option}")


def _needed(source: Path, given: dict[str, Path | None]) -> list[Path]:
    """The paths that a CT needs, once all of them are given."""
    from DRAMLesionLib.system.errors import InputError

    missing = [option for option, value in given.items() if value is None]
    if missing:
        kind = "a CT or its folder" if source.exists() else "no such file or folder"
        raise InputError(
            f"{source}: {kind}, not a folder of results: give {' and '.join(missing)} for a CT, or the folder that "
            "segment wrote"
        )
    return [path for path in given.values() if path is not None]
