"""How much of each lobe, each lung and both lungs is lesion: mL, percent, severity score and density.

Everything is counted per label and density class with one :func:`numpy.bincount` per slab of slices, so that
the extra memory stays a few slices large whatever the CT's size. Lungs and the total are sums of the lobes'
counts, never counted again: the table always adds up.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from DRAMLesionLib.images.box import Box
from DRAMLesionLib.lungs.lobes import LOBES, LobeMap
from DRAMLesionLib.system.errors import InputError

SCORE_EDGES = (1.0, 5.0, 25.0, 50.0, 75.0)
"""Percent of a lobe from which the score is 1, 2, 3, 4 and 5: an edge belongs to the higher score."""

SCORE_SOURCE = (
    "F. Pan, T. Ye, P. Sun et al., Time Course of Lung Changes at Chest CT during Recovery from Coronavirus "
    "Disease 2019 (COVID-19), Radiology 2020;295:715-721, doi:10.1148/radiol.2020200370"
)
"""Where the score of 0..5 per lobe and 0..25 in total comes from."""

SCORE_DIFFERENCE = (
    "The paper's score is a reader's visual estimate: 0 no involvement, 1 below 5 %, 2 5-25 %, 3 26-49 %, "
    "4 50-75 %, 5 above 75 %. Here it is taken from the measured percentage: 0 below 1 %, 1 from 1 %, "
    "2 from 5 %, 3 from 25 %, 4 from 50 %, 5 from 75 %. So traces below 1 % score 0 where a reader who sees "
    "them gives 1, and exactly 25 % or 75 % scores one more."
)
"""How the ranges used here differ from those of :data:`SCORE_SOURCE`."""

GROUND_GLASS_HU = (-750.0, -300.0)
"""Lesion voxels in this range count as ground glass: the lower end belongs to it, the upper end does not."""

CONSOLIDATION_HU = (-300.0, 50.0)
"""Lesion voxels in this range count as consolidation: both ends belong to it."""

HU_SOURCE = (
    "Commonly used ranges; there is no standard. -300 HU as the border of ground glass is supported by: "
    "Quantitative CT for detecting COVID-19 pneumonia in suspected cases, BMC Infectious Diseases 2021, "
    "doi:10.1186/s12879-021-06556-z (47 patients; of eight thresholds, -300 HU made the ground-glass volume "
    "most useful). The outer ends, -750 and 50 HU, are a convention of this software."
)
"""Where the HU ranges come from, and what does not come from there."""

_GROUND_GLASS, _CONSOLIDATION, _OTHER = 1, 2, 3
DENSITY_CLASSES = 3
"""How many density classes a lesion voxel can have, see :func:`density_class`."""
_SLAB_VOXELS = 2_000_000


@dataclass(frozen=True)
class Region:
    """One lobe, one lung, or both lungs.

    Attributes:
        key: ``LUL``, ``LLL``, ``RUL``, ``RML``, ``RLL``, ``left``, ``right`` or ``total``.
        name: For people: ``left upper lobe``.
        volume_ml: The region's volume in mL.
        lesion_ml: The lesion inside the region in mL.
        percent: Lesion voxels in percent of the region's voxels, 0..100; None where the region has no voxels.
        dram_percent: 100 times the mean of the dRAM over the region; None without a map or without voxels.
        score: Severity score 0..5 of a lobe, None of a lung, 0..25 in total. A lobe without voxels scores 0.
        ground_glass_ml: Lesion of the HU range :data:`GROUND_GLASS_HU` in mL.
        consolidation_ml: Lesion of the HU range :data:`CONSOLIDATION_HU` in mL.
        other_ml: Lesion outside both ranges in mL; the three add up to ``lesion_ml``.
        mean_hu: Mean HU of the region; None where it has no voxels.
        lesion_mean_hu: Mean HU of the lesion in the region; None where there is none.
        percent_low: Lower end of the range about ``percent`` of a lobe, see :mod:`DRAMLesionLib.lesions.amount`; None
            where there is no such estimate.
        percent_high: Upper end of that range.
    """

    key: str
    name: str
    volume_ml: float
    lesion_ml: float
    percent: float | None
    dram_percent: float | None
    score: int | None
    ground_glass_ml: float
    consolidation_ml: float
    other_ml: float
    mean_hu: float | None
    lesion_mean_hu: float | None
    percent_low: float | None = None
    percent_high: float | None = None


@dataclass(frozen=True)
class Quantification:
    """The measurements of one CT.

    Attributes:
        regions: The five lobes in the order of their labels, then left lung, right lung and total.
    """

    regions: tuple[Region, ...]

    @property
    def lobes(self) -> tuple[Region, ...]:
        """The five lobes, in the order of their labels."""
        return self.regions[:5]

    @property
    def total(self) -> Region:
        """Both lungs together."""
        return self.regions[-1]

    def with_ranges(self, ranges: Mapping[int, tuple[float, float]]) -> Quantification:
        """These measurements with the range of each lobe's percentage.

        Args:
            ranges: Lower and upper end in percent, by the lobe's value; lobes without one are left as they are.
        """
        lobes = [
            replace(region, percent_low=ranges[lobe.value][0], percent_high=ranges[lobe.value][1])
            if lobe.value in ranges
            else region
            for lobe, region in zip(LOBES, self.lobes, strict=True)
        ]
        return Quantification((*lobes, *self.regions[len(LOBES) :]))

    @property
    def total_score(self) -> int:
        """The sum of the five lobes' severity scores, 0..25."""
        return sum(region.score or 0 for region in self.lobes)

    def __getitem__(self, key: str) -> Region:
        """The region of that key.

        Raises:
            KeyError: There is no such region.
        """
        for region in self.regions:
            if region.key == key:
                return region
        raise KeyError(key)


