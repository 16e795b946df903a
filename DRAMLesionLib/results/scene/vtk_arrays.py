"""Arrays (k, j, i) to VTK's own memory, at once or in parts between which a window can live."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import numpy as np

from DRAMLesionLib.images.box import Unshared

PART_BYTES = 16 << 20
"""So much is copied at once: some hundredths of a second."""


def vtk_scalars(own: np.ndarray) -> Any:
    """A copy of an array (k, j, i), which VTK owns; none of a mapped file or an unshared array, which nobody else has."""
    from vtk.util.numpy_support import numpy_to_vtk

    scalars = numpy_to_vtk(np.ascontiguousarray(own).ravel(), deep=not isinstance(own, np.memmap | Unshared))
    scalars.SetName("ImageScalars")
    return scalars


def copying_scalars(own: np.ndarray) -> Generator[str, None, Any]:
    """What :func:`vtk_scalars` gives, copied some slices at a time.

    Args:
        own: An array (k, j, i) of a dtype that VTK has.

    Yields:
        ``voxels`` after each part; the array must stay as it is until the end.

    Returns:
        The vtkDataArray.
    """
    from vtk.util.numpy_support import get_vtk_array_type, vtk_to_numpy
    from vtkmodules.vtkCommonCore import vtkDataArray

    if isinstance(own, np.memmap | Unshared) or own.nbytes <= PART_BYTES:
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
