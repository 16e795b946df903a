"""Which files are images, what they are called, and whether they can be read at all."""

import os
from pathlib import Path

from DRAMLesionLib.system.errors import InputError

FORMATS = (".nii", ".nii.gz", ".hdr", ".nrrd", ".nhdr", ".mha", ".mhd")
"""How the names of volumes end, in lower case; a NIfTI pair goes by its ``.hdr``."""
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
