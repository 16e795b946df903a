"""The results of a CT in the scene: find them, fill them, show them.

Which nodes belong to which CT is written on the nodes themselves, so a reopened scene needs nothing else.
"""

import json
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import slicer

from DRAMLesionLib.correction.segment.saved_strokes import READING_ATTRIBUTE, STROKES_ATTRIBUTE
from DRAMLesionLib.images.volume import Volume
from DRAMLesionLib.lesions.findings import Findings
from DRAMLesionLib.lesions.quantify import RunningQuantification
from DRAMLesionLib.results.lesion_list import LesionList, known_lesions
from DRAMLesionLib.results.scene import mrml
from DRAMLesionLib.results.scene import nodes as scene
from DRAMLesionLib.results.scene.steps import Steps, finish
from DRAMLesionLib.results.scene.surfaces import drop_surfaces, making_surfaces
from DRAMLesionLib.results.segments import LESION
from DRAMLesionLib.system.errors import InputError

LESIONS_ATTRIBUTE = "DRAMLesion.Lesions"
"""Of the lesion segmentation: the list of its lesions as JSON; nothing where the lesion was changed since it was made."""

RECORD_ATTRIBUTE = "DRAMLesion.Record"
"""Of the lesion segmentation: model, settings, versions and times as JSON."""

UNTOUCHED_ATTRIBUTE = "DRAMLesion.Untouched"
"""Of the lesion segmentation: checksum of the lesion as a run made it, where no edits are in it."""

REFINED, PROBABILITY = "refined", "probability"
"""The roles of the nodes of the refined map and of the final network's probability."""

DEFAULT_THRESHOLD = 0.5

_CLASSES = {
    "heatmap": "vtkMRMLScalarVolumeNode",
    "lesion": "vtkMRMLSegmentationNode",
    "lobes": "vtkMRMLSegmentationNode",
    "table": "vtkMRMLTableNode",
    "chart": "vtkMRMLPlotChartNode",
}


@dataclass(frozen=True)
class Results:
    """The nodes of one CT's results."""

    ctNode: Any
    heatmapNode: Any
    lesionSegmentationNode: Any
    lobesSegmentationNode: Any
    tableNode: Any
    chartNode: Any
    refinedNode: Any = None
    """The lesion map after the CRF; None where the CRF did not run, or the final network made the lesion."""
    probabilityNode: Any = None
    """The final network's probability; None where it did not make the lesion."""

    @property
    def record(self) -> dict[str, Any]:
        """Model, settings, versions and times of the run that made them."""
        return json.loads(self.lesionSegmentationNode.GetAttribute(RECORD_ATTRIBUTE) or "{}")

    @property
    def cutNode(self) -> Any:
        """The map that the lesion was cut from."""
        return self.probabilityNode or self.refinedNode or self.heatmapNode


def thresholdOf(record: dict[str, Any]) -> float:
    """Where a run cut the map that its lesion comes from."""
    settings = record.get("settings", {})
    return float({**settings, **settings.get("segmentation", {})}.get("threshold", DEFAULT_THRESHOLD))


def findResults(ctNode: Any) -> Results | None:
    """The results of a CT, or None where some are missing."""
    if ctNode is None:
        return None
    found = {role: _find(ctNode, role, kind) for role, kind in _CLASSES.items()}
    if None in found.values():
        return None
    maps = [_find(ctNode, role, "vtkMRMLScalarVolumeNode") for role in (REFINED, PROBABILITY)]
    return Results(
        ctNode, found["heatmap"], found["lesion"], found["lobes"], found["table"], found["chart"], *maps
    )


def _find(ctNode: Any, role: str, kind: str) -> Any:
    for node in slicer.util.getNodesByClass(kind):
        same = node.GetNodeReferenceID(scene.CT_REFERENCE) == ctNode.GetID()
        if same and node.GetAttribute(scene.ROLE_ATTRIBUTE) == role:
            return node
    return None


def addingResults(findings: Findings, ctNode: Any, edited: bool = False) -> Steps[Results]:
    """Put findings into the scene beside their CT; those of an earlier run are replaced, nothing else is touched.

    Args:
        findings: What a run found.
        ctNode: The CT.
        edited: Whether the user's edits are in the lesion.
    """
    nodes = yield from scene.adding_findings(slicer.mrmlScene, findings, ctNode)
    nodes.lesion.SetAttribute(RECORD_ATTRIBUTE, json.dumps(findings.record))
    checksum = None if edited else str(_checksum(findings.lesion))
    nodes.lesion.SetAttribute(UNTOUCHED_ATTRIBUTE, checksum)
    lesions = known_lesions(findings)
    words = None if lesions is None else json.dumps(lesions.to_dict())
    nodes.lesion.SetAttribute(LESIONS_ATTRIBUTE, words)
    nodes.lesion.SetAttribute(READING_ATTRIBUTE, None)  # a reader's numbers were of the earlier run's map
    yield "table"
    # One map is enough to go on from, and each is as large as the CT.
    refined = findings.refined if findings.probability is None else None
    maps = []
    for values, role, title in (
        (refined, REFINED, "refined lesion map"),
        (findings.probability, PROBABILITY, "lesion probability"),
    ):
        maps.append((yield from _fillingMap(values, findings, ctNode, nodes.folder, role, title)))
    return Results(nodes.ct, nodes.heatmap, nodes.lesion, nodes.lobes, nodes.table, nodes.chart, *maps)


