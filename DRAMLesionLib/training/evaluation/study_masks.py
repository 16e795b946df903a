"""The maps that a study's rows cut, one function per kind of row."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage

from DRAMLesionLib.images.volume import Volume
from DRAMLesionLib.lesions.amount import cut_at_amounts, lobe_amounts
from DRAMLesionLib.lesions.dram import predict_maps
from DRAMLesionLib.lesions.mask import with_refined_dram
from DRAMLesionLib.lesions.networks.bundle import load_any_model
from DRAMLesionLib.lesions.probability import predict_lesion
from DRAMLesionLib.lesions.refined_dram import refine_dram
from DRAMLesionLib.lungs.lobes import LOBES
from DRAMLesionLib.system.errors import InputError
from DRAMLesionLib.training.data.datalist import Scan
from DRAMLesionLib.training.evaluation.study_recipe import StudyRow
from DRAMLesionLib.training.tasks.cam_bundle import load_cam_model
from DRAMLesionLib.training.tasks.cam_network import segment_by_cam

DENSE_HU = -500.0
"""The straight line counts voxels above it, after the plain threshold's Gaussian."""
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
        teacher: For ``combined``: the dRAM model that made the final network's labels. For ``line``: its
            :class:`StraightLine`.
    """
    ct = one.ct
    if mask == "threshold":
        return threshold_map(ct.array)
    if mask == "line":
        return line_map(teacher, one)
    if mask == "cam":
        return segment_by_cam(model, ct, one.lobes, device=device)[0].astype(np.float32)
    wanted = (model.network, model.description, ct.array, one.lobes, ct.spacing_mm)
    if mask == "final":
        return _at_amounts(predict_lesion(*wanted, device=device), model, one)
    if mask == "combined":
        probability = predict_lesion(*wanted, device=device)
        if not model.description.dram_share:
            return _at_amounts(probability, model, one)
        refined = lesion_map("crf", teacher, one, device)
        thresholds = (model.description.threshold, teacher.description.threshold)
        share = model.description.dram_share
        both = with_refined_dram(probability, thresholds[0], refined, thresholds[1], share)
        return _at_amounts(both, model, one)
    maps = predict_maps(*wanted, device=device)
    if mask == "dram":
        return maps.dram
    if mask == "attention":
        return maps.best
    return refine_dram(maps.best, ct.array, ct.spacing_mm, one.lobes, model.description)


def _at_amounts(probability: np.ndarray, model: Any, one: LoadedScan) -> np.ndarray:
    """The map as the main job cuts it: at each lobe's amount, where the model estimates that."""
    settings, ct = model.description.amount, one.ct
    if settings is not None:
        amounts = lobe_amounts(probability, ct.array, one.lobes, ct.spacing_mm, settings)
        cut_at_amounts(probability, one.lobes, model.description.threshold, amounts)
    return probability


@dataclass(frozen=True)
class StraightLine:
    """Percent of a lobe from the percentage of its voxels that are dense: ``offset + slope * dense``."""

    offset: float
    slope: float


def fit_line(scans: Iterable[LoadedScan]) -> StraightLine:
    """The line of least squares through the lobes of training scans whose percentage is known.

    Raises:
        InputError: Fewer than two percentages are known.
    """
    points = []
    for one in scans:
        dense = _smoothed(one.ct.array) > DENSE_HU
        for lobe in LOBES:
            label, inside = one.scan.weak_label(lobe.value), one.lobes == lobe.value
            if label is not None and label.fraction is not None and inside.any():
                points.append((100 * float(dense[inside].mean()), 100 * label.fraction))
    if len(points) < 2:
        raise InputError("the straight line needs two lobes with a known percentage: give them as 'percent'")
    dense_percent, percent = np.array(points).T
    slope, offset = np.polyfit(dense_percent, percent, 1)
    return StraightLine(float(offset), float(slope))


def line_map(line: StraightLine, one: LoadedScan) -> np.ndarray:
    """1 where a lobe's smoothed HU is highest, so many voxels as the line says, else 0; float32 (z, y, x)."""
    smooth, result = _smoothed(one.ct.array), np.zeros(one.lobes.shape, np.float32)
    for lobe in LOBES:
        inside = one.lobes == lobe.value
        if inside.any():
            values = smooth[inside]
            percent = line.offset + line.slope * 100 * float((values > DENSE_HU).mean())
            count = round(min(max(percent, 0), 100) / 100 * values.size)
            if count:
                result[inside] = values >= np.partition(values, values.size - count)[values.size - count]
    return result


def _smoothed(hu: np.ndarray) -> np.ndarray:
    return ndimage.gaussian_filter(hu.astype(np.float32), THRESHOLD_SIGMA)


def threshold_map(hu: np.ndarray) -> np.ndarray:
    """1 where a smoothed CT is brighter than :data:`THRESHOLD_HU`, else 0."""
    return (_smoothed(hu) > THRESHOLD_HU).astype(np.float32)


def threshold_of(row: StudyRow, model: Any) -> float:
    """Where a row's map is cut: the row's own value, else the model's; half where the map is a mask already."""
    if row.cut is not None:
        return row.cut
    return 0.5 if row.mask in ("threshold", "line", "cam") else float(model.description.threshold)
