"""The lesions of one CT, each with its lobe, volume, density, distance to the pleura and a voxel to look at.

A lesion is a piece of the mask inside one lung whose voxels touch by faces, edges or corners. Lobe borders do not part a
lesion: where lobes are approximate they would cut in two what is one.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage

from DRAMLesionLib.images.box import Box, beyond, bounding_box, grow, within
from DRAMLesionLib.images.volume import Volume
from DRAMLesionLib.lesions.quantify import DENSITY_CLASSES, density_class
from DRAMLesionLib.lungs.lobes import LOBES
from DRAMLesionLib.system.errors import InputError
from DRAMLesionLib.system.files import write_text

if TYPE_CHECKING:
    from DRAMLesionLib.lesions.findings import Findings

LEAST_ML = 0.1
"""Smaller pieces are summed up and not listed: a ball of 0.1 mL has a diameter of 5.8 mm."""

SHARED = 0.1
"""Part of a lesion from which another lobe than its own is named."""

_KEPT = "_lesion_list"
_FIRST_MARGIN_MM = 10.0
_TOUCHING = np.ones((3, 3, 3), dtype=bool)


@dataclass(frozen=True)
class Lesion:
    """One lesion.

    Attributes:
        number: 1 for the largest.
        lobe: Abbreviation of the lobe that holds most of it, such as ``RLL``.
        also_in: Abbreviations of other lobes that hold at least a tenth of it (:data:`SHARED`), the largest part first.
        volume_ml: Volume in mL.
        ground_glass_ml: Part with the density of ground glass in mL, see :mod:`DRAMLesionLib.lesions.quantify`.
        consolidation_ml: Part with the density of consolidation in mL.
        other_ml: Part with neither in mL; the three add up to the volume.
        mean_hu: Mean density in HU.
        pleura_mm: From its nearest voxel to the nearest of the lung's outermost voxels, in mm; 0 where it holds one of
            them. Fissures don't count; the mediastinal surface with the hilum does.
        voxel: A voxel (z, y, x) of the lesion in canonical axes: in the axial slice that shows most of it, the one
            nearest to the middle of the lesion there.
        ras_mm: The patient coordinates of that voxel in mm, toward right, anterior and superior.
    """

    number: int
    lobe: str
    also_in: tuple[str, ...]
    volume_ml: float
    ground_glass_ml: float
    consolidation_ml: float
    other_ml: float
    mean_hu: float
    pleura_mm: float | None
    voxel: tuple[int, int, int]
    ras_mm: tuple[float, float, float]

    @property
    def slice_number(self) -> int:
        """The axial slice of :attr:`voxel` as reports count them: 1 is the lowest."""
        return self.voxel[0] + 1


@dataclass(frozen=True)
class LesionList:
    """The lesions of one CT, and what is too small to be listed.

    Attributes:
        lesions: The largest first; of the same volume, the lowest one first.
        least_ml: Volume in mL from which a lesion is listed.
        rest_count: How many are smaller.
        rest_ml: Their volume together in mL.
    """

    lesions: tuple[Lesion, ...] = ()
    least_ml: float = LEAST_ML
    rest_count: int = 0
    rest_ml: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """JSON values: ``lesions``, and ``lesions_below`` for what is smaller."""
        below = {"least_ml": self.least_ml, "count": self.rest_count, "ml": self.rest_ml}
        rows = [{key: _list_or(value) for key, value in asdict(lesion).items()} for lesion in self.lesions]
        return {"lesions": rows, "lesions_below": below}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> LesionList:
        """What :meth:`to_dict` wrote, such as a whole ``summary.json``.

        Raises:
            InputError: The values are no lesion list, as those of a summary before version 0.4.
        """
        try:
            below = values["lesions_below"]
            return cls(
                tuple(_lesion_of(row) for row in values["lesions"]),
                float(below["least_ml"]),
                int(below["count"]),
                float(below["ml"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"the summary has no lesion list ({error}): segment the CT again") from error


def lesions_of(findings: Findings) -> LesionList:
    """The lesions of one CT's findings, see :func:`list_lesions`; found once and kept with these findings.

    Findings with another mask are other findings: :func:`dataclasses.replace` keeps no list. Whoever changes a mask in
    place calls :func:`list_lesions`.
    """
    kept = known_lesions(findings)
    if kept is None:
        kept = list_lesions(findings.ct, findings.lobes.labels, findings.lesion)
        keep_lesions(findings, kept)
    return kept


def known_lesions(findings: Findings) -> LesionList | None:
    """The list that is kept with findings; None where it was not made yet."""
    return vars(findings).get(_KEPT)


def keep_lesions(findings: Findings, lesions: LesionList) -> None:
    """Keep a list that another process made of the same findings."""
    vars(findings)[_KEPT] = lesions


def list_lesions(ct: Volume, lobes: np.ndarray, lesion: np.ndarray, least_ml: float = LEAST_ML) -> LesionList:
    """Find and measure the lesions of one CT. What lies outside the lobes is not counted.

    Args:
        ct: The CT in HU.
        lobes: uint8 (z, y, x), values of :data:`~DRAMLesionLib.lungs.lobes.LOBES`, 0 outside.
        lesion: Boolean or integer (z, y, x); every value but 0 is lesion.
        least_ml: Volume in mL from which a lesion is listed.
    """
    listed: list[Lesion] = []
    smaller: list[float] = []
    for side, box, pieces, count in lung_pieces(lobes, lesion):
        _add_lung(ct, _Lung(lobes, side), box, (pieces, count), least_ml, listed, smaller)
    listed.sort(key=lambda one: (-one.volume_ml, one.voxel))
    numbered = tuple(replace(one, number=number) for number, one in enumerate(listed, start=1))
    return LesionList(numbered, least_ml, len(smaller), float(sum(smaller)))


def lung_pieces(lobes: np.ndarray, lesion: np.ndarray) -> Iterator[tuple[str, Box, np.ndarray, int]]:
    """Find the pieces of a mask in each lung: voxels that touch by faces, edges or corners.

    Args:
        lobes: uint8 (z, y, x), values of :data:`~DRAMLesionLib.lungs.lobes.LOBES`, 0 outside.
        lesion: Boolean or integer (z, y, x); every value but 0 is lesion. What lies outside the lobes is left out.

    Yields:
        For each lung with any: its side, ``left`` or ``right``; the box about its pieces; integers of the box's shape,
        1 and up for the pieces, 0 elsewhere; and how many pieces there are.
    """
    if not lesion.any():
        return
    around = bounding_box(lesion)
    for side in ("left", "right"):
        mask = _Lung(lobes, side)[around] & (lesion[around] != 0)
        if mask.any():
            own = bounding_box(mask)
            pieces, count = ndimage.label(mask[own], structure=_TOUCHING)
            yield side, beyond(own, around), pieces, count


def write_lesions(lesions: LesionList, path: str | Path) -> None:
    """Write ``lesions.csv``: a header and one row per lesion, then one row of what is too small to be listed.

    UTF-8, commas, decimal points, four decimals. The last row has the number 0, the count in ``lobe`` as ``7 smaller``,
    and the volume; it is there only where something is smaller.
    """
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(COLUMNS)
    for one in lesions.lesions:
        amounts = (one.volume_ml, one.ground_glass_ml, one.consolidation_ml, one.other_ml)
        numbers = (*amounts, one.mean_hu, one.pleura_mm)
        texts = ("" if value is None else f"{value:.4f}" for value in (*numbers, *one.ras_mm))
        z, y, x = one.voxel
        writer.writerow([one.number, one.lobe, ";".join(one.also_in), *texts, z, y, x, one.slice_number])
    if lesions.rest_count:
        row = [0, f"{lesions.rest_count} smaller", "", f"{lesions.rest_ml:.4f}"]
        writer.writerow([*row, *[""] * (len(COLUMNS) - len(row))])
    write_text(path, buffer.getvalue())


COLUMNS = (
    "number",
    "lobe",
    "also_in",
    "volume_ml",
    "ground_glass_ml",
    "consolidation_ml",
    "other_ml",
    "mean_hu",
    "pleura_mm",
    "r_mm",
    "a_mm",
    "s_mm",
    "z",
    "y",
    "x",
    "axial_slice",
)
"""The columns of ``lesions.csv``; ``axial_slice`` counts from 1 for the lowest, the voxel's z, y and x from 0."""


