"""Single DICOM slices by their headers: a file's, or a frame's of a file that holds several."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from DRAMLesionLib.images.dicom import header
from DRAMLesionLib.images.dicom.header import items, number, numbers_of, text_of, whole_of
from DRAMLesionLib.images.paths import FORMATS_TEXT, is_volume_file
from DRAMLesionLib.system.errors import InputError

_CT_CLASS = re.compile(rb"1\.2\.840\.10008\.5\.1\.4\.1\.1\.2(\.[12])?[\0 ]")
_ANY_CLASS = b"1.2.840.10008.5.1.4."
_SUFFIXES = (".dcm", ".dicom", ".ima")
UNIT_TOLERANCE = 1e-3
"""How far the lengths of a slice's axes may be from 1, and their product from 0: files round them to four digits."""
_AXES = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


@dataclass(frozen=True)
class Stored:
    """How a file stores its pixels, and how they become HU (DICOM PS3.3, C.7.6.3 and C.11.1).

    Attributes:
        allocated: Bits of a stored value.
        bits: How many of them are the value's.
        high: The place of the value's highest bit, from 0.
        signed: Whether the value is in two's complement.
        frames: Pictures in the file.
        syntax: The UID of the transfer syntax; empty where the file names none.
        slope: HU of a step of the stored value.
        intercept: HU of the stored value 0.
        padding: Lowest and highest stored word, without sign, of pixels outside of what was scanned; None without.
        commas: Whether slope or intercept have a decimal comma.
    """

    allocated: int
    bits: int
    high: int
    signed: bool
    frames: int
    syntax: str
    slope: float
    intercept: float
    padding: tuple[int, int] | None
    commas: bool


@dataclass(frozen=True)
class Slice:
    """One slice by its header: a file's, or one frame's of a file that holds several.

    Attributes:
        path: The file.
        frame: Which of the file's frames, from 0.
        uid: The SeriesInstanceUID.
        description: The SeriesDescription.
        modality: CT, MR, ...
        image_type: The ImageType, such as ``ORIGINAL\\PRIMARY\\LOCALIZER``.
        size: Columns and rows (x, y).
        spacing: In mm, (x, y).
        origin: The first pixel's centre in mm, LPS.
        direction: The 3 x 3 matrix by rows; columns are the unit vectors along x, along y and across the slice.
        components: Values per pixel.
        lacks: What the file does not say, or not so that it can be used: ``position``, ``direction``, ``pixel spacing``
            or ``rescale slope``; empty where nothing is missing.
        rescaled: Whether the file says how its values become HU.
        thickness_mm: The slice thickness, where it is given.
        lossy: Whether it was ever compressed with loss.
        commas: Whether one of its numbers has a decimal comma, against the standard.
        stored: How its pixels are stored.
    """

    path: Path
    frame: int
    uid: str
    description: str
    modality: str
    image_type: str
    size: tuple[int, int]
    spacing: tuple[float, float]
    origin: tuple[float, float, float]
    direction: tuple[float, ...]
    components: int
    lacks: str
    rescaled: bool
    thickness_mm: float | None
    lossy: bool
    commas: bool
    stored: Stored

    @property
    def normal(self) -> np.ndarray:
        """The unit vector across the slice: that of the rows times that of the columns."""
        return np.reshape(self.direction, (3, 3))[:, 2]

    @property
    def position_mm(self) -> float:
        """How far along its normal the slice lies."""
        return float(self.normal @ np.asarray(self.origin))

    @property
    def label(self) -> str:
        """What to call it in errors: its file's name, and the frame where there are several."""
        return self.path.name + (f" (frame {self.frame + 1})" if self.stored.frames > 1 else "")


def read_slices(files: Iterable[Path]) -> tuple[list[Slice], list[Path], list[Path]]:
    """The headers of the DICOM images among ``files``; what is no DICOM file is passed over.

    Returns:
        The slices; the DICOM files that should hold a CT slice and can't be read; the other DICOM files without an image
        (reports, plans).
    """
    slices: list[Slice] = []
    broken, others = [], []
    for file in files:
        if file.name.upper() == "DICOMDIR" or file.name.startswith(".") or is_volume_file(file):
            continue
        with file.open("rb") as raw:
            start = raw.read(4096)
        claims = start[128:132] == b"DICM"
        if not claims and file.suffix and file.suffix.lower() not in _SUFFIXES:
            continue
        try:
            slices.extend(read_slice(file))
        except InputError:
            if _CT_CLASS.search(start) or (file.suffix.lower() in _SUFFIXES and _ANY_CLASS not in start):
                broken.append(file)
            elif claims:
                others.append(file)
    return slices, broken, others


def read_slice(path: Path) -> list[Slice]:
    """The header of one DICOM file: one slice, or one for each of its frames.

    Raises:
        InputError: It is no DICOM image, or its header is damaged or can be read in two ways.
    """
    data = header.read_dataset(path)
    size = whole_of(data, header.COLUMNS, 0), whole_of(data, header.ROWS, 0)
    if min(size) < 1:
        if header.is_named_dicom(path):
            raise InputError(f"{path}: holds no image that can be read: copy or export it again")
        raise InputError(f"{path}: not an image that can be read: give {FORMATS_TEXT}")
    frames = max(1, whole_of(data, header.FRAMES, 1))
    groups = items(data, header.FRAME_GROUPS)
    if frames > 1 and len(groups) != frames:
        groups = []
    shared = items(data, header.SHARED_GROUPS)[:1]
    return [
        _frame(path, data, size, frame, frames, [*groups[frame : frame + 1], *shared])
        for frame in range(frames)
    ]


