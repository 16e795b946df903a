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
        self._ct = self._label = self._refining = None
        self._words = ""
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
        self.refineButton.connect("clicked()", self.onRefine)
        self.restartButton.connect("clicked()", self.onRestart)
        self.autoCheckBox.connect("toggled(bool)", self.updateMRMLFromGUI)
        self.mapCheckBox.connect("toggled(bool)", self.updateMRMLFromGUI)
        self.reachSlider.connect("valueChanged(double)", self.updateMRMLFromGUI)

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
            self._label, self._refining = self._refining.base, None

    def activate(self):
        with self._reported():
            self._begin()

    def sourceVolumeNodeChanged(self):
        if self.scriptedEffect.active():
            self.activate()

    def cleanup(self):
        self.removeObservers()
        self._ct = self._label = self._refining = None

    def onRestart(self):
        self._begun = ()
        with self._reported():
            self._begin()

    def onRefine(self):
        if not self.scriptedEffect.confirmCurrentSegmentVisible():
            return
        with self._reported(), slicer.util.WaitCursor():
            self._begin()
            label = self._read()
            self._started().see(label)
            if self._refining.hasStrokes(label):
                self._refine(label)
            else:
                self._say(_("Nothing was painted yet: use Paint, Erase or Scissors, then come back."))

    def _refine(self, label):
        refining = self._started()
        self._busy = True
        try:
            self.scriptedEffect.saveStateForUndo()
            wanted = refining.refine(label)
            self._change(wanted > label, self.scriptedEffect.ModificationModeAdd)
            self._change(wanted < label, self.scriptedEffect.ModificationModeRemove)
            now = self._read()
            refining.refined(now)
        finally:
            self._busy = False
        counts = (int((now > label).sum()), int((now < label).sum()))
        self._say(
            _("Refined: {added} voxels came in, {removed} went out.").format(
                added=counts[0], removed=counts[1]
            )
        )

    def _change(self, mask, mode):
        """Hand voxels to the editor, which applies its masks and what it does with other segments."""
        if not mask.any():
            return
        import SimpleITK as sitk
        from vtk.util.numpy_support import vtk_to_numpy

        from DRAMLesionLib.images.volume import to_image

        modifier = self.scriptedEffect.defaultModifierLabelmap()
        voxels = sitk.GetArrayFromImage(to_image(mask, self._ct)).ravel()
        vtk_to_numpy(modifier.GetPointData().GetScalars())[:] = voxels
        modifier.Modified()
        self.scriptedEffect.modifySelectedSegmentByLabelmap(modifier, mode)

    def _begin(self):
        """Take the chosen segment as it is, unless that was done before."""
        from DRAMLesionPanel.correct import segment_refining as refining

        from DRAMLesionLib.system.errors import InputError

        node = self.scriptedEffect.parameterSetNode()
        segmentationNode, sourceNode = node.GetSegmentationNode(), node.GetSourceVolumeNode()
        segmentID = node.GetSelectedSegmentID()
        if segmentationNode is None or sourceNode is None or not segmentID:
            self._forget()
            raise InputError(_("choose a segmentation, a segment and the CT as source volume"))
        begun = (segmentationNode.GetID(), segmentID, sourceNode.GetID())
        if begun == self._begun and self._label is not None:
            return
        self._forget()
        if segmentationNode.GetParentTransformNode() is not None:
            name = segmentationNode.GetName()
            raise InputError(_("{name}: lies under a transform: harden it first").format(name=name))
        self._ct = refining.volumeOf(self.scriptedEffect.sourceVolumeImageData(), sourceNode.GetName())
        self._segment = (segmentationNode, segmentID)
        self._label = self._read()
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
            beginning = refining.begin(self._ct, self._label, sourceNode, useMap)
            reach = self.scriptedEffect.doubleParameter("ReachMm")
            self._refining = refining.Refining(self._ct, self._label, beginning, reach)
        return self._refining

    def _forget(self):
        self.removeObservers()
        self._begun = ()
        self._ct = self._label = self._refining = None

    def _read(self):
        from DRAMLesionLib.results.scene import mrml

        segmentationNode, segmentID = self._segment
        return mrml.segment_array(segmentationNode, segmentID, self._ct)

    def _onSegmentModified(self, _caller, _event):
        if self._busy or self._waiting:
            return
        # Effects may report several times while they apply one stroke: wait until they are through.
        self._waiting = True
        qt.QTimer.singleShot(0, self._onStroke)

    def _onStroke(self):
        self._waiting = False
        if self._busy or self._label is None:
            return
        segmentationNode, segmentID = self._segment
        gone = segmentationNode.GetScene() is None or not segmentationNode.GetSegmentation().GetSegment(
            segmentID
        )
        if gone:
            self._forget()
            return
        with self._reported():
            label = self._read()
            auto = bool(self.scriptedEffect.integerParameter("AutoRefine"))
            if self._refining is None and not auto:
                return
            if self._started().see(label) and auto:
                self._refine(label)

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
