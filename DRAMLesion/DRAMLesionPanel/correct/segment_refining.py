"""Refining any segment around what was painted: no widget here, and no Segment Editor.

All changes since the last refinement (:mod:`DRAMLesionLib.correction.segment.recogniser`) are refined together. Undo
belongs to the Segment Editor, which does not tell of it: a segment that is what it was before a refinement means that the
refinement was taken back.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import slicer

from DRAMLesionLib.correction.propagation import Propagation
from DRAMLesionLib.correction.segment.recogniser import Edit, StrokeRecogniser, edit_between
from DRAMLesionLib.correction.session import CorrectionSession
from DRAMLesionLib.correction.start_map import map_from_segment
from DRAMLesionLib.images.box import Box, bounding_box, hull, within
from DRAMLesionLib.images.volume import Volume
from DRAMLesionLib.lungs.read_lobes import find_lobes
from DRAMLesionLib.results.scene import mrml
from DRAMLesionLib.system.errors import InputError
from DRAMLesionPanel.results.nodes import DEFAULT_THRESHOLD, findResults, thresholdOf

REMEMBERED = 20
"""Refinements that can be recognised as undone."""


@dataclass(frozen=True)
class Beginning:
    """What a refinement starts from, arrays (z, y, x) on the CT's grid.

    Attributes:
        lobes: uint8; all 1 where no lungs are found.
        probability: float32, 0..1.
        threshold: Of the map.
        words: What the map is, for the user; empty: from the segment and HU.
    """

    lobes: np.ndarray
    probability: np.ndarray
    threshold: float
    words: str


@dataclass(frozen=True, eq=False)
class Refinement:
    """One refinement that the Segment Editor can undo.

    Attributes:
        strokes: How many strokes the correction engine made.
        whole: From the segment before the strokes to the refined one; None where they are the same.
        moved: What the refinement changed after the strokes; None where it changed nothing.
    """

    strokes: int
    whole: Edit | None
    moved: Edit | None


class Refining:
    """The refinements of one segment."""

    def __init__(
        self,
        segment: StrokeRecogniser,
        ct: Volume,
        beginning: Beginning,
        reachMm: float,
        base: np.ndarray | None = None,
    ) -> None:
        """Begin with the segment as it was last seen: what is in it now was not painted.

        Args:
            segment: Finds the changes.
            ct: The CT on the segment's grid.
            beginning: Lobes and map.
            reachMm: How far a stroke reaches.
            base: uint8 (z, y, x): the segment before strokes that were seen already; None: there were none.
        """
        self._segment = segment
        self._base = (segment.seen if base is None else base).copy()
        self._box: Box | None = None
        if base is not None and (difference := self._base != segment.seen).any():
            self._box = bounding_box(difference)
        self._done: list[Refinement] = []
        self._undone: list[Refinement] = []
        hu = ct.array if ct.array.dtype == np.int16 else ct.array.astype(np.float32)
        self._session = CorrectionSession(
            hu,
            beginning.lobes,
            beginning.probability,
            ct.spacing_mm,
            label=self._base,
            threshold=beginning.threshold,
            propagation=Propagation(reach_mm=reachMm),
        )

    @property
    def base(self) -> np.ndarray:
        """uint8 (z, y, x): the segment when it was last refined, or at the beginning."""
        return self._base

    @property
    def unrefined(self) -> Edit | None:
        """What was painted since the last refinement, all in all."""
        if self._box is None:
            return None
        return edit_between(self._box, self._base[self._box], self._segment.seen[self._box])

    def look(self) -> bool:
        """Look at the segment after a change.

        Returns:
            Whether there are strokes that were not refined yet and are new, not come back by undo or redo.
        """
        edit = self._segment.look()
        if edit is None:
            return False
        self._box = edit.box if self._box is None else hull(self._box, edit.box)
        return not self._isUndoOrRedo() and self.unrefined is not None

    def _isUndoOrRedo(self) -> bool:
        """Take a change of the editor's undo or redo for what it is, and let the engine follow."""
        now = self.unrefined
        if now is not None and self._done:
            last = self._done[-1]
            ends = [edit.reversed() for edit in (last.moved, last.whole) if edit is not None]
            if any(now.equals(end) for end in ends):
                self._undone.append(self._done.pop())
                for _count in range(last.strokes):
                    self._session.undo()
                self._rebase(
                    last.whole.box if last.whole else None, last.whole.before if last.whole else None
                )
                return True
        if now is not None and self._undone and now.equals(self._undone[-1].whole):
            again = self._undone.pop()
            self._done.append(again)
            for _count in range(again.strokes):
                self._session.redo()
            self._rebase(now.box, now.after)
            self._box = None
            return True
        return False

    def _rebase(self, box: Box | None, label: np.ndarray | None) -> None:
        if box is not None:
            self._base[box] = label
            self._box = box if self._box is None else hull(self._box, box)

    def refine(self) -> tuple[Box, np.ndarray] | None:
        """Let the segment follow from the strokes since the last refinement.

        Returns:
            A box (z, y, x), and uint8 what the segment should be there; call :meth:`refined` when it is. None where
            nothing was painted.
        """
        painted = self.unrefined
        if painted is None:
            return None
        updates = [self._session.paint(voxels, value) for value, voxels in painted.strokes()]
        box = hull(painted.box, *(update[0] for update in updates))
        wanted = self._segment.seen[box].copy()
        for part, label in updates:
            wanted[within(part, box)] = label
        return box, wanted

    def refined(self) -> Edit | None:
        """Take what the segment became: the editor's masks may have kept some voxels as they were.

        Returns:
            What the refinement changed.
        """
        painted = self.unrefined
        moved = self._segment.look()
        if moved is not None:
            self._box = moved.box if self._box is None else hull(self._box, moved.box)
        whole = self.unrefined
        self._done.append(Refinement(len(painted.parts()) if painted else 0, whole, moved))
        del self._done[:-REMEMBERED]
        self._undone.clear()
        if whole is not None:
            self._base[whole.box] = whole.after
        self._box = None
        return moved


