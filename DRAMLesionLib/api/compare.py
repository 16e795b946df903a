"""Compare two or more dates of one patient, as results in memory or as folders."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from DRAMLesionLib.api.result import Result
from DRAMLesionLib.followup.comparison import Comparison, check_days, check_distinct, compare_dates
from DRAMLesionLib.followup.exam import Exam, images_of, read_exam
from DRAMLesionLib.results.table import made_by
from DRAMLesionLib.system.errors import InputError
from DRAMLesionLib.system.progress import Progress, silent

if TYPE_CHECKING:
    from DRAMLesionLib.followup.exam import Images


def compare(
    baseline: Result | str | Path,
    followup: Result | str | Path,
    *more: Result | str | Path,
    days: Sequence[float] = (),
    coarser: float = 1.0,
    progress: Progress | None = None,
) -> Comparison:
    """Compare dates of one patient: lungs are registered, lesions matched, changes measured lobe by lobe.

    Args:
        baseline: The first date: a result, or a folder that ``save`` or a command wrote.
        followup: The next date.
        *more: Later dates, in order.
        days: For each date the days since the first, rising from 0; none where they are not known.
        coarser: Factor on the voxel sizes of the registration; 2 is about six times as fast and less fine.
        progress: Told the stage and how much of it is done.

    Returns:
        The comparison: ``table`` has a row for each date and region, ``lesions`` what became of each lesion, ``flags``
        what to look at, and ``save(folder)`` writes page and tables.

    Raises:
        InputError: A date is neither a result nor a folder, or is given twice; a folder lacks something; or two
            dates do not fit each other.
    """
    dates = (baseline, followup, *more)
    for number, date in enumerate(dates, 1):
        _check_kind(date, number)
    results = [date for date in dates if isinstance(date, Result)]
    if len({id(result) for result in results}) < len(results):
        raise InputError("one result is given twice: give each date once, the earliest first")
    check_distinct([date for date in dates if not isinstance(date, Result)])
    check_days(days, len(dates))
    names = [_name(date, number) for number, date in enumerate(dates, 1)]
    return compare_dates(map(_read, dates), names, days, coarser=coarser, progress=progress or silent)


def _check_kind(date: object, number: int) -> None:
    if not isinstance(date, Result | str | Path):
        raise InputError(
            f"exam {number}: is a {type(date).__name__}: give a result of segment, or the folder that it was saved to; "
            "each date on its own, as compare(first, second)"
        )


def _name(date: Result | str | Path, number: int) -> str:
    return f"exam {number} ({date.findings.ct.name})" if isinstance(date, Result) else str(date)


def _read(date: Result | str | Path) -> tuple[Exam, Images]:
    if not isinstance(date, Result):
        return read_exam(date)
    ct, lobes = date.findings.ct, date.findings.lobes
    if not lobes.labels.any():
        raise InputError(f"{ct.name}: this result has no lung: segment the CT again with lobes")
    summary = date.summary
    exam = Exam(
        name=str(summary["ct"]),
        quantification=date.findings.quantification,
        approximate=lobes.approximate,
        spacing_mm=ct.spacing_mm,
        flags=date.flags,
        made_by=made_by(summary, lobes),
    )
    return exam, images_of(ct, lobes.labels, date.lesion)
