"""Two or more dates of one patient compared: what changed in each lobe, and what became of each lesion."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from DRAMLesionLib.followup.changes import RegionChange, changes_between, flags_between
from DRAMLesionLib.followup.exam import Exam, Images, read_exam
from DRAMLesionLib.followup.levels import Level, matched_levels
from DRAMLesionLib.followup.matching import KINDS, LesionChange, find_lesions, match_lesions
from DRAMLesionLib.followup.registration import Quality, Registration, grid_about, register_lungs
from DRAMLesionLib.lesions.quality import Flag
from DRAMLesionLib.results.folder import SUMMARY, is_results
from DRAMLesionLib.system.errors import InputError
from DRAMLesionLib.system.progress import Progress, silent

if TYPE_CHECKING:
    import SimpleITK as sitk

MATCHING_MM = 2.0
"""Voxel size of the grid on which lesions of two dates are matched."""


@dataclass(frozen=True, eq=False)
class Interval:
    """What happened between an exam and the next one.

    Attributes:
        regions: The lobes, the lungs and the total, in the order of the table.
        lesions: What became of the lesions.
        small: Number and volume (mL) of lesions too small to be followed, of the earlier and of the later exam.
        registration: How well the lungs lie on each other.
        flags: What should be looked at before the changes are used.
        levels: Matched slices, for pictures.
    """

    regions: tuple[RegionChange, ...]
    lesions: tuple[LesionChange, ...]
    small: tuple[tuple[int, float], tuple[int, float]]
    registration: Quality
    flags: tuple[Flag, ...]
    levels: tuple[Level, ...]

    @property
    def total(self) -> RegionChange:
        """Both lungs together."""
        return self.regions[-1]

    def counts(self) -> dict[str, int]:
        """How many lesions of each of :data:`~DRAMLesionLib.followup.matching.KINDS`."""
        kinds = [lesion.kind for lesion in self.lesions]
        return {kind: kinds.count(kind) for kind in KINDS}


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
    def since_baseline(self) -> tuple[tuple[RegionChange, ...], ...]:
        """The changes of each later exam against the first."""
        return tuple(changes_between(self.exams[0], exam) for exam in self.exams[1:])

    @property
    def table(self) -> list[dict[str, str | int | float | None]]:
        """The rows of ``changes.csv``: one for each exam and region."""
        from DRAMLesionLib.followup.tables import change_rows

        return change_rows(self)

    @property
    def lesions(self) -> list[dict[str, str | int | float | None]]:
        """The rows of ``lesions.csv``: one for each lesion, or group of lesions, of each interval."""
        from DRAMLesionLib.followup.tables import lesion_rows

        return lesion_rows(self)

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
        from DRAMLesionLib.followup.page import save_comparison

        check_out(folder)
        save_comparison(self, Path(folder))

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
    progress("Reading the results", 0.0)
    for number, (exam, images) in enumerate(dates):
        progress("Reading the results", (number + 1) / len(names))
        exams.append(replace(exam, days=float(days[number]) if days else None))
        if earlier is not None:
            pair = (names[number - 1], names[number])
            intervals.append(
                compare_exams(exams[-2:], (earlier, images), pair, coarser=coarser, progress=progress)
            )
        earlier = images
    return Comparison(tuple(exams), tuple(intervals))


def compare_exams(
    exams: Sequence[Exam],
    images: tuple[Images, Images],
    names: tuple[str, str],
    *,
    coarser: float = 1.0,
    progress: Progress = silent,
) -> Interval:
    """Compare two dates whose images are there; see :func:`compare`.

    Args:
        exams: The numbers of the earlier and of the later exam.
        images: Their images.
        names: What to call them in errors.
        coarser: Factor on the voxel sizes of the registration.
        progress: Told the stage and how much of it is done.

    Raises:
        InputError: The two do not fit each other.
    """
    before, after = images
    registration = register_lungs(before, after, names, coarser=coarser, progress=progress)
    progress("Matching the lesions", 0.0)
    grid = grid_about(before, MATCHING_MM)
    labels, lesions, small = zip(*(find_lesions(one) for one in images), strict=True)
    placed = _on_grid(images, labels, grid, registration)
    spacing = grid.GetSpacing()[::-1]
    covered = _covered(images, grid, registration)
    changes = match_lesions(*placed, spacing, lesions, covered)
    quality = registration.quality
    progress("Matching the slices", 0.0)
    masks = _on_grid(images, tuple(one.lesion for one in images), grid, registration)
    lungs = _on_grid((before, before), (before.lobes, before.lobes), grid, None)[0] > 0
    shown = ((masks[0] > 0) | (masks[1] > 0), lungs)
    return Interval(
        regions=changes_between(exams[0], exams[1]),
        lesions=changes,
        small=small,
        registration=quality,
        flags=flags_between(exams[0], exams[1], quality.correlation, quality.inverse_error_mm_95),
        levels=matched_levels(before, after, registration.forward, grid, shown),
    )


def _on_grid(
    images: tuple[Images, Images],
    arrays: Sequence[np.ndarray],
    grid: sitk.Image,
    registration: Registration | None,
) -> tuple[np.ndarray, np.ndarray]:
    """Labels of both dates on a grid of the earlier one, each voxel the nearest label: int32 (z, y, x)."""
    import SimpleITK as sitk

    maps = (sitk.Transform(), registration.forward if registration else sitk.Transform())
    one, other = (
        sitk.GetArrayFromImage(
            sitk.Resample(date.image(array.astype(np.int32)), grid, way, sitk.sitkNearestNeighbor, 0)
        )
        for date, array, way in zip(images, arrays, maps, strict=True)
    )
    return one, other


def _covered(
    images: tuple[Images, Images], grid: sitk.Image, registration: Registration
) -> tuple[np.ndarray, np.ndarray]:
    """bool (z, y, x): what of a grid of the earlier exam lies inside the field of view of each CT."""
    import SimpleITK as sitk

    inside = []
    for date, way in zip(images, (sitk.Transform(), registration.forward), strict=True):
        first, last = date.field_of_view
        spacing = date.spacing_mm[::-1]
        pieces = 4
        step = (last - first + 1) / pieces
        block = sitk.Image([pieces] * 3, sitk.sitkUInt8) + 1
        block.SetSpacing((step * spacing).tolist())
        block.SetDirection((date.matrix[:3, :3] / spacing).ravel().tolist())
        block.SetOrigin((date.matrix[:3, :3] @ (first - 0.5 + step / 2) + date.matrix[:3, 3]).tolist())
        inside.append(
            sitk.GetArrayFromImage(sitk.Resample(block, grid, way, sitk.sitkNearestNeighbor, 0)) > 0
        )
    return inside[0], inside[1]


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
    if not days:
        return
    rising = all(later > earlier for earlier, later in pairwise(days))
    if len(days) != count or not rising or not np.isfinite(days).all():
        shown = ", ".join(f"{day:g}" for day in days)
        raise InputError(f"days {shown}: give one for each of the {count} exams, rising, such as 0,14")


def check_out(folder: str | Path) -> None:
    """Refuse to write a comparison over the results of a CT.

    Raises:
        InputError: The folder holds some.
    """
    if is_results(folder):
        raise InputError(
            f"{folder}: holds the results of a CT ({SUMMARY}): give another folder for the comparison"
        )
