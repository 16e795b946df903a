"""Keeps the panel on the scene's parameter node while scenes are closed, opened and changed."""

from typing import Any

import qt
import slicer
import vtk
from slicer.util import VTKObservationMixin


class SceneLink(VTKObservationMixin):
    """Watches the scene for the panel."""

    def __init__(self, panel: Any, ui: Any, logic: Any) -> None:
        """Begin to watch; the panel shows the scene's parameter node."""
        VTKObservationMixin.__init__(self)
        self._panel, self._ui, self._logic = panel, ui, logic
        self._parameters: Any = None
        self._guiTag: Any = None
        self._waiting = False
        scene = slicer.mrmlScene
        for event, method in (
            (scene.StartCloseEvent, self._onStartClose),
            (scene.EndCloseEvent, self._onEndClose),
            (scene.EndImportEvent, self._onEndClose),
            (scene.NodeRemovedEvent, self._onNodeRemoved),
            (scene.NodeAddedEvent, self._onNodeAdded),
        ):
            self.addObserver(scene, event, method)
        self.showScene()

    def showScene(self) -> None:
        """Take the scene's parameter node, which is made where there is none."""
        self._show(self._logic.getParameterNode())
        self._panel.inputs.chooseFirst()

    def end(self) -> None:
        """Let go of the scene."""
        self._show(None)
        self.removeObservers()

    def _show(self, parameters: Any) -> None:
        modified = vtk.vtkCommand.ModifiedEvent
        if self._parameters:
            self._parameters.disconnectGui(self._guiTag)
            self.removeObserver(self._parameters, modified, self._onModified)
        self._parameters = parameters
        if parameters:
            self._guiTag = parameters.connectGui(self._ui)
            self.addObserver(parameters, modified, self._onModified)
        self._panel.setParameters(parameters)

    def _onStartClose(self, _caller: Any, _event: Any) -> None:
        self._show(None)
        self._panel.closeScene()

    def _onEndClose(self, _caller: Any, _event: Any) -> None:
        self.showScene()

    def _onNodeRemoved(self, _caller: Any, _event: Any) -> None:
        if not slicer.mrmlScene.IsBatchProcessing():
            self._panel.update()

    def _onNodeAdded(self, _caller: Any, _event: Any) -> None:
        # A node has neither voxels nor attributes yet when it is told of.
        if self._parameters and self._parameters.inputVolume is None and not self._waiting:
            self._waiting = True
            qt.QTimer.singleShot(0, self._onAdded)

    def _onAdded(self) -> None:
        self._waiting = False
        if self._parameters and not slicer.mrmlScene.IsBatchProcessing():
            self._panel.inputs.chooseFirst()

    def _onModified(self, _caller: Any, _event: Any) -> None:
        self._panel.update()
