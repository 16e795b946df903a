"""The lesion's outline while the rest of a run goes on: a node that is no result and goes before the results come."""

from __future__ import annotations

from typing import Any

import numpy as np

from DRAMLesionLib.images.volume import Volume
from DRAMLesionLib.results.scene.mrml import set_segments
from DRAMLesionLib.results.segments import LESION


def show_preview(scene: Any, mask: np.ndarray, ct: Volume) -> Any:
    """Show a mask's outline in the slice views.

    Args:
        scene: vtkMRMLScene.
        mask: uint8 (z, y, x), canonical axes of ``ct``: 1 lesion.
        ct: The CT.

    Returns:
        vtkMRMLSegmentationNode, which no selector offers and no saved scene holds.
    """
    import slicer

    node = slicer.vtkMRMLSegmentationNode()
    node.SetName(scene.GetUniqueNameByString(f"{ct.name} lesion so far"))
    node.SetHideFromEditors(True)
    node.SetSaveWithScene(False)
    scene.AddNode(node)
    node.CreateDefaultDisplayNodes()
    node.GetDisplayNode().SetSaveWithScene(False)
    node.GetDisplayNode().SetVisibility2DFill(False)
    set_segments(node, mask, ct, [LESION])
    return node


def remove_preview(node: Any) -> None:
    """Take the node out of its scene, if it is still in one."""
    scene = node.GetScene()
    if scene is not None:
        scene.RemoveNode(node.GetDisplayNode())
        scene.RemoveNode(node)
