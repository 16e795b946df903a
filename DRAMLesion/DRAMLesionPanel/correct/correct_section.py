"""Painting, refining, undo, accepting."""

from typing import Any

import qt
import slicer
from slicer.i18n import tr as _
from slicer.util import VTKObservationMixin

from DRAMLesionLib.correction.segment.correction import Correction
from DRAMLesionLib.lesions.findings import Findings
from DRAMLesionLib.results.scene.steps import Steps
from DRAMLesionLib.results.segments import LESION
from DRAMLesionPanel.correct.shortcuts import CorrectionKeys
from DRAMLesionPanel.results.nodes import Results
from DRAMLesionPanel.shared.background import Background, inWorker
from DRAMLesionPanel.shared.path_field import PathField

EDITOR_TAG = "DRAMLesion"
EFFECTS = ["Paint", "Erase", "Scissors"]
TABLE_DELAY_MS = 700
"""The table follows when the hand rests: counting a large CT takes longer than a stroke may."""


class CorrectSection(VTKObservationMixin):
    """An embedded segment editor on the lesion, and what follows from its edits."""

    def __init__(self, panel: Any) -> None:
        VTKObservationMixin.__init__(self)
        self._panel, self._ui = panel, panel.ui
        self._watched: Any = None
        self._prepared: Results | None = None
        self._recognising = False
        self._tableTimer = qt.QTimer()
        self._tableTimer.setSingleShot(True)
        self._tableTimer.setInterval(TABLE_DELAY_MS)
        self._tableTimer.connect("timeout()", self._onTable)
        self._counted: Results | None = None
        self._entered = False
        self._preparing = Background(panel.reported)
        self._accepting = Background(panel.reported)
        self._ui.segmentEditorWidget.setEffectNameOrder(EFFECTS)
        self._keys = CorrectionKeys(self._ui.segmentEditorWidget, EFFECTS, self.undo, self.redo)
        self._ui.correctCollapsibleButton.connect("contentsCollapsed(bool)", self._onCollapsed)
        self._ui.refineButton.connect("clicked(bool)", self._onRefine)
        self._ui.undoButton.connect("clicked(bool)", self._onUndo)
        self._ui.redoButton.connect("clicked(bool)", self._onRedo)
        self._ui.acceptButton.connect("clicked(bool)", self._onAccept)
        self._folder = PathField(self._ui.trainingFolderSelector, self._onFolder)

    def isOpen(self) -> bool:
        """Whether the user corrects."""
        return not self._ui.correctCollapsibleButton.collapsed

    def showFolder(self) -> None:
        """Let the training folder follow from the parameter node; a scene without one keeps the folder that is shown."""
        parameters = self._panel.parameters
        if parameters is not None and parameters.trainingFolder:
            self._folder.show(parameters.trainingFolder)
        elif parameters is not None:
            parameters.trainingFolder = self._folder.path

    def update(self) -> None:
        """Watch the lesion of the chosen CT, and enable what can be done now."""
        if self._panel.run.arriving:
            self._ui.segmentEditorWidget.setActiveEffect(None)
        results = self._panel.currentResults()
        node = results.lesionSegmentationNode if results and self.isOpen() else None
        if node is not None and self._panel.logic.openCorrection(results) is None:
            node = None  # nothing to paint on yet
            if not self._panel.run.arriving:
                self.prepare(results)
        if node is not self._watched:
            self._watch(node, results)
        self._updateButtons(results)

    def prepare(self, results: Results, findings: Findings | None = None) -> None:
        """Make a lesion ready to be corrected, while the window lives.

        Args:
            results: The nodes.
            findings: What they hold, where that is known.
        """
        if self._panel.logic.openCorrection(results) is not None or self._prepared == results:
            return
        self._prepared = results
        if self.isOpen() and not self._ui.statusLabel.text:  # an error or a warning stays
            self._panel.showStatus(_("Preparing the correction..."))
        steps = self._panel.logic.preparingCorrection(results, findings)
        self._preparing.start(steps, self._onPrepared)

    def _onPrepared(self, correction: Correction | None) -> None:
        self._prepared = None
        if correction is not None:
            if self._ui.statusLabel.text == _("Preparing the correction..."):
                self._panel.showStatus("")
            self._panel.update()

    def restart(self) -> None:
        """The lesion was made anew: the editor must choose its segment again."""
        self._giveUp()
        self._watch(None, None)

    def _giveUp(self) -> None:
        self._preparing.cancel()
        self._prepared = None

    def enter(self) -> None:
        """The user came back to the module. What was painted elsewhere meanwhile is an edit, too."""
        self._entered = True
        if self._watched is not None:
            self._ui.segmentEditorWidget.setupViewObservations()
            self._onSegmentModified(None, None)

    def leave(self) -> None:
        """The user left the module: the mouse no longer paints here, and strokes are another editor's to refine."""
        self._entered = False
        self._ui.segmentEditorWidget.setActiveEffect(None)
        self._ui.segmentEditorWidget.removeViewObservations()
        self._keys.bind()

    def closeScene(self) -> None:
        """Let go of the scene's nodes."""
        self._tableTimer.stop()
        self._counted = None
        self._accepting.cancel()
        self._giveUp()
        self._watch(None, None)

    def _watch(self, node: Any, results: Results | None) -> None:
        self.removeObservers()
        self._watched = node
        editor = self._ui.segmentEditorWidget
        if node is None:
            editor.setActiveEffect(None)
            editor.setSegmentationNode(None)
            return
        correction = self._panel.logic.openCorrection(results)
        event = slicer.vtkSegmentation.SourceRepresentationModified
        self.addObserver(node.GetSegmentation(), event, self._onSegmentModified)
        editor.setMRMLSegmentEditorNode(_editorNode())
        editor.setSegmentationNode(node)
        editor.setSourceVolumeNode(results.ctNode)
        editor.setCurrentSegmentID(LESION.id)
        if correction is not None:
            correction.recognise(self._panel.parameters.insideLobes)

    def _updateButtons(self, results: Results | None) -> None:
        correction = self._panel.logic.openCorrection(results)
        ui = self._ui
        ui.correctCollapsibleButton.enabled = results is not None and not self._panel.run.arriving
        if results is None:
            ui.correctCollapsibleButton.collapsed = True
        free = self._entered and not self._panel.run.arriving  # keys know nothing of buttons that are grey
        painted = free and self.isOpen() and self._watched is not None
        steered = free and correction is not None and self._panel.steer.isOpen()
        self._keys.bind(undo=painted or steered, tools=painted)
        ui.refineButton.enabled = bool(correction and correction.waiting)
        ui.undoButton.enabled = bool(correction and correction.can_undo)
        ui.redoButton.enabled = bool(correction and correction.can_redo)
        folder = bool(self._folder.path) and not self._accepting.busy
        ui.acceptButton.enabled = results is not None and folder

    def _onCollapsed(self, _collapsed: bool) -> None:
        if self._panel.parameters is None:
            return
        with self._panel.reported(waitCursor=True):
            self.update()
            results = self._panel.currentResults()
            if results is not None:
                self._panel.results.showSurfaces(results)

    def _onSegmentModified(self, _caller: Any, _event: Any) -> None:
        correction = self._panel.logic.openCorrection(self._panel.currentResults())
        if correction is None or correction.busy or self._recognising or not self._entered:
            return
        # An effect may report several times while it applies one stroke: wait until it is through.
        self._recognising = True
        qt.QTimer.singleShot(0, self._onStroke)

    def _onStroke(self) -> None:
        self._recognising = False
        results = self._panel.currentResults()
        correction = self._panel.logic.openCorrection(results)
        if correction is None or correction.busy or not self._entered:
            return
        with self._panel.reported():
            if correction.recognise(self._panel.parameters.insideLobes):
                if self._panel.parameters.autoRefine:
                    correction.refine()
                self._countSoon(results)
        self._updateButtons(results)

    def _onRefine(self, _checked: bool = False) -> None:
        self._change(Correction.refine)

    def _onUndo(self, _checked: bool = False) -> None:
        self.undo()

    def _onRedo(self, _checked: bool = False) -> None:
        self.redo()

    def undo(self) -> None:
        """Take the last edit back, painted or steered."""
        self._change(Correction.undo)

    def redo(self) -> None:
        """Make the edit again that was taken back last."""
        self._change(Correction.redo)

    def _change(self, action: Any) -> None:
        results = self._panel.currentResults()
        if results is None:
            return
        with self._panel.reported():
            correction = self._panel.logic.correction(results)
            correction.recognise(self._panel.parameters.insideLobes)
            if action(correction):
                self._countSoon(results)
        self._updateButtons(results)
        self._panel.steer.update()

    def _countSoon(self, results: Results) -> None:
        """Let the table of a changed lesion follow, though another CT is chosen meanwhile."""
        if self._counted != results:
            self._onTable()
        self._counted = results
        self._tableTimer.start()

    def _onTable(self) -> None:
        results, self._counted = self._counted, None
        if results is not None and results.ctNode.GetScene() is not None:
            with self._panel.reported():
                self._panel.logic.updateTable(results)
            self._panel.update()

    def _onAccept(self, _checked: bool = False) -> None:
        results = self._panel.currentResults()
        if results is None or self._accepting.busy:
            return
        with self._panel.reported():
            folder = self._folder.folder(_("training folder"))
            self._accepting.start(self._accept(results, str(folder)), self._onAccepted)
        self._updateButtons(results)

    def _accept(self, results: Results, folder: str) -> Steps[str]:
        """Store the case as it is now; what is painted from here on is not in it."""
        correction = yield from self._panel.logic.preparingCorrection(results)
        correction.recognise(self._panel.parameters.insideLobes)
        findings, edits = (
            correction.findings(),
            correction.edits,
        )  # at one moment: a stroke may come between steps
        yield "copies"
        self._panel.showStatus(_("Storing the case..."))
        stored = yield from inWorker(
            self._panel.logic.worker,
            slicer.app.temporaryPath,
            "accept",
            findings,
            self._panel.showStatus,
            {"edits": edits},
            folder=folder,
        )
        return stored["case"]

    def _onAccepted(self, case: str | None) -> None:
        if case is not None:
            self._folder.remember()
            self._panel.showStatus(_("Accepted: {folder}").format(folder=case))
        self._updateButtons(self._panel.currentResults())

    def _onFolder(self, path: str) -> None:
        if self._panel.parameters is not None:
            self._panel.parameters.trainingFolder = path
            self._updateButtons(self._panel.currentResults())


def _editorNode() -> Any:
    """The embedded editor's own parameter node, apart from that of the Segment Editor module."""
    node = slicer.mrmlScene.GetSingletonNode(EDITOR_TAG, "vtkMRMLSegmentEditorNode")
    if node is None:
        node = slicer.mrmlScene.CreateNodeByClass("vtkMRMLSegmentEditorNode")
        node.UnRegister(None)
        node.SetSingletonTag(EDITOR_TAG)
        node = slicer.mrmlScene.AddNode(node)
    node.SetOverwriteMode(slicer.vtkMRMLSegmentEditorNode.OverwriteNone)
    # A scene may have been saved while Paint was active: opened again, no click must paint unasked.
    node.SetActiveEffectName("")
    return node
