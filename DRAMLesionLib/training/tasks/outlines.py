"""A scan's lobes in another outline, so that a network learns to bear lungs that nobody drew.

Lobes that come with a data set mostly follow an expert's lungs. Those of daily use are the built-in ones, which miss
a dense lesion at the ribs or hold some fat beside the heart.
"""

import numpy as np
from scipy import ndimage

from DRAMLesionLib.images.volume import Volume
from DRAMLesionLib.lungs.lobes import LOBES
from DRAMLesionLib.lungs.lung_mask import segment_lungs

LEAST_OVERLAP = 0.8
"""Dice coefficient of a lobe's two outlines; below, the built-in lungs have failed there."""

NEAREST_MM = 3.0
"""Spacing of the grid on which voxels outside all lobes look for the nearest one."""


def in_built_in_lungs(ct: Volume, labels: np.ndarray) -> np.ndarray:
    """The lobes as they are if the built-in lungs give their outline.

    Args:
        ct: The CT.
        labels: uint8 (z, y, x), 1..5: its lobes.

    Returns:
        uint8, the same shape. What the built-in lungs have beyond the lobes belongs to the nearest one. A lobe whose two
        outlines agree too little keeps its own.
    """
    inside = segment_lungs(ct.array, ct.spacing_mm) > 0
    result = np.where(inside, labels, np.uint8(0))
    beyond = np.nonzero(inside & (labels == 0))
    if len(beyond[0]) and labels.any():
        result[beyond] = _nearest(labels, ct.spacing_mm, beyond)
    for lobe in LOBES:
        given, built_in = labels == lobe.value, result == lobe.value
        if 2 * np.count_nonzero(given & built_in) < LEAST_OVERLAP * (given.sum() + built_in.sum()):
            result[built_in] = 0
            result[given] = lobe.value
    return result


def _nearest(
    labels: np.ndarray, spacing_mm: tuple[float, float, float], voxels: tuple[np.ndarray, ...]
) -> np.ndarray:
    """The lobe that lies nearest to each voxel, up to the grid's spacing."""
    steps = [max(1, round(NEAREST_MM / length)) for length in spacing_mm]
    coarse = labels[tuple(slice(None, None, step) for step in steps)]
    if not coarse.any():  # lobes smaller than the grid's spacing
        steps, coarse = [1, 1, 1], labels
    lengths = [step * length for step, length in zip(steps, spacing_mm, strict=True)]
    places = ndimage.distance_transform_edt(
        coarse == 0, sampling=lengths, return_distances=False, return_indices=True
    )
    at = tuple(index // step for index, step in zip(voxels, steps, strict=True))
    return coarse[tuple(places[(axis, *at)] for axis in range(3))]
