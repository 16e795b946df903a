"""DICOM Segmentation and measurement report: where their voxels lie, what they reference, what they say."""

import json
import shutil
import subprocess
from types import SimpleNamespace

import numpy as np
import pytest
import SimpleITK as sitk
from typer.testing import CliRunner

from DRAMLesionLib.cli import app
from DRAMLesionLib.images.volume import Volume, read_ct, to_image, write_volume
from DRAMLesionLib.lesions.findings import Findings
from DRAMLesionLib.lesions.quantify import quantify
from DRAMLesionLib.lungs.lobes import LobeMap
from DRAMLesionLib.results.dicom_source import check_source
from DRAMLesionLib.results.folder import write_findings
from DRAMLesionLib.system.errors import InputError

hd = pytest.importorskip("highdicom")
import pydicom  # noqa: E402
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset  # noqa: E402
from pydicom.sr.codedict import codes  # noqa: E402
from pydicom.uid import CTImageStorage, EnhancedCTImageStorage, ExplicitVRLittleEndian, generate_uid  # noqa: E402

from DRAMLesionLib.results import dicom_report, dicom_seg, dicom_source  # noqa: E402

COLUMNS, ROWS, SLICES = 11, 9, 7
SPACING = (0.7, 0.8, 2.5)
ORIENTATIONS = {
    "axial": (1, 0, 0, 0, 1, 0),
    "feet first, prone": (-1, 0, 0, 0, -1, 0),
    "coronal": (1, 0, 0, 0, 0, -1),
    "oblique": (0.98480775, 0.17364818, 0, -0.17364818, 0.98480775, 0),
}


def write_series(folder, orientation="axial", **changes):
    """A CT series with all that the standard wants of a slice, in files of shuffled names; its voxels by position."""
    generator = np.random.default_rng(5)
    hu = generator.choice([-1000, -850, -300, 40], (SLICES, ROWS, COLUMNS)).astype(np.int16)
    row, column = (
        np.array(ORIENTATIONS[orientation][:3], float),
        np.array(ORIENTATIONS[orientation][3:], float),
    )
    normal = np.cross(row, column)
    study, series, frame = generate_uid(), generate_uid(), generate_uid()
    folder.mkdir(parents=True, exist_ok=True)
    for index, number in enumerate(generator.permutation(SLICES)):
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = CTImageStorage, generate_uid()
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        data = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
        data.SOPClassUID, data.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
        data.StudyInstanceUID, data.SeriesInstanceUID, data.FrameOfReferenceUID = study, series, frame
        data.Modality, data.PatientID, data.PatientName = "CT", "4711", "Doe^Jane"
        data.PatientBirthDate, data.PatientSex, data.StudyID, data.AccessionNumber = "19500101", "F", "1", ""
        data.StudyDate, data.StudyTime, data.ReferringPhysicianName = "20200401", "120000", ""
        data.SeriesNumber, data.InstanceNumber, data.Manufacturer = 2, int(number) + 1, "Maker"
        data.ImageType, data.PositionReferenceIndicator = ["ORIGINAL", "PRIMARY", "AXIAL"], ""
        data.Rows, data.Columns, data.SamplesPerPixel = ROWS, COLUMNS, 1
        data.PixelSpacing, data.SliceThickness = [SPACING[1], SPACING[0]], SPACING[2]
        data.ImageOrientationPatient = list(ORIENTATIONS[orientation])
        point = np.array([-35.0, 20.0, -100.0]) + SPACING[2] * index * normal
        data.ImagePositionPatient = [f"{value:.8g}" for value in point]
        data.PhotometricInterpretation, data.PixelRepresentation = "MONOCHROME2", 1
        data.BitsAllocated, data.BitsStored, data.HighBit = 16, 16, 15
        data.RescaleSlope, data.RescaleIntercept = 1, 0
        for key, value in changes.items():
            if value is None:
                delattr(data, key)
            else:
                setattr(data, key, value)
        data.PixelData = hu[index].tobytes()
        data.save_as(folder / f"{number:02d}.dcm", enforce_file_format=True)
    return folder