def severity_score(percent: float) -> int:
    """The CT severity score 0..5 of a lobe with ``percent`` (0..100) of lesion.

    0 below 1 %, 1 below 5 %, 2 below 25 %, 3 below 50 %, 4 below 75 %, else 5: a value on an edge belongs to
    the higher score. Source: :data:`SCORE_SOURCE`, with :data:`SCORE_DIFFERENCE`.

    Raises:
        ValueError: ``percent`` is not a number from 0 to 100.
    """
    if not 0.0 <= percent <= 100.0:
        raise ValueError(f"severity_score: percent must be from 0 to 100; got {percent}")
    return int(np.searchsorted(SCORE_EDGES, percent, side="right"))


def quantify(
    hu: np.ndarray,
    lobes: LobeMap,
    lesion: np.ndarray,
    spacing_mm: Sequence[float],
    dram: np.ndarray | None = None,
) -> Quantification:
    """Measure lesion per lobe, per lung and in total.

    Lesion voxels outside the lobes are not counted.

    Args:
        hu: The CT in HU, shape (z, y, x).
        lobes: The lobes on the same grid.
        lesion: Boolean or integer, shape (z, y, x); every value but 0 is lesion.
        spacing_mm: Voxel size (z, y, x) in mm.
        dram: The dense regression activation map, 0..1, shape (z, y, x); None where there is none.

    Returns:
        The eight regions. Sums are float64.

    Raises:
        InputError: The shapes differ, the spacing is not three positive numbers, or a label is not 0..5.
    """
    running = RunningQuantification(hu, lobes, lesion, spacing_mm, dram)
    for _part in running.counting():
        pass
    return running.table


