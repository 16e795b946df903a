"""What a NRRD header promises against what the file holds: https://teem.sourceforge.net/nrrd/format.html."""

import gzip
import re
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO, cast

from DRAMLesionLib.images.file_size import bad_header, blocks, check_size, count_voxels, slack
from DRAMLesionLib.images.paths import check_file

_NRRD_BYTES = {"char": 1, "short": 2, "int": 4, "longlong": 8}
_NRRD_FLOATS = {"float": 4, "double": 8}


def check_nrrd(path: Path) -> None:
    """Compare a raw or gzip-encoded NRRD with its header; ITK skips the checksum and what is too much."""
    with path.open("rb") as raw:
        if raw.read(4) != b"NRRD":
            return  # ITK says so
        raw.seek(0)
        fields = read_nrrd_fields(raw)
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
    expected = count_voxels(path, lengths) * item
    most = expected + slack(lengths, item)
    if packed:
        size = _unpacked_bytes(path, raw, most)
    else:
        size = path.stat().st_size - raw.tell()
    check_size(path, size, expected, most)


def read_nrrd_fields(raw: BinaryIO) -> dict[str, str]:
    """The fields of a NRRD header by their names in lower case without spaces; ``raw`` then stands at the voxels."""
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
    count_voxels(path, lengths)
    return lengths


def _check_nrrd_geometry(path: Path, fields: Mapping[str, str]) -> None:
    """That all three axes of a volume have a spacing, and numbers no decimal comma: ITK takes 1 mm, or half a number."""
    if fields.get("dimension", "") in ("1", "2"):
        return
    vectors = re.findall(r"none|\([^)]*\)", fields.get("spacedirections", "").lower())
    origin = re.findall(r"\([^)]*\)", fields.get("spaceorigin", ""))
    placed = [vector for vector in vectors if vector != "none"]
    timed = fields.get("space", "").lower().endswith(("-time", "t"))
    room = int(fields["spacedimension"]) if fields.get("spacedimension", "").isdigit() else 3 + timed
    if any(len(_numbers(vector)) != room for vector in (*placed, *origin)):
        raise bad_header(path, "a direction or its origin has a word or a decimal comma for a number")
    spacings = [word for word in fields.get("spacings", "").lower().split() if word != "nan"]
    if any("," in word for word in spacings):
        raise bad_header(path, "its spacings have decimal commas")
    if max(len(placed), len(spacings)) < 3:
        raise bad_header(path, "it has no spacing for each of three axes")


def _numbers(vector: str) -> list[float]:
    """The numbers of ``(1,0,0)``; none where one of them is a word."""
    try:
        return [float(word) for word in vector.strip("()").split(",")]
    except ValueError:
        return []


def _unpacked_bytes(path: Path, raw: BinaryIO, most: int) -> int:
    """How long a gzip stream is, unpacked; counting ends above ``most``."""
    size = 0
    with gzip.GzipFile(fileobj=raw) as stream:
        for block in blocks(path, cast(BinaryIO, stream)):
            size += len(block)
            if size > most:
                break
    return size