def find(ct: Volume, seed=1, lesion=True) -> Findings:
    """Findings without any symmetry: five lobes of random voxels, a lesion in some."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 6, ct.array.shape).astype(np.uint8)
    mask = ((generator.random(ct.array.shape) < 0.3) & (labels > 0) & lesion).astype(np.uint8)
    lobes = LobeMap(labels, True, "test")
    dram = mask.astype(np.float32)
    table = quantify(ct.array, lobes, mask, ct.spacing_mm, dram)
    return Findings(ct, lobes, dram, mask, table, {"model": {"name": "small", "version": "0.0.1"}})


def points_of_segment(segmentation, number):
    """The patient coordinates of a segment's voxels, from nothing but the attributes of the standard (C.7.6.16.2.3)."""
    shared = segmentation.SharedFunctionalGroupsSequence[0]
    found = []
    for frame, pixels in zip(
        segmentation.PerFrameFunctionalGroupsSequence, segmentation.pixel_array, strict=True
    ):
        if frame.SegmentIdentificationSequence[0].ReferencedSegmentNumber != number:
            continue
        orientation = np.array(shared.PlaneOrientationSequence[0].ImageOrientationPatient, float)
        down, across = (float(value) for value in shared.PixelMeasuresSequence[0].PixelSpacing)
        origin = np.array(frame.PlanePositionSequence[0].ImagePositionPatient, float)
        rows, columns = np.nonzero(pixels)
        found.append(
            origin + columns[:, None] * across * orientation[:3] + rows[:, None] * down * orientation[3:]
        )
    return np.concatenate(found) if found else np.zeros((0, 3))


def points_of_mask(mask, ct):
    z, y, x = np.nonzero(mask)
    return (ct.geometry.canonical().matrix @ np.stack([x, y, z, np.ones_like(x)]))[:3].T


def same_points(one, other):
    def order(points):
        return sorted(map(tuple, np.round(points, 3) + 0.0))

    np.testing.assert_allclose(order(one), order(other), atol=0.01)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_voxels_lie_where_the_label_map_has_them(tmp_path, orientation):
    findings = find(read_ct(write_series(tmp_path / "ct", orientation)))
    dicom_seg.write_dicom_seg(findings, tmp_path / "ct", tmp_path / "seg.dcm")
    segmentation = pydicom.dcmread(tmp_path / "seg.dcm")
    same_points(points_of_segment(segmentation, 1), points_of_mask(findings.lesion, findings.ct))
    for value in range(1, 6):
        same_points(
            points_of_segment(segmentation, value + 1),
            points_of_mask(findings.lobes.labels == value, findings.ct),
        )


@pytest.mark.parametrize("axes", ["RAS", "PIR", "LPS"])
def test_results_on_a_converted_file_of_the_scan_come_back_to_its_slices(tmp_path, axes):
    """The CT was segmented as NIfTI with other axes; voxel for voxel it is the DICOM series."""
    original = read_ct(write_series(tmp_path / "ct", "oblique"))
    image = sitk.DICOMOrient(to_image(original.array, original), axes)
    sitk.WriteImage(image, str(tmp_path / "ct.nii.gz"))
    findings = find(read_ct(tmp_path / "ct.nii.gz"))
    segmentation = dicom_seg.write_dicom_seg(findings, tmp_path / "ct", tmp_path / "seg.dcm")
    same_points(points_of_segment(segmentation, 1), points_of_mask(findings.lesion, original))
    volume = hd.seg.segread(tmp_path / "seg.dcm").get_volume(segment_numbers=[1])
    assert int(volume.array.sum()) == int(findings.lesion.sum())


