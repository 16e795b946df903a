"""Image files: read whole or refused with one clear line."""

import contextlib
import gzip
import itertools
import math
import os
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, cast

import numpy as np

from DRAMLesionLib.errors import InputError

if TYPE_CHECKING:
    import SimpleITK as sitk

FORMATS = (".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd")
FORMATS_TEXT = "NIfTI (.nii, .nii.gz), NRRD (.nrrd), MetaImage (.mha, .mhd) or DICOM"
_BLOCK = 1 << 20


def is_volume_file(path: str | Path) -> bool:
    """Whether the name of ``path`` ends as NIfTI, NRRD and MetaImage files do."""
    return str(path).lower().endswith(FORMATS)


def stem(path: str | Path) -> str:
    """The file's name without its image suffix: ``case02_ct.nii.gz`` gives ``case02_ct``."""
    name = Path(path).name
    for suffix in (".seg.nrrd", *sorted(FORMATS, key=len, reverse=True)):
        if name.lower().endswith(suffix):
            return name[: -len(suffix)] or name
    return Path(path).stem


def check_file(path: str | Path) -> Path:
    """The path of a file that exists, can be opened and is not empty.

    Raises:
        InputError: It is missing, a folder, not readable, or empty.
    """
    path = Path(path)
    if path.is_dir():
        raise InputError(f"{path}: is a folder: give a file")
    if not path.exists():
        raise InputError(f"{path}: no such file: check the path")
    if not os.access(path, os.R_OK):
        raise InputError(f"{path}: no permission to read it: change its permissions")
    if path.stat().st_size == 0:
        raise InputError(f"{path}: the file is empty: copy or export it again")
    return path


def read_header(path: str | Path, image_io: str = "") -> "sitk.ImageFileReader":
    """The reader of an image file, with size, geometry and tags known and no voxel read.

    Args:
        path: The file.
        image_io: The name of ITK's reader for it, where the suffix does not tell.

    Raises:
        InputError: The file is missing, empty, of another format or has a corrupt header.
    """
    import SimpleITK as sitk

    path = check_file(path)
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    reader.SetImageIO(image_io)
    try:
        with quiet():
            reader.ReadImageInformation()
    except RuntimeError as error:
        raise InputError(f"{path}: {short_reason(error)}") from error
    return reader


def read_image(path: str | Path) -> "sitk.Image":
    """Read a NIfTI, NRRD or MetaImage file as it is: any dimension, any number of components.

    ITK fills what is missing from a cut-off NIfTI file with whatever the memory held, turns NaN into 0 there, and
    takes damaged MetaImage and NRRD data as it comes, all without a word. So files are checked first.

    Raises:
        InputError: The file is missing, empty, of another format, truncated or corrupt; a NIfTI file also for NaN or
            infinite values and for a spacing that is no positive number.
    """
    path = check_file(path)
    if not is_volume_file(path):
        raise InputError(f"{path}: not a format that is read here: give {FORMATS_TEXT}")
    check_whole(path)
    reader = read_header(path)
    try:
        with quiet():
            return reader.Execute()
    except RuntimeError as error:
        raise InputError(f"{path}: {short_reason(error)}") from error


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep ITK's own warnings off the terminal: what matters of them is raised or returned."""
    import SimpleITK as sitk

    shown = sitk.ProcessObject.GetGlobalWarningDisplay()
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    try:
        yield
    finally:
        sitk.ProcessObject.SetGlobalWarningDisplay(shown)


def short_reason(error: Exception) -> str:
    """One phrase, with what to do, for the many lines of an ITK exception."""
    text = str(error)
    known = {
        "Unable to determine ImageIO reader": f"not an image that can be read: give {FORMATS_TEXT}",
        "orthonormal": "its axes are not perpendicular: repair its header or convert it again",
        "determinant": "its directions are singular: repair its header or convert it again",
        "Bad direction": "its directions are singular: repair its header or convert it again",
        "pacing": "its voxel spacing is not usable: repair its header or convert it again",
        "bad_alloc": "not enough memory to read it: close other programs or use a larger machine",
        "Failed to allocate": "not enough memory to read it: close other programs or use a larger machine",
    }
    for pattern, phrase in known.items():
        if pattern in text:
            return phrase
    return "truncated or corrupt: copy or export it again"


