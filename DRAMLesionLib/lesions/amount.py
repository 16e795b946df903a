"""How much of each lobe is lesion, and how sure that is: from the whole lobe, before any voxel is decided.

A map may be faint where most of a lobe is sick, so that one threshold for all lobes gives too little there. So the amount
comes first, from the map's mean (the expected share of lesion voxels); then the map is cut in each lobe where it gives
that amount. Where far more of a lobe must be sick than the map says, a network that sees both lungs whole gives the
amount, or without one the lobe's density.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from scipy import special

from DRAMLesionLib.images.box import Box, bounding_box, label_boxes
from DRAMLesionLib.lesions.networks.final_description import AmountSettings
from DRAMLesionLib.lungs.lobes import LOBES

DENSE_MM = 2.0
"""Sigma of the Gaussian before a voxel is called dense, in mm: single vessels and noise are not."""
FINEST_MM = 1.4
"""Density is looked at on a grid that is about as fine as this, in every second or third voxel of finer CTs."""
HELD_HU = (-1100.0, 400.0)
"""HU that count as they are: metal and calcium shall not make their surroundings dense."""
WIDER = 3.0
"""Where density overrules the map, the range goes from the map's lower end so many half widths up: often still more of
the lobe is sick. It held 84 % of 55 lobes with pasted disease (one half width: 53 %)."""
HEEDED = (10.0, 20.0)
"""Percent from which on the network that sees both lungs counts, and from which on in full: it learned for severe lobes,
and in mild ones the map knows better."""
HIGHER = 2.0
"""Where that network raises a lobe, the range goes from the map's lower end so many half widths up: it says too little
more often than too much. It held 95 % of 62 raised lobes with made lesions (one half width: 71 %); with the networks of
the study's split 72 % of 96 (47 %)."""
LEAST = 1e-6
"""Probabilities are kept this far from 0 and 1, so that they have log odds."""
UNSPLIT = 1 << 14
"""torch leaves so many values to one thread. Where it splits them, the last bits of those at the cuts are others, and so
the results would depend on the number of threads."""


@dataclass(frozen=True)
class Amount:
    """How much of a lobe is lesion.

    Attributes:
        percent: The estimate, 0..100.
        low: Lower end of the range that was set to hold the true percentage of about 80 in 100 lobes.
        high: Upper end of that range.
        by_map: What the map alone says, 0..100; None where it was not asked.
        by_density: What the density of the lobe alone says, 0..100; None where it was not asked.
        by_lungs: What the network says that sees both lungs whole, 0..100; None where it was not asked.
    """

    percent: float
    low: float
    high: float
    by_map: float | None = None
    by_density: float | None = None
    by_lungs: float | None = None

    @property
    def is_by_density(self) -> bool:
        """The map's answer was overruled by the lobe's density."""
        return self.by_density is not None and self.is_raised

    @property
    def is_raised(self) -> bool:
        """The map's answer was overruled."""
        return self.by_map is not None and self.percent > self.by_map


