"""One date of a follow-up: a CT with its lobes and its lesion, as ``segment`` left them in a folder of results."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from DRAMLesionLib.images.box import Box, bounding_box, grow
from DRAMLesionLib.images.paths import is_volume_file
from DRAMLesionLib.images.volume import NEUTRAL_NAME, Volume, read_ct, without_identifiers
from DRAMLesionLib.lesions.quality import Flag
from DRAMLesionLib.lesions.quantify import Quantification
from DRAMLesionLib.results.folder import ct_of
from DRAMLesionLib.results.masks import read_masks
from DRAMLesionLib.system.errors import InputError

if TYPE_CHECKING:
    import SimpleITK as sitk

MARGIN_MM = 20.0
"""How much of the body around the lungs is kept."""


@dataclass(frozen=True)
class Exam:
    """The numbers of one date.

    Attributes:
        name: For people: what the results say the CT is called.
        quantification: Per lobe, per lung and in total, counted anew from the masks.
        approximate: The lobes are approximate.
        spacing_mm: Voxel size (z, y, x) of the CT.
        days: Days since the first exam; None where nobody said.
        flags: What should be looked at in this exam's own results.
        made_by: What made the mask, by name: method, models, lobes, reader; to tell whether two are alike.
    """

    name: str
    quantification: Quantification
    approximate: bool
    spacing_mm: tuple[float, float, float]
    days: float | None = None
    flags: tuple[Flag, ...] = ()
    made_by: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Images:
    """The images of one date, cut to the lungs and :data:`MARGIN_MM` around them. Arrays are (z, y, x), canonical axes.

    Attributes:
        hu: The CT in HU, int16 or float32.
        lobes: uint8, the values of :data:`~DRAMLesionLib.lungs.lobes.LOBES`.
        lesion: bool, lesion inside the lobes.
        spacing_mm: Voxel size (z, y, x).
        matrix: float64 4 x 4: from an index (x, y, z) of these arrays to a point in mm, LPS.
        first_slice: Which slice of the whole CT the arrays' first one is.
        slices: How many slices the whole CT has.
        field_of_view: Where the whole CT lies: indices (x, y, z) into the arrays of its first and its last voxel, (2, 3).
    """

    hu: np.ndarray
    lobes: np.ndarray
    lesion: np.ndarray
    spacing_mm: tuple[float, float, float]
    matrix: np.ndarray
    first_slice: int
    slices: int
    field_of_view: np.ndarray

    @property
    def voxel_ml(self) -> float:
        """The volume of a voxel in mL."""
        return float(np.prod(self.spacing_mm)) / 1000.0

    def image(self, array: np.ndarray) -> sitk.Image:
        """An image of an array of this shape, at its place in the patient."""
        import SimpleITK as sitk

        image = sitk.GetImageFromArray(np.ascontiguousarray(array))
        spacing = self.spacing_mm[::-1]
        image.SetSpacing(spacing)
        image.SetOrigin(self.matrix[:3, 3].tolist())
        image.SetDirection((self.matrix[:3, :3] / spacing).ravel().tolist())
        return image


def read_exam(
    folder: str | Path,
    ct: str | Path | None = None,
    *,
    series: str | None = None,
    keep_identifiers: bool = False,
) -> tuple[Exam, Images]:
    """Read one date from a folder of results, and the CT that they were made from.

    Args:
        folder: What ``segment``, ``steer`` or ``refine`` wrote.
        ct: The CT; None where the results say where it is.
        series: UID of the DICOM series, where ``ct`` is a folder of several.
        keep_identifiers: The exam may be named after a DICOM folder, where its results are.

    Raises:
        InputError: The folder lacks a file, its CT is not to be found, they do not belong together, or there is no lung.
    """
    volume = read_ct(ct_of(folder) if ct is None else ct, series=series)
    if not keep_identifiers:
        volume = without_identifiers(volume)
    masks = read_masks(folder, volume)
    if not masks.lobes.labels.any():
        raise InputError(f"{folder}: these results have no lung: segment the CT again with lobes (--lobes)")
    exam = Exam(
        name=masks.ct_name if keep_identifiers or is_volume_file(Path(masks.ct_name)) else NEUTRAL_NAME,
        quantification=masks.quantification,
        approximate=masks.lobes.approximate,
        spacing_mm=volume.spacing_mm,
        flags=masks.flags,
        made_by=masks.made_by,
    )
    return exam, images_of(volume, masks.lobes.labels, masks.lesion)


def images_of(ct: Volume, lobes: np.ndarray, lesion: np.ndarray) -> Images:
    """The part of a CT and of its masks that a comparison looks at.

    Args:
        ct: The CT in HU.
        lobes: uint8 (z, y, x) on its grid, not all 0.
        lesion: (z, y, x), nonzero in the lesion; what lies outside the lobes is left out.
    """
    box: Box = grow(bounding_box(lobes > 0), MARGIN_MM, ct.spacing_mm, lobes.shape)
    first = np.array([side.start for side in box[::-1]], dtype=np.float64)
    matrix = ct.geometry.canonical().matrix
    matrix[:3, 3] += matrix[:3, :3] @ first
    return Images(
        hu=ct.array[box].copy(),
        lobes=lobes[box].copy(),
        lesion=(lesion[box] != 0) & (lobes[box] > 0),
        spacing_mm=ct.spacing_mm,
        matrix=matrix,
        first_slice=box[0].start,
        slices=ct.array.shape[0],
        field_of_view=np.stack([-first, np.array(ct.array.shape[::-1]) - 1 - first]),
    )
