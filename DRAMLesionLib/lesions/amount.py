"""How much of each lobe is lesion, and how sure that is: from the whole lobe, before any voxel is decided.

A map may be faint where most of a lobe is sick, so that one threshold for all lobes gives too little there. So the amount
comes first, from the map's mean (the expected share of lesion voxels) and from how much of the lobe is at least faint
in the map; then the map is cut in each lobe where it gives that amount.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from scipy import special

from DRAMLesionLib.images.resampling import slabs
from DRAMLesionLib.lesions.networks.final_description import AmountSettings
from DRAMLesionLib.lungs.lobes import LOBES

FAINT = 0.1
"""A voxel whose probability is above this is at least faint."""
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


def lobe_amounts(lesion_map: np.ndarray, labels: np.ndarray, settings: AmountSettings) -> dict[int, Amount]:
    """Estimate each lobe's percentage by :func:`estimate`.

    Args:
        lesion_map: float32 (z, y, x), 0..1.
        labels: uint8 (z, y, x), lobes 1..5.
        settings: Of the model that made the map.

    Returns:
        By the lobe's value; lobes without voxels are left out.
    """
    count, flat = len(LOBES) + 1, labels.ravel()
    voxels = np.bincount(flat, minlength=count)
    mean = np.bincount(flat, weights=lesion_map.ravel(), minlength=count)
    faint = np.bincount(flat[lesion_map.ravel() > FAINT], minlength=count)
    amounts = {}
    for value in (lobe.value for lobe in LOBES if voxels[lobe.value]):
        m, f = (100 * sums[value : value + 1] / voxels[value] for sums in (mean, faint))
        amounts[value] = with_range(float(estimate(m, f, settings)[0]), settings)
    return amounts


def estimate(mean: np.ndarray, faint: np.ndarray, settings: AmountSettings) -> np.ndarray:
    """The percentage that a lobe's map stands for.

    :func:`evidence` times the settings' weights is a root; the curve through ``roots`` and ``percents``, straight between
    the square roots of the percentages, says what it stands for.

    Args:
        mean: (lobes,), 100 times the map's mean over the lobe.
        faint: (lobes,), the percentage of the lobe's voxels above :data:`FAINT`.
        settings: Of the model that made the map.

    Returns:
        (lobes,), 0..100.
    """
    root = evidence(mean, faint) @ np.asarray(settings.weights)
    return np.interp(root, settings.roots, np.sqrt(settings.percents)) ** 2


def evidence(mean: np.ndarray, faint: np.ndarray) -> np.ndarray:
    """What is known of lobes from their map, in terms up to second order.

    Args:
        mean: (lobes,), 100 times the map's mean over the lobe.
        faint: (lobes,), the percentage of the lobe's voxels above :data:`FAINT`.

    Returns:
        (lobes, 6): 1, a, b, a^2, ab and b^2, where a and b are the square roots of ``mean`` and ``faint``: the many small
        percentages lie further apart so.
    """
    a, b = np.sqrt(mean), np.sqrt(faint)
    return np.stack([np.ones_like(a), a, b, a * a, a * b, b * b], axis=1)


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
