"""The same lungs as other scanners and other publishers show them.

Scanners differ by kernel, slice thickness, noise and, a little, in HU. Published slices were often equalised locally
before they became pictures: contrast then follows the neighbourhood, and a lobe that is sick throughout looks much like
a healthy one with coarse texture. A network that has seen both finds the same disease in either.
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

LEVELS = 128
"""Grey values of an equalised picture."""
PICTURE_HU = (-1050.0, 250.0)
"""HU of its black and its white."""
ANCHORS_HU = (-1000.0, -860.0, 20.0)
"""HU of outside air, normal lung and soft tissue, by which HU are read from a picture again."""


@dataclass(frozen=True)
class ScannerStyle:
    """How often and how much a scan is varied.

    Attributes:
        equalised: Probability of local equalisation.
        noise_hu: Standard deviation of the noise (log-uniform).
        shift_hu: Of all HU, to either side.
        gain: Relative change of HU's distance from -900, to either side.
    """

    equalised: float = 0.4
    noise_hu: tuple[float, float] = (3.0, 80.0)
    shift_hu: float = 40.0
    gain: float = 0.12


def vary_scanner(
    hu: np.ndarray,
    labels: np.ndarray,
    rng: np.random.Generator,
    style: ScannerStyle | None = None,
    published: bool = False,
) -> np.ndarray:
    """Kernel, thickness, noise and HU curve of a scan by chance, at times equalised locally.

    Args:
        hu: float32 (z, y, x).
        labels: uint8 (z, y, x): lobes.
        rng: Where chance comes from.
        style: How much.
        published: The HU come from equalised pictures already: then they are varied less, and not equalised again.

    Returns:
        float32 (z, y, x).
    """
    style = style or ScannerStyle()
    values = hu.astype(np.float32)
    strength = 0.5 if published else 1.0
    kind = rng.random()
    if kind < 0.3:
        along, across = rng.uniform(0, 0.9), rng.uniform(0, 0.7)
        values = ndimage.gaussian_filter(values, (along, across, across), truncate=3.0)
    elif kind < 0.5:
        soft = ndimage.gaussian_filter(values, (0, 0.8, 0.8), truncate=3.0)
        values = values + rng.uniform(0.2, 0.9) * strength * (values - soft)
    if rng.random() < 0.6:
        values = values + _noise(values.shape, rng) * np.exp(rng.uniform(*np.log(style.noise_hu))) * strength
    if not published and rng.random() < style.equalised:
        part = np.float32(rng.uniform(0.2, 1.0))
        values = part * equalised(values, labels, rng) + (1 - part) * values
    return _curve(values, rng, style, strength)


def equalised(hu: np.ndarray, labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """HU as they are read from pictures whose slices were equalised locally (contrast limited; Zuiderveld 1994).

    Args:
        hu: float32 (z, y, x), the chest about the lungs included.
        labels: uint8 (z, y, x): lobes.
        rng: Draws how many tiles, and how far contrast may rise.

    Returns:
        float32 (z, y, x): air, normal lung and soft tissue of each slice brought to :data:`ANCHORS_HU`.
    """
    low, high = PICTURE_HU
    grey = np.clip((hu - low) / (high - low), 0, 1)
    # A slice of a chest has about twice the width of the lungs' box, and commonly eight tiles an axis.
    tiles = int(rng.integers(3, 7))
    flat = equalise_slices(grey, tiles, float(np.exp(rng.uniform(np.log(2.0), np.log(8.0)))))
    result = np.empty(hu.shape, np.float32)
    inside = labels > 0
    for z in range(len(hu)):
        result[z] = _anchored(flat[z], inside[z], hu[z])
    return result


def equalise_slices(grey: np.ndarray, tiles: int, clip: float) -> np.ndarray:
    """Contrast-limited adaptive histogram equalisation of each slice.

    Args:
        grey: float32 (z, y, x), 0..1.
        tiles: Along either axis of a slice.
        clip: A grey value's count is cut at so many times the tile's mean; the rest is spread over all.

    Returns:
        float32, the same shape, 0..1.
    """
    depth, height, width = grey.shape
    level = np.minimum((grey * LEVELS).astype(np.int32), LEVELS - 1)
    row, column = (np.arange(n) * tiles // n for n in (height, width))
    tile = row[:, None] * tiles + column[None]
    result = np.empty(grey.shape, np.float32)
    grids = [np.clip((np.arange(n) + 0.5) * tiles / n - 0.5, 0, tiles - 1) for n in (height, width)]
    lower = [np.minimum(g.astype(int), max(tiles - 2, 0)) for g in grids]
    upper = [np.minimum(b + 1, tiles - 1) for b in lower]
    part = [(g - b).astype(np.float32) for g, b in zip(grids, lower, strict=True)]
    for z in range(depth):
        counts = np.bincount((tile * LEVELS + level[z]).ravel(), minlength=tiles * tiles * LEVELS)
        counts = counts.reshape(tiles, tiles, LEVELS).astype(np.float32)
        total = np.maximum(counts.sum(-1, keepdims=True), 1)
        most = clip * total / LEVELS
        over = np.maximum(counts - most, 0).sum(-1, keepdims=True)
        curve = np.cumsum((np.minimum(counts, most) + over / LEVELS) / total, axis=-1)
        first, second = curve[lower[0]], curve[upper[0]]
        along = first + part[0][:, None, None] * (second - first)  # (height, tiles, levels)
        rows = np.arange(height)[:, None]
        left, right = (along[rows, columns[None], level[z]] for columns in (lower[1], upper[1]))
        result[z] = np.clip(left + part[1][None] * (right - left), 0, 1)
    return result


def _anchored(flat: np.ndarray, inside: np.ndarray, hu: np.ndarray) -> np.ndarray:
    """One slice's grey values as HU."""
    if np.count_nonzero(inside) < 50:
        return hu
    lung = flat[inside]
    tissue = (hu > -100) & (hu < 120) & ~inside
    air = float(np.percentile(lung, 2))
    normal = max(float(np.percentile(lung, 45)), air + 0.02)
    soft = float(np.median(flat[tissue])) if np.count_nonzero(tissue) > 50 else float(flat.max())
    soft = max(soft, normal + 0.05)
    steep = (ANCHORS_HU[2] - ANCHORS_HU[1]) / (soft - normal)
    known = np.interp(flat, (air, normal, soft), ANCHORS_HU)
    return np.where(flat > soft, ANCHORS_HU[2] + steep * (flat - soft), known).astype(np.float32)


def _noise(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Noise of standard deviation 1 whose spectrum is white, that of a soft kernel, or that of a sharp one."""
    noise = rng.standard_normal(shape, dtype=np.float32)
    kind = rng.random()
    if kind < 0.4:
        noise = ndimage.gaussian_filter(noise, (rng.uniform(0, 0.6), 0.6, 0.6), truncate=3.0)
    elif kind < 0.6:
        noise = noise - ndimage.gaussian_filter(noise, (0, 1.0, 1.0), truncate=3.0)
    return noise / (noise.std() + 1e-6)


def _curve(values: np.ndarray, rng: np.random.Generator, style: ScannerStyle, strength: float) -> np.ndarray:
    """A monotone curve of HU: shift, gain about -900, and a bend in the middle."""
    knots = np.array([-1100.0, -900.0, -650.0, -350.0, 0.0, 300.0])
    gain = 1 + rng.uniform(-1, 1) * style.gain * strength
    moved = -900 + gain * (knots + 900) + rng.uniform(-1, 1) * style.shift_hu * strength
    moved[2:4] += rng.uniform(-30, 30, 2) * strength
    return np.interp(values, knots, np.maximum.accumulate(moved)).astype(np.float32)
