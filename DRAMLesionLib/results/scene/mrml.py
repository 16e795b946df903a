"""Arrays and images to MRML nodes and back: volumes and segments.

Works on the nodes of a running Slicer and of a headless slicer-core scene alike. MRML is RAS, the library LPS; node
arrays lie in the image's own axes, the library's in canonical ones: everything passes through
:func:`~DRAMLesionLib.images.volume.own_axes` and :func:`~DRAMLesionLib.images.volume.from_image`, so the geometry
stays exactly what the input had.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

from DRAMLesionLib.images.box import Box
from DRAMLesionLib.images.volume import (
    CORNER_TOLERANCE,
    Geometry,
    Volume,
    canonical_array,
    check_geometry,
    own_axes,
)
from DRAMLesionLib.lungs.anatomy import refuse_impossible
from DRAMLesionLib.lungs.lobes import LOBES, LobeMap, lobe_of
from DRAMLesionLib.lungs.read_lobes import lobes_of_values, refuse_doubles
from DRAMLesionLib.results.scene.vtk_arrays import copying_scalars, vtk_scalars
from DRAMLesionLib.results.segments import LOBE_SEGMENTS, SOURCE_REPRESENTATION, TERMINOLOGY_TAG, SegmentInfo
from DRAMLesionLib.system.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

APPROXIMATE_ATTRIBUTE = "DRAMLesion.Approximate"
"""Node attribute, ``1`` on lobes that were cut by planes."""


def fill_volume_node(node: Any, array: np.ndarray, like: Volume) -> None:
    """Put ``array`` into a scalar volume or label map node at once; see :func:`filling_volume_node`."""
    for _part in filling_volume_node(node, array, like):
        pass


def filling_volume_node(node: Any, array: np.ndarray, like: Volume) -> Generator[str, None, None]:
    """Put ``array`` into a scalar volume or label map node, in the geometry of ``like``; the node changes at the end.

    Args:
        node: vtkMRMLScalarVolumeNode.
        array: Shape (z, y, x), canonical axes of ``like``.
        like: The volume whose geometry the node gets.

    Yields:
        After each part of the voxels; between two of them the caller may do something else.
    """
    import vtk

    own = own_axes(array, like)
    data = vtk.vtkImageData()
    data.SetDimensions(*own.shape[::-1])
    scalars = yield from copying_scalars(own)
    data.GetPointData().SetScalars(scalars)
    origin, directions = _ras(like.geometry)
    node.SetAndObserveImageData(data)
    node.SetSpacing(*like.geometry.spacing)
    node.SetOrigin(*origin)
    node.SetIJKToRASDirectionMatrix(directions)


def volume_from_node(node: Any) -> Volume:
    """The library's volume of a scalar volume node; dtype stays as it is.

    Raises:
        InputError: There is no node; it is empty, holds vectors, lies under a transform, or has a geometry that can't be
            used.
    """
    if node is None:
        raise InputError("no CT: choose a CT")
    own = _own_array(node)
    _refuse_transform(node)
    geometry = _geometry(node)
    check_geometry(geometry, node.GetName())
    x, y, z = geometry.canonical().spacing
    return Volume(canonical_array(own, geometry), (z, y, x), geometry, node.GetName())


def lobes_from_segmentation(node: Any, ct: Volume, allow_missing: bool = False) -> LobeMap:
    """The five lobes of a segmentation or label map node, on the CT's grid.

    Segments and values are recognised as in a file: :func:`~DRAMLesionLib.lungs.lobes.lobe_of`,
    :func:`~DRAMLesionLib.lungs.read_lobes.lobes_of_values`.

    Args:
        node: vtkMRMLSegmentationNode, vtkMRMLLabelMapVolumeNode or vtkMRMLScalarVolumeNode.
        ct: The CT on whose grid the lobes are wanted.
        allow_missing: Take fewer than five lobes.

    Raises:
        InputError: A lobe is missing, has no voxels in the CT, is there twice or where no person has it, or a label map
            lies on another grid.
    """
    name = node.GetName()
    warnings: tuple[str, ...] = ()
    if node.IsA("vtkMRMLSegmentationNode"):
        own = np.zeros(ct.geometry.size[::-1], dtype=np.uint8)
        for segment_id, value in _lobe_segments(node).items():
            _paste_segment(node, segment_id, ct, own, value)
        labels = canonical_array(own, ct.geometry)
    else:
        labels, warnings = _labels_from_volume(node, ct)
    missing = [lobe.name for lobe in LOBES if not (labels == lobe.value).any()]
    if missing == [lobe.name for lobe in LOBES] or (missing and not allow_missing):
        known = ", ".join(segment.name for segment in LOBE_SEGMENTS)
        raise InputError(
            f"{name}: has no voxels of the {' and the '.join(missing)} in {ct.name}: name the segments {known}"
        )
    refuse_impossible(name, labels)
    return LobeMap(labels, node.GetAttribute(APPROXIMATE_ATTRIBUTE) == "1", name, warnings)


def segment_array(node: Any, segment_id: str, like: Volume) -> np.ndarray:
    """One segment on the grid of ``like``: uint8, shape (z, y, x), canonical axes, 1 inside.

    Voxels are copied where the segment shares the grid; otherwise the nearest one is taken.

    Raises:
        InputError: The segmentation has no such segment.
    """
    own = np.zeros(like.geometry.size[::-1], dtype=np.uint8)
    _paste_segment(node, segment_id, like, own, 1)
    return canonical_array(own, like.geometry)


def _paste_segment(node: Any, segment_id: str, like: Volume, own: np.ndarray, value: int) -> None:
    """Put ``value`` into an array in the own axes (k, j, i) of ``like`` wherever the segment is."""
    import slicer

    if node.GetSegmentation().GetSegment(segment_id) is None:
        raise InputError(f"{node.GetName()}: has no segment {segment_id}: choose a segment that is there")
    labelmap = slicer.vtkOrientedImageData()
    is_made = node.GetBinaryLabelmapRepresentation(segment_id, labelmap)
    if not is_made or labelmap.IsEmpty():
        return
    logic = slicer.vtkSlicerSegmentationsModuleLogic
    if node.GetParentTransformNode() is not None:
        logic.ApplyParentTransformToOrientedImageData(node, labelmap)
    if offset_on(labelmap, like) is None:
        moved = slicer.vtkOrientedImageData()
        reference = _oriented(own_axes(np.zeros(like.array.shape, np.uint8), like), like)
        slicer.vtkOrientedImageDataResample.ResampleOrientedImageToReferenceOrientedImage(
            labelmap, reference, moved
        )
        labelmap = moved
    _paste(labelmap, offset_on(labelmap, like) or (0, 0, 0), own, value)


def update_segment(
    node: Any, segment_id: str, array: np.ndarray, like: Volume, box: Box | None = None
) -> None:
    """Replace a segment's voxels, all of them or those of a box; other segments keep theirs.

    A box takes milliseconds whatever the CT's size: only its voxels are touched.

    Args:
        node: vtkMRMLSegmentationNode, not under a transform.
        segment_id: The ID of a segment that is there.
        array: Boolean or integer, canonical axes, not 0 is inside: shape of ``like.array``, or of the box.
        like: The volume on whose grid ``array`` lies.
        box: Which part of ``like.array`` the array is; None for all of it.

    Raises:
        InputError: The segmentation has no such segment, or lies under a transform.
        ValueError: The array's shape is not that of the box.
    """
    import slicer

    if node.GetSegmentation().GetSegment(segment_id) is None:
        raise InputError(f"{node.GetName()}: has no segment {segment_id}: choose a segment that is there")
    _refuse_transform(node)
    labelmap = labelmap_of(array, like, box)
    logic = slicer.vtkSlicerSegmentationsModuleLogic
    if box is None:
        logic.SetBinaryLabelmapToSegment(labelmap, node, segment_id, logic.MODE_REPLACE)
        return
    # Replacing would drop all voxels outside of the box. What is not inside is cleared, then the rest is set; the values
    # may be those of several segments in one label map, so clearing takes the minimum with the highest value elsewhere.
    kept = labelmap_of(array, like, box, value=255)
    extent = labelmap.GetExtent()
    logic.SetBinaryLabelmapToSegment(kept, node, segment_id, logic.MODE_MERGE_MIN, extent)
    logic.SetBinaryLabelmapToSegment(labelmap, node, segment_id, logic.MODE_MERGE_MASK, extent)


def labelmap_of(array: np.ndarray, like: Volume, box: Box | None = None, value: int = 1) -> Any:
    """Voxels as a label map of their own: vtkOrientedImageData of 0 and ``value``, which covers the box alone.

    Args:
        array: Boolean or integer, canonical axes, not 0 is inside: shape of ``like.array``, or of the box.
        like: The volume on whose grid ``array`` lies.
        box: Which part of ``like.array`` the array is; None for all of it.
        value: Inside.

    Raises:
        ValueError: The array's shape is not that of the box.
    """
    part, start = crop(like, box)
    if array.shape != part.array.shape:
        raise ValueError(f"labelmap_of: array has shape {array.shape}, its box {part.array.shape}")
    return _oriented(own_axes(np.where(array, np.uint8(value), np.uint8(0)), part), like, start)


def set_segments(node: Any, labels: np.ndarray, like: Volume, segments: Sequence[SegmentInfo]) -> None:
    """Make or replace segments of one label map; the node's other segments stay.

    Args:
        node: vtkMRMLSegmentationNode.
        labels: Integer, shape (z, y, x), canonical axes.
        like: The volume on whose grid they lie.
        segments: Which values become segments.
    """
    import slicer

    segmentation = node.GetSegmentation()
    _remove_segments(segmentation, [info.id for info in segments])
    labelmap = _oriented(own_axes(np.asanyarray(labels, dtype=np.uint8), like), like)
    for info in segments:
        segment = slicer.vtkSegment()
        segment.SetName(info.name)
        segment.SetNameAutoGenerated(False)
        segment.SetColor(*info.rgb)
        segment.SetColorAutoGenerated(False)
        segment.SetLabelValue(info.value)
        segment.SetTag(TERMINOLOGY_TAG, info.terminology)
        segment.AddRepresentation(SOURCE_REPRESENTATION, labelmap)
        segmentation.AddSegment(segment, info.id)


def _remove_segments(segmentation: Any, names: list[str]) -> None:
    """Remove segments; none of them is wiped out of a label map that is dropped anyway, which takes long for each."""
    others = [one for one in segmentation.GetSegmentIDs() if one not in names]
    kept = [segmentation.GetSegment(one).GetRepresentation(SOURCE_REPRESENTATION) for one in others]
    for name in names:
        segment = segmentation.GetSegment(name)
        if segment is None:
            continue
        labelmap = segment.GetRepresentation(SOURCE_REPRESENTATION)
        if labelmap is not None and not any(labelmap is other for other in kept):
            segment.RemoveAllRepresentations()
        segmentation.RemoveSegment(name)


def crop(like: Volume, box: Box | None) -> tuple[Volume, tuple[int, int, int]]:
    """The part of a volume inside a box of its canonical axes, and where it begins in the input's own axes (x, y, z)."""
    if box is None:
        return like, (0, 0, 0)
    ends = [part.indices(length)[:2] for part, length in zip(box, like.array.shape, strict=True)]
    first = np.array([start for start, _ in ends][::-1], dtype=float)
    last = np.array([stop - 1 for _, stop in ends][::-1], dtype=float)
    geometry = like.geometry
    to_own = np.linalg.inv(geometry.matrix) @ geometry.canonical().matrix
    corners = np.rint((to_own @ np.array([[*first, 1.0], [*last, 1.0]]).T)[:3]).astype(int)
    low, high = corners.min(axis=1), corners.max(axis=1)
    width, height, depth = (int(value) for value in high - low + 1)
    x, y, z, _ = geometry.matrix @ [*low, 1.0]
    part = dataclasses.replace(geometry, size=(width, height, depth), origin=(float(x), float(y), float(z)))
    return Volume(like.array[box], like.spacing_mm, part, like.name), (int(low[0]), int(low[1]), int(low[2]))


