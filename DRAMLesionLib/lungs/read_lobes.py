"""Lobes for one CT: cut by planes in its own lungs, or read from label maps and segmentations of any tool."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from DRAMLesionLib.system.errors import InputError
from DRAMLesionLib.system.progress import Progress, silent

if TYPE_CHECKING:
    from DRAMLesionLib.images.volume import Volume
    from DRAMLesionLib.lungs.fissures import Fissure
from DRAMLesionLib.lungs.anatomy import refuse_impossible
from DRAMLesionLib.lungs.lobe_segments import Named, read_lobe_segments
from DRAMLesionLib.lungs.lobes import LOBES, Lobe, LobeMap, lobe_by_name

_LUNGS_APART = 0.35
"""Two labels whose middles lie further apart than this part of their width, left to right, are lungs, not lobes."""
BUILT_IN = "built-in planes (approximate)"
"""The source of lobes that were cut by planes."""


_HIGHEST_LABEL = 1000
"""No software gives an organ a higher one: a CT or a map in place of lobes has such values, or negative ones."""


_VALUES = {
    "own": {lobe.value: lobe for lobe in LOBES},
    "TotalSegmentator": dict(zip((10, 11, 12, 13, 14), LOBES, strict=True)),
    "TotalSegmentator 1": dict(zip((13, 14, 15, 16, 17), LOBES, strict=True)),
}
"""Label values in the order of :data:`LOBES`: ours, and those of TotalSegmentator's "total" task, version 2 and 1."""

AERATED_HU = -500.0
LEAST_AERATED = 0.02
"""What the network takes for lungs is believed where at least this part of it is below :data:`AERATED_HU`: without any
air in it, it may as well be a head, or both lungs are white and nobody can draw them."""


def find_lobes(
    ct: Volume, path: str | Path | None = None, allow_missing: bool = False, progress: Progress = silent
) -> LobeMap:
    """Read the lobes from ``path``, or make approximate ones from the CT itself.

    Args:
        ct: The CT in HU.
        path: What :func:`read_lobes` reads, or None.
        allow_missing: Accept lobes without voxels (resected, or outside the scan).
        progress: Told the stage "Lobes".

    Raises:
        InputError: The lobes can't be read, don't fit the CT or lack a lobe; or no lungs, or none
            that hold air, were found in the CT.
    """
    from DRAMLesionLib.lungs.fissures import split_lobes
    from DRAMLesionLib.lungs.lung_mask import segment_lungs

    progress("Lobes", 0.0)
    if path is not None:
        given = read_lobes(path, ct, allow_missing)
        progress("Lobes", 1.0)
        return given
    name = ct.path or ct.name
    lungs = segment_lungs(ct.array, ct.spacing_mm)
    progress("Lobes", 0.6)
    if not lungs.any():
        raise InputError(f"{name}: no lungs found: give a chest CT in HU, or its lobes with --lobes")
    if np.mean(ct.array[lungs > 0] < AERATED_HU) < LEAST_AERATED:
        raise InputError(
            f"{name}: no lungs with air in them found: give a chest CT in HU, or its lobes with --lobes"
        )
    labels, fissures = split_lobes(lungs, ct.spacing_mm, ct.array)
    missing = _missing(labels)
    if missing and not allow_missing:
        raise InputError(
            f"{name}: the built-in lobes lack the {missing}: give lobes with --lobes, "
            "or --allow-missing-lobes if a lung is absent"
        )
    progress("Lobes", 1.0)
    return LobeMap(labels, approximate=True, source=_built_in(fissures))


def _built_in(fissures: Iterable[Fissure]) -> str:
    """The source of built-in lobes, with how much of each fissure was seen."""
    seen = [f"{fissure.name} {100 * fissure.seen:.0f} %" for fissure in fissures if fissure.seen]
    return f"built-in, fissures seen: {', '.join(seen)} (approximate)" if seen else BUILT_IN


def read_lobes(path: str | Path, ct: Volume, allow_missing: bool = False) -> LobeMap:
    """Read the lobes of ``ct`` from a label map, a Slicer segmentation or a folder of masks.

    Args:
        path: A label map (NIfTI, NRRD, MetaImage) with the values of :data:`LOBES`, which are also those of lungmask's
            LTRCLobes, or with those of TotalSegmentator; a ``.seg.nrrd`` whose segments are named or coded as lobes;
            or a folder of masks named as TotalSegmentator names them, one per lobe.
        ct: The CT that they were made from. A ``.seg.nrrd`` may cover a part of its grid.
        allow_missing: Accept lobes without voxels.

    Returns:
        The lobes; their warnings tell of labels that were left out and of masks that overlap.

    Raises:
        InputError: It can't be read, lies on another grid, holds no lobes that are known here, impossible ones, or not
            all five.
    """
    from DRAMLesionLib.images.image_checks import holds_segments
    from DRAMLesionLib.images.paths import exists

    path = Path(path)
    if not exists(path):
        raise InputError(f"{path}: no such file or folder: check the path of the lobes")
    warnings: tuple[str, ...]
    if path.is_dir():
        labels, warnings = _merged(path, _masks_in_folder(path, ct), ct)
    elif holds_segments(path):
        labels, warnings = _merged(path, read_lobe_segments(path, ct), ct)
    else:
        from DRAMLesionLib.images.volume import read_on_grid

        labels, warnings = lobes_of_values(path, read_on_grid(path, ct, "lobe mask"), ct)
    return _known_lobes(path, labels, path.name, warnings, allow_missing)


