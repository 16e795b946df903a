"""Findings to MRML nodes, and ``scene.mrb`` with its pictures.

:func:`add_findings` works in a running Slicer and in a headless scene alike. :func:`write_scene_folder` needs
slicer-core (Slicer's C++ core from PyPI) and works in a process of its own: native code that crashes there can't take the
other results with it.
"""

from __future__ import annotations

import re
from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from DRAMLesionLib.results.colors import map_colors
from DRAMLesionLib.results.scene.mrml import (
    APPROXIMATE_ATTRIBUTE,
    fill_volume_node,
    filling_volume_node,
    set_segments,
)
from DRAMLesionLib.results.scene.table import PERCENT_COLUMN, REGION_COLUMN, fill_table
from DRAMLesionLib.results.segments import LESION, LOBE_SEGMENTS, SURFACE_PARAMETERS, lobes_title

if TYPE_CHECKING:
    from DRAMLesionLib.images.volume import Volume
    from DRAMLesionLib.lesions.findings import Findings

ROLE_ATTRIBUTE = "DRAMLesion.Role"
"""What a node is among the results: ``ct``, ``heatmap``, ``colors``, ``lesion``, ``lobes``, ``table`` and so on."""
NAME_ATTRIBUTE = "DRAMLesion.Name"
"""The name that a result node was given here. A node with another one was renamed by somebody, and keeps that name."""
CT_REFERENCE = "DRAMLesion.CT"
"""The role under which every result node refers to its CT: a rerun replaces the results of the same CT alone."""

LUNG_WINDOW = (1500.0, -600.0)
"""Window width and level in HU."""
HEATMAP_THRESHOLD = 0.1
"""Fractions below this are not shown."""
HEATMAP_OPACITY = 0.5
"""Of the heatmap over the CT in slice views."""
LOBES_OPACITY = 0.22
"""Of the lobes' surfaces, so that the lesion inside is seen."""


@dataclass(frozen=True)
class FindingsNodes:
    """The MRML nodes of one CT's findings.

    Attributes:
        ct: vtkMRMLScalarVolumeNode.
        heatmap: vtkMRMLScalarVolumeNode, 0..1.
        colors: vtkMRMLColorTableNode of the heatmap.
        lesion: vtkMRMLSegmentationNode with the segment ``lesion``.
        lobes: vtkMRMLSegmentationNode with the segments ``LUL``, ``LLL``, ``RUL``, ``RML``, ``RLL``.
        table: vtkMRMLTableNode: a row per lobe, lung, and for both lungs.
        chart: vtkMRMLPlotChartNode: percent per lobe.
        folder: The results' folder in the subject hierarchy.
    """

    ct: Any
    heatmap: Any
    colors: Any
    lesion: Any
    lobes: Any
    table: Any
    chart: Any
    folder: int


def add_findings(scene: Any, findings: Findings, ct_node: Any = None) -> FindingsNodes:
    """Show findings as MRML nodes; those of an earlier run on the same CT are filled anew, all others stay untouched.

    Args:
        scene: vtkMRMLScene.
        findings: The results.
        ct_node: The CT's node where the scene has it; else the one that an earlier run made, else a new one.

    Returns:
        The nodes.
    """
    steps = adding_findings(scene, findings, ct_node)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def adding_findings(
    scene: Any, findings: Findings, ct_node: Any = None
) -> Generator[str, None, FindingsNodes]:
    """The same in steps, between which a window can live.

    Yields:
        What is in the scene now: ``lesion``, ``heatmap``, ``lobes``.

    Returns:
        The nodes.
    """
    ct = ct_node or _ct_node(scene, findings.ct)
    lesion = _lesion_node(scene, findings, ct)
    yield "lesion"
    colors = _heatmap_colors(scene, ct)
    heatmap = yield from _filling_heatmap_node(scene, findings, ct, colors)
    yield "heatmap"
    lobes = _lobes_node(scene, findings, ct)
    yield "lobes"
    table = _table_node(scene, findings, ct)
    series, chart = _chart_nodes(scene, findings, ct, table)
    folder = _file_away(scene, ct, [heatmap, lesion, lobes, table, series, chart])
    return FindingsNodes(ct, heatmap, colors, lesion, lobes, table, chart, folder)


