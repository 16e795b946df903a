"""The lungs of two dates brought onto each other: by their shape first, then by what lies in them, and both ways.

Shape: an affine map and then a diffeomorphic demons field between distance maps of the lungs. Contents: diffeomorphic
demons (T. Vercauteren et al., Diffeomorphic demons: Efficient non-parametric image registration, NeuroImage
2009;45:S61-S72) between the densities, from which lesions are taken out first: a lesion that came or went would be
squeezed or blown up otherwise. The way back is computed on its own, not inverted, so that the two check each other.
Nothing is drawn by chance, and sums are always made in the same number of parts: the same pair gives the same result.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from DRAMLesionLib.followup.exam import Images
from DRAMLesionLib.system.errors import InputError
from DRAMLesionLib.system.progress import Progress, silent

if TYPE_CHECKING:
    import SimpleITK as sitk

REGISTERING = "Registering the lungs"
"""The stage that is told."""
SHAPE_MM, CONTENTS_MM = 4.0, 3.0
"""Voxel size of the two steps."""
LEAST_DICE = 0.90
"""Dice coefficient of the lungs after registration. Lungs of 4.5 L have a surface of about 0.22 m2: surfaces that lie
4 mm apart, the tolerance of matching lesions, give 1 - 0.22 m2 * 4 mm / (2 * 4.5 L) = 0.90."""
LEAST_AFFINE_DICE = 0.60
"""Less than this after the affine map, and the two are not the same part of a body: bent to fit, they would fit."""
MOST_INFLATION = 2.5
"""Ratio of the lungs' volumes: a breath held out to one held in is about 2 (functional residual to total capacity)."""
MOST_STRETCH = 1.8
"""Largest and inverse smallest stretch of the affine map: chests of one adult differ by far less."""
WORK_UNITS = 4
"""Parts of each sum, whatever the machine: the order of a sum is seen in its last digits."""
_AFFINE_ITERATIONS = 150
_SHAPE_LEVELS, _CONTENTS_LEVELS = ((2, 30),), ((2, 40), (1, 25))
"""For the demons: how much coarser than the grid of the step, and how many iterations."""
_FIELD_SIGMA = 2.0
"""Voxels."""
_CLIP_MM = 24.0
_OUTSIDE_HU, _CLIP_HU = 250.0, (-150.0, 450.0)
_GRID_MARGIN_MM = 16.0
_CHECKED_POINTS = 4000


@dataclass(frozen=True)
class Quality:
    """How well two lungs lie on each other.

    Attributes:
        affine_dice: Dice coefficient of the lungs after the affine map.
        dice: After the whole registration.
        inverse_error_mm: Mean distance between a point of the lungs and where it comes back to, there and back.
        inverse_error_mm_95: The distance that 95 % of the points keep.
        least_jacobian: Smallest local change of volume in the lungs, from the first exam to the second; 1 is none.
            Above 0 nothing is folded.
        folded_percent: Percent of the lungs' voxels where it is not above 0.
        correlation: Correlation of the densities inside the lungs, -1..1, lesions left out: vessels on vessels.
    """

    affine_dice: float
    dice: float
    inverse_error_mm: float
    inverse_error_mm_95: float
    least_jacobian: float
    folded_percent: float
    correlation: float


@dataclass(frozen=True, eq=False)
class Registration:
    """Where each point of one date lies at the other.

    Attributes:
        forward: From a point of the earlier exam (mm, LPS) to that of the later one.
        backward: From the later one to the earlier one.
        quality: How well.
    """

    forward: sitk.Transform
    backward: sitk.Transform
    quality: Quality


