"""The lesion and the lobes as a DICOM Segmentation that references the CT's series (the optional ``highdicom``).

One object of type BINARY: segment 1 is the lesion, 2 to 6 are the lobes, coded in SNOMED CT as in ``seg_nrrd.py``. Its
frames are the series' own slices, in place and orientation, so nothing is resampled; a tilted gantry's were
shifted onto an upright grid, and its masks are shifted back by the nearest pixel.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

import DRAMLesionLib
from DRAMLesionLib.images.geometry import Geometry
from DRAMLesionLib.images.paths import is_volume_file
from DRAMLesionLib.images.volume import Volume, to_image
from DRAMLesionLib.results.segments import LESION, LOBE_SEGMENTS, SegmentInfo, lobes_title
from DRAMLesionLib.system.errors import InputError
from DRAMLesionLib.system.files import atomic_file
from DRAMLesionLib.system.optional import import_optional

if TYPE_CHECKING:
    from DRAMLesionLib.images.dicom.series import Series
    from DRAMLesionLib.images.dicom.tilt import Tilt
    from DRAMLesionLib.lesions.findings import Findings

SEGMENTS: tuple[SegmentInfo, ...] = (LESION, *LOBE_SEGMENTS)
"""Segment numbers count from 1 in this order."""

FILE_NAME = "lesion.dcm"
"""Of the segmentation among the results of ``segment --dicom-seg``."""

MANUFACTURER = "DRAMLesion developers"
SERIES_NUMBER = {"SEG": 9001, "SR": 9002}
"""Of the new series in their study, far from a scanner's own numbers."""
_EMPTY_IF_ABSENT = (
    "PatientID",
    "PatientName",
    "PatientBirthDate",
    "PatientSex",
    "StudyID",
    "StudyDate",
    "StudyTime",
    "AccessionNumber",
    "ReferringPhysicianName",
)
"""Attributes that the standard asks for but lets stay empty (type 2)."""
_PLACE = (
    "InstitutionName",
    "InstitutionAddress",
    "InstitutionalDepartmentName",
    "StationName",
    "DeviceSerialNumber",
    "OperatorsName",
)
"""What highdicom repeats of the CT's equipment though nothing asks for it."""


@dataclass(frozen=True)
class SourceSeries:
    """The CT series that a segmentation references.

    Attributes:
        name: What to call it in errors.
        like: Its grid as a :class:`~DRAMLesionLib.images.volume.Volume` whose voxels are not read (an empty array of
        its shape).
        images: pydicom data sets without pixels: one per slice in the order of positions, or one with all frames.
        frames: For each frame of ``images`` in their order: its index along the normal.
        even: Whether the slices form one even, straight stack.
        tilt: How they lean, where the gantry was tilted; ``like`` is then the upright grid.
        size: Columns and rows of a slice.
    """

    name: str
    like: Volume
    images: tuple[Any, ...]
    frames: tuple[int, ...]
    even: bool
    tilt: Tilt | None
    size: tuple[int, int]


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
    """The DICOM Segmentation in memory, arguments as above; see :func:`find_source`."""
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


class DicomFolder(NamedTuple):
    """Where a CT's series is: its folder, and its UID (or the beginning or end of it) where that is known."""

    folder: Path
    series: str | None


def check_source(source: str | Path, series: str | None = None) -> DicomFolder:
    """Where the series of a CT is that is about to be segmented: asked before the work, not after it.

    Args:
        source: As ``segment`` takes it: a DICOM folder, or one file of a series.
        series: UID of the series, where the folder holds several.

    Raises:
        InputError: highdicom is missing, or the CT is no DICOM series.
    """
    highdicom()
    source = Path(source)
    if source.is_file() and is_volume_file(source):
        raise InputError(
            f"{source}: is no DICOM: give the DICOM folder, or use the command dicom-seg afterwards"
        )
    if source.is_file():
        from DRAMLesionLib.images.dicom.slices import read_slice

        return DicomFolder(source.parent, read_slice(source)[0].uid)
    return DicomFolder(source, series)


