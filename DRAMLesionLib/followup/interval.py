"""One exam and the next one compared: lungs registered, lesions and slices matched."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from DRAMLesionLib.followup.changes import RegionChange, changes_between, flags_between
from DRAMLesionLib.followup.density import DensityChange, density_change
from DRAMLesionLib.followup.exam import Exam, Images
from DRAMLesionLib.followup.levels import Level, matched_levels
from DRAMLesionLib.followup.matching import KINDS, LesionChange, find_lesions, match_lesions
from DRAMLesionLib.followup.registration import Quality, Registration, grid_about, register_lungs
from DRAMLesionLib.lesions.quality import Flag
from DRAMLesionLib.lungs.lobes import LOBES
from DRAMLesionLib.system.progress import Progress, silent

if TYPE_CHECKING:
    import SimpleITK as sitk

MATCHING_LESIONS, MATCHING_SLICES = "Matching the lesions", "Matching the slices"
"""Stages that are told."""
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
        density_limit_hu: What counts as a change of density, in HU: see :mod:`DRAMLesionLib.followup.density`.
        flags: What should be looked at before the changes are used.
        levels: Matched slices, for pictures.
    """

    regions: tuple[RegionChange, ...]
    lesions: tuple[LesionChange, ...]
    small: tuple[tuple[int, float], tuple[int, float]]
    registration: Quality
    density_limit_hu: float
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


def compare_exams(
    exams: Sequence[Exam],
    images: tuple[Images, Images],
    names: tuple[str, str],
    *,
    coarser: float = 1.0,
    progress: Progress = silent,
) -> Interval:
    """Compare two dates whose images are there.

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
    progress(MATCHING_LESIONS, 0.0)
    grid = grid_about(before, MATCHING_MM)
    labels, lesions, small = zip(*(find_lesions(one) for one in images), strict=True)
    placed = _on_grid(images, labels, grid, registration)
    spacing = grid.GetSpacing()[::-1]
    covered = _covered(images, grid, registration)
    masks = tuple(one > 0 for one in _on_grid(images, [one.lesion for one in images], grid, registration))
    lobes = _on_grid((before, before), (before.lobes, before.lobes), grid, None)[0]
    shown = (masks[0] | masks[1], lobes > 0)
    density = density_change(images, registration.forward, grid, shown[0])
    changes = match_lesions(*placed, spacing, lesions, covered, (density.denser, density.less_dense))
    quality = registration.quality
    progress(MATCHING_SLICES, 0.0)
    return Interval(
        regions=changes_between(exams[0], exams[1], _confirmed(density, masks, lobes, MATCHING_MM**3 / 1000)),
        lesions=changes,
        density_limit_hu=density.limit_hu,
        small=small,
        registration=quality,
        flags=flags_between(exams[0], exams[1], quality.correlation, quality.inverse_error_mm_95),
        levels=matched_levels(before, after, registration.forward, grid, shown),
    )


def _confirmed(
    density: DensityChange, masks: Sequence[np.ndarray], lobes: np.ndarray, voxel_ml: float
) -> dict[str, tuple[float, float]]:
    """By a region's key the mL that it gained and lost: lesion of one date alone where the density changed likewise."""
    gained, lost = (
        np.bincount(lobes[there].ravel(), minlength=len(LOBES) + 1) * voxel_ml
        for there in (masks[1] & ~masks[0] & density.denser, masks[0] & ~masks[1] & density.less_dense)
    )
    found = {}
    for key in (*(lobe.abbreviation for lobe in LOBES), "left", "right", "total"):
        values = [lobe.value for lobe in LOBES if key in (lobe.abbreviation, lobe.side, "total")]
        found[key] = (float(gained[values].sum()), float(lost[values].sum()))
    return found


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
