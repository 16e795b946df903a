"""The extension asks Qt for nothing that PythonQt lacks: classes, constructors and static methods are read in its files,
the rest is refused by the stand-in when it is asked for."""

import ast
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
SOURCES = [
    path
    for folder in ("DRAMLesion", "SegmentEditorDRAMRefine")
    for path in sorted((REPOSITORY / folder).rglob("*.py"))
]


def asked(source: str) -> list[tuple[str, str, int | None]]:
    """What a file asks of ``qt``: class, name (``new`` for the class itself), and how many arguments in a call."""
    calls, attributes, found = {}, {}, []
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            calls[node.func] = len(node.args)
        if isinstance(node, ast.Attribute):
            attributes[node.value] = node
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "qt":
            if node in calls:
                found.append((node.attr, "new", calls[node]))
            elif node in attributes:
                below = attributes[node]
                found.append((node.attr, below.attr, calls.get(below)))
            else:
                found.append((node.attr, "", None))
    return found


def refused(source: str) -> list[str]:
    """What of it PythonQt lacks."""
    import qt
    from panel_standin.pythonqt import WRAPPED, bases, registered_values

    wrong = []
    for name, below, arguments in asked(source):
        if name not in WRAPPED:
            wrong.append(f"qt.{name}")
            continue
        chain = [base.__name__ for base in bases(getattr(qt, name))] if name != "Qt" else ["Qt"]
        known = [WRAPPED[base][below] for base in chain if below in WRAPPED.get(base, {})]
        if (
            not below
            or below.startswith("__")
            or (known and (arguments is None or any(k and arguments in k for k in known)))
        ):
            continue
        if (below == "new" and arguments == 0 and not known) or below in registered_values(getattr(qt, name)):
            continue
        wrong.append(f"qt.{name}.{below}" + ("" if arguments is None else f" with {arguments} arguments"))
    return wrong


def test_what_is_read_is_refused_where_pythonqt_lacks_it(application):
    source = "qt.QLabel('a')\nqt.QLabel(1, 2, 3, 4)\nqt.QSvgWidget()\nqt.QFileDialog.getSaveFileName(1)\nqt.Qt.Wrong"
    assert refused(source) == ["qt.QLabel.new with 4 arguments", "qt.QSvgWidget", "qt.Qt.Wrong"]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_each_file_asks_for_what_pythonqt_has(application, path):
    assert refused(path.read_text(encoding="utf-8")) == []


def test_the_stand_in_refuses_the_rest_when_the_extension_asks(application):
    import qt
    from panel_standin.pythonqt import NotInPythonQt, guarded

    table, pen = qt.QTableWidget(), qt.QPen()
    for thing, name in ((table, "noSuchMethod"), (table, "grabGestureless"), (pen, "noSuchMethod")):
        with pytest.raises(NotInPythonQt):
            guarded(thing, name, len)
    with pytest.raises(NotInPythonQt, match="arguments"):
        guarded(table, "item", table.item)(1)
    assert guarded(table, "item", table.item)(0, 0) is None
    with pytest.raises(NotInPythonQt, match="no signal"):
        table.connect("cellClicked(int)", print)
    with pytest.raises(NotInPythonQt, match="look it up"):
        guarded(qt.QDial(), "value2", len)
