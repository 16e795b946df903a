"""Starts the stand-in: a scene with slice views, ``slicer.app``, ``slicer.modules``, and a module loader."""

import importlib
import sys
import tempfile
import types
from pathlib import Path

HERE = Path(__file__).resolve().parent


def start():
    """Start once per process; returns the application."""
    import slicer

    if hasattr(slicer, "_standIn"):
        return slicer._standIn
    for name in ("qt", "ctk"):
        sys.modules[name] = importlib.import_module(f"panel_standin.{name}")
    import qt
    import slicer.util
    import vtk

    # The .ui passes the scene on by a signal of a C++ type, which the stand-ins do without.
    qt.QLoggingCategory.setFilterRules("qt.core.qobject.connect=false")

    settings = tempfile.mkdtemp(prefix="dramlesion-standin-settings-")

    class Modules(qt.QObject):
        """``slicer.app.moduleManager()``."""

        moduleAboutToBeUnloaded = qt.Signal(str)

        def __init__(self):
            super().__init__()
            self.loaded = []

    class Application(qt.QApplication):
        """``slicer.app``."""

        startupCompleted = qt.Signal()
        quitting = qt.Signal()
        """``aboutToQuit``, which can't be emitted from here, for those who connected before :meth:`end`."""

        def __init__(self, logic):
            super().__init__(["SlicerStandIn"])
            self._modules = Modules()
            self._logic = logic
            self._temporary = tempfile.TemporaryDirectory(prefix="dramlesion-standin-")
            self.temporaryPath = self._temporary.name

        def applicationLogic(self):
            return self._logic

        def mrmlScene(self):
            return slicer.mrmlScene

        testing = False
        slicerUserSettingsFilePath = str(Path(settings) / "Slicer.ini")

        def testingEnabled(self):
            return self.testing

        def layoutManager(self):
            return None

        def moduleManager(self):
            return self._modules

        def end(self):
            """What happens when the application quits: modules are unloaded before others hear of it."""
            for name in list(self._modules.loaded):
                self._modules.moduleAboutToBeUnloaded.emit(name)
            self.quitting.emit()

    qt.QSettings.setDefaultFormat(qt.QSettings.IniFormat)
    qt.QSettings.setPath(qt.QSettings.IniFormat, qt.QSettings.UserScope, settings)
    scene = slicer.vtkMRMLScene()
    logic = slicer.vtkSlicerApplicationLogic()
    logic.SetMRMLScene(scene)
    logic.SetHomeDirectory(tempfile.gettempdir())
    colors = slicer.vtkSlicerColorLogic()
    colors.SetMRMLApplicationLogic(logic)
    colors.SetMRMLScene(scene)
    logic.SetColorLogic(colors)
    slicer.mrmlScene = scene
    crosshair = slicer.vtkMRMLCrosshairNode()  # as qSlicerCoreApplication::setMRMLScene
    crosshair.SetCrosshairName("default")
    scene.AddNode(crosshair)
    slicer.modules = sys.modules["slicer.modules"] = types.ModuleType("slicer.modules")
    kinds = {
        "volumes": slicer.vtkSlicerVolumesLogic,
        "segmentations": slicer.vtkSlicerSegmentationsModuleLogic,
        "subjecthierarchy": slicer.vtkSlicerSubjectHierarchyModuleLogic,
        "plots": slicer.vtkSlicerPlotsLogic,
        "tables": slicer.vtkSlicerTablesLogic,
        "terminologies": slicer.vtkSlicerTerminologiesModuleLogic,
    }
    for name, kind in kinds.items():
        module = kind()
        module.SetMRMLApplicationLogic(logic)
        module.SetMRMLScene(scene)
        setattr(slicer.modules, name, types.SimpleNamespace(logic=lambda module=module: module))
    logic.SetSliceLogics(vtk.vtkCollection())
    for name in ("Red", "Yellow", "Green"):
        view = slicer.vtkMRMLSliceLogic()
        view.SetMRMLApplicationLogic(logic)
        logic.GetSliceLogics().AddItem(view)
        view.SetMRMLScene(scene)
        view.AddSliceNode(name)
    slicer.app = slicer._standIn = Application(logic)
    importlib.import_module("panel_standin.widgets")
    importlib.import_module("panel_standin.effects").install()
    _modules(slicer)
    return slicer.app