def highdicom() -> Any:
    """The package, or an :class:`~DRAMLesionLib.system.errors.InputError` that says how to install it."""
    return import_optional("highdicom", "highdicom", "DICOM output")


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


def find_source(folder: str | Path, ct: Volume, series: str | None = None) -> SourceSeries:
    """The series in ``folder`` whose slices are the grid of ``ct``.

    Args:
        folder: A DICOM folder, searched with all below it.
        ct: The volume that the results lie on; its axes may be ordered and flipped in another way.
        series: UID of the series, or its beginning or end.

    Raises:
        InputError: There is none, or several.
    """
    highdicom()
    from DRAMLesionLib.images.dicom.series import list_series

    folder = Path(folder)
    listed = [
        one
        for one in list_series(folder)
        if one.modality == "CT" and (series is None or one.uid.startswith(series) or one.uid.endswith(series))
    ]
    if not listed:
        wanted = f" {series}" if series else ""
        raise InputError(f"{folder}: holds no CT series{wanted}: give the folder of the CT")
    fitting, reasons = [], []
    for one in listed:
        source = _read_source(folder, one)
        reason = _misfit(source, ct)
        fitting += [] if reason else [source]
        reasons += [reason] if reason else []
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        uids = ", ".join(str(source.images[0].SeriesInstanceUID) for source in fitting)
        raise InputError(
            f"{folder}: {len(fitting)} series fit the results: choose one with --series UID: {uids}"
        )
    raise InputError(
        f"{folder}: its series is not the results' CT: {reasons[0]}: give the series they were made from"
    )


def _read_source(folder: Path, series: Series) -> SourceSeries:
    """The headers of a series, its slices sorted along their normal."""
    import pydicom

    from DRAMLesionLib.images.dicom.series import ROUNDING_MM, UNEVEN
    from DRAMLesionLib.images.dicom.slices import read_slice
    from DRAMLesionLib.images.dicom.tilt import find_tilt

    images, slices = [], []
    for file in series.files:
        frames = sorted(read_slice(file), key=lambda one: one.frame)
        slices += frames
        images.append(pydicom.dcmread(file, stop_before_pixels=True))
        for keyword in _EMPTY_IF_ABSENT:
            if keyword not in images[-1]:
                setattr(images[-1], keyword, "")
    order = np.argsort([one.position_mm for one in slices], kind="stable")
    first, last = slices[order[0]], slices[order[-1]]
    step = (last.position_mm - first.position_mm) / max(1, len(slices) - 1) or 1.0
    tilt = find_tilt([slices[index] for index in order])
    y, x = first.size[::-1] if tilt is None else tilt.shape
    origin = first.origin if tilt is None else tilt.origin
    geometry = Geometry((x, y, len(slices)), (*first.spacing, step), origin, first.direction)
    origins = np.array([slices[index].origin for index in order])
    way = step * first.normal if tilt is None else (origins[-1] - origins[0]) / max(1, len(slices) - 1)
    row = first.origin + np.arange(len(slices))[:, None] * way
    even = bool(np.abs(origins - row).max() <= UNEVEN * step + ROUNDING_MM)
    empty = np.broadcast_to(np.uint8(0), (len(slices), y, x))
    like = Volume(empty, (step, first.spacing[1], first.spacing[0]), geometry, folder.name, folder)
    places = tuple(int(i) for i in np.argsort(order))
    return SourceSeries(str(folder), like, tuple(images), places, even, tilt, first.size)


def _misfit(source: SourceSeries, ct: Volume) -> str | None:
    """Why the results of ``ct`` can't lie on the series' slices, or None."""
    if not source.even:
        return "its slices are not one even, straight stack"
    canonical = source.like.geometry.canonical()
    return canonical.difference(ct.geometry.canonical(), what="series", other_name="CT of the results")


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
