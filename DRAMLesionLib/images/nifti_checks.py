"""What a NIfTI header promises against what the file holds: https://nifti.nimh.nih.gov, nifti1.h."""

import itertools
import math
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np

from DRAMLesionLib.images.file_size import (
    bad_header,
    blocks,
    check_size,
    count_voxels,
    damaged,
    opened,
    slack,
)
from DRAMLesionLib.images.paths import FORMATS_TEXT, check_file
from DRAMLesionLib.system.errors import InputError

_NIFTI = {
    "dim": ("8i2", 40),
    "datatype": ("i2", 70),
    "bitpix": ("i2", 72),
    "pixdim": ("8f4", 76),
    "vox_offset": ("f4", 108),
    "scl_slope": ("f4", 112),
    "scl_inter": ("f4", 116),
    "qform_code": ("i2", 252),
    "sform_code": ("i2", 254),
    "quatern": ("3f4", 256),
    "qoffset": ("3f4", 268),
    "srow": ("(3,4)f4", 280),
    "magic": ("S4", 344),
}
_NIFTI_FLOATS = {16: "f4", 64: "f8"}
_NIFTI_BYTES = {2: 1, 4: 2, 8: 4, 16: 4, 32: 8, 64: 8, 128: 3, 256: 1, 512: 2, 768: 4, 1024: 8, 1280: 8}
_NIFTI_PLAIN = {
    2: np.uint8,
    4: np.int16,
    8: np.int32,
    16: np.float32,
    64: np.float64,
    256: np.int8,
    512: np.uint16,
    768: np.uint32,
}
_MOST_KEPT = 1 << 31
"""Voxels: a header may promise any number of them."""
_NIFTI_HEADER = 352
_PAIR_HEADER = 348
_SIZES = (b"\x5c\x01\0\0", b"\0\0\x01\x5c")
"""A header of 348 bytes, in either byte order."""


def check_nifti(path: Path) -> np.ndarray | None:
    """Compare a NIfTI file, or the header of a pair of ``.hdr`` and ``.img``, with what it holds.

    ITK replaces some things without a word, and those are looked for: missing bytes, NaN and infinite values (read as
    0), a spacing that is no positive number (read as 1 mm), two places in one header (one of them is believed).

    Returns:
        The voxels (k, j, i) of a plain volume in one file, which need not be unpacked a second time then: three axes,
        numbers as they are, in this machine's byte order. None for all others.

    Raises:
        InputError: Something of that kind was found.
    """
    data = voxels_of_pair(path) if path.suffix.lower() == ".hdr" else None
    with opened(path) as stream:
        parts = blocks(path, stream)
        first = next(parts, b"")
        header, order = _nifti_header(first)
        if header is None or (data is None) != (bytes(header["magic"])[:3] == b"n+1"):
            raise _no_nifti(path, first)
        axes = int(header["dim"][0])
        if not 1 <= axes <= 7:
            raise bad_header(path, f"it claims to have {axes} dimensions")
        _check_spacing(path, header)
        _check_numbers(path, header, paired=data is not None)
        _check_one_place(path, header)
        if data is None:
            kept = _room_for(header, order)
            _check_voxels(path, header, order, itertools.chain([first], parts), kept)
            return kept
    with opened(check_file(data)) as stream:
        _check_voxels(data, header, order, blocks(data, stream))
    return None


def _room_for(header: Mapping[str, Any], order: str) -> np.ndarray | None:
    """An empty array for the voxels of a plain volume; None for those that ITK should turn into an image."""
    kind = _NIFTI_PLAIN.get(int(header["datatype"]))
    slope, shift = float(header["scl_slope"]), float(header["scl_inter"])
    own_order = order == ("<" if sys.byteorder == "little" else ">")
    lengths = [int(length) for length in header["dim"][1:4]]
    if kind is None or not own_order or header["dim"][0] != 3 or min(lengths) < 1:
        return None
    if slope not in (0, 1) or shift != 0 or math.prod(lengths) > _MOST_KEPT:
        return None
    try:
        return np.empty(lengths[::-1], kind)
    except MemoryError:  # the file may still turn out to be truncated
        return None


