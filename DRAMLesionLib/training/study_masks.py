"""The maps that a study's rows cut, one function per kind of row."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import ndimage

from DRAMLesionLib.dram import predict_maps
from DRAMLesionLib.refined_dram import refine_dram
from DRAMLesionLib.segmentation import predict_lesion
from DRAMLesionLib.training.datalist import Scan
from DRAMLesionLib.training.study_recipe import StudyRow
from DRAMLesionLib.volume import Volume

THRESHOLD_HU = -600.0
THRESHOLD_SIGMA = 1.5
"""The plain threshold's: HU above which a voxel is lesion, after a Gaussian of so many voxels."""


@dataclass(frozen=True)
class LoadedScan:
    """A scan of the study.

    Attributes:
        part: ``training`` or ``validation``.
        scan: Its row.
        ct: The CT.
        lobes: uint8 (z, y, x), 1..5.
        expert: uint8 (z, y, x), 1 lesion, inside the lobes.
    """

    part: str
    scan: Scan
    ct: Volume
    lobes: np.ndarray
    expert: np.ndarray


def lesion_map(mask: str, model: Any, one: LoadedScan, device: str) -> np.ndarray:
    """The map that a row cuts: float32 (z, y, x), 0..1.

    Args:
        mask: One of :data:`~DRAMLesionLib.training.study_recipe.MASKS`.
        model: The loaded model; None for ``threshold``.
        one: The scan.
        device: Where to compute.
    """
    ct = one.ct
    if mask == "threshold":
        return threshold_map(ct.array)
    wanted = (model.network, model.description, ct.array, one.lobes, ct.spacing_mm)
    if mask == "final":
        return predict_lesion(*wanted, device=device)
    if mask == "cam":
        from DRAMLesionLib.cam import cam_mask

        return cam_mask(*wanted, device=device).astype(np.float32)
    maps = predict_maps(*wanted, device=device)
    if mask == "dram":
        return maps.dram
    if mask == "attention":
        return maps.best
    return refine_dram(maps.best, ct.array, ct.spacing_mm, one.lobes, model.description)


def threshold_map(hu: np.ndarray) -> np.ndarray:
    """1 where a smoothed CT is brighter than :data:`THRESHOLD_HU`, else 0."""
    return (ndimage.gaussian_filter(hu.astype(np.float32), THRESHOLD_SIGMA) > THRESHOLD_HU).astype(np.float32)


def threshold_of(row: StudyRow, model: Any) -> float:
    """Where a row's map is cut: the row's own value, else the model's; half where the map is a mask already."""
    if row.cut is not None:
        return row.cut
    return 0.5 if row.mask in ("threshold", "cam") else float(model.description.threshold)
