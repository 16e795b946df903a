"""What becomes of a training when Slicer closes: the user is asked."""

from collections.abc import Callable
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

STOP, GO_ON, STAY = "stop", "go on", "stay"
"""The answers: stop at a checkpoint, go on without Slicer, don't close Slicer."""


class ClosingWatch:
    """Asks before Slicer's main window closes, and does at the end what was answered."""

    def __init__(self, isTraining: Callable[[], bool], stop: Callable[[], None]) -> None:
        """Begin to watch.

        Args:
            isTraining: Whether there is something to ask about.
            stop: Stops the training at a checkpoint, without waiting.
        """
        self._isTraining, self._stop = isTraining, stop
        self._answer = ""
        self._window = slicer.util.mainWindow()
        self._filter = _CloseFilter(self._mayClose)
        if self._window is not None:
            self._window.installEventFilter(self._filter)

    def end(self, quitting: bool) -> None:
        """The panel goes away. Slicer unloads its modules before it tells of its end: this is the last word.

        Args:
            quitting: Slicer ends. A script that ends it asks nobody: then no process is left behind unasked. Else the
                module is loaded anew, and the training goes on.
        """
        if quitting and self._isTraining() and self._answer != GO_ON:
            self._stop()
        if self._window is not None:
            self._window.removeEventFilter(self._filter)
        self._filter.deleteLater()

    def _mayClose(self) -> bool:
        # On macOS a second close event comes for the window that is closed already.
        if self._isTraining() and self._window.visible:
            # Only remembered: Slicer may ask about unsaved data next, and the user may stay after all.
            self._answer = askAboutTraining(self._window)
        return self._answer != STAY


class _CloseFilter(qt.QWidget):
    """Sees the main window's events before it does."""

    def __init__(self, mayClose: Callable[[], bool]) -> None:
        qt.QWidget.__init__(self)
        self._mayClose = mayClose

    def eventFilter(self, _watched: Any, event: Any) -> bool:
        if event.type() != qt.QEvent.Close or self._mayClose():
            return False
        event.ignore()
        return True


def askAboutTraining(parent: Any) -> str:
    """Ask what becomes of the training; one of :data:`STOP`, :data:`GO_ON`, :data:`STAY`."""
    box = qt.QMessageBox(parent)
    box.icon = qt.QMessageBox.Question
    box.text = _("A training of DRAMLesion is under way.")
    box.informativeText = _("A training that is stopped goes on from its checkpoint by Resume.")
    stop = box.addButton(_("Stop at a checkpoint"), qt.QMessageBox.AcceptRole)
    goOn = box.addButton(_("Go on in the background"), qt.QMessageBox.AcceptRole)
    stay = box.addButton(_("Cancel"), qt.QMessageBox.RejectRole)
    box.setDefaultButton(stop)
    box.setEscapeButton(stay)
    box.exec()
    answers = {STOP: stop, GO_ON: goOn}
    clicked = box.clickedButton()
    return next((answer for answer, button in answers.items() if button == clicked), STAY)
