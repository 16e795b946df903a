"""The lobe under the mouse: its row of the table is chosen, and its outline shown in the slice views."""

from typing import Any

import qt
import slicer
from slicer.util import VTKObservationMixin

from DRAMLesionLib.results.segments import LOBE_SEGMENTS
from DRAMLesionPanel.results.lobe_view import lobeAt, outlineLobe
from DRAMLesionPanel.results.nodes import Results

REST_MS = 40
"""A moving mouse tells of itself with each pixel: between two looks so long passes."""


class LobeUnderCursor(VTKObservationMixin):
    """Follows the mouse over the slice views while the user is in the module.

    Nothing is drawn anew while the mouse stays in a lobe, or a tool is in the hand.
    """

    def __init__(self, panel: Any) -> None:
        """Nothing is watched yet."""
        VTKObservationMixin.__init__(self)
        self._panel, self._ui = panel, panel.ui
        self._results: Results | None = None
        self._shown: str | None = None
        self._clicked: str | None = None
        self._timer = qt.QTimer()
        self._timer.setSingleShot(True)
        self._timer.setInterval(REST_MS)
        self._timer.connect("timeout()", self._look)

    def watch(self, results: Results | None) -> None:
        """Follow the mouse over the lobes of these results; None: no longer."""
        if results == self._results:
            return
        self.end()
        node = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLCrosshairNode") if results else None
        if node is not None:
            self._results = results
            self.addObserver(node, slicer.vtkMRMLCrosshairNode.CursorPositionModifiedEvent, self._onCursor)

    def end(self) -> None:
        """Let go of the mouse, and take away what was shown for it."""
        self._timer.stop()
        self.removeObservers()
        if self._results is not None and self._results.lobesSegmentationNode.GetScene() is not None:
            self._show(None)
        self._results = self._shown = self._clicked = None

    def choose(self, segmentID: str | None) -> None:
        """A lobe was clicked in the table: its outline stays when the mouse leaves the lobes."""
        self._clicked = segmentID
        self._shown = None

    def _onCursor(self, _node: Any, _event: Any) -> None:
        if not self._timer.active:
            self._timer.start()

    def _look(self) -> None:
        node = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLCrosshairNode")
        results = self._results
        if node is None or results is None or results.lobesSegmentationNode.GetScene() is None:
            return
        ras = [0.0, 0.0, 0.0]
        self._show(lobeAt(results, ras) if node.GetCursorPositionRAS(ras) else None)

    def _show(self, lobe: str | None) -> None:
        if lobe == self._shown or self._results is None:
            return
        self._shown = lobe
        view = self._ui.resultsTableView
        row = self._rowOf(lobe)
        if row is None:
            view.clearSelection()
        else:
            view.selectRow(row)
        if self._ui.segmentEditorWidget.activeEffect() is None:
            outlineLobe(self._results, lobe or self._clicked)

    def _rowOf(self, lobe: str | None) -> int | None:
        names = [one.name for one in LOBE_SEGMENTS if one.id == lobe]
        model = self._ui.resultsTableView.model()
        titles = [str(model.headerData(row, qt.Qt.Vertical)) for row in range(model.rowCount())]
        return titles.index(names[0]) if names and names[0] in titles else None
