"""Running and looking at results, clicked in a stand-in for Slicer (see panel_standin)."""

import os
import re
import stat
import sys

import numpy as np
import pytest
from clicks import group_is_gone, lesion_of, node_ids, open_correction, own_folders, wait_until


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
    panel.ui.methodSelector.setCurrentIndex(panel.ui.methodSelector.findData("dram"))
    assert panel.panel.parameters.method == "dram"


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


def test_the_bar_knows_every_stage_of_a_run_and_never_goes_back(module):
    from DRAMLesionPanel.segment.estimate import ARRIVAL, estimateOf
    from DRAMLesionPanel.shared.time_left import stageAndTime

    from DRAMLesionLib.lesions.options import Options

    now, shown = [0.0], []
    estimate = estimateOf(Options(with_scene=False), lambda: now[0])
    assert stageAndTime(estimate) == "Starting"
    stages = ["Reading the CT", "Loading the models", "Lobes", "Computing the dRAM", "Refining the dRAM"]
    stages += ["Segmenting the lesions", "Handing over", ARRIVAL]
    for stage in stages:
        estimate.report(stage, 0.0)
        shown.append(estimate.fraction)
        now[0] += 1.0
    assert shown == sorted(set(shown)), "a stage that is not known leaves the bar where it is"
    estimate.report("Lobes", 0.0)
    assert estimate.fraction >= shown[-1]
    estimate.report(ARRIVAL, 0.5)
    assert re.fullmatch(rf"{ARRIVAL}, about \d+ s left", stageAndTime(estimate))
    before = estimate.remaining_s
    now[0] += 0.5
    assert estimate.remaining_s <= before
    estimate.report(ARRIVAL, 1.0)
    assert estimate.fraction == pytest.approx(1.0)
    alone = estimateOf(Options(method="dram", with_scene=False), lambda: now[0])
    alone.report("Handing over", 0.0)
    assert alone.fraction > 0.5


@pytest.mark.skipif(os.name == "nt", reason="a shell script stands in for Slicer's launcher")
def test_cancel_ends_all_processes_and_leaves_the_scene(panel, application, tmp_path, monkeypatch):
    from DRAMLesionPanel.shared import child_process

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


def test_the_method_is_asked_for(panel, application):
    panel.ui.methodSelector.setCurrentIndex(panel.ui.methodSelector.findData("final"))
    panel.ui.segmentButton.click()
    wait_until(application, lambda: panel.panel.run.current is None)
    text = panel.ui.statusLabel.text
    assert "tiny: is a dRAM model" in text and "method final" in text and panel.ui.statusLabel.styleSheet


def test_refuses_a_segmentation_that_has_no_lobes(panel, segmented):
    import slicer

    from DRAMLesionLib.system.errors import InputError

    # The selector does not offer the lesion; a script may still choose it.
    segmented.panel.parameters.lobes = segmented.panel.currentResults().lesionSegmentationNode
    with pytest.raises(InputError, match="name the segments"):
        segmented.logic.segment(segmented.panel.parameters.inputVolume, segmented.panel.parameters.lobes)
    other = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "no lobes")
    other.GetSegmentation().AddEmptySegment("something")
    segmented.ui.lobesSelector.setCurrentNode(other)
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


def test_removed_results_leave_the_panel(segmented):
    import slicer

    slicer.mrmlScene.RemoveNode(segmented.panel.currentResults().heatmapNode)
    assert not segmented.ui.resultsCollapsibleButton.enabled
    assert segmented.ui.segmentButton.enabled
