"""CT slices as DICOM files, as they should be or changed."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import (
    CTImageStorage,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)
from world import SPACING

AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
ORIGIN = np.array([-170.0, -170.0, -140.0])
Change = Callable[[int, FileDataset], None]


def write_slice(
    path: Path, values: np.ndarray, point: Sequence[float], change: Change | None = None, index: int = 0
) -> FileDataset:
    """A CT slice of HU."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid(entropy_srcs=[str(path)])
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    data.SOPClassUID, data.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
    data.StudyInstanceUID, data.SeriesInstanceUID, data.Modality = "1.2.3", "1.2.3.4", "CT"
    data.SeriesDescription, data.InstanceNumber, data.PatientName = "Thorax", index + 1, "Odd^Case"
    data.Rows, data.Columns = values.shape
    data.PixelSpacing, data.SliceThickness = [SPACING[1], SPACING[0]], SPACING[2]
    data.ImageOrientationPatient, data.ImagePositionPatient = list(AXIAL), [f"{v:.8g}" for v in point]
    data.SamplesPerPixel, data.PhotometricInterpretation, data.PixelRepresentation = 1, "MONOCHROME2", 0
    data.BitsAllocated, data.BitsStored, data.HighBit = 16, 16, 15
    data.RescaleSlope, data.RescaleIntercept = 1, -1024
    data.PixelData = (values.astype(np.int32) + 1024).astype(np.uint16).tobytes()
    if change is not None:
        change(index, data)
    path.parent.mkdir(parents=True, exist_ok=True)
    syntax = data.file_meta.TransferSyntaxUID
    data.save_as(
        path, enforce_file_format=True, implicit_vr=syntax == ImplicitVRLittleEndian, little_endian=True
    )
    return data


def write_series(
    folder: Path,
    values: np.ndarray,
    change: Change | None = None,
    points: np.ndarray | None = None,
    keep: Callable[[int], bool] = lambda index: True,
    prefix: str = "s",
) -> Path:
    """A series of HU (z, y, x), slice by slice."""
    for index, plane in enumerate(values):
        point = ORIGIN + np.array([0, 0, index * SPACING[2]]) if points is None else points[index]
        if keep(index):
            write_slice(folder / f"{prefix}{index:03d}.dcm", plane, point, change, index)
    return folder


def setting(**values: Any) -> Change:
    def change(index: int, data: FileDataset) -> None:
        for key, value in values.items():
            if value is None:
                delattr(data, key)
            else:
                setattr(data, key, value)

    return change