def _own_array(node: Any) -> np.ndarray:
    """A view of a volume node's voxels in its own axes (k, j, i)."""
    from vtk.util.numpy_support import vtk_to_numpy

    data = node.GetImageData()
    if data is None or data.GetPointData().GetScalars() is None:
        raise InputError(f"{node.GetName()}: has no voxels: load the volume again")
    if data.GetNumberOfScalarComponents() != 1:
        raise InputError(f"{node.GetName()}: has several values per voxel: choose a CT")
    return vtk_to_numpy(data.GetPointData().GetScalars()).reshape(data.GetDimensions()[::-1])


def _geometry(node: Any) -> Geometry:
    import vtk

    directions = vtk.vtkMatrix4x4()
    node.GetIJKToRASDirectionMatrix(directions)
    rows = np.array([[directions.GetElement(i, j) for j in range(3)] for i in range(3)])
    rows[:2] *= -1
    x, y, z = node.GetOrigin()
    direction = tuple(float(value) for value in rows.ravel())
    return Geometry(node.GetImageData().GetDimensions(), node.GetSpacing(), (-x, -y, z), direction)


def _refuse_transform(node: Any) -> None:
    transform = node.GetParentTransformNode()
    if transform is not None:
        raise InputError(
            f"{node.GetName()}: lies under the transform {transform.GetName()}: harden it or take the node out of it"
        )


