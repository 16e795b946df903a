"""Lobes for one CT: cut by planes in its own lungs, or read from label maps and segmentations of any tool."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from DRAMLesionLib.system.errors import InputError
from DRAMLesionLib.system.progress import Progress, silent

if TYPE_CHECKING:
    import SimpleITK as sitk

    from DRAMLesionLib.images.volume import Volume
    from DRAMLesionLib.lungs.fissures import Fissure
from DRAMLesionLib.lungs.lobes import LOBES, Lobe, LobeMap, lobe_by_name, lobe_of

_LUNGS_APART, _MIRRORED = 0.35, 0.1
"""Parts of the labels' width, left to right, see :func:`_refuse_lungs` and :func:`_refuse_mirrored`."""
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
        InputError: The lobes can't be read, don't fit the CT or lack a lobe; or no lungs were found in the CT.
    """
    from DRAMLesionLib.lungs.fissures import split_lobes
    from DRAMLesionLib.lungs.lung_mask import segment_lungs

    progress("Lobes", 0.0)
    if path is not None:
        found = read_lobes(path, ct, allow_missing)
        progress("Lobes", 1.0)
        return found
    name = ct.path or ct.name
    lungs = segment_lungs(ct.array, ct.spacing_mm)
    progress("Lobes", 0.6)
    if not lungs.any():
        raise InputError(f"{name}: no lungs found: give a chest CT in HU, or its lobes with --lobes")
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

    Raises:
        InputError: It can't be read, lies on another grid, holds no lobes that are known here, or lacks one.
    """
    from DRAMLesionLib.images.paths import exists

    path = Path(path)
    if not exists(path):
        raise InputError(f"{path}: no such file or folder: check the path of the lobes")
    if path.is_dir():
        labels = _from_folder(path, ct)
    elif path.name.lower().endswith(".seg.nrrd"):
        labels = _from_segmentation(path, ct)
    else:
        labels = _from_label_map(path, ct)
    _refuse_mirrored(path, labels)
    missing = _missing(labels)
    if missing and not allow_missing:
        raise InputError(
            f"{path}: no voxel of the {missing}: give all five lobes, or --allow-missing-lobes if it was resected"
        )
    return LobeMap(labels, approximate=False, source=path.name)


def _missing(labels: np.ndarray) -> str:
    # Not bincount over all voxels, which makes eight bytes of each first.
    return ", ".join(
        f"{lobe.name} ({lobe.abbreviation})" for lobe in LOBES if not (labels == lobe.value).any()
    )


def _from_label_map(path: Path, ct: Volume) -> np.ndarray:
    from DRAMLesionLib.images.volume import read_on_grid

    array = read_on_grid(path, ct, "lobe mask")
    low, high = array.min(), array.max()
    if low < 0 or high > _HIGHEST_LABEL:
        raise InputError(f"{path}: has values {low:g}..{high:g}, not labels: give a label map of the lobes")
    whole = array.astype(np.int32)
    if array.dtype.kind == "f" and not np.array_equal(whole, array):
        raise InputError(f"{path}: has fractional values, not labels: give a label map of the lobes")
    values = np.unique(whole)
    values = values[values != 0]
    scheme = _scheme(values, whole, ct)
    if scheme is None:
        raise InputError(
            f"{path}: no lobes among its values ({_listed(values)}): give 1..5 (LUL, LLL, RUL, RML, RLL) "
            "or TotalSegmentator's 10..14"
        )
    if scheme is _VALUES["own"]:
        _refuse_lungs(path, whole)
    return _translated(whole, scheme)


def _scheme(values: np.ndarray, array: np.ndarray, ct: Volume) -> Mapping[int, Lobe] | None:
    """What the label values mean.

    Only 1..5: our own values. With others present 1..5 are organs of TotalSegmentator, and the version is the one whose
    "lobes" hold the most air: 13 and 14 are lobes in both.
    """
    if values.size == 0:
        return None
    if values.max() <= 5 and values.min() >= 1:
        return _VALUES["own"]
    schemes = [_VALUES[name] for name in ("TotalSegmentator", "TotalSegmentator 1")]
    present = [np.isin(list(scheme), values).sum() for scheme in schemes]
    if max(present) == 0:
        return None
    if present[0] != present[1]:
        return schemes[int(np.argmax(present))]
    aerated = [np.mean(ct.array[np.isin(array, list(scheme))] < -400) for scheme in schemes]
    return schemes[int(np.argmax(aerated))]


def _refuse_lungs(path: Path, labels: np.ndarray) -> None:
    """Values 1 and 2 alone are the left lobes, or lungmask's R231: the right and the left lung, wide apart."""
    first, second = _middle(labels == 1), _middle(labels == 2)
    if first is None or second is None or (labels > 2).any():
        return
    if abs(first - second) > _LUNGS_APART * _width(labels):
        raise InputError(
            f"{path}: holds two lungs, not lobes: with lungmask, choose --modelname LTRCLobes or LTRCLobes_R231"
        )


