"""A reader's numbers, moved on the panel's sliders in a stand-in for Slicer."""

import json
from dataclasses import replace

import numpy as np
import pytest
from clicks import accepted, ball, in_this_process, lesion_of, open_correction, stroke, wait_until

RUL, RML, RLL = 3, 4, 5


@pytest.fixture(scope="session")
def findings(findings):
    """Results with a map of all grades: the small model's has many voxels of one value, which go together."""
    from scipy import ndimage

    from DRAMLesionLib.lesions.quantify import quantify

    noise = ndimage.gaussian_filter(np.random.default_rng(7).random(findings.dram.shape, np.float32), 2)
    graded = (noise - noise.min()) / (noise.max() - noise.min()) * (findings.lobes.labels > 0)
    lesion = (graded > findings.threshold).astype(np.uint8)
    table = quantify(findings.ct.array, findings.lobes, lesion, findings.ct.spacing_mm, findings.dram)
    return replace(findings, refined=graded.astype(np.float32), lesion=lesion, quantification=table)


@pytest.fixture
def steering(segmented, application, monkeypatch):
    """The panel with results, its sliders open and its lobes ranked."""
    from DRAMLesionPanel.correct import ranking

    monkeypatch.setattr(ranking, "inWorker", in_this_process)
    opened(segmented, application)
    return segmented


def opened(panel, application) -> None:
    panel.ui.steerCollapsibleButton.collapsed = False
    wait_until(application, lambda: panel.panel.steer._lobes or panel.ui.statusLabel.styleSheet)
    assert panel.panel.steer._lobes, panel.ui.statusLabel.text


def move(panel, application, lobe: int, percent: float) -> None:
    panel.panel.steer.rows[lobe].slider.value = percent
    application.processEvents()


def rested(panel, application) -> None:
    """The hand rests, and what was moved is a step of undo."""
    correction = panel.logic.panelLogic.openCorrection(panel.panel.currentResults())
    wait_until(application, lambda: not correction.dragging and not panel.panel.steer._wanted)
    application.processEvents()


def share(panel, findings, lobe: int) -> float:
    inside = findings.lobes.labels == lobe
    return 100.0 * lesion_of(panel)[inside].mean()


def shown(panel) -> float:
    """The right upper lobe's percentage in the table."""
    table = panel.panel.currentResults().tableNode.GetTable()
    return float(table.GetColumnByName("Lesion (%)").GetValue(RUL - 1))


def test_sliders_begin_at_the_models_numbers(steering, findings):
    for lobe, row in steering.panel.steer.rows.items():
        region = findings.quantification.lobes[lobe - 1]
        assert row.slider.value == pytest.approx(region.percent, abs=0.06) and row.slider.enabled
        assert row.score.text == str(region.score) and not row.resetButton.enabled


def test_the_outline_and_the_table_follow_a_slider(steering, application, findings):
    before = lesion_of(steering)
    move(steering, application, RUL, 40.0)
    assert share(steering, findings, RUL) == pytest.approx(40.0, abs=1.0), "at once, while the slider moves"
    others = findings.lobes.labels != RUL
    np.testing.assert_array_equal(lesion_of(steering)[others], before[others])
    assert steering.panel.steer.rows[RUL].score.text == "3"
    rested(steering, application)
    assert shown(steering) == pytest.approx(share(steering, findings, RUL), abs=0.1)
    assert steering.panel.steer.rows[RUL].resetButton.enabled


@pytest.mark.parametrize("percent", [0.0, 100.0])
def test_a_lobe_can_be_emptied_and_filled(steering, application, findings, percent):
    move(steering, application, RML, percent)
    assert share(steering, findings, RML) == percent


def test_a_drag_is_one_step_of_undo(steering, application, findings):
    ui, before = steering.ui, lesion_of(steering)
    for percent in (20.0, 35.0, 50.0):
        move(steering, application, RUL, percent)
    rested(steering, application)
    after = lesion_of(steering)
    ui.steerUndoButton.click()
    np.testing.assert_array_equal(lesion_of(steering), before)
    row = steering.panel.steer.rows[RUL]
    assert row.slider.value == pytest.approx(findings.quantification["RUL"].percent, abs=0.06)
    assert not row.resetButton.enabled and ui.steerRedoButton.enabled
    ui.steerRedoButton.click()
    np.testing.assert_array_equal(lesion_of(steering), after)
    assert row.slider.value == pytest.approx(50.0, abs=1.0) and row.resetButton.enabled