def _frame(path: Path, data: Any, size: tuple[int, int], frame: int, frames: int, groups: list[Any]) -> Slice:
    """A slice by the first of the frame's own group, the shared one and the file itself that holds each attribute."""
    holders = {tag: _holder(tag, data, groups) for tag in header.GROUPS}
    position = numbers_of(holders[header.POSITION], header.POSITION, 3)
    axes = numbers_of(holders[header.DIRECTION], header.DIRECTION, 6)
    spacing = numbers_of(holders[header.SPACING], header.SPACING, 2)
    if frames > 1 and holders[header.POSITION] is data:
        position = None  # one position for all frames is none
    slope = _rescale(path, holders[header.SLOPE], header.SLOPE, 1.0)
    intercept = _rescale(path, holders[header.INTERCEPT], header.INTERCEPT, 0.0)
    row, column = np.reshape(axes or _AXES, (2, 3))
    origin = position or (0.0, 0.0, 0.0)
    y_spacing, x_spacing = spacing or (1.0, 1.0)
    return Slice(
        path=path,
        frame=frame,
        uid=text_of(data, header.SERIES_UID),
        description=header.described(data, header.SERIES_DESCRIPTION),
        modality=text_of(data, header.MODALITY),
        image_type=text_of(data, header.IMAGE_TYPE),
        size=size,
        spacing=(x_spacing, y_spacing),
        origin=(origin[0], origin[1], origin[2]),
        direction=_with_normal(row, column),
        components=whole_of(data, header.SAMPLES, 1),
        lacks=_lacking(position, axes, spacing, slope),
        rescaled=bool(text_of(holders[header.INTERCEPT], header.INTERCEPT)),
        thickness_mm=number(text_of(holders[header.THICKNESS], header.THICKNESS)),
        lossy=text_of(data, header.LOSSY) == "01",
        commas=any(header.has_comma(holder, tag) for tag, holder in holders.items()),
        stored=_stored(data, frames, slope or 1.0, intercept or 0.0, holders),
    )


def _holder(tag: int, data: Any, groups: list[Any]) -> Any:
    """The data set that holds an attribute of a frame."""
    for group in groups:
        for item in items(group, header.GROUPS[tag])[:1]:
            if tag in item:
                return item
    return data


def _rescale(path: Path, holder: Any, tag: int, usual: float) -> float | None:
    """Slope or intercept; None where it is no number.

    Raises:
        InputError: Its comma can be read in two ways.
    """
    text = text_of(holder, tag, "DS")
    if header.unclear(text):
        raise InputError(
            f"{path}: its rescale {'slope' if tag == header.SLOPE else 'intercept'} {text} may have a decimal comma or a "
            "mark of thousands: export the series again"
        )
    return number(text) if text else usual


def _stored(data: Any, frames: int, slope: float, intercept: float, holders: dict[int, Any]) -> Stored:
    allocated = whole_of(data, header.BITS_ALLOCATED, 16)
    bits = whole_of(data, header.BITS_STORED, allocated)
    padding = whole_of(data, header.PADDING, -1)
    limit = whole_of(data, header.PADDING_LIMIT, padding)
    words = None
    if padding >= 0:
        words = (min(padding, limit), max(padding, limit))
    syntax = getattr(getattr(data, "file_meta", None), "TransferSyntaxUID", "")
    return Stored(
        allocated=allocated,
        bits=bits,
        high=whole_of(data, header.HIGH_BIT, bits - 1),
        signed=whole_of(data, header.SIGNED, 0) == 1,
        frames=frames,
        syntax=str(syntax),
        slope=slope,
        intercept=intercept,
        padding=words,
        commas=any(header.has_comma(holders[tag], tag) for tag in (header.SLOPE, header.INTERCEPT)),
    )


def _lacking(
    position: list[float] | None, axes: list[float] | None, spacing: list[float] | None, slope: float | None
) -> str:
    """What a header lacks: other readers make it up, as axes along the patient's, 1 mm, a slope of 1."""
    if position is None:
        return "position"
    if axes is None:
        return "direction"
    along_x, along_y = np.reshape(axes, (2, 3))
    lengths = np.linalg.norm([along_x, along_y], axis=1)
    if np.abs(lengths - 1).max() > UNIT_TOLERANCE or abs(along_x @ along_y) > UNIT_TOLERANCE:
        return "direction"
    if spacing is None or min(spacing) <= 0:
        return "pixel spacing"
    return "" if slope else "rescale slope"


def _with_normal(along_x: np.ndarray, along_y: np.ndarray) -> tuple[float, ...]:
    normal = np.cross(along_x, along_y)
    normal = normal / max(float(np.linalg.norm(normal)), 1e-12)
    return tuple(float(value) for value in np.stack([along_x, along_y, normal], axis=1).ravel())
