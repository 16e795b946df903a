"""Two lungs with ground glass in both, of which the map sees nothing in the left one: for tests of the correction."""

import numpy as np
from scipy import ndimage

from DRAMLesionLib.correction.propagation import Propagation
from DRAMLesionLib.correction.session import CorrectionSession
from DRAMLesionLib.images.volume import Geometry, Volume

SPACING = (2.0, 1.5, 1.5)
SHAPE = (32, 44, 64)
QUICK = Propagation(reach_mm=9.0, distance_mm=5.0)


def make_case(seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """HU, lobes and a map of two lungs with ground glass in both, of which the map sees nothing in the left lung."""
    rng = np.random.default_rng(seed)
    z, y, x = np.indices(SHAPE)
    lobes = np.zeros(SHAPE, np.uint8)
    inside = (np.abs(z - 15.5) < 14) & (np.abs(y - 21.5) < 19)
    lobes[inside & (x >= 4) & (x < 31)] = 3
    lobes[inside & (x >= 33) & (x < 60)] = 1
    hu = np.where(lobes > 0, -850, 30).astype(np.float32)
    left = (z - 16) ** 2 * 1.8 + (y - 22) ** 2 + (x - 46) ** 2 < 9**2
    right = (z - 16) ** 2 * 1.8 + (y - 22) ** 2 + (x - 17) ** 2 < 9**2
    hu[left | right] = -450
    hu = ndimage.gaussian_filter(hu, 0.7) + rng.normal(0, 25, SHAPE)
    probability = np.where(right, 0.8, 0.15) + rng.normal(0, 0.05, SHAPE)
    return hu.astype(np.int16), lobes, np.clip(probability, 0, 1).astype(np.float32)


def ball(centre, radius: float) -> np.ndarray:
    grid = np.indices(SHAPE)
    away = sum(((grid[axis] - centre[axis]) * SPACING[axis]) ** 2 for axis in range(3))
    return away <= radius**2


def brush(y: int, x_values: range) -> np.ndarray:
    """Voxels (n, 3) of a brush of 5 mm drawn along x in the middle slice."""
    return np.argwhere(np.any([ball((16, y, x), 2.5) for x in x_values], axis=0))


LEFT_BLOB = brush(22, range(42, 51))
RIGHT_BLOB = brush(22, range(13, 22))


def same(one: CorrectionSession, other: CorrectionSession) -> bool:
    return bool((one.label == other.label).all() and (one.edits == other.edits).all())


def as_volume(hu: np.ndarray) -> Volume:
    """A volume whose file has axes other than the canonical ones."""
    z, y, x = SHAPE
    direction = (-1.0, 0, 0, 0, -1.0, 0, 0, 0, 1.0)
    return Volume(hu, SPACING, Geometry((x, y, z), (1.5, 1.5, 2.0), (5.0, -7.0, 9.0), direction), "case")
