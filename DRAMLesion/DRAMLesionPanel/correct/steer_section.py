"""A reader's numbers: a slider for each lobe, and the outline follows while it moves."""

from collections.abc import Callable
from typing import Any

import ctk
import qt
from slicer.i18n import tr as _

from DRAMLesionLib.lesions.quantify import severity_score
from DRAMLesionLib.lesions.ranked_lobe import RankedLobe
from DRAMLesionLib.lesions.reading import LONGEST_NAME
from DRAMLesionLib.lungs.lobes import LOBES, Lobe
from DRAMLesionLib.results.scene.steps import Steps
from DRAMLesionPanel.correct.ranking import Ranking
from DRAMLesionPanel.results.nodes import Results
from DRAMLesionPanel.shared.background import Background
from DRAMLesionPanel.shared.settings import reader, rememberReader

REST_MS = 400
"""A drag is over, and a step of undo, when nothing moved for so long."""


class LobeRow:
    """One lobe's name, slider with number, severity score, and a button back to the model's number."""

    def __init__(
        self, grid: Any, row: int, lobe: Lobe, moved: Callable[[int], None], reset: Callable[[int], None]
    ) -> None:
        """Put the row into a grid.

        Args:
            grid: QGridLayout.
            row: Which row.
            lobe: Whose.
            moved: Told the lobe's value when the slider has moved.
            reset: Told the lobe's value when the button was pressed.
        """
        self.lobe, self._showing = lobe, False
        name = qt.QLabel(lobe.name[0].upper() + lobe.name[1:])
        self.slider = ctk.ctkSliderWidget()
        self.slider.minimum, self.slider.maximum = 0, 100
        self.slider.decimals, self.slider.singleStep, self.slider.pageStep = 1, 0.5, 5
        self.slider.suffix = " %"
        self.slider.toolTip = _("How much of this lobe is lesion: drag, type, or use the arrow keys.")
        self.score = qt.QLabel("")
        self.score.toolTip = _("Severity score of the lobe, 0 to 5.")
        self.resetButton = qt.QToolButton()
        self.resetButton.text = _("Reset")
        self.resetButton.toolTip = _("Give this lobe the model's own lesion again, with what was painted.")
        name.setBuddy(self.slider)
        for column, widget in enumerate((name, self.slider, self.score, self.resetButton)):
            grid.addWidget(widget, row, column)
        self.slider.connect(
            "valueChanged(double)", lambda _value: None if self._showing else moved(lobe.value)
        )
        self.resetButton.connect("clicked(bool)", lambda _checked=False: reset(lobe.value))

    def show(self, percent: float | None, steered: bool) -> None:
        """Show how much of the lobe is lesion now.

        Args:
            percent: Lesion in percent; None for a lobe without voxels.
            steered: Whether a reader said so.
        """
        self._showing = True
        self.slider.value = round(percent or 0.0, 1)
        self._showing = False
        self.showScore(percent)
        self.resetButton.enabled = steered

    def showScore(self, percent: float | None) -> None:
        """Show the severity score of a percentage."""
        self.score.text = "" if percent is None else str(severity_score(min(max(percent, 0.0), 100.0)))

    def enable(self, wanted: bool) -> None:
        """Let the user change it, or not."""
        self.slider.enabled = wanted
        if not wanted:
            self.resetButton.enabled = False


