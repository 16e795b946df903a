"""The views: CT with heatmap, outlines and lobes in three planes, and surfaces in 3-D."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from DRAMLesionLib.results.scene.nodes import FindingsNodes
from DRAMLesionLib.results.scene.rendering import PEELS
from DRAMLesionLib.results.scene.surfaces import drop_surfaces, making_surfaces_to_look_at

if TYPE_CHECKING:
    from trame_slicer.core import SlicerApp

WINDOWS = {"Lung": (1500.0, -600.0), "Mediastinum": (400.0, 40.0), "Consolidation": (700.0, -250.0)}
"""Window width and level in HU, by what is looked at."""
SIDES = {"Axial": "RLAP", "Coronal": "RLSI", "Sagittal": "APSI"}
"""What lies at the left, right, top and bottom edge of a plane: the patient's right is at the left, as radiologists
look at a CT, and anterior is at the left of a sagittal plane."""
AXIAL, CORONAL, SAGITTAL = "Axial", "Coronal", "Sagittal"
LAYOUTS = {"Large axial": "large", "Four views": "four", "Axial alone": "axial"}
_SAME_SCALE = 1e-3
_FIRST = 10.0
"""Priority of an observer that comes before those of the tools."""
REST_S, LONGEST_STROKE_S = 1.5, 20.0
"""The 3-D view is drawn again when nothing was changed for so long; while a mouse button is down, after so long."""
FIRST_TAB_S, FIRST_PICTURES_S = 10.0, 1.0
"""How long the first tab is waited for, and then its first pictures."""
QUALITY = 70
"""Of the pictures while the mouse moves, 1..100; when it rests they are sent again in 90."""


class Slices:
    """The views of the page.

    Attributes:
        app: trame-slicer's application: scene, views, segment editor.
        painting: Whether a button that is pressed in a plane paints.
    """

    def __init__(self, server: Any) -> None:
        """Make an empty scene and its views.

        Args:
            server: trame's.
        """
        from trame_slicer.core import LayoutManager, SlicerApp
        from trame_slicer.rca_view import register_rca_factories

        self.app: SlicerApp = SlicerApp()
        _add_modules(self.app)
        self._server = server
        self._making: asyncio.Task[None] | None = None
        self._nodes: FindingsNodes | None = None
        self._fitted: dict[str, float] = {}
        self._held: asyncio.TimerHandle | None = None
        self._looked = False
        self.painting = False
        self._connected = asyncio.Event()
        server.controller.on_client_connected.add(lambda: self._connected.set())
        register_rca_factories(
            self.app.view_manager,
            server,
            slice_view_ui_f=lambda server, view_id, view: _slice_frame(server, view, lambda: self._fit(view)),
            three_d_view_ui_f=_three_d_frame,
            rca_encoder="jpeg",
            interactive_quality=QUALITY,
        )
        self.layouts = LayoutManager(self.app.scene, self.app.view_manager, server)
        with _quiet(), _undrawn():  # trame-slicer watches an event that VTK 9.6 warns of, once for each view
            self.layouts.register_layout_dict(_layouts())
        self.layouts.set_layout("large")
        self._lighten()

    def _lighten(self) -> None:
        """What is drawn in software, as on a server without a graphics card, is drawn without smoothing."""
        for view in self.app.view_manager.get_views():
            view.render_window().SetMultiSamples(0)
            view.renderer().SetMaximumNumberOfPeels(PEELS)
        for view in self.planes:
            view.set_background_color([0, 0, 0])
            with _quiet():
                # After trame-slicer's own observer, which gives the slice the new size and keeps its scale.
                view.interactor().AddObserver("WindowResizeEvent", self._on_resized(view))
            # Before the tools', which change the lesion when the button is let go.
            for event, rest_s in (("Press", LONGEST_STROKE_S), ("Release", REST_S)):
                view.interactor().AddObserver(f"LeftButton{event}Event", self._holding(rest_s), _FIRST)

    def _holding(self, rest_s: float) -> Callable[[Any, Any], None]:
        def hold(_caller: Any, _event: Any) -> None:
            # With a surface to keep up to date the stroke itself would take as long as that.
            if self.painting:
                self.drop_lesion_surface()
            self._hold_surfaces(rest_s)

        return hold

    def _hold_surfaces(self, rest_s: float = REST_S) -> None:
        """Draw the 3-D view no more until nothing was changed for a while: in software it takes longer than all else."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:  # nobody would draw it again
            return
        if self._held is not None:
            self._held.cancel()
        self._held = loop.call_later(rest_s, self._draw_surfaces)
        for view in self.app.view_manager.get_threed_views():
            view.set_render_blocked(True)

    def _draw_surfaces(self) -> None:
        """Draw the 3-D view as it is now, and from now on."""
        if self._held is not None:
            self._held.cancel()
        self._held = None
        self.make_surfaces()
        for view in self.app.view_manager.get_threed_views():
            view.set_render_blocked(False)

    def _on_resized(self, view: Any) -> Callable[[Any, Any], None]:
        """A plane that nobody has zoomed is fitted to the CT again."""

        def resized(_caller: Any, _event: Any) -> None:
            fitted = self._fitted.get(view.name)
            if fitted is not None and abs(_mm_per_pixel(view) - fitted) < _SAME_SCALE * fitted:
                self._fit(view)

        return resized

    def _fit(self, view: Any) -> None:
        view.fit_view_to_content()
        self._fitted[view.name] = _mm_per_pixel(view)

    @property
    def planes(self) -> list[Any]:
        """The slice views: axial, coronal, sagittal."""
        return [view for view in self.app.view_manager.get_slice_views() if view is not None]

    def plane(self, name: str) -> Any:
        """The slice view of that name."""
        return self.app.view_manager.get_view(name)

    def show(self, nodes: FindingsNodes) -> None:
        """Show a case in all views, fitted to the CT."""
        self._nodes = nodes
        manager = self.app.display_manager
        manager.show_volume_in_slice_background(nodes.ct)
        manager.show_volume_in_slice_foreground(nodes.heatmap)
        for view in self.planes:
            self._fit(view)

    def forget(self) -> None:
        """The case is gone from the scene: keep nothing of it."""
        self._nodes, self._looked, self.painting = None, False, False
        self._draw_surfaces()

    def set_opacity(self, opacity: float) -> None:
        """The heatmap's opacity over the CT, 0..1."""
        for view in self.planes:
            view.set_foreground_opacity(opacity)

    def set_threshold(self, threshold: float) -> None:
        """Hide values of the heatmap below, 0..1."""
        if self._nodes is not None:
            self._nodes.heatmap.GetDisplayNode().SetThreshold(threshold, 1.0)

    def set_window(self, width: float, level: float) -> None:
        """The CT's window in HU."""
        if self._nodes is not None:
            self._nodes.ct.GetDisplayNode().SetWindowLevel(width, level)

    def set_lobes_seen(self, seen: bool) -> None:
        """Draw the lobes' outlines in the planes, or not."""
        if self._nodes is not None:
            display = self._nodes.lobes.GetDisplayNode()
            display.SetVisibility2DOutline(seen)
            display.SetSliceIntersectionThickness(1)

    def set_lesion_seen(self, seen: bool) -> None:
        """Draw the lesion's outline in the planes, or not."""
        if self._nodes is not None:
            self._nodes.lesion.GetDisplayNode().SetVisibility2DOutline(seen)

    def jump(self, right: float, anterior: float, superior: float) -> None:
        """Show a point of the patient, in mm, in all planes."""
        for view in self.planes:
            view.get_view_node().JumpSliceByOffsetting(right, anterior, superior)

    def drop_lesion_surface(self) -> None:
        """The lesion is being changed: its surface would be that of another one."""
        self._hold_surfaces()
        if self._making is not None:
            self._making.cancel()
            self._making = None
        if self._nodes is not None:
            drop_surfaces(self._nodes.lesion)

    async def seen(self) -> None:
        """Wait until a tab has its first pictures, which work beside them would make late; without a tab for a while."""
        if not self._connected.is_set():
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._connected.wait(), FIRST_TAB_S)
            await asyncio.sleep(FIRST_PICTURES_S)

    def make_surfaces(self) -> None:
        """Make the surfaces that are missing, one at a time, while the page lives; a case's first ones are looked at."""
        if self._making is None and self._nodes is not None:
            self._making = asyncio.get_running_loop().create_task(self._surfaces(self._nodes))

    async def _surfaces(self, nodes: FindingsNodes) -> None:
        try:
            for _segment in making_surfaces_to_look_at(nodes):
                await asyncio.sleep(0.01)
        finally:
            if self._making is asyncio.current_task():  # not what another stroke has begun since
                self._making = None
        if not self._looked:
            self._looked = True
            for view in self.app.view_manager.get_threed_views():
                view.reset_view()


