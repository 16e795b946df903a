"""The keys while a lesion is corrected.

The embedded editor's own keys stay off: its undo restores the segment behind the correction's back, and would be taken
for a stroke. These are the keys that people know from the Segment Editor, for the correction's undo and its tools.
"""

from collections.abc import Callable, Sequence
from typing import Any

import qt
import slicer

UNDO_KEYS, REDO_KEYS = ("Ctrl+Z", "Z"), ("Ctrl+Y", "Y", "Ctrl+Shift+Z")
NO_TOOL_KEY, LAST_TOOL_KEY = "Esc", "Space"


class CorrectionKeys:
    """Keys of the main window that are bound while the section is open and the user is in the module."""

    def __init__(
        self, editor: Any, tools: Sequence[str], undo: Callable[[], None], redo: Callable[[], None]
    ) -> None:
        """Nothing is bound yet.

        Args:
            editor: The qMRMLSegmentEditorWidget.
            tools: Its effects, in the order of the keys 1, 2 and so on.
            undo: Takes the last edit back.
            redo: Makes it again.
        """
        self._editor, self._shortcuts, self._last = editor, [], ""
        self._bound = (False, False)
        self._undoing: dict[str, Callable[[], None]] = {
            **dict.fromkeys(UNDO_KEYS, undo),
            **dict.fromkeys(REDO_KEYS, redo),
        }
        self._choosing: dict[str, Callable[[], None]] = {
            NO_TOOL_KEY: lambda: self._choose(""),
            LAST_TOOL_KEY: self._toggle,
        }
        for number, tool in enumerate(tools, start=1):
            self._choosing[str(number)] = lambda tool=tool: self._choose(tool)

    def bind(self, undo: bool = False, tools: bool = False) -> None:
        """Bind the keys, or release them.

        Args:
            undo: Whether the keys of undo and redo act: while a lesion is painted or steered.
            tools: Whether the tools' keys act: while it is painted.
        """
        if (undo, tools) == self._bound:
            return
        self._bound = (undo, tools)
        for shortcut in self._shortcuts:
            shortcut.enabled = False
            shortcut.setParent(None)
            shortcut.deleteLater()
        self._shortcuts = []
        window = slicer.util.mainWindow()
        actions = {**(self._undoing if undo else {}), **(self._choosing if tools else {})}
        for key, action in actions.items():
            shortcut = qt.QShortcut(qt.QKeySequence(key), window or self._editor)
            shortcut.connect("activated()", action)
            self._shortcuts.append(shortcut)

    def _choose(self, tool: str) -> None:
        """Choose a tool; the chosen one again is put down."""
        active = self._editor.activeEffect()
        if active is not None:
            self._last = active.name
        if not tool or (active is not None and active.name == tool):
            self._editor.setActiveEffect(None)
        else:
            self._editor.setActiveEffectByName(tool)

    def _toggle(self) -> None:
        active = self._editor.activeEffect()
        self._choose("" if active is not None else self._last)
