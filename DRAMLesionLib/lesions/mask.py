"""From a map to the lesion mask: the cut, the average of two maps, and smoothing without speckle."""

import numpy as np
import torch
from scipy import special

from DRAMLesionLib.images.box import bounding_box, hull, label_boxes, zeros_on_demand
from DRAMLesionLib.images.resampling import gaussian, slabs
from DRAMLesionLib.lungs.lobes import LOBES

CERTAIN = 1e-3
"""Probabilities are taken to lie so far from 0 and 1 at least, so that one map can't overrule the other for good."""


EDGE_MM = 1.2
"""Sigma of the Gaussian that smooths a mask, in mm: one to two voxels of a usual CT. This and :data:`MAJORITY` agreed
best with the experts on the training scans of the comparison in the README."""


MAJORITY = 0.45
"""Below one half, since thin lesions would fade by more than broad ones grow."""


def with_refined_dram(
    probability: np.ndarray,
    threshold: float,
    refined: np.ndarray,
    refined_threshold: float,
    share: float,
) -> np.ndarray:
    """The final network's probability and the refined dRAM together: the weighted mean of their log odds.

    They err differently: the network has learned from labels that the percentages had set right, and the CRF sees edges
    of this very CT. Each is undecided at its own threshold, and so is the result at the first one.

    Args:
        probability: float32 (z, y, x), 0..1: the final network's.
        threshold: The probability above which a voxel is lesion, 0..1.
        refined: float32 (z, y, x), 0..1: the refined dRAM.
        refined_threshold: The value above which a voxel of the refined dRAM is lesion, 0..1.
        share: How much the refined dRAM counts, 0..1.

    Returns:
        float32, the same shape, 0..1, to be cut at ``threshold``; where ``refined`` is 0 (outside the lobes) it is 0.
    """
    if not share:
        return probability
    # (1 - share) (odds - own) + share (other - others) + own, where own and others are the thresholds' log odds.
    constant = share * float(special.logit(threshold) - special.logit(refined_threshold))
    result = zeros_on_demand(probability.shape, np.float32)
    for part in slabs(probability.shape):
        inside = refined[part] > 0
        if inside.any():
            odds, other = (torch.from_numpy(m[part].astype(np.float32)) for m in (probability, refined))
            mean = torch.lerp(odds.logit_(CERTAIN), other.logit_(CERTAIN), share).add_(constant)
            np.copyto(result[part], mean.sigmoid_().numpy(), where=inside)
    return result


def segment_lesion(lesion_map: np.ndarray, labels: np.ndarray, threshold: float) -> np.ndarray:
    """Cut a map at a threshold.

    Args:
        lesion_map: float32 (z, y, x), 0..1: the final network's probability, the dRAM or the refined dRAM.
        labels: uint8 (z, y, x): lobes.
        threshold: A voxel above it is lesion; the description of the model that made the map has it.

    Returns:
        uint8 (z, y, x): 1 lesion, 0 elsewhere and outside the lobes.
    """
    lesion = zeros_on_demand(lesion_map.shape, np.uint8)
    for part in slabs(lesion_map.shape):
        lesion[part][(lesion_map[part] > threshold) & (labels[part] > 0)] = 1
    return lesion


def take_speckle_off(
    lesion_map: np.ndarray, labels: np.ndarray, threshold: float, spacing_mm: tuple[float, float, float]
) -> None:
    """Change a map, in place, so that its cut has no speckle of the CT's noise.

    A voxel of the lobes becomes lesion where about half of them around it are: more than :data:`MAJORITY` after a
    Gaussian of :data:`EDGE_MM`. Where the map says otherwise its value moves to the threshold's other side, and no
    further: who cuts the map again, or goes on from it, finds the same mask.

    Args:
        lesion_map: float32 (z, y, x), 0..1.
        labels: uint8 (z, y, x): lobes; outside nothing changes.
        threshold: A voxel above it is lesion.
        spacing_mm: (z, y, x).
    """
    boxes = [box for box in label_boxes(labels, len(LOBES)) if box is not None]
    if not boxes:
        return
    lungs = hull(*boxes)
    inside, lesion_map = labels[lungs] > 0, lesion_map[lungs]
    cut = (lesion_map > threshold) & inside
    if not cut.any():
        return
    sigma = [EDGE_MM / length for length in spacing_mm]
    # Where there is no lesion within the Gaussian's reach, none appears.
    box = tuple(
        slice(max(0, ends.start - reach), ends.stop + reach)
        for ends, reach in zip(
            bounding_box(cut),
            (round(6 * width) + 1 for width in sigma),
            strict=True,
        )
    )
    here, lobes, values = cut[box], inside[box], lesion_map[box]

    def above_majority(part: slice) -> torch.Tensor:
        return torch.from_numpy(here[part].astype(np.float32) - np.float32(MAJORITY) * lobes[part])

    smooth = gaussian(above_majority, here.shape, sigma) > 0
    limit = np.float32(threshold)
    values[smooth & lobes & ~here] = np.nextafter(limit, np.float32(1))
    values[~smooth & here] = np.nextafter(limit, np.float32(0))
