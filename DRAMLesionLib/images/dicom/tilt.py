"""Series of a tilted gantry: their slices lean, and are shifted within their own planes onto an upright grid and back.

A tilted gantry takes slices at an angle to the table's way, so that each lies aside of the one before it. Shifted back by
parts of a pixel their voxels form a grid with right angles: nothing is interpolated between slices.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from DRAMLesionLib.images.dicom.slices import Slice

TILT_DEGREES = 0.2
"""A stack that leans more than this against its slices' normal is a tilted gantry's."""
MOST_DEGREES = 45.0
"""No gantry leans further: the positions are wrong."""
OUTSIDE_HU = -1000
"""What the corners hold that no slice reaches."""


@dataclass(frozen=True, eq=False)
class Tilt:
    """How the slices of a series lie aside of an upright grid that holds them all.

    Attributes:
        degrees: Between the stack and the slices' normal.
        offsets: float (slices, 2): how far each slice's first pixel lies from the grid's along (y, x), in pixels, none
            negative.
        shape: Rows and columns of the grid.
        origin: The centre of the grid's first voxel in mm, LPS.
    """

    degrees: float
    offsets: np.ndarray
    shape: tuple[int, int]
    origin: tuple[float, float, float]

    def upright(self, stack: np.ndarray) -> np.ndarray:
        """The slices on the grid, interpolated linearly within their planes.

        Args:
            stack: (slices, rows, columns) HU, int16 or float32.

        Returns:
            The slices on the grid and in the same dtype, :data:`OUTSIDE_HU` where no slice reaches.
        """
        grid = np.full((len(stack), *self.shape), OUTSIDE_HU, stack.dtype)
        for plane, offset, out in zip(stack, self.offsets, grid, strict=True):
            room = np.full(self.shape, OUTSIDE_HU, np.float32)
            room[: plane.shape[0], : plane.shape[1]] = plane
            moved = ndimage.shift(room, offset, order=1, mode="constant", cval=OUTSIDE_HU)
            out[:] = np.rint(moved) if np.issubdtype(stack.dtype, np.integer) else moved
        return grid

    def back(self, mask: np.ndarray, rows: int, columns: int) -> np.ndarray:
        """A mask on the grid as it lies on the slices, by the nearest pixel.

        Args:
            mask: bool (slices, y, x) on the grid.
            rows: How many rows a slice has.
            columns: How many columns a slice has.
        """
        y, x = np.arange(rows), np.arange(columns)
        planes = []
        for plane, offset in zip(mask, self.offsets, strict=True):
            down = np.minimum(np.rint(y + offset[0]).astype(int), self.shape[0] - 1)
            across = np.minimum(np.rint(x + offset[1]).astype(int), self.shape[1] - 1)
            planes.append(plane[np.ix_(down, across)])
        return np.stack(planes)


def find_tilt(ordered: Sequence[Slice]) -> Tilt | None:
    """The tilt of slices in the order of their positions along the normal, or None where they stand upright."""
    origins = np.array([one.origin for one in ordered])
    first = ordered[0]
    run = origins[-1] - origins[0]
    along = float(run @ first.normal)
    aside = run - along * first.normal
    degrees = float(np.degrees(np.arctan2(np.linalg.norm(aside), abs(along))))
    if degrees <= TILT_DEGREES:
        return None
    columns, rows = first.size
    axes = np.reshape(first.direction, (3, 3))[:, 1::-1]  # along y, along x
    pixel = np.array(first.spacing[::-1])
    share = np.linspace(0, 1, len(ordered))[:, None]
    offsets = np.round(share * (aside @ axes / pixel), 4)  # so that whole pixels are whole
    lowest = offsets.min(axis=0)
    more = np.ceil(np.ptp(offsets, axis=0) - 1e-6).astype(int)
    origin = origins[0] + axes @ (lowest * pixel)
    x, y, z = (float(value) for value in origin)
    return Tilt(degrees, offsets - lowest, (rows + int(more[0]), columns + int(more[1])), (x, y, z))
