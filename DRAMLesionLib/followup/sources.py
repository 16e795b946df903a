"""Dates that are given as folders of results or as CTs: a CT is segmented first, as ``segment`` does it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from DRAMLesionLib.case import segment_case
from DRAMLesionLib.followup.comparison import (
    Comparison,
    check_days,
    check_distinct,
    check_out,
    compare,
    comparing_seconds,
)
from DRAMLesionLib.images.paths import exists
from DRAMLesionLib.lesions.options import Options
from DRAMLesionLib.results.folder import is_results, results_in
from DRAMLesionLib.system.errors import InputError
from DRAMLesionLib.system.progress import Progress, silent

_WRITING = "Writing the comparison"


def compare_sources(
    sources: Sequence[str | Path],
    out: str | Path,
    *,
    cts: Sequence[str | Path | None] = (),
    days: Sequence[float] = (),
    coarser: float = 1.0,
    options: Options | None = None,
    progress: Progress = silent,
) -> Comparison:
    """Compare dates, and write report and tables.

    Args:
        sources: For each date a folder of results, or a CT (a file or a DICOM folder), in order of time.
        out: The folder for report and tables; results of CTs go to ``exam_1``, ``exam_2`` and so on inside it, and stay
            there where the comparison is refused.
        cts: The CT of each folder of results, in order; None where the results say where it is.
        days: For each date the days since the first, rising; none where they are not known.
        coarser: Factor on the voxel sizes of the registration; 2 is about six times as fast and less fine.
        options: How to segment; no scene and no DICOM are written.
        progress: Told the stage and how much of it is done.

    Raises:
        InputError: Something that was given can't be used.
    """
    if len(sources) < 2:
        raise InputError("one exam alone: give at least two, the earliest first")
    check_out(out)
    check_distinct(sources)
    check_days(days, len(sources))
    options = _without_scene(options or Options())
    places = list(cts) or [None] * len(sources)
    if len(places) != len(sources):
        raise InputError(f"{len(places)} CTs for {len(sources)} exams: give one for each, in order")
    for source in sources:
        _check_source(Path(source))
    _check_own_folders(sources, Path(out))
    folders: list[Path] = []
    for number, source in enumerate(map(Path, sources), start=1):
        if is_results(source):
            folders.append(source)
            continue
        folder = _own_folder(Path(out), number)

        def told(stage: str, fraction: float, number: int = number) -> None:
            progress(_of_exam(number, stage), fraction)

        segment_case(source, folder, options, progress=told)
        folders.append(folder)
        places[number - 1] = source
    comparison = compare(
        *folders,
        cts=places,
        days=days,
        coarser=coarser,
        keep_identifiers=options.keep_identifiers,
        progress=progress,
    )
    progress(_WRITING, 0.0)
    comparison.save(out)
    return comparison


def usual_seconds(sources: Sequence[str | Path], options: Options, coarser: float = 1.0) -> dict[str, float]:
    """The stages of comparing sources, in their order, and the seconds that each usually takes on one core.

    Args:
        sources: As :func:`compare_sources` takes them.
        options: How CTs are segmented.
        coarser: Factor on the voxel sizes of the registration.
    """
    stages = {"Starting": 0.5}
    segmenting = _without_scene(options).seconds()
    del segmenting["Starting"]
    for number, source in enumerate(sources, start=1):
        if not is_results(source):
            stages |= {_of_exam(number, stage): seconds for stage, seconds in segmenting.items()}
    return stages | comparing_seconds(len(sources), coarser) | {_WRITING: 2.5}


def _without_scene(options: Options) -> Options:
    return replace(options, with_scene=False, dicom_seg=False)


def _of_exam(number: int, stage: str) -> str:
    """What a stage of segmenting one of the exams is called; ``number`` counts from 1."""
    return f"Exam {number}: {stage[:1].lower()}{stage[1:]}"


def _own_folder(out: Path, number: int) -> Path:
    """Where the results of a CT go that is segmented first; ``number`` counts from 1."""
    return out / f"exam_{number}"


def _check_own_folders(sources: Sequence[str | Path], out: Path) -> None:
    """Refuse to segment a CT into a folder of results that is another exam of this comparison."""
    results = [Path(source).resolve() for source in sources if is_results(source)]
    for number, source in enumerate(sources, start=1):
        folder = _own_folder(out, number).resolve()
        if not is_results(source) and folder in results:
            raise InputError(
                f"{folder}: the results of {source} would replace an exam that was given: give another --out"
            )


def _check_source(source: Path) -> None:
    """Refuse what is neither a whole folder of results nor there at all, before anything long begins."""
    if not exists(source):
        raise InputError(f"{source}: no such file or folder: check the path")
    left = results_in(source) if source.is_dir() and not is_results(source) else []
    if left:
        raise InputError(
            f"{source}: results without a whole summary (there is {', '.join(left[:3])}): segment the CT again"
        )
