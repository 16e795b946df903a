"""Image files: read whole or refused with one clear line."""

import contextlib
import locale
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from DRAMLesionLib.images.geometry import ROUNDED_SKEW, Geometry
from DRAMLesionLib.images.paths import FORMATS_TEXT, check_file, is_volume_file
from DRAMLesionLib.system.errors import InputError
from DRAMLesionLib.system.files import suffixes
from DRAMLesionLib.system.memory import is_out_of_memory

if TYPE_CHECKING:
    import numpy as np
    import SimpleITK as sitk


def read_header(path: str | Path) -> "sitk.ImageFileReader":
    """The reader of an image file, with size, geometry and tags known and no voxel read.

    Args:
        path: The file.

    Raises:
        InputError: The file is missing, empty, of another format or has a corrupt header.
    """
    path = check_file(path)
    with _readable(path) as name:
        return _information(path, name)


def read_image(path: str | Path) -> "sitk.Image":
    """Read a NIfTI, NRRD or MetaImage file as it is: any dimension, any number of components.

    ITK fills what is missing from a cut-off NIfTI file with whatever the memory held, turns NaN into 0 there, and
    takes damaged MetaImage and NRRD data as it comes, all without a word. So files are checked first.

    Returns:
        The image. Axes of a 3-D image that rounding has put off their right angles are at right angles.

    Raises:
        InputError: The file is missing, empty, of another format, truncated or corrupt; a NIfTI file also for NaN or
            infinite values, for a spacing that is no positive number, and for two places in one header.
    """
    path = check_file(path)
    if not is_volume_file(path):
        raise InputError(f"{path}: not a format that is read here: give {FORMATS_TEXT}")
    from DRAMLesionLib.images.image_checks import check_whole

    voxels = check_whole(path)
    with _readable(path) as name:
        reader = _information(path, name)
        try:
            image = None if voxels is None else _image_of(voxels, reader)
            if image is None:
                with quiet(), c_numbers(), _rounded_axes(path):  # it reads the header once more
                    image = reader.Execute()
        except RuntimeError as error:
            if is_out_of_memory(error):
                raise
            raise InputError(f"{path}: {short_reason(error)}") from error
    del voxels
    if image.GetDimension() == 3:
        geometry = Geometry.from_image(image)
        if ROUNDED_SKEW[0] < geometry.skew <= ROUNDED_SKEW[1]:
            image.SetDirection(geometry.perpendicular().direction)
    return image


def _information(path: Path, name: str) -> "sitk.ImageFileReader":
    """A reader that knows the header of the file ``name``, which errors call ``path``."""
    import SimpleITK as sitk

    reader = sitk.ImageFileReader()
    reader.SetFileName(name)
    if name.lower().endswith((".mha", ".mhd")):
        reader.SetImageIO("MetaImageIO")  # found by a suffix in small letters alone
    try:
        with quiet(), c_numbers(), _rounded_axes(path):
            reader.ReadImageInformation()
    except RuntimeError as error:
        raise InputError(f"{path}: {short_reason(error)}") from error
    return reader


def _image_of(voxels: "np.ndarray", reader: "sitk.ImageFileReader") -> "sitk.Image | None":
    """The image that ITK would read, of voxels (k, j, i) that are unpacked already; None where it would take them
    otherwise."""
    import SimpleITK as sitk

    image = sitk.GetImageFromArray(voxels)
    if image.GetPixelID() != reader.GetPixelID() or image.GetSize() != reader.GetSize():
        return None
    image.SetSpacing(reader.GetSpacing())
    image.SetOrigin(reader.GetOrigin())
    image.SetDirection(reader.GetDirection())
    return image


@contextlib.contextmanager
def _readable(path: Path) -> Iterator[str]:
    """The name by which ITK reads a file: NIfTI's library refuses a suffix in capital and small letters."""
    name = path.name
    if not name.lower().endswith((".nii", ".nii.gz", ".hdr")) or name.endswith((".nii", ".nii.gz", ".hdr")):
        yield str(path)
        return
    with tempfile.TemporaryDirectory() as folder:
        linked = Path(folder) / ("image" + suffixes(path).lower())
        _link(path, linked)
        if path.suffix.lower() == ".hdr":
            from DRAMLesionLib.images.nifti_checks import voxels_of_pair

            voxels = voxels_of_pair(path)
            _link(voxels, Path(folder) / ("image" + voxels.name[len(path.stem) :].lower()))
        yield str(linked)