def test_a_stroke_before_the_slider_rests_is_a_step_of_its_own(steering, application, findings):
    """It was counted twice, and undo left it in the lesion."""
    from DRAMLesionLib.lesions.quantify import quantify

    open_correction(steering, application)
    before = lesion_of(steering)
    steering.panel.steer._restTimer.setInterval(10**6)
    move(steering, application, RUL, 40.0)
    steered = lesion_of(steering)
    voxels, centre = ball(steering, lobe=RUL, wanted=0)
    stroke(steering, application, voxels, add=True)
    assert lesion_of(steering)[centre] == 1
    now = steering.logic.panelLogic.currentFindings(steering.panel.currentResults())
    counted = quantify(now.ct.array, now.lobes, lesion_of(steering), now.ct.spacing_mm)
    assert now.quantification["RUL"].lesion_ml == pytest.approx(counted["RUL"].lesion_ml)
    steering.ui.undoButton.click()
    np.testing.assert_array_equal(lesion_of(steering), steered)
    steering.ui.undoButton.click()
    np.testing.assert_array_equal(lesion_of(steering), before)


def test_what_was_moved_or_painted_stays_with_its_ct_when_another_is_chosen(steering, application):
    """Table and saved numbers of the first CT were left as they were before."""
    import slicer

    from DRAMLesionLib.correction.segment.saved_strokes import read_reading

    results, parameters, before = steering.panel.currentResults(), steering.panel.parameters, shown(steering)
    steering.panel.steer._restTimer.setInterval(10**6)
    move(steering, application, RUL, 40.0)
    parameters.inputVolume = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "another CT")
    application.processEvents()
    assert read_reading(results.lesionSegmentationNode).percent[RUL - 1] == 40.0
    parameters.inputVolume = results.ctNode
    application.processEvents()
    assert shown(steering) == pytest.approx(40.0, abs=1.0) != pytest.approx(before, abs=1.0)
    steering.ui.steerCollapsibleButton.collapsed = True
    open_correction(steering, application)
    stroke(steering, application, ball(steering, lobe=RUL, wanted=0)[0], add=True)
    parameters.inputVolume = None
    application.processEvents()
    table = results.tableNode.GetTable()
    percent = table.GetColumnByName("Lesion (%)")
    was = float(percent.GetValue(RUL - 1))
    wait_until(application, lambda: steering.panel.correct._counted is None)
    assert float(results.tableNode.GetTable().GetColumnByName("Lesion (%)").GetValue(RUL - 1)) > was


def test_a_report_before_the_slider_rests_leaves_no_old_table(steering, application):
    move(steering, application, RUL, 40.0)
    steering.logic.panelLogic.currentFindings(steering.panel.currentResults())
    wait_until(application, lambda: shown(steering) == pytest.approx(40.0, abs=1.0))


def test_reset_gives_the_models_own_lesion_again(steering, application, findings):
    move(steering, application, RUL, 60.0)
    rested(steering, application)
    steering.panel.steer.rows[RUL].resetButton.click()
    application.processEvents()
    rested(steering, application)
    inside = findings.lobes.labels == RUL
    np.testing.assert_array_equal(lesion_of(steering)[inside], (findings.lesion != 0)[inside])
    assert not steering.panel.steer.rows[RUL].resetButton.enabled


def test_what_was_painted_holds_at_every_number_and_strokes_keep_the_steered_lobe(
    steering, application, findings
):
    open_correction(steering, application)
    voxels, centre = ball(steering, lobe=RUL, wanted=0)
    stroke(steering, application, voxels, add=True)
    move(steering, application, RUL, 0.0)
    rested(steering, application)
    painted = voxels & (findings.lobes.labels == RUL) & (findings.lesion == 0)
    assert lesion_of(steering)[centre] == 1
    assert share(steering, findings, RUL) == pytest.approx(
        100.0 * painted.sum() / (findings.lobes.labels == RUL).sum()
    )
    move(steering, application, RLL, 30.0)
    rested(steering, application)
    steered = lesion_of(steering)
    voxels, centre = ball(steering, lobe=RLL, wanted=1)
    stroke(steering, application, voxels, add=False)
    now = lesion_of(steering)
    assert now[centre] == 0
    places = np.argwhere(now != steered) * findings.ct.spacing_mm
    middle = np.asarray(centre) * findings.ct.spacing_mm
    assert np.sqrt(((places - middle) ** 2).sum(axis=1)).max() < 60, (
        "far from the stroke all is as it was steered"
    )
    for _ in range(4):
        steering.ui.undoButton.click()
        application.processEvents()
    np.testing.assert_array_equal(lesion_of(steering), findings.lesion)


