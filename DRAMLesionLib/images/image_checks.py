"""What an image file promises against what it holds: checked before ITK reads it.

ITK fills what is missing with whatever the memory held, leaves out what is too much, makes up what a header lacks or gets
wrong, and may end the process over a header that was damaged: all without a word.
"""

import gzip
import itertools
import math
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, Literal, cast

import numpy as np

from DRAMLesionLib.images.paths import FORMATS_TEXT, check_file
from DRAMLesionLib.system.errors import InputError

_BLOCK = 1 << 20
_MOST_AXES = 10
"""Of a MetaImage: MetaIO's own tables are as long, and it writes beyond them."""
_LONGEST_WORDS = 255
"""Of a line in a MetaImage's header, for the same reason."""
_MOST_VALUES = 1 << 48


def check_whole(path: Path) -> None:
    """Compare a volume's file with what its own header and checksums promise, as far as ITK does not.

    Raises:
        InputError: It is truncated, corrupt, holds more than it promises, or has a header that can't be used; a NIfTI
            file also for NaN or infinite values.
    """
    name = path.name.lower()
    if name.endswith((".nii", ".nii.gz")):
        _check_nifti(path)
    elif name.endswith((".nrrd", ".nhdr")):
        _check_nrrd(path)
    else:
        _check_meta(path)


def has_orientation(path: Path) -> bool:
    """Whether a volume's file says where its axes point; ITK makes it up for a NIfTI file that does not."""
    if not path.name.lower().endswith((".nii", ".nii.gz")):
        return True
    with _opened(path) as stream:
        header, _ = _nifti_header(stream.read(540))
    return header is None or bool(header["qform_code"] > 0 or header["sform_code"] > 0)


def _damaged(path: Path, how: str) -> InputError:
    return InputError(f"{path}: {how}: copy or export it again")


def _bad_header(path: Path, how: str) -> InputError:
    return InputError(f"{path}: {how}: repair its header or convert it again")


def _check_size(path: Path, found: int, expected: int, most: int | None = None) -> None:
    """Compare a file's bytes with those that its header promises.

    Args:
        path: The file.
        found: Its bytes, unpacked; counting may stop above ``most``.
        expected: What the header promises.
        most: What may be there: None for any number.
    """
    if found < expected:
        raise _damaged(path, f"truncated: holds {found} of the {expected} bytes that its header promises")
    if most is not None and found > most:
        raise _bad_header(path, f"holds more than the {expected} bytes that its header promises")


def _voxels(path: Path, lengths: Iterable[int]) -> int:
    """How many values an image of these lengths has."""
    lengths = list(lengths)
    if not lengths or min(lengths) < 1 or math.prod(lengths) > _MOST_VALUES:
        raise _bad_header(path, f"its size is {' x '.join(map(str, lengths)) or 'not given'}")
    return math.prod(lengths)


def _slack(lengths: list[int], item: int) -> int:
    """Bytes that may stand behind the voxels: less than a slice, or a lie about the size would go unseen."""
    return math.prod(lengths[:2]) * item - 1


def _blocks(path: Path, stream: BinaryIO) -> Iterator[bytes]:
    """The blocks of a gzip stream to its end, where the checksum is compared."""
    try:
        while block := stream.read(_BLOCK):
            yield block
    except EOFError as error:
        raise _damaged(path, "truncated: its compressed data ends early") from error
    except (OSError, zlib.error) as error:
        raise _damaged(path, "corrupt: its compressed data can't be unpacked") from error


def _opened(path: Path) -> BinaryIO:
    """A file, unpacked where it is compressed."""
    with path.open("rb") as raw:
        packed = raw.read(2) == b"\x1f\x8b"
    if packed and path.suffix.lower() != ".gz":
        raise InputError(f"{path}: is compressed by gzip: make its name end in .nii.gz")
    return cast(BinaryIO, gzip.open(path)) if packed else path.open("rb")


# --- NIfTI: https://nifti.nimh.nih.gov, nifti1.h ---

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
_NIFTI_HEADER = 352


