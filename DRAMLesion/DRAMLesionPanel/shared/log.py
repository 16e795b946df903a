"""The panel's log: what it and its worker said, kept in a file beside Slicer's settings, and a window that shows it."""

import logging
from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

NAME = "DRAMLesion.log"
LARGEST = 1_000_000
"""Bytes; a longer file begins anew, and the old one stands beside it as ``DRAMLesion.log.1``."""
SHOWN = 60_000
"""Characters at the end of the file that the window shows."""
MARK = "DRAMLesion"


def logPath() -> Path:
    """The log's file."""
    return Path(slicer.app.slicerUserSettingsFilePath).parent / NAME


class LogFile(logging.Handler):
    """Writes the messages of this extension, which begin with its name, and nothing of others."""

    def __init__(self) -> None:
        """Begin to listen."""
        logging.Handler.__init__(self, logging.INFO)
        self.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        logging.getLogger().addHandler(self)

    def end(self) -> None:
        """Listen no longer."""
        logging.getLogger().removeHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        """Append a message."""
        if not record.getMessage().startswith(MARK):
            return
        try:
            path = logPath()
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.is_file() and path.stat().st_size > LARGEST:
                path.replace(path.with_name(NAME + ".1"))
            with path.open("a", encoding="utf-8") as file:
                file.write(self.format(record) + "\n")
        except OSError:
            pass  # a settings folder that can't be written must not keep anybody from working


def readLog() -> str:
    """The end of the log."""
    path = logPath()
    return path.read_text(encoding="utf-8", errors="replace")[-SHOWN:] if path.is_file() else ""


def showLog(parent: Any) -> Any:
    """Open a window with the log; returns it."""
    window = qt.QDialog(parent)
    window.windowTitle = _("DRAMLesion log")
    window.resize(760, 480)
    column = qt.QVBoxLayout(window)
    where = qt.QLabel(str(logPath()))
    where.textInteractionFlags = qt.Qt.TextSelectableByMouse
    text = qt.QPlainTextEdit()
    text.objectName = "dramLesionLogText"
    text.readOnly = True
    text.setPlainText(readLog() or _("Nothing was said yet."))
    column.addWidget(where)
    column.addWidget(text)
    window.show()
    bar = text.verticalScrollBar()
    bar.setValue(bar.maximum)
    return window
