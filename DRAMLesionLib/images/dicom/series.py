"""DICOM series: listed, chosen, and read only where their slices form one even grid, a tilted gantry's an upright one."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from DRAMLesionLib.images.dicom.pixels import read_pixels
from DRAMLesionLib.images.dicom.slices import Slice, read_slice, read_slices
from DRAMLesionLib.images.dicom.tilt import MOST_DEGREES, Tilt, find_tilt
from DRAMLesionLib.system.errors import InputError

if TYPE_CHECKING:
    import SimpleITK as sitk

UNEVEN = 0.1
"""Slices may lie off the even row by this part of the usual gap ..."""
ROUNDING_MM = 0.06
"""... and by this, since some scanners round positions to 0.1 mm."""
MOST_MISSING = 0.2
"""Where more than this part of the gaps is wide, the series mixes spacings and no slice is missing."""
MOST_LISTED = 12
"""An error names so many series; there may be hundreds."""
SAME_PLACE_MM = 0.01
"""Slices nearer than this are at the same place."""
ALIKE = 1e-3
"""Pixel spacings (by their part) and directions that differ by no more are alike: scanners and converters round them."""
MOST_NAMED = 3
"""An error names so many odd files."""
NO_PICTURES = ("SEG", "RTDOSE", "RTSTRUCT", "PR", "SR", "KO", "REG", "DOC")
"""Modalities of objects that are no scans: segmentations, plans, reports."""


@dataclass(frozen=True)
class Series:
    """One series of a DICOM folder.

    Attributes:
        uid: The SeriesInstanceUID.
        description: The SeriesDescription, for people.
        modality: CT, MR, ...
        slices: How many slices (frames) it has.
        size: Voxels (x, y, z).
        spacing_mm: (z, y, x); z is the usual gap between slices, the slice thickness for a single one.
        files: The files in the order of their positions along the normal.
    """

    uid: str
    description: str
    modality: str
    slices: int
    size: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    files: tuple[Path, ...]


def list_series(folder: str | Path) -> list[Series]:
    """The image series in ``folder`` and the folders below it, those with the most slices first.

    Raises:
        InputError: The folder is missing or holds no DICOM image.
    """
    return [_summary(slices) for slices in _scan(Path(folder))[0]]


def read_series(
    path: str | Path, series: str | None = None, *, allow_unusual: bool = False
) -> tuple["sitk.Image", tuple[str, ...]]:
    """Read one series with its rescale slope and intercept applied, slice by slice.

    Args:
        path: A folder, searched with all below it, or one file, which stands for its series in its folder.
        series: The UID of the series, or the beginning or end of it. Needed where there are several.
        allow_unusual: Take another modality than CT with a warning instead of an error.

    Returns:
        The 3-D image, int16 where that keeps every value, else float32, and sentences on what is unusual about it.
        Its third axis is the normal of the slices; those of a tilted gantry are shifted onto such a grid.

    Raises:
        InputError: Nothing to read, several series to choose from, or slices that form no even grid.
    """
    path = Path(path)
    notes: tuple[str, ...] = ()
    if path.is_dir():
        groups, broken, others = _scan(path)
        slices = _choose(path, groups, series)
        _refuse_broken(path, broken)
        if others:
            # Without their names, which may be a patient's.
            notes = (f"DICOM files in the folder that hold no image of a scan: {len(others)}",)
    else:
        slices = _siblings(path, series)
        files = {one.path for one in slices}
        if len(files) > 1:
            notes = (f"read with the {len(files) - 1} other slices of its series in its folder",)
    if (modality := slices[0].modality) not in ("CT", ""):
        if not allow_unusual:
            raise InputError(f"{path}: its modality is {modality}: give a CT series")
        notes = (*notes, f"its modality is {modality}, not CT")
    image, tilt = _read_stack(path, slices)
    if tilt is not None:
        notes = (
            *notes,
            f"gantry tilt of {tilt.degrees:.1f} degrees: its slices were shifted onto an upright grid, on which all "
            "results lie",
        )
    return image, (*notes, *_remarks(slices, image.GetSpacing()[2]))


def _siblings(path: Path, series: str | None) -> list[Slice]:
    """The slices of the series that a file belongs to, from its folder alone."""
    chosen = read_slice(path)
    if series is not None and not _matches(chosen[0].uid, series):
        raise InputError(f"{path}: belongs to series {chosen[0].uid}, not {series}: leave the series out")
    if len(chosen) > 1:
        return chosen
    others, broken, _ = read_slices(file for file in path.parent.iterdir() if file.is_file())
    _refuse_broken(path, broken)
    return [other for other in others if other.uid == chosen[0].uid]


def _scan(folder: Path) -> tuple[list[list[Slice]], list[Path], list[Path]]:
    """The slices below ``folder`` by series, broken CT files, and DICOM files that hold no image."""
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder: check the path")
    slices, broken, others = read_slices(file for file in sorted(folder.rglob("*")) if file.is_file())
    groups: dict[str, list[Slice]] = defaultdict(list)
    for one in slices:
        groups[one.uid].append(one)
    scans = {uid: group for uid, group in groups.items() if group[0].modality not in NO_PICTURES}
    if scans and len(scans) < len(groups):
        others += [one.path for uid, group in groups.items() if uid not in scans for one in group[:1]]
        groups = defaultdict(list, scans)
    if not groups:
        _refuse_broken(folder, broken)
        raise InputError(f"{folder}: holds no DICOM image that can be read: give the folder of a CT series")
    return sorted(groups.values(), key=lambda group: (-len(group), group[0].uid)), broken, others


def _refuse_broken(path: Path, broken: list[Path]) -> None:
    """A slice that can't be read might be one of the scan's ends, where nothing else would tell of it."""
    if broken:
        more = f" and {len(broken) - 1} others" if len(broken) > 1 else ""
        raise InputError(
            f"{path}: can't read the DICOM file {broken[0].name}{more}: truncated or corrupt: "
            "copy or export it again, or take it out of the folder"
        )


def _summary(slices: Sequence[Slice]) -> Series:
    ordered = sorted(slices, key=lambda one: (one.position_mm, str(one.path), one.frame))
    first = ordered[0]
    count = len(ordered)
    gaps = np.diff([one.position_mm for one in ordered])
    gaps = gaps[gaps > SAME_PLACE_MM]
    step = float(np.median(gaps)) if len(gaps) else first.thickness_mm or 0.0
    return Series(
        first.uid,
        first.description,
        first.modality,
        count,
        (first.size[0], first.size[1], count),
        (step, first.spacing[1], first.spacing[0]),
        tuple(dict.fromkeys(one.path for one in ordered)),
    )


def _matches(uid: str, wanted: str) -> bool:
    return bool(wanted) and (uid.startswith(wanted) or uid.endswith(wanted))


def _choose(path: Path, groups: list[list[Slice]], wanted: str | None) -> list[Slice]:
    if wanted is None:
        if len(groups) == 1:
            return groups[0]
        raise InputError(
            f"{path}: holds {len(groups)} series: choose one with --series UID: {_listing(groups)}"
        )
    exact = [group for group in groups if group[0].uid == wanted]
    fitting = exact or [group for group in groups if _matches(group[0].uid, wanted)]
    if len(fitting) == 1:
        return fitting[0]
    if not fitting:
        raise InputError(f"{path}: holds no series {wanted}: choose one of: {_listing(groups)}")
    raise InputError(
        f"{path}: {wanted} fits {len(fitting)} series: give more of the UID: {_listing(fitting)}"
    )


def _listing(groups: list[list[Slice]]) -> str:
    lines = []
    for group in groups:
        one = _summary(group)
        kind = " ".join(word for word in (one.modality, one.description) if word) or "no description"
        lines.append(f"{one.uid} ({kind}, {one.slices} slice{'s' if one.slices > 1 else ''})")
    more = [f"and {len(lines) - MOST_LISTED} others"] if len(lines) > MOST_LISTED else []
    return "; ".join([*lines[:MOST_LISTED], *more])


def _read_stack(path: Path, slices: Sequence[Slice]) -> tuple["sitk.Image", Tilt | None]:
    import SimpleITK as sitk

    _check_alike(path, slices)
    ordered = sorted(slices, key=lambda one: one.position_mm)
    step, tilt = _check_positions(path, ordered)
    first = ordered[0]
    stack = read_pixels(ordered)
    image = sitk.GetImageFromArray(stack if tilt is None else tilt.upright(stack))
    image.SetSpacing((first.spacing[0], first.spacing[1], step))
    image.SetOrigin(first.origin if tilt is None else tilt.origin)
    image.SetDirection(first.direction)
    return image, tilt


def _check_alike(path: Path, slices: Sequence[Slice]) -> None:
    """That the slices of a series are of one size, spacing and direction, and know where they lie."""
    if any(one.components > 1 for one in slices):
        raise InputError(f"{path}: the series holds colour pictures: give a CT series")
    if lacking := [one for one in slices if one.lacks]:
        what = lacking[0].lacks
        count = sum(one.lacks == what for one in lacking)
        few = len(lacking) <= max(1, len(slices) // 10)
        raise InputError(
            f"{path}: {count} slices have no usable {what} (first: {lacking[0].label}): "
            + ("move them into another folder if they are not of the CT, or " if few else "")
            + "export the series again with its geometry"
        )
    raw = [one for one in slices if not one.rescaled]
    if 0 < len(raw) < len(slices):
        raise InputError(
            f"{path}: {len(raw)} of its {len(slices)} slices have no rescale intercept (first: {raw[0].label}): "
            "export the series again"
        )
    _refuse_odd(path, slices)
    if len(slices) < 2:
        raise InputError(f"{path}: the series is a single slice: give the folder of a whole CT series")


def _refuse_odd(path: Path, slices: Sequence[Slice]) -> None:
    """Name the slices that are not like most: a localizer, a dose page or a reformat under the series' own UID."""
    kinds: list[list[Slice]] = []
    for one in slices:
        alike = next((kind for kind in kinds if not _difference(one, kind[0])), None)
        if alike is None:
            kinds.append([one])
        else:
            alike.append(one)
    if len(kinds) == 1:
        return
    usual = max(kinds, key=len)
    odd = [(one, _difference(one, usual[0])) for kind in kinds if kind is not usual for one in kind]
    named = "; ".join(f"{one.label} {how}" for one, how in odd[:MOST_NAMED])
    more = f"; and {len(odd) - MOST_NAMED} others" if len(odd) > MOST_NAMED else ""
    raise InputError(
        f"{path}: {len(odd)} of the series' {len(slices)} slices {'is' if len(odd) == 1 else 'are'} not like the others: "
        f"{named}{more}: move what is not of the CT into another folder"
    )


