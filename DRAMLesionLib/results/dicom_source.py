"""The DICOM series that a segmentation and a report reference: found by its grid, and checked for what they need."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from DRAMLesionLib.images.geometry import Geometry
from DRAMLesionLib.images.paths import is_volume_file
from DRAMLesionLib.images.volume import Volume
from DRAMLesionLib.system.errors import InputError
from DRAMLesionLib.system.optional import import_optional

if TYPE_CHECKING:
    from DRAMLesionLib.images.dicom.series import Series
    from DRAMLesionLib.images.dicom.tilt import Tilt

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


@dataclass(frozen=True)
class SourceSeries:
    """The CT series that a segmentation references.

    Attributes:
        name: What to call it in errors.
        like: The grid of its slices as a :class:`~DRAMLesionLib.images.volume.Volume` whose voxels are not read (an
            empty array of its shape).
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


class DicomFolder(NamedTuple):
    """Where a CT's series is: its folder, and its UID (or the beginning or end of it) where that is known."""

    folder: Path
    series: str | None


def check_source(source: str | Path, series: str | None = None) -> DicomFolder:
    """Where the series of a CT is that is about to be segmented, and that it can be referenced: asked before the work.

    Args:
        source: What ``segment`` takes: a DICOM folder, or one file of a series.
        series: UID of the series, where the folder holds several.

    Raises:
        InputError: highdicom is missing, the CT is no DICOM series, or its files lack what a DICOM Segmentation
            references.
    """
    highdicom()
    source = Path(source)
    if source.is_file() and is_volume_file(source):
        raise InputError(
            f"{source}: is no DICOM: give the DICOM folder, or use the command dicom-seg afterwards"
        )
    if source.is_file():
        from DRAMLesionLib.images.dicom.slices import read_slice

        known = DicomFolder(source.parent, read_slice(source)[0].uid)
    else:
        known = DicomFolder(source, series)
    if known.folder.is_dir():
        listed = _ct_series(known.folder, known.series)
        if len(listed) == 1:  # reading the CT says what else there may be
            _headers(known.folder, listed[0])
    return known


def _ct_series(folder: Path, series: str | None) -> list[Series]:
    """The CT series of a folder whose UID begins or ends with ``series``."""
    from DRAMLesionLib.images.dicom.series import list_series

    return [
        one
        for one in list_series(folder)
        if one.modality == "CT" and (series is None or one.uid.startswith(series) or one.uid.endswith(series))
    ]


def _headers(folder: Path, series: Series) -> list[Any]:
    """The headers of a series, in its files' order, with what a reference needs.

    Names stay what they are but become UTF-8 where the file uses several character sets, of which highdicom knows some
    combinations only. A frame of reference that the series lacks is made of its own UID: its slices share one.

    Raises:
        InputError: Files share an instance UID, or are of several studies.
    """
    import warnings

    import pydicom
    from pydicom.uid import generate_uid

    images = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for file in series.files:
            image = pydicom.dcmread(file, stop_before_pixels=True, force=True)
            for keyword in _EMPTY_IF_ABSENT:
                if keyword not in image:
                    setattr(image, keyword, "")
            if not image.get("FrameOfReferenceUID"):
                image.FrameOfReferenceUID = generate_uid(entropy_srcs=[series.uid, "frame of reference"])
            if isinstance(image.get("SpecificCharacterSet"), Sequence) and not isinstance(
                image.SpecificCharacterSet, str
            ):
                image.decode()
                image.SpecificCharacterSet = "ISO_IR 192"
            images.append(image)
    for keyword, what in (("SOPInstanceUID", "instance UID"), ("StudyInstanceUID", "study UID")):
        if any(not image.get(keyword) for image in images):
            raise InputError(
                f"{folder}: a file of its series has no {what}, which a DICOM Segmentation names: export the series again"
            )
    seen: dict[str, Path] = {}
    for image, file in zip(images, series.files, strict=True):
        other = seen.setdefault(str(image.SOPInstanceUID), file)
        if other is not file:
            raise InputError(
                f"{folder}: {other.name} and {file.name} have the same instance UID, so that a DICOM Segmentation can't "
                "tell them apart: export the series again, or leave out --dicom-seg"
            )
    studies = {str(image.StudyInstanceUID) for image in images}
    if len(studies) > 1:
        raise InputError(
            f"{folder}: its series is of {len(studies)} studies, a DICOM Segmentation belongs to one: export the series "
            "again, or leave out --dicom-seg"
        )
    return images


def highdicom() -> Any:
    """The package, or an :class:`~DRAMLesionLib.system.errors.InputError` that says how to install it."""
    return import_optional("highdicom", "highdicom", "DICOM output")


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
    folder = Path(folder)
    listed = _ct_series(folder, series)
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
    from DRAMLesionLib.images.dicom.series import ROUNDING_MM, UNEVEN
    from DRAMLesionLib.images.dicom.slices import read_slice
    from DRAMLesionLib.images.dicom.tilt import find_tilt

    images = _headers(folder, series)
    slices = [one for file in series.files for one in sorted(read_slice(file), key=lambda one: one.frame)]
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