def register_lungs(
    before: Images,
    after: Images,
    names: tuple[str, str] = ("the first exam", "the second"),
    *,
    coarser: float = 1.0,
    progress: Progress = silent,
) -> Registration:
    """Find where each point of the lungs lies at the other date.

    Args:
        before: The earlier exam.
        after: The later exam.
        names: What to call them in errors.
        coarser: Factor on the voxel sizes of the computation; 2 is about six times as fast and half as fine.
        progress: Told the stage and how much of it is done.

    Raises:
        InputError: The two do not fit each other.
    """
    check_volumes(before, after, names)
    one, other = _Lungs(before, coarser), _Lungs(after, coarser)
    steps = 2 * (1 + len(_SHAPE_LEVELS) + len(_CONTENTS_LEVELS))
    done = iter(range(1, steps + 1))

    def step() -> None:
        progress(REGISTERING, next(done) / steps)

    progress(REGISTERING, 0.0)
    forward, affine_dice, stretch = _one_way(one, other, step)
    if affine_dice < LEAST_AFFINE_DICE or stretch > MOST_STRETCH:
        raise InputError(
            f"{names[1]}: its lungs do not fit those of {names[0]} (Dice {affine_dice:.3f} after moving, turning and "
            f"stretching by up to {stretch:.1f}; at least {LEAST_AFFINE_DICE:.2f} and at most {MOST_STRETCH:.1f} are "
            "needed): give two chest CTs of one patient"
        )
    backward, _, _ = _one_way(other, one, step)
    quality = _quality(one, other, forward, backward, affine_dice)
    if quality.dice < LEAST_DICE:
        raise InputError(
            f"{names[1]}: its lungs could not be laid on those of {names[0]} (Dice {quality.dice:.3f}, at least "
            f"{LEAST_DICE:.2f} is needed): give two chest CTs of one patient, and look at the lobes of both"
        )
    return Registration(forward, backward, quality)


def check_volumes(before: Images, after: Images, names: tuple[str, str]) -> None:
    """Refuse lungs of which one is too large to be the other in another breath.

    Raises:
        InputError: They are.
    """
    volumes = [np.count_nonzero(one.lobes) * one.voxel_ml for one in (before, after)]
    if max(volumes) > MOST_INFLATION * min(volumes):
        raise InputError(
            f"{names[1]}: lungs of {volumes[1]:.0f} mL do not belong to lungs of {volumes[0]:.0f} mL ({names[0]}): "
            "give two whole chest CTs of one patient"
        )


class _Lungs:
    """Images of one date for the computation, on grids of even voxels about the lungs."""

    def __init__(self, images: Images, coarser: float) -> None:
        import SimpleITK as sitk

        self.images = images
        lung = images.lobes > 0
        share = binned(images.image(lung.astype(np.float32)), CONTENTS_MM * coarser)
        self.shape_grid = grid_about(images, SHAPE_MM * coarser)
        self.contents_grid = grid_about(images, CONTENTS_MM * coarser)
        on_shape = sitk.Resample(share, self.shape_grid, sitk.Transform(), sitk.sitkLinear, 0.0)
        distance = sitk.SignedMaurerDistanceMap(
            on_shape > 0.5, insideIsPositive=False, squaredDistance=False, useImageSpacing=True
        )
        self.distance = sitk.Cast(
            sitk.Clamp(distance, lowerBound=-_CLIP_MM, upperBound=_CLIP_MM), sitk.sitkFloat32
        )
        self.mask = sitk.Resample(share, self.contents_grid, sitk.Transform(), sitk.sitkLinear, 0.0) > 0.5
        contents = binned(images.image(_healthy(images, lung)), CONTENTS_MM * coarser)
        self.contents = sitk.Resample(
            contents, self.contents_grid, sitk.Transform(), sitk.sitkLinear, _OUTSIDE_HU
        )
        self.lesion = (
            sitk.Resample(
                binned(images.image(images.lesion.astype(np.float32)), CONTENTS_MM * coarser),
                self.contents_grid,
                sitk.Transform(),
                sitk.sitkLinear,
                0.0,
            )
            > 0.05
        )


def _healthy(images: Images, lung: np.ndarray) -> np.ndarray:
    """float32 (z, y, x): densities against the lungs' median, without lesions, and one value outside the lungs."""
    healthy = lung & ~images.lesion
    middle = float(np.median(images.hu[healthy])) if healthy.any() else float(np.median(images.hu[lung]))
    values = np.clip(images.hu - np.float32(middle), *_CLIP_HU).astype(np.float32)
    values[images.lesion] = 0.0
    values[~lung] = _OUTSIDE_HU
    return values


