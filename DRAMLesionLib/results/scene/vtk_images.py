"""Arrays as VTK's scalars and images, and the geometry of a CT in RAS."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from DRAMLesionLib.images.volume import CORNER_TOLERANCE, Geometry, Volume

if TYPE_CHECKING:
    from collections.abc import Generator

PART_BYTES = 16 << 20
"""So much is copied at once where a window lives between two parts: some hundredths of a second."""


def vtk_scalars(own: np.ndarray) -> Any:
    """A copy of an array (k, j, i), which VTK owns; of a mapped file none: its pages are this process's own."""
    from vtk.util.numpy_support import numpy_to_vtk

    scalars = numpy_to_vtk(np.ascontiguousarray(own).ravel(), deep=not isinstance(own, np.memmap))
    scalars.SetName("ImageScalars")
    return scalars


def copying(own: np.ndarray) -> Generator[str, None, Any]:
    """The same in parts of some slices."""
    from vtk.util.numpy_support import get_vtk_array_type, vtk_to_numpy
    from vtkmodules.vtkCommonCore import vtkDataArray

    if isinstance(own, np.memmap) or own.nbytes <= PART_BYTES:
        return vtk_scalars(own)
    scalars = vtkDataArray.CreateDataArray(get_vtk_array_type(own.dtype))
    scalars.SetNumberOfTuples(own.size)
    scalars.SetName("ImageScalars")
    filled = vtk_to_numpy(scalars).reshape(own.shape)
    step = max(1, PART_BYTES // max(1, own[0].nbytes))
    for start in range(0, len(own), step):
        filled[start : start + step] = own[start : start + step]
        yield "voxels"
    return scalars


def ras(geometry: Geometry) -> tuple[tuple[float, float, float], Any]:
    """Origin and direction matrix (vtkMatrix4x4) of a geometry in RAS."""
    import vtk

    rows = np.reshape(geometry.direction, (3, 3)) * np.array([[-1.0], [-1.0], [1.0]])
    matrix = vtk.vtkMatrix4x4()
    for i in range(3):
        for j in range(3):
            matrix.SetElement(i, j, rows[i, j])
    x, y, z = geometry.origin
    return (-x, -y, z), matrix


def ras_matrix(like: Volume) -> np.ndarray:
    """float64 (4, 4): from a voxel's indices (x, y, z) to RAS, in mm."""
    return np.diag([-1.0, -1.0, 1.0, 1.0]) @ like.geometry.matrix


def oriented(own: np.ndarray, like: Volume, start: tuple[int, int, int] = (0, 0, 0)) -> Any:
    """vtkOrientedImageData of an array (k, j, i) that begins at voxel ``start`` (x, y, z) of the grid of ``like``."""
    import slicer
    import vtk

    data = slicer.vtkOrientedImageData()
    extent = [number for s, size in zip(start, own.shape[::-1], strict=True) for number in (s, s + size - 1)]
    data.SetExtent(*extent)
    data.GetPointData().SetScalars(vtk_scalars(own))
    matrix = vtk.vtkMatrix4x4()
    matrix.DeepCopy(ras_matrix(like).ravel().tolist())
    data.SetGeometryFromImageToWorldMatrix(matrix)
    return data


def offset_on(labelmap: Any, like: Volume) -> tuple[int, int, int] | None:
    """What to add to the label map's indices (x, y, z) to get those of ``like``; None where the grids differ."""
    import vtk

    matrix = vtk.vtkMatrix4x4()
    labelmap.GetImageToWorldMatrix(matrix)
    own = np.array([[matrix.GetElement(i, j) for j in range(4)] for i in range(4)])
    relative = np.linalg.inv(ras_matrix(like)) @ own
    shift = relative[:3, 3]
    far = max(like.geometry.size)
    drift = np.abs(relative[:3, :3] - np.eye(3)).max() * far
    if max(drift, np.abs(shift - np.rint(shift)).max()) > CORNER_TOLERANCE:
        return None
    x, y, z = (int(value) for value in np.rint(shift))
    return x, y, z


def paste(labelmap: Any, offset: tuple[int, int, int], target: np.ndarray, value: int) -> None:
    """Put ``value`` into an array (k, j, i) wherever a label map is not 0."""
    from vtk.util.numpy_support import vtk_to_numpy

    extent = labelmap.GetExtent()
    start = [extent[2 * axis] + offset[axis] for axis in (2, 1, 0)]
    source = vtk_to_numpy(labelmap.GetPointData().GetScalars()).reshape(labelmap.GetDimensions()[::-1])
    here, there = [], []
    for first, length, size in zip(start, source.shape, target.shape, strict=True):
        low, high = max(first, 0), min(first + length, size)
        if low >= high:
            return
        here.append(slice(low, high))
        there.append(slice(low - first, high - first))
    np.copyto(target[tuple(here)], np.uint8(value), where=source[tuple(there)] != 0)
