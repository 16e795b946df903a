"""Which CTs a batch finds, and what it calls them."""

import csv
import json

import pytest

from DRAMLesionLib.batch.listing import list_cases, safe_name
from DRAMLesionLib.batch.scan_numbers import read_scan_numbers, write_scan_numbers
from DRAMLesionLib.system.errors import InputError


def touch(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def names(listing):
    return [case.name for case in listing.cases]


def write_series(folder, uid, *, slices=12, modality="CT", patient="DOE^JOHN", description="lung", start=0):
    """Tiny DICOM files: 8 x 8 pixels, made with pydicom."""
    pydicom = pytest.importorskip("pydicom")
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, generate_uid

    folder.mkdir(parents=True, exist_ok=True)
    for number in range(start, start + slices):
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
        meta.MediaStorageSOPInstanceUID = generate_uid()
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        data = FileDataset("", pydicom.Dataset(), file_meta=meta, preamble=b"\0" * 128)
        data.SOPClassUID, data.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
        data.PatientName, data.PatientID, data.Modality = patient, "4711", modality
        data.StudyInstanceUID, data.SeriesInstanceUID, data.SeriesDescription = "1.2.3", uid, description
        data.Rows = data.Columns = 8
        data.BitsAllocated = data.BitsStored = 16
        data.HighBit, data.PixelRepresentation, data.SamplesPerPixel = 15, 1, 1
        data.PhotometricInterpretation, data.PixelSpacing = "MONOCHROME2", [1, 1]
        data.ImagePositionPatient, data.ImageOrientationPatient = [0, 0, number], [1, 0, 0, 0, 1, 0]
        data.RescaleSlope, data.RescaleIntercept = 1, 0
        data.PixelData = bytes(128)
        data.save_as(folder / f"{uid}.{number}.dcm", enforce_file_format=True)


def test_a_folder_of_files(tmp_path):
    touch(tmp_path, "b.nrrd", "a.nii.gz", "sub/c.mha", ".hidden.nii", "notes.txt", "lesion.seg.nrrd")
    assert names(list_cases(tmp_path)) == ["a", "b", "sub_c"]


def test_files_that_are_called_ct_are_preferred_and_lobes_lie_beside_them(tmp_path):
    touch(tmp_path, "case01_ct.nii.gz", "case01_lobes.nii.gz", "case01_lesion.nii.gz", "case02_ct.nii.gz")
    listing = list_cases(tmp_path, lobes="{name}_lobes.nii.gz")
    assert names(listing) == ["case01", "case02"]
    assert listing.cases[0].lobes == str(tmp_path / "case01_lobes.nii.gz")
    assert "2 images passed over" in listing.notes[0]


def test_lobes_are_no_cases(tmp_path):
    touch(tmp_path, "one.nii.gz", "one-lobes.nii.gz")
    assert names(list_cases(tmp_path, lobes="{stem}-lobes.nii.gz")) == ["one"]


def test_a_folder_for_each_case(tmp_path):
    touch(tmp_path, "p1/ct.nii.gz", "p1/lobes.nii.gz", "p2/ct.nii.gz", "p2/lobes.nii.gz")
    listing = list_cases(tmp_path, lobes="lobes.nii.gz")
    assert names(listing) == ["p1", "p2"]
    assert [case.lobes for case in listing.cases] == [
        str(tmp_path / p / "lobes.nii.gz") for p in ("p1", "p2")
    ]


def test_images_are_chosen_by_a_pattern(tmp_path):
    touch(tmp_path, "x/scan1.nii", "x/scan2.nii", "y/scan1.nii", "other.nii")
    assert names(list_cases(tmp_path, images="scan1*")) == ["x_scan1", "y_scan1"]
    assert names(list_cases(tmp_path, images="x/*")) == ["x_scan1", "x_scan2"]


def test_results_inside_the_input_are_passed_over(tmp_path):
    touch(tmp_path, "a.nii", "out/cases/a/lesion.nii.gz")
    assert names(list_cases(tmp_path, out=tmp_path / "out")) == ["a"]


@pytest.mark.parametrize("place", ["", "results", "deep/er"])
@pytest.mark.parametrize("images", [None, "*.nii.gz"])
def test_results_of_earlier_runs_are_passed_over_wherever_they_lie(tmp_path, place, images):
    results = ("lesion.nii.gz", "dram.nii.gz", "refined_dram.nii.gz", "lobes.nii.gz", "edits.nii.gz")
    touch(tmp_path, "a.nii.gz", "other/lesion.nii.gz")
    touch(tmp_path / place, *results)
    (tmp_path / place / "summary.json").write_text(
        json.dumps({"lobes": {"approximate": False, "source": "lobes"}, "record": {}})
    )
    listing = list_cases(tmp_path, images=images)
    assert names(listing) == ["a", "other_lesion"]  # a mask of somebody else's is not known for one
    assert "5 files passed over, which are results of earlier runs" in listing.notes


def test_names_never_collide(tmp_path):
    touch(tmp_path, "a/b.nii", "a_b.nii", "A_B.mha", "ä ö.nii")
    found = names(list_cases(tmp_path))
    assert len({name.casefold() for name in found}) == 4
    assert all(safe_name(name) == name for name in found)


def test_a_csv(tmp_path):
    touch(tmp_path, "in/a.nii")
    table = tmp_path / "cases.csv"
    table.write_text(
        "image;name;lobes\nin/a.nii;one;in/l.nii\nin/b_ct.nii;;\n\nin/dicom;;\n", encoding="utf-8-sig"
    )
    cases = list_cases(table).cases
    assert [(case.name, case.lobes) for case in cases] == [
        ("one", str(tmp_path / "in/l.nii")),
        ("b", None),
        ("case0001", None),
    ]
    assert cases[0].image == str(tmp_path / "in/a.nii")


@pytest.mark.parametrize(
    "text, word",
    [
        ("file\na.nii\n", "'image'"),
        ("image,name\n,x\n", "line 2"),
        ("image,name\na.nii,x/y\n", "x/y"),
        ("image,name\na.nii,x\nb.nii,X\n", "two cases"),
        ("", "'image'"),
        ("image\n", "no CT found"),
    ],
)
def test_a_csv_that_can_not_be_used(tmp_path, text, word):
    (tmp_path / "cases.csv").write_text(text)
    with pytest.raises(InputError, match=r"cases\.csv|two cases") as error:
        list_cases(tmp_path / "cases.csv")
    assert word in str(error.value)


def test_arguments_that_can_not_be_used(tmp_path):
    with pytest.raises(InputError, match="gone"):
        list_cases(tmp_path / "gone")
    with pytest.raises(InputError, match="no CT found"):
        list_cases(tmp_path)
    touch(tmp_path, "a.nii")
    with pytest.raises(InputError, match="not a pattern"):
        list_cases(tmp_path, lobes="{patient}.nii")
    with pytest.raises(InputError, match="all cases"):
        list_cases(tmp_path, lobes="/data/lobes.nii")


def test_a_dicom_tree_is_numbered_and_scouts_are_passed_over(tmp_path):
    write_series(tmp_path / "DOE_JOHN" / "1", "1.2.1")
    write_series(tmp_path / "DOE_JOHN" / "2", "1.2.2", slices=2)
    write_series(tmp_path / "ROE_JANE", "1.2.3", modality="MR")
    write_series(tmp_path / "ROE_JANE" / "deep", "1.2.4")
    write_series(tmp_path / "ROE_JANE" / "deep", "1.2.5", description="bone")
    listing = list_cases(tmp_path)
    assert [(c.name, c.series) for c in listing.cases] == [
        ("case0001", None),
        ("case0002", "1.2.4"),
        ("case0003", "1.2.5"),
    ]
    assert "2 DICOM series passed over" in listing.notes[0]
    assert [c.series for c in list_cases(tmp_path, images="*BONE*").cases] == ["1.2.5"]
    assert names(list_cases(tmp_path, keep_identifiers=True))[0] == "DOE_JOHN_1_lung"


def test_a_series_in_two_folders_is_one_case(tmp_path):
    write_series(tmp_path / "s" / "a", "1.2.1", slices=6)
    write_series(tmp_path / "s" / "b", "1.2.1", slices=6, start=6)
    (case,) = list_cases(tmp_path).cases
    assert (case.image, case.series) == (str(tmp_path / "s"), "1.2.1")


def test_numbers_stay_when_patients_come(tmp_path):
    source, out = tmp_path / "in", tmp_path / "out"
    write_series(source / "M", "1.2.1")
    first = list_cases(source).cases
    write_scan_numbers(out, first)
    write_series(source / "A", "1.2.2")
    both = {case.image: case.name for case in list_cases(source, known=read_scan_numbers(out)).cases}
    assert both == {str(source / "M"): "case0001", str(source / "A"): "case0002"}
    assert (out / "key.csv").stat().st_mode & 0o077 == 0
    rows = list(csv.DictReader((out / "key.csv").open()))
    assert rows == [{"case": "case0001", "image": str(source / "M"), "series": ""}]
