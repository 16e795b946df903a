"""Surfaces of segments for the 3-D views, made one by one, so that a window or a page lives meanwhile."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from DRAMLesionLib.results.scene.steps import Steps
from DRAMLesionLib.results.scene.vtk_arrays import vtk_scalars
from DRAMLesionLib.results.segments import SOURCE_REPRESENTATION, SURFACE_REPRESENTATION

if TYPE_CHECKING:
    from DRAMLesionLib.results.scene.nodes import FindingsNodes

LOBES_MM, LESION_MM = 3.0, 1.5
"""How fine the surfaces of pictures and page are: about as fine as they are seen. Who opens the scene gets surfaces of
all voxels, which Slicer makes then; a file holds none."""


def making_surfaces_to_look_at(nodes: FindingsNodes) -> Steps[None]:
    """Make the missing surfaces of lobes and lesion as coarse as pictures need them, one with each step."""
    yield from making_surfaces([nodes.lobes], LOBES_MM)
    yield from making_surfaces([nodes.lesion], LESION_MM)


def making_surfaces(nodes: Iterable[Any], finest_mm: float = 0.0) -> Steps[None]:
    """Make the surfaces that are missing, one with each step.

    Args:
        nodes: vtkMRMLSegmentationNode each.
        finest_mm: Of finer label maps every second voxel of an axis is taken, or every third, and so on, so that they
            are nearly as coarse as this.
    """
    for node in nodes:
        segmentation = node.GetSegmentation()
        thinned: dict[str, Any] = {}
        made: list[tuple[Any, Any, int, Any]] = []
        for segment_id in segmentation.GetSegmentIDs():
            segment = segmentation.GetSegment(segment_id)
            if segment is not None and segment.GetRepresentation(SURFACE_REPRESENTATION) is None:
                labelmap = segment.GetRepresentation(SOURCE_REPRESENTATION)
                key = labelmap.GetAddressAsString("")  # segments share label maps
                if key not in thinned:
                    thinned[key] = _thinned(labelmap, finest_mm)
                surface = _surface(segmentation, segment, segment_id, thinned[key])
                made.append((segment, labelmap, labelmap.GetMTime(), surface))
                yield segment_id
        # All at once: a view that finds one surface makes the others itself, of all voxels and while nothing else lives.
        for segment, labelmap, time, surface in made:
            unchanged = (
                segment.GetRepresentation(SOURCE_REPRESENTATION) is labelmap and labelmap.GetMTime() == time
            )
            if unchanged and surface is not None:
                segment.AddRepresentation(SURFACE_REPRESENTATION, surface)
        # Slicer's own way, which has nothing left to do but to remember the representation.
        node.CreateClosedSurfaceRepresentation()


def _thinned(labelmap: Any, finest_mm: float) -> Any:
    """A label map (vtkOrientedImageData) of every so many-th voxel along each axis."""
    steps = [max(1, int(finest_mm / length)) for length in labelmap.GetSpacing()]
    if steps == [1, 1, 1] or labelmap.IsEmpty():
        return labelmap
    import slicer
    import vtk
    from vtk.util.numpy_support import vtk_to_numpy

    i, j, k = steps
    voxels = vtk_to_numpy(labelmap.GetPointData().GetScalars()).reshape(labelmap.GetDimensions()[::-1])
    few = voxels[::k, ::j, ::i]
    thin = slicer.vtkOrientedImageData()
    thin.SetDimensions(*few.shape[::-1])
    thin.GetPointData().SetScalars(vtk_scalars(few))
    first = labelmap.GetExtent()[::2]
    place = vtk.vtkMatrix4x4()
    labelmap.GetImageToWorldMatrix(place)
    move = vtk.vtkMatrix4x4()
    for axis, (step, start) in enumerate(zip(steps, first, strict=True)):
        move.SetElement(axis, axis, step)
        move.SetElement(axis, 3, start)
    vtk.vtkMatrix4x4.Multiply4x4(place, move, place)
    thin.SetGeometryFromImageToWorldMatrix(place)
    return thin


def _surface(segmentation: Any, segment: Any, segment_id: str, labelmap: Any) -> Any | None:
    """One surface: a segmentation makes all of its own at once, and the window would stand still meanwhile."""
    import slicer

    alone = slicer.vtkSegmentation()
    alone.SetSourceRepresentationName(SOURCE_REPRESENTATION)
    alone.CopyConversionParameters(segmentation)
    same = slicer.vtkSegment()
    same.SetLabelValue(segment.GetLabelValue())
    same.AddRepresentation(SOURCE_REPRESENTATION, labelmap)
    alone.AddSegment(same, segment_id)
    alone.CreateRepresentation(SURFACE_REPRESENTATION)
    return same.GetRepresentation(SURFACE_REPRESENTATION)


def drop_surfaces(node: Any) -> None:
    """Drop the surfaces of a segmentation: while a segment is painted its surface would be made after each stroke."""
    node.GetSegmentation().RemoveRepresentation(SURFACE_REPRESENTATION)