def _check_nifti(path: Path) -> None:
    """Compare a NIfTI file with its header, and look for what ITK replaces without a word.

    That is: missing bytes, NaN and infinite values (read as 0), a spacing that is no positive number (read as 1 mm).
    """
    with _opened(path) as opened:
        blocks = _blocks(path, opened)
        first = next(blocks, b"")
        header, order = _nifti_header(first)
        if header is None:
            raise _no_nifti(path, first)
        axes = int(header["dim"][0])
        if not 1 <= axes <= 7:
            raise _bad_header(path, f"it claims to have {axes} dimensions")
        _check_nifti_spacing(path, header)
        _check_nifti_numbers(path, header)
        lengths = [max(1, int(length)) for length in header["dim"][1 : 1 + axes]]
        item = _NIFTI_BYTES.get(int(header["datatype"]), int(header["bitpix"]) // 8)
        offset = int(header["vox_offset"])
        expected = offset + _voxels(path, lengths) * item
        most = expected + _slack(lengths, item)
        kind = _NIFTI_FLOATS.get(int(header["datatype"]))
        found, bad, rest = 0, 0, b""
        for block in itertools.chain([first], blocks):
            if kind:
                values = rest + block[max(0, offset - found) : max(0, expected - found)]
                whole = len(values) - len(values) % int(kind[1])
                bad += int((~np.isfinite(np.frombuffer(values[:whole], order + kind))).sum())
                rest = values[whole:]
            found += len(block)
            if found > most:
                break
    _check_size(path, found, expected, most)
    if bad:
        raise InputError(f"{path}: has {bad} NaN or infinite values: replace them (air is -1000 HU)")


def _no_nifti(path: Path, first: bytes) -> InputError:
    if first[:4] in (b"\x1c\x02\0\0", b"\0\0\x02\x1c"):
        return InputError(f"{path}: is NIfTI-2, which is not read here: convert it to NIfTI-1 or NRRD")
    if len(first) < _NIFTI_HEADER and first[:4] in (b"\x5c\x01\0\0", b"\0\0\x01\x5c"):
        return _damaged(path, "truncated: ends within its header")
    return InputError(f"{path}: not an image that can be read: give {FORMATS_TEXT}")


def _nifti_header(first: bytes) -> tuple[dict[str, Any] | None, str]:
    """The header's fields and the byte order, None where it is no NIfTI-1 file with its voxels in it."""
    orders: tuple[Literal["<"], Literal[">"]] = ("<", ">")
    for order in orders:
        known = int(np.frombuffer(first[:4].ljust(4, b"\0"), order + "i4")[0]) == 348
        if known and len(first) >= _NIFTI_HEADER:
            layout = {
                "names": list(_NIFTI),
                "formats": [np.dtype(kind).newbyteorder(order) for kind, _ in _NIFTI.values()],
                "offsets": [offset for _, offset in _NIFTI.values()],
            }
            record = np.frombuffer(first, np.dtype(cast(Any, layout)), count=1)[0]
            if bytes(record["magic"])[:3] == b"n+1":
                return {name: record[name] for name in _NIFTI}, order
    return None, "<"


def _check_nifti_spacing(path: Path, header: Mapping[str, Any]) -> None:
    spacing = np.array(header["pixdim"][1 : 1 + min(3, int(header["dim"][0]))], float)
    text = ", ".join(f"{value:g}" for value in spacing)
    if not (np.isfinite(spacing) & (spacing > 0)).all():
        raise _bad_header(path, f"its voxel spacing is ({text})")
    if header["sform_code"] > 0 and len(spacing) == 3:
        lengths = np.linalg.norm(np.asarray(header["srow"], float)[:, :3], axis=0)
        if not np.allclose(lengths, spacing, rtol=0.01, atol=0):
            other = ", ".join(f"{value:g}" for value in lengths)
            raise _bad_header(
                path, f"its header holds two voxel spacings, ({text}) and ({other}) by its sform matrix"
            )


def _check_nifti_numbers(path: Path, header: Mapping[str, Any]) -> None:
    """Numbers that NIfTI's library replaces by 0 or normalises where they can't be used."""
    place = [header["srow"]] if header["sform_code"] > 0 else []
    if header["qform_code"] > 0:
        place += [header["quatern"], header["qoffset"]]
        if float(np.square(np.asarray(header["quatern"], float)).sum()) > 1.01:
            raise _bad_header(path, "its qform is no rotation")
    if not all(np.isfinite(numbers).all() for numbers in place):
        raise _bad_header(path, "its geometry has NaN or infinite numbers")
    slope, shift, offset = (float(header[name]) for name in ("scl_slope", "scl_inter", "vox_offset"))
    # A slope of NaN means that values are not scaled, by the custom of a common writer. So does 0, by the standard,
    # but ITK shifts them all the same.
    if np.isinf(slope) or np.isinf(shift) or (slope == 0 and shift != 0 and not np.isnan(shift)):
        raise _bad_header(path, f"its values are scaled by {slope:g} and shifted by {shift:g}")
    if not offset >= _NIFTI_HEADER or np.isinf(offset):
        raise _bad_header(path, f"its voxels begin at byte {offset:g}")


# --- NRRD: https://teem.sourceforge.net/nrrd/format.html ---

_NRRD_BYTES = {"char": 1, "short": 2, "int": 4, "longlong": 8}
_NRRD_FLOATS = {"float": 4, "double": 8}


def _check_nrrd(path: Path) -> None:
    """Compare a raw or gzip-encoded NRRD with its header; ITK skips the checksum and what is too much."""
    with path.open("rb") as raw:
        if raw.read(4) != b"NRRD":
            return  # ITK says so
        raw.seek(0)
        fields = _nrrd_fields(raw)
        _check_nrrd_geometry(path, fields)
        lengths, item = _nrrd_lengths(path, fields), _nrrd_item(fields.get("type", ""))
        packed = fields.get("encoding", "").lower() in ("gzip", "gz")
        if item is None or not (packed or fields.get("encoding", "").lower() == "raw"):
            return
        if {"byteskip", "lineskip"} & fields.keys():
            return
        data = fields.get("datafile")
        if data is None:
            _check_data(path, raw, packed, lengths, item)
            return
    if data.upper().startswith("LIST") or "%" in data:
        return
    with check_file(path.parent / data).open("rb") as raw:
        _check_data(path.parent / data, raw, packed, lengths, item)


def _check_data(path: Path, raw: BinaryIO, packed: bool, lengths: list[int], item: int) -> None:
    expected = _voxels(path, lengths) * item
    most = expected + _slack(lengths, item)
    if packed:
        found = _unpacked_bytes(path, raw, most)
    else:
        found = path.stat().st_size - raw.tell()
    _check_size(path, found, expected, most)


def _nrrd_fields(raw: BinaryIO) -> dict[str, str]:
    fields: dict[str, str] = {}
    for line in iter(lambda: raw.readline(1 << 16), b""):
        if not line.strip():
            break
        key, _, value = line.decode("latin-1").partition(":")
        fields[key.strip().lower().replace(" ", "")] = value.strip()
    return fields


def _nrrd_item(kind: str) -> int | None:
    """Bytes of a value by the name of its type, such as ``unsigned short int``, ``uint16_t``; None for an unknown one."""
    name = kind.lower().replace(" ", "")
    if bits := re.fullmatch(r"u?int(8|16|32|64)(_t)?", name):
        return int(bits[1]) // 8
    if plain := re.fullmatch(r"(?:u|unsigned|signed)?(char|short|int|longlong)(?:int)?", name):
        return _NRRD_BYTES[plain[1]]
    return _NRRD_FLOATS.get(name)


def _nrrd_lengths(path: Path, fields: Mapping[str, str]) -> list[int]:
    try:
        lengths = [int(length) for length in fields.get("sizes", "").split()]
    except ValueError:
        lengths = []
    _voxels(path, lengths)
    return lengths


def _check_nrrd_geometry(path: Path, fields: Mapping[str, str]) -> None:
    """That all three axes of a volume have a spacing: ITK takes 1 mm for one that has none."""
    if fields.get("dimension", "") in ("1", "2"):
        return
    vectors = re.findall(r"none|\([^)]*\)", fields.get("spacedirections", "").lower())
    spacings = [word for word in fields.get("spacings", "").lower().split() if word != "nan"]
    if max(sum(vector != "none" for vector in vectors), len(spacings)) < 3:
        raise _bad_header(path, "it has no spacing for each of three axes")


def _unpacked_bytes(path: Path, raw: BinaryIO, most: int) -> int:
    """How long a gzip stream is, unpacked; counting ends above ``most``."""
    found = 0
    with gzip.GzipFile(fileobj=raw) as stream:
        for block in _blocks(path, cast(BinaryIO, stream)):
            found += len(block)
            if found > most:
                break
    return found


# --- MetaImage: https://itk.org/Wiki/ITK/MetaIO/Documentation ---

_META_BYTES = {"CHAR": 1, "SHORT": 2, "INT": 4, "LONG": 4, "LONG_LONG": 8, "FLOAT": 4, "DOUBLE": 8}


def _check_meta(path: Path) -> None:
    """Unpack a compressed MetaImage, or take a plain one's size, and compare that with its header."""
    with path.open("rb") as raw:
        header = _meta_header(path, raw)
        if "NDims" not in header:
            return  # ITK says so
        lengths = _meta_lengths(path, header)
        data = header.get("ElementDataFile", "LOCAL")
        if data.upper() == "LOCAL":
            _check_meta_data(path, raw, header, lengths, inside=True)
            return
    if data.upper().startswith("LIST") or "%" in data:
        return
    with check_file(path.parent / data).open("rb") as raw:
        _check_meta_data(path.parent / data, raw, header, lengths, inside=False)


def _meta_header(path: Path, raw: BinaryIO) -> dict[str, str]:
    header: dict[str, str] = {}
    for line in iter(lambda: raw.readline(4096), b""):
        key, found, value = line.decode("latin-1").partition("=")
        if not found:
            break
        if len(line) > _LONGEST_WORDS:
            raise _bad_header(path, f"a line of its header has more than {_LONGEST_WORDS} characters")
        header[key.strip()] = value.strip()
        if key.strip() == "ElementDataFile":
            break
    return header


def _meta_lengths(path: Path, header: Mapping[str, str]) -> list[int]:
    """The sizes, once the header is seen to be one that MetaIO can read: it writes beyond its tables otherwise."""
    try:
        axes = int(header["NDims"])
        lengths = [int(size) for size in header["DimSize"].split()]
        channels = int(header.get("ElementNumberOfChannels", "1"))
        spacing = [float(word) for word in header.get("ElementSpacing", "1").split()]
    except (ValueError, KeyError) as error:
        raise _bad_header(path, "its header lacks a number, or has a word for one") from error
    if not 1 <= axes <= _MOST_AXES or len(lengths) != axes:
        raise _bad_header(path, f"it has {axes} dimensions and {len(lengths)} sizes")
    _voxels(path, [*lengths, channels])
    if not all(math.isfinite(length) and length > 0 for length in spacing):
        text = ", ".join(f"{value:g}" for value in spacing)
        raise _bad_header(path, f"its voxel spacing is ({text})")
    return lengths


def _check_meta_data(
    path: Path, raw: BinaryIO, header: Mapping[str, str], lengths: list[int], inside: bool
) -> None:
    item = _META_BYTES.get(re.sub(r"^MET_U?|_ARRAY$", "", header.get("ElementType", "")))
    if item is None or header.get("BinaryData", "True").lower() == "false":
        return
    item *= int(header.get("ElementNumberOfChannels", "1"))
    expected = _voxels(path, lengths) * item
    most = expected + _slack(lengths, item)
    if header.get("CompressedData", "False").lower() == "true":
        found, packed = _inflated_bytes(path, raw, most)
        given = header.get("CompressedDataSize", "")
        # MetaIO takes the length as it stands, and leaves the voxels that it does not reach as they were.
        if found <= most and (given != str(packed) if given or inside else False):
            raise _bad_header(path, f"its compressed data has {packed} bytes, not {given or 'none'}")
    else:
        found = path.stat().st_size - raw.tell()
    _check_size(path, found, expected, most)


def _inflated_bytes(path: Path, raw: BinaryIO, most: int) -> tuple[int, int]:
    """Lengths of compressed data, unpacked and packed; counting ends above ``most``."""
    inflate = zlib.decompressobj(wbits=47)  # zlib or gzip, by the stream's own header
    total = taken = 0
    try:
        while not inflate.eof and total <= most and (block := raw.read(_BLOCK)):
            taken += len(block)
            while block and total <= most:
                total += len(inflate.decompress(block, _BLOCK))
                block = inflate.unconsumed_tail
    except zlib.error as error:
        raise _damaged(path, "corrupt: its compressed data can't be unpacked") from error
    if total <= most and not inflate.eof:
        raise _damaged(path, "truncated: its compressed data ends early")
    return total, taken - len(inflate.unused_data)
