"""Volumes on other grids, by slabs of slices: what one step makes of a slab, the next finds in the processor's cache.

Over whole volumes each step would be bound by the memory, and each intermediate volume as large as the CT.
"""

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from scipy import ndimage
from torch.nn import functional

from DRAMLesionLib.images.box import Box

SLAB_VOXELS = 1 << 19
"""About so many voxels are worked on at a time: 2 MB of float32."""
BAND_ROWS = 64
"""A filter's matrix is multiplied so many rows at a time, without the zeros beside them."""


def slabs(shape: Sequence[int]) -> Iterator[slice]:
    """Cuts of a volume's first axis."""
    rows = max(1, SLAB_VOXELS // max(1, math.prod(shape[1:])))
    for start in range(0, shape[0], rows):
        yield slice(start, min(start + rows, shape[0]))


def resample(values: np.ndarray, size: Sequence[int], order: int) -> np.ndarray:
    """Resample an array to ``size`` voxels over the same extent (voxel edges coincide).

    Args:
        values: (z, y, x), float32 for order 1, any dtype for order 0.
        size: The new (z, y, x).
        order: 1 trilinear, 0 nearest.
    """
    if order == 0:
        index = [
            np.minimum(((np.arange(n) + 0.5) * (m / n)).astype(np.int64), m - 1)
            for n, m in zip(size, values.shape, strict=True)
        ]
        return values[index[0][:, None, None], index[1][:, None], index[2]]
    result = np.empty(tuple(size), np.float32)
    for part, slab in linear_slabs(torch.from_numpy(values).__getitem__, values.shape, size):
        result[part] = slab.numpy()
    return result


def linear_slabs(
    source: Callable[[slice], torch.Tensor], shape: Sequence[int], size: Sequence[int], box: Box | None = None
) -> Iterator[tuple[slice, torch.Tensor]]:
    """Trilinear interpolation of a volume over the same extent (voxel edges coincide), slab by slab.

    Args:
        source: Gives slices of the volume's first axis, float32 (slices, y, x).
        shape: The volume's (z, y, x).
        size: The new (z, y, x).
        box: Which part of the new volume is wanted; None for all of it.

    Yields:
        Which slices of the new volume (of the box, where one is given), and their float32 values.
    """
    z, y, x = box or (slice(0, size[0]), slice(0, size[1]), slice(0, size[2]))
    wanted = (z.stop - z.start, y.stop - y.start, x.stop - x.start)

    def planes(first: int, stop: int) -> torch.Tensor:
        """Slices of the volume on the new grid's plane."""
        slab = source(slice(first, stop))
        if tuple(shape[1:]) != tuple(size[1:]):
            slab = functional.interpolate(slab[:, None], size=tuple(size[1:]), mode="bilinear")[:, 0]
        return slab[:, y, x]

    if shape[0] == size[0]:
        for part in slabs(wanted):
            yield part, planes(z.start + part.start, z.start + part.stop)
        return
    lower, upper, weight = (values[z] for values in _neighbours(shape[0], size[0]))
    weights = weight.tolist()
    rows = max(1, SLAB_VOXELS // max(1, math.prod(shape[1:])))
    held: dict[int, torch.Tensor] = {}  # planes that lie about the slab at hand
    for part in slabs(wanted):
        first, last = int(lower[part.start]), int(upper[part.stop - 1])
        held = {place: plane for place, plane in held.items() if place >= first}
        for start in range(max(first, *(place + 1 for place in held), 0), last + 1, rows):
            stop = min(start + rows, last + 1)
            held.update(zip(range(start, stop), planes(start, stop), strict=True))
        slab = torch.empty(part.stop - part.start, *wanted[1:])
        for out, place in zip(slab, range(part.start, part.stop), strict=True):
            torch.lerp(held[int(lower[place])], held[int(upper[place])], weights[place], out=out)
        yield part, slab


def _neighbours(length: int, size: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """For each of ``size`` voxels the two of an axis of ``length`` about its centre, and the upper one's weight."""
    place = np.clip((np.arange(size) + 0.5) * (length / size) - 0.5, 0, length - 1)
    lower = np.floor(place).astype(np.int64)
    upper = np.minimum(lower + 1, length - 1)
    return (
        torch.from_numpy(lower),
        torch.from_numpy(upper),
        torch.from_numpy((place - lower).astype(np.float32)),
    )


def low_pass_resample(
    source: Callable[[slice], torch.Tensor], shape: Sequence[int], size: Sequence[int]
) -> np.ndarray:
    """Trilinear interpolation as :func:`linear_slabs`, after a Gaussian along each axis that becomes coarser.

    The Gaussian's sigma of 0.4 sqrt(ratio^2 - 1) voxels keeps what the coarser grid can show. Filter and interpolation of
    an axis are one small matrix, so that nothing is computed between the voxels of the new grid.

    Args:
        source: Gives slices of the volume's first axis, float32 (slices, y, x).
        shape: The volume's (z, y, x).
        size: The new (z, y, x).

    Returns:
        float32 (z, y, x) of ``size``.
    """
    return _by_axes(source, [_axis_matrix(n, m) for n, m in zip(shape, size, strict=True)])


def gaussian(
    source: Callable[[slice], torch.Tensor], shape: Sequence[int], sigma: Sequence[float]
) -> np.ndarray:
    """A Gaussian filter; there is nothing but 0 outside the volume.

    Args:
        source: Gives slices of the volume's first axis, float32 (slices, y, x).
        shape: The volume's (z, y, x).
        sigma: Standard deviation of the Gaussian along (z, y, x), in voxels; it is cut off at 3 sigma.

    Returns:
        float32 (z, y, x).
    """
    rows = [
        ndimage.gaussian_filter1d(np.eye(n), width, axis=0, mode="constant", truncate=3.0)
        for n, width in zip(shape, sigma, strict=True)
    ]
    return _by_axes(source, [torch.from_numpy(row.astype(np.float32)) for row in rows])


def _by_axes(source: Callable[[slice], torch.Tensor], matrices: Sequence[torch.Tensor]) -> np.ndarray:
    """A linear filter of each axis (z, y, x): a matrix (new length, old length)."""
    along_z, along_y, along_x = (_bands(matrix) for matrix in matrices)
    size = [len(matrix) for matrix in matrices]
    planes = torch.empty(matrices[0].shape[1], *size[1:])
    for part in slabs(planes.shape):
        values = source(part)
        rows = torch.empty(*values.shape[:2], size[2])
        for new, old, band in along_x:
            torch.mm(values.flatten(0, 1)[:, old], band.T, out=rows.flatten(0, 1)[:, new])
        for new, old, band in along_y:
            torch.matmul(band, rows[:, old], out=planes[part, new])
    result = torch.empty(*size)
    for new, old, band in along_z:
        torch.mm(band, planes[old].flatten(1), out=result[new].flatten(1))
    return result.numpy()


def _bands(matrix: torch.Tensor) -> list[tuple[slice, slice, torch.Tensor]]:
    """Cut a matrix that is 0 far from its diagonal: rows, columns outside of which they are 0, and that part of it."""
    bands = []
    for start in range(0, len(matrix), BAND_ROWS):
        rows = slice(start, min(start + BAND_ROWS, len(matrix)))
        columns = matrix[rows].any(dim=0).nonzero()
        between = slice(int(columns[0]), int(columns[-1]) + 1) if len(columns) else slice(0, 1)
        bands.append((rows, between, matrix[rows, between]))
    return bands


def _axis_matrix(length: int, size: int) -> torch.Tensor:
    """Float32 (size, length): the voxels of the new axis as weighted sums of the old one's."""
    ratio = length / size
    rows = np.eye(length)
    if ratio > 1:
        sigma = 0.4 * float(np.sqrt(ratio**2 - 1))
        rows = ndimage.gaussian_filter1d(rows, sigma, axis=0, mode="nearest", truncate=3.0)
    lower, upper, weight = (part.numpy() for part in _neighbours(length, size))
    matrix = rows[lower] + (rows[upper] - rows[lower]) * weight[:, None]
    return torch.from_numpy(matrix.astype(np.float32))
