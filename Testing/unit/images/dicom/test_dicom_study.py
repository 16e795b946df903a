"""Study date and slice thickness of a DICOM series, for reports that may show them."""

from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from DRAMLesionLib.case import _about
from DRAMLesionLib.images.dicom.study import study_of
from DRAMLesionLib.lesions.options import Options


def write_slice(path: Path, uid: str, date: str | None, thickness: str | None) -> None:
    data = pydicom.Dataset()
    data.SeriesInstanceUID, data.PatientName = uid, "Doe^Jane"
    if date is not None:
        data.add_new(0x00080020, "DA", date)
    if thickness is not None:
        data.SliceThickness = thickness
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.file_meta.MediaStorageSOPClassUID, data.file_meta.MediaStorageSOPInstanceUID = (
        CTImageStorage,
        f"{uid}.1",
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    pydicom.dcmwrite(path, data, enforce_file_format=True, implicit_vr=False, little_endian=True)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_slice(tmp_path / "a" / "1.dcm", "1.2.3", "20200312", "1.25")
    write_slice(tmp_path / "b" / "1.dcm", "1.2.40", "20200409", "5")
    (tmp_path / "notes.dcm").write_text("no DICOM")
    return tmp_path


def test_date_and_thickness_are_those_of_the_series(folder):
    assert study_of(folder) == {"date": "2020-03-12", "slice_thickness_mm": 1.25}
    assert study_of(folder, "1.2.40") == {"date": "2020-04-09", "slice_thickness_mm": 5.0}
    assert study_of(folder / "b" / "1.dcm") == {"date": "2020-04-09", "slice_thickness_mm": 5.0}
    assert study_of(folder, "9.9") == {}


@pytest.mark.parametrize(("date", "thickness"), [(None, None), ("", "0"), ("20", "-1")])
def test_what_the_header_lacks_or_has_wrong_is_left_out(tmp_path, date, thickness, monkeypatch):
    monkeypatch.setattr(pydicom.config.settings, "writing_validation_mode", pydicom.config.IGNORE)
    write_slice(tmp_path / "1.dcm", "1.2.3", date, thickness)
    assert study_of(tmp_path) == {}


def test_a_file_of_another_kind_has_no_study(tmp_path):
    (tmp_path / "ct.nii.gz").write_bytes(b"")
    assert study_of(tmp_path / "ct.nii.gz") == {}


@pytest.mark.parametrize(
    ("options", "shown"),
    [
        (Options(), False),
        (Options(keep_identifiers=True), True),
        (Options(keep_identifiers=True, with_study=False), False),
        (Options(with_study=True), True),
    ],
)
def test_a_case_records_its_study_on_request_alone(folder, options, shown):
    assert _about(folder, options) == ({"study": study_of(folder)} if shown else {})


def test_a_case_records_the_name_that_was_given(tmp_path):
    assert _about(tmp_path / "ct.nii.gz", Options(name=" Course A,\n day 3 ")) == {"name": "Course A, day 3"}
