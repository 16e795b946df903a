"""The panel: its sections, what they share, and one line of status."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from DRAMLesionLib.system.errors import InputError
from DRAMLesionPanel.correct.correct_section import CorrectSection
from DRAMLesionPanel.correct.steer_section import SteerSection
from DRAMLesionPanel.followup.followup_section import FollowUpSection
from DRAMLesionPanel.install.install_section import InstallSection
from DRAMLesionPanel.logic import PanelLogic
from DRAMLesionPanel.results.lesions_section import LesionsSection
from DRAMLesionPanel.results.nodes import Results, findResults
from DRAMLesionPanel.results.results_section import ResultsSection
from DRAMLesionPanel.segment.input_section import InputSection
from DRAMLesionPanel.segment.run_section import RunSection
from DRAMLesionPanel.shared import colors
from DRAMLesionPanel.shared.log import LogFile, showLog
from DRAMLesionPanel.train.train_section import TrainingSection

IDLE_CHECK_MS = 20_000
COLORS = {"error": colors.ERROR, "warning": colors.WARNING, "": ""}


class Panel:
    """Connects the sections with each other and with the parameter node.

    Attributes:
        ui: The widgets by their names in the .ui file.
        logic: What works without the panel.
        parameters: The parameter node, None while a scene is closed.
    """

    def __init__(self, ui: Any, logic: PanelLogic, resourcePath: Any) -> None:
        """Prepare the widgets; :meth:`setParameters` brings them to life."""
        self.ui, self.logic, self.resourcePath = ui, logic, resourcePath
        self.parameters: Any = None
        self._updating = False
        self._log, self._logWindow = LogFile(), None
        ui.logButton.connect("clicked(bool)", self._onLog)
        self._idleTimer = qt.QTimer()
        self._idleTimer.setInterval(IDLE_CHECK_MS)
        self._idleTimer.connect("timeout()", self._onIdle)
        self.inputs = InputSection(self)
        self.run = RunSection(self)
        self.results = ResultsSection(self)
        self.lesions = LesionsSection(self)
        self.correct = CorrectSection(self)
        self.steer = SteerSection(self)
        self.followup = FollowUpSection(self)
        self.install = InstallSection(self)
        self.train = TrainingSection(self)

    def setParameters(self, parameters: Any) -> None:
        """Show another parameter node, or none."""
        self.parameters = parameters
        self.inputs.showChoices()
        self.correct.showFolder()
        self.train.showChoices()
        self.update()

    def update(self) -> None:
        """Let the widgets follow from the parameter node and the scene."""
        if self._updating or self.parameters is None:
            return
        self._updating = True
        try:
            with self.reported():
                self.inputs.update()
                self.run.update()
                self.results.update()
                self.lesions.update()
                self.correct.update()
                self.steer.update()
                self.followup.update()
                self.train.update()
        finally:
            self._updating = False

    def currentResults(self) -> Results | None:
        """The results of the chosen CT."""
        return findResults(self.parameters.inputVolume) if self.parameters else None

    def showStatus(self, text: str, kind: str = "") -> None:
        """Show one line; ``kind`` is empty, ``warning`` or ``error``: these two are logged."""
        if kind and text:
            logging.log(logging.ERROR if kind == "error" else logging.WARNING, "DRAMLesion: %s", text)
        self.showIn(self.ui.statusLabel, text, kind)

    @staticmethod
    def showIn(label: Any, text: str, kind: str = "") -> None:
        """Show a line in a label, as :meth:`showStatus` does."""
        label.text = text
        label.styleSheet = colors.wordsIn(COLORS[kind] if text else "")
        label.setVisible(bool(text))

    @contextmanager
    def reported(self, waitCursor: bool = False) -> Iterator[None]:
        """Show what goes wrong in the block as one line, with details in the log; no pop-up."""
        try:
            if waitCursor:
                with slicer.util.WaitCursor():
                    yield
            else:
                yield
        except InputError as error:
            self.showStatus(str(error), "error")
        except OSError as error:
            logging.exception("DRAMLesion")
            name = f"{error.filename}: " if error.filename else ""
            self.showStatus(f"{name}{error.strerror or error}", "error")
        except Exception as error:
            logging.exception("DRAMLesion")
            self.showStatus(
                _("{name}: {error}; details are in the log.").format(name=type(error).__name__, error=error),
                "error",
            )

    def enter(self) -> None:
        """The user opened the module."""
        self.inputs.enter()
        self.results.enter()
        self.correct.enter()
        self.train.enter()
        self.update()
        self.warm()

    def warm(self) -> None:
        """Start the worker, so that the first run need not wait for torch and the models."""
        parameters = self.parameters
        if parameters is not None and not self.install.missing and not self.run.running:
            with self.reported():
                self.logic.worker.warm(parameters.model or None, parameters.method or None, parameters.device)
            self._idleTimer.start()

    def _onIdle(self) -> None:
        if self.logic.worker.endIfIdle():
            self._idleTimer.stop()

    def leave(self) -> None:
        """The user went to another module; a run goes on."""
        self.results.leave()
        self.correct.leave()

    def closeScene(self) -> None:
        """The scene is about to be closed."""
        self.run.cancel()
        self.results.closeScene()
        self.lesions.closeScene()
        self.steer.closeScene()
        self.followup.closeScene()
        self.correct.closeScene()
        self.logic.forget()
        self.parameters = None

    def cleanup(self, quitting: bool = False) -> None:
        """The panel goes away, because Slicer ends or because the module is loaded anew."""
        self.correct.leave()
        self.closeScene()
        self.inputs.cleanup()
        self.train.cleanup(quitting)
        self._idleTimer.stop()
        self.logic.worker.end()
        self._log.end()
        if self._logWindow is not None:
            self._logWindow.close()

    def _onLog(self, _checked: bool = False) -> None:
        self._logWindow = showLog(slicer.util.mainWindow())
