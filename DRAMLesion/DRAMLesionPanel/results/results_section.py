"""Lesion map, surfaces, table, chart and report."""

import re
from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from DRAMLesionLib.results.scene.mrml import APPROXIMATE_ATTRIBUTE
from DRAMLesionLib.results.scene.steps import Steps, finish
from DRAMLesionLib.results.scene.table import PERCENT_COLUMN, REGION_COLUMN
from DRAMLesionPanel.results import nodes as shown
from DRAMLesionPanel.results.lobe_under_cursor import LobeUnderCursor
from DRAMLesionPanel.results.lobe_view import segmentOf, showLobe
from DRAMLesionPanel.results.nodes import Results
from DRAMLesionPanel.results.report_file import canPrint
from DRAMLesionPanel.shared.background import Background

SCORE_COLUMN = "Severity score"

FIRST_COLUMNS = (PERCENT_COLUMN, SCORE_COLUMN)
"""What a reader looks for, where the panel is narrow."""
ROW_HEIGHT = 24
EDGES, SCROLL_BAR = 4, 18
"""Pixels of the table's frame, above and below, and of its scroll bar."""


class ResultsSection:
    """Shows the results of the chosen CT."""

    def __init__(self, panel: Any) -> None:
        self._panel, self._ui = panel, panel.ui
        self._state: tuple[Any, ...] = ()
        self._reporting, self._surfaces = Background(panel.reported), Background(panel.reported)
        self._ui.resultsTableView.verticalHeader().setDefaultSectionSize(ROW_HEIGHT)
        self._fitting = False
        # In pixels, so the range changes with each width of the panel, too.
        bar = self._ui.resultsTableView.horizontalScrollBar()
        bar.connect("rangeChanged(int,int)", lambda _low, _high: self._fitColumns())
        self._ui.resultsTableView.connect("clicked(QModelIndex)", lambda index: self._onRow(index.row()))
        rows = self._ui.resultsTableView.verticalHeader()
        rows.connect("sectionClicked(int)", self._onRow)
        self._cursor, self._entered = LobeUnderCursor(panel), False
        self._ui.chartButton.connect("clicked(bool)", self._onChart)
        self._ui.reportButton.connect("clicked(bool)", self._onReport)

    def update(self) -> None:
        """Let table, sliders and surfaces follow from the chosen CT and the parameters."""
        results, parameters = self._panel.currentResults(), self._panel.parameters
        if self._ui.resultsCollapsibleButton.enabled != (results is not None):
            self._ui.resultsCollapsibleButton.enabled = results is not None
            self._ui.resultsCollapsibleButton.collapsed = results is None
        self._ui.resultsTableView.setMRMLTableNode(results.tableNode if results else None)
        self._moveColumns()
        self._ui.summaryLabel.text = summary(results) if results else _("No results yet.")
        self._cursor.watch(results if self._entered and not self._panel.run.arriving else None)
        if results is None:
            self._state = ()
            return
        state = (
            results.heatmapNode.GetID(),
            parameters.heatmapOpacity,
            parameters.heatmapThreshold,
            parameters.show3D,
        )
        if state == self._state:
            return
        old, self._state = self._state, state
        if old and old[0] != state[0]:
            shown.showInSlices(results, parameters.heatmapOpacity)
        shown.setHeatmapOpacity(results, parameters.heatmapOpacity)
        shown.setHeatmapThreshold(results, parameters.heatmapThreshold)
        if not old or (old[0], old[3]) != (state[0], state[3]):
            self.showSurfaces(results)

    def enter(self) -> None:
        """The user is in the module: the lobe under the mouse is shown from the next update on."""
        self._entered = True

    def leave(self) -> None:
        """The user left the module: the mouse is another's."""
        self._entered = False
        self._cursor.end()

    def showNew(self, results: Results) -> None:
        """Show the results of a run that just ended."""
        with self._panel.reported(waitCursor=True):
            finish(self.showing(results))

    def showing(self, results: Results) -> Steps[None]:
        """The same in steps."""
        parameters = self._panel.parameters
        shown.showInSlices(results, parameters.heatmapOpacity if parameters else 0.5, fit=True)
        shown.setHeatmapThreshold(results, parameters.heatmapThreshold if parameters else 0.1)
        yield "slices"
        yield from self._makingSurfaces(results)
        if parameters and parameters.show3D and slicer.app.layoutManager() is not None:
            slicer.util.resetThreeDViews()  # surfaces that are out of sight seem not to be there

    def showSurfaces(self, results: Results) -> None:
        """Make or drop the surfaces; that of the lesion only while it is not painted."""
        finish(self._makingSurfaces(results))

    def hideLesionSurface(self, results: Results) -> None:
        """The lesion is changed by a slider: its surface would be that of another lesion."""
        self._surfaces.cancel()
        shown.hideSurfaces(results, lobes=False)

    def makeSurfacesAgain(self, results: Results) -> None:
        """The slider rests: make the surface of the lesion anew, in steps."""
        self._surfaces.start(self._makingSurfaces(results), lambda _done: None)

    def _makingSurfaces(self, results: Results) -> Steps[None]:
        if not self._panel.parameters or not self._panel.parameters.show3D:
            shown.hideSurfaces(results)
        elif self._panel.correct.isOpen():
            shown.hideSurfaces(results, lobes=False)
            yield from shown.makingSurfaces(results, lesion=False)
        else:
            yield from shown.makingSurfaces(results)

    def _moveColumns(self) -> None:
        model, header = self._ui.resultsTableView.model(), self._ui.resultsTableView.horizontalHeader()
        titles = [model.headerData(index, qt.Qt.Horizontal) for index in range(model.columnCount())]
        wanted = [titles.index(title) for title in FIRST_COLUMNS if title in titles]
        for place, index in enumerate(wanted):
            header.moveSection(header.visualIndex(index), place)
        self._fitColumns()  # new numbers have new widths

    def _fitColumns(self) -> None:
        """Let the table be as high as its rows, and the last column that is seen be seen whole."""
        view = self._ui.resultsTableView
        count = view.model().columnCount()
        if self._fitting or not count:
            return
        self._fitting = True
        try:
            view.resizeColumnsToContents()
            header = view.horizontalHeader()
            order = sorted(range(count), key=header.visualIndex)
            widths = [view.columnWidth(index) for index in order]
            seen = wholeColumns(widths, view.viewport().width)
            for index, width in zip(order, seen, strict=False):
                view.setColumnWidth(index, width)
            rows = view.model().rowCount() * ROW_HEIGHT
            bar = SCROLL_BAR if len(seen) < count else 0
            view.setFixedHeight(header.height + rows + bar + EDGES)
        finally:
            self._fitting = False

    def _onRow(self, row: int) -> None:
        results = self._panel.currentResults()
        name = self._ui.resultsTableView.model().headerData(row, qt.Qt.Vertical)
        if results is not None and name:
            with self._panel.reported():
                showLobe(results, str(name))
                self._cursor.choose(segmentOf(results, str(name)))

    def _onChart(self, _checked: bool = False) -> None:
        results = self._panel.currentResults()
        if results is not None:
            with self._panel.reported():
                slicer.modules.plots.logic().ShowChartInLayout(results.chartNode)

    def _onReport(self, _checked: bool = False) -> None:
        results = self._panel.currentResults()
        if results is None:
            return
        name = fileName(f"{results.ctNode.GetName()} report.html")
        kinds = _("Web page (*.html)")
        if canPrint():
            kinds += ";;" + _("PDF document (*.pdf)")
        path = qt.QFileDialog.getSaveFileName(self._ui.reportButton, _("Save report"), name, kinds)
        # One Qt binding gives the path, another the path and the filter.
        path = path[0] if isinstance(path, tuple) else path
        if path:
            self.saveReport(results, path)

    def saveReport(self, results: Results, path: str) -> None:
        """Write the report with the results as they are now, as HTML or, where the name ends so, as PDF.

        The worker writes it, and a browser prints it; the window lives meanwhile.
        """
        self._reporting.start(self._report(results, Path(path)), lambda made: self._onReported(path, made))
        self._ui.reportButton.enabled = False

    def _report(self, results: Results, path: Path) -> Steps[bool]:
        self._panel.showStatus(_("Writing the report..."))
        yield from self._panel.logic.reporting(results, path, self._panel.showStatus)
        return True

    def _onReported(self, path: str, made: bool | None) -> None:
        self._ui.reportButton.enabled = True
        if made:
            self._panel.showStatus(_("Report saved: {path}").format(path=path))

    def closeScene(self) -> None:
        """Give up a report of a scene that goes."""
        self._cursor.end()
        self._reporting.cancel()
        self._surfaces.cancel()
        self._ui.reportButton.enabled = True