def lobe_amounts(
    lesion_map: np.ndarray,
    hu: np.ndarray,
    labels: np.ndarray,
    spacing_mm: tuple[float, float, float],
    settings: AmountSettings,
    whole: Mapping[int, float] | None = None,
) -> dict[int, Amount]:
    """Estimate each lobe's percentage: ``offset + mean * m + square * m ** 2 / 100 + dense * d``, from 0 to 100.

    Here m is 100 times the map's mean over the lobe, and d the percentage of its voxels that are dense. It is no less
    than the share of the lobe where the map is above ``sure``, if that is set. Where the lobe's density alone says more,
    see :class:`~DRAMLesionLib.lesions.networks.final_description.DensityFloor`, that counts.

    Args:
        lesion_map: float32 (z, y, x), 0..1.
        hu: (z, y, x) HU.
        labels: uint8 (z, y, x), lobes 1..5.
        spacing_mm: (z, y, x).
        settings: Of the model that made the map.
        whole: Percent by the lobe's value that the network says that sees both lungs whole
            (:func:`~DRAMLesionLib.lesions.whole_lungs.percents.lobe_percents`). It takes the place of the density: where
            it says more than the map, and enough, that counts.

    Returns:
        By the lobe's value; lobes without voxels are left out.
    """
    voxels, mean, sure = np.zeros((3, len(LOBES) + 1))

    def count(lobe: int, box: Box) -> None:
        values = lesion_map[box][labels[box] == lobe]
        voxels[lobe], mean[lobe] = values.size, values.sum(dtype=float)
        if settings.sure is not None:
            sure[lobe] = np.count_nonzero(values > settings.sure)

    _each_lobe(labels, count)
    dense, by_density = np.zeros_like(voxels), None
    if settings.dense:
        dense = dense_percent(hu, labels, spacing_mm, settings.dense_hu)
    if settings.floor is not None and whole is None:
        floor = settings.floor
        very_dense = dense_percent(hu, labels, spacing_mm, floor.dense_hu)
        by_density = np.clip(floor.slope * (very_dense - floor.start), 0, 100)
    amounts = {}
    for value in (lobe.value for lobe in LOBES if voxels[lobe.value]):
        m, d = 100 * mean[value] / voxels[value], dense[value]
        points = settings.offset + settings.mean * m + settings.square * m**2 / 100 + settings.dense * d
        said = None if by_density is None else float(by_density[value])
        by_map = max(float(np.clip(points, 0, 100)), 100 * sure[value] / voxels[value])
        amount = _with_density(by_map, said, settings)
        amounts[value] = amount if whole is None else _with_lungs(amount, whole.get(value, 0.0), settings)
    return amounts


def dense_percent(
    hu: np.ndarray, labels: np.ndarray, spacing_mm: tuple[float, float, float], limit: float
) -> np.ndarray:
    """How much of each lobe is denser than a limit, where the mean about a voxel counts (a Gaussian of 2 mm).

    What lies outside the lobes does not count: the chest wall would make all lung beside it dense.

    Args:
        hu: (z, y, x) HU.
        labels: uint8 (z, y, x), lobes 1..5.
        spacing_mm: (z, y, x).
        limit: In HU.

    Returns:
        float64 (6,): percent of each lobe's voxels by the lobe's value; 0 where there are none.
    """
    steps = [max(1, int(FINEST_MM / length)) for length in spacing_mm]
    part = tuple(slice(None, None, step) for step in steps)
    hu, labels = hu[part], labels[part]
    dense = np.zeros(len(LOBES) + 1)
    if not labels.any():
        return dense
    box = bounding_box(labels > 0)
    hu, labels = hu[box], labels[box]

    import torch

    from DRAMLesionLib.images.resampling import gaussian, slabs

    def above(slab: slice) -> torch.Tensor:
        values = np.clip(hu[slab].astype(np.float32), *HELD_HU) - np.float32(limit)
        return torch.from_numpy(values * (labels[slab] > 0))

    sigma = [DENSE_MM / (length * step) for length, step in zip(spacing_mm, steps, strict=True)]
    smooth, voxels = gaussian(above, hu.shape, sigma), np.zeros_like(dense)
    for slab in slabs(hu.shape):
        lobes = labels[slab]
        inside = lobes > 0  # few of all: bincount makes eight bytes of each
        voxels += np.bincount(lobes[inside], minlength=len(dense))
        dense += np.bincount(lobes[inside & (smooth[slab] > 0)], minlength=len(dense))
    return 100 * dense / np.maximum(voxels, 1)


def _with_density(by_map: float, by_density: float | None, settings: AmountSettings) -> Amount:
    """What the map says, unless the lobe's density says more."""
    amount = replace(with_range(by_map, settings), by_map=by_map, by_density=by_density)
    if by_density is None or settings.floor is None or by_map < settings.floor.seen or by_density <= by_map:
        return amount
    high = min(100.0, by_density + WIDER * _half_width(by_density, settings))
    return replace(amount, percent=by_density, high=high)


def _with_lungs(amount: Amount, whole: float, settings: AmountSettings) -> Amount:
    """What the map says, unless the network that sees both lungs says more and is past :data:`HEEDED`."""
    first, last = HEEDED
    floor = whole * min(1.0, max(0.0, (whole - first) / (last - first)))
    amount = replace(amount, by_lungs=whole)
    if floor <= amount.percent:
        return amount
    high = min(100.0, floor + HIGHER * _half_width(floor, settings))
    return replace(amount, percent=floor, high=high)


