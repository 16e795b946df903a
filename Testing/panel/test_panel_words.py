"""What people read: every control has a tip, every text goes through translation, and Tab follows the panel."""

import ast
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
SOURCES = sorted(
    path
    for folder in ("DRAMLesion", "SegmentEditorDRAMRefine")
    for path in (REPOSITORY / folder).rglob("*.py")
    if "__pycache__" not in path.parts
)
SHOWN_BY_CALL = {
    "addButton",
    "addItem",
    "addRow",
    "confirmOkCancelDisplay",
    "errorDisplay",
    "infoDisplay",
    "setEditText",
    "setItemText",
    "setText",
    "setTitle",
    "setToolTip",
    "showIn",
    "showStatus",
    "_say",
    "QLabel",
    "QPushButton",
    "QCheckBox",
}
SHOWN_BY_NAME = {
    "text",
    "toolTip",
    "placeholderText",
    "informativeText",
    "title",
    "windowTitle",
    "helpText",
    "acknowledgementText",
}
NO_WORDS = {"DRAMLesion", "The DRAMLesion developers", "TotalSegmentator"}
"""Names are the same in all languages."""


def words_in(node: ast.AST) -> list[str]:
    """Literal words that are shown as they are, not through ``_()``."""
    if isinstance(node, ast.Call):
        function = node.func
        if isinstance(function, ast.Attribute) and function.attr == "format":
            return words_in(function.value)
        return []
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        shown = node.value.strip()
        return [shown] if any(c.isalpha() for c in shown) and shown not in NO_WORDS else []
    if isinstance(node, ast.JoinedStr):
        literal = "".join(part.value for part in node.values if isinstance(part, ast.Constant))
        return [literal] if any(c.isalpha() for c in literal.replace("TotalSegmentator", "")) else []
    if isinstance(node, ast.BinOp):
        return words_in(node.left) + words_in(node.right)
    if isinstance(node, ast.IfExp):
        return words_in(node.body) + words_in(node.orelse)
    if isinstance(node, ast.BoolOp):
        return [word for value in node.values for word in words_in(value)]
    return []


def bare_words(source: str) -> list[str]:
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            function = node.func
            name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
            if name in SHOWN_BY_CALL:
                # Behind the text of an entry comes its data.
                shown = node.args[:1] if name == "addItem" else node.args
                if name == "showIn":
                    shown = node.args[1:2]
                if name in ("showStatus", "_say", "setItemText"):
                    shown = node.args[name == "setItemText" :][:1]
                found += [word for argument in shown for word in words_in(argument)]
        elif isinstance(node, ast.Assign):
            for target in node.targets:
                if isinstance(target, ast.Attribute) and target.attr in SHOWN_BY_NAME:
                    found += words_in(node.value)
    return found


def test_the_search_finds_bare_words():
    source = 'ui.a.text = "Bare"\nui.b.text = _("Fine")\npanel.showStatus(f"bare {x}")\nbox.addItem(_("x"), "data")'
    assert bare_words(source) == ["Bare", "bare "]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_every_text_goes_through_translation(path: Path) -> None:
    assert bare_words(path.read_text(encoding="utf-8")) == []


def controls(panel) -> dict:
    import ctk
    import qt
    import slicer

    kinds = (
        qt.QPushButton,
        qt.QCheckBox,
        qt.QComboBox,
        qt.QLineEdit,
        qt.QSpinBox,
        ctk.ctkSliderWidget,
        ctk.ctkPathLineEdit,
        slicer.qMRMLNodeComboBox,
        slicer.qMRMLTableView,
    )
    named = {name: widget for name, widget in vars(panel.ui).items() if not name.startswith("qt_")}
    return {name: widget for name, widget in named.items() if isinstance(widget, kinds)}


def test_each_control_has_a_tip_and_each_label_its_buddy(panel):
    import qt

    found = controls(panel)
    assert len(found) > 30
    assert [name for name, widget in found.items() if not widget.toolTip] == []
    labels = {
        name: w for name, w in vars(panel.ui).items() if isinstance(w, qt.QLabel) and w.text.endswith(":")
    }
    assert len(labels) > 10
    assert [name for name, label in labels.items() if label.buddy() is None] == []


def test_tab_goes_down_the_panel_in_the_order_of_the_file(panel):
    """Each section's controls follow each other, and the sections, too."""
    text = (REPOSITORY / "DRAMLesion" / "Resources" / "UI" / "DRAMLesion.ui").read_text(encoding="utf-8")
    order, widget = [], panel.ui.wheelFolderSelector
    for _ in range(600):
        order.append(widget.objectName)
        widget = widget.nextInFocusChain()
        if widget is panel.ui.wheelFolderSelector:
            break
    names = [name for name in controls(panel) if name in order]
    assert set(names) == set(controls(panel)), "each can be reached"
    wanted = sorted(names, key=lambda name: text.index(f'name="{name}"'))
    assert sorted(names, key=order.index) == wanted
