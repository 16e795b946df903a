"""Signs that a result is wrong, or that its CT was not what it should be: each with what to do about it.

A flag does not say that a result is wrong, only that a person should look. Its limits are wide, so that a usual scan has
none.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy import ndimage

from DRAMLesionLib.images.volume import Volume
from DRAMLesionLib.lesions.amount import Amount
from DRAMLesionLib.lesions.quantify import CONSOLIDATION_HU, GROUND_GLASS_HU, Quantification
from DRAMLesionLib.lungs.body import body_of
from DRAMLesionLib.lungs.lobes import LOBES, LobeMap

CUT_SHARE = 0.10
"""Lung area in the first or last slice, as a share of the largest slice's: more, and the scan cuts the lungs off."""

LUNGS_ML = (1000.0, 10000.0)
"""Both lungs of an adult, from full expiration with disease to the largest emphysema."""

UNEVEN = 0.5
"""Volume of the smaller lung over the larger one's: below, one of them is missing in part."""

LOBE_SHARE = {
    "LUL": (0.08, 0.42),
    "LLL": (0.05, 0.42),
    "RUL": (0.06, 0.42),
    "RML": (0.015, 0.25),
    "RLL": (0.06, 0.45),
}
"""Least and greatest part of both lungs' volume that a lobe has."""

UNUSUAL_LESION = 0.35
"""Share of the lesion below ground glass's or above consolidation's densities."""

LEAST_LESION_ML = 30.0
"""Less lesion than this is not judged."""

LEAST_AGREEMENT = 0.25
"""Dice coefficient of the final network's mask and the map's."""

AIR_HU = (-1060.0, -940.0)
"""Limits for the air around the patient."""

LEAST_BONE_ML = 20.0
BONE_HU = 150.0
"""Less than that volume above that density: no bone in sight."""

FEWEST_SLICES, LEAST_HEIGHT_MM = 20, 120.0
"""Fewer slices with lung, or less height: not a whole chest."""

LEFT_OUT_ML = 150.0
"""Of lung-like density inside the chest, in one piece, that is in no lobe."""

DENSE_SHARE = 0.6
"""Share of a lung above -500 HU: so much consolidation is rare, a lung drawn about liver or heart is not."""

DENSER_POINTS = 10.0
"""A lobe's density says so many percentage points more than its lesion map."""

DENSE_PERCENT = 25.0
"""Percentage by density from which it is told although the map counted: healthy lobes that are breathed out, or have fat
at their edge, have less."""

_COARSE_MM = 4.0


@dataclass(frozen=True)
class Flag:
    """A sign that a person should look.

    Attributes:
        code: For programs, such as ``lungs-cut-below``.
        sentence: What was seen, with its number.
        remedy: What to do.
    """

    code: str
    sentence: str
    remedy: str


def find_flags(
    ct: Volume,
    lobes: LobeMap,
    measured: Quantification,
    agreement: float | None = None,
    amounts: Mapping[int, Amount] | None = None,
) -> tuple[Flag, ...]:
    """Look at one result.

    Args:
        ct: The CT in HU.
        lobes: Its lobes.
        measured: Its table.
        agreement: Dice coefficient of the final network's own mask and the refined map's, 0..1; None where only one of
            them exists or both are nearly empty.
        amounts: How much of each lobe was estimated to be lesion, by the lobe's value.

    Returns:
        The flags, the gravest kind (the CT's own) first; empty for a usual result.
    """
    found = [*_of_densities(ct), *_of_extent(lobes, ct), *_of_volumes(lobes, measured)]
    found += [*_of_lung_density(ct, lobes), *_of_lesion(measured, agreement)]
    found += _of_amounts(amounts or {})
    return tuple(found)


def flags_of(record: Mapping[str, Any]) -> tuple[Flag, ...]:
    """The flags in a result's record, as :func:`flags_for_record` wrote them."""
    return tuple(Flag(**values) for values in record.get("flags", ()))


def flags_for_record(flags: tuple[Flag, ...]) -> list[dict[str, str]]:
    """Flags as JSON values."""
    return [asdict(flag) for flag in flags]


