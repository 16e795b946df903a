"""Surfaces of segments for the 3-D views, made one by one, so that a window or a page lives meanwhile."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from DRAMLesionLib.results.scene.steps import Steps
from DRAMLesionLib.results.segments import SOURCE_REPRESENTATION, SURFACE_REPRESENTATION


def making_surfaces(nodes: Iterable[Any]) -> Steps[None]:
    """Make the surfaces that are missing, one with each step.

    Args:
        nodes: vtkMRMLSegmentationNode each.
    """
    for node in nodes:
        segmentation = node.GetSegmentation()
        for segment_id in segmentation.GetSegmentIDs():
            segment = segmentation.GetSegment(segment_id)
            if segment is not None and segment.GetRepresentation(SURFACE_REPRESENTATION) is None:
                _make_surface(segmentation, segment, segment_id)
                yield segment_id
        # Slicer's own way, which has nothing left to do but to remember the representation.
        node.CreateClosedSurfaceRepresentation()


def _make_surface(segmentation: Any, segment: Any, segment_id: str) -> None:
    """One surface: a segmentation makes all of its own at once, and the window would stand still meanwhile."""
    import slicer

    alone = slicer.vtkSegmentation()
    alone.SetSourceRepresentationName(SOURCE_REPRESENTATION)
    alone.CopyConversionParameters(segmentation)
    same = slicer.vtkSegment()
    same.SetLabelValue(segment.GetLabelValue())
    same.AddRepresentation(SOURCE_REPRESENTATION, segment.GetRepresentation(SOURCE_REPRESENTATION))
    alone.AddSegment(same, segment_id)
    if alone.CreateRepresentation(SURFACE_REPRESENTATION):
        segment.AddRepresentation(SURFACE_REPRESENTATION, same.GetRepresentation(SURFACE_REPRESENTATION))


def drop_surfaces(node: Any) -> None:
    """Drop the surfaces of a segmentation: while a segment is painted its surface would be made after each stroke."""
    node.GetSegmentation().RemoveRepresentation(SURFACE_REPRESENTATION)