@pytest.mark.skipif(shutil.which("segimage2itkimage") is None, reason="dcmqi is not installed: make interop")
@pytest.mark.parametrize("orientation", ["axial", "oblique"])
def test_dcmqi_reads_the_same_voxels(tmp_path, orientation):
    findings = find(read_ct(write_series(tmp_path / "ct", orientation)))
    dicom_seg.write_dicom_seg(findings, tmp_path / "ct", tmp_path / "seg.dcm")
    (tmp_path / "read").mkdir()
    reader = [
        "segimage2itkimage",
        "--inputDICOM",
        tmp_path / "seg.dcm",
        "--outputDirectory",
        tmp_path / "read",
    ]
    subprocess.run([*reader, "-t", "nrrd"], check=True, capture_output=True, timeout=120)
    masks = [findings.lesion, *(findings.lobes.labels == value for value in range(1, 6))]
    for number, mask in enumerate(masks, 1):
        image = sitk.ReadImage(str(tmp_path / "read" / f"{number}.nrrd"))
        matrix = np.array(image.GetDirection()).reshape(3, 3) * image.GetSpacing()
        z, y, x = np.nonzero(sitk.GetArrayViewFromImage(image))
        same_points((matrix @ np.stack([x, y, z])).T + image.GetOrigin(), points_of_mask(mask, findings.ct))


@pytest.mark.skipif(shutil.which("tid1500reader") is None, reason="dcmqi is not installed: make interop")
def test_dcmqi_reads_the_report(tmp_path):
    findings = find(read_ct(write_series(tmp_path / "ct")))
    source = dicom_source.find_source(tmp_path / "ct", findings.ct)
    segmentation = dicom_seg.make_dicom_seg(findings, source)
    dicom_report.write_dicom_report(findings, segmentation, source, tmp_path / "sr.dcm")
    reader = ["tid1500reader", "--inputDICOM", tmp_path / "sr.dcm", "--outputMetadata", tmp_path / "sr.json"]
    subprocess.run(reader, check=True, capture_output=True, timeout=120)
    groups = json.loads((tmp_path / "sr.json").read_text())["Measurements"]
    groups = [group for group in groups if "ReferencedSegment" in group]  # the last one is of the whole image
    assert [group["ReferencedSegment"] for group in groups] == [2, 3, 4, 5, 6]
    for group, region in zip(groups, findings.quantification.lobes, strict=True):
        values = {item["quantity"]["CodeValue"]: float(item["value"]) for item in group["measurementItems"]}
        assert group["TrackingIdentifier"] == region.key and values["SEVERITY_SCORE"] == region.score
        assert values["LESION_PERCENT"] == pytest.approx(region.percent, rel=1e-4)
        assert values["LESION_VOLUME"] == pytest.approx(region.lesion_ml, rel=1e-3)


def test_each_frame_references_the_slice_that_it_lies_on(tmp_path):
    findings = find(read_ct(write_series(tmp_path / "ct")))
    segmentation = dicom_seg.write_dicom_seg(findings, tmp_path / "ct", tmp_path / "seg.dcm")
    slices = {
        str(data.SOPInstanceUID): data
        for data in (pydicom.dcmread(file) for file in (tmp_path / "ct").iterdir())
    }
    referenced = set()
    for frame in segmentation.PerFrameFunctionalGroupsSequence:
        (image,) = frame.DerivationImageSequence[0].SourceImageSequence
        source = slices[image.ReferencedSOPInstanceUID]
        assert list(source.ImagePositionPatient) == list(frame.PlanePositionSequence[0].ImagePositionPatient)
        referenced.add(image.ReferencedSOPInstanceUID)
    assert referenced == set(slices)
    one = next(iter(slices.values()))
    assert segmentation.ReferencedSeriesSequence[0].SeriesInstanceUID == one.SeriesInstanceUID
    for keyword in ("StudyInstanceUID", "PatientID", "FrameOfReferenceUID"):
        assert segmentation[keyword].value == one[keyword].value
    assert segmentation.SeriesInstanceUID != one.SeriesInstanceUID


