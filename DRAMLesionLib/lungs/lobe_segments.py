"""Lobes among the segments of a ``.seg.nrrd`` as Slicer writes it, of version 4.11 and later or of earlier ones.

Later versions put segments that do not overlap into one layer with a label value each; earlier ones gave each segment a
component of its own, in the order of the segments, and named neither layer nor value.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from DRAMLesionLib.lungs.lobes import Lobe, lobe_of
from DRAMLesionLib.system.errors import InputError

if TYPE_CHECKING:
    import SimpleITK as sitk

    from DRAMLesionLib.images.volume import Volume

Named = list[tuple[Lobe, str, np.ndarray]]
"""Lobes, what they are called in the file, and their masks: bool (z, y, x) on the CT's canonical grid."""


def read_lobe_segments(path: Path, ct: Volume) -> Named:
    """The segments that are lobes, by name, identifier or terminology, from any layer.

    Args:
        path: The segmentation. It may cover a part of the CT's grid, or reach beyond it.
        ct: The CT that it was made from.

    Raises:
        InputError: It can't be read, lies on another grid, or holds no segment that is a lobe.
    """
    from DRAMLesionLib.images.image_file import read_image

    image = read_image(path)
    segments = _segments(image)
    known = [(lobe_of(s["Name"], s["ID"], _terminology(s["Tags"])), s) for s in segments]
    named = [(lobe, segment) for lobe, segment in known if lobe]
    if not named:
        listed = ", ".join(segment["Name"] for segment in segments[:12]) or "none"
        raise InputError(
            f"{path}: no lobes among its segments ({listed}): name them left upper lobe, left lower lobe and so on"
        )
    masks: Named = []
    layers: dict[int, np.ndarray] = {}
    for lobe, segment in named:
        number, value = _place(segment, segments, image, path)
        if number not in layers:
            layers[number] = _on_lattice(_layer(image, number, path), path, ct)
        inside = layers[number] != 0 if value is None else layers[number] == value
        masks.append((lobe, segment["Name"] or segment["ID"], inside))
    return masks


def _segments(image: sitk.Image) -> list[dict[str, str]]:
    """Name, label value, layer and tags of each segment in a ``.seg.nrrd``, in the file's order."""
    segments: dict[int, dict[str, str]] = {}
    for key in image.GetMetaDataKeys():
        match = re.fullmatch(r"Segment(\d+)_(ID|Name|LabelValue|Layer|Tags)", key)
        if match:
            segment = segments.setdefault(int(match[1]), {"ID": "", "Name": "", "Tags": ""})
            segment[match[2]] = image.GetMetaData(key).strip()
    return [segments[number] for number in sorted(segments)]


def _place(
    segment: Mapping[str, str], segments: list[dict[str, str]], image: sitk.Image, path: Path
) -> tuple[int, int | None]:
    """Layer and label value of a segment; None as value where all that is set in the layer is the segment's.

    Raises:
        InputError: The file does not tell them.
    """
    layered, valued = (any(one.get(key) for one in segments) for key in ("Layer", "LabelValue"))
    if layered or (valued and _layer_count(image) == 1):
        return _whole(segment, "Layer", path, 0), _whole(segment, "LabelValue", path, 1) if valued else None
    if _layer_count(image) == len(segments):
        value = _whole(segment, "LabelValue", path, 1) if valued else None
        return next(number for number, one in enumerate(segments) if one is segment), value
    raise InputError(
        f"{path}: its header does not say which of its {_layer_count(image)} layers and which values are the "
        f"{len(segments)} segments: save it again with Slicer 5"
    )


def _whole(segment: Mapping[str, str], key: str, path: Path, usual: int) -> int:
    """A whole number among a segment's fields; ``usual`` where it is absent."""
    text = segment.get(key, "")
    try:
        value = float(text) if text else float(usual)
        if value == int(value):
            return int(value)
    except (ValueError, OverflowError):
        pass
    raise InputError(
        f"{path}: {key} of the segment {segment['Name']} is {text!r}, no number: export it again"
    )


def _terminology(tags: str) -> str:
    """The terminology entry among a segment's tags, ``name:value|name:value|``."""
    match = re.search(r"(?:^|\|)\s*TerminologyEntry:([^|]*)", tags)
    return match[1] if match else ""


def _layer_count(image: sitk.Image) -> int:
    return image.GetSize()[3] if image.GetDimension() == 4 else image.GetNumberOfComponentsPerPixel()


def _layer(image: sitk.Image, number: int, path: Path) -> sitk.Image:
    """One layer of shared label maps: a component of a vector image, or a part of the fourth axis."""
    import SimpleITK as sitk

    if image.GetDimension() not in (3, 4) or not 0 <= number < _layer_count(image):
        raise InputError(f"{path}: its segments name a layer {number} that it does not hold: export it again")
    if image.GetDimension() == 4:
        return sitk.Extract(image, [*image.GetSize()[:3], 0], [0, 0, 0, number])
    return sitk.VectorIndexSelectionCast(image, number) if _layer_count(image) > 1 else image


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
