"""What a radiologist does on the panel, clicked in a stand-in for Slicer (see panel_standin)."""

import contextlib
import json
import os
import stat
import sys
import time
from pathlib import Path

import numpy as np
import pytest

PATIENCE_S = 240.0
"""For child processes on a busy machine."""


def wait_until(application, condition, seconds: float = PATIENCE_S) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "nothing happened"
        application.processEvents()
        time.sleep(0.01)


def lesion_of(panel) -> np.ndarray:
    from DRAMLesionLib import mrml

    results = panel.panel.currentResults()
    return mrml.segment_array(results.lesionSegmentationNode, "lesion", mrml.volume_from_node(results.ctNode))


def node_ids() -> set[str]:
    import slicer

    return {node.GetID() for node in slicer.util.getNodesByClass("vtkMRMLNode")}


def own_folders() -> list[str]:
    import slicer

    return [path.name for path in Path(slicer.app.temporaryPath).glob(".dramlesion-*")]


def group_is_gone(pid: int) -> bool:
    """Whether no process of the group lives; ended ones that nobody waits for don't count."""
    if not Path("/proc/self/stat").exists():
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, 0)
            return False
        return True
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, _parent, group = entry.read_text().rpartition(")")[2].split()[:3]
            if int(group) == pid and state != "Z":
                return False
    return True


def open_correction(panel, application) -> None:
    panel.ui.correctCollapsibleButton.collapsed = False
    application.processEvents()


