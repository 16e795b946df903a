"""The list of lesions, the largest first, with lobe, volume and density; the chosen one is shown in the slice views."""

from typing import Any

import numpy as np
import qt
import slicer
from slicer.i18n import tr as _

from DRAMLesionLib.lungs.lobes import LOBES
from DRAMLesionLib.results.lesion_list import Lesion, LesionList
from DRAMLesionLib.results.scene.steps import Steps
from DRAMLesionPanel.results.nodes import Results, readLesions, writeLesions
from DRAMLesionPanel.shared.background import Background, inWorker

REST_MS = 1500
"""The list is made anew when the lesion has not changed for so long."""
ROW_HEIGHT, MOST_ROWS = 22, 8
"""A longer list is scrolled."""
NAMES = {lobe.abbreviation: lobe.name for lobe in LOBES}


class LesionsSection:
    """Shows the list that is kept with the lesion; where the lesion was changed, the worker makes it anew."""

    def __init__(self, panel: Any) -> None:
        self._panel, self._ui = panel, panel.ui
        self._shown: tuple[Any, ...] = ()
        self._lesions: tuple[Lesion, ...] = ()
        self._results: Results | None = None
        self._listing = Background(panel.reported)
        self._restTimer = qt.QTimer()
        self._restTimer.setSingleShot(True)
        self._restTimer.setInterval(REST_MS)
        self._restTimer.connect("timeout()", self._onRest)
        table = self._ui.lesionsTable
        titles = (_("Lobe"), _("Volume (mL)"), _("Mean HU"))
        table.setColumnCount(len(titles))
        table.setHorizontalHeaderLabels(list(titles))
        table.horizontalHeader().setSectionResizeMode(qt.QHeaderView.Stretch)
        table.verticalHeader().setDefaultSectionSize(ROW_HEIGHT)
        table.connect("currentCellChanged(int,int,int,int)", self._onCurrent)
        table.connect("cellClicked(int,int)", lambda row, _column: self.jump(row))
        self._ui.lesionsCollapsibleButton.connect("contentsCollapsed(bool)", self._onCollapsed)

    def update(self) -> None:
        """Let the list follow from the lesion as it is now."""
        results = self._panel.currentResults()
        known = readLesions(results) if results else None
        if results != self._results:
            self._listing.cancel()
            self._results = results
        if results is None or known is not None:
            self._show(known or LesionList(), results)
        elif not self._ui.lesionsCollapsibleButton.collapsed and not self._panel.run.arriving:
            self._say(_("The lesion was changed: the list follows."))
            self._restTimer.start()

    def closeScene(self) -> None:
        """Let go of the scene's nodes."""
        self._restTimer.stop()
        self._listing.cancel()
        self._results = None
        self._show(LesionList(), None)

    def jump(self, row: int) -> None:
        """Show a lesion of the list in all slice views."""
        if 0 <= row < len(self._lesions):
            right, anterior, superior = self._lesions[row].ras_mm
            slicer.vtkMRMLSliceNode.JumpAllSlices(slicer.mrmlScene, right, anterior, superior)

    def _show(self, listed: LesionList, results: Results | None) -> None:
        key = (results, listed)
        if key == self._shown:
            return
        self._shown, self._lesions = key, ()  # no jump while the rows change
        table = self._ui.lesionsTable
        table.setRowCount(len(listed.lesions))
        for row, lesion in enumerate(listed.lesions):
            lobes = (lesion.lobe, *lesion.also_in)
            texts = (", ".join(lobes), f"{lesion.volume_ml:.1f}", f"{lesion.mean_hu:.0f}")
            for column, text in enumerate(texts):
                item = qt.QTableWidgetItem(text)
                item.setToolTip(", ".join(NAMES[name] for name in lobes))
                table.setItem(row, column, item)
        table.setCurrentCell(-1, -1)
        self._lesions = listed.lesions
        rows = max(1, min(MOST_ROWS, len(listed.lesions)))
        table.setFixedHeight(table.horizontalHeader().height + rows * ROW_HEIGHT + 4)
        self._say(self._rest(listed) if results else "")

    @staticmethod
    def _rest(listed: LesionList) -> str:
        if not listed.rest_count:
            return "" if listed.lesions else _("No lesion.")
        text = _("Smaller than {least:g} mL, not listed: {count}, {ml:.1f} mL together.")
        return text.format(least=listed.least_ml, count=listed.rest_count, ml=listed.rest_ml)

    def _say(self, text: str) -> None:
        self._panel.showIn(self._ui.lesionsLabel, text)

    def _onCurrent(self, row: int, _column: int, before: int, _columnBefore: int) -> None:
        if row != before:
            self.jump(row)

    def _onCollapsed(self, _collapsed: bool) -> None:
        if self._panel.parameters is not None:
            self.update()

    def _onRest(self) -> None:
        results = self._panel.currentResults()
        if results is None or readLesions(results) is not None or self._panel.run.arriving:
            return
        correction = self._panel.logic.openCorrection(results)
        if self._listing.busy or (correction is not None and correction.dragging):
            # A list that is given up would take the worker with it, and the model that it has loaded.
            self._restTimer.start()
            return
        self._listing.start(self._list(results), self._onListed)

    def _list(self, results: Results) -> Steps[dict[str, Any]]:
        findings = yield from self._panel.logic.readingCurrent(results)
        temporary = slicer.app.temporaryPath
        made = yield from inWorker(
            self._panel.logic.worker, temporary, "lesions", findings, lambda _stage: None
        )
        correction = self._panel.logic.openCorrection(results)
        # What was painted meanwhile is not in the list.
        return made if correction is None or np.array_equal(correction.lesion, findings.lesion) else {}

    def _onListed(self, made: dict[str, Any] | None) -> None:
        if made is None:
            self._say(_("The list could not be made; details are in the log."))
            return
        if made and self._results is not None:
            writeLesions(self._results, LesionList.from_dict(made))
        self.update()
