"""Correcting, accepting and reopening, clicked in a stand-in for Slicer (see panel_standin)."""

import json

import numpy as np
import pytest
from clicks import accepted, ball, lesion_of, node_ids, open_correction, stroke, wait_until


def test_surfaces_follow_the_check_box_and_give_way_to_painting(segmented, application):
    results = segmented.panel.currentResults()

    def surfaces() -> tuple[bool, bool]:
        nodes = (results.lesionSegmentationNode, results.lobesSegmentationNode)
        lesion, lobes = (node.GetSegmentation().ContainsRepresentation("Closed surface") for node in nodes)
        return lesion, lobes

    assert surfaces() == (True, True)
    open_correction(segmented, application)
    assert surfaces() == (False, True)
    segmented.ui.correctCollapsibleButton.collapsed = True
    assert surfaces() == (True, True)
    segmented.ui.show3DCheckBox.checked = False
    assert surfaces() == (False, False)


def test_a_stroke_is_refined_undone_and_redone(segmented, application):
    open_correction(segmented, application)
    assert not segmented.ui.undoButton.enabled and not segmented.ui.refineButton.enabled
    before = lesion_of(segmented)
    voxels, centre = ball(segmented, lobe=5, wanted=0)
    stroke(segmented, application, voxels, add=True)
    painted = lesion_of(segmented)
    correction = segmented.logic.panelLogic.openCorrection(segmented.panel.currentResults())
    assert painted[centre] == 1 and not correction.waiting
    assert (correction.edits[painted != before] >= 0).all() and (correction.edits == 1).any()
    segmented.ui.undoButton.click()
    np.testing.assert_array_equal(lesion_of(segmented), before)
    assert not segmented.ui.undoButton.enabled
    segmented.ui.redoButton.click()
    np.testing.assert_array_equal(lesion_of(segmented), painted)


def test_erasing_is_an_edit_of_not_lesion(segmented, application):
    open_correction(segmented, application)
    voxels, centre = ball(segmented, lobe=2, wanted=1)
    stroke(segmented, application, voxels, add=False)
    correction = segmented.logic.panelLogic.openCorrection(segmented.panel.currentResults())
    assert lesion_of(segmented)[centre] == 0 and correction.edits[centre] == 2


def test_refining_waits_for_the_button_when_the_box_is_off(segmented, application):
    segmented.ui.autoRefineCheckBox.checked = False
    open_correction(segmented, application)
    before = lesion_of(segmented)
    for lobe in (1, 5):
        voxels, _ = ball(segmented, lobe=lobe, wanted=0)
        stroke(segmented, application, voxels, add=True)
    raw = lesion_of(segmented)
    assert segmented.ui.refineButton.enabled
    segmented.ui.undoButton.click()
    assert 0 < (lesion_of(segmented) != before).sum() < (raw != before).sum()
    segmented.ui.redoButton.click()
    np.testing.assert_array_equal(lesion_of(segmented), raw)
    segmented.ui.refineButton.click()
    assert not segmented.ui.refineButton.enabled
    assert (lesion_of(segmented)[raw > before] == 1).all()
    for _ in range(2):
        segmented.ui.undoButton.click()
    np.testing.assert_array_equal(lesion_of(segmented), before)


def test_painting_outside_the_lobes_is_taken_back(segmented, application, findings):
    open_correction(segmented, application)
    before = lesion_of(segmented)
    everywhere = np.zeros(before.shape, bool)
    everywhere[20:23, 20:36] = True
    stroke(segmented, application, everywhere, add=True)
    after = lesion_of(segmented)
    assert (after != before).any()
    assert not (after[findings.lobes.labels == 0] != before[findings.lobes.labels == 0]).any()
    segmented.ui.insideLobesCheckBox.checked = False
    stroke(segmented, application, everywhere, add=True)
    assert (lesion_of(segmented)[everywhere] == 1).all()


def test_table_follows_the_edits(segmented, application):
    open_correction(segmented, application)
    table = segmented.panel.currentResults().tableNode
    before = float(table.GetTable().GetValueByName(2, "Lesion (mL)").ToString())
    voxels, _ = ball(segmented, lobe=3, wanted=0, radius=5)
    stroke(segmented, application, voxels, add=True)
    wait_until(
        application,
        lambda: float(table.GetTable().GetValueByName(2, "Lesion (mL)").ToString()) > before,
        seconds=20,
    )


def test_a_new_run_keeps_the_edits(segmented, application, ct, findings):
    from dataclasses import replace

    open_correction(segmented, application)
    voxels, added = ball(segmented, lobe=3, wanted=0)
    stroke(segmented, application, voxels, add=True)
    segmented.ui.autoRefineCheckBox.checked = False
    voxels, pending = ball(segmented, lobe=1, wanted=0)
    stroke(segmented, application, voxels, add=True)
    count = len(node_ids())
    nothing = np.zeros_like(findings.dram)
    empty = replace(findings, dram=nothing, refined=nothing, lesion=np.zeros_like(findings.lesion))
    segmented.logic.panelLogic.deliver(empty, ct)
    after = lesion_of(segmented)
    assert after[added] == 1 and after[pending] == 1 and after.sum() < findings.lesion.sum()
    assert len(node_ids()) == count
    for _ in range(2):
        segmented.ui.undoButton.click()
    assert lesion_of(segmented).sum() == 0


def test_painting_goes_on_after_a_new_run(segmented, application, ct, findings):
    open_correction(segmented, application)
    segmented.logic.panelLogic.deliver(findings, ct)
    segmented.panel.correct.restart()
    segmented.panel.update()
    wait_until(application, lambda: segmented.panel.correct._watched is not None)
    assert segmented.ui.segmentEditorWidget.currentSegmentID() == "lesion"
    voxels, centre = ball(segmented, lobe=3, wanted=0)
    stroke(segmented, application, voxels, add=True)
    assert segmented.ui.undoButton.enabled and lesion_of(segmented)[centre] == 1