def _result_node(scene: Any, class_name: str, role: str, ct: Any, name: str) -> tuple[Any, bool]:
    """The node of that role for this CT, and whether it is new.

    Its name begins with the CT's, and is no other node's; on a rerun a name that somebody gave it stays.
    """
    for number in range(scene.GetNumberOfNodesByClass(class_name)):
        node = scene.GetNthNodeByClass(number, class_name)
        if node.GetAttribute(ROLE_ATTRIBUTE) == role and node.GetNodeReferenceID(CT_REFERENCE) == ct.GetID():
            _rename(node, name)
            return node, False
    node = scene.AddNewNodeByClass(class_name, name)  # which makes the name unique
    node.SetAttribute(NAME_ATTRIBUTE, node.GetName())
    node.SetAttribute(ROLE_ATTRIBUTE, role)
    node.SetNodeReferenceID(CT_REFERENCE, ct.GetID())
    return node, True


def _rename(node: Any, name: str) -> None:
    """Give a result node the name that a rerun has for it (lobes may have become exact), unless somebody renamed it."""
    given = node.GetAttribute(NAME_ATTRIBUTE) or node.GetName()
    if node.GetName() != given or re.fullmatch(re.escape(name) + r"(_\d+)?", given):
        return
    node.SetName(node.GetScene().GetUniqueNameByString(name))
    node.SetAttribute(NAME_ATTRIBUTE, node.GetName())