def _of_densities(ct: Volume) -> Iterator[Flag]:
    """HU that are none: the air around the patient, and bone."""
    coarse = ct.array[_strides(ct)]
    voxel_ml = float(np.prod(_steps_mm(ct))) / 1000
    faces = np.concatenate(
        [coarse[:, :2].ravel(), coarse[:, -2:].ravel(), coarse[:, :, :2].ravel(), coarse[:, :, -2:].ravel()]
    )
    # Below it is what scanners write outside their circular field of view.
    air = faces[(faces < -700) & (faces > -1500)]
    if air.size >= 100:
        level = float(np.median(air))
        if not AIR_HU[0] <= level <= AIR_HU[1]:
            yield Flag(
                "air-hu",
                f"The air around the patient has {level:.0f} HU, not about -1000",
                "check the rescale slope and intercept, or export the CT again: lesion amounts depend on HU",
            )
    bone_ml = float(np.count_nonzero(coarse > BONE_HU)) * voxel_ml
    if bone_ml < LEAST_BONE_ML:
        yield Flag(
            "no-bone",
            f"Only {bone_ml:.0f} mL are denser than {BONE_HU:.0f} HU: there is no bone in sight",
            "check that the file is a chest CT in HU, not cut at a window",
        )


def _of_extent(lobes: LobeMap, ct: Volume) -> Iterator[Flag]:
    """Lungs that the scan cuts off, and too few slices."""
    areas = np.array([np.count_nonzero(plane) for plane in lobes.labels])
    if not areas.any():
        return
    seen = np.flatnonzero(areas)
    for share, code, where in (
        (areas[0] / areas.max(), "lungs-cut-below", "lowest"),
        (areas[-1] / areas.max(), "lungs-cut-above", "highest"),
    ):
        if share > CUT_SHARE:
            yield Flag(
                code,
                f"The {where} slice holds {100 * share:.0f} % of the largest cross-section: the lungs are cut off",
                "volumes and percentages hold for the part that was scanned; compare only scans of the same part",
            )
    height = (seen[-1] - seen[0] + 1) * ct.spacing_mm[0]
    if seen.size < FEWEST_SLICES or height < LEAST_HEIGHT_MM:
        yield Flag(
            "few-slices",
            f"Lungs are in {seen.size} slices of {ct.spacing_mm[0]:g} mm ({height:.0f} mm in all)",
            "use the series with thin slices and the whole chest, if there is one",
        )


def _of_volumes(lobes: LobeMap, measured: Quantification) -> Iterator[Flag]:
    """Volumes that no adult has, and lobes of unlikely shares."""
    total = measured.total.volume_ml
    remedy = "look at the lobes in the report, and give corrected lobes with --lobes"
    if not LUNGS_ML[0] <= total <= LUNGS_ML[1]:
        yield Flag("lung-volume", f"Both lungs together have {total:.0f} mL", remedy)
    left, right = measured["left"].volume_ml, measured["right"].volume_ml
    if max(left, right) > 0 and min(left, right) / max(left, right) < UNEVEN:
        yield Flag(
            "lungs-uneven",
            f"The left lung has {left:.0f} mL, the right one {right:.0f} mL",
            remedy + ", unless one was operated",
        )
    if total <= 0:
        return
    for region in measured.lobes:
        low, high = LOBE_SHARE[region.key]
        share = region.volume_ml / total
        if region.volume_ml > 0 and not low <= share <= high:
            yield Flag(
                f"lobe-share-{region.key}",
                f"The {region.name} has {100 * share:.0f} % of the lungs' volume",
                remedy,
            )


def _of_lung_density(ct: Volume, lobes: LobeMap) -> Iterator[Flag]:
    """Where the lungs that were found and the densities tell different stories."""
    strides = _strides(ct)
    coarse, inside = ct.array[strides], lobes.labels[strides]
    voxel_ml = float(np.prod(_steps_mm(ct))) / 1000
    remedy = "look at the lungs' outline in the report, and give corrected lobes with --lobes"
    for side in ("left", "right"):
        lung = np.isin(inside, [lobe.value for lobe in LOBES if lobe.side == side])
        if lung.any():
            share = float(np.mean(coarse[lung] > -500))
            if share > DENSE_SHARE:
                yield Flag(
                    "lung-dense", f"{100 * share:.0f} % of the {side} lung is as dense as soft tissue", remedy
                )
    boxes = ndimage.find_objects((inside > 0).astype(np.uint8))
    if not boxes:
        return
    body = body_of(coarse.astype(np.float32), np.array(_steps_mm(ct)))[boxes[0]]
    near = ndimage.binary_dilation(inside[boxes[0]] > 0, iterations=2)
    part = coarse[boxes[0]]
    left_out = ndimage.binary_erosion((part < -600) & (part > -960) & body & ~near)
    pieces, count = ndimage.label(left_out)
    if count:
        most = float(np.bincount(pieces.ravel())[1:].max()) * voxel_ml
        if most > LEFT_OUT_ML:
            yield Flag(
                "lung-left-out",
                f"{most:.0f} mL in one piece have the density of lung and are in no lobe",
                remedy,
            )


