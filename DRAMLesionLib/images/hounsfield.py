"""What makes an array a CT in HU: the values of padding, and why other values are refused."""

from pathlib import Path

import numpy as np

from DRAMLesionLib.images.geometry import CORNER_TOLERANCE as CORNER_TOLERANCE
from DRAMLesionLib.system.errors import InputError

PADDING_HU = -1100
"""What lies below was not scanned: scanners fill the corners outside of their round field of view with -2000 or -3024."""


PADDED_HU = -2000
"""The HU of what was not scanned, where a file's own value for it is no HU below air."""

HIGHEST_HU = 31743
"""No scanner's scale reaches further: extended ones end at 30719. What lies above was written without its sign."""

NEGATIVE_SHARE = 0.002
"""Of a chest CT more than this part of what was scanned is below 0 HU: air, lung and fat."""


def _check_finite(array: np.ndarray, path: Path) -> None:
    if np.issubdtype(array.dtype, np.floating):
        bad = sum(int(plane.size - np.isfinite(plane).sum()) for plane in array)
        if bad:
            raise InputError(f"{path}: has {bad} NaN or infinite values: replace them (air is -1000 HU)")


def _compact(array: np.ndarray, path: Path) -> np.ndarray:
    """int16 where that keeps every value, else float32. Works by planes, since a scan may fill the memory."""
    _check_finite(array, path)
    low, high = array.min(), array.max()
    if low == high:
        raise InputError(f"{path}: all its voxels have the value {low:g}: give a CT")
    limits = np.iinfo(np.int16)
    whole = np.issubdtype(array.dtype, np.integer) or all(
        bool((plane == np.rint(plane)).all()) for plane in array
    )
    kind = np.int16 if whole and limits.min <= low and high <= limits.max else np.float32
    return array.astype(kind, copy=False)


def why_not_ct(array: np.ndarray) -> str | None:
    """Why the values can't be HU, or None.

    A chest CT holds air (lung and around the patient, below -700 HU) and soft tissue (-200 to 300 HU).

    Args:
        array: (z, y, x), any numbers.

    Returns:
        A phrase with the values that were seen and what to do, or None where they look like a chest CT in HU.
    """
    low, high = float(array.min()), float(array.max())
    seen = f"values {low:g}..{high:g}"
    step = max(1, round((array.size / 4e6) ** (1 / 3)))
    sample = array[::step, ::step, ::step]
    scanned = sample[sample > PADDING_HU]
    if low >= 0 or (scanned.size and np.mean(scanned < 0) < NEGATIVE_SHARE):
        air = float(np.mean((sample >= 0) & (sample < 324)))
        tissue = float(np.mean((sample > 824) & (sample < 1324)))
        if high > 1000 and min(air, tissue) > 0.02:
            return f"{seen} look like unscaled CT values (offset 1024): subtract 1024 to get HU"
        return f"{seen}, expected HU (air -1000, water 0): give the scan in HU"
    air = float(np.mean(sample < -700))
    tissue = float(np.mean((sample > -200) & (sample < 300)))
    if air < 0.005:
        return f"{seen} but {100 * air:.1f} percent air (below -700 HU): give a chest CT in HU"
    if tissue < 0.005:
        return f"{seen} but {100 * tissue:.1f} percent soft tissue (-200 to 300 HU): give a chest CT in HU"
    return None
