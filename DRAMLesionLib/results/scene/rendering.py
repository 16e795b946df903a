"""Pictures of a scene, without a display: slice views and the surfaces, drawn by Slicer's own displayable managers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from DRAMLesionLib.results.scene.available import PICTURES, SceneUnavailable

if TYPE_CHECKING:
    from DRAMLesionLib.results.scene.headless import Application, OpenScene

SIZE = (900, 720)
"""Pixels, width and height."""

PEELS = 4
"""Translucent layers that are drawn; each takes a second in software, and deeper ones are hardly seen."""

LEGEND_FORMAT = "%.1f"
LEGEND_WIDTH = 0.11
"""The part of a slice view's width at its right end that the legend has for itself; as much stays free at the left."""

_SLICE_MANAGERS = (
    "vtkMRMLModelSliceDisplayableManager",
    "vtkMRMLSegmentationsDisplayableManager2D",
    "vtkMRMLOrientationMarkerDisplayableManager",
    "vtkMRMLRulerDisplayableManager",
)
_THREE_D_MANAGERS = (
    "vtkMRMLCameraDisplayableManager",
    "vtkMRMLViewDisplayableManager",
    "vtkMRMLModelDisplayableManager",
    "vtkMRMLSegmentationsDisplayableManager3D",
    "vtkMRMLOrientationMarkerDisplayableManager",
)


def render_scene(opened: OpenScene, folder: str | Path) -> list[Path]:
    """Draw an axial and a coronal slice view and the surfaces of an open scene.

    Args:
        opened: From :func:`~DRAMLesionLib.results.scene.headless.open_scene`.
        folder: Where to put the pictures; it exists.

    Returns:
        ``view_axial.png``, ``view_coronal.png``, ``view_3d.png``.

    Raises:
        SceneUnavailable: There is no rendering here. (A missing graphics library may also crash the process: see
            :mod:`~DRAMLesionLib.results.scene.process`.)
    """
    paths = [Path(folder) / name for name in PICTURES]
    application = opened.application
    render_slice(application, application.slice_logics["Red"], opened.nodes.heatmap, paths[0])
    render_slice(application, application.slice_logics["Green"], opened.nodes.heatmap, paths[1])
    render_three_d(application, paths[2])
    return paths


def render_slice(application: Application, view: Any, heatmap: Any, path: Path) -> None:
    """Draw one slice view as it stands in the scene, fitted to the picture, and the heatmap's legend."""
    import slicer
    import vtk

    window, renderer = _window()
    renderer.GetActiveCamera().ParallelProjectionOn()
    # Outlines and text lie above the image.
    overlay = vtk.vtkRenderer()
    overlay.SetLayer(1)
    overlay.GetActiveCamera().ParallelProjectionOn()
    window.SetNumberOfLayers(2)
    window.SetAlphaBitPlanes(1)
    window.AddRenderer(overlay)
    offset = view.GetSliceOffset()
    view.ResizeSliceNode(*SIZE)
    view.FitSliceToBackground()
    _leave_room(view)
    view.SetSliceOffset(offset)
    view.SnapSliceOffsetToIJK()
    factory = slicer.vtkMRMLSliceViewDisplayableManagerFactory.GetInstance()
    group = _managers(application, factory, _SLICE_MANAGERS, renderer, view.GetSliceNode())
    _add_legend(heatmap, overlay)
    mapper = vtk.vtkImageMapper()
    mapper.SetColorWindow(255)
    mapper.SetColorLevel(127.5)
    mapper.SetInputConnection(view.GetImageDataConnection())
    actor = vtk.vtkActor2D()
    actor.SetMapper(mapper)
    actor.GetProperty().SetDisplayLocationToBackground()
    renderer.AddViewProp(actor)
    _save(window, path)
    group.SetMRMLDisplayableNode(None)


def _leave_room(view: Any) -> None:
    """Widen a slice view that is fitted to its image until the legend lies beside the image, not on the body."""
    node, bounds = view.GetSliceNode(), [0.0] * 6
    view.GetBackgroundSliceBounds(bounds)
    width, height, depth = node.GetFieldOfView()
    wider = (bounds[1] - bounds[0]) / (1 - 2 * LEGEND_WIDTH) / width
    if wider > 1:
        node.SetFieldOfView(width * wider, height * wider, depth)
        view.UpdatePipeline()


