"""Two exams of one patient compared: progress, cancel, and the page that comes of it one click away."""

import html
from pathlib import Path
from typing import Any

import slicer
from slicer.i18n import tr as _

from DRAMLesionLib.system.errors import InputError
from DRAMLesionLib.system.progress import Estimate
from DRAMLesionPanel.followup.compare import SECONDS, comparing
from DRAMLesionPanel.results.nodes import Results, findResults
from DRAMLesionPanel.shared.background import Background
from DRAMLesionPanel.shared.path_field import PathField
from DRAMLesionPanel.shared.time_left import stageAndTime

PAGE = "report.html"


class ExamChoice:
    """A CT of the scene that has results, or a folder of results."""

    def __init__(self, panel: Any, name: str, what: str) -> None:
        """Begin with what is chosen.

        Args:
            panel: The panel.
            name: Of the parameter, with which the widgets' names begin.
            what: What to call the folder in an error.
        """
        self._panel, self._name, self._what = panel, name, what
        self._selector = getattr(panel.ui, f"{name}Selector")
        self._label = getattr(panel.ui, f"{name}FolderSelectorLabel")
        self._widget = getattr(panel.ui, f"{name}FolderSelector")
        self._field = PathField(self._widget, lambda _path: None)

    @property
    def _node(self) -> Any:
        """The chosen CT; the selector may follow later than others hear of it."""
        return getattr(self._panel.parameters, self._name)

    def update(self) -> None:
        """Offer the CTs that have results, and the folder where none is chosen."""
        nodes = slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
        hidden = sorted(node.GetID() for node in nodes if findResults(node) is None)
        model = self._selector.sortFilterProxyModel()
        if list(model.hiddenNodeIDs) != hidden:
            model.hiddenNodeIDs = hidden
        for widget in (self._label, self._widget):
            widget.setVisible(self._node is None)

    def exam(self) -> Results | Path:
        """What is chosen.

        Raises:
            InputError: Nothing, or nothing that can be used.
        """
        node = self._node
        if node is None:
            folder = self._field.folder(self._what)
            self._field.remember()
            return folder
        results = findResults(node)
        if results is None:
            raise InputError(_("{name}: has no results: segment it first").format(name=node.GetName()))
        return results


class FollowUpSection:
    """Asks for the exams, compares them, and shows how it goes and what it found."""

    def __init__(self, panel: Any) -> None:
        self._panel, self._ui = panel, panel.ui
        ui = self._ui
        self._choices = (
            ExamChoice(panel, "baseline", _("folder of the first results")),
            ExamChoice(panel, "followup", _("folder of the later results")),
        )
        self._outField = PathField(ui.comparisonFolderSelector, lambda _path: None)
        self._work = Background(panel.reported)
        self._estimate = Estimate(SECONDS)
        ui.comparisonLabel.openExternalLinks = True
        ui.compareButton.connect("clicked(bool)", self._onCompare)
        self._showRunning()
        self._show("")

    @property
    def running(self) -> bool:
        """Whether a comparison is under way."""
        return self._work.busy

    def update(self) -> None:
        """Let the choices follow from the scene."""
        for choice in self._choices:
            choice.update()

    def cancel(self) -> None:
        """End the comparison; nothing is left of it."""
        self._work.cancel()
        self._showRunning()

    def closeScene(self) -> None:
        """The exams may be of the scene that goes: end what is compared."""
        self.cancel()
        self._show("")

    def _onCompare(self, _checked: bool = False) -> None:
        if self.running:
            self.cancel()
            self._show(_("Cancelled; nothing was written."))
            return
        with self._panel.reported():
            exams = [choice.exam() for choice in self._choices]
            if exams[0] == exams[1]:
                raise InputError(
                    _("{exam}: is given twice: give another exam").format(exam=_nameOf(exams[0]))
                )
            out = self._outField.folder(_("folder for the page"))
            self._outField.remember()
            self._panel.showStatus("")
            self._estimate = Estimate(SECONDS)
            reading = self._panel.logic.readingCurrent
            steps = comparing(exams, out, reading, slicer.app.temporaryPath, self._onProgress)
            self._work.start(steps, lambda result: self._onDone(out, result))
            self._showRunning()
            self._show(_("Starting"))

    def _onProgress(self, stage: str, fraction: float) -> None:
        self._estimate.report(stage, fraction)
        self._ui.comparisonProgressBar.value = round(100 * self._estimate.fraction)
        self._show(html.escape(stageAndTime(self._estimate)))

    def _onDone(self, out: Path, result: dict[str, Any] | None) -> None:
        self._showRunning()
        self._show("" if result is None else _resultText(result, out))

    def _showRunning(self) -> None:
        self._ui.compareButton.text = _("Cancel") if self.running else _("Compare")
        self._ui.comparisonProgressBar.setVisible(self.running)
        self._ui.comparisonProgressBar.value = 0

    def _show(self, text: str) -> None:
        self._ui.comparisonLabel.text = text
        self._ui.comparisonLabel.setVisible(bool(text))


def _nameOf(exam: Results | Path) -> str:
    return str(exam) if isinstance(exam, Path) else exam.ctNode.GetName()


def _resultText(result: dict[str, Any], out: Path) -> str:
    """What was found, in HTML, with a link to the page."""
    total = next(row for row in reversed(result["changes"]) if row["region"] == "total")
    counts = result["intervals"][0]["lesion_counts"]
    kinds = ", ".join(f"{count} {kind}" for kind, count in counts.items() if count) or _("none")
    change = f"{total['lesion_change_ml']:+.1f}".replace("-", "−")
    text = _("Lesion {change} mL; lesions: {kinds}.").format(change=change, kinds=kinds)
    flags = [flag["sentence"] for interval in result["intervals"] for flag in interval["flags"]]
    link = f'<a href="{(out / PAGE).as_uri()}">{html.escape(_("Open the page"))}</a>'
    return "<br>".join([*(html.escape(line) for line in (text, *flags)), link])
