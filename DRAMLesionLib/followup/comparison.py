"""Two or more dates of one patient compared: what changed in each lobe, and what became of each lesion."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np

from DRAMLesionLib.followup import page, tables
from DRAMLesionLib.followup.exam import Exam, Images, read_exam
from DRAMLesionLib.followup.interval import MATCHING_LESIONS, MATCHING_SLICES, Interval, compare_exams
from DRAMLesionLib.followup.matching import KINDS
from DRAMLesionLib.followup.registration import REGISTERING
from DRAMLesionLib.lesions.quality import Flag
from DRAMLesionLib.results.folder import SUMMARY, is_results
from DRAMLesionLib.system.errors import InputError
from DRAMLesionLib.system.progress import Progress, silent


@dataclass(frozen=True, eq=False)
class Comparison:
    """Two or more dates of one patient.

    Attributes:
        exams: The dates, in the order they were given.
        intervals: Between each exam and the next.
    """

    exams: tuple[Exam, ...]
    intervals: tuple[Interval, ...]

    @property
    def table(self) -> list[tables.Row]:
        """The rows of ``changes.csv``: one for each exam and region."""
        return tables.change_rows(self.exams, self.intervals)

    @property
    def lesions(self) -> list[tables.Row]:
        """The rows of ``lesions.csv``: one for each lesion, or group of lesions, of each interval."""
        return tables.lesion_rows(self.intervals)

    @property
    def summary(self) -> dict[str, Any]:
        """What ``summary.json`` holds; JSON values only."""
        return tables.summary(self.exams, self.intervals)

    @property
    def flags(self) -> tuple[Flag, ...]:
        """What should be looked at, of all intervals."""
        return tuple(flag for interval in self.intervals for flag in interval.flags)

    def save(self, folder: str | Path) -> None:
        """Write ``report.html``, ``summary.json``, ``changes.csv`` and ``lesions.csv``, all of them or none.

        Args:
            folder: It is created; an earlier comparison in it is replaced, other files stay.

        Raises:
            InputError: The folder holds the results of a CT, which would be overwritten.
            OutputError: It can't be written.
        """
        check_out(folder)
        page.save(self.exams, self.intervals, Path(folder))

    def __repr__(self) -> str:
        first, last = (self.exams[place].quantification.total for place in (0, -1))
        kinds = [f"{number} {kind}" for kind, number in self._all_counts().items() if number]
        return (
            f"Comparison of {len(self.exams)} exams: lesion {first.lesion_ml:.1f} to {last.lesion_ml:.1f} mL, "
            f"score {first.score} to {last.score}; lesions: {', '.join(kinds) or 'none'}"
        )

    def _all_counts(self) -> dict[str, int]:
        counted = [interval.counts() for interval in self.intervals]
        return {kind: sum(one[kind] for one in counted) for kind in KINDS}


def compare(
    baseline: str | Path,
    followup: str | Path,
    *more: str | Path,
    cts: Sequence[str | Path | None] = (),
    days: Sequence[float] = (),
    coarser: float = 1.0,
    keep_identifiers: bool = False,
    progress: Progress = silent,
) -> Comparison:
    """Compare the results of two or more dates, each with the one before it and with the first.

    Args:
        baseline: The first date's folder of results, as ``segment`` wrote it.
        followup: The next date's.
        *more: Later dates', in order.
        cts: The CT of each date, in order; None, or nothing at all, where the results say where it is.
        days: For each date the days since the first, rising from 0; none where they are not known.
        coarser: Factor on the voxel sizes of the registration; 2 is about six times as fast and less fine.
        keep_identifiers: Exams may be named after DICOM folders.
        progress: Told the stage and how much of it is done.

    Returns:
        The comparison; its ``save`` writes report and tables.

    Raises:
        InputError: A folder lacks something, one is given twice, or two dates do not fit each other.
    """
    folders = (baseline, followup, *more)
    check_distinct(folders)
    check_days(days, len(folders))
    given = tuple(cts) or (None,) * len(folders)
    if len(given) != len(folders):
        raise InputError(
            f"{len(given)} CTs for {len(folders)} folders of results: give one for each, in order"
        )
    read = (
        read_exam(folder, ct, keep_identifiers=keep_identifiers)
        for folder, ct in zip(folders, given, strict=True)
    )
    return compare_dates(read, [str(folder) for folder in folders], days, coarser=coarser, progress=progress)


def compare_dates(
    dates: Iterable[tuple[Exam, Images]],
    names: Sequence[str],
    days: Sequence[float] = (),
    *,
    coarser: float = 1.0,
    progress: Progress = silent,
) -> Comparison:
    """Compare dates that are in memory, or read when their turn comes; see :func:`compare`.

    Args:
        dates: Numbers and images of each date, in the order of time.
        names: What to call each in errors.
        days: For each date the days since the first; none where they are not known.
        coarser: Factor on the voxel sizes of the registration.
        progress: Told the stage and how much of it is done.

    Raises:
        InputError: Two dates do not fit each other.
    """
    exams: list[Exam] = []
    intervals: list[Interval] = []
    earlier: Images | None = None
    progress(_reading(1), 0.0)
    for number, (exam, images) in enumerate(dates):
        progress(_reading(number + 1), 1.0)
        exams.append(replace(exam, days=float(days[number]) if len(days) else None))
        if earlier is not None:
            pair = (names[number - 1], names[number])

            def told(stage: str, fraction: float, number: int = number) -> None:
                progress(_of_interval(stage, number), fraction)

            intervals.append(
                compare_exams(exams[-2:], (earlier, images), pair, coarser=coarser, progress=told)
            )
        earlier = images
        if number + 1 < len(names):
            progress(_reading(number + 2), 0.0)
    return Comparison(tuple(exams), tuple(intervals))


def comparing_seconds(count: int, coarser: float = 1.0) -> dict[str, float]:
    """The stages of comparing exams that are there, in their order, and the seconds that each usually takes.

    Args:
        count: How many exams.
        coarser: Factor on the voxel sizes of the registration.
    """
    stages = {_reading(1): 1.5}
    for number in range(1, count):
        stages |= {_reading(number + 1): 1.5, _of_interval(REGISTERING, number): 17.0 / coarser**2.6}
        stages |= {_of_interval(MATCHING_LESIONS, number): 1.5, _of_interval(MATCHING_SLICES, number): 0.5}
    return stages


def _reading(number: int) -> str:
    """``number`` counts exams from 1."""
    return f"Reading the results of exam {number}"


def _of_interval(stage: str, number: int) -> str:
    """What a stage between exam ``number`` and the next one is called; ``number`` counts from 1."""
    return f"{stage} of exams {number} and {number + 1}"


def check_distinct(folders: Sequence[str | Path]) -> None:
    """Refuse a date that is given twice.

    Raises:
        InputError: One is.
    """
    seen: set[Path] = set()
    for folder in folders:
        whole = Path(folder).resolve()
        if whole in seen:
            raise InputError(f"{folder}: is given twice: give another date")
        seen.add(whole)


def check_days(days: Sequence[float], count: int) -> None:
    """Refuse days that do not belong to the exams.

    Raises:
        InputError: There is not one for each exam, or they do not rise.
    """
    wanted = f"give one for each of the {count} exams, rising, such as 0,14"
    if not isinstance(days, Sequence | np.ndarray) or isinstance(days, str):
        raise InputError(f"days {days}: {wanted}")
    if not all(isinstance(day, Real) for day in days):
        raise InputError(f"days {', '.join(map(str, days))}: these are no numbers: {wanted}")
    rising = all(later > earlier for earlier, later in pairwise(days))
    if len(days) and (len(days) != count or not rising or not np.isfinite(days).all()):
        raise InputError(f"days {', '.join(f'{day:g}' for day in days)}: {wanted}")


def check_out(folder: str | Path) -> None:
    """Refuse to write a comparison over the results of a CT.

    Raises:
        InputError: The folder holds some.
    """
    if is_results(folder):
        raise InputError(
            f"{folder}: holds the results of a CT ({SUMMARY}): give another folder for the comparison"
        )
