"""What people have in hand, CTs, lobes, strokes and numbers, as the library's own types."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from DRAMLesionLib.images.volume import Volume, ct_from_array, ct_from_image, image_on_grid, read_ct
from DRAMLesionLib.lungs.lobes import LOBES, LobeMap
from DRAMLesionLib.lungs.read_lobes import lobes_of_array, read_lobes
from DRAMLesionLib.system.errors import InputError


def ct_of(given: Any, series: str | None = None) -> Volume:
    """The CT that was given.

    Args:
        given: A NIfTI, NRRD or MHA file; a DICOM folder; a SimpleITK image; a pair of an array, HU of shape (z, y, x)
            (z to superior, y to posterior, x to the patient's left), and its voxel size (z, y, x) in mm; or a
            :class:`~DRAMLesionLib.images.volume.Volume`.
        series: UID of the DICOM series, where the folder holds several.

    Raises:
        InputError: It is none of these, or no CT in HU.
    """
    if isinstance(given, Volume):
        return given
    if isinstance(given, str | Path):
        return read_ct(given, series)
    if is_image(given):
        return ct_from_image(given)
    if isinstance(given, tuple | list) and len(given) == 2:
        return ct_from_array(np.asarray(given[0]), given[1])
    raise InputError(
        f"ct: is a {type(given).__name__}: give a path, a SimpleITK image, or (array, spacing_mm) in the order z, y, x"
    )


def lobes_of(given: Any, ct: Volume, allow_missing: bool = False) -> LobeMap | None:
    """The lobes that were given; None where none were, so that they are found.

    Args:
        given: What :func:`~DRAMLesionLib.lungs.read_lobes.read_lobes` reads; a SimpleITK image on the CT's grid; an array
            of labels, shape (z, y, x) of the CT; or a :class:`~DRAMLesionLib.lungs.lobes.LobeMap`.
        ct: The CT.
        allow_missing: Accept lobes without voxels.

    Raises:
        InputError: They can't be read, or do not fit the CT.
    """
    if given is None:
        return None
    if isinstance(given, LobeMap):
        if given.labels.shape != ct.array.shape:
            raise InputError(
                f"lobes: shape {given.labels.shape}, the CT has {ct.array.shape}: give them on the CT's grid"
            )
        return given
    if isinstance(given, str | Path):
        return read_lobes(given, ct, allow_missing)
    array = image_on_grid(given, ct, "lobes") if is_image(given) else np.asarray(given)
    return lobes_of_array(array, ct, allow_missing)


def strokes_of(given: Any, ct: Volume) -> Any:
    """Strokes as the correction takes them: an array of edits, or voxels and value of each stroke in their order.

    Args:
        given: A file or a SimpleITK image on the CT's grid, or an array of its shape, 1 lesion, 2 not lesion; or a list
            of ``(voxels, value)``.
        ct: The CT.

    Raises:
        InputError: A file can't be read, or lies on another grid.
    """
    if isinstance(given, str | Path):
        from DRAMLesionLib.images.volume import read_on_grid

        return read_on_grid(given, ct, "edits")
    if is_image(given):
        return image_on_grid(given, ct, "edits")
    if isinstance(given, list | tuple):
        if not all(isinstance(stroke, tuple | list) and len(stroke) == 2 for stroke in given):
            raise InputError(
                "strokes: give a list of (voxels, value), value 1 for lesion and 2 for not lesion"
            )
        return [(voxels, value) for voxels, value in given]
    return np.asarray(given)


def numbers_of(kind: str, given: Any) -> tuple[Any, ...] | None:
    """A reader's numbers, one for each lobe in the order LUL, LLL, RUL, RML, RLL; None for a lobe to leave.

    Args:
        kind: ``percent`` or ``score``, for errors.
        given: Five values, or a mapping from lobes' abbreviations to values; None for none.

    Raises:
        InputError: A lobe is unknown, or it is neither of the two.
    """
    if given is None:
        return None
    names = [lobe.abbreviation for lobe in LOBES]
    if isinstance(given, Mapping):
        unknown = [str(name) for name in given if name not in names]
        if unknown:
            raise InputError(f"{kind}: no lobe is called {unknown[0]}: use {', '.join(names)}")
        return tuple(given.get(name) for name in names)
    if isinstance(given, str) or not isinstance(given, Sequence | np.ndarray):
        raise InputError(f"{kind}: give five numbers for {', '.join(names)}, or a dict such as {{'LLL': 4}}")
    values = given.tolist() if isinstance(given, np.ndarray) else given
    return tuple(values)


def folder_of(given: Any) -> Path:
    """The folder for results that was given, or the one that holds some.

    Raises:
        InputError: It is no path.
    """
    if isinstance(given, str | Path):
        return Path(given)
    raise InputError(f"folder: is a {type(given).__name__}: give the path of a folder of results")


def is_image(given: Any) -> bool:
    """Whether something is a SimpleITK image; SimpleITK is not imported for it."""
    return type(given).__module__.partition(".")[0] == "SimpleITK"
