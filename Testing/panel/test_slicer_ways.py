"""What Slicer, CTK and PythonQt do that a kinder stand-in would hide; each test failed with the panel of version 0.2."""

import re
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from clicks import accepted, ball, lesion_of, open_correction, stroke, wait_until

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
def window(application, monkeypatch):
    """A main window, which shortcuts belong to."""
    import qt
    import slicer

    made = qt.QMainWindow()
    monkeypatch.setattr(slicer.util, "mainWindow", lambda: made)
    made.show()
    yield made
    made.close()
    made.deleteLater()


def press(window, keys: str) -> int:
    """Press keys of the main window: how many shortcuts answer."""
    import qt

    wanted = qt.QKeySequence(keys)
    found = [s for s in window.findChildren(qt.QShortcut) if s.key == wanted and s.enabled]
    if len(found) == 1:  # several that are bound to the same keys are ambiguous, and none acts
        found[0].activated.emit()
    return len(found)


def test_the_results_table_has_the_columns_names_as_headers(segmented):
    """qMRMLTableModel shows A, B, C unless the node says that its titles are headers."""
    import qt

    view = segmented.ui.resultsTableView
    model = view.model()
    titles = [model.headerData(index, qt.Qt.Horizontal) for index in range(model.columnCount())]
    assert "Lesion (%)" in titles and model.rowCount() == 8
    shown = sorted(range(len(titles)), key=view.horizontalHeader().visualIndex)
    assert [titles[index] for index in shown[:2]] == ["Lesion (%)", "Severity score"]


def test_a_closed_scene_leaves_the_shown_folder_the_true_one(segmented, application, findings, tmp_path):
    """The parameter was empty while the field kept its path, and Accept wrote into the current folder."""
    import slicer

    from DRAMLesionLib.results.scene.mrml import fill_volume_node

    ui = segmented.ui
    ui.trainingFolderSelector.currentPath = str(tmp_path / "kept")
    slicer.mrmlScene.Clear(0)
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "second")
    fill_volume_node(node, findings.ct.array, findings.ct)
    segmented.panel.parameters.inputVolume = node
    segmented.logic.panelLogic.deliver(findings, node)
    segmented.panel.update()
    before = sorted(Path.cwd().iterdir())
    assert ui.acceptButton.enabled
    accepted(segmented, application)
    assert (tmp_path / "kept" / "datalist.json").is_file(), ui.statusLabel.text
    assert sorted(Path.cwd().iterdir()) == before


