"""One lobe in the slice views: they jump to its middle, and its outline is shown."""

import slicer

from DRAMLesionLib.results.segments import LOBE_SEGMENTS
from DRAMLesionPanel.results.nodes import Results


def showLobe(results: Results, name: str) -> bool:
    """Jump to a lobe and show its outline, and that of no other; where the name is no lobe's, show none.

    Args:
        results: The nodes.
        name: The lobe's name, as the table has it.

    Returns:
        Whether there is such a lobe.
    """
    node = results.lobesSegmentationNode
    segments = node.GetSegmentation()
    chosen = next((one.id for one in LOBE_SEGMENTS if one.name == name and segments.GetSegment(one.id)), None)
    display = node.GetDisplayNode()
    if display is not None:
        for segmentID in segments.GetSegmentIDs():
            display.SetSegmentVisibility2DOutline(segmentID, chosen in (None, segmentID))
        display.SetVisibility2DOutline(chosen is not None)
    middle = None if chosen is None else node.GetSegmentCenterRAS(chosen)
    if middle is not None:
        slicer.vtkMRMLSliceNode.JumpAllSlices(slicer.mrmlScene, *middle)
    return middle is not None
