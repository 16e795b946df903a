"""One lobe in the slice views: they jump to its middle, its outline is shown, and the one under the mouse is found."""

from typing import Any

import slicer
import vtk

from DRAMLesionLib.results.segments import LOBE_SEGMENTS, SOURCE_REPRESENTATION
from DRAMLesionPanel.results.nodes import Results


def showLobe(results: Results, name: str) -> bool:
    """Jump to a lobe and show its outline, and that of no other; where the name is no lobe's, show none.

    Args:
        results: The nodes.
        name: The lobe's name, as the table has it.

    Returns:
        Whether there is such a lobe.
    """
    node, chosen = results.lobesSegmentationNode, segmentOf(results, name)
    outlineLobe(results, chosen)
    middle = None if chosen is None else node.GetSegmentCenterRAS(chosen)
    if middle is not None:
        slicer.vtkMRMLSliceNode.JumpAllSlices(slicer.mrmlScene, *middle)
    return middle is not None


def segmentOf(results: Results, name: str) -> str | None:
    """The segment of a lobe's name; None where there is none."""
    segments = results.lobesSegmentationNode.GetSegmentation()
    known = (one.id for one in LOBE_SEGMENTS if one.name == name)
    return next((segmentID for segmentID in known if segments.GetSegment(segmentID)), None)


def outlineLobe(results: Results, chosen: str | None) -> None:
    """Show the outline of one lobe's segment and of no other; None shows none. The views hear of it once."""
    node = results.lobesSegmentationNode
    display = node.GetDisplayNode()
    if display is None:
        return
    before = display.StartModify()
    for segmentID in node.GetSegmentation().GetSegmentIDs():
        display.SetSegmentVisibility2DOutline(segmentID, chosen in (None, segmentID))
    display.SetVisibility2DOutline(chosen is not None)
    display.EndModify(before)


def lobeAt(results: Results, ras: Any) -> str | None:
    """The segment of the lobe at a point; None where there is none. One voxel of each lobe is read.

    Args:
        results: The nodes.
        ras: The point in mm: right, anterior, superior.
    """
    node = results.lobesSegmentationNode
    point = list(ras)
    transform = node.GetParentTransformNode()
    if transform is not None:
        toNode = vtk.vtkGeneralTransform()
        slicer.vtkMRMLTransformNode.GetTransformBetweenNodes(None, transform, toNode)
        point = list(toNode.TransformPoint(point))
    segmentation = node.GetSegmentation()
    for one in LOBE_SEGMENTS:
        segment = segmentation.GetSegment(one.id)
        labelmap = segment.GetRepresentation(SOURCE_REPRESENTATION) if segment is not None else None
        if labelmap is not None and _valueAt(labelmap, point) == segment.GetLabelValue():
            return str(one.id)
    return None


def _valueAt(labelmap: Any, point: list[float]) -> float:
    """A label map's value at a point of its world; 0 outside of it."""
    matrix = vtk.vtkMatrix4x4()
    labelmap.GetWorldToImageMatrix(matrix)
    i, j, k = (round(value) for value in matrix.MultiplyPoint((*point, 1.0))[:3])
    x0, x1, y0, y1, z0, z1 = labelmap.GetExtent()
    if not (x0 <= i <= x1 and y0 <= j <= y1 and z0 <= k <= z1):
        return 0.0
    return float(labelmap.GetScalarComponentAsDouble(i, j, k, 0))