def _ras(geometry: Geometry) -> tuple[tuple[float, float, float], Any]:
    """Origin and direction matrix (vtkMatrix4x4) of a geometry in RAS."""
    import vtk

    rows = np.reshape(geometry.direction, (3, 3)) * np.array([[-1.0], [-1.0], [1.0]])
    matrix = vtk.vtkMatrix4x4()
    for i in range(3):
        for j in range(3):
            matrix.SetElement(i, j, rows[i, j])
    x, y, z = geometry.origin
    return (-x, -y, z), matrix


def _ras_matrix(like: Volume) -> np.ndarray:
    return np.diag([-1.0, -1.0, 1.0, 1.0]) @ like.geometry.matrix


def _oriented(own: np.ndarray, like: Volume, start: tuple[int, int, int] = (0, 0, 0)) -> Any:
    """vtkOrientedImageData of an array (k, j, i) that begins at voxel ``start`` (x, y, z) of the grid of ``like``."""
    import slicer
    import vtk

    data = slicer.vtkOrientedImageData()
    extent = [number for s, size in zip(start, own.shape[::-1], strict=True) for number in (s, s + size - 1)]
    data.SetExtent(*extent)
    data.GetPointData().SetScalars(vtk_scalars(own))
    matrix = vtk.vtkMatrix4x4()
    matrix.DeepCopy(_ras_matrix(like).ravel().tolist())
    data.SetGeometryFromImageToWorldMatrix(matrix)
    return data