class _Lung:
    """One lung's voxels, made out of the lobes where they are asked for: a whole CT's would take longer than all else."""

    def __init__(self, lobes: np.ndarray, side: str) -> None:
        self.lobes = lobes
        self._values = [lobe.value for lobe in LOBES if lobe.side == side]

    def __getitem__(self, box: Box) -> np.ndarray:
        part = self.lobes[box]
        inside = part == self._values[0]
        for value in self._values[1:]:
            inside |= part == value
        return inside


def _add_lung(
    ct: Volume,
    lung: _Lung,
    box: Box,
    labelled: tuple[np.ndarray, int],
    least_ml: float,
    listed: list[Lesion],
    smaller: list[float],
) -> None:
    """Add one lung's lesions within a box, not numbered yet, and the volume in mL of each piece that is too small."""
    pieces, count = labelled
    counted = _Counted(pieces, count, ct.array[box], lung.lobes[box])
    volumes = counted.voxels * float(np.prod(ct.spacing_mm)) / 1000
    at_surface = _at_surface(pieces, count, lung, box)
    for piece, inner in enumerate(ndimage.find_objects(pieces), start=1):
        if volumes[piece] < least_ml:
            smaller.append(float(volumes[piece]))
            continue
        part, own = pieces[inner] == piece, beyond(inner, box)
        distance = 0.0 if at_surface[piece] else _distance_mm(part, own, lung, ct.spacing_mm)
        listed.append(_lesion(ct, part, own, counted, piece, distance))


