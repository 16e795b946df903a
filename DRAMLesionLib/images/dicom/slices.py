"""Single DICOM slices: their headers, and their pixels with the rescale applied."""

import math
import mmap
import re
import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from DRAMLesionLib.images.image_file import quiet, read_header, short_reason
from DRAMLesionLib.images.paths import FORMATS_TEXT, check_file, is_volume_file
from DRAMLesionLib.system.errors import InputError
from DRAMLesionLib.system.memory import is_out_of_memory

if TYPE_CHECKING:
    import SimpleITK as sitk

_SERIES_UID, _SERIES_DESCRIPTION, _MODALITY = "0020|000e", "0008|103e", "0008|0060"
_POSITION, _DIRECTION, _SPACING = "0020|0032", "0020|0037", "0028|0030"
_THICKNESS, _LOSSY, _SLOPE, _INTERCEPT = "0018|0050", "0028|2110", "0028|1053", "0028|1052"
_BITS, _DEFLATED = "0028|0100", b"1.2.840.10008.1.2.1.99"
_CT_CLASS = re.compile(rb"1\.2\.840\.10008\.5\.1\.4\.1\.1\.2(\.[12])?[\0 ]")
_ANY_CLASS = b"1.2.840.10008.5.1.4."
_SUFFIXES = (".dcm", ".dicom", ".ima")
_GDCM = "GDCMImageIO"
_UNDEFINED = 0xFFFFFFFF
UNIT_TOLERANCE = 1e-3
"""Of the lengths of a slice's axes and of their angle: files round them, some to four digits."""


