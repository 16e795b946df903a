"""The lesion and the lobes as a DICOM Segmentation that references the CT's series (the optional ``highdicom``).

One object of type BINARY: segment 1 is the lesion, 2 to 6 are the lobes, coded in SNOMED CT as in ``seg_nrrd.py``. Its
frames are the series' own slices, in place and orientation, so nothing is resampled; a tilted gantry's were
shifted onto an upright grid, and its masks are shifted back by the nearest pixel.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import DRAMLesionLib
from DRAMLesionLib.images.volume import Volume, to_image
from DRAMLesionLib.results.dicom_source import SourceSeries, find_source, highdicom
from DRAMLesionLib.results.segments import LESION, LOBE_SEGMENTS, SegmentInfo, lobes_title
from DRAMLesionLib.system.errors import InputError
from DRAMLesionLib.system.files import atomic_file

if TYPE_CHECKING:
    from DRAMLesionLib.lesions.findings import Findings

SEGMENTS: tuple[SegmentInfo, ...] = (LESION, *LOBE_SEGMENTS)
"""Segment numbers count from 1 in this order."""

FILE_NAME = "lesion.dcm"
"""The segmentation's name among the results of ``segment --dicom-seg``."""

MANUFACTURER = "DRAMLesion developers"
SERIES_NUMBER = {"SEG": 9001, "SR": 9002}
"""The numbers of the new series in their study, far from a scanner's own."""
_PLACE = (
    "InstitutionName",
    "InstitutionAddress",
    "InstitutionalDepartmentName",
    "StationName",
    "DeviceSerialNumber",
    "OperatorsName",
)
"""What highdicom repeats of the CT's equipment though nothing asks for it."""


def write_dicom_seg(
    findings: Findings, dicom_folder: str | Path, path: str | Path, series: str | None = None
) -> Any:
    """Write the lesion and the lobes as a DICOM Segmentation.

    Args:
        findings: The results; their CT may have come from another file of the same scan, such as a NIfTI.
        dicom_folder: The CT's DICOM folder.
        path: The file to make or replace.
        series: UID of the series, or its beginning or end; None takes the one whose slices are the findings' grid.

    Returns:
        The data set that was written.

    Raises:
        InputError: highdicom is missing, or the folder holds no series on the findings' grid.
        OutputError: The file can't be written.
    """
    source = find_source(dicom_folder, findings.ct, series)
    segmentation = make_dicom_seg(findings, source)
    save_dataset(segmentation, path)
    return segmentation


def make_dicom_seg(findings: Findings, source: SourceSeries) -> Any:
    """The DICOM Segmentation of findings, in memory.

    Args:
        findings: The results.
        source: The series that it references, see :func:`~DRAMLesionLib.results.dicom_source.find_source`.

    Returns:
        A highdicom ``Segmentation``.

    Raises:
        InputError: The series lacks something that a reference needs.
    """
    hd = highdicom()
    masks = np.stack(
        [_frames(mask, source) for mask in (findings.lesion > 0, *_lobe_masks(findings.lobes.labels))],
        axis=-1,
    )
    algorithm = algorithm_of(findings)
    try:
        return hd.seg.Segmentation(
            source_images=list(source.images),
            pixel_array=masks,
            segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
            segment_descriptions=[
                _description(number, segment, algorithm, approximate=findings.lobes.approximate)
                for number, segment in enumerate(SEGMENTS, 1)
            ],
            series_number=SERIES_NUMBER["SEG"],
            content_label="DRAMLESION",
            content_description="COVID-19 lesion and lobes. Research use only, not for diagnosis",
            series_description=f"COVID-19 lesion, {lobes_title(findings.lobes)} (research use only)",
            **instance_attributes(),
        )
    except (AttributeError, ValueError) as error:  # highdicom's answers to a series that lacks something
        reason = str(error).rstrip(".")
        raise InputError(f"{source.name}: can't be referenced: {reason}: export the series again") from error


def instance_attributes() -> dict[str, Any]:
    """What every DICOM object of this library says of itself, with new UIDs."""
    from pydicom.uid import generate_uid

    return {
        "series_instance_uid": generate_uid(prefix=None),
        "sop_instance_uid": generate_uid(prefix=None),
        "instance_number": 1,
        "manufacturer": MANUFACTURER,
        "manufacturer_model_name": "DRAMLesion",
        "software_versions": DRAMLesionLib.__version__,
        "device_serial_number": "0",
    }


def algorithm_of(findings: Findings) -> Any:
    """The coded name of the method and the model's version, for each segment."""
    hd = highdicom()
    from pydicom.sr.codedict import codes

    model = findings.record.get("model") or {}
    version = " ".join(str(model[key]) for key in ("name", "version") if model.get(key))
    return hd.AlgorithmIdentificationSequence(
        name="DRAMLesion",
        family=codes.DCM.ArtificialIntelligence,
        version=version or DRAMLesionLib.__version__,
    )


def save_dataset(dataset: Any, path: str | Path) -> None:
    """Write a DICOM data set, whole or not at all, without naming the place where the CT was made."""
    for equipment in dataset.get("ContributingEquipmentSequence", ()):
        for keyword in _PLACE:
            if keyword in equipment:
                delattr(equipment, keyword)
    with atomic_file(path) as temporary:
        dataset.save_as(temporary, enforce_file_format=True)


def _lobe_masks(labels: np.ndarray) -> Sequence[np.ndarray]:
    return [labels == segment.value for segment in LOBE_SEGMENTS]


def _frames(mask: np.ndarray, source: SourceSeries) -> np.ndarray:
    """bool (frames, rows, columns): a canonical mask on the series' own slices in the order of its frames."""
    import SimpleITK as sitk

    like = source.like
    shape = Volume(mask, like.spacing_mm, like.geometry, like.name)
    own = sitk.GetArrayFromImage(to_image(mask, shape)).astype(bool)
    if source.tilt is not None:
        columns, rows = source.size
        own = source.tilt.back(own, rows, columns)
    return own[list(source.frames)]


def _description(number: int, segment: SegmentInfo, algorithm: Any, approximate: bool) -> Any:
    hd = highdicom()
    category, kind, modifier, region = coded(segment)
    name = segment.name + (" (approximate)" if approximate and segment is not LESION else "")
    description = hd.seg.SegmentDescription(
        segment_number=number,
        segment_label=name,
        segmented_property_category=category,
        segmented_property_type=kind,
        algorithm_type=hd.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=algorithm,
        anatomic_regions=[region] if region else None,
        display_color=hd.color.CIELabColor.from_rgb(*segment.color),
    )
    if modifier:
        description.SegmentedPropertyTypeCodeSequence[0].SegmentedPropertyTypeModifierCodeSequence = [
            modifier
        ]
    return description


def coded(segment: SegmentInfo) -> tuple[Any, Any, Any, Any]:
    """Category, type, modifier and anatomic region of a segment as coded concepts; None where it has none.

    They are read from the segment's serialised terminology entry, the one source of the codes.
    """
    hd = highdicom()
    fields = segment.terminology.split("~")
    concepts = []
    for text in (*fields[1:4], fields[5]):
        scheme, value, meaning = text.split("^")
        concepts.append(hd.sr.CodedConcept(value, scheme, meaning) if value else None)
    category, kind, modifier, region = concepts
    return category, kind, modifier, region