def test_accept_writes_nowhere_without_a_whole_path(segmented, application, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ui = segmented.ui
    for path in ("", "  ", "training"):
        ui.trainingFolderSelector.currentPath = path
        segmented.panel.correct._onAccept()
        application.processEvents()
        assert ui.statusLabel.styleSheet and "training folder" in ui.statusLabel.text
    assert list(tmp_path.iterdir()) == []


def test_the_last_folder_comes_back_with_the_panel(application, module, models, tmp_path):
    """CTK brings the last path of a settings key back while the .ui loads, before anybody listens."""
    import qt
    from panel_standin.application import openPanel

    qt.QSettings().setValue("ctkPathLineEdit/DRAMLesion/trainingFolderSelector", [str(tmp_path)])
    widget = openPanel(module)
    try:
        assert widget.ui.trainingFolderSelector.currentPath == str(tmp_path)
        assert widget.panel.parameters.trainingFolder == str(tmp_path)
    finally:
        host = widget.parent
        host.exit()
        application.moduleManager().moduleAboutToBeUnloaded.emit("DRAMLesion")
        host.deleteLater()
        qt.QSettings().clear()


def test_a_training_folder_can_be_typed_and_cleared_as_data(training, application, scans, tmp_path):
    """CTK tells of no text that its name filters do not fit, nor of an empty one."""
    ui = training.ui
    folder = tmp_path / "cases"
    folder.mkdir()
    (folder / "datalist.json").write_text(scans.read_text().replace("1/", f"{scans.parent}/1/"))
    ui.dataListSelector.currentPath = str(folder)
    application.processEvents()
    assert training.panel.parameters.trainDataList == str(folder) and training.panel.train._data() == str(
        folder
    )
    ui.trainingFolderSelector.currentPath = ""
    ui.dataListSelector.currentPath = ""
    application.processEvents()
    assert training.panel.parameters.trainDataList == "" and not ui.trainStartButton.enabled


def test_a_folder_of_cases_is_chosen_by_a_button(training, application, tmp_path, monkeypatch):
    import qt

    monkeypatch.setattr(qt.QFileDialog, "getExistingDirectory", lambda *_: str(tmp_path))
    training.ui.dataFolderButton.click()
    assert training.ui.dataListSelector.currentPath == str(tmp_path)


def test_undo_keys_are_the_corrections_and_the_editor_keeps_no_undo(
    segmented, window, application, monkeypatch
):
    """The editor's own Z and Ctrl+Z restored its copy of the segment, which was then taken for a stroke."""
    segmented.parent.exit()
    segmented.parent.enter()
    open_correction(segmented, application)
    editor = segmented.ui.segmentEditorWidget
    assert editor.maximumNumberOfUndoStates == 0 and editor.shortcuts == []
    assert "Ctrl+Z" in segmented.ui.undoButton.toolTip and "Ctrl+Y" in segmented.ui.redoButton.toolTip
    before = lesion_of(segmented)
    mask, _ = ball(segmented, lobe=3, wanted=0)
    editor.saveStateForUndo()
    stroke(segmented, application, mask, add=True)
    assert (lesion_of(segmented) != before).any()
    for keys, redo in (("Ctrl+Z", "Ctrl+Y"), ("Z", "Y")):
        assert press(window, keys) == 1
        application.processEvents()
        np.testing.assert_array_equal(lesion_of(segmented), before)
        correction = segmented.logic.panelLogic.openCorrection(segmented.panel.currentResults())
        assert not correction.can_undo and correction.can_redo, "it is no stroke of not lesion"
        assert press(window, redo) == 1
        application.processEvents()
        assert (lesion_of(segmented)[mask] == 1).mean() > 0.5
    with monkeypatch.context() as patch:
        patch.setattr(type(segmented.panel.run), "arriving", property(lambda _self: True))
        segmented.panel.update()
        assert press(window, "Z") == 0, "nothing is undone while new results come in"
    segmented.panel.update()
    assert press(window, "2") == 1
    segmented.ui.correctCollapsibleButton.collapsed = True
    assert press(window, "Z") == 0, "the keys are the section's"
    segmented.ui.correctCollapsibleButton.collapsed = False
    segmented.parent.exit()
    assert press(window, "Z") == 0, "and the module's"


def test_a_script_that_ends_slicer_stops_the_training(training, application, own, monkeypatch):
    """Modules are unloaded before aboutToQuit is told: cleanup is the last word."""
    from clicks import started

    training.ui.epochsSpinBox.value = 5000
    training.ui.trainStartButton.click()
    started(training, application)
    run = training.panel.train.current
    application.end()
    assert (run.folder / "stop").exists()
    wait_until(application, run.poll)
    assert run.stopped


def test_a_module_that_is_loaded_anew_reads_its_own_files_anew_and_lets_the_training_go_on(
    training, application, own
):
    from clicks import started

    training.ui.epochsSpinBox.value = 5000
    training.ui.trainStartButton.click()
    started(training, application)
    run, before = training.panel.train.current, sys.modules["DRAMLesionPanel.panel"]
    kept = {name: module for name, module in sys.modules.items() if name.startswith("DRAMLesionPanel")}
    own_module = sys.modules["DRAMLesion"]
    try:
        training.onReload()
        assert sys.modules["DRAMLesionPanel.panel"] is not before
        again = training.parent.module
        assert again is not training and not (run.folder / "stop").exists()
        again.panel.enter()
        assert again.panel.train.current.folder == run.folder, "the new panel follows it"
    finally:
        run.stop()
        wait_until(application, run.poll)
        sys.modules["DRAMLesion"] = own_module
        sys.modules.update(kept)


def test_a_scene_that_was_saved_while_paint_was_active_does_not_paint(segmented, application):
    from DRAMLesionPanel.correct.correct_section import _editorNode

    open_correction(segmented, application)
    _editorNode().SetActiveEffectName("Paint")
    segmented.panel.correct.restart()
    segmented.panel.update()
    assert segmented.ui.segmentEditorWidget.logic.GetSegmentEditorNode().GetActiveEffectName() in (None, "")


def test_strokes_in_another_module_are_not_refined_behind_its_back(segmented, application):
    """Panel and editor effect, both on auto, took each other's refinement for strokes."""
    open_correction(segmented, application)
    before = lesion_of(segmented)
    mask, _ = ball(segmented, lobe=3, wanted=0)
    segmented.parent.exit()
    stroke(segmented, application, mask, add=True)
    np.testing.assert_array_equal(lesion_of(segmented), np.where(mask, 1, before))
    segmented.parent.enter()
    application.processEvents()
    assert segmented.ui.undoButton.enabled, "back in the module it is an edit"


def test_the_self_test_passes_without_the_packages(application, module, models, tmp_path, monkeypatch):
    """py_DRAMLesion runs in a Slicer where nothing was installed."""
    from DRAMLesionPanel.install import packages

    test = module.DRAMLesionTest()
    monkeypatch.setattr(packages.PackageState, "complete", property(lambda self: False))
    monkeypatch.setattr(application, "temporaryPath", str(tmp_path))
    said = []
    monkeypatch.setattr(test, "delayDisplay", lambda text, *_: said.append(text))
    test.runTest()
    assert "without" in said[-1]


def test_the_scene_of_a_batch_shows_its_ct_without_a_main_window(application, module, ct, findings, tmp_path):
    """Without a main window nobody has made slice views, and the bundle opened with empty ones."""
    import importlib.util

    import slicer

    spec = importlib.util.spec_from_file_location("batch_script", REPOSITORY / "Scripts" / "batch.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    for kind in ("vtkMRMLSliceCompositeNode", "vtkMRMLSliceNode"):
        for node in slicer.util.getNodesByClass(kind):
            slicer.mrmlScene.RemoveNode(node)
    results = module.DRAMLesionLogic().panelLogic.deliver(findings, ct)
    script.write_scene(results, tmp_path / "scene.mrb", [])
    with zipfile.ZipFile(tmp_path / "scene.mrb") as bundle:
        text = bundle.read(next(name for name in bundle.namelist() if name.endswith(".mrml"))).decode()
    assert text.count("<SliceComposite") == 3
    assert text.count(f'backgroundVolumeID="{ct.GetID()}"') == 3 or text.count(ct.GetID()) >= 3


def test_only_the_ui_files_connections_hand_the_scene_on(panel):
    """A selector that the .ui forgets would have no scene in Slicer."""
    import slicer

    for name in ("inputVolumeSelector", "lobesSelector", "segmentEditorWidget", "resultsTableView"):
        assert getattr(panel.ui, name).mrmlScene() is slicer.mrmlScene


def test_a_value_out_of_range_is_refused_as_slicers_validators_do(panel):
    with pytest.raises(ValueError, match="range"):
        panel.panel.parameters.heatmapOpacity = 1.5


def offered(box) -> list[str]:
    return [box._box.itemText(index) for index in range(box._box.count)]


def test_no_result_is_offered_as_an_input(segmented, application):
    """A map is no CT, and a lesion no lobes; the lobes of a run are."""
    results = segmented.panel.currentResults()
    cts, lobes = offered(segmented.ui.inputVolumeSelector), offered(segmented.ui.lobesSelector)
    assert "Phantom CT" in cts and not any("map" in name for name in cts), cts
    assert results.lesionSegmentationNode.GetName() not in lobes
    assert results.lobesSegmentationNode.GetName() in lobes


def test_a_ct_that_is_loaded_while_the_panel_is_open_is_chosen(panel, application, phantom):
    import slicer

    from DRAMLesionLib.results.scene.mrml import fill_volume_node

    slicer.mrmlScene.Clear(0)
    assert panel.panel.parameters.inputVolume is None
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "loaded")
    fill_volume_node(node, phantom.ct.array, phantom.ct)
    wait_until(application, lambda: panel.panel.parameters.inputVolume is node)
    second = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "later")
    application.processEvents()
    assert panel.panel.parameters.inputVolume is node and second is not node


