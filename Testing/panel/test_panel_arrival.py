"""Results come into the scene step by step, and the window lives meanwhile; clicked in a stand-in for Slicer."""

import time
from dataclasses import replace

import numpy as np
import pytest
from clicks import ball, lesion_of, node_ids, open_correction, own_folders, stroke, wait_until

LONGEST_STEP_S = 0.3
"""Of the processor's time, for the phantom that is a hundredth of a CT: a step that does everything takes longer."""


@pytest.fixture
def handed(monkeypatch, findings):
    """The child process is done already, and has handed over ``handed.findings``."""
    from DRAMLesionPanel.logic import PanelLogic

    from DRAMLesionLib.results.arrays import write_arrays

    class Done:
        pid = 0
        findings = None

        def __init__(self, _arguments, folder):
            write_arrays(Done.findings, folder / "out")

        def poll(self):
            return 0

        def events(self):
            return []

        def log(self):
            return ""

        def kill(self):
            pass

    Done.findings = findings
    monkeypatch.setattr(PanelLogic, "_launch", lambda _self, arguments, folder: Done(arguments, folder))
    return Done


def step(panel) -> None:
    panel.panel.run._poll()


def until_in_scene(panel) -> None:
    panel.ui.segmentButton.click()
    panel.panel.run._timer.stop()
    while not panel.panel.run.current.inScene:
        step(panel)


def finish(panel) -> None:
    while panel.panel.run.current is not None:
        step(panel)


def test_results_come_in_small_steps(panel, handed, findings):
    panel.ui.segmentButton.click()
    panel.panel.run._timer.stop()
    times, fractions, texts = [], [], []
    while panel.panel.run.current is not None:
        begin = time.process_time()
        step(panel)
        times.append(time.process_time() - begin)
        fractions.append(panel.ui.progressBar.value)
        texts.append(panel.ui.statusLabel.text)
    assert len(times) > 15, "arrays, nodes and surfaces, one at a time"
    assert max(times) < LONGEST_STEP_S
    assert fractions == sorted(fractions) and fractions[-1] == 100
    assert any("into the scene" in text for text in texts) and texts[-1] == ""
    np.testing.assert_array_equal(lesion_of(panel), findings.lesion)
    for node in (
        panel.panel.currentResults().lobesSegmentationNode,
        panel.panel.currentResults().lesionSegmentationNode,
    ):
        segmentation = node.GetSegmentation()
        assert segmentation.ContainsRepresentation("Closed surface")
        surfaces = [
            segmentation.GetSegment(name).GetRepresentation("Closed surface")
            for name in segmentation.GetSegmentIDs()
        ]
        assert all(surface.GetNumberOfPoints() > 0 for surface in surfaces)
    assert not own_folders()


def test_cancel_before_the_scene_changes_leaves_it(panel, handed):
    before = node_ids()
    panel.ui.segmentButton.click()
    panel.panel.run._timer.stop()
    for _ in range(4):
        step(panel)
    assert panel.panel.run.current.arriving and panel.ui.cancelButton.enabled
    panel.ui.cancelButton.click()
    assert node_ids() == before and not own_folders() and panel.panel.run.current is None
    assert panel.ui.segmentButton.enabled and "Cancelled" in panel.ui.statusLabel.text


def test_the_outline_is_shown_while_the_rest_is_computed_and_is_no_result(
    panel, handed, findings, monkeypatch
):
    import slicer

    from DRAMLesionLib.results.scene import mrml

    before = node_ids()
    folder = []
    begin = handed.__init__

    def start(self, arguments, its_folder):
        begin(self, arguments, its_folder)
        folder.append(its_folder)

    def events(self):
        if not folder:
            return []
        path = folder.pop() / "outline.npy"
        np.save(path, findings.lesion)
        return [{"event": "outline", "path": str(path)}]

    monkeypatch.setattr(handed, "__init__", start)
    monkeypatch.setattr(handed, "events", events)
    monkeypatch.setattr(handed, "poll", lambda self: None)
    panel.ui.segmentButton.click()
    panel.panel.run._timer.stop()
    step(panel)
    (shown,) = slicer.util.getNodesByClass("vtkMRMLSegmentationNode")
    mask = mrml.segment_array(shown, "lesion", panel.panel.run.current._ct)
    np.testing.assert_array_equal(mask, findings.lesion)
    assert shown.GetHideFromEditors() and not shown.GetSaveWithScene()
    assert panel.ui.cancelButton.enabled and not panel.panel.run.current.inScene
    panel.ui.cancelButton.click()
    assert node_ids() == before


def test_nobody_cancels_or_paints_while_the_scene_changes(panel, application, handed):
    panel.ui.segmentButton.click()
    wait_until(application, lambda: panel.panel.run.current is None)
    open_correction(panel, application)
    panel.ui.segmentEditorWidget.setActiveEffect("brush")
    until_in_scene(panel)
    assert not panel.ui.cancelButton.enabled and not panel.ui.correctCollapsibleButton.enabled
    assert panel.ui.segmentEditorWidget.activeEffect() is None
    finish(panel)
    assert panel.ui.correctCollapsibleButton.enabled and not panel.ui.correctCollapsibleButton.collapsed
    assert panel.ui.segmentEditorWidget.currentSegmentID() == "lesion"


