"""Pseudo labels: a map cut lobe by lobe, with what is known of each lobe.

Unlike a segmentation, a pseudo label is made where the weak label is known: a lobe without lesion stays empty
whatever the map says, and a lobe's known percentage can set the threshold.
"""

from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np

from DRAMLesionLib.errors import InputError
from DRAMLesionLib.lobes import LOBES

Rule = Literal["fixed", "otsu", "quantile"]


def pseudo_label(
    lesion_map: np.ndarray,
    labels: np.ndarray,
    percent: Sequence[float | None] | None = None,
    *,
    rule: Rule = "fixed",
    threshold: float = 0.5,
) -> np.ndarray:
    """Cut a map into a pseudo label, lobe by lobe.

    Args:
        lesion_map: float32 (z, y, x), 0..1: the refined dRAM.
        labels: uint8 (z, y, x): lobes, 1..5.
        percent: Known percentage of each lobe (0..100) in the order of :data:`~DRAMLesionLib.lobes.LOBES`; None for a
            lobe, or for all, where nothing is known.
        rule: ``fixed`` cuts at ``threshold``; ``otsu`` at Otsu's threshold of the lobe's map; ``quantile`` keeps the
            voxels with the highest values so that the lobe's known percentage results (``fixed`` where it is unknown).
        threshold: For ``fixed``.

    Returns:
        uint8 (z, y, x), 1 lesion. Empty in lobes whose known percentage is 0.

    Raises:
        InputError: An unknown rule, shapes that differ, or a percentage outside 0..100.
    """
    if rule not in get_args(Rule):
        raise InputError(f"pseudo label rule {rule!r}: use one of {', '.join(get_args(Rule))}")
    if lesion_map.shape != labels.shape:
        raise InputError(
            f"the map has shape {lesion_map.shape}, the lobes {labels.shape}: give both on one grid"
        )
    known = list(percent) if percent is not None else [None] * len(LOBES)
    if len(known) != len(LOBES):
        raise InputError(
            f"percent has {len(known)} entries: give one for each of the {len(LOBES)} lobes, or null"
        )
    result = np.zeros(labels.shape, np.uint8)
    for lobe, value in zip(LOBES, known, strict=True):
        if value is not None and not 0 <= value <= 100:
            raise InputError(f"percent of {lobe.abbreviation}: {value} is not between 0 and 100")
        inside = labels == lobe.value
        if value == 0 or not inside.any():
            continue
        values = lesion_map[inside]
        result[inside] = _cut(values, value, rule, threshold)
    return result


def _cut(values: np.ndarray, percent: float | None, rule: Rule, threshold: float) -> np.ndarray:
    if rule == "otsu":
        return values > otsu_threshold(values)
    if rule == "quantile" and percent is not None:
        # By rank, not by value: a map with ties (many zeros) still gives exactly the known amount.
        count = round(values.size * percent / 100)
        lesion = np.zeros(values.shape, bool)
        lesion[np.argpartition(values, values.size - count)[values.size - count :] if count else []] = True
        return lesion
    return values > threshold


def otsu_threshold(values: np.ndarray, bins: int = 256) -> float:
    """Otsu's threshold (Otsu 1979): the value that separates two classes with the largest variance between them.

    Args:
        values: Any shape, finite.
        bins: Of the histogram.

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
