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

    class Application(qt.QApplication):
        """``slicer.app``."""

        startupCompleted = qt.Signal()

        def __init__(self, logic):
            super().__init__(["SlicerStandIn"])
            self._logic = logic
            self._temporary = tempfile.TemporaryDirectory(prefix="dramlesion-standin-")
            self.temporaryPath = self._temporary.name

        def applicationLogic(self):
            return self._logic

        def mrmlScene(self):
            return slicer.mrmlScene

        def testingEnabled(self):
            return True

        def layoutManager(self):
            return None

    scene = slicer.vtkMRMLScene()
    logic = slicer.vtkSlicerApplicationLogic()
    logic.SetMRMLScene(scene)
    logic.SetHomeDirectory(tempfile.gettempdir())
    colors = slicer.vtkSlicerColorLogic()
    colors.SetMRMLApplicationLogic(logic)
    colors.SetMRMLScene(scene)
    logic.SetColorLogic(colors)
    slicer.mrmlScene = scene
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


def _sampleData(slicer):
    """The module Sample Data, as far as modules register with it."""
    slicer.modules.sampleDataSources = {}

    def register(category="Custom", **source):
        slicer.modules.sampleDataSources.setdefault(category, []).append(types.SimpleNamespace(**source))

    module = types.ModuleType("SampleData")
    module.SampleDataLogic = types.SimpleNamespace(registerCustomSampleDataSource=register)
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
    return module


def openPanel(module):
    """Make a module's widget, as Slicer does when the user opens the module."""
    import qt
    import slicer

    host = slicer.qMRMLWidget()
    host.setLayout(qt.QVBoxLayout())
    host.resize(440, 1100)
    widget = getattr(module, f"{module.__name__}Widget")(host)
    widget.setup()
    widget.enter()
    host.show()
    return widget