def addResults(findings: Findings, ctNode: Any) -> Results:
    """The same at once."""
    return finish(addingResults(findings, ctNode))


def readLesions(results: Results) -> LesionList | None:
    """The list of the lesions as they are now; None where it was not made, or no longer holds."""
    text = results.lesionSegmentationNode.GetAttribute(LESIONS_ATTRIBUTE)
    try:
        return LesionList.from_dict(json.loads(text)) if text else None
    except (ValueError, InputError):
        return None


def writeLesions(results: Results, lesions: LesionList | None) -> None:
    """Keep the list of the lesions; None: the lesion was changed, and the list holds no longer."""
    words = None if lesions is None else json.dumps(lesions.to_dict())
    results.lesionSegmentationNode.SetAttribute(LESIONS_ATTRIBUTE, words)


def isUntouched(results: Results, ct: Volume) -> bool:
    """Whether the lesion is surely as a run made it: nothing was painted, in whatever module.

    Args:
        results: The nodes.
        ct: Their CT.
    """
    node = results.lesionSegmentationNode
    made = node.GetAttribute(UNTOUCHED_ATTRIBUTE)
    if made is None or node.GetAttribute(STROKES_ATTRIBUTE) or node.GetAttribute(READING_ATTRIBUTE):
        return False
    return str(_checksum(mrml.segment_array(node, LESION.id, ct))) == made


def _checksum(label: np.ndarray) -> int:
    checksum = 0
    for first in range(0, len(label), 8):  # whole bytes, whatever a slice's size
        checksum = zlib.crc32(np.packbits(label[first : first + 8] != 0).tobytes(), checksum)
    return checksum


def _fillingMap(
    values: np.ndarray | None, findings: Findings, ctNode: Any, folder: int, role: str, title: str
) -> Steps[Any]:
    """Keep a map with the other results: corrections go on from it, in a reopened scene, too."""
    node = _find(ctNode, role, "vtkMRMLScalarVolumeNode")
    if values is None:
        if node is not None:
            slicer.mrmlScene.RemoveNode(node)
        return None
    if node is None:
        name = f"{findings.ct.name} {title}"
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
        node.SetAttribute(scene.ROLE_ATTRIBUTE, role)
        node.SetNodeReferenceID(scene.CT_REFERENCE, ctNode.GetID())
        scene.show_fractions(node)
        hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
        item = hierarchy.GetItemByDataNode(node)
        if item:
            hierarchy.SetItemParent(item, folder)
        else:
            hierarchy.CreateItem(folder, node, "Volumes")
    yield from mrml.filling_volume_node(node, values, findings.ct)
    return node


def readingFindings(results: Results) -> Steps[Findings]:
    """Read the library's findings from the nodes as they are now, with the user's edits.

    Raises:
        InputError: The nodes no longer fit each other.
    """
    ct = mrml.volume_from_node(results.ctNode)
    yield "CT"
    lobes = mrml.lobes_from_segmentation(results.lobesSegmentationNode, ct, allow_missing=True)
    yield "lobes"
    dram = mrml.volume_from_node(results.heatmapNode).array
    if dram.shape != ct.array.shape:
        raise InputError(f"{results.heatmapNode.GetName()}: is not on the CT's grid: segment the CT again")
    yield "heatmap"
    maps = (_arrayOf(results.refinedNode), _arrayOf(results.probabilityNode))
    yield "maps"
    lesion = mrml.segment_array(results.lesionSegmentationNode, LESION.id, ct)
    yield "lesion"
    measured = RunningQuantification(ct.array, lobes, lesion, ct.spacing_mm, dram)
    for _part in measured.counting():
        yield "table"
    return Findings(ct, lobes, dram, lesion, measured.table, results.record, *maps)


def findingsOf(results: Results) -> Findings:
    """The same at once."""
    return finish(readingFindings(results))


def _arrayOf(node: Any) -> np.ndarray | None:
    return mrml.volume_from_node(node).array if node else None


def showInSlices(results: Results, opacity: float, fit: bool = False) -> None:
    """Show the lesion map over the CT in all slice views."""
    slicer.util.setSliceViewerLayers(
        background=results.ctNode, foreground=results.heatmapNode, foregroundOpacity=opacity, fit=fit
    )


def setHeatmapOpacity(results: Results, opacity: float) -> None:
    """Change the opacity in the slice views that show this lesion map."""
    for composite in slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode"):
        if composite.GetForegroundVolumeID() == results.heatmapNode.GetID():
            composite.SetForegroundOpacity(opacity)


def setHeatmapThreshold(results: Results, threshold: float) -> None:
    """Hide the lesion map's values below the threshold."""
    display = results.heatmapNode.GetDisplayNode()
    display.AutoThresholdOff()
    display.SetThreshold(threshold, 1.0)
    display.ApplyThresholdOn()


def makingSurfaces(results: Results, lesion: bool = True) -> Steps[None]:
    """Make the surfaces of lobes (and lesion) for the 3-D views, where they are missing."""
    yield from making_surfaces(
        [results.lobesSegmentationNode, *([results.lesionSegmentationNode] if lesion else [])]
    )


def hideSurfaces(results: Results, lobes: bool = True) -> None:
    """Drop the surfaces: while a segment is painted its surface would be made again after each stroke."""
    drop_surfaces(results.lesionSegmentationNode)
    if lobes:
        drop_surfaces(results.lobesSegmentationNode)
