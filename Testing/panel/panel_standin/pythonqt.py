"""What PythonQt offers of Qt, and nothing else, for the extension's own code: ``pythonqt_wrapped.txt`` says what, and
where that was read. The stand-in's own files and the tests may use all of PySide6."""

import re
import sys
from functools import cache
from pathlib import Path

from PySide6 import QtCore, QtGui, QtWidgets

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[2]
OURS = tuple(str(REPOSITORY / folder) for folder in ("DRAMLesion", "SegmentEditorDRAMRefine"))
"""Whose code is held to it. ``DRAMLesionLib`` begins alike, and knows no Qt."""
EVERY_OBJECT = {"className", "connect", "disconnect", "delete", "help", "inherits", "name", "objectName"}
"""What PythonQt adds to each object, or answers itself."""


def _read() -> dict[str, dict[str, frozenset[int] | None]]:
    wrapped: dict[str, dict[str, frozenset[int] | None]] = {}
    names: dict[str, frozenset[int] | None] = {}
    for line in (HERE / "pythonqt_wrapped.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            continue
        head, colon, rest = line.partition(": ")
        if colon and not line.startswith(" "):
            names = wrapped[head] = {}
            line = rest
        for word in line.split():
            name, _, counts = word.rstrip(")").partition("(")
            names[name] = frozenset(map(int, counts.split(","))) if counts else None
    return wrapped


WRAPPED = _read()
"""By class and name: how many arguments, None for the name of an enumeration or of one of its values."""


class NotInPythonQt(AttributeError):
    """Slicer's Python would not know this."""


def called_by_us(depth: int = 2) -> bool:
    """Whether the caller's caller is the extension's own code."""
    file = sys._getframe(depth).f_code.co_filename
    return file.startswith(OURS) and "DRAMLesionLib" not in file


def bases(cls: type) -> list[type]:
    """The Qt classes among a class and its bases."""
    found = [base for base in cls.__mro__ if base.__module__.startswith("PySide6")]
    if any(base.__name__ == "QEvent" for base in found):
        # A filter is handed events of every kind: of one that is not in the list it has what QEvent has.
        return [base for base in found if base.__name__ in WRAPPED]
    return found


def counts_of(cls: type, name: str) -> frozenset[int] | None:
    """How many arguments a class's method takes by its wrappers; an empty set where there is none of the name.

    Raises:
        NotInPythonQt: A class is not in the list.
    """
    counts: set[int] = set()
    for base in bases(cls):
        if base.__name__ not in WRAPPED and base.__name__.endswith("Event"):
            continue  # a filter is given events of all kinds, and may ask what every event has
        if base.__name__ not in WRAPPED:
            raise NotInPythonQt(
                f"{base.__name__}: is not in pythonqt_wrapped.txt: look it up, and add it there"
            )
        names = WRAPPED[base.__name__]
        if name in names and names[name] is None:
            return None
        counts |= names.get(name) or frozenset()
    return frozenset(counts)


def by_meta_object(meta, name: str) -> set[int]:
    """How many arguments a class's signals, slots and invokable methods of a name take."""
    methods = (meta.method(index) for index in range(meta.methodCount()))
    return {method.parameterCount() for method in methods if bytes(method.name().data()).decode() == name}


@cache
def registered_values(cls: type) -> set[str]:
    """Values of the enumerations that a class has registered with Qt itself."""
    meta = getattr(cls, "staticMetaObject", None)
    if meta is None:
        return set()
    enumerators = [meta.enumerator(index) for index in range(meta.enumeratorCount())]
    return {enumerator.key(number) for enumerator in enumerators for number in range(enumerator.keyCount())}


# Now, for PySide takes the meta object of a class for deleted once an object of it, whose meta object was asked for, is.
for _name in WRAPPED:
    for _module in (QtCore, QtGui, QtWidgets):
        if _class := getattr(_module, _name, None):  # not `vars`: PySide makes a class once it is asked for
            registered_values(_class)


def guarded(thing, name: str, value):
    """A value that the extension asked a Qt object for, if PythonQt would give it, too.

    Raises:
        NotInPythonQt: It would not.
    """
    cls = type(thing)
    if name.startswith("__") or name in EVERY_OBJECT or name in getattr(thing, "__dict__", {}):
        return value
    if any(
        name in vars(base) for base in cls.__mro__ if not base.__module__.startswith(("PySide6", "Shiboken"))
    ):
        return value  # the stand-in's own class, or a subclass of the extension's
    meta = thing.metaObject() if hasattr(cls, "staticMetaObject") else None
    if meta is not None and meta.indexOfProperty(name) >= 0 and not hasattr(value, "emit"):
        return value() if callable(value) and name in ("sizeHint", "minimumSizeHint") else value
    counts = counts_of(cls, name)
    if counts is None:
        return value
    allowed = set(counts) | (by_meta_object(meta, name) if meta is not None else set())
    if not allowed:
        raise NotInPythonQt(f"{cls.__name__}.{name}: PythonQt does not wrap it")
    if not callable(value) or hasattr(value, "emit"):
        return value

    def call(*arguments):
        if len(arguments) not in allowed:
            raise NotInPythonQt(f"{cls.__name__}.{name}: PythonQt takes {sorted(allowed)} arguments")
        return value(*arguments)

    return call


def check_signal(thing, signature: str) -> None:
    """Refuse a connection that PythonQt would not make, with nothing but a line on standard error.

    Raises:
        NotInPythonQt: There is no such signal.
    """
    cls = type(thing)
    if cls.__module__.startswith("PySide6") and thing.metaObject().indexOfSignal(signature) < 0:
        raise NotInPythonQt(f"{cls.__name__}: has no signal {signature}")


def guard_values(module) -> None:
    """Guard what is no QObject: painters, pictures, items."""
    for name in WRAPPED:
        cls = getattr(module, name, None)
        if isinstance(cls, type) and not hasattr(cls, "staticMetaObject") and re.match("Q[A-Z]", name):
            _guard(cls)


def _guard(cls: type) -> None:
    plain = cls.__getattribute__

    def attribute(self, name):
        value = plain(self, name)
        return guarded(self, name, value) if called_by_us() else value

    cls.__getattribute__ = attribute
