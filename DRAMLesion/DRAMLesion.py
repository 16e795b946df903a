"""The Slicer module DRAMLesion: COVID-19 lesion maps, lobe percentages and severity scores from chest CT."""

import sys
from pathlib import Path

import slicer
import vtk
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)
from slicer.util import VTKObservationMixin

# Installed, the library lies beside this file; in a source checkout it lies one folder up.
_CHECKOUT = Path(__file__).resolve().parents[1]
if (_CHECKOUT / "DRAMLesionLib" / "__init__.py").is_file() and str(_CHECKOUT) not in sys.path:
    sys.path.insert(0, str(_CHECKOUT))


class DRAMLesion(ScriptedLoadableModule):
    """What the module list and the help show."""

    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        parent.title = _("DRAMLesion")
        parent.categories = [translate("qSlicerAbstractCoreModule", "Segmentation")]
        parent.dependencies = ["SegmentEditor"]
        parent.contributors = ["The DRAMLesion developers"]
        parent.helpText = _(
            "Finds COVID-19 lesions in chest CT and quantifies them per lobe with dense regression activation maps "
            "(dRAM). Paint where it is wrong, and the rest follows. <b>Research use only, not for diagnosis.</b>"
            "<p>Please cite: Xie W., Jacobs C., Charbonnier J.-P., van Ginneken B., <i>Dense Regression Activation "
            'Maps for Lesion Segmentation in CT scans of COVID-19 patients</i>, <a href="https://arxiv.org/abs/'
            '2105.11748">arXiv 2105.11748</a>.'
        )
        parent.acknowledgementText = _(
            "The method is by the Diagnostic Image Analysis Group, Radboud University Medical Center, Nijmegen."
        )
        slicer.app.connect("startupCompleted()", loadTerminology)


def loadTerminology():
    """Let Slicer name lobes and lesion by the terms that the results carry."""
    import DRAMLesionLib

    path = Path(DRAMLesionLib.__file__).parent / "terminologies" / "DRAMLesion.term.json"
    slicer.modules.terminologies.logic().LoadTerminologyFromFile(str(path))


class DRAMLesionWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """Loads the panel and tells it what happens to the scene."""

    def __init__(self, parent=None):
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.logic = self.panel = self._parameterNode = self._guiTag = None

    def setup(self):
        from DRAMLesionPanel.panel import Panel

        ScriptedLoadableModuleWidget.setup(self)
        uiWidget = slicer.util.loadUI(self.resourcePath("UI/DRAMLesion.ui"))
        self.layout.addWidget(uiWidget)
        self.ui = slicer.util.childWidgetVariables(uiWidget)
        uiWidget.setMRMLScene(slicer.mrmlScene)
        self.logic = DRAMLesionLogic()
        self.panel = Panel(self.ui, self.logic.panelLogic, self.resourcePath)
        for event, method in (
            (slicer.mrmlScene.StartCloseEvent, self.onSceneStartClose),
            (slicer.mrmlScene.EndCloseEvent, self.onSceneEndClose),
            (slicer.mrmlScene.EndImportEvent, self.onSceneEndClose),
            (slicer.mrmlScene.NodeRemovedEvent, self.onNodeRemoved),
        ):
            self.addObserver(slicer.mrmlScene, event, method)
        self.initializeParameterNode()
        if not self.panel.install.missing:
            self.panel.inputs.examine()

    def cleanup(self):
        self.setParameterNode(None)
        self.panel.cleanup()
        self.removeObservers()

    def enter(self):
        self.initializeParameterNode()
        self.panel.enter()

    def exit(self):
        self.panel.leave()

    def onSceneStartClose(self, caller, event):
        self.setParameterNode(None)
        self.panel.closeScene()

    def onSceneEndClose(self, caller, event):
        self.initializeParameterNode()

    def onNodeRemoved(self, caller, event):
        if not slicer.mrmlScene.IsBatchProcessing():
            self.panel.update()

    def initializeParameterNode(self):
        self.setParameterNode(self.logic.getParameterNode())
        self.panel.inputs.chooseFirst()

    def setParameterNode(self, parameterNode):
        if self._parameterNode:
            self._parameterNode.disconnectGui(self._guiTag)
            self.removeObserver(
                self._parameterNode, vtk.vtkCommand.ModifiedEvent, self.onParameterNodeModified
            )
        self._parameterNode = parameterNode
        if parameterNode:
            self._guiTag = parameterNode.connectGui(self.ui)
            self.addObserver(parameterNode, vtk.vtkCommand.ModifiedEvent, self.onParameterNodeModified)
        self.panel.setParameters(parameterNode)

    def onParameterNodeModified(self, caller, event):
        self.panel.update()


class DRAMLesionLogic(ScriptedLoadableModuleLogic):
    """What the module does, usable without its widget."""

    def __init__(self):
        from DRAMLesionPanel.logic import PanelLogic

        ScriptedLoadableModuleLogic.__init__(self)
        self.panelLogic = PanelLogic()

    def getParameterNode(self):
        from DRAMLesionPanel.parameters import DRAMLesionParameterNode

        return DRAMLesionParameterNode(super().getParameterNode())

    def segment(self, volumeNode, lobesNode=None, model=None, device="auto", wait=True):
        """Segment the lesions of a CT in a child process.

        :param volumeNode: the CT in HU
        :param lobesNode: segmentation of its lobes; None: they are found
        :param model: name or folder of a model; None: the default one
        :param device: auto, cpu, cuda:0 and so on
        :param wait: wait for the results while the application goes on living
        :return: object with heatmapNode, lesionSegmentationNode, lobesSegmentationNode and tableNode; with wait=False
          the run: call its poll() until it is true, then see its results or error
        """
        run = self.panelLogic.startSegmentation(volumeNode, lobesNode, model, device)
        return run.wait() if wait else run


class DRAMLesionTest(ScriptedLoadableModuleTest):
    """The main job on a phantom, in the application."""

    def setUp(self):
        slicer.mrmlScene.Clear()

    def runTest(self):
        self.setUp()
        self.test_segmentPhantom()

    def test_segmentPhantom(self):
        from DRAMLesionLib.mrml import fill_volume_node
        from DRAMLesionLib.phantom import make_phantom

        phantom = make_phantom((80, 80, 64), (4.4, 4.4, 4.5))
        volumeNode = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "phantom")
        fill_volume_node(volumeNode, phantom.ct.array, phantom.ct)
        results = DRAMLesionLogic().segment(volumeNode, device="cpu")
        self.assertEqual(results.tableNode.GetNumberOfRows(), 8)
        self.assertGreater(slicer.util.arrayFromVolume(results.heatmapNode).max(), 0)
        self.delayDisplay("Test passed")