def _check_voxels(
    path: Path,
    header: Mapping[str, Any],
    order: str,
    parts: Iterator[bytes],
    kept: np.ndarray | None = None,
) -> None:
    """Count the bytes of a file in parts, and its values that are no numbers; ``kept`` takes its voxels."""
    lengths = [max(1, int(length)) for length in header["dim"][1 : 1 + int(header["dim"][0])]]
    item = _NIFTI_BYTES.get(int(header["datatype"]), int(header["bitpix"]) // 8)
    offset = int(header["vox_offset"])
    expected = offset + count_voxels(path, lengths) * item
    most = expected + slack(lengths, item)
    kind = _NIFTI_FLOATS.get(int(header["datatype"]))
    size, bad, rest = 0, 0, b""
    room = None if kept is None else kept.reshape(-1).view(np.uint8)
    for block in parts:
        if room is not None:
            values = np.frombuffer(block, np.uint8)[max(0, offset - size) : max(0, expected - size)]
            start = max(0, size - offset)
            room[start : start + len(values)] = values
        if kind:
            numbers = rest + block[max(0, offset - size) : max(0, expected - size)]
            whole = len(numbers) - len(numbers) % int(kind[1])
            bad += int((~np.isfinite(np.frombuffer(numbers[:whole], order + kind))).sum())
            rest = numbers[whole:]
        size += len(block)
        if size > most:
            break
    check_size(path, size, expected, most)
    if bad:
        raise InputError(f"{path}: has {bad} NaN or infinite values: replace them (air is -1000 HU)")


def read_nifti_header(path: Path) -> Mapping[str, Any] | None:
    """The fields of a NIfTI header, None where the file is no NIfTI."""
    with opened(path) as stream:
        return _nifti_header(stream.read(540))[0]


def shear(header: Mapping[str, Any]) -> float:
    """How far the axes of the sform are from being perpendicular: the largest cosine between two; 0 without an sform."""
    if not header["sform_code"] > 0:
        return 0.0
    axes = np.asarray(header["srow"], float)[:, :3]
    lengths = np.linalg.norm(axes, axis=0)
    if not np.isfinite(axes).all() or not (lengths > 0).all():
        return 0.0
    axes = axes / lengths
    return float(np.abs(axes.T @ axes - np.eye(3)).max())


def voxels_of_pair(path: Path) -> Path:
    """The file with the voxels of a ``.hdr``: ``.img`` or ``.img.gz`` of the same name, in any case of letters.

    Raises:
        InputError: There is none.
    """
    for file in sorted(path.parent.iterdir()):
        if file.name.lower() in (f"{path.stem.lower()}.img", f"{path.stem.lower()}.img.gz"):
            return file
    raise InputError(f"{path}: {path.stem}.img with its voxels is not beside it: copy both files")


def _no_nifti(path: Path, first: bytes) -> InputError:
    if first[:4] in (b"\x1c\x02\0\0", b"\0\0\x02\x1c"):
        return InputError(f"{path}: is NIfTI-2, which is not read here: convert it to NIfTI-1 or NRRD")
    if path.suffix.lower() == ".hdr" and first[:4] in _SIZES and first[344:347] not in (b"ni1", b"n+1"):
        return InputError(
            f"{path}: is an Analyze header, which does not tell left from right: convert the DICOM series to NIfTI"
        )
    if len(first) < _NIFTI_HEADER and first[:4] in _SIZES:
        return damaged(path, "truncated: ends within its header")
    return InputError(f"{path}: not an image that can be read: give {FORMATS_TEXT}")


def _nifti_header(first: bytes) -> tuple[dict[str, Any] | None, str]:
    """The header's fields and the byte order, None where it is no NIfTI-1 header."""
    orders: tuple[Literal["<"], Literal[">"]] = ("<", ">")
    for order in orders:
        known = int(np.frombuffer(first[:4].ljust(4, b"\0"), order + "i4")[0]) == 348
        if known and len(first) >= _PAIR_HEADER:
            layout = {
                "names": list(_NIFTI),
                "formats": [np.dtype(kind).newbyteorder(order) for kind, _ in _NIFTI.values()],
                "offsets": [offset for _, offset in _NIFTI.values()],
            }
            record = np.frombuffer(first, np.dtype(cast(Any, layout)), count=1)[0]
            magic = bytes(record["magic"])[:3]
            if magic == b"ni1" or (magic == b"n+1" and len(first) >= _NIFTI_HEADER):
                return {name: record[name] for name in _NIFTI}, order
    return None, "<"


def _check_spacing(path: Path, header: Mapping[str, Any]) -> None:
    spacing = np.array(header["pixdim"][1 : 1 + min(3, int(header["dim"][0]))], float)
    text = ", ".join(f"{value:g}" for value in spacing)
    if not (np.isfinite(spacing) & (spacing > 0)).all():
        raise bad_header(path, f"its voxel spacing is ({text})")
    if header["sform_code"] > 0 and len(spacing) == 3:
        lengths = np.linalg.norm(np.asarray(header["srow"], float)[:, :3], axis=0)
        if not np.allclose(lengths, spacing, rtol=0.01, atol=0):
            other = ", ".join(f"{value:g}" for value in lengths)
            raise bad_header(
                path, f"its header holds two voxel spacings, ({text}) and ({other}) by its sform matrix"
            )


def _check_numbers(path: Path, header: Mapping[str, Any], paired: bool) -> None:
    """Numbers that NIfTI's library replaces by 0 or normalises where they can't be used."""
    geometry = [header["srow"]] if header["sform_code"] > 0 else []
    if header["qform_code"] > 0:
        geometry += [header["quatern"], header["qoffset"]]
        if float(np.square(np.asarray(header["quatern"], float)).sum()) > 1.01:
            raise bad_header(path, "its qform is no rotation")
    if not all(np.isfinite(numbers).all() for numbers in geometry):
        raise bad_header(path, "its geometry has NaN or infinite numbers")
    slope, shift, offset = (float(header[name]) for name in ("scl_slope", "scl_inter", "vox_offset"))
    # A slope of NaN means that values are not scaled, by the custom of a common writer. So does 0, by the standard,
    # but ITK shifts them all the same.
    if np.isinf(slope) or np.isinf(shift) or (slope == 0 and shift != 0 and not np.isnan(shift)):
        raise bad_header(path, f"its values are scaled by {slope:g} and shifted by {shift:g}")
    if not offset >= (0 if paired else _NIFTI_HEADER) or np.isinf(offset):
        raise bad_header(path, f"its voxels begin at byte {offset:g}")


def _check_one_place(path: Path, header: Mapping[str, Any]) -> None:
    """That qform and sform, where both are set, put the voxels at the same points.

    Raises:
        InputError: They do not: programs believe the one or the other, and left and right may be exchanged.
    """
    if not (header["qform_code"] > 0 and header["sform_code"] > 0 and header["dim"][0] >= 3):
        return
    by_sform = np.vstack([np.asarray(header["srow"], float), [0, 0, 0, 1]])
    by_qform = _qform(header)
    ends = np.asarray(header["dim"][1:4], float) - 1
    corners = np.array([[x, y, z, 1] for x in (0, 1) for y in (0, 1) for z in (0, 1)], float)
    corners[:, :3] *= ends
    apart = np.linalg.norm(((by_sform - by_qform) @ corners.T)[:3], axis=0).max()
    if apart <= _SAME_PLACE * float(np.min(header["pixdim"][1:4])):
        return
    raise InputError(
        f"{path}: its header holds two orientations: by its sform it lies up to {apart:.3g} mm away from where its qform "
        f"puts it{_exchanged(by_sform, by_qform)}: keep the form that is right in its header, or convert the DICOM "
        "series again"
    )


_SAME_PLACE = 0.5
"""Parts of a voxel that qform and sform may differ by: some writers round one of them."""


def _exchanged(one: np.ndarray, other: np.ndarray) -> str:
    """Which sides two matrices exchange, for a message."""
    pairs = ("left and right", "front and back", "top and bottom")
    along = [(one[axis, :3] * other[axis, :3]).sum() < 0 for axis in range(3)]
    sides = [pair for pair, turned in zip(pairs, along, strict=True) if turned]
    return f", with {' and '.join(sides)} exchanged" if sides else ""


def _qform(header: Mapping[str, Any]) -> np.ndarray:
    """The 4 x 4 matrix of a qform: from an index to a point in mm, RAS (nifti1.h, method 2)."""
    b, c, d = (float(value) for value in header["quatern"])
    a = float(np.sqrt(max(0.0, 1 - b * b - c * c - d * d)))
    rotation = np.array(
        [
            [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
            [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
            [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - c * c - b * b],
        ]
    )
    scale = np.asarray(header["pixdim"][1:4], float) * [1, 1, -1 if header["pixdim"][0] < 0 else 1]
    matrix = np.eye(4)
    matrix[:3, :3] = rotation * scale
    matrix[:3, 3] = header["qoffset"]
    return matrix