def test_accept_stores_the_readers_numbers(steering, application, tmp_path):
    move(steering, application, RUL, 44.0)
    steering.ui.trainingFolderSelector.currentPath = str(tmp_path / "training")
    accepted(steering, application)
    (path,) = (tmp_path / "training").glob("*/case.json")
    facts = json.loads(path.read_text())
    assert facts["reading"]["percent"] == [None, None, 44.0, None, None]
    assert facts["percent"]["RUL"] == pytest.approx(44.0, abs=1.0)


def test_a_saved_scene_keeps_the_numbers_and_the_steered_lesion(steering, application, tmp_path):
    import slicer

    open_correction(steering, application)
    voxels, centre = ball(steering, lobe=RLL, wanted=0)
    stroke(steering, application, voxels, add=True)
    move(steering, application, RUL, 55.0)
    rested(steering, application)
    kept, scene = lesion_of(steering), slicer.mrmlScene
    (tmp_path / "bundle").mkdir()
    assert scene.SaveSceneToSlicerDataBundleDirectory(str(tmp_path / "bundle"))
    steering.ui.correctCollapsibleButton.collapsed = True
    scene.Clear(0)
    scene.SetURL(str(next((tmp_path / "bundle").glob("*.mrml"))))
    assert scene.Import()
    application.processEvents()
    np.testing.assert_array_equal(lesion_of(steering), kept)
    opened(steering, application)
    row = steering.panel.steer.rows[RUL]
    assert row.slider.value == pytest.approx(55.0, abs=1.0) and row.resetButton.enabled
    np.testing.assert_array_equal(lesion_of(steering), kept)
    assert not steering.ui.steerUndoButton.enabled
    correction = steering.logic.panelLogic.openCorrection(steering.panel.currentResults())
    assert correction.edits[centre] == 1, "what was painted before still counts as painted"


@pytest.fixture
def another(findings):
    """What another run finds: a map that is moved, and so is the lesion."""
    inside = findings.lobes.labels > 0
    moved = np.where(inside, np.roll(findings.refined, 4, axis=2), np.float32(0))
    lesion = ((moved > findings.threshold) & inside).astype(np.uint8)
    return replace(findings, refined=moved, lesion=lesion)


def test_the_surface_goes_while_a_slider_moves_and_comes_when_it_rests(steering, application):
    segmentation = steering.panel.currentResults().lesionSegmentationNode.GetSegmentation()
    steering.panel.parameters.show3D = True
    steering.panel.update()
    assert segmentation.ContainsRepresentation("Closed surface")
    move(steering, application, RUL, 40.0)
    assert not segmentation.ContainsRepresentation("Closed surface")
    rested(steering, application)
    wait_until(application, lambda: segmentation.ContainsRepresentation("Closed surface"))


def test_a_new_run_keeps_the_numbers_and_what_was_painted(steering, application, findings, another, ct):
    steering.ui.readerLineEdit.text = "A. Reader"
    steering.ui.readerLineEdit.textEdited.emit("A. Reader")
    open_correction(steering, application)
    voxels, centre = ball(steering, lobe=RLL, wanted=0)
    stroke(steering, application, voxels, add=True)
    move(steering, application, RUL, 40.0)
    rested(steering, application)
    steering.logic.panelLogic.deliver(another, ct)
    steering.panel.update()
    assert share(steering, findings, RUL) == pytest.approx(40.0, abs=1.0)
    assert lesion_of(steering)[centre] == 1
    inside = findings.lobes.labels == RML
    np.testing.assert_array_equal(lesion_of(steering)[inside], another.lesion[inside] != 0)
    now = steering.logic.panelLogic.currentFindings(steering.panel.currentResults())
    assert now.reading.percent == (None, None, 40.0, None, None)
    assert now.reading.who[RUL - 1] == "A. Reader"
    assert now.quantification["RUL"].percent == pytest.approx(40.0, abs=1.0)
    steering.ui.undoButton.click()
    inside = findings.lobes.labels == RUL
    np.testing.assert_array_equal(lesion_of(steering)[inside], another.lesion[inside] != 0)
    steering.ui.undoButton.click()
    assert lesion_of(steering)[centre] == another.lesion[centre]


