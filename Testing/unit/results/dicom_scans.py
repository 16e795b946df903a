"""CT series of all orientations, findings without symmetry, and the places of a segmentation's voxels."""

import shutil

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, EnhancedCTImageStorage, ExplicitVRLittleEndian, generate_uid

from DRAMLesionLib.images.volume import Volume
from DRAMLesionLib.lesions.findings import Findings
from DRAMLesionLib.lesions.quantify import quantify
from DRAMLesionLib.lungs.lobes import LobeMap

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


def change_files(folder, change):
    for number, path in enumerate(sorted(folder.iterdir())):
        data = pydicom.dcmread(path)
        change(number, data)
        data.save_as(path)


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
