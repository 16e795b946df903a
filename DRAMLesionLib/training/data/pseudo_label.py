"""Pseudo labels: a map cut lobe by lobe, with what is known of each lobe.

Unlike a segmentation, a pseudo label is made where the weak label is known: a lobe without lesion stays empty
whatever the map says, and a lobe's known percentage can set the threshold.
"""

from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
from scipy import ndimage

from DRAMLesionLib.images.box import bounding_box
from DRAMLesionLib.lungs.lobes import LOBES
from DRAMLesionLib.system.errors import InputError

Rule = Literal["fixed", "otsu", "quantile"]


def pseudo_label(
    lesion_map: np.ndarray,
    labels: np.ndarray,
    percent: Sequence[float | None] | None = None,
    *,
    rule: Rule = "fixed",
    threshold: float = 0.5,
    bounds: Sequence[tuple[float, float] | None] | None = None,
) -> np.ndarray:
    """Cut a map into a pseudo label, lobe by lobe.

    Args:
        lesion_map: float32 (z, y, x), 0..1: the refined dRAM.
        labels: uint8 (z, y, x): lobes, 1..5.
        percent: Known percentage of each lobe (0..100) in the order of :data:`~DRAMLesionLib.lungs.lobes.LOBES`; None
            for a lobe, or for all, where nothing is known.
        rule: ``fixed`` cuts at ``threshold``; ``otsu`` at Otsu's threshold of the lobe's map; ``quantile`` keeps the
            voxels with the highest values so that the lobe's known percentage results (``fixed`` where it is unknown).
        threshold: For ``fixed``.
        bounds: For each lobe the least and the largest percentage that agree with what is known of it, for instance with
            its severity score: a label with less or more is cut by rank instead, at the nearer bound. None for a lobe, or
            for all, without bounds.

    Returns:
        uint8 (z, y, x), 1 lesion. Empty in lobes whose known percentage is 0.

    Raises:
        InputError: An unknown rule, shapes that differ, or a percentage or bounds outside 0..100.
    """
    if rule not in get_args(Rule):
        raise InputError(f"pseudo label rule {rule!r}: use one of {', '.join(get_args(Rule))}")
    if lesion_map.shape != labels.shape:
        raise InputError(
            f"the map has shape {lesion_map.shape}, the lobes {labels.shape}: give both on one grid"
        )
    known = list(percent) if percent is not None else [None] * len(LOBES)
    ranges = list(bounds) if bounds is not None else [None] * len(LOBES)
    for name, given in (("percent", known), ("bounds", ranges)):
        if len(given) != len(LOBES):
            raise InputError(
                f"{name} has {len(given)} entries: give one for each of the {len(LOBES)} lobes, or null"
            )
    result = np.zeros(labels.shape, np.uint8)
    for lobe, value, limits in zip(LOBES, known, ranges, strict=True):
        if value is not None and not 0 <= value <= 100:
            raise InputError(f"percent of {lobe.abbreviation}: {value} is not between 0 and 100")
        if limits is not None and not 0 <= limits[0] <= limits[1] <= 100:
            raise InputError(f"bounds of {lobe.abbreviation}: {limits} are not between 0 and 100 in order")
        inside = labels == lobe.value
        if value == 0 or not inside.any():
            continue
        values = lesion_map[inside]
        lesion = _cut(values, value, rule, threshold)
        result[inside] = lesion if limits is None else _bounded(values, lesion, limits)
    return result


def smooth_inside(
    lesion_map: np.ndarray, mask: np.ndarray, spacing_mm: tuple[float, float, float], sigma_mm: float
) -> np.ndarray:
    """A map after a Gaussian that sees the mask alone, so that its border does not fade.

    Args:
        lesion_map: float32 (z, y, x).
        mask: bool (z, y, x): the lobes.
        spacing_mm: (z, y, x).
        sigma_mm: Width (sigma) of the Gaussian, mm; 0 leaves the map as it is.

    Returns:
        float32 (z, y, x), 0 outside the mask.
    """
    if sigma_mm == 0 or not mask.any():
        return np.where(mask, lesion_map, np.float32(0))
    box = bounding_box(mask)
    sigma = [sigma_mm / s for s in spacing_mm]
    inside = mask[box].astype(np.float32)
    blurred = ndimage.gaussian_filter(lesion_map[box] * inside, sigma, mode="constant", truncate=3.0)
    amount = ndimage.gaussian_filter(inside, sigma, mode="constant", truncate=3.0)
    result = np.zeros(lesion_map.shape, np.float32)
    result[box] = np.where(mask[box], blurred / np.maximum(amount, 1e-6), 0)
    return result


def _cut(values: np.ndarray, percent: float | None, rule: Rule, threshold: float) -> np.ndarray:
    if rule == "otsu":
        return values > otsu_threshold(values)
    if rule == "quantile" and percent is not None:
        return _highest(values, percent)
    return values > threshold


def _bounded(values: np.ndarray, lesion: np.ndarray, bounds: tuple[float, float]) -> np.ndarray:
    percent = 100 * float(lesion.mean())
    nearest = min(max(percent, bounds[0]), bounds[1])
    return lesion if nearest == percent else _highest(values, nearest)


def _highest(values: np.ndarray, percent: float) -> np.ndarray:
    # By rank, not by value: a map with ties (many zeros) still gives exactly the known amount.
    count = round(values.size * percent / 100)
    lesion = np.zeros(values.shape, bool)
    lesion[np.argpartition(values, values.size - count)[values.size - count :] if count else []] = True
    return lesion


def otsu_threshold(values: np.ndarray, bins: int = 256) -> float:
    """Otsu's threshold (Otsu 1979): the value that separates two classes with the largest variance between them.

    Args:
        values: Any shape, finite.
        bins: How many bins the histogram has.

    Returns:
        The threshold; the value itself where all are equal.
    """
    import SimpleITK as sitk

    low, high = float(values.min()), float(values.max())
    if low == high:
        return low
    image = sitk.GetImageFromArray(values.reshape(1, -1).astype(np.float32))
    otsu = sitk.OtsuThresholdImageFilter()
    otsu.SetNumberOfHistogramBins(bins)
    otsu.Execute(image)
    return float(otsu.GetThreshold())