def check_whole(path: Path) -> None:
    """Compare a volume's file with what its own header and checksums promise, as far as ITK does not.

    Raises:
        InputError: It is truncated, corrupt, or (NIfTI) holds NaN or infinite values or an impossible spacing.
    """
    name = path.name.lower()
    if name.endswith((".nii", ".nii.gz")):
        _check_nifti(path)
    elif name.endswith((".nrrd", ".nhdr")):
        _check_nrrd(path)
    else:
        _check_meta(path)


def _damaged(path: Path, how: str) -> InputError:
    return InputError(f"{path}: {how}: copy or export it again")


def _check_size(path: Path, found: int, expected: int) -> None:
    if found < expected:
        raise _damaged(path, f"truncated: holds {found} of the {expected} bytes that its header promises")


def _blocks(path: Path, stream: BinaryIO) -> Iterator[bytes]:
    """The blocks of a gzip stream to its end, where the checksum is compared."""
    try:
        while block := stream.read(_BLOCK):
            yield block
    except EOFError as error:
        raise _damaged(path, "truncated: its compressed data ends early") from error
    except (OSError, zlib.error) as error:
        raise _damaged(path, "corrupt: its compressed data can't be unpacked") from error


# --- NIfTI: https://nifti.nimh.nih.gov, nifti1.h and nifti2.h ---

_NIFTI: dict[int, dict[str, tuple[str, int]]] = {
    348: {
        "dim": ("8i2", 40),
        "datatype": ("i2", 70),
        "bitpix": ("i2", 72),
        "pixdim": ("8f4", 76),
        "vox_offset": ("f4", 108),
        "sform_code": ("i2", 254),
        "srow": ("(3,4)f4", 280),
    },
    540: {
        "datatype": ("i2", 12),
        "bitpix": ("i2", 14),
        "dim": ("8i8", 16),
        "pixdim": ("8f8", 104),
        "vox_offset": ("i8", 168),
        "sform_code": ("i4", 348),
        "srow": ("(3,4)f8", 400),
    },
}
_NIFTI_FLOATS = {16: "f4", 64: "f8"}


