"""CT volumes: read into canonical axes, written back in exactly the input's geometry.

The canonical axes are those of the input that lie nearest to the patient's left, posterior and superior
directions (LPS), reordered and flipped, never resampled. An oblique scan stays oblique.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from DRAMLesionLib.images import nifti_writer
from DRAMLesionLib.images.geometry import CORNER_TOLERANCE as CORNER_TOLERANCE
from DRAMLesionLib.images.geometry import ROUNDED_SKEW, Geometry, axes_of, triple
from DRAMLesionLib.images.hounsfield import check_finite, clipped, compact, why_not_ct, with_signs
from DRAMLesionLib.images.image_checks import check_whole, header_notes, holds_segments
from DRAMLesionLib.images.image_file import c_numbers, read_image
from DRAMLesionLib.images.paths import check_file, check_name, exists, is_volume_file, stem
from DRAMLesionLib.system.errors import InputError
from DRAMLesionLib.system.files import OutputError, atomic_file
from DRAMLesionLib.system.memory import is_out_of_memory

if TYPE_CHECKING:
    import SimpleITK as sitk


SPACING_LIMITS_MM = (0.05, 20.0)
"""Spacings outside of these are taken for a header in other units."""


NEUTRAL_NAME = "ct"
"""What a CT is called whose folder may be named after a patient, or that has no file."""


@dataclass(frozen=True, eq=False)
class Volume:
    """An image in canonical axes, and the way back to its own.

    Attributes:
        array: Shape (z, y, x): z to superior, y to posterior, x to the patient's left. A CT is int16 or
            float32 HU.
        spacing_mm: (z, y, x) of ``array``.
        geometry: Where the voxels of the image lie, as it was given.
        name: For people: the file's name without suffix, the folder's for DICOM.
        path: Where it came from.
        warnings: What a reader of the results should know of the input, one sentence each.
    """

    array: np.ndarray
    spacing_mm: tuple[float, float, float]
    geometry: Geometry
    name: str
    path: Path | None = None
    warnings: tuple[str, ...] = ()


def read_ct(path: str | Path, series: str | None = None, *, allow_unusual: bool = False) -> Volume:
    """Read a CT: a NIfTI, NRRD or MetaImage file, a DICOM folder, or one file of a DICOM series.

    Args:
        path: The file or folder. One file of a DICOM series stands for the whole series in its folder.
        series: Which series of a DICOM folder: its UID, or the beginning or end of it.
        allow_unusual: Take values that don't look like HU with a warning instead of an error.

    Returns:
        The volume with int16 values where they are whole numbers in range, else float32.

    Raises:
        InputError: The input is missing, unreadable or truncated; not one 3-D volume of single values; not HU; has
            NaN or infinite values, or a geometry that can't be used; or several DICOM series to choose from.
    """
    path = Path(path)
    check_name(path)
    if not exists(path):
        raise InputError(f"{path}: no such file or folder: check the path")
    path = _header_of(path)
    notes: tuple[str, ...] = ()
    if path.is_dir() or not is_volume_file(check_file(path)):
        from DRAMLesionLib.images.dicom import series as dicom

        image, notes = dicom.read_series(path, series, allow_unusual=allow_unusual)
        name = path.resolve().name if path.is_dir() else stem(path)
    elif series is not None:
        raise InputError(f"{path}: has no DICOM series to choose from: leave the series out")
    else:
        _refuse_segmentation(path)
        image, name = read_image(path), stem(path)
        notes = header_notes(path)
    return ct_from_image(image, name, path, notes, allow_unusual=allow_unusual)


def ct_from_image(
    image: "sitk.Image",
    name: str = "ct",
    path: Path | None = None,
    notes: tuple[str, ...] = (),
    *,
    allow_unusual: bool = False,
) -> Volume:
    """The CT of an image that is in memory, checked as a file is.

    Args:
        image: One 3-D volume of single values in HU.
        name: What to call it where it has no file.
        path: Where it came from; None where it has no file.
        notes: What a reader of the results should know of the input, one sentence each.
        allow_unusual: Take values that don't look like HU with a warning instead of an error.

    Raises:
        InputError: The image is no CT: see :func:`read_ct`.
    """
    what = path or Path(name)
    image = _one_volume(image, what)
    volume = from_image(image, name, path)
    check_geometry(volume.geometry, what)
    check_finite(volume.array, what)
    signed, lost = with_signs(volume.array)
    array = compact(signed, what)
    doubt = why_not_ct(array)
    if doubt and not allow_unusual:
        raise InputError(f"{what}: does not look like a CT: {doubt}")
    if doubt:
        notes = (*notes, f"does not look like a CT: {doubt}")
    notes = (*notes, *lost, *(() if doubt else clipped(array)))
    return Volume(array, volume.spacing_mm, volume.geometry, name, path, notes)


def ct_from_array(array: np.ndarray, spacing_mm: Sequence[float], name: str = "ct") -> Volume:
    """The CT of a plain array, checked as a file is; its first voxel lies at the origin.

    Args:
        array: HU, shape (z, y, x), canonical axes: z to superior, y to posterior, x to the patient's left.
        spacing_mm: Voxel size (z, y, x) in mm.
        name: What to call it.

    Raises:
        InputError: The array has another shape or no numbers, the spacing is not three numbers, or it is no CT: see
            :func:`read_ct`.
    """
    import SimpleITK as sitk

    array = np.asarray(array)
    if array.ndim != 3:
        raise InputError(f"{name}: has shape {array.shape}: give an array of shape (z, y, x)")
    if array.dtype.kind not in "iuf":
        raise InputError(f"{name}: has values of type {array.dtype}: give HU as int16 or float32")
    try:
        spacing = tuple(float(length) for length in spacing_mm)
    except (TypeError, ValueError):
        spacing = ()
    if len(spacing) != 3 or not all(length > 0 for length in spacing):
        raise InputError(f"{name}: spacing {spacing_mm} mm: give three positive numbers (z, y, x)")
    known = array.astype(np.float32) if array.dtype == np.float16 else array
    image = sitk.GetImageFromArray(np.ascontiguousarray(known))
    image.SetSpacing(spacing[::-1])
    return ct_from_image(image, name)


def without_identifiers(ct: Volume) -> Volume:
    """A CT that was read from DICOM under a neutral name: such folders are often named after patients.

    Files keep the names that people gave them.
    """
    if ct.path is None or is_volume_file(ct.path):
        return ct
    return replace(ct, name=NEUTRAL_NAME, path=None)


def read_on_grid(path: str | Path, like: Volume, what: str = "lobe mask") -> np.ndarray:
    """Read an image that lies on the grid of ``like``: a label map or a map.

    The file's axes may be ordered and flipped in another way, as long as its voxels are the same points.

    Args:
        path: A NIfTI, NRRD or MetaImage file.
        like: The volume whose grid it must have.
        what: What to call it in errors.

    Returns:
        Shape (z, y, x), canonical axes, the file's own dtype.

    Raises:
        InputError: The file can't be read, lies on another grid, or has NaN or infinite values.
    """
    return image_on_grid(read_image(path), like, what, Path(path))


def image_on_grid(image: "sitk.Image", like: Volume, what: str, path: Path | None = None) -> np.ndarray:
    """The array of an image in memory that lies on the grid of ``like``; see :func:`read_on_grid`.

    Args:
        image: A 3-D image with one value per voxel.
        like: The volume whose grid it must have.
        what: What to call it in errors.
        path: Its file, for errors; None where it has none.

    Raises:
        InputError: It lies on another grid, or has NaN or infinite values.
    """
    known = path or Path(what)
    image = _one_volume(image, known)
    geometry = Geometry.from_image(image)
    check_geometry(geometry, known)
    if geometry.orientation == like.geometry.orientation:
        difference = geometry.difference(like.geometry, what=what)
    else:
        difference = geometry.canonical().difference(like.geometry.canonical(), what=what)
    if difference:
        raise InputError(f"{known}: {difference}: give one made from this CT")
    array = _canonical(image)
    check_finite(array, known)
    return array


def from_image(image: "sitk.Image", name: str, path: Path | None = None) -> Volume:
    """The volume of a 3-D image with one value per voxel; values and dtype stay as they are."""
    geometry = Geometry.from_image(image)
    order, _ = axes_of(geometry.orientation)
    x, y, z = (geometry.spacing[axis] for axis in order)
    return Volume(_canonical(image), (z, y, x), geometry, name, path)


def to_image(array: np.ndarray, like: Volume) -> "sitk.Image":
    """An image in exactly the geometry that ``like`` was given in.

    Args:
        array: Shape (z, y, x) of ``like.array``, canonical axes. Booleans become uint8, half floats float32.
        like: The volume whose geometry the image gets.

    Raises:
        ValueError: The shape is another.
    """
    import SimpleITK as sitk

    image = sitk.GetImageFromArray(np.ascontiguousarray(own_axes(array, like)))
    image.SetSpacing(like.geometry.spacing)
    image.SetOrigin(like.geometry.origin)
    image.SetDirection(like.geometry.direction)
    return image


def own_axes(array: np.ndarray, like: Volume) -> np.ndarray:
    """A view of a canonical array in the own axes (k, j, i) of ``like``; a copy where its dtype is no image's."""
    array = np.asanyarray(array)
    if array.shape != like.array.shape:
        raise ValueError(f"the array has shape {array.shape}, the volume has {like.array.shape}")
    if array.dtype == np.bool_:
        array = array.view(np.uint8)
    elif array.dtype == np.float16:
        array = array.astype(np.float32)
    order, flipped = numpy_axes(like.geometry.orientation)
    return _flip(array, flipped).transpose(np.argsort(order))