def _difference(one: Slice, other: Slice) -> str:
    """How a slice differs from another of its series in what a stack needs; empty where they are alike."""
    said = " (a localizer)" if "LOCALIZER" in one.image_type.upper() else ""
    if one.size != other.size:
        return f"has {one.size[0]} x {one.size[1]} pixels, not {other.size[0]} x {other.size[1]}{said}"
    if not np.allclose(one.direction, other.direction, rtol=0, atol=ALIKE):
        axes, others = (np.reshape(s.direction, (3, 3)).T for s in (one, other))
        degrees = float(np.degrees(np.arccos(np.clip((axes * others).sum(axis=1), -1, 1))).max())
        return f"is turned by {degrees:.3g} degrees{said}"
    if not np.allclose(one.spacing, other.spacing, rtol=ALIKE, atol=0):
        shown, its = (" x ".join(f"{length:.6g}" for length in s.spacing) for s in (one, other))
        return f"has pixels of {shown} mm, not {its} mm{said}"
    return ""


def _check_positions(path: Path, ordered: Sequence[Slice]) -> tuple[float, Tilt | None]:
    """The gap between slices in mm, and how they lean, where they form one even, straight stack."""
    places = np.array([one.position_mm for one in ordered])
    gaps = np.diff(places)
    same = np.flatnonzero(gaps < SAME_PLACE_MM)
    if len(same):
        one, other = ordered[same[0]], ordered[same[0] + 1]
        raise InputError(
            f"{path}: {len(same)} slices are at the same place as another (first at {places[same[0]]:.2f} mm: "
            f"{one.label}, {other.label}): keep one copy or one phase of each"
        )
    if fault := _unevenness(places, [one.label for one in ordered]):
        raise InputError(f"{path}: {fault}")
    return float(gaps.mean()), _check_straight(path, ordered)


