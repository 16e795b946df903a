"""The command ``batch`` on phantoms: files, a DICOM series and a broken file, one after the other."""

import csv
import re

import numpy as np
import pytest
import SimpleITK as sitk

from DRAMLesionLib.phantom import make_phantom, save_phantom

FLAGS = ("--no-scene", "--no-crf", "--model", "dram-covid", "--method", "dram", "--workers", "1", "--json")


def write_dicom(image, folder):
    """A CT series with a patient's name in its headers and its folder's name."""
    pydicom = pytest.importorskip("pydicom")
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, generate_uid

    folder.mkdir(parents=True)
    image = sitk.DICOMOrient(image, "LPS")
    series = generate_uid()
    for number, plane in enumerate(sitk.GetArrayFromImage(image)):
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
        meta.MediaStorageSOPInstanceUID = generate_uid()
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        data = pydicom.dataset.FileDataset("", pydicom.Dataset(), file_meta=meta, preamble=b"\0" * 128)
        data.SOPClassUID, data.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
        data.PatientName, data.PatientID, data.Modality = "MUSTERMANN^ERIKA", "MUSTERMANN-1", "CT"
        data.StudyInstanceUID, data.SeriesInstanceUID, data.SeriesDescription = generate_uid(), series, "lung"
        data.Rows, data.Columns = plane.shape
        data.BitsAllocated = data.BitsStored = 16
        data.HighBit, data.PixelRepresentation, data.SamplesPerPixel = 15, 1, 1
        data.PhotometricInterpretation = "MONOCHROME2"
        x, y, _ = image.GetSpacing()
        data.PixelSpacing = [f"{y:.4f}", f"{x:.4f}"]
        place = image.TransformIndexToPhysicalPoint((0, 0, number))
        data.ImagePositionPatient = [f"{value:.4f}" for value in place]
        data.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        data.RescaleSlope, data.RescaleIntercept = 1, 0
        data.PixelData = plane.astype(np.int16).tobytes()
        data.save_as(folder / f"IM{number:04d}", enforce_file_format=True)


@pytest.fixture(scope="module")
def done(run, tmp_path_factory):
    """The input, the results, and what the command said."""
    folder = tmp_path_factory.mktemp("batch")
    source, out = folder / "in", folder / "out"
    save_phantom(make_phantom((64, 64, 48), (5.4, 5.4, 6.0), seed=0, severity=10.0), source / "first")
    ct = sitk.ReadImage(str(source / "first" / "ct.nii.gz"))
    write_dicom(ct, source / "MUSTERMANN_ERIKA" / "S1")
    (source / "broken").mkdir()
    (source / "broken" / "ct.nii.gz").write_bytes((source / "first" / "ct.nii.gz").read_bytes()[:5000])
    return source, out, run("batch", source, out, *FLAGS)


def test_one_bad_case_does_not_stop_the_rest(done):
    _, out, said = done
    assert said.code == 3, said.err
    with (out / "manifest.csv").open() as file:
        rows = {row["case"]: row for row in csv.DictReader(file)}
    assert {name: row["status"] for name, row in rows.items()} == {
        "broken": "failed",
        "first": "done",
        "case0001": "done",
    }
    assert rows["broken"]["reason"].startswith("broken.nii.gz: ")
    assert 100 < float(rows["first"]["peak_memory_mb"]) < 8000
    assert re.fullmatch(r"[0-9a-f]{64}", rows["first"]["model_checksum"])
    events = said.events
    assert [e["case"] for e in events if e["event"] == "case"] == ["broken", "first", "case0001"]
    assert (
        events[-1]["event"] == "result"
        and events[-1]["done"] == 2
        and list(events[-1]["failures"]) == ["broken"]
    )


def test_results_are_those_of_segment(run, done, tmp_path):
    source, out, _ = done
    flags = [flag for flag in FLAGS if flag not in ("--workers", "1")]
    alone = run("segment", source / "first" / "ct.nii.gz", "--out", tmp_path / "o", *flags)
    assert alone.code == 0, alone.err
    for name in ("lesion.nii.gz", "dram.nii.gz", "lobes.nii.gz"):
        one, other = (
            sitk.GetArrayFromImage(sitk.ReadImage(str(f / name)))
            for f in (tmp_path / "o", out / "cases/first")
        )
        # A worker may compute with more threads, whose sums round otherwise in the last digit of a map.
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-6 if name == "dram.nii.gz" else 0)
    assert (tmp_path / "o" / "lobes.csv").read_text() == (out / "cases/first/lobes.csv").read_text()


def test_tables_and_report_hold_all_cases(done):
    _, out, _ = done
    with (out / "volumes.csv").open() as file:
        totals = {row["case"]: row for row in csv.DictReader(file) if row["region"] == "total"}
    assert list(totals) == ["first", "case0001"]
    # They are the same CT; a DICOM header's decimals are fewer.
    one, other = (float(totals[name]["lesion_percent"]) for name in ("first", "case0001"))
    assert one > 2 and one == pytest.approx(other, abs=0.5)
    report = (out / "report.html").read_text()
    for link in ("cases/first/report.html", "cases/case0001/report.html"):
        assert f'href="{link}"' in report and (out / link).exists()
    assert "broken.nii.gz" in report and not re.findall(r'(?:src|href)="(?:https?:)?//', report)


def test_no_patient_is_named(done):
    _, out, _ = done
    found = [path for path in out.rglob("*") if path.is_file() and b"MUSTERMANN" in path.read_bytes()]
    assert found == [out / "key.csv"]
    assert not [path for path in out.rglob("*") if "MUSTERMANN" in path.name]


def test_resume_leaves_what_is_done(run, done):
    source, out, _ = done
    before = {path: path.stat().st_mtime_ns for path in (out / "cases").rglob("*")}
    again = run("batch", source, out, *FLAGS, "--resume")
    assert again.code == 3
    assert {e["case"]: e["kept"] for e in again.events if e["event"] == "case"} == {
        "broken": False,
        "first": True,
        "case0001": True,
    }
    assert {path: path.stat().st_mtime_ns for path in (out / "cases").rglob("*")} == before


def test_arguments_that_can_not_be_used(run, tmp_path):
    for arguments in ((tmp_path / "gone", tmp_path / "out"), (tmp_path, tmp_path / "out")):
        refused = run("batch", *arguments)
        assert refused.code == 2 and refused.err.splitlines()[-1].startswith("Error: "), refused.err
        assert not (tmp_path / "out").exists()