def test_a_new_run_in_a_reopened_scene_keeps_both_too(steering, application, findings, another, ct, tmp_path):
    import slicer

    open_correction(steering, application)
    voxels, centre = ball(steering, lobe=RLL, wanted=0)
    stroke(steering, application, voxels, add=True)
    move(steering, application, RUL, 40.0)
    rested(steering, application)
    scene = slicer.mrmlScene
    (tmp_path / "bundle").mkdir()
    assert scene.SaveSceneToSlicerDataBundleDirectory(str(tmp_path / "bundle"))
    scene.Clear(0)
    scene.SetURL(str(next((tmp_path / "bundle").glob("*.mrml"))))
    assert scene.Import()
    application.processEvents()
    steering.logic.panelLogic.deliver(another, steering.panel.parameters.inputVolume)
    steering.panel.update()
    assert share(steering, findings, RUL) == pytest.approx(40.0, abs=1.0)
    assert lesion_of(steering)[centre] == 1


def test_results_of_a_new_run_come_though_the_numbers_can_not_be_kept(
    steering, application, another, ct, monkeypatch
):
    from DRAMLesionPanel.correct import ranking

    from DRAMLesionLib.system.errors import InputError

    def failing(*_given, **_more):
        raise InputError("the disk is full")
        yield

    move(steering, application, RUL, 40.0)
    rested(steering, application)
    monkeypatch.setattr(ranking, "inWorker", failing)
    results = steering.logic.panelLogic.deliver(another, ct)
    np.testing.assert_array_equal(lesion_of(steering), another.lesion != 0)
    assert any("the disk is full" in warning for warning in results.record["warnings"])


def test_the_sliders_of_a_new_run_cut_its_own_map(steering, application, findings, another, ct, monkeypatch):
    from DRAMLesionPanel.segment.run_section import RunSection

    first = steering.panel.steer._lobes[RUL].values[:]
    with monkeypatch.context() as patch:
        patch.setattr(RunSection, "arriving", property(lambda _self: True))
        steering.panel.update()
        assert steering.ui.steerCollapsibleButton.collapsed
        steering.logic.panelLogic.deliver(another, ct)
    steering.panel.update()
    assert not steering.ui.steerCollapsibleButton.collapsed, "it was open before"
    wait_until(application, lambda: steering.panel.steer._lobes)
    assert not np.array_equal(steering.panel.steer._lobes[RUL].values, first)


def test_the_reader_is_named_where_the_numbers_go_and_remembered(steering, application, tmp_path):
    from DRAMLesionPanel.shared.settings import reader

    ui = steering.ui
    ui.readerLineEdit.text = "A. Reader"
    ui.readerLineEdit.textEdited.emit("A. Reader")
    move(steering, application, RUL, 44.0)
    rested(steering, application)
    ui.trainingFolderSelector.currentPath = str(tmp_path / "training")
    accepted(steering, application)
    (path,) = (tmp_path / "training").glob("*/case.json")
    assert json.loads(path.read_text())["reading"]["who"] == ["", "", "A. Reader", "", ""]
    assert reader() == "A. Reader" and ui.readerLineEdit.maxLength == 100


def test_a_ranking_that_fails_is_said_and_can_be_tried_again(segmented, application, monkeypatch):
    from DRAMLesionPanel.correct import ranking

    from DRAMLesionLib.system.errors import InputError

    def failing(*_given, **_more):
        raise InputError("the disk is full")
        yield

    with monkeypatch.context() as patch:
        patch.setattr(ranking, "inWorker", failing)
        segmented.ui.steerCollapsibleButton.collapsed = False
        wait_until(application, lambda: "the disk is full" in segmented.ui.statusLabel.text)
    application.processEvents()
    assert segmented.ui.steerCollapsibleButton.collapsed
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    segmented.panel.showStatus("")
    opened(segmented, application)


def test_the_sliders_are_reached_and_moved_by_keys(steering, application, findings):
    from PySide6.QtCore import Qt
    from PySide6.QtTest import QTest

    row = steering.panel.steer.rows[RUL]
    box = row.slider._box
    before = row.slider.value
    box.setFocus()
    QTest.keyClick(box, Qt.Key.Key_Up)
    application.processEvents()
    assert row.slider.value == pytest.approx(before + 0.5)
    rested(steering, application)
    assert share(steering, findings, RUL) == pytest.approx(before + 0.5, abs=1.0)