def _add_legend(heatmap: Any, renderer: Any) -> None:
    """Draw the heatmap's legend. Slicer's own manager ignores the font size outside of the application."""
    import vtk

    display = heatmap.GetDisplayNode()
    table = display.GetColorNode().CreateLookupTableCopy()
    table.SetTableRange(display.GetWindowLevelMin(), display.GetWindowLevelMax())
    legend = vtk.vtkScalarBarActor()
    legend.SetLookupTable(table)
    legend.SetTitle("Lesion map")
    legend.SetLabelFormat(LEGEND_FORMAT)
    legend.SetNumberOfLabels(6)
    legend.SetMaximumNumberOfColors(256)
    legend.SetPosition(1 - LEGEND_WIDTH, 0.28)
    legend.SetWidth(LEGEND_WIDTH)
    legend.SetHeight(0.45)
    legend.SetBarRatio(0.25)
    legend.SetUnconstrainedFontSize(True)
    legend.SetVerticalTitleSeparation(2)
    legend.SetDrawBackground(True)
    legend.GetBackgroundProperty().SetColor(0, 0, 0)
    legend.GetBackgroundProperty().SetOpacity(0.6)
    for text in (legend.GetTitleTextProperty(), legend.GetLabelTextProperty()):
        text.SetFontFamilyToArial()
        text.SetFontSize(16)
        text.ItalicOff()
        text.SetBold(True)
        text.SetShadow(True)
        text.SetColor(1, 1, 1)
    renderer.AddViewProp(legend)


def render_three_d(application: Application, path: Path) -> None:
    """Draw the 3-D view through the scene's camera."""
    import slicer

    window, renderer = _window()
    renderer.SetUseDepthPeeling(True)
    renderer.SetMaximumNumberOfPeels(PEELS)
    factory = slicer.vtkMRMLThreeDViewDisplayableManagerFactory.GetInstance()
    group = _managers(application, factory, _THREE_D_MANAGERS, renderer, application.view)
    renderer.ResetCameraClippingRange()
    _save(window, path)
    group.SetMRMLDisplayableNode(None)


def _window() -> tuple[Any, Any]:
    import vtk

    window = vtk.vtkRenderWindow()
    window.SetOffScreenRendering(True)
    window.ShowWindowOff()
    window.SetMultiSamples(0)
    window.SetSize(*SIZE)
    renderer = vtk.vtkRenderer()
    window.AddRenderer(renderer)
    interactor = vtk.vtkRenderWindowInteractor()
    interactor.SetRenderWindow(window)
    if not window.SupportsOpenGL():
        raise SceneUnavailable(
            f"no OpenGL for pictures here ({window.GetClassName()}): install Mesa's libegl1 or libosmesa6"
        )
    return window, renderer


def _managers(
    application: Application, factory: Any, names: tuple[str, ...], renderer: Any, node: Any
) -> Any:
    import slicer

    factory.SetMRMLApplicationLogic(application.logic)
    for name in names:
        if not factory.IsDisplayableManagerRegistered(name):
            factory.RegisterDisplayableManager(name)
    group = slicer.vtkMRMLDisplayableManagerGroup()
    group.SetRenderer(renderer)
    group.Initialize(factory, renderer)
    group.SetMRMLDisplayableNode(node)
    return group


def _save(window: Any, path: Path) -> None:
    import vtk

    window.Render()
    grab = vtk.vtkWindowToImageFilter()
    grab.SetInput(window)
    grab.ReadFrontBufferOff()
    grab.ShouldRerenderOff()  # once is enough: in software a second time takes as long as the first
    grab.Update()
    writer = vtk.vtkPNGWriter()
    writer.SetInputConnection(grab.GetOutputPort())
    writer.SetFileName(str(path))
    writer.Write()
    if not path.is_file():
        raise SceneUnavailable(f"{path.name}: could not be written: check the disk's free space")
