"""``slicer.ScriptedLoadableModule`` and ``slicer.parameterNodeWrapper`` with Slicer's signatures, as small as can be."""

import typing
import unittest
from pathlib import Path

import qt
import slicer

__all__ = [
    "ScriptedLoadableModule",
    "ScriptedLoadableModuleLogic",
    "ScriptedLoadableModuleTest",
    "ScriptedLoadableModuleWidget",
    "WithinRange",
    "parameterNodeWrapper",
]


class ScriptedLoadableModule:
    def __init__(self, parent):
        self.parent = parent
        self.moduleName = type(self).__name__
        icon = Path(parent.path).parent / "Resources" / "Icons" / f"{self.moduleName}.png"
        if icon.is_file():
            parent.icon = qt.QIcon(str(icon))

    def resourcePath(self, filename):
        return str(Path(self.parent.path).parent / "Resources" / filename)


class ScriptedLoadableModuleWidget:
    def __init__(self, parent=None):
        self.moduleName = type(self).__name__.removesuffix("Widget")
        self.parent = parent
        self.layout = parent.layout()
        slicer.app.moduleManager().connect(
            "moduleAboutToBeUnloaded(QString)", self._onModuleAboutToBeUnloaded
        )

    def _onModuleAboutToBeUnloaded(self, moduleName):
        if moduleName == self.moduleName:
            self.cleanup()
            slicer.app.moduleManager().disconnect(
                "moduleAboutToBeUnloaded(QString)", self._onModuleAboutToBeUnloaded
            )

    def onReload(self):
        slicer.util.reloadScriptedModule(self.moduleName)

    def resourcePath(self, filename):
        return str(Path(slicer.util.modulePath(self.moduleName)).parent / "Resources" / filename)

    def setup(self):
        pass

    def cleanup(self):
        pass


class ScriptedLoadableModuleLogic:
    def __init__(self, parent=None):
        self.moduleName = type(self).__name__.removesuffix("Logic")

    def getParameterNode(self):
        node = slicer.mrmlScene.GetSingletonNode(self.moduleName, "vtkMRMLScriptedModuleNode")
        if node is None:
            node = slicer.mrmlScene.CreateNodeByClass("vtkMRMLScriptedModuleNode")
            node.UnRegister(None)
            node.SetSingletonTag(self.moduleName)
            node.SetName(self.moduleName)
            node = slicer.mrmlScene.AddNode(node)
        node.SetAttribute("ModuleName", self.moduleName)
        return node


class ScriptedLoadableModuleTest(unittest.TestCase):
    def runTest(self):
        pass

    def delayDisplay(self, message, msec=None):
        pass


class WithinRange:
    def __init__(self, minimum, maximum):
        self.minimum, self.maximum = minimum, maximum

    def validate(self, value):
        if not self.minimum <= value <= self.maximum:
            raise ValueError(f"Value must be within range [{self.minimum}, {self.maximum}], is {value}")


def parameterNodeWrapper(cls):
    """Typed attributes over a parameter node: str, bool, int, float and nodes."""
    hints = typing.get_type_hints(cls, include_extras=True)
    defaults = {name: getattr(cls, name, None) for name in hints}
    cls.allParameters = hints
    cls.__init__ = lambda self, node: _begin(self, node, defaults)
    for name, hint in hints.items():
        setattr(cls, name, _parameter(name, hint))
    for method in (_connectGui, _disconnectGui):
        setattr(cls, method.__name__.removeprefix("_"), method)
    cls.AddObserver = lambda self, event, call, priority=0.0: self.parameterNode.AddObserver(
        event, call, priority
    )
    cls.RemoveObserver = lambda self, tag: self.parameterNode.RemoveObserver(tag)
    return cls


def _begin(self, node, defaults):
    self.parameterNode, self._connections = node, {}
    for name, default in defaults.items():
        if default is not None and not node.GetParameter(name):
            node.SetParameter(name, str(default))


def _plain(hint):
    return typing.get_args(hint)[0] if typing.get_origin(hint) is typing.Annotated else hint


def _parameter(name, hint):
    kind = _plain(hint)

    def get(self):
        if kind not in (str, bool, int, float):
            return self.parameterNode.GetNodeReference(name)
        text = self.parameterNode.GetParameter(name)
        return text == "True" if kind is bool else kind(text)

    def put(self, value):
        for note in typing.get_args(hint)[1:] if typing.get_origin(hint) is typing.Annotated else ():
            note.validate(value)
        if kind not in (str, bool, int, float):
            self.parameterNode.SetNodeReferenceID(name, value.GetID() if value else None)
        else:
            self.parameterNode.SetParameter(name, str(kind(value)))

    return property(get, put)


class _Connector:
    """One widget and its parameter."""

    def __init__(self, owner, name, widget):
        self.owner, self.name, self.widget = owner, name, widget
        if isinstance(widget, slicer.qMRMLNodeComboBox):
            self.signal, self.read, self.write = (
                "currentNodeChanged(vtkMRMLNode*)",
                widget.currentNode,
                widget.setCurrentNode,
            )
        elif isinstance(widget, qt.QCheckBox):
            self.signal, self.read, self.write = "toggled(bool)", lambda: widget.checked, widget.setChecked
        else:
            self.signal, self.read, self.write = "valueChanged(double)", lambda: widget.value, widget.setValue
        self.busy = False
        self.toGui()
        widget.connect(self.signal, self.toParameter)

    def toGui(self):
        self.busy = True
        self.write(getattr(self.owner, self.name))
        self.busy = False

    def toParameter(self, _value=None):
        if not self.busy:
            setattr(self.owner, self.name, self.read())

    def end(self):
        self.widget.disconnect(self.signal, self.toParameter)


def _connectGui(self, gui):
    connectors = []
    for widget in vars(gui).values():
        name = widget.property("SlicerParameterName")
        if name:
            for note in typing.get_args(self.allParameters[name])[1:]:
                widget.minimum, widget.maximum = note.minimum, note.maximum
            connectors.append(_Connector(self, name, widget))
    tag = self.AddObserver("ModifiedEvent", lambda *_: [connector.toGui() for connector in connectors])
    self._connections[tag] = connectors
    return tag


def _disconnectGui(self, tag):
    self.RemoveObserver(tag)
    for connector in self._connections.pop(tag, []):
        connector.end()