def test_a_scene_that_is_closed_meanwhile_stays_empty(panel, handed):
    import slicer

    until_in_scene(panel)
    step(panel)
    slicer.mrmlScene.Clear(0)
    assert panel.panel.run.current is None and not own_folders()
    assert slicer.util.getNodesByClass("vtkMRMLSegmentationNode") == []


def test_a_ct_that_is_removed_meanwhile_is_told(panel, handed, ct):
    import slicer

    until_in_scene(panel)
    slicer.mrmlScene.RemoveNode(ct)
    finish(panel)
    assert "was removed" in panel.ui.statusLabel.text and panel.ui.statusLabel.styleSheet
    assert not own_folders()


def test_a_damaged_handover_is_one_line(panel, handed, findings):
    handed.findings = replace(findings, dram=findings.dram + np.float32(2))
    before = node_ids()
    panel.ui.segmentButton.click()
    panel.panel.run._timer.stop()
    finish(panel)
    assert "dram.npy: has values 2..2.8" in panel.ui.statusLabel.text and panel.ui.statusLabel.styleSheet
    assert node_ids() == before


def test_a_second_run_asks_no_correction_where_nothing_was_painted(segmented, handed, findings):
    segmented.logic.panelLogic.forget()
    handed.findings = replace(findings, lesion=np.zeros_like(findings.lesion))
    others = node_ids()
    segmented.ui.segmentButton.click()
    segmented.panel.run._timer.stop()
    finish(segmented)
    assert lesion_of(segmented).sum() == 0 and node_ids() == others
    assert segmented.logic.panelLogic.openCorrection(segmented.panel.currentResults()) is None


def test_edits_that_wait_for_refining_survive_a_reopened_scene_and_a_new_run(
    segmented, application, handed, findings, tmp_path
):
    import slicer

    segmented.ui.autoRefineCheckBox.checked = False
    open_correction(segmented, application)
    voxels, place = ball(segmented, lobe=3, wanted=0)
    stroke(segmented, application, voxels, add=True)
    segmented.ui.segmentButton.click()
    wait_until(application, lambda: segmented.panel.run.current is None)
    scene = slicer.mrmlScene
    (tmp_path / "bundle").mkdir()
    assert scene.SaveSceneToSlicerDataBundleDirectory(str(tmp_path / "bundle"))
    scene.Clear(0)
    scene.SetURL(str(next((tmp_path / "bundle").glob("*.mrml"))))
    assert scene.Import()
    application.processEvents()
    segmented.ui.segmentButton.click()
    wait_until(application, lambda: segmented.panel.run.current is None)
    assert lesion_of(segmented)[place] == 1


@pytest.mark.parametrize("steps", range(14))
def test_what_is_painted_elsewhere_while_results_arrive_stays(
    segmented, application, handed, findings, steps
):
    """The Segment Editor module is another one, and goes on working."""

    inside = findings.lobes.labels > 0
    moved = np.where(inside, np.roll(findings.map, 3, axis=2), np.float32(0))
    lesion = ((moved > findings.threshold) & inside).astype(np.uint8)
    handed.findings = replace(findings, refined=moved, probability=None, lesion=lesion)
    segmented.ui.autoRefineCheckBox.checked = False
    open_correction(segmented, application)
    # Painting over what is lesion already is no edit.
    first = ball(segmented, lobe=3, wanted=0)[0] & (lesion_of(segmented) == 0)
    stroke(segmented, application, first, add=True)
    second = ball(segmented, lobe=5, wanted=0)[0] & (lesion_of(segmented) == 0)
    until_in_scene(segmented)
    for _ in range(steps):
        step(segmented)
    stroke(segmented, application, second, add=True)
    finish(segmented)
    painted = lesion.copy()
    painted[first | second] = 1
    np.testing.assert_array_equal(lesion_of(segmented)[inside], painted[inside])
    for _ in range(2):
        segmented.ui.undoButton.click()
    np.testing.assert_array_equal(lesion_of(segmented)[inside], lesion[inside])
    assert not segmented.ui.undoButton.enabled


def test_edits_outlive_a_run_whose_results_do_not_fit(segmented, application, handed, findings, monkeypatch):
    from DRAMLesionPanel import logic

    from DRAMLesionLib.system.errors import InputError

    def failing(*_given, **_more):
        raise InputError("the disk is full")
        yield

    segmented.ui.autoRefineCheckBox.checked = False
    open_correction(segmented, application)
    voxels, _ = ball(segmented, lobe=3, wanted=0)
    stroke(segmented, application, voxels, add=True)
    before = lesion_of(segmented)
    # Other findings: what was carried over to them must not be taken for the scene's.
    handed.findings = replace(findings, refined=np.roll(findings.refined, 3, axis=2))
    with monkeypatch.context() as patch:
        patch.setattr(logic, "addingResults", failing)
        segmented.ui.segmentButton.click()
        segmented.panel.run._timer.stop()
        finish(segmented)
    assert "the disk is full" in segmented.ui.statusLabel.text
    np.testing.assert_array_equal(lesion_of(segmented), before)
    wait_until(application, lambda: segmented.ui.undoButton.enabled)
    segmented.ui.undoButton.click()
    application.processEvents()
    inside = findings.lobes.labels > 0
    np.testing.assert_array_equal(lesion_of(segmented)[inside], findings.lesion[inside])
