"""Pixels of DICOM slices as HU: what is stored plain is read as it stands, what is compressed by GDCM.

Scanners and converters write what the header does not foresee: padding (what lies outside of the round field of view)
below the smallest value that the stored bits can hold, or without the sign that it should have. Its words are kept from
being read as tissue or metal: padding ends at its own HU where that is below air, else at :data:`PADDED_HU`.
"""

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from DRAMLesionLib.images.dicom.header import PIXELS, read_dataset
from DRAMLesionLib.images.dicom.slices import Slice, Stored
from DRAMLesionLib.images.hounsfield import HIGHEST_HU, PADDED_HU
from DRAMLesionLib.images.image_file import c_numbers, quiet, short_reason
from DRAMLesionLib.system.errors import InputError
from DRAMLesionLib.system.memory import is_out_of_memory

_GDCM = "GDCMImageIO"
_AIR_HU = -1024
_PLAIN = ("", "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99")
"""Transfer syntaxes that do not compress pixels: implicit, explicit, big-endian, deflated as a whole, or none named."""
_BIG_ENDIAN = "1.2.840.10008.1.2.2"


def read_pixels(ordered: Sequence[Slice]) -> np.ndarray:
    """The pixels of slices of one size, rescaled.

    Each file is rescaled on its own, since a series reader takes the pixel type of the first one and cuts off the others'
    fractions where their rescale slopes differ.

    Args:
        ordered: The slices, those of one file beside each other.

    Returns:
        HU, shape (slices, rows, columns): int16 where that keeps every value, else float32.

    Raises:
        InputError: A file can't be read or does not hold all its pixels.
    """
    limits = np.iinfo(np.int16)
    columns, rows = ordered[0].size
    stack: np.ndarray | None = None
    path, frames = None, np.empty((0, rows, columns))
    for index, one in enumerate(ordered):
        if one.path != path:
            path, frames = one.path, _read_file(one)
        plane = _hounsfield(frames[one.frame], one)
        whole = np.issubdtype(plane.dtype, np.integer) or bool((plane == np.rint(plane)).all())
        if stack is None:
            stack = np.empty((len(ordered), rows, columns), np.int16)
        if not (whole and limits.min <= plane.min() and plane.max() <= limits.max):
            stack = stack.astype(np.float32, copy=False)
        stack[index] = plane
    assert stack is not None  # there are slices
    return stack


def _is_plain(stored: Stored) -> bool:
    """Whether numpy can read the pixels: not compressed, in words of whole bytes."""
    return stored.syntax in _PLAIN and stored.allocated in (8, 16, 32) and 0 < stored.bits <= stored.allocated


def _read_file(one: Slice) -> np.ndarray:
    """All frames of a file: unsigned words as stored where they are plain, else what GDCM makes of them."""
    if not _is_plain(one.stored):
        return _decompressed(one)
    columns, rows = one.size
    data = read_dataset(one.path, (PIXELS,), pixels=True)
    content = data.get_item(PIXELS).value if PIXELS in data else b""
    expected = one.stored.frames * rows * columns * one.stored.allocated // 8
    if not isinstance(content, bytes) or len(content) < expected:
        raise InputError(f"{one.path}: truncated: does not hold all its pixels: copy or export it again")
    order = ">" if one.stored.syntax == _BIG_ENDIAN else "<"
    words = np.frombuffer(content[:expected], f"{order}u{one.stored.allocated // 8}")
    return words.reshape(one.stored.frames, rows, columns)


def _decompressed(one: Slice) -> np.ndarray:
    import SimpleITK as sitk

    if one.stored.commas:
        raise InputError(
            f"{one.path}: its rescale slope or intercept has a decimal comma, and its pixels are compressed: "
            "export the series again without compression"
        )
    try:
        with quiet(), c_numbers():
            image = sitk.ReadImage(str(one.path), imageIO=_GDCM)
    except RuntimeError as error:
        if is_out_of_memory(error):
            raise
        raise InputError(f"{one.path}: {short_reason(error)}") from error
    array = sitk.GetArrayFromImage(image)
    if array.size != one.stored.frames * one.size[0] * one.size[1]:
        raise InputError(f"{one.path}: truncated or corrupt: copy or export it again")
    return array.reshape(-1, one.size[1], one.size[0])


def _hounsfield(frame: np.ndarray, one: Slice) -> np.ndarray:
    """A frame in HU, with padding below air.

    Args:
        frame: Unsigned words as stored, or the rescaled values of a compressed file.
        one: The slice that it belongs to.
    """
    stored = one.stored
    hu = _rescaled(_values(frame, stored), stored) if _is_plain(stored) else frame
    if stored.padding is None:
        return hu
    words = frame.astype(np.int64)
    if not _is_plain(stored):
        words = np.rint((frame - stored.intercept) / stored.slope).astype(np.int64)
        words = words & ((1 << stored.allocated) - 1)
    low, high = stored.padding
    padded = (words >= low) & (words <= high)
    return _pad(hu, padded, words, stored) if padded.any() else hu


def _values(words: np.ndarray, stored: Stored) -> np.ndarray:
    """The stored values of unsigned words: their own bits, with a sign where there is one.

    Bits above the value's own are not its: overlays lie there, or nothing. Where all of them are set, and the value's
    highest bit does not set them, a number with a sign was written that its own bits can't hold, as -3024 in 12 bits.
    """
    if stored.bits == stored.allocated:
        native = words.astype(words.dtype.newbyteorder("="), copy=False)
        return native.view(f"i{words.itemsize}") if stored.signed else native
    words = words.astype(np.int64 if stored.allocated == 32 else np.int32)
    shift = max(0, stored.high + 1 - stored.bits)
    spare = stored.allocated - stored.bits - shift
    values = (words >> shift) & ((1 << stored.bits) - 1)
    signs = values & (1 << (stored.bits - 1))
    if stored.signed:
        values = values - 2 * signs
    if spare > 1 and shift == 0:
        beyond = (words >> stored.bits) == (1 << spare) - 1
        if stored.signed:
            beyond &= signs == 0
        if beyond.any():
            values[beyond] = words[beyond] - (1 << stored.allocated)
    return values


def _rescaled(values: np.ndarray, stored: Stored) -> np.ndarray:
    if stored.slope != 1 or not stored.intercept.is_integer():
        return values * stored.slope + stored.intercept
    if stored.intercept == 0 and values.dtype == np.int16:
        return values
    return values.astype(np.int64 if values.itemsize > 2 else np.int32) + int(stored.intercept)


def _pad(hu: np.ndarray, padded: np.ndarray, words: np.ndarray, stored: Stored) -> np.ndarray:
    """HU with the pixels of padding below air: by their own sign where that gives it, else by :data:`PADDED_HU`.

    A padding value that tissue has too counts only where it reaches the picture's edge.
    """
    hu = hu.copy()
    wrapped = words[padded] - (words[padded] >> (stored.allocated - 1) << stored.allocated)
    own = _rescaled(wrapped, stored)
    value = float(np.max(own))
    if _AIR_HU < value <= HIGHEST_HU:
        parts, _ = ndimage.label(padded)
        edges = np.concatenate([parts[0], parts[-1], parts[:, 0], parts[:, -1]])
        padded = np.isin(parts, np.unique(edges[edges > 0]))
        hu[padded] = PADDED_HU
    else:
        hu[padded] = own if value <= _AIR_HU else PADDED_HU
    return hu