def write_volume(array: np.ndarray, like: Volume, path: str | Path) -> None:
    """Write ``array`` in the geometry of ``like``, compressed, whole or not at all.

    Args:
        array: Shape (z, y, x), canonical axes.
        like: The volume whose geometry it gets.
        path: The file to make; its suffix chooses the format: .nii.gz, .nii, .nrrd or .mha.

    Raises:
        InputError: The suffix is another.
        OutputError: It can't be written.
        ValueError: The array has another shape, or NaN or infinite values.
    """
    import SimpleITK as sitk

    check_name(Path(path))
    if not str(path).lower().endswith((".nii", ".nii.gz", ".nrrd", ".mha")):
        raise InputError(f"{path}: can't write this format: end the name in .nii.gz, .nrrd or .mha")
    array = np.asarray(array)
    if np.issubdtype(array.dtype, np.floating) and not all(np.isfinite(plane).all() for plane in array):
        raise ValueError(f"{path}: the array has NaN or infinite values")
    if nifti_writer.can_write(array, path):
        own = own_axes(array, like)
        with atomic_file(path) as temporary:
            nifti_writer.write_nifti(own, like.geometry, temporary)
        return
    image = to_image(array, like)
    with atomic_file(path) as temporary:
        try:
            with c_numbers():
                sitk.WriteImage(image, str(temporary), useCompression=True)
            check_whole(temporary)
        except (RuntimeError, InputError) as error:
            if is_out_of_memory(error):
                raise
            # ITK's NIfTI writer ends without an error on a full disk, so what it wrote is read again.
            raise OutputError(
                f"{path}: can't be written whole: free some space on the disk or give another folder"
            ) from error