def _unevenness(places: np.ndarray, names: Sequence[str]) -> str | None:
    """What is wrong with positions (in mm, ascending) that should be one even row, or None; ``names`` are the slices'.

    They are compared with the even row between the first and the last, so that positions which were rounded pass and a
    slow drift does not. Slices are called missing where the row is even with whole multiples of the usual gap.
    """
    gaps = np.diff(places)
    usual = float(np.median(gaps))
    allowed = max(UNEVEN * usual, ROUNDING_MM)

    def off(steps: np.ndarray) -> float:
        row = np.concatenate([[0], np.cumsum(steps)])
        return float(np.abs(places - np.interp(row, row[[0, -1]], places[[0, -1]])).max())

    if off(np.ones(len(gaps))) <= allowed:
        return None
    steps = np.maximum(np.rint(gaps / usual), 1)
    wide = np.flatnonzero(steps > 1)
    if 0 < len(wide) <= MOST_MISSING * len(gaps) and off(steps) <= allowed:
        missing = int((steps - 1).sum())
        where = ", ".join(f"between {places[i]:.2f} and {places[i + 1]:.2f} mm" for i in wide[:5])
        more = f" and {len(wide) - 5} other gaps" if len(wide) > 5 else ""
        count = f"{missing} slice{'s are' if missing > 1 else ' is'} missing"
        # A slice alone behind the only gap is likelier to be of another scan than the last of this one.
        alone = len(wide) == 1 and wide[0] in (0, len(gaps) - 1)
        odd = names[0] if wide[0] == 0 else names[-1]
        remedy = f"move {odd} into another folder if it is not of the CT, or " if alone else ""
        return f"{count} ({where}{more}; the others are {usual:.3g} mm apart): {remedy}export the whole series again"
    worst = int(np.abs(gaps - usual).argmax())
    return (
        f"the slices are spaced unevenly ({gaps.min():.3g} to {gaps.max():.3g} mm, usually {usual:.3g} mm, most uneven "
        f"at {places[worst]:.2f} mm), there between {names[worst]} and {names[worst + 1]}: resample it to an even grid, "
        "export one reconstruction, or move what is not of the CT into another folder"
    )


