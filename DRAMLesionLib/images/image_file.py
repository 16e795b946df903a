"""Image files: read whole or refused with one clear line."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from DRAMLesionLib.system.errors import InputError
from DRAMLesionLib.system.memory import is_out_of_memory

if TYPE_CHECKING:
    import SimpleITK as sitk

FORMATS = (".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd")
FORMATS_TEXT = "NIfTI (.nii, .nii.gz), NRRD (.nrrd), MetaImage (.mha, .mhd) or DICOM"


def is_volume_file(path: str | Path) -> bool:
    """Whether the name of ``path`` ends as NIfTI, NRRD and MetaImage files do."""
    return str(path).lower().endswith(FORMATS)


def stem(path: str | Path) -> str:
    """The file's name without its image suffix: ``case02_ct.nii.gz`` gives ``case02_ct``."""
    name = Path(path).name
    for suffix in (".seg.nrrd", *sorted(FORMATS, key=len, reverse=True)):
        if name.lower().endswith(suffix):
            return name[: -len(suffix)] or name
    return Path(path).stem


def check_file(path: str | Path) -> Path:
    """The path of a file that exists, can be opened and is not empty.

    Raises:
        InputError: It is missing, a folder, a pipe or device, not readable, or empty; or its name is no text.
    """
    path = Path(path)
    check_name(path)
    if path.is_dir():
        raise InputError(f"{path}: is a folder: give a file")
    if not exists(path):
        raise InputError(f"{path}: no such file: check the path")
    if not path.is_file():
        raise InputError(f"{path}: is no file but a pipe or device: give a file")
    if not os.access(path, os.R_OK):
        raise InputError(f"{path}: no permission to read it: change its permissions")
    if path.stat().st_size == 0:
        raise InputError(f"{path}: the file is empty: copy or export it again")
    return path


def exists(path: Path) -> bool:
    """Whether there is such a file or folder.

    Raises:
        InputError: The system can't even look: the name is too long, or a part of the way is closed.
    """
    try:
        return path.exists()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"{str(path)!a}: {reason}: check the path") from error


def check_name(path: Path) -> None:
    """Refuse a path that is no text: SimpleITK ends the process over it.

    Raises:
        InputError: It holds bytes that are not UTF-8.
    """
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        shown = os.fsencode(path).decode("utf-8", "backslashreplace")
        raise InputError(f"{shown}: its name holds bytes that are no UTF-8 text: rename it") from error


def read_header(path: str | Path, image_io: str = "") -> "sitk.ImageFileReader":
    """The reader of an image file, with size, geometry and tags known and no voxel read.

    Args:
        path: The file.
        image_io: The name of ITK's reader for it, where the suffix does not tell.

    Raises:
        InputError: The file is missing, empty, of another format or has a corrupt header.
    """
    import SimpleITK as sitk

    path = check_file(path)
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    reader.SetImageIO(image_io)
    try:
        with quiet():
            reader.ReadImageInformation()
    except RuntimeError as error:
        raise InputError(f"{path}: {short_reason(error)}") from error
    return reader


def read_image(path: str | Path) -> "sitk.Image":
    """Read a NIfTI, NRRD or MetaImage file as it is: any dimension, any number of components.

    ITK fills what is missing from a cut-off NIfTI file with whatever the memory held, turns NaN into 0 there, and
    takes damaged MetaImage and NRRD data as it comes, all without a word. So files are checked first.

    Raises:
        InputError: The file is missing, empty, of another format, truncated or corrupt; a NIfTI file also for NaN or
            infinite values and for a spacing that is no positive number.
    """
    path = check_file(path)
    if not is_volume_file(path):
        raise InputError(f"{path}: not a format that is read here: give {FORMATS_TEXT}")
    from DRAMLesionLib.images.image_checks import check_whole

    check_whole(path)
    reader = read_header(path)
    try:
        with quiet():
            return reader.Execute()
    except RuntimeError as error:
        if is_out_of_memory(error):
            raise
        raise InputError(f"{path}: {short_reason(error)}") from error


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
