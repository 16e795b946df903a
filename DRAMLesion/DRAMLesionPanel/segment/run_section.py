"""Segment, Cancel, progress."""

from typing import Any

import qt
from slicer.i18n import tr as _

from DRAMLesionLib.results.scene.steps import Steps
from DRAMLesionPanel.segment.run import SegmentRun
from DRAMLesionPanel.segment.total_segmentator import LobesCancelled, LobesFailed, TotalSegmentatorRun
from DRAMLesionPanel.shared.time_left import stageAndTime

POLL_MS, STEP_MS = 100, 1
"""While the child works, and while its results come into the scene."""


class RunSection:
    """Starts runs and follows them."""

    def __init__(self, panel: Any) -> None:
        self._panel, self._ui = panel, panel.ui
        self._run: SegmentRun | None = None
        self._showing: Steps[None] | None = None
        self._lobesRun: TotalSegmentatorRun | None = None
        self._timer = qt.QTimer()
        self._timer.setInterval(POLL_MS)
        self._timer.connect("timeout()", self._poll)
        self._ui.segmentButton.connect("clicked(bool)", self._onSegment)
        self._ui.cancelButton.connect("clicked(bool)", self._onCancel)
        self._ui.progressBar.hide()

    @property
    def current(self) -> SegmentRun | None:
        """The run that goes on, if any."""
        return self._run

    @property
    def running(self) -> bool:
        """Whether a run goes on, from its lobes to its results."""
        return self._run is not None or self._lobesRun is not None

    @property
    def arriving(self) -> bool:
        """Whether results come into the scene just now: not the moment to paint."""
        return self._run is not None and (self._run.inScene or self._showing is not None)

    def update(self) -> None:
        """Enable what can be done now."""
        running = self.running
        parameters = self._panel.parameters
        ready = bool(parameters and parameters.inputVolume) and not self._panel.install.missing
        self._ui.segmentButton.enabled = ready and not running
        self._ui.cancelButton.enabled = running and not self.arriving
        self._ui.inputsCollapsibleButton.enabled = not running
        self._ui.progressBar.setVisible(running)

    def cancel(self) -> None:
        """End a run that goes on."""
        if self._lobesRun is not None:
            self._lobesRun.cancel()
        if self._run is not None:
            self._run.cancel()
            self._end()

    def _onSegment(self, _checked: bool = False) -> None:
        parameters = self._panel.parameters
        if parameters is None or self._run is not None or self._lobesRun is not None:
            return
        self._ui.progressBar.value = 0
        if self._panel.inputs.findsLobesByTotalSegmentator() and not self._findLobes():
            return
        with self._panel.reported(waitCursor=True):
            self._run = self._panel.logic.startSegmentation(
                parameters.inputVolume,
                parameters.lobes,
                parameters.model or None,
                parameters.device,
                parameters.method or None,
            )
            self._panel.showStatus(stageAndTime(self._run.estimate))
            self._timer.setInterval(POLL_MS)
            self._timer.start()
        self.update()

    def _findLobes(self) -> bool:
        """Let TotalSegmentator find the lobes, and choose them, so that another run has them at once."""
        parameters, node = self._panel.parameters, None
        self._lobesRun = TotalSegmentatorRun(lambda line: self._panel.showStatus(f"TotalSegmentator: {line}"))
        # How long it takes is not known: a bar without an end.
        self._ui.progressBar.maximum = 0
        self.update()
        try:
            node = self._lobesRun.find(parameters.inputVolume, parameters.device)
        except LobesCancelled:
            self._panel.showStatus(_("Cancelled; the scene is as it was."))
        except LobesFailed as failure:
            self._panel.showStatus(str(failure), "error")
        finally:
            self._lobesRun = None
            self._ui.progressBar.maximum = 100
        # While it ran the scene may have been closed.
        if node is not None and self._panel.parameters is parameters:
            parameters.lobes = node
        self._panel.update()
        return node is not None and self._panel.parameters is parameters

    def _onCancel(self, _checked: bool = False) -> None:
        lobesWereSought = self._lobesRun is not None
        self.cancel()
        if lobesWereSought:
            return  # it ends where it was begun
        self._panel.showStatus(_("Cancelled; the scene is as it was."))
        self.update()

    def _poll(self) -> None:
        run = self._run
        if run is None:
            return
        if self._showing is not None:
            self._show(self._showing)
            return
        wasInScene, finished = run.inScene, True
        with self._panel.reported():
            finished = run.poll()
        self._ui.progressBar.value = round(100 * run.estimate.fraction)
        if not finished:
            self._panel.showStatus(stageAndTime(run.estimate))
            if run.arriving:
                self._timer.setInterval(POLL_MS if run.waiting else STEP_MS)
            if run.inScene != wasInScene:
                self._panel.update()
        elif run.results is None:
            self._end()
            if run.error:
                self._panel.showStatus(run.error, "error")
            self._panel.update()
        else:
            self._panel.correct.restart()
            self._showing = self._panel.results.showing(run.results)

    def _show(self, showing: Steps[None]) -> None:
        """Show the results, a step with each call."""
        with self._panel.reported():
            if next(showing, None) is not None:
                return
            assert self._run is not None and self._run.results is not None
            record = self._run.results.record
            flags = [f"{flag['sentence']}: {flag['remedy']}" for flag in record.get("flags", ())]
            notes = [*flags, *(str(warning) for warning in record.get("warnings", ()))]
            self._panel.showStatus("; ".join(notes), "warning")
            self._panel.correct.prepare(self._run.results, self._run.findings)
        self._end()
        self._panel.update()

    def _end(self) -> None:
        self._timer.stop()
        if self._showing is not None:
            self._showing.close()
        self._run = self._showing = None
