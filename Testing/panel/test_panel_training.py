"""Training: clicked in a stand-in for Slicer (see panel_standin), with the library's real training on phantoms."""

import json

import pytest
from clicks import ended, started, wait_until

LONG = 5000
"""Epochs that nobody waits for."""


def offered(panel) -> list[str]:
    box = panel.ui.modelSelector
    return [box.itemData(index) for index in range(box.count)]


def test_start_needs_data_and_the_section_says_what_it_would_do(training, own):
    ui = training.ui
    assert ui.trainStartButton.enabled and not ui.trainStopButton.enabled and not ui.trainResumeButton.enabled
    assert ui.trainHintLabel.text == "Cases: 1, and 1 to watch."
    assert ui.epochsSpinBox.value == 2 and ui.trainNameSelector.lineEdit().placeholderText == "dram-1"
    ui.dataListSelector.currentPath = ""
    assert not ui.trainStartButton.enabled
    assert not own.exists(), "nothing is made before Start"


def test_trains_by_a_click_and_the_model_is_offered_at_once(training, application, own, scans):
    import slicer

    from DRAMLesionLib.lesions.networks.bundle import list_models, load_model

    ui = training.ui
    ui.trainNameSelector.setEditText("mine")
    shown, drawn = [], []
    ui.trainProgressBar.connect("valueChanged(int)", shown.append)
    ui.trainStartButton.click()
    run = training.panel.train.current
    assert ui.trainStopButton.enabled and not ui.trainStartButton.enabled and not ui.recipeSelector.enabled
    training.exit()  # to another module, and back: the training goes on
    slicer.mrmlScene.Clear(0)
    training.enter()

    def look() -> bool:
        drawn.append(ui.trainChartLabel.pixmap is not None and not ui.trainChartLabel.pixmap.isNull())
        return training.panel.train.current is None

    wait_until(application, look)
    assert "is trained" in ui.trainStatusLabel.text, ui.trainStatusLabel.text
    assert any(drawn[:-1]), "the chart must be there before the end"
    assert shown == sorted(shown) and len(shown) > 2
    assert (run.progress.epoch, run.progress.epochs, len(run.progress.losses)) == (2, 2, 10)
    assert sorted(run.progress.validations) == [1, 2]
    assert "mine" in offered(training)
    assert list_models()["mine"] == own / "mine" == run.model
    assert load_model("mine").name == "mine"
    assert (own / "mine.job" / "log.txt").is_file()
    assert not ui.trainStartButton.enabled, "the scene that was closed had the data list"
    ui.dataListSelector.currentPath = str(scans)
    ui.trainNameSelector.setEditText("mine")
    assert ui.trainStartButton.enabled and not ui.trainResumeButton.enabled
    ui.trainStartButton.click()
    assert training.panel.train.current is None and "choose another name" in ui.trainStatusLabel.text


def test_stops_at_a_checkpoint_and_resumes_in_another_panel(training, application, own, module, ct):
    from panel_standin.application import openPanel

    ui = training.ui
    ui.epochsSpinBox.value = LONG
    ui.trainStartButton.click()
    run = training.panel.train.current
    started(training, application)
    ui.trainStopButton.click()
    assert not ui.trainStopButton.enabled
    ended(training, application)
    assert run.stopped and run.error is None and "Resume goes on" in ui.trainStatusLabel.text
    assert ui.trainStartButton.enabled and ui.trainResumeButton.enabled
    assert (own / "dram-1.training" / "checkpoint.safetensors").is_file() and not (own / "dram-1").exists()
    # As after Slicer was started again: nothing but the folder tells of it.
    recipe = own / "dram-1.job" / "recipe.yaml"
    other = openPanel(module)
    try:
        other.ui.trainCollapsibleButton.collapsed = False
        assert other.ui.trainResumeButton.enabled and "dram-1" in other.ui.trainResumeButton.toolTip
        assert other.ui.trainNameSelector.itemText(0) == "dram-1"
        assert f"epochs: {LONG}" in recipe.read_text()
        other.ui.trainResumeButton.click()
        again = other.panel.train.current
        wait_until(application, lambda: again.progress.step > run.progress.step or again.finished)
        assert not again.finished, other.ui.trainStatusLabel.text
        assert set(run.progress.losses) <= set(again.progress.losses)
        assert sorted(again.progress.losses) == list(range(1, again.progress.step + 1))
        # Yet another one finds it at work, and follows it.
        training.panel.train.enter()
        assert training.panel.train.current.folder == again.folder and ui.trainStopButton.enabled
        ui.trainStopButton.click()
        ended(training, application)
        ended(other, application)
        assert again.stopped
    finally:
        other.cleanup()
        other.parent.deleteLater()


