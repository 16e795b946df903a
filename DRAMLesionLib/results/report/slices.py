"""Slices of a CT for pictures: which to show, and each as the reader sees it.

Slices follow the radiological convention: the patient's right is on the picture's left, anterior or superior is up, and
pixels have their size in mm.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from DRAMLesionLib.images.box import bounding_box, grow

if TYPE_CHECKING:
    from DRAMLesionLib.images.volume import Volume
    from DRAMLesionLib.lesions.findings import Findings

_MARGIN_MM = 12.0


@dataclass(frozen=True)
class Slice:
    """One slice, its rows from the top of the picture to its bottom, cut to the lungs.

    Attributes:
        hu: HU, shape (rows, columns).
        heat: dRAM 0..1, the same shape.
        lesion: Boolean, the same shape.
        lobes: Labels, the same shape.
        size_mm: Height and width in mm.
        label: For people: ``axial 46/120, S 12 mm``: its number from inferior, anterior or right, and where it lies.
    """

    hu: np.ndarray
    heat: np.ndarray
    lesion: np.ndarray
    lobes: np.ndarray
    size_mm: tuple[float, float]
    label: str


def spread_slices(lesion: np.ndarray, lobes: np.ndarray, axis: int, count: int) -> list[int]:
    """Slice numbers along ``axis`` that show the lesion over all of its extent, in rising order.

    The extent is cut into ``count`` equal bands; each gives the slice with most lesion of its middle half, so that
    neighbours don't show the same. Without a lesion the slices are spread over the lobes, without lobes over the
    whole CT.

    Args:
        lesion: uint8 or boolean, shape (z, y, x).
        lobes: Labels, the same shape.
        axis: 0 for axial, 1 for coronal slices.
        count: How many at most; fewer where the extent has fewer slices.
    """
    others = tuple(i for i in range(3) if i != axis)
    area = np.count_nonzero(lesion, axis=others)
    if not area.any():
        # No area counts more than another: take the middle of each band.
        inside = np.count_nonzero(lobes, axis=others) > 0
        where = np.flatnonzero(inside) if inside.any() else np.arange(lesion.shape[axis])
        bands = np.array_split(np.arange(where[0], where[-1] + 1), count)
        return [int(band[len(band) // 2]) for band in bands if len(band)]
    with_lesion = np.flatnonzero(area)
    chosen = []
    for band in np.array_split(np.arange(with_lesion[0], with_lesion[-1] + 1), count):
        quarter = len(band) // 4
        middle = band[quarter : len(band) - quarter]
        candidates = middle if area[middle].any() else band
        if area[candidates].any():
            chosen.append(int(candidates[np.argmax(area[candidates])]))
    return chosen


def slices_of(findings: Findings, axis: int, count: int) -> list[Slice]:
    """The slices that :func:`spread_slices` names, cut to the lungs; axial ones from superior to inferior.

    Args:
        findings: The results of one CT.
        axis: 0 axial, 1 coronal, 2 sagittal.
        count: How many at most.
    """
    box = lung_box(findings.lobes.labels, findings.ct.spacing_mm)
    numbers = spread_slices(findings.lesion, findings.lobes.labels, axis, count)
    # z runs from inferior to superior: axial slices are shown from the top down.
    return [slice_of(findings, axis, number, box) for number in (reversed(numbers) if axis == 0 else numbers)]


def slice_of(findings: Findings, axis: int, number: int, box: tuple[slice, ...]) -> Slice:
    """One slice as it is shown: rows that run toward superior are turned upside down.

    Args:
        findings: The results of one CT.
        axis: 0 axial, 1 coronal, 2 sagittal.
        number: Which slice along that axis, from 0.
        box: What is shown of it, (z, y, x): see :func:`lung_box`.
    """
    ct, spacing = findings.ct, findings.ct.spacing_mm
    cut: tuple[Any, ...] = (*box[:axis], number, *box[axis + 1 :])
    arrays = (ct.array, findings.map, findings.lesion, findings.lobes.labels)
    hu, heat, lesion, lobes = (array[cut] if axis == 0 else array[cut][::-1] for array in arrays)
    rows, columns = spacing[1 if axis == 0 else 0], spacing[1 if axis == 2 else 2]
    size = (hu.shape[0] * rows, hu.shape[1] * columns)
    name = ("axial", "coronal", "sagittal")[axis]
    label = f"{name} {number + 1}/{ct.array.shape[axis]}, {_position(ct, axis, number)}"
    return Slice(hu, heat, lesion != 0, lobes, size, label)


def _position(ct: Volume, axis: int, number: int) -> str:
    """Where the middle of a slice lies in patient coordinates, as Slicer shows it: ``S 12 mm``, ``P 30 mm``."""
    index = (np.asarray(ct.array.shape) - 1) / 2.0
    index[axis] = number
    point = ct.geometry.canonical().matrix @ np.append(index[::-1], 1.0)
    # LPS: the first coordinate grows to the left, the second to posterior, the third to superior.
    value = float(point[2 - axis])
    toward = (("S", "I"), ("P", "A"), ("L", "R"))[axis]
    return f"{toward[value < 0]} {abs(value):.0f} mm"


def lung_box(lobes: np.ndarray, spacing_mm: tuple[float, float, float]) -> tuple[slice, ...]:
    """The box (z, y, x) of the lungs with a margin of 12 mm; the whole CT where there are none.

    Args:
        lobes: Labels (z, y, x), 0 outside.
        spacing_mm: Voxel size (z, y, x).
    """
    if not lobes.any():
        return tuple(slice(0, n) for n in lobes.shape)
    return grow(bounding_box(lobes > 0), _MARGIN_MM, spacing_mm, lobes.shape)
