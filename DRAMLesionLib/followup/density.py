"""Where the lung became denser or less dense between two dates, beyond what the two CTs differ by anyway.

Two masks of one lesion differ also where nothing changed: by noise, kernel, and how sharp a CT is. Densities are there
at both dates, whatever the masks say, so they are compared on the earlier exam's lungs after registration. How much they
differ where neither date has a lesion is the repeatability of this very pair, and tells what counts as a change.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from DRAMLesionLib.followup.exam import Images
from DRAMLesionLib.followup.matching import TOLERANCE_MM
from DRAMLesionLib.followup.registration import binned

if TYPE_CHECKING:
    import SimpleITK as sitk

REPEATED_PERCENT = 95.0
"""Percent of the lung without lesion that differs by no more than what counts as a change."""
LEAST_CHANGE_HU = 30.0
"""No smaller difference counts: CTs of one body scatter by so much between scanners, kernels and breaths."""
_CLIP_HU = (-1024.0, 200.0)
_LEAST_LUNG = 0.05
_FWHM_TO_SIGMA = 1 / np.sqrt(8 * np.log(2))
_SIGMA_MM = 2 * TOLERANCE_MM * _FWHM_TO_SIGMA
"""Densities are means over a ball of the tolerance of matching: what lies within it is one place."""


@dataclass(frozen=True, eq=False)
class DensityChange:
    """How the density changed on a grid of the earlier exam. Arrays are (z, y, x).

    Attributes:
        hu: float32, later minus earlier density in HU, over what the whole lung changed by; 0 outside the lungs.
        limit_hu: What counts as a change, in HU.
        inside: bool, in the lungs of both dates.
    """

    hu: np.ndarray
    limit_hu: float
    inside: np.ndarray

    @property
    def denser(self) -> np.ndarray:
        """bool (z, y, x)."""
        return self.inside & (self.hu > self.limit_hu)

    @property
    def less_dense(self) -> np.ndarray:
        """bool (z, y, x)."""
        return self.inside & (self.hu < -self.limit_hu)


def density_change(
    images: tuple[Images, Images],
    forward: sitk.Transform,
    grid: sitk.Image,
    lesion: np.ndarray,
) -> DensityChange:
    """Compare the densities of two dates on a grid of the earlier one.

    Args:
        images: The two dates.
        forward: From points of the earlier exam to those of the later one.
        grid: The grid.
        lesion: bool (z, y, x) on it: lesion of either date.
    """
    import SimpleITK as sitk

    smooth, there = zip(
        *(_mean_hu(one, grid, way) for one, way in zip(images, (sitk.Transform(), forward), strict=True)),
        strict=True,
    )
    inside = there[0] & there[1]
    change = np.where(inside, smooth[1] - smooth[0], np.float32(0))
    reach = (
        ndimage.distance_transform_edt(~lesion, sampling=grid.GetSpacing()[::-1]) if lesion.any() else None
    )
    healthy = inside if reach is None else inside & (reach > 2 * TOLERANCE_MM)
    if not healthy.any():
        healthy = inside
    values = change[healthy]
    middle = float(np.median(values)) if values.size else 0.0
    limit = float(np.percentile(np.abs(values - middle), REPEATED_PERCENT)) if values.size else 0.0
    return DensityChange(
        np.where(inside, change - np.float32(middle), np.float32(0)), max(limit, LEAST_CHANGE_HU), inside
    )


def _mean_hu(images: Images, grid: sitk.Image, way: sitk.Transform) -> tuple[np.ndarray, np.ndarray]:
    """Mean density about each place of the lungs, of lung alone, and where lung is: float32 and bool (z, y, x)."""
    import SimpleITK as sitk

    lung = images.lobes > 0
    held = images.hu.astype(np.float32)
    np.clip(held, *_CLIP_HU, out=held)
    # Weighted by the lung, so that what lies around it has no part in a mean.
    held = np.where(lung, held - np.float32(_CLIP_HU[0]), np.float32(0))
    weighted, share = (
        sitk.GetArrayFromImage(
            sitk.Resample(_smooth(images.image(array), grid), grid, way, sitk.sitkLinear, 0.0)
        )
        for array in (held, lung.astype(np.float32))
    )
    inside = sitk.Resample(images.image(lung.astype(np.uint8)), grid, way, sitk.sitkNearestNeighbor, 0)
    there = (sitk.GetArrayFromImage(inside) > 0) & (share > _LEAST_LUNG)
    return weighted / np.maximum(share, _LEAST_LUNG) + _CLIP_HU[0], there


def _smooth(image: sitk.Image, grid: sitk.Image) -> sitk.Image:
    """Means over a place, on voxels about as large as the grid's; SimpleITK's own filter wants four slices at least."""
    import SimpleITK as sitk

    coarse = binned(image, grid.GetSpacing()[0])
    sigma = [_SIGMA_MM / length for length in coarse.GetSpacing()[::-1]]
    values = ndimage.gaussian_filter(sitk.GetArrayFromImage(coarse), sigma, mode="constant")
    smooth = sitk.GetImageFromArray(values)
    smooth.CopyInformation(coarse)
    return smooth
