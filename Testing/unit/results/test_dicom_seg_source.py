"""Which scan a segmentation is written for: from a folder, by a command, of several series, of odd ones."""

from types import SimpleNamespace

import pydicom
import pytest
from dicom_scans import (
    COLUMNS,
    ROWS,
    SLICES,
    change_files,
    find,
    points_of_mask,
    points_of_segment,
    same_points,
    write_series,
)
from typer.testing import CliRunner

from DRAMLesionLib.cli import app
from DRAMLesionLib.images.volume import read_ct, write_volume
from DRAMLesionLib.results.dicom_source import check_source
from DRAMLesionLib.results.folder import write_findings
from DRAMLesionLib.system.errors import InputError

pytest.importorskip("highdicom")

from DRAMLesionLib.results import dicom_seg, dicom_source


def test_the_command_writes_both_from_a_results_folder(tmp_path):
    ct = read_ct(write_series(tmp_path / "ct"))
    findings = find(ct)
    write_findings(findings, tmp_path / "results", with_scene=False)
    arguments = ["dicom-seg", tmp_path / "results", "--dicom", tmp_path / "ct", "--out", tmp_path / "seg.dcm"]
    done = CliRunner().invoke(app, [str(a) for a in [*arguments, "--report", tmp_path / "sr.dcm"]])
    assert done.exit_code == 0, done.stderr
    same_points(
        points_of_segment(pydicom.dcmread(tmp_path / "seg.dcm"), 1), points_of_mask(findings.lesion, ct)
    )
    assert pydicom.dcmread(tmp_path / "sr.dcm").Modality == "SR"


def test_segment_writes_it_beside_the_results_and_a_later_run_takes_it_away(tmp_path, monkeypatch):
    """The networks are left out: what they find is given."""
    from DRAMLesionLib.lesions import find as finding
    from DRAMLesionLib.lesions import run_models

    ct = read_ct(write_series(tmp_path / "ct" / "a"))
    write_series(tmp_path / "ct" / "b")  # another reconstruction on the same grid
    uid = pydicom.dcmread(tmp_path / "ct" / "a" / "00.dcm").SeriesInstanceUID
    monkeypatch.setattr(run_models, "load_case_models", lambda *given: SimpleNamespace(device="cpu"))
    monkeypatch.setattr(finding, "find_lesions", lambda ct, *given, **more: find(ct))
    command = ["segment", str(tmp_path / "ct"), "--out", str(tmp_path / "out"), "--no-scene"]
    command += ["--series", uid]
    done = CliRunner().invoke(app, [*command, "--dicom-seg"])
    assert done.exit_code == 0, done.stderr
    assert "lesion.dcm" in done.stdout
    segmentation = pydicom.dcmread(tmp_path / "out" / "lesion.dcm")
    same_points(points_of_segment(segmentation, 1), points_of_mask(find(ct).lesion, ct))
    assert segmentation.ReferencedSeriesSequence[0].SeriesInstanceUID == uid
    assert CliRunner().invoke(app, command).exit_code == 0
    assert not (tmp_path / "out" / "lesion.dcm").exists()
    write_volume(ct.array, ct, tmp_path / "ct.nii.gz")
    done = CliRunner().invoke(app, ["segment", str(tmp_path / "ct.nii.gz"), *command[2:5], "--dicom-seg"])
    assert done.exit_code == 2 and "is no DICOM" in done.stderr


def test_another_scan_is_refused_and_nothing_is_written(tmp_path):
    ct = read_ct(write_series(tmp_path / "ct"))
    write_series(tmp_path / "other", PixelSpacing=[0.9, 0.9])
    with pytest.raises(InputError, match=r"other.*not the results' CT.*spacing"):
        dicom_seg.write_dicom_seg(find(ct), tmp_path / "other", tmp_path / "seg.dcm")
    assert not (tmp_path / "seg.dcm").exists()


def test_of_several_series_the_one_on_the_grid_is_taken(tmp_path):
    ct = read_ct(write_series(tmp_path / "both" / "a"))
    write_series(tmp_path / "both" / "b", "coronal")
    segmentation = dicom_seg.write_dicom_seg(find(ct), tmp_path / "both", tmp_path / "seg.dcm")
    one = pydicom.dcmread(tmp_path / "both" / "a" / "00.dcm")
    assert segmentation.ReferencedSeriesSequence[0].SeriesInstanceUID == one.SeriesInstanceUID