def _lesion(
    ct: Volume, part: np.ndarray, own: Box, counted: _Counted, piece: int, distance: float | None
) -> Lesion:
    voxel_ml = float(np.prod(ct.spacing_mm)) / 1000
    z, y, x = (side.start + index for side, index in zip(own, middle_voxel(part, ct.spacing_mm), strict=True))
    left, posterior, superior = (ct.geometry.canonical().matrix @ (x, y, z, 1.0))[:3].tolist()
    lobe, *others = counted.lobes_of(piece)
    ground_glass, consolidation, other = (counted.classes[piece, 1:] * voxel_ml).tolist()
    return Lesion(
        number=0,
        lobe=lobe,
        also_in=tuple(others),
        volume_ml=float(counted.voxels[piece] * voxel_ml),
        ground_glass_ml=ground_glass,
        consolidation_ml=consolidation,
        other_ml=other,
        mean_hu=float(counted.hu[piece] / counted.voxels[piece]),
        pleura_mm=distance,
        voxel=(z, y, x),
        ras_mm=(-left, -posterior, superior),
    )


class _Counted:
    """Sums over the voxels of each piece; index 0 is no piece."""

    def __init__(self, pieces: np.ndarray, count: int, hu: np.ndarray, lobes: np.ndarray) -> None:
        inside = pieces != 0
        piece, values, lobe = pieces[inside].astype(np.intp), hu[inside], lobes[inside]
        length, classes = count + 1, DENSITY_CLASSES + 1
        self.voxels = np.bincount(piece, minlength=length)
        self.hu = np.bincount(piece, weights=values, minlength=length)
        by_class = np.bincount(piece * classes + density_class(values), minlength=length * classes)
        self.classes = by_class.reshape(length, classes)
        by_lobe = np.bincount(piece * (len(LOBES) + 1) + lobe, minlength=length * (len(LOBES) + 1))
        self._lobes = by_lobe.reshape(length, len(LOBES) + 1)

    def lobes_of(self, piece: int) -> list[str]:
        """The lobe with most of a piece, and the others with enough of it, the largest part first."""
        parts = self._lobes[piece, 1:]
        order = np.argsort(-parts, kind="stable")
        enough = SHARED * self.voxels[piece]
        return [
            LOBES[number].abbreviation
            for rank, number in enumerate(order)
            if rank == 0 or parts[number] >= enough
        ]


def _at_surface(pieces: np.ndarray, count: int, lung: _Lung, box: Box) -> np.ndarray:
    """Which pieces hold one of the lung's outermost voxels: bool (count + 1,)."""
    around = grow(box, 1.0, (1.0, 1.0, 1.0), lung.lobes.shape)
    ends = [(1 - (b.start - a.start), 1 - (a.stop - b.stop)) for a, b in zip(around, box, strict=True)]
    # Beyond the scan's end nothing is known of the lung: it is no surface.
    inside = np.pad(lung[around], ends, constant_values=True)
    core = (slice(1, -1),) * 3
    surface = np.zeros(pieces.shape, dtype=bool)
    for axis in range(3):
        for shift in (slice(None, -2), slice(2, None)):
            surface |= ~inside[(*core[:axis], shift, *core[axis + 1 :])]
    found = np.zeros(count + 1, dtype=bool)
    found[pieces[surface]] = True
    return found


def _distance_mm(
    part: np.ndarray, own: Box, lung: _Lung, spacing_mm: tuple[float, float, float]
) -> float | None:
    """From a piece to the lung's outermost voxels in mm, looked for in a box about it that grows until it holds one."""
    margin = _FIRST_MARGIN_MM
    while True:
        # One voxel more, whose neighbours tell whether a voxel at the margin is an outermost one.
        around = grow(own, margin + max(spacing_mm), spacing_mm, lung.lobes.shape)
        inside = lung[around]
        surface = inside & ~ndimage.binary_erosion(inside, border_value=1)
        nearest = np.inf
        if surface.any():
            distances = ndimage.distance_transform_edt(~surface, sampling=spacing_mm)
            nearest = float(distances[within(own, around)][part].min())
        if nearest <= margin or inside.shape == lung.lobes.shape:
            return nearest if np.isfinite(nearest) else None
        margin *= 2


def middle_voxel(part: np.ndarray, spacing_mm: tuple[float, float, float]) -> tuple[int, int, int]:
    """The voxel (z, y, x) of a piece nearest to the middle of its largest axial slice.

    Args:
        part: bool (z, y, x), canonical axes, not empty.
        spacing_mm: Voxel size (z, y, x).
    """
    z = int(np.argmax(np.count_nonzero(part, axis=(1, 2))))
    where = np.argwhere(part[z])
    away = (where - where.mean(axis=0)) * spacing_mm[1:]
    y, x = where[int(np.argmin((away**2).sum(axis=1).round(6)))]
    return z, int(y), int(x)


def _lesion_of(row: Mapping[str, Any]) -> Lesion:
    """A lesion from JSON values; lists become tuples again."""
    return Lesion(**{key: _tuple_or(value) for key, value in row.items()})


def _list_or(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _tuple_or(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
