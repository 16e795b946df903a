"""The refined dRAM: the map, pulled by the dense CRF to the edges that the HU shows."""

from dataclasses import asdict

import numpy as np
from scipy import ndimage, special

from DRAMLesionLib.crf import refine
from DRAMLesionLib.dram import resample
from DRAMLesionLib.model_description import ModelDescription

FINEST_MM = 1.0
"""Finer axes are halved (or more) for the CRF: its kernels are several mm wide, and the dRAM came from a coarser grid."""


def refine_dram(
    dram: np.ndarray,
    hu: np.ndarray,
    spacing_mm: tuple[float, float, float],
    labels: np.ndarray,
    description: ModelDescription,
) -> np.ndarray:
    """Refine a dRAM inside the lobes.

    The CRF lets the likelier label of a neighbourhood win, and takes 0.5 as undecided. A map trained on percentages
    is undecided at the model's threshold, so its logit is shifted by the threshold's before the CRF, and back after it:
    the refined map is cut at the same threshold as the map.

    Args:
        dram: float32 (z, y, x), 0..1.
        hu: (z, y, x) HU.
        spacing_mm: (z, y, x).
        labels: uint8 (z, y, x): lobes.
        description: The model's: its threshold and CRF settings.

    Returns:
        float32 (z, y, x), 0..1, 0 outside the lobes.
    """
    result = np.zeros(dram.shape, np.float32)
    if not labels.any():
        return result
    box = ndimage.find_objects((labels > 0).astype(np.uint8))[0]
    inside = labels[box] > 0
    shift = float(special.logit(description.threshold))
    shifted = special.expit(special.logit(dram[box].clip(1e-6, 1 - 1e-6)) - shift).astype(np.float32)
    factors = [max(1, int(np.ceil(FINEST_MM / s - 1e-6))) for s in spacing_mm]
    size = tuple(-(-n // f) for n, f in zip(inside.shape, factors, strict=True))
    if size == inside.shape:
        refined = refine(shifted, hu[box], spacing_mm, inside, **asdict(description.crf))
    else:
        coarse = refine(
            resample(shifted, size, order=1),
            resample(hu[box].astype(np.float32), size, order=1),
            tuple(s * n / m for s, n, m in zip(spacing_mm, inside.shape, size, strict=True)),
            resample(inside.astype(np.uint8), size, order=0) > 0,
            **asdict(description.crf),
        )
        refined = resample(coarse, inside.shape, order=1)
    back = special.expit(special.logit(refined.clip(1e-6, 1 - 1e-6)) + shift)
    result[box] = np.where(inside, back, 0)
    return result