def test_a_series_without_frame_of_reference_gets_one_from_its_own_uid(tmp_path):
    ct = read_ct(write_series(tmp_path / "ct", FrameOfReferenceUID=None))
    first, again = (
        dicom_seg.write_dicom_seg(find(ct), tmp_path / "ct", tmp_path / f"{name}.dcm") for name in "ab"
    )
    assert first.FrameOfReferenceUID == again.FrameOfReferenceUID != ""


@pytest.mark.parametrize(
    ("sets", "name"),
    [
        (["", "ISO 2022 IR 149"], "Hong^Gildong=洪^吉洞=홍^길동"),
        (["", "ISO 2022 IR 87"], "Suzuki^Hanako=鈴木^花子=すずき^はなこ"),
        (["ISO 2022 IR 13", "ISO 2022 IR 87"], "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎=やまだ^たろう"),
        (["ISO_IR 100"], "Buc^Jérôme"),
        (["ISO_IR 192"], "Wang^XiaoDong=王^小东"),
    ],
)
def test_a_name_in_any_character_sets_is_preserved(tmp_path, sets, name):
    folder = write_series(tmp_path / "ct")
    ct = read_ct(folder)

    def change(number, data):
        data.SpecificCharacterSet, data.PatientName = sets, name

    change_files(folder, change)
    assert str(pydicom.dcmread(folder / "00.dcm").PatientName) == name
    dicom_source.check_source(folder)
    dicom_seg.write_dicom_seg(find(ct), folder, tmp_path / "seg.dcm")
    assert str(pydicom.dcmread(tmp_path / "seg.dcm").PatientName).rstrip("=") == name.rstrip("=")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda number, data: setattr(data, "SOPInstanceUID", "1.2.3"), "have the same instance UID"),
        (
            lambda number, data: setattr(data, "SOPInstanceUID", "1.2.3") if number in (2, 5) else None,
            "02.dcm and 05.dcm have the same instance UID",
        ),
        (lambda number, data: data.pop("SOPInstanceUID") if number == 3 else None, "has no instance UID"),
        (lambda number, data: setattr(data, "StudyInstanceUID", f"1.2.{number // 4}"), "is of 2 studies"),
    ],
)
def test_what_a_segmentation_can_not_reference_is_said_before_the_work(tmp_path, change, said):
    folder = write_series(tmp_path / "ct")
    assert dicom_source.check_source(folder).folder == folder
    change_files(folder, change)
    assert read_ct(folder).array.shape == (SLICES, ROWS, COLUMNS)  # without --dicom-seg it serves
    with pytest.raises(InputError, match=said):
        dicom_source.check_source(folder)


def test_without_highdicom_one_line_says_what_to_install(tmp_path, monkeypatch):
    import sys

    ct = read_ct(write_series(tmp_path / "ct"))
    monkeypatch.setitem(sys.modules, "highdicom", None)
    with pytest.raises(InputError, match=r"pip install 'highdicom>=0\.25'"):
        dicom_seg.write_dicom_seg(find(ct), tmp_path / "ct", tmp_path / "seg.dcm")


def test_a_folder_that_is_steered_gets_a_new_one(tmp_path):
    from DRAMLesionLib.case import steer_case
    from DRAMLesionLib.lesions.reading import Reading

    findings = find(read_ct(write_series(tmp_path / "ct")))
    folder = check_source(tmp_path / "ct", None)
    write_findings(findings, tmp_path / "out", with_scene=False, dicom_folder=folder)
    wanted = Reading(
        percent=tuple(
            100.0 if region.percent is not None else None for region in findings.quantification.lobes
        )
    )
    steered = steer_case(tmp_path / "out", tmp_path / "ct", wanted, with_scene=False)
    assert steered.lesion.sum() > findings.lesion.sum()
    segmentation = pydicom.dcmread(tmp_path / "out" / "lesion.dcm")
    same_points(points_of_segment(segmentation, 1), points_of_mask(steered.lesion, findings.ct))