def test_a_name_in_use_is_refused_until_its_training_is_resumed(training, application, own):
    training.ui.trainNameSelector.setEditText("kept")
    job, state = own / "kept.job", own / "kept.training"
    job.mkdir(parents=True)
    state.mkdir()
    (job / "job.json").write_text(json.dumps({"name": "kept", "recipe": "dram"}))
    (state / "checkpoint.safetensors").write_bytes(b"hours of work")
    for name, words in (
        ("kept", "has not ended"),
        ("tiny", "another name"),
        ("../up", "no name for a model"),
    ):
        training.ui.trainNameSelector.setEditText(name)
        training.ui.trainStartButton.click()
        assert training.panel.train.current is None
        assert words in training.ui.trainStatusLabel.text and words in training.ui.statusLabel.text
    assert (state / "checkpoint.safetensors").read_bytes() == b"hours of work"


def test_shows_the_librarys_line_when_a_training_fails(training, application, own, scans, tmp_path):
    content = json.loads(scans.read_text())
    for row in content["training"]:
        row |= {"image": str(scans.with_name("1") / "ct.nii.gz"), "lobes": str(tmp_path / "absent.nii.gz")}
    (tmp_path / "bad.json").write_text(json.dumps({"training": content["training"]}))
    training.ui.dataListSelector.currentPath = str(tmp_path / "bad.json")
    assert "absent.nii.gz" in training.ui.trainHintLabel.text
    training.ui.trainStartButton.click()
    ended(training, application)
    assert "absent.nii.gz" in training.ui.trainStatusLabel.text and training.ui.trainStatusLabel.styleSheet
    # One that only the child process meets.
    (tmp_path / "absent.nii.gz").write_text("no image")
    training.ui.dataListSelector.currentPath = ""
    training.ui.dataListSelector.currentPath = str(tmp_path / "bad.json")
    training.ui.trainStartButton.click()
    assert training.panel.train.current is not None, training.ui.trainStatusLabel.text
    ended(training, application)
    line = training.ui.trainStatusLabel.text
    assert "absent.nii.gz" in line and "\n" not in line and line == training.ui.statusLabel.text
    assert training.ui.trainStatusLabel.styleSheet and training.ui.trainStartButton.enabled
    assert "absent.nii.gz" in (own / "dram-1.job" / "log.txt").read_text()
    assert not training.ui.trainResumeButton.enabled, "there is nothing to go on from"


def test_a_killed_process_is_told_and_its_log_named(training, application, own):
    training.ui.trainStartButton.click()
    process = training.panel.train.current._process
    process.kill()
    ended(training, application)
    assert "log.txt" in training.ui.trainStatusLabel.text and training.ui.trainStatusLabel.styleSheet
    assert training.ui.trainStartButton.enabled and not training.ui.trainResumeButton.enabled


def test_final_network_labels_first_then_trains(training, application, own, scans):
    from DRAMLesionLib.lesions.networks.bundle import model_kind

    parameters = training.panel.parameters
    parameters.trainRecipe = str(scans.with_name("final.yaml"))
    training.panel.train.showChoices()
    training.panel.update()
    assert "labels by tiny first" in training.ui.trainHintLabel.text
    training.ui.trainStartButton.click()
    run, texts = training.panel.train.current, []
    wait_until(application, lambda: texts.append(training.ui.trainStatusLabel.text) or run.finished)
    application.processEvents()
    assert run.model == own / "final-1", run.error
    assert model_kind(run.model) == "segmentation"
    assert any("1 of 2" in text for text in texts)
    assert list((own / "final-1.job" / "labels").glob("*_pseudo.nii.gz"))
    metadata = json.loads((run.model / "configs" / "metadata.json").read_text())
    assert metadata["segmentation"]["dram_model"] == "tiny" and "tiny" in metadata["data_source"]