def grid_about(images: Images, step_mm: float) -> sitk.Image:
    """An empty image of cubic voxels about the lungs of an exam, along its axes."""
    import SimpleITK as sitk

    box = ndimage.find_objects((images.lobes > 0).astype(np.uint8))[0]
    low = (
        np.array([side.start for side in box[::-1]])
        - 0.5
        - _GRID_MARGIN_MM / np.array(images.spacing_mm[::-1])
    )
    high = (
        np.array([side.stop for side in box[::-1]])
        - 0.5
        + _GRID_MARGIN_MM / np.array(images.spacing_mm[::-1])
    )
    extent = (high - low) * images.spacing_mm[::-1]
    size = np.maximum(8, np.ceil(extent / step_mm)).astype(int)
    axes = images.matrix[:3, :3] / images.spacing_mm[::-1]
    middle = images.matrix[:3, :3] @ ((low + high) / 2) + images.matrix[:3, 3]
    grid = sitk.Image(size.tolist(), sitk.sitkUInt8)
    grid.SetSpacing((step_mm,) * 3)
    grid.SetDirection(axes.ravel().tolist())
    grid.SetOrigin((middle - axes @ ((size - 1) / 2 * step_mm)).tolist())
    return grid


def binned(image: sitk.Image, step_mm: float) -> sitk.Image:
    """Means of whole voxels, about as large as those of the grid that comes next: nothing finer is left to be missed."""
    import SimpleITK as sitk

    factors = [max(1, int(step_mm / length + 0.3)) for length in image.GetSpacing()]
    factors = [min(factor, size) for factor, size in zip(factors, image.GetSize(), strict=True)]
    return sitk.BinShrink(image, factors)


def _one_way(fixed: _Lungs, moving: _Lungs, step: Callable[[], None]) -> tuple[sitk.Transform, float, float]:
    """The map from points of one exam to the other's, the Dice coefficient after its affine part, and its stretch."""
    import SimpleITK as sitk

    affine = _affine(fixed, moving)
    step()
    lungs = _values(fixed.mask) > 0
    dice = _dice(lungs, _values(_moved(moving.mask, fixed.contents_grid, affine, nearest=True)) > 0)
    stretch = _stretch(np.reshape(affine.GetMatrix(), (3, 3)))
    if dice < LEAST_AFFINE_DICE or stretch > MOST_STRETCH:
        return affine, dice, stretch
    moved = _moved(moving.distance, fixed.shape_grid, affine, outside=_CLIP_MM)
    field = _demons(fixed.distance, moved, None, _SHAPE_LEVELS, step)
    field = sitk.Resample(
        field, fixed.contents_grid, sitk.Transform(), sitk.sitkLinear, 0.0, field.GetPixelID()
    )
    moved = _moved(moving.contents, fixed.contents_grid, affine, outside=_OUTSIDE_HU)
    field = _demons(fixed.contents, moved, field, _CONTENTS_LEVELS, step)
    return sitk.CompositeTransform([affine, sitk.DisplacementFieldTransform(field)]), dice, stretch


def _stretch(matrix: np.ndarray) -> float:
    """The largest stretch of a map or of its inverse; infinite where it mirrors."""
    stretches = np.linalg.svd(matrix, compute_uv=False)
    if np.linalg.det(matrix) <= 0:
        return float("inf")
    return float(max(stretches[0], 1 / stretches[-1]))


def _affine(fixed: _Lungs, moving: _Lungs) -> sitk.AffineTransform:
    """The affine map between distance maps, from centre on centre and size on size."""
    import SimpleITK as sitk

    start = sitk.AffineTransform(3)
    centres, sizes = zip(*(_moments(one) for one in (fixed, moving)), strict=True)
    start.SetCenter(centres[0].tolist())
    start.SetTranslation((centres[1] - centres[0]).tolist())
    ratio = float(np.clip(sizes[1] / sizes[0], 1 / MOST_STRETCH, MOST_STRETCH))
    start.SetMatrix((np.eye(3) * ratio).ravel().tolist())
    method = sitk.ImageRegistrationMethod()
    method.SetNumberOfThreads(WORK_UNITS)
    method.SetMetricAsMeanSquares()
    method.SetMetricSamplingStrategy(method.NONE)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetOptimizerAsRegularStepGradientDescent(
        learningRate=0.5, minStep=0.002, numberOfIterations=_AFFINE_ITERATIONS, relaxationFactor=0.6
    )
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetShrinkFactorsPerLevel([2, 1])
    method.SetSmoothingSigmasPerLevel([1, 0])
    method.SetInitialTransform(start, inPlace=True)
    method.Execute(fixed.distance, moving.distance)
    return start


def _moments(lungs: _Lungs) -> tuple[np.ndarray, float]:
    """The centre of the lungs in mm (LPS), and the cube root of their volume."""
    images = lungs.images
    index = np.argwhere(images.lobes > 0).mean(axis=0)[::-1]
    centre = images.matrix[:3, :3] @ index + images.matrix[:3, 3]
    return centre, float(np.cbrt(np.count_nonzero(images.lobes) * images.voxel_ml))


