"""Refining any segment around what was painted: no widget here, and no Segment Editor.

A segment is compared with what it was when last refined: voxels that came in since are a stroke of lesion, voxels that
went out one of not lesion. Undo belongs to the Segment Editor, so a segment that is what it was before a refinement
means that the refinement was taken back.
"""

import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import slicer

from DRAMLesionLib.correction.propagation import LESION, NOT_LESION, Propagation
from DRAMLesionLib.correction.session import CorrectionSession
from DRAMLesionLib.correction.start_map import map_from_segment
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


@dataclass(frozen=True)
class Refinement:
    """One refinement that can be undone: the segment's checksums, and its voxels when the strokes began."""

    before: int
    after: int
    strokes: int
    base: np.ndarray


class Refining:
    """The refinements of one segment."""

    def __init__(self, ct: Volume, label: np.ndarray, beginning: Beginning, reachMm: float) -> None:
        """Begin with the segment as it is: what is in it now was not painted.

        Args:
            ct: The CT on the segment's grid.
            label: uint8 (z, y, x), 1 in the segment.
            beginning: Lobes and map.
            reachMm: How far a stroke reaches.
        """
        self._base = label.copy()
        self._done: list[Refinement] = []
        self._undone: list[Refinement] = []
        self._pending: Refinement | None = None
        hu = ct.array if ct.array.dtype == np.int16 else ct.array.astype(np.float32)
        self._session = CorrectionSession(
            hu,
            beginning.lobes,
            beginning.probability,
            ct.spacing_mm,
            label=label,
            threshold=beginning.threshold,
            propagation=Propagation(reach_mm=reachMm),
        )

    @property
    def base(self) -> np.ndarray:
        """uint8 (z, y, x): the segment when it was last refined, or at the beginning."""
        return self._base

    def see(self, label: np.ndarray) -> bool:
        """Look at the segment after a change.

        Returns:
            Whether there are strokes that were not refined yet and are new, not come back by undo or redo.
        """
        checksum = _checksum(label)
        if self._done and checksum == self._done[-1].before:
            refinement = self._done.pop()
            self._undone.append(refinement)
            for _count in range(refinement.strokes):
                self._session.undo()
            self._base = _unpacked(refinement.base, label.shape)
            return False
        if self._undone and checksum == self._undone[-1].after:
            refinement = self._undone.pop()
            self._done.append(refinement)
            for _count in range(refinement.strokes):
                self._session.redo()
            self._base = label.copy()
            return False
        return self.hasStrokes(label)

    def hasStrokes(self, label: np.ndarray) -> bool:
        """Whether the segment is another than at the last refinement."""
        return not np.array_equal(label, self._base)

    def refine(self, label: np.ndarray) -> np.ndarray:
        """Let the segment follow from the strokes since the last refinement.

        Args:
            label: uint8 (z, y, x): the segment now.

        Returns:
            uint8: what it should be; call :meth:`refined` when it is.
        """
        wanted = label.copy()
        painted = ((LESION, label > self._base), (NOT_LESION, label < self._base))
        strokes = [(value, mask) for value, mask in painted if mask.any()]
        for value, mask in strokes:
            box, found = self._session.paint(mask, value)
            wanted[box] = found
        before = _checksum(label)
        self._pending = Refinement(before, before, len(strokes), np.packbits(self._base))
        return wanted

    def refined(self, label: np.ndarray) -> None:
        """Take what the segment became: the editor's masks may have kept some voxels as they were."""
        pending, self._pending = self._pending, None
        if pending is None:
            return
        self._done.append(Refinement(pending.before, _checksum(label), pending.strokes, pending.base))
        del self._done[:-REMEMBERED]
        self._undone.clear()
        self._base = label.copy()


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


def _checksum(label: np.ndarray) -> int:
    return zlib.crc32(np.packbits(label).tobytes())


def _unpacked(bits: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    return np.unpackbits(bits, count=int(np.prod(shape))).reshape(shape)