def begin(ct: Volume, label: np.ndarray, sourceNode: Any, useMap: bool) -> Beginning:
    """Find lobes and map: those of the scene's results for this CT, else from the CT and the segment.

    Args:
        ct: The CT on the segment's grid.
        label: uint8 (z, y, x): the segment.
        sourceNode: The CT's node.
        useMap: Take the lesion map of the scene's results, if there is one.
    """
    results = findResults(sourceNode)
    lobes = _lobes(ct, results)
    found = _mapOf(results, ct) if results and useMap else None
    if found is not None:
        return Beginning(lobes, found, thresholdOf(results.record), results.cutNode.GetName())
    return Beginning(lobes, map_from_segment(ct.array, lobes, label, ct.spacing_mm), DEFAULT_THRESHOLD, "")


def volumeOf(image: Any, name: str) -> Volume:
    """The library's volume of the editor's source image, which lies on the segmentation's grid.

    Raises:
        InputError: There is no image.
    """
    if image is None or image.IsEmpty():
        raise InputError(f"{name}: has no voxels on the segmentation's grid: choose another source volume")
    node = slicer.vtkMRMLScalarVolumeNode()
    node.SetName(name)
    slicer.vtkSlicerSegmentationsModuleLogic.CopyOrientedImageDataToVolumeNode(image, node)
    return mrml.volume_from_node(node)


def _lobes(ct: Volume, results: Any) -> np.ndarray:
    try:
        if results:
            return mrml.lobes_from_segmentation(results.lobesSegmentationNode, ct, allow_missing=True).labels
        return find_lobes(ct, allow_missing=True).labels
    except InputError:
        # No lungs, as in a part of a scan: a stroke then reaches all that looks like it.
        return np.ones(ct.array.shape, np.uint8)


def _mapOf(results: Any, ct: Volume) -> np.ndarray | None:
    """The lesion map on the segment's grid, None where it lies on another one."""
    volume = mrml.volume_from_node(results.cutNode)
    if volume.geometry.canonical().difference(ct.geometry.canonical()):
        return None
    return np.clip(volume.array.astype(np.float32), 0, 1)