@dataclass(frozen=True)
class Slice:
    """One slice by its header: a file's, or one frame's of a file that holds several.

    Attributes:
        path: The file.
        frame: Which of the file's frames, from 0.
        uid: The SeriesInstanceUID.
        description: The SeriesDescription.
        modality: CT, MR, ...
        size: Columns and rows (x, y).
        spacing: In mm, (x, y).
        origin: Of the first pixel in mm, LPS.
        direction: The 3 x 3 matrix by rows; columns are the unit vectors along x, along y and across the slice.
        components: Values per pixel.
        lacks: What the file does not say, or not so that it can be used: ``position``, ``direction``, ``pixel spacing``
            or ``rescale slope``; empty where nothing is missing.
        rescaled: Whether the file says how its values become HU.
        thickness_mm: The slice thickness, where it is given.
        lossy: Whether it was ever compressed with loss.
        stored_bytes: Length of all the file's pixels where they are not compressed.
    """

    path: Path
    frame: int
    uid: str
    description: str
    modality: str
    size: tuple[int, int]
    spacing: tuple[float, float]
    origin: tuple[float, float, float]
    direction: tuple[float, ...]
    components: int
    lacks: str
    rescaled: bool
    thickness_mm: float | None
    lossy: bool
    stored_bytes: int

    @property
    def normal(self) -> np.ndarray:
        """The unit vector across the slice: that of the rows times that of the columns."""
        return np.reshape(self.direction, (3, 3))[:, 2]

    @property
    def position_mm(self) -> float:
        """How far along its normal the slice lies."""
        return float(self.normal @ np.asarray(self.origin))


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
        InputError: It is no DICOM image, or its header is corrupt.
    """
    try:
        reader = read_header(path, _GDCM)
    except InputError as error:
        with check_file(path).open("rb") as raw:
            if raw.read(132)[128:] == b"DICM":
                raise
        raise InputError(f"{path}: not an image that can be read: give {FORMATS_TEXT}") from error

    def tag(key: str) -> str:
        text = reader.GetMetaData(key) if reader.HasMetaDataKey(key) else ""
        return text.encode("utf-8", "replace").decode().strip(" \0")

    x, y, *rest = reader.GetSize()
    frames = rest[0] if rest else 1
    direction = np.reshape(reader.GetDirection(), (3, 3))
    one = Slice(
        path=path,
        frame=0,
        uid=tag(_SERIES_UID),
        description=tag(_SERIES_DESCRIPTION),
        modality=tag(_MODALITY),
        size=(x, y),
        spacing=reader.GetSpacing()[:2],
        origin=reader.GetOrigin(),
        direction=_with_normal(direction[:, 0], direction[:, 1]),
        components=reader.GetNumberOfComponents(),
        lacks=_lacking(tag),
        rescaled=bool(tag(_INTERCEPT)),
        thickness_mm=_number(tag(_THICKNESS)),
        lossy=tag(_LOSSY) == "01",
        stored_bytes=0 if _is_deflated(path) else _stored_bytes(reader, tag(_BITS)),
    )
    return [one] if frames == 1 else _read_frames(one, frames)


def _lacking(tag: Callable[[str], str]) -> str:
    """What a header lacks; GDCM makes it up: direction along the axes, 1 mm, a slope of 1."""
    wanted = {"position": (_POSITION, 3), "direction": (_DIRECTION, 6), "pixel spacing": (_SPACING, 2)}
    numbers = {}
    for what, (key, count) in wanted.items():
        values = [_number(part) for part in tag(key).split("\\")]
        if len(values) != count or any(value is None or not math.isfinite(value) for value in values):
            return what
        numbers[what] = np.array(values, float)
    along_x, along_y = np.reshape(numbers["direction"], (2, 3))
    lengths = np.linalg.norm([along_x, along_y], axis=1)
    if np.abs(lengths - 1).max() > UNIT_TOLERANCE or abs(along_x @ along_y) > UNIT_TOLERANCE:
        return "direction"
    if numbers["pixel spacing"].min() <= 0:
        return "pixel spacing"
    slope = _number(tag(_SLOPE) or "1")
    return "rescale slope" if not slope or not math.isfinite(slope) else ""


def _is_deflated(path: Path) -> bool:
    """Whether the data set is compressed as a whole, so that nothing in it can be found by its bytes."""
    with path.open("rb") as raw:
        return _DEFLATED in raw.read(1024)


def read_pixels(ordered: Sequence[Slice]) -> np.ndarray:
    """The pixels of slices of one size, rescaled.

    Each file is read on its own, since a series reader takes the pixel type of the first one and cuts off the others'
    fractions where their rescale slopes differ.

    Returns:
        Shape (slices, rows, columns): int16 where that keeps every value, else float32.

    Raises:
        InputError: A file can't be read or does not hold all its pixels.
    """
    limits = np.iinfo(np.int16)
    columns, rows = ordered[0].size
    stack = np.empty((len(ordered), rows, columns), np.int16)
    path, frames = None, np.empty((0, rows, columns))
    for index, one in enumerate(ordered):
        if one.path != path:
            path, frames = one.path, _read_file(one)
        plane = frames[one.frame]
        whole = np.issubdtype(plane.dtype, np.integer) or bool((plane == np.rint(plane)).all())
        if not (whole and limits.min <= plane.min() and plane.max() <= limits.max):
            stack = stack.astype(np.float32, copy=False)
        stack[index] = plane
    return stack


def _read_file(one: Slice) -> np.ndarray:
    import SimpleITK as sitk

    _check_pixels(one)
    try:
        with quiet():
            image = sitk.ReadImage(str(one.path), imageIO=_GDCM)
    except RuntimeError as error:
        if is_out_of_memory(error):
            raise
        raise InputError(f"{one.path}: {short_reason(error)}") from error
    return sitk.GetArrayFromImage(image).reshape(-1, one.size[1], one.size[0])


def _check_pixels(one: Slice) -> None:
    """That a file holds all its pixels: GDCM fills a cut-off file's with whatever the memory held.

    Looks for the Pixel Data element (7FE0,0010) by its bytes, in either byte order, with or without a VR, and compares
    its length with the picture's and with the file's (DICOM PS3.5, 7.1 and A.4).
    """
    with one.path.open("rb") as raw, mmap.mmap(raw.fileno(), 0, access=mmap.ACCESS_READ) as content:
        for order, tag in (("<I", b"\xe0\x7f\x10\x00"), (">I", b"\x7f\xe0\x00\x10")):
            at = content.find(tag)
            while at >= 0:
                start = at + (8 if content[at + 4 : at + 6] in (b"OW", b"OB") else 4)
                if start + 4 <= len(content):
                    (length,) = struct.unpack_from(order, content, start)
                    if length == _UNDEFINED:
                        return  # compressed: GDCM finds what is missing
                    if length >= one.stored_bytes and start + 4 + length <= len(content):
                        return
                at = content.find(tag, at + 1)
    if one.stored_bytes:
        raise InputError(f"{one.path}: truncated: does not hold all its pixels: copy or export it again")


def _read_frames(one: Slice, frames: int) -> list[Slice]:
    """A slice for each frame of an enhanced CT, with the frame's own position.

    GDCM takes such a file for one even stack with one rescale: where frames are shuffled or a frame is missing it falls
    back to a spacing of 1 mm, and where slopes differ it applies the first to all, both without a word.
    """
    with one.path.open("rb") as raw, mmap.mmap(raw.fileno(), 0, access=mmap.ACCESS_READ) as content:
        origins = _numbers(content, b"\x20\x00\x32\x00", 3)
        directions = set(_numbers(content, b"\x20\x00\x37\x00", 6))
        spacings = set(_numbers(content, b"\x28\x00\x30\x00", 2))
        intercepts = set(_numbers(content, b"\x28\x00\x52\x10", 1))
        slopes = set(_numbers(content, b"\x28\x00\x53\x10", 1))
    if len(origins) != frames or len(directions) != 1 or len(spacings) != 1:
        return [replace(one, lacks="position")]
    if len(intercepts) > 1 or len(slopes) > 1:
        raise InputError(f"{one.path}: its frames have different rescale slopes: export it as single slices")
    (axes,), (spacing,) = directions, spacings
    direction = _with_normal(np.array(axes[:3]), np.array(axes[3:]))
    return [
        replace(
            one,
            frame=frame,
            origin=(origin[0], origin[1], origin[2]),
            direction=direction,
            spacing=(spacing[1], spacing[0]),
            lacks="",
            rescaled=True,
        )
        for frame, origin in enumerate(origins)
    ]


def _numbers(content: mmap.mmap, tag: bytes, count: int) -> list[tuple[float, ...]]:
    """The values of all decimal-string elements of one tag, at any depth, in the file's order."""
    found = []
    for match in re.finditer(re.escape(tag) + rb"(?:DS(..)|(..)\0\0)", content, re.DOTALL):
        (length,) = struct.unpack("<H", match[1] or match[2])
        text = content[match.end() : match.end() + length]
        parts = text.decode("latin-1").strip(" \0").split("\\")
        values = [_number(part) for part in parts] if length <= 16 * count + count else []
        if len(values) == count and None not in values:
            found.append(tuple(value for value in values if value is not None))
    return found


def _with_normal(along_x: np.ndarray, along_y: np.ndarray) -> tuple[float, ...]:
    normal = np.cross(along_x, along_y)
    normal = normal / max(float(np.linalg.norm(normal)), 1e-12)
    return tuple(float(value) for value in np.stack([along_x, along_y, normal], axis=1).ravel())


def _stored_bytes(reader: "sitk.ImageFileReader", bits: str) -> int:
    return math.prod(reader.GetSize()) * reader.GetNumberOfComponents() * int(_number(bits) or 8) // 8


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
