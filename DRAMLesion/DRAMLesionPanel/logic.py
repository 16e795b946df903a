"""What the module can do without its panel."""

import logging
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import slicer
from slicer.i18n import tr as _

from DRAMLesionLib.correction.segment.correction import Correction
from DRAMLesionLib.lesions.findings import Findings
from DRAMLesionLib.lungs.lobes import LOBES
from DRAMLesionLib.results.scene.steps import Steps, finish
from DRAMLesionLib.results.scene.table import fill_table
from DRAMLesionLib.system.errors import InputError
from DRAMLesionLib.system.files import STAGING_PREFIX
from DRAMLesionPanel.correct.ranking import Ranking
from DRAMLesionPanel.results.nodes import (
    Results,
    addingResults,
    findingsOf,
    findResults,
    isUntouched,
    readingFindings,
    writeLesions,
)
from DRAMLesionPanel.results.report_file import printing
from DRAMLesionPanel.segment.run import SegmentRun, commandOf
from DRAMLesionPanel.shared.background import inWorker
from DRAMLesionPanel.shared.child_process import LibraryProcess
from DRAMLesionPanel.shared.worker import Worker
from DRAMLesionPanel.train.plan import makePlan
from DRAMLesionPanel.train.run import TrainingRun, discardTraining, resumeTraining, startTraining


