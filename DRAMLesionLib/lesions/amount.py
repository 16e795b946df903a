"""How much of each lobe is lesion, and how sure that is: from the whole lobe, before any voxel is decided.

A map may be faint where most of a lobe is sick, so that one threshold for all lobes gives too little there. So the amount
comes first, from the map's mean (the expected share of lesion voxels) and from how much of the lobe is dense; then the
map is cut in each lobe where it gives that amount.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from scipy import special

from DRAMLesionLib.images.resampling import gaussian, slabs
from DRAMLesionLib.lesions.networks.final_description import AmountSettings
from DRAMLesionLib.lungs.lobes import LOBES

DENSE_MM = 2.0
"""Sigma of the Gaussian before a voxel is called dense, in mm: single vessels and noise are not."""
AIR_HU = -1000.0
LEAST = 1e-6
"""Probabilities are kept this far from 0 and 1, so that they have log odds."""


@dataclass(frozen=True)
class Amount:
    """How much of a lobe is lesion.

    Attributes:
        percent: The estimate, 0..100.
        low: Lower end of the range that was set to hold the true percentage of about 80 in 100 lobes.
        high: Upper end of that range.
    """

    percent: float
    low: float
    high: float


def lobe_amounts(
    lesion_map: np.ndarray,
    hu: np.ndarray,
    labels: np.ndarray,
    spacing_mm: tuple[float, float, float],
    settings: AmountSettings,
) -> dict[int, Amount]:
    """Estimate each lobe's percentage: ``offset + mean * m + square * m ** 2 / 100 + dense * d``, from 0 to 100.

    Here m is 100 times the map's mean over the lobe, and d the percentage of its voxels that are dense.

    Args:
        lesion_map: float32 (z, y, x), 0..1.
        hu: (z, y, x) HU.
        labels: uint8 (z, y, x), lobes 1..5.
        spacing_mm: (z, y, x).
        settings: Of the model that made the map.

    Returns:
        By the lobe's value; lobes without voxels are left out.
    """
    voxels, mean, dense = np.zeros((3, len(LOBES) + 1))
    is_dense = _dense(hu, spacing_mm, settings.dense_hu) if settings.dense else None
    for part in slabs(labels.shape):  # bincount makes copies of eight bytes a voxel
        inside = labels[part] > 0
        if inside.any():
            lobes = labels[part][inside]
            voxels += np.bincount(lobes, minlength=len(voxels))
            mean += np.bincount(lobes, weights=lesion_map[part][inside], minlength=len(voxels))
            if is_dense is not None:
                dense += np.bincount(lobes, weights=is_dense[part][inside], minlength=len(voxels))
    amounts = {}
    for value in (lobe.value for lobe in LOBES if voxels[lobe.value]):
        m, d = (100 * sums[value] / voxels[value] for sums in (mean, dense))
        points = settings.offset + settings.mean * m + settings.square * m**2 / 100 + settings.dense * d
        amounts[value] = with_range(float(np.clip(points, 0, 100)), settings)
    return amounts


def _dense(hu: np.ndarray, spacing_mm: tuple[float, float, float], limit: float) -> np.ndarray:
    """Which voxels are denser than ``limit`` HU after a Gaussian; outside the CT there is air."""
    smooth = gaussian(
        lambda part: torch.from_numpy(hu[part].astype(np.float32) - np.float32(AIR_HU)),
        hu.shape,
        [DENSE_MM / length for length in spacing_mm],
    )
    return smooth > limit - AIR_HU


def with_range(percent: float, settings: AmountSettings) -> Amount:
    """A percentage with its range: wide in the middle, narrow where a lobe has almost nothing or nothing left."""
    half = settings.error_points + settings.error_share * min(percent, 100 - percent)
    return Amount(percent, max(0.0, percent - half), min(100.0, percent + half))


def lobe_cuts(lesion_map: np.ndarray, labels: np.ndarray, amounts: Mapping[int, Amount]) -> dict[int, float]:
    """Where the map has to be cut in each lobe, so that the voxels above the cut are the lobe's amount.

    Args:
        lesion_map: float32 (z, y, x), 0..1, 0 outside the lobes.
        labels: uint8 (z, y, x).
        amounts: By the lobe's value.

    Returns:
        By the lobe's value, 0..1: in the middle between the last voxel that is lesion and the next one; 1 where nothing
        is lesion, 0 where all is.
    """
    cuts = {}
    for lobe, amount in amounts.items():
        values = lesion_map[labels == lobe]
        count = round(values.size * amount.percent / 100)
        if count in (0, values.size):
            cuts[lobe] = 0.0 if count else 1.0
        else:
            last = values.size - count
            ordered = np.partition(values, (last - 1, last))
            cuts[lobe] = float(ordered[last - 1 : last + 1].mean())
    return cuts


def cut_at_amounts(
    lesion_map: np.ndarray, labels: np.ndarray, threshold: float, amounts: Mapping[int, Amount]
) -> None:
    """Change a map, in place, so that one threshold cuts each lobe at its amount: the lobe's log odds move together.

    Args:
        lesion_map: float32 (z, y, x), 0..1, 0 outside the lobes.
        labels: uint8 (z, y, x): lobes.
        threshold: The value that shall be each lobe's cut, 0..1.
        amounts: By the lobe's value.
    """
    moves = np.zeros(256, np.float32)
    for lobe, cut in lobe_cuts(lesion_map, labels, amounts).items():
        moves[lobe] = special.logit(threshold) - special.logit(np.clip(cut, LEAST, 1 - LEAST))
    for part in slabs(lesion_map.shape):
        inside = labels[part] > 0
        if inside.any():
            odds = torch.from_numpy(lesion_map[part]).logit(LEAST).add_(torch.from_numpy(moves[labels[part]]))
            np.multiply(odds.sigmoid_().numpy(), inside, out=lesion_map[part])


def ranges_of(amounts: Mapping[int, Amount]) -> dict[int, tuple[float, float]]:
    """The ranges alone, percent, by the lobe's value."""
    return {lobe: (amount.low, amount.high) for lobe, amount in amounts.items()}