def _demons(
    fixed: sitk.Image,
    moving: sitk.Image,
    field: sitk.Image | None,
    levels: Sequence[tuple[int, int]],
    step: Callable[[], None],
) -> sitk.Image:
    """Demons between two images of one grid; the levels say how much coarser, and how many iterations."""
    import SimpleITK as sitk

    for factor, count in levels:
        one, other = (binned(image, factor * image.GetSpacing()[0]) for image in (fixed, moving))
        demons = sitk.DiffeomorphicDemonsRegistrationFilter()
        demons.SetNumberOfThreads(WORK_UNITS)
        demons.SetNumberOfIterations(count)
        demons.SetSmoothDisplacementField(True)
        demons.SetStandardDeviations(_FIELD_SIGMA)
        demons.SetSmoothUpdateField(True)
        demons.SetUpdateFieldStandardDeviations(1.0)
        if field is None:
            field = demons.Execute(one, other)
        else:
            start = sitk.Resample(field, one, sitk.Transform(), sitk.sitkLinear, 0.0, field.GetPixelID())
            field = demons.Execute(one, other, start)
        step()
    assert field is not None
    return field


def _moved(
    image: sitk.Image,
    grid: sitk.Image,
    transform: sitk.Transform,
    outside: float = 0.0,
    nearest: bool = False,
) -> sitk.Image:
    import SimpleITK as sitk

    how = sitk.sitkNearestNeighbor if nearest else sitk.sitkLinear
    return sitk.Resample(image, grid, transform, how, outside)


def _values(image: sitk.Image) -> np.ndarray:
    import SimpleITK as sitk

    return sitk.GetArrayFromImage(image)


def _dice(one: np.ndarray, other: np.ndarray) -> float:
    total = int(np.count_nonzero(one)) + int(np.count_nonzero(other))
    return 2 * int(np.count_nonzero(one & other)) / max(1, total)


def _quality(
    one: _Lungs, other: _Lungs, forward: sitk.Transform, backward: sitk.Transform, affine_dice: float
) -> Quality:
    import SimpleITK as sitk

    grid = one.contents_grid
    lungs = _values(one.mask) > 0
    moved = _values(_moved(other.mask, grid, forward, nearest=True)) > 0
    error = inverse_error_mm(one, forward, backward)
    field = sitk.TransformToDisplacementField(
        forward,
        sitk.sitkVectorFloat64,
        grid.GetSize(),
        grid.GetOrigin(),
        grid.GetSpacing(),
        grid.GetDirection(),
    )
    jacobian = _values(sitk.DisplacementFieldJacobianDeterminant(field))[lungs]
    lesions = (_values(one.lesion) > 0) | (_values(_moved(other.lesion, grid, forward, nearest=True)) > 0)
    inside = ndimage.binary_erosion(lungs & moved) & ~lesions
    contents = _values(_moved(other.contents, grid, forward, outside=_OUTSIDE_HU))
    return Quality(
        affine_dice=affine_dice,
        dice=_dice(lungs, moved),
        inverse_error_mm=float(error.mean()),
        inverse_error_mm_95=float(np.percentile(error, 95)),
        least_jacobian=float(jacobian.min()),
        folded_percent=float(100 * np.mean(jacobian <= 0)),
        correlation=_correlation(_values(one.contents)[inside], contents[inside]),
    )


def _correlation(one: np.ndarray, other: np.ndarray) -> float:
    if one.size < 2 or not one.std() > 0 or not other.std() > 0:
        return 0.0
    return float(np.corrcoef(one, other)[0, 1])


def inverse_error_mm(lungs: _Lungs, forward: sitk.Transform, backward: sitk.Transform) -> np.ndarray:
    """For points spread over the lungs: how far from itself each comes back to, in mm."""
    images = lungs.images
    inside = np.argwhere(images.lobes > 0)
    inside = inside[:: max(1, len(inside) // _CHECKED_POINTS)]
    points = inside[:, ::-1] @ images.matrix[:3, :3].T + images.matrix[:3, 3]
    back = [backward.TransformPoint(forward.TransformPoint(point)) for point in points.tolist()]
    return np.linalg.norm(np.array(back) - points, axis=1)
