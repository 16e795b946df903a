"""DICOM Segmentation and measurement report: where their voxels lie, what they reference, what they say."""

import json
import shutil
import subprocess

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from dicom_scans import (
    ORIENTATIONS,
    find,
    points_of_mask,
    points_of_segment,
    same_points,
    write_enhanced,
    write_series,
)
from pydicom.sr.codedict import codes

from DRAMLesionLib.images.volume import read_ct, to_image

hd = pytest.importorskip("highdicom")

from DRAMLesionLib.results import dicom_report, dicom_seg, dicom_source  # noqa: E402


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