def test_choices_are_remembered_for_new_scenes(panel, application):
    import slicer

    box = panel.ui.methodSelector
    box.setCurrentIndex(box.findData("dram"))
    device = panel.ui.deviceSelector
    device.addItem("cpu", "cpu")
    device.setCurrentIndex(device.findData("cpu"))
    slicer.mrmlScene.Clear(0)
    application.processEvents()
    assert panel.panel.parameters.method == "dram" and panel.panel.parameters.device == "cpu"
    assert box.itemData(box.currentIndex) == "dram"
    device.setCurrentIndex(device.findData("auto"))
    slicer.mrmlScene.Clear(0)
    assert panel.panel.parameters.device == "auto"


def test_the_table_shows_one_decimal_and_whole_titles(segmented, findings):
    import qt

    from DRAMLesionLib.results.numbers import rounded_percent

    view = segmented.ui.resultsTableView
    model = view.model()
    titles = [model.headerData(index, qt.Qt.Horizontal) for index in range(model.columnCount())]
    for column, title in enumerate(titles):
        texts = [model.item(row, column).text() for row in range(8)]
        if title == "Lesion (%)":  # more where one decimal would contradict the score
            shown = [rounded_percent(region.percent) for region in findings.quantification.regions]
            assert [float(text) for text in texts] == pytest.approx(shown, abs=1e-9), texts
        else:
            numbers = re.findall(r"[0-9.]+", " ".join(texts))
            assert all(len(number.partition(".")[2]) <= 1 for number in numbers), (title, texts)
    metrics = view.fontMetrics()
    for index, title in enumerate(titles):
        assert view.columnWidth(index) >= metrics.horizontalAdvance(title), title


