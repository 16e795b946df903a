"""A lesion map from a segment and HU alone, for correction where no network has seen the CT.

The correction engine (:mod:`DRAMLesionLib.correction.session`) starts from a map. Where there is none, the segment
says what its own densities look like: a voxel is the likelier lesion the more its HU is found inside the segment and
the less outside.
"""

import numpy as np
from scipy import ndimage

from DRAMLesionLib.images.box import bounding_box

HU_RANGE = (-1000.0, 200.0)
BINS = 60
"""Of 20 HU: finer ones would follow the noise of a small segment."""
SMOOTH_MM = 1.5
"""Sigma of the smoothing of HU: single voxels say little in a noisy CT."""
PRIOR_COUNT = 200.0
"""Voxels that the expected densities weigh before the segment speaks: an empty segment has these alone."""
EXPECTED_LESION_HU = (-450.0, 220.0)
"""Mean and standard deviation of ground glass and consolidation together."""
EXPECTED_LUNG_HU = (-850.0, 90.0)
"""Of lung without lesion."""
INSIDE_LOGIT = 1.5
"""How sure the segment's own voxels and all others are, before HU speaks: as sure as a stroke can still turn."""
HU_LOGIT = 1.0
"""How much HU moves that, at most."""


def map_from_segment(
    hu: np.ndarray, region: np.ndarray, label: np.ndarray, spacing_mm: tuple[float, float, float]
) -> np.ndarray:
    """Estimate a lesion map.

    Args:
        hu: (z, y, x) HU.
        region: (z, y, x), not 0 where lesion can be: lobes or lungs.
        label: (z, y, x), 1 in the segment; it may be empty.
        spacing_mm: (z, y, x).

    Returns:
        float32 (z, y, x), 0..1, 0 outside the region; above 0.5 exactly in the segment's part of the region.
    """
    lesion_map = np.zeros(hu.shape, np.float32)
    where = np.asarray(region) > 0
    if not where.any():
        return lesion_map
    box = bounding_box(where)
    where, inside = where[box], np.asarray(label)[box] > 0
    sigma = [SMOOTH_MM / length for length in spacing_mm]
    low, high = HU_RANGE
    smooth = ndimage.gaussian_filter(np.clip(hu[box].astype(np.float32), low, high), sigma, truncate=2.5)
    bins = ((smooth - low) * (BINS / (high - low))).astype(np.intp).clip(0, BINS - 1)
    lesion = _density(bins[where & inside], EXPECTED_LESION_HU)
    lung = _density(bins[where & ~inside], EXPECTED_LUNG_HU)
    evidence = np.tanh(np.log(lesion / lung) / 2).astype(np.float32)
    logit = np.where(inside, INSIDE_LOGIT, -INSIDE_LOGIT) + HU_LOGIT * evidence[bins]
    lesion_map[box] = np.where(where, 1 / (1 + np.exp(-logit)), 0)
    return lesion_map


def _density(bins: np.ndarray, expected_hu: tuple[float, float]) -> np.ndarray:
    """The share of each bin: counted, with the expected densities as a prior, so that none is 0."""
    low, high = HU_RANGE
    mean, deviation = expected_hu
    centres = low + (np.arange(BINS) + 0.5) * (high - low) / BINS
    prior = np.exp(-0.5 * ((centres - mean) / deviation) ** 2) + 1e-3
    counts = np.bincount(bins, minlength=BINS) + PRIOR_COUNT * prior / prior.sum()
    return counts / counts.sum()