def test_fine_tunes_the_chosen_final_network_on_accepted_cases(
    training, application, own, findings, tmp_path
):
    import numpy as np
    import torch

    from DRAMLesionLib.lesions.networks.bundle import load_segmentation_model, save_model
    from DRAMLesionLib.lesions.networks.final_description import SegmentationDescription
    from DRAMLesionLib.lesions.networks.final_network import SegmentationNetwork
    from DRAMLesionLib.training.data.accepted_case import save_accepted_case

    values = {"spacing_mm": [8, 8, 8], "patch": [16, 16, 16], "network": {"filters": [2, 4, 4]}}
    description = SegmentationDescription.from_dict({**values, "dram_model": "tiny"}, "test")
    torch.manual_seed(0)
    words = {"version": "3", "card": "-", "summary": "-", "data": "phantoms", "licence": "terms of ours"}
    network = SegmentationNetwork(description.network)
    save_model(own / "ours", network, description, name="ours", **words)
    edits = np.zeros_like(findings.lesion)
    edits[findings.lesion > 0] = 1
    save_accepted_case(tmp_path / "accepted", findings, edits)
    ui = training.ui
    ui.dataListSelector.currentPath = ""
    ui.trainingFolderSelector.currentPath = str(tmp_path / "accepted")
    ui.recipeSelector.setCurrentIndex(ui.recipeSelector.findData("fine-tune"))
    assert "no such final network" in ui.trainHintLabel.text or "segmentation-covid" in ui.trainHintLabel.text
    training.panel.parameters.model = "ours"
    assert ui.trainHintLabel.text == "Cases: 1; starts from ours."
    ui.epochsSpinBox.value = 1
    ui.trainStartButton.click()
    run = training.panel.train.current
    ended(training, application)
    assert run.model == own / "fine-tuned-1", ui.trainStatusLabel.text
    tuned = load_segmentation_model("fine-tuned-1")
    assert tuned.description == description
    assert (run.model / "LICENSE").read_text() == "terms of ours\n"
    pairs = [(before, tuned.network.state_dict()[key]) for key, before in network.state_dict().items()]
    moved = max(float((after - before).abs().max()) for before, after in pairs if before.is_floating_point())
    assert 0 < moved < 0.1, "it starts from the network's weights"


def test_trains_without_the_panel(module, own, models, scans, application):
    heard = []
    logic = module.DRAMLesionLogic()
    run = logic.train(scans, recipe=scans.with_name("dram.yaml"), name="script", epochs=1, wait=False)
    folder = run.wait(lambda fraction, text: heard.append(fraction))
    assert folder == own / "script" and (folder / "models" / "model.safetensors").is_file()
    assert len(run.progress.losses) == 5 and heard


def test_slicer_asks_before_it_closes(module, application, monkeypatch):
    import qt
    from DRAMLesionPanel.train import closing

    window, training, stops = qt.QMainWindow(), [False], []
    monkeypatch.setattr(closing.slicer.util, "mainWindow", lambda: window)
    watch = closing.ClosingWatch(lambda: training[0], lambda: stops.append(True))

    def close(answer: str | None) -> bool:
        window.show()
        asked = []

        def press() -> None:
            box = qt.QApplication.activeModalWidget()
            asked.append(box)
            next(button for button in box.buttons() if button.text == answer).click()

        if answer is not None:
            qt.QTimer.singleShot(0, press)
        closed = window.close()
        assert len(asked) == (answer is not None)
        return closed

    assert close(None), "without a training nobody is asked"
    training[0] = True
    assert not close("Cancel") and window.isVisible()
    assert close("Go on in the background")
    watch.end(quitting=True)
    assert not stops
    watch = closing.ClosingWatch(lambda: training[0], lambda: stops.append(True))
    assert close("Stop at a checkpoint") and not stops, "Slicer may still ask about unsaved data"
    window.close()  # on macOS a second close event comes for the window that is closed already
    watch.end(quitting=True)
    assert len(stops) == 1
    stops.clear()
    closing.ClosingWatch(lambda: training[0], lambda: stops.append(True)).end(quitting=False)
    assert not stops, "the module is loaded anew: the training goes on"
    closing.ClosingWatch(lambda: training[0], lambda: stops.append(True)).end(quitting=True)
    assert len(stops) == 1, "a script that ends Slicer asks nobody"
    training[0] = False
    assert close(None), "what is ended no longer watches"


def test_a_saved_scene_brings_the_choices_back(training, application, tmp_path, scans):
    import slicer

    ui = training.ui
    ui.trainNameSelector.setEditText("later")
    ui.epochsSpinBox.value = 7
    scene = slicer.mrmlScene
    (tmp_path / "bundle").mkdir()
    assert scene.SaveSceneToSlicerDataBundleDirectory(str(tmp_path / "bundle"))
    scene.Clear(0)
    assert ui.epochsSpinBox.value != 7 and ui.trainNameSelector.currentText == ""
    scene.SetURL(str(next((tmp_path / "bundle").glob("*.mrml"))))
    assert scene.Import()
    application.processEvents()
    assert ui.dataListSelector.currentPath == str(scans) and ui.trainNameSelector.currentText == "later"
    assert ui.epochsSpinBox.value == 7
    assert ui.recipeSelector.itemData(ui.recipeSelector.currentIndex).endswith("dram.yaml")


