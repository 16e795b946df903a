"""What was opened: results, a batch, a CT."""

import pytest
from small_case import make_batch, make_case

from DRAMLesionLib.system.errors import InputError
from DRAMLesionLib.view.case import read_case
from DRAMLesionLib.view.cases import entries_of


def test_results_are_one_case(tmp_path):
    results = make_case(tmp_path)
    (entry,) = entries_of(results)
    assert entry.is_segmented and entry.places.results == results
    assert entry.places.out.name == f"{results.name}_corrected"
    assert entry.places.training.parent == tmp_path


def test_a_ct_will_be_segmented_beside_it_once(tmp_path):
    results = make_case(tmp_path)
    ct = tmp_path / "thorax.nii.gz"
    (entry,) = entries_of(ct)
    assert entry.places.ct == ct and entry.places.results == results
    assert entry.is_segmented, "it was segmented already"
    other = ct.rename(tmp_path / "other.nii.gz")
    (entry,) = entries_of(other)
    assert not entry.is_segmented and entry.places.results == tmp_path / "other_results"


def test_a_dicom_folder_named_after_a_patient_gives_neutral_names_that_are_found_again(tmp_path):
    for number, name in enumerate(("Doe_Jane", "Roe_Richard")):
        (tmp_path / name / "series").mkdir(parents=True)
        (tmp_path / name / "series" / "IM0001").write_bytes(bytes(100 + number))
    jane, again, richard = (
        entries_of(tmp_path / name)[0] for name in ("Doe_Jane", "Doe_Jane", "Roe_Richard")
    )
    assert jane.places == again.places and jane.places.ct == tmp_path / "Doe_Jane"
    assert jane.places.results != richard.places.results
    for shown in (jane.name, jane.places.results.name, jane.places.out.name, jane.places.training.name):
        assert "Jane" not in shown and "Doe" not in shown
    (kept,) = entries_of(tmp_path / "Doe_Jane", keep_identifiers=True)
    assert kept.name == "Doe_Jane" and kept.places.results == tmp_path / "Doe_Jane_results"


def test_flagged_cases_of_a_batch_come_first(tmp_path):
    entries = entries_of(make_batch(tmp_path))
    assert [entry.name for entry in entries] == ["b", "a"]
    assert entries[0].flags == ("The lungs are cut off: look at them",) and not entries[1].flags
    assert entries[0].percent == entries[1].percent != ""
    assert len({entry.places.training for entry in entries}) == 1
    findings, _held = read_case(entries[0].places)
    assert findings.record["flags"][0]["code"] == "lungs-cut-below"


@pytest.mark.parametrize("name", ["ct", "out"])
def test_what_has_no_meaning_for_a_batch_is_refused(tmp_path, name):
    with pytest.raises(InputError, match="no meaning"):
        entries_of(make_batch(tmp_path), **{name: tmp_path})


def test_corrected_results_do_not_replace_those_that_are_open(tmp_path):
    results = make_case(tmp_path)
    with pytest.raises(InputError, match="give another folder with --out"):
        entries_of(results, out=results.parent / "." / results.name)


def test_what_is_not_there_is_said(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        entries_of(tmp_path / "nothing")