def _of_lesion(measured: Quantification, agreement: float | None) -> Iterator[Flag]:
    """Lesion of unusual density, and two methods that disagree."""
    total = measured.total
    if total.lesion_ml < LEAST_LESION_ML:
        return
    share = total.other_ml / total.lesion_ml
    if share > UNUSUAL_LESION:
        yield Flag(
            "lesion-hu",
            f"{100 * share:.0f} % of the lesion is below {GROUND_GLASS_HU[0]:.0f} or above {CONSOLIDATION_HU[1]:.0f} HU",
            "look whether it is lesion: normal lung, vessels with contrast, and lungs drawn too large look like it",
        )
    if agreement is not None and agreement < LEAST_AGREEMENT:
        yield Flag(
            "methods-disagree",
            f"The final network's mask and the lesion map agree by a Dice coefficient of {agreement:.2f} only",
            "look at both in the report or in Slicer, and correct the mask before its numbers are used",
        )


def _of_amounts(amounts: Mapping[int, Amount]) -> Iterator[Flag]:
    """Lobes of which their density, or the network that sees both lungs, says far more than the lesion map."""
    for lobe in LOBES:
        amount = amounts.get(lobe.value)
        if amount is None or amount.by_map is None:
            continue
        if amount.by_lungs is not None and amount.percent - amount.by_map >= DENSER_POINTS:
            yield Flag(
                f"amount-by-lungs-{lobe.abbreviation}",
                f"By both lungs together {amount.percent:.0f} % of the {lobe.name} is lesion, by the lesion map "
                f"{amount.by_map:.0f} %: the model's mask was cut at the first",
                "look at the mask, and set the lobe's percentage if it is wrong",
            )
        if amount.by_density is None:
            continue
        if amount.by_density - amount.by_map < DENSER_POINTS:
            continue
        dense, by_map = f"{amount.by_density:.0f} %", f"{amount.by_map:.0f} %"
        said = f"By its density {dense} of the {lobe.name} is lesion, by the lesion map {by_map}"
        if amount.is_by_density:
            yield Flag(
                f"amount-by-density-{lobe.abbreviation}",
                f"{said}: the model's mask was cut at the first",
                "look at the mask, and set the lobe's percentage if it is wrong: collapse and fluid are dense, too",
            )
        elif amount.by_density >= DENSE_PERCENT:
            yield Flag(
                f"lobe-dense-{lobe.abbreviation}",
                f"{said}: the model's mask was cut at the second",
                "look whether the lobe is collapsed, or holds fluid or chest wall; give corrected lobes with --lobes, "
                "or set its percentage",
            )


def agreement_of(mask: np.ndarray, other: np.ndarray, spacing_mm: Sequence[float]) -> float | None:
    """Dice coefficient of two bool masks; None where both are smaller than :data:`LEAST_LESION_ML`."""
    voxel_ml = float(np.prod(spacing_mm)) / 1000
    one, two = int(np.count_nonzero(mask)), int(np.count_nonzero(other))
    if max(one, two) * voxel_ml < LEAST_LESION_ML:
        return None
    return float(2 * np.count_nonzero(mask & other) / (one + two))


def _strides(ct: Volume) -> tuple[slice, ...]:
    return tuple(slice(None, None, max(1, round(_COARSE_MM / s))) for s in ct.spacing_mm)


def _steps_mm(ct: Volume) -> tuple[float, ...]:
    return tuple(s * part.step for s, part in zip(ct.spacing_mm, _strides(ct), strict=True))