def _add_modules(app: SlicerApp) -> None:
    """Nodes that results have and trame-slicer does not bring: the heatmap's legend, table and chart."""
    import slicer

    app.scene.RegisterNodeClass(slicer.vtkMRMLColorLegendDisplayNode())
    for name in ("Tables", "Plots"):
        app.register_module_logic(getattr(slicer, f"vtkSlicer{name}Logic")(), logic_name=name)


@contextmanager
def _quiet() -> Iterator[None]:
    """No warnings of VTK in the block."""
    from vtkmodules.vtkCommonCore import vtkObject

    vtkObject.GlobalWarningDisplayOff()
    try:
        yield
    finally:
        vtkObject.GlobalWarningDisplayOn()


@contextmanager
def _undrawn() -> Iterator[None]:
    """Views that are made in the block are not drawn yet; else trame-slicer draws each at every setting, 190 times."""
    from trame_slicer.views.render_scheduler import DirectRendering, NoScheduleRendering

    drawn = DirectRendering.schedule_render
    DirectRendering.schedule_render = NoScheduleRendering.schedule_render
    try:
        yield
    finally:
        DirectRendering.schedule_render = drawn


def _layouts() -> dict[str, Any]:
    from trame_slicer.views import Layout, LayoutDirection, ViewLayoutDefinition

    axial, coronal, sagittal = (
        ViewLayoutDefinition.slice_view(name, label=name) for name in (AXIAL, CORONAL, SAGITTAL)
    )
    surfaces = ViewLayoutDefinition.threed_view(background_color=("#101418", "#202830"))
    column, row = LayoutDirection.Vertical, LayoutDirection.Horizontal
    side = Layout(column, [coronal, sagittal, surfaces])
    return {
        "large": Layout(row, [axial, side], flex_sizes=["2", "1"]),
        "four": Layout(column, [Layout(row, [axial, surfaces]), Layout(row, [coronal, sagittal])]),
        "axial": Layout(column, [axial]),
    }