def test_segments_are_coded_and_say_that_lobes_are_approximate(tmp_path):
    findings = find(read_ct(write_series(tmp_path / "ct")))
    segmentation = dicom_seg.write_dicom_seg(findings, tmp_path / "ct", tmp_path / "seg.dcm")
    lesion, lul, *_, rml, rll = segmentation.SegmentSequence
    kind = lesion.SegmentedPropertyTypeCodeSequence[0]
    assert lesion.SegmentedPropertyCategoryCodeSequence[0].CodeValue == "49755003"
    assert (kind.CodeValue, kind.CodingSchemeDesignator) == ("47351003", "SCT")
    assert kind.SegmentedPropertyTypeModifierCodeSequence[0].CodeValue == "840539006"
    assert lesion.AnatomicRegionSequence[0].CodeValue == "39607008"
    assert lesion.SegmentAlgorithmType == "AUTOMATIC" and lesion.SegmentAlgorithmName == "DRAMLesion"
    for lobe, code, side in (
        (lul, "45653009", "7771000"),
        (rml, "72481006", None),
        (rll, "90572001", "24028007"),
    ):
        kind = lobe.SegmentedPropertyTypeCodeSequence[0]
        assert kind.CodeValue == code
        modifier = kind.get("SegmentedPropertyTypeModifierCodeSequence")
        assert (modifier[0].CodeValue if modifier else None) == side
        assert lobe.SegmentLabel.endswith("(approximate)")
    assert "not for diagnosis" in segmentation.ContentDescription


def test_no_lesion_at_all_is_a_segment_without_frames(tmp_path):
    findings = find(read_ct(write_series(tmp_path / "ct")), lesion=False)
    segmentation = dicom_seg.write_dicom_seg(findings, tmp_path / "ct", tmp_path / "seg.dcm")
    assert points_of_segment(segmentation, 1).size == 0 and len(segmentation.SegmentSequence) == 6
    assert len(points_of_segment(segmentation, 4)) == (findings.lobes.labels == 3).sum()


@pytest.mark.parametrize("lesion", [True, False])
def test_the_report_has_the_table_and_references_the_segments(tmp_path, lesion):
    findings = find(read_ct(write_series(tmp_path / "ct")), lesion=lesion)
    source = dicom_source.find_source(tmp_path / "ct", findings.ct)
    segmentation = dicom_seg.make_dicom_seg(findings, source)
    dicom_report.write_dicom_report(findings, segmentation, source, tmp_path / "sr.dcm")
    report = hd.sr.srread(tmp_path / "sr.dcm")
    groups = report.content.get_volumetric_roi_measurement_groups()
    assert [group.tracking_identifier for group in groups] == ["LUL", "LLL", "RUL", "RML", "RLL"]
    for number, (group, region) in enumerate(zip(groups, findings.quantification.lobes, strict=True), 2):
        values = {m.name.value: float(m.value) for m in group.get_measurements()}
        assert values["118565006"] == pytest.approx(region.volume_ml, rel=1e-5)
        assert values["LESION_VOLUME"] == pytest.approx(region.lesion_ml, rel=1e-5, abs=1e-6)
        assert values["LESION_PERCENT"] == pytest.approx(region.percent, rel=1e-5, abs=1e-6)
        assert values["SEVERITY_SCORE"] == region.score
        (item,) = hd.sr.utils.find_content_items(group[0], name=codes.DCM.ReferencedSegment, recursive=True)
        (segment,) = item.ReferencedSOPSequence
        assert segment.ReferencedSOPInstanceUID == segmentation.SOPInstanceUID
        assert segment.ReferencedSegmentNumber == number
    (total,) = report.content.get_image_measurement_groups()
    values = {m.name.value: float(m.value) for m in total.get_measurements()}
    assert values["SEVERITY_SCORE"] == findings.quantification.total_score
    assert values["LESION_PERCENT"] == pytest.approx(findings.quantification.total.percent, rel=1e-5)