def offset_on(labelmap: Any, like: Volume) -> tuple[int, int, int] | None:
    """What to add to the label map's indices (x, y, z) to get those of ``like``; None where the grids differ."""
    import vtk

    matrix = vtk.vtkMatrix4x4()
    labelmap.GetImageToWorldMatrix(matrix)
    own = np.array([[matrix.GetElement(i, j) for j in range(4)] for i in range(4)])
    relative = np.linalg.inv(_ras_matrix(like)) @ own
    shift = relative[:3, 3]
    far = max(like.geometry.size)
    drift = np.abs(relative[:3, :3] - np.eye(3)).max() * far
    if max(drift, np.abs(shift - np.rint(shift)).max()) > CORNER_TOLERANCE:
        return None
    x, y, z = (int(value) for value in np.rint(shift))
    return x, y, z


def _paste(labelmap: Any, offset: tuple[int, int, int], target: np.ndarray, value: int) -> None:
    """Put ``value`` into an array (k, j, i) wherever a label map is not 0."""
    from vtk.util.numpy_support import vtk_to_numpy

    extent = labelmap.GetExtent()
    start = [extent[2 * axis] + offset[axis] for axis in (2, 1, 0)]
    source = vtk_to_numpy(labelmap.GetPointData().GetScalars()).reshape(labelmap.GetDimensions()[::-1])
    here, there = [], []
    for first, length, size in zip(start, source.shape, target.shape, strict=True):
        low, high = max(first, 0), min(first + length, size)
        if low >= high:
            return
        here.append(slice(low, high))
        there.append(slice(low - first, high - first))
    np.copyto(target[tuple(here)], np.uint8(value), where=source[tuple(there)] != 0)


def _labels_from_volume(node: Any, ct: Volume) -> tuple[np.ndarray, tuple[str, ...]]:
    volume = volume_from_node(node)
    difference = volume.geometry.canonical().difference(ct.geometry.canonical(), what="label map")
    if difference:
        raise InputError(f"{node.GetName()}: {difference}: give one made from this CT")
    return lobes_of_values(node.GetName(), volume.array, ct)


def _lobe_segments(node: Any) -> dict[str, int]:
    """Segment IDs and the lobe values that they stand for."""
    segmentation = node.GetSegmentation()
    values: dict[str, int] = {}
    named = []
    for segment_id in segmentation.GetSegmentIDs():
        segment = segmentation.GetSegment(segment_id)
        lobe = lobe_of(segment.GetName() or "", segment_id, _terminology(segment))
        if lobe is not None:
            values[segment_id] = lobe.value
            named.append((lobe, segment.GetName() or segment_id))
    refuse_doubles(node.GetName(), named)
    return values


def _terminology(segment: Any) -> str:
    """A segment's serialised terminology entry; empty where it has none."""
    import vtk

    text = vtk.reference("")
    return str(text) if segment.GetTag(TERMINOLOGY_TAG, text) else ""
