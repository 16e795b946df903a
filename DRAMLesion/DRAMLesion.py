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

from DRAMLesionPanel.shared.scripting import Scripting  # noqa: E402


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

    def __init__(self, parent=None):
        self.quitting = False
        # Before the base class, whose own connection calls cleanup: only Slicer's end unloads modules.
        slicer.app.moduleManager().connect("moduleAboutToBeUnloaded(QString)", self._onUnload)
        ScriptedLoadableModuleWidget.__init__(self, parent)

    def _onUnload(self, moduleName):
        self.quitting = self.quitting or moduleName == self.moduleName

    def onReload(self):
        """Load the panel's files anew, too: Slicer's own reload knows this file alone."""
        for name in list(sys.modules):
            if name.partition(".")[0] == "DRAMLesionPanel":
                del sys.modules[name]
        ScriptedLoadableModuleWidget.onReload(self)

    def setup(self):
        from DRAMLesionPanel.panel import Panel
        from DRAMLesionPanel.shared.scene_link import SceneLink

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
        slicer.app.moduleManager().disconnect("moduleAboutToBeUnloaded(QString)", self._onUnload)
        self.sceneLink.end()
        self.panel.cleanup(self.quitting)

    def enter(self):
        self.sceneLink.showScene()
        self.panel.enter()

    def exit(self):
        self.panel.leave()


class DRAMLesionLogic(Scripting, ScriptedLoadableModuleLogic):
    """What the module does, usable without its widget."""

    def __init__(self):
        from DRAMLesionPanel.logic import PanelLogic

        ScriptedLoadableModuleLogic.__init__(self)
        self.panelLogic = PanelLogic()

    def getParameterNode(self):
        from DRAMLesionPanel.shared.parameters import DRAMLesionParameterNode

        return DRAMLesionParameterNode(super().getParameterNode())


class DRAMLesionTest(ScriptedLoadableModuleTest):
    """The module's cases in the application."""

    def setUp(self):
        slicer.mrmlScene.Clear()

    def runTest(self):
        from DRAMLesionPanel.install.packages import PackageState
        from DRAMLesionPanel.self_test import SelfTest

        self.setUp()
        test = SelfTest(self, DRAMLesionLogic(), slicer.app.temporaryPath)
        if PackageState.here().complete:
            test.run()
            self.delayDisplay("Test passed")
        else:
            test.runWithoutPackages()
            self.delayDisplay("Test passed, without what needs the packages that Install installs")
