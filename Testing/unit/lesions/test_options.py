"""A user's choices travel in one value, from process to process too."""

import json
from pathlib import Path

import pytest

from DRAMLesionLib.case import segment_case
from DRAMLesionLib.lesions.options import Options


def test_choices_come_back_from_json():
    chosen = Options(lobes=Path("a/lobes.nii.gz"), model="mine", crf=False, device="cpu")
    values = json.loads(json.dumps(chosen.to_dict()))
    assert values == {"lobes": str(Path("a/lobes.nii.gz")), "model": "mine", "crf": False, "device": "cpu"}
    assert Options(**values) == Options(lobes=str(chosen.lobes), model="mine", crf=False, device="cpu")
    assert Options().to_dict() == {}


def test_a_choice_that_does_not_exist_is_a_fault_of_the_caller(tmp_path):
    with pytest.raises(TypeError, match="colour"):
        segment_case(tmp_path / "ct.nii.gz", tmp_path / "out", colour="red")
    assert not (tmp_path / "out").exists()
