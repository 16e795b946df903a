"""DICOM series and files of frames, written slice by slice, for tests."""

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import (
    CTImageStorage,
    EnhancedCTImageStorage,
    ExplicitVRLittleEndian,
)

from DRAMLesionLib.images import volume
from DRAMLesionLib.system.errors import InputError

AXIAL = (1, 0, 0, 0, 1, 0)
ROWS, COLUMNS = 12, 10


def hounsfield(slices, seed=0):
    """int16 (z, y, x) of air and soft tissue."""
    values = np.random.default_rng(seed).choice([-1000, -850, 0, 40, 700], (slices, ROWS, COLUMNS))
    return values.astype(np.int16)


def write_slice(path, values, origin, **changes):
    """One CT slice; ``values`` are HU, stored by the rescale in ``changes``."""
    slope, intercept = changes.pop("rescale", (1, -1024))
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    data.SOPClassUID, data.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
    data.SeriesInstanceUID, data.Modality, data.PatientName = "1.2.3.1", "CT", "Secret^Name"
    data.StudyInstanceUID, data.SeriesDescription, data.InstanceNumber = "1.2.3", "Thorax 2.5", 1
    data.Rows, data.Columns = values.shape
    data.PixelSpacing, data.SliceThickness = [0.8, 0.7], 2.5
    data.ImageOrientationPatient = list(changes.pop("orientation", AXIAL))
    data.ImagePositionPatient = [f"{value:.8g}" for value in origin]
    data.SamplesPerPixel, data.PhotometricInterpretation, data.PixelRepresentation = 1, "MONOCHROME2", 0
    data.BitsAllocated, data.BitsStored, data.HighBit = 16, 16, 15
    data.RescaleSlope, data.RescaleIntercept = slope, intercept
    for key, value in changes.items():
        setattr(data, key, value)
    data.PixelData = np.rint((values - intercept) / slope).astype(np.uint16).tobytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    data.save_as(path, enforce_file_format=True)
    return path


def write_series(folder, origins, prefix="slice", values=None, each=lambda index: {}, **changes):
    """Slices at ``origins`` (a list of z in mm, or of points); files in shuffled order of name and number."""
    values = hounsfield(len(origins)) if values is None else values
    names = np.random.default_rng(3).permutation(len(origins))
    for index, origin in enumerate(origins):
        point = (-35.0, -20.0, origin) if np.isscalar(origin) else origin
        more = {"InstanceNumber": int(names[index]) + 1, **changes, **each(index)}
        write_slice(folder / f"{prefix}{names[index]:03d}.dcm", values[index], point, **more)
    return values


def even(count, step=2.5, first=-100.0):
    return [first + step * index for index in range(count)]


def refusal(path, **arguments):
    with pytest.raises(InputError) as caught:
        volume.read_ct(path, **arguments)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(str(path))
    return message


def write_frames(path, values, places, rescales=None):
    """An enhanced CT: one file, one frame per slice, each with its own position (and rescale)."""
    rescales = rescales or [(1, -1024)] * len(places)
    write_slice(path, values[0], (0, 0, 0))
    data = pydicom.dcmread(path)
    for key in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness"):
        delattr(data, key)
    del data.RescaleSlope, data.RescaleIntercept
    data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = EnhancedCTImageStorage
    data.NumberOfFrames = len(places)

    def group(key, **values):
        item = Dataset()
        for name, value in values.items():
            setattr(item, name, value)
        holder = Dataset()
        setattr(holder, key, [item])
        return holder

    shared = Dataset()
    shared.update(group("PlaneOrientationSequence", ImageOrientationPatient=list(AXIAL)))
    shared.update(group("PixelMeasuresSequence", PixelSpacing=[0.8, 0.7], SliceThickness=2.5))
    data.SharedFunctionalGroupsSequence = [shared]
    frames = []
    for place, (slope, intercept) in zip(places, rescales, strict=True):
        frame = group("PlanePositionSequence", ImagePositionPatient=[-35, -20, place])
        frame.update(
            group(
                "PixelValueTransformationSequence",
                RescaleSlope=slope,
                RescaleIntercept=intercept,
                RescaleType="HU",
            )
        )
        frames.append(frame)
    data.PerFrameFunctionalGroupsSequence = frames
    stored = [np.rint((one - b) / a) for one, (a, b) in zip(values, rescales, strict=True)]
    data.PixelData = np.array(stored).astype(np.uint16).tobytes()
    data.save_as(path, enforce_file_format=True)
    return path