class RunningQuantification:
    """The measurements of a mask that changes box by box: each change is counted in its box alone."""

    def __init__(
        self,
        hu: np.ndarray,
        lobes: LobeMap,
        lesion: np.ndarray,
        spacing_mm: Sequence[float],
        dram: np.ndarray | None = None,
    ) -> None:
        """Check the arrays, which are kept; :meth:`counting` counts them. Arguments and errors: see :func:`quantify`."""
        _check(hu, lobes.labels, lesion, spacing_mm, dram)
        self._hu, self._labels, self._lesion, self._dram = hu, lobes.labels, lesion, dram
        self._voxel_ml = float(np.prod(np.asarray(spacing_mm, dtype=np.float64))) / 1000.0
        self._sums = np.zeros((3, 24))

    def counting(self) -> Iterator[int]:
        """Count the whole mask once, and yield the number of the slice after each part; nothing may change meanwhile."""
        step = max(1, _SLAB_VOXELS // max(1, self._hu[0].size))
        for start in range(0, self._hu.shape[0], step):
            slab = slice(start, start + step)
            dram = None if self._dram is None else self._dram[slab]
            self._sums += _sums(self._hu[slab], self._labels[slab], self._lesion[slab], dram)
            yield start + step

    def change(self, box: Box, before: np.ndarray, after: np.ndarray) -> None:
        """Count a change of the mask.

        Args:
            box: Where, (z, y, x).
            before: The mask that was there, shape of the box.
            after: The mask that is there now, shape of the box.
        """
        changed = (before != 0) != (after != 0)
        if not changed.any():
            return
        hu, labels = self._hu[box][changed], self._labels[box][changed]
        dram = None if self._dram is None else self._dram[box][changed]
        self._sums += _sums(hu, labels, after[changed], dram) - _sums(hu, labels, before[changed], dram)

    @property
    def table(self) -> Quantification:
        """The measurements now."""
        counts = _Counts(*self._sums.reshape(3, 6, 4))
        return _regions(counts, self._voxel_ml, with_dram=self._dram is not None)


@dataclass
class _Counts:
    """Per label (0..5) and lesion class (0 none, ground glass, consolidation, other): shape (6, 4)."""

    voxels: np.ndarray
    hu: np.ndarray
    dram: np.ndarray

    def of(self, values: Sequence[int]) -> _Counts:
        """The sums over some labels: shape (4,)."""
        rows = list(values)
        return _Counts(*(a[rows].sum(axis=0) for a in (self.voxels, self.hu, self.dram)))


def _sums(hu: np.ndarray, labels: np.ndarray, lesion: np.ndarray, dram: np.ndarray | None) -> np.ndarray:
    """Voxels, summed HU and summed dRAM per label and lesion class: shape (3, 24)."""
    sums = np.zeros((3, 24))
    inside = labels != 0
    values = hu[inside]
    bins = labels[inside].astype(np.intp) * 4
    bins += np.where(lesion[inside] != 0, density_class(values), 0)
    sums[0] = np.bincount(bins, minlength=24)
    sums[1] = np.bincount(bins, weights=values, minlength=24)
    if dram is not None:
        sums[2] = np.bincount(bins, weights=dram[inside], minlength=24)
    return sums


def density_class(hu: np.ndarray) -> np.ndarray:
    """The density class of lesion voxels: 1 ground glass, 2 consolidation, 3 other.

    Args:
        hu: HU, any shape.

    Returns:
        Integers of the same shape.
    """
    ground_glass = (hu >= GROUND_GLASS_HU[0]) & (hu < GROUND_GLASS_HU[1])
    consolidation = (hu >= CONSOLIDATION_HU[0]) & (hu <= CONSOLIDATION_HU[1])
    return np.where(ground_glass, _GROUND_GLASS, np.where(consolidation, _CONSOLIDATION, _OTHER))


def _regions(counts: _Counts, voxel_ml: float, with_dram: bool) -> Quantification:
    lobes = tuple(
        _region(lobe.abbreviation, lobe.name, counts.of([lobe.value]), voxel_ml, with_dram, is_lobe=True)
        for lobe in LOBES
    )
    lungs = tuple(
        _region(
            side, f"{side} lung", counts.of([b.value for b in LOBES if b.side == side]), voxel_ml, with_dram
        )
        for side in ("left", "right")
    )
    everything = counts.of([lobe.value for lobe in LOBES])
    score = sum(lobe.score or 0 for lobe in lobes)
    total = _region("total", "both lungs", everything, voxel_ml, with_dram, score=score)
    return Quantification((*lobes, *lungs, total))


def _region(
    key: str,
    name: str,
    counts: _Counts,
    voxel_ml: float,
    with_dram: bool,
    is_lobe: bool = False,
    score: int | None = None,
) -> Region:
    voxels, lesion = float(counts.voxels.sum()), float(counts.voxels[1:].sum())
    percent = 100.0 * lesion / voxels if voxels else None
    if is_lobe:
        score = severity_score(percent) if percent is not None else 0
    return Region(
        key=key,
        name=name,
        volume_ml=voxels * voxel_ml,
        lesion_ml=lesion * voxel_ml,
        percent=percent,
        dram_percent=100.0 * float(counts.dram.sum()) / voxels if with_dram and voxels else None,
        score=score,
        ground_glass_ml=float(counts.voxels[_GROUND_GLASS]) * voxel_ml,
        consolidation_ml=float(counts.voxels[_CONSOLIDATION]) * voxel_ml,
        other_ml=float(counts.voxels[_OTHER]) * voxel_ml,
        mean_hu=float(counts.hu.sum()) / voxels if voxels else None,
        lesion_mean_hu=float(counts.hu[1:].sum()) / lesion if lesion else None,
    )


def _check(
    hu: np.ndarray,
    labels: np.ndarray,
    lesion: np.ndarray,
    spacing_mm: Sequence[float],
    dram: np.ndarray | None,
) -> None:
    if hu.ndim != 3:
        raise InputError(f"CT has {hu.ndim} dimensions: give a volume (z, y, x)")
    for name, array in (("lobes", labels), ("lesion", lesion), ("dRAM", dram)):
        if array is not None and array.shape != hu.shape:
            raise InputError(f"{name} has shape {array.shape}, CT has {hu.shape}: give both on the CT's grid")
    if len(spacing_mm) != 3 or not all(np.isfinite(s) and s > 0 for s in spacing_mm):
        raise InputError(f"spacing is {tuple(spacing_mm)}: give three positive sizes (z, y, x) in mm")
    if labels.size and (labels.max() > 5 or labels.min() < 0):
        raise InputError(f"lobes hold the labels {labels.min()} to {labels.max()}: give labels 0 to 5")
