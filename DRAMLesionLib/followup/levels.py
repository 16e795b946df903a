"""Slices of two dates at the same level of the lungs: each CT as it is, and what differs, on the earlier one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from DRAMLesionLib.followup.exam import Images

if TYPE_CHECKING:
    import SimpleITK as sitk

NOTHING, BOTH, NEW, RESOLVED = 0, 1, 2, 3
"""Values of a level's difference."""
_POINTS = 400


@dataclass(frozen=True, eq=False)
class Level:
    """One slice of the earlier exam, and the slice of the later one at the same level.

    Arrays have their rows from the top of the picture to its bottom and the patient's right on the left.

    Attributes:
        before_hu: HU of the earlier exam, shape (rows, columns).
        before_lesion: bool, its lesion, the same shape.
        difference: uint8 of the same shape: lesion at both dates, at the later one alone, at the earlier one alone.
        before_size_mm: Height and width of the earlier slice.
        before_label: For people: ``axial 46/120``.
        after_hu: HU of the later exam's own slice, of its own shape.
        after_lesion: bool, its lesion.
        after_size_mm: Height and width of the later slice.
        after_label: For people.
    """

    before_hu: np.ndarray
    before_lesion: np.ndarray
    difference: np.ndarray
    before_size_mm: tuple[float, float]
    before_label: str
    after_hu: np.ndarray
    after_lesion: np.ndarray
    after_size_mm: tuple[float, float]
    after_label: str


def matched_levels(
    before: Images,
    after: Images,
    forward: sitk.Transform,
    grid: sitk.Image,
    shown: tuple[np.ndarray, np.ndarray],
    counts: tuple[int, int] = (4, 2),
) -> tuple[Level, ...]:
    """Levels that show the lesion of both dates: axial ones from superior to inferior, then coronal ones to posterior.

    Args:
        before: The earlier exam.
        after: The later exam.
        forward: From points of the earlier exam to those of the later one.
        grid: A grid along the axes of the earlier exam.
        shown: bool (z, y, x) on that grid: where either date has lesion, and the lungs of the earlier exam.
        counts: How many axial and coronal levels at most.
    """
    from DRAMLesionLib.results.report.slices import spread_slices

    to_index = np.linalg.inv(before.matrix)
    levels = []
    for axis, count in enumerate(counts):
        numbers = []
        for place in spread_slices(*shown, axis, count):
            index = [0.0, 0.0, 0.0]
            index[2 - axis] = place
            point = (*grid.TransformContinuousIndexToPhysicalPoint(index), 1.0)
            numbers.append(round(float((to_index @ point)[2 - axis])))
        numbers = sorted(
            {number for number in numbers if 0 <= number < before.hu.shape[axis]}, reverse=axis == 0
        )
        levels += [_level(before, after, forward, axis, number) for number in numbers]
    return tuple(levels)


def _level(before: Images, after: Images, forward: sitk.Transform, axis: int, number: int) -> Level:
    later = _same_level(before, after, forward, axis, number)
    moved = _moved_lesion(before, after, forward, axis, number)
    mine = _plane(before.lesion, axis, number)
    difference = np.where(mine & moved, BOTH, np.where(moved, NEW, np.where(mine, RESOLVED, NOTHING)))
    return Level(
        before_hu=_plane(before.hu, axis, number),
        before_lesion=mine,
        difference=difference.astype(np.uint8),
        before_size_mm=_size_mm(before, axis),
        before_label=_label(before, axis, number),
        after_hu=_plane(after.hu, axis, later),
        after_lesion=_plane(after.lesion, axis, later),
        after_size_mm=_size_mm(after, axis),
        after_label=_label(after, axis, later),
    )


def _same_level(before: Images, after: Images, forward: sitk.Transform, axis: int, number: int) -> int:
    """The slice of the later exam where the lungs of a slice of the earlier one lie on average."""
    inside = np.argwhere(np.take(before.lobes, number, axis=axis) > 0)
    if not len(inside):
        return min(number, after.hu.shape[axis] - 1)
    inside = inside[:: max(1, len(inside) // _POINTS)]
    index = np.insert(inside, axis, number, axis=1)[:, ::-1]
    points = index @ before.matrix[:3, :3].T + before.matrix[:3, 3]
    there = np.array([forward.TransformPoint(point) for point in points.tolist()])
    to_index = np.linalg.inv(after.matrix)
    mean = float((there @ to_index[:3, :3].T + to_index[:3, 3])[:, 2 - axis].mean())
    return int(np.clip(round(mean), 0, after.hu.shape[axis] - 1))


def _moved_lesion(
    before: Images, after: Images, forward: sitk.Transform, axis: int, number: int
) -> np.ndarray:
    """bool (rows, columns): the later exam's lesion on a slice of the earlier one."""
    import SimpleITK as sitk

    size = list(before.hu.shape[::-1])
    start = [0, 0, 0]
    size[2 - axis], start[2 - axis] = 1, number
    first = (before.matrix @ (*start, 1.0))[:3]
    spacing = before.spacing_mm[::-1]
    plane = sitk.Image(size, sitk.sitkUInt8)
    plane.SetSpacing(spacing)
    plane.SetOrigin(first.tolist())
    plane.SetDirection((before.matrix[:3, :3] / spacing).ravel().tolist())
    lesion = after.image(after.lesion.astype(np.uint8))
    moved = sitk.GetArrayFromImage(sitk.Resample(lesion, plane, forward, sitk.sitkNearestNeighbor, 0))
    return _plane(moved > 0, axis, 0)


def _plane(array: np.ndarray, axis: int, number: int) -> np.ndarray:
    plane = np.take(array, number, axis=axis)
    return plane if axis == 0 else plane[::-1]


def _size_mm(images: Images, axis: int) -> tuple[float, float]:
    rows, columns = (i for i in range(3) if i != axis)
    lengths = [n * step for n, step in zip(images.hu.shape, images.spacing_mm, strict=True)]
    return lengths[rows], lengths[columns]


def _label(images: Images, axis: int, number: int) -> str:
    if axis == 0:
        return f"axial {images.first_slice + number + 1}/{images.slices}"
    index = (np.array(images.hu.shape[::-1]) - 1) / 2
    index[1] = number
    value = float((images.matrix @ (*index, 1.0))[1])
    return f"coronal {'P' if value >= 0 else 'A'} {abs(value):.0f} mm"