def _check_straight(path: Path, ordered: Sequence[Slice]) -> Tilt | None:
    tilt = find_tilt(ordered)
    if tilt is not None and tilt.degrees > MOST_DEGREES:
        raise InputError(
            f"{path}: its slices lean by {tilt.degrees:.1f} degrees, more than any gantry: export the series again"
        )
    origins = np.array([one.origin for one in ordered])
    run = origins[-1] - origins[0]
    straight = origins[0] + np.linspace(0, 1, len(origins))[:, None] * run
    sideways = (origins - straight) @ np.reshape(ordered[0].direction, (3, 3))[:, :2]
    shifts = np.abs(sideways).max(axis=1)
    if shifts.max() > min(ordered[0].spacing):
        worst = ordered[int(shifts.argmax())].label
        raise InputError(
            f"{path}: slices are shifted sideways by up to {shifts.max():.2f} mm (most: {worst}): export the series again"
        )
    return tilt


def _remarks(slices: Sequence[Slice], step: float) -> tuple[str, ...]:
    remarks = []
    thickness = slices[0].thickness_mm
    if thickness and step > 1.5 * thickness:
        remarks.append(
            f"slices {thickness:g} mm thick lie {step:.3g} mm apart: what is between them is not seen"
        )
    if any(one.commas for one in slices):
        remarks.append(
            "its DICOM numbers have decimal commas, against the standard: they were read as points"
        )
    if any(one.lossy for one in slices):
        remarks.append("its pictures were compressed with loss")
    return tuple(remarks)
