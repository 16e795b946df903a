"""The maps that a study's rows cut, one function per kind of row."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage

from DRAMLesionLib.images.volume import Volume
from DRAMLesionLib.lesions.dram import predict_maps
from DRAMLesionLib.lesions.mask import with_refined_dram
from DRAMLesionLib.lesions.networks.bundle import load_any_model
from DRAMLesionLib.lesions.probability import predict_lesion
from DRAMLesionLib.lesions.refined_dram import refine_dram
from DRAMLesionLib.training.data.datalist import Scan
from DRAMLesionLib.training.evaluation.study_recipe import StudyRow
from DRAMLesionLib.training.tasks.cam_bundle import load_cam_model
from DRAMLesionLib.training.tasks.cam_network import segment_by_cam

THRESHOLD_HU = -600.0
THRESHOLD_SIGMA = 1.5
"""The plain threshold's: HU above which a voxel is lesion, after a Gaussian of so many voxels."""


@dataclass(frozen=True)
class LoadedScan:
    """A scan of the study.

    Attributes:
        part: ``training`` or ``validation``.
        scan: The scan's row of the data list.
        ct: The CT.
        lobes: uint8 (z, y, x), 1..5.
        expert: uint8 (z, y, x), 1 lesion, inside the lobes.
    """

    part: str
    scan: Scan
    ct: Volume
    lobes: np.ndarray
    expert: np.ndarray


def load_row_model(mask: str, folder: Path, device: str = "cpu") -> Any:
    """The model in a row's folder, of the kind that ``mask`` needs."""
    if mask == "cam":
        return load_cam_model(folder, device)
    return load_any_model(folder, device)


def lesion_map(mask: str, model: Any, one: LoadedScan, device: str, teacher: Any = None) -> np.ndarray:
    """The map that a row cuts: float32 (z, y, x), 0..1.

    Args:
        mask: One of :data:`~DRAMLesionLib.training.evaluation.study_recipe.MASKS`.
        model: The loaded model; None for ``threshold``.
        one: The scan.
        device: Where to compute.
        teacher: For ``combined``: the dRAM model that made the final network's labels.
    """
    ct = one.ct
    if mask == "threshold":
        return threshold_map(ct.array)
    if mask == "cam":
        return segment_by_cam(model, ct, one.lobes, device=device)[0].astype(np.float32)
    wanted = (model.network, model.description, ct.array, one.lobes, ct.spacing_mm)
    if mask == "final":
        return predict_lesion(*wanted, device=device)
    if mask == "combined":
        probability = predict_lesion(*wanted, device=device)
        refined = lesion_map("crf", teacher, one, device)
        thresholds = (model.description.threshold, teacher.description.threshold)
        share = model.description.dram_share
        return with_refined_dram(probability, thresholds[0], refined, thresholds[1], share)
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