class PanelLogic:
    """Runs segmentations and keeps the corrections of the CTs in the scene."""

    def __init__(self) -> None:
        self._corrections: dict[str, tuple[Results, Correction]] = {}
        self.worker = Worker(slicer.app.temporaryPath)

    def startSegmentation(
        self,
        volumeNode: Any,
        lobesNode: Any = None,
        model: str | None = None,
        device: str = "auto",
        method: str | None = None,
    ) -> SegmentRun:
        """Start a run; its ``poll`` must be called until it is finished.

        Raises:
            InputError: The nodes can't be used.
        """
        return SegmentRun(volumeNode, self.delivering, self._launch, lobesNode, model, device, method)

    def _launch(self, arguments: dict[str, Any], folder: Path) -> Any:
        """Let the worker segment, or a process of its own while the worker does something else."""
        if self.worker.busy:
            return LibraryProcess(commandOf(arguments), folder)
        return self.worker.submit("segment", **arguments)

    def startTraining(
        self,
        data: str,
        recipe: str = "dram",
        name: str | None = None,
        epochs: int | None = None,
        device: str = "auto",
        model: str | None = None,
    ) -> TrainingRun:
        """Start a training in a process of its own; its ``poll`` tells how it goes.

        Raises:
            InputError: Something is missing or can't be used.
        """
        return startTraining(makePlan(str(data), str(recipe), epochs, model), name, device)

    def resumeTraining(self, name: str | None = None, device: str | None = None) -> TrainingRun:
        """Go on with a training that was stopped; the latest one if no name is given.

        Raises:
            InputError: There is none.
        """
        return resumeTraining(name, device)

    def discardTraining(self, name: str) -> None:
        """Throw away a training that was stopped.

        Raises:
            InputError: There is none, or it goes on.
        """
        discardTraining(name)

    def correction(self, results: Results) -> Correction:
        """The correction of a CT's lesion; the first call for a CT prepares it, which takes a moment.

        Raises:
            InputError: The nodes don't fit each other.
        """
        return finish(self.preparingCorrection(results))

    def preparingCorrection(self, results: Results, findings: Findings | None = None) -> Steps[Correction]:
        """Prepare a correction in steps.

        Args:
            results: The nodes.
            findings: What they hold, where that is known: then nothing is read from them.
        """
        known = self.openCorrection(results)
        if known is None:
            if findings is None:
                findings = yield from readingFindings(results)
                yield "findings"
            known = yield from Correction.preparing(results.lesionSegmentationNode, findings)
            self._corrections[results.ctNode.GetID()] = (results, known)
        return known

    def openCorrection(self, results: Results | None) -> Correction | None:
        """The correction of a CT if it was prepared already."""
        same, known = self._corrections.get(results.ctNode.GetID(), (None, None)) if results else (None, None)
        return known if same == results else None

    def currentFindings(self, results: Results) -> Findings:
        """The results with the user's edits."""
        known = self.openCorrection(results)
        return known.findings() if known else findingsOf(results)

    def readingCurrent(self, results: Results) -> Steps[Findings]:
        """Read the results with the user's edits in steps."""
        known = self.openCorrection(results)
        if known:
            return known.findings()
        return (yield from readingFindings(results))

    def updateTable(self, results: Results) -> None:
        """Let table and chart follow from the lesion as it is now; the list of lesions holds no longer."""
        known = self.openCorrection(results)
        table = known.table if known else findingsOf(results).quantification
        fill_table(results.tableNode, table.regions)
        writeLesions(results, None)

    def reporting(self, results: Results, path: Path, tell: Callable[[str], None]) -> Steps[None]:
        """Write the report of the results as they are now, in the worker; where it is to be PDF, its page is printed.

        Args:
            results: The nodes.
            path: The file to make; one that ends in ``.pdf`` is printed.
            tell: Told the stage, for people.

        Raises:
            InputError: The nodes don't fit each other, or the worker failed; one line.
            OSError: The file can't be written.
        """
        findings = yield from self.readingCurrent(results)
        temporary = slicer.app.temporaryPath
        if path.suffix.lower() != ".pdf":
            yield from inWorker(self.worker, temporary, "report", findings, tell, path=str(path))
            return
        with tempfile.TemporaryDirectory(dir=temporary, prefix=f"{STAGING_PREFIX}report-") as folder:
            page = Path(folder) / "report.html"
            yield from inWorker(self.worker, temporary, "report", findings, tell, path=str(page))
            tell(_("Printing the report"))
            yield from printing(page, path)

    def forget(self) -> None:
        """Drop what belongs to a scene that is closed."""
        self._corrections.clear()

    def deliver(self, findings: Findings, ctNode: Any) -> Results:
        """Put new findings into the scene; edits of an earlier run on this CT are applied to them."""
        return finish(self.delivering(findings, ctNode))

    def delivering(self, findings: Findings, ctNode: Any) -> Steps[Results]:
        """The same in steps; what is painted between them is an edit, too."""
        old = findResults(ctNode)
        # No step between this look and the first node: a stroke there would be lost.
        if old and (self.openCorrection(old) or not isUntouched(old, findings.ct)):
            correction = yield from self.preparingCorrection(old)
            correction.recognise(inside_lobes=False)
            if correction.has_edits:
                return (yield from self._carryingOver(correction, findings, ctNode))
            self._corrections.pop(ctNode.GetID())
        return (yield from addingResults(findings, ctNode))

    def _carryingOver(self, correction: Correction, findings: Findings, ctNode: Any) -> Steps[Results]:
        """Put new findings with the edits of an earlier run into the scene."""
        yield "edits"
        ranking = Ranking()
        try:
            findings = yield from self._ranking(ranking, correction, findings)
            with correction.working():
                findings = yield from correction.carrying_over(findings, ranking.lobes)
                results = yield from addingResults(findings, ctNode, edited=True)
        except BaseException:
            # Half of it is of the new run: the next one begins with what the scene holds.
            self._corrections.pop(ctNode.GetID(), None)
            raise
        finally:
            ranking.end()
        correction.save_strokes()
        return results

    def _ranking(self, ranking: Ranking, correction: Correction, findings: Findings) -> Steps[Findings]:
        """Rank the lobes of a new run that a reader gave numbers; the findings say so where that fails."""
        correction.settle()
        said = correction.said
        wanted = [lobe.value for lobe in LOBES if said.of(lobe.value) is not None]
        if not wanted:
            return findings
        try:
            yield from ranking.making(self.worker, findings, logging.info, wanted)
        except InputError as error:
            note = _("The reader's numbers were not kept: {error}").format(error=error)
            warnings = [*findings.record.get("warnings", ()), note]
            findings = replace(findings, record={**findings.record, "warnings": warnings})
        return findings