def _modules(slicer):
    scripted = importlib.import_module("panel_standin.scripted")
    slicer.ScriptedLoadableModule = sys.modules["slicer.ScriptedLoadableModule"] = scripted
    slicer.parameterNodeWrapper = sys.modules["slicer.parameterNodeWrapper"] = scripted
    sys.modules["SampleData"] = _sampleData(slicer)
    words = types.ModuleType("slicer.i18n")
    words.tr = lambda text: text
    words.translate = lambda _context, text: text
    slicer.i18n = sys.modules["slicer.i18n"] = words


class SampleDataSource:
    """A sample, with Slicer's arguments."""

    def __init__(self, sampleName=None, uris=None, fileNames=None, nodeNames=None, checksums=None, loadFiles=None,
                 customDownloader=None, thumbnailFileName=None, loadFileTypes=None, loadFileProperties=None):  # fmt: skip
        self.sampleName, self.customDownloader, self.thumbnailFileName = (
            sampleName,
            customDownloader,
            thumbnailFileName,
        )
        self.uris = uris if isinstance(uris, list) else [uris]
        self.fileNames = fileNames if isinstance(fileNames, list) else [fileNames]
        self.nodeNames = nodeNames if isinstance(nodeNames, list) else [nodeNames]


def _sampleData(slicer):
    """The module Sample Data, as far as modules register with it; a click shows no exception."""
    slicer.modules.sampleDataSources = {}

    def register(category="Custom", sampleName=None, uris=None, fileNames=None, nodeNames=None, customDownloader=None,
                 thumbnailFileName=None, loadFileTypes=None, loadFiles=None, loadFileProperties=None, checksums=None,
                 loadFileType=None):  # fmt: skip
        source = SampleDataSource(sampleName, uris, fileNames, nodeNames, checksums, loadFiles, customDownloader,
                                  thumbnailFileName, loadFileTypes, loadFileProperties)  # fmt: skip
        slicer.modules.sampleDataSources.setdefault(category, []).append(source)

    module = types.ModuleType("SampleData")
    module.SampleDataLogic = types.SimpleNamespace(registerCustomSampleDataSource=register)
    module.SampleDataSource = SampleDataSource
    return module


def loadModule(path):
    """Import a module file, as Slicer does at start-up; returns the Python module."""
    import slicer

    path = Path(path)
    if str(path.parent) not in sys.path:
        sys.path.insert(0, str(path.parent))
    module = importlib.import_module(path.stem)
    parent = types.SimpleNamespace(path=str(path), hidden=False)
    setattr(slicer.modules, path.stem.lower(), parent)
    getattr(module, path.stem)(parent)
    slicer.app.moduleManager().loaded.append(path.stem)
    return module


def openPanel(module):
    """Make a module's widget, as Slicer does when the user opens the module."""
    import qt
    import slicer

    host = slicer.qSlicerScriptedLoadableModuleWidget()
    host.setLayout(qt.QVBoxLayout())
    host.resize(440, 1100)

    def make(parent):
        # After a reload the class is that of the new module.
        widget = getattr(sys.modules[module.__name__], f"{module.__name__}Widget")(parent)
        setattr(slicer.modules, f"{module.__name__}Widget", widget)
        return widget

    host.makeModule = make
    host.module = make(host)
    getattr(slicer.modules, module.__name__.lower()).widgetRepresentation = lambda: host
    host.module.setup()
    host.enter()
    host.show()
    return host.module


def closePanel(widget):
    """Take a module's widget away, as Slicer does at its end: nothing of it is left that hears of the scene.

    No event loop runs here, and without one Qt keeps for ever what is to be deleted later."""
    import qt
    import slicer

    host = widget.parent
    host.exit()
    host.module.cleanup()
    slicer.app.moduleManager().disconnect(
        "moduleAboutToBeUnloaded(QString)", host.module._onModuleAboutToBeUnloaded
    )
    host.deleteLater()
    qt.QCoreApplication.sendPostedEvents(None, qt.QEvent.DeferredDelete.value)
    slicer.app.processEvents()
