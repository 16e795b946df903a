"""Slicer's scene without the application: starts slicer-core, fills a scene, sets its views up and saves it."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from DRAMLesionLib.lesions.findings import Findings
from DRAMLesionLib.results.scene.available import SceneUnavailable, is_available
from DRAMLesionLib.results.scene.bundle import write_bundle
from DRAMLesionLib.results.scene.nodes import HEATMAP_OPACITY, FindingsNodes, add_findings
from DRAMLesionLib.results.scene.steps import finish
from DRAMLesionLib.results.scene.surfaces import making_surfaces_to_look_at
from DRAMLesionLib.system.files import STAGING_PREFIX, atomic_file
from DRAMLesionLib.system.optional import install_command
from DRAMLesionLib.system.progress import Progress, silent

if TYPE_CHECKING:
    from DRAMLesionLib.lesions.findings import Findings

SLICE_VIEWS = {"Red": "Axial", "Yellow": "Sagittal", "Green": "Coronal"}


@dataclass(frozen=True)
class Application:
    """A scene and the logic that an application would have around it.

    Attributes:
        scene: vtkMRMLScene.
        logic: vtkSlicerApplicationLogic.
        slice_logics: By view name, ``Red``, ``Yellow``, ``Green``: vtkMRMLSliceLogic.
        view: vtkMRMLViewNode of the 3-D view.
        modules: Logics that must live as long as the scene.
    """

    scene: Any
    logic: Any
    slice_logics: dict[str, Any]
    view: Any
    modules: tuple[Any, ...]


@dataclass(frozen=True)
class OpenScene:
    """A headless scene that shows findings."""

    application: Application
    nodes: FindingsNodes
    findings: Findings


@contextlib.contextmanager
def start() -> Iterator[Application]:
    """An empty scene with the views of Slicer's usual layout; its temporary files go when the block ends.

    Raises:
        SceneUnavailable: slicer-core is not installed, or another package took its import name.
    """
    if not is_available():
        raise SceneUnavailable(f"slicer-core is not installed: {install_command('slicer-core')}")
    try:
        import slicer

        scene = slicer.vtkMRMLScene()
    except (ImportError, AttributeError) as error:
        raise SceneUnavailable(f"slicer-core can't be loaded ({error}): install it again") from error
    with tempfile.TemporaryDirectory(prefix="dramlesion-scene-") as home:
        application = _application(scene, Path(home))
        try:
            yield application
        finally:
            scene.Clear(True)


def _application(scene: Any, home: Path) -> Application:
    import slicer
    from vtkmodules.vtkCommonCore import vtkCollection

    # Without it the colour logic warns that its folder is missing.
    (home / "share" / "ColorFiles").mkdir(parents=True)
    logic = slicer.vtkSlicerApplicationLogic()
    logic.SetTemporaryPath(str(home))
    logic.SetMRMLScene(scene)
    logic.SetHomeDirectory(str(home))
    logic.SetShareDirectory("share")
    logic.SetSliceLogics(vtkCollection())
    logic.SetViewLogics(vtkCollection())
    colors = slicer.vtkSlicerColorLogic()
    colors.SetMRMLApplicationLogic(logic)
    colors.SetMRMLScene(scene)
    logic.SetColorLogic(colors)
    modules = [colors]
    for name in ("Volumes", "SegmentationsModule", "SubjectHierarchyModule", "Tables", "Plots"):
        module = getattr(slicer, f"vtkSlicer{name}Logic")()
        module.SetMRMLApplicationLogic(logic)
        module.SetMRMLScene(scene)
        logic.SetModuleLogic(name.removesuffix("Module"), module)
        modules.append(module)
    _data_manager(scene, logic, home)
    slicer.vtkMRMLSliceNode.AddDefaultSliceOrientationPresets(scene, True)
    slices = {name: slice_view(scene, logic, name, orientation) for name, orientation in SLICE_VIEWS.items()}
    view, view_node = _three_d_view(scene, logic)
    return Application(scene, logic, slices, view_node, (*modules, view))


def _data_manager(scene: Any, logic: Any, home: Path) -> None:
    """Reading a bundle needs a cache folder."""
    import slicer

    cache = slicer.vtkCacheManager()
    cache.SetRemoteCacheDirectory(str(home / "cache"))
    manager = slicer.vtkDataIOManager()
    manager.SetCacheManager(cache)
    scene.SetDataIOManager(manager)


def slice_view(scene: Any, logic: Any, name: str, orientation: str) -> Any:
    """Add a slice view's nodes to a scene.

    Args:
        scene: vtkMRMLScene.
        logic: vtkSlicerApplicationLogic.
        name: ``Red``, ``Yellow`` or ``Green``.
        orientation: ``Axial``, ``Sagittal`` or ``Coronal``.

    Returns:
        vtkMRMLSliceLogic, which must live as long as the view.
    """
    import slicer

    view = slicer.vtkMRMLSliceLogic()
    view.SetMRMLApplicationLogic(logic)
    if logic.GetSliceLogics() is not None:  # an application without windows has none
        logic.GetSliceLogics().AddItem(view)
    view.SetMRMLScene(scene)
    node = view.AddSliceNode(name)
    node.SetMappedInLayout(1)
    node.SetOrientation(orientation)
    # The layout gives these in the application; without them the view's bar would be grey there.
    node.SetLayoutLabel(name[0])
    node.SetLayoutColor(*getattr(node, f"Get{name}Color")())
    return view


def _three_d_view(scene: Any, logic: Any) -> tuple[Any, Any]:
    """The view's logic and node."""
    import slicer

    view = slicer.vtkMRMLViewLogic()
    view.SetMRMLApplicationLogic(logic)
    logic.GetViewLogics().AddItem(view)
    view.SetMRMLScene(scene)
    node = view.AddViewNode("1")
    node.SetMappedInLayout(1)
    node.SetBoxVisible(False)
    node.SetAxisLabelsVisible(False)
    node.SetBackgroundColor(0.08, 0.08, 0.12)
    node.SetBackgroundColor2(0.25, 0.27, 0.35)
    node.SetOrientationMarkerType(node.OrientationMarkerTypeCube)
    node.SetUseDepthPeeling(1)
    return view, node


