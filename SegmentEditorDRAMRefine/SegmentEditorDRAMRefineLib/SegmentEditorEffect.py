"""The effect's widget: what it needs from the Segment Editor, and what it shows there."""

import logging
from contextlib import contextmanager
from pathlib import Path

import ctk
import qt
import slicer
from SegmentEditorEffects import AbstractScriptedSegmentEditorEffect
from slicer.i18n import tr as _
from slicer.util import VTKObservationMixin


class SegmentEditorEffect(AbstractScriptedSegmentEditorEffect, VTKObservationMixin):
    """Refine a segment around what was painted since the effect was opened.

    Paint with the editor's own effects; this one compares, and lets the rest of the segment follow.
    """

    def __init__(self, scriptedEffect):
        scriptedEffect.name = "DRAM refine"
        scriptedEffect.title = _("DRAM refine")
        scriptedEffect.perSegment = True
        scriptedEffect.requireSegments = True
        AbstractScriptedSegmentEditorEffect.__init__(self, scriptedEffect)
        VTKObservationMixin.__init__(self)
        self._begun = ()
        self._node = self._segmentID = self._ct = self._segment = self._refining = self._base = None
        self._busy = self._waiting = False

    def clone(self):
        import qSlicerSegmentationsEditorEffectsPythonQt as effects

        clonedEffect = effects.qSlicerSegmentEditorScriptedEffect(None)
        clonedEffect.setPythonSource(Path(__file__).as_posix())
        return clonedEffect

    def icon(self):
        path = Path(__file__).with_name("SegmentEditorEffect.png")
        return qt.QIcon(str(path)) if path.is_file() else qt.QIcon()

    def helpText(self):
        return _(
            "<html>Refine a segment of a lung lesion around what you paint.<p><ol><li>Choose this effect: the segment "
            "is taken as it is.</li><li>Paint what was missed and erase what is wrong, with <b>Paint</b>, "
            "<b>Erase</b> or <b>Scissors</b>.</li><li>Come back and press <b>Refine around my edits</b>, or let it "
            "happen after each stroke.</li></ol><p>What you painted always stays; what lies near and looks alike "
            "follows. Research use only, not for diagnosis.</html>"
        )

    def setupOptionsFrame(self):
        self.refineButton = qt.QPushButton(_("Refine around my edits"))
        self.refineButton.objectName = "dramRefineButton"
        self.refineButton.toolTip = _(
            "Let the segment follow from what was painted since the last refinement."
        )
        self.autoCheckBox = qt.QCheckBox(_("Refine after each stroke"))
        self.autoCheckBox.objectName = "dramRefineAutoCheckBox"
        self.autoCheckBox.toolTip = _("Also while another effect paints.")
        self.mapCheckBox = qt.QCheckBox(_("Use the CT's lesion map"))
        self.mapCheckBox.objectName = "dramRefineMapCheckBox"
        self.reachSlider = ctk.ctkSliderWidget()
        self.reachSlider.objectName = "dramRefineReachSlider"
        self.reachSlider.minimum, self.reachSlider.maximum = 5, 60
        self.reachSlider.singleStep, self.reachSlider.decimals = 1, 0
        self.reachSlider.suffix = " mm"
        self.reachSlider.toolTip = _("Nothing further than this from a stroke changes.")
        self.restartButton = qt.QPushButton(_("Start anew"))
        self.restartButton.objectName = "dramRefineRestartButton"
        self.restartButton.toolTip = _("Take the segment as it is now: nothing in it counts as painted.")
        self.messageLabel = qt.QLabel()
        self.messageLabel.objectName = "dramRefineMessageLabel"
        self.messageLabel.wordWrap = True
        for widget in (self.refineButton, self.autoCheckBox, self.mapCheckBox):
            self.scriptedEffect.addOptionsWidget(widget)
        self.scriptedEffect.addLabeledOptionsWidget(_("Reach:"), self.reachSlider)
        for widget in (self.restartButton, self.messageLabel):
            self.scriptedEffect.addOptionsWidget(widget)
        for widget, signal, method in self._connections():
            widget.connect(signal, method)

    def _connections(self):
        """All connections of this effect's widgets: widget, signal, method."""
        return (
            (self.refineButton, "clicked()", self.onRefine),
            (self.restartButton, "clicked()", self.onRestart),
            (self.autoCheckBox, "toggled(bool)", self.updateMRMLFromGUI),
            (self.mapCheckBox, "toggled(bool)", self.updateMRMLFromGUI),
            (self.reachSlider, "valueChanged(double)", self.updateMRMLFromGUI),
        )

    def createCursor(self, widget):
        window = slicer.util.mainWindow()
        return window.cursor if window else qt.QCursor()

    def setMRMLDefaults(self):
        self.scriptedEffect.setParameterDefault("AutoRefine", 0)
        self.scriptedEffect.setParameterDefault("UseMap", 1)
        self.scriptedEffect.setParameterDefault("ReachMm", 30.0)

    def updateGUIFromMRML(self):
        values = (
            (self.autoCheckBox, "checked", bool(self.scriptedEffect.integerParameter("AutoRefine"))),
            (self.mapCheckBox, "checked", bool(self.scriptedEffect.integerParameter("UseMap"))),
            (self.reachSlider, "value", self.scriptedEffect.doubleParameter("ReachMm")),
        )
        for widget, name, value in values:
            blocked = widget.blockSignals(True)
            setattr(widget, name, value)
            widget.blockSignals(blocked)
        self._showMap()

    def updateMRMLFromGUI(self, _value=None):
        before = self._settings()
        self.scriptedEffect.setParameter("AutoRefine", int(self.autoCheckBox.checked))
        self.scriptedEffect.setParameter("UseMap", int(self.mapCheckBox.checked))
        self.scriptedEffect.setParameter("ReachMm", float(self.reachSlider.value))
        if self._refining is not None and self._settings() != before:
            # Another map or reach asks for another beginning; strokes that were not refined yet stay strokes.
            self._base, self._refining = self._refining.base, None

    def activate(self):
        with self._reported():
            self._begin()

    def sourceVolumeNodeChanged(self):
        if self.scriptedEffect.active():
            self.activate()

    def cleanup(self):
        """The editor goes away. A connection that stays would keep this object alive, and let it act."""
        self._forget()
        if hasattr(self, "refineButton"):
            for widget, signal, method in self._connections():
                widget.disconnect(signal, method)

    def onRestart(self):
        self._begun = ()
        with self._reported():
            self._begin()

    def onRefine(self):
        if not self.scriptedEffect.confirmCurrentSegmentVisible():
            return
        with self._reported(), slicer.util.WaitCursor():
            self._begin()
            self._started().look()
            if self._refining.unrefined is not None:
                self._refine()
            else:
                self._say(_("Nothing was painted yet: use Paint, Erase or Scissors, then come back."))

    def _refine(self):
        refining = self._started()
        self._busy = True
        try:
            self.scriptedEffect.saveStateForUndo()
            box, wanted = refining.refine()
            now = self._segment.seen[box]
            self._change(box, wanted > now, self.scriptedEffect.ModificationModeAdd)
            self._change(box, wanted < now, self.scriptedEffect.ModificationModeRemove)
            moved = refining.refined()
        finally:
            self._busy = False
        added, removed = (0, 0)
        if moved is not None:
            added, removed = int((moved.after > moved.before).sum()), int((moved.after < moved.before).sum())
        self._say(
            _("Refined: {added} voxels came in, {removed} went out.").format(added=added, removed=removed)
        )

    def _change(self, box, mask, mode):
        """Hand voxels to the editor, which applies its masks and what it does with other segments."""
        if not mask.any():
            return
        from DRAMLesionLib.results.scene import mrml

        modifier = mrml.labelmap_of(mask, self._ct, box)
        self.scriptedEffect.modifySegmentByLabelmap(self._node, self._segmentID, modifier, mode, False)

    def _begin(self):
        """Take the chosen segment as it is, unless that was done before."""
        from DRAMLesionPanel.correct import segment_refining as refining

        from DRAMLesionLib.correction.segment.recogniser import StrokeRecogniser
        from DRAMLesionLib.system.errors import InputError

        node = self.scriptedEffect.parameterSetNode()
        segmentationNode, sourceNode = node.GetSegmentationNode(), node.GetSourceVolumeNode()
        segmentID = node.GetSelectedSegmentID()
        if segmentationNode is None or sourceNode is None or not segmentID:
            self._forget()
            raise InputError(_("choose a segmentation, a segment and the CT as source volume"))
        begun = (segmentationNode.GetID(), segmentID, sourceNode.GetID())
        if begun == self._begun and self._segment is not None:
            return
        self._forget()
        if segmentationNode.GetParentTransformNode() is not None:
            name = segmentationNode.GetName()
            raise InputError(_("{name}: lies under a transform: harden it first").format(name=name))
        self._ct = refining.volumeOf(self.scriptedEffect.sourceVolumeImageData(), sourceNode.GetName())
        self._node, self._segmentID = segmentationNode, segmentID
        self._segment = StrokeRecogniser(segmentationNode, segmentID, self._ct)
        self._begun = begun
        # Painting tells of the first event, the editor's undo of the second one alone.
        for event in (
            slicer.vtkSegmentation.SourceRepresentationModified,
            slicer.vtkSegmentation.SegmentModified,
        ):
            self.addObserver(segmentationNode.GetSegmentation(), event, self._onSegmentModified)
        self._showMap()
        self._say(_("The segment is taken as it is. Paint or erase, then come back and refine."))

    def _started(self):
        """The engine on the segment as it was when this began; the first call looks for lungs, which takes seconds."""
        from DRAMLesionPanel.correct import segment_refining as refining

        if self._refining is None:
            useMap = bool(self.scriptedEffect.integerParameter("UseMap"))
            sourceNode = self.scriptedEffect.parameterSetNode().GetSourceVolumeNode()
            base = self._segment.seen.copy() if self._base is None else self._base
            beginning = refining.begin(self._ct, base, sourceNode, useMap)
            reach = self.scriptedEffect.doubleParameter("ReachMm")
            self._refining = refining.Refining(self._segment, self._ct, beginning, reach, base)
            self._base = None
        return self._refining

    def _forget(self):
        self.removeObservers()
        self._begun = ()
        self._node = self._segmentID = self._ct = self._segment = self._refining = self._base = None

    def _isMine(self):
        """Whether a change can be a stroke in the segment that was begun with: chosen, in an editor that is open."""
        node = self.scriptedEffect.parameterSetNode()
        chosen = (
            node is not None
            and node.GetSegmentationNode() is self._node
            and node.GetSelectedSegmentID() == self._segmentID
        )
        return chosen and self._isEditorOpen()

    def _isEditorOpen(self):
        """Whether the module that the editor is in is open; an editor outside of all modules always is."""
        widget = self.scriptedEffect.optionsFrame()
        while widget is not None:
            entered = widget.property("isEntered")
            if entered is not None:
                return bool(entered)
            widget = widget.parent()
        return True

    def _onSegmentModified(self, _caller, _event):
        if self._busy or self._waiting or not self._isMine():
            return
        # Effects may report several times while they apply one stroke: wait until they are through.
        self._waiting = True
        qt.QTimer.singleShot(0, self._onStroke)

    def _onStroke(self):
        self._waiting = False
        if self._busy or self._segment is None:
            return
        gone = self._node.GetScene() is None or not self._node.GetSegmentation().GetSegment(self._segmentID)
        if gone:
            self._forget()
            return
        if not self._isMine():
            return
        auto = bool(self.scriptedEffect.integerParameter("AutoRefine"))
        if self._refining is None and not auto:
            return  # the button looks, when it is pressed
        with self._reported():
            if self._started().look() and auto:
                self._refine()

    def _settings(self):
        return tuple(self.scriptedEffect.parameter(name) for name in ("UseMap", "ReachMm"))

    def _showMap(self):
        from DRAMLesionPanel.correct import segment_refining as refining

        node = self.scriptedEffect.parameterSetNode()
        sourceNode = node.GetSourceVolumeNode() if node else None
        results = refining.findResults(sourceNode)
        self.mapCheckBox.enabled = results is not None
        self.mapCheckBox.toolTip = (
            _("Start from {name}.").format(name=results.cutNode.GetName())
            if results
            else _("The scene has no lesion map of this CT; the segment's own densities serve instead.")
        )

    def _say(self, text, failed=False):
        from DRAMLesionPanel.shared import colors

        self.messageLabel.text = text
        self.messageLabel.styleSheet = colors.wordsIn(colors.ERROR if failed else "")

    @contextmanager
    def _reported(self):
        """Show what goes wrong in the block as one line, with details in the log."""
        try:
            yield
        except Exception as error:
            from DRAMLesionLib.system.errors import InputError

            if not isinstance(error, InputError):
                logging.exception("DRAM refine")
            self._say(str(error) or type(error).__name__, failed=True)
