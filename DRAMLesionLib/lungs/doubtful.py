"""Tissue beside the lungs that may be none of theirs: fat at heart, spine and diaphragm looks like ground glass.

All on the coarse grid of :mod:`DRAMLesionLib.lungs.lung_mask`: shape (z, y, x), canonical axes. The limits were chosen on
four training scans (cases 01, 04, 06 and 10 of the coronacases volumes), so that they keep the experts' lesion, and on
ground glass pasted into two healthy lungs.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage, special

from DRAMLesionLib.lungs.closing import fill_holes
from DRAMLesionLib.lungs.morphology import dilated, opened

HAZE_HU = (-650.0, -50.0)
"""Between aerated lung and soft tissue: ground glass, fat, and the edge of everything dense."""

LEAST_LIKELY = 0.1
"""Air and haze of a lower probability of lung are not taken into the lungs by rules."""

LEAST_LOG_ODDS = 1.5
"""Haze stays lung where the log odds of lung, on average over the haze around, are higher."""

AROUND = 5
"""Side, in voxels, of the cube over which haze is judged together."""

SURE = 1e-3
"""Probabilities count as no surer than this, so that a few voxels can't decide for all around."""


def doubtful_haze(
    lungs: np.ndarray, probability: np.ndarray, coarse: np.ndarray, spacing: np.ndarray
) -> np.ndarray:
    """Haze at the border of the lungs that the network, all around, is not sure of.

    Ground glass has a core that the network is sure of, however unsure its border is; a pad of fat has none. Seams one
    voxel wide are the lungs' own edge, where density decides; what lung encloses stays lung.

    Args:
        lungs: bool.
        probability: float32, 0..1: of lung, whichever side.
        coarse: HU, float32.
        spacing: Voxel size in mm.

    Returns:
        bool, a part of ``lungs``: what should be taken off.
    """
    haze = lungs & (coarse > HAZE_HU[0]) & (coarse < HAZE_HU[1])
    odds = np.zeros(haze.shape, np.float32)
    odds[haze] = special.logit(np.clip(probability[haze], SURE, 1 - SURE))
    voxels = ndimage.uniform_filter(haze.astype(np.float32), AROUND)
    mean = ndimage.uniform_filter(odds, AROUND) / np.maximum(voxels, 1e-4)
    unsure = haze & (mean < LEAST_LOG_ODDS)
    pads = dilated(opened(unsure, np.ones((2, 2, 2)))) & unsure
    return pads & ~fill_holes(lungs & ~pads, spacing)


def dense_slivers(lungs: np.ndarray, coarse: np.ndarray) -> np.ndarray:
    """Dense tissue that sticks out of the lungs as threads and sheets: liver, spleen and muscle that rules reached.

    Consolidated lung is thick, or lies on aerated lung as a layer; vessels lie inside the lungs. Neither is thin together
    with what is beside it.

    Args:
        lungs: bool.
        coarse: HU, float32.

    Returns:
        bool, a part of ``lungs``: what should be taken off.
    """
    thick = opened(np.pad(lungs, 1, mode="edge"), np.ones((3, 3, 3)))[1:-1, 1:-1, 1:-1]
    return lungs & (coarse > HAZE_HU[1]) & ~dilated(thick)