@pytest.mark.skipif(not shutil.which("dciodvfy"), reason="dciodvfy (Debian: dicom3tools) is not installed")
@pytest.mark.parametrize("lesion", [True, False])
def test_dciodvfy_finds_no_error(tmp_path, lesion):
    findings = find(read_ct(write_series(tmp_path / "ct")), lesion=lesion)
    source = dicom_source.find_source(tmp_path / "ct", findings.ct)
    segmentation = dicom_seg.make_dicom_seg(findings, source)
    dicom_seg.save_dataset(segmentation, tmp_path / "seg.dcm")
    dicom_report.write_dicom_report(findings, segmentation, source, tmp_path / "sr.dcm")
    for name in ("seg.dcm", "sr.dcm"):
        done = subprocess.run(["dciodvfy", str(tmp_path / name)], capture_output=True, text=True)
        errors = [line for line in (done.stdout + done.stderr).splitlines() if line.startswith("Error")]
        assert not errors, (name, errors)


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


def change_files(folder, change):
    for number, path in enumerate(sorted(folder.iterdir())):
        data = pydicom.dcmread(path)
        change(number, data)
        data.save_as(path)


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


def write_enhanced(folder):
    """The CT series of :func:`write_series` as an enhanced CT: one file with shuffled frames."""
    series = folder.parent / "single slices"
    slices = [pydicom.dcmread(path) for path in sorted(write_series(series).iterdir())]  # in shuffled order
    positions = [float(one.ImagePositionPatient[2]) for one in slices]
    assert positions != sorted(positions)
    data = slices[0]
    pixels = [one.PixelData for one in slices]
    places = [list(one.ImagePositionPatient) for one in slices]
    orientation, spacing = list(data.ImageOrientationPatient), list(data.PixelSpacing)
    for key in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness"):
        delattr(data, key)
    del data.RescaleSlope, data.RescaleIntercept
    data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = EnhancedCTImageStorage
    data.NumberOfFrames = len(slices)

    def group(key, **values):
        item, holder = Dataset(), Dataset()
        for name, value in values.items():
            setattr(item, name, value)
        setattr(holder, key, [item])
        return holder

    shared = group("PlaneOrientationSequence", ImageOrientationPatient=orientation)
    shared.update(group("PixelMeasuresSequence", PixelSpacing=spacing, SliceThickness=SPACING[2]))
    shared.update(
        group("PixelValueTransformationSequence", RescaleSlope=1, RescaleIntercept=0, RescaleType="HU")
    )
    data.SharedFunctionalGroupsSequence = [shared]
    data.PerFrameFunctionalGroupsSequence = [
        group("PlanePositionSequence", ImagePositionPatient=place) for place in places
    ]
    data.PixelData = b"".join(pixels)
    shutil.rmtree(series)
    folder.mkdir()
    data.save_as(folder / "enhanced.dcm", enforce_file_format=True)
    return folder


def test_segments_lie_on_the_shuffled_frames_of_an_enhanced_ct(tmp_path):
    findings = find(read_ct(write_enhanced(tmp_path / "ct")))
    segmentation = dicom_seg.write_dicom_seg(findings, tmp_path / "ct", tmp_path / "seg.dcm")
    source = pydicom.dcmread(tmp_path / "ct" / "enhanced.dcm")
    same_points(points_of_segment(segmentation, 1), points_of_mask(findings.lesion, findings.ct))
    for value in range(1, 6):
        same_points(
            points_of_segment(segmentation, value + 1),
            points_of_mask(findings.lobes.labels == value, findings.ct),
        )
    for frame in segmentation.PerFrameFunctionalGroupsSequence:
        (image,) = frame.DerivationImageSequence[0].SourceImageSequence
        original = source.PerFrameFunctionalGroupsSequence[int(image.ReferencedFrameNumber) - 1]
        place = original.PlanePositionSequence[0].ImagePositionPatient
        assert list(place) == list(frame.PlanePositionSequence[0].ImagePositionPatient)


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