def wholeColumns(widths: list[int], room: int) -> list[int]:
    """Widths of the first columns, so wide that they fill a view: the next column begins at its edge.

    Args:
        widths: What each column needs, in pixels, in the order in which they are shown.
        room: The view's width in pixels.
    """
    count, used = 0, 0
    while count < len(widths) and used + widths[count] <= room:
        used += widths[count]
        count += 1
    if not count:
        return []
    more, rest = divmod(room - used, count)
    return [width + more + (number < rest) for number, width in enumerate(widths[:count])]


def fileName(name: str) -> str:
    """A name that every system takes for a file: a CT may be called ``4: Thorax``."""
    return re.sub(r'[<>:"/\\|?*\x00-\x1f]+', "_", name).strip(" ._") or "report.html"


def summary(results: Results) -> str:
    """The total in one line, from the table as it is now."""
    table = results.tableNode.GetTable()
    regions = table.GetColumnByName(REGION_COLUMN)
    score = table.GetColumnByName(SCORE_COLUMN)
    percent = table.GetColumnByName(PERCENT_COLUMN)
    if regions is None or score is None or percent is None or not regions.GetNumberOfValues():
        return ""
    last = regions.GetNumberOfValues() - 1
    text = _("Lesion: {percent:.1f} % of the lungs, severity score {score} of 25").format(
        percent=float(percent.GetValue(last)), score=str(score.GetValue(last)).removesuffix(".0")
    )
    if results.lobesSegmentationNode.GetAttribute(APPROXIMATE_ATTRIBUTE) == "1":
        text += _("; the lobes are approximate")
    return text