def test_remaining_time_and_loss_go_on_over_sessions(application, module):
    from DRAMLesionPanel.train.progress import TrainingProgress

    now = [100.0]
    progress = TrainingProgress(clock=lambda: now[0])

    def step(number: int, loss: float = 1.0) -> None:
        progress.take({"event": "step", "epoch": 1 + (number - 1) // 10, "epochs": 4, "step": number,
                       "steps": 40, "loss": loss})  # fmt: skip

    progress.take({"event": "begin", "name": "n", "labels_by": ""})
    progress.take({"event": "begin_stage", "stage": "training"})
    for number in range(1, 5):  # of an earlier session: all at once
        step(number)
    assert progress.remainingSeconds() is None
    for number in range(5, 10):
        now[0] += 2
        step(number)
    assert progress.remainingSeconds() == pytest.approx(31 * 10 / 8)
    now[0] += 2
    step(10)
    progress.take({"event": "epoch", "epoch": 1, "epochs": 4, "step": 10, "steps": 40, "loss": 1.0,
                   "validation_mae_points": 4.0, "seconds": 30.0})  # fmt: skip
    assert progress.remainingSeconds() == pytest.approx(90)
    assert "Epoch 1 of 4" in progress.text() and "2 min" in progress.text()
    assert progress.validations == {1: 4.0}
    step(10, loss=0.5)  # done again after a process was killed
    assert len(progress.losses) == 10 and progress.losses[10] == 0.5
    points = progress.curve()
    assert len(points) == 10 and points[-1] == pytest.approx((0.95, 0.5))


def test_a_sentence_says_whether_the_error_is_good(module):
    from DRAMLesionPanel.train.progress import TrainingProgress

    progress = TrainingProgress()
    assert progress.verdict() == ""

    def epoch(number, points):
        progress.take(
            {"event": "step", "epoch": number, "epochs": 20, "step": number, "steps": 20, "loss": 1.0}
        )
        if points is not None:
            progress.take({"event": "epoch", "epoch": number, "epochs": 20, "step": number, "steps": 20, "loss": 1.0,
                           "validation_mae_points": points, "seconds": 1.0})  # fmt: skip

    epoch(1, None)
    assert "No scans are watched" in progress.verdict()
    epoch(2, 20.0)
    assert "no better than a threshold" in progress.verdict()
    epoch(3, 6.0)
    assert "better than a threshold" in progress.verdict() and "epoch 3" in progress.verdict()
    epoch(4, 2.04)
    assert "as near as the recipes came" in progress.verdict() and "2.0 points" in progress.verdict()
    for number in range(5, 10):
        assert "no longer" not in progress.verdict()
        epoch(number, 3.0)
    assert "off by 3.0 points; best: 2.0, epoch 4" in progress.verdict()
    assert "falls no longer" in progress.verdict()


def test_the_charts_axis_has_round_epochs_and_the_last(module):
    from DRAMLesionPanel.train.curve import ticks

    assert ticks(2) == [0, 1, 2] and ticks(1) == [0, 1]
    assert ticks(20) == [0, 5, 10, 15, 20] and ticks(33) == [0, 10, 20, 33]
    for epochs in range(1, 400):
        shown = ticks(epochs)
        assert shown[0] == 0 and shown[-1] == epochs and shown == sorted(set(shown)) and len(shown) <= 7


def test_user_models_are_found_beside_the_shipped_ones(own, models):
    from DRAMLesionLib.lesions.networks.bundle import (
        find_model,
        list_models,
        model_folders,
        user_models_folder,
    )

    assert user_models_folder() == own and model_folders()[-1] == own
    (own / "mine" / "configs").mkdir(parents=True)
    (own / "mine" / "configs" / "metadata.json").write_text("{}")
    assert find_model("mine") == own / "mine" and list_models()["tiny"] == models / "tiny"
    assert "mine" in list_models()


def test_the_fine_tuning_recipe_fits_the_network_that_it_starts_from(module):
    from DRAMLesionPanel.train import plan as training_plan

    from DRAMLesionLib.lesions.networks.bundle import DEFAULT_MODEL, DEFAULT_SEGMENTATION_MODEL
    from DRAMLesionLib.lesions.networks.bundle_folders import SHIPPED, bundle_metadata
    from DRAMLesionLib.training.recipes.recipe import read_recipe

    assert (training_plan.DEFAULT_DRAM, training_plan.DEFAULT_FINAL) == (
        DEFAULT_MODEL,
        DEFAULT_SEGMENTATION_MODEL,
    )
    recipe = read_recipe(training_plan.recipeFile("fine-tune"))
    assert recipe.model.to_dict() == bundle_metadata(SHIPPED / recipe.start_from)["segmentation"]
