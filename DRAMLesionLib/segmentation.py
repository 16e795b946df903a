"""The lesion mask that daily use sees: the map, cut at the model's threshold, inside the lobes."""

import numpy as np


def segment_lesion(lesion_map: np.ndarray, labels: np.ndarray, threshold: float) -> np.ndarray:
    """Cut a map at a threshold.

    Args:
        lesion_map: float32 (z, y, x), 0..1: the dRAM or the refined dRAM.
        labels: uint8 (z, y, x): lobes.
        threshold: Of the model's description; a voxel above it is lesion.

    Returns:
        uint8 (z, y, x): 1 lesion, 0 elsewhere and outside the lobes.
    """
    return ((lesion_map > threshold) & (labels > 0)).astype(np.uint8)
