"""The order in which a lobe's voxels become lesion, the likeliest first: what a reader's numbers cut."""

from __future__ import annotations

import math

import numpy as np
import torch

from DRAMLesionLib.images.box import Box, within
from DRAMLesionLib.images.resampling import gaussian, slabs
from DRAMLesionLib.lesions.mask import EDGE_MM

LEAST = 1e-6
"""Probabilities are kept this far from 0 and 1, so that they have log odds."""
WIDE_MM = 10.0
"""Sigma of the Gaussian that tells voxels of equal rank apart."""
WIDE_SHARE = 0.01
"""How much the wide Gaussian counts beside the narrow one: too little to change the order of what differs notably."""


def rank_lesion(
    lesion_map: np.ndarray,
    threshold: float,
    labels: np.ndarray,
    spacing_mm: tuple[float, float, float],
    box: Box,
    *,
    wide: bool = False,
) -> np.ndarray:
    """How likely each voxel is lesion beside the others, such that a mask cut anywhere is smooth.

    The log odds of the map are averaged by the Gaussian (:data:`~DRAMLesionLib.lesions.mask.EDGE_MM`) of every mask,
    within the lobes alone. Their probability s gives the rank: threshold * s outside the model's mask, and
    threshold + (1 - threshold) * s inside it. So the rank lies above the threshold exactly in the model's mask.

    Args:
        lesion_map: float32 (z, y, x), 0..1.
        threshold: A voxel of the map above it is in the model's mask.
        labels: uint8 (z, y, x): lobes.
        spacing_mm: Voxel size (z, y, x) in mm.
        box: The part of the CT to rank.
        wide: Add a little of a wide average, which tells voxels apart where the map is flat: those that lie nearer to
            likelier ones come first.

    Returns:
        float32 (z, y, x) of the box, 0..1; without meaning outside the lobes.
    """
    odds = _average(lesion_map, labels, spacing_mm, box, EDGE_MM)
    if wide:
        odds += WIDE_SHARE * _average(lesion_map, labels, spacing_mm, box, WIDE_MM)
    ranks, limit = np.empty(odds.shape, np.float32), np.float32(threshold)
    for part in slabs(ranks.shape):
        likely = torch.from_numpy(odds[part]).sigmoid_().numpy()
        model = lesion_map[box][part] > limit
        ranks[part] = np.where(model, limit + (1 - limit) * likely, limit * likely)
    return ranks


def _average(
    lesion_map: np.ndarray,
    labels: np.ndarray,
    spacing_mm: tuple[float, float, float],
    box: Box,
    sigma_mm: float,
) -> np.ndarray:
    """The map's log odds in a box, averaged by a Gaussian over the voxels of the lobes; float32."""
    sigma = [sigma_mm / length for length in spacing_mm]
    z, y, x = (
        slice(max(0, side.start - reach), min(length, side.stop + reach))
        for side, length, reach in zip(
            box, labels.shape, (math.ceil(3 * width) + 1 for width in sigma), strict=True
        )
    )
    values, lobes = lesion_map[z, y, x], labels[z, y, x] > 0
    here = within(box, (z, y, x))

    def weight(part: slice) -> torch.Tensor:
        return torch.from_numpy(lobes[part].astype(np.float32))

    def odds(part: slice) -> torch.Tensor:
        return torch.from_numpy(values[part].astype(np.float32)).logit_(LEAST).mul_(weight(part))

    total, share = (gaussian(source, lobes.shape, sigma)[here] for source in (odds, weight))
    return total / np.maximum(share, np.float32(LEAST))
