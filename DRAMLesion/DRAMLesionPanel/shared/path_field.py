"""A field for a path, whose text is what counts: the widget does not tell of all changes of it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import qt
from slicer.i18n import tr as _

from DRAMLesionLib.system.errors import InputError


class PathField:
    """A ``ctkPathLineEdit``.

    CTK emits ``currentPathChanged`` only for text that it accepts: not when the field is cleared, and not for what no
    name filter fits. So the path is read where it is used, never kept from a signal.
    """

    def __init__(self, widget: Any, onChange: Callable[[str], None]) -> None:
        """Watch the widget.

        Args:
            widget: A ``ctkPathLineEdit`` without name filters.
            onChange: Told the path, empty where the field was cleared.
        """
        self._widget, self._onChange = widget, onChange
        widget.connect("currentPathChanged(QString)", self._onText)
        widget.connect("validInputChanged(bool)", self._onText)

    @property
    def path(self) -> str:
        """What stands in the field."""
        return self._widget.currentPath.strip()

    def show(self, path: str) -> None:
        """Put a path into the field."""
        if path != self.path:
            self._widget.currentPath = path

    def folder(self, what: str) -> Path:
        """The folder that stands in the field.

        Args:
            what: What to call it in an error: ``training folder``.

        Raises:
            InputError: The field is empty, or holds a path that depends on where Slicer was started.
        """
        path = Path(self.path).expanduser()
        if not self.path:
            raise InputError(_("no {what}: choose one").format(what=what))
        if not path.is_absolute():
            raise InputError(
                _("{path}: is no whole path: choose the {what} again").format(path=path, what=what)
            )
        return path

    def remember(self) -> None:
        """Offer the path in the next session, too."""
        self._widget.addCurrentPathToHistory()

    def _onText(self, _value: Any) -> None:
        self._onChange(self.path)


def chooseFolder(button: Any, title: str, start: str) -> str:
    """Let the user choose a folder; empty where none was chosen."""
    return str(qt.QFileDialog.getExistingDirectory(button, title, start) or "")
