"""What a training in the panel is put together from, before any process begins."""

import json

import pytest

from DRAMLesionLib.system.errors import InputError


@pytest.fixture
def plan(module, models):
    from DRAMLesionPanel.train import plan

    return plan


@pytest.fixture
def folder(tmp_path):
    """A training folder with as many accepted cases as asked for."""

    def make(cases: int):
        (tmp_path / "ct.nii.gz").touch()
        row = {"image": "ct.nii.gz", "lobes": "ct.nii.gz"}
        rows = [{**row, "percent": [number, 0, 0, 0, 0]} for number in range(cases)]
        (tmp_path / "datalist.json").write_text(json.dumps({"training": rows}))
        return tmp_path

    return make


def test_of_many_accepted_cases_some_are_set_aside_to_watch(plan, folder):
    few = plan.readData(str(folder(plan.CASES_TO_WATCH_SOME - 1)))
    assert (len(few.training), len(few.validation)) == (plan.CASES_TO_WATCH_SOME - 1, 0)
    many = plan.readData(str(folder(10)))
    assert (len(many.training), len(many.validation)) == (8, 2)
    severity = [scan.percent[0] for scan in many.validation]
    assert min(severity) < 5 <= max(severity)  # a mild and a severe one
    given = plan.readData(str(folder(10) / "datalist.json"))  # a list is taken as it is
    assert len(given.training) == 10


def test_a_folder_without_accepted_cases_and_no_choice_are_named(plan, tmp_path):
    with pytest.raises(InputError, match="accept a case first"):
        plan.readData(str(tmp_path))
    with pytest.raises(InputError, match="no data to train on"):
        plan.readData("  ")


@pytest.mark.parametrize("name", ["Tiny", "tiny", "TINY"])
def test_a_name_that_differs_in_letters_alone_is_taken(plan, models, name):
    """Some disks do not tell them apart."""
    with pytest.raises(InputError, match="there is a model of this name"):
        plan.checkName(name, {"Tiny": models / "tiny"})
    plan.checkName("tiny-2", {"tiny": models / "tiny"})


@pytest.mark.parametrize("name", ["", ".hidden", "a/b", "a b", "end.", "x.job", "x.training", "-x"])
def test_a_name_that_no_folder_can_have_is_refused(plan, name):
    with pytest.raises(InputError, match="no name for a model"):
        plan.checkName(name, {})


def test_a_name_is_found_when_none_is_given(plan):
    assert plan.freeName("fine-tune", set()) == "fine-tuned-1"
    assert plan.freeName("/some/where/my recipe.yaml", {"MY-recipe-1", "my-recipe-2"}) == "my-recipe-3"


def test_a_fine_tuning_starts_from_a_final_network_never_from_a_map_s(plan):
    assert plan.findFinal("tiny") == plan.DEFAULT_FINAL  # tiny is a dRAM model
    assert plan.findFinal(None) == plan.DEFAULT_FINAL
    with pytest.raises(InputError, match="no such final network"):
        plan.findFinal("tiny", "nowhere")


def test_labelling_goes_on_from_case_to_case(module):
    from DRAMLesionPanel.train.job import LABELLING
    from DRAMLesionPanel.train.progress import TrainingProgress

    progress = TrainingProgress()
    progress.take({"event": "begin", "name": "n", "labels_by": "dram-covid"})
    progress.take({"event": "begin_stage", "stage": LABELLING})
    seen = []
    for case, stage, part in (
        (1, "Reading", 0.0),
        (1, "Computing", 0.9),
        (2, "Reading", 0.0),
        (4, "Reading", 0.0),
    ):
        progress.take({"event": "progress", "stage": f"a, {case} of 4: {stage}", "fraction": part})
        seen.append(progress.fraction)
    assert seen == [0.0, 0.0, 0.25, 0.75]
    assert "Labels (1 of 2)" in progress.text()