def _check_nifti(path: Path) -> None:
    """Compare a NIfTI file with its header, and look for what ITK replaces without a word.

    That is: missing bytes, NaN and infinite values (read as 0), a spacing that is no positive number (read as 1 mm).
    """
    with path.open("rb") as raw:
        packed = raw.read(2) == b"\x1f\x8b"
    with gzip.open(path) if packed else path.open("rb") as opened:
        blocks = _blocks(path, cast(BinaryIO, opened))
        first = next(blocks, b"")
        header, order = _nifti_header(first)
        if header is None:
            return  # not NIfTI: ITK says so
        _check_nifti_spacing(path, header)
        dim = header["dim"]
        voxels = int(np.prod(np.maximum(dim[1 : 1 + dim[0]], 1), dtype=np.int64))
        offset = int(header["vox_offset"])
        kind = _NIFTI_FLOATS.get(int(header["datatype"]))
        found, bad, rest = 0, 0, b""
        for block in itertools.chain([first], blocks):
            if kind:
                values = rest + block[max(0, offset - found) :]
                whole = len(values) - len(values) % int(kind[1])
                bad += int((~np.isfinite(np.frombuffer(values[:whole], order + kind))).sum())
                rest = values[whole:]
            found += len(block)
    _check_size(path, found, offset + voxels * int(header["bitpix"]) // 8)
    if bad:
        raise InputError(f"{path}: has {bad} NaN or infinite values: replace them (air is -1000 HU)")


def _nifti_header(first: bytes) -> tuple[dict[str, Any] | None, str]:
    orders: tuple[Literal["<"], Literal[">"]] = ("<", ">")
    for order in orders:
        fields = _NIFTI.get(int(np.frombuffer(first[:4].ljust(4, b"\0"), order + "i4")[0]))
        if fields and len(first) >= 540:
            layout = {
                "names": list(fields),
                "formats": [np.dtype(kind).newbyteorder(order) for kind, _ in fields.values()],
                "offsets": [offset for _, offset in fields.values()],
            }
            record = np.frombuffer(first, np.dtype(cast(Any, layout)), count=1)[0]
            return {name: record[name] for name in fields}, order
    return None, "<"


def _check_nifti_spacing(path: Path, header: dict[str, Any]) -> None:
    spacing = np.array(header["pixdim"][1 : 1 + min(3, int(header["dim"][0]))], float)
    text = ", ".join(f"{value:g}" for value in spacing)
    if not (np.isfinite(spacing) & (spacing > 0)).all():
        raise InputError(f"{path}: its voxel spacing is ({text}): repair its header or convert it again")
    if header["sform_code"] > 0 and len(spacing) == 3:
        lengths = np.linalg.norm(np.asarray(header["srow"], float)[:, :3], axis=0)
        if not np.allclose(lengths, spacing, rtol=0.01, atol=0):
            other = ", ".join(f"{value:g}" for value in lengths)
            raise InputError(
                f"{path}: its header holds two voxel spacings, ({text}) and ({other}) by its sform matrix: "
                "repair its header or convert it again"
            )


# --- NRRD: https://teem.sourceforge.net/nrrd/format.html ---


def _check_nrrd(path: Path) -> None:
    """Unpack a gzip-encoded NRRD to its end, since ITK skips the checksum; it finds missing bytes by itself."""
    with path.open("rb") as raw:
        fields = _nrrd_fields(raw)
        if fields.get("encoding") not in ("gzip", "gz") or {"byteskip", "lineskip"} & fields.keys():
            return
        data = fields.get("datafile")
        if data is None:
            _exhaust(path, raw)
            return
    if data.upper().startswith("LIST") or "%" in data:
        return
    with check_file(path.parent / data).open("rb") as raw:
        _exhaust(path.parent / data, raw)


def _nrrd_fields(raw: BinaryIO) -> dict[str, str]:
    fields: dict[str, str] = {}
    for line in iter(lambda: raw.readline(1 << 16), b""):
        if not line.strip():
            break
        key, _, value = line.decode("latin-1").partition(":")
        fields[key.strip().lower().replace(" ", "")] = value.strip()
    return fields


def _exhaust(path: Path, raw: BinaryIO) -> int:
    with gzip.GzipFile(fileobj=raw) as stream:
        return sum(len(block) for block in _blocks(path, cast(BinaryIO, stream)))


# --- MetaImage: https://itk.org/Wiki/ITK/MetaIO/Documentation ---

_META_BYTES = {"CHAR": 1, "SHORT": 2, "INT": 4, "LONG": 4, "LONG_LONG": 8, "FLOAT": 4, "DOUBLE": 8}


def _check_meta(path: Path) -> None:
    """Unpack a compressed MetaImage, or take a plain one's size, and compare that with its header."""
    with path.open("rb") as raw:
        header = _meta_header(raw)
        data = header.get("ElementDataFile", "LOCAL")
        if data.upper() == "LOCAL":
            _check_meta_data(path, raw, header)
            return
    if data.upper().startswith("LIST") or "%" in data:
        return
    with check_file(path.parent / data).open("rb") as raw:
        _check_meta_data(path.parent / data, raw, header)


def _meta_header(raw: BinaryIO) -> dict[str, str]:
    header: dict[str, str] = {}
    for line in iter(lambda: raw.readline(4096), b""):
        key, found, value = line.decode("latin-1").partition("=")
        if not found:
            break
        header[key.strip()] = value.strip()
        if key.strip() == "ElementDataFile":
            break
    return header


def _check_meta_data(path: Path, raw: BinaryIO, header: dict[str, str]) -> None:
    item = _META_BYTES.get(re.sub(r"^MET_U?|_ARRAY$", "", header.get("ElementType", "")))
    if item is None or "DimSize" not in header or header.get("BinaryData", "True").lower() == "false":
        return
    try:
        lengths = [int(size) for size in header["DimSize"].split()]
        expected = item * int(header.get("ElementNumberOfChannels", "1")) * math.prod(lengths)
    except ValueError:
        return  # ITK says what is wrong with the header
    if header.get("CompressedData", "False").lower() == "true":
        found = _inflated_bytes(path, raw)
    else:
        found = path.stat().st_size - raw.tell()
    _check_size(path, found, expected)


def _inflated_bytes(path: Path, raw: BinaryIO) -> int:
    inflate = zlib.decompressobj(wbits=47)  # zlib or gzip, by the stream's own header
    total = 0
    try:
        while not inflate.eof and (block := raw.read(_BLOCK)):
            total += len(inflate.decompress(block))
    except zlib.error as error:
        raise _damaged(path, "corrupt: its compressed data can't be unpacked") from error
    if not inflate.eof:
        raise _damaged(path, "truncated: its compressed data ends early")
    return total
