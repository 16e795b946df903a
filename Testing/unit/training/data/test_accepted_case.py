"""Accepted cases in the training folder."""

import json
from dataclasses import replace

import numpy as np
import pytest

from DRAMLesionLib.images.volume import read_ct, read_on_grid
from DRAMLesionLib.lesions.findings import Findings
from DRAMLesionLib.lesions.quantify import quantify
from DRAMLesionLib.lesions.steer import steer
from DRAMLesionLib.lungs.read_lobes import read_lobes
from DRAMLesionLib.phantom import make_phantom
from DRAMLesionLib.system.errors import InputError
from DRAMLesionLib.training.data import accepted_case
from DRAMLesionLib.training.data.accepted_case import save_accepted_case
from DRAMLesionLib.training.data.datalist import read_datalist


def findings_of(seed: int = 0, lesion: np.ndarray | None = None) -> Findings:
    made = make_phantom((32, 28, 24), (11, 11, 12), seed=seed, orientation="PIR")
    lesion = made.lesion if lesion is None else lesion
    table = quantify(made.ct.array, made.lobes, lesion, made.ct.spacing_mm)
    ct = replace(made.ct, name="Patient 1/CT")
    return Findings(
        ct, made.lobes, lesion.astype(np.float32), lesion, table, {"model": {"name": "m", "checksum": "c"}}
    )


def edits_of(findings: Findings) -> np.ndarray:
    edits = np.zeros(findings.ct.array.shape, np.uint8)
    edits[10, 10, 8:12], edits[11, 10, 8:10] = 1, 2
    return edits


def test_everything_is_read_back_as_it_was(tmp_path):
    findings = findings_of()
    edits = edits_of(findings)
    case = save_accepted_case(tmp_path / "training", findings, edits)
    ct = read_ct(case / "ct.nrrd")
    np.testing.assert_array_equal(ct.array, findings.ct.array)
    assert ct.geometry.difference(findings.ct.geometry) is None
    np.testing.assert_array_equal(
        read_lobes(case / "lobes.nrrd", ct, allow_missing=True).labels, findings.lobes.labels
    )
    np.testing.assert_array_equal(read_on_grid(case / "lesion.nrrd", ct), findings.lesion)
    np.testing.assert_array_equal(read_on_grid(case / "edits.nrrd", ct), edits)
    facts = json.loads((case / "case.json").read_text(encoding="utf-8"))
    assert facts["record"]["model"]["checksum"] == "c"
    assert facts["painted_voxels"] == {"lesion": 4, "not_lesion": 2}
    (scan,) = read_datalist(tmp_path / "training" / "datalist.json").training
    known = [region.percent for region in findings.quantification.lobes]
    assert scan.percent == pytest.approx(tuple(known), abs=1e-3)
    assert (scan.label, scan.edits) == (case / "lesion.nrrd", case / "edits.nrrd")


def test_the_same_ct_replaces_its_case_and_another_of_its_name_does_not(tmp_path):
    first = findings_of(seed=0)
    nothing = findings_of(seed=0, lesion=np.zeros_like(first.lesion))
    other = findings_of(seed=1)
    edits = edits_of(first)
    place = save_accepted_case(tmp_path, first, edits)
    assert save_accepted_case(tmp_path, nothing, edits) == place
    assert save_accepted_case(tmp_path, other, edits) != place
    assert read_on_grid(place / "lesion.nrrd", read_ct(place / "ct.nrrd")).sum() == 0
    scans = read_datalist(tmp_path / "datalist.json").training
    assert sorted(scan.image.parent.name for scan in scans) == ["Patient_1_CT", "Patient_1_CT_2"]
    assert {path.name for path in tmp_path.iterdir()} == {"Patient_1_CT", "Patient_1_CT_2", "datalist.json"}


def test_a_failure_leaves_the_folder_as_it_was(tmp_path, monkeypatch):
    findings = findings_of()
    edits = edits_of(findings)
    place = save_accepted_case(tmp_path, findings, edits)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}

    def full(*_arguments, **_named):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(accepted_case, "_facts", full)
    with pytest.raises(OSError, match="disk is full"):
        save_accepted_case(tmp_path, findings, edits)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    assert place.is_dir()


def test_a_data_list_of_another_kind_is_not_overwritten(tmp_path):
    (tmp_path / "datalist.json").write_text('["mine"]')
    findings = findings_of()
    with pytest.raises(InputError, match="choose another folder"):
        save_accepted_case(tmp_path, findings, edits_of(findings))
    assert [path.name for path in tmp_path.iterdir()] == ["datalist.json"]


def test_a_readers_numbers_are_the_weak_label_and_no_stroke_is_needed(tmp_path):
    """Percentages and scores go into the row as they were said; lobes of which nothing was said keep the mask's."""
    findings = findings_of()
    said = steer(
        findings, percent=(33.3, None, None, None, None), score=(None, 2, None, None, None), who="R. Reader"
    )
    case = save_accepted_case(tmp_path / "training", said)
    (scan,) = read_datalist(tmp_path / "training" / "datalist.json").training
    measured = [region.percent for region in said.quantification.lobes]
    assert scan.percent == (33.3, None, *(pytest.approx(value, abs=1e-3) for value in measured[2:]))
    assert scan.score == (None, 2, None, None, None) and scan.edits is None
    assert scan.weak_label(1).fraction == pytest.approx(0.333)
    assert (scan.weak_label(2).fraction, scan.weak_label(2).score) == (None, 2)
    facts = json.loads((case / "case.json").read_text(encoding="utf-8"))
    assert facts["label_from"]["LUL"] == "reader's percent, R. Reader"
    assert (
        facts["label_from"]["LLL"] == "reader's score, R. Reader"
        and facts["label_from"]["RUL"] == "accepted mask"
    )
    assert facts["reading"] == said.reading.to_dict() and facts["painted_voxels"] == {
        "lesion": 0,
        "not_lesion": 0,
    }
    assert not (case / "edits.nrrd").exists()
    save_accepted_case(tmp_path / "training", said, edits_of(said))
    (again,) = read_datalist(tmp_path / "training" / "datalist.json").training
    assert again.edits == case / "edits.nrrd"