def lobes_of_array(
    array: np.ndarray, ct: Volume, allow_missing: bool = False, name: str = "lobes"
) -> LobeMap:
    """The lobes of ``ct`` from a label map that is in memory; values, checks and warnings are those of a file.

    Args:
        array: Labels, shape (z, y, x) of ``ct.array``, canonical axes.
        ct: The CT that they were made from.
        allow_missing: Accept lobes without voxels.
        name: What to call them in errors and in the record.

    Raises:
        InputError: The shape is another, or :func:`read_lobes` would refuse the values.
    """
    array = np.asarray(array)
    if array.shape != ct.array.shape:
        raise InputError(
            f"{name}: shape {array.shape}, the CT has {ct.array.shape}: give them on the CT's grid"
        )
    labels, warnings = lobes_of_values(name, array, ct)
    return _known_lobes(name, labels, name, warnings, allow_missing)


def _known_lobes(
    path: Path | str, labels: np.ndarray, source: str, warnings: tuple[str, ...], allow_missing: bool
) -> LobeMap:
    refuse_impossible(path, labels)
    missing = _missing(labels)
    if missing and not allow_missing:
        raise InputError(
            f"{path}: no voxel of the {missing}: give all five lobes, or --allow-missing-lobes if it was resected"
        )
    return LobeMap(labels, approximate=False, source=source, warnings=warnings)


def _missing(labels: np.ndarray) -> str:
    # Not bincount over all voxels, which makes eight bytes of each first.
    return ", ".join(
        f"{lobe.name} ({lobe.abbreviation})" for lobe in LOBES if not (labels == lobe.value).any()
    )


def lobes_of_values(path: Path | str, array: np.ndarray, ct: Volume) -> tuple[np.ndarray, tuple[str, ...]]:
    """The lobes of a label map by its values, whichever of the known numberings they follow.

    Args:
        path: What to name in errors: the file, or the name of a node.
        array: (z, y, x) on the CT's canonical grid, any numbers.
        ct: The CT, whose air tells lungs from other organs.

    Returns:
        uint8 labels with the values of :data:`LOBES`, and sentences on what was left out.

    Raises:
        InputError: The values are no labels, or none of them are lobes.
    """
    low, high = array.min(), array.max()
    if low < 0 or high > _HIGHEST_LABEL:
        raise InputError(f"{path}: has values {low:g}..{high:g}, not labels: give a label map of the lobes")
    whole = np.rint(array).astype(np.int32) if array.dtype.kind == "f" else array.astype(np.int32)
    if array.dtype.kind == "f" and np.abs(array - whole).max() > _ROUNDED:
        raise InputError(f"{path}: has fractional values, not labels: give a label map of the lobes")
    counts = {
        int(value): int(count) for value, count in zip(*np.unique(whole, return_counts=True), strict=True)
    }
    counts.pop(0, None)
    scheme = _scheme(counts, whole, ct)
    if scheme is None:
        raise InputError(
            f"{path}: no lobes among its values ({_listed(counts)}): give 1..5 (LUL, LLL, RUL, RML, RLL) "
            "or TotalSegmentator's 10..14"
        )
    warnings: tuple[str, ...] = ()
    if scheme is _VALUES["own"]:
        own = np.where(whole <= len(LOBES), whole, 0)
        _refuse_lungs(path, own)
        left = {value: count for value, count in counts.items() if value not in scheme}
        if left:
            listed = _listed(f"{value} ({count} voxels)" for value, count in left.items())
            warnings = (f"labels that are no lobes were left out of the lobes: {listed}",)
    return _translated(whole, scheme), warnings


_ROUNDED = 0.01
"""Labels that were scaled or kept as fractions are off whole numbers by less than this."""
_STRAY = 0.01
"""Labels beside 1..5 with no more than this part of all labelled voxels are strays, whatever their values."""
_AERATED = 0.25
"""In lungs, also ill ones, at least this part of the voxels is below -400 HU; in other organs next to nothing is."""


