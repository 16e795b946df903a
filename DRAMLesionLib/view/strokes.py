"""The tools that paint, by trame-slicer's segment editor on the lesion's segment.

What a tool did is told by the library's recogniser from what changed in the segment, as in Slicer's panel; undo is the
correction's, and trame-slicer's own stack stays off.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from DRAMLesionLib.results.segments import LESION

if TYPE_CHECKING:
    from trame_slicer.core import SegmentationEditor

    from DRAMLesionLib.results.scene.nodes import FindingsNodes

PAINT, ERASE, SCISSORS = "paint", "erase", "scissors"
TOOLS = (PAINT, ERASE, SCISSORS)
BRUSH_MM = 10.0
"""The brush's diameter at the beginning."""


class Brush:
    """The tools on one case's lesion.

    Attributes:
        tool: The chosen one, or "".
    """

    def __init__(
        self,
        editor: SegmentationEditor,
        nodes: FindingsNodes,
        stroke: Callable[[], None],
        is_own: Callable[[], bool],
    ) -> None:
        """Watch the lesion; no tool is chosen.

        Args:
            editor: trame-slicer's.
            nodes: The case's.
            stroke: Called after each change that a tool made, once it is whole.
            is_own: Whether the segment is being changed by the correction itself.
        """
        import slicer

        self._editor, self._stroke, self._is_own, self._told = editor, stroke, is_own, False
        editor.set_active_segmentation(nodes.lesion, nodes.ct)
        editor.set_active_segment_id(LESION.id)
        editor.editor_node.SetOverwriteMode(slicer.vtkMRMLSegmentEditorNode.OverwriteNone)
        self._segmentation = nodes.lesion.GetSegmentation()
        event = slicer.vtkSegmentation.SourceRepresentationModified
        self._observation = self._segmentation.AddObserver(event, self._on_modified)
        self.tool, self._size, self._sphere = "", BRUSH_MM, False

    def choose(self, tool: str) -> None:
        """Take a tool into the hand; "" puts it down."""
        from trame_slicer.segmentation import (
            SegmentationEffectErase,
            SegmentationEffectNoTool,
            SegmentationEffectPaint,
            SegmentationEffectScissors,
        )

        effects = {
            PAINT: SegmentationEffectPaint,
            ERASE: SegmentationEffectErase,
            SCISSORS: SegmentationEffectScissors,
        }
        self._editor.set_active_effect_type(effects.get(tool, SegmentationEffectNoTool))
        self.tool = tool
        self._shape()

    def set_size(self, diameter_mm: float, sphere: bool) -> None:
        """The brush: its diameter in mm, and whether it paints a ball instead of a disc in its slice."""
        self._size, self._sphere = diameter_mm, sphere
        self._shape()

    def _shape(self) -> None:
        from trame_slicer.segmentation import BrushDiameterMode

        effect = self._editor.active_effect
        if effect is not None and self.tool in (PAINT, ERASE):
            effect.set_use_sphere_brush(self._sphere)
            effect.set_brush_diameter(self._size, BrushDiameterMode.Absolute)

    def end(self) -> None:
        """Let go of the lesion."""
        self.choose("")
        self._segmentation.RemoveObserver(self._observation)

    def _on_modified(self, _caller: Any, _event: Any) -> None:
        # A tool may report several times while it applies one stroke: wait until it is through.
        if not self._told and not self._is_own():
            self._told = True
            asyncio.get_running_loop().call_soon(self._whole)

    def _whole(self) -> None:
        self._told = False
        self._stroke()