def _refuse_mirrored(path: Path, labels: np.ndarray) -> None:
    """Left lobes lie to the patient's left of the right ones, whatever the person: else a header is wrong."""
    left, right = (
        _middle(np.isin(labels, [lobe.value for lobe in LOBES if lobe.side == side]))
        for side in ("left", "right")
    )
    if left is not None and right is not None and right - left > _MIRRORED * _width(labels):
        raise InputError(
            f"{path}: its left lobes lie to the right of its right ones: its header or its names are mirrored: "
            "make the lobes again from this CT"
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


def _from_folder(path: Path, ct: Volume) -> np.ndarray:
    """One mask per lobe; where masks overlap the first in the order of :data:`LOBES` stays."""
    from DRAMLesionLib.images.paths import is_volume_file, stem
    from DRAMLesionLib.images.volume import read_on_grid

    files = sorted(file for file in path.iterdir() if file.is_file() and is_volume_file(file))
    named = [(lobe, file) for file in files if (lobe := lobe_by_name(stem(file)))]
    if not named:
        raise InputError(
            f"{path}: no lobe masks in this folder ({_listed(file.name for file in files)}): "
            "name them lung_upper_lobe_left.nii.gz and so on"
        )
    _refuse_doubles(path, ((lobe, file.name) for lobe, file in named))
    labels = np.zeros(ct.array.shape, np.uint8)
    for lobe, file in sorted(named, key=lambda pair: pair[0].value):
        labels[(read_on_grid(file, ct, "lobe mask") > 0) & (labels == 0)] = lobe.value
    return labels


def _from_segmentation(path: Path, ct: Volume) -> np.ndarray:
    """The segments that are lobes, by name or else by terminology, from any layer."""
    from DRAMLesionLib.images.image_file import read_image

    image = read_image(path)
    segments = _segments(image)
    lobes = [(lobe_of(s["Name"], s["ID"], _terminology(s["Tags"])), s) for s in segments]
    named = [(lobe, segment) for lobe, segment in lobes if lobe]
    if not named:
        raise InputError(
            f"{path}: no lobes among its segments ({_listed(s['Name'] for s in segments)}): "
            "name them left upper lobe, left lower lobe and so on"
        )
    _refuse_doubles(path, ((lobe, segment["Name"]) for lobe, segment in named))
    labels = np.zeros(ct.array.shape, np.uint8)
    layers: dict[int, np.ndarray] = {}
    for lobe, segment in sorted(named, key=lambda pair: pair[0].value):
        number, value = (_whole(segment, key, path) for key in ("Layer", "LabelValue"))
        if number not in layers:
            layers[number] = _on_lattice(_layer(image, number, path), path, ct)
        labels[(layers[number] == value) & (labels == 0)] = lobe.value
    return labels


def _segments(image: sitk.Image) -> list[dict[str, str]]:
    """Name, label value, layer and tags of each segment in a ``.seg.nrrd``, in the file's order."""
    defaults = {"ID": "", "Name": "", "LabelValue": "1", "Layer": "0", "Tags": ""}
    found: dict[int, dict[str, str]] = {}
    for key in image.GetMetaDataKeys():
        match = re.fullmatch(r"Segment(\d+)_(ID|Name|LabelValue|Layer|Tags)", key)
        if match:
            segment = found.setdefault(int(match[1]), dict(defaults))
            segment[match[2]] = image.GetMetaData(key).strip()
    return [found[number] for number in sorted(found)]


def _whole(segment: Mapping[str, str], key: str, path: Path) -> int:
    """A whole number among a segment's fields."""
    try:
        return int(segment[key])
    except ValueError as error:
        raise InputError(
            f"{path}: {key} of the segment {segment['Name']} is {segment[key]!r}, no number: export it again"
        ) from error


def _terminology(tags: str) -> str:
    """The terminology entry among a segment's tags, ``name:value|name:value|``."""
    match = re.search(r"(?:^|\|)\s*TerminologyEntry:([^|]*)", tags)
    return match[1] if match else ""


def _refuse_doubles(path: Path, named: Iterable[tuple[Lobe, str]]) -> None:
    seen: dict[Lobe, str] = {}
    for lobe, name in named:
        if lobe in seen:
            raise InputError(f"{path}: {seen[lobe]} and {name} are both the {lobe.name}: keep one of them")
        seen[lobe] = name


def _layer(image: sitk.Image, number: int, path: Path) -> sitk.Image:
    """One layer of shared label maps: a component of a vector image, or a part of the fourth axis."""
    import SimpleITK as sitk

    count = image.GetNumberOfComponentsPerPixel()
    if image.GetDimension() == 4:
        count = image.GetSize()[3]
    if image.GetDimension() not in (3, 4) or not 0 <= number < count:
        raise InputError(f"{path}: its segments name a layer {number} that it does not hold: export it again")
    if image.GetDimension() == 4:
        return sitk.Extract(image, [*image.GetSize()[:3], 0], [0, 0, 0, number])
    return sitk.VectorIndexSelectionCast(image, number) if count > 1 else image


def _on_lattice(layer: sitk.Image, path: Path, ct: Volume) -> np.ndarray:
    """The layer's labels on the CT's canonical grid; it may cover a part of it, or reach beyond."""
    from DRAMLesionLib.images.volume import Geometry, from_image

    segmentation = from_image(layer, path.name)
    grid, own = ct.geometry.canonical(), segmentation.geometry.canonical()
    first = np.linalg.inv(grid.matrix) @ own.matrix[:, 3]
    start = np.rint(first[:3]).astype(int)
    origin = grid.matrix @ np.append(start, 1.0)
    moved = Geometry(own.size, grid.spacing, (origin[0], origin[1], origin[2]), grid.direction)
    difference = own.difference(moved, what="lobe segmentation")
    if difference:
        raise InputError(f"{path}: {difference}: give one made from this CT")
    labels = np.zeros(ct.array.shape, segmentation.array.dtype)
    to, out_of = [], []
    for offset, length, size in zip(start[::-1], segmentation.array.shape, labels.shape, strict=True):
        low, high = max(0, offset), max(0, min(size, offset + length))
        to.append(slice(low, high))
        out_of.append(slice(low - offset, max(low, high) - offset))
    labels[tuple(to)] = segmentation.array[tuple(out_of)]
    return labels
