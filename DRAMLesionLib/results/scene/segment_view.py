"""A segment's voxels where they lie in memory: what changed in them is found, and a box is written, without a copy.

Slicer tells that a segment was modified, not where. Reading it through its copies takes longer than a stroke may; its own
memory is compared slice by slice in some milliseconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from DRAMLesionLib.images.box import Box, bounding_box, hull
from DRAMLesionLib.images.volume import numpy_axes, own_axes
from DRAMLesionLib.results.scene.mrml import labelmap_of, offset_on, segment_array, update_segment
from DRAMLesionLib.results.segments import SOURCE_REPRESENTATION

if TYPE_CHECKING:
    from DRAMLesionLib.images.volume import Volume


@dataclass(frozen=True, eq=False)
class Layer:
    """The label map that holds a segment, alone or with others.

    Attributes:
        labelmap: vtkOrientedImageData.
        region: The part of the CT's grid that it covers, in the CT's own axes (k, j, i).
        voxels: A view of its memory in that region.
        value: The segment's value in it.
        alone: Whether no other segment lies in it.
    """

    labelmap: Any
    region: Box
    voxels: np.ndarray
    value: int
    alone: bool


class SegmentView:
    """A segment as it was last seen on a CT's grid.

    Attributes:
        seen: uint8 (z, y, x), canonical axes, 1 in the segment: what :meth:`look` compares with.
    """

    def __init__(self, node: Any, segment_id: str, ct: Volume, seen: np.ndarray | None = None) -> None:
        """Take the segment as it is, or as it was.

        Args:
            node: vtkMRMLSegmentationNode.
            segment_id: Of a segment that is there.
            ct: On whose grid the segment is wanted.
            seen: uint8 (z, y, x): what to compare with; None: the segment as it is now. The array is kept.

        Raises:
            InputError: The segmentation has no such segment.
        """
        self._node, self._id, self._ct = node, segment_id, ct
        self.seen = np.empty(0, np.uint8)
        self.expect(segment_array(node, segment_id, ct) if seen is None else seen)

    def expect(self, label: np.ndarray) -> None:
        """Remember another state as seen: uint8 (z, y, x), 1 in the segment; the array is kept, not copied."""
        self.seen = label
        self._own = own_axes(label, self._ct)
        filled = bounding_box(label) if label.any() else (slice(0, 0), slice(0, 0), slice(0, 0))
        self._filled = _own_box(filled, self._ct)

    def look(self) -> Box | None:
        """Find what changed since the last look; :attr:`seen` stays as it was.

        Returns:
            The smallest box (z, y, x) that holds all changes; None where nothing changed.

        Raises:
            InputError: The segmentation no longer has the segment.
        """
        layer = self._layer()
        if layer is None:
            changed = segment_array(self._node, self._id, self._ct) != self.seen
            return bounding_box(changed) if changed.any() else None
        # Slicer cuts a label map to what is in it: outside of it there is nothing, and there may have been something.
        around = hull(layer.region, self._filled)
        shown = np.zeros([side.stop - side.start for side in around[1:]], bool)
        part = shown[
            tuple(
                slice(a.start - b.start, a.stop - b.start) for a, b in zip(layer.region, around, strict=True)
            )[1:]
        ]
        first = layer.region[0].start
        changes = np.zeros(shown.shape, bool)
        slices = []
        for k in range(around[0].start, around[0].stop):
            if first <= k < layer.region[0].stop:
                np.equal(layer.voxels[k - first], layer.value, out=part)
            else:
                part[...] = False
            before = self._own[k, around[1], around[2]].view(np.bool_)
            if not np.array_equal(shown, before):
                slices.append(k)
                changes |= shown != before
        if not slices:
            return None
        y, x = (np.flatnonzero(changes.any(axis=axis)) for axis in (1, 0))
        own = (
            slice(slices[0], slices[-1] + 1),
            slice(around[1].start + int(y[0]), around[1].start + int(y[-1]) + 1),
            slice(around[2].start + int(x[0]), around[2].start + int(x[-1]) + 1),
        )
        return _canonical_box(own, self._ct)

    def now(self, box: Box) -> np.ndarray:
        """The segment in a box as it is now: uint8, shape of the box, a copy."""
        layer = self._layer()
        if layer is None:
            return segment_array(self._node, self._id, self._ct)[box].copy()
        own = _own_box(box, self._ct)
        label = np.zeros([side.stop - side.start for side in own], np.uint8)
        common = [
            slice(max(a.start, b.start), min(a.stop, b.stop)) for a, b in zip(own, layer.region, strict=True)
        ]
        if all(side.start < side.stop for side in common):
            here = tuple(slice(a.start - b.start, a.stop - b.start) for a, b in zip(common, own, strict=True))
            there = tuple(
                slice(a.start - b.start, a.stop - b.start) for a, b in zip(common, layer.region, strict=True)
            )
            label[here] = layer.voxels[there] == layer.value
        return _canonical(label, self._ct).copy()

    def take(self, box: Box, label: np.ndarray) -> None:
        """Remember a box as seen: 1 inside, shape of the box."""
        self.seen[box] = label
        self._filled = hull(self._filled, _own_box(box, self._ct))

    def write(self, box: Box, label: np.ndarray) -> None:
        """Change the segment in a box, in its own memory where that can be, and remember it as seen.

        Args:
            box: Where, (z, y, x).
            label: Not 0 is inside; shape of the box.
        """
        inside = np.asarray(label) != 0
        self.take(box, inside)
        layer, own = self._layer(), _own_box(box, self._ct)
        fits = layer is not None and all(
            a.start >= b.start and a.stop <= b.stop for a, b in zip(own, layer.region, strict=True)
        )
        if layer is None or not layer.alone:
            update_segment(self._node, self._id, inside, self._ct, box)
            return
        if not fits:
            # Slicer's own way would go through the label map several times.
            wide = hull(_canonical_box(layer.region, self._ct), box)
            layer.labelmap.ShallowCopy(labelmap_of(self.seen[wide], self._ct, wide, layer.value))
            layer.labelmap.Modified()
            return
        part = tuple(
            slice(a.start - b.start, a.stop - b.start) for a, b in zip(own, layer.region, strict=True)
        )
        value = layer.voxels.dtype.type(layer.value)
        np.multiply(self._own[own], value, out=layer.voxels[part], casting="unsafe")
        layer.labelmap.GetPointData().GetScalars().Modified()
        layer.labelmap.Modified()

    def _layer(self) -> Layer | None:
        """The segment's memory; None where it can't be read on the CT's grid just as it lies."""
        from vtk.util.numpy_support import vtk_to_numpy

        segmentation = self._node.GetSegmentation()
        segment = segmentation.GetSegment(self._id)
        if segment is None or self._node.GetParentTransformNode() is not None:
            return None
        labelmap = segment.GetRepresentation(SOURCE_REPRESENTATION)
        if segmentation.GetSourceRepresentationName() != SOURCE_REPRESENTATION or labelmap is None:
            return None
        scalars, offset = labelmap.GetPointData().GetScalars(), offset_on(labelmap, self._ct)
        if labelmap.IsEmpty() or scalars is None or offset is None:
            return None
        extent, size = labelmap.GetExtent(), self._own.shape
        starts = [extent[2 * axis] + offset[axis] for axis in (2, 1, 0)]
        stops = [extent[2 * axis + 1] + offset[axis] + 1 for axis in (2, 1, 0)]
        if any(a < 0 or b > length for a, b, length in zip(starts, stops, size, strict=True)):
            return None
        k, j, i = (slice(a, b) for a, b in zip(starts, stops, strict=True))
        voxels = vtk_to_numpy(scalars).reshape(labelmap.GetDimensions()[::-1])
        value, alone = int(segment.GetLabelValue()), _is_alone(segmentation, self._id, labelmap)
        return Layer(labelmap, (k, j, i), voxels, value, alone)