def _link(path: Path, link: Path) -> None:
    try:
        link.symlink_to(path.resolve())
    except OSError:  # a system or a disk without links
        shutil.copyfile(path, link)


@contextlib.contextmanager
def _rounded_axes(path: Path) -> Iterator[None]:
    """Let ITK read a NIfTI file whose axes rounding has put off their right angles; others it refuses."""
    from DRAMLesionLib.images.nifti_checks import read_nifti_header, shear

    header = read_nifti_header(path) if path.name.lower().endswith((".nii", ".nii.gz", ".hdr")) else None
    if header is None or not ROUNDED_SKEW[0] < shear(header) <= ROUNDED_SKEW[1]:
        yield
        return
    before = os.environ.get(_PERMISSIVE)
    os.environ[_PERMISSIVE] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[_PERMISSIVE]
        else:
            os.environ[_PERMISSIVE] = before


_PERMISSIVE = "ITK_NIFTI_SFORM_PERMISSIVE"
"""ITK then takes the rotation that is nearest to a NIfTI file's sform."""


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep ITK's own warnings off the terminal: what matters of them is raised or returned."""
    import SimpleITK as sitk

    shown = sitk.ProcessObject.GetGlobalWarningDisplay()
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    try:
        yield
    finally:
        sitk.ProcessObject.SetGlobalWarningDisplay(shown)


@contextlib.contextmanager
def c_numbers() -> Iterator[None]:
    """Let ITK read and write numbers with a point, whatever the process's locale.

    Its C functions end a number at the point where the locale has a comma: a spacing of 7.35 is read as 7.
    """
    before = locale.setlocale(locale.LC_NUMERIC)
    if before in ("C", "POSIX"):
        yield
        return
    locale.setlocale(locale.LC_NUMERIC, "C")
    try:
        yield
    finally:
        locale.setlocale(locale.LC_NUMERIC, before)


def short_reason(error: Exception) -> str:
    """One phrase, with what to do, for the many lines of an ITK exception."""
    text = str(error)
    known = {
        "Unable to determine ImageIO reader": f"not an image that can be read: give {FORMATS_TEXT}",
        "orthonormal": "its axes are not perpendicular: repair its header or convert it again",
        "determinant": "its directions are singular: repair its header or convert it again",
        "Bad direction": "its directions are singular: repair its header or convert it again",
        "pacing": "its voxel spacing is not usable: repair its header or convert it again",
        "bad_alloc": "not enough memory to read it: close other programs or use a larger machine",
        "Failed to allocate": "not enough memory to read it: close other programs or use a larger machine",
    }
    for pattern, phrase in known.items():
        if pattern in text:
            return phrase
    return "truncated or corrupt: copy or export it again"


def grid_difference(path: Path, geometry: Geometry, what: str, other_name: str) -> str | None:
    """How the grid of an image file differs, or None; only its header is read.

    Args:
        path: A NIfTI, NRRD or MetaImage file.
        geometry: The grid it should have, in any axis order.
        what: What to call the file's image.
        other_name: What to call the other.

    Raises:
        InputError: The header can't be read.
    """
    own = read_geometry(path)
    if own.orientation == geometry.orientation:
        return own.difference(geometry, what=what, other_name=other_name)
    return own.canonical().difference(geometry.canonical(), what=what, other_name=other_name)


def read_geometry(path: Path) -> Geometry:
    """The grid of a 3-D image file, from its header.

    Raises:
        InputError: The header can't be read, or is of no 3-D image.
    """
    reader = read_header(path)
    size, spacing = reader.GetSize(), reader.GetSpacing()
    if reader.GetDimension() == 4 and size[3] == 1:
        direction = tuple(reader.GetDirection()[4 * row + column] for row in range(3) for column in range(3))
        return Geometry(size[:3], spacing[:3], reader.GetOrigin()[:3], direction)
    if reader.GetDimension() != 3:
        raise InputError(f"{path}: is {reader.GetDimension()}-D: give a 3-D image")
    geometry = Geometry(size, spacing, reader.GetOrigin(), reader.GetDirection())
    return geometry.perpendicular() if ROUNDED_SKEW[0] < geometry.skew <= ROUNDED_SKEW[1] else geometry
