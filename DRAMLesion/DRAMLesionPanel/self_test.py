"""The module's test cases in the application, as far as they need no mouse: ``DRAMLesionTest`` runs them."""

import json
import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import slicer

from DRAMLesionLib.lesions.networks.bundle_folders import USER_ENVIRONMENT
from DRAMLesionLib.phantom import make_phantom, save_phantom
from DRAMLesionLib.results.scene import mrml
from DRAMLesionLib.results.scene.steps import Steps
from DRAMLesionPanel.results.nodes import Results, findResults

RECIPE = """
task: dram
name: tiny-dram
epochs: 2
learning_rate: 0.01
validate_every: 1
threads: 1
precision: float32
dram: {synthetic_share: 0, synthetic_first: 0}
model:
  spacing_mm: [8, 8, 8]
  candidate_hu: -600
  network: {features: [2, 2, 4, 4, 4, 2]}
  attention: null
"""
"""A training of seconds."""
NAP_S = 0.02
LONG = 5000
"""Epochs that nobody waits for."""


class SelfTest:
    """The main job on a phantom, correction, report, a second run, and a training."""

    SIZE, SPACING_MM = (80, 80, 64), (4.4, 4.4, 4.5)

    def __init__(self, case: Any, logic: Any, temporaryPath: str) -> None:
        """Prepare.

        Args:
            case: A ``unittest.TestCase``, which judges.
            logic: The module's logic.
            temporaryPath: A folder to write into.
        """
        self.case, self.logic, self.folder = case, logic, Path(temporaryPath)
        self.phantom = make_phantom(self.SIZE, self.SPACING_MM)

    def run(self) -> None:
        """Run all cases, one after the other on the same results: a run takes longest."""
        volumeNode = self.phantomNode()
        results = self.segments(volumeNode)
        self.refinesAndUndoes(results)
        self.reports(results)
        self.runsAgain(volumeNode, results)
        self.trains()

    def runWithoutPackages(self) -> None:
        """Run the cases that need no package but Slicer's own, on the phantom's true lesion."""
        from DRAMLesionLib.lesions.findings import Findings
        from DRAMLesionLib.lesions.quantify import quantify

        phantom = self.phantom
        dram = phantom.lesion.astype(np.float32)
        table = quantify(phantom.ct.array, phantom.lobes, phantom.lesion, phantom.ct.spacing_mm, dram)
        findings = Findings(phantom.ct, phantom.lobes, dram, phantom.lesion, table)
        results = self.logic.panelLogic.deliver(findings, self.phantomNode())
        self.case.assertEqual(results.tableNode.GetNumberOfRows(), 8)
        self.refinesAndUndoes(results)

    def phantomNode(self) -> Any:
        """The phantom's CT in the scene."""
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "phantom")
        mrml.fill_volume_node(node, self.phantom.ct.array, self.phantom.ct)
        return node

    def segments(self, volumeNode: Any) -> Results:
        """The main job gives a map, a lesion, lobes and a table."""
        results = self.logic.segment(volumeNode, device="cpu")
        self.case.assertEqual(results.tableNode.GetNumberOfRows(), 8)
        self.case.assertGreater(slicer.util.arrayFromVolume(results.heatmapNode).max(), 0)
        self.case.assertEqual(results.lobesSegmentationNode.GetSegmentation().GetNumberOfSegments(), 5)
        self.case.assertEqual(findResults(volumeNode), results)
        return results

    def refinesAndUndoes(self, results: Results) -> None:
        """A painted box is refined around, taken back, and made again."""
        ct = mrml.volume_from_node(results.ctNode)
        node = results.lesionSegmentationNode
        before = mrml.segment_array(node, "lesion", ct)
        correction = self.logic.panelLogic.correction(results)
        lobe = self.phantom.lobes.labels
        z, y, x = _middle((lobe == 3) & (before == 0))
        painted = before.copy()
        painted[z, y - 1 : y + 2, x - 1 : x + 2] = 1
        mrml.update_segment(node, "lesion", painted, ct)
        self.case.assertTrue(correction.recognise(inside_lobes=False))
        self.case.assertTrue(correction.refine())
        self.case.assertEqual(mrml.segment_array(node, "lesion", ct)[z, y, x], 1)
        self.case.assertTrue(correction.undo())
        self.case.assertTrue((mrml.segment_array(node, "lesion", ct) == before).all())
        self.case.assertTrue(correction.redo())

    def reports(self, results: Results) -> None:
        """The report is written as HTML, and as PDF where Slicer has a browser to print it."""
        from DRAMLesionPanel.results.report_file import canPrint

        for name, head in (("report.html", b"<!DOCTYPE"), ("report.pdf", b"%PDF")):
            path = self.folder / name
            if path.suffix != ".pdf" or canPrint():
                _lively(self.logic.panelLogic.reporting(results, path, logging.info))
                self.case.assertTrue(path.read_bytes().startswith(head))

    def runsAgain(self, volumeNode: Any, results: Results) -> None:
        """A second run replaces its own results and keeps what was painted."""
        painted = self.logic.panelLogic.correction(results).edits
        again = self.logic.segment(volumeNode, device="cpu")
        self.case.assertEqual(again, results)
        lesion = mrml.segment_array(again.lesionSegmentationNode, "lesion", mrml.volume_from_node(volumeNode))
        self.case.assertTrue((lesion[painted == 1] == 1).all())

    def trains(self) -> None:
        """A training gives a model; one that was stopped goes on, and can be discarded."""
        data = self._trainingData()
        recipe = data.with_name("recipe.yaml")
        with _ownModels(self.folder / "models") as models:
            folder = self.logic.train(data, recipe, "self-test", epochs=1, device="cpu")
            self.case.assertEqual(folder, models / "self-test")
            self.case.assertTrue((folder / "models" / "model.safetensors").is_file())
            run = self.logic.train(data, recipe, "stopped", epochs=LONG, device="cpu", wait=False)
            self._stopAfterAStep(run)
            again = self.logic.resumeTraining("stopped", wait=False)
            self._stopAfterAStep(again)
            self.case.assertGreaterEqual(again.progress.step, run.progress.step)
            self.logic.discardTraining("stopped")
            self.case.assertEqual(sorted(models.glob("stopped*")), [])

    def _trainingData(self) -> Path:
        folder = self.folder / "training"
        save_phantom(self.phantom, folder / "1")
        row = {"image": "1/ct.nii.gz", "lobes": "1/lobes.nii.gz", "percent": list(self.phantom.percent)}
        (folder / "list.json").write_text(json.dumps({"training": [row], "validation": [row]}))
        (folder / "recipe.yaml").write_text(RECIPE)
        return folder / "list.json"

    def _stopAfterAStep(self, run: Any) -> None:
        before = run.progress.step
        while not run.poll() and run.progress.step <= before:
            slicer.app.processEvents()
            time.sleep(NAP_S)
        self.case.assertFalse(run.finished, run.error)
        run.stop()
        self.case.assertIsNone(run.wait())
        self.case.assertTrue(run.stopped)


@contextmanager
def _ownModels(folder: Path) -> Iterator[Path]:
    """Models that are trained meanwhile go into a folder of the test's own."""
    before = os.environ.get(USER_ENVIRONMENT)
    os.environ[USER_ENVIRONMENT] = str(folder)
    try:
        yield folder
    finally:
        if before is None:
            del os.environ[USER_ENVIRONMENT]
        else:
            os.environ[USER_ENVIRONMENT] = before


def _lively(steps: Steps[None]) -> None:
    """Do all steps while the application lives: a browser answers in none that stands still."""
    for _step in steps:
        slicer.app.processEvents()
        time.sleep(NAP_S)


def _middle(mask: Any) -> Any:
    places = np.argwhere(mask)
    return places[len(places) // 2]