def test_edits_of_another_module_survive_a_new_run(segmented, application, ct, findings):
    from DRAMLesionLib.results.scene import mrml

    voxels, place = ball(segmented, lobe=1, wanted=0)
    painted = lesion_of(segmented) | voxels
    mrml.update_segment(
        segmented.panel.currentResults().lesionSegmentationNode, "lesion", painted, findings.ct
    )
    assert segmented.logic.panelLogic.openCorrection(segmented.panel.currentResults()) is None
    segmented.logic.panelLogic.deliver(findings, ct)
    assert lesion_of(segmented)[place] == 1


def test_a_scene_of_the_command_line_can_be_corrected(panel, application, ct, findings):
    import slicer

    from DRAMLesionLib.results.scene import nodes as scene

    scene.add_findings(slicer.mrmlScene, findings, ct)
    panel.panel.update()
    open_correction(panel, application)
    assert not panel.ui.undoButton.enabled, "the lesion that is there is no edit"
    before = lesion_of(panel)
    np.testing.assert_array_equal(before, findings.lesion)
    voxels, centre = ball(panel, lobe=3, wanted=0)
    stroke(panel, application, voxels, add=True)
    assert lesion_of(panel)[centre] == 1
    panel.ui.undoButton.click()
    np.testing.assert_array_equal(lesion_of(panel), before)


def test_correction_starts_from_what_the_lesion_was_cut_from(panel, application, ct, findings):
    from dataclasses import replace

    probability = np.clip(findings.dram * 0.5 + 0.2 * (findings.lobes.labels == 3), 0, 1).astype(np.float32)
    settings = {**findings.record["settings"], "method": "final", "segmentation": {"threshold": 0.15}}
    lesion = ((probability > 0.15) & (findings.lobes.labels > 0)).astype(np.uint8)
    final = replace(
        findings, lesion=lesion, probability=probability, record={**findings.record, "settings": settings}
    )
    results = panel.logic.panelLogic.deliver(final, ct)
    assert (
        results.refinedNode is None and results.cutNode.GetName() == f"{findings.ct.name} lesion probability"
    )
    panel.panel.update()
    open_correction(panel, application)
    assert not panel.ui.undoButton.enabled
    voxels, centre = ball(panel, lobe=3, wanted=1)
    stroke(panel, application, voxels, add=False)
    assert lesion_of(panel)[centre] == 0
    again = panel.logic.panelLogic.deliver(findings, ct)
    assert again.probabilityNode is None and again.refinedNode is not None
    assert lesion_of(panel)[centre] == 0, "edits stay when the method changes"


def test_accept_stores_the_case_for_training(segmented, application, tmp_path, ct):
    from DRAMLesionLib.images.volume import read_ct, read_on_grid
    from DRAMLesionLib.training.data.datalist import read_datalist

    open_correction(segmented, application)
    voxels, centre = ball(segmented, lobe=4, wanted=0)
    stroke(segmented, application, voxels, add=True)
    assert not segmented.ui.acceptButton.enabled
    segmented.ui.trainingFolderSelector.currentPath = str(tmp_path / "training")
    for _ in range(2):
        accepted(segmented, application)
    scans = read_datalist(tmp_path / "training" / "datalist.json").training
    assert len(scans) == 1
    case = scans[0].image.parent
    stored = read_ct(scans[0].image)
    np.testing.assert_array_equal(read_on_grid(case / "lesion.nrrd", stored), lesion_of(segmented))
    assert read_on_grid(case / "edits.nrrd", stored)[centre] == 1
    facts = json.loads((case / "case.json").read_text())
    assert facts["record"]["model"]["name"] == "tiny" and facts["painted_voxels"]["lesion"] > 0
    assert scans[0].percent[3] == pytest.approx(facts["percent"]["RML"], abs=1e-3)
    assert not list((tmp_path / "training").glob(".*"))


def test_a_saved_scene_brings_the_panel_back(segmented, application, tmp_path, findings):
    import slicer

    segmented.ui.heatmapOpacitySlider.value = 0.7
    segmented.ui.heatmapThresholdSlider.value = 0.25
    open_correction(segmented, application)
    voxels, _ = ball(segmented, lobe=5, wanted=0)
    stroke(segmented, application, voxels, add=True)
    corrected = lesion_of(segmented)
    scene = slicer.mrmlScene
    (tmp_path / "bundle").mkdir()
    assert scene.SaveSceneToSlicerDataBundleDirectory(str(tmp_path / "bundle"))
    segmented.ui.correctCollapsibleButton.collapsed = True
    scene.Clear(0)
    assert not segmented.ui.resultsCollapsibleButton.enabled
    scene.SetURL(str(next((tmp_path / "bundle").glob("*.mrml"))))
    assert scene.Import()
    application.processEvents()
    assert segmented.ui.inputVolumeSelector.currentNode().GetName() == "Phantom CT"
    assert segmented.ui.resultsTableView.model().rowCount() == 8
    assert segmented.ui.heatmapOpacitySlider.value == pytest.approx(0.7)
    assert segmented.ui.heatmapThresholdSlider.value == pytest.approx(0.25)
    assert segmented.panel.parameters.model == "tiny"
    np.testing.assert_array_equal(lesion_of(segmented), corrected)
    open_correction(segmented, application)
    segmented.ui.undoButton.click()
    np.testing.assert_array_equal(lesion_of(segmented), findings.lesion)
