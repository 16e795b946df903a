"""The Slicer module DRAMLesion: COVID-19 lesion maps, lobe percentages and severity scores from chest CT."""

import sys
from pathlib import Path

import slicer
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)

# Installed, the library lies beside this file; in a source checkout it lies one folder up.
_CHECKOUT = Path(__file__).resolve().parents[1]
if (_CHECKOUT / "DRAMLesionLib" / "__init__.py").is_file() and str(_CHECKOUT) not in sys.path:
    sys.path.insert(0, str(_CHECKOUT))


class DRAMLesion(ScriptedLoadableModule):
    """What the module list and the help show."""

    def __init__(self, parent):
        from DRAMLesionPanel import about

        ScriptedLoadableModule.__init__(self, parent)
        parent.title = _("DRAMLesion")
        parent.categories = [translate("qSlicerAbstractCoreModule", "Segmentation")]
        parent.dependencies = ["SegmentEditor"]
        parent.contributors = ["The DRAMLesion developers"]
        parent.helpText = about.helpText()
        parent.acknowledgementText = about.acknowledgementText()
        slicer.app.connect("startupCompleted()", about.onStartup)


class DRAMLesionWidget(ScriptedLoadableModuleWidget):
    """Loads the panel and tells it when the user comes and goes."""

    def setup(self):
        from DRAMLesionPanel.panel import Panel
        from DRAMLesionPanel.scene_link import SceneLink

        ScriptedLoadableModuleWidget.setup(self)
        uiWidget = slicer.util.loadUI(self.resourcePath("UI/DRAMLesion.ui"))
        self.layout.addWidget(uiWidget)
        self.ui = slicer.util.childWidgetVariables(uiWidget)
        uiWidget.setMRMLScene(slicer.mrmlScene)
        self.logic = DRAMLesionLogic()
        self.panel = Panel(self.ui, self.logic.panelLogic, self.resourcePath)
        self.sceneLink = SceneLink(self.panel, self.ui, self.logic)
        if not self.panel.install.missing:
            self.panel.inputs.examine()

    def cleanup(self):
        self.sceneLink.end()
        self.panel.cleanup()

    def enter(self):
        self.sceneLink.showScene()
        self.panel.enter()

    def exit(self):
        self.panel.leave()


class DRAMLesionLogic(ScriptedLoadableModuleLogic):
    """What the module does, usable without its widget."""

    def __init__(self):
        from DRAMLesionPanel.logic import PanelLogic

        ScriptedLoadableModuleLogic.__init__(self)
        self.panelLogic = PanelLogic()

    def getParameterNode(self):
        from DRAMLesionPanel.parameters import DRAMLesionParameterNode

        return DRAMLesionParameterNode(super().getParameterNode())

    def segment(self, volumeNode, lobesNode=None, model=None, device="auto", wait=True, method=None):
        """Segment the lesions of a CT in a child process.

        :param volumeNode: the CT in HU
        :param lobesNode: segmentation of its lobes; None: they are found
        :param model: name or folder of a model; None: the default one
        :param device: auto, cpu, cuda:0 and so on
        :param wait: wait for the results while the application goes on living
        :param method: what makes the lesion: "final" or "dram"; None: the final network where it is there
        :return: object with heatmapNode, lesionSegmentationNode, lobesSegmentationNode and tableNode; with wait=False
          the run: call its poll() until it is true, then see its results or error
        """
        run = self.panelLogic.startSegmentation(volumeNode, lobesNode, model, device, method)
        return run.wait() if wait else run

    def train(self, data, recipe="dram", name=None, epochs=None, device="auto", model=None, wait=True):
        """Train a model in a process of its own; it then is among the models by its name.

        :param data: a data list, or a training folder of accepted cases
        :param recipe: dram, final, fine-tune, or a recipe's file
        :param name: of the new model; None: after the recipe
        :param epochs: instead of the recipe's
        :param device: auto, cpu, cuda:0 and so on
        :param model: the final network to start from (fine-tune), or the dRAM model that labels (final)
        :param wait: wait for the model while the application goes on living
        :return: the model's folder, None if it was stopped at a checkpoint; with wait=False the run: call its poll()
          until it is true, its stop() to stop it at a checkpoint
        """
        run = self.panelLogic.startTraining(data, recipe, name, epochs, device, model)
        return run.wait() if wait else run

    def resumeTraining(self, name=None, device=None, wait=True):
        """Go on with a training that was stopped, also in an earlier session; returns what train() does."""
        run = self.panelLogic.resumeTraining(name, device)
        return run.wait() if wait else run


class DRAMLesionTest(ScriptedLoadableModuleTest):
    """The module's cases in the application."""

    def setUp(self):
        slicer.mrmlScene.Clear()

    def runTest(self):
        from DRAMLesionPanel.self_test import SelfTest

        self.setUp()
        SelfTest(self, DRAMLesionLogic(), slicer.app.temporaryPath).run()
        self.delayDisplay("Test passed")
