"""What an image file promises against what it holds: checked before ITK reads it.

ITK fills what is missing with whatever the memory held, leaves out what is too much, makes up what a header lacks or gets
wrong, and may end the process over a header that was damaged: all without a word.
"""

import re
from pathlib import Path

import numpy as np

from DRAMLesionLib.images.meta_checks import check_meta, contradicted_axes, read_meta_header
from DRAMLesionLib.images.nifti_checks import check_nifti, read_nifti_header
from DRAMLesionLib.images.nrrd_checks import check_nrrd, read_nrrd_fields

NIFTI = (".nii", ".nii.gz", ".hdr")
NRRD = (".nrrd", ".nhdr")
_PLACED = (
    "left-posterior-superior",
    "left-anterior-superior",
    "right-anterior-superior",
    "lps",
    "las",
    "ras",
)
"""The spaces of a NRRD that say where the patient's left is, and that ITK turns."""


def check_whole(path: Path) -> np.ndarray | None:
    """Compare a volume's file with what its own header and checksums promise, as far as ITK does not.

    Returns:
        The voxels (k, j, i) where they were unpacked on the way, see
        :func:`~DRAMLesionLib.images.nifti_checks.check_nifti`; else None.

    Raises:
        InputError: It is truncated, corrupt, holds more than it promises, or has a header that can't be used or says two
            things; a NIfTI file also for NaN or infinite values.
    """
    name = path.name.lower()
    if name.endswith(NIFTI):
        return check_nifti(path)
    if name.endswith(NRRD):
        check_nrrd(path)
    else:
        check_meta(path)
    return None


def has_header(path: Path) -> bool:
    """Whether a volume's file begins with a header of its format; ITK, which a damaged one may end, is not asked."""
    name = path.name.lower()
    try:
        if name.endswith(NIFTI):
            return read_nifti_header(path) is not None
        with path.open("rb") as raw:
            return (
                "sizes" in read_nrrd_fields(raw)
                if name.endswith(NRRD)
                else "DimSize" in read_meta_header(path, raw)
            )
    except Exception:  # what is wrong with it is told by whoever reads it
        return False


def has_orientation(path: Path) -> bool:
    """Whether a volume's file says where its axes point; ITK makes it up for one that does not."""
    name = path.name.lower()
    if name.endswith(NIFTI):
        header = read_nifti_header(path)
        return header is None or bool(header["qform_code"] > 0 or header["sform_code"] > 0)
    with path.open("rb") as raw:
        if name.endswith(NRRD):
            fields = read_nrrd_fields(raw)
            return (
                fields.get("space", "").lower().removesuffix("-time") in _PLACED
                and "spacedirections" in fields
            )
        return bool({"TransformMatrix", "Orientation", "Rotation"} & read_meta_header(path, raw).keys())


def header_notes(path: Path) -> tuple[str, ...]:
    """What a reader of the results should know of a header, the same sentence for every format."""
    if not has_orientation(path):
        return ("its header holds no orientation: left and right are as its axes are usually taken",)
    if path.name.lower().endswith((*NIFTI, *NRRD)):
        return ()
    with path.open("rb") as raw:
        named = contradicted_axes(read_meta_header(path, raw))
    told = (
        f"its header names the axes {named} and turns them otherwise by its matrix, by which they are taken"
    )
    return (told,) if named else ()


def holds_segments(path: Path) -> bool:
    """Whether a NRRD is a segmentation that Slicer wrote, whatever it is called: its header names segments."""
    if not path.name.lower().endswith(NRRD) or not path.is_file():
        return False
    with path.open("rb") as raw:
        return any(re.fullmatch(r"segment\d+_(name|id)", key) for key in read_nrrd_fields(raw))
