"""Discarding a training that has not ended; clicked in a stand-in for Slicer, with the library's real training."""

import json

import pytest
from clicks import ended, started


@pytest.fixture
def question(monkeypatch):
    """What was asked, and the answer."""
    import types

    import slicer

    asked = types.SimpleNamespace(texts=[], answer=True)

    def confirm(text, **_options):
        asked.texts.append(text)
        return asked.answer

    monkeypatch.setattr(slicer.util, "confirmOkCancelDisplay", confirm)
    return asked


def leave_unfinished(own, name: str) -> None:
    job, state = own / f"{name}.job", own / f"{name}.training"
    job.mkdir(parents=True)
    state.mkdir()
    (job / "job.json").write_text(json.dumps({"name": name, "recipe": "dram"}))
    (state / "checkpoint.safetensors").write_bytes(b"hours of work")


def test_a_stopped_training_is_discarded_after_a_question(training, application, own, question):
    ui = training.ui
    assert not ui.trainDiscardButton.enabled
    ui.epochsSpinBox.value = 5000
    ui.trainStartButton.click()
    assert not ui.trainDiscardButton.enabled, "not while it goes on"
    started(training, application)
    ui.trainStopButton.click()
    ended(training, application)
    assert ui.trainDiscardButton.enabled and "dram-1" in ui.trainDiscardButton.toolTip
    question.answer = False
    ui.trainDiscardButton.click()
    assert (own / "dram-1.training" / "checkpoint.safetensors").is_file() and ui.trainResumeButton.enabled
    question.answer = True
    ui.trainDiscardButton.click()
    assert len(question.texts) == 2 and "dram-1" in question.texts[0]
    assert list(own.iterdir()) == []
    assert not ui.trainDiscardButton.enabled and not ui.trainResumeButton.enabled
    assert ui.trainStatusLabel.text == "dram-1: discarded." and not ui.trainChartLabel.visible
    assert ui.trainNameSelector.count == 0 and ui.trainStartButton.enabled
    assert ui.trainNameSelector.lineEdit().placeholderText == "dram-1"


def test_only_the_named_training_is_discarded(training, own, question):
    for name in ("one", "two"):
        leave_unfinished(own, name)
    training.ui.trainCollapsibleButton.collapsed = True
    training.ui.trainCollapsibleButton.collapsed = False
    training.ui.trainNameSelector.setEditText("one")
    training.ui.trainDiscardButton.click()
    assert sorted(path.name for path in own.iterdir()) == ["two.job", "two.training"]
    assert "one" in question.texts[0]


def test_a_finished_model_is_never_discarded(module, own, models):
    from DRAMLesionPanel.train.run import discardTraining

    from DRAMLesionLib.system.errors import InputError

    leave_unfinished(own, "done")
    (own / "done").mkdir()
    for name in ("done", "nothing", "tiny"):
        with pytest.raises(InputError, match="nothing to discard"):
            discardTraining(name)
    assert (own / "done").is_dir() and (own / "done.job").is_dir()


def test_a_training_of_another_slicer_is_not_discarded(training, application, own, question):
    from DRAMLesionLib.system.errors import InputError

    training.ui.epochsSpinBox.value = 5000
    training.ui.trainStartButton.click()
    started(training, application)
    with pytest.raises(InputError, match="stop it first"):
        training.logic.discardTraining("dram-1")
    training.ui.trainStopButton.click()
    ended(training, application)
    assert (own / "dram-1.training" / "checkpoint.safetensors").is_file()