@contextlib.contextmanager
def open_scene(findings: Findings, progress: Progress = silent) -> Iterator[OpenScene]:
    """A headless scene that shows ``findings`` in slice views and as surfaces."""
    with start() as application:
        progress("Scene: nodes", 0.0)
        nodes = add_findings(application.scene, findings)
        progress("Scene: surfaces", 0.3)
        finish(making_surfaces_to_look_at(nodes))
        show_in_views(application, nodes, findings)
        yield OpenScene(application, nodes, findings)


def show_in_views(application: Application, nodes: FindingsNodes, findings: Findings) -> None:
    """CT behind, heatmap before it, at the slices with the most lesion; table and layout chosen."""
    center = _point_to_show(findings)
    for view in application.slice_logics.values():
        composite = view.GetSliceCompositeNode()
        composite.SetBackgroundVolumeID(nodes.ct.GetID())
        composite.SetForegroundVolumeID(nodes.heatmap.GetID())
        composite.SetForegroundOpacity(HEATMAP_OPACITY)
        composite.SetLinkedControl(1)
        view.FitSliceToBackground()
        view.GetSliceNode().JumpSliceByCentering(*center)
        view.FitSliceToBackground()
        view.GetSliceNode().JumpSliceByOffsetting(*center)
    selection = application.logic.GetSelectionNode()
    selection.SetActiveVolumeID(nodes.ct.GetID())
    selection.SetSecondaryVolumeID(nodes.heatmap.GetID())
    selection.SetActiveTableID(nodes.table.GetID())
    selection.SetActivePlotChartID(nodes.chart.GetID())
    _set_camera(application, findings)
    layout = application.scene.AddNewNodeByClass("vtkMRMLLayoutNode")
    # The application knows what its layouts look like; here the node wants to hear of one before it takes its number.
    layout.AddLayoutDescription(layout.SlicerLayoutFourUpView, "<layout/>")
    layout.SetViewArrangement(layout.SlicerLayoutFourUpView)