def numpy_axes(orientation: str) -> tuple[tuple[int, int, int], tuple[bool, bool, bool]]:
    """How an image's own axes (k, j, i) become the canonical ones (z, y, x): their order, and which are flipped."""
    (x, y, z), (flip_x, flip_y, flip_z) = axes_of(orientation)
    return (2 - z, 2 - y, 2 - x), (flip_z, flip_y, flip_x)


def _canonical(image: "sitk.Image") -> np.ndarray:
    import SimpleITK as sitk

    # A copy always: the view dies with the image.
    return canonical_array(sitk.GetArrayViewFromImage(image), Geometry.from_image(image))


def canonical_array(own: np.ndarray, geometry: Geometry) -> np.ndarray:
    """A copy of an array in an image's own axes (k, j, i), turned to the canonical ones (z, y, x)."""
    order, flipped = numpy_axes(geometry.orientation)
    return _flip(own.transpose(order), flipped).copy(order="C")


def _flip(array: np.ndarray, flipped: tuple[bool, bool, bool]) -> np.ndarray:
    return array[tuple(slice(None, None, -1 if backwards else 1) for backwards in flipped)]


def _header_of(path: Path) -> Path:
    """The ``.hdr`` of a NIfTI pair whose ``.img`` was given; any other path as it is."""
    if path.suffix.lower() != ".img":
        return path
    for file in sorted(path.parent.iterdir()):
        if file.name.lower() == f"{path.stem.lower()}.hdr":
            return file
    return path


