"""COVID-19 lesions of the phantom: patches of ground glass with consolidation in them, of a wanted size per lobe.

Each lobe has a level set (patches, irregular at two scales, higher under the pleura and at the back). The lesion is
where it exceeds its quantile at the wanted fraction, so the fraction is met to a voxel.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from DRAMLesionLib.phantom.anatomy import Thorax
from DRAMLesionLib.phantom.fields import Grid

GROUND_GLASS, CONSOLIDATION = 1, 2


@dataclass(frozen=True)
class _Lobe:
    """What is in one lobe's bounding box and a voxel around it.

    Attributes:
        grid: The box's voxels.
        inside: bool (z, y, x), the lobe.
        other: bool (z, y, x), other lobes.
        depth: float32 (z, y, x), mm below the rib cage or the diaphragm.
    """

    grid: Grid
    inside: np.ndarray
    other: np.ndarray
    depth: np.ndarray


def random_severity(rng: np.random.Generator) -> tuple[float, float, float, float, float]:
    """Percentages for the five lobes as they are seen: more in the lower lobes, now and then none."""
    overall = float(np.clip(rng.gamma(1.7, 4.0), 1.0, 24.0))
    usual = np.array((0.7, 1.5, 0.8, 0.6, 1.6))
    percent = overall * usual * rng.lognormal(0, 0.45, 5)
    percent[rng.random(5) < 0.12] = 0.0
    if not percent.any():
        percent[4] = overall
    a, b, c, d, e = (float(v) for v in np.clip(percent, 0, 70))
    return a, b, c, d, e


def add_lesions(
    ct: np.ndarray,
    lobes: np.ndarray,
    depth: np.ndarray,
    grid: Grid,
    person: Thorax,
    severity: tuple[float, ...],
    rng: np.random.Generator,
) -> np.ndarray:
    """Paint lesions into ``ct`` in place.

    Args:
        ct: HU, float32 (z, y, x), before vessels are drawn.
        lobes: uint8 (z, y, x), values 1..5.
        depth: uint8 (z, y, x), mm below the rib cage or the diaphragm.
        grid: Where the voxels are.
        person: Whose noise to use.
        severity: The wanted percentage of each lobe.
        rng: Source of chance; used up equally whatever the grid is.

    Returns:
        uint8 (z, y, x): 0 none, 1 ground glass, 2 consolidation.
    """
    kind = np.zeros(lobes.shape, np.uint8)
    boxes = ndimage.find_objects(lobes, max_label=5)
    for value, (box, percent) in enumerate(zip(boxes, severity, strict=True), start=1):
        own = np.random.default_rng(rng.integers(2**63))
        if box is None or percent <= 0:
            continue
        box = tuple(slice(max(side.start - 1, 0), side.stop + 1) for side in box)
        inside = lobes[box] == value
        lobe = _Lobe(grid.crop(box), inside, (lobes[box] > 0) & ~inside, depth[box].astype(np.float32))
        _one_lobe(ct[box], kind[box], lobe, person, percent, own)
    return kind


def _one_lobe(
    ct: np.ndarray,
    kind: np.ndarray,
    lobe: _Lobe,
    person: Thorax,
    percent: float,
    rng: np.random.Generator,
) -> None:
    level = _level_set(lobe, person, percent, rng)
    size = int(lobe.inside.sum())
    wanted = max(1, round(size * percent / 100))
    threshold = _nth_largest(level[lobe.inside], wanted)
    lesion = lobe.inside & (level >= threshold)
    share = float(np.clip(rng.normal(0.16 + 0.3 * percent / 100, 0.08), 0.0, 0.5)) if percent > 3 else 0.0
    dense = np.zeros_like(lesion)
    if share > 0:
        inner = level + 0.22 * person.coarse(_moved(lobe.grid, 150)) + 0.3 * np.exp(-lobe.depth / 7)
        dense = lesion & (inner >= _nth_largest(inner[lesion], max(1, round(share * lesion.sum()))))
    kind[lesion] = GROUND_GLASS
    kind[dense] = CONSOLIDATION
    _paint(ct, lesion, dense, level - threshold, lobe, person, rng)


def _level_set(lobe: _Lobe, person: Thorax, percent: float, rng: np.random.Generator) -> np.ndarray:
    grid = lobe.grid
    level = 0.32 * np.exp(-lobe.depth / 14) + np.float32(0.0012) * grid.y
    level = level + 0.17 * person.coarse(_moved(grid, 60)) + 0.10 * person.middle(_moved(grid, 90))
    patches = np.zeros(grid.shape, np.float32)
    volume = float(lobe.inside.sum()) * float(np.prod(grid.spacing))
    grown, limit = 0.0, volume * min(percent * 1.3, 100) / 100
    centres = np.argwhere(lobe.inside)
    weight = np.exp(-lobe.depth[lobe.inside] / 16) * (
        0.25 + np.clip((grid.axes[1][centres[:, 1]] + 60) / 120, 0, 1)
    )
    chance = np.cumsum(weight, dtype=np.float64)
    for number in range(40):
        half = rng.uniform(9, 22) * (0.75 + percent / 80) * rng.uniform(0.7, 1.35, 3)
        pick = min(int(np.searchsorted(chance, rng.random() * chance[-1])), len(centres) - 1)
        _add_patch(patches, grid, centres[pick], half, rng.uniform(0.8, 1.1))
        grown += 4.2 * float(np.prod(half))
        if grown > limit and number >= 1:
            break
    return (level + patches).astype(np.float32)


def _add_patch(patches: np.ndarray, grid: Grid, centre: np.ndarray, half: np.ndarray, height: float) -> None:
    bells = [
        np.exp(-0.5 * ((axis - axis[at]) / (0.8 * width)) ** 2)
        for axis, at, width in zip(grid.axes, centre, half[::-1], strict=True)
    ]
    flat = bells[1][:, None] * bells[2][None, :]
    for plane, bell in zip(patches, bells[0], strict=True):
        if bell > 1e-3:
            np.maximum(plane, flat * np.float32(height * bell), out=plane)


def _paint(
    ct: np.ndarray,
    lesion: np.ndarray,
    dense: np.ndarray,
    above: np.ndarray,
    lobe: _Lobe,
    person: Thorax,
    rng: np.random.Generator,
) -> None:
    soft = _soft(lesion, lobe, 2.0)
    base = rng.uniform(-640, -520)
    glass = base + 190 * np.clip(above / 0.6, 0, 1)
    glass += 26 * person.middle(_moved(lobe.grid, 33)) + 26 * person.fine(_moved(lobe.grid, 21))
    if rng.random() < 0.4:
        # Crazy paving: thickened septa as a net of lines.
        net = np.abs(person.middle(_moved(lobe.grid, 75)))
        glass += 110 * np.clip(1 - net / 0.22, 0, 1)
    solid = -18 + 20 * person.coarse(_moved(lobe.grid, 17)) + 18 * person.middle(_moved(lobe.grid, 5))
    body = _soft(dense, lobe, 1.5)
    target = glass + body * (solid - glass)
    change = soft * (target - ct)
    # Voxels half in the wall brighten too, or a dark rim would part a consolidation from the pleura.
    near = ndimage.binary_dilation(lobe.inside, iterations=1) & ~lobe.other
    there = near & (change > 0)
    ct[there] += change[there]


def _soft(mask: np.ndarray, lobe: _Lobe, width_mm: float) -> np.ndarray:
    """0..1 over about ``width_mm`` across the mask's border, but sharp at the lobe's own surface."""
    sigma = [width_mm / step for step in lobe.grid.spacing]
    if not mask.any():
        return np.zeros(mask.shape, np.float32)
    smooth = ndimage.gaussian_filter(mask.astype(np.float32), sigma, truncate=2.5)
    inside = ndimage.gaussian_filter(lobe.inside.astype(np.float32), sigma, truncate=2.5)
    return np.clip(smooth / np.maximum(inside, 0.05), 0, 1)


def _moved(grid: Grid, by: float) -> Grid:
    """The grid elsewhere in a noise field, so that two uses of one field are not alike."""
    return Grid(
        grid.x + np.float32(by), grid.y - np.float32(0.7 * by), grid.z + np.float32(1.3 * by), grid.spacing
    )


def _nth_largest(values: np.ndarray, n: int) -> float:
    n = min(n, values.size)
    return float(np.partition(values, values.size - n)[values.size - n])