def ball(panel, lobe: int, wanted: int, radius: float = 2.5) -> tuple[np.ndarray, tuple[int, ...]]:
    """A brush's voxels (canonical axes) around a voxel of a lobe whose label is ``wanted``, and that voxel."""
    from DRAMLesionLib import mrml

    results = panel.panel.currentResults()
    ct = mrml.volume_from_node(results.ctNode)
    lobes = mrml.lobes_from_segmentation(results.lobesSegmentationNode, ct)
    places = np.argwhere((lobes.labels == lobe) & (lesion_of(panel) == wanted))
    centre = tuple(int(i) for i in places[len(places) // 2])
    grid = np.indices(ct.array.shape) - np.reshape(centre, (3, 1, 1, 1))
    return (grid**2).sum(axis=0) <= radius**2, centre


def stroke(panel, application, voxels: np.ndarray, add: bool) -> None:
    """Paint as a segment editor effect does: hand the editor's logic a modifier label map."""
    import slicer
    from vtk.util.numpy_support import vtk_to_numpy

    from DRAMLesionLib import mrml
    from DRAMLesionLib.volume import to_image

    results = panel.panel.currentResults()
    ct = mrml.volume_from_node(results.ctNode)
    modifier = slicer.vtkSlicerSegmentationsModuleLogic.CreateOrientedImageDataFromVolumeNode(results.ctNode)
    modifier.AllocateScalars(3, 1)
    import SimpleITK as sitk

    own = sitk.GetArrayFromImage(to_image(voxels, ct))
    vtk_to_numpy(modifier.GetPointData().GetScalars())[:] = own.ravel()
    logic = panel.ui.segmentEditorWidget.logic
    mode = logic.ModificationModeAdd if add else logic.ModificationModeRemove
    logic.ModifySegmentByLabelmap(results.lesionSegmentationNode, "lesion", modifier, mode, True, False)
    for _ in range(3):
        application.processEvents()


def test_first_ct_is_chosen_and_segment_is_ready(panel, ct):
    assert panel.ui.inputVolumeSelector.currentNode() is ct
    assert panel.ui.segmentButton.enabled and not panel.ui.cancelButton.enabled
    assert not panel.ui.resultsCollapsibleButton.enabled
    assert "not for diagnosis" in panel.ui.researchUseLabel.text


def test_warns_of_a_volume_that_is_no_ct(panel):
    import slicer

    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "MR")
    slicer.util.updateVolumeFromArray(
        node, np.random.default_rng(0).integers(0, 900, (9, 9, 9)).astype(np.int16)
    )
    panel.ui.inputVolumeSelector.setCurrentNode(node)
    assert "MR" in panel.ui.statusLabel.text and "HU" in panel.ui.statusLabel.text


def test_lists_models_and_devices(panel, application):
    panel.panel.inputs.examine()
    wait_until(application, lambda: panel.ui.deviceSelector.count > 1)
    models = [panel.ui.modelSelector.itemData(i) for i in range(panel.ui.modelSelector.count)]
    devices = [panel.ui.deviceSelector.itemData(i) for i in range(panel.ui.deviceSelector.count)]
    assert "tiny" in models and devices[:2] == ["auto", "cpu"]
    assert panel.ui.modelSelector.itemData(panel.ui.modelSelector.currentIndex) == "tiny"
    wait_until(application, lambda: not own_folders())
    panel.ui.deviceSelector.setCurrentIndex(1)
    assert panel.panel.parameters.device == "cpu"


def test_segments_by_a_click(panel, application, ct, findings):
    import slicer

    shown = []
    panel.ui.progressBar.connect("valueChanged(int)", shown.append)
    panel.ui.segmentButton.click()
    assert panel.ui.cancelButton.enabled and not panel.ui.segmentButton.enabled
    wait_until(application, lambda: panel.panel.run.current is None)
    assert panel.ui.statusLabel.styleSheet == "", panel.ui.statusLabel.text
    assert shown == sorted(shown) and len(shown) > 3 and shown[-1] > 50
    results = panel.panel.currentResults()
    assert results.ctNode is ct
    assert panel.ui.resultsTableView.model().rowCount() == 8
    assert "severity score" in panel.ui.summaryLabel.text and "approximate" in panel.ui.summaryLabel.text
    composite = slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode")[0]
    assert composite.GetForegroundVolumeID() == results.heatmapNode.GetID()
    assert lesion_of(panel).sum() > 0
    assert not own_folders()
    open_correction(panel, application)
    assert not panel.ui.undoButton.enabled, "the results alone must not look like edits"


def test_segments_without_the_panel(module, models, ct):
    import slicer

    heard = []
    run = module.DRAMLesionLogic().segment(ct, model="tiny", device="cpu", wait=False)
    results = run.wait(lambda fraction, text: heard.append((fraction, text)))
    assert results.heatmapNode.GetNodeReferenceID("DRAMLesion.CT") == ct.GetID()
    assert results.tableNode.GetNumberOfRows() == 8
    assert results.lobesSegmentationNode.GetSegmentation().GetNumberOfSegments() == 5
    assert slicer.util.arrayFromVolume(results.heatmapNode).shape == slicer.util.arrayFromVolume(ct).shape
    assert any("Lobes" in text for _, text in heard)


def test_the_time_left_counts_down_and_the_bar_never_goes_back(module):
    from DRAMLesionPanel.estimate import Estimate

    now = [0.0]
    estimate = Estimate(lambda: now[0])
    now[0] = 60.0
    estimate.report("Reading the CT", 0.0)
    assert estimate.remainingSeconds() is None
    now[0] = 70.0
    estimate.report("Computing the dRAM", 2 / 3)
    assert estimate.fraction == pytest.approx(0.5)
    assert estimate.remainingSeconds() == pytest.approx(10.0)
    now[0] = 73.0
    assert estimate.remainingSeconds() == pytest.approx(7.0)
    assert estimate.text() == "Computing the dRAM, about 7 s left"
    estimate.report("Something new", 0.0)
    estimate.report("Lobes", 0.0)
    assert estimate.fraction == pytest.approx(0.5)
    now[0] = 100.0
    assert estimate.remainingSeconds() == 1.0


@pytest.mark.skipif(os.name == "nt", reason="a shell script stands in for Slicer's launcher")
def test_cancel_ends_all_processes_and_leaves_the_scene(panel, application, tmp_path, monkeypatch):
    from DRAMLesionPanel import child_process

    # As in Slicer, where the Python that is started is a launcher of the true one.
    launcher = tmp_path / "PythonSlicer"
    launcher.write_text(f'#!/bin/sh\n"{sys.executable}" "$@"\nexit $?\n')
    launcher.chmod(launcher.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr(child_process, "pythonExecutable", lambda: str(launcher))
    before = node_ids()
    panel.ui.segmentButton.click()
    run = panel.panel.run.current
    pid = run.pid
    wait_until(application, lambda: run.estimate.fraction > 0 or run.finished)
    assert not run.finished, panel.ui.statusLabel.text
    panel.ui.cancelButton.click()
    wait_until(application, lambda: group_is_gone(pid), seconds=5)
    assert node_ids() == before and panel.panel.currentResults() is None
    assert not own_folders()
    assert panel.ui.segmentButton.enabled and not panel.ui.cancelButton.enabled
    assert "Cancelled" in panel.ui.statusLabel.text


def test_shows_the_librarys_line_when_a_run_fails(panel, application):
    panel.panel.parameters.model = "nowhere"
    before = node_ids()
    panel.ui.segmentButton.click()
    wait_until(application, lambda: panel.panel.run.current is None)
    assert panel.ui.statusLabel.text.startswith("nowhere: no such model")
    assert "\n" not in panel.ui.statusLabel.text and panel.ui.statusLabel.styleSheet
    assert node_ids() == before and panel.ui.segmentButton.enabled


def test_refuses_a_segmentation_that_has_no_lobes(panel, segmented):
    segmented.ui.lobesSelector.setCurrentNode(segmented.panel.currentResults().lesionSegmentationNode)
    panel.ui.segmentButton.click()
    assert panel.panel.run.current is None
    assert "name the segments" in panel.ui.statusLabel.text


def test_sliders_act_at_once(segmented):
    import slicer

    results = segmented.panel.currentResults()
    segmented.ui.heatmapOpacitySlider.value = 0.8
    segmented.ui.heatmapThresholdSlider.value = 0.35
    opacities = [
        node.GetForegroundOpacity() for node in slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode")
    ]
    assert opacities == pytest.approx([0.8] * 3)
    assert results.heatmapNode.GetDisplayNode().GetLowerThreshold() == pytest.approx(0.35)


def test_the_bar_chart_is_shown_in_the_layout(segmented):
    import slicer

    slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLayoutNode")
    slicer.mrmlScene.AddNewNodeByClass("vtkMRMLPlotViewNode")
    segmented.ui.chartButton.click()
    assert segmented.ui.statusLabel.styleSheet == "", segmented.ui.statusLabel.text
    selection = slicer.app.applicationLogic().GetSelectionNode()
    assert selection.GetActivePlotChartID() == segmented.panel.currentResults().chartNode.GetID()


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


def test_report_has_the_results_of_now(segmented, application, tmp_path):
    open_correction(segmented, application)
    voxels, _ = ball(segmented, lobe=3, wanted=0, radius=4)
    segmented.ui.autoRefineCheckBox.checked = False
    stroke(segmented, application, voxels, add=True)
    results = segmented.panel.currentResults()
    segmented.panel.results.saveReport(results, str(tmp_path / "report.html"))
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    ml = segmented.logic.panelLogic.currentFindings(results).quantification["RUL"].lesion_ml
    assert "Research use only" in text and f"{ml:.0f}" in text


def test_a_stroke_is_refined_undone_and_redone(segmented, application):
    open_correction(segmented, application)
    assert not segmented.ui.undoButton.enabled and not segmented.ui.refineButton.enabled
    before = lesion_of(segmented)
    voxels, centre = ball(segmented, lobe=5, wanted=0)
    stroke(segmented, application, voxels, add=True)
    painted = lesion_of(segmented)
    correction = segmented.logic.panelLogic.openCorrection(segmented.panel.currentResults())
    assert painted[centre] == 1 and not correction.canRefine
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
    assert segmented.ui.segmentEditorWidget.currentSegmentID() == "lesion"
    voxels, centre = ball(segmented, lobe=3, wanted=0)
    stroke(segmented, application, voxels, add=True)
    assert segmented.ui.undoButton.enabled and lesion_of(segmented)[centre] == 1


def test_removed_results_leave_the_panel(segmented):
    import slicer

    slicer.mrmlScene.RemoveNode(segmented.panel.currentResults().heatmapNode)
    assert not segmented.ui.resultsCollapsibleButton.enabled
    assert segmented.ui.segmentButton.enabled


def test_edits_of_another_module_survive_a_new_run(segmented, application, ct, findings):
    from DRAMLesionLib import mrml

    voxels, place = ball(segmented, lobe=1, wanted=0)
    painted = lesion_of(segmented) | voxels
    mrml.update_segment(
        segmented.panel.currentResults().lesionSegmentationNode, "lesion", painted, findings.ct
    )
    assert segmented.logic.panelLogic.openCorrection(segmented.panel.currentResults()) is None
    segmented.logic.panelLogic.deliver(findings, ct)
    assert lesion_of(segmented)[place] == 1


def test_accept_stores_the_case_for_training(segmented, application, tmp_path, ct):
    from DRAMLesionLib.training.datalist import read_datalist
    from DRAMLesionLib.volume import read_ct, read_on_grid

    open_correction(segmented, application)
    voxels, centre = ball(segmented, lobe=4, wanted=0)
    stroke(segmented, application, voxels, add=True)
    assert not segmented.ui.acceptButton.enabled
    segmented.ui.trainingFolderSelector.currentPath = str(tmp_path / "training")
    for _ in range(2):
        segmented.ui.acceptButton.click()
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


def test_missing_packages_are_named_and_installed_on_a_click(panel, monkeypatch):
    import slicer
    from DRAMLesionPanel import install_section

    real, gone = install_section.version, {"monai", "safetensors"}

    def version(name):
        if name in gone:
            raise install_section.PackageNotFoundError(name)
        return real(name)

    asked = []

    def pip_install(arguments):
        asked.extend(arguments)
        gone.clear()

    monkeypatch.setattr(install_section, "version", version)
    monkeypatch.setattr(slicer.util, "pip_install", pip_install)
    monkeypatch.setattr(panel.panel.inputs, "examine", lambda: None)
    panel.panel.install.update()
    panel.panel.update()
    assert not panel.ui.installCollapsibleButton.isHidden() and not panel.ui.segmentButton.enabled
    assert "monai" in panel.ui.installLabel.text and "torch" not in panel.ui.installLabel.text.split(":")[1]
    panel.ui.wheelFolderSelector.currentPath = str(Path("wheels"))
    panel.ui.installButton.click()
    assert "monai>=1.5" in asked and f"numpy=={real('numpy')}" in asked and "--no-index" in asked
    assert panel.ui.installCollapsibleButton.isHidden() and panel.ui.segmentButton.enabled