class SteerSection:
    """The sliders of the chosen CT. Its lobes are ranked by the worker when the section is opened."""

    def __init__(self, panel: Any) -> None:
        self._panel, self._ui = panel, panel.ui
        self._ranking, self._ranked = Background(panel.reported), Ranking()
        self._rankedFor: Results | None = None
        self._reopen = False
        self._wanted: dict[int, float | None] = {}
        grid = qt.QGridLayout()
        self._ui.steerLayout.insertLayout(1, grid)
        grid.setColumnStretch(1, 1)
        self.rows = {
            lobe.value: LobeRow(grid, number, lobe, self._onMoved, self._onReset)
            for number, lobe in enumerate(LOBES)
        }
        self._applyTimer, self._restTimer = qt.QTimer(), qt.QTimer()
        for timer, milliseconds, method in (
            (self._applyTimer, 0, self._onApply),
            (self._restTimer, REST_MS, self._onRest),
        ):
            timer.setSingleShot(True)
            timer.setInterval(milliseconds)
            timer.connect("timeout()", method)
        self._ui.readerLineEdit.maxLength = LONGEST_NAME
        self._ui.readerLineEdit.text = reader()
        self._ui.readerLineEdit.connect("textEdited(QString)", rememberReader)
        self._ui.steerCollapsibleButton.connect("contentsCollapsed(bool)", self._onCollapsed)
        self._ui.steerUndoButton.connect("clicked(bool)", lambda _checked=False: panel.correct.undo())
        self._ui.steerRedoButton.connect("clicked(bool)", lambda _checked=False: panel.correct.redo())

    def isOpen(self) -> bool:
        """Whether the user sees the sliders."""
        return (
            not self._ui.steerCollapsibleButton.collapsed and not self._ui.resultsCollapsibleButton.collapsed
        )

    def update(self) -> None:
        """Let sliders and buttons follow from the lesion as it is now."""
        results, ui = self._panel.currentResults(), self._ui
        ui.steerCollapsibleButton.enabled = results is not None and not self._panel.run.arriving
        self._foldWhileResultsArrive(results)
        if results != self._rankedFor or self._panel.run.arriving:
            if not self._panel.run.arriving:
                self._settle(self._rankedFor)
            self._forget()  # the map that was ranked is another one
        if results is not None and self.isOpen() and not self._lobes and not self._ranking.busy:
            self._rankedFor = results
            self._ranking.start(self._rank(results), self._onRanked)
        correction = self._panel.logic.openCorrection(results)
        ready = bool(self._lobes) and correction is not None
        for row in self.rows.values():
            row.enable(ready and row.lobe.value in self._lobes)
        ui.steerUndoButton.enabled = bool(ready and correction.can_undo)
        ui.steerRedoButton.enabled = bool(ready and correction.can_redo)
        if ready and not self._wanted:
            for region, row in zip(correction.table.lobes, self.rows.values(), strict=True):
                row.show(region.percent, correction.said.of(row.lobe.value) is not None)

    def closeScene(self) -> None:
        """Let go of the scene's nodes."""
        self._applyTimer.stop()
        self._restTimer.stop()
        self._forget()

    def _foldWhileResultsArrive(self, results: Results | None) -> None:
        """Fold the section while there is nothing to steer; where new results have come it opens again."""
        button, arriving = self._ui.steerCollapsibleButton, self._panel.run.arriving
        if results is None or arriving:
            self._reopen = arriving and (self._reopen or not button.collapsed)
            button.collapsed = True
        elif self._reopen:
            self._reopen = button.collapsed = False

    @property
    def _lobes(self) -> dict[int, RankedLobe]:
        return self._ranked.lobes

    def _settle(self, results: Results | None) -> None:
        """Another CT was chosen while a slider moved: what it did is kept with its own CT."""
        correction = self._panel.logic.openCorrection(results)
        if results is not None and correction is not None and correction.settle():
            self._panel.logic.updateTable(results)

    def _forget(self) -> None:
        self._ranking.cancel()
        self._ranked.end()
        self._rankedFor, self._wanted = None, {}

    def _rank(self, results: Results) -> Steps[dict[int, RankedLobe]]:
        logic = self._panel.logic
        correction = yield from logic.preparingCorrection(results)
        yield "correction"
        return (yield from self._ranked.making(logic.worker, correction.given, self._panel.showStatus))

    def _onRanked(self, lobes: dict[int, RankedLobe] | None) -> None:
        if lobes is None:
            self._ui.steerCollapsibleButton.collapsed = (
                True  # what went wrong is said; opening it tries again
            )
            self._rankedFor = None
        else:
            self._panel.showStatus("")
        self._panel.update()

    def _onCollapsed(self, _collapsed: bool) -> None:
        if self._panel.parameters is not None:
            self._panel.update()

    def _onMoved(self, lobe: int) -> None:
        row = self.rows[lobe]
        row.showScore(row.slider.value)
        self._want(lobe, row.slider.value)

    def _onReset(self, lobe: int) -> None:
        self._want(lobe, None)

    def _want(self, lobe: int, percent: float | None) -> None:
        """Remember the latest wish alone: a slider moves faster than a large lobe is cut."""
        self._wanted[lobe] = percent
        self._applyTimer.start()

    def _onApply(self) -> None:
        results = self._panel.currentResults()
        correction = self._panel.logic.openCorrection(results)
        wanted, self._wanted = self._wanted, {}
        if correction is None or results != self._rankedFor:
            return
        with self._panel.reported():
            if not correction.dragging:
                correction.recognise(self._panel.parameters.insideLobes)  # what was painted elsewhere stays
                self._panel.results.hideLesionSurface(results)
            for lobe, percent in wanted.items():
                share = correction.steer(lobe, self._lobes[lobe], percent, reader())
                if percent is None:
                    self.rows[lobe].show(share.percent, False)
                self.rows[lobe].showScore(share.percent)
        self._restTimer.start()

    def _onRest(self) -> None:
        results = self._panel.currentResults()
        correction = self._panel.logic.openCorrection(results)
        if correction is not None and not self._wanted:
            with self._panel.reported():
                correction.settle()
                # Whoever settled it: a report, or undo, may have been first.
                self._panel.logic.updateTable(results)
                self._panel.results.makeSurfacesAgain(results)
            self._panel.update()