def _set_camera(application: Application, findings: Findings) -> None:
    """Look at the lobes from the front, as near as the whole CT's box allows."""
    camera = application.scene.AddNewNodeByClass("vtkMRMLCameraNode", "Camera")
    camera.SetLayoutName(application.view.GetLayoutName())
    low, high = _box_to_show(findings)
    center = (low + high) / 2
    width, depth, height = high - low
    half = np.radians(camera.GetViewAngle()) / 2
    distance = depth / 2 + max(height, width * 0.8) / 2 / np.tan(half) * 1.1
    camera.SetFocalPoint(*center)
    camera.SetPosition(center[0], center[1] + distance, center[2])
    camera.SetViewUp(0, 0, 1)
    camera.GetCamera().SetClippingRange(max(1.0, distance - 2 * depth), distance + 2 * depth)


def _box_to_show(findings: Findings) -> tuple[np.ndarray, np.ndarray]:
    """The corners of the lobes' box (of the CT's where there are none) in mm, RAS (x, y, z)."""
    labels = findings.lobes.labels
    ends = []
    for axis in (2, 1, 0):
        where = np.flatnonzero(labels.any(axis=tuple(other for other in range(3) if other != axis)))
        ends.append((where[0], where[-1]) if where.size else (0, labels.shape[axis] - 1))
    matrix = np.diag([-1.0, -1.0, 1.0, 1.0]) @ findings.ct.geometry.canonical().matrix
    corners = np.array([[x, y, z, 1.0] for x in ends[0] for y in ends[1] for z in ends[2]])
    points = (matrix @ corners.T)[:3]
    return points.min(axis=1), points.max(axis=1)


def _point_to_show(findings: Findings) -> tuple[float, float, float]:
    """In mm, RAS: where the planes with the most lesion (or lung, or the middle planes) cross."""
    index = []
    for axis in range(3):
        others = tuple(other for other in range(3) if other != axis)
        counts = np.count_nonzero(findings.lesion, axis=others)
        if not counts.any():
            counts = np.count_nonzero(findings.lobes.labels, axis=others)
        index.append(int(counts.argmax()) if counts.any() else counts.size // 2)
    x, y, z, _ = findings.ct.geometry.canonical().matrix @ [*index[::-1], 1.0]
    return -float(x), -float(y), float(z)


def save(opened: OpenScene, path: str | Path) -> None:
    """Write the scene as a bundle, whole or not at all.

    Raises:
        SceneUnavailable: Slicer's writer failed.
        OSError: The file can't be put there.
    """
    path, volumes = Path(path), (opened.nodes.ct, opened.nodes.heatmap)
    for node in volumes:
        # What a bundle is saved with again: a CT's noise hardly packs, the usual level takes much longer for little.
        if node.AddDefaultStorageNode():
            node.GetStorageNode().SetCompressionParameter("gzip_fastest")
    # The bundle takes the name of its folder inside from the file's: it is written under its own name, then moved.
    with (
        atomic_file(path) as temporary,
        tempfile.TemporaryDirectory(dir=path.parent, prefix=STAGING_PREFIX) as name,
    ):
        write_bundle(opened.application.scene, volumes, Path(name), path.name).replace(temporary)


def write_scene(findings: Findings, path: str | Path, progress: Progress = silent) -> None:
    """Write a scene that is ready to open in Slicer, in this process, whole or not at all.

    Args:
        findings: The results.
        path: The file to make or replace; its name ends in ``.mrb``.
        progress: Called as the work goes on.

    Raises:
        SceneUnavailable: slicer-core is not installed or could not write the scene.
    """
    with open_scene(findings, progress) as opened:
        save(opened, path)
