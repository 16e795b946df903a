"""What the phantom is drawn with: a grid in mm, soft coverages, distances and smooth noise.

Coordinates are the patient's, in mm about the centre of the chest: x to the left, y to the back, z to the head. All of
it is open grids: x, y and z of shapes (1, 1, nx), (1, ny, 1) and (nz, 1, 1) that broadcast to (nz, ny, nx).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

Box = tuple[float, float, float, float, float, float]
"""x from, x to, y from, y to, z from, z to, in mm."""


@dataclass(frozen=True)
class Grid:
    """Voxel centres in mm.

    Attributes:
        x: float32, shape (1, 1, nx), increasing to the patient's left.
        y: float32, shape (1, ny, 1), increasing to the back.
        z: float32, shape (nz, 1, 1), increasing to the head.
        spacing: Voxel size (z, y, x) in mm.
    """

    x: np.ndarray
    y: np.ndarray
    z: np.ndarray
    spacing: tuple[float, float, float]

    @classmethod
    def centred(cls, shape: tuple[int, int, int], spacing: tuple[float, float, float]) -> Grid:
        """The grid of ``shape`` (z, y, x) and ``spacing`` (z, y, x) in mm whose middle is the origin."""
        z, y, x = (
            ((np.arange(n) - (n - 1) / 2) * step).astype(np.float32)
            for n, step in zip(shape, spacing, strict=True)
        )
        return cls(x[None, None, :], y[None, :, None], z[:, None, None], spacing)

    @property
    def shape(self) -> tuple[int, int, int]:
        """The grid's shape (z, y, x)."""
        return self.z.shape[0], self.y.shape[1], self.x.shape[2]

    @cached_property
    def edge(self) -> float:
        """How wide a border between two tissues is drawn, in mm: a voxel in the slice."""
        return max(self.spacing[1], self.spacing[2], 0.6)

    @cached_property
    def axes(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The coordinates as vectors (z, y, x)."""
        return self.z.ravel(), self.y.ravel(), self.x.ravel()

    def box(self, box: Box) -> tuple[slice, slice, slice]:
        """The slices (z, y, x) of the voxels inside ``box``; they may be empty."""
        return (
            _between(self.axes[0], box[4], box[5]),
            _between(self.axes[1], box[2], box[3]),
            _between(self.axes[2], box[0], box[1]),
        )

    def crop(self, region: tuple[slice, slice, slice]) -> Grid:
        """The part of the grid in ``region``."""
        return Grid(self.x[:, :, region[2]], self.y[:, region[1], :], self.z[region[0], :, :], self.spacing)


def _between(axis: np.ndarray, low: float, high: float) -> slice:
    return slice(int(np.searchsorted(axis, low)), int(np.searchsorted(axis, high, side="right")))


class Noise:
    """Smooth noise of mean 0 and deviation 1, the same field at every resolution.

    Values on a periodic lattice, joined by cubic B-splines. They are bound to mm, so a seed gives one anatomy whatever
    the voxel size.
    """

    LATTICE = 56

    def __init__(self, rng: np.random.Generator, pitch_mm: float) -> None:
        """Draw a field whose details are about ``pitch_mm`` in size; it repeats after 56 of them."""
        self.pitch = pitch_mm
        values = rng.standard_normal((self.LATTICE,) * 3, dtype=np.float32)
        # A cubic B-spline's squared weights at a knot sum to (1 + 16 + 1) / 36 = 0.5 per axis; 0.479 on average.
        self.values = values / np.float32(0.479**1.5)

    def __call__(self, grid: Grid) -> np.ndarray:
        """The noise at the voxels of ``grid``: float32, shape (z, y, x)."""
        # Plain sums of four taps per axis: a matrix product would be as fast alone, but its threads fight for
        # the processor where other work runs.
        (z, deep), (y, high), (x, wide) = (self._taps(axis) for axis in grid.axes)
        rows = np.unique(high)
        field = sum(w[:, None, None] * self.values[i[:, None], rows] for w, i in zip(z, deep, strict=True))
        field = sum(w * field[:, :, i] for w, i in zip(x, wide, strict=True))
        high = np.searchsorted(rows, high)
        result = y[0][:, None] * field[:, high[0]]
        for weights, plane in zip(y[1:], high[1:], strict=True):
            result += weights[:, None] * field[:, plane]
        return result

    def _taps(self, axis: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The four weights of each position on ``axis`` (4, n) and the lattice planes they are for (4, n)."""
        position = axis.astype(np.float64) / self.pitch
        base = np.floor(position)
        t = position - base
        parts = ((1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3)
        planes = base.astype(np.int64) + np.arange(-1, 3)[:, None]
        return (np.array(parts) / 6).astype(np.float32), planes % self.LATTICE


def coverage(distance: np.ndarray, edge: float) -> np.ndarray:
    """How much of a voxel is inside, 0..1, from the signed distance in mm (negative inside) of its centre."""
    share = np.float32(0.5) - distance * np.float32(1 / edge)
    # np.clip takes longer to start than this takes for a small box.
    return np.minimum(np.maximum(share, np.float32(0)), np.float32(1))


def blend(ct: np.ndarray, cover: np.ndarray | float, hu: np.ndarray | float) -> None:
    """Paint ``hu`` over ``ct`` in place where ``cover`` (0..1) says so."""
    ct += cover * (hu - ct)


def union(a: np.ndarray, b: np.ndarray, k: float) -> np.ndarray:
    """The distance to the union of two shapes, rounded over ``k`` mm where they meet."""
    blur = np.maximum(k - np.abs(a - b), 0)
    return np.minimum(a, b) - blur * blur * (0.25 / k)


def superellipse(
    x: np.ndarray, y: np.ndarray, half_x: np.ndarray | float, half_y: np.ndarray | float, power: float
) -> np.ndarray:
    """The distance in mm along the ray from the centre to (x/half_x)^p + (y/half_y)^p = 1, negative inside."""
    # The two powers are taken on planes, not on the volume; only the root is.
    norm = (np.abs(x) / half_x) ** power + (np.abs(y) / half_y) ** power
    norm = np.maximum(norm, 1e-3)
    if power == 2:
        np.sqrt(norm, out=norm)
    else:
        np.power(norm, np.float32(1 / power), out=norm)
    return np.sqrt(x * x + y * y) * (1 - 1 / norm)


def ellipsoid(grid: Grid, centre: tuple[float, float, float], half: tuple[float, float, float]) -> np.ndarray:
    """About the distance in mm to an ellipsoid with the axes of the grid; arguments in (x, y, z)."""
    q = ((grid.x - centre[0]) / half[0]) ** 2 + ((grid.y - centre[1]) / half[1]) ** 2
    r = np.sqrt(q + ((grid.z - centre[2]) / half[2]) ** 2)
    return (r - 1) * np.float32(min(half))


def capsule(grid: Grid, start: np.ndarray, end: np.ndarray, radius: float, end_radius: float) -> np.ndarray:
    """The distance in mm to a tapering rod with round ends; points are (x, y, z) in mm."""
    along = np.asarray(end, np.float64) - start
    length = float(along @ along) or 1e-6
    dx, dy, dz = grid.x - np.float32(start[0]), grid.y - np.float32(start[1]), grid.z - np.float32(start[2])
    ax, ay, az = (np.float32(v) for v in along)
    t = (dx * ax + dy * ay + dz * az) * np.float32(1 / length)
    t = np.minimum(np.maximum(t, np.float32(0)), np.float32(1))
    square = (dx - t * ax) ** 2 + (dy - t * ay) ** 2 + (dz - t * az) ** 2
    return np.sqrt(square) - np.float32(radius) - t * np.float32(end_radius - radius)
