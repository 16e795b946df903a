"""Lungs with a known share of lesion in each lobe, for the benchmark of severity; not the generator of the training.

Blobs grow about seeds near the pleura and are drawn over the lung with HU of their own, voxel by voxel; the training's
generator cuts smooth fields and fills air. Or an expert's lesion is transplanted, mirrored until the share is reached.
"""

import numpy as np
from scipy import ndimage

LEVELS = (1.0, 5.0, 15.0, 30.0, 50.0, 70.0, 90.0)
"""Percent of every lobe."""


def drawn_lesions(
    hu: np.ndarray, labels: np.ndarray, spacing_mm: tuple[float, float, float], percent: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Draw blobs of ground glass and consolidation until each lobe has its share.

    Args:
        hu: (z, y, x) HU of lungs without lesion.
        labels: uint8 (z, y, x), 1..5.
        spacing_mm: (z, y, x).
        percent: Of each lobe, 0..100.
        seed: Of the blobs.

    Returns:
        HU, float32, and the lesion, bool; both (z, y, x).
    """
    rng = np.random.default_rng([seed, round(10 * percent)])
    lesion, result = np.zeros(labels.shape, bool), hu.astype(np.float32)
    for lobe in range(1, 6):
        mask = labels == lobe
        if not mask.any():
            continue
        box = ndimage.find_objects(mask.astype(np.uint8))[0]
        inside = mask[box]
        near, which = _nearest_seed(inside, spacing_mm, percent, rng)
        count = round(percent / 100 * inside.sum())
        if not count:
            continue
        limit = np.partition(near[inside], count - 1)[count - 1]
        sick = inside & (near <= limit)
        lesion[box] |= sick
        result[box] = _painted(result[box], sick, which, spacing_mm, rng)
    return result, lesion


def transplanted_lesions(
    hu: np.ndarray,
    labels: np.ndarray,
    percent: float,
    donor_hu: np.ndarray,
    donor_lesion: np.ndarray,
    spacing_mm: tuple[float, float, float],
    seed: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Put an expert's lesion into lobes without: where the lesion, mirrored at its ends, is densest first.

    Args:
        hu: (z, y, x) HU of lungs without lesion.
        labels: uint8 (z, y, x), 1..5.
        percent: Of each lobe, 0..100.
        donor_hu: (z, y, x) HU of another scan of about the same voxel size.
        donor_lesion: bool, the same shape: the expert's mask there.
        spacing_mm: (z, y, x) of the receiver.
        seed: Of the lesion that is taken, and of where it begins.

    Returns:
        As :func:`drawn_lesions`.
    """
    rng = np.random.default_rng([seed, round(10 * percent), 1])
    parts, _ = ndimage.label(donor_lesion)
    boxes = ndimage.find_objects(parts)
    sizes = np.bincount(parts.ravel())[1:]
    number = int(rng.choice(np.argsort(sizes)[-3:]))
    box, own = boxes[number], parts[boxes[number]] == number + 1
    result, lesion = hu.astype(np.float32), np.zeros(labels.shape, bool)
    pasted = result.copy()
    for lobe in range(1, 6):
        mask = labels == lobe
        if not mask.any():
            continue
        place = ndimage.find_objects(mask.astype(np.uint8))[0]
        inside = mask[place]
        deep = ndimage.distance_transform_edt(own)
        texture, depth = (
            _mirrored(values, inside.shape, rng.integers(0, 1000, 3))
            for values in (_filled(donor_hu[box], own), deep)
        )
        field = ndimage.gaussian_filter(rng.standard_normal(inside.shape), [12 / s for s in spacing_mm])
        order = field / field.std() + 0.3 * depth / max(depth.max(), 1)
        count = round(percent / 100 * inside.sum())
        if not count:
            continue
        limit = np.partition(order[inside], inside.sum() - count)[inside.sum() - count]
        sick = inside & (order >= limit)
        lesion[place] |= sick
        pasted[place] = np.where(sick, np.maximum(pasted[place], texture), pasted[place])
    return pasted, lesion


def _nearest_seed(
    inside: np.ndarray, spacing_mm: tuple[float, float, float], percent: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Distance to the nearest of some seeds, in sizes of their own and rough; and which it is."""
    rim = np.argwhere(inside & ~ndimage.binary_erosion(inside, iterations=3))
    everywhere = np.argwhere(inside)
    near = np.full(inside.shape, np.inf, np.float32)
    which = np.zeros(inside.shape, np.int32)
    grids = [np.arange(n, dtype=np.float32) * s for n, s in zip(inside.shape, spacing_mm, strict=True)]
    for number in range(int(rng.integers(2, 5 + percent // 10))):
        pool = rim if rng.random() < 0.7 and len(rim) else everywhere
        centre = pool[rng.integers(len(pool))] * np.asarray(spacing_mm)
        size = rng.uniform(0.6, 1.6, 3)
        squares = [((g - c) / a) ** 2 for g, c, a in zip(grids, centre, size, strict=True)]
        far = np.sqrt(squares[0][:, None, None] + squares[1][:, None] + squares[2]) + rng.uniform(0, 12)
        which = np.where(far < near, number, which)
        near = np.minimum(near, far)
    rough = ndimage.uniform_filter(rng.standard_normal(inside.shape).astype(np.float32), 5)
    return near + 4.0 * rough / rough.std(), which


def _painted(
    hu: np.ndarray,
    sick: np.ndarray,
    which: np.ndarray,
    spacing_mm: tuple[float, float, float],
    rng: np.random.Generator,
) -> np.ndarray:
    """Each blob gets HU of its own, with coarse and fine texture and spared lung of up to a third; vessels stay."""
    level = rng.uniform(-720, -250, int(which.max()) + 1)
    level[rng.random(level.size) < 0.25] = rng.uniform(-200, 0)
    target = level[which].astype(np.float32)
    for sigma_mm, spread in ((7.0, 70.0), (2.0, 45.0)):
        noise = ndimage.gaussian_filter(
            rng.standard_normal(hu.shape).astype(np.float32), [sigma_mm / s for s in spacing_mm]
        )
        target += spread * noise / noise.std()
    spared = ndimage.uniform_filter(rng.standard_normal(hu.shape).astype(np.float32), 3)
    gaps = spared < np.quantile(spared, rng.uniform(0, 0.33))
    shade = ndimage.gaussian_filter(sick.astype(np.float32), 0.7)
    painted = np.maximum(hu, np.where(gaps, hu, target))
    return np.where(sick | (shade > 0.5), (1 - shade) * hu + shade * painted, hu)


def _filled(hu: np.ndarray, own: np.ndarray) -> np.ndarray:
    """The lesion's HU, its surroundings replaced by the nearest lesion voxel."""
    index = ndimage.distance_transform_edt(~own, return_distances=False, return_indices=True)
    return hu[tuple(index)].astype(np.float32)


def _mirrored(values: np.ndarray, shape: tuple[int, ...], start: np.ndarray) -> np.ndarray:
    """``values`` repeated as between mirrors, over a larger grid."""
    index = []
    for n, m, first in zip(values.shape, shape, start, strict=True):
        place = (np.arange(m) + int(first)) % (2 * n)
        index.append(np.minimum(place, 2 * n - 1 - place))
    return values[np.ix_(*index)]