def test_the_last_column_that_is_seen_is_seen_whole(segmented, application):
    """The panel showed "Volume (m", in new results and after each change of the table."""
    view = segmented.ui.resultsTableView

    def edges() -> list[int]:
        header = view.horizontalHeader()
        order = sorted(range(view.model().columnCount()), key=header.visualIndex)
        return list(np.cumsum([view.columnWidth(index) for index in order]))

    assert view.viewport().width in edges()
    segmented.logic.panelLogic.updateTable(segmented.panel.currentResults())
    segmented.panel.update()
    assert view.viewport().width in edges()
    segmented.parent.resize(620, 1100)
    application.processEvents()
    application.processEvents()
    assert view.viewport().width in edges()
    rows = view.model().rowCount() * view.rowHeight(0)
    assert 0 <= view.viewport().height - rows < 24, "all rows, and no blank strip below them"


def test_surfaces_come_into_sight(segmented, application, findings, monkeypatch):
    import slicer

    seen = []
    monkeypatch.setattr(application, "layoutManager", lambda: object())
    monkeypatch.setattr(slicer.util, "resetThreeDViews", lambda: seen.append("reset"))
    monkeypatch.setattr(slicer.util, "setSliceViewerLayers", lambda **_: None)
    segmented.panel.results.showNew(segmented.panel.currentResults())
    assert seen == ["reset"]


def test_the_help_leads_to_the_pages(module):
    from DRAMLesionPanel import about

    assert "Documentation" in about.helpText() and "https://" in about.helpText()


def test_what_went_wrong_is_kept_and_shown(panel, application):
    import logging

    import qt
    from DRAMLesionPanel.shared import log

    log.logPath().unlink(missing_ok=True)
    panel.panel.showStatus("the disk is full", "error")
    panel.panel.showStatus("all is well")
    logging.warning("another extension's words")
    panel.ui.logButton.click()
    window = panel.panel._logWindow
    text = window.findChild(qt.QPlainTextEdit, "dramLesionLogText").toPlainText()
    assert "ERROR DRAMLesion: the disk is full" in text and log.logPath().is_file()
    assert "another" not in text and "all is well" not in text
    window.close()