def _scheme(counts: Mapping[int, int], array: np.ndarray, ct: Volume) -> Mapping[int, Lobe] | None:
    """What the label values mean.

    Only 1..5, or hardly any others: our own values. With others present 1..5 are organs of TotalSegmentator, and the
    version is the one whose "lobes" hold the most air: 13 and 14 are lobes in both. Without any of its lobes 1..5 are
    lobes if they hold air, with the trachea or vessels beside them.

    Args:
        counts: Voxels of each value but 0.
        array: The labels, (z, y, x).
        ct: The CT.
    """
    own = _VALUES["own"]
    inside = sum(count for value, count in counts.items() if value in own)
    if inside and inside >= (1 - _STRAY) * sum(counts.values()):
        return own
    schemes = [_VALUES[name] for name in ("TotalSegmentator", "TotalSegmentator 1")]
    present = [sum(value in counts for value in scheme) for scheme in schemes]
    if max(present) == 0:
        return own if inside and np.mean(ct.array[np.isin(array, list(own))] < -400) >= _AERATED else None
    if present[0] != present[1]:
        return schemes[int(np.argmax(present))]
    aerated = [np.mean(ct.array[np.isin(array, list(scheme))] < -400) for scheme in schemes]
    return schemes[int(np.argmax(aerated))]


def _refuse_lungs(path: Path | str, labels: np.ndarray) -> None:
    """Values 1 and 2 alone are the left lobes, or lungmask's R231: the right and the left lung, wide apart."""
    first, second = _middle(labels == 1), _middle(labels == 2)
    if first is None or second is None or (labels > 2).any():
        return
    if abs(first - second) > _LUNGS_APART * _width(labels):
        raise InputError(
            f"{path}: holds two lungs, not lobes: with lungmask, choose --modelname LTRCLobes or LTRCLobes_R231"
        )


def _middle(mask: np.ndarray) -> float | None:
    """Mean index along x (to the patient's left), None where nothing is set."""
    counts = mask.sum(axis=(0, 1))
    total = counts.sum()
    return float(counts @ np.arange(counts.size) / total) if total else None


def _width(labels: np.ndarray) -> int:
    return int(np.ptp(np.flatnonzero(labels.any(axis=(0, 1))))) + 1


def _translated(array: np.ndarray, scheme: Mapping[int, Lobe]) -> np.ndarray:
    labels = np.zeros(array.shape, np.uint8)
    for value, lobe in scheme.items():
        labels[array == value] = lobe.value
    return labels


def _listed(items: Iterable[object], most: int = 12) -> str:
    texts = [str(item) for item in items]
    return (", ".join(texts[:most]) + (", ..." if len(texts) > most else "")) or "none"


def _masks_in_folder(path: Path, ct: Volume) -> Named:
    """One mask per lobe; hidden files, as those that macOS puts beside others, are no masks."""
    from DRAMLesionLib.images.paths import is_volume_file, stem
    from DRAMLesionLib.images.volume import read_on_grid

    files = sorted(
        file
        for file in path.iterdir()
        if file.is_file() and is_volume_file(file) and not file.name.startswith(".")
    )
    named = [(lobe, file) for file in files if (lobe := lobe_by_name(stem(file)))]
    if not named:
        raise InputError(
            f"{path}: no lobe masks in this folder ({_listed(file.name for file in files)}): "
            "name them lung_upper_lobe_left.nii.gz and so on"
        )
    refuse_doubles(path, ((lobe, file.name) for lobe, file in named))
    masks: Named = []
    for lobe, file in named:
        array = read_on_grid(file, ct, "lobe mask")
        fractions = array.dtype.kind == "f" and array.max() <= 1
        masks.append((lobe, file.name, array > 0.5 if fractions else array > 0))
    return masks


def _merged(path: Path, masks: Named, ct: Volume) -> tuple[np.ndarray, tuple[str, ...]]:
    """A label map of masks; where they overlap the first in the order of :data:`LOBES` stays, which is told."""
    refuse_doubles(path, ((lobe, name) for lobe, name, _ in masks))
    labels = np.zeros(ct.array.shape, np.uint8)
    overlap = 0
    for lobe, _, inside in sorted(masks, key=lambda mask: mask[0].value):
        overlap += int(np.count_nonzero(labels[inside]))
        labels[inside & (labels == 0)] = lobe.value
    told = f"{overlap} voxels lie in two lobes at once and were given to the first in the order {_ORDER}"
    return labels, (told,) if overlap else ()


_ORDER = ", ".join(lobe.abbreviation for lobe in LOBES)


def refuse_doubles(path: Path | str, named: Iterable[tuple[Lobe, str]]) -> None:
    """Refuse two masks or segments of one lobe.

    Args:
        path: What to name in errors: their file or folder, or the name of a node.
        named: Lobes, and what they are called there.

    Raises:
        InputError: A lobe is there twice.
    """
    seen: dict[Lobe, str] = {}
    for lobe, name in named:
        if lobe in seen:
            raise InputError(f"{path}: {seen[lobe]} and {name} are both the {lobe.name}: keep one of them")
        seen[lobe] = name