def _mm_per_pixel(view: Any) -> float:
    node = view.get_view_node()
    return node.GetFieldOfView()[1] / max(1, node.GetDimensions()[1])


def _slice_frame(server: Any, view: Any, fit: Callable[[], None]) -> None:
    """The plane's name, its slice and a slider for it, and letters of the patient's sides at the edges."""
    from trame.widgets import html
    from trame.widgets.vuetify3 import VBtn, VSlider
    from trame_slicer.app.logic.slice_view_logic import connect_slice_view_slider_to_state

    slider = connect_slice_view_slider_to_state(server, view)
    name = slider.name
    plane = view.get_orientation()
    for side, place in zip(SIDES[plane], ("left", "right", "top", "bottom"), strict=True):
        html.Div(side, classes=f"side side-{place}")
    html.Div(f"{plane} {{{{ {name.value}.toFixed(0) }}}} mm", classes="plane-name")
    VBtn(
        icon="mdi-fit-to-page-outline",
        size="x-small",
        variant="text",
        classes="plane-fit",
        title="Fit to the CT",
        click=fit,
    )
    VSlider(
        v_model=(name.value,),
        min=(name.min_value,),
        max=(name.max_value,),
        step=(name.step,),
        classes="plane-slider",
        hide_details=True,
        density="compact",
        color="grey",
        aria_label=f"Slice, {plane.lower()}",
    )


def _three_d_frame(_server: Any, _view_id: str, view: Any) -> None:
    from trame.widgets import html
    from trame.widgets.vuetify3 import VBtn

    html.Div("3-D", classes="plane-name")
    VBtn(
        icon="mdi-fit-to-page-outline",
        size="x-small",
        variant="text",
        classes="plane-fit",
        title="Look from the front again",
        click=view.reset_view,
    )