def _ct_node(scene: Any, ct: Volume) -> Any:
    for number in range(scene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode")):
        node = scene.GetNthNodeByClass(number, "vtkMRMLScalarVolumeNode")
        if node.GetAttribute(ROLE_ATTRIBUTE) == "ct" and node.GetName() == ct.name:
            fill_volume_node(node, ct.array, ct)
            return node
    node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", ct.name)
    node.SetAttribute(ROLE_ATTRIBUTE, "ct")
    fill_volume_node(node, ct.array, ct)
    node.CreateDefaultDisplayNodes()
    display = node.GetDisplayNode()
    display.SetAndObserveColorNodeID("vtkMRMLColorTableNodeGrey")
    display.AutoWindowLevelOff()
    display.SetWindowLevel(*LUNG_WINDOW)
    return node


def _heatmap_colors(scene: Any, ct: Any) -> Any:
    node, new = _result_node(scene, "vtkMRMLColorTableNode", "colors", ct, "Lesion map colors")
    if not new:
        return node
    steps = np.linspace(0.0, 1.0, 256)
    table = map_colors(steps)
    storage = scene.AddNewNodeByClass("vtkMRMLColorTableStorageNode")
    # Slicer 5.10 does not know the newer default, a table of comma-separated values.
    storage.SetDefaultWriteFileExtension("ctbl")
    node.SetAndObserveStorageNodeID(storage.GetID())
    node.SetTypeToUser()
    node.SetNumberOfColors(len(table))
    node.SetHideFromEditors(False)
    for index, (red, green, blue) in enumerate(table):
        node.SetColor(index, f"{steps[index]:.3f}", float(red), float(green), float(blue), 1.0)
    return node


def _filling_heatmap_node(scene: Any, findings: Findings, ct: Any, colors: Any) -> Generator[str, None, Any]:
    name = f"{findings.ct.name} lesion map"
    node, new = _result_node(scene, "vtkMRMLScalarVolumeNode", "heatmap", ct, name)
    shown = not new and node.GetDisplayNode() is not None
    if not shown:
        display = show_fractions(node)
        display.SetAndObserveColorNodeID(colors.GetID())
        display.AutoThresholdOff()
        display.SetThreshold(HEATMAP_THRESHOLD, 1.0)
        display.ApplyThresholdOn()
    yield from filling_volume_node(node, findings.map.astype(np.float32, copy=False), findings.ct)
    if not shown:
        _add_legend(node)
    return node


def show_fractions(node: Any) -> Any:
    """Give a volume node that is still empty a display of 0 to 1: of a full one a histogram would be counted first.

    Returns:
        The display node.
    """
    node.CreateDefaultDisplayNodes()
    display = node.GetDisplayNode()
    display.AutoWindowLevelOff()
    display.SetWindowLevel(1.0, 0.5)
    return display


def _add_legend(heatmap: Any) -> None:
    import slicer

    legend = slicer.vtkSlicerColorLogic.AddDefaultColorLegendDisplayNode(heatmap)
    legend.SetTitleText("Lesion map")
    legend.SetLabelFormat("%.1f")
    legend.SetNumberOfLabels(6)
    legend.SetSize(0.09, 0.4)
    legend.SetPosition(0.99, 0.5)
    legend.SetVisibility3D(False)
    for text in (legend.GetTitleTextProperty(), legend.GetLabelTextProperty()):
        text.SetFontFamilyToArial()
        text.SetFontSize(15)
        text.SetShadow(True)


def _segmentation_node(scene: Any, role: str, ct: Any, name: str) -> tuple[Any, bool]:
    node, new = _result_node(scene, "vtkMRMLSegmentationNode", role, ct, name)
    if new:
        segmentation = node.GetSegmentation()
        for name_of, value in SURFACE_PARAMETERS.items():
            segmentation.SetConversionParameter(name_of, value)
    node.CreateDefaultDisplayNodes()
    node.SetReferenceImageGeometryParameterFromVolumeNode(ct)
    return node, new


def _lesion_node(scene: Any, findings: Findings, ct: Any) -> Any:
    node, new = _segmentation_node(scene, "lesion", ct, f"{findings.ct.name} lesion")
    mask = findings.lesion
    if mask.dtype != np.uint8 or mask.max() > 1:
        mask = (mask != 0).view(np.uint8)
    set_segments(node, mask, findings.ct, [LESION])
    if new:
        display = node.GetDisplayNode()
        display.SetVisibility2DFill(False)
        display.SetVisibility2DOutline(True)
        display.SetSliceIntersectionThickness(2)
        display.SetOpacity3D(1.0)
    return node


def _lobes_node(scene: Any, findings: Findings, ct: Any) -> Any:
    title = lobes_title(findings.lobes)
    node, new = _segmentation_node(scene, "lobes", ct, f"{findings.ct.name} {title}")
    node.SetAttribute(APPROXIMATE_ATTRIBUTE, "1" if findings.lobes.approximate else "0")
    set_segments(node, findings.lobes.labels, findings.ct, LOBE_SEGMENTS)
    if new:
        display = node.GetDisplayNode()
        display.SetVisibility2DFill(False)
        display.SetVisibility2DOutline(False)
        display.SetOpacity3D(LOBES_OPACITY)
    return node


def _table_node(scene: Any, findings: Findings, ct: Any) -> Any:
    name = f"{findings.ct.name} lesion per lobe"
    node, _ = _result_node(scene, "vtkMRMLTableNode", "table", ct, name)
    fill_table(node, findings.quantification.regions)
    return node


def _chart_nodes(scene: Any, findings: Findings, ct: Any, table: Any) -> tuple[Any, Any]:
    name = f"{findings.ct.name} percent per lobe"
    series, _ = _result_node(scene, "vtkMRMLPlotSeriesNode", "series", ct, name)
    series.SetPlotType(series.PlotTypeBar)
    series.SetAndObserveTableNodeID(table.GetID())
    series.SetLabelColumnName(REGION_COLUMN)
    series.SetYColumnName(PERCENT_COLUMN)
    series.SetColor(*LESION.rgb)
    chart, new = _result_node(scene, "vtkMRMLPlotChartNode", "chart", ct, f"{name} chart")
    if new:
        chart.AddAndObservePlotSeriesNodeID(series.GetID())
    chart.SetTitle(f"{findings.ct.name}: lesion per lobe")
    chart.SetYAxisTitle("percent of the region")
    chart.SetXAxisTitle("")
    chart.SetLegendVisibility(False)
    return series, chart


_PLUGINS = {
    "vtkMRMLScalarVolumeNode": "Volumes",
    "vtkMRMLSegmentationNode": "Segmentations",
    "vtkMRMLTableNode": "Tables",
    "vtkMRMLPlotSeriesNode": "Plots",
    "vtkMRMLPlotChartNode": "Charts",
}


def _file_away(scene: Any, ct: Any, results: list[Any]) -> int:
    """Put the results into a folder beside the CT; returns the folder's item."""
    import slicer

    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    ct_item = hierarchy.GetItemByDataNode(ct)
    if not ct_item:
        # Items appear by themselves only in the application.
        ct_item = hierarchy.CreateItem(hierarchy.GetSceneItemID(), ct, _PLUGINS[ct.GetClassName()])
    parent = hierarchy.GetItemParent(ct_item)
    title = f"{ct.GetName()} DRAMLesion"
    known = [
        hierarchy.GetItemParent(hierarchy.GetItemByDataNode(n)) for n in results if _has_item(hierarchy, n)
    ]
    folder = next((item for item in known if hierarchy.GetItemName(item) == title), 0)
    folder = folder or hierarchy.GetItemChildWithName(parent, title)
    if not folder:
        folder = hierarchy.CreateFolderItem(parent, title)
        hierarchy.SetItemOwnerPluginName(folder, "Folder")
    for node in results:
        if _has_item(hierarchy, node):
            hierarchy.SetItemParent(hierarchy.GetItemByDataNode(node), folder)
        else:
            hierarchy.CreateItem(folder, node, _PLUGINS[node.GetClassName()])
    return folder


def _has_item(hierarchy: Any, node: Any) -> bool:
    return bool(hierarchy.GetItemByDataNode(node))