def with_range(percent: float, settings: AmountSettings) -> Amount:
    """A percentage with its range: wide in the middle, narrow where a lobe has almost nothing or nothing left."""
    half = _half_width(percent, settings)
    return Amount(percent, max(0.0, percent - half), min(100.0, percent + half))


def _half_width(percent: float, settings: AmountSettings) -> float:
    return settings.error_points + settings.error_share * min(percent, 100 - percent)


def lobe_cuts(lesion_map: np.ndarray, labels: np.ndarray, amounts: Mapping[int, Amount]) -> dict[int, float]:
    """Where the map has to be cut in each lobe, so that the voxels above the cut are the lobe's amount.

    Args:
        lesion_map: float32 (z, y, x), 0..1, 0 outside the lobes.
        labels: uint8 (z, y, x).
        amounts: By the lobe's value.

    Returns:
        By the lobe's value, 0..1: in the middle between the last voxel that is lesion and the next one; 1 where nothing
        is lesion, 0 where all is.
    """
    return {lobe: _cut(lesion_map[labels == lobe], amount) for lobe, amount in amounts.items()}


def _cut(values: np.ndarray, amount: Amount) -> float:
    """What :func:`lobe_cuts` gives for the values of one lobe's voxels, float32 (voxels,)."""
    count = round(values.size * amount.percent / 100)
    if count in (0, values.size):
        return 0.0 if count else 1.0
    last = values.size - count
    ordered = np.partition(values, (last - 1, last))
    return float(ordered[last - 1 : last + 1].mean())


def cut_at_amounts(
    lesion_map: np.ndarray, labels: np.ndarray, threshold: float, amounts: Mapping[int, Amount]
) -> None:
    """Change a map, in place, so that one threshold cuts each lobe at its amount: the lobe's log odds move together.

    Args:
        lesion_map: float32 (z, y, x), 0..1, 0 outside the lobes.
        labels: uint8 (z, y, x): lobes.
        threshold: The value that shall be each lobe's cut, 0..1.
        amounts: By the lobe's value.
    """
    import torch

    def move(lobe: int, box: Box) -> None:
        here, part = labels[box] == lobe, lesion_map[box]
        values, by = part[here], 0.0
        if lobe in amounts:
            cut = np.clip(_cut(values, amounts[lobe]), LEAST, 1 - LEAST)
            by = float(np.float32(special.logit(threshold) - special.logit(cut)))
        for start in range(0, values.size, UNSPLIT):
            torch.from_numpy(values[start : start + UNSPLIT]).logit_(LEAST).add_(by).sigmoid_()
        part[here] = values

    _each_lobe(labels, move)


def _each_lobe(labels: np.ndarray, work: Callable[[int, Box], None]) -> None:
    """Call a function for each lobe that has voxels, with its value and its box; by several threads at once."""
    import torch

    from DRAMLesionLib.lesions.crf.threads import one_thread_each

    boxes = label_boxes(labels, len(LOBES))
    works = [partial(work, lobe, box) for lobe, box in enumerate(boxes, start=1) if box is not None]
    one_thread_each(works, torch.device("cpu"))


def ranges_of(amounts: Mapping[int, Amount]) -> dict[int, tuple[float, float]]:
    """The ranges alone, percent, by the lobe's value."""
    return {lobe: (amount.low, amount.high) for lobe, amount in amounts.items()}


def amounts_for_record(amounts: Mapping[int, Amount]) -> dict[str, dict[str, float | str | None]]:
    """What each lobe's percentage comes from, as JSON values by the lobe's abbreviation."""
    return {
        lobe.abbreviation: {
            "source": _source(amounts[lobe.value]),
            "map_percent": _rounded(amounts[lobe.value].by_map),
            "density_percent": _rounded(amounts[lobe.value].by_density),
            "lungs_percent": _rounded(amounts[lobe.value].by_lungs),
        }
        for lobe in LOBES
        if lobe.value in amounts
    }


def _source(amount: Amount) -> str:
    if not amount.is_raised:
        return "map"
    return "density" if amount.is_by_density else "lungs"


def _rounded(percent: float | None) -> float | None:
    return None if percent is None else round(percent, 2)
