"""``qSlicerSegmentationsEditorEffectsPythonQt`` and ``SegmentEditorEffects``: a host for scripted editor effects.

The segment editor's logic under it (masks, undo, changing segments) is the real one.
"""

import importlib.util
import sys
import types
from pathlib import Path

import qt
import slicer

_REAL = slicer.vtkSlicerSegmentEditorLogic


class qSlicerSegmentEditorScriptedEffect:
    """What an effect gets as ``scriptedEffect``; parameters live in the editor's node as attributes, as in Slicer."""

    ModificationModeSet = _REAL.ModificationModeSet
    ModificationModeAdd = _REAL.ModificationModeAdd
    ModificationModeRemove = _REAL.ModificationModeRemove
    ModificationModeRemoveAll = _REAL.ModificationModeRemoveAll

    def __init__(self, parent=None):
        self.name = self.title = ""
        self.perSegment = self.requireSegments = True
        self.logic, self._self, self._frame, self._active = None, None, None, False

    def setPythonSource(self, path):
        """As Slicer does: the file becomes a module under the name of its folder."""
        name = Path(path).parent.name
        spec = importlib.util.spec_from_file_location(name, path)
        module = sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        self._self = getattr(module, Path(path).stem)(self)
        return True

    def self(self):
        return self._self

    def optionsFrame(self):
        if self._frame is None:
            self._frame = qt.QWidget()
            qt.QFormLayout(self._frame)
            self._self.setupOptionsFrame()
        return self._frame

    def addOptionsWidget(self, widget):
        self._frame.layout().addRow(widget)

    def addLabeledOptionsWidget(self, text, widget):
        label = qt.QLabel(text)
        self._frame.layout().addRow(label, widget)
        return label

    def active(self):
        return self._active

    def activate(self):
        self._active = True
        self._self.activate()

    def deactivate(self):
        self._active = False

    def parameterSetNode(self):
        return self.logic.GetSegmentEditorNode() if self.logic else None

    def parameter(self, name):
        return self.parameterSetNode().GetAttribute(f"{self.name}.{name}") or ""

    def integerParameter(self, name):
        return int(self.parameter(name))

    def doubleParameter(self, name):
        return float(self.parameter(name))

    def setParameter(self, name, value):
        self.parameterSetNode().SetAttribute(f"{self.name}.{name}", str(value))

    def setParameterDefault(self, name, value):
        if not self.parameter(name):
            self.setParameter(name, value)

    def confirmCurrentSegmentVisible(self):
        return 1

    def saveStateForUndo(self):
        self.logic.SaveStateForUndo()

    def sourceVolumeImageData(self):
        self.logic.UpdateReferenceGeometryImage()
        self.logic.UpdateAlignedSourceVolume()
        return self.logic.GetAlignedSourceVolume()

    def defaultModifierLabelmap(self):
        self.logic.UpdateReferenceGeometryImage()
        self.logic.ResetModifierLabelmapToDefault()
        return self.logic.GetModifierLabelmap()

    def modifySegmentByLabelmap(self, segmentationNode, segmentID, modifier, mode, bypassMasking=False):
        self.logic.ModifySegmentByLabelmap(
            segmentationNode, segmentID, modifier, mode, self.perSegment, bypassMasking
        )

    def modifySelectedSegmentByLabelmap(self, modifier, mode, bypassMasking=False):
        node = self.parameterSetNode()
        self.modifySegmentByLabelmap(
            node.GetSegmentationNode(), node.GetSelectedSegmentID(), modifier, mode, bypassMasking
        )


class AbstractScriptedSegmentEditorEffect:
    """The base class of scripted effects."""

    def __init__(self, scriptedEffect):
        self.scriptedEffect = scriptedEffect

    def register(self):
        slicer.qSlicerSegmentEditorEffectFactory.instance().registerEffect(self.scriptedEffect)


class _Factory:
    def __init__(self):
        self.effects = {}

    def registerEffect(self, effect):
        self.effects[effect.name] = effect


def install():
    """Make the modules importable and the factory known to ``slicer``."""
    factory = _Factory()
    slicer.qSlicerSegmentEditorEffectFactory = types.SimpleNamespace(instance=lambda: factory)
    hosts = types.ModuleType("qSlicerSegmentationsEditorEffectsPythonQt")
    hosts.qSlicerSegmentEditorScriptedEffect = qSlicerSegmentEditorScriptedEffect
    base = types.ModuleType("SegmentEditorEffects")
    base.AbstractScriptedSegmentEditorEffect = AbstractScriptedSegmentEditorEffect
    for module in (hosts, base):
        sys.modules[module.__name__] = module
    return factory
