"""Hidden module: registers the Segment Editor's effect "DRAM refine"."""

import sys
from pathlib import Path

import slicer
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import ScriptedLoadableModule, ScriptedLoadableModuleTest

# Installed, the library and the panel's files lie beside this file; in a source checkout they lie in these folders.
_CHECKOUT = Path(__file__).resolve().parents[1]
if (_CHECKOUT / "DRAMLesionLib" / "__init__.py").is_file():
    sys.path += [str(p) for p in (_CHECKOUT, _CHECKOUT / "DRAMLesion") if str(p) not in sys.path]


class SegmentEditorDRAMRefine(ScriptedLoadableModule):
    """Not in the module list: the effect is in the Segment Editor."""

    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        parent.title = _("SegmentEditorDRAMRefine")
        parent.categories = [translate("qSlicerAbstractCoreModule", "Segmentation")]
        parent.dependencies = ["Segmentations"]
        parent.contributors = ["The DRAMLesion developers"]
        parent.hidden = True
        parent.helpText = _("This hidden module registers the Segment Editor's effect DRAM refine.")
        parent.acknowledgementText = _("Part of the extension DRAMLesion.")
        slicer.app.connect("startupCompleted()", self.registerEditorEffect)

    def registerEditorEffect(self):
        import qSlicerSegmentationsEditorEffectsPythonQt as effects

        effect = effects.qSlicerSegmentEditorScriptedEffect(None)
        source = Path(__file__).with_name("SegmentEditorDRAMRefineLib") / "SegmentEditorEffect.py"
        effect.setPythonSource(source.as_posix())
        effect.self().register()


class SegmentEditorDRAMRefineTest(ScriptedLoadableModuleTest):
    """The effect on a phantom, in the application."""

    def setUp(self):
        slicer.mrmlScene.Clear()

    def runTest(self):
        self.setUp()
        self.test_refineAroundStroke()

    def test_refineAroundStroke(self):
        import numpy as np

        from DRAMLesionLib.phantom import make_phantom
        from DRAMLesionLib.results.scene import mrml

        phantom = make_phantom((80, 80, 64), (4.4, 4.4, 4.5))
        volumeNode = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "phantom")
        mrml.fill_volume_node(volumeNode, phantom.ct.array, phantom.ct)
        segmentationNode = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
        segmentationNode.CreateDefaultDisplayNodes()
        segmentationNode.SetReferenceImageGeometryParameterFromVolumeNode(volumeNode)
        segmentID = segmentationNode.GetSegmentation().AddEmptySegment("lesion")
        editor = slicer.qMRMLSegmentEditorWidget()
        editor.setMRMLScene(slicer.mrmlScene)
        editor.setMRMLSegmentEditorNode(slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentEditorNode"))
        editor.setSegmentationNode(segmentationNode)
        editor.setSourceVolumeNode(volumeNode)
        editor.setCurrentSegmentID(segmentID)
        editor.setActiveEffectByName("DRAM refine")
        effect = editor.activeEffect().self()
        places = np.argwhere(phantom.lesion)
        z, y, x = places[len(places) // 2]
        stroke = np.zeros(phantom.ct.array.shape, np.uint8)
        stroke[z, y - 1 : y + 2, x - 1 : x + 2] = 1
        mrml.update_segment(segmentationNode, segmentID, stroke, phantom.ct)
        effect.onRefine()
        refined = mrml.segment_array(segmentationNode, segmentID, phantom.ct)
        self.assertTrue((refined[stroke > 0] == 1).all())
        self.assertGreater(refined.sum(), stroke.sum())
        editor.undo()
        self.assertEqual(mrml.segment_array(segmentationNode, segmentID, phantom.ct).sum(), stroke.sum())
        self.delayDisplay("Test passed")