def _is_alone(segmentation: Any, segment_id: str, labelmap: Any) -> bool:
    others = (other for other in segmentation.GetSegmentIDs() if other != segment_id)
    return all(
        segmentation.GetSegment(other).GetRepresentation(SOURCE_REPRESENTATION) is not labelmap
        for other in others
    )


def _canonical(own: np.ndarray, like: Volume) -> np.ndarray:
    """A view of an array (k, j, i) in canonical axes (z, y, x)."""
    order, flipped = numpy_axes(like.geometry.orientation)
    steps = tuple(slice(None, None, -1 if backwards else 1) for backwards in flipped)
    return own.transpose(order)[steps]


def _canonical_box(own: Box, like: Volume) -> Box:
    """A box of the image's own axes (k, j, i) in canonical ones (z, y, x)."""
    order, flipped = numpy_axes(like.geometry.orientation)
    z, y, x = (
        _mirrored(own[order[axis]], like.array.shape[axis], backwards)
        for axis, backwards in enumerate(flipped)
    )
    return z, y, x


def _own_box(box: Box, like: Volume) -> Box:
    """A box of canonical axes (z, y, x) in the image's own ones (k, j, i)."""
    order, flipped = numpy_axes(like.geometry.orientation)
    sides = [
        _mirrored(side, length, backwards)
        for side, length, backwards in zip(box, like.array.shape, flipped, strict=True)
    ]
    k, j, i = (sides[order.index(axis)] for axis in range(3))
    return k, j, i


def _mirrored(side: slice, length: int, backwards: bool) -> slice:
    return slice(length - side.stop, length - side.start) if backwards else side
