"""The percentages of a phantom, found beside its CT and nowhere else."""

import json

import pytest

from DRAMLesionLib.phantom import make_phantom, save_phantom
from DRAMLesionLib.phantom.known_percent import known_percent


def test_a_phantoms_percentages_lie_beside_it(tmp_path):
    made = make_phantom((24, 24, 16), (14.0, 14.0, 18.0), seed=1)
    save_phantom(made, tmp_path)
    assert list(known_percent(tmp_path / "ct.nii.gz").values()) == pytest.approx(made.percent)
    assert list(known_percent(tmp_path / "ct.nii.gz")) == ["LUL", "LLL", "RUL", "RML", "RLL"]


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        json.dumps({"percent": {"LUL": 3}}),
        json.dumps({"seed": 1, "percent": {}, "severity_wanted": {}}),
    ],
)
def test_any_other_file_of_that_name_is_none(tmp_path, text):
    (tmp_path / "ct.nii.gz").write_bytes(b"")
    assert known_percent(tmp_path / "ct.nii.gz") == {}
    (tmp_path / "percent.json").write_text(text)
    assert known_percent(tmp_path / "ct.nii.gz") == {}
    assert known_percent(tmp_path) == {}


def test_another_ct_in_a_phantoms_folder_has_none(tmp_path):
    save_phantom(make_phantom((24, 24, 16), (14.0, 14.0, 18.0), seed=1), tmp_path)
    (tmp_path / "patient.nii.gz").write_bytes((tmp_path / "ct.nii.gz").read_bytes())
    assert known_percent(tmp_path / "patient.nii.gz") == {}
