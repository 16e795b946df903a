"""``import qt`` as in Slicer: all of Qt in one module, with PythonQt's ways of reaching properties and signals."""

import ctypes
import inspect
import sys
import types
from xml.etree import ElementTree

from PySide6 import QtCore, QtGui, QtUiTools, QtWidgets

from panel_standin import pythonqt

KEEPS_ITS_METHOD = {"layout", "singleShot", "sizeHint", "minimumSizeHint"}
"""Properties whose method of the same name PythonQt code calls, or that C++ reads by a virtual method: that would look
for an override in Python, find the property, and so on without end."""


def _attributeOf(qtProperty):
    """A Python property that reads and writes a Qt property of the C++ class itself, whatever a subclass declares."""

    def get(self):
        return qtProperty.read(self)

    def put(self, value):
        if not qtProperty.write(self, value):
            raise ValueError(f"{type(self).__name__}.{qtProperty.name()} can't be {value!r}")

    return property(get, put)


def _addProperties(cls):
    """Make a class's own Qt properties attributes, as in PythonQt, where they hide the getters."""
    meta = cls.staticMetaObject
    for index in range(meta.propertyOffset(), meta.propertyCount()):
        qtProperty = meta.property(index)
        if qtProperty.name() not in KEEPS_ITS_METHOD:
            setattr(cls, qtProperty.name(), _attributeOf(qtProperty))


def _signal(self, signature):
    name, _, arguments = signature.partition("(")
    types_ = arguments.rstrip(")")
    signal = getattr(self, name)
    try:
        return signal[types_] if types_ else signal
    except (KeyError, IndexError, TypeError):
        return signal


def _connect(self, signature, receiver):
    """``widget.connect("clicked(bool)", function)``; the function gets as many arguments as it takes."""
    pythonqt.check_signal(self, signature)
    given = signature.partition("(")[2].rstrip(")")
    count = given.count(",") + 1 if given else 0
    takes = [p for p in inspect.signature(receiver).parameters.values() if p.kind <= p.POSITIONAL_OR_KEYWORD]
    count = min(count, len(takes))

    def slot(*arguments):
        receiver(*arguments[:count])

    self.__dict__.setdefault("_slots", {})[signature, receiver] = slot
    _signal(self, signature).connect(slot)
    return True


def _disconnect(self, signature, receiver):
    slot = self.__dict__.get("_slots", {}).pop((signature, receiver), None)
    if slot is not None:
        _signal(self, signature).disconnect(slot)
    return slot is not None


_plainAttribute = QtCore.QObject.__getattribute__


def _attribute(self, name):
    # PySide6 answers these two in C++ whatever the class says.
    if name == "connect":
        return types.MethodType(_connect, self)
    if name == "disconnect":
        return types.MethodType(_disconnect, self)
    value = _plainAttribute(self, name)
    return pythonqt.guarded(self, name, value) if pythonqt.called_by_us() else value


def _keepNone():
    """PySide6 6.12 gives back a reference to None too many for an empty QVariant. Since Python 3.12 that is harmless."""
    if sys.version_info < (3, 12):
        ctypes.c_ssize_t.from_address(id(None)).value += 1 << 40


def _install():
    _keepNone()
    for module in (QtCore, QtGui, QtWidgets, QtUiTools):
        # PySide6 makes its classes when they are first asked for: the module's dictionary does not have them all.
        for name in dir(module):
            if name.startswith("_"):
                continue
            value = getattr(module, name)
            globals().setdefault(name, value)
            if inspect.isclass(value) and issubclass(value, QtCore.QObject):
                _addProperties(value)
    QtCore.QObject.name = QtCore.QObject.objectName
    QtCore.QObject.className = lambda self: self.metaObject().className()
    QtCore.QObject.__getattribute__ = _attribute
    pythonqt.guard_values(sys.modules[__name__])


_install()
customWidgets = []


class QUiLoader(QtUiTools.QUiLoader):
    """Knows the stand-ins of Slicer's widgets."""

    def __init__(self):
        super().__init__()
        for cls in customWidgets:
            self.registerCustomWidget(cls)

    def load(self, file, parent=None):
        """Remember who gets the scene from the root: Qt can't make connections of C++ types here."""
        path = file.fileName()
        widget = super().load(file, parent)
        connections = ElementTree.parse(path).getroot().iter("connection")
        receivers = [
            connection.findtext("receiver")
            for connection in connections
            if connection.findtext("signal") == "mrmlSceneChanged(vtkMRMLScene*)"
            and connection.findtext("sender") == widget.objectName
        ]
        widget.setProperty("sceneReceivers", receivers)
        return widget


def custom(cls):
    """Class decorator: may be named in .ui files."""
    customWidgets.append(cls)
    return cls