def _refuse_segmentation(path: Path) -> None:
    if path.name.lower().endswith(".seg.nrrd") or holds_segments(path):
        raise InputError(f"{path}: is a segmentation, not a CT: give the CT it was made from")


def _one_volume(image: "sitk.Image", path: Path) -> "sitk.Image":
    """The image, if it is 3-D with one value per voxel (a fourth axis of length 1 is dropped)."""
    import SimpleITK as sitk

    size = " x ".join(str(length) for length in image.GetSize())
    components = image.GetNumberOfComponentsPerPixel()
    if components > 1:
        kind = "a colour picture" if components in (3, 4) else "a vector image"
        raise InputError(
            f"{path}: has {components} values per voxel ({kind}): give an image with one value per voxel"
        )
    if "complex" in image.GetPixelIDTypeAsString():
        raise InputError(f"{path}: has complex values: give an image with one value per voxel")
    if image.GetDimension() == 4 and image.GetSize()[3] == 1:
        image = sitk.Extract(image, [*image.GetSize()[:3], 0], [0, 0, 0, 0])
    if image.GetDimension() != 3:
        hint = "a whole 3-D scan" if image.GetDimension() < 3 else "one 3-D volume of it"
        raise InputError(f"{path}: is {image.GetDimension()}-D ({size}): give {hint}")
    if min(image.GetSize()) < 2:
        raise InputError(f"{path}: is a single slice ({size}): give a whole 3-D scan")
    return image


def check_geometry(geometry: Geometry, path: Path | str) -> None:
    """Refuse a geometry that no CT can have.

    Args:
        geometry: An image's geometry.
        path: What to name in errors: its file, or its name.

    Raises:
        InputError: Numbers that are not finite, a spacing out of range, directions that are singular or not
            perpendicular.
    """
    low, high = SPACING_LIMITS_MM
    spacing = triple(geometry.spacing)
    numbers = (*geometry.spacing, *geometry.origin, *geometry.direction)
    if not np.isfinite(numbers).all():
        raise InputError(
            f"{path}: its geometry has NaN or infinite numbers: repair its header or convert it again"
        )
    if not all(low <= length <= high for length in geometry.spacing):
        raise InputError(
            f"{path}: its voxel spacing is {spacing} mm, outside {low:g} to {high:g} mm: "
            "repair its header or convert it again"
        )
    if abs(np.linalg.det(np.reshape(geometry.direction, (3, 3)))) < 0.1:
        raise InputError(f"{path}: its directions are singular: repair its header or convert it again")
    if geometry.skew > ROUNDED_SKEW[1]:
        raise InputError(
            f"{path}: its axes are not perpendicular (gantry tilt?): give the DICOM series, "
            "or resample it to an upright grid"
        )
