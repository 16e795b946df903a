"""Compressed NIfTI files, packed by several threads.

ITK packs with one thread, and ends without an error on a full disk, so that each file would have to be unpacked again to
know that it is whole. Here every write is checked by the system.
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from DRAMLesionLib.images.deflate import CHUNK, write_gzip
from DRAMLesionLib.images.geometry import Geometry

_HEADER = 352
_LONGEST = 32767


def can_write(array: np.ndarray, path: str | Path) -> bool:
    """Whether :func:`write_nifti` takes it: ``.nii.gz``, and no axis too long for the header's numbers."""
    return str(path).lower().endswith(".nii.gz") and max(array.shape) <= _LONGEST


def write_nifti(array: np.ndarray, geometry: Geometry, path: str | Path) -> None:
    """Write an array as a gzip-compressed NIfTI-1 file with the header that ITK would give it.

    Args:
        array: (k, j, i) in the image's own axes, any strides; a dtype that SimpleITK knows.
        geometry: Where the voxels lie; its size is the array's.
        path: The file to make or replace.

    Raises:
        OSError: It can't be written whole.
    """

    def parts() -> Iterator[bytes]:
        yield _header(array.dtype, geometry, array.shape)
        yield from chunks(array)

    with Path(path).open("wb") as file:
        write_gzip(file, parts())


def chunks(array: np.ndarray) -> Iterator[bytes]:
    """The array's values in their order in the file, some slices at a time."""
    rows = max(1, CHUNK // max(1, array[0].nbytes))
    for start in range(0, len(array), rows):
        yield array[start : start + rows].tobytes()


def _header(dtype: np.dtype, geometry: Geometry, shape: tuple[int, ...]) -> bytes:
    """What ITK writes before the voxels: only the sizes in it depend on how many voxels there are."""
    import SimpleITK as sitk

    image = sitk.GetImageFromArray(np.zeros((2, 2, 2), dtype))
    image.SetSpacing(geometry.spacing)
    image.SetOrigin(geometry.origin)
    image.SetDirection(geometry.direction)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "header.nii"
        sitk.WriteImage(image, str(file))
        header = bytearray(file.read_bytes()[:_HEADER])
    np.frombuffer(header, np.int16, count=3, offset=42)[:] = shape[::-1]
    return bytes(header)
