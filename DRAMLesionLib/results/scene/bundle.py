"""The scene as ``.mrb``: Slicer's writer makes all but the voxels of the volumes, which several threads pack here.

Slicer packs them with one thread, and that takes longer than all the rest of a bundle.
"""

from __future__ import annotations

import contextlib
import shutil
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np

from DRAMLesionLib.images.deflate import write_gzip
from DRAMLesionLib.images.nifti_writer import chunks
from DRAMLesionLib.results.scene.available import SceneUnavailable

_SHORT_AXES = (3, 2)
"""Voxels along y and z of what stands for a volume while Slicer writes; along x one more with each volume."""
_LARGE = (1 << 31) - (1 << 24)
"""Bytes from which an entry may come to need the larger form of zip, should nothing of it pack."""


def write_bundle(scene: Any, volumes: Sequence[Any], folder: Path, name: str) -> Path:
    """Write a scene as a bundle.

    Args:
        scene: vtkMRMLScene.
        volumes: The scene's scalar volume nodes whose voxels are packed here; each has a storage node that writes NRRD.
        folder: An empty folder for the file.
        name: The bundle's file name, by which its folder inside is called, too.

    Returns:
        The file.

    Raises:
        SceneUnavailable: Slicer's writer failed.
        OSError: The file can't be written whole.
    """
    small, bundle = folder / "small", folder / name
    small.mkdir()
    with _stood_for(volumes) as stood_for:
        if not scene.WriteToMRB(str(small / name)):
            raise SceneUnavailable(f"{name}: Slicer's writer failed: check the disk's free space")
    with (
        zipfile.ZipFile(small / name) as given,
        zipfile.ZipFile(bundle, "w", zipfile.ZIP_STORED) as whole,
    ):
        for entry in given.infolist():
            content = given.read(entry)
            header = content.partition(b"\n\n")[0]
            lines = header.split(b"\n") if entry.filename.endswith(".nrrd") else []
            line = next((line for line in lines if line in stood_for), None)
            entry.compress_type = zipfile.ZIP_STORED
            if line is None:
                whole.writestr(entry, content)
                continue
            voxels = stood_for.pop(line)
            sizes = " ".join(str(length) for length in voxels.shape[::-1])
            with whole.open(entry, "w", force_zip64=voxels.nbytes > _LARGE) as file:
                file.write(header.replace(line, f"sizes: {sizes}".encode()) + b"\n\n")
                write_gzip(cast(BinaryIO, file), chunks(voxels))
    shutil.rmtree(small)
    if stood_for:
        raise SceneUnavailable(f"{name}: Slicer wrote a volume otherwise than as NRRD: update slicer-core")
    return bundle


@contextlib.contextmanager
def _stood_for(volumes: Sequence[Any]) -> Iterator[dict[bytes, np.ndarray]]:
    """Put a few voxels in the place of each volume's while the block runs.

    Yields:
        The true voxels (k, j, i), by the line of a NRRD's header that gives the sizes of what stands for them.
    """
    import vtk
    from vtk.util.numpy_support import vtk_to_numpy

    images = [node.GetImageData() for node in volumes]
    stood_for = {}
    try:
        for number, (node, image) in enumerate(zip(volumes, images, strict=True)):
            scalars = image.GetPointData().GetScalars()
            size = (number + 2, *_SHORT_AXES)
            few = vtk.vtkImageData()
            few.SetDimensions(*size)
            few.AllocateScalars(scalars.GetDataType(), 1)
            few.GetPointData().GetScalars().Fill(0)
            node.SetAndObserveImageData(few)
            line = f"sizes: {' '.join(map(str, size))}".encode()
            stood_for[line] = vtk_to_numpy(scalars).reshape(image.GetDimensions()[::-1])
        yield stood_for
    finally:
        for node, image in zip(volumes, images, strict=True):
            node.SetAndObserveImageData(image)
