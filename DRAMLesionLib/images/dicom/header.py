"""Headers of DICOM files by pydicom: texts and numbers as they stand in the file, also where they break the standard."""

import math
import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from DRAMLesionLib.images.paths import FORMATS_TEXT, check_file
from DRAMLesionLib.system.errors import InputError

SOP_CLASS, SERIES_UID, MODALITY = 0x00080016, 0x0020000E, 0x00080060
SERIES_DESCRIPTION, IMAGE_TYPE = 0x0008103E, 0x00080008
ROWS, COLUMNS, FRAMES, SAMPLES = 0x00280010, 0x00280011, 0x00280008, 0x00280002
BITS_ALLOCATED, BITS_STORED, HIGH_BIT, SIGNED = 0x00280100, 0x00280101, 0x00280102, 0x00280103
PADDING, PADDING_LIMIT = 0x00280120, 0x00280121
THICKNESS, LOSSY = 0x00180050, 0x00282110
POSITION, DIRECTION, SPACING = 0x00200032, 0x00200037, 0x00280030
SLOPE, INTERCEPT = 0x00281053, 0x00281052
SHARED_GROUPS, FRAME_GROUPS = 0x52009229, 0x52009230
GROUPS = {POSITION: 0x00209113, DIRECTION: 0x00209116, SPACING: 0x00289110, THICKNESS: 0x00289110} | {
    SLOPE: 0x00289145,
    INTERCEPT: 0x00289145,
}
"""The functional group that holds an attribute in a file of frames (DICOM PS3.3, C.7.6.16)."""
PIXELS = 0x7FE00010

TAGS = (
    *(SOP_CLASS, SERIES_UID, MODALITY, SERIES_DESCRIPTION, IMAGE_TYPE, ROWS, COLUMNS, FRAMES, SAMPLES),
    *(BITS_ALLOCATED, BITS_STORED, HIGH_BIT, SIGNED, PADDING, PADDING_LIMIT, THICKNESS, LOSSY),
    *(POSITION, DIRECTION, SPACING, SLOPE, INTERCEPT, SHARED_GROUPS, FRAME_GROUPS),
)
"""What is read of a header: the rest is skipped."""

_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2},\d{3}")
"""``-1,024``: with a decimal comma it is about -1, with a mark of thousands -1024."""


def read_dataset(path: Path, tags: Sequence[int] = TAGS, pixels: bool = False) -> Any:
    """The data set of a DICOM file with some of its elements.

    Args:
        path: The file.
        tags: The elements to read.
        pixels: Whether to read on to the pixels; ``tags`` must name them.

    Returns:
        A pydicom ``FileDataset``.

    Raises:
        InputError: It is no DICOM file, or damaged.
    """
    import pydicom

    check_file(path)
    with path.open("rb") as raw:
        named = raw.read(132)[128:] == b"DICM"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore"
            )  # of values that break the standard: what matters of them is checked here
            return pydicom.dcmread(
                path, stop_before_pixels=not pixels, specific_tags=list(tags), force=not named
            )
    except MemoryError:
        raise
    except Exception as error:  # damaged headers end in errors of every kind
        if named:
            raise InputError(f"{path}: truncated or corrupt: copy or export it again") from error
        raise InputError(f"{path}: not an image that can be read: give {FORMATS_TEXT}") from error


def is_named_dicom(path: Path) -> bool:
    """Whether a file begins as DICOM files do: 128 bytes of anything, then ``DICM``."""
    with path.open("rb") as raw:
        return raw.read(132)[128:] == b"DICM"


def text_of(data: Any, tag: int, representation: str = "") -> str:
    """The text of an element, several values parted by backslashes; empty where there is none.

    Args:
        data: The data set.
        tag: The element's.
        representation: The value representation that it must have, where the file names one; else it counts as absent.
    """
    if tag not in data:
        return ""
    element = data.get_item(tag)
    if representation and element.VR not in (None, representation, "UN"):
        return ""
    value = element.value
    if isinstance(value, bytes):
        return value.decode("latin-1").strip(" \0")
    if isinstance(value, str) or not isinstance(value, Sequence):
        return "" if value is None else str(value).strip(" \0")
    return "\\".join(str(one) for one in value)


def described(data: Any, tag: int) -> str:
    """The text of an element in its character set, for people; control characters become spaces."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            text = str(data[tag].value or "") if tag in data else ""
    except Exception:  # a character set that does not fit, or none that is known
        text = text_of(data, tag)
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def whole_of(data: Any, tag: int, usual: int) -> int:
    """A whole number that the file stores in two bytes (``US``) or as text (``IS``); ``usual`` where there is none."""
    if tag not in data:
        return usual
    element = data.get_item(tag)
    value = element.value
    if isinstance(value, bytes) and (
        element.VR in ("US", "SS", "UN") or (element.VR is None and tag != FRAMES)
    ):
        little = getattr(element, "is_little_endian", True)
        return int.from_bytes(value[:2], "little" if little else "big") if len(value) >= 2 else usual
    try:
        return int(float(value if not isinstance(value, bytes) else value.decode("latin-1").strip(" \0")))
    except (ValueError, TypeError, OverflowError):
        return usual


def number(text: str) -> float | None:
    """The number of a decimal string, with a point or (against the standard) a comma; None where it is none."""
    try:
        value = float(text.replace(",", ".") if text.count(",") == 1 and "." not in text else text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def numbers_of(data: Any, tag: int, count: int) -> list[float] | None:
    """The numbers of a decimal-string element; None where it has another count, or a word among them."""
    values = [number(part) for part in text_of(data, tag, "DS").split("\\")]
    whole = [value for value in values if value is not None]
    return whole if len(values) == len(whole) == count else None


def has_comma(data: Any, *tags: int) -> bool:
    """Whether a number of these elements has a comma."""
    return any("," in text_of(data, tag, "DS") for tag in tags)


def unclear(text: str) -> bool:
    """Whether a number's comma may be a decimal comma or a mark of thousands: ``-1,024``."""
    return _THOUSANDS.fullmatch(text) is not None


def items(data: Any, tag: int) -> list[Any]:
    """The items of a sequence; none where it is absent or can't be read."""
    if tag not in data:
        return []
    try:
        return list(data[tag].value or [])
    except Exception:  # bytes that are no sequence
        return []
