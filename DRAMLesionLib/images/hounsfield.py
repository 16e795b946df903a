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
"""More than this part of what was scanned in a chest CT is below 0 HU: air, lung and fat."""


def check_finite(array: np.ndarray, path: Path) -> None:
    """Refuse an array with NaN or infinite values; ``path`` is named in the error.

    Raises:
        InputError: It has some.
    """
    if np.issubdtype(array.dtype, np.floating):
        bad = sum(int(plane.size - np.isfinite(plane).sum()) for plane in array)
        if bad:
            raise InputError(f"{path}: has {bad} NaN or infinite values: replace them (air is -1000 HU)")


def compact(array: np.ndarray, path: Path) -> np.ndarray:
    """Finite values as int16 where that keeps every one, else as float32.

    Works by planes, since a scan may fill the memory.

    Raises:
        InputError: All values are the same.
    """
    low, high = array.min(), array.max()
    if low == high:
        raise InputError(f"{path}: all its voxels have the value {low:g}: give a CT")
    limits = np.iinfo(np.int16)
    whole = np.issubdtype(array.dtype, np.integer) or all(
        bool((plane == np.rint(plane)).all()) for plane in array
    )
    kind = np.int16 if whole and limits.min <= low and high <= limits.max else np.float32
    return array.astype(kind, copy=False)


def with_signs(array: np.ndarray) -> tuple[np.ndarray, tuple[str, ...]]:
    """Values above every scanner's scale as the negative ones that they were before a sign was lost.

    Padding of -2000 in 16 bits becomes 63536 where it is read without a sign, and 62512 HU by an intercept of -1024.

    Args:
        array: (z, y, x), finite numbers.

    Returns:
        The array, or a copy with such values less 65536, and a sentence where there were some.
    """
    if array.max() <= HIGHEST_HU or array.max() > _WORDS:
        return array, ()
    lost = array > HIGHEST_HU
    mended = array.astype(np.int32 if np.issubdtype(array.dtype, np.integer) else np.float32)
    mended[lost] -= _WORDS
    count, low = int(lost.sum()), float(mended[lost].max())
    return mended, (
        f"{count} voxels had values above {HIGHEST_HU} HU, which no scanner gives: they were read as padding that lost "
        f"its sign ({low:g} HU and below)",
    )


_WORDS = 1 << 16


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
    sample = _sample(array)
    scanned = sample[sample > PADDING_HU]
    air = float(np.mean(scanned < -700)) if scanned.size else 0.0
    tissue = float(np.mean((sample > -200) & (sample < 300)))
    offset = _offset(scanned) if air < _LEAST and high > 1000 else None
    if offset:
        return f"{seen} look like unscaled CT values (offset {offset}): subtract {offset} to get HU"
    if low >= 0 or (scanned.size and np.mean(scanned < 0) < NEGATIVE_SHARE):
        if low >= 0 and high <= 255:
            grey = "fractions of a range of HU" if high <= 1 else "a picture's grey values"
            return f"{seen}, expected HU (air -1000, water 0), not {grey}: give the scan itself, such as its DICOM series"
        return f"{seen}, expected HU (air -1000, water 0): give the scan in HU"
    if air < _LEAST:
        share = f"{seen} but {100 * air:.1f} percent air (below -700 HU)"
        if float(np.mean(sample == low)) > _CUT_OFF:
            return (
                f"{share}, a window's lower end cut it off at {low:g}: give the whole scan, without a window"
            )
        return f"{share}: give a chest CT in HU"
    if tissue < _LEAST:
        share = f"{seen} but {100 * tissue:.1f} percent soft tissue (-200 to 300 HU)"
        twice = _subtracted_twice(sample)
        if twice:
            return f"{share}, as if {twice} had been subtracted twice: add {twice} to get HU"
        return f"{share}: give a chest CT in HU"
    return None


_LEAST, _SEEN = 0.005, 0.02
"""A chest CT holds no less air and tissue than the first part; values of which there is the second part are no noise."""
_CUT_OFF = 0.05
"""Where more than this part of the voxels has the lowest value, what lay below was cut off."""
_BRIGHTEST_HU, _PILED_UP = 600, 0.002
"""Bone reaches above the first; a scan that ends below it, with more than the second part of its voxels at the very end,
was cut off there."""


def clipped(array: np.ndarray) -> tuple[str, ...]:
    """A sentence where a window has cut off the bright end of a CT: what lay above can't be told apart any more.

    Args:
        array: (z, y, x) HU.
    """
    high = float(array.max())
    share = float(np.mean(_sample(array) == high))
    if high >= _BRIGHTEST_HU or share < _PILED_UP:
        return ()
    return (
        f"its values end at {high:g} HU, where {100 * share:.1f} percent of the voxels lie: a window has cut off what is "
        "denser",
    )


def _sample(array: np.ndarray) -> np.ndarray:
    """About four million voxels, evenly spread."""
    step = max(1, round((array.size / 4e6) ** (1 / 3)))
    return array[::step, ::step, ::step]


def _offset(scanned: np.ndarray) -> int | None:
    """Whether values are HU plus 1024 or plus 1000; None where they hold no air and tissue of either."""
    if not scanned.size:
        return None
    air = float(np.mean((scanned > -_NEAR) & (scanned < 324)))
    tissue = float(np.mean((scanned > 824) & (scanned < 1324)))
    if min(air, tissue) <= _SEEN:
        return None
    return 1024 if _air_peak(scanned, 0) >= 12 else 1000


def _subtracted_twice(sample: np.ndarray) -> int | None:
    """Whether values are HU less 1024 or less 1000; None where they hold no air and tissue of either."""
    air, tissue = float(np.mean(sample < -1700)), float(np.mean(np.abs(sample + 1012) < 150))
    if min(air, tissue) <= _SEEN:
        return None
    return 1024 if _air_peak(sample, -2000) <= -12 else 1000


_NEAR = 60
"""Noise scatters the air around the patient by less than this, HU."""


def _air_peak(sample: np.ndarray, expected: int) -> int:
    """Where the air around the patient lies beside its expected value; ``-_NEAR`` to ``_NEAR``.

    The expected value and the lowest one tell nothing where they stand out: padding, and what was cut off, have them.
    """
    near = np.rint(sample[np.abs(sample - expected) <= _NEAR]).astype(int) - expected + _NEAR
    counts = np.bincount(near, minlength=2 * _NEAR + 1).astype(float)
    if not counts.any():
        return 0
    plain = counts.copy()
    plain[_NEAR] = min(plain[_NEAR], (plain[_NEAR - 1] + plain[_NEAR + 1]) / 2)
    lowest = int(np.flatnonzero(counts)[0])
    plain[lowest] = min(plain[lowest], plain[min(lowest + 1, 2 * _NEAR)])
    if plain.sum() < _LEAST * sample.size:  # air without noise, which is one value alone
        plain = counts
    return int(np.convolve(plain, np.ones(9), mode="same").argmax()) - _NEAR
